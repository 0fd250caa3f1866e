"""Series of edits that differ in their LoRAs' weights alone: which edits, and what their attention tells.

In: one request, a stack, weights as people type them; afterwards the recordings. Out: requests, maps of differences, a
sheet of all pictures. Knows neither files nor the page.

Axes: those of `AttentionMaps`; averaged here to (row, column).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.overlay import DIVERGING, INK, PAPER, fitted, overlay
from mmdit.lora.inspect import LoraError
from mmdit.ui.lora_shelf import HIGHEST, LOWEST, shown

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest
    from mmdit.lora.stack import LoraWeight

MOST = 25  # pictures of a series
ALL_WORDS = ""  # in a word's place: the mean of all
TILE, GAP, TEXT = 320, 12, 15


@dataclass(frozen=True)
class Variant:
    """One edit of a series.

    Args:
        caption: what sets it apart.
        weights: one for each LoRA of the stack; None leaves it out.
    """

    caption: str
    weights: tuple[float | None, ...]


@dataclass(frozen=True)
class Axis:
    """A LoRA's name, and the weights that it takes along an axis of a grid."""

    name: str
    values: tuple[float, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(shown(value) for value in self.values)


@dataclass(frozen=True)
class Series:
    """
    Args:
        variants: of a grid, row by row.
        x, y: of a grid; a comparison has neither, a grid of one row has no ``y``.
    """

    variants: tuple[Variant, ...]
    x: Axis | None = None
    y: Axis | None = None

    @property
    def columns(self) -> int:
        """Pictures in a row of the sheet; of a comparison each has its difference at its side."""
        return len(self.x.values) if self.x is not None else min(3, len(self.variants))


# ---- which edits


def comparison(names: Sequence[str], weights: Sequence[float]) -> Series:
    """Without any LoRA, with each alone, and with all together. Raises LoraError: an empty or a too large stack."""
    if not names:
        raise LoraError("the stack is empty; add a LoRA to compare with")
    nothing = (None,) * len(names)
    variants = [Variant("Without", nothing)]
    for place, (name, weight) in enumerate(zip(names, weights, strict=True)):
        variants.append(Variant(f"{name} {shown(weight)}", (*nothing[:place], weight, *nothing[place + 1 :])))
    if len(names) > 1:
        variants.append(Variant("All together", tuple(weights)))
    if len(variants) > MOST:
        raise LoraError(f"{len(names)} LoRAs make {len(variants)} pictures; compare at most {MOST - 2} at a time")
    return Series(tuple(variants))


def weight_grid(
    names: Sequence[str], weights: Sequence[float], x: tuple[int, str], y: tuple[int, str] | None = None
) -> Series:
    """Every pair of weights of one or two LoRAs; all others keep theirs.

    Args:
        x, y: position in the stack, and the weights as they were typed: "0, 0.5, 1".

    Raises:
        LoraError: a LoRA that is not there or is on both axes, weights that are none, too many pictures.
    """
    if y is not None and x[0] == y[0]:
        raise LoraError("X and Y name the same LoRA; choose another for one of them, or none for Y")
    across = _axis(names, x, "X")
    down = None if y is None else _axis(names, y, "Y")
    values = (None,) if down is None else down.values
    count = len(across.values) * len(values)
    if count > MOST:
        shape = f"{len(across.values)} × {len(values)} weights make"
        raise LoraError(f"{shape} {count} pictures; a grid has at most {MOST}, so name fewer weights")
    variants = []
    for second in values:
        for first in across.values:
            varied = list(weights)
            varied[x[0]] = first
            caption = f"{across.name} {shown(first)}"
            if down is not None:
                varied[y[0]] = second
                caption += f" · {down.name} {shown(second)}"
            variants.append(Variant(caption, tuple(varied)))
    return Series(tuple(variants), across, down)


def parse_weights(text: str, axis: str) -> tuple[float, ...]:
    """ "0, 0.5, 1" → its numbers, each once, in order. Raises LoraError: none, or one that is no weight.

    Args:
        axis: named in errors.
    """
    example = "use numbers from −2 to 2 with commas between, such as 0, 0.5, 1"
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not parts:
        raise LoraError(f"{axis} has no weights; {example}")
    found = []
    for part in parts:
        try:
            value = float(part.replace("−", "-"))
        except ValueError:
            value = math.nan
        if not LOWEST <= value <= HIGHEST:  # false for NaN
            raise LoraError(f"“{part[:20]}” on {axis} is no weight; {example}")
        found.append(value + 0.0)  # −0 is 0
    return tuple(dict.fromkeys(found))


def _axis(names: Sequence[str], chosen: tuple[int, str], axis: str) -> Axis:
    place, text = chosen
    if not 0 <= place < len(names):
        raise LoraError(f"{axis} names no LoRA of the stack; choose one of them")
    return Axis(names[place], parse_weights(text, axis))


def requests(request: "EditRequest", series: Series, loras: "Sequence[LoraWeight]") -> "list[EditRequest]":
    """One request for each variant: the same but for ``loras``.

    Args:
        request: with its seed.
        loras: the stack.
    """
    made = []
    for variant in series.variants:
        pairs = zip(loras, variant.weights, strict=True)
        stack = [replace(lora, weight=w) for lora, w in pairs if w is not None]
        made.append(replace(request, loras=stack, literally=True))  # the words mean the same in all of them
    return made


# ---- what attention tells


@dataclass(frozen=True)
class WordMaps:
    """What the patches of the edited picture read, averaged over steps, heads and telling layers.

    Args:
        values: float32, (word, row, column).
    """

    words: tuple[str, ...]
    layers: tuple[str, ...]
    values: np.ndarray

    def of(self, word: str) -> np.ndarray:
        """(row, column) of one word, or of the mean of `ALL_WORDS`. Raises MapsError for one that is not there."""
        if word == ALL_WORDS:
            return self.values.mean(axis=0)
        if word not in self.words:
            raise MapsError(f"there is no word “{word[:40]}”; choose one of {', '.join(self.words)}")
        return self.values[self.words.index(word)]


def word_maps(maps: AttentionMaps, like: WordMaps | None = None) -> WordMaps:
    """Averages of a recording.

    Args:
        like: to be compared with it, so that its layers are taken. None takes the default view's.

    Raises:
        MapsError: other words, layers or patches than ``like`` has.
    """
    layers = maps.best_layers() if like is None else like.layers
    values = maps.select(layers=layers).mean(axis=(0, 1, 2))
    if like is not None and (maps.words != like.words or values.shape != like.values.shape):
        raise MapsError("recordings with different words or patches can't be compared; make the series again")
    return WordMaps(maps.words, layers, values)


def default_word(words: Sequence[str]) -> str:
    """The last one with a letter: instructions end with what they are about. `ALL_WORDS` if there is none."""
    return next((word for word in reversed(words) if re.search(r"[^\W\d_]", word)), ALL_WORDS)


def limit_of(differences: Sequence[np.ndarray]) -> float:
    """The largest change, either way: the ends of a colour scale for all of them."""
    return max((float(np.abs(difference).max()) for difference in differences), default=0.0)


def difference_picture(picture: Image.Image, difference: np.ndarray, limit: float, side: int = TILE) -> Image.Image:
    """A difference over its picture, in the colours for differences; at most ``side`` × ``side``."""
    size = fitted(picture.size, (side, side))
    small = picture.convert("L").convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return overlay(small, difference, limit, opacity=0.7, colour_map=DIVERGING)


# ---- one picture of all


def sheet(series: Series, tiles: Sequence[Sequence[Image.Image]], title: str) -> Image.Image:
    """Everything on one page, with captions.

    Args:
        tiles: for each variant that was made, in order: its picture, and perhaps its difference beside it.
        title: above everything.
    """
    font = ImageFont.load_default(TEXT)
    beside = max((len(of) for of in tiles), default=1)
    shapes = [fitted(tile.size, (TILE, TILE)) for of in tiles for tile in of]
    width = max((size[0] for size in shapes), default=TILE)
    height = max((size[1] for size in shapes), default=TILE)
    across, down = beside * width + (beside - 1) * GAP // 3 + GAP, height + TEXT + 2 * GAP
    columns = series.columns
    rows = math.ceil(len(series.variants) / columns)
    page = Image.new("RGB", (columns * across + GAP, rows * down + TEXT + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), _cut(title, page.width - 2 * GAP, font), fill=INK, font=font)
    for place, (variant, pictures) in enumerate(zip(series.variants, tiles, strict=False)):
        left, top = GAP + place % columns * across, TEXT + 2 * GAP + place // columns * down
        draw.text((left, top), _cut(variant.caption, across - GAP, font), fill=INK, font=font)
        for index, picture in enumerate(pictures):
            small = picture.convert("RGB").resize(fitted(picture.size, (TILE, TILE)), Image.Resampling.LANCZOS)
            page.paste(small, (left + index * (width + GAP // 3), top + TEXT + GAP // 2))
    return page


def _cut(text: str, width: int, font: ImageFont.ImageFont) -> str:
    """The beginning of a text, as far as it has room."""
    while text and font.getlength(text) > width:
        text = f"{text[:-2]}…" if len(text) > 2 else ""
    return text
