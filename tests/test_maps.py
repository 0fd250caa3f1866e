"""Recorded attention maps on random arrays: every question against straight-line NumPy, every file that is none."""

import json
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdit.attention.figure import misfits
from mmdit.attention.layout import Stream, TokenLayout
from mmdit.attention.maps import (
    COPIED_FROM,
    DIRECTIONS,
    AttentionMaps,
    MapsError,
    average_precision,
    iou,
    normalise,
    pointing,
)
from mmdit.attention.spec import RecordSpec, chosen_patches
from mmdit.editor import EditRequest
from mmdit.load import load_editor
from mmdit.model.checkpoint import telling_layers

WORDS = ("make", "the", "猫", "the#2", "déjà\n“vu” 🐈")
LAYERS = tuple(f"transformer_blocks.{index}.attn" for index in range(4))
STREAMS = (Stream("target", 3, 5), Stream("reference:0", 4, 2), Stream("reference:1", 1, 1))
PATCHES = ((2, 4), (0, 1))
METADATA = {"instruction": "make the 猫 “déjà”", "seed": 2**63 - 1, "size": [120, 90], "none": None, "share": 0.1}


def random_maps(steps: int = 3, heads: int = 2, dtype: type = np.float32, seed: int = 0) -> AttentionMaps:
    """Every direction over every stream; one step or one head is what recording a mean leaves."""
    draw = np.random.default_rng(seed)
    few = dict.fromkeys(DIRECTIONS, WORDS) | {COPIED_FROM: PATCHES}
    data = {
        (what, of.name): (draw.random((steps, 4, heads, len(few[what]), of.height, of.width)) * 0.05).astype(dtype)
        for what in few
        for of in STREAMS
        if (what, of.name) != (COPIED_FROM, "target")
    }
    timesteps = tuple(1 - index / steps for index in range(steps)) if steps > 1 else (0.5,)
    named = tuple(map(str, range(heads))) if heads > 1 else ("mean",)
    return AttentionMaps(WORDS, LAYERS, timesteps, named, STREAMS, data, PATCHES, METADATA)


MAPS = random_maps()
RAW = MAPS.data["image_to_text", "target"]  # (step, layer, head, word, row, column)


def with_values(values: np.ndarray) -> AttentionMaps:
    """(layer, row, column) as the maps of one word in one step, over the target alone."""
    layers = tuple(f"layer {index}" for index in range(len(values)))
    data = {("image_to_text", "target"): values.astype(np.float32)[None, :, None, None]}
    return AttentionMaps(("cat",), layers, (0.5,), ("mean",), (Stream("target", *values.shape[1:]),), data)


# ---- select ----


