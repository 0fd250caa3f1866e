"""A drawing is found again where it stands: its side, its place and which way round, to the pixel."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mmdit.model.registration import FAR, NEAR, Square, _pasted, at_side, compare, find, refined


def drawn(seed: int, side: int = 40, detail: int = 5) -> Tensor:
    """(4, side, side) a lopsided patch of smooth colours, `detail` times as many across."""
    draw = torch.Generator().manual_seed(seed)
    colour = functional.interpolate(torch.rand(1, 3, detail, detail, generator=draw), (side, side), mode="bilinear")[0]
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    opacity = ((x**2 + y**2 < 0.9) & (x + 0.3 * y < 0.6)).float()
    return torch.cat([colour * opacity, opacity[None]])


def pasted(texture: Tensor, square: Square, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A noisy picture in [−1, 1] with the drawing, and its outline, by slices."""
    draw = torch.Generator().manual_seed(1)
    picture, outline = torch.rand(3, height, width, generator=draw), torch.zeros(height, width)
    piece = functional.interpolate(texture[None], (square.side, square.side), mode="bilinear", antialias=True)[0]
    piece = piece.flip(-1) if square.flipped else piece
    for row in range(square.side):
        for column in range(square.side):
            y, x = square.top + row, square.left + column
            if 0 <= y < height and 0 <= x < width:
                alpha = piece[3, row, column]
                picture[:, y, x] = picture[:, y, x] * (1 - alpha) + piece[:3, row, column]
                outline[y, x] = alpha
    return picture * 2 - 1, outline


@pytest.mark.parametrize("seed", range(8))
def test_a_drawing_is_found_where_it_was_pasted(seed: int) -> None:
    chance = random.Random(seed)
    side = chance.randint(30, 56)
    square = Square(side, chance.randint(0, 160 - side), chance.randint(0, 96 - side), chance.random() < 0.5)
    picture, outline = pasted(drawn(seed), square, 96, 160)
    assert find(drawn(seed), picture, outline) == square


@pytest.mark.parametrize(
    "square", [Square(4, -30, 10, False), Square(3, 200, 10, False), Square(6, 40, -60, True), Square(5, 40, 130, True)]
)
def test_a_small_square_beside_the_picture_stays_near(square: Square) -> None:
    found = refined(drawn(0), square, torch.zeros(3, 96, 160))
    assert max(abs(found.left - square.left), abs(found.top - square.top), abs(found.side - square.side)) <= 40


