"""One word's attention as a figure: recorded maps and the pictures they belong to → panels, with one shared scale.

In: `AttentionMaps`, pictures by stream. Out: RGB pictures. Knows no model and no file but the one it writes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.masks import have_one_shape
from mmdit.attention.overlay import DIVERGING, Tile, panel, save_animation
from mmdit.images import save_png

PATCH_PIXELS = 16  # of a stream without a picture
MOST_NAMED = 3  # layers in a caption; of more, their number


def draw_word(
    maps: AttentionMaps,
    word: str,
    file: str | Path,
    *,
    direction: str = "image_to_text",
    streams: Sequence[str] | None = None,
    layers: Sequence[str | int] | None = None,
    step: int | None = None,
    pictures: dict[str, Image.Image] | None = None,
    colour_map: str = "magma",
) -> None:
    """Write one word's maps over every stream as a PNG, or as a GIF through the steps (through the layers of one step).

    With a step, or maps of one step, a GIF goes through the layers: through those that are named, or else through all.

    Args:
        streams: their names; None for all that were recorded.
        layers: names or positions, averaged over; None for the default view's, and for all of a difference.
        step: a position; None for the mean of all, or for a GIF through all.
        pictures: stream → the picture that its map lies over.

    Raises:
        MapsError: something that was not recorded, or a file name that ends in neither .png nor .gif.
    """
    file = Path(file)
    if file.suffix.lower() not in (".png", ".gif"):
        raise MapsError(f"output {str(file)!r} must end in .png, or in .gif for an animation")
    streams = [of.name for of in maps.streams] if streams is None else list(streams)
    for stream in [*streams, *(pictures or {})]:
        maps.grid(stream)  # raises for an unknown one
    animated = file.suffix.lower() == ".gif"
    if layers is None:
        through_layers = animated and (step is not None or len(maps.steps) == 1)
        layers = maps.layers if through_layers or maps.is_difference else None
    views = _views(maps, None if layers is None else tuple(layers), step, animated)
    heatmaps = [
        {
            stream: maps.heatmap(
                word, direction, stream, layers=maps.best_layers(direction, stream) if of is None else of, steps=at
            )
            for stream in streams
        }
        for of, at, _ in views
    ]
    limit = max(float(np.abs(heatmap).max()) for view in heatmaps for heatmap in view.values())
    frames = []
    for (_, _, title), view in zip(views, heatmaps, strict=True):
        tiles = [_tile(maps, stream, heatmap, pictures or {}) for stream, heatmap in view.items()]
        caption = f"“{word}”, {direction.replace('_', ' ')}, {title}"
        frames.append(panel(tiles, caption, limit, colour_map=DIVERGING if maps.is_difference else colour_map))
    if animated:
        save_animation(frames, file)
    else:
        save_png(frames[0], file, {"word": word, "direction": direction, "edit": maps.metadata})


def misfits(maps: AttentionMaps, pictures: dict[str, Image.Image]) -> list[str]:
    """A sentence for each picture that can't be the one that its stream's maps lie over, since its shape is another.

    Args:
        pictures: as for `draw_word`.
    """
    sentences = []
    for stream, picture in pictures.items():
        patches = maps.grid(stream).height, maps.grid(stream).width
        shapes = [maps.picture_shape(stream) or patches]
        if stream != "target":  # a reference may have another shape than the result
            shapes.append(patches)
        if not any(have_one_shape(shape, (picture.height, picture.width)) for shape in shapes):
            height, width = shapes[0]
            sentences.append(
                f"the picture for {stream} is {picture.width}×{picture.height} and has another shape than its maps, "
                f"which are of {width}×{height}; give the picture that was recorded"
            )
    return sentences


def _views(
    maps: AttentionMaps, layers: tuple[str | int, ...] | None, step: int | None, animated: bool
) -> list[tuple[tuple[str | int, ...] | None, int | None, str]]:
    """What each frame shows: (layers or None for the default view's of each stream, step or None, title)."""
    frames: list[tuple[tuple[str | int, ...] | None, int | None]] = [(layers, step)]
    if animated and step is None and len(maps.steps) > 1:
        frames = [(layers, at) for at in range(len(maps.steps))]
    elif animated:
        frames = [((layer,), step) for layer in layers]
    return [
        (of, at, _short(maps, of) if at is None else f"{_short(maps, of)}, t = {_timestep(maps, at)}")
        for of, at in frames
    ]


def _timestep(maps: AttentionMaps, step: int) -> str:
    if not -len(maps.steps) <= step < len(maps.steps):
        raise MapsError(f"there is no step {step}; the maps hold {len(maps.steps)}, counted from 0")
    return f"{maps.steps[step]:.2f}"


def _short(maps: AttentionMaps, layers: tuple[str | int, ...] | None) -> str:
    if layers is None:
        return "best layers"
    count = len(maps.layers)
    names = [
        maps.layers[layer] if isinstance(layer, int) and -count <= layer < count else layer  # `heatmap` refuses others
        for layer in layers
    ]
    if len(names) > MOST_NAMED:
        return f"mean of {len(names)} layers"
    return "mean of " * (len(names) > 1) + ", ".join(
        str(name).removesuffix(".attn").replace("transformer_blocks.", "block ") for name in names
    )


def _tile(maps: AttentionMaps, stream: str, heatmap: np.ndarray, pictures: dict[str, Image.Image]) -> Tile:
    grid = maps.grid(stream)
    shape = maps.picture_shape() if stream == "target" else None
    size = shape[::-1] if shape else (grid.width * PATCH_PIXELS, grid.height * PATCH_PIXELS)
    return Tile(stream, heatmap, pictures.get(stream), size)
