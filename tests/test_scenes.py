"""The training pictures: every target against the definition of its edit, worked out another way."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmdit.model.transformer import WORKING_SIZES
from mmdit.model.vocabulary import COLOURS, KINDS, LEAVE_ALONE, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.backgrounds import photographs_of
from mmdit.training.plans import MAX_OBJECTS, Plan
from mmdit.training.scenes import KIND_SHARES, SIZE_SHARES, SceneBatch, Scenes
from mmdit.training.sprites import SIZES
from mmdit.training.wordings.generate import _expand
from mmdit.training.wordings.nouns import PLACE_PHRASES, SYNONYMS

NAMES = list(OBJECTS)
ROUNDING = 3 / 255  # an object's colours and edges are stored in 8 bits


@pytest.fixture(scope="module")
def scenes(data_folder: Path) -> Scenes:
    return Scenes(data_folder, "train", seed=0)


@pytest.fixture(scope="module")
def sprites(data_folder: Path) -> np.ndarray:
    """(objects, 4, 128, 128), premultiplied, in [0, 1]."""
    return load_file(data_folder / "objects.safetensors")["sprites"].float().numpy() / 255


def in_unit_range(pictures: torch.Tensor) -> np.ndarray:
    return (pictures.double().numpy() + 1) / 2


def of_kind(scenes: Scenes, kind: str, size: int = 24, number: int = 0, wording: str = "wordings") -> SceneBatch:
    return scenes.batch(number, size, kinds=[kind] * size, wording=wording)


# ---- the same object drawn by PIL ------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """An object's square: side and centre in pixels, and whether it is mirrored."""

    side: int
    y: int
    x: int
    flipped: bool


