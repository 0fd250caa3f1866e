"""Where exactly a remembered drawing stands in a picture: at which side, which pixel, which way round.

Every candidate near the object's outline is laid over the picture, and the one that differs least is the place
(template matching by the sum of squared differences, here of colours where the drawing is opaque, and of its opacity
against the outline). What differs is summed for all shifts at once, as correlations.

Axes: N candidates, S the drawing's side, T the largest candidate's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from skimage.measure import label
from torch import Tensor
from torch.nn import functional

SHIFT = 6  # pixels to either side of the outline's middle
NARROWER, WIDER = 0.9, 1.3  # sides over what the outline tells, which is too small where something covers the object
OUTLINE_WEIGHT = 1.0
OPAQUE, ALIKE, MOSTLY = 0.9, 0.2, 0.5
"""The opacity of pixels that are compared, how far their colours may be apart, and the share that must be alike."""


@dataclass(frozen=True)
class Square:
    """Where a drawing stands, in whole pixels: its side, its left and upper edge, whether it is mirrored."""

    side: int
    left: int
    top: int
    flipped: bool

    @classmethod
    def about(cls, x: int, y: int, side: int, flipped: bool = False) -> "Square":
        """The square whose middle pixel is (x, y)."""
        return cls(side, x - side // 2, y - side // 2, flipped)

    def centre(self, height: int, width: int) -> Tensor:
        """(2,) its middle, in the coordinates of `overlay.py`, in a picture of that size."""
        return torch.tensor([(2 * self.left + self.side) / width, (2 * self.top + self.side) / height]) - 1

    def half(self, height: int, width: int) -> Tensor:
        """(2,) half its width and height, likewise."""
        return torch.tensor([self.side / width, self.side / height])


def find(texture: Tensor, picture: Tensor, outline: Tensor) -> Square:
    """The square at which a drawing best explains what an outline marks.

    Args:
        texture: (4, S, S) premultiplied colour and opacity, in [0, 1].
        picture: (3, height, width) in [−1, 1].
        outline: (height, width), how far a pixel belongs to the object, in [0, 1]; above ½ somewhere.
    """
    left, top, width, height = _extent(_largest(outline > 0.5))
    _, _, drawn_width, drawn_height = _extent(texture[3] > 0.5)
    likely = texture.shape[-1] * max(width / drawn_width, height / drawn_height)
    sides = range(max(2, round(NARROWER * likely)), max(3, round(WIDER * likely)) + 1)
    x, y = round(left + width / 2), round(top + height / 2)

    reach = sides[-1] // 2 + SHIFT
    seen = torch.cat([(picture + 1) / 2, outline[None], torch.ones_like(outline[None])])
    margins = (
        reach - x,
        x + reach - seen.shape[2] + sides[-1] % 2,
        reach - y,
        y + reach - seen.shape[1] + sides[-1] % 2,
    )
    around = functional.pad(seen, margins)[None]
    candidates = [(side, flipped) for side in sides for flipped in (False, True)]
    differs = _difference(_drawn(texture, candidates), around)
    best = int(differs.flatten().argmin())
    candidate, place = divmod(best, differs[0].numel())
    row, column = divmod(place, differs.shape[2])
    side, flipped = candidates[candidate]
    return Square.about(x + column - SHIFT, y + row - SHIFT, side, flipped)


def visible(texture: Tensor, square: Square, picture: Tensor) -> Tensor | None:
    """(height, width) in [0, 1]: what is seen of the drawing, by its own edges; nothing where something covers it. None
    where the picture shows something else, such as the object in another colour.

    Args:
        texture, picture: see `find`.
    """
    height, width = picture.shape[-2:]
    drawn = torch.zeros(4, height + 2 * square.side, width + 2 * square.side, device=picture.device)
    here = _drawn(texture, [(square.side, square.flipped)])[0]
    top, left = square.top + square.side, square.left + square.side
    if min(top, left) < 0 or top > height + square.side or left > width + square.side:
        return None
    drawn[:, top : top + square.side, left : left + square.side] = here
    drawn = drawn[:, square.side : -square.side, square.side : -square.side]
    opaque = drawn[3] > OPAQUE
    alike = opaque & ((drawn[:3] - (picture + 1) / 2).abs().amax(dim=0) < ALIKE)
    if opaque.sum() == 0 or alike.sum() < MOSTLY * opaque.sum():
        return None
    # A pixel is covered if most of the drawing's around it are: single ones differ by how they were drawn.
    near = [functional.avg_pool2d(some.float()[None, None], 5, 1, 2)[0, 0] for some in (alike, opaque)]
    return drawn[3] * (near[0] >= near[1] / 2)


def _largest(inside: Tensor) -> Tensor:
    """The largest connected piece of what is true."""
    pieces = label(inside.cpu().numpy(), connectivity=2)
    sizes = np.bincount(pieces.flatten())
    return torch.from_numpy(pieces == sizes[1:].argmax() + 1).to(inside.device)


def _extent(inside: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width, height of what is true."""
    rows, columns = inside.any(dim=1).nonzero(), inside.any(dim=0).nonzero()
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _drawn(texture: Tensor, candidates: list[tuple[int, bool]]) -> Tensor:
    """(N, 4, T, T), each candidate about the middle pixel of a canvas."""
    largest = max(side for side, _ in candidates)
    canvas = texture.new_zeros(len(candidates), 4, largest, largest)
    for number, (side, flipped) in enumerate(candidates):
        drawn = functional.interpolate(texture[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1)
        start = largest // 2 - side // 2
        canvas[number, :, start : start + side, start : start + side] = drawn.flip(-1) if flipped else drawn
    return canvas


def _difference(drawn: Tensor, around: Tensor) -> Tensor:
    """(N, shifts, shifts): squared difference of each candidate at each shift, but for what is the same for all.

    Of a drawing with colours c and opacity a, the picture's p and the outline's b, summed over the picture's pixels,
    a (p − c)² + w (a − b)² = a p² − 2 p a c + a c² + w (a² − 2 a b + b²).

    Args:
        around: (1, 5, T + shifts − 1, …), the picture in [0, 1], the outline, and 1 within the picture, 0 beyond.
    """
    colour, opacity = drawn[:, :3], drawn[:, 3:]
    own = (colour.square() / opacity.clamp_min(1e-3)).sum(dim=1, keepdim=True) + OUTLINE_WEIGHT * opacity.square()
    kernels = torch.cat([opacity, -2 * colour, -2 * OUTLINE_WEIGHT * opacity, own], dim=1)
    squared = around[:, :3].square().sum(dim=1, keepdim=True)
    return functional.conv2d(torch.cat([squared, around], dim=1), kernels)[0]
