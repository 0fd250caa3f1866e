"""What objects stand on: crops of photographs, and synthetic gradients, stripes and textures.

In: the stored photographs, a split. Out: batches of backgrounds. Knows nothing of objects and edits.

Axes: B batch.
"""

import random

import torch
from torch import Tensor
from torch.nn import functional

SYNTHETIC_SHARE = 0.3
HELD_OUT_EVERY = 8
TWINS = ("Sway_Wallpaper_Blue_2048x1536.png", "Waves.png")  # training has the same picture; one is plain white


def photographs_of(split: str, names: list[str]) -> list[str]:
    """The photographs of a split: every eighth is held out, and one that has a twin in training is in neither."""
    held_out = names[3::HELD_OUT_EVERY]
    if split == "train":
        return [name for name in names if name not in held_out]
    return [name for name in held_out if not name.endswith(TWINS)]


def draw_backgrounds(
    photographs: list[Tensor], size: int, height: int, width: int, choose: random.Random, draw: torch.Generator
) -> Tensor:
    """(B, 3, height, width) in [0, 1].

    Args:
        photographs: (3, rows, columns) uint8 each, at least as large as a background.
    """
    device = photographs[0].device
    pictures = torch.empty(size, 3, height, width, device=device)
    synthetic = [index for index in range(size) if choose.random() < SYNTHETIC_SHARE]
    pictures[synthetic] = _synthetic_backgrounds(len(synthetic), height, width, draw).to(device)
    for index in sorted(set(range(size)) - set(synthetic)):
        photograph = choose.choice(photographs)
        scale = choose.uniform(1.0, min(photograph.shape[1] / height, photograph.shape[2] / width))
        rows, columns = int(height * scale), int(width * scale)
        top = choose.randint(0, photograph.shape[1] - rows)
        left = choose.randint(0, photograph.shape[2] - columns)
        crop = photograph[None, :, top : top + rows, left : left + columns].float() / 255
        crop = functional.interpolate(crop, (height, width), mode="bilinear", antialias=True)[0]
        crop = crop.flip(-1) if choose.random() < 0.5 else crop
        if choose.random() < 0.4:
            crop = crop * choose.uniform(0.6, 1.2) + choose.uniform(-0.1, 0.15)
        pictures[index] = crop
    return pictures.clamp_(0, 1)


def _synthetic_backgrounds(size: int, height: int, width: int, draw: torch.Generator) -> Tensor:
    """Gradients between two colours, some striped, some with soft noise, (B, 3, height, width)."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw)

    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = uniform(size, 1, 1, 1) * 2 * torch.pi
    along = (angle.cos() * x + angle.sin() * y) / 2.8 + 0.5
    stripes = ((uniform(size, 1, 1, 1) * 8 + 1) * along * 2 * torch.pi).sin().gt(0).float() * 0.6 + 0.2
    along = torch.where(uniform(size, 1, 1, 1) < 0.25, stripes, along)
    picture = torch.lerp(uniform(size, 3, 1, 1), uniform(size, 3, 1, 1), along)
    coarse = (uniform(size, 3, 6, 6) - 0.5) * 0.7
    noise = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return picture + noise * (uniform(size, 1, 1, 1) < 0.6)
