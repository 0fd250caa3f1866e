"""What stands behind an object in a picture that is larger than the working size: a patchwork of its own surroundings.

A continuation (`mmdit.model.inpainting`) is the mean of what may be there: where gravel was it is a plain grey. Here
patches of the picture are copied into the hole one by one, first those that continue something (Criminisi et al. 2004,
Region filling and object removal by exemplar-based image inpainting, IEEE Transactions on Image Processing 13(9)).
Which ones is decided at the working size: they must agree with what is there already, with the continuation's tones,
and be as rough as what is around. Copied are the pixels of the picture itself, less their broad tones: those stay the
continuation's.

Pictures are (3, height, width) in [−1, 1]. Axes: N patches that may be copied, C copies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.continuation import pulled
from mmdit.model.inpainting import Inpainter

HALF = 3  # a patch is 2 · HALF + 1 working pixels wide
SIDE = 2 * HALF + 1
TRACE, TRACE_GROWN = 0.02, 1  # the opacity from which on an object is visible, and working pixels around that
OF_TONE, OF_ROUGHNESS = 4.0, 8.0  # what differences of these weigh against one of all pixels of a patch
PLAIN = 0.05  # added to how much a place continues, so that plain ones come to their turn
NOBODY = -1


@dataclass(frozen=True)
class Patchwork:
    """
    Args:
        owner: (height, width) of the working size, the number of the copy that fills a pixel; `NOBODY` outside.
        shifts: (C, 2) rows and columns from a pixel to where its copy comes from, in working pixels.
        tones: (3, height, width) the broad tones of the continued picture: what is copied is what differs from them.
    """

    owner: Tensor
    shifts: Tensor
    tones: Tensor

    @classmethod
    def behind(cls, hides: Tensor, picture: Tensor, inpainter: Inpainter) -> "Patchwork | None":
        """What is behind an object; None where it hides nothing, or leaves no patch to copy.

        Args:
            hides: (4, height, width), see `mmdit.model.hiding`.
            picture: of the working size.
        """
        traces = (hides[3:] > TRACE).float()
        hole = functional.max_pool2d(traces[None], 2 * TRACE_GROWN + 1, 1, TRACE_GROWN)[0]
        continued = inpainter.fill(picture[None], hole[None])[0]
        return cls.sewn(continued.cpu(), hole[0].cpu())

    @classmethod
    def sewn(cls, continued: Tensor, hole: Tensor) -> "Patchwork | None":
        """A patchwork in the hole, (height, width), of a picture that is continued over it."""
        tones, seen = _means(continued), 1 - hole[None]
        squares = (continued - tones).square().mean(dim=0, keepdim=True) * seen
        rough = (_means(squares) / _means(seen).clamp_min(1e-6)).sqrt()
        rough = pulled(rough[None], hole[None, None])[0]
        looks = torch.cat([OF_TONE**0.5 * tones, OF_ROUGHNESS**0.5 * rough])
        patches = _Patches.of(continued - tones, looks, hole)
        if not len(patches.centres) or not hole.any():
            return None
        detail, filled, sure = (continued - tones) * (1 - hole), 1 - hole, 1 - hole
        owner, shifts = torch.full(hole.shape, NOBODY), []
        while (filled < 1).any():
            row, column = _next(detail + tones, filled, sure)
            here = ..., slice(row - HALF, row + HALF + 1), slice(column - HALF, column + HALF + 1)
            copied, shift = patches.best(detail[here], filled[here], looks[here], (row, column))
            new = filled[here] < 1
            detail[here] = torch.where(new, copied, detail[here])
            sure[here] = torch.where(new, sure[here].mean(), sure[here])
            owner[here] = torch.where(new, len(shifts), owner[here])
            filled[here] = 1
            shifts.append(shift)
        return cls(owner, torch.tensor(shifts), tones)

    def over(self, source: Tensor) -> Tensor:
        """A picture of any size, (1, 3, height, width), without what the hole hid; as it is, to the bit, elsewhere."""
        scale = torch.tensor(source.shape[-2:]) / torch.tensor(self.owner.shape)
        tones, owner = self.tones.to(source), self.owner.to(source.device)
        rows, columns = _reach(owner != NOBODY, scale, source)
        corner, size = (rows[0], columns[0]), (len(rows), len(columns))
        added, weights = source.new_zeros(1, 3, *size), source.new_zeros(1, 1, *size)
        for number, shift in enumerate(self.shifts):
            own = owner == number
            y, x = _reach(own, scale, source)
            down, across = (shift * scale).round().int().tolist()
            there = (y + down).clamp(0, source.shape[2] - 1), (x + across).clamp(0, source.shape[3] - 1)
            detail = source.index_select(2, there[0]).index_select(3, there[1]) - _enlarged(tones, *there, scale)
            share = _enlarged(own[None].to(source), y, x, scale)
            here = ..., *(slice(of[0] - first, of[-1] + 1 - first) for of, first in zip((y, x), corner, strict=True))
            added[here] += share * (detail + _enlarged(tones, y, x, scale))
            weights[here] += share
        result = source.clone()
        under = result[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        under.copy_(torch.where(weights > 0, under * (1 - weights) + added, under).clamp(-1, 1))
        return result


@dataclass(frozen=True)
class _Patches:
    """What may be copied: the patches of a picture that lie in it, a pixel or more beside its hole.

    Args:
        centres: (N, 2) rows and columns.
        details: (N, 3 · SIDE²), what differs from the broad tones.
        squares: (N, SIDE²) of the details, summed over the channels.
        looks: (N, K · 9) K broad measures at nine places of each.
    """

    centres: Tensor
    details: Tensor
    squares: Tensor
    looks: Tensor

    @classmethod
    def of(cls, detail: Tensor, looks: Tensor, hole: Tensor) -> "_Patches":
        near = functional.max_pool2d(hole[None, None], 3, 1, 1)  # copies fade out over a pixel
        beside = functional.unfold(near, SIDE)[0].amax(dim=0) == 0
        details = functional.unfold(detail[None], SIDE)[0, :, beside].T.contiguous()
        centres = beside.view(hole.shape[0] - SIDE + 1, -1).nonzero() + HALF
        squares = details.square().view(-1, 3, SIDE**2).sum(dim=1)
        broad = functional.unfold(looks[None], 3, dilation=HALF)[0, :, beside].T.contiguous()
        return cls(centres, details, squares, broad)

    def best(self, seen: Tensor, filled: Tensor, looks: Tensor, at: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """The patch that suits a place best, (3, SIDE, SIDE), and how far it lies from there.

        Args:
            seen: (3, SIDE, SIDE) details that are there. filled: (SIDE, SIDE), 1 where there are any.
            looks: (K, SIDE, SIDE) what it should look like.
        """
        where, known = filled.flatten(), seen * filled
        differs = self.squares @ where - 2 * (self.details @ known.flatten()) + known.square().sum()
        wanted = looks[:, ::HALF, ::HALF].flatten()
        chosen = (differs / where.sum() + (self.looks - wanted).square().sum(dim=1) / 9).argmin()
        row, column = (self.centres[chosen] - torch.tensor(at)).tolist()
        return self.details[chosen].view(3, SIDE, SIDE), (row, column)


def _next(made: Tensor, filled: Tensor, sure: Tensor) -> tuple[int, int]:
    """The middle of the patch that is filled next: at the hole's edge, where most is known and most goes on.

    Args:
        made: (3, height, width). filled, sure: (height, width).
    """
    edge = (functional.max_pool2d(filled[None], 3, 1, 1)[0] > filled).nonzero()
    most = torch.tensor(filled.shape) - 1 - HALF
    middles = torch.minimum(edge.clamp_min(HALF), most).unique(dim=0)
    light = made.mean(dim=0)
    steps = torch.zeros_like(light)
    steps[1:] += (light[1:] - light[:-1]).abs() * filled[1:] * filled[:-1]
    steps[:, 1:] += (light[:, 1:] - light[:, :-1]).abs() * filled[:, 1:] * filled[:, :-1]
    known, goes_on = functional.avg_pool2d(torch.stack([sure, steps])[None], SIDE, 1)[0]
    corners = (middles - HALF).unbind(dim=1)
    row, column = middles[(known[corners] * (goes_on[corners] + PLAIN)).argmax()].tolist()
    return row, column


def _reach(own: Tensor, scale: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the source over which some of its working pixels, (height, width), fade out."""
    at = own.nonzero().cpu()
    first = ((at.amin(dim=0) - 1).clamp_min(0) * scale).floor().int().tolist()
    last = ((at.amax(dim=0) + 2) * scale).ceil().int().tolist()
    rows, columns = (
        torch.arange(start, min(stop, count), device=source.device)
        for start, stop, count in zip(first, last, source.shape[-2:], strict=True)
    )
    return rows, columns


def _means(picture: Tensor) -> Tensor:
    """Means of the patches around each pixel."""
    padded = functional.pad(picture[None], (HALF,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, SIDE, 1)[0]


def _enlarged(small: Tensor, rows: Tensor, columns: Tensor, scale: Tensor) -> Tensor:
    """(1, C, rows, columns): a part of the bilinear enlargement of (C, height, width)."""
    size = torch.tensor(small.shape[-2:]) * scale
    y, x = ((part + 0.5) * 2 / whole.item() - 1 for part, whole in zip((rows, columns), size, strict=True))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).to(small)
    return functional.grid_sample(small[None], grid[None], padding_mode="border", align_corners=False)
