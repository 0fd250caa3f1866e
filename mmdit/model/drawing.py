"""A drawing that the model remembers, laid over an edit: what it adds, or puts in the place of something else.

The forty objects are few enough to be kept as pictures, learnt from the scenes of the training; a transformer of this
size repaints them softly. (Remembered sprites in place of painted pixels: MarioNette, Smirnov et al. 2021,
arXiv 2104.14553.)

Axes: B batch, S the drawing's side. Coordinates are those of `overlay.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.overlay import OfBatch, grown, strips


@dataclass(frozen=True)
class Drawing(OfBatch):
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
        done = picture.clone()
        for index in self.shown.nonzero()[:, 0].tolist():
            texture = self._no_finer(index, *source.shape[-2:])
            for rows, here in strips(*source.shape[-2:], source.device):
                grid = ((here - self.centre[index]) / self.half[index])[None]
                found = functional.grid_sample(texture, grid, mode="bicubic", align_corners=False)[0]
                alpha = found[3:].clamp(0, 1)
                colour = torch.minimum(found[:3].clamp_min(0), alpha)
                done[index, :, rows] = picture[index, :, rows] * (1 - alpha) + 2 * colour - alpha
        return done

    def _no_finer(self, index: int, height: int, width: int) -> Tensor:
        """(1, 4, rows, columns) one drawing, smaller if it is finer than the pixels of a height × width picture."""
        texture = self.texture[index : index + 1]
        wide, high = (self.half[index] * torch.tensor([width, height]).to(self.half)).round().int().tolist()
        size = min(max(high, 1), texture.shape[-1]), min(max(wide, 1), texture.shape[-1])
        return functional.interpolate(texture, size, mode="bicubic", antialias=True)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: where the object was in whose place it stands."""
        return grown(self.outline, self.shown)
