"""What a LoRA file would do to a model, told before anything is loaded.

In: a file, the model's Linears by name and shape. Out: a `LoraReport`. Of the file only the header and single numbers
(alpha) are read, so that its size does not matter; NaN among the weights is for whoever loads them to find. Knows no
model and applies nothing.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmdit.lora.architectures import guess_family
from mmdit.lora.fit import NO_MODULE, fit
from mmdit.lora.formats import Pair, methods, read_keys, split_keys
from mmdit.lora.header import LoraError, LoraHeader, file_sha256, read_header

__all__ = ["BlockCount", "LoraError", "LoraHeader", "LoraReport", "LoraTarget", "inspect", "read_header"]

NO_MODEL = "no model"
"""What a file is held against when it looks like nothing that is known."""
SHOWN = 3  # names in a sentence; of more, their number
_BLOCK = re.compile(r"(\w*?blocks)[._](\d+)[._]")
_ALPHA_HINTS = ("network_alpha", "lora_alpha")  # not ss_network_alpha: alone, it is in the weights already
_FLOATING = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
_ADAPTER_METADATA = "lora_adapter_metadata"  # where diffusers keeps peft's configuration
ALPHA_METADATA = ("ss_network_alpha", *_ALPHA_HINTS, _ADAPTER_METADATA)
"""Keys of the metadata that may hold alpha."""
LARGEST_SCALE = (2 - 2**-23) * 2.0**127  # of float32
PEFT_FILES = ("adapter_model.safetensors", "adapter_config.json")  # peft keeps it in a file of its own


@dataclass(frozen=True)
class LoraTarget:
    """A module and what is added to its output: ``scale · up(down(x))``.

    Args:
        down, up: tensor keys of the file: (rank, in), (out, rank).
        rows: the rows [start, stop) of ``up`` that are this module's; None for all.
        scale: alpha / rank, or alpha / √rank where the file says so (rank-stabilised LoRA, arXiv 2312.03732).
    """

    module: str
    down: str
    up: str
    rows: tuple[int, int] | None
    rank: int
    alpha: float
    scale: float


@dataclass(frozen=True)
class BlockCount:
    """How many target modules of one block (``transformer_blocks.0``; "other" for those in none) are what."""

    block: str
    matched: int
    missing: int
    mismatched: int
    unknown: int


@dataclass(frozen=True)
class LoraReport:
    """
    Args:
        name: the file's name without its ending.
        format: see `mmdit.lora.formats.Reading`; of a file without a pair what it is instead, such as LoHa.
        ranks, alphas, scales: distinct values over the file's pairs, sorted.
        alpha_source: in words, where alpha is from; empty where there is no pair.
        dtype: of the file's tensors, as safetensors names it.
        model: what the file was held against.
        targets: what would be applied.
        missing: modules that the file has half a pair for, or leaves out although it has their like in other blocks.
        incomplete: those of ``missing`` with half a pair.
        mismatched: modules whose shapes differ, each with both shapes.
        unknown: what the model lacks, each with what it is when that is no plain pair.
    """

    path: Path
    name: str
    format: str
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    scales: tuple[float, ...]
    alpha_source: str
    dtype: str
    bytes: int
    metadata: dict[str, str]
    model: str
    targets: tuple[LoraTarget, ...]
    missing: tuple[str, ...]
    incomplete: tuple[str, ...]
    mismatched: tuple[str, ...]
    unknown: tuple[str, ...]
    blocks: tuple[BlockCount, ...]
    header: LoraHeader = field(repr=False, compare=False)

    @property
    def whole(self) -> bool:
        """Whether something would be applied, and nothing lost."""
        return bool(self.targets) and not (self.incomplete or self.mismatched or self.unknown)

    @property
    def family(self) -> str:
        """The architecture that the file was made for, or "unknown"."""
        return self._guess[0]

    @property
    def evidence(self) -> str:
        """What the guess and alpha rest on, in one sentence."""
        return "; ".join(filter(None, (self._guess[1], self.alpha_source)))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """What the file holds beside or in place of low-rank pairs, which is recognised and not applied: LoHa, …"""
        return methods(split_keys(self.header.shapes).unknown)

    @cached_property
    def _guess(self) -> tuple[str, str]:
        return guess_family(self.header)

    @cached_property
    def sha256(self) -> str:
        """Of the whole file, in hexadecimal; reads it when first asked for."""
        return file_sha256(self.path)

    def table(self) -> str:
        """The counts of every block as plain text; neighbours with the same counts share a line."""
        names = ("matched", "missing", "mismatched", "unknown")
        runs: list[tuple[str, int, int, tuple[int, ...]]] = []  # stack, first and last block, counts
        for row in self.blocks:
            stack, _, index = row.block.rpartition(".")
            counts = tuple(getattr(row, name) for name in names)
            at = int(index) if stack else -1
            if stack and runs and (runs[-1][0], runs[-1][2], runs[-1][3]) == (stack, at - 1, counts):
                runs[-1] = (stack, runs[-1][1], at, counts)
            else:
                runs.append((stack or row.block, at, at, counts))
        lines = [
            (stack if first < 0 else f"{stack}.{first}" + f"–{last}" * (last > first), *map(str, counts))
            for stack, first, last, counts in runs
        ]
        lines = [("block", *names), *lines]
        wide = max(len(line[0]) for line in lines)
        return "\n".join(
            f"{block:{wide}}  " + "  ".join(f"{count:>{len(name)}}" for count, name in zip(counts, names, strict=True))
            for block, *counts in lines
        )

    @property
    def alpha(self) -> Any:
        """The file's one alpha; a list where it mixes several."""
        return _one_or_list(self.alphas)

    @property
    def scale(self) -> Any:
        """The one scale of its pairs; a list where it mixes several."""
        return _one_or_list(self.scales)

    def as_json(self) -> dict[str, Any]:
        """Everything but the metadata, JSON-ready; rank, alpha and scale are lists only where the file mixes them."""
        listed = {
            "matched": tuple(target.module for target in self.targets), "missing": self.missing,
            "incomplete": self.incomplete, "mismatched": self.mismatched, "unknown": self.unknown,
        }  # fmt: skip
        return {
            "name": self.name, "format": self.format, "family": self.family, "evidence": self.evidence,
            "rank": _one_or_list(self.ranks), "alpha": self.alpha, "scale": self.scale,
            "dtype": self.dtype, "bytes": self.bytes, "sha256": self.sha256, "model": self.model, "whole": self.whole,
            **{what: len(names) for what, names in listed.items()},
            **{f"{what}_names": list(names) for what, names in listed.items()},
            "blocks": [asdict(block) for block in self.blocks],
        }  # fmt: skip

    def loss(self) -> str:
        """What is lost where what fits is applied all the same, in one sentence; empty where nothing is."""
        if self.whole:
            return ""
        return f"{self.path.name} was applied in part: {len(self.targets)} modules match, left out were {self._lost}."

    @property
    def _lost(self) -> str:
        """The modules that are not applied, by what is the matter with them."""
        return "; ".join(
            f"{len(names)} {what} ({_some(names)})"
            for names, what in (
                (self.incomplete, "with half a pair"),
                (self.mismatched, "of another shape"),
                (self.unknown, "that the model does not have or take"),
            )
            if names
        )

    def idle(self) -> str:
        """Which modules are left as they are, as their scale is 0, in one sentence; empty for none."""
        idle = tuple(target.module for target in self.targets if target.scale == 0)
        if not idle:
            return ""
        return f"{len(idle)} of {len(self.targets)} modules have scale 0 and are not changed ({_some(idle)})"

    def refusal(self) -> str:
        """Why the file is not applied whole, and what to do, in one sentence; empty if it is."""
        if self.whole:
            return ""
        why = f"{len(self.targets)} modules match, {self._lost or 'it holds no LoRA'}"
        accept = ", or accept the loss and apply the rest" if self.targets else ""
        if self.methods:
            held = " and ".join(self.methods)
            return f"{self.path.name} holds {held}, which can't be applied: {why}; use a LoRA of low-rank pairs{accept}"
        looks = "" if self.family == "unknown" else f" (this one looks like {self.family})"
        model = "any model that is known here" if self.model == NO_MODEL else self.model
        use = f"use a file that was made for this model{looks}" if self.format != "none" else "use the file of a LoRA"
        return f"{self.path.name} does not fit {model}: {why}; {use}{accept}"


