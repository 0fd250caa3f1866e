"""What is painted where an object was: the picture's continuation by `background.py`, as an edit.

Axes: B batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.background import Background, interpolated
from mmdit.model.edit_field import EditField

EDGE, EDGE_GROWN = 0.3, 1  # the probability from which a pixel is taken for the object's, and pixels around these


def hole_of(outline: Tensor) -> Tensor:
    """(B, 1, height, width), 1 where an object may be seen, by its outline's logit, and 0 elsewhere."""
    return functional.max_pool2d((outline.sigmoid() > EDGE).float(), 2 * EDGE_GROWN + 1, 1, EDGE_GROWN)


def without_object(source: Tensor, outline: Tensor, background: Background | None) -> EditField:
    """The edit that takes an object out of the source, (B, 3, height, width) in [−1, 1].

    Args:
        outline: (B, 1, height, width) logit.
        background: what paints; None for an interpolation.
    """
    hole = hole_of(outline)
    painted = interpolated(source, hole) if background is None else background(source, hole)
    nothing = torch.zeros_like(source)
    return EditField(nothing.repeat(1, 3, 1, 1), hole * (painted.clamp(-1, 1) - source), nothing[:, :1])
