"""What is said around an edit, and what would come out the wrong way round."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmdit.catalog import CATALOG
from mmdit.editor import Editor, EditRequest
from mmdit.families.strength import Strength
from mmdit.model.asides import amount, bare, which_is_moved, why_not
from mmdit.model.lexicon import LEXICON_FILE, Lexicon
from mmdit.model.reader import LEAVE, OTHER, PLAIN_WORDS
from mmdit.model.text import TextEncoder
from mmdit.training.requests import examples

pytestmark = pytest.mark.shipped
OF_WHOLE = [of for _, own in PLAIN_WORDS.values() for of in own]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.from_file(Path(CATALOG["mini"].source) / "text_encoder" / LEXICON_FILE)


@pytest.mark.parametrize(
    ("instruction", "why"),
    [
        ("less contrast", "can add contrast, not take it away; ask for more of it with a strength below 0"),
        ("reduce saturation", "can add saturation"),
        ("there is too much contrast", "can add contrast"),
        ("remove the frame", "can add a frame, not take it away"),
        ("no fog please", "can add fog"),
        ("undo the sepia effect", "can add sepia"),
        ("make it less night", "can add night"),
        ("make it not sepia", "what the picture should not be"),
        ("I don't want it in black and white", "what the picture should not be"),
        ("make it black and white but leave the dog alone", "mark what to edit as a region"),
        ("make it sepia but not the cat", "mark what to edit as a region"),
        ("remove everything except the cat", "mark what to edit as a region"),
        ("keep only the cat", "mark what to edit as a region"),
        ("don't make it brighter", "what not to do"),
    ],
)
def test_what_would_come_out_the_wrong_way_round_is_not_done(
    instruction: str, why: str, text_encoder: TextEncoder
) -> None:
    (reading,) = text_encoder.encode([instruction], plainly=True).readings
    assert reading.kind == OTHER
    assert why in reading.why


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("make it night", "night"), ("add a frame", "frame"), ("it's not blurry enough", "blur"),
        ("why not render it in sepia", "sepia"), ("everything except the cat can stay", "remove"),
        ("remove the cat", "remove"),
    ],
)  # fmt: skip
def test_what_only_sounds_so_is_read(instruction: str, kind: str, text_encoder: TextEncoder) -> None:
    (reading,) = text_encoder.encode([instruction], plainly=True).readings
    assert reading is None or (reading.kind, reading.why) == (kind, "")


def test_hardly_a_taught_sentence_is_refused(lexicon: Lexicon) -> None:
    taught = {(of.kind, of.sentence) for of in examples("", 0) if of.kind != OTHER}
    refused = [
        sentence for kind, sentence in taught
        if why_not(sentence, kind, PLAIN_WORDS.get(kind, ("", ()))[1], OF_WHOLE, lexicon.things)
    ]  # fmt: skip
    assert len(taught) > 100_000
    assert len(refused) <= 5, refused


def test_amounts_are_found_with_what_is_left() -> None:
    assert amount("make it a little bit brighter") == ("a little bit", 0.5, "make it brighter")
    assert amount("make it much darker") == ("much", 1.5, "make it darker")
    assert amount("make it darker") is None


@pytest.mark.parametrize(("instruction", "plain", "value"), [
    ("make it slightly brighter", "make it brighter", 0.5),
    ("make it a lot darker", "make it darker", 1.5),
    ("make the dog a bit bigger", "make the dog bigger", 0.5),
])  # fmt: skip
def test_an_amount_is_a_strength(
    instruction: str, plain: str, value: float, editor: Editor, gravel: Image.Image
) -> None:
    result = editor.edit(EditRequest([gravel], instruction, seed=1))
    expected = editor.edit(EditRequest([gravel], plain, seed=1, strength=Strength(LEAVE, value)))
    assert np.array_equal(result.image, expected.image)
    assert any(f"is taken for a strength of {value:g}" in note for note in result.notes)


@pytest.mark.parametrize(("instruction", "expected", "dropped"), [
    ("add a tiny cat", "add a cat", "tiny"),
    ("add two stars at the top", "add a star at the top", "two"),
    ("add an orange car", "add a car", "orange"),
    ("put a black and white dog on the left", "put a dog on the left", "black and white"),
    ("add a small apple", "add an apple", "small"),
    ("add a car next to the dog", "add a car to the right of the dog", ""),
    ("add a white frame", "add a white frame", ""),
    ("make the small cat blue", "make the small cat blue", ""),
])  # fmt: skip
def test_what_nobody_taught_of_new_things_is_left_out(
    instruction: str, expected: str, dropped: str, lexicon: Lexicon
) -> None:
    assert bare(instruction.split(), lexicon.things) == (expected.split(), tuple(dropped.split()))


def test_what_is_left_out_is_said(editor: Editor, gravel: Image.Image) -> None:
    result = editor.edit(EditRequest([gravel], "add a tiny red star at the top", seed=1))
    plain = editor.edit(EditRequest([gravel], "add a star at the top", seed=1))
    assert np.array_equal(result.image, plain.image)
    assert any("“tiny red” was left out" in warning for warning in result.warnings)
    assert plain.warnings == ()


@pytest.mark.parametrize(("instruction", "rest", "which"), [
    ("move the left dog to the top left", "move the dog to the top left", "left"),
    ("move the dog on the right to the bottom", "move the dog to the bottom", "right"),
    ("please move the smaller cat to the left", "please move the cat to the left", "smaller"),
    ("move the dog to the left", "move the dog to the left", ""),
    ("move the left hand to the top", "move the left hand to the top", ""),
])  # fmt: skip
def test_which_one_is_moved_is_no_place(instruction: str, rest: str, which: str, lexicon: Lexicon) -> None:
    assert which_is_moved(instruction.split(), lexicon.things) == (rest.split(), which)


@pytest.mark.parametrize(("instruction", "which"), [
    ("move the left dog to the bottom", "left"), ("move the dog on the right to the top", "right"),
    ("replace the left dog with a car", "left"), ("replace the dog on the right with a car", "right"),
    ("move the dog to the left", ""), ("replace the dog with a car", ""),
])  # fmt: skip
def test_which_of_two_is_moved_or_replaced_is_read(instruction: str, which: str, text_encoder: TextEncoder) -> None:
    (reading,) = text_encoder.encode([instruction], plainly=True).readings
    assert (reading.kind, reading.which) == (instruction.split()[0], which)


def test_only_one_of_several_is_said(editor: Editor, gravel: Image.Image) -> None:
    result = editor.edit(EditRequest([gravel], "remove all dogs", seed=1))
    assert any("One dog is edited at a time" in warning for warning in result.warnings)


def test_a_blur_leaves_no_small_text(editor: Editor) -> None:
    page = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(page)
    for top in range(20, 580, 16):
        draw.text((20, top), "The quick brown fox jumps over the lazy dog", fill="black")
    blurred = np.asarray(editor.edit(EditRequest([page], "blur it", seed=1)).image, dtype=int)
    assert np.abs(np.diff(blurred, axis=1)).max() < 20
    brighter = np.asarray(editor.edit(EditRequest([page], "make it brighter", seed=1)).image, dtype=int)
    assert np.abs(np.diff(brighter, axis=1)).max() > 150
