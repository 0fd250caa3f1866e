"""An object of the source, copied to another size or place: what enlarging, shrinking and moving need beside a colour
matrix.

A small model paints an object from memory, softly; the source shows it sharply. So these pixels of the source are laid
over the edit. (Copying by predicted coordinates: appearance flow, Zhou et al. 2016, arXiv 1605.03557.)

Axes: B batch. Coordinates are those of `overlay.py`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.overlay import grown, middles, strips


@dataclass(frozen=True)
class CutOut:
    """
    Args:
        shown: (B,) whether an object is copied.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to it.
        hides: (B, 4, height, width) what the object hides, see `mmdit.model.hiding`.
        scale: (B,) the new size over the old.
        centre: (B, 2) the middle of the object.
        to: (B, 2) where that comes to stand.
        leaves: (B,) see `Overlay.leaves`.
    """

    shown: Tensor
    outline: Tensor
    hides: Tensor
    scale: Tensor
    centre: Tensor
    to: Tensor
    leaves: Tensor

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """The picture with the source's object over it, both (B, 3, height, width) of any one size."""
        alpha = self.outline.sigmoid() * self.shown[:, None, None, None]
        centre, to, scale = self.centre[:, None, None], self.to[:, None, None], self.scale[:, None, None, None]
        done = []
        for rows, here in strips(*source.shape[-2:], source.device):
            grid = centre + (here - to) / scale  # where in the source each pixel comes from
            share = functional.grid_sample(alpha, grid, align_corners=False)
            colour = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
            done.append(torch.lerp(picture[:, :, rows], colour, share))
        return torch.cat(done, dim=2)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: where the object was."""
        return grown(self.outline, self.shown)

    def where(self, expected: Tensor) -> "CutOut":
        """See `Overlay.where`."""
        return replace(self, shown=self.shown & expected)

    def of(self, chosen: Tensor) -> "CutOut":
        """See `Overlay.of`."""
        whole = (self.shown, self.outline, self.hides, self.scale, self.centre, self.to, self.leaves)
        return CutOut(*(part[chosen] for part in whole))


def middle(outline: Tensor) -> Tensor:
    """(B, 2) the middle of the extent of what belongs to the object; the picture's own where no pixel does."""
    belongs = outline[:, 0] > 0
    found = []
    for across in (1, 2):
        hit = belongs.any(dim=across)
        place = middles(hit.shape[1], hit.device)
        first, last = torch.where(hit, place, 1.0).amin(dim=1), torch.where(hit, place, -1.0).amax(dim=1)
        found.append((first + last) / 2)
    return torch.stack(found, dim=1)
