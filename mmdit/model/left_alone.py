"""Pictures that stay as they are: an overlay that covers nothing, and beside which nothing is painted.

Axes: B batch.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdit.model.overlay import OfNoObject


@dataclass(frozen=True)
class LeftAlone(OfNoObject):
    """
    Args:
        shown: (B,) which pictures stay.
        size: (height, width) of the working picture.
    """

    shown: Tensor
    size: tuple[int, int]

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`: the source where it is shown, to the bit."""
        if not self.shown.any():
            return picture
        return torch.where(self.shown[:, None, None, None], source, picture)

    def where(self, expected: Tensor) -> "LeftAlone":
        """See `Overlay.where`."""
        return replace(self, shown=self.shown & expected)

    def of(self, chosen: Tensor) -> "LeftAlone":
        """See `Overlay.of`."""
        return replace(self, shown=self.shown[chosen])