def inspect(
    path: str | Path, modules: Mapping[str, tuple[int, int]], model: str, alpha: float | None = None
) -> LoraReport:
    """Hold a file against a model.

    Args:
        modules: Linear of the model → (out, in).
        model: the model's name, for the report.
        alpha: for pairs whose alpha neither the tensors nor the metadata give.

    Raises:
        LoraError: an unreadable file, pairs of another type than floating-point, or an alpha that is no number
            or too large.
    """
    header = read_header(path)
    reading = read_keys(header.shapes, modules)
    held = fit(reading, header.shapes, modules)
    kinds = {header.dtypes[key] for pair in reading.pairs for key in (pair.down, pair.up) if key}
    if others := sorted(kinds - _FLOATING):
        raise LoraError(f"{header.path.name} holds {', '.join(others)}, which are no weights; get it as BF16 or F16")
    scale_of, source = _scaling(header, alpha)
    pairs = [pair for pair in reading.pairs if pair.down and pair.up and header.shapes[pair.down]]
    scaled = {pair: (header.shapes[pair.down][0], *scale_of(pair)) for pair in pairs}
    sizes = set(scaled.values())
    unknown = {name: name if kind == NO_MODULE else f"{name} ({kind})" for name, kind in held.unknown.items()}
    matched = [pair.module for pair in held.matched]
    return LoraReport(
        path=header.path, name=header.path.stem,
        format=reading.format if reading.pairs else " and ".join(methods(reading.unknown)) or reading.format,
        ranks=_distinct(rank for rank, _, _ in sizes),
        alphas=_distinct(alpha for _, alpha, _ in sizes),
        scales=_distinct(scale for _, _, scale in sizes),
        alpha_source=source if sizes else "",
        dtype=", ".join(sorted(kinds)), bytes=header.bytes, metadata=header.metadata, model=model,
        targets=tuple(LoraTarget(pair.module, pair.down, pair.up, pair.rows, *scaled[pair]) for pair in held.matched),
        missing=held.missing, incomplete=held.incomplete,
        mismatched=tuple(f"{module}: {why}" for module, why in held.mismatched.items()),
        unknown=tuple(unknown.values()),
        blocks=_blocks(modules, matched, held.missing, held.mismatched, held.unknown),
        header=header,
    )  # fmt: skip


