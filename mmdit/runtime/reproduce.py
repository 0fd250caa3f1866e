"""Making a result again: from its settings back to the request that they came from.

In: the settings that a result's PNG or a bundle holds, and the pictures. Out: an `EditRequest`, or one sentence on why
there is none. Settings may come from anywhere: no path in them is opened, no model in them is loaded.
"""

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mmdit.lora.inspect import LoraError, LoraReport
from mmdit.region import mask_is_lost, region_of
from mmdit.runtime.history import MOST_REFERENCES

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import Editor, EditRequest
    from mmdit.families.strength import Strength
    from mmdit.lora.stack import LoraWeight

NUMBER = (int, float)
ASKED = {
    "instruction": str, "seed": int, "steps": int, "guidance": NUMBER, "size": list, "loras": list, "negative": str,
    "true_guidance": NUMBER, "strength": dict, "denoise": NUMBER, "shift": NUMBER, "resolution": int,
    "reasoning": str, "literally": bool, "guard": str, "region": dict,
}  # fmt: skip
"""What an edit was asked for. The first six are in every result's settings."""
ALWAYS = tuple(ASKED)[:6]
TOLD = {"model": str, "weights": str, "working": list, "references": int, "torch": str, "machine": str, "drift": dict}
"""What else settings tell."""


class ReproduceError(ValueError):
    """A result that can't be made again here; one sentence with the remedy."""


