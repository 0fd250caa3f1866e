"""How far an edited picture has drifted from the given one, and how to undo it.

Editors that paint the whole picture anew shift it by pixels, scale it by permilles and tint it. The shift of each tile
is found by phase correlation (Guizar-Sicairos et al., Optics Letters 33, 2008), and one similarity transform is fitted
to all of them by RANSAC, which passes over the tiles that were edited; both are scikit-image's. In: two pictures of
one size. Out: a `Drift`, and the corrected picture. Knows no model.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from skimage.measure import ransac
from skimage.registration import phase_cross_correlation
from skimage.transform import SimilarityTransform, warp

LONGEST = 1536  # pixels of a side at which it is measured
TILES, SMALLEST_TILE = 8, 32  # along the shorter side; pixels
TEXTURE = 2.0  # standard deviation, in levels of 255, below which a tile tells nothing
UPSAMPLING, PASSES = 50, 3
OUTLIER = 0.6  # pixels by which an agreeing tile may miss the fit
ENOUGH_TILES, ENOUGH_AGREE = 4, 0.3
NO_SHIFT, NO_ZOOM, NO_ANGLE, NO_COLOUR = 0.1, 3e-4, 0.02, 0.5  # less is none: pixels, ratio, degrees, levels of 255
SEEN_SHIFT, SEEN_ZOOM, SEEN_COLOUR = 0.5, 1e-3, 2.5


@dataclass(frozen=True)
class Drift:
    """What has to be undone; measured outside of what was meant to change.

    Args:
        shift: (x, y) pixels by which the middle of the picture has moved right and down.
        zoom: ratio of sizes; 1 for none.
        angle: degrees clockwise.
        turned: pixels by which the angle alone moves the picture's corners.
        colour: levels of 255 that were added to (red, green, blue) where nothing was meant to change; the median.
            None where that place is not known, since a tint can't be told from an edit of the whole picture.
        tiles: that agree on this, of those that were looked at.
        reliable: whether enough of them do; shift, angle and turned are 0 when not, zoom 1, and colour None.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    angle: float = 0.0
    turned: float = 0.0
    colour: tuple[float, float, float] | None = None
    tiles: tuple[int, int] = (0, 0)
    reliable: bool = False

    @property
    def moved(self) -> bool:
        """Whether there is anything to undo but for the colour."""
        return max(map(abs, self.shift)) > NO_SHIFT or abs(self.zoom - 1) > NO_ZOOM or abs(self.angle) > NO_ANGLE

    @property
    def seen(self) -> bool:
        """Whether a person might see it."""
        moved = max(*map(abs, self.shift), self.turned) > SEEN_SHIFT or abs(self.zoom - 1) > SEEN_ZOOM
        return moved or max(map(abs, self.colour or [0.0])) > SEEN_COLOUR

    def said(self) -> str:
        """For people."""
        if not self.reliable:
            return "not comparable with the given picture"
        moved, scaled = f"moved by {self.shift[0]:+.1f}, {self.shift[1]:+.1f} pixels", f"scaled by {self.zoom - 1:+.2%}"
        if self.turned > SEEN_SHIFT:
            moved = f"{moved}, {scaled} and turned by {self.angle:+.2f}°"
        else:
            moved = f"{moved} and {scaled}"
        levels = " ".join(f"{level:+.0f}" for level in self.colour or ())
        return f"{moved}; colours {levels}" if levels else moved

    def settings(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def measure(source: Image.Image, edited: Image.Image, changed: np.ndarray | None = None) -> Drift:
    """
    Args:
        source, edited: RGB, of one size.
        changed: bool (row, column), where the picture was meant to change; None for not known.
    """
    scale = min(1.0, LONGEST / max(source.size))
    size = tuple(max(1, round(side * scale)) for side in source.size)
    given, made = (picture.convert("RGB").resize(size, Image.Resampling.LANCZOS) for picture in (source, edited))
    left_out = np.zeros(size[::-1], bool) if changed is None else _resized(changed, size)
    fit, agree, tiles = _fit(given, made, left_out)
    reliable = fit is not None
    fit = fit or SimilarityTransform()
    middle = (np.array(size) - 1) / 2
    shift = (fit(middle)[0] - middle) / scale
    told_apart = reliable and changed is not None
    colour = _colour(given, _warped(made, fit), left_out) if told_apart else None
    turned = abs(float(fit.rotation)) * math.hypot(*source.size) / 2
    return Drift(
        tuple(map(float, shift)), float(fit.scale), float(np.degrees(fit.rotation)), turned, colour, (agree, tiles),
        reliable,
    )  # fmt: skip


def correct(edited: Image.Image, drift: Drift) -> Image.Image:
    """The picture put back: moved by cubic interpolation, its border continued, and its colours taken back."""
    if drift.reliable and drift.moved:
        edited = _warped(edited, _transform(drift, edited.size))
    if drift.colour is not None and max(map(abs, drift.colour)) > NO_COLOUR:
        pixels = np.asarray(edited.convert("RGB"), dtype=np.float32) - np.float32(drift.colour)
        edited = Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))
    return edited


