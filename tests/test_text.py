"""From an instruction to features: words, padding, truncation, files."""

import itertools
from pathlib import Path

import pytest
import torch

from mmdit.model.text import MAX_TOKENS, VOCABULARY_FILE, TextEncoder, normalise


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Make the CAT blue!", "make the cat blue"),
        ("  many \t spaces\nand lines  ", "many spaces and lines"),
        ("don’t", "don't"),
        ("black-and-white", "black-and-white"),
        ("ｆｕｌｌ width", "full width"),
        ("a_b", "a b"),
        ("what?! (really) … yes.", "what really yes"),
        ("ﬁx it", "fix it"),
        ("café ÜBER", "café über"),
        ("猫を青に", "猫を青に"),
        ("", ""),
        ("?!…", ""),
        ("\x00\u200b🐱", ""),
    ],
)
def test_normalise(instruction: str, expected: str) -> None:
    assert normalise(instruction) == expected
    assert normalise(expected) == expected


@pytest.mark.parametrize(
    "instruction",
    [
        "make the cat blue",
        "don't remove the sailboat please",
        "black-and-white",
        "photosynthesising zzyzxqj umbrellas",
        "rock'n'roll 1234567 cats",
        "naïve café",
        "猫を青に",
    ],
)
def test_words_cover_the_tokens_without_gap_and_spell_the_instruction(
    text_encoder: TextEncoder, instruction: str
) -> None:
    encoded = text_encoder.encode([instruction])
    words = encoded.words[0]
    assert [word for word, _ in words] == normalise(instruction).split()
    assert words[0][1].start == 0
    for (_, before), (_, after) in itertools.pairwise(words):
        assert before.stop == after.start
    assert words[-1][1].stop == int(encoded.mask[0].sum())
    assert encoded.truncated == ((),)


def test_word_pieces_of_one_word_share_its_span(text_encoder: TextEncoder) -> None:
    pieces = text_encoder.tokenizer.encode("photosynthesising", add_special_tokens=False).ids
    assert len(pieces) > 1
    ((word, span),) = text_encoder.encode(["photosynthesising"]).words[0]
    assert (word, span) == ("photosynthesising", slice(0, len(pieces)))


def test_what_is_beyond_the_limit_is_reported(text_encoder: TextEncoder) -> None:
    read = ["cat"] * MAX_TOKENS
    encoded = text_encoder.encode([" ".join([*read, "and", "a", "dog"]), " ".join(read)])
    assert encoded.features.shape[1] == MAX_TOKENS
    assert [word for word, _ in encoded.words[0]] == read
    assert encoded.truncated == (("and", "a", "dog"), ())
    assert encoded.mask.all()


def test_a_word_cut_in_its_middle_counts_as_not_read(text_encoder: TextEncoder) -> None:
    read = ["cat"] * (MAX_TOKENS - 1)
    encoded = text_encoder.encode([" ".join([*read, "photosynthesising"])])
    assert [word for word, _ in encoded.words[0]] == read
    assert encoded.truncated == (("photosynthesising",),)


def test_padding_slots_are_zero_and_masked(text_encoder: TextEncoder) -> None:
    encoded = text_encoder.encode(["blue", "make the big cat blue", ""], slots=9)
    assert encoded.features.shape == (3, 9, text_encoder.channels)
    assert encoded.mask.sum(dim=1).tolist() == [1, 5, 0]
    assert (encoded.features[~encoded.mask] == 0).all()
    assert (encoded.features[encoded.mask].abs().sum(dim=-1) > 0).all()
    assert (encoded.mask.int().diff(dim=1) <= 0).all()  # real tokens first


@pytest.mark.parametrize("slots", [None, 16])
def test_an_instruction_is_encoded_alike_alone_and_in_a_batch(text_encoder: TextEncoder, slots: int | None) -> None:
    instructions = ["blur", "could you please make the little cat on the left side blue", "", "add a dog"]
    together = text_encoder.encode(instructions, slots)
    for row in (0, 1, 3):
        alone = text_encoder.encode([instructions[row]])
        length = int(alone.mask.sum())
        assert int(together.mask[row].sum()) == length
        torch.testing.assert_close(together.features[row, :length], alone.features[0, :length], atol=1e-4, rtol=0)
        assert together.words[row] == alone.words[0]


def test_the_first_half_is_the_word_alone_and_the_second_the_word_in_context(text_encoder: TextEncoder) -> None:
    encoded = text_encoder.encode(["turn the light off", "a light blue car"])
    half = text_encoder.channels // 2
    first, second = encoded.features[0, 2], encoded.features[1, 1]  # "light", twice
    assert torch.equal(first[:half], second[:half])
    assert (first[half:] - second[half:]).abs().max() > 0.1


def test_case_and_punctuation_do_not_matter(text_encoder: TextEncoder) -> None:
    shouted, plain = (text_encoder.encode([text]) for text in ("Make the CAT... blue!", "make the cat blue"))
    assert torch.equal(shouted.features, plain.features)


def test_saving_what_was_loaded_gives_the_same_bytes(text_encoder: TextEncoder, tmp_path: Path) -> None:
    text_encoder.save_pretrained(tmp_path / "once")
    loaded = TextEncoder.from_pretrained(tmp_path / "once")
    loaded.save_pretrained(tmp_path / "twice")
    for name in ("config.json", VOCABULARY_FILE, "model.safetensors"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "once" / name).read_bytes(), name
    before, after = text_encoder.bert.state_dict(), loaded.bert.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_eight_bits_lose_little(text_encoder: TextEncoder, tmp_path: Path) -> None:
    """A perturbed encoder, no longer on the 8-bit grid, comes back with at most half a step of error per row."""
    original = text_encoder.bert.state_dict()
    unrounded = TextEncoder(text_encoder.bert.config, text_encoder.pieces)
    draw = torch.Generator().manual_seed(0)
    for name, value in original.items():
        noise = torch.randn(value.shape, generator=draw) if value.ndim == 2 else 0
        original[name] = value + 0.01 * noise
    unrounded.bert.load_state_dict(original)
    unrounded.save_pretrained(tmp_path)
    for name, value in TextEncoder.from_pretrained(tmp_path).bert.state_dict().items():
        if value.ndim == 2:
            step = original[name].abs().amax(dim=1, keepdim=True) / 127
            assert ((value - original[name]).abs() <= 0.6 * step).all(), name


def test_it_is_frozen(text_encoder: TextEncoder) -> None:
    assert not any(parameter.requires_grad for parameter in text_encoder.parameters())
    assert not text_encoder.training
    assert not text_encoder.encode(["blue"]).features.requires_grad
