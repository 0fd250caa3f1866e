"""How strongly an instruction is followed: textual latent interpolation, as pure arithmetic on token embeddings.

In go the embeddings of a neutral text and of the instruction, with their token ids; out come embeddings that have the
instruction's length, slot by slot, so that its words stay where they were:

    e = e_neutral + s · (e_instruction − e_neutral) + Σ sᵢ · (e_otherᵢ − e_neutral)

It comes from PixelSmile (arXiv 2603.25728, `pixelsmile/linear_conditioning.py` of github.com/Ammmob/PixelSmile), whose
texts differ in one token and so have one length. Its variants differ in the slots that take part, the others keep the
instruction's own embeddings:

    here             there              slots
    all              score_one_all      every one; the one that PixelSmile trained with and the default
    from_changed     score_one          from the first changed one to the end: the same as `all` for text encoders
                                        that read from left to right, up to rounding
    after_changed    score_one_exp      those after the changed ones, which hold the words' effect on what follows
    changed          score_one_tgt      the changed ones
    scaled           score_scale        the changed ones, times s; of the neutral text only the place is used

Blends are in the paper alone: its code names a `score_multi_all` and has none.

The embedded editor can mix the edits themselves instead (`EDITS`, see `mini_strength.py`).

Knows no text encoder and no pipeline. Axes: T text slots, C channels of an embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

Method = Literal["all", "from_changed", "after_changed", "changed", "scaled"]
METHODS: tuple[Method, ...] = get_args(Method)
EDITS = "edits"
"""The method that mixes no texts but what is made of each; of families with `Traits.mixes_edits`, whose own it is."""

LOWEST, HIGHEST = -1.0, 3.0
"""-1 is the mirror image of the instruction at the neutral text. Up to about 1.5 PixelSmile exaggerates; its ComfyUI
node ends at 3, where embeddings are three times as far from neutral as anything that a model was trained on."""


@dataclass(frozen=True)
class Strength:
    """How strongly an instruction is followed, relative to a neutral one.

    Args:
        neutral: the instruction that stands for "no change", best in the words of the instruction but for what is
            to be scaled: "show a neutral expression" for "show a happy expression".
        value: s of the instruction, -1 to 3: 0 is the neutral text, 1 the instruction, beyond 1 more than it says,
            below 0 its opposite.
        others: further instructions that are blended in, each with its own s.
        method: which text slots take part, or `EDITS`; None for the family's own, which is "all" but for those that
            mix edits.
    """

    neutral: str
    value: float = 1.0
    others: tuple[tuple[str, float], ...] = ()
    method: Method | Literal["edits"] | None = None

    def check(self) -> None:
        """Raises ValueError: an empty text, a number out of range or an unknown method, with the remedy."""
        _check_text("the neutral instruction", self.neutral, 'say what stands for no change: "keep it as it is"')
        _check_number("the strength", self.value)
        for number, (text, value) in enumerate(self.others, start=1):
            _check_text(f"blended instruction {number}", text, "say what to do, or leave it out")
            _check_number(f"the strength of {text!r}", value)
        if self.method not in (None, EDITS, *METHODS):
            raise ValueError(f"the method of strength is {self.method!r}; use one of {', '.join((*METHODS, EDITS))}")
        if self.method == "scaled" and self.others:
            raise ValueError("the method of strength is 'scaled', which blends nothing; use 'all' to blend")

    @property
    def text_method(self) -> Method:
        """How texts are mixed, where they are."""
        return "all" if self.method in (None, EDITS) else self.method

    def targets(self, instruction: str) -> tuple[tuple[str, float], ...]:
        """(text, s) of every text to encode besides the neutral one, the instruction first."""
        return ((instruction, self.value), *self.others)


@dataclass(frozen=True, eq=False)
class TextTokens:
    """One encoded text: token by token, or as one vector for the whole of it (CLIP's pooled one).

    Args:
        embeddings: (T, C), or (C,) of the whole text; floating point.
        ids: (T,), the token that stands in each slot; None for a vector of the whole text.
        mask: (T,), true where a token of the text stands and not padding; None for everywhere.

    Raises:
        ValueError: shapes that don't belong together, or nothing but padding.
    """

    embeddings: Tensor
    ids: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = [None if part is None else tuple(part.shape) for part in (self.embeddings, self.ids, self.mask)]
        count = shapes[0][:1]
        is_whole = self.embeddings.ndim == 1 and self.ids is None and self.mask is None
        is_tokens = self.embeddings.ndim == 2 and shapes[1] == count and shapes[2] in (None, count)
        if not (is_whole or is_tokens):
            raise ValueError(
                f"embeddings, ids and mask have the shapes {shapes}; give (T, C), (T,) and (T,) or None, or (C,) alone"
            )
        if is_tokens and not self.slots:
            raise ValueError(f"all {count[0]} text slots are padding; give a text of at least one token")

    @cached_property
    def slots(self) -> list[int]:
        """Where tokens of the text stand, in order."""
        return list(range(len(self.ids))) if self.mask is None else self.mask.bool().nonzero().flatten().tolist()

    @cached_property
    def padding(self) -> list[int]:
        """The other slots, in order."""
        return sorted(set(range(len(self.ids))) - set(self.slots))

    @cached_property
    def tokens(self) -> list[int]:
        """The ids of the text without padding."""
        ids = self.ids.tolist()
        return [ids[slot] for slot in self.slots]


def interpolate(neutral: TextTokens, targets: Sequence[tuple[TextTokens, float]], method: Method = "all") -> Tensor:
    """Embeddings of the first target, followed with its strength and blended with the other targets.

    They have the first target's shape, slots and dtype; the sum is made in float32. A single target of strength 1
    comes back bit for bit, and so does the neutral text for strength 0 where both have the same slots. Vectors of a
    whole text have no slots: every method interpolates them, but "scaled" leaves the first target's as it is.

    Args:
        targets: (encoded text, s), the instruction first; all token by token, or all as vectors of the whole text.

    Raises:
        ValueError: no target, embeddings that don't match, an unknown method, or a blend under "scaled".
    """
    _check_matching(neutral, targets, method)
    instruction, strength = targets[0]
    embeddings, is_whole = instruction.embeddings, instruction.ids is None
    if method == "scaled":
        mixed = _precise(embeddings) * (1.0 if is_whole else strength)
    else:
        mixed = _mix(aligned(neutral, instruction), [(aligned(text, instruction), s) for text, s in targets])
    mixed = mixed.to(embeddings.dtype, copy=True)
    if is_whole or method == "all":
        return mixed
    return torch.where(_taking_part(neutral, instruction, method)[:, None], mixed, embeddings)


def aligned(source: TextTokens, onto: TextTokens) -> Tensor:
    """What the source text says at each slot of another one: float32 (T of ``onto``, C).

    Texts with the same slots are aligned slot by slot. Otherwise the tokens that both begin with and those that both
    end with stand for each other, by id. What is left between is one run in each text: a slot of the one run reads
    the mean of the other over the same share of its length, so that nothing of a longer run is left out. Where the
    source has nothing between, the slot reads the mean of its two neighbours there; what the source says where the
    other has nothing finds no slot. Padding stands for the padding at its own place, or the nearest to it. A vector
    of a whole text stays as it is.
    """
    embeddings = _precise(source.embeddings)
    if source.ids is None or (len(source.ids) == len(onto.ids) and source.slots == onto.slots):
        return embeddings
    return _alignment(source, onto).to(embeddings) @ embeddings


def _alignment(source: TextTokens, onto: TextTokens) -> Tensor:
    """(T of ``onto``, T of the source): how much each slot reads of each; rows sum to 1."""
    weights = torch.zeros(len(onto.ids), len(source.ids), dtype=torch.float64)
    before, after = _common_ends(source.tokens, onto.tokens)
    ours, theirs = len(onto.slots) - after, len(source.slots) - after
    for slot, other in zip(onto.slots[:before], source.slots[:before], strict=True):
        weights[slot, other] = 1
    for slot, other in zip(onto.slots[ours:], source.slots[theirs:], strict=True):
        weights[slot, other] = 1
    run, other_run = onto.slots[before:ours], source.slots[before:theirs]
    if run:
        if not other_run:
            other_run = source.slots[max(before - 1, 0) : before + 1]
            shares = torch.full((len(run), len(other_run)), 1 / len(other_run), dtype=torch.float64)
        else:
            shares = _overlaps(len(run), len(other_run))
        weights[torch.tensor(run)[:, None], torch.tensor(other_run)[None]] = shares
    padding = torch.tensor(onto.padding, dtype=torch.long)
    candidates = torch.tensor(source.padding or range(len(source.ids)))
    nearest = (padding[:, None] - candidates[None]).abs().argmin(dim=1)
    weights[padding, candidates[nearest]] = 1
    return weights


def _overlaps(parts: int, others: int) -> Tensor:
    """(parts, others): two equal lengths are cut into so many equal pieces; the share of each piece in each other."""
    starts = torch.arange(parts, dtype=torch.float64)[:, None] * others / parts
    ends = torch.arange(1, parts + 1, dtype=torch.float64)[:, None] * others / parts
    edges = torch.arange(others, dtype=torch.float64)[None]
    return (torch.minimum(ends, edges + 1) - torch.maximum(starts, edges)).clamp_(min=0) * parts / others


def _common_ends(one: list[int], other: list[int]) -> tuple[int, int]:
    """How many tokens both texts begin with, and how many of the rest they both end with."""
    shorter = min(len(one), len(other))
    before = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    left = shorter - before
    after = next((i for i in range(left) if one[-1 - i] != other[-1 - i]), left)
    return before, after


def _taking_part(neutral: TextTokens, instruction: TextTokens, method: Method) -> Tensor:
    """(T,), true at the slots of the instruction that the method changes."""
    before, after = _common_ends(neutral.tokens, instruction.tokens)
    edges = [*instruction.slots, instruction.slots[-1] + 1]
    first, past = edges[before], edges[len(instruction.slots) - after]
    slots = torch.arange(len(instruction.ids), device=instruction.embeddings.device)
    if method == "after_changed":
        return slots >= past
    return (slots >= first) & ((slots < past) | (method == "from_changed"))


def _mix(neutral: Tensor, targets: Sequence[tuple[Tensor, float]]) -> Tensor:
    """neutral + Σ s · (target − neutral), all float32 and of one shape; exact where nothing needs to be added."""
    (first, strength), *others = targets
    exact = {0.0: neutral, 1.0: first}  # the sum would round
    mixed = exact[strength] if strength in exact else neutral + strength * (first - neutral)
    for target, strength in others:
        if strength != 0:
            mixed = mixed + strength * (target - neutral)
    return mixed


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_matching(neutral: TextTokens, targets: Sequence[tuple[TextTokens, float]], method: Method) -> None:
    if not targets:
        raise ValueError("no target was given; give the encoded instruction and its strength")
    if method not in METHODS:
        raise ValueError(f"the method of strength is {method!r}; use one of {', '.join(METHODS)}")
    if method == "scaled" and len(targets) > 1:
        raise ValueError(f"the method of strength is 'scaled' for {len(targets)} targets; give one, or use 'all'")
    texts = [neutral, *(text for text, _ in targets)]
    if len({(text.embeddings.ndim, text.embeddings.shape[-1]) for text in texts}) > 1:
        shapes = [tuple(text.embeddings.shape) for text in texts]
        raise ValueError(f"the texts' embeddings have the shapes {shapes}; give texts of one encoder")


def _check_text(name: str, text: str, remedy: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} is {text!r}; {remedy}")


def _check_number(name: str, value: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not LOWEST <= value <= HIGHEST:
        raise ValueError(f"{name} is {value!r}; it must be a number from {LOWEST:g} to {HIGHEST:g}")
