"""What the attention explorer draws: a small JSON header of a recording, and its maps as bytes in files.

In: the history's recordings. Out: plain values for the page, and files in a folder that the page serves; base64 in
JSON would be a third larger. Knows neither Gradio nor the browser. Axes are those of `AttentionMaps`.
"""

import base64
import re
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmdit.attention.maps import COPIED_FROM, AttentionMaps, MapsError
from mmdit.attention.overlay import COLOUR_MAPS, colour_table
from mmdit.files import appearing
from mmdit.runtime.history import Entry, History
from mmdit.ui import markup

BUDGET = 512 * 2**20  # bytes of block files that are kept; a block can always be made again
NO_MAPS = "This result was made without maps."
GONE = "That result is no longer in the folder of results."


@dataclass(frozen=True)
class Block:
    """Maps as bytes: probability = level × scale / 255.

    Args:
        levels: uint8, (layer, word, row, column); of "copied_from", one target patch is in the word's place.
        scales: float32, (layer, word), each map's largest probability.
    """

    levels: np.ndarray
    scales: np.ndarray


def quantise(maps: np.ndarray) -> Block:
    """Probabilities (layer, word, row, column) → bytes; no value moves by more than its map's scale / 510."""
    values = np.nan_to_num(np.maximum(maps, 0), nan=0, posinf=0)
    scales = values.max(axis=(-2, -1)).astype(np.float32)
    largest = np.where(scales > 0, scales, 1)[..., None, None]
    return Block(np.rint(values * (255 / largest)).astype(np.uint8), scales)


def dequantise(block: Block) -> np.ndarray:
    """What the browser makes of a block: float32, (layer, word, row, column)."""
    return block.levels * (block.scales / np.float32(255))[..., None, None]


def make_block(
    maps: AttentionMaps,
    direction: str,
    stream: str,
    step: int | None = None,
    head: int | None = None,
    patch: int | None = None,
) -> Block:
    """All layers and words of one stream.

    Args:
        direction: one of the recording's, or "copied_from".
        step, head: positions; None for the mean over all.
        patch: position in the recording's patches; for "copied_from" only, whose blocks are of one patch each.

    Raises:
        MapsError: something that was not recorded, or is out of range.
    """
    values = maps.data.get((direction, stream))
    if values is None:
        raise MapsError(f"{direction[:40]!r} over {stream[:40]!r} was not recorded")
    if (patch is not None) != (direction == COPIED_FROM):
        raise MapsError(f"a patch is named for {COPIED_FROM!r}, and only for it")
    steps = _slice("step", step, len(maps.steps))
    heads = _slice("head", head, len(maps.heads))
    few = _slice("patch", patch, len(maps.patches))
    return quantise(values[steps, :, heads, few].mean(axis=(0, 2), dtype=np.float32))


def _slice(kind: str, position: int | None, count: int) -> slice:
    if position is None:
        return slice(None)
    if not 0 <= position < count:
        raise MapsError(f"there is no {kind} {position}; the maps hold {count}, counted from 0")
    return slice(position, position + 1)


def header(maps: AttentionMaps, entry: Entry) -> dict[str, Any]:
    """All that the page must know before it asks for the first block; JSON-ready."""
    pictures = {"target": ("Edited picture", entry.result)}
    for place, source in enumerate(entry.sources):
        pictures[f"reference:{place}"] = ("Given picture" if place == 0 else f"Picture {place + 1}", source)
    streams = []
    for of in maps.streams:
        label, picture = pictures.get(of.name, (of.name, None))
        url = markup.file_url(picture) if picture is not None else None
        streams.append({"name": of.name, "label": label, "rows": of.height, "columns": of.width, "picture": url})
    return {
        "entry": entry.name,
        "instruction": str(entry.settings.get("instruction", "")),
        "words": list(maps.words),
        "layers": [
            {"name": name, "label": label} for name, label in zip(maps.layers, short_labels(maps.layers), strict=True)
        ],
        "steps": [float(step) for step in maps.steps],
        "heads": list(maps.heads),
        "directions": list(maps.directions),
        "streams": streams,
        "rankings": {
            f"{direction}/{stream}": ranking(maps, direction, stream)
            for direction, stream in maps.data
            if direction != COPIED_FROM
        },
        "patches": [[int(row), int(column)] for row, column in maps.patches],
        "copied_from": [stream for direction, stream in maps.data if direction == COPIED_FROM],
        "download": markup.file_url(entry.maps),
        "colours": colour_tables(),
    }


def ranking(maps: AttentionMaps, direction: str, stream: str) -> dict[str, Any]:
    """Positions of the layers, most telling first, with their entropies; and those of the default view, and whether
    these were measured.
    """
    place = {layer: index for index, layer in enumerate(maps.layers)}
    ranked = maps.rank_layers(direction=direction, stream=stream)
    best = maps.best_layers(direction, stream)
    return {
        "order": [place[layer] for layer, _ in ranked],
        "entropies": [round(entropy, 4) for _, entropy in ranked],
        "best": [place[layer] for layer in best],
        "measured": not set(best).isdisjoint(maps.telling.get((direction, stream), ())),
    }


def short_labels(layers: tuple[str, ...]) -> list[str]:
    """ "transformer_blocks.3.attn" → "double 3"; the whole name where a short one would not be its own."""
    labels = []
    for layer in layers:
        found = re.search(r"(single_)?transformer_blocks\.(\d+)(?:\.attn)?$", layer)
        labels.append(f"{'single' if found[1] else 'double'} {found[2]}" if found else layer)
    uses = Counter(labels)
    return [label if uses[label] == 1 else layer for label, layer in zip(labels, layers, strict=True)]