@pytest.mark.parametrize("seed", range(8))
def test_a_square_that_is_off_is_put_right_by_colours_alone(seed: int) -> None:
    chance = random.Random(100 + seed)
    side = chance.randint(24, 56)
    square = Square(side, chance.randint(-side // 3, 160 - side), chance.randint(0, 96 - side), chance.random() < 0.5)
    picture, _ = pasted(drawn(seed), square, 96, 160)
    if seed % 2:  # something covers a third of it
        picture[:, :, max(0, square.left + 2 * side // 3) :] = chance.uniform(-1, 1)
    off = Square(side + chance.randint(-4, 4), square.left + 2, square.top - 3, not square.flipped)
    assert refined(drawn(seed), off, picture) == square
    assert refined(drawn(seed), square, picture) == square


@pytest.mark.parametrize("seed", range(4))
def test_what_stands_between_pixels_is_fitted_between_them(seed: int) -> None:
    """As in a picture that was made smaller, and not alike in both directions."""
    texture, (height, width) = drawn(seed), (96, 160)
    shown = Image.new("RGBa", (4 * width, 4 * height))
    stamp = Image.fromarray((at_side(texture, 150).movedim(0, -1) * 255).round().byte().numpy(), "RGBa")
    shown.paste(stamp, (201, 118))
    small = np.asarray(shown.resize((width + 6, height), Image.Resampling.BOX).convert("RGBa"))[:, :width] / 255
    layer = torch.from_numpy(small).float().movedim(-1, 0)
    behind = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    picture, outline = 2 * (layer[:3] + (1 - layer[3]) * behind) - 1, layer[3]
    square = refined(texture, find(texture, picture, outline), picture)
    seen = compare(texture, square, picture, outline)
    assert seen.explained > 0.9
    whole_pixels = _pasted(texture, square, height, width)[3]
    assert (seen.drawn[3] - outline).abs().sum() < 0.6 * (whole_pixels - outline).abs().sum()


def test_it_is_found_beyond_the_edge() -> None:
    texture = drawn(3)
    beyond = Square(44, -9, 60, True)
    picture, outline = pasted(texture, beyond, 96, 112)
    found = find(texture, picture, outline)
    assert found.flipped
    assert (abs(found.side - 44), abs(found.left + 9), abs(found.top - 60)) <= (1, 1, 1)


def test_it_is_found_behind_something() -> None:
    texture = drawn(3)
    picture, outline = pasted(texture, Square(44, 30, 20, False), 96, 112)
    picture[:, :, 62:] = 0.3
    outline[:, 62:] = 0
    found = find(texture, picture, outline)
    assert not found.flipped
    assert abs(found.left - 30) <= 1
    assert abs(found.side - 44) <= 2  # a quarter of it is hidden


def test_a_square_says_its_place_in_any_size() -> None:
    square = Square.about(40, 24, 21)
    assert (square.left, square.top) == (30, 14)
    centre, half = square.centre(96, 128), square.half(96, 128)
    torch.testing.assert_close((centre + 1) * torch.tensor([64.0, 48.0]), torch.tensor([40.5, 24.5]))
    torch.testing.assert_close(half * torch.tensor([64.0, 48.0]), torch.tensor([10.5, 10.5]))


def test_what_is_seen_of_a_drawing_is_told_from_what_covers_it() -> None:
    texture, square = drawn(3), Square(44, 30, 20, True)
    picture, outline = pasted(texture, square, 96, 112)
    whole = compare(texture, square, picture, torch.full_like(outline, 0.2))
    assert whole.alike > 0.95
    edges = whole.edges(torch.full_like(outline, 0.2))
    torch.testing.assert_close(edges[24:60, 34:70], outline[24:60, 34:70], atol=0.25, rtol=0)
    assert (edges - outline).abs().mean() < 0.01

    covered, rest = picture.clone(), outline.clone()
    covered[:, :, 58:] = covered[:, :, 58:].flip(2)  # something else of no other brightness
    rest[:, 58:] = 0
    seen = compare(texture, square, covered, rest)
    assert seen.alike < whole.alike
    edges = seen.edges(rest)
    assert edges[:, 62:].mean() < 0.5 * outline[:, 62:].mean()
    torch.testing.assert_close(edges[:, :54], outline[:, :54], atol=0.5, rtol=0)
    assert not seen.known[30:54, 62:70].any()

    other = compare(texture, square, -picture, outline)
    assert other.alike < 0.5
    assert other.overlap > 0.9


def test_an_outline_that_lacks_half_is_made_up_for_farther_away() -> None:
    texture, square = drawn(5, detail=16), Square(44, 30, 20, False)
    picture, outline = pasted(texture, square, 96, 112)
    outline[:, :50] = 0
    near, far = (find(texture, picture, outline, search) for search in (NEAR, FAR))
    off = [max(abs(one.side - 44), abs(one.left - 30), abs(one.top - 20)) for one in (near, far)]
    assert off[1] <= 1 < off[0]


def test_an_outline_in_pieces_is_one_object_and_specks_elsewhere_are_none() -> None:
    texture, square = drawn(6), Square(40, 20, 24, False)
    picture, outline = pasted(texture, square, 96, 112)
    outline[:, 40:43] = 0
    outline[2:5, 100:104] = 1
    assert find(texture, picture, outline) == square