@pytest.mark.parametrize(
    ("axis", "where"),
    [
        (0, {"steps": 2}), (0, {"steps": -1}), (0, {"steps": [2, 0]}), (0, {"steps": range(2)}),
        (1, {"layers": LAYERS[2]}), (1, {"layers": -4}), (1, {"layers": (LAYERS[3], 0, -2)}),
        (1, {"layers": np.int64(1)}), (1, {"layers": np.array([3, 1])}),
        (2, {"heads": 1}), (2, {"heads": [-1, 0]}),
        (3, {"words": "猫"}), (3, {"words": 4}), (3, {"words": ["the#2", -5, "the"]}), (3, {"words": ["the", "the"]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_select_takes_names_and_positions_in_the_order_asked(direction: str, axis: int, where: dict[str, Any]) -> None:
    names = ((), LAYERS, (), WORDS)[axis]
    (asked,) = where.values()
    asked = [asked] if isinstance(asked, (str, int, np.integer)) else list(asked)
    positions = [names.index(item) if isinstance(item, str) else int(item) for item in asked]
    for of in STREAMS:
        expected = np.stack([np.take(MAPS.data[direction, of.name], position, axis) for position in positions], axis)
        np.testing.assert_array_equal(MAPS.select(direction, of.name, **where), expected)


def test_select_by_all_axes_at_once() -> None:
    chosen = MAPS.select(layers=[3, 0], steps=[1], heads=[1, 0], words=["猫", "make"])
    assert chosen.shape == (1, 2, 2, 2, 3, 5)
    for layer, head, word in np.ndindex(2, 2, 2):
        np.testing.assert_array_equal(chosen[0, layer, head, word], RAW[1, [3, 0][layer], [1, 0][head], [2, 0][word]])


def test_select_is_float32_from_float16_and_a_copy() -> None:
    halves = random_maps(dtype=np.float16)
    for maps in (halves, MAPS):
        chosen = maps.select()
        assert chosen.dtype == np.float32
        np.testing.assert_array_equal(chosen, maps.data["image_to_text", "target"].astype(np.float32))
        assert not np.shares_memory(chosen, maps.data["image_to_text", "target"])


def test_averaged_axes_have_length_one() -> None:
    maps = random_maps(steps=1, heads=1)
    assert maps.select("text_to_image", "reference:0").shape == (1, 4, 1, 5, 4, 2)
    assert maps.select(steps=0, heads=-1, words="猫").shape == (1, 4, 1, 1, 3, 5)


ASKED: list[tuple[Callable[[AttentionMaps], Any], tuple[str, ...]]] = [
    (lambda maps: maps.select(words="dog"), ("word 'dog'", "make, the, 猫")),
    (lambda maps: maps.heatmap("dog"), ("word 'dog'", "猫")),
    (lambda maps: maps.select(words=5), ("word at position 5", "5: make")),
    (lambda maps: maps.select(words=["the", -6]), ("word at position -6", "the#2")),
    (lambda maps: maps.select(words=[]), ("no word", "make")),
    (lambda maps: maps.heatmap("the", layers=()), ("no layer", LAYERS[0])),
    (lambda maps: maps.select(layers="attn"), ("layer 'attn'", LAYERS[3])),
    (lambda maps: maps.select(layers=4), ("layer at position 4", "hold 4", LAYERS[0])),
    (lambda maps: maps.select(layers=1.5), ("layer 1.5", LAYERS[0])),
    (lambda maps: maps.select(steps=3), ("step at position 3", "hold 3", "0.666667")),
    (lambda maps: maps.select(steps=slice(0, 2)), ("step slice(0, 2, None)",)),
    (lambda maps: maps.select(heads=[0, 2]), ("head at position 2", "hold 2")),
    (lambda maps: maps.select(stream="reference:7"), ("stream 'reference:7'", "target, reference:0, reference:1")),
    (lambda maps: maps.select("sideways"), ("sideways over target", "text_to_image over target")),
    (lambda maps: maps.other("sideways"), ("sideways",)),
    (lambda maps: maps.other("text_to_image", stream="target"), ("text_to_image",)),
    (lambda maps: maps.entropy("sideways"), ("sideways",)),
    (lambda maps: maps.words_at(3, 0), ("(3, 0)", "3 × 5")),
    (lambda maps: maps.words_at(0, -1), ("(0, -1)", "target")),
    (lambda maps: maps.copied_from(0, 0), ("(0, 0)", "RecordSpec.patches")),
    (lambda maps: maps.copied_from(2, 4, "target"), ("copied_from over target", "copied_from over reference:0")),
    (lambda maps: maps.copied_from(2, 4, layers="attn"), ("layer 'attn'",)),
    (lambda maps: maps.copied_from(2, 4, steps=0), ("steps",)),
    (lambda maps: maps.rank_layers(mask=np.ones((3, 5), bool)), ("word",)),
    (lambda maps: maps.rank_layers("the", np.ones((5, 3), bool)), ("(5, 3)", "(3, 5)")),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "said"), ASKED)
def test_what_is_not_there_is_said_with_what_is(ask: Callable[[AttentionMaps], Any], said: tuple[str, ...]) -> None:
    with pytest.raises(MapsError) as caught:
        ask(MAPS)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_a_direction_that_was_not_recorded() -> None:
    maps = replace(MAPS, data={("text_to_image", "target"): MAPS.data["text_to_image", "target"]})
    assert maps.directions == ("text_to_image",)
    with pytest.raises(MapsError, match="image_to_text over target was not recorded; there is text_to_image over tar"):
        maps.select()


# ---- reductions ----


def test_other_completes_what_patches_read() -> None:
    for of in STREAMS:
        rest = MAPS.other(stream=of.name, layers=[1, 3])
        assert rest.shape == (3, 2, 2, 1, of.height, of.width)
        total = MAPS.data["image_to_text", of.name][:, [1, 3]].astype(np.float64).sum(axis=3) + rest[:, :, :, 0]
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_other_completes_what_words_read() -> None:
    rest = MAPS.other("text_to_image", words=["猫", "make"], steps=1)
    assert rest.shape == (1, 4, 2, 2, 1, 1)
    read = sum(MAPS.data["text_to_image", of.name][1:2][:, :, :, [2, 0]].sum(axis=(4, 5)) for of in STREAMS)
    np.testing.assert_allclose(read + rest[..., 0, 0], 1, atol=1e-6)


def test_heatmap_is_the_mean() -> None:
    expected = RAW[:2, [0, 3]][:, :, :, 2].astype(np.float64).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(MAPS.heatmap("猫", layers=[0, -1], steps=[0, 1]), expected, rtol=1e-6)
    over = MAPS.data["text_to_image", "reference:0"][:, :, 1, 0].mean(axis=(0, 1))
    np.testing.assert_allclose(MAPS.heatmap("make", "text_to_image", "reference:0", heads=1), over, rtol=1e-6)


@pytest.mark.parametrize("words", [WORDS, ("猫", "make"), ("the#2",)])
def test_words_at_a_patch_come_largest_first(words: tuple[str, ...]) -> None:
    where = {} if words == WORDS else {"words": words}
    found = MAPS.words_at(2, 1, layers=[2], steps=[0, 2], **where)
    expected = {word: RAW[[0, 2], 2, :, WORDS.index(word), 2, 1].mean() for word in words}
    assert [word for word, _ in found] == sorted(expected, key=expected.__getitem__, reverse=True)
    for word, share in found:
        assert share == pytest.approx(expected[word], rel=1e-6)


def test_copied_from() -> None:
    for place, patch in enumerate(PATCHES):
        for of in STREAMS[1:]:
            raw = MAPS.data[COPIED_FROM, of.name]
            expected = sum(raw[s, la, h, place] for s, la, h in np.ndindex(3, 4, 2)) / 24
            np.testing.assert_allclose(MAPS.copied_from(*patch, of.name), expected, rtol=1e-5)
            some = sum(raw[s, la, h, place] for s in range(3) for la in (3, 1) for h in range(2)) / 12
            np.testing.assert_allclose(MAPS.copied_from(*patch, of.name, layers=[3, LAYERS[1]]), some, rtol=1e-5)


def test_entropy_is_that_of_the_definition() -> None:
    for direction, of in [(direction, of) for direction in DIRECTIONS for of in STREAMS[:2]]:
        raw = MAPS.data[direction, of.name].astype(np.float64)
        for layer, found in enumerate(MAPS.entropy(direction, of.name)):
            each = []
            for word in range(5):
                shares = raw[:, layer, :, word].mean(axis=(0, 1)).ravel()
                shares = shares / shares.sum()
                each.append(-sum(share * np.log(share) for share in shares) / np.log(of.tokens))
            assert found == pytest.approx(np.mean(each), abs=1e-5)


@pytest.mark.parametrize("grid", [(2, 2), (17, 7), (29, 7), (64, 48)])
@pytest.mark.parametrize("value", [1e-4, 0.1, 1 / 3])
def test_entropy_stays_within_zero_and_one(grid: tuple[int, int], value: float) -> None:
    flat, point = np.full(grid, value), np.zeros(grid)
    point[1, 0] = value
    entropy = with_values(np.stack([flat, point, flat + point])).entropy()
    assert entropy[0] == pytest.approx(1, abs=1e-5)
    assert entropy[1] == 0
    assert (entropy >= 0).all() and (entropy <= 1).all()


def test_one_patch_has_no_entropy() -> None:
    np.testing.assert_array_equal(MAPS.entropy(stream="reference:1"), 0)


# ---- ranks ----


def test_layers_rank_by_entropy() -> None:
    entropy = MAPS.entropy("text_to_image", "reference:0")
    ranked = MAPS.rank_layers(direction="text_to_image", stream="reference:0")
    assert sorted(LAYERS) == sorted(layer for layer, _ in ranked)
    assert [value for _, value in ranked] == sorted(entropy.tolist())
    assert all(value == entropy[LAYERS.index(layer)] for layer, value in ranked)


def seen_by_grid(size: tuple[int, int]) -> tuple[Image.Image, np.ndarray]:
    """A mask of (width, height), and which of 3 × 5 patches it marks at least half of."""
    drawn = Image.new("L", (50, 30))
    drawn.paste(255, (0, 0, 20, 15))  # the first two columns: a patch and a half down
    drawn.paste(255, (40, 20, 44, 30))  # two fifths of the last patch
    expected = np.zeros((3, 5), bool)
    expected[:2, :2] = True
    return drawn.resize(size, Image.Resampling.NEAREST), expected


@pytest.mark.parametrize("size", [(50, 30), (500, 300), (100, 62)])
def test_a_mask_of_any_size_marks_the_patches_of_which_it_covers_half(size: tuple[int, int]) -> None:
    mask, patches = seen_by_grid(size)
    expected = MAPS.rank_layers("猫", patches)
    seen = np.zeros((*mask.size[::-1], 4), np.uint8)
    seen[..., :3], seen[..., 3] = 255, mask
    numbers = np.asarray(mask)
    masks = [
        mask, mask.convert("1"), mask.convert("P"), mask.convert("RGB"), mask.convert("I"), Image.fromarray(seen),
        numbers, numbers > 0, numbers // 255, numbers / 255, (numbers > 0).tolist(),
    ]  # fmt: skip
    for of in masks:
        assert MAPS.rank_layers("猫", of) == expected
    assert MAPS.rank_layers("猫", mask.point(lambda _: 0)) == [(layer, 0.0) for layer in LAYERS]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (Image.new("L", (300, 500)), "(500, 300) and the maps are (3, 5), another shape"),
        (np.zeros((300, 500, 3)), "must be a picture, or rows and columns"),
        (np.zeros((0, 5)), "must be a picture, or rows and columns"),
        (np.full((30, 50), np.nan), "some that are none"),
        (np.full((30, 50), -1), "numbers below 0"),
        ("cat.png", "must be a picture, or rows and columns"),
        (object(), "must be a picture, or rows and columns"),
    ],
)
def test_what_is_no_mask_of_the_picture_is_refused(mask: Any, said: str) -> None:
    with pytest.raises(MapsError) as caught:
        MAPS.rank_layers("猫", mask)
    assert said in str(caught.value)


def test_maps_are_printed_in_one_line() -> None:
    told = replace(MAPS, metadata={"model": "mini"})
    assert repr(told) == (
        "<AttentionMaps of mini: maps of 'make', 'the', '猫', 'the#2', 'déjà\\n“vu” 🐈' over target 3×5, "
        "reference:0 4×2, reference:1 1×1; steps × layers × heads: 3 × 4 × 2>"
    )
    assert "difference of maps" in repr(MAPS.minus(MAPS))


def test_layers_rank_by_iou_with_a_mask() -> None:
    mask = np.random.default_rng(1).random((3, 5)) > 0.5
    ranked = MAPS.rank_layers("猫", mask)
    expected = {}
    for index, layer in enumerate(LAYERS):
        heatmap = RAW[:, index, :, 2].mean(axis=(0, 1))
        marked = heatmap > heatmap.mean() + heatmap.std()
        expected[layer] = np.logical_and(marked, mask).sum() / np.logical_or(marked, mask).sum()
    assert dict(ranked) == pytest.approx(expected)
    assert [value for _, value in ranked] == sorted(expected.values(), reverse=True)


@pytest.mark.parametrize(("layers", "count"), [(1, 1), (2, 1), (4, 1), (5, 2), (6, 2), (9, 3)])
def test_the_best_layers_are_a_third_in_the_models_order(layers: int, count: int) -> None:
    peaks = np.random.default_rng(layers).permutation(layers)  # the larger the peak, the lower the entropy
    values = np.ones((layers, 4, 4))
    values[:, 0, 0] += peaks
    best = sorted(np.argsort(-peaks)[:count])
    assert with_values(values).best_layers() == tuple(f"layer {index}" for index in best)


def test_layers_known_to_tell_are_the_best_ones_of_their_direction_and_stream(tmp_path: Path) -> None:
    by_entropy = MAPS.best_layers()
    telling = {
        ("image_to_text", "reference:0"): (LAYERS[-1], "not recorded", LAYERS[0]),
        ("image_to_text", "target"): ("x",),
    }
    maps = replace(MAPS, telling=telling)
    maps.save(tmp_path / "maps.npz")
    for one in (maps, AttentionMaps.load(tmp_path / "maps.npz")):
        assert one.best_layers(stream="reference:0") == (LAYERS[0], LAYERS[-1])
        assert one.best_layers() == by_entropy  # none of those known was recorded
        assert one.best_layers("text_to_image", "reference:0") == MAPS.best_layers("text_to_image", "reference:0")
    with pytest.raises(MapsError, match="no shares"):
        maps.minus(maps).best_layers(stream="reference:0")


@pytest.mark.parametrize("content", ["{", "[1]", '{"image_to_text": {"target": 3}}'])
def test_damaged_telling_layers_are_named(content: str, tmp_path: Path) -> None:
    assert telling_layers(tmp_path) == {}
    (tmp_path / "telling_layers.json").write_text(content)
    with pytest.raises(ValueError, match=r"telling_layers\.json is damaged .*; remove it"):
        telling_layers(tmp_path)


def test_normalise() -> None:
    maps = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32) - 0.7
    largest = max(abs(value) for value in maps.ravel().tolist())
    np.testing.assert_allclose(normalise(maps), maps / largest, rtol=1e-6)
    each = normalise(maps, shared=False)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(each[place], maps[place] / np.abs(maps[place]).max(), rtol=1e-6)
    assert normalise(maps).dtype == each.dtype == np.float32
    np.testing.assert_array_equal(normalise(np.zeros((2, 2), np.float32)), 0)