def _fit(given: Image.Image, made: Image.Image, left_out: np.ndarray) -> tuple[SimilarityTransform | None, int, int]:
    """Where each point of the one is in the other; how many tiles agree, of how many. None when too few do.

    Each pass measures what the pass before has left, which a window around a tile would otherwise hide in part.
    """
    fit, agree, tiles = SimilarityTransform(), 0, 0
    for _ in range(PASSES):
        points, shifts = _tile_shifts(given, _warped(made, fit), left_out)
        tiles = len(points)
        if tiles < ENOUGH_TILES:
            return None, 0, tiles
        found, agreeing = ransac(
            (points, points + shifts), SimilarityTransform, min_samples=2, residual_threshold=OUTLIER, max_trials=500,
            rng=0,
        )  # fmt: skip
        agree = 0 if agreeing is None else int(agreeing.sum())
        if not found or agree < max(ENOUGH_TILES, ENOUGH_AGREE * tiles):
            return None, agree, tiles
        fit = found + fit
    return fit, agree, tiles


def _tile_shifts(given: Image.Image, made: Image.Image, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(tile, 2) middles and shifts, x and y, of the tiles that have texture and were not meant to change."""
    one, other = (np.asarray(picture.convert("L"), dtype=np.float64) for picture in (given, made))
    rows, columns = one.shape
    side = min(max(min(rows, columns) // TILES, SMALLEST_TILE), rows, columns)
    window = np.outer(np.hanning(side), np.hanning(side))
    points, shifts = [], []
    step = max(1, side // 2) if min(rows, columns) < TILES * SMALLEST_TILE else side
    for top in range(0, rows - side + 1, step):
        for left in range(0, columns - side + 1, step):
            tile = np.s_[top : top + side, left : left + side]
            if left_out[tile].any() or min(one[tile].std(), other[tile].std()) < TEXTURE:
                continue
            a, b = ((of[tile] - of[tile].mean()) * window for of in (one, other))
            (down, right), _, _ = phase_cross_correlation(b, a, upsample_factor=UPSAMPLING)
            points.append((left + (side - 1) / 2, top + (side - 1) / 2))
            shifts.append((right, down))
    return np.array(points).reshape(-1, 2), np.array(shifts).reshape(-1, 2)


def _transform(drift: Drift, size: tuple[int, int]) -> SimilarityTransform:
    """Where each point of the given picture is in the edited one."""
    middle = (np.array(size) - 1) / 2
    turned = SimilarityTransform(scale=drift.zoom, rotation=np.radians(drift.angle))
    return (
        SimilarityTransform(translation=-middle) + turned + SimilarityTransform(translation=middle + drift.shift)
    )  # fmt: skip


def _warped(picture: Image.Image, fit: SimilarityTransform) -> Image.Image:
    """The picture whose point p is what the given one has at ``fit(p)``; beyond its border that continues."""
    if np.allclose(fit.params, np.eye(3), atol=1e-9):
        return picture
    pixels = warp(np.asarray(picture), fit, order=3, mode="edge", preserve_range=True)
    return Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))


def _colour(given: Image.Image, made: Image.Image, left_out: np.ndarray) -> tuple[float, float, float]:
    kept = ~left_out
    if not kept.any():
        return (0.0, 0.0, 0.0)
    difference = np.asarray(made, dtype=np.int16)[kept] - np.asarray(given, dtype=np.int16)[kept]
    return tuple(float(value) for value in np.median(difference, axis=0))


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scaled = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(scaled) > 0
