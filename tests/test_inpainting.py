"""What is painted where an object was, on pictures whose continuation is known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdit.catalog import CATALOG
from mmdit.model.continuation import biharmonic, pulled
from mmdit.model.hiding import hidden
from mmdit.model.inpainting import (
    INPAINTER_FILE,
    PRIOR,
    SIDE,
    Inpainter,
    Window,
    without_object,
)
from mmdit.model.shifted import shifted
from mmdit.training.inpainting import error, make_windows, train
from mmdit.training.scenes import Scenes

SHIPPED = CATALOG["mini"].source / INPAINTER_FILE


def repeated(picture: Tensor, hole: Tensor) -> Tensor:
    """The pictures, filled by shifts alone; grey where no shift shows anything."""
    filled = picture.clone()
    for index, here in enumerate(hole[:, 0]):
        inner = here.nonzero()
        filled[index][:, here > 0] = shifted(picture[index], here, torch.zeros(len(inner), 3)).colours.T
    return filled


FILLS = [pulled, biharmonic, repeated, Inpainter.from_file(SHIPPED).fill]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def box(height: int, width: int, rows: slice, columns: slice) -> Tensor:
    hole = torch.zeros(1, 1, height, width)
    hole[..., rows, columns] = 1
    return hole


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 51)])
def test_what_is_seen_stays_and_what_is_hidden_is_not_read(fill, height: int, width: int) -> None:
    picture, hole = draw(1, 3, height, width), box(height, width, slice(5, 20), slice(2, 17))
    filled = fill(picture, hole)
    assert torch.equal(filled * (1 - hole), picture * (1 - hole))
    torch.testing.assert_close(fill(picture * (1 - hole) + hole * 0.7, hole), filled, atol=1e-5, rtol=0)
    assert filled.abs().max() <= 1


@pytest.mark.parametrize("fill", FILLS)
def test_a_plain_picture_is_continued_and_a_gradient_nearly(fill) -> None:
    hole = box(64, 64, slice(20, 44), slice(16, 40))
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(fill(plain, hole), plain, atol=1e-5 if fill in FILLS[:3] else 0.02, rtol=0)
    gradient = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert ((fill(gradient, hole) - gradient) * hole).abs().max() < (1e-4 if fill is biharmonic else 0.25)


def test_stripes_and_tiles_are_continued_by_shifts_where_smooth_fills_blur_them() -> None:
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    stripes = ((rows + 2 * columns) % 14 < 7).float() * 2 - 1
    tiles = ((rows // 6 + columns // 6) % 2).float() * 2 - 1
    picture = torch.stack([stripes, tiles])[:, None].expand(2, 3, -1, -1)
    hole = box(96, 96, slice(30, 62), slice(40, 70)).expand(2, -1, -1, -1)

    def off(filled: Tensor) -> Tensor:
        return ((filled - picture) * hole).abs().flatten(1).sum(dim=1) / hole.flatten(1).sum(dim=1) / 3

    assert (off(repeated(picture, hole)) < 1e-3).all()
    assert (off((pulled(picture, hole) + biharmonic(picture, hole)) / 2) > 0.5).all()
    assert (off(Inpainter.from_file(SHIPPED).fill(picture, hole)) < 0.2).all()


def test_where_no_shift_shows_anything_the_other_colour_stands() -> None:
    picture, hole = draw(3, 16, 200), torch.zeros(16, 200)
    hole[:, :120] = 1
    found = shifted(picture, hole, torch.full((16 * 120, 3), 0.5))
    assert (found.colours.reshape(16, 120, 3)[:, :70] == 0.5).all()  # farther from what is seen than any shift
    assert torch.isfinite(found.measures).all()


def test_an_untrained_inpainter_weighs_the_continuations_as_they_are_given(data_folder: Path) -> None:
    source = Scenes(data_folder, "train", 5).batch(0, 1, kinds=["remove"], working_size=(112, 144)).source
    hole = box(112, 144, slice(30, 60), slice(100, 144))
    expected = sum(weight * fill(source, hole) for weight, fill in zip(PRIOR[:2], FILLS, strict=False))
    window = Window.around(source[0], hole[0, 0])
    again = torch.zeros_like(source[0])
    again[:, hole[0, 0] > 0] = window.continued[2][:, window.hole[0] > 0]
    expected = torch.where(hole > 0, expected + PRIOR[2] * again, source)
    torch.testing.assert_close(Inpainter().fill(source, hole), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rows", "columns"), [(slice(0, 9), slice(120, 128)), (slice(4, 124), slice(0, 110))])
def test_holes_at_the_edge_and_holes_larger_than_the_window_are_filled(rows: slice, columns: slice) -> None:
    picture, hole = draw(1, 3, 128, 128), box(128, 128, rows, columns)
    window = Window.around(picture[0], hole[0, 0])
    assert window.hole.sum() == hole.sum()
    assert window.hole.shape[-1] >= SIDE and window.hole.shape[-1] % 8 == 0
    filled = Inpainter.from_file(SHIPPED).fill(picture, hole)
    assert torch.equal(filled * (1 - hole), picture * (1 - hole))
    assert not torch.equal(filled, picture)


def test_an_inpainter_is_read_as_it_was_written(tmp_path: Path) -> None:
    Inpainter.from_file(SHIPPED).save(tmp_path / INPAINTER_FILE)
    assert (tmp_path / INPAINTER_FILE).read_bytes() == SHIPPED.read_bytes()


def test_a_single_level_of_the_interpolation_is_the_mean_of_what_is_around() -> None:
    picture = torch.tensor([[1.0, 0.0], [0.5, 0.9]])[None, None].expand(1, 3, -1, -1)
    hole = torch.tensor([[0.0, 0.0], [0.0, 1.0]])[None, None]
    assert pulled(picture, hole)[0, :, 1, 1].tolist() == pytest.approx([0.5] * 3)
    assert torch.isfinite(pulled(picture, torch.ones(1, 1, 2, 2))).all()


def test_where_nothing_or_everything_is_hidden_the_picture_stays() -> None:
    picture = draw(2, 3, 16, 16)
    holes = torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)])
    assert torch.equal(biharmonic(picture, holes), picture)
    assert torch.equal(pulled(picture[:1], holes[:1]), picture[:1])
    assert torch.equal(Inpainter().fill(picture, holes), picture)


def test_the_edit_takes_the_object_out_and_nothing_else() -> None:
    source, inpainter = draw(1, 3, 48, 64), Inpainter()
    hides = hidden(box(48, 64, slice(10, 30), slice(20, 40)))
    output, hole = without_object(source, hides, inpainter).apply(source), hides[:, 3:]
    assert hole.sum() == 24 * 24  # two pixels more on every side
    assert torch.equal(output * (1 - hole), source * (1 - hole))
    torch.testing.assert_close(output, inpainter.fill(source, hole), atol=1e-6, rtol=0)


def test_what_ships_is_nearer_to_the_truth_than_any_continuation_and_than_untrained_weights(data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(0, 32, kinds=["remove"] * 32, working_size=(112, 144))
    alpha = scenes.masks[torch.arange(32), scenes.edited_slot][:, None]
    hole = hidden(alpha)[:, 3:]

    def off(painted: Tensor) -> float:
        return ((painted - scenes.target) * hole).square().sum().item()

    *others, shipped = (off(fill(scenes.source, hole)) for fill in FILLS)
    untrained = off(Inpainter().fill(scenes.source, hole))
    assert shipped < 0.95 * untrained < 0.95 * min(others)
    assert shipped < 0.1 * off(scenes.source)


@pytest.mark.slow
def test_training_makes_it_better_on_photographs_that_it_did_not_see(data_folder: Path) -> None:
    learnt, asked = Scenes(data_folder, "train", 8), Scenes(data_folder, "train", 9)
    asked.photographs, learnt.photographs = (
        learnt.photographs[::8],
        [photograph for number, photograph in enumerate(learnt.photographs) if number % 8],
    )
    windows, unseen = make_windows(learnt, 256), make_windows(asked, 96)
    assert windows.of(slice(0, 2)).hole.shape == (2, 1, SIDE, SIDE)
    assert error(train(windows, 150, seed=0), unseen) < 0.97 * error(Inpainter().eval(), unseen)
