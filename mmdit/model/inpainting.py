"""What is painted where an object was: a continuation of what surrounds it.

Three continuations that err differently are weighed, pixel by pixel, and corrected by a small U-Net: the two smooth
ones of `mmdit.model.continuation`, and `mmdit.model.shifted`, which continues what repeats. Trained by
`mmdit.training.inpainting`.

Axes: B batch, N continuations. Pictures are (B, 3, height, width) in [−1, 1].
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdit.model import eight_bits
from mmdit.model.continuation import biharmonic, pulled
from mmdit.model.edit_field import EditField
from mmdit.model.hiding import seen_through
from mmdit.model.shifted import MEASURES, shifted

INPAINTER_FILE = "inpainter.safetensors"
SIDE, MARGIN = 96, 8  # of the window around a hole: its side, and the least that it shows around a larger hole
PRIOR = (0.4, 0.4, 0.2)  # the weights of push-pull, biharmonic and shifted that an untrained U-Net gives
CORRECTION = 0.3  # of the window's standard deviation, by which an output of 1 corrects
LEAST_DEVIATION = 0.05
WIDTHS = (32, 48, 64)


@dataclass(frozen=True)
class Window:
    """What is seen around one hole.

    Args:
        top, left: of the window in the picture; it may stand out.
        continued: (N, 3, side, side), the picture with the hole filled in N ways; 0 outside the picture.
        measures: (`MEASURES`, side, side) of `mmdit.model.shifted`, 0 outside the hole.
        hole, inside: (1, side, side), 1 in the hole, and in the picture.
    """

    top: int
    left: int
    continued: Tensor
    measures: Tensor
    hole: Tensor
    inside: Tensor

    @classmethod
    def around(cls, picture: Tensor, hole: Tensor) -> "Window":
        """The window with the hole, (height, width), in the middle of it; the picture is (3, height, width)."""
        inner = hole.nonzero()
        low, high = inner.amin(dim=0), inner.amax(dim=0)
        side = max(SIDE, 8 * -(-(int((high - low).max()) + 1 + 2 * MARGIN) // 8))
        top, left = ((low + high) // 2 - side // 2).tolist()
        smooth = [fill(picture[None], hole[None, None])[0] for fill in (pulled, biharmonic)]
        repeated = shifted(picture, hole, ((smooth[0] + smooth[1]) / 2)[:, inner[:, 0], inner[:, 1]].T)
        again, measures = picture.clone(), picture.new_zeros(MEASURES, *hole.shape)
        again[:, inner[:, 0], inner[:, 1]] = repeated.colours.T
        measures[:, inner[:, 0], inner[:, 1]] = repeated.measures.T
        filled = torch.stack([*smooth, again])
        parts = filled, measures, hole[None], torch.ones_like(hole[None])
        return cls(top, left, *(windowed(part, top, left, (side, side)) for part in parts))

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `Inpainter` reads: continued, measures, hole, inside."""
        return self.continued, self.measures, self.hole, self.inside


def windowed(of: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """(..., *size) of (..., height, width), 0 where it stands out."""
    height, width = of.shape[-2:]
    return functional.pad(of, (-left, left + size[1] - width, -top, top + size[0] - height))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.gelu(self.first(functional.gelu(self.norm(x)))))


class Inpainter(nn.Module):
    """Continues pictures over holes; until it is trained, by the continuations' mean of weights `PRIOR`."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        many = len(PRIOR)
        self.into = nn.Conv2d(4 * (3 * many + 2 + MEASURES), fine, 3, padding=1)
        self.fine, self.fine_again = Block(fine), Block(fine)
        self.down, self.up = nn.Conv2d(fine, middle, 2, 2), nn.Conv2d(middle, 4 * fine, 1)
        self.middle, self.middle_again = Block(middle), Block(middle)
        self.further_down, self.further_up = nn.Conv2d(middle, coarse, 2, 2), nn.Conv2d(coarse, 4 * middle, 1)
        self.coarse = nn.Sequential(Block(coarse), Block(coarse, dilation=2))
        self.out = nn.Conv2d(fine, 4 * (many + 3), 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def from_file(cls, file: str | Path) -> "Inpainter":
        """Read what `save` wrote."""
        inpainter = cls()
        inpainter.load_state_dict(eight_bits.load(file))
        return inpainter.requires_grad_(False).eval()

    def save(self, file: str | Path) -> None:
        """Write the weights in 8 bits."""
        eight_bits.save(self.state_dict(), file)

    def forward(self, continued: Tensor, measures: Tensor, hole: Tensor, inside: Tensor) -> Tensor:
        """(B, 3, side, side) what is painted, from a batch of windows."""
        base = (continued[:, 0] + continued[:, 1]) / 2
        count = inside.sum(dim=(2, 3), keepdim=True)
        centred = (base - (base * inside).sum(dim=(2, 3), keepdim=True) / count) * inside
        deviation = (centred.square().sum(dim=(2, 3), keepdim=True) / count).mean(dim=1, keepdim=True).sqrt()
        deviation = deviation.clamp_min(LEAST_DEVIATION)
        differences = [continued[:, 1] - continued[:, 0], continued[:, 2] - base]
        seen = torch.cat([of / deviation for of in (centred, *differences)], dim=1)
        told = self._told(torch.cat([seen, hole, inside, (measures / 3 + 1) * hole], dim=1)).float()
        weights = (told[:, :-3] + told.new_tensor(PRIOR).log()[:, None, None]).softmax(dim=1)
        return (continued * weights[:, :, None]).sum(dim=1) + CORRECTION * deviation * told[:, -3:]

    def _told(self, x: Tensor) -> Tensor:
        """(B, N + 3, side, side): of each continuation, by how much its weight's logarithm rises, and a correction."""
        fine = self.fine(self.into(functional.pixel_unshuffle(x, 2)))
        middle = self.middle(self.down(fine))
        coarse = self.coarse(self.further_down(middle))
        middle = self.middle_again(middle + functional.pixel_shuffle(self.further_up(coarse), 2))
        fine = self.fine_again(fine + functional.pixel_shuffle(self.up(middle), 2))
        return functional.pixel_shuffle(self.out(fine), 2)

    @torch.inference_mode()
    def fill(self, pictures: Tensor, holes: Tensor) -> Tensor:
        """The pictures with the holes, (B, 1, height, width), filled; as they are where all or nothing is seen."""
        filled = pictures.clone()
        for picture, hole in zip(filled, holes[:, 0], strict=True):
            if not 0 < hole.mean() < 1:
                continue
            window = Window.around(picture.cpu(), hole.cpu())
            painted = self(*(part[None].to(picture) for part in window.parts))[0]
            painted = windowed(painted, -window.top, -window.left, picture.shape[-2:])
            picture.copy_(torch.where(hole > 0, painted, picture))
        return filled.clamp(-1, 1)


def without_object(source: Tensor, hides: Tensor, inpainter: Inpainter) -> EditField:
    """The edit that takes an object out of the source.

    Args:
        hides: (B, 4, height, width), see `mmdit.model.hiding`.
    """
    filled = inpainter.fill(*seen_through(source, hides))
    nothing = torch.zeros_like(source)
    return EditField(nothing.repeat(1, 3, 1, 1), filled - source, nothing[:, :1])