@lru_cache(maxsize=1)
def colour_tables() -> dict[str, str]:
    """Name → base64 of 256 × 3 bytes, RGB, from 0 to the largest value."""
    return {name: base64.b64encode(colour_table(name).tobytes()).decode() for name in COLOUR_MAPS}


class Shelf:
    """Recordings by the names of their results, and their blocks as files.

    The browser names a result and positions in its recording, never a file.

    Args:
        folder: private to this process, served by the page; made when the first block is written.
    """

    def __init__(self, history: History, folder: Path, budget: int = BUDGET) -> None:
        self.history = history
        self.folder = folder
        self.budget = budget
        self._lock = threading.Lock()
        self._read: OrderedDict[str, tuple[AttentionMaps, dict[str, Any]]] = OrderedDict()  # the last two, with headers
        self._blocks: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()  # file name → (bytes, answer)

    def header(self, name: str) -> dict[str, Any]:
        """The header of a result's maps, or ``{"message": …, "details": …}``: why there is none."""
        entry = self.history.find(name)
        if entry is None:
            return {"message": GONE}
        try:
            with self._lock:
                return self._recording(entry)[1]
        except MapsError as error:
            return {"message": NO_MAPS if entry.maps is None else _sentence(error, entry)}

    def block(self, asked: Any) -> dict[str, Any]:
        """The answer to the browser: where a block is, and its scales; or ``{"error": …}``, one sentence.

        Args:
            asked: ``{"entry", "direction", "stream", "step", "head", "patch"}``; the last three positions or null.
        """
        entry = None
        try:
            (name, direction, stream), positions = _checked(asked)
            entry = self.history.find(name)
            if entry is None:
                raise MapsError(GONE)
            with self._lock:
                return self._block(entry, direction, stream, positions)
        except MapsError as error:
            return {"error": _sentence(error, entry)}

    def recording(self, name: str) -> AttentionMaps:
        """A result's maps, the last two of them from memory. Raises `MapsError`: there are none."""
        entry = self.history.find(name)
        if entry is None:
            raise MapsError(GONE)
        try:
            with self._lock:
                return self._recording(entry)[0]
        except MapsError as error:
            raise MapsError(_sentence(error, entry)) from error

    def _block(self, entry: Entry, direction: str, stream: str, positions: list[int | None]) -> dict[str, Any]:
        maps, _ = self._recording(entry)
        if (direction, stream) not in maps.data:
            raise MapsError(f"{direction[:40]!r} over {stream[:40]!r} was not recorded")
        place = list(maps.data).index((direction, stream))  # names from a file have no business in a path
        parts = ["all" if position is None else str(position) for position in positions]
        file = self.folder / ".".join([entry.name, str(place), *parts, "u8"])
        if file.name in self._blocks and file.is_file():
            self._blocks.move_to_end(file.name)
            return self._blocks[file.name][1]
        block = make_block(maps, direction, stream, *positions)
        self.folder.mkdir(parents=True, exist_ok=True)
        with appearing(file) as partial:
            partial.write_bytes(block.levels.tobytes())
        answer = {
            "url": markup.file_url(file),
            "scales": [[float(f"{scale:.8g}") for scale in scales] for scales in block.scales],
        }
        self._blocks[file.name] = (block.levels.size, answer)
        self._forget()
        return answer

    def _recording(self, entry: Entry) -> tuple[AttentionMaps, dict[str, Any]]:
        """An entry's maps and their header. Raises `MapsError`."""
        if entry.maps is None:
            raise MapsError(NO_MAPS)
        if entry.name not in self._read:
            if not entry.maps.is_file():
                raise MapsError("the file with this result's maps is gone; edit again to record new ones")
            maps = AttentionMaps.load(entry.maps)
            self._read[entry.name] = (maps, header(maps, entry))
            while len(self._read) > 2:
                self._read.popitem(last=False)
        self._read.move_to_end(entry.name)
        return self._read[entry.name]

    def _forget(self) -> None:
        """Delete the block files that nobody asked for the longest; the newest stays, however large."""
        while len(self._blocks) > 1 and sum(size for size, _ in self._blocks.values()) > self.budget:
            name, _ = self._blocks.popitem(last=False)
            (self.folder / name).unlink(missing_ok=True)


def _checked(asked: Any) -> tuple[list[str], list[int | None]]:
    """Entry, direction, stream; step, head, patch: what the browser sent. Raises `MapsError` for a wrong type."""
    if not isinstance(asked, dict):
        raise MapsError("ask with an entry, a direction and a stream")
    texts = {key: asked.get(key) for key in ("entry", "direction", "stream")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise MapsError(f"{key} must be a text, not {str(value)[:40]!r}")
    positions = {key: asked.get(key) for key in ("step", "head", "patch")}
    for key, value in positions.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise MapsError(f"{key} must be a whole number or nothing, not {str(value)[:40]!r}")
    return list(texts.values()), list(positions.values())


def _sentence(error: MapsError, entry: Entry | None) -> str:
    """Upper-cased, ended, and without the folder's path."""
    text = str(error)
    if entry is not None and entry.maps is not None:
        text = text.replace(str(entry.maps), entry.maps.name)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