def test_minus_is_exact() -> None:
    other = replace(random_maps(dtype=np.float16, seed=1), metadata={"seed": 1})
    difference = MAPS.minus(other)
    assert difference.data.keys() == MAPS.data.keys()
    for key, values in difference.data.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, MAPS.data[key] - other.data[key].astype(np.float32))
    assert difference.metadata == {"of": METADATA, "minus": {"seed": 1}}
    assert all((values == 0).all() for values in MAPS.minus(MAPS).data.values())
    np.testing.assert_array_equal(MAPS.data["image_to_text", "target"], random_maps().data["image_to_text", "target"])


def test_a_difference_holds_no_shares(tmp_path: Path) -> None:
    difference = MAPS.minus(random_maps(seed=1))
    for ask in (difference.other, difference.entropy, difference.best_layers):
        with pytest.raises(MapsError, match="no shares"):
            ask()
    difference.save(tmp_path / "difference.npz")
    assert AttentionMaps.load(tmp_path / "difference.npz").is_difference


def test_a_map_of_zeros_tells_least() -> None:
    values = {key: array.copy() for key, array in MAPS.data.items()}
    values["image_to_text", "target"][:, 1] = 0
    maps = replace(MAPS, data=values)
    assert maps.entropy()[1] == pytest.approx(1)
    assert maps.rank_layers()[-1][0] == MAPS.layers[1]


