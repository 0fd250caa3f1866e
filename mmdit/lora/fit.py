"""A LoRA's pairs held against a model, by names and shapes alone.

In: a `Reading`, the file's shapes, the model's Linears. Out: a `Fit`: what would be applied and what would not. Knows
no file and no report.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mmdit.lora.formats import Pair, Reading, describe

NO_MODULE = "no such module"


@dataclass(frozen=True)
class Fit:
    """
    Args:
        matched: whole pairs that fit their module.
        incomplete: modules of which the file has half a pair.
        missing: those, and modules that the file leaves out although it has their like in other blocks.
        mismatched: module → in words, what does not fit.
        unknown: what the model lacks → in words, what the file holds for it; `NO_MODULE` for a pair.
    """

    matched: tuple[Pair, ...]
    incomplete: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: dict[str, str]
    unknown: dict[str, str]


def fit(reading: Reading, shapes: Mapping[str, tuple[int, ...]], modules: Mapping[str, tuple[int, int]]) -> Fit:
    """Hold the pairs against the model.

    Args:
        shapes: tensor key of the file → shape.
        modules: Linear of the model → (out, in).
    """
    by_module: dict[str, list[Pair]] = {}
    split: dict[str | None, int] = {}  # rows of a shared `up` that its modules take together
    for pair in reading.pairs:
        by_module.setdefault(pair.module, []).append(pair)
        if pair.rows is not None:
            split[pair.up] = max(split.get(pair.up, 0), pair.rows[1])
    matched, incomplete, mismatched, unknown = [], [], {}, {}
    for module, (pair, *more) in by_module.items():
        if module not in modules:
            unknown[module] = NO_MODULE
        elif more:
            mismatched[module] = "the file has two pairs for it"
        elif pair.down is None or pair.up is None:
            incomplete.append(module)
        elif why := _mismatch(shapes[pair.down], shapes[pair.up], modules[module], pair.rows, split.get(pair.up)):
            mismatched[module] = why
        else:
            matched.append(pair)
    lone = [describe(key) for key in reading.unknown]
    for name, kind in sorted(lone, key=lambda found: found[1].startswith("alpha")):  # an alpha of a LoKr is a LoKr's
        unknown.setdefault(name, kind)
    kinds = {_kind(pair.module) for pair in matched}
    left_out = [module for module in modules if module not in by_module and _kind(module) in kinds]
    return Fit(tuple(matched), tuple(incomplete), (*incomplete, *left_out), mismatched, unknown)


def _kind(module: str) -> tuple[str, str]:
    """What a module is, whichever block it is in."""
    stack, _, rest = module.partition(".")
    index, _, part = rest.partition(".")
    return (stack, part) if index.isdigit() else (module, "")


def _mismatch(
    down: tuple[int, ...],
    up: tuple[int, ...],
    linear: tuple[int, int],
    rows: tuple[int, int] | None,
    split: int | None,
) -> str:
    if len(down) != 2 or len(up) != 2:
        return f"the file's tensors are {down} and {up}, not two matrices"
    if down[0] != up[1] or not down[0]:
        return f"the file's pair {down} and {up} has no common rank"
    if rows is not None and up[0] != split:
        return f"the file's fused pair has {up[0]} rows, the model's layers {split} together"
    out = up[0] if rows is None else rows[1] - rows[0]
    if (out, down[1]) != linear:
        return f"the file's pair is {down[1]} → {out}, the model's layer {linear[1]} → {linear[0]}"
    return ""
