"""What each object looks like, learnt from scenes before and after it is put there: the drawings of `ObjectHead`.

A pixel of the target is y = c + (1 − a) b, with the picture b without the object, and the drawing's premultiplied
colour c and opacity a: for each texel a straight line through what was seen, fitted by least squares, whose slope is
1 − a. Where something stands in front of the object, the pixel lies off the line and is left out of the next fit.

Axes: J scenes, K objects, S the drawing's side.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.object_head import DRAWING_SIDE
from mmdit.model.overlay import strips
from mmdit.model.registration import Square
from mmdit.model.vocabulary import OBJECTS
from mmdit.training.scenes import SceneBatch, Scenes

BATCHES, BATCH, FITS = 80, 48, 3
KINDS = ("add", "replace")
OFF_THE_LINE = 0.08  # of full range


def learn_drawings(scenes: Scenes) -> Tensor:
    """(K, 4, S, S) premultiplied red, green, blue, and opacity, in [0, 1]; the stream's seed decides what is seen."""
    fitted: Tensor | None = None
    for _ in range(FITS):
        sums = torch.zeros(len(OBJECTS), 5, 3, DRAWING_SIDE, DRAWING_SIDE, device=scenes.device)
        for number in range(BATCHES):
            batch = scenes.batch(number, BATCH, kinds=[*KINDS] * (BATCH // len(KINDS)))
            before, after = (_seen(picture, batch) for picture in (batch.clean, batch.target))
            things = batch.painted[:, 1].to(scenes.device)
            counts = torch.ones_like(before[:, :1])
            if fitted is not None:
                colour, opacity = fitted[things, :3], fitted[things, 3:]
                off = (colour + (1 - opacity) * before - after).abs().amax(dim=1, keepdim=True)
                counts = (off < OFF_THE_LINE).float()
            products = torch.stack([torch.ones_like(before), before, after, before.square(), before * after], dim=1)
            sums.index_add_(0, things, products * counts[:, None])
        fitted = _lines(sums)
    return fitted


def _seen(picture: Tensor, scenes: SceneBatch) -> Tensor:
    """(J, 3, S, S) in [0, 1]: a picture at the drawing's texels."""
    height, width = picture.shape[-2:]
    _, here = next(strips(DRAWING_SIDE, DRAWING_SIDE, picture.device))
    grids = []
    for _, _, side, x, y, flipped, _ in scenes.painted.tolist():
        square = Square.about(x, y, side, bool(flipped))
        texels = here.flip(1) if square.flipped else here
        grids.append(square.centre(height, width).to(here) + texels * square.half(height, width).to(here))
    grid = torch.stack(grids)
    seen = functional.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return ((seen + 1) / 2).clamp(0, 1)


def _lines(sums: Tensor) -> Tensor:
    """The drawings from the sums of 1, b, y, b², b y; one slope for the three colours."""
    count, before, after, squares, products = sums.unbind(dim=1)
    count = count.clamp_min(1)
    covariance = (products - before * after / count).sum(dim=1, keepdim=True)
    variance = (squares - before.square() / count).sum(dim=1, keepdim=True)
    slope = (covariance / variance.clamp_min(1e-6)).clamp(0, 1)
    colour = ((after - slope * before) / count).clamp_min(0)
    return torch.cat([torch.minimum(colour, 1 - slope), 1 - slope], dim=1)