def test_minus_needs_the_same_axes() -> None:
    fewer = dict(list(MAPS.data.items())[:2])
    others = {
        "words": replace(MAPS, words=("a", *WORDS[1:])),
        "layers": replace(MAPS, layers=LAYERS[::-1]),
        "heads": replace(MAPS, heads=("5", "6")),
        "streams": replace(MAPS, streams=(*STREAMS, Stream("reference:2", 1, 1))),
        "patches": replace(MAPS, patches=PATCHES[::-1]),
        "steps": random_maps(steps=1),
        "directions": replace(MAPS, data=fewer),
    }
    for name, other in others.items():
        with pytest.raises(MapsError, match=name):
            MAPS.minus(other)


# ---- a map against a mask ----


def test_iou_pointing_and_precision_by_hand() -> None:
    heatmap = np.array([[9.0, 1, 1], [8, 0, 0]])  # mean 3.17, deviation 3.80: 9 and 8 are marked
    corner, right = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    corner[0, 0] = right[0, 1] = right[1, 0] = right[1, 1] = True
    assert (iou(heatmap, corner), iou(heatmap, right)) == (1 / 2, 1 / 4)
    assert (pointing(heatmap, corner), pointing(heatmap, right)) == (True, False)
    assert average_precision(heatmap, corner) == 1
    assert average_precision(heatmap, right) == pytest.approx((1 / 2 + 2 / 4 + 3 / 6) / 3)  # the tied 1s, 0s together
    assert iou(np.ones((2, 3)), np.zeros((2, 3), bool)) == 0


