"""Recoloured objects against the definition, pixel by pixel."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdit.model import overlay
from mmdit.model.hiding import hidden
from mmdit.model.tint import Tint


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tinted_by(shown: Tensor, outline: Tensor, colour: Tensor) -> Tint:
    return Tint(shown, outline, hidden(outline.sigmoid()), colour, torch.zeros_like(shown, dtype=torch.long))


def test_a_tint_equals_a_loop_over_pixels() -> None:
    source, picture, outline = draw(1, 3, 6, 9), draw(1, 3, 6, 9, seed=1), 3 * draw(1, 1, 6, 9, seed=2)
    colour = [0.9, 0.4, 0.1]
    found = tinted_by(torch.tensor([True]), outline, torch.tensor([colour])).over(picture, source)
    for row, column in np.ndindex(6, 9):
        red, green, blue = ((source[0, :, row, column] + 1) / 2).tolist()
        light = 0.299 * red + 0.587 * green + 0.114 * blue
        share = outline[0, 0, row, column].sigmoid().item()
        for channel, c in enumerate(colour):
            tinted = c * 2 * light if light < 0.5 else c + (1 - c) * (2 * light - 1)
            expected = share * (2 * tinted - 1) + (1 - share) * picture[0, channel, row, column].item()
            assert found[0, channel, row, column].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_the_result_does_not_depend_on_the_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, tint = draw(2, 3, 150, 90), tinted_by(torch.tensor([True, True]), draw(2, 1, 48, 32), (1 + draw(2, 3)) / 2)
    expected = tint.over(source, source)
    monkeypatch.setattr(overlay, "STRIP_ROWS", rows)
    assert torch.equal(tint.over(source, source), expected)


def test_only_the_samples_in_which_it_is_shown_are_tinted_and_those_are_not_painted() -> None:
    source = draw(3, 3, 20, 24)
    tint = tinted_by(torch.tensor([True, False, True]), 4 * draw(3, 1, 20, 24), (1 + draw(3, 3)) / 2)
    found, chosen = tint.over(source, source), torch.tensor([2, 0])
    assert torch.equal(found[1], source[1])
    assert torch.equal(tint.of(chosen).over(source[chosen], source[chosen]), found[chosen])
    kept = tint.where(torch.tensor([False, True, True])).over(source, source)
    assert torch.equal(kept[0], source[0])
    assert torch.equal(kept[2], found[2])
    assert tint.uncovered().flatten(1).amax(dim=1).tolist() == [0, 1, 0]
    assert tint.uncovered().flatten(1).amin(dim=1).tolist() == [0, 1, 0]
