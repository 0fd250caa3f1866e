"""What to record of an edit, and whether it is there: checked before the run.

In: a `RecordSpec` from the user, `EditTokens` from the family that makes the edit. Out: names and positions that
exist, or a `RecordError`. Knows nothing of tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from mmdit.attention.layout import Stream, TokenLayout
from mmdit.attention.maps import COPIED_FROM, DIRECTIONS, Direction


class RecordError(ValueError):
    """A recording that can't be made; one sentence with the value and the remedy."""


@dataclass(frozen=True)
class RecordSpec:
    """What to keep.

    Args:
        layers: "all", or names or positions of joint-attention modules.
        steps: "mean" over the sampler's steps, "all", or positions from 0.
        directions: of `DIRECTIONS`.
        streams: "all", or names: "target", "reference:0", ….
        heads: "mean" over heads, "all", or positions.
        words: "all" words of the instruction, or some of them; a second "the" is called "the#2".
        patches: target patches (row, column) for which it is also kept where in the references they looked; "all"
            for every one.
        conditional: False to keep the passes without the instruction that guidance makes; words are the negative
            instruction's then.
        dtype: of the store, "float32" or "float16"; means over steps are always summed in float32.
        budget: most bytes that the store may take.
    """

    layers: Literal["all"] | tuple[str | int, ...] = "all"
    steps: Literal["mean", "all"] | tuple[int, ...] = "mean"
    directions: tuple[Direction, ...] = DIRECTIONS
    streams: Literal["all"] | tuple[str, ...] = "all"
    heads: Literal["mean", "all"] | tuple[int, ...] = "mean"
    words: Literal["all"] | tuple[str, ...] = "all"
    patches: Literal["all"] | tuple[tuple[int, int], ...] = ()
    conditional: bool = True
    dtype: Literal["float32", "float16"] = "float32"
    budget: int = 256 * 2**20


@dataclass(frozen=True)
class Pass:
    """Which of a step's transformer calls, and which row of its batch."""

    call: int = 0
    row: int = 0


@dataclass(frozen=True)
class EditTokens:
    """What a family tells about the edit to record.

    Args:
        layout: the joint sequence at every joint attention of the pass that is recorded.
        words: the instruction's words in order, each with its text slots.
        steps: of the sampler.
        calls_per_step: transformer calls of a step, 2 where guidance runs a second one.
        conditional, unconditional: where the passes with and without the instruction are; None where there is none.
        timestep_scale: the transformer's timestep at pure noise.
        telling: (direction, stream) → layers known to find what a word names in this model.
    """

    layout: TokenLayout
    words: tuple[tuple[str, tuple[int, ...]], ...]
    steps: int
    calls_per_step: int = 1
    conditional: Pass = Pass()
    unconditional: Pass | None = None
    timestep_scale: float = 1.0
    telling: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def chosen_layers(spec: RecordSpec, layers: tuple[str, ...]) -> tuple[str, ...]:
    """The layers to record, in the model's order."""
    _check_choice("layers", spec.layers)
    if spec.layers == "all":
        return layers
    chosen = []
    for layer in spec.layers:
        if isinstance(layer, int) and -len(layers) <= layer < len(layers):
            chosen.append(layers[layer])
        elif layer in layers:
            chosen.append(layer)
        else:
            raise RecordError(
                f"there is no layer {layer!r}; the model has {len(layers)}, from {layers[0]!r} to {layers[-1]!r}"
            )
    return tuple(sorted(set(chosen), key=layers.index))


def chosen_words(spec: RecordSpec, tokens: EditTokens) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(unique name, text slots) of the words to keep, in the instruction's order."""
    named, times = [], dict[str, int]()
    for word, slots in tokens.words:
        times[word] = times.get(word, 0) + 1
        named.append((word if times[word] == 1 else f"{word}#{times[word]}", slots))
    names = [name for name, _ in named]
    _check_choice("words", spec.words)
    unknown = [] if spec.words == "all" else [word for word in spec.words if word not in names]
    if unknown:
        raise RecordError(f"the word {unknown[0]!r} is none that the model reads; it reads {', '.join(names)}")
    if not named:
        raise RecordError("the instruction has no word that the model reads; nothing can be recorded")
    for name, slots in named:
        if not slots or min(slots) < 0 or max(slots) >= tokens.layout.text_tokens:
            raise RecordError(
                f"the word {name!r} has text slots {slots} of {tokens.layout.text_tokens}; "
                "this instruction can't be recorded: edit without a record"
            )
    return tuple((name, slots) for name, slots in named if spec.words == "all" or name in spec.words)


