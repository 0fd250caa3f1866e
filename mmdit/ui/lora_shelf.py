"""The LoRAs that the page can name, what they would do, and the stack that a browser sends.

In: presets, uploaded files, and whatever a browser sends. Out: `Chosen` rows, `LoraWeight`s, reports. A browser names
LoRAs by keys ("preset:sepia-film", "file:3f…"), never by paths. Knows neither Gradio nor HTML.
"""

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdit.catalog import ModelEntry
from mmdit.lora.architectures import linear_shapes
from mmdit.lora.inspect import LoraError, LoraReport, inspect
from mmdit.lora.presets import Preset, Presets
from mmdit.runtime.jobs import Jobs

if TYPE_CHECKING:  # see jobs.py
    from mmdit.lora.stack import LoraWeight

LOWEST, HIGHEST, STEP = -2.0, 2.0, 0.05
MOST = 64  # LoRAs in a stack; each costs an inspection
GONE = "is no longer here; remove it, or drop its file again"
PRESET, FILE = "preset:", "file:"
LONGER = re.compile(r"\w{4,}")


@dataclass(frozen=True)
class Chosen:
    """One row of a stack.

    Args:
        key: names the LoRA on this page.
        weight: −2 to 2.
        partial: apply what fits of a file of which something does not.
        blocks: block → factor; None for 1 everywhere.
    """

    key: str
    weight: float
    partial: bool = False
    blocks: Mapping[str, float] | None = None


class NotHereError(LoraError):
    """The weights are not on this machine yet."""


