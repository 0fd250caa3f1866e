"""Edits of the whole picture that are made by their definition once they are understood: fog, sunset, frame, vignette,
and another colour for everything of one.

Nothing of them is learnt but the reading of the instruction. They are computed at the picture's own size.

Axes: B batch. Pictures are (B, 3, height, width); in [−1, 1] for `Effect`, in [0, 1] for the definitions. Coordinates
are those of `overlay.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdit.model.overlay import OfNoObject, strips
from mmdit.model.reader import Reading
from mmdit.model.tint import luma, recolour
from mmdit.model.vocabulary import BY_DEFINITION, COLOURS

MIST, MIST_ABOVE, MIST_BELOW = 0.84, 0.75, 0.35  # its grey, and its share at the top and at the bottom of the picture
LOW_SUN, GLOW, GLOW_COLOUR = (0.95, 0.68, 0.5), 0.35, (1.0, 0.5, 0.25)
DARK_FROM, DARK_TO, DARKNESS = 0.45, 1.45, 0.75  # distances from the middle; a corner's is 1.41
FRAME_SHARE, FRAME_COLOUR = 0.06, "white"  # of the shorter side
GREY = (0.5, 0.5, 0.5)
SATURATED, DARK, LIGHTNESS_WEIGHT, SHARPNESS = 0.18, 0.2, 0.9, 20.0
"""Of telling colours by name: the chroma, over a lightness of at least so much, from which a colour is no grey; how
much lightness counts; how sharply."""


def fog(picture: Tensor, here: Tensor) -> Tensor:
    """A light grey veil, thicker towards the top, where what is far away usually is."""
    below = (here[..., 1] + 1) / 2
    return torch.lerp(picture, picture.new_tensor(MIST), MIST_ABOVE + (MIST_BELOW - MIST_ABOVE) * below)


def sunset(picture: Tensor, here: Tensor) -> Tensor:
    """Less green and blue light, and a glow around a low sun behind the middle of the picture."""
    lit = picture * picture.new_tensor(LOW_SUN)[:, None, None]
    near = GLOW * (1 - here.square().sum(dim=-1).sqrt() / 2**0.5)
    return lit + (1 - lit) * near * picture.new_tensor(GLOW_COLOUR)[:, None, None]


def vignette(picture: Tensor, here: Tensor) -> Tensor:
    """Darker towards the corners, by a smooth step of the distance from the middle."""
    away = here.square().sum(dim=-1).sqrt()
    step = ((away - DARK_FROM) / (DARK_TO - DARK_FROM)).clamp(0, 1)
    return picture * (1 - DARKNESS * step.square() * (3 - 2 * step))


def frame(picture: Tensor, here: Tensor, aspect: float, colour: Tensor) -> Tensor:
    """A border of one colour, (B, 3, 1, 1).

    Args:
        aspect: width over height of the picture.
    """
    x, y = (1 - here.abs()).unbind(dim=-1)  # in half widths and half heights from the edge
    from_edge = torch.minimum(x * max(aspect, 1), y * max(1 / aspect, 1))
    return torch.where(from_edge < 2 * FRAME_SHARE, colour, picture)


DEFINITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"fog": fog, "sunset": sunset, "vignette": vignette}
"""Effects that ask for nothing but the picture and the coordinates of its pixels."""


def membership(picture: Tensor, colour: str) -> Tensor:
    """(B, 1, height, width) in [0, 1]: how far each pixel is of the named colour rather than of the others or grey.

    A soft choice of the nearest of the named colours by hue, chroma and lightness in Oklab (Ottosson 2020).
    """
    names = [*COLOURS, "grey"]
    known = picture.new_tensor([*COLOURS.values(), GREY])
    feature, known = _told_by(picture), _told_by(known[:, :, None, None])
    far = (feature[:, None] - known[None]).square().sum(dim=2)  # (B, names, height, width)
    return (-SHARPNESS * far).softmax(dim=1)[:, names.index(colour)][:, None]


def parts_recoloured(picture: Tensor, part: str, colour: str) -> Tensor:
    """Everything of one named colour in another, light and shade kept: what is exactly the one becomes the other."""
    old, new = (picture.new_tensor(COLOURS[name])[:, None, None] for name in (part, colour))
    light = (luma(picture) + 0.5 - luma(old)).clamp(0, 1)
    return torch.lerp(picture, recolour(light, new), membership(picture, part))


def _told_by(picture: Tensor) -> Tensor:
    """(B, 3, height, width): hue as a direction that is shorter for greys, and lightness."""
    linear = torch.where(picture <= 0.04045, picture / 12.92, ((picture.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    to_cones = picture.new_tensor([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ])  # fmt: skip
    to_lab = picture.new_tensor([
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ])  # fmt: skip
    cones = torch.einsum("ij,bjhw->bihw", to_cones, linear).clamp_min(0) ** (1 / 3)
    lightness, a, b = torch.einsum("ij,bjhw->bihw", to_lab, cones).unbind(dim=1)
    chroma = (a.square() + b.square()).sqrt().clamp_min(1e-6)
    share = (chroma / lightness.clamp_min(DARK) / SATURATED).clamp_max(1) / chroma
    return torch.stack([a * share, b * share, LIGHTNESS_WEIGHT * lightness], dim=1)


@dataclass(frozen=True)
class Effect(OfNoObject):
    """The effects of a batch as an overlay.

    Args:
        asked: (B,) what is asked for, sample by sample; None for no effect.
        size: (height, width) of the working picture.
        device: where it is.
        amount: how much of it, 1 being all; beyond 1 more.
    """

    asked: tuple[Reading | None, ...]
    size: tuple[int, int]
    device: torch.device
    amount: float = 1.0

    @classmethod
    def of_readings(cls, readings: Sequence[Reading | None], working: Tensor, amount: float = 1.0) -> "Effect":
        """Those among the readings, of the working picture (B, 3, height, width), that ask for an effect."""
        asked = (reading if reading is not None and reading.kind in BY_DEFINITION else None for reading in readings)
        return cls(tuple(asked), tuple(working.shape[-2:]), working.device, amount)

    @property
    def shown(self) -> Tensor:
        """See `Overlay.shown`."""
        return torch.tensor([reading is not None for reading in self.asked], device=self.device)

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """See `Overlay.over`."""
        done, (height, width) = picture.clone(), source.shape[-2:]
        for index, reading in enumerate(self.asked):
            if reading is None:
                continue
            for rows, here in strips(height, width, source.device):
                given = (picture[index : index + 1, :, rows] + 1) / 2
                changed = made(reading, given, here, width / height).clamp(0, 1)
                done[index : index + 1, :, rows] = 2 * torch.lerp(given, changed, self.amount).clamp(0, 1) - 1
        return done

    def where(self, expected: Tensor) -> "Effect":
        """See `Overlay.where`."""
        kept = zip(self.asked, expected.tolist(), strict=True)
        return replace(self, asked=tuple(reading if keep else None for reading, keep in kept))

    def of(self, chosen: Tensor) -> "Effect":
        """See `Overlay.of`."""
        return replace(self, asked=tuple(self.asked[index] for index in chosen.tolist()))


def made(reading: Reading, picture: Tensor, here: Tensor, aspect: float) -> Tensor:
    """The effect that a reading asks for, of some rows of a picture; not clamped.

    Args:
        here: (rows, width, 2) coordinates of the pixels.
        aspect: width over height of the whole picture.
    """
    if reading.kind == "parts":
        return parts_recoloured(picture, reading.part, reading.colour)
    if reading.kind == "frame":
        return frame(picture, here, aspect, picture.new_tensor(COLOURS[reading.colour or FRAME_COLOUR])[:, None, None])
    return DEFINITIONS[reading.kind](picture, here)
