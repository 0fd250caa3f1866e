"""Contact sheets, and which edits are shown as the worst."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmdit import images
from mmdit.training import sheets
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.scores import score

KINDS = ["recolour", "sepia", "absent object"]


@pytest.fixture(scope="module")
def scenes(data_folder: Path) -> SceneBatch:
    return Scenes(data_folder, "held_out", 7).batch(0, 12, kinds=KINDS * 4, working_size=(96, 160))


def test_the_worst_edit_of_each_kind_is_kept(scenes: SceneBatch) -> None:
    """Each edit goes a known share of the way wrong; the largest of each kind are those of samples 9, 1 and 11."""
    share = torch.tensor([0.1, 0.4, 0.1, 0.2, 0.3, 0.2, 0.3, 0.2, 0.3, 0.4, 0.1, 0.4])[:, None, None, None]
    absent = torch.tensor([kind == "absent object" for kind in scenes.kinds])[:, None, None, None]
    output = torch.where(absent, scenes.source * (1 - share), torch.lerp(scenes.target, scenes.source, share))
    rows = score(scenes, output)
    worst = sheets.Worst()
    halves = [slice(0, 6), slice(6, 12)]
    for half in halves:
        worst.show(scenes_of(scenes, half), output[half], rows[half])
    found = worst.samples()
    assert [sample.title for sample in found] == [scenes.instructions[index] for index in (9, 1, 11)]
    assert torch.equal(found[1].pictures, torch.stack([scenes.source[1], output[1], scenes.target[1]]))


def scenes_of(scenes: SceneBatch, chosen: slice) -> SceneBatch:
    return SceneBatch(**{name: of[chosen] for name, of in vars(scenes).items()})


def test_a_sheet_holds_every_picture_where_it_belongs(scenes: SceneBatch) -> None:
    page = np.asarray(sheets.sheet(sheets.samples(scenes, scenes.target)[:5]))
    for index in range(5):
        top, left = 14 + index // 4 * (96 + 18), index % 4 * (3 * 162 + 8)
        for place, pictures in enumerate((scenes.source, scenes.target, scenes.target)):
            x = left + place * 162
            shown = np.asarray(images.to_image(pictures[index : index + 1]))
            np.testing.assert_array_equal(page[top : top + 96, x : x + 160], shown)
