"""What is painted behind objects: the interpolation it starts from, the network that mends it, its training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdit.catalog import CATALOG
from mmdit.model import checkpoint
from mmdit.model.background import BACKGROUND_FILE, Background, interpolated
from mmdit.model.inpainting import hole_of, without_object
from mmdit.training.background import WINDOW, lesson, train
from mmdit.training.scenes import Scenes

SURE = 40.0


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def box(height: int, width: int, rows: slice, columns: slice) -> Tensor:
    hole = torch.zeros(1, 1, height, width)
    hole[..., rows, columns] = 1
    return hole


def perturbed() -> Background:
    """A network that changes something."""
    torch.manual_seed(0)
    network = Background().eval()
    torch.nn.init.normal_(network.out.weight, std=0.05)
    return network


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 51), (1, 9)])
def test_the_interpolation_keeps_what_is_seen_and_reads_nothing_else(height: int, width: int) -> None:
    picture, hole = draw(1, 3, height, width), box(height, width, slice(0, height), slice(2, 7))
    filled = interpolated(picture, hole)
    assert torch.equal(filled * (1 - hole), picture * (1 - hole))
    assert torch.equal(interpolated(picture * (1 - hole) + hole * 0.7, hole), filled)
    assert filled.abs().max() <= 1


def test_a_plain_picture_is_continued_exactly_and_a_gradient_nearly() -> None:
    hole = box(64, 64, slice(20, 44), slice(16, 40))
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(interpolated(plain, hole), plain, atol=1e-5, rtol=0)
    gradient = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert ((interpolated(gradient, hole) - gradient) * hole).abs().max() < 0.25
    everything = torch.ones(1, 1, 64, 64)
    assert torch.isfinite(interpolated(plain, everything)).all()


def test_an_untrained_network_is_the_interpolation() -> None:
    picture, hole = draw(2, 3, 40, 56), box(40, 56, slice(10, 30), slice(5, 25)).expand(2, -1, -1, -1)
    torch.testing.assert_close(Background()(picture, hole), interpolated(picture, hole))


@pytest.mark.parametrize(("height", "width"), [(128, 128), (80, 192), (50, 71)])
def test_the_network_paints_the_hole_only_and_does_not_look_into_it(height: int, width: int) -> None:
    picture, hole = draw(1, 3, height, width), box(height, width, slice(10, 30), slice(20, 50))
    network = perturbed()
    output = network(picture, hole)
    assert torch.equal(output * (1 - hole), picture * (1 - hole))
    assert (output - interpolated(picture, hole)).abs().max() > 0.01
    torch.testing.assert_close(network(torch.where(hole > 0, -picture, picture), hole), output)


def test_eight_bits_lose_little(tmp_path: Path) -> None:
    network, picture, hole = perturbed(), draw(1, 3, 64, 64), box(64, 64, slice(20, 40), slice(20, 40))
    network.save(tmp_path / "once")
    again = Background.from_file(tmp_path / "once")
    torch.testing.assert_close(again(picture, hole), network(picture, hole), atol=0.02, rtol=0)
    again.save(tmp_path / "twice")
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_the_edit_takes_the_object_out_and_nothing_else() -> None:
    source = draw(1, 3, 48, 64)
    outline = torch.full((1, 1, 48, 64), -SURE)
    outline[..., 10:30, 20:40] = SURE
    field = without_object(source, outline, None)
    hole = hole_of(outline)
    assert hole.sum() == 22 * 22  # a pixel more on every side
    assert torch.equal(field.apply(source) * (1 - hole), source * (1 - hole))
    torch.testing.assert_close(field.apply(source), interpolated(source, hole), atol=1e-6, rtol=0)


# ---- training ----------------------------------------------------------------------------------


def test_a_lesson_shows_the_object_and_the_truth_without_it(data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(0, 24, kinds=["remove"] * 24)
    source, hole, target = lesson(scenes)
    height, width = scenes.source.shape[-2:]
    assert source.shape[-2:] == hole.shape[-2:] == (min(WINDOW, height), min(WINDOW, width))
    changed = (source - target).abs().amax(dim=1, keepdim=True)
    assert (changed * (1 - hole)).max() < 0.65  # what is left beside the hole is seen to at most EDGE
    assert (changed * hole).amax(dim=(1, 2, 3)).min() > 0.05
    whole = (scenes.masks[torch.arange(24), scenes.edited_slot] > 0.5).sum(dim=(1, 2))
    assert (hole.sum(dim=(1, 2, 3)) >= whole).all()


def test_training_learns_and_is_the_same_each_time(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmdit.training.background.BATCH", 8)
    monkeypatch.setattr("mmdit.training.background.TOLD_EVERY", 12)
    scenes = Scenes(data_folder, "train", 3)
    first, second = (train(scenes, 8 * 24, seed=0) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.out.weight.abs().max() > 0
    assert "12/24  error" in capsys.readouterr().out


@pytest.mark.shipped
def test_the_shipped_network_is_nearer_to_the_truth_than_interpolation(data_folder: Path) -> None:
    network = checkpoint.background(CATALOG["mini"].source)
    assert (CATALOG["mini"].source / BACKGROUND_FILE).is_file()
    source, hole, target = lesson(Scenes(data_folder, "held_out", 5).batch(0, 48, kinds=["remove"] * 48))

    def error(painted: Tensor) -> float:
        return ((painted - target) * hole).square().sum().item()

    assert error(network(source, hole)) < 0.8 * error(interpolated(source, hole))
    assert error(network(source, hole)) < 0.06 * error(source)
