"""Pictures of what an editor does to held-out samples: contact sheets, and the worst edit of each kind.

In: scenes and the finished edits. Out: pictures. Knows no models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmdit import images
from mmdit.training.scenes import SceneBatch
from mmdit.training.scores import Scores

COLUMNS, LABEL, GAP = 4, 18, 2


@dataclass(frozen=True)
class Sample:
    """
    Args:
        title: what is written above it.
        pictures: source, output and truth, (3, 3, height, width) in [−1, 1].
    """

    title: str
    pictures: Tensor


def samples(scenes: SceneBatch, output: Tensor) -> list[Sample]:
    """All of a batch, under their instructions."""
    rows = zip(scenes.instructions, scenes.source, output, scenes.target, strict=True)
    return [Sample(title, torch.stack(pictures)) for title, *pictures in rows]


class Worst:
    """The sample of each kind whose error is the largest, of those that it is shown."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Sample]] = {}

    def show(self, scenes: SceneBatch, output: Tensor, rows: Sequence[Scores]) -> None:
        for kind, sample, row in zip(scenes.kinds, samples(scenes, output), rows, strict=True):
            error = row["error"] / row["error_unedited"] if row["error_unedited"] else -row["psnr_source"]
            if kind not in self._found or error > self._found[kind][0]:
                self._found[kind] = error, sample

    def samples(self) -> list[Sample]:
        return [sample for _, sample in self._found.values()]


def sheet(shown: Sequence[Sample]) -> Image.Image:
    """Source, output and truth of every sample, with its title, four samples a row."""
    height, width = (max(sample.pictures.shape[side] for sample in shown) for side in (-2, -1))
    cell = (3 * (width + GAP) + 8, height + LABEL)
    page = Image.new("RGB", (COLUMNS * cell[0], -(-len(shown) // COLUMNS) * cell[1]), "white")
    draw = ImageDraw.Draw(page)
    for index, sample in enumerate(shown):
        left, top = index % COLUMNS * cell[0], index // COLUMNS * cell[1]
        draw.text((left, top), sample.title[: cell[0] // 6], fill="black")
        for place in range(3):
            picture = images.to_image(sample.pictures[place : place + 1])
            page.paste(picture, (left + place * (width + GAP), top + LABEL - 4))
    return page
