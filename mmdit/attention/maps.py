"""Recorded attention: select, reduce, compare, rank, save, load.

In: arrays from a recorder or a file. Out: float32 arrays of probabilities. Knows neither models nor pictures, but
for the masks that layers are ranked by.

Axes everywhere: (step, layer, head, word, row, column); an axis that was averaged away has length 1. image_to_text
is image queries over text keys, what each patch reads; text_to_image is text queries over image keys, where each
word looks. A word of several sub-tokens has their sum as key and their mean as query.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from mmdit.attention.layout import Stream
from mmdit.attention.masks import on_grid
from mmdit.files import appearing

Direction = Literal["image_to_text", "text_to_image"]
DIRECTIONS: tuple[Direction, ...] = ("image_to_text", "text_to_image")
COPIED_FROM = "copied_from"  # chosen target patches over reference keys; its word axis holds the patches
FORMAT = "mmdit-attention-maps"
VERSION = 1

Wanted = str | int | Sequence[str | int] | None


class MapsError(ValueError):
    """A question that the maps can't answer, or a file that holds none; one sentence with the remedy."""


@dataclass(frozen=True)
class AttentionMaps:
    """
    Args:
        words: the recorded words; a second "the" is called "the#2".
        layers: module names, in the model's order.
        steps: timesteps, 1 being pure noise; their mean where steps were averaged.
        heads: positions as text; ("mean",) where they were averaged.
        streams: the image streams, with their patch grids.
        patches: target patches (row, column) whose reading of the references was kept.
        data: (direction or "copied_from", stream) → array with the axes above, float16 or float32.
        metadata: JSON-ready; what edit this was.
        is_difference: True for what `minus` made: values in [−1, 1] that are no shares.
        telling: (direction, stream) → layers known to find what a word names in this model; may be empty.
    """

    words: tuple[str, ...]
    layers: tuple[str, ...]
    steps: tuple[float, ...]
    heads: tuple[str, ...]
    streams: tuple[Stream, ...]
    data: dict[tuple[str, str], np.ndarray]
    patches: tuple[tuple[int, int], ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    is_difference: bool = False
    telling: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for (what, stream), values in self.data.items():
            grid = self.grid(stream)
            few = self.patches if what == COPIED_FROM else self.words
            axes = (self.steps, self.layers, self.heads, few)
            expected = (*map(len, axes), grid.height, grid.width)
            if values.shape != expected:
                raise MapsError(f"the maps of {what} over {stream} have shape {values.shape}, not {expected}")
            if values.dtype.kind != "f":
                raise MapsError(f"the maps of {what} over {stream} hold {values.dtype}, not float16 or float32")

    def __repr__(self) -> str:
        """In one line, without the numbers."""
        model = f" of {self.metadata['model']}" if self.metadata.get("model") else ""
        streams = ", ".join(f"{of.name} {of.height}×{of.width}" for of in self.streams)
        axes = f"steps × layers × heads: {len(self.steps)} × {len(self.layers)} × {len(self.heads)}"
        kind = "difference of maps" if self.is_difference else "maps"
        return f"<AttentionMaps{model}: {kind} of {_listed(map(repr, self.words))} over {streams}; {axes}>"

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that were recorded."""
        return tuple(direction for direction in DIRECTIONS if any(what == direction for what, _ in self.data))

    def grid(self, stream: str) -> Stream:
        """Name and patch grid of a stream."""
        for of in self.streams:
            if of.name == stream:
                return of
        raise MapsError(f"there is no stream {stream!r}; use {', '.join(of.name for of in self.streams)}")

    def select(
        self,
        direction: str = "image_to_text",
        stream: str = "target",
        layers: Wanted = None,
        steps: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        words: Wanted = None,
    ) -> np.ndarray:
        """Probabilities as they were recorded, float32, axes (step, layer, head, word, row, column).

        Args:
            layers, words: names or positions; None for all.
            steps, heads: positions; None for all.

        Raises:
            MapsError: something that was not recorded.
        """
        values = self._array(direction, stream)
        places = (
            _positions("step", steps, [f"{step:g}" for step in self.steps]),
            _positions("layer", layers, self.layers),
            _positions("head", heads, self.heads),
            _positions("word", words, self.words),
        )
        return values[np.ix_(*places)].astype(np.float32)

    def other(self, direction: str = "image_to_text", **where: Any) -> np.ndarray:
        """What the recorded words, or the recorded streams, leave over of each query's attention.

        image_to_text: (step, layer, head, 1, row, column), what patches read besides the recorded words: other
        words, padding, images; ``where`` may name a stream. text_to_image: (step, layer, head, word, 1, 1), what
        words read besides the recorded streams.
        """
        self._check_shares()
        if direction == "image_to_text":
            return 1 - self.select(direction, **where).sum(axis=3, keepdims=True)
        if "stream" in where:
            raise MapsError("text_to_image leaves over what no recorded stream got; don't name one")
        streams = [stream.name for stream in self.streams]
        parts = [self.select(direction, stream, **where).sum(axis=(4, 5), keepdims=True) for stream in streams]
        return 1 - np.sum(parts, axis=0)

    def heatmap(self, word: str | int, direction: str = "image_to_text", stream: str = "target", **where: Any) -> Any:
        """One word's map, averaged over the selected steps, layers and heads: (row, column)."""
        return self.select(direction, stream, words=word, **where).mean(axis=(0, 1, 2, 3))

    def words_at(self, row: int, column: int, stream: str = "target", **where: Any) -> list[tuple[str, float]]:
        """What one patch reads: words with their probabilities, most first, averaged like `heatmap`."""
        grid = self.grid(stream)
        if not (0 <= row < grid.height and 0 <= column < grid.width):
            raise MapsError(f"patch ({row}, {column}) is outside {stream}'s {grid.height} × {grid.width} patches")
        shares = self.select("image_to_text", stream, **where)[..., row, column].mean(axis=(0, 1, 2))
        names = [self.words[i] for i in _positions("word", where.get("words"), self.words)]
        return sorted(zip(names, shares.tolist(), strict=True), key=lambda pair: -pair[1])

    def copied_from(self, row: int, column: int, reference: str = "reference:0", **where: Any) -> np.ndarray:
        """Where in a reference a target patch looked, averaged like `heatmap`: (row, column) of the reference."""
        if (row, column) not in self.patches:
            raise MapsError(f"patch ({row}, {column}) was not recorded; name it in RecordSpec.patches")
        values = self._array(COPIED_FROM, reference)
        layers = _positions("layer", where.pop("layers", None), self.layers)
        if where:
            raise MapsError(f"copied_from can't select by {', '.join(where)}; it averages over steps and heads")
        patch = self.patches.index((row, column))
        return values[:, layers, :, patch].astype(np.float32).mean(axis=(0, 1, 2))

    def entropy(self, direction: str = "image_to_text", stream: str = "target") -> np.ndarray:
        """How spread each layer's maps are, (layer,) in [0, 1]: entropy over patches by its maximum, mean of words."""
        self._check_shares()
        values = self.select(direction, stream).mean(axis=(0, 2)).reshape(len(self.layers), len(self.words), -1)
        values = np.where(values.sum(axis=-1, keepdims=True) > 0, values, 1)  # a map of zeros tells nothing
        shares = values / np.maximum(values.sum(axis=-1, keepdims=True), 1e-30)
        entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=-1)
        return np.clip(entropy / np.log(max(values.shape[-1], 2)), 0, 1).mean(axis=1)

    def rank_layers(
        self,
        word: str | int | None = None,
        mask: Image.Image | np.ndarray | None = None,
        direction: str = "image_to_text",
        stream: str = "target",
    ) -> list[tuple[str, float]]:
        """Layers, most telling first: by IoU with a mask where there is one, or else by low entropy.

        Args:
            word: whose map is held against the mask.
            mask: a picture, or an array (row, column) of booleans or numbers, of any size and about the shape of the
                stream's picture; it is marked where it is true, or brighter than half of its brightest pixel. A patch
                counts where at least half of it is marked.

        Returns:
            (layer, IoU) falling, or (layer, entropy) rising.

        Raises:
            MapsError: no mask, or one of another shape; something that was not recorded.
        """
        if mask is None:
            values = self.entropy(direction, stream)
            return [(self.layers[i], float(values[i])) for i in np.argsort(values, kind="stable")]
        if word is None:
            raise MapsError("a mask ranks the layers of one word; say which")
        maps = self.select(direction, stream, words=word).mean(axis=(0, 2, 3))
        try:
            marked = on_grid(mask, *maps.shape[1:], picture=self.picture_shape(stream))
        except ValueError as error:
            raise MapsError(str(error)) from error
        values = np.array([iou(layer, marked) for layer in maps])
        return [(self.layers[i], float(values[i])) for i in np.argsort(-values, kind="stable")]

    def picture_shape(self, stream: str = "target") -> tuple[int, int] | None:
        """(height, width) of the picture that a stream's maps lie over, which the model may have squeezed; None where
        it is not known."""
        size = self.metadata.get("size") if stream in ("target", "reference:0") else None
        return (size[1], size[0]) if size else None

    def best_layers(self, direction: str = "image_to_text", stream: str = "target") -> tuple[str, ...]:
        """The default view's layers, in the model's order: the recorded ones of those known to tell, or else the third
        with the lowest entropy. Raises MapsError for a difference.
        """
        self._check_shares()
        known = [layer for layer in self.layers if layer in self.telling.get((direction, stream), ())]
        if known:
            return tuple(known)
        count = max(1, round(len(self.layers) / 3))
        best = {layer for layer, _ in self.rank_layers(direction=direction, stream=stream)[:count]}
        return tuple(layer for layer in self.layers if layer in best)

    def minus(self, other: "AttentionMaps") -> "AttentionMaps":
        """The difference of two recordings with the same axes; values are in [−1, 1]. Raises MapsError."""
        for name in ("words", "layers", "heads", "streams", "patches"):
            if getattr(self, name) != getattr(other, name):
                raise MapsError(f"recordings with different {name} can't be compared: record both alike")
        if len(self.steps) != len(other.steps) or self.data.keys() != other.data.keys():
            raise MapsError("recordings with different steps, directions or streams can't be compared")
        data = {key: values.astype(np.float32) - other.data[key] for key, values in self.data.items()}
        return replace(self, data=data, metadata={"of": self.metadata, "minus": other.metadata}, is_difference=True)

    def save(self, file: str | Path) -> None:
        """Write one .npz; it appears whole or not at all."""
        header = {
            "format": FORMAT,
            "version": VERSION,
            "words": self.words,
            "layers": self.layers,
            "steps": self.steps,
            "heads": self.heads,
            "streams": [[of.name, of.height, of.width] for of in self.streams],
            "patches": self.patches,
            "keys": list(self.data),
            "telling": [[*of, layers] for of, layers in self.telling.items()],
            "metadata": self.metadata,
            "is_difference": self.is_difference,
        }
        arrays = {f"maps_{index}": values for index, values in enumerate(self.data.values())}
        with appearing(file) as partial, partial.open("wb") as opened:  # numpy would add .npz to a mere path
            np.savez_compressed(opened, header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, file: str | Path) -> "AttentionMaps":
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            MapsError: a missing, damaged or foreign file.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                header = json.loads(str(stored["header"]))
                arrays = [stored[f"maps_{index}"] for index in range(len(header["keys"]))]
        except FileNotFoundError as error:
            raise MapsError(f"{file}: no such file; make it with `edit --maps`") from error
        except Exception as error:  # zip, npy and json raise many kinds on foreign bytes
            raise MapsError(f"{file} is damaged or holds no attention maps; make it anew with --maps") from error
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise MapsError(f"{file} holds {header.get('format')!r} {header.get('version')!r}, not {FORMAT} {VERSION}")
        return _from_header(header, arrays, file)

    def _check_shares(self) -> None:
        if self.is_difference:
            raise MapsError("a difference of recordings holds no shares; ask one of the two recordings, or name layers")

    def _array(self, direction: str, stream: str) -> np.ndarray:
        self.grid(stream)
        if (direction, stream) not in self.data:
            raise MapsError(f"{direction} over {stream} was not recorded; there is {_listed(self.data)}")
        return self.data[direction, stream]


