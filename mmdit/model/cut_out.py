"""An object of the source, copied to another size or place: what enlarging, shrinking and moving need beside a colour
matrix.

A small model paints an object from memory, softly; the source shows it sharply. So these pixels of the source are laid
over the edit. (Copying by predicted coordinates: appearance flow, Zhou et al. 2016, arXiv 1605.03557.) At its edge the
object is told from the old background by what stands there without it (difference matting, Qian and Sezan 1992, Video
background replacement without a blue screen), so that it takes no seam along.

Axes: B batch. Coordinates are those of `overlay.py`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.continuation import pulled
from mmdit.model.overlay import UNKNOWN, OfBatch, grown, middles, strips

INSIDE, BESIDE = 0.9, 0.05  # probabilities from which on a pixel is all the object's, and up to which none of it is
FAINT = 0.01  # the probability from which on a pixel is looked at
OF_OUTLINE = 0.3  # what the outline weighs against colours; chosen among .03, .1, .3 and 1 on training scenes


@dataclass(frozen=True)
class CutOut(OfBatch):
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
        """The picture with the source's object over it, both (B, 3, height, width) of any one size.

        Where the object stood the picture shows what is behind it, unless it leaves no place.
        """
        size = source.shape[-2:]
        share = functional.interpolate(self.outline.sigmoid(), size, mode="bilinear", align_corners=False)
        share = share * self.shown[:, None, None, None]
        extents = [_extent(share.amax(dim=(0, 1, across)) > FAINT) for across in (2, 3)]  # of columns, and of rows
        if not all(extents):
            return picture
        box = ..., *(slice(*extent) for extent in reversed(extents))
        cut = _cut(source[box], picture[box], share[box], self.leaves != UNKNOWN)
        of_whole = zip(extents, reversed(size), strict=True)
        place = torch.tensor([((low + high) / count - 1, (high - low) / count) for (low, high), count in of_whole])
        of_box, half = place.to(source).unbind(dim=1)
        centre, to, scale = self.centre[:, None, None], self.to[:, None, None], self.scale[:, None, None, None]
        done = []
        for rows, here in strips(*size, source.device):
            grid = (centre + (here - to) / scale - of_box) / half  # where in the box each pixel comes from
            found = functional.grid_sample(cut, grid, align_corners=False)
            done.append(picture[:, :, rows] * (1 - found[:, 3:]) + 2 * found[:, :3] - found[:, 3:])
        return torch.cat(done, dim=2)

    def by(self, share: float) -> "CutOut":
        """The same after a share of the way to its new size, beyond 1 larger or smaller yet, below 0 the other way; and
        to its new place, which ends there, as the way back ends where it stood.
        """
        return replace(self, scale=self.scale**share, to=torch.lerp(self.centre, self.to, min(max(share, 0.0), 1.0)))

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: where the object was."""
        return grown(self.outline, self.shown)


def _extent(hit: Tensor) -> tuple[int, ...]:
    """The first and one past the last place, of (count,), that is hit; nothing where none is."""
    places = hit.nonzero()[:, 0].tolist()
    return (places[0], places[-1] + 1) if places else ()


def _cut(source: Tensor, behind: Tensor, share: Tensor, knows: Tensor) -> Tensor:
    """(B, 4, height, width) in [0, 1]: an object's colour, premultiplied, and opacity.

    Args:
        source, behind: (B, 3, height, width), with the object and without.
        share: (B, 1, height, width) the probability that a pixel is the object's; its opacity where no more is known.
        knows: (B,) whether ``behind`` is what is behind the object.
    """
    inside = (share > INSIDE).to(source)
    against = pulled(source, 1 - inside) - behind
    agrees = ((source - behind) * against).sum(dim=1, keepdim=True) + OF_OUTLINE * share
    opacity = (agrees / (against.square().sum(dim=1, keepdim=True) + OF_OUTLINE)).clamp(0, 1)
    opacity = torch.maximum(opacity * (share > BESIDE), inside)
    told = (knows & (inside.amax(dim=(1, 2, 3)) > 0))[:, None, None, None]
    opacity, background = torch.where(told, opacity, share), torch.where(told, behind, source)
    colour = (source + 1) / 2 - (1 - opacity) * (background + 1) / 2
    return torch.cat([torch.minimum(colour.clamp_min(0), opacity), opacity], dim=1)


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
