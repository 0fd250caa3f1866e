"""What the region painter shows and sends: a preview, a word's map as floats, and the mask that comes back.

In: pictures, recordings, and whatever a browser sends. Out: plain values for the page, and masks. Knows neither Gradio
nor the browser. A mask is painted on the preview; white is what to edit.
"""

import base64
import binascii
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from mmdit.attention.maps import COPIED_FROM, AttentionMaps, MapsError
from mmdit.region import FEATHER, check_feather
from mmdit.ui import markup
from mmdit.ui.explorer_payload import Shelf

SIDE = 1024  # pixels of a preview's longer side, at most
LARGEST = 4 * 2**20  # characters of a mask's data URI
PNG = "data:image/png;base64,"
NOTHING = {"picture": "", "mask": "", "feather": FEATHER}
AGAIN = "mark the region again"


def preview_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) at which a picture of that size is shown and painted on."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shown(picture: Image.Image, mask: Image.Image | None = None, feather: float = FEATHER) -> dict[str, Any]:
    """A picture to mark, JSON-ready.

    Args:
        picture: RGB.
        mask: "L", of any size: what is marked already.
        feather: pixels of the whole picture.
    """
    size = preview_size(picture.size)
    preview = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    marked = "" if mask is None else markup.data_uri(mask.convert("L").resize(size, Image.Resampling.BILINEAR))
    return {
        "picture": markup.data_uri(preview, "JPEG"),
        "size": list(picture.size),
        "preview": list(size),
        "mask": marked,
        "feather": feather,
    }


# ---- what comes back


def read_mask(value: Any, size: tuple[int, int]) -> Image.Image | None:
    """The mask that a browser sent, "L", scaled to a picture's (width, height); None when nothing is marked.

    Raises:
        ValueError: anything but an 8-bit greyscale PNG of that picture's preview.
    """
    if value is None:
        return None
    sent = value.get("mask") if isinstance(value, dict) else value
    if not isinstance(value, dict) or not isinstance(sent, str):
        raise ValueError(f"the region is {str(sent)[:40]!r}, no picture; {AGAIN}")
    if not sent:
        return None
    mask = _decoded(sent, preview_size(size))
    return None if mask.getextrema() == (0, 0) else mask.resize(size, Image.Resampling.BILINEAR)


def read_feather(value: Any) -> float:
    """The width of the soft edge that a browser sent, in pixels of the whole picture. Raises ValueError."""
    feather = value.get("feather", FEATHER) if isinstance(value, dict) else FEATHER
    check_feather(feather)
    return float(feather)


def _decoded(uri: str, size: tuple[int, int]) -> Image.Image:
    if len(uri) > LARGEST:
        raise ValueError(f"the region's mask has {len(uri) / 2**20:.1f} MB, of which 4 are taken; {AGAIN}")
    if not uri.startswith(PNG):
        raise ValueError(f"the region's mask begins with {uri[:30]!r}, not with {PNG!r}; {AGAIN}")
    try:
        with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(PNG), validate=True)), formats=["PNG"]) as opened:
            if opened.mode != "L":
                raise ValueError(f"the region's mask is in mode {opened.mode}, not 8-bit greyscale; {AGAIN}")
            if opened.size != size:  # before a pixel is decoded
                theirs, ours = ("×".join(map(str, of)) for of in (opened.size, size))
                raise ValueError(f"the region was marked at {theirs}, but this picture's is {ours} pixels; {AGAIN}")
            opened.load()
            return opened.copy()
    except binascii.Error as error:
        raise ValueError(f"the region's mask is damaged (no base64); {AGAIN}") from error
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise ValueError(f"the region's mask is damaged (no PNG that can be read); {AGAIN}") from error


# ---- maps of words


def words(shelf: Shelf, name: str) -> dict[str, Any]:
    """What the page must know to offer a result's words: ``{"entry", "words"}``; nothing for one without maps."""
    try:
        return {"entry": name, "words": list(shelf.recording(name).words)}
    except MapsError:
        return {}


def word_map(shelf: Shelf, asked: Any) -> dict[str, Any]:
    """One word's map: its probabilities as base64 of little-endian float32; or ``{"error": …}``, one sentence.

    Args:
        asked: ``{"entry", "word"}`` and, each optional, ``{"direction", "stream", "layer", "step", "head"}``; all but
            entry, direction and stream are positions. Without a layer, the best ones' mean; without a step or head,
            the mean over all; without a stream, the given picture, which is what a region is marked on, where the model
            has it as one.
    """
    try:
        if not isinstance(asked, dict) or not isinstance(asked.get("entry"), str):
            raise MapsError("ask with a result and a word")
        values = _values(shelf.recording(asked["entry"]), asked)
    except MapsError as error:
        text = str(error)
        return {"error": text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")}
    return {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "values": base64.b64encode(values.astype("<f4").tobytes()).decode(),
    }


def _values(maps: AttentionMaps, asked: dict[str, Any]) -> np.ndarray:
    """Probabilities (row, column). Raises `MapsError`."""
    direction = str(asked.get("direction") or maps.directions[0])
    given = "reference:0" if (direction, "reference:0") in maps.data else "target"
    stream = str(asked.get("stream") or given)
    if (direction, stream) not in maps.data or direction == COPIED_FROM:
        raise MapsError(f"{direction[:40]!r} over {stream[:40]!r} was not recorded")
    counts = {"word": maps.words, "layer": maps.layers, "step": maps.steps, "head": maps.heads}
    at = {kind: _position(kind, asked.get(kind), len(among)) for kind, among in counts.items()}
    if at["word"] is None:
        raise MapsError("ask with a result and a word")
    layers = maps.best_layers(direction, stream) if at["layer"] is None else at["layer"]
    where = {"layers": layers, "steps": at["step"], "heads": at["head"]}
    return np.nan_to_num(maps.heatmap(at["word"], direction, stream, **where), nan=0, posinf=0, neginf=0)


def _position(kind: str, position: Any, count: int) -> int | None:
    if position is None:
        return None
    if not isinstance(position, int) or isinstance(position, bool):
        raise MapsError(f"{kind} must be a whole number or nothing, not {str(position)[:40]!r}")
    if not 0 <= position < count:
        raise MapsError(f"there is no {kind} {position}; the maps hold {count}, counted from 0")
    return position
