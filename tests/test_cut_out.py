"""Objects that are copied to another size: where pixels come from, and what is painted beside them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmdit import images
from mmdit.model import overlay
from mmdit.model.cut_out import CutOut, middle
from mmdit.model.edit_field import EditField, carry
from mmdit.model.hiding import hidden
from mmdit.model.overlay import GROWN

SURE = 40.0  # a logit whose sigmoid is 1


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def one(outline: Tensor, scale: float, there: float = 1.0) -> CutOut:
    """A copy from a picture of one sample."""
    return several(outline, [scale], [there > 0])


def several(outline: Tensor, scales: list[float], shown: list[bool]) -> CutOut:
    """Copies from the pictures of a batch, each about the middle of what is copied."""
    centre, leaves = middle(outline), torch.full((len(scales),), -1)
    return CutOut(torch.tensor(shown), outline, hidden(outline.sigmoid()), torch.tensor(scales), centre, centre, leaves)


def disk(height: int, width: int, centre: tuple[float, float], radius: float) -> Tensor:
    """(1, 1, height, width) logit of a disk; the centre as x, y in pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2).sqrt()
    return (8 * (radius - distance)).clamp(-SURE, SURE)[None, None]


def at(array: np.ndarray, y: float, x: float, outside: str) -> np.ndarray:
    """Bilinear value of a (C, height, width) array at a point whose pixel centres are at halves."""
    _, height, width = array.shape
    top, left = math.floor(y - 0.5), math.floor(x - 0.5)
    total = np.zeros(len(array))
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = max(0.0, 1 - abs(row + 0.5 - y)) * max(0.0, 1 - abs(column + 0.5 - x))
        if 0 <= row < height and 0 <= column < width:
            total += weight * array[:, row, column]
        elif outside == "border":
            total += weight * array[:, min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.5])
def test_a_copy_equals_a_loop_over_pixels(scale: float) -> None:
    height, width, centre = 9, 12, (6.5, 4.0)
    source, picture = draw(1, 3, height, width), draw(1, 3, height, width, seed=1)
    outline = torch.full((1, 1, height, width), -3.0)
    outline[..., 2:6, 3:10] = 4 * draw(1, 1, 4, 7)
    outline[..., 2, 5] = outline[..., 5, 3] = outline[..., 4, 9] = 1  # so that it reaches rows 2 to 5, columns 3 to 9
    found = one(outline, scale).over(picture, source)
    alpha = outline.sigmoid()[0].double().numpy()
    for row, column in np.ndindex(height, width):
        y = centre[1] + (row + 0.5 - centre[1]) / scale
        x = centre[0] + (column + 0.5 - centre[0]) / scale
        share = at(alpha, y, x, "nothing")
        colour = at(alpha * source[0].double().numpy(), y, x, "nothing")
        expected = colour + (1 - share) * picture[0, :, row, column].double().numpy()
        np.testing.assert_allclose(found[0, :, row, column].numpy(), expected, atol=2e-5)


