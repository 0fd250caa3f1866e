"""A drawing is found again where it stands: its side, its place and which way round, to the pixel."""

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.registration import Square, find


def drawn(seed: int, side: int = 40) -> Tensor:
    """(4, side, side) a lopsided patch of smooth colours."""
    draw = torch.Generator().manual_seed(seed)
    colour = functional.interpolate(torch.rand(1, 3, 5, 5, generator=draw), (side, side), mode="bilinear")[0]
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
