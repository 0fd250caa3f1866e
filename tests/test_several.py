"""Instructions that ask for several edits: where they are cut, and what becomes of the parts."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from mmdit import images
from mmdit.attention.spec import RecordError, RecordSpec
from mmdit.catalog import CATALOG
from mmdit.editor import EditRequest
from mmdit.families.strength import Strength
from mmdit.load import load_editor
from mmdit.model.lexicon import LEXICON_FILE, Lexicon
from mmdit.model.several import in_order, parts
from mmdit.model.vocabulary import COLOURS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.photo_edits import photo_edit
from mmdit.training.requests import requests
from mmdit.training.wordings import SPLITS, instruction


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.from_file(CATALOG["mini"].source / "text_encoder" / LEXICON_FILE)


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("remove the dog and make it black and white", ["remove the dog", "make it black and white"]),
        ("Remove the dog, then make it sepia.", ["Remove the dog", "make it sepia."]),
        ("make it brighter and blur it", ["make it brighter", "blur it"]),
        ("add a dog and make it sepia", ["add a dog", "make it sepia"]),
        ("make the cat blue. Enlarge the star; invert it", ["make the cat blue", "Enlarge the star", "invert it"]),
        ("remove the moon and add a star at the top", ["remove the moon", "add a star at the top"]),
        ("remove the cat and make it sepia, thanks", ["remove the cat", "make it sepia, thanks"]),
        ("1. add a frame 2. remove the cat", ["add a frame", "remove the cat"]),
        ("make the cat red and make it black and white", ["make the cat red", "make it black and white"]),
    ],
)
def test_plain_requests_are_told_apart(lexicon: Lexicon, instruction: str, expected: list[str]) -> None:
    assert parts(instruction, lexicon) == expected


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("remove the cat and the dog", ["remove the cat", "remove the dog"]),
        ("Remove the cat, the dog and the car.", ["Remove the cat", "Remove the dog", "Remove the car."]),
        ("make the cat and the dog green", ["make the cat green", "make the dog green"]),
        ("make the cat blue and the dog red", ["make the cat blue", "make the dog red"]),
        ("make the left dog blue and the right dog red", ["make the left dog blue", "make the right dog red"]),
        ("make the cat blue and bigger", ["make the cat blue", "make the cat bigger"]),
        ("make the cat red and move it to the right", ["make the cat red", "move the cat to the right"]),
        ("make the cat bigger, then make it red", ["make the cat bigger", "make the cat red"]),
    ],
)
def test_what_is_implied_is_said_first(lexicon: Lexicon, instruction: str, expected: list[str]) -> None:
    assert parts(instruction, lexicon) == expected


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("remove the cat and keep everything else the same", "remove the cat"),
        ("remove the cat without changing anything else", "remove the cat"),
        ("Remove the cat, leave the rest as it is.", "Remove the cat."),
        ("remove the cat but keep the dog", "remove the cat"),
        ("make the cat blue but leave the dog alone", "make the cat blue"),
        ("make it brighter and don't touch anything else", "make it brighter"),
        ("make it black and white but leave the dog alone", "make it black and white but leave the dog alone"),
        ("remove the dog but keep the small dog", "remove the dog but keep the small dog"),
        ("a frog to keep the rest company", "a frog to keep the rest company"),
        ("leave nothing but grey", "leave nothing but grey"),
    ],
)
def test_what_stays_anyhow_need_not_be_read(lexicon: Lexicon, instruction: str, expected: str) -> None:
    assert parts(instruction, lexicon) == [expected]


@pytest.mark.parametrize(
    "instruction",
    [
        "make it black and white", "make it light and airy", "delete the car, add a house", "?!", "", "blur it.",
        "swap the cat and the dog", "put a cat and a dog on the left", "make the cat black and white",
        "replace the cat and the dog with a car", "put the cat next to the dog and the tree",
        "make it brighter and darker", "remove the dog and thank you", "sepia, but not too much",
    ],
)  # fmt: skip
def test_what_may_be_one_request_stays_whole(lexicon: Lexicon, instruction: str) -> None:
    assert parts(instruction, lexicon) == [instruction]


def test_hardly_any_single_request_is_cut(lexicon: Lexicon) -> None:
    assert all(len(parts(sentence, lexicon)) == 1 for _, _, sentence in requests())
    draw, single = random.Random(0), []
    for split in SPLITS:
        for kind in (*OBJECT_EDITS, *PHOTO_EDITS):
            for _ in range(100):
                name, replacement = draw.sample(list(OBJECTS), 2)
                single.append(
                    instruction(
                        kind, draw, name=name, colour=draw.choice(list(COLOURS)), replacement=replacement,
                        place=draw.choice(PLACES), split=split,
                    )
                )  # fmt: skip
    cut = [sentence for sentence in single if len(parts(sentence, lexicon)) > 1]
    assert len(cut) <= 0.001 * len(single), cut


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("sepia remove", "remove sepia"),
        ("sepia night move remove", "move remove sepia night"),
        ("frame bigger", "frame bigger"),
        ("sepia add smaller", "sepia add smaller"),
        ("sepia recolour", "sepia recolour"),
        ("remove sepia replace fog", "remove replace sepia fog"),
        ("other sepia", "other sepia"),
    ],
)
def test_objects_come_before_the_tone_that_would_hide_them(kinds: str, expected: str) -> None:
    ordered = in_order([(f"{number}", kind) for number, kind in enumerate(kinds.split())])
    assert [kind for _, kind in ordered] == expected.split()


@pytest.mark.parametrize("object_edit", ["remove the apple", "make the dog bigger", "move the apple to the top right"])
@pytest.mark.parametrize("tone", ["invert it", "make it black and white"])
def test_an_object_is_found_before_the_picture_is_toned(object_edit: str, tone: str, gravel: Image.Image) -> None:
    editor = load_editor("mini", device="cpu")
    first = editor.edit(EditRequest([gravel], object_edit, seed=1))
    both = editor.edit(EditRequest([first.image], tone, seed=1))
    found = editor.edit(EditRequest([gravel], f"{tone} and {object_edit}", seed=1))
    assert found.image.tobytes() == both.image.tobytes()
    assert f"Made as 2 edits: “{object_edit}”, then “{tone}”." in found.notes


def test_one_object_gets_a_colour_in_a_toned_picture(gravel: Image.Image) -> None:
    editor = load_editor("mini", device="cpu")
    toned = editor.edit(EditRequest([gravel], "make it black and white", seed=1)).image
    found = editor.edit(EditRequest([gravel], "make it black and white and make the apple blue", seed=1)).image
    pixels, before = (np.asarray(of, dtype=float) for of in (found, toned))
    changed = np.abs(pixels - before).max(axis=2) > 40
    rows, columns = changed.nonzero()
    assert columns.max() < 95 and rows.min() > 40 and rows.max() < 135  # where the apple is
    mean = pixels[changed].mean(axis=0)
    assert mean[2] > 2 * mean[:2].max()
    assert (np.abs(pixels - before).max(axis=2)[~changed] <= 40).all()
    assert pixels[200:, :].tolist() == before[200:, :].tolist()


def test_progress_never_goes_back_where_an_object_is_looked_for_twice(gravel: Image.Image) -> None:
    steps: list[int] = []
    request = EditRequest([gravel], "make it darker and make the banana red", seed=1, steps=2)
    load_editor("mini", device="cpu").edit(request, on_step=lambda progress: steps.append(progress.step))
    assert steps == sorted(steps) and steps[-1] == 4 and steps.count(4) == 1


def test_the_edits_are_those_that_one_would_make_one_by_one() -> None:
    editor = load_editor("mini", device="cpu")
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(60, 200, (96, 128, 3), dtype=np.uint8))
    steps: list[tuple[int, int]] = []
    result = editor.edit(
        EditRequest([picture], "make it sepia and invert it", seed=1, steps=2, record=RecordSpec()),
        on_step=lambda progress: steps.append((progress.step, progress.steps)),
    )
    first = editor.edit(EditRequest([picture], "make it sepia", seed=1, steps=2))
    second = editor.edit(EditRequest([first.image], "invert it", seed=1, steps=2))
    assert result.image.tobytes() == second.image.tobytes()
    assert result.notes == (
        "Made as 2 edits: “make it sepia”, then “invert it”.", "The maps are those of “make it sepia”.",
    )  # fmt: skip
    assert result.maps.words == ("make", "it", "sepia")
    assert [step for step in steps if step[0]] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    given = (images.to_tensor(picture)[0] + 1) / 2
    truth = photo_edit("invert", photo_edit("sepia", given))
    error = ((images.to_tensor(result.image)[0] + 1) / 2 - truth).square().mean()
    assert -10 * torch.log10(error) > 32
    literal = editor.edit(EditRequest([picture], "make it sepia and invert it", seed=1, literally=True))
    assert not any("Made as" in note for note in literal.notes)


def test_what_is_mixed_in_is_mixed_in_once(gravel: Image.Image) -> None:
    """The difference that it makes is about the one it makes beside a single edit, and not twice that."""
    editor = load_editor("mini", device="cpu")

    def warmth(instruction: str, others: tuple[tuple[str, float], ...]) -> float:
        strength = Strength("keep it as it is", 1.0, others)
        made = editor.edit(EditRequest([gravel], instruction, seed=1, strength=strength)).image
        red, _, blue = np.asarray(made, dtype=float).mean(axis=(0, 1))
        return red - blue

    warmer = (("make it warmer", 1.0),)
    alone = warmth("make it darker", warmer) - warmth("make it darker", ())
    of_two = warmth("make it darker and blur it", warmer) - warmth("make it darker and blur it", ())
    assert alone > 10 and abs(of_two - alone) < 0.2 * alone


def test_words_are_recorded_where_they_are_asked_for(gravel: Image.Image) -> None:
    editor, instruction = load_editor("mini", device="cpu"), "make it black and white and make the Apple red"
    result = editor.edit(EditRequest([gravel], instruction, seed=1, record=RecordSpec(words=("apple",))))
    assert result.maps.words == ("apple",)
    assert result.notes[-1] == "The maps are those of “make the Apple red”."
    later = editor.edit(EditRequest([gravel], instruction, seed=1, record=RecordSpec(words=("white",))))
    assert later.maps.words == ("white",)
    assert later.image.tobytes() == result.image.tobytes() == editor.edit(
        EditRequest([gravel], instruction, seed=1)
    ).image.tobytes()  # fmt: skip
    with pytest.raises(RecordError, match="'kitty' is none that the model reads"):
        editor.edit(EditRequest([gravel], instruction, seed=1, record=RecordSpec(words=("kitty",))))
