"""The object of a second picture in the first: what is read, and what is put there."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdit import images
from mmdit.catalog import CATALOG
from mmdit.editor import EditRequest
from mmdit.families.mini import MiniEditor
from mmdit.families.mini_reference import instruction_for_first
from mmdit.load import load_editor
from mmdit.model.vocabulary import OBJECTS, PLACES
from mmdit.training.photo_edits import photo_edit
from mmdit.training.scenes import Scenes


@pytest.mark.parametrize(
    ("instruction", "name", "expected"),
    [
        ("put the cat of the second picture on the left", None, "put a cat on the left"),
        ("add the car from the other photo at the top", None, "add a car at the top"),
        ("put the object of the second picture into the first", "star", "put a star"),
        ("Put the thing in the 2nd image on the right", "bus", "Put a bus on the right"),
        ("put the thing on the left", "apple", "put an apple on the left"),
        ("replace the dog with the cat in the reference image", None, "replace the dog with a cat"),
        ("put the big apple of the second picture at the top", None, "put a big apple at the top"),
        ("add the apple from the second picture", None, "add an apple"),
        ("make it sepia", None, "make it sepia"),
    ],
)
def test_words_that_tell_pictures_apart_are_left_out(instruction: str, name: str | None, expected: str) -> None:
    assert instruction_for_first(instruction, name) == expected


@pytest.fixture(scope="module")
def pictures(data_folder: Path) -> list[tuple[Image.Image, Image.Image, str, str]]:
    """(first picture, second picture in warm light, object of the second, place that is free in the first)."""
    stream = Scenes(data_folder, "held_out", 31)
    add = stream.batch(0, 8, kinds=["add"] * 8, working_size=(128, 128))
    remove = stream.batch(1, 40, kinds=["remove"] * 40, working_size=(112, 144))
    found = []
    for index in range(8):
        thing = list(OBJECTS)[add.painted[index, 1]]
        place = add.meaning[index, 4].item()
        other = next((number for number, name in enumerate(remove.names) if name == thing), None)
        if place < 0 or other is None:
            continue
        given = (remove.source[other] + 1) / 2
        warm = torch.lerp(given, photo_edit("warmer", given), 0.4) * 2 - 1
        first, second = (images.to_image(picture[None]) for picture in (add.source[index], warm))
        found.append((first, second, thing, PLACES[place]))
    assert len(found) >= 3
    return found


def test_the_object_is_taken_from_the_second_picture(pictures: list[tuple[Image.Image, Image.Image, str, str]]) -> None:
    """It keeps the light of that picture: it is warmer than the one that the editor remembers."""
    editor = load_editor("mini", device="cpu")
    borrowed, warmer = 0, list[float]()
    for first, second, thing, place in pictures:
        words = f"put the {thing} of the second picture at the {place}"
        result = editor.edit(EditRequest([first, second], words))
        if result.notes != (f"The {thing} is that of the second picture.",):
            continue
        borrowed += 1
        plain = editor.edit(EditRequest([first], f"put a {thing} at the {place}"))
        one, two, given = (images.to_tensor(picture)[0] for picture in (result.image, plain.image, first))
        changed = (one - given).abs().amax(dim=0) > 0.2
        red, _, blue = (one - two)[:, changed].mean(dim=1).tolist()
        warmer.append(red - blue)
    assert borrowed >= len(pictures) - 1
    assert sum(value > 0.05 for value in warmer) >= len(warmer) - 1


def test_what_is_not_there_is_said(pictures: list[tuple[Image.Image, Image.Image, str, str]]) -> None:
    first = pictures[0][0]
    empty = Image.new("RGB", (160, 120), (90, 120, 150))
    editor = MiniEditor(CATALOG["mini"].source)
    assert editor.traits.most_pictures == 2
    editor = load_editor("mini", device="cpu")
    missing = editor.edit(EditRequest([first, empty], "put the rocket of the second picture at the top"))
    assert any("shows no rocket" in warning for warning in missing.warnings)
    unused = editor.edit(EditRequest([first, empty], "make it sepia"))
    assert any("was not used" in warning for warning in unused.warnings)
    with pytest.raises(ValueError, match="shows no object"):
        editor.edit(EditRequest([first, empty], "put the object of the second picture into the first"))
    with pytest.raises(ValueError, match="3 pictures were given"):
        editor.edit(EditRequest([first] * 3, "make it sepia"))