def request_of(settings: Mapping[str, Any], sources: Sequence[Image.Image]) -> "EditRequest":
    """The request that settings came from, with nothing left open; LoRAs by the names that they had.

    Args:
        sources: every picture that was given, the edited one first.

    Raises:
        ReproduceError: not an edit's settings, or other pictures than they count. EditError, LoraError, RegionError: a
            value out of range, or a region whose mask is not in them.
    """
    from mmdit.editor import EditRequest

    _check(settings)
    wanted = 1 + settings.get("references", 0)
    if len(sources) != wanted:
        several = f"{wanted} pictures" if wanted > 1 else "1 picture"
        raise ReproduceError(
            f"the result was made from {several} and {len(sources)} are here; settings do not hold them, so give "
            f"{'the picture' if wanted == 1 else 'them, the edited one first'}"
        )
    given = {name: settings[name] for name in ASKED if name in settings}
    request = EditRequest(
        images=list(sources),
        **given
        | {
            "size": tuple(settings["size"]),
            "loras": [_lora(lora) for lora in settings["loras"]],
            "strength": _strength(settings["strength"]) if "strength" in settings else None,
            "literally": settings.get("literally", False),
            "guard": settings.get("guard", "off"),
            "region": region_of(settings["region"]) if "region" in settings else None,
        },
    )
    request.check()
    return request


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raises ReproduceError, EditError, LoraError or RegionError: settings that no edit of any picture can have had."""
    _check(settings)
    if "region" in settings and not mask_is_lost(settings["region"]):
        region_of(settings["region"])
    of_any_shape = {name: value for name, value in settings.items() if name != "region"}
    request_of(of_any_shape, [Image.new("RGB", (1, 1))] * (1 + settings.get("references", 0)))


def hindrance(settings: Mapping[str, Any]) -> str:
    """Why a result can be looked at but never be made again, in one sentence; empty where nothing is known of that."""
    if mask_is_lost(settings.get("region")):
        return "It can't be made again: its region's mask was too large to be kept with it."
    return ""


def request_for(
    editor: "Editor",
    settings: Mapping[str, Any],
    sources: Sequence[Image.Image],
    loras: Sequence[str | Path] = (),
) -> "EditRequest":
    """The same, held against the editor that is to make it again: its model, and LoRAs with the content they had.

    Args:
        loras: further names or files among which the LoRAs may be.

    Raises:
        ReproduceError: another model, a LoRA that is missing or has another content; also as `request_of`.
    """
    request = request_of(settings, sources)
    _check_model(settings, editor)
    found = [_found(editor, asked, told, loras) for asked, told in zip(request.loras, settings["loras"], strict=True)]
    return replace(request, loras=found)


def circumstances(settings: Mapping[str, Any]) -> str:
    """Why the last bits may come out otherwise here, in one sentence; empty if nothing is known."""
    import torch

    told, here = ((settings.get("torch"), settings.get("machine")), (torch.__version__, platform.machine()))
    if told == here or None in told:
        return ""
    return f"It was made with PyTorch {told[0]} on {told[1]}, here is {here[0]} on {here[1]}"


@dataclass(frozen=True)
class Difference:
    """Of two pictures.

    Args:
        pixels: how many differ, of how many; all of them when the sizes differ.
        largest: of one channel, 0 to 255.
    """

    pixels: int
    of: int
    largest: int

    def sentence(self) -> str:
        if not self.pixels:
            return "It is the same picture, bit for bit"
        return f"It differs in {self.pixels} of {self.of} pixels, by at most {self.largest} of 255"


def difference(one: Image.Image, other: Image.Image) -> Difference:
    """How far two RGB pictures differ."""
    of = one.width * one.height
    if one.size != other.size:
        return Difference(of, of, 255)
    apart = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16)).max(axis=-1)
    return Difference(int(np.count_nonzero(apart)), of, int(apart.max()))


# ---- what settings say


def _check(settings: Mapping[str, Any]) -> None:
    """Raises ReproduceError: something is missing, unknown or of another type."""
    kinds = ASKED | TOLD
    for name in ALWAYS:
        if name not in settings:
            raise ReproduceError(f"these are not the settings of an edit: {name} is missing; use a picture made here")
    for name, value in settings.items():
        if name not in kinds:
            raise ReproduceError(f"the settings say {name[:40]!r}, which this version does not know; use a newer one")
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and kinds[name] is not bool):
            raise ReproduceError(f"{name} is {str(value)[:60]!r} in the settings; they were changed, use the original")
    if len(settings["size"]) != 2 or not 0 <= settings.get("references", 0) <= MOST_REFERENCES:
        raise ReproduceError("the size or the number of pictures in the settings is none; use the original picture")


def _strength(told: dict[str, Any]) -> "Strength":
    from mmdit.families.strength import Strength

    try:
        others = tuple((str(text), float(value)) for text, value in told.get("others", ()))
        return Strength(**told | {"others": others})
    except (TypeError, ValueError) as error:
        raise ReproduceError(f"the strength in the settings is none ({error}); use the original picture") from error


def _lora(told: Any) -> "LoraWeight":
    from mmdit.lora.stack import LoraWeight

    fields = told if isinstance(told, dict) else {}
    right = isinstance(fields.get("name"), str) and isinstance(fields.get("sha256"), str)
    if not right or not isinstance(fields.get("blocks"), dict | None):
        raise ReproduceError(f"{str(told)[:60]!r} is no LoRA in the settings; use the original picture")
    return LoraWeight(fields["name"], fields.get("weight"), fields.get("blocks"))


# ---- what is here


def _check_model(settings: Mapping[str, Any], editor: "Editor") -> None:
    model, weights = settings.get("model", "an unknown model"), settings.get("weights", "")
    if weights == editor.weights:
        return
    if model != editor.entry.name:
        raise ReproduceError(
            f"the result was made with {model[:80]!r} but {editor.entry.name!r} is loaded; load the other"
        )
    raise ReproduceError(
        f"the result was made with other weights of {model[:80]!r} ({weights[:12] or 'unknown'}; loaded are "
        f"{editor.weights[:12]}); load those"
    )


def _found(editor: "Editor", lora: "LoraWeight", told: dict[str, Any], offered: Sequence[str | Path]) -> "LoraWeight":
    """The LoRA under a name that leads to the very file it was."""
    others: list[str] = []
    for candidate in (*_candidates(editor, told), *offered):
        try:
            report = editor.inspect_lora(candidate)
        except LoraError as error:
            others.append(f"{error}")
            continue
        if report.sha256 == told["sha256"]:
            return _as_it_was(editor, lora, candidate, report, told)
        others.append(f"a file of that name has the SHA-256 {report.sha256[:12]}…")
    because = f" ({'; '.join(others[:3])})" if others else ""
    raise ReproduceError(
        f"LoRA {told['name'][:80]!r} with the SHA-256 {told['sha256'][:12]}… is not here{because}; give its file"
    )


def _as_it_was(
    editor: "Editor", lora: "LoraWeight", found: str | Path, report: LoraReport, told: dict[str, Any]
) -> "LoraWeight":
    """The LoRA under that name, with the alpha that it had where the file alone does not give it. Older settings tell
    none. Raises ReproduceError: it is scaled otherwise here all the same.
    """
    lora = replace(lora, name_or_path=found, partial=not report.whole)
    alpha, scale = told.get("alpha"), told.get("scale", report.scale)
    if report.scale == scale:
        return lora
    if isinstance(alpha, float) and math.isfinite(alpha) and editor.inspect_lora(found, alpha).scale == scale:
        return replace(lora, alpha=alpha)
    raise ReproduceError(
        f"LoRA {told['name'][:80]!r} was applied at scale {str(scale)[:60]}, and here it would be at "
        f"{str(report.scale)[:60]}; put back the preset or the adapter_config.json that it had"
    )


def _candidates(editor: "Editor", told: dict[str, Any]) -> Iterator[str | Path]:
    """The preset of that name; or, since a LoRA may have been named by its file, a preset's file of that name."""
    if editor.presets.find(told["name"]) is not None:
        yield told["name"]
        return
    for preset in editor.presets.all:
        if preset.file is not None and preset.file.name == told["name"]:
            yield preset.file
