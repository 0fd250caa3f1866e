"""What each object looks like, learnt from scenes before and after it is put there: the drawings of `ObjectHead`.

A pixel of the target is y = c + (1 − a) b, with the picture b without the object, and the drawing's premultiplied
colour c and opacity a, scaled to the side at which it stands. That is linear in the drawing's texels, so they are found
by least squares over objects of all sides (super-resolution: Irani and Peleg 1991, CVGIP 53(3), with a known scaling in
the place of an estimated one). Where something stands in front of the object, the pixel lies off the line and is left
out of the next fit.

Axes: J scenes, K objects, S the drawing's side, s the side at which an object stands.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.object_head import DRAWING_SIDE
from mmdit.model.registration import Square, at_side
from mmdit.model.vocabulary import OBJECTS
from mmdit.training.scenes import SceneBatch, Scenes

BATCHES, BATCH = 80, 48
KINDS = ("add", "replace", "bigger", "smaller")
OFF_THE_LINE = 0.08  # of full range
TINY = 1e-12  # in the place of a zero that is divided by
ITERATIONS = (10, 10, 25)  # of each fit
EMPTY = 0.01  # opacity below which a texel is taken for noise

Sums = dict[int, Tensor]
"""Side s → (K, 6, 3, s, s) sums of 1, b, y, b², b y, y² over the scenes in which an object stands at that side."""


def learn_drawings(scenes: Scenes) -> Tensor:
    """(K, 4, S, S) premultiplied red, green, blue, and opacity, in [0, 1]; the stream's seed decides what is seen."""
    kinds = [*KINDS] * (BATCH // len(KINDS))
    seen = [one for number in range(BATCHES) for one in _seen(scenes.batch(number, BATCH, kinds=kinds))]
    fitted = torch.zeros(len(OBJECTS), 4, DRAWING_SIDE, DRAWING_SIDE, device=scenes.device)
    for number, iterations in enumerate(ITERATIONS):
        sums: Sums = {}
        for thing, before, after in seen:
            _add(sums, thing, before, after, fitted[thing] if number else None)
        fitted = _fit(sums, fitted, iterations)
    return fitted


def _seen(scenes: SceneBatch) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each scene: the object, and (3, s, s) in [0, 1] without and with it, unmirrored; those within the picture."""
    height, width = scenes.target.shape[-2:]
    for index, (_, thing, side, x, y, flipped, colour) in enumerate(scenes.painted.tolist()):
        square = Square.about(x, y, side, bool(flipped))
        bottom, right = square.top + side, square.left + side
        if thing < 0 or colour >= 0 or min(square.left, square.top) < 0 or bottom > height or right > width:
            continue
        both = torch.stack([scenes.clean[index], scenes.target[index]])
        pair = (both[..., square.top : bottom, square.left : right] + 1) / 2
        yield thing, *(pair.flip(-1) if square.flipped else pair)


def _add(sums: Sums, thing: int, before: Tensor, after: Tensor, drawing: Tensor | None) -> None:
    """Add what one scene shows, but for pixels that a drawing, (4, S, S), does not explain."""
    side = before.shape[-1]
    if side not in sums:
        sums[side] = before.new_zeros(len(OBJECTS), 6, 3, side, side)
    products = torch.stack([torch.ones_like(before), before, after, before.square(), before * after, after.square()])
    if drawing is not None:
        drawn = at_side(drawing, side)
        off = (drawn[:3] + (1 - drawn[3:]) * before - after).abs().amax(dim=0)
        products = products * (off < OFF_THE_LINE)
    sums[side][thing] += products


def _fit(sums: Sums, start: Tensor, iterations: int) -> Tensor:
    """The drawings that explain the sums best, by conjugate gradients from a start, each object for itself."""
    scaling = {side: _scaling(side).to(start) for side in sums}

    def gradient(texels: Tensor) -> Tensor:
        texels = texels.detach().requires_grad_()
        scaled = {side: scale @ texels @ scale.T for side, scale in scaling.items()}
        loss = sum(_misfit(scaled[side], *of.unbind(dim=1)).sum() for side, of in sums.items())
        return torch.autograd.grad(loss, texels)[0]

    constant, texels = gradient(torch.zeros_like(start)), start
    residual = -gradient(texels)
    direction, size = residual, _squares(residual)
    for _ in range(iterations):
        curved = gradient(direction) - constant  # the loss is quadratic
        step = size / (direction * curved).sum(dim=(1, 2, 3), keepdim=True).clamp_min(TINY)
        texels, residual = texels + step * direction, residual - step * curved
        before, size = size, _squares(residual)
        direction = residual + size / before.clamp_min(TINY) * direction
    opacity = texels[:, 3:].clamp(0, 1)
    opacity = opacity * (opacity >= EMPTY)
    return torch.cat([torch.minimum(texels[:, :3].clamp_min(0), opacity), opacity], dim=1)


def _squares(of: Tensor) -> Tensor:
    """(K, 1, 1, 1) sums of squares."""
    return of.square().sum(dim=(1, 2, 3), keepdim=True)


def _scaling(side: int) -> Tensor:
    """(s, S): the matrix by which `at_side` scales columns, and rows, but for its clamping."""
    columns = torch.eye(DRAWING_SIDE)[None, None]
    return functional.interpolate(columns, (side, DRAWING_SIDE), mode="bicubic", antialias=True)[0, 0]


def _misfit(drawn: Tensor, count: Tensor, b: Tensor, y: Tensor, bb: Tensor, by: Tensor, yy: Tensor) -> Tensor:
    """(K, 3, s, s) Σ (y − c − m b)², m = 1 − a, from the sums; ``drawn`` is (K, 4, s, s)."""
    c, m = drawn[:, :3], 1 - drawn[:, 3:]
    return yy + count * c.square() + m.square() * bb - 2 * c * y - 2 * m * by + 2 * c * m * b
