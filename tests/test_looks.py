"""Each look against a straight-line NumPy implementation of its formula; its words against what the base knows."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mmdit.model.text import MAX_TOKENS, TextEncoder, normalise
from mmdit.model.transformer import WORKING_SIZES
from mmdit.model.vocabulary import COLOURS, OBJECTS
from mmdit.training.looks import LOOKS, find_look
from mmdit.training.wordings.generate import LONGEST
from mmdit.training.wordings.tables import words

SIZES = ((32, 32), (33, 47), (20, 52), (60, 24))
BASE_WORDS = frozenset(words("""
    black white grey gray monochrome greyscale grayscale desaturate colourless sepia brown invert inverted negative
    bright brighter brighten lighten lighter dark darker darken dim warm warmer warmth cool cooler cold colder chill
    contrast saturate saturated saturation vivid vibrant colourful blur blurry blurred soften defocus night nighttime
    midnight dusk evening recolour recolor colour color paint dye remove delete erase add insert replace swap bigger
    larger enlarge smaller shrink
"""))  # fmt: skip


# ---- straight-line implementations: loops over one picture (height, width, 3) in float64 ----------------------------


def luma(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of a (height, width) array, pixel by pixel along each axis, edges extended."""
    reach = math.ceil(3 * sigma)
    offsets = range(-reach, reach + 1)
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in offsets]
    for axis in (0, 1):
        last = values.shape[axis] - 1
        values = sum(
            weight * np.take(values, np.clip(np.arange(last + 1) + offset, 0, last), axis=axis)
            for weight, offset in zip(weights, offsets, strict=True)
        ) / sum(weights)  # fmt: skip
    return values


def side(picture: np.ndarray) -> float:
    return (picture.shape[0] * picture.shape[1]) ** 0.5


def between_stops(values: np.ndarray, stops: list[tuple[float, float, float]]) -> np.ndarray:
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(values, places, [stop[channel] for stop in stops]) for channel in range(3)], axis=-1)


def s_curve(values: np.ndarray) -> np.ndarray:
    return 3 * values**2 - 2 * values**3


def thermal(picture: np.ndarray) -> np.ndarray:
    stops = [(0.05, 0, 0.22), (0.42, 0, 0.55), (0.9, 0.16, 0.36), (1, 0.58, 0.1), (1, 0.97, 0.72)]
    return between_stops(luma(picture), stops)


def cyanotype(picture: np.ndarray) -> np.ndarray:
    return between_stops(s_curve(luma(picture)), [(0.02, 0.12, 0.3), (0.95, 0.98, 1)])


def screen_print(picture: np.ndarray) -> np.ndarray:
    tone = smooth(luma(picture), 1.2 / 128 * side(picture))
    result = np.zeros_like(picture)
    for y, x in np.ndindex(tone.shape):
        colour = np.array([0.3, 0.05, 0.25])
        for edge, ink in ((0.36, (0.1, 0.65, 0.62)), (0.64, (0.98, 0.92, 0.45))):
            share = 1 / (1 + math.exp(-18 * (tone[y, x] - edge)))
            colour = colour * (1 - share) + np.array(ink) * share
        result[y, x] = colour
    return result


def pencil_sketch(picture: np.ndarray) -> np.ndarray:
    tone = luma(picture)
    around = smooth(tone, 6 / 128 * side(picture))
    drawn = 0.86 + 0.14 * around + 1.5 * (tone - around) / (around + 0.2)
    return np.clip(drawn, 0, 1)[..., None] * np.array([1, 0.985, 0.95])


def emboss(picture: np.ndarray) -> np.ndarray:
    tone = luma(picture)
    around = smooth(tone, 2.5 / 128 * side(picture))
    step = round(3 / 128 * side(picture))
    relief = np.zeros_like(tone)
    for y, x in np.ndindex(tone.shape):
        relief[y, x] = 0.5 + 1.6 * (tone[y, x] - around[max(y - step, 0), max(x - step, 0)])
    return np.repeat(relief[..., None], 3, axis=-1)


