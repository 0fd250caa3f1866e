"""Pictures that stay as they are: an overlay that covers nothing, and beside which nothing is painted.

Axes: B batch.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdit.model.overlay import UNKNOWN


@dataclass(frozen=True)
class LeftAlone:
    """
    Args:
        shown: (B,) which pictures stay.
        size: (height, width) of the working picture.
    """

    shown: Tensor
    size: tuple[int, int]

    @property
    def outline(self) -> Tensor:
        """See `Overlay.outline`: it stands in nothing's place."""
        return torch.full((len(self.shown), 1, *self.size), -torch.inf, device=self.shown.device)

    @property
    def hides(self) -> Tensor:
        """See `Overlay.hides`: nothing."""
        return torch.zeros(len(self.shown), 4, *self.size, device=self.shown.device)

    @property
    def leaves(self) -> Tensor:
        """See `Overlay.leaves`: nothing."""
        return torch.full_like(self.shown, UNKNOWN, dtype=torch.long)

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`: the source where it is shown, to the bit."""
        if not self.shown.any():
            return picture
        return torch.where(self.shown[:, None, None, None], source, picture)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: nothing."""
        return (~self.shown)[:, None, None, None].float().expand(-1, 1, *self.size)

    def where(self, expected: Tensor) -> "LeftAlone":
        """See `Overlay.where`."""
        return replace(self, shown=self.shown & expected)

    def of(self, chosen: Tensor) -> "LeftAlone":
        """See `Overlay.of`."""
        return replace(self, shown=self.shown[chosen])
