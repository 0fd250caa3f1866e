"""What stands behind an object: a small convolutional network that continues a picture into a hole.

In: a picture and which of its pixels are not to be seen. Out: the picture with these painted. It sees shapes far
smaller than a patch, which the transformer paints softly. (U-Net, Ronneberger et al. 2015, arXiv 1505.04597, with sums
in the place of concatenations; the first guess that it mends is push-pull interpolation, Gortler et al. 1996.) Trained
by `mmdit.training.background`.

Axes: B batch. Pictures are (B, 3, height, width) in [−1, 1].
"""

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdit.model import eight_bits

BACKGROUND_FILE = "background.safetensors"
WIDTHS = (16, 24, 40, 56, 56)
"""Channels at the picture's own size, at half of it, and so on."""
DEEPEST = 2 ** (len(WIDTHS) - 1)


class Background(nn.Module):
    """The network; its input is padded to a multiple of `DEEPEST`."""

    def __init__(self) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(WIDTHS))
        self.stem = nn.Conv2d(7, WIDTHS[0], 3, padding=1)
        self.before = nn.ModuleList([_Residual(width) for width in WIDTHS])
        self.down = nn.ModuleList([nn.Conv2d(wide, narrow, 3, stride=2, padding=1) for wide, narrow in pairs])
        self.up = nn.ModuleList([nn.Conv2d(narrow, wide, 1) for wide, narrow in pairs])
        self.after = nn.ModuleList([_Residual(width) for width in WIDTHS])
        self.out = nn.Conv2d(WIDTHS[0], 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def from_file(cls, file: str | Path) -> "Background":
        """Read what `save` wrote."""
        network = cls()
        network.load_state_dict(eight_bits.load(file))
        return network.requires_grad_(False).eval()

    def save(self, file: str | Path) -> None:
        """Write the weights in 8 bits."""
        eight_bits.save(self.state_dict(), file)

    def forward(self, picture: Tensor, hole: Tensor) -> Tensor:
        """The picture with the hole painted.

        Args:
            hole: (B, 1, height, width), 1 where the picture is not to be seen and 0 elsewhere.
        """
        guess = interpolated(picture, hole)
        height, width = picture.shape[-2:]
        margins = (0, -width % DEEPEST, 0, -height % DEEPEST)
        x = torch.cat([picture * (1 - hole), hole, guess], dim=1)
        x = self.stem(functional.pad(x, margins, mode="replicate"))
        kept = []
        for level, before in enumerate(self.before):
            x = before(x)
            if level < len(self.down):
                kept.append(x)
                x = self.down[level](x)
        x = self.after[-1](x)
        for level in reversed(range(len(self.up))):
            x = functional.interpolate(self.up[level](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.after[level](x + kept[level])
        mended = guess + self.out(x)[..., :height, :width]
        return torch.lerp(picture, mended, hole)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.gelu(self.first(functional.gelu(x))))


def interpolated(picture: Tensor, hole: Tensor) -> Tensor:
    """The picture with the hole filled from coarser and coarser means of what is around it."""
    seen = 1 - hole
    if min(picture.shape[-2:]) < 2:
        total = seen.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        return torch.where(seen > 0, picture, (picture * seen).sum(dim=(2, 3), keepdim=True) / total)
    share = functional.avg_pool2d(seen, 2, ceil_mode=True)
    coarse = functional.avg_pool2d(picture * seen, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarser = interpolated(coarse * (share > 0), 1 - (share > 0).float())
    fine = functional.interpolate(coarser, picture.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(picture, fine, hole)
