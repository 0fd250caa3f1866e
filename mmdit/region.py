"""Where a picture is edited: a mask, and what lies outside of it coming back to the bit.

In: masks as pictures, files or attention maps. Out: a `Region`, which blends an edited picture into its source. Knows
no model. In a mask white is edited, black is kept, grey is mixed.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from mmdit import images

FEATHER, MOST_FEATHER = 8.0, 256.0  # pixels of the edited picture
MOST_GROWTH = 4096.0  # pixels
MOST_KEPT = 47 * 2**20  # bytes of a mask's PNG in settings; in base64 just below what can be read of a PNG's text


class RegionError(ValueError):
    """A region that can't be used; one sentence with the value and the remedy."""


@dataclass(frozen=True)
class Region:
    """
    Args:
        mask: "L", of the picture's shape at any size; 255 is edited, 0 is kept.
        feather: width of the soft edge, in pixels of the picture; it lies inside of what is marked.
    """

    mask: Image.Image
    feather: float = FEATHER

    def check(self, size: tuple[int, int]) -> None:
        """Whether it can be used on an upright picture of that (width, height). Raises RegionError."""
        if self.mask.mode != "L":
            raise RegionError(f"the mask is in mode {self.mask.mode}; give an 8-bit greyscale one, mode L")
        check_feather(self.feather)
        (width, height), (of_width, of_height) = self.mask.size, size
        off = min(abs(width - height * of_width / of_height), abs(height - width * of_height / of_width))
        if off > 1:  # more than what rounding to whole pixels can do
            raise RegionError(
                f"the mask is {width}×{height} and the picture {of_width}×{of_height}; give a mask of the same shape"
            )
        if self.mask.getextrema()[1] == 0:
            raise RegionError("the mask is black, so it marks nothing; paint white what is to be edited")

    def settings(self) -> dict[str, Any]:
        """JSON-ready, with the mask as a PNG in base64; without it only where that would be larger than `MOST_KEPT`,
        as one of 50 megapixels of nothing but noise is.
        """
        buffer = io.BytesIO()
        self.mask.save(buffer, "PNG", optimize=True)
        kept = buffer.tell() <= MOST_KEPT
        mask = {"mask": base64.b64encode(buffer.getvalue()).decode()} if kept else {}
        return {"feather": self.feather, "size": list(self.mask.size), **mask}

    def inside(self, size: tuple[int, int]) -> np.ndarray:
        """Bool (row, column) for a picture of (width, height): what may change at all. Raises RegionError: `fitted`."""
        return np.asarray(self.fitted(size)) > 0

    def fitted(self, size: tuple[int, int]) -> Image.Image:
        """The mask at (width, height), bilinear. Raises RegionError: nothing of it is left at that size."""
        mask = self.mask if self.mask.size == size else self.mask.resize(size, Image.Resampling.BILINEAR)
        if mask.getextrema()[1] == 0:
            raise RegionError(f"what the mask marks vanishes at {size[0]}×{size[1]}; mark a larger region")
        return mask

    def weights(self, size: tuple[int, int]) -> Image.Image:
        """What of the edited picture is seen: "L" of (width, height), 0 exactly where the mask is 0.

        Grows linearly with the distance to what is kept, and is the mask itself beyond the feather. A piece of the
        region that is too thin for its feather gets a narrower one, so that its middle is edited all the same.

        Raises:
            RegionError: as `fitted`.
        """
        mask = self.fitted(size)
        box = _with_margin(mask.getbbox(), size)
        marked = np.asarray(mask.crop(box))
        if self.feather == 0 or marked.all():
            return mask
        distance = ndimage.distance_transform_edt(marked).astype(np.float32)
        pieces, count = ndimage.label(marked)
        thickest = np.zeros(count + 1)
        np.maximum.at(thickest, pieces.ravel(), distance.ravel())
        edge = (thickest - 1).clip(0, self.feather) + 1  # of a piece: where the mask is itself again
        soft = np.ceil(marked * (distance / edge.astype(np.float32)[pieces]).clip(0, 1))  # never wholly kept
        weights = Image.new("L", size)
        weights.paste(Image.fromarray(soft.astype(np.uint8)), box)
        return weights

    def blend(self, source: Image.Image, edited: Image.Image) -> Image.Image:
        """The edited picture inside the region, the source outside: there each pixel is the source's own.

        Args:
            source, edited: RGB, of one size.

        Raises:
            RegionError: as `fitted`.
        """
        return Image.composite(edited, source, self.weights(source.size))


