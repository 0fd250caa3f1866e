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

from mmdit.model.overlay import strips

GAP = 3  # pixels within which pieces of an outline belong together
OPAQUE, ALIKE = 0.9, 0.2
"""The opacity of pixels that are compared, and how far their colours may be apart."""
COARSE, FINE, ROUNDS = (4, 3, 2), (1, 1, 1), 3
"""Of `refined`: how far a side and a place may be off, in pixels, and of which pixels' rows and columns one counts."""
EXPLAINED = 0.005
"""Squared difference, summed over the colours, from which a drawing's pixel explains nothing."""
EXACT, FITS, NUDGE = 0.95, 6, 0.25
"""Share of explained pixels from which a drawing is as good as what is seen; how often one that is not is fitted
between pixels, with slopes over so many of them."""


@dataclass(frozen=True)
class Search:
    """Which candidates there are, and how much the outline counts beside the colours.

    Args:
        shift: pixels to either side of the outline's middle.
        narrower, wider: sides over what the outline tells, which is too small where something covers the object.
        outline_weight: of squared differences of opacity, over those of one colour.
    """

    shift: int
    narrower: float
    wider: float
    outline_weight: float


NEAR, FAR = Search(6, 0.9, 1.3, 1.0), Search(10, 0.8, 1.6, 0.2)
"""For an outline that is right, and for one that lacks a part."""


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


def find(texture: Tensor, picture: Tensor, outline: Tensor, search: Search = NEAR) -> Square:
    """The square at which a drawing best explains what an outline marks.

    Args:
        texture: (4, S, S) premultiplied colour and opacity, in [0, 1].
        picture: (3, height, width) in [−1, 1].
        outline: (height, width), how far a pixel belongs to the object, in [0, 1]; above ½ somewhere.
    """
    left, top, width, height = _extent(_largest(outline > 0.5))
    drawn_left, drawn_top, drawn_width, drawn_height = _extent(texture[3] > 0.5)
    own = texture.shape[-1]
    likely = own * max(width / drawn_width, height / drawn_height)
    x, y = round(left + width / 2), round(top + height / 2)
    candidates = []
    for side in range(max(2, round(search.narrower * likely)), max(3, round(search.wider * likely)) + 1):
        for flipped in (False, True):
            across = (drawn_left + drawn_width / 2) / own
            middle = (1 - across if flipped else across, (drawn_top + drawn_height / 2) / own)
            candidates.append(_Candidate(side, flipped, round(middle[0] * side), round(middle[1] * side)))

    reach = max(max(one.x, one.y, one.side - one.x, one.side - one.y) for one in candidates)
    seen = torch.cat([(picture + 1) / 2, outline[None], torch.ones_like(outline[None])])
    room = reach + search.shift
    around = functional.pad(seen, (room - x, x + room - seen.shape[2], room - y, y + room - seen.shape[1]))[None]
    differs = _difference(_drawn(texture, candidates, reach), around, search.outline_weight)
    best, place = divmod(int(differs.flatten().argmin()), differs[0].numel())
    row, column = divmod(place, differs.shape[2])
    one = candidates[best]
    return Square(one.side, x + column - search.shift - one.x, y + row - search.shift - one.y, one.flipped)


def refined(texture: Tensor, square: Square, picture: Tensor) -> Square:
    """A square near one that was found, at which the drawing's opaque pixels explain most of the picture: the sum of
    what each one's squared difference is below `EXPLAINED`. It is exact to the pixel where the outline that the first
    was found by is not, and what covers the object does not count.

    Arguments as for `find`.
    """
    for _ in range(ROUNDS):
        before, square = square, _nearest(texture, square, picture, *COARSE)
        if square == before:
            break
    return _nearest(texture, square, picture, *FINE)