class LoraShelf:
    """
    Args:
        presets: of the same folders as the editor's, so that both mean the same by a name.
        model: what LoRAs are held against until a model is loaded.
        uploads: the only folder from which dropped files are taken.
    """

    def __init__(self, presets: Presets, jobs: Jobs, model: ModelEntry, uploads: Path) -> None:
        self.presets = presets
        self.jobs = jobs
        self._first = model
        self._uploads = uploads
        self._files: dict[str, Path] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """The dropped files that are still here."""
        return tuple(file for file in list(self._files.values()) if file.is_file())

    @property
    def model(self) -> ModelEntry:
        """The model in use, or else the one that is being loaded or was last."""
        return self.jobs.model.entry_or(self._first)

    # ---- keys

    def take(self, path: str) -> str:
        """The key of a dropped file. Raises `LoraError` for one that was not uploaded, or is no LoRA file."""
        file = Path(path).resolve()
        if not file.is_relative_to(self._uploads.resolve()) or not file.is_file():
            raise LoraError("that file was not uploaded; drop it on the page")
        if file.suffix.lower() != ".safetensors":
            raise LoraError(f"“{file.name}” is no .safetensors file; only such files are loaded")
        known = [key for key, other in list(self._files.items()) if other == file]
        key = known[0] if known else f"{FILE}{secrets.token_hex(8)}"
        self._files[key] = file
        return key

    def knows(self, key: str) -> bool:
        """Whether a key still names something."""
        return key in self._files or self.preset(key) is not None

    def preset(self, key: str) -> Preset | None:
        """The preset behind a key; None for a dropped file, and for what is gone."""
        return self.presets.find(key.removeprefix(PRESET)) if key.startswith(PRESET) else None

    def name(self, key: str) -> str:
        """What people call it: a preset's name, or a dropped file's."""
        return self._files[key].name if key in self._files else key.removeprefix(PRESET)

    def suits(self, preset: Preset) -> bool:
        """Whether a preset is for the model in use, as far as its family tells."""
        return preset.family in (self.model.name, self.model.family, "unknown")

    # ---- reports

    def report(self, key: str) -> LoraReport:
        """What a LoRA would do to the model.

        Raises:
            NotHereError: its file would have to be downloaded.
            LoraError: unknown, unreadable, or a model that is not known before it is loaded. No path is named.
        """
        preset = self.preset(key)
        if preset is not None and not self.presets.is_here(preset):
            raise NotHereError(f"its file is not on this machine; it is fetched from {preset.hub.repository} when used")
        return self.fetch(key)

    def fetch(self, key: str) -> LoraReport:
        """The same, but a file that is not here is downloaded first."""
        target = self._target(key)
        try:
            if (editor := self.jobs.editor) is not None:
                return editor.inspect_lora(target)
            path, preset = self.presets.resolve(target)
            alpha = None if preset is None else preset.alpha
            return inspect(path, linear_shapes(self.model.name), self.model.name, alpha=alpha)
        except LoraError as error:
            raise LoraError(self._without_paths(str(error), target)) from error

    def _target(self, key: str) -> str:
        """What the editor calls it."""
        if key in self._files and self._files[key].is_file():
            return str(self._files[key])
        preset = self.preset(key)
        if preset is None:
            raise LoraError(f"“{self.name(key)[:100]}” {GONE}")
        return preset.name

    def _without_paths(self, text: str, target: str) -> str:
        preset = self.presets.find(target)
        path = Path(target) if preset is None else preset.file
        return text if path is None else text.replace(repr(str(path)), f"“{path.name}”").replace(str(path), path.name)

    # ---- stacks

    def recommended(self, stack: Sequence[Chosen]) -> dict[str, int | float]:
        """Steps, guidance and shift that the presets of a stack bring along."""
        return self.presets.recommended(self.name(of.key) for of in stack if of.weight and self.preset(of.key))

    def words_missing(self, of: Chosen, instruction: str) -> str:
        """The words that a preset goes by, where the instruction has none of them; else "".

        Without a trigger its instructions are meant, and the longer words of the first one.
        """
        preset = self.preset(of.key)
        if preset is None or not of.weight:
            return ""
        wanted = preset.trigger or next(iter(preset.instructions), "")
        known = [wanted] if preset.trigger else [*preset.instructions, *LONGER.findall(wanted)]
        return "" if any(words.casefold() in instruction.casefold() for words in known) else wanted

    def weights(self, stack: Sequence[Chosen]) -> "list[LoraWeight]":
        """For an `EditRequest`. Raises `LoraError`: a LoRA that is gone, unreadable or refused."""
        from mmdit.lora.stack import LoraWeight

        for of in stack if self.jobs.editor is not None else ():
            self._check(of)
        return [LoraWeight(self._target(of.key), of.weight, of.blocks, of.partial) for of in stack]

    def _check(self, of: Chosen) -> None:
        try:
            report = self.report(of.key)
        except NotHereError:
            return
        if not report.targets or not (report.whole or of.partial):
            raise LoraError(report.refusal())

    def from_settings(self, settings: Mapping[str, Any]) -> tuple[tuple[Chosen, ...], tuple[str, ...]]:
        """The stack that a result was made with, as far as it is still here, and a sentence on each that is not."""
        stack: list[Chosen] = []
        problems: list[str] = []
        listed = settings.get("loras")
        for lora in listed if isinstance(listed, list) else ():
            try:
                of = self._as_it_was(lora if isinstance(lora, dict) else {}, problems)
            except LoraError as error:
                problems.append(str(error))
                continue
            if any(of.key == other.key for other in stack):
                problems.append(f"“{self.name(of.key)}” was in the stack twice; only the first is kept")
            else:
                stack.append(of)
        return tuple(stack), tuple(problems)

    def to_browser(self, stack: Sequence[Chosen], notes: Sequence[str] = ()) -> dict[str, Any]:
        """A stack as the page keeps it; `read_stack` reads it back.

        Args:
            notes: sentences to show above it, without an end.
        """
        rows = [
            {"key": of.key, "weight": of.weight, "partial": of.partial, "blocks": of.blocks, "name": self.name(of.key)}
            for of in stack
        ]
        return {"items": rows, "notes": list(notes)}

    def _as_it_was(self, lora: dict[str, Any], problems: list[str]) -> Chosen:
        """A result's LoRA as a row. Raises `LoraError`: it is not here, or its weight is none."""
        name, digest = str(lora.get("name"))[:100], lora.get("sha256")
        key = self._find(name, digest)
        if key is None:
            raise LoraError(f"“{name}”, with which this result was made, is not here")
        report = self._readable(key)
        if report is not None and report.sha256 != digest:
            problems.append(f"the file of “{name}” is not the one with which this result was made")
        return _read_row({**lora, "key": key, "partial": report is not None and not report.whole})

    def _find(self, name: str, digest: str | None) -> str | None:
        """The key of the preset of that name, or else of the dropped file of that content."""
        if self.presets.find(name) is not None:
            return f"{PRESET}{name}"
        reports = {key: self._readable(key) for key in list(self._files)}  # others may drop one meanwhile
        return next((key for key, report in reports.items() if report and report.sha256 == digest), None)

    def _readable(self, key: str) -> LoraReport | None:
        try:
            return self.report(key)
        except LoraError:
            return None


def read_stack(sent: Any) -> tuple[Chosen, ...]:
    """What a browser sent as its stack. Raises `LoraError`: anything but rows with keys and weights from −2 to 2."""
    rows = sent.get("items") if isinstance(sent, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LoraError("the stack was not understood; load the page again")
    if len(rows) > MOST:
        raise LoraError(f"{len(rows)} LoRAs are in the stack; use at most {MOST}")
    return tuple(_read_row(row) for row in rows)


def _read_row(row: dict[str, Any]) -> Chosen:
    key, blocks = row.get("key"), row.get("blocks")
    if not isinstance(key, str) or not isinstance(blocks, dict | None):
        raise LoraError("a row of the stack was not understood; load the page again")
    for value in (row.get("weight"), *(blocks or {}).values()):
        if isinstance(value, bool) or not isinstance(value, int | float) or not LOWEST <= value <= HIGHEST:
            raise LoraError(f"a weight of the stack is {value!r}; use a number from {LOWEST:g} to {HIGHEST:g}")
    return Chosen(key, float(row["weight"]), row.get("partial") is True, blocks)


def shown(weight: float) -> str:
    """A weight as people read it: "0.8", "−0.5"."""
    return f"{weight:.4g}".replace("-", "−") if math.isfinite(weight) else "?"