def chosen_streams(spec: RecordSpec, layout: TokenLayout) -> tuple[Stream, ...]:
    """The image streams to record, in sequence order."""
    names = [stream.name for stream in layout.streams]
    _check_choice("streams", spec.streams)
    unknown = [] if spec.streams == "all" else [name for name in spec.streams if name not in names]
    if unknown:
        raise RecordError(f"there is no stream {unknown[0]!r}; use {', '.join(names)}")
    return tuple(stream for stream in layout.streams if spec.streams == "all" or stream.name in spec.streams)


def chosen_positions(name: str, wanted: Literal["mean", "all"] | tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """Positions to keep apart; None to average over all of them."""
    if wanted == "mean":
        return None
    if wanted == "all":
        return tuple(range(count))
    wrong = isinstance(wanted, str) or any(not 0 <= position < count for position in wanted)
    if wrong or not wanted:
        raise RecordError(f"{name} is {wanted!r}; use 'mean', 'all', or numbers from 0 to {count - 1}")
    return tuple(sorted(set(wanted)))


def chosen_patches(spec: RecordSpec, layout: TokenLayout) -> tuple[tuple[int, int], ...]:
    """The target patches (row, column) whose reading of the references is recorded."""
    target = layout.streams[0]
    if spec.patches == "all":
        return tuple((row, column) for row in range(target.height) for column in range(target.width))
    for row, column in spec.patches:
        if not (0 <= row < target.height and 0 <= column < target.width):
            raise RecordError(
                f"patch ({row}, {column}) is outside the target's {target.height} rows and {target.width} columns"
            )
    return tuple((int(row), int(column)) for row, column in spec.patches)


def chosen_pass(spec: RecordSpec, tokens: EditTokens) -> Pass:
    """The pass of each step to record."""
    if spec.conditional:
        return tokens.conditional
    if tokens.unconditional is None:
        raise RecordError(
            "conditional is False but this edit has no pass without the instruction that can be recorded; "
            "leave it True, or raise guidance with a model whose guidance compares with such a pass"
        )
    return tokens.unconditional


def check_directions(spec: RecordSpec) -> None:
    """Raises RecordError for an unknown direction, or for none when no patches are recorded either."""
    if not spec.directions and not spec.patches:
        raise RecordError(f"directions is (); use {' or '.join(DIRECTIONS)}, or name patches")
    for direction in spec.directions:
        if direction not in DIRECTIONS:
            raise RecordError(f"direction {direction!r} is unknown; use {' or '.join(DIRECTIONS)}")


def check_budget(spec: RecordSpec, shapes: dict[tuple[str, str], tuple[int, ...]]) -> None:
    """Raises RecordError when stores of these shapes, (steps, layers, heads, words, tokens), exceed the budget, or for
    an unknown dtype.
    """
    if spec.dtype not in ("float32", "float16"):
        raise RecordError(f"dtype is {spec.dtype!r}; use float32 or float16")
    item = 4 if spec.steps == "mean" or spec.dtype == "float32" else 2
    needed = sum(item * prod(shape) for shape in shapes.values())
    if needed > spec.budget:
        steps, layers, heads, *_ = next(iter(shapes.values()))
        rows = {"patches" if what == COPIED_FROM else "words": shape[3] for (what, _), shape in shapes.items()}
        few = " and ".join(f"{count} {name}" for name, count in rows.items())
        raise RecordError(
            f"the recording would take {needed / 2**20:.1f} MiB ({steps} steps × {layers} layers × {heads} heads × "
            f"{few}) but the budget is {spec.budget / 2**20:.1f} MiB; keep fewer of them, use 'mean' for "
            "steps or heads, raise budget, or edit without a record"
        )


def _check_choice(name: str, wanted: str | tuple) -> None:
    if wanted != "all" and (isinstance(wanted, str) or not wanted):
        raise RecordError(f"{name} is {wanted!r}; use 'all' or a tuple of at least one of them")
