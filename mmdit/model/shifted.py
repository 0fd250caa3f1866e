"""What surrounds a hole, shifted over it, so that stripes, tiles and textures go on.

Shifts of the picture are judged by what they show around the hole; a pixel of the hole gets the mean of what the best
of them show there, by how well each agrees with what is seen near that pixel. Shift-maps (Pritch et al. 2009, Shift-map
image editing), weighted like non-local means (Buades et al. 2005, A non-local algorithm for image denoising).

Axes: P pixels of the hole, A pixels around it, S shifts. Pictures are (3, height, width) in [−1, 1].
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

FARTHEST, SMALLEST = 40, 3  # of a shift: its largest part, its smallest sum of parts
AROUND, JUDGING = 6, 150  # the width of what is looked at around the hole; how many pixels of it judge all shifts
KEPT = 24  # of the shifts that agree best all around, and in each quarter
SEEN_AROUND, SEEN_IN_HOLE = 0.6, 0.15  # shares of the pixels at which a shift must show something that is seen
NEAR, SEEN_NEAR = 5.0, 0.3  # standard deviation of what counts as near; share that must be seen there
NEVER = 1e3  # a misfit that no two pictures have
MEASURES = 4


@dataclass(frozen=True)
class Shifted:
    """
    Args:
        colours: (P, 3).
        measures: (P, `MEASURES`), logarithms: how much what is seen near differs, how badly the best shift agrees with
            it, how many agree about as well, how far these are from one another.
    """

    colours: Tensor
    measures: Tensor


@cache
def _shifts() -> Tensor:
    """(S, 2) rows and columns."""
    steps = torch.arange(-FARTHEST, FARTHEST + 1)
    shifts = torch.cartesian_prod(steps, steps)
    return shifts[shifts.abs().sum(dim=1) >= SMALLEST]


class _Flat:
    """A picture with a margin of nothing, its pixels as one list, so that a shift is an addition to their numbers."""

    def __init__(self, picture: Tensor, seen: Tensor) -> None:
        margin = (FARTHEST,) * 4
        self.width = picture.shape[-1] + 2 * FARTHEST
        self.colours = functional.pad(picture, margin).flatten(1).T.contiguous()
        self.seen = functional.pad(seen, margin).flatten()

    def numbers(self, places: Tensor) -> Tensor:
        """(N,) of places, (N, 2) rows and columns without the margin."""
        return (places[:, 0] + FARTHEST) * self.width + places[:, 1] + FARTHEST

    def misfit(self, around: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
        """(S, A) how what is shifted differs from what is seen there, 0 where it is not seen; and whether it is."""
        numbers = around + by[:, None]
        seen = self.seen[numbers]
        return (self.colours[numbers] - self.colours[around]).square().mean(dim=-1) * seen, seen


def shifted(picture: Tensor, hole: Tensor, otherwise: Tensor) -> Shifted:
    """What shifts of the picture show in its hole.

    Args:
        hole: (height, width), 1 where the picture is not seen, at least somewhere.
        otherwise: (P, 3), for pixels over which no shift shows anything.
    """
    around = functional.max_pool2d(hole[None], 2 * AROUND + 1, 1, AROUND)[0] - hole
    inner, outer = hole.nonzero(), around.nonzero()
    flat = _Flat(picture, 1 - hole)
    here, there = flat.numbers(inner), flat.numbers(outer)
    square = (inner[:, None] - outer).float().square().sum(dim=-1)
    near = torch.exp((square.amin(dim=1, keepdim=True) - square) / (2 * NEAR**2))  # (P, A)
    near = near / near.sum(dim=1, keepdim=True)
    means = near @ flat.colours[there]
    variety = (near @ flat.colours[there].square() - means.square()).mean(dim=1).clamp_min(0)
    by = _promising(flat, inner, outer)
    differs, seen = flat.misfit(there, by)
    seen = seen @ near.T  # (S, P)
    known = (flat.seen[here + by[:, None]] > 0) & (seen >= SEEN_NEAR)
    misfit = torch.where(known, differs @ near.T / seen.clamp_min(1e-6), NEVER)
    return _mean(flat.colours[here + by[:, None]], misfit, variety, otherwise)


def _promising(flat: _Flat, inner: Tensor, outer: Tensor) -> Tensor:
    """(S,) the additions of the shifts that agree best with what is around, on all sides and in each quarter."""
    judging = outer[:: max(1, len(outer) // JUDGING)]
    shifts = _shifts()
    by = shifts[:, 0] * flat.width + shifts[:, 1]
    differs, seen = flat.misfit(flat.numbers(judging), by)
    covers = flat.seen[flat.numbers(inner[::7]) + by[:, None]].mean(dim=1) > SEEN_IN_HOLE
    side = (judging > inner.float().mean(dim=0)).long() @ torch.tensor([2, 1])
    kept = []
    for chosen in (side >= 0, *(side == quarter for quarter in range(4))):
        count = seen[:, chosen].sum(dim=1)
        misfit = differs[:, chosen].sum(dim=1) / count.clamp_min(1)
        misfit = torch.where(covers & (count > SEEN_AROUND * chosen.sum()) & (count > 0), misfit, NEVER)
        best = misfit.topk(KEPT, largest=False)
        kept.append(best.indices[best.values < NEVER])
    return by[torch.cat(kept).unique()]


def _mean(shown: Tensor, misfit: Tensor, variety: Tensor, otherwise: Tensor) -> Shifted:
    """What the shifts show, those that agree best counting most.

    Args:
        shown: (S, P, 3). misfit: (S, P), `NEVER` where nothing is shown. variety: (P,) variance of what is near.
    """
    nothing = torch.full_like(misfit[:1], NEVER)
    best = torch.cat([misfit, nothing]).amin(dim=0)
    weights = torch.exp((best - misfit) / (best + 0.001)) * (misfit < NEVER)
    total = weights.sum(dim=0).clamp_min(1e-9)
    colours = torch.where((best < NEVER)[:, None], (shown * weights[..., None]).sum(dim=0) / total[:, None], otherwise)
    spread = ((shown - colours).square().mean(dim=-1) * weights).sum(dim=0) / total
    best = torch.where(best < NEVER, best, 3.0)
    measures = [variety + 1e-4, best + 1e-4, weights.sum(dim=0) + 1, spread + 1e-4]
    return Shifted(colours, torch.stack(measures, dim=1).log())
