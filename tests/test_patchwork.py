"""What stands behind objects in large pictures: on textures whose continuation is known, against a loop over pixels."""

import math

import pytest
import torch
from torch import Tensor

from mmdit import images
from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.model.edit_field import EditField, carry
from mmdit.model.inpainting import INPAINTER_FILE, Inpainter
from mmdit.model.patchwork import NOBODY, Patchwork

INPAINTER = Inpainter.from_file(CATALOG["mini"].source / INPAINTER_FILE)
HEIGHT, WIDTH, SCALE = 96, 112, 3
HOLE = slice(36, 62), slice(44, 74)


def opaque() -> Tensor:
    """(4, HEIGHT, WIDTH) ``hides`` of a grey box."""
    hides = torch.zeros(4, HEIGHT, WIDTH)
    hides[(slice(None), *HOLE)] = 1
    return hides


def full(where: Tensor) -> Tensor:
    return where.repeat_interleave(SCALE, -2).repeat_interleave(SCALE, -1)


def seen(picture: Tensor) -> Tensor:
    """(1, 3, height, width) with a grey box, and what stands behind it at the working size."""
    box = full(opaque()[3:])[None]
    return picture * (1 - box) + 0.1 * box


def noise(seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (0.35 * torch.randn(1, 3, SCALE * HEIGHT, SCALE * WIDTH, generator=draw)).clamp(-1, 1)


def tiles() -> Tensor:
    """Tiles of six working pixels with a diagonal across each, the same in all channels."""
    y, x = torch.meshgrid(torch.arange(SCALE * HEIGHT), torch.arange(SCALE * WIDTH), indexing="ij")
    side = 6 * SCALE
    bright = (y // side + x // side) % 2 * 1.2 - 0.6
    return torch.where((y + x) % side < 2, 0.9, bright)[None, None].expand(-1, 3, -1, -1).contiguous()


def sewn(picture: Tensor) -> Patchwork:
    found = Patchwork.behind(opaque(), images.resize(seen(picture), HEIGHT, WIDTH)[0], INPAINTER)
    assert found is not None
    return found


def filled_by(patchwork: Patchwork) -> Tensor:
    """(1, 1, height, width) of the full size, 1 where the patchwork may reach."""
    owned = (patchwork.owner != NOBODY).float()[None, None]
    return full(torch.nn.functional.max_pool2d(owned, 3, 1, 1))


def detail(picture: Tensor, where: Tensor) -> float:
    """Root mean square of what differs from the mean of nine by nine pixels."""
    differs = picture - torch.nn.functional.avg_pool2d(picture, 9, 1, 4, count_include_pad=False)
    return ((differs.square().mean(dim=1, keepdim=True) * where).sum() / where.sum()).sqrt().item()


def test_tiles_are_continued_to_the_pixel_where_the_smooth_continuation_is_not() -> None:
    picture = tiles()
    source, working = seen(picture), images.resize(seen(picture), HEIGHT, WIDTH)
    patchwork = sewn(picture)
    where = filled_by(patchwork)
    hole = opaque()[None, 3:]
    smooth = INPAINTER.fill(working, hole) - working
    nothing = torch.zeros(1, 9, HEIGHT, WIDTH), torch.zeros(1, 1, HEIGHT, WIDTH)
    other = carry(EditField(nothing[0], smooth, nothing[1]), working, source)

    def off(found: Tensor) -> float:
        return (((found - picture) * where).abs().sum() / where.sum() / 3).item()

    assert off(patchwork.over(source)) < 0.5 * off(other)
    assert off(patchwork.over(source)) < 0.12


def test_noise_is_as_rough_behind_the_object_as_beside_it() -> None:
    picture = noise()
    patchwork = sewn(picture)
    where = full(opaque()[3:])[None]
    found = detail(patchwork.over(seen(picture)), where) / detail(picture, where)
    assert 0.85 < found < 1.15


def test_a_gradient_stays_smooth() -> None:
    along = torch.linspace(-0.8, 0.8, SCALE * WIDTH).expand(1, 3, SCALE * HEIGHT, -1)
    found = sewn(along).over(seen(along))
    assert (found - along).abs().max() < 0.1
    assert detail(found, full(opaque()[3:])[None]) < 0.01


def test_beside_the_hole_the_picture_stays_to_the_bit_and_what_is_hidden_is_not_read() -> None:
    picture = noise(1)
    patchwork, source = sewn(picture), seen(picture)
    result = patchwork.over(source)
    beside = (filled_by(patchwork) == 0).expand_as(source)
    assert torch.equal(result[beside], source[beside])
    hidden = full((patchwork.owner != NOBODY).float())[None, None].expand_as(source)
    box = full(opaque()[3:])[None].expand_as(source)
    assert (hidden >= box).all()
    other = torch.where(box > 0, torch.rand(source.shape, generator=torch.Generator().manual_seed(5)), source)
    again = Patchwork.behind(opaque(), images.resize(other, HEIGHT, WIDTH)[0], INPAINTER)
    assert torch.equal(again.owner, patchwork.owner)
    torch.testing.assert_close(again.over(other), result, atol=1e-5, rtol=0)


def test_copying_equals_a_loop_over_pixels() -> None:
    draw = torch.Generator().manual_seed(2)
    owner = torch.full((6, 7), NOBODY)
    owner[2:4, 2:4], owner[2:4, 4], owner[4, 3] = 0, 1, 2
    shifts, tones = torch.tensor([[-2, 1], [1, -3], [0, 2]]), torch.rand(3, 6, 7, generator=draw) - 0.5
    height, width = 15, 20
    source = (torch.rand(1, 3, height, width, generator=draw) - 0.5) * 1.5
    found = Patchwork(owner, shifts, tones).over(source)

    def at(small: Tensor, row: int, column: int) -> Tensor:
        """Bilinear value of (C, 6, 7) at the middle of a pixel of the source."""
        total = torch.zeros(len(small))
        y, x = (row + 0.5) * 6 / height - 0.5, (column + 0.5) * 7 / width - 0.5
        for r, c in ((r, c) for r in (math.floor(y), math.floor(y) + 1) for c in (math.floor(x), math.floor(x) + 1)):
            weight = max(0.0, 1 - abs(y - r)) * max(0.0, 1 - abs(x - c))
            total += weight * small[:, min(max(r, 0), 5), min(max(c, 0), 6)]
        return total

    for row in range(height):
        for column in range(width):
            expected = source[0, :, row, column].clone()
            for number, (down, across) in enumerate(shifts.tolist()):
                share = at((owner == number).float()[None], row, column)
                r = min(max(row + round(down * height / 6), 0), height - 1)
                c = min(max(column + round(across * width / 7), 0), width - 1)
                copied = source[0, :, r, c] - at(tones, r, c) + at(tones, row, column)
                expected += share * (copied - source[0, :, row, column])
            torch.testing.assert_close(found[0, :, row, column], expected.clamp(-1, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_where_nothing_or_all_is_hidden_nothing_is_sewn(opacity: float) -> None:
    assert Patchwork.behind(torch.full((4, 32, 32), opacity), torch.zeros(3, 32, 32), INPAINTER) is None


@pytest.mark.shipped
def test_removing_an_object_of_the_example_leaves_gravel_and_the_rest_to_the_bit() -> None:
    family = MiniEditor(CATALOG["mini"].source)
    picture = images.load_image(CATALOG["mini"].source.parent / "examples" / "gravel.jpg")
    result = images.to_tensor(family.edit(family.call(picture, "remove the dog")).image)
    source = images.to_tensor(picture)
    changed = ((result - source).abs().amax(dim=1, keepdim=True) > 0).float()
    rows, columns = changed[0, 0].nonzero().unbind(dim=1)
    assert 300 < rows.min() < rows.max() < 500  # the dog alone
    assert 100 < columns.min() < columns.max() < 290
    gravel = torch.zeros_like(changed)
    gravel[..., 300:360, 20:110] = 1
    assert 0.8 < detail(result, changed) / detail(source, gravel) < 1.2
