"""A drawing that the model remembers, laid over an edit: what it adds, or puts in the place of something else.

The forty objects are few enough to be kept as pictures, learnt from the scenes of the training; a transformer of this
size repaints them softly. (Remembered sprites in place of painted pixels: MarioNette, Smirnov et al. 2021,
arXiv 2104.14553.)

Axes: B batch, S the drawing's side. Coordinates are those of `overlay.py`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.overlay import grown, strips


@dataclass(frozen=True)
class Drawing:
    """
    Args:
        shown: (B,) whether anything is drawn.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to the object in whose place it stands.
        hides: (B, 4, height, width) what stood in its place hides, see `mmdit.model.hiding`.
        texture: (B, 4, S, S) red, green, blue, premultiplied, and opacity, in [0, 1].
        centre: (B, 2) of its square.
        half: (B, 2) half the square's width and height.
        leaves: (B,) see `Overlay.leaves`.
        thing: (B,) the number of the object that is drawn; −1 for an unknown one.
    """

    shown: Tensor
    outline: Tensor
    hides: Tensor
    texture: Tensor
    centre: Tensor
    half: Tensor
    leaves: Tensor
    thing: Tensor

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`."""
        texture = self.texture * self.shown[:, None, None, None]
        centre, half = self.centre[:, None, None], self.half[:, None, None]
        done = []
        for rows, here in strips(*source.shape[-2:], source.device):
            found = functional.grid_sample(texture, (here - centre) / half, mode="bicubic", align_corners=False)
            alpha = found[:, 3:].clamp(0, 1)
            colour = torch.minimum(found[:, :3].clamp_min(0), alpha)
            done.append(picture[:, :, rows] * (1 - alpha) + 2 * colour - alpha)
        return torch.cat(done, dim=2)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: where the object was in whose place it stands."""
        return grown(self.outline, self.shown)

    def where(self, expected: Tensor) -> "Drawing":
        """See `Overlay.where`."""
        return replace(self, shown=self.shown & expected)

    def of(self, chosen: Tensor) -> "Drawing":
        """See `Overlay.of`."""
        whole = (self.shown, self.outline, self.hides, self.texture, self.centre, self.half, self.leaves, self.thing)
        return Drawing(*(part[chosen] for part in whole))
