"""The edits that concern a whole photograph, each by its definition.

Pictures here are (…, 3, height, width) in [0, 1]; results are too. Luma L is Rec. 601.
"""

from collections.abc import Callable

from torch import Tensor

from mmdit.model.edit_field import soften
from mmdit.model.tint import luma


def _scale_channels(red: float, green: float, blue: float) -> Callable[[Tensor], Tensor]:
    return lambda picture: picture * picture.new_tensor([red, green, blue])[:, None, None]


def _sepia(picture: Tensor) -> Tensor:
    return luma(picture) * picture.new_tensor([1.1, 0.88, 0.62])[:, None, None]


def _saturate(picture: Tensor) -> Tensor:
    grey = luma(picture)
    return grey + 1.9 * (picture - grey)


def _blur(picture: Tensor) -> Tensor:
    return soften(picture) if picture.ndim == 4 else soften(picture[None])[0]


DEFINITIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "black and white": lambda picture: luma(picture).expand_as(picture),
    "sepia": _sepia,
    "invert": lambda picture: 1 - picture,
    "brighter": lambda picture: 1.2 * picture + 0.15,
    "darker": lambda picture: 0.5 * picture,
    "warmer": _scale_channels(1.25, 1.03, 0.7),
    "cooler": _scale_channels(0.7, 0.98, 1.3),
    "contrast": lambda picture: 1.8 * (picture - 0.5) + 0.5,
    "saturation": _saturate,
    "blur": _blur,
    "night": _scale_channels(0.2, 0.26, 0.5),
}


def photo_edit(kind: str, picture: Tensor) -> Tensor:
    """The finished edit of a picture, clamped to [0, 1]."""
    return DEFINITIONS[kind](picture).clamp(0, 1)
