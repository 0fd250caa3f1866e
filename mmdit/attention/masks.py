"""A mask of a picture as a mask of its patches.

In: a PIL picture or an array, of any size. Out: booleans on a patch grid. Knows no maps and no model.
"""

import numpy as np
from PIL import Image

HALF = 0.5 - 1e-9  # of a patch; what rounding takes from a half is given back


def on_grid(
    mask: Image.Image | np.ndarray, height: int, width: int, picture: tuple[int, int] | None = None
) -> np.ndarray:
    """Boolean, (height, width): a patch counts where at least half of it is marked.

    Args:
        mask: marked where it is true, or brighter than half of its brightest pixel; what is transparent is not marked.
            An array is (row, column), of booleans or of numbers from 0 up. Either has about the shape of the grid or
            of the picture.
        picture: (height, width) of what the grid lies over, which may have been squeezed.

    Raises:
        ValueError: no mask, or one of another shape.
    """
    marked = _marked(mask)
    of_picture = picture is not None and have_one_shape(marked.shape, picture)
    if not of_picture and not is_alike(marked.shape, (height, width)):
        raise ValueError(
            f"the mask is (row, column) {marked.shape} and the maps are {(height, width)}, another shape; "
            "give a mask of the picture that they belong to"
        )
    if marked.shape == (height, width):
        return marked
    shares = _shares(height, marked.shape[0]) @ marked @ _shares(width, marked.shape[1]).T
    return shares >= HALF


def is_alike(shape: tuple[int, int], grid: tuple[int, int]) -> bool:
    """Whether a (height, width) has the shape of a smaller one, up to the one row or column that rounding can do."""
    (height, width), (rows, columns) = shape, grid
    return min(abs(rows - columns * height / width), abs(columns - rows * width / height)) <= 1


def have_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """`is_alike`, whichever of the two (height, width) is the smaller."""
    return is_alike(*sorted([one, other], reverse=True))


def _marked(mask: Image.Image | np.ndarray) -> np.ndarray:
    """Booleans, (row, column)."""
    values = np.asarray(_grey(mask) if isinstance(mask, Image.Image) else mask)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "buif":
        raise ValueError(
            f"the mask is an array of {values.dtype} of shape {values.shape}; "
            "it must be a picture, or rows and columns of booleans or numbers"
        )
    if values.dtype == bool:
        return values
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(
            "the mask holds numbers below 0, or some that are none; mark with numbers above 0, or booleans"
        )
    return values > values.max() / 2


def _grey(picture: Image.Image) -> Image.Image:
    """One number a pixel; what is transparent is black."""
    if len(picture.getbands()) == 1 and picture.mode != "P" and not picture.has_transparency_data:
        return picture
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("L")


def _shares(parts: int, pixels: int) -> np.ndarray:
    """(parts, pixels): which share of each of equal parts of a side each of its pixels takes."""
    starts, pixel = np.arange(parts)[:, None] * pixels / parts, np.arange(pixels)
    stops = starts + pixels / parts
    overlap = (np.minimum(stops, pixel + 1) - np.maximum(starts, pixel)).clip(0)
    return overlap * parts / pixels
