"""Regions: what lies outside is the source's to the bit, the edge lies inside, maps become masks."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmdit.editor import Editor, EditRequest
from mmdit.images import ImageError, load_image, read_settings, save_png
from mmdit.region import Region, RegionError, from_map, load_mask, region_of

SIZE = (61, 47)


def disc(size: tuple[int, int], middle: tuple[float, float], radius: float) -> Image.Image:
    mask = Image.new("L", size)
    x, y = middle
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask


def noise(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("feather", [0, 1, 5.5, 200])
def test_outside_every_pixel_is_the_sources(feather: float) -> None:
    mask, source, edited = disc(SIZE, (30, 20), 14), noise(0), noise(1)
    blended = np.asarray(Region(mask, feather).blend(source, edited))
    outside = np.asarray(mask) == 0
    assert np.array_equal(blended[outside], np.asarray(source)[outside])
    assert (blended[~outside] != np.asarray(source)[~outside]).any()


def test_inside_without_a_feather_every_pixel_is_the_edited_ones() -> None:
    mask, source, edited = disc(SIZE, (30, 20), 14), noise(0), noise(1)
    blended = np.asarray(Region(mask, 0).blend(source, edited))
    inside = np.asarray(mask) == 255
    assert np.array_equal(blended[inside], np.asarray(edited)[inside])


def test_the_edge_rises_with_the_distance_to_what_is_kept() -> None:
    mask = disc(SIZE, (30, 20), 14)
    weights = np.asarray(Region(mask, 4).weights(SIZE))
    kept = np.argwhere(np.asarray(mask) == 0)
    for row, column in [(20, 30), (20, 17), (20, 18), (8, 30), (28, 38)]:
        distance = min(math.dist((row, column), other) for other in kept)
        assert abs(weights[row, column] / 255 - min(1, distance / 5)) <= 1 / 255


@pytest.mark.parametrize("feather", [8.0, 64.0])
def test_each_piece_has_an_edge_of_its_own(feather: float) -> None:
    large, small = Image.new("L", (200, 120)), Image.new("L", (200, 120))
    large.paste(255, (5, 5, 105, 105))
    small.paste(255, (150, 50, 156, 56))
    both = Image.composite(large, small, large)
    alone, together = (np.asarray(Region(mask, feather).weights(mask.size)) for mask in (small, both))
    assert alone.max() == 255
    assert np.array_equal(together[:, 120:], alone[:, 120:])
    assert np.array_equal(together[:, :120], np.asarray(Region(large, feather).weights(large.size))[:, :120])


def test_the_pictures_border_is_no_edge() -> None:
    half = Image.new("L", SIZE)
    half.paste(255, (0, 0, SIZE[0], 30))
    weights = np.asarray(Region(half, 4).weights(SIZE))
    assert (weights[0] == 255).all() and (weights[30:] == 0).all()


def test_a_region_survives_ten_edits_elsewhere() -> None:
    picture = source = noise(0)
    region = Region(disc(SIZE, (15, 15), 10))
    for seed in range(10):
        picture = region.blend(picture, noise(seed + 1))
    outside = np.asarray(region.mask) == 0
    assert np.array_equal(np.asarray(picture)[outside], np.asarray(source)[outside])


def test_a_small_mask_is_scaled_to_the_picture() -> None:
    region = Region(disc((30, 23), (15, 11), 6), 0)
    inside = region.inside((300, 230))
    assert inside.shape == (230, 300)
    rows, columns = np.nonzero(inside)
    assert abs(rows.mean() - 115) < 3 and abs(columns.mean() - 155) < 5
    assert (np.ptp(rows), np.ptp(columns)) == pytest.approx((125, 125), abs=16)


def reference(values: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Straight from the definition: bilinear between the patches' centres, then cut off."""
    width, height = size
    rows, columns = values.shape
    enlarged = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = min(int(v), rows - 2), min(int(u), columns - 2)
            b, a = v - top, u - left
            enlarged[y, x] = (
                values[top, left] * (1 - b) * (1 - a) + values[top, left + 1] * (1 - b) * a
                + values[top + 1, left] * b * (1 - a) + values[top + 1, left + 1] * b * a
            )  # fmt: skip
    return enlarged >= threshold * enlarged.max()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_a_map_becomes_a_mask(threshold: float) -> None:
    values = np.random.default_rng(3).random((6, 8)).astype(np.float32)
    marked = np.asarray(from_map(values, (80, 54), threshold).mask) == 255
    assert np.count_nonzero(marked != reference(values, (80, 54), threshold)) <= 4  # of 4320, on the very threshold


