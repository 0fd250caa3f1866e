"""The alignment guard against pictures whose drift is known, because it was made here with another library's warp."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from mmdit.alignment import correct, measure
from mmdit.editor import EditError, EditRequest
from mmdit.finish import finish
from mmdit.load import load_editor
from mmdit.region import Region

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "assets" / "examples").glob("*.jpg"))
DRIFTS = [((3.0, 0.0), 1.0), ((0.0, -3.0), 1.01), ((-1.3, 2.6), 0.99), ((0.0, 0.0), 1.0)]


def drifted(picture: Image.Image, shift: tuple[float, float], zoom: float) -> Image.Image:
    """PyTorch's bicubic sampling of the picture, scaled about its middle and then moved."""
    width, height = picture.size
    x, y = (
        ((torch.arange(side, dtype=torch.float64) - (side - 1) / 2 - by) / zoom + (side - 1) / 2 + 0.5) * 2 / side - 1
        for side, by in zip((width, height), shift, strict=True)
    )
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
    pixels = torch.from_numpy(np.array(picture, dtype=np.float64)).permute(2, 0, 1)[None]
    moved = functional.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return Image.fromarray(moved[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())


def painted(picture: Image.Image) -> Image.Image:
    """With a large part that was really edited."""
    width, height = picture.size
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle((width // 3, height // 3, width // 2, height // 2), fill=(255, 0, 200))
    return picture


def error(one: Image.Image, other: Image.Image, margin: int = 16) -> float:
    """Mean difference, without the border, beyond which nothing is known."""
    a, b = (np.asarray(of, dtype=np.float64)[margin:-margin, margin:-margin] for of in (one, other))
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
@pytest.mark.parametrize(("shift", "zoom"), DRIFTS)
def test_shift_and_zoom_are_found_beside_an_edit(file: Path, shift: tuple[float, float], zoom: float) -> None:
    picture = Image.open(file).convert("RGB")
    drift = measure(picture, painted(drifted(picture, shift, zoom)))
    assert drift.reliable
    assert math.dist(drift.shift, shift) <= 0.25
    assert abs(drift.zoom - zoom) <= 0.001
    assert abs(drift.angle) <= 0.05


@pytest.mark.parametrize(("shift", "zoom"), DRIFTS[:3])
def test_what_was_found_is_undone(photograph: Image.Image, shift: tuple[float, float], zoom: float) -> None:
    moved = drifted(photograph, shift, zoom)
    again = correct(moved, measure(photograph, moved))
    resampled = drifted(moved, tuple(-by / zoom for by in shift), 1 / zoom)  # by the true values
    assert error(again, photograph) <= 1.3 * error(resampled, photograph)
    assert error(again, photograph) < error(moved, photograph) / 3


def test_a_picture_that_has_not_moved_comes_back_as_it_is(photograph: Image.Image) -> None:
    edited = painted(photograph)
    drift = measure(photograph, edited)
    assert not drift.moved and not drift.seen
    assert correct(edited, drift).tobytes() == edited.tobytes()


def test_a_tint_is_found_where_nothing_was_meant_to_change() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(40, 200, (96, 96, 3), dtype=np.uint8))
    tinted = Image.fromarray(np.asarray(picture) + np.array([6, 0, 3], dtype=np.uint8))
    meant = np.zeros((96, 96), bool)
    meant[32:49, 32:49] = True
    drift = measure(picture, painted(tinted), meant)
    assert drift.colour == (6.0, 0.0, 3.0) and drift.seen
    assert correct(tinted, drift).tobytes() == picture.tobytes()


@pytest.mark.parametrize(("degrees", "seen"), [(0.0, False), (0.4, True), (-1.0, True)])
def test_a_rotation_is_told(photograph: Image.Image, degrees: float, seen: bool) -> None:
    turned = photograph.rotate(-degrees, Image.Resampling.BICUBIC)  # Pillow's angles are anticlockwise
    done = finish(photograph, turned, None, "measure")
    assert done.drift.seen is seen and bool(done.warnings) is seen
    assert abs(done.drift.angle - degrees) <= 0.05
    corner = math.radians(abs(degrees)) * math.hypot(*photograph.size) / 2
    assert done.drift.turned == pytest.approx(corner, abs=0.3)
    assert (f"turned by {done.drift.angle:+.2f}°" in "".join(done.warnings)) is seen


def test_an_edit_of_all_colours_is_no_drift() -> None:
    picture = Image.open(EXAMPLES[1])
    brightened = picture.point([min(255, round(1.2 * level + 10)) for level in range(256)] * 3)
    done = finish(picture, brightened, None, "correct")
    assert np.array_equal(np.asarray(done.image), np.asarray(brightened)) and done.warnings == ()


def test_an_unreliable_measurement_corrects_nothing() -> None:
    flat, tinted = (Image.new("RGB", (96, 96), (level, level, level)) for level in (90, 120))
    mask = np.zeros((96, 96), bool)
    mask[:20] = True
    drift = measure(flat, tinted, mask)
    assert not drift.reliable and correct(tinted, drift).tobytes() == tinted.tobytes()
    (warning,) = finish(flat, tinted, None, "correct").warnings
    assert "corrected nothing" in warning


def test_what_was_meant_to_change_does_not_count(photograph: Image.Image) -> None:
    """Most of the picture is replaced by a part that moves the other way."""
    width, height = photograph.size
    mask = Image.new("L", photograph.size)
    mask.paste(255, (0, 0, round(0.7 * width), height))
    edited = Image.composite(drifted(photograph, (-5, 0), 1.0), drifted(photograph, (2, 1), 1.0), mask)
    drift = measure(photograph, edited, np.asarray(mask) > 0)
    assert drift.reliable and math.dist(drift.shift, (2, 1)) <= 0.25


@pytest.mark.parametrize("side", [1, 20, 64])
def test_where_nothing_can_be_told_nothing_is_moved(side: int) -> None:
    flat = Image.new("RGB", (side, side), (90, 120, 30))
    drift = measure(flat, flat)
    assert not drift.reliable and not drift.moved
    assert correct(flat, drift).tobytes() == flat.tobytes()


def test_another_picture_is_not_taken_for_a_drifted_one(photograph: Image.Image) -> None:
    other = Image.open(EXAMPLES[0]).convert("RGB").resize(photograph.size)
    assert not measure(photograph, other).reliable


def test_the_guard_comes_before_the_region(photograph: Image.Image) -> None:
    moved, mask = drifted(photograph, (3, 0), 1.0), Image.new("L", photograph.size)
    mask.paste(255, (50, 50, 150, 150))
    done = finish(photograph, moved, Region(mask), "correct")
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(done.image)[outside], np.asarray(photograph)[outside])
    assert math.dist(done.drift.shift, (3, 0)) <= 0.25 and done.warnings == ()
    (warning,) = finish(photograph, moved, None, "measure").warnings
    assert "drifted" in warning and "+3.0" in warning


@pytest.mark.shipped
def test_an_edit_of_a_region(photograph: Image.Image) -> None:
    editor = load_editor("mini", "cpu")
    mask = Image.new("L", photograph.size)
    mask.paste(255, (60, 60, 200, 160))
    region = Region(mask, 6)
    outside, picture = np.asarray(mask) == 0, photograph
    whole = editor.edit(EditRequest([photograph], "make it black and white", seed=1))
    first = editor.edit(EditRequest([photograph], "make it black and white", seed=1, region=region, guard="measure"))
    assert first.image.tobytes() == region.blend(photograph, whole.image).tobytes()
    assert whole.drift is None and first.drift is not None
    json.dumps(first.settings)
    assert first.settings["guard"] == "measure" and first.settings["region"]["feather"] == 6
    for instruction in ("make it darker", "make it warmer") * 5:
        picture = editor.edit(EditRequest([picture], instruction, seed=2, region=region)).image
    assert np.array_equal(np.asarray(picture)[outside], np.asarray(photograph)[outside])
    assert (np.asarray(picture)[~outside] != np.asarray(photograph)[~outside]).any()
    with pytest.raises(EditError, match="sometimes"):
        editor.edit(EditRequest([photograph], "make it darker", guard="sometimes"))
