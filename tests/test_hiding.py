"""What is seen through an object's edges, against pictures that Pillow composited."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdit.model.hiding import OPAQUE, hidden, seen_through

HEIGHT, WIDTH = 24, 32


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def levels(of: Tensor) -> Image.Image:
    """(C, height, width) in [0, 1]."""
    return Image.fromarray((of.movedim(0, -1) * 255).round().byte().numpy().squeeze())


def covered(behind: Tensor, colour: Tensor, opacity: Tensor) -> Tensor:
    """(1, 3, height, width) in [−1, 1]: a colour over a picture, (3, height, width) in [0, 1], by Pillow."""
    picture = levels(behind)
    picture.paste(levels(colour), (0, 0), levels(opacity))
    return (torch.from_numpy(np.asarray(picture).copy()).float() / 127.5 - 1).movedim(-1, 0)[None]


def test_what_is_behind_translucent_pixels_is_found_and_the_others_are_a_hole() -> None:
    behind, colour = draw(3, HEIGHT, WIDTH), draw(3, HEIGHT, WIDTH, seed=1)
    opacity = torch.linspace(0, 1, WIDTH).expand(1, HEIGHT, -1)
    picture = covered(behind, colour, opacity)
    seen, hole = seen_through(picture, torch.cat([colour * opacity, opacity])[None])
    assert torch.equal(hole[0], (opacity > OPAQUE).float())
    assert torch.equal(seen * hole, picture * hole)
    off = (seen[0] - (2 * behind - 1)).abs() * (1 - hole[0])
    assert off.max() < 4 / 127.5  # two roundings, each enlarged by 1 / (1 − opacity)
    assert ((picture[0] - (2 * behind - 1)).abs() * (1 - hole[0])).max() > 0.5


def test_beside_the_object_the_picture_stays_to_the_bit() -> None:
    picture = draw(1, 3, HEIGHT, WIDTH) * 2 - 1
    hides = torch.zeros(1, 4, HEIGHT, WIDTH)
    hides[..., 8:12, 8:12] = 1
    seen, hole = seen_through(picture, hides)
    assert torch.equal(seen, picture)
    assert hole.sum() == 16


def test_where_no_drawing_explains_the_object_its_outline_is_a_hole_and_two_pixels_around_it() -> None:
    outline = torch.zeros(1, 1, HEIGHT, WIDTH)
    outline[..., 8:12, 8:20] = 0.9
    drawn = torch.cat([draw(1, 3, HEIGHT, WIDTH) * 0.2, torch.full((1, 1, HEIGHT, WIDTH), 0.2)], dim=1)
    known = (torch.arange(WIDTH) < 14).expand(1, 1, HEIGHT, -1)
    hides = hidden(outline, drawn, known)
    assert torch.equal(hides[..., :14], drawn[..., :14])
    assert torch.equal(hides[:, 3, :, 14:].nonzero().amin(dim=0), torch.tensor([0, 6, 0]))
    assert hides[:, 3, :, 14:].sum() == 8 * 8  # rows 6 to 13, columns 14 to 21
    assert hidden(outline)[:, 3].sum() == 8 * 16