def normalise(maps: np.ndarray, shared: bool = True) -> np.ndarray:
    """Scaled so that the largest value is 1: of all maps together, or of each (row, column) map by itself."""
    axis = None if shared else (-2, -1)
    return maps / np.maximum(np.max(np.abs(maps), axis=axis, keepdims=True), 1e-30)


def iou(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of a boolean mask and where the map exceeds its mean by a standard deviation."""
    _check_mask(heatmap, mask)
    marked = heatmap > heatmap.mean() + heatmap.std()
    union = (marked | mask).sum()
    return float((marked & mask).sum() / union) if union else 0.0


def pointing(heatmap: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the map's largest value lies inside a boolean mask (the pointing game, Zhang et al. 2016)."""
    _check_mask(heatmap, mask)
    return bool(mask.flat[int(np.argmax(heatmap))])


def average_precision(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """Area under the precision-recall curve of finding the mask by thresholding the map; ties count together."""
    _check_mask(heatmap, mask)
    values, truth = heatmap.ravel(), mask.ravel()
    if not truth.any():
        raise MapsError("the mask is empty; average precision needs at least one patch in it")
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.append(np.diff(values[order]) != 0, True)
    hits = np.cumsum(truth[order])[last_of_tie]
    found = np.arange(1, len(values) + 1)[last_of_tie]
    gained = np.diff(np.concatenate([[0], hits]))
    return float((gained * hits / found).sum() / truth.sum())


def _check_mask(heatmap: np.ndarray, mask: np.ndarray) -> None:
    if mask.dtype != bool or mask.shape != heatmap.shape:
        raise MapsError(f"the mask is {mask.dtype} of {mask.shape}; it must be boolean, of the map's {heatmap.shape}")


def _positions(kind: str, wanted: Wanted, names: Sequence[str]) -> list[int]:
    if wanted is None:
        return list(range(len(names)))
    found = []
    for item in wanted if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]:
        if isinstance(item, Integral) and -len(names) <= item < len(names):
            found.append(int(item) % len(names))
        elif isinstance(item, str) and item in names:
            found.append(names.index(item))
        else:
            named = f"at position {item}" if isinstance(item, Integral) else repr(item)
            raise MapsError(f"there is no {kind} {named}; the maps hold {len(names)}: {_listed(names)}")
    if not found:
        raise MapsError(f"no {kind} was named; the maps hold {_listed(names)}")
    return found


def _listed(names: Any) -> str:
    texts = [" over ".join(name) if isinstance(name, tuple) else str(name) for name in names]
    return ", ".join(texts) if len(texts) <= 24 else f"{', '.join(texts[:8])}, … {texts[-1]} ({len(texts)})"


def _from_header(header: dict[str, Any], arrays: list[np.ndarray], file: str | Path) -> AttentionMaps:
    try:
        _check_types(header)
        return AttentionMaps(
            words=tuple(header["words"]),
            layers=tuple(header["layers"]),
            steps=tuple(header["steps"]),
            heads=tuple(header["heads"]),
            streams=tuple(Stream(*of) for of in header["streams"]),
            patches=tuple((row, column) for row, column in header["patches"]),
            data={(what, stream): values for (what, stream), values in zip(header["keys"], arrays, strict=True)},
            telling={(what, stream): tuple(layers) for what, stream, layers in header.get("telling", [])},
            metadata=header["metadata"],
            is_difference=bool(header["is_difference"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MapsError(f"{file} is damaged: {error}") from error


def _check_types(header: dict[str, Any]) -> None:
    """Raises MapsError where JSON of the right shape holds other types than `save` writes."""
    for name, kind in {"words": str, "layers": str, "heads": str, "steps": (int, float)}.items():
        if not isinstance(header[name], list) or not all(isinstance(item, kind) for item in header[name]):
            raise MapsError(f"its {name} have the wrong type")
    sizes = [*(of[1:] for of in header["streams"]), *header["patches"]]
    if any(type(number) is not int for size in sizes for number in size):
        raise MapsError("a grid or patch of it is no whole number")
    if not all(isinstance(of[0], str) for of in header["streams"]) or not isinstance(header["metadata"], dict):
        raise MapsError("its streams or metadata have the wrong type")
