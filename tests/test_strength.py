"""Textual latent interpolation, held against straight-line arithmetic and against PixelSmile's own slicing."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmdit.families.strength import HIGHEST, LOWEST, METHODS, Method, Strength, TextTokens, aligned, interpolate

CHANNELS = 8
TEMPLATE = ["<start>", "user", "<picture>", "<picture>"]
TAIL = ["expression", "<end>", "\n", "<start>", "assistant", "\n"]  # the six tokens that PixelSmile counts from the end
VOCABULARY: dict[str, int] = {}


def ids(words: Sequence[str]) -> Tensor:
    return torch.tensor([VOCABULARY.setdefault(word, len(VOCABULARY)) for word in words])


def encoded(words: Sequence[str], padded_to: int | None = None, left: bool = False, dtype=torch.float32) -> TextTokens:
    """Embeddings that depend on everything before, as those of a text encoder that reads from left to right do."""
    draw = torch.Generator().manual_seed(0)
    meaning = torch.randn(1000, CHANNELS, generator=draw, dtype=torch.float64)
    pads = 0 if padded_to is None else padded_to - len(words)
    shown = [*["<pad>"] * (pads if left else 0), *words, *["<pad>"] * (0 if left else pads)]
    mask = torch.tensor([word != "<pad>" for word in shown])
    embeddings = (meaning[ids(shown)].cumsum(dim=0) / 3).sin().to(dtype)
    return TextTokens(embeddings, ids(shown), None if padded_to is None else mask)


def sentence(word: str) -> list[str]:
    return [*TEMPLATE, "show", "a", word, *TAIL]


def equal(one: Tensor, other: Tensor) -> bool:
    """Bit for bit: also the sign of zero."""
    return one.dtype == other.dtype and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


# ---- the formula ----


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.25, 1.0, 1.7, 3.0])
def test_it_is_the_formula(value: float) -> None:
    neutral, happy = encoded(sentence("neutral")), encoded(sentence("happy"))
    found = interpolate(neutral, [(happy, value)])
    for slot in range(len(neutral.ids)):
        for channel in range(CHANNELS):
            at_rest, there = neutral.embeddings[slot, channel].item(), happy.embeddings[slot, channel].item()
            assert found[slot, channel].item() == pytest.approx(at_rest + value * (there - at_rest), abs=1e-6)


@pytest.mark.parametrize("strengths", [(0.5, 0.5), (1.0, 1.0, -1.0), (0.0, 2.0), (1.4, 0.0)])
def test_a_blend_is_the_sum_of_the_ways(strengths: tuple[float, ...]) -> None:
    neutral = encoded(sentence("neutral"))
    texts = [encoded(sentence(word)) for word in ("happy", "sad", "shy")[: len(strengths)]]
    wanted = neutral.embeddings.double()
    for text, strength in zip(texts, strengths, strict=True):
        wanted = wanted + strength * (text.embeddings.double() - neutral.embeddings.double())
    found = interpolate(neutral, list(zip(texts, strengths, strict=True)))
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_ends_are_exact(dtype: torch.dtype) -> None:
    neutral, happy, sad = (encoded(sentence(word), dtype=dtype) for word in ("neutral", "happy", "sad"))
    happy.embeddings[0] = -0.0
    neutral.embeddings[1] = -0.0
    for others in ([], [(sad, 0.0)]):
        assert equal(interpolate(neutral, [(happy, 1.0), *others]), happy.embeddings)
        assert equal(interpolate(neutral, [(happy, 0.0), *others]), neutral.embeddings)
    for method in METHODS:
        assert equal(interpolate(neutral, [(happy, 1.0)], method), happy.embeddings)
    assert interpolate(neutral, [(happy, 0.4)]).dtype == dtype


def test_low_precision_is_rounded_once() -> None:
    neutral, happy = (
        encoded(sentence("neutral"), dtype=torch.bfloat16),
        encoded(sentence("happy"), dtype=torch.bfloat16),
    )
    wanted = neutral.embeddings.float() + 1.3 * (happy.embeddings.float() - neutral.embeddings.float())
    assert equal(interpolate(neutral, [(happy, 1.3)]), wanted.bfloat16())


def test_nothing_that_was_given_is_changed_or_given_back() -> None:
    neutral, happy = encoded(sentence("neutral")), encoded(sentence("happy"))
    kept = neutral.embeddings.clone(), happy.embeddings.clone()
    for method in METHODS:
        for value in (0.0, 0.5, 1.0):
            interpolate(neutral, [(happy, value)], method).fill_(7)
    assert equal(neutral.embeddings, kept[0]) and equal(happy.embeddings, kept[1])


def test_a_vector_of_a_whole_text() -> None:
    draw = torch.Generator().manual_seed(1)
    neutral, happy, sad = (TextTokens(torch.randn(CHANNELS, generator=draw)) for _ in range(3))
    wanted = neutral.embeddings + 1.5 * (happy.embeddings - neutral.embeddings)
    torch.testing.assert_close(interpolate(neutral, [(happy, 1.5)]), wanted)
    torch.testing.assert_close(interpolate(neutral, [(happy, 1.5)], "changed"), wanted)
    wanted += -0.5 * (sad.embeddings - neutral.embeddings)
    torch.testing.assert_close(interpolate(neutral, [(happy, 1.5), (sad, -0.5)]), wanted)
    assert equal(interpolate(neutral, [(happy, 1.0)]), happy.embeddings)
    assert equal(interpolate(neutral, [(happy, 0.0)]), neutral.embeddings)
    assert equal(interpolate(neutral, [(happy, 2.0)], "scaled"), happy.embeddings)


# ---- PixelSmile's variants, in its own terms: slot -7 is the expression's word ----


def as_in_pixelsmile(method: Method, neutral: Tensor, target: Tensor, score: float) -> Tensor:
    slots = {"all": slice(None), "from_changed": slice(-7, None), "after_changed": slice(-6, None)}
    found = target.clone()
    taking_part = slots.get(method, slice(-7, -6))
    at_rest = torch.zeros_like(neutral) if method == "scaled" else neutral
    found[taking_part] = at_rest[taking_part] + score * (target[taking_part] - at_rest[taking_part])
    return found


@pytest.mark.parametrize("score", [0.0, 0.4, 1.0, 1.5])
@pytest.mark.parametrize("method", METHODS)
def test_the_variants_are_those_of_pixelsmile(method: Method, score: float) -> None:
    neutral, angry = encoded(sentence("neutral")), encoded(sentence("angry"))
    wanted = as_in_pixelsmile(method, neutral.embeddings, angry.embeddings, score)
    torch.testing.assert_close(interpolate(neutral, [(angry, score)], method), wanted)


def test_reading_from_left_to_right_makes_two_variants_the_same() -> None:
    neutral, angry = encoded(sentence("neutral")), encoded(sentence("angry"))
    everywhere, from_the_word = (interpolate(neutral, [(angry, 1.6)], method) for method in ("all", "from_changed"))
    torch.testing.assert_close(everywhere, from_the_word)


@pytest.mark.parametrize("left", [True, False])
def test_the_variants_with_padding_and_words_of_several_tokens(left: bool) -> None:
    neutral = encoded([*TEMPLATE, "no", "mood", *TAIL], 20, left)
    target = encoded([*TEMPLATE, "dis", "gust", "ed", *TAIL], 20, left)
    first = next(slot for slot, token in enumerate(target.ids.tolist()) if token == VOCABULARY["dis"])
    changing = {
        "all": set(range(20)),
        "from_changed": set(range(first, 20)),
        "after_changed": set(range(first + 3, 20)),
        "changed": {first, first + 1, first + 2},
        "scaled": {first, first + 1, first + 2},
    }
    for method in METHODS:
        found = interpolate(neutral, [(target, 2.5)], method)
        differs = (found != target.embeddings).any(dim=1).nonzero().flatten().tolist()
        assert set(differs) <= changing[method]
        if method != "all":  # to which the slots before the change belong as well, with a difference of nothing
            apart = [slot for slot in changing[method] if target.ids[slot] != VOCABULARY["<pad>"]]
            assert set(differs) >= set(apart)


# ---- alignment ----


def test_a_run_of_another_length_is_read_by_shares() -> None:
    """Three slots read five: each the mean over its third of them, 5/3 wide."""
    target, source = encoded([*TEMPLATE, "a", "b", "c", *TAIL]), encoded([*TEMPLATE, "v", "w", "x", "y", "z", *TAIL])
    v, w, x, y, z = source.embeddings[4:9]
    found = aligned(source, target)
    assert equal(found[:4], source.embeddings[:4]) and equal(found[-6:], source.embeddings[-6:])
    third = 5 / 3
    torch.testing.assert_close(found[4], (v + w * 2 / 3) / third)
    torch.testing.assert_close(found[5], (w / 3 + x + y / 3) / third)
    torch.testing.assert_close(found[6], (y * 2 / 3 + z) / third)


def test_a_longer_run_reads_a_shorter_one() -> None:
    target, source = encoded([*TEMPLATE, "a", "b", "c", *TAIL]), encoded([*TEMPLATE, "y", "z", *TAIL])
    found = aligned(source, target)
    y, z = source.embeddings[4:6]
    torch.testing.assert_close(found[4:7], torch.stack([y, (y + z) / 2, z]))
    one = encoded([*TEMPLATE, "z", *TAIL])
    torch.testing.assert_close(aligned(one, target)[4:7], one.embeddings[4].expand(3, -1))


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_word_that_only_the_instruction_has_reads_its_neighbours(where: str) -> None:
    common = ["the", "red", "cat"]
    place = {"start": 0, "middle": 2, "end": 3}[where]
    source, target = encoded(common), encoded([*common[:place], "very", *common[place:]])
    found = aligned(source, target)
    neighbours = source.embeddings[max(place - 1, 0) : place + 1]
    torch.testing.assert_close(found[place], neighbours.mean(dim=0))
    assert equal(torch.cat([found[:place], found[place + 1 :]]), source.embeddings)


def test_a_word_that_only_the_neutral_text_has_finds_no_slot() -> None:
    source, target = encoded(["the", "very", "red", "cat"]), encoded(["the", "red", "cat"])
    assert equal(aligned(source, target), source.embeddings[[0, 2, 3]])


def test_a_repeated_word_belongs_to_the_beginning() -> None:
    source, target = encoded(["very", "red"]), encoded(["very", "very", "red"])
    found = aligned(source, target)
    assert equal(found[[0, 2]], source.embeddings)


def test_equal_lengths_are_aligned_slot_by_slot() -> None:
    one, other = encoded(["the", "a", "b", "cat"]), encoded(["red", "the", "a", "dog"])
    assert equal(aligned(one, other), one.embeddings)


def test_texts_with_nothing_in_common() -> None:
    found = aligned(encoded(["a", "b"]), encoded(["v", "w", "x", "y"]))
    a, b = encoded(["a", "b"]).embeddings
    torch.testing.assert_close(found, torch.stack([a, a, b, b]))


@pytest.mark.parametrize("left", [True, False])
def test_padding_is_no_part_of_the_text(left: bool) -> None:
    source = encoded(["the", "very", "red", "cat"], 8, left)
    target = encoded(["the", "red", "cat"], 8, left)
    found = aligned(source, target)
    tokens, paddings = source.embeddings[source.slots], source.embeddings[source.padding]
    assert equal(found[target.slots], tokens[[0, 2, 3]])
    nearest = [0, *range(4)] if not left else [*range(4), 3]
    assert equal(found[target.padding], paddings[nearest])


def test_every_slot_reads_a_mean() -> None:
    """Whatever the texts: rows of weights are not negative and sum to 1, so that a constant stays itself."""
    draw = torch.Generator().manual_seed(3)
    for _ in range(200):
        lengths = torch.randint(1, 12, (2,), generator=draw).tolist()
        one, other = (torch.randint(0, 4, (length,), generator=draw) for length in lengths)
        masks = [torch.rand(length, generator=draw) < 0.7 for length in lengths]
        if not all(mask.any() for mask in masks):
            continue
        source = TextTokens(torch.ones(len(one), 2), one, masks[0])
        torch.testing.assert_close(
            aligned(source, TextTokens(torch.ones(len(other), 2), other, masks[1])), torch.ones(len(other), 2)
        )
        source = replace(source, embeddings=torch.rand(len(one), 2, generator=draw))
        found = aligned(source, TextTokens(torch.ones(len(other), 2), other, masks[1]))
        assert found.min() >= source.embeddings.min() - 1e-6 and found.max() <= source.embeddings.max() + 1e-6


def test_the_instruction_keeps_its_length_and_its_dtype() -> None:
    neutral, target = (
        encoded(sentence("neutral")),
        encoded([*TEMPLATE, "turn", "it", "all", "blue", "<end>"], dtype=torch.bfloat16),
    )
    for method in METHODS:
        found = interpolate(neutral, [(target, 1.5)], method)
        assert found.shape == target.embeddings.shape and found.dtype == torch.bfloat16
        assert equal(interpolate(neutral, [(target, 1.0)], method), target.embeddings)


def test_texts_of_other_lengths_are_blended_in_the_instructions_slots() -> None:
    neutral, happy, other = encoded(sentence("neutral")), encoded(sentence("happy")), encoded([*TEMPLATE, "be", *TAIL])
    wanted = neutral.embeddings + 0.5 * (happy.embeddings - neutral.embeddings)
    wanted = wanted + 0.7 * (aligned(other, happy) - neutral.embeddings)
    torch.testing.assert_close(interpolate(neutral, [(happy, 0.5), (other, 0.7)]), wanted)


# ---- what can't be ----


@pytest.mark.parametrize(
    ("strength", "sentence"),
    [
        (Strength(" "), "neutral instruction is ' '"),
        (Strength("keep it", 3.1), r"3\.1; it must be a number from -1 to 3"),
        (Strength("keep it", math.nan), "nan"),
        (Strength("keep it", True), "True"),
        (Strength("keep it", "1"), "'1'"),
        (Strength("keep it", 1.0, (("be sad", -1.5),)), r"'be sad' is -1\.5"),
        (Strength("keep it", 1.0, (("be sad", 1.0), ("", 1.0))), "instruction 2 is ''"),
        (Strength("keep it", method="score_one"), "'score_one'; use one of all, from_changed"),
        (Strength("keep it", 1.0, (("be sad", 1.0),), "scaled"), "blends nothing; use 'all'"),
    ],
)
def test_what_is_out_of_range_is_told(strength: Strength, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        strength.check()


@pytest.mark.parametrize("value", [LOWEST, 0, 1, HIGHEST])
def test_what_is_in_range_passes(value: float) -> None:
    strength = Strength("keep it", value, (("be sad", LOWEST), ("be shy", HIGHEST)))
    strength.check()
    assert strength.targets("be happy") == (("be happy", value), ("be sad", LOWEST), ("be shy", HIGHEST))
    Strength("keep it", value, method="scaled").check()


def test_texts_that_do_not_match_are_refused() -> None:
    short, long = encoded(["a"]), encoded(["a", "b"])
    wide = TextTokens(torch.ones(1, CHANNELS + 1), ids(["a"]))
    with pytest.raises(ValueError, match=r"\(1, 8\), \(1, 9\)"):
        interpolate(short, [(wide, 1.0)])
    with pytest.raises(ValueError, match="one encoder"):
        interpolate(TextTokens(torch.ones(CHANNELS)), [(short, 1.0)])
    with pytest.raises(ValueError, match="no target"):
        interpolate(short, [])
    with pytest.raises(ValueError, match="'scaled' for 2 targets"):
        interpolate(short, [(short, 1.0), (long, 1.0)], "scaled")
    with pytest.raises(ValueError, match="'some'"):
        interpolate(short, [(short, 1.0)], "some")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((torch.ones(2, 3), torch.ones(3)), r"\(2, 3\), \(3,\)"),
        ((torch.ones(2, 3), torch.ones(2), torch.ones(3)), r"\(3,\)"),
        ((torch.ones(2, 3), None), "None"),
        ((torch.ones(1, 2, 3), torch.ones(1)), r"\(1, 2, 3\)"),
        ((torch.ones(2, 3), torch.ones(2), torch.zeros(2)), "padding"),
        ((torch.ones(0, 3), torch.ones(0)), "at least one token"),
    ],
)
def test_texts_that_are_none_are_refused(parts: tuple, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TextTokens(*parts)
