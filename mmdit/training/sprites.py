"""The objects at every size, and the pixels that drawing them touches.

In: the sprites that `prepare.py` drew, pasting jobs. Out: flat lists of pixels, so that one gather draws a whole batch.
Knows nothing of edits.

Axes: J jobs; K pasted pixels of a whole batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.tint import luma, recolour
from mmdit.model.vocabulary import COLOURS

SIZES = (14, 84)
"""Smallest and largest side at which an object is ever drawn, in pixels."""
NO_COLOUR = -1


@dataclass(frozen=True)
class Pixels:
    """sample (K,), place (K,) in a flattened canvas, colour (K, 3) premultiplied, alpha (K, 1)."""

    sample: Tensor
    place: Tensor
    colour: Tensor
    alpha: Tensor


class Sprites:
    """Every object at every size, as one list of texels.

    Args:
        sprites: (objects, 4, side, side) uint8, premultiplied.
        device: where pixels are made and stay.
    """

    def __init__(self, sprites: Tensor, device: str) -> None:
        self.device = device
        self.atlas, self.atlas_start = _atlas(sprites.to(device))
        self.colours = torch.tensor(list(COLOURS.values()), device=device)

    def pixels(self, jobs: Tensor, height: int, width: int) -> Pixels:
        """Every pixel that a list of pasting jobs touches, as flat lists.

        Args:
            jobs: (J, 7) integers: sample, object, side, centre x, centre y, flipped, colour or `NO_COLOUR`.
            height, width: of the canvas; what lies outside is left out.
        """
        sample, thing, side, centre_x, centre_y, flipped, colour = jobs.to(self.device).unbind(1)
        count = side * side
        job = torch.repeat_interleave(torch.arange(len(jobs), device=self.device), count)
        local = torch.arange(len(job), device=self.device) - (count.cumsum(0) - count)[job]
        y, x = local // side[job], local % side[job]
        sprite_x = torch.where(flipped[job] > 0, side[job] - 1 - x, x)
        texel = self.atlas_start[thing, side - SIZES[0]][job] + y * side[job] + sprite_x
        place_y = centre_y[job] - side[job] // 2 + y
        place_x = centre_x[job] - side[job] // 2 + x
        inside = (place_y >= 0) & (place_y < height) & (place_x >= 0) & (place_x < width)
        job, texel = job[inside], texel[inside]

        rgba = self.atlas[texel].float() / 255
        alpha = rgba[:, 3:]
        rgb = torch.minimum(rgba[:, :3], alpha)
        tinted = colour[job] != NO_COLOUR
        luminance = luma((rgb / alpha.clamp_min(1e-3)).T[:, None, :])[0].T
        tint = recolour(luminance, self.colours[colour[job].clamp_min(0)]) * alpha
        rgb = torch.where(tinted[:, None], tint, rgb)
        return Pixels(sample[job], (place_y * width + place_x)[inside], rgb, alpha)


def _atlas(sprites: Tensor) -> tuple[Tensor, Tensor]:
    """Every object at every size: texels (K, 4) uint8 premultiplied, and (objects, sizes) starts."""
    texels, starts, start = [], [], 0
    for side in range(SIZES[0], SIZES[1] + 1):
        scaled = functional.interpolate(sprites.float(), (side, side), mode="bicubic", antialias=True)
        scaled = scaled.round().clamp(0, 255).to(torch.uint8)
        texels.append(scaled.flatten(2).movedim(1, 2).reshape(-1, 4))
        starts.append(start + torch.arange(len(sprites), device=sprites.device) * side * side)
        start += len(sprites) * side * side
    return torch.cat(texels), torch.stack(starts, dim=1)