def check_feather(feather: Any) -> None:
    """Raises RegionError: no width that an edge can have."""
    if not _is_number(feather, 0, MOST_FEATHER):
        raise RegionError(f"feather is {str(feather)[:40]!r}; it must be a number from 0 to {MOST_FEATHER:g} pixels")


def load_mask(file: str | Path) -> Image.Image:
    """A mask from a picture file: its luma, in which white is edited and grey is mixed; transparent counts as black.

    Raises:
        ImageError: no picture that can be read.
    """
    return images.load_image(file, background="black").convert("L")


def mask_is_lost(settings: Any) -> bool:
    """Whether these are the settings of a region whose mask was too large for them."""
    return isinstance(settings, dict) and "size" in settings and "mask" not in settings


def region_of(settings: dict[str, Any]) -> Region:
    """The region whose `Region.settings` these are. Raises RegionError: damaged, or without the mask."""
    if mask_is_lost(settings):
        raise RegionError("the region's mask was too large to be kept in the settings; give the region again")
    try:
        png = base64.b64decode(settings["mask"], validate=True)
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            if opened.width * opened.height > images.MAX_PIXELS:
                raise ValueError("too large")
            return Region(opened.convert("L"), float(settings["feather"]))
    except (
        KeyError,
        TypeError,
        ValueError,
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise RegionError("the settings hold no mask that can be read; give the region again") from error


def from_map(
    values: np.ndarray,
    size: tuple[int, int],
    threshold: float = 0.5,
    smooth: float = 0.0,
    grow: float = 0.0,
    feather: float = FEATHER,
) -> Region:
    """The region where a word's attention is high.

    The map is smoothed, enlarged bilinearly with the patches' centres where they belong, cut off, and grown.

    Args:
        values: (row, column), probabilities.
        size: (width, height) of the picture.
        threshold: 0 to 1, of the smoothed and enlarged map's maximum; what is above or equal is in.
        smooth: standard deviation of a Gaussian, in patches, 0 to 16.
        grow: pixels of the picture by which the region grows; it shrinks by a negative number.

    Raises:
        RegionError: a map without a maximum, a value out of range, or nothing that is left.
    """
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all() or values.max() <= 0:
        raise RegionError(f"the map of shape {values.shape} holds no attention; choose another word")
    for name, value, low, high in (
        ("threshold", threshold, 0, 1), ("smooth", smooth, 0, 16), ("grow", grow, -MOST_GROWTH, MOST_GROWTH)
    ):  # fmt: skip
        if not _is_number(value, low, high):
            raise RegionError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}")
    smoothed = ndimage.gaussian_filter(values, smooth, mode="nearest") if smooth else values
    enlarged = np.asarray(Image.fromarray(smoothed).resize(size, Image.Resampling.BILINEAR))
    marked = grown(enlarged >= np.float32(threshold) * enlarged.max(), grow)
    if not marked.any():
        raise RegionError(
            f"nothing is left at threshold {threshold:g} grown by {grow:g} pixels; lower the one or raise the other"
        )
    return Region(Image.fromarray(marked.astype(np.uint8) * 255), feather)


def grown(marked: np.ndarray, pixels: float) -> np.ndarray:
    """(row, column) bool, with all that is within so many pixels of it; for a negative number, without its edge."""
    if pixels == 0 or marked.all() or not marked.any():
        return marked
    if pixels < 0:
        return ~grown(~marked, -pixels)
    return ndimage.distance_transform_edt(~marked) <= pixels


def _with_margin(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A pixel wider on each side, so that what borders on it is seen; not beyond the picture, whose edge is no edge."""
    left, top, right, bottom = box
    return max(0, left - 1), max(0, top - 1), min(size[0], right + 1), min(size[1], bottom + 1)


def _is_number(value: Any, low: float, high: float) -> bool:
    right_type = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    return right_type and low <= value <= high