@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
def test_average_precision_is_scikit_learns(levels: int) -> None:
    draw = np.random.default_rng(levels)
    for _ in range(10):
        heatmap, mask = draw.integers(0, levels, (6, 4)) / 7, draw.random((6, 4)) > 0.7
        mask[5, 3] = True
        expected = reached = 0.0
        for threshold in sorted(set(heatmap.ravel()), reverse=True):
            chosen = heatmap >= threshold
            recall, precision = mask[chosen].sum() / mask.sum(), mask[chosen].mean()
            expected += (recall - reached) * precision
            reached = recall
        assert average_precision(heatmap, mask) == pytest.approx(expected)


def test_a_mask_that_cannot_be_meant_is_refused() -> None:
    heatmap = np.random.default_rng(0).random((2, 3))
    with pytest.raises(MapsError, match="empty"):
        average_precision(heatmap, np.zeros((2, 3), bool))
    for measure in (iou, pointing, average_precision):
        for mask in (np.ones((3, 2), bool), np.ones(3, bool), np.full((2, 3), 255, np.uint8)):
            with pytest.raises(MapsError, match="must be boolean"):
                measure(heatmap, mask)


# ---- files ----


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_file_gives_back_every_bit(tmp_path: Path, dtype: type) -> None:
    maps, file = random_maps(dtype=dtype), tmp_path / "maps.npz"
    maps.save(str(file))
    loaded = AttentionMaps.load(file)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]
    assert replace(loaded, data={}) == replace(maps, data={})
    assert list(loaded.data) == list(maps.data)
    for key, values in maps.data.items():
        assert loaded.data[key].dtype == dtype
        np.testing.assert_array_equal(loaded.data[key], values)
    with np.load(file, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "fU" for name in stored.files)