def test_growing_and_shrinking_by_the_euclidean_distance() -> None:
    values = np.zeros((5, 5), dtype=np.float32)
    values[2, 2] = 1
    marked, more, less = (np.asarray(from_map(values, (50, 50), 0.5, grow=by).mask) == 255 for by in (0, 6, -3))
    points, outside = np.argwhere(marked), np.argwhere(~marked)
    for row, column in np.ndindex(50, 50):
        assert more[row, column] == (min(math.dist((row, column), point) for point in points) <= 6)
        assert less[row, column] == (min(math.dist((row, column), point) for point in outside) > 3)


def test_settings_bring_the_region_back() -> None:
    region = Region(disc(SIZE, (30, 20), 14), 3.5)
    again = region_of(json.loads(json.dumps(region.settings())))
    assert again.feather == 3.5 and again.mask.tobytes() == region.mask.tobytes()


def test_a_large_mask_is_kept_in_a_pictures_settings(tmp_path: Path) -> None:
    grain = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1500), dtype=np.uint8))
    save_png(noise(0), tmp_path / "result.png", {"region": Region(grain).settings()})
    kept = region_of(read_settings(tmp_path / "result.png")["region"])
    assert kept.mask.tobytes() == grain.tobytes()


def test_settings_without_the_mask_say_so() -> None:
    with pytest.raises(RegionError, match="too large to be kept in the settings; give the region again"):
        region_of({"feather": 8.0, "size": [900, 900]})


@pytest.mark.parametrize("damage", [{"mask": "?"}, {"mask": "aGVsbG8="}, {"feather": "wide"}, {"mask": 3}])
def test_damaged_settings_are_refused(damage: dict) -> None:
    settings = Region(disc(SIZE, (30, 20), 14)).settings()
    with pytest.raises(RegionError, match="mask"):
        region_of(settings | damage)


@pytest.mark.parametrize(
    ("region", "named"),
    [
        (Region(Image.new("L", SIZE)), "marks nothing"),
        (Region(Image.new("RGB", SIZE)), "mode RGB"),
        (Region(Image.new("L", SIZE, 255), -1), "-1"),
        (Region(Image.new("L", SIZE, 255), math.nan), "nan"),
        (Region(Image.new("L", (61, 61), 255)), "61×61"),
    ],
)
def test_what_can_be_no_region_is_refused(region: Region, named: str) -> None:
    with pytest.raises(RegionError, match=named):
        region.check(SIZE)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"smooth": -1}, {"grow": math.inf}, {"values": np.zeros((3, 3))}, {"grow": -500}]
)
def test_maps_that_make_no_region_are_refused(wrong: dict) -> None:
    with pytest.raises(RegionError):
        from_map(**({"values": np.eye(3), "size": SIZE} | wrong))


def test_masks_are_read_from_files(tmp_path: Path) -> None:
    white = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    white.paste((255, 255, 255, 255), (10, 10, 20, 20))
    white.save(tmp_path / "mask.png")
    mask = np.asarray(load_mask(tmp_path / "mask.png"))
    assert (mask[10:20, 10:20] == 255).all() and mask.sum() == 255 * 100
    assert load_image(tmp_path / "mask.png").getpixel((0, 0)) == (255, 255, 255)
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"no\.png"):
        load_mask(tmp_path / "no.png")


@pytest.mark.shipped
def test_an_edit_outside_of_the_region_is_told(editor: Editor, gravel: Image.Image) -> None:
    mask = np.zeros((360, 270), dtype=np.uint8)
    mask[330:, :60] = 255
    corner = Region(Image.fromarray(mask), feather=0)
    missed = editor.edit(EditRequest([gravel], "remove the apple", seed=1, region=corner))
    assert np.array_equal(missed.image, gravel)
    assert any("outside of the region" in warning for warning in missed.warnings)
    met = editor.edit(EditRequest([gravel], "make it sepia", seed=1, region=corner))
    assert not any("outside of the region" in warning for warning in met.warnings)
