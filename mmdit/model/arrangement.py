"""Where things stand: one of two objects of a kind, an object moved to another place, something new beside another.

What the instruction says of it comes from its `Reading`; what stands where, from the overlays that the object head
found.

Axes: B batch. Coordinates are those of `overlay.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmdit.model.cut_out import CutOut
from mmdit.model.drawing import Drawing
from mmdit.model.overlay import Overlay, middles
from mmdit.model.reader import Reading
from mmdit.model.removal import Removal
from mmdit.model.vocabulary import PLACES

ANCHOR = 8
"""What is put somewhere stands on a raster of half patches, in working pixels: few ways to cut one into patches."""
OUTSIDE = -20.0  # logit of what belongs to no object
TOUCHING, ASIDE, UP = 1.05, 0.6, 0.4
"""How far beside another object something new stands, in the sum of their half sides; how far from one that it stands
behind or before, in its half sides."""

Look = Callable[[Tensor, Sequence[str]], Removal | None]
"""Numbers in the batch and the names of objects → where these are, as if they were to be removed."""


def standing(cells: Tensor, height: int, width: int) -> Tensor:
    """(…, 2) working pixels x, y of what stands in the cells of `PLACES`, (…), of a height × width picture."""
    middle = torch.tensor([width, height]) / 2
    grid = torch.stack([cells % 3, cells // 3], dim=-1)
    centre = (2 * grid + 1) / 3 * middle
    return middle + ((centre - middle) / ANCHOR).trunc() * ANCHOR


def one_of_two(
    first: tuple[Overlay, ...], second: tuple[Overlay, ...], readings: Sequence[Reading | None]
) -> tuple[Overlay, ...]:
    """Of two objects of a kind, what is laid over the one that is meant.

    Args:
        first: what is laid over the one that is found.
        second: the same of the one that is found when the first is hidden; of neither where there is none.
    """
    if not first or not second:
        return first
    shown = [torch.stack([overlay.shown for overlay in of]).any(dim=0) for of in (first, second)]
    both = (shown[0] & shown[1]).tolist()
    chosen = torch.zeros_like(shown[0])
    for index, reading in enumerate(readings):
        if reading is not None and reading.which and both[index]:
            measures = [_measure(_outline(of, index), reading.which) for of in (first, second)]
            chosen[index] = measures[1] < measures[0]
    return (*(overlay.where(~chosen) for overlay in first), *(overlay.where(chosen) for overlay in second))


def _outline(overlays: tuple[Overlay, ...], index: int) -> Tensor:
    """(height, width) logit of what one sample's overlay stands for."""
    return next(overlay.outline[index, 0] for overlay in overlays if overlay.shown[index])


def _measure(outline: Tensor, which: str) -> float:
    """What is the least for the object that is meant; the same for all where any is."""
    share = outline.sigmoid()
    rows, columns = (middles(count, share.device) for count in share.shape)
    size = share.sum()
    x, y = (share.sum(dim=0) @ columns / size).item(), (share.sum(dim=1) @ rows / size).item()
    least = {"left": x, "right": -x, "upper": y, "lower": -y, "smaller": size.item(), "larger": -size.item()}
    return least.get(which, 0)


def arranged(
    overlays: tuple[Overlay, ...], readings: Sequence[Reading | None], size: tuple[int, int], look: Look
) -> tuple[Overlay, ...]:
    """The overlays as the readings say where things stand.

    Args:
        size: (height, width) of the working picture.
        look: see `Look`.
    """
    return _beside(_moved(overlays, readings, size), readings, look)


def _moved(
    overlays: tuple[Overlay, ...], readings: Sequence[Reading | None], size: tuple[int, int]
) -> tuple[Overlay, ...]:
    """What is found to be removed stands in another place in truth."""
    moves = [reading is not None and reading.kind == "move" for reading in readings]
    removal = next((overlay for overlay in overlays if isinstance(overlay, Removal)), None)
    if removal is None or not any(moves):
        return overlays
    cells = [PLACES.index(reading.place) if move else 0 for reading, move in zip(readings, moves, strict=True)]
    moved = removal.shown & torch.tensor(moves, device=removal.shown.device)
    height, width = size
    to = standing(torch.tensor(cells), height, width) * 2 / torch.tensor([width, height]) - 1
    same_size, to = torch.ones_like(removal.centre[:, 0]), to.to(removal.centre)
    here = CutOut(moved, removal.outline, removal.hides, same_size, removal.centre, to, removal.leaves)
    return (*(overlay.where(~moved) for overlay in overlays), here)


def _beside(overlays: tuple[Overlay, ...], readings: Sequence[Reading | None], look: Look) -> tuple[Overlay, ...]:
    """What is drawn stands beside the object that is named, if that is found."""
    wanted = [index for index, reading in enumerate(readings) if reading is not None and reading.beside]
    drawing = next((overlay for overlay in overlays if isinstance(overlay, Drawing)), None)
    if drawing is None or not wanted:
        return overlays
    found = look(torch.tensor(wanted), [readings[index].name for index in wanted])
    if found is None:
        return overlays
    centre, behind = drawing.centre.clone(), torch.zeros_like(drawing.shown)
    outline, middle = torch.full_like(drawing.outline, OUTSIDE), torch.zeros_like(centre)  # of what stands in front
    for row, index in enumerate(wanted):
        if found.shown[row] and drawing.shown[index]:
            side = readings[index].beside
            centre[index] = next_to(side, found.centre[row], found.half[row], drawing.half[index])
            behind[index] = side == "behind"
            outline[index], middle[index] = found.outline[row], found.centre[row]
    placed = tuple(replace(overlay, centre=centre) if overlay is drawing else overlay for overlay in overlays)
    same_size, nothing = torch.ones_like(centre[:, 0]), torch.full_like(drawing.leaves, -1)
    return (*placed, CutOut(behind, outline, torch.zeros_like(drawing.hides), same_size, middle, middle, nothing))


def next_to(side: str, centre: Tensor, half: Tensor, own: Tensor) -> Tensor:
    """(2,) the middle of something new with half sides ``own``, (2,), on one of the sides of `BESIDE` of an object."""
    apart = TOUCHING * (half + own)
    shift = {
        "left": (-apart[0], 0 * apart[1]), "right": (apart[0], 0 * apart[1]),
        "above": (0 * apart[0], -apart[1]), "below": (0 * apart[0], apart[1]),
        "behind": (ASIDE * half[0], -UP * half[1]), "front": (ASIDE * half[0], UP * half[1]),
    }[side]  # fmt: skip
    return (centre + torch.stack(shift)).clamp(own - 1, 1 - own)