def test_saving_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "maps.npz"
    written = np.savez_compressed

    def fails_late(opened: Any, **arrays: np.ndarray) -> None:
        written(opened, **arrays)
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fails_late)
    with pytest.raises(OSError, match="disk full"):
        MAPS.save(file)
    assert not list(tmp_path.iterdir())
    file.write_bytes(b"older")
    with pytest.raises(TypeError):
        replace(MAPS, metadata={"no JSON": object()}).save(file)
    with pytest.raises(OSError, match="disk full"):
        MAPS.save(file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def assert_damaged(file: Path) -> None:
    with pytest.raises(MapsError) as caught:
        AttentionMaps.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "maps.npz"
    assert_damaged(tmp_path / "missing.npz")
    assert_damaged(tmp_path)
    for content in (b"", b"PK", b"PK\x03\x04 and no more", np.random.default_rng(0).bytes(5000), pickle.dumps([1])):
        file.write_bytes(content)
        assert_damaged(file)
    Image.new("RGB", (9, 9)).save(file, format="PNG")
    assert_damaged(file)
    with file.open("wb") as opened:
        np.save(opened, np.zeros(3))
    assert_damaged(file)
    for header in (np.zeros(3), "no JSON", "5", "null", '"keys"', "[]", "{}", "[" * 100_000):
        np.savez(file, header=np.array(header), maps_0=np.zeros(3))
        assert_damaged(file)
    np.savez(file, other=np.zeros(3))
    assert_damaged(file)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    file, sprung = tmp_path / "maps.npz", tmp_path / "sprung"
    trap = np.array([Trap(sprung)], dtype=object)
    file.write_bytes(pickle.dumps(Trap(sprung)))
    assert_damaged(file)
    header = json.dumps({"format": "mmdit-attention-maps", "version": 1, "keys": [["image_to_text", "target"]]})
    for arrays in ({"header": trap}, {"header": np.array(header), "maps_0": trap}):
        np.savez(file, **arrays)
        assert_damaged(file)
    assert not sprung.exists()


def test_a_truncated_or_altered_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "maps.npz"
    MAPS.save(file)
    whole = file.read_bytes()
    for length in (1, 3, 100, len(whole) // 3, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert_damaged(file)
    draw = np.random.default_rng(0)
    for place in draw.integers(0, len(whole), 150):  # a byte may also be one that nothing depends on
        altered = bytearray(whole)
        altered[place] ^= int(draw.integers(1, 256))
        file.write_bytes(altered)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile's, of names that now come twice
                loaded = AttentionMaps.load(file)
        except MapsError:
            continue
        assert all(np.array_equal(values, loaded.data[key]) for key, values in MAPS.data.items())


CHANGES: dict[str, Any] = {
    "format": "other-maps", "version": 2, "words": ["make"], "layers": "abcd", "steps": ["a", "b", "c"],
    "heads": [0, 1], "streams": [["target", "3", 5]], "patches": [[2.0, 4], [0, 1]], "keys": [["image_to_text"]],
    "metadata": [1],
}  # fmt: skip
MORE_CHANGES = [
    ("version", "1"), ("words", [1, 2, 3, 4, 5]), ("words", None), ("words", [["make"], 1, 2, 3, 4]), ("steps", 3),
    ("steps", [1, None, 0]), ("layers", {"a": 1}), ("streams", [["target", 5, 3]]), ("streams", []), ("streams", [7]),
    ("streams", [["target", 3, 5, 1]]), ("streams", [[1, 3, 5]]), ("patches", [[0], [1]]), ("patches", [1, 2]),
    ("keys", 5), ("keys", "ab"), ("keys", [[1, 2]]), ("keys", [["image_to_text", "elsewhere"]]), ("metadata", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [*CHANGES.items(), *MORE_CHANGES])
def test_a_header_of_other_types_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    header, arrays = saved(tmp_path / "maps.npz")
    np.savez(tmp_path / "maps.npz", header=np.array(json.dumps(header | {name: value})), **arrays)
    assert_damaged(tmp_path / "maps.npz")
    header.pop(name)
    np.savez(tmp_path / "maps.npz", header=np.array(json.dumps(header)), **arrays)
    assert_damaged(tmp_path / "maps.npz")


@pytest.mark.parametrize("array", [np.zeros((3, 4, 2, 5, 5, 3)), np.float32(0), RAW.astype(str), RAW.astype(complex)])
def test_arrays_that_contradict_the_header_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    header, arrays = saved(tmp_path / "maps.npz")
    np.savez(tmp_path / "maps.npz", header=np.array(json.dumps(header)), **arrays | {"maps_0": array})
    assert_damaged(tmp_path / "maps.npz")
    with pytest.raises(MapsError, match="image_to_text over target"):
        replace(MAPS, data={("image_to_text", "target"): np.asarray(array)})


def saved(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is in a good file: the header and the arrays by name."""
    MAPS.save(file)
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return json.loads(str(arrays.pop("header"))), arrays


def test_a_squeezed_panorama_takes_masks_of_its_picture() -> None:
    """The embedded editor works on at most 12 × 5 patches, so that longer pictures are squeezed."""
    picture = Image.linear_gradient("L").resize((1000, 250)).convert("RGB")
    asked = EditRequest([picture], "make it darker", seed=1, record=RecordSpec())
    maps = load_editor("mini", device="cpu").edit(asked).maps
    grid = maps.grid("target")
    mask = np.zeros((250, 1000), dtype=bool)
    mask[:, 500:] = True
    patched = np.zeros((grid.height, grid.width), dtype=bool)
    patched[:, grid.width // 2 :] = True
    for stream in ("target", "reference:0"):
        assert maps.rank_layers("darker", mask, stream=stream) == maps.rank_layers("darker", patched, stream=stream)
        assert misfits(maps, {stream: picture}) == []
        assert len(misfits(maps, {stream: picture.resize((250, 1000))})) == 1
    with pytest.raises(MapsError, match="another shape"):
        maps.rank_layers("darker", mask.T)


def test_patches_may_be_numbers_of_numpy() -> None:
    layout = TokenLayout(2, (Stream("target", 2, 2), Stream("reference:0", 2, 2)))
    spec = RecordSpec(patches=tuple(map(tuple, np.argwhere(np.eye(2, dtype=bool)))))
    chosen = chosen_patches(spec, layout)
    assert json.dumps(chosen) == "[[0, 0], [1, 1]]"