def drawn(sprite: np.ndarray, place: Place, height: int, width: int) -> np.ndarray:
    """(4, height, width) premultiplied: one object alone on a transparent canvas."""
    size = (place.side, place.side)
    scaled = [Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC) for channel in sprite]
    scaled = np.stack([np.asarray(channel) for channel in scaled]).clip(0, 1)
    scaled = scaled[:, :, ::-1] if place.flipped else scaled
    canvas = np.zeros((4, height + 2 * place.side, width + 2 * place.side))
    top, left = (centre - place.side // 2 + place.side for centre in (place.y, place.x))
    canvas[:, top : top + place.side, left : left + place.side] = scaled
    return canvas[:, place.side : -place.side, place.side : -place.side]


def extent(alpha: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero((alpha > 0.1).any(axis=axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def locate(sprite: np.ndarray, alpha: np.ndarray) -> Place:
    """The one square at which the sprite has this alpha; tried at every size and both ways round."""
    height, width = alpha.shape
    top, bottom, left, right = extent(alpha)
    for side in range(SIZES[0], SIZES[1] + 1):
        for flipped in (False, True):
            middle = Place(side, height // 2, width // 2, flipped)
            near = extent(drawn(sprite, middle, height, width)[3])
            if (near[1] - near[0], near[3] - near[2]) == (bottom - top, right - left):
                place = Place(side, middle.y + top - near[0], middle.x + left - near[2], flipped)
                if np.abs(drawn(sprite, place, height, width)[3] - alpha).max() < ROUNDING:
                    return place
    raise AssertionError("the mask is not the object's shape at any size")


def lone_objects(batch: SceneBatch, sprites: np.ndarray) -> list[tuple[int, Place]]:
    """The samples whose only object is the edited one, wholly inside the picture: (sample, its place)."""
    found = []
    for index, slot in enumerate(batch.edited_slot.tolist()):
        masks = batch.masks[index].numpy()
        others = np.delete(masks, [slot, MAX_OBJECTS] if slot < MAX_OBJECTS else slot, axis=0)
        top, bottom, left, right = extent(masks[slot])
        inside = top > 0 and left > 0 and bottom < masks.shape[1] and right < masks.shape[2]
        if inside and not others.any():
            found.append((index, locate(sprites[NAMES.index(batch.names[index])], masks[slot])))
    assert len(found) >= 3, "too few samples to judge by"
    return found


# ---- edits of objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["recolour", "remove"])
def test_outside_the_edited_object_nothing_changes(scenes: Scenes, kind: str) -> None:
    batch = of_kind(scenes, kind)
    visible = batch.masks[torch.arange(24), batch.edited_slot] > 0
    changed = (batch.source != batch.target).any(dim=1)
    assert not (changed & ~visible).any()
    assert (changed.sum(dim=(1, 2)) > 0.5 * visible.sum(dim=(1, 2))).float().mean() > 0.8


def test_outside_an_added_object_nothing_changes(scenes: Scenes) -> None:
    batch = of_kind(scenes, "add")
    changed = (batch.source != batch.target).any(dim=1)
    assert not (changed & (batch.masks[:, MAX_OBJECTS] == 0)).any()
    assert changed.flatten(1).any(dim=1).all()


def test_putting_a_removed_object_back_gives_the_source(scenes: Scenes, sprites: np.ndarray) -> None:
    batch = of_kind(scenes, "remove")
    for index, place in lone_objects(batch, sprites):
        source, target = in_unit_range(batch.source[index]), in_unit_range(batch.target[index])
        layer = drawn(sprites[NAMES.index(batch.names[index])], place, *source.shape[1:])
        assert np.abs(target * (1 - layer[3]) + layer[:3] - source).max() < 2 * ROUNDING


def test_an_added_object_is_drawn_over_the_source_in_its_cell(scenes: Scenes, sprites: np.ndarray) -> None:
    batch = of_kind(scenes, "add", size=32)
    for index, place in lone_objects(batch, sprites):
        source, target = in_unit_range(batch.source[index]), in_unit_range(batch.target[index])
        height, width = source.shape[1:]
        layer = drawn(sprites[NAMES.index(batch.names[index])], place, height, width)
        assert np.abs(source * (1 - layer[3]) + layer[:3] - target).max() < 2 * ROUNDING
        row, column = int(3 * place.y / height), int(3 * place.x / width)
        for at, cell, size in ((place.y, row, height), (place.x, column, width)):
            assert at % 8 == 0
            assert abs(at - (2 * cell + 1) * size / 6) < 8
            assert abs(at - size / 2) <= abs((2 * cell + 1) * size / 6 - size / 2), "anchored away from the middle"
        assert not place.flipped
        assert names_place(batch.instructions[index], PLACES[3 * row + column])


def names_place(instruction: str, place: str) -> bool:
    """Whether a phrase for the place is said; the middle may go without saying."""
    said = instruction.replace("centre", "center")
    phrases = [text for phrase in PLACE_PHRASES[place] for text in _expand(phrase)]
    patterns = [phrase.replace("{pic}", r"\w+") for phrase in phrases]
    if any(re.search(rf"\b{pattern}( please)?$", said) for pattern in patterns):
        return True
    return place == "center" and not re.search(r"\b(top|bottom|left|right|upper|lower)\b", said)


def test_a_recoloured_object_follows_the_formula(scenes: Scenes) -> None:
    """c · 2L where L < ½, else c + (1 − c)(2L − 1), at the pixels that the object covers alone and fully."""
    batch = of_kind(scenes, "recolour")
    checked = 0
    for index, slot in enumerate(batch.edited_slot.tolist()):
        (name,) = [word for word in batch.instructions[index].split() if word in COLOURS]
        source, target = in_unit_range(batch.source[index]), in_unit_range(batch.target[index])
        for row, column in np.argwhere(batch.masks[index, slot].numpy() == 1)[::7]:
            red, green, blue = source[:, row, column]
            luminance = 0.299 * red + 0.587 * green + 0.114 * blue
            for channel, c in enumerate(COLOURS[name]):
                expected = c * 2 * luminance if luminance < 0.5 else c + (1 - c) * (2 * luminance - 1)
                assert abs(target[channel, row, column] - expected) < 1e-4
            checked += 1
    assert checked > 500


@pytest.mark.parametrize(("kind", "factor"), [("bigger", 1.5), ("smaller", 0.6)])
def test_a_resized_object_is_redrawn_about_its_centre(
    scenes: Scenes, sprites: np.ndarray, kind: str, factor: float
) -> None:
    batch = of_kind(scenes, kind)
    for index, place in lone_objects(batch, sprites):
        sprite = sprites[NAMES.index(batch.names[index])]
        sides = [factor * (place.side + rounding) for rounding in (-0.5, 0.5)]  # drawn sizes are whole
        low, high = (min(max(round(side), SIZES[0]), SIZES[1]) for side in sides)
        assert min(
            misfit(batch, index, sprite, place, Place(side, place.y, place.x, place.flipped), sprite)
            for side in range(low, high + 1)
        ) < 2 * ROUNDING  # fmt: skip


def test_a_replacement_stands_where_the_object_stood(scenes: Scenes, sprites: np.ndarray) -> None:
    batch = of_kind(scenes, "replace")
    for index, place in lone_objects(batch, sprites):
        said = [name for name in NAMES if re.search(rf"\b{name}\b", batch.instructions[index])]
        assert batch.names[index] in said
        (new,) = (name for name in said if name != batch.names[index])
        old_sprite, new_sprite = (sprites[NAMES.index(name)] for name in (batch.names[index], new))
        assert misfit(batch, index, old_sprite, place, place, new_sprite) < 2 * ROUNDING


def misfit(
    batch: SceneBatch, index: int, old_sprite: np.ndarray, old: Place, new: Place, new_sprite: np.ndarray
) -> float:
    """Largest error of the target where it is known: new object's inside, and what neither object touches."""
    source, target = in_unit_range(batch.source[index]), in_unit_range(batch.target[index])
    before, after = (
        drawn(sprite, place, *source.shape[1:]) for sprite, place in ((old_sprite, old), (new_sprite, new))
    )
    inside = after[3] > 1 - ROUNDING / 3
    outside = (before[3] == 0) & (after[3] == 0)
    return max(np.abs(target - after[:3])[:, inside].max(), np.abs(target - source)[:, outside].max())


# ---- edits of photographs, and none ----------------------------------------------------------------------


def blurred(picture: np.ndarray) -> np.ndarray:
    """Two 5 × 5 box filters, edges extended, by sums of shifted copies."""
    height, width = picture.shape[1:]
    padded = np.pad(picture, ((0, 0), (4, 4), (4, 4)), mode="edge")
    for _ in range(2):
        rows, columns = padded.shape[1] - 4, padded.shape[2] - 4
        padded = sum(padded[:, y : y + rows, x : x + columns] for y in range(5) for x in range(5)) / 25
    assert padded.shape[1:] == (height, width)
    return padded


def photo_edit(kind: str, picture: np.ndarray) -> np.ndarray:
    red, green, blue = picture
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    edited = {
        "black and white": lambda: [grey, grey, grey],
        "sepia": lambda: [1.1 * grey, 0.88 * grey, 0.62 * grey],
        "invert": lambda: [1 - red, 1 - green, 1 - blue],
        "brighter": lambda: [1.2 * channel + 0.15 for channel in picture],
        "darker": lambda: [channel / 2 for channel in picture],
        "warmer": lambda: [1.25 * red, 1.03 * green, 0.7 * blue],
        "cooler": lambda: [0.7 * red, 0.98 * green, 1.3 * blue],
        "contrast": lambda: [1.8 * channel - 0.4 for channel in picture],
        "saturation": lambda: [1.9 * channel - 0.9 * grey for channel in picture],
        "blur": lambda: blurred(picture),
        "night": lambda: [0.2 * red, 0.26 * green, 0.5 * blue],
    }[kind]()
    return np.clip(np.stack(list(edited)), 0, 1)


@pytest.mark.parametrize("kind", PHOTO_EDITS)
def test_a_photo_edit_follows_its_definition(scenes: Scenes, kind: str) -> None:
    batch = of_kind(scenes, kind, size=4)
    assert batch.names == [None] * 4
    for source, target in zip(in_unit_range(batch.source), in_unit_range(batch.target), strict=True):
        np.testing.assert_allclose(target, photo_edit(kind, source), atol=2e-6)


@pytest.mark.parametrize("wording", ["train", "wordings", "figurative", "synonyms"])
@pytest.mark.parametrize("kind", LEAVE_ALONE)
def test_nothing_to_do_means_nothing_done(scenes: Scenes, kind: str, wording: str) -> None:
    batch = of_kind(scenes, kind, size=8, wording=wording)
    assert torch.equal(batch.source, batch.target)
    assert (batch.edited_slot == -1).all()


def test_an_absent_object_is_absent() -> None:
    for seed in range(500):
        plan = Plan.draw("absent object", random.Random(seed), "train")
        assert plan.name not in {NAMES[thing] for thing in plan.objects}
        assert mentions(plan.instruction, plan.name)


# ---- the stream ------------------------------------------------------------------------------------------


def mentions(instruction: str, name: str) -> bool:
    return any(re.search(rf"\b{word}\b", instruction) for word in (name, *SYNONYMS.get(name, ())))


def test_training_instructions_name_the_object() -> None:
    for seed in range(300):
        for kind in OBJECT_EDITS:
            plan = Plan.draw(kind, random.Random(seed), "train")
            assert plan.name == NAMES[plan.objects[plan.edited]]
            assert mentions(plan.instruction, plan.name), plan.instruction


def same(one: SceneBatch, other: SceneBatch) -> bool:
    tensors = ("source", "target", "masks", "edited_slot")
    lists = ("kinds", "instructions", "names")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors) and all(
        getattr(one, name) == getattr(other, name) for name in lists
    )


def test_a_batch_depends_on_seed_and_number_alone(scenes: Scenes, data_folder: Path) -> None:
    first = {number: scenes.batch(number, 6) for number in (3, 1, 2)}
    random.seed(5)
    torch.manual_seed(5)
    again = Scenes(data_folder, "train", seed=0)
    assert all(same(again.batch(number, 6), first[number]) for number in (1, 2, 3))
    assert not same(first[1], first[2])
    assert not same(Scenes(data_folder, "train", seed=1).batch(1, 6), first[1])


def test_batches_are_well_formed(scenes: Scenes) -> None:
    kinds: set[str] = set()
    for number in range(24):
        batch = scenes.batch(number, 32)
        height, width = batch.source.shape[-2:]
        assert (height, width) in WORKING_SIZES
        assert height % 16 == width % 16 == 0
        assert batch.source.shape == batch.target.shape == (32, 3, height, width)
        assert max(batch.source.abs().max(), batch.target.abs().max()) <= 1
        assert batch.masks.shape == (32, MAX_OBJECTS + 1, height, width)
        assert batch.masks[:, :MAX_OBJECTS].sum(dim=1).max() <= 1 + 1e-5  # visible parts share a pixel
        assert all(map(str.strip, batch.instructions))
        kinds |= set(batch.kinds)
    assert kinds == set(KINDS)
    assert sum(KIND_SHARES.values()) == pytest.approx(1)
    assert sum(SIZE_SHARES.values()) == pytest.approx(1)


def test_no_photograph_is_in_both_splits(data_folder: Path) -> None:
    """Neither under one name nor, pixel for pixel, under two."""
    photographs = load_file(data_folder / "photographs.safetensors")
    seen, kept = (photographs_of(split, list(photographs)) for split in ("train", "held_out"))
    assert len(seen) > 4 * len(kept) > 0
    assert not set(seen) & set(kept)
    pixels = {photographs[name].numpy().tobytes(): name for name in seen}
    twins = {name: pixels.get(photographs[name].numpy().tobytes()) for name in kept}
    assert not {name: twin for name, twin in twins.items() if twin}


def test_an_empty_data_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"objects\.safetensors.*mmdit\.training\.prepare"):
        Scenes(tmp_path, "train", seed=0)
