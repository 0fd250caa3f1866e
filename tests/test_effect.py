"""Effects against loops over pixels, colours by name, and effects as overlays at any size."""

import colorsys
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdit.model.effect import (
    DARK_FROM,
    DARK_TO,
    DARKNESS,
    FRAME_SHARE,
    GLOW,
    GLOW_COLOUR,
    LOW_SUN,
    MIST,
    MIST_ABOVE,
    MIST_BELOW,
    Effect,
    membership,
    parts_recoloured,
)
from mmdit.model.overlay import STRIP_ROWS
from mmdit.model.reader import Reading
from mmdit.model.vocabulary import COLOURS, EFFECTS


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def made(reading: Reading, source: Tensor) -> np.ndarray:
    """(height, width, 3) in [0, 1]."""
    return (Effect.of_readings([reading], source).over(source, source)[0].movedim(0, -1).numpy() + 1) / 2


def by_hand(kind: str, pixel: np.ndarray, x: float, y: float) -> np.ndarray:
    """One pixel, by the definitions in words; x and y from −1 to 1."""
    if kind == "fog":
        share = MIST_ABOVE * (1 - y) / 2 + MIST_BELOW * (1 + y) / 2
        return pixel * (1 - share) + MIST * share
    if kind == "sunset":
        lit = pixel * LOW_SUN
        near = GLOW * (1 - math.hypot(x, y) / math.sqrt(2))
        return 1 - (1 - lit) * (1 - near * np.array(GLOW_COLOUR))  # the screen of both
    step = min(max((math.hypot(x, y) - DARK_FROM) / (DARK_TO - DARK_FROM), 0), 1)
    return pixel * (1 - DARKNESS * (3 * step**2 - 2 * step**3))


@pytest.mark.parametrize("kind", ["fog", "sunset", "vignette"])
def test_an_effect_equals_a_loop_over_pixels(kind: str) -> None:
    source = draw(1, 3, 7, 11)
    output = made(Reading(kind), source)
    for row in range(7):
        for column in range(11):
            pixel = (source[0, :, row, column].numpy() + 1) / 2
            expected = by_hand(kind, pixel, (column + 0.5) * 2 / 11 - 1, (row + 0.5) * 2 / 7 - 1)
            np.testing.assert_allclose(output[row, column], expected.clip(0, 1), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(100, 200), (200, 100), (100, 100)])
def test_a_frame_is_as_broad_on_every_side_and_leaves_the_inside_alone(height: int, width: int) -> None:
    source, broad = draw(1, 3, height, width), round(100 * FRAME_SHARE)
    output = made(Reading("frame", colour="red"), source)
    inside = np.zeros((height, width), dtype=bool)
    inside[broad : height - broad, broad : width - broad] = True
    np.testing.assert_allclose(output[inside], (source[0].movedim(0, -1).numpy()[inside] + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(output[~inside], np.broadcast_to(COLOURS["red"], output[~inside].shape), atol=1e-6)
    assert np.abs(made(Reading("frame"), source)[0, 0] - COLOURS["white"]).max() < 1e-6


def test_every_named_colour_is_itself_and_no_grey_is_one() -> None:
    known = torch.tensor(list(COLOURS.values()))[:, :, None, None]
    shares = torch.cat([membership(known, name)[:, :, 0, 0] for name in COLOURS], dim=1)
    assert shares.argmax(dim=1).tolist() == list(range(len(COLOURS)))
    assert (shares.diag() > 0.7).all()
    grey = torch.full((1, 3, 1, 1), 0.5)
    assert max(membership(grey, name).item() for name in COLOURS) < 0.1


def test_the_shares_of_all_colours_and_grey_are_one_at_most() -> None:
    picture = (draw(2, 3, 8, 8) + 1) / 2
    total = sum(membership(picture, name) for name in COLOURS)
    assert total.max() <= 1 + 1e-5
    assert total.min() >= 0


@pytest.mark.parametrize(("part", "hue"), [("red", 0.0), ("yellow", 0.16), ("green", 0.36), ("blue", 0.64)])
def test_dark_and_pale_tones_of_a_hue_are_of_its_colour(part: str, hue: float) -> None:
    tones = [colorsys.hsv_to_rgb(hue, saturation, value) for saturation in (0.75, 1) for value in (0.65, 0.95)]
    shares = membership(torch.tensor(tones)[:, :, None, None], part)
    assert shares.min() > 0.5


def test_parts_take_the_new_colour_and_all_else_stays() -> None:
    picture = torch.tensor([COLOURS["red"], COLOURS["blue"], (0.5, 0.5, 0.5)]).T[None, :, None, :]
    output = parts_recoloured(picture, "red", "green")
    green = torch.tensor(COLOURS["green"])
    assert (output[0, :, 0, 0] - green).abs().max() < 0.2
    assert (output - picture)[..., 1:].abs().max() < 0.05
    assert torch.equal(parts_recoloured(picture, "red", "green"), output)


def test_only_what_asks_for_an_effect_is_changed() -> None:
    source = draw(4, 3, 6, 8)
    readings = [None, Reading("fog"), Reading("remove", "cat"), Reading("parts", part="red", colour="blue")]
    effect = Effect.of_readings(readings, source)
    output = effect.over(source, source)
    assert effect.shown.tolist() == [False, True, False, True]
    assert torch.equal(output[0::2], source[0::2])
    assert not torch.equal(output[1], source[1])
    assert effect.uncovered().flatten(1).unique(dim=1)[:, 0].tolist() == [1, 0, 1, 0]
    assert effect.leaves.tolist() == [-1] * 4
    chosen = effect.of(torch.tensor([1]))
    assert torch.equal(chosen.over(source[1:2], source[1:2]), output[1:2])
    assert torch.equal(effect.where(torch.tensor([True, False, True, True])).over(source, source)[:3], source[:3])


@pytest.mark.parametrize("kind", EFFECTS)
def test_the_result_does_not_depend_on_the_strips(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = draw(1, 3, 50, 40)
    whole = made(Reading(kind), source)
    assert STRIP_ROWS > 50
    monkeypatch.setattr("mmdit.model.overlay.STRIP_ROWS", 7)
    np.testing.assert_allclose(made(Reading(kind), source), whole, atol=1e-6)
