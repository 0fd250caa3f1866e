"""The mean of several views' edits: which of them count, and that it changes nothing else."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.edit_field import EditField
from mmdit.model.self_ensemble import AGREED, PATCH, SHIFTS, ensemble


def painted(source: Tensor, where: Tensor, colour: Tensor) -> EditField:
    """An edit that adds ``colour`` (N, 3, 1, 1) where ``where`` (N, 1, height, width) says so."""
    zeros = torch.zeros(len(source), 9, *source.shape[-2:])
    return EditField(zeros, (where * colour).expand(-1, 3, -1, -1).clone(), zeros[:, :1].clone())


def pictures(count: int = 2, height: int = 48, width: int = 64) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) - 0.5


def square(height: int, width: int) -> Tensor:
    """A marked place of the picture."""
    where = torch.zeros(1, 1, height, width)
    where[..., 16:32, 20:44] = 1
    return where


class Model:
    """Adds a grey to the marked place, which it finds again in every view, and more of it in each further view."""

    def __init__(self, source: Tensor, by: float, aside: int = 0) -> None:
        self.where, self.by, self.aside = square(*source.shape[-2:]).expand(len(source), -1, -1, -1), by, aside
        self.views: list[tuple[tuple[int, ...], list[int]]] = []

    def __call__(self, noisy: Tensor, source: Tensor, chosen: Tensor) -> EditField:
        assert noisy.shape == source.shape and not any(side % PATCH for side in source.shape[-2:])
        self.views.append((tuple(source.shape[-2:]), chosen.tolist()))
        number = len(self.views)
        rows, columns = ((0, 0), *SHIFTS)[number - 1] if number <= 1 + len(SHIFTS) else (0, 0)
        where = functional.pad(self.where[chosen], (columns, -columns % PATCH, rows, -rows % PATCH))
        where = where.roll((self.aside * (number > 1)), dims=3)
        return painted(source, where, torch.full((len(source), 1, 1, 1), 0.2 + self.by * (number - 1)))


def test_views_that_agree_are_averaged() -> None:
    source = pictures()
    model, noise = Model(source, by=0.01), torch.randn(source.shape)
    first = model(noise, source, torch.arange(2))
    found = ensemble(model, first, noise, source).apply(source)
    wanted = source + model.where * (0.2 + 0.01 * sum(range(8)) / 8)
    torch.testing.assert_close(found, wanted)
    assert len(model.views) == 1 + len(SHIFTS) == 8
    assert {size for size, _ in model.views} == {(48, 64), (64, 64), (48, 80), (64, 80)}


def test_views_that_see_another_edit_are_left_out() -> None:
    source = pictures()
    for aside, kept in ((24, True), (0, False)):
        model, noise = Model(source, by=0.0 if kept else 0.3, aside=aside), torch.randn(source.shape)
        first = model(noise, source, torch.arange(2))
        assert AGREED < (0.3 / 0.2) ** 2
        assert torch.equal(ensemble(model, first, noise, source).offset, first.offset)


@pytest.mark.parametrize("change", [0.0, 0.2])
def test_edits_of_all_or_nothing_are_looked_at_once(change: float) -> None:
    source = pictures()
    first = painted(source, torch.ones(2, 1, 48, 64), torch.full((2, 1, 1, 1), change))

    def never(*_: Tensor) -> EditField:
        raise AssertionError("looked at again")

    assert ensemble(never, first, source, source) is first


def test_only_those_of_the_batch_that_need_it() -> None:
    source = pictures(3)
    model = Model(source, by=0.01)
    first = painted(
        source, model.where * torch.tensor([1.0, 0.0, 1.0])[:, None, None, None], torch.full((3, 1, 1, 1), 0.2)
    )
    model.views.append(((48, 64), [0, 1, 2]))
    found = ensemble(model, first, source, source)
    assert all(chosen == [0, 2] for _, chosen in model.views[1:])
    assert torch.equal(found.apply(source)[1], source[1])
    assert (found.offset[0] != first.offset[0]).any()
