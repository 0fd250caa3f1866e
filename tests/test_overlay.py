"""Maps over pictures: sizes, places, colours, panels, animations, and figures of one word."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageChops

from mmdit.attention import overlay as overlay_module
from mmdit.attention.figure import draw_word
from mmdit.attention.layout import Stream
from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.overlay import (
    COLOUR_MAPS,
    DIVERGING,
    PAPER,
    Tile,
    colour_table,
    fitted,
    overlay,
    panel,
    save_animation,
)
from mmdit.images import read_settings

LAYERS = tuple(f"transformer_blocks.{index}.attn" for index in range(4))
WORDS = ("make", "the", "cat")


def random_grid(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, columns)).astype(np.float32)


def random_maps(steps: int = 3) -> AttentionMaps:
    """A wide target and a tall reference."""
    streams = (Stream("target", 3, 5), Stream("reference:0", 4, 2))
    data = {
        (direction, of.name): np.random.default_rng(of.height).random((steps, 4, 1, 3, of.height, of.width)) * 0.3
        for direction in ("image_to_text", "text_to_image")
        for of in streams
    }
    timesteps = tuple(1 - index / steps for index in range(steps))
    return AttentionMaps(WORDS, LAYERS, timesteps, ("mean",), streams, data, metadata={"seed": 5, "size": [50, 30]})


def frames_of(file: Path) -> int:
    with Image.open(file) as opened:
        return getattr(opened, "n_frames", 1)


# ---- one map over one picture ----


@pytest.mark.parametrize("size", [(96, 64), (37, 91), (7, 5), (1, 1)])
@pytest.mark.parametrize("grid", [(2, 3), (8, 8), (1, 1), (5, 1)])
def test_opacity_goes_from_the_picture_to_the_pure_colours(
    photograph: Image.Image, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    picture, heatmap = photograph.resize(size), random_grid(*grid)
    before = picture.copy()
    none, half, full = (overlay(picture, heatmap, 1.0, opacity=opacity) for opacity in (0.0, 0.5, 1.0))
    assert {shown.size for shown in (none, half, full)} == {size}
    assert {shown.mode for shown in (none, half, full)} == {"RGB"}
    np.testing.assert_array_equal(np.asarray(none), np.asarray(picture))
    np.testing.assert_array_equal(np.asarray(full), np.asarray(overlay(None, heatmap, 1.0, size=size)))
    mean = (np.asarray(none).astype(float) + np.asarray(full)) / 2
    assert np.abs(np.asarray(half) - mean).max() <= 1
    assert ImageChops.difference(picture, before).getbbox() is None


@pytest.mark.parametrize("colour_map", COLOUR_MAPS)
@pytest.mark.parametrize(("rows", "columns", "scale"), [(3, 5, 9), (5, 2, 15), (1, 4, 7), (1, 1, 3), (6, 6, 1)])
def test_the_centre_of_a_patch_has_its_tables_colour(rows: int, columns: int, scale: int, colour_map: str) -> None:
    heatmap = random_grid(rows, columns) * 0.02
    shown = overlay(None, heatmap, 0.015, size=(columns * scale, rows * scale), colour_map=colour_map)
    centres = np.asarray(shown)[scale // 2 :: scale, scale // 2 :: scale]
    table = (matplotlib.colormaps[colour_map](np.arange(256))[:, :3] * 255).round()
    expected = table[[[min(255, round(255 * float(value) / 0.015)) for value in row] for row in heatmap]]
    np.testing.assert_array_equal(centres, expected)


def test_between_centres_it_is_bilinear(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    monkeypatch.setattr(overlay_module, "colour_table", lambda name: ramp)
    heatmap, width, height = random_grid(3, 4), 53, 41
    shown = np.asarray(overlay(None, heatmap, 1.0, size=(width, height)))[..., 0]
    for y, x in np.ndindex(height, width):
        row = min(max((y + 0.5) * 3 / height - 0.5, 0), 2)
        column = min(max((x + 0.5) * 4 / width - 0.5, 0), 3)
        top, left = min(int(row), 1), min(int(column), 2)
        down, right = row - top, column - left
        upper = heatmap[top, left] * (1 - right) + heatmap[top, left + 1] * right
        lower = heatmap[top + 1, left] * (1 - right) + heatmap[top + 1, left + 1] * right
        assert abs(int(shown[y, x]) - 255 * (upper * (1 - down) + lower * down)) < 0.51


def test_values_beyond_the_limit_and_an_empty_map() -> None:
    table = colour_table("magma")
    heatmap = np.array([[-0.1, 0.2], [0.1, 5.0]])
    shown = np.asarray(overlay(None, heatmap, 0.2, size=(2, 2)))
    np.testing.assert_array_equal(shown, [[table[0], table[255]], [table[128], table[255]]])
    assert (np.asarray(overlay(None, np.zeros((2, 2)), 0.0, size=(4, 4))) == table[0]).all()


def test_a_picture_of_another_mode_and_a_map_of_half_precision() -> None:
    grey = Image.new("L", (9, 6), 100)
    assert (np.asarray(overlay(grey, random_grid(2, 3), 1.0, opacity=0)) == 100).all()
    heatmap = random_grid(2, 3).astype(np.float16)
    wide = overlay(None, heatmap.astype(np.float32), 1.0, size=(9, 6))
    np.testing.assert_array_equal(np.asarray(overlay(None, heatmap, 1.0, size=(9, 6))), np.asarray(wide))


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_the_colour_table_is_matplotlibs(name: str) -> None:
    table = colour_table(name)
    assert (table.shape, table.dtype) == ((256, 3), np.uint8)
    assert np.abs(table - np.array(matplotlib.colormaps[name].colors) * 255).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("name", ["jet", "", "Magma", "magma_r"])
def test_an_unknown_colour_map_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is unknown; use one of magma, viridis, inferno, cividis"):
        overlay(None, random_grid(2, 2), 1.0, size=(4, 4), colour_map=name)


# ---- panels ----


@pytest.mark.parametrize("size", [(100, 100), (640, 480), (33, 99), (1, 1), (4000, 3), (5, 3000)])
def test_fitted_keeps_the_shape(size: tuple[int, int]) -> None:
    width, height = fitted(size, (384, 200))
    assert 1 <= width <= 384 and 1 <= height <= 200
    assert width == 384 or height == 200
    scale = min(384 / size[0], 200 / size[1])
    assert abs(width - max(1, size[0] * scale)) <= 0.5
    assert abs(height - max(1, size[1] * scale)) <= 0.5


def black_box(sheet: Image.Image, left: int) -> tuple[int, int, int, int]:
    """Bounds of what is black in the 384-pixel box that starts at a column, below the two lines of text."""
    pixels = np.asarray(sheet)[54:438, left : left + 384]
    rows, columns = np.nonzero((pixels == 0).all(axis=-1))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_a_panel_letterboxes_each_picture_in_its_own_shape() -> None:
    sizes = [(200, 100), (30, 90), (64, 64), (1000, 1000)]
    tiles = [Tile("", np.zeros((2, 3)), Image.new("RGB", size), size) for size in sizes]
    tiles.append(Tile("", np.zeros((2, 3)), None, (90, 120)))
    sheet = panel(tiles, "", 1.0, opacity=0.0)
    expected = [(384, 192), (128, 384), (384, 384), (384, 384)]
    for index, (width, height) in enumerate(expected):
        left = 12 + index * 396
        top, bottom, first, last = black_box(sheet, left)
        assert (last - first, bottom - top) == (width, height)
        assert (first, top) == ((384 - width) // 2, (384 - height) // 2)
        outside = np.asarray(sheet)[54:438, left : left + 384].copy()
        outside[top:bottom, first:last] = PAPER
        assert (outside == PAPER).all()
    bare = (np.asarray(sheet)[54:438, 12 + 4 * 396 :][:, :384] == colour_table("magma")[0]).all(axis=-1)
    assert (bare.any(axis=0).sum(), bare.any(axis=1).sum()) == (288, 384)


def test_a_square_stays_square_and_where_it_was() -> None:
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste("black", (40, 30, 80, 70))
    sheet = panel([Tile("target", np.zeros((2, 4)), picture, (1, 1))], "caption", 1.0, opacity=0.0)
    top, bottom, left, right = np.array(black_box(sheet, 12)) / 1.92  # in the picture's pixels
    assert (left, right) == pytest.approx((40, 80), abs=1)
    assert (top - 50, bottom - 50) == pytest.approx((30, 70), abs=1)


def test_the_colour_bar_goes_from_zero_at_the_bottom_to_the_limit() -> None:
    sheet = panel([Tile("", np.zeros((2, 2)), None, (9, 9))], "", 0.5, side=256, colour_map="viridis")
    bar = np.asarray(sheet)[54 : 54 + 256, 256 + 24 : 256 + 24 + 14]
    np.testing.assert_array_equal(bar[:, 0], colour_table("viridis")[::-1])
    np.testing.assert_array_equal(bar[:, 13], bar[:, 0])


@pytest.mark.parametrize(
    ("limit", "texts"),
    [(1.0, ("0 %", "50 %", "100 %")), (0.997, ("0 %", "50 %", "100 %")), (0.0123, ("0 %", "0.61 %", "1.2 %"))],
)
def test_the_colour_bars_numbers(limit: float, texts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda self, place, text, **how: written.append(text))
    panel([Tile("title", np.zeros((2, 2)), None, (9, 9))], "caption", limit)
    assert written == ["caption", "title", *texts]


# ---- animations ----


def test_an_animation_has_every_frame_repeats_and_leaves_nothing_else(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 10), (40 * index, 0, 0)) for index in range(5)]
    save_animation(frames, tmp_path / "a.gif", milliseconds=120)
    with Image.open(tmp_path / "a.gif") as opened:
        assert (opened.n_frames, opened.size, opened.info["loop"], opened.info["duration"]) == (5, (20, 10), 0, 120)
        for index in range(5):
            opened.seek(index)
            assert abs(opened.convert("RGB").getpixel((3, 3))[0] - 40 * index) <= 8
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


def test_an_animation_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "a.gif"
    frames = [Image.new("RGB", (8, 8)), "no picture"]
    for older in (None, b"older"):
        if older is not None:
            file.write_bytes(older)
        with pytest.raises(AttributeError):
            save_animation(frames, file)
        assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if older is None else [older])


# ---- one word's figure ----


@pytest.mark.parametrize("with_pictures", [True, False])
def test_a_figure_of_every_stream(tmp_path: Path, photograph: Image.Image, with_pictures: bool) -> None:
    pictures = {"target": photograph, "reference:0": photograph.rotate(90, expand=True)} if with_pictures else None
    for direction in ("image_to_text", "text_to_image"):
        draw_word(random_maps(), "cat", tmp_path / "a.PNG", direction=direction, pictures=pictures)
        with Image.open(tmp_path / "a.PNG") as opened:
            assert opened.size == (2 * 396 + 86, 450)
        told = read_settings(tmp_path / "a.PNG")
        assert told == {"word": "cat", "direction": direction, "edit": {"seed": 5, "size": [50, 30]}}


def test_the_tiles_of_a_figure_share_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, seen = random_maps(), []
    blank = Image.new("RGB", (8, 8))
    monkeypatch.setattr(
        "mmdit.attention.figure.panel", lambda tiles, caption, limit, **how: seen.append((tiles, limit)) or blank
    )
    draw_word(maps, "cat", tmp_path / "a.png", layers=[0, LAYERS[2]], step=-1)
    ((tiles, limit),) = seen
    for tile, stream in zip(tiles, ("target", "reference:0"), strict=True):
        expected = maps.data["image_to_text", stream][2][[0, 2], 0, 2].mean(axis=0)
        np.testing.assert_allclose(tile.heatmap, expected, rtol=1e-6)
    assert limit == max(tile.heatmap.max() for tile in tiles)
    assert [tile.size for tile in tiles] == [(50, 30), (32, 64)]


@pytest.mark.parametrize(
    ("steps", "chosen", "frames"),
    [
        (3, {}, 3), (5, {"layers": [0]}, 5), (1, {}, 4), (1, {"layers": [3, 1]}, 2),
        (2, {"step": 1}, 4), (2, {"step": -1, "layers": LAYERS[:1]}, 1), (1, {"layers": [2]}, 1),
    ],
)  # fmt: skip
def test_an_animated_figure_goes_through_steps_or_layers(steps: int, chosen: dict, frames: int, tmp_path: Path) -> None:
    draw_word(random_maps(steps), "cat", tmp_path / "a.gif", **chosen)
    assert frames_of(tmp_path / "a.gif") == frames


def test_a_figure_that_cannot_be_drawn_is_not_there(tmp_path: Path, photograph: Image.Image) -> None:
    maps = random_maps()
    refused = {
        "must end in .png": {"file": "a.jpg"},
        "'dog'": {"word": "dog"},
        "sideways": {"direction": "sideways"},
        "stream 'reference:3'": {"streams": ["reference:3"]},
        "stream 'reference:1'": {"pictures": {"reference:1": photograph}},
        "layer at position 4": {"layers": [4]},
        "layer at position -5": {"layers": [-5]},
        "layer 'attn'": {"layers": ["attn"]},
        "no layer": {"layers": []},
        "no step 3": {"step": 3},
        "no step -4": {"step": -4},
    }
    for said, asked in refused.items():
        for ending in ("png", "gif"):
            asked = {"word": "cat", "file": f"a.{ending}"} | asked
            with pytest.raises(MapsError, match=said):
                draw_word(maps, **asked | {"file": tmp_path / asked["file"]})
    with pytest.raises(ValueError, match="'jet' is unknown"):
        draw_word(replace(maps, metadata={}), "cat", tmp_path / "a.png", colour_map="jet")
    assert not list(tmp_path.iterdir())


def test_a_difference_is_drawn_around_zero(tmp_path: Path) -> None:
    grid = np.array([[-0.2, 0.0, 0.2]], np.float32)
    drawn = np.asarray(overlay(None, grid, 0.2, size=(3, 1), colour_map=DIVERGING))
    table = colour_table(DIVERGING)
    assert (drawn[0, 0] == table[0]).all() and (drawn[0, 2] == table[255]).all()
    assert (drawn[0, 1] == table[127]).all() or (drawn[0, 1] == table[128]).all()
    maps = random_maps()
    draw_word(maps.minus(maps), maps.words[0], tmp_path / "difference.png")
    assert Image.open(tmp_path / "difference.png").size[1] > 100
