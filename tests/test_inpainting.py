"""What is painted where an object was, on pictures whose continuation is known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdit.model.inpainting import biharmonic, hole_of, pulled, without_object
from mmdit.training.scenes import Scenes

SURE = 40.0
FILLS = [pulled, biharmonic]


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
def test_a_plain_picture_is_continued_exactly_and_a_gradient_nearly(fill) -> None:
    hole = box(64, 64, slice(20, 44), slice(16, 40))
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(fill(plain, hole), plain, atol=1e-5, rtol=0)
    gradient = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert ((fill(gradient, hole) - gradient) * hole).abs().max() < (0.25 if fill is pulled else 1e-4)


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


def test_the_edit_takes_the_object_out_and_nothing_else() -> None:
    source = draw(1, 3, 48, 64)
    outline = torch.full((1, 1, 48, 64), -SURE)
    outline[..., 10:30, 20:40] = SURE
    output, hole = without_object(source, outline).apply(source), hole_of(outline)
    assert hole.sum() == 22 * 22  # a pixel more on every side
    assert torch.equal(output * (1 - hole), source * (1 - hole))
    expected = (pulled(source, hole) + biharmonic(source, hole)) / 2
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_the_mean_of_both_is_nearer_to_the_truth_than_either(data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(0, 32, kinds=["remove"] * 32, working_size=(112, 144))
    alpha = scenes.masks[torch.arange(32), scenes.edited_slot][:, None]
    outline = torch.logit(alpha, 1e-6)
    hole = hole_of(outline)

    def error(painted: Tensor) -> float:
        return ((painted - scenes.target) * hole).square().sum().item()

    either = [error(fill(scenes.source, hole)) for fill in FILLS]
    both = error(without_object(scenes.source, outline).apply(scenes.source))
    assert both < min(either)
    assert both < 0.1 * error(scenes.source)
