"""A map and a picture → a picture; several of them → a panel with a colour bar, a PNG or an animation.

In: probabilities (row, column) and PIL pictures of any size. Out: RGB pictures. Knows nothing of words or layers
beyond the captions that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmdit.files import appearing

COLOUR_MAPS: tuple[str, ...] = ("magma", "viridis", "inferno", "cividis")
"""Perceptually uniform ones of matplotlib."""
DIVERGING = "coolwarm"
"""For differences: zero in the middle (Moreland 2009)."""
GAP, TEXT, BAR = 12, 15, 14
PAPER, INK = (250, 250, 249), (59, 59, 56)


@dataclass(frozen=True)
class Tile:
    """One map of a panel.

    Args:
        heatmap: (row, column), probabilities.
        picture: what it lies over; None for the bare map.
        size: (width, height) that gives the shape when there is no picture.
    """

    title: str
    heatmap: np.ndarray
    picture: Image.Image | None
    size: tuple[int, int]


def colour_table(name: str) -> np.ndarray:
    """(256, 3) uint8. Raises ValueError for a name that is neither in `COLOUR_MAPS` nor `DIVERGING`."""
    if name not in (*COLOUR_MAPS, DIVERGING):
        raise ValueError(f"colour map {name!r} is unknown; use one of {', '.join(COLOUR_MAPS)}")
    from matplotlib import colormaps  # here, because it takes a third of a second

    return (colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)


def overlay(
    picture: Image.Image | None,
    heatmap: np.ndarray,
    limit: float,
    *,
    size: tuple[int, int] | None = None,
    opacity: float = 0.65,
    colour_map: str = "magma",
) -> Image.Image:
    """A map over its picture, at the picture's size.

    The patch grid is stretched over the whole picture, enlarged bilinearly with patch centres where they belong.

    Args:
        limit: the probability at the bright end; with `DIVERGING`, −limit is at the other end.
        size: (width, height) of the result when there is no picture.
        opacity: of the map, 0 to 1; ignored when there is no picture.
    """
    width, height = size if picture is None else picture.size
    share = heatmap.astype(np.float32) / max(limit, 1e-30)
    share = np.clip((share + 1) / 2 if colour_map == DIVERGING else share, 0, 1)
    enlarged = Image.fromarray(share).resize((width, height), Image.Resampling.BILINEAR)
    colours = colour_table(colour_map)[(np.asarray(enlarged) * 255).round().astype(np.uint8)]
    if picture is None:
        return Image.fromarray(colours)
    return Image.blend(picture.convert("RGB"), Image.fromarray(colours), opacity)


def panel(
    tiles: Sequence[Tile],
    caption: str,
    limit: float,
    *,
    side: int = 384,
    opacity: float = 0.65,
    colour_map: str = "magma",
) -> Image.Image:
    """Tiles beside each other, each letterboxed into a side × side box with its own shape, with one colour bar."""
    font = ImageFont.load_default(TEXT)
    width = len(tiles) * (side + GAP) + GAP + BAR + 60
    top = 2 * (TEXT + GAP)
    sheet = Image.new("RGB", (width, top + side + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP // 2), caption, fill=INK, font=font)
    for index, tile in enumerate(tiles):
        left = GAP + index * (side + GAP)
        draw.text((left, TEXT + GAP), tile.title, fill=INK, font=font)
        shape = tile.size if tile.picture is None else tile.picture.size
        size = fitted(shape, (side, side))
        picture = None if tile.picture is None else tile.picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        shown = overlay(picture, tile.heatmap, limit, size=size, opacity=opacity, colour_map=colour_map)
        sheet.paste(shown, (left + (side - size[0]) // 2, top + (side - size[1]) // 2))
    _draw_bar(sheet, (width - BAR - 60, top, width - 60, top + side), limit, colour_map)
    return sheet


def fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest (width, height) of a shape that fits into a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def save_animation(frames: Sequence[Image.Image], file: str | Path, milliseconds: int = 400) -> None:
    """Write a GIF that repeats; it appears whole or not at all."""
    following = list(frames[1:])
    with appearing(file) as partial:
        frames[0].save(partial, "GIF", save_all=True, append_images=following, duration=milliseconds, loop=0)


def _draw_bar(sheet: Image.Image, box: tuple[int, int, int, int], limit: float, colour_map: str) -> None:
    """The colours from 0 (`DIVERGING`: −limit) at the bottom to the limit at the top, with the numbers in percent."""
    left, top, right, bottom = box
    column = colour_table(colour_map)[::-1][:, None]
    bar = Image.fromarray(np.repeat(column, right - left, axis=1)).resize((right - left, bottom - top))
    sheet.paste(bar, (left, top))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for share in (0.0, 0.5, 1.0):
        value = (2 * share - 1) * limit if colour_map == DIVERGING else share * limit
        y, percent = bottom - share * (bottom - top), 100 * value
        text = f"{percent:.0f} %" if abs(percent) > 99 else f"{percent:.2g} %"
        draw.text((right + 5, y), text, fill=INK, font=font, anchor="lm")