def _blocks(modules: Iterable[str], *counted: Iterable[str]) -> tuple[BlockCount, ...]:
    """Counts by block, in the model's order; what the model lacks comes last."""
    counts: dict[str, list[int]] = {_block_of(module): [0] * len(counted) for module in modules}
    for place, names in enumerate(counted):
        for name in names:
            counts.setdefault(_block_of(name), [0] * len(counted))[place] += 1
    return tuple(BlockCount(block, *each) for block, each in counts.items() if any(each))


def _block_of(module: str) -> str:
    found = _BLOCK.match(module)
    return f"{found[1]}.{found[2]}" if found else "other"


# ---- alpha ----


def _scaling(header: LoraHeader, given: float | None) -> tuple[Callable[[Pair], tuple[float, float]], str]:
    """Pair → (alpha, scale), and in words where alpha is from."""
    adapter = _adapter(header)
    patterns = _alpha_patterns(header, adapter.get("alpha_pattern") or {})
    hints = [adapter.get("lora_alpha"), *(header.metadata.get(key) for key in _ALPHA_HINTS)]
    common = next((number for number in map(_finite, hints) if number is not None), given)

    def scale_of(pair: Pair) -> tuple[float, float]:
        rank = header.shapes[pair.down][0]
        stem = pair.down.split(".lora")[0]
        alpha = next((value for name, value in patterns.items() if f".{stem}".endswith(f".{name}")), common)
        if pair.alpha is not None:
            alpha = header.scalars[pair.alpha]
        alpha = float(rank if alpha is None else alpha)
        scale = alpha / max(math.sqrt(rank) if adapter.get("use_rslora") else rank, 1)
        if not abs(scale) <= LARGEST_SCALE:
            raise LoraError(f"{header.path.name} gives alpha {alpha:g} for {pair.module}; it is damaged, get it again")
        return alpha, scale

    if any(key.endswith(".alpha") for key in header.scalars):
        return scale_of, "alpha is in the file"
    if common is not None:
        return scale_of, f"alpha {common:g} is " + ("given with it" if common is given else "in its metadata")
    return scale_of, "no alpha in the file: alpha = rank, scale 1, is assumed"


def _adapter(header: LoraHeader) -> dict[str, Any]:
    """peft's configuration of the transformer's adapter, from the metadata or the file beside; empty without one."""
    text, beside = header.metadata.get(_ADAPTER_METADATA), header.path.with_name(PEFT_FILES[1])
    try:
        if text is None and header.path.name == PEFT_FILES[0] and beside.is_file():
            text = beside.read_text(encoding="utf-8")
        return {name.removeprefix("transformer."): value for name, value in json.loads(text or "{}").items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise LoraError(f"the adapter configuration of {header.path.name} is no JSON object; get it again") from error


def _alpha_patterns(header: LoraHeader, patterns: Any) -> dict[str, float]:
    """End of a module's name → alpha. In peft these are regular expressions; only plain names among them are used."""
    if isinstance(patterns, dict):
        found = {name.removeprefix("^").replace("\\.", "."): _finite(value) for name, value in patterns.items()}
        if all(re.fullmatch(r"[\w.]+", name) and value is not None for name, value in found.items()):
            return found
    raise LoraError(
        f"alpha_pattern of {header.path.name} is {patterns!r:.200}; only numbers by module name can be used"
    )


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


# ---- words ----


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(values)))


def _one_or_list(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
