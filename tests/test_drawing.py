"""Remembered drawings over a picture, against a loop over pixels and Pillow's own compositing."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmdit.model import overlay
from mmdit.model.drawing import Drawing
from mmdit.model.edit_field import EditField, carry
from mmdit.model.registration import Square

FAR = -40.0  # a logit whose sigmoid is 0


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def texture(side: int, seed: int = 3) -> Tensor:
    """(1, 4, side, side) premultiplied."""
    found = draw(1, 4, side, side, seed=seed)
    return torch.cat([found[:, :3] * found[:, 3:], found[:, 3:]], dim=1)


def one(look: Tensor, square: Square, height: int, width: int, shown: bool = True) -> Drawing:
    return Drawing(
        torch.tensor([shown]), torch.full((1, 1, height, width), FAR), torch.zeros(1, 4, height, width), look,
        square.centre(height, width)[None], square.half(height, width)[None], torch.tensor([-1]), torch.tensor([-1]),
    )  # fmt: skip


def test_at_its_own_size_a_drawing_is_composited_pixel_by_pixel() -> None:
    """As Pillow does it, to its rounding."""
    look, picture = texture(8), draw(1, 3, 20, 30) * 2 - 1
    found = one(look, Square(8, 5, 9, False), 20, 30).over(picture, picture)
    straight = torch.cat([look[:, :3] / look[:, 3:], look[:, 3:]], dim=1)[0].movedim(0, -1)
    below = Image.fromarray(((picture[0].movedim(0, -1) + 1) * 127.5).round().byte().numpy())
    below.paste(Image.fromarray((straight[..., :3] * 255).round().byte().numpy()), (5, 9),
                Image.fromarray((straight[..., 3] * 255).round().byte().numpy()))  # fmt: skip
    np.testing.assert_allclose(((found[0].movedim(0, -1) + 1) * 127.5).numpy(), np.asarray(below), atol=1.5)


def test_what_lies_beside_the_square_stays_to_the_bit() -> None:
    picture = draw(1, 3, 40, 40) * 2 - 1
    found = one(texture(12), Square(16, 10, 12, False), 40, 40).over(picture, picture)
    changed = (found != picture).any(dim=1)[0]
    beside = torch.ones(40, 40, dtype=torch.bool)
    beside[10:30, 8:28] = False  # a texel and a half beyond the square a drawing still fades
    assert changed.any()
    assert not changed[beside].any()
    assert torch.equal(one(texture(12), Square(16, 10, 12, False), 40, 40, shown=False).over(picture, picture), picture)


@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_the_result_does_not_depend_on_the_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw(1, 3, 150, 90) * 2 - 1
    drawing = one(texture(12), Square(40, 20, 30, False), 150, 90)
    expected = drawing.over(picture, picture)
    monkeypatch.setattr(overlay, "STRIP_ROWS", rows)
    assert torch.equal(drawing.over(picture, picture), expected)


def test_beside_something_new_nothing_is_painted() -> None:
    source = draw(1, 3, 64, 64) * 2 - 1
    field = EditField(draw(1, 9, 64, 64), draw(1, 3, 64, 64), draw(1, 1, 64, 64))
    drawing = one(texture(12), Square(20, 8, 30, False), 64, 64)
    found = dataclasses.replace(field, overlays=(drawing,)).beside_overlays().apply(source)
    torch.testing.assert_close(found, drawing.over(source, source), atol=1e-6, rtol=0)


def test_at_full_size_a_drawing_stands_where_it_stood_in_the_small_picture() -> None:
    look = torch.ones(1, 4, 12, 12)
    nothing = torch.zeros(1, 9, 64, 96)
    drawing = one(look, Square(24, 30, 16, False), 64, 96)
    field = EditField(nothing, nothing[:, :3], nothing[:, :1], overlays=(drawing,))
    source = -torch.ones(1, 3, 320, 480)
    found = carry(field, -torch.ones(1, 3, 64, 96), source)
    white = (found[0, 0] > 0).nonzero()
    assert white.amin(dim=0).tolist() == pytest.approx([80, 150], abs=3)
    assert white.amax(dim=0).tolist() == pytest.approx([199, 269], abs=3)


def test_drawings_are_chosen_sample_by_sample() -> None:
    picture = draw(3, 3, 40, 40) * 2 - 1
    parts = [one(texture(12, seed), Square(16, 4 * seed, 12, False), 40, 40) for seed in (1, 2, 3)]
    whole = Drawing(
        *(torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Drawing))
    )
    together, chosen = whole.over(picture, picture), torch.tensor([2, 0])
    assert torch.equal(whole.of(chosen).over(picture[chosen], picture[chosen]), together[chosen])
    kept = whole.where(torch.tensor([False, True, False])).over(picture, picture)
    assert torch.equal(kept[0], picture[0])
    assert torch.equal(kept[1], together[1])