def test_a_copy_takes_nothing_of_the_old_background_along() -> None:
    """Against Pillow, which puts the same object on either background."""
    height, width, radius, (down, across) = 96, 128, 12, (36, 48)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    outline = 0.8 * (radius - ((x - 30) ** 2 + (y - 30) ** 2).sqrt())[None, None]  # an edge of several pixels

    def pasted(background: Tensor) -> Tensor:
        colour = torch.tensor([0.9, 0.2, 0.1])[:, None, None].expand(3, height, width)
        levels = [(of * 255).round().byte() for of in (background, colour, outline[0].sigmoid())]
        picture, over, mask = (Image.fromarray(of.movedim(0, -1).numpy().squeeze()) for of in levels)
        picture.paste(over, (0, 0), mask)
        return images.to_tensor(picture)

    blue = torch.tensor([0.1, 0.3, 0.9])[:, None, None].expand(3, height, width)
    stripes = ((x + y) // 8 % 2).expand(3, -1, -1)
    before, after = torch.roll(stripes, (-down, -across), (1, 2)), (down, across)
    wanted = torch.roll(pasted(before), after, (2, 3))
    new_place = torch.roll(outline.sigmoid() > 0.01, after, (2, 3))
    under = 2 * torch.where(new_place[0], stripes, blue)[None] - 1  # blue is what is behind at the old place
    here = torch.tensor([[2 * 30 / width - 1, 2 * 30 / height - 1]])
    there = here + 2 * torch.tensor([[across / width, down / height]])
    edge = new_place & (torch.roll(outline.sigmoid(), after, (2, 3)) < 0.9)
    off = []
    for leaves in (3, -1):
        copy = dataclasses.replace(one(outline, 1.0), leaves=torch.tensor([leaves]), centre=here, to=there)
        difference = (copy.over(under, pasted(blue)) - wanted).abs()
        off.append(difference[edge.expand_as(difference)].mean().item())
    assert off[0] < 0.03
    assert off[0] < 0.25 * off[1]


def test_where_object_and_background_look_alike_the_outline_decides() -> None:
    outline = disk(40, 48, (24, 20), 9).mul(0.2)
    plain = torch.full((1, 3, 40, 48), 0.4)
    copy = dataclasses.replace(one(outline, 1.0), leaves=torch.tensor([2]))
    torch.testing.assert_close(copy.over(plain, plain), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_an_object_grows_and_shrinks_about_its_centre(scale: float) -> None:
    outline = disk(96, 128, (60, 40), 14)
    source = torch.where(outline > 0, 0.8, -0.5).expand(1, 3, -1, -1)
    found = one(outline, scale).over(torch.full_like(source, -0.5), source)
    shown = (found[0, 0] > 0.15).float()
    y, x = shown.nonzero().float().add(0.5).mean(dim=0).tolist()
    assert shown.sum().item() == pytest.approx(math.pi * (14 * scale) ** 2, rel=0.04)
    assert (x, y) == pytest.approx((60, 40), abs=0.2)


def test_the_centre_is_the_middle_of_what_belongs_to_the_object() -> None:
    outline = torch.cat(
        [disk(96, 128, (60, 40), 14), disk(96, 128, (30.5, 70.5), 9), torch.full((1, 1, 96, 128), -1.0)]
    )
    x, y = middle(outline).T
    torch.testing.assert_close(x, 2 * torch.tensor([60, 30.5, 64]) / 128 - 1)
    torch.testing.assert_close(y, 2 * torch.tensor([40, 70.5, 48]) / 96 - 1)


def test_an_edit_that_copies_nothing_is_the_painted_one_to_the_bit() -> None:
    source, picture = draw(1, 3, 20, 24), draw(1, 3, 20, 24, seed=1)
    assert torch.equal(one(disk(20, 24, (12, 10), 6), 1.5, there=0.0).over(picture, source), picture)
    field = EditField(draw(1, 9, 20, 24), draw(1, 3, 20, 24), draw(1, 1, 20, 24))
    copying = dataclasses.replace(field, overlays=(one(disk(20, 24, (12, 10), 6), 1.5),))
    assert not torch.equal(copying.apply(source), field.apply(source))
    assert torch.equal(copying.painted().apply(source), field.apply(source))


@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_the_result_does_not_depend_on_the_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, picture = draw(1, 3, 150, 90), draw(1, 3, 150, 90, seed=1)
    copied = one(disk(48, 48, (20, 30), 11), 1.4)
    expected = copied.over(picture, source)
    monkeypatch.setattr(overlay, "STRIP_ROWS", rows)
    assert torch.equal(copied.over(picture, source), expected)


def test_at_full_size_the_object_keeps_its_own_detail() -> None:
    """What is enlarged comes from the picture as it was given, not from the small one that the model saw."""
    height, width, times = 80, 112, 5
    source = 0.5 * draw(1, 3, height * times, width * times)
    outline, nothing = disk(height, width, (60, 36), 20), torch.zeros(1, 9, height, width)
    field = EditField(nothing, nothing[:, :3], nothing[:, :1], overlays=(one(outline, 2.0),))
    found = carry(field, images.resize(source, height, width), source)
    y, x = 36 * times, 60 * times
    expected = torch.nn.functional.interpolate(
        source[..., y - 20 : y + 20, x - 20 : x + 20], scale_factor=2, mode="bilinear", align_corners=False
    )
    inner = (..., slice(8, 72), slice(8, 72))
    torch.testing.assert_close(found[..., y - 40 : y + 40, x - 40 : x + 40][inner], expected[inner], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[..., :40], source[..., :40], atol=1e-5, rtol=0)


def test_beside_a_copy_only_what_it_uncovers_is_painted() -> None:
    source = draw(2, 3, 64, 64)
    field = EditField(draw(2, 9, 64, 64), draw(2, 3, 64, 64), draw(2, 1, 64, 64))
    outline = disk(64, 64, (40, 30), 9).expand(2, -1, -1, -1)
    copying = dataclasses.replace(field, overlays=(several(outline, [0.6, 0.6], [True, False]),))
    found, painted = copying.beside_overlays().apply(source), field.apply(source)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    distance = ((x - 40) ** 2 + (y - 30) ** 2).sqrt()
    far, ring = distance > 9 + 2 * GROWN, (distance > 0.6 * 9 + 2) & (distance < 9)
    torch.testing.assert_close(found[0, :, far], source[0, :, far], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, :, ring], painted[0, :, ring], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], painted[1], atol=1e-6, rtol=0)  # copies nothing
    assert field.beside_overlays() is field


def test_fields_are_chosen_and_mixed_with_what_they_copy() -> None:
    source = draw(3, 3, 20, 24)
    field = EditField(draw(3, 9, 20, 24), draw(3, 3, 20, 24), draw(3, 1, 20, 24))
    outline = disk(20, 24, (12, 10), 6).expand(3, -1, -1, -1)
    copied = (several(outline, [1.5, 0.6, 0.7], [True, False, True]),)
    copying, chosen = dataclasses.replace(field, overlays=copied), torch.tensor([2, 0])
    assert torch.equal(copying.of(chosen).apply(source[chosen]), copying.apply(source)[chosen])
    assert torch.equal(copying.replaced(chosen, copying.of(chosen)).apply(source), copying.apply(source))
    assert torch.equal(copying.confined().apply(source), copying.apply(source))
    change = torch.tensor([5.0, 5.0, -5.0])[:, None, None, None].expand(3, 1, 5, 6)
    assert dataclasses.replace(copying, change=change).confined().overlays[0].shown.tolist() == [True, False, False]
    assert field.mix(copying, 0.5).overlays is copied
    assert copying.mix(field, 0.5).overlays == ()
    assert copying.part(slice(0, 8), slice(0, 8)).overlays == ()
