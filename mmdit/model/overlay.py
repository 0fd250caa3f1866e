"""What may be laid over an edit, and the coordinates in which its place is said.

Coordinates are (x, y), from −1 at the left or upper edge of the picture to 1 at the other, whatever its size: those of
`torch.nn.functional.grid_sample`. Pictures are (B, 3, height, width) in [−1, 1].
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

GROWN = 5  # pixels of the working size; chosen among 1, 2, 3 and 5 on training samples
STRIP_ROWS = 512  # rows drawn at a time, to bound memory
UNKNOWN = -1  # the number of no object, and of one that is not known
Own = TypeVar("Own", bound="OfBatch")


class Overlay(Protocol):
    """Something that covers a part of the picture in some samples of a batch, and nothing in the others."""

    @property
    def shown(self) -> Tensor:
        """(B,) whether it covers anything."""

    @property
    def outline(self) -> Tensor:
        """(B, 1, height, width) logit that a pixel of the source belongs to the object in whose place it stands."""

    @property
    def hides(self) -> Tensor:
        """(B, 4, height, width) what that object hides, see `mmdit.model.hiding`."""

    @property
    def leaves(self) -> Tensor:
        """(B,) the number of the object whose old place it leaves to be painted; `UNKNOWN` where it leaves none."""

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """The picture with it on top, at any size; ``source`` is what is edited, at the same size."""

    def uncovered(self) -> Tensor:
        """(B, 1, height, width) in [0, 1]: what may have to be painted beside it; everywhere where it shows nothing."""

    def where(self, expected: Tensor) -> "Overlay":
        """The same in the samples, (B,), in which it is expected, nothing in the others."""

    def of(self, chosen: Tensor) -> "Overlay":
        """Some of the batch, by number."""


class OfBatch:
    """What is common to overlays that are dataclasses of tensors, each with a row for every sample."""

    shown: Tensor

    def where(self: Own, expected: Tensor) -> Own:
        """See `Overlay.where`."""
        return replace(self, shown=self.shown & expected)

    def of(self: Own, chosen: Tensor) -> Own:
        """See `Overlay.of`."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


class OfNoObject:
    """What is common to overlays that stand in no object's place."""

    shown: Tensor
    size: tuple[int, int]  # (height, width) of the working picture

    @property
    def outline(self) -> Tensor:
        """See `Overlay.outline`: of nothing."""
        return torch.full((len(self.shown), 1, *self.size), -torch.inf, device=self.shown.device)

    @property
    def hides(self) -> Tensor:
        """See `Overlay.hides`: nothing."""
        return torch.zeros(len(self.shown), 4, *self.size, device=self.shown.device)

    @property
    def leaves(self) -> Tensor:
        """See `Overlay.leaves`: nothing."""
        return torch.full_like(self.shown, UNKNOWN, dtype=torch.long)

    def uncovered(self) -> Tensor:
        """See `Overlay.uncovered`: nothing."""
        return (~self.shown)[:, None, None, None].float().expand(-1, 1, *self.size)


def grown(outline: Tensor, shown: Tensor) -> Tensor:
    """(B, 1, height, width) in [0, 1]: where an outline's object stands, a little grown; everywhere where not shown.

    Args:
        outline: (B, 1, height, width) logit. shown: (B,).
    """
    alpha = functional.max_pool2d(outline.sigmoid(), 2 * GROWN + 1, stride=1, padding=GROWN)
    return torch.where(shown[:, None, None, None], alpha, 1.0)


def strips(height: int, width: int, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Rows, and the coordinates (rows, width, 2) of their pixels, from the top of a picture to its bottom."""
    x, y = middles(width, device), middles(height, device)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        yield rows, torch.stack(torch.meshgrid(x, y[rows], indexing="xy"), dim=-1)


def middles(count: int, device: torch.device) -> Tensor:
    """(count,) coordinates of the middles of pixels, or of patches, along one side."""
    return (torch.arange(count, device=device) + 0.5) * 2 / count - 1
