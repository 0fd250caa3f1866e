"""An object of the source in another colour, its light and shade kept.

One colour for the whole object, exactly as recolouring is defined, in place of a colour matrix for each of its patches.

Axes: B batch. Coordinates are those of `overlay.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.overlay import UNKNOWN, OfBatch, strips


@dataclass(frozen=True)
class Tint(OfBatch):
    """
    Args:
        shown: (B,) whether an object is tinted.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to it.
        hides: (B, 4, height, width) what the object hides, see `mmdit.model.hiding`.
        colour: (B, 3) in [0, 1].
        thing: (B,) the number of the object.
    """

    shown: Tensor
    outline: Tensor
    hides: Tensor
    colour: Tensor
    thing: Tensor

    @property
    def leaves(self) -> Tensor:
        """See `Overlay.leaves`: nothing."""
        return torch.full_like(self.shown, UNKNOWN, dtype=torch.long)

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`."""
        alpha = self.outline.sigmoid() * self.shown[:, None, None, None]
        done = []
        for rows, here in strips(*source.shape[-2:], source.device):
            share = functional.grid_sample(
                alpha, here.expand(len(alpha), -1, -1, -1), padding_mode="border", align_corners=False
            )
            tinted = 2 * recolour(luma((source[:, :, rows] + 1) / 2), self.colour[:, :, None, None]) - 1
            done.append(torch.lerp(picture[:, :, rows], tinted, share))
        return torch.cat(done, dim=2)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: nothing."""
        return (~self.shown)[:, None, None, None].float().expand_as(self.outline)


def luma(picture: Tensor) -> Tensor:
    """Rec. 601 luma of (…, 3, height, width) in [0, 1], (…, 1, height, width)."""
    red, green, blue = picture.unbind(dim=-3)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)


def recolour(luminance: Tensor, colour: Tensor) -> Tensor:
    """Tint by a colour c, keeping light and shade: c · 2L where L < ½, else c + (1 − c)(2L − 1)."""
    return torch.where(luminance < 0.5, colour * 2 * luminance, colour + (1 - colour) * (2 * luminance - 1))