def pixel_mosaic(picture: np.ndarray) -> np.ndarray:
    height, width, _ = picture.shape
    rows, columns = (max(1, round(8 * size / side(picture))) for size in (height, width))
    result = np.zeros_like(picture)
    for row, column in itertools.product(range(rows), range(columns)):
        ys = [y for y in range(height) if y * rows // height == row]
        xs = [x for x in range(width) if x * columns // width == column]
        result[np.ix_(ys, xs)] = picture[np.ix_(ys, xs)].mean(axis=(0, 1))
    return result


def solarise(picture: np.ndarray) -> np.ndarray:
    return 4 * picture * (1 - picture)


def infrared(picture: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(picture, -1, 0)
    return np.stack(
        [0.1 * red + 1.9 * green - 0.95 * blue, 0.95 * red + 0.05 * green, 0.9 * green + 0.2 * blue - 0.1 * red],
        axis=-1,
    )


def rainbow(picture: np.ndarray) -> np.ndarray:
    tone, result = luma(picture), np.zeros_like(picture)
    for y, x, channel in np.ndindex(picture.shape):
        phase = ((x + 0.5) + (y + 0.5) / 2) / (1.5 * side(picture))
        colour = 0.5 + 0.45 * math.cos(2 * math.pi * (phase - channel / 3))
        value = tone[y, x]
        result[y, x, channel] = 2 * value * colour if value < 0.5 else colour + (1 - colour) * (2 * value - 1)
    return result


def phosphor(picture: np.ndarray) -> np.ndarray:
    height = picture.shape[0]
    lines = 2 * max(1, round(8 * height / side(picture)))
    glow = between_stops(s_curve(luma(picture)), [(0, 0.05, 0.02), (0.1, 0.8, 0.25), (0.8, 1, 0.8)])
    strength = [0.8 + 0.2 * math.cos(2 * math.pi * lines * (y + 0.5) / height) for y in range(height)]
    return glow * np.array(strength)[:, None, None]


STRAIGHT_LINE = {
    "thermal": thermal, "cyanotype": cyanotype, "screen-print": screen_print, "pencil-sketch": pencil_sketch,
    "emboss": emboss, "pixel-mosaic": pixel_mosaic, "solarise": solarise, "infrared": infrared, "rainbow": rainbow,
    "phosphor": phosphor,
}  # fmt: skip


def random_pictures(size: tuple[int, int], batch: int = 2) -> torch.Tensor:
    """Noise over soft shapes, black and white among it."""
    draw = torch.Generator().manual_seed(sum(size))
    coarse = functional.interpolate(torch.rand(batch, 3, 5, 5, generator=draw), size, mode="bilinear")
    return (1.3 * coarse + 0.4 * torch.rand(batch, 3, *size, generator=draw) - 0.3).clamp(0, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LOOKS)
def test_a_look_follows_its_formula(name: str, size: tuple[int, int]) -> None:
    pictures = random_pictures(size)
    found = LOOKS[name](pictures)
    assert found.shape == pictures.shape
    for picture, of_look in zip(pictures, found, strict=True):
        expected = np.clip(STRAIGHT_LINE[name](picture.permute(1, 2, 0).double().numpy()), 0, 1)
        np.testing.assert_allclose(of_look.permute(1, 2, 0).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_stays_in_range_and_leaves_its_input_alone(name: str) -> None:
    for pictures in (random_pictures((48, 40)), torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)):
        before = pictures.clone()
        found = LOOKS[name](pictures)
        assert found.min() >= 0 and found.max() <= 1
        assert torch.equal(pictures, before)


@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
@pytest.mark.parametrize("name", LOOKS)
def test_a_look_means_the_same_at_twice_the_size(name: str, size: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(7)
    coarse = torch.rand(1, 3, 5, 5, generator=draw)
    small, large = (
        functional.interpolate(coarse, tuple(factor * length for length in size), mode="bicubic").clamp(0, 1)
        for factor in (1, 2)
    )
    found = functional.avg_pool2d(LOOKS[name](large), 2)
    change = (LOOKS[name](small) - small).square().mean().sqrt()
    assert (found - LOOKS[name](small)).square().mean().sqrt() < 0.06 * change


@pytest.mark.parametrize("size", WORKING_SIZES)
def test_what_repeats_fits_the_patches_of_every_working_size(size: tuple[int, int]) -> None:
    """Blocks are patches and scan lines are half a patch, so that a patch sees the same of them wherever it lies."""
    mosaic = LOOKS["pixel-mosaic"](random_pictures(size, 1))
    means = functional.avg_pool2d(mosaic, 16)
    torch.testing.assert_close(mosaic, functional.interpolate(means, scale_factor=16, mode="nearest"))
    lines = LOOKS["phosphor"](torch.full((1, 3, *size), 0.5))
    torch.testing.assert_close(lines[:, :, 8:], lines[:, :, :-8], atol=1e-5, rtol=0)


def test_looks_differ_from_each_other_and_from_the_source() -> None:
    pictures = random_pictures((64, 64), 4)
    results = {"source": pictures} | {name: look(pictures) for name, look in LOOKS.items()}
    for first, second in itertools.combinations(results, 2):
        assert (results[first] - results[second]).square().mean().sqrt() > 0.1, (first, second)


# ---- words --------------------------------------------------------------------------------------------------------

SEEN = [(name, wording) for name, look in LOOKS.items() for wording in look.instructions]
HELD_OUT = [(name, wording) for name, look in LOOKS.items() for wording in look.held_out_instructions]


def test_every_look_has_words_enough() -> None:
    for name, look in LOOKS.items():
        assert look.name == name
        assert len(look.instructions) >= 8 and len(look.held_out_instructions) == 4
        assert look.trigger in look.instructions and len(look.trigger.split()) <= 2
        assert look.title and look.description.endswith(".")


def test_no_wording_is_said_twice() -> None:
    said = [wording for _, wording in SEEN + HELD_OUT]
    assert len(said) == len({normalise(wording) for wording in said})


def test_wordings_are_lower_case_and_short() -> None:
    for _, wording in SEEN + HELD_OUT:
        assert wording == normalise(wording)
        assert 1 <= len(wording.split()) <= LONGEST


def test_two_wordings_joined_are_read_whole(text_encoder: TextEncoder) -> None:
    tokens = [len(text_encoder.tokenizer.encode(wording).ids) - 2 for _, wording in SEEN + HELD_OUT]
    assert 2 * max(tokens) + 1 <= MAX_TOKENS


def test_wordings_keep_clear_of_what_the_base_knows() -> None:
    named = {word for name in (*OBJECTS, *COLOURS) for word in name.split()}
    for _, wording in SEEN + HELD_OUT:
        said = set(wording.replace("'s", "").replace("-", " ").split())
        assert not said & (BASE_WORDS | named), wording


def test_an_unknown_look_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no look is called 'oil'; choose one of thermal, .*phosphor"):
        find_look("oil")
