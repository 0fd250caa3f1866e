"""One estimate from eight views of the picture, whose grids of patches lie a quarter or half of a patch apart.

An object is cut into patches by where it happens to stand; the mean of cuts that agree is nearer to the truth than any
one of them, and hides the seams between patches. Where a view leads to another edit, such as an added object that its
grid puts elsewhere, it is left out. (Self-ensemble, Lim et al. 2017, arXiv 1707.02921, section 3.4, with shifts in the
place of flips.) Knows no text and no timestep.

Axes: B batch; N of it, those whose edit is one of a part of the picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.edit_field import EditField

PATCH = 16  # pixels
SHIFTS = ((8, 8), (0, 8), (8, 0), (4, 4), (12, 12), (4, 12), (12, 4))
"""(rows, columns) by which the grid of a further view begins before the picture, in pixels."""
AGREED = 0.25
"""Squared difference of two views' results, over the squared change of the first, below which they agree."""
VISIBLE = 0.02  # of a pixel, in [−1, 1]
WHOLE = 0.9
"""Share of pixels that change from which an edit is one of the whole picture, which no grid cuts."""

Estimate = Callable[[Tensor, Tensor, Tensor], EditField]
"""(noisy, source, chosen): pictures (N, 3, height, width), and their numbers in the batch, (N,) → the edit that is
estimated of each."""


def ensemble(
    estimate: Estimate, first: EditField, noisy: Tensor, source: Tensor, among: Tensor | None = None
) -> EditField:
    """The mean of the first view's edit and of those that agree with it, for edits of a part of the picture.

    Args:
        first: what ``estimate`` said of the whole batch; returned for edits of the whole picture, and for none. What
            is laid over it stays as it is.
        noisy, source: (B, 3, height, width).
        among: (B,) true where more than one view is wanted at all; everywhere by default.
    """
    height, width = source.shape[-2:]
    edited = first.painted().apply(source)
    share = ((edited - source).abs().amax(dim=1) > VISIBLE).float().mean(dim=(1, 2))
    wanted = (share > 0) & (share < WHOLE)
    chosen = (wanted if among is None else wanted & among).nonzero()[:, 0]
    if len(chosen) == 0:
        return first
    noisy, source, edited, total = noisy[chosen], source[chosen], edited[chosen], first.painted().of(chosen)
    change = _squared(edited - source)
    count = torch.ones_like(change)
    for rows, columns in SHIFTS:
        margins = (columns, -columns % PATCH, rows, -rows % PATCH)
        views = (functional.pad(picture, margins, mode="reflect") for picture in (noisy, source))
        shifted = estimate(*views, chosen).part(slice(rows, rows + height), slice(columns, columns + width))
        agrees = (_squared(shifted.apply(source) - edited) < AGREED * change).float()
        count = count + agrees
        total = total.mix(shifted, agrees / count)
    return first.replaced(chosen, total)


def _squared(difference: Tensor) -> Tensor:
    """(N, 1, 1, 1)."""
    return difference.square().sum(dim=(1, 2, 3), keepdim=True)
