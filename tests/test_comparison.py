"""Maps of several editors, side by side."""

from pathlib import Path

import numpy as np
import torch

from mmdit import images
from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.model.transformer import MiniMMDiT
from mmdit.training.comparison import GAP, LABEL, SCALE, figure
from mmdit.training.localisation import located
from mmdit.training.scenes import Scenes


def test_each_editor_has_its_own_map_of_the_same_pictures(data_folder: Path) -> None:
    shipped, untrained = MiniEditor(CATALOG["mini"].source), MiniEditor(CATALOG["mini"].source)
    torch.manual_seed(0)
    untrained.transformer = MiniMMDiT.from_config(shipped.transformer.config).eval()
    kinds = ["remove", "sepia", "recolour", "remove", "recolour", "remove"]
    scenes = Scenes(data_folder, "held_out", 5).batch(0, len(kinds), kinds=kinds, working_size=(112, 144))
    named = [sample.index for sample in located(shipped, scenes)]
    assert len(named) >= 2 and 1 not in named  # an edit of the whole picture names no object

    page = np.asarray(figure({"one": shipped, "two": untrained, "three": shipped}, scenes, 2)).astype(int)
    height, width = 112 * SCALE, 144 * SCALE
    assert page.shape == (2 * (height + LABEL), 4 * width + 3 * GAP, 3)
    for row, index in enumerate(named[:2]):
        top = row * (height + LABEL) + LABEL
        given, one, two, three = (
            page[top : top + height, left : left + width] for left in range(0, page.shape[1], width + GAP)
        )
        picture = images.to_image(scenes.source[index : index + 1]).resize((width, height))
        assert np.abs(given - np.asarray(picture).astype(int)).mean() < 2
        assert np.array_equal(one, three) and np.abs(one - two).mean() > 3 and np.abs(one - given).mean() > 3