def _nearest(texture: Tensor, square: Square, picture: Tensor, sides: int, steps: int, every: int) -> Square:
    """The best of the squares whose side and place are that many pixels off, by every second or so of their pixels."""
    height, width = picture.shape[-2:]
    beyond = max(
        0, square.left - width, square.top - height, *(-edge - square.side for edge in (square.left, square.top))
    )
    best, most, room = (
        square,
        0.0,
        square.side + sides + steps + beyond,
    )  # a small object may be seen beside the picture
    padded = functional.pad(torch.cat([(picture + 1) / 2, torch.ones_like(picture[:1])]), (room, room, room, room))
    for side in range(max(2, square.side - sides), square.side + sides + 1):
        left, top = (edge + (square.side - side) // 2 - steps for edge in (square.left, square.top))
        around = padded[:, top + room :, left + room :][:, : side + 2 * steps, : side + 2 * steps]
        places = around.unfold(1, side, 1).unfold(2, side, 1)[..., ::every, ::every]  # (4, shifts, shifts, …)
        for flipped in (False, True):
            drawn = at_side(texture, side, flipped)[:, ::every, ::every]
            off = (places[:3] - drawn[:3, None, None]).square().sum(dim=0)
            counts = places[3] * (drawn[3] > OPAQUE)
            explained = ((EXPLAINED - off).clamp_min(0) * counts).sum(dim=(2, 3))
            if explained.max() > most:
                most = float(explained.max())
                row, column = divmod(int(explained.argmax()), explained.shape[1])
                best = Square(side, left + column, top + row, flipped)
    return best


@dataclass(frozen=True)
class _Candidate:
    """A side, a direction, and where in its square the middle of what is drawn lies."""

    side: int
    flipped: bool
    x: int
    y: int


@dataclass(frozen=True)
class Sight:
    """How a drawing fits to what is there.

    Args:
        alike: share of its opaque pixels in which the picture has its colours.
        overlap: of its opaque pixels and the outline's, intersection over union.
        explained: share of its opaque pixels in which it is as good as the picture.
        known: (height, width), where the drawing has the picture's colours, and beside it; not where something
            covers it.
        drawn: (4, height, width) the drawing alone, in an empty picture.
    """

    alike: float
    overlap: float
    explained: float
    known: Tensor
    drawn: Tensor

    def edges(self, outline: Tensor) -> Tensor:
        """(height, width) how far a pixel belongs to the object: by the drawing where that is known, else by the
        outline.
        """
        return torch.where(self.known, self.drawn[3], outline)


def compare(texture: Tensor, square: Square, picture: Tensor, outline: Tensor) -> Sight:
    """Arguments as for `find`, and the square that it found."""
    drawn = _fitted(texture, square, picture)
    opaque = drawn[3] > OPAQUE
    alike = opaque & ((drawn[:3] - (picture + 1) / 2).abs().amax(dim=0) < ALIKE)
    # A pixel counts as alike if most around it are: single ones differ by how they were drawn.
    near = [functional.avg_pool2d(some.float()[None, None], 5, 1, 2)[0, 0] for some in (alike, opaque)]
    inside, shape = outline > 0.5, drawn[3] > 0.5
    overlap = (inside & shape).sum() / (inside | shape).sum().clamp_min(1)
    return Sight(_share(alike, opaque), float(overlap), _explained(drawn, picture), near[0] >= near[1] / 2, drawn)


def _share(of: Tensor, among: Tensor) -> float:
    return float((of & among).sum() / among.sum().clamp_min(1))


def _explained(drawn: Tensor, picture: Tensor) -> float:
    """Share of a drawing's opaque pixels that differ by less than `EXPLAINED`."""
    off = (drawn[:3] - (picture + 1) / 2).square().sum(dim=0)
    return _share(off < EXPLAINED, drawn[3] > OPAQUE)


def _fitted(texture: Tensor, square: Square, picture: Tensor) -> Tensor:
    """(4, height, width): the drawing where it stands, in an empty picture; if whole pixels do not explain what is
    seen, moved and stretched by parts of a pixel until it does (Gauss–Newton on the colours' differences: Lucas and
    Kanade 1981, IJCAI).
    """
    best = _pasted(texture, square, *picture.shape[1:])
    most = _explained(best, picture)
    base, (height, width) = at_side(texture, square.side, square.flipped), picture.shape[1:]
    _, here = next(strips(height, width, picture.device))
    box = torch.cat([square.centre(height, width), square.half(height, width)]).to(here)  # x, y, half sides
    nudges = NUDGE * torch.cat([torch.zeros(1, 4), torch.eye(4)]).to(here) * (2 / here.new_tensor([width, height] * 2))
    for _ in range(FITS if most < EXACT else 0):
        boxes = (box + nudges)[:, None, None]
        grid = (here - boxes[..., :2]) / boxes[..., 2:]
        drawn = functional.grid_sample(base.expand(5, -1, -1, -1), grid, mode="bicubic", align_corners=False)
        off = drawn[0, :3] - (picture + 1) / 2
        counts = (drawn[0, 3] > OPAQUE) & (off.abs().amax(dim=0) < ALIKE)
        slopes = ((drawn[1:, :3] - drawn[0, :3]) * counts).flatten(1)
        curved = slopes @ slopes.T
        curved = curved + 1e-3 * curved.diagonal().mean().clamp_min(1e-6) * torch.eye(4).to(curved)
        steps = -torch.linalg.solve(curved, slopes @ off.flatten()).clamp(-1 / NUDGE, 1 / NUDGE)
        explains = _explained(drawn[0].clamp(0, 1), picture)
        if explains > most:
            best, most = drawn[0].clamp(0, 1), explains
        box = box + steps @ nudges[1:]
    return best


def _pasted(texture: Tensor, square: Square, height: int, width: int) -> Tensor:
    """(4, height, width): the drawing alone, in an empty picture."""
    side = square.side
    room = torch.zeros(4, height + 2 * side, width + 2 * side, device=texture.device)
    top, left = (min(max(edge + side, 0), most + side) for edge, most in ((square.top, height), (square.left, width)))
    room[:, top : top + side, left : left + side] = at_side(texture, side, square.flipped)
    return room[:, side : side + height, side : side + width]


def _largest(inside: Tensor) -> Tensor:
    """The largest piece of what is true; what lies a few pixels apart is one piece."""
    joined = functional.max_pool2d(inside.float()[None, None], 2 * GAP + 1, 1, GAP)[0, 0] > 0
    pieces = label(joined.cpu().numpy(), connectivity=2) * inside.cpu().numpy()
    sizes = np.bincount(pieces.flatten())
    return torch.from_numpy(pieces == sizes[1:].argmax() + 1).to(inside.device)


def _extent(inside: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width, height of what is true."""
    rows, columns = inside.any(dim=1).nonzero(), inside.any(dim=0).nonzero()
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def at_side(texture: Tensor, side: int, flipped: bool = False) -> Tensor:
    """(..., 4, side, side): drawings, (..., 4, S, S), as large as they stand somewhere."""
    many = texture.flatten(0, -4) if texture.ndim > 3 else texture[None]
    drawn = functional.interpolate(many, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    drawn = drawn.reshape(*texture.shape[:-2], side, side)
    return drawn.flip(-1) if flipped else drawn


def _drawn(texture: Tensor, candidates: list[_Candidate], reach: int) -> Tensor:
    """(N, 4, T, T), T = 2 · reach: each candidate with the middle of what is drawn in the middle of a canvas."""
    canvas = texture.new_zeros(len(candidates), 4, 2 * reach, 2 * reach)
    for number, one in enumerate(candidates):
        top, left = reach - one.y, reach - one.x
        canvas[number, :, top : top + one.side, left : left + one.side] = at_side(texture, one.side, one.flipped)
    return canvas


def _difference(drawn: Tensor, around: Tensor, outline_weight: float) -> Tensor:
    """(N, shifts, shifts): squared difference of each candidate at each shift, but for what is the same for all.

    Of a drawing with colours c and opacity a, the picture's p and the outline's b, summed over the picture's pixels,
    a (p − c)² + w (a − b)² = a p² − 2 p a c + a c² + w (a² − 2 a b + b²).

    Args:
        around: (1, 5, T + shifts − 1, …), the picture in [0, 1], the outline, and 1 within the picture, 0 beyond.
    """
    colour, opacity = drawn[:, :3], drawn[:, 3:]
    own = (colour.square() / opacity.clamp_min(1e-3)).sum(dim=1, keepdim=True) + outline_weight * opacity.square()
    kernels = torch.cat([opacity, -2 * colour, -2 * outline_weight * opacity, own], dim=1)
    squared = around[:, :3].square().sum(dim=1, keepdim=True)
    return functional.conv2d(torch.cat([squared, around], dim=1), kernels)[0]
