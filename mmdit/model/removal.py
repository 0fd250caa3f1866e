"""An object that is taken out of the picture: an overlay that covers nothing, and leaves its place to be painted.

Axes: B batch.
"""

from dataclasses import dataclass

from torch import Tensor

from mmdit.model.overlay import OfBatch, grown


@dataclass(frozen=True)
class Removal(OfBatch):
    """
    Args:
        shown: (B,) whether an object is removed.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to it.
        hides: (B, 4, height, width) what the object hides, see `mmdit.model.hiding`.
        leaves: (B,) see `Overlay.leaves`.
        centre, half: (B, 2) middle of the object's square, and half the square's width and height.
    """

    shown: Tensor
    outline: Tensor
    hides: Tensor
    leaves: Tensor
    centre: Tensor
    half: Tensor

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`: the picture as it is."""
        return picture

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`."""
        return grown(self.outline, self.shown)
