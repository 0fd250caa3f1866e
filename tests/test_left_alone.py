"""What stays as it is: nothing asked, something unknown, an object that is not there; and what is said of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmdit.catalog import ASSETS
from mmdit.editor import Editor, EditRequest
from mmdit.families.mini_told import taken_for, told_of
from mmdit.model.cut_out import CutOut
from mmdit.model.drawing import Drawing
from mmdit.model.edit_field import EditField
from mmdit.model.left_alone import LeftAlone
from mmdit.model.overlay import UNKNOWN, Overlay
from mmdit.model.reader import Reading
from mmdit.model.removal import Removal
from mmdit.model.text import TextEncoder, normalise
from mmdit.model.tint import Tint
from mmdit.training.requests import foreign_requests, names_of, object_requests, requests
from mmdit.training.wordings.idle import FOREIGN_NOUNS, HELD_OUT_FOREIGN_NOUNS
from mmdit.training.wordings.left_alone import FOREIGN, MENTIONS, THINGS

KNOWN = ("cat", "dog", "star")


@pytest.mark.shipped
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (
            "what breed is the dog",
            "asks for no edit that this editor makes, or names nothing that it knows",
        ),
        (
            "put a hat on the dog",
            "asks for no edit that this editor makes, or names nothing that it knows",
        ),
        (
            "add a xylophone at the top",
            "asks for no edit that this editor makes, or names nothing that it knows",
        ),
        ("make the lion red", "no lion was found in it"),
        ("remove the banana", "no banana was found in it"),
    ],
)
def test_the_picture_stays_to_the_bit_and_the_reason_is_told(
    instruction: str, reason: str, steps: int, editor: Editor, gravel: Image.Image
) -> None:
    result = editor.edit(EditRequest([gravel], instruction, seed=1, steps=steps))
    assert result.image.tobytes() == gravel.tobytes()
    assert any(warning.startswith("The picture was left alone") and reason in warning for warning in result.warnings)


@pytest.mark.shipped
@pytest.mark.parametrize("instruction", ["remove the apple", "make the apple blue", "make the apple bigger"])
def test_what_looks_alike_is_not_taken_for_what_is_asked(instruction: str, editor: Editor) -> None:
    """A red balloon for an apple."""
    meadow = Image.open(ASSETS / "examples/meadow.jpg").convert("RGB")
    result = editor.edit(EditRequest([meadow], instruction, seed=1))
    assert np.array_equal(result.image, meadow)
    assert any("no apple was found in it" in warning for warning in result.warnings)
    found = editor.edit(EditRequest([meadow], instruction.replace("apple", "balloon"), seed=1))
    assert found.warnings == ()


@pytest.mark.shipped
def test_what_is_asked_and_there_is_not_left_alone(editor: Editor, gravel: Image.Image) -> None:
    result = editor.edit(EditRequest([gravel], "remove the dog", seed=1))
    assert np.abs(np.asarray(result.image, dtype=int) - np.asarray(gravel, dtype=int)).max() > 60
    assert result.notes == result.warnings == ()


def field_of(*overlays: Overlay) -> EditField:
    nothing = torch.zeros(1, 1, 8, 8)
    return EditField(nothing.expand(-1, 9, -1, -1), nothing.expand(-1, 3, -1, -1), nothing, overlays=overlays)


SHOWN, HIDDEN = torch.tensor([True]), torch.tensor([False])
OUTLINE, HIDES, MIDDLE = torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1, 2)
CAT, DOG, NONE = torch.tensor([0]), torch.tensor([1]), torch.tensor([UNKNOWN])
TINT = Tint(SHOWN, OUTLINE, HIDES, torch.tensor([[0.85, 0.15, 0.1]]), CAT)


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (Removal(SHOWN, OUTLINE, HIDES, DOG, MIDDLE, MIDDLE), Reading("remove", "dog")),
        (TINT, Reading("recolour", "cat", colour="red")),
        (CutOut(SHOWN, OUTLINE, HIDES, torch.tensor([1.4]), MIDDLE, MIDDLE, CAT), Reading("bigger", "cat")),
        (CutOut(SHOWN, OUTLINE, HIDES, torch.tensor([0.6]), MIDDLE, MIDDLE, CAT), Reading("smaller", "cat")),
        (
            Drawing(SHOWN, OUTLINE, HIDES, HIDES, MIDDLE, MIDDLE, DOG, torch.tensor([2])),
            Reading("replace", "dog", "star"),
        ),
        (Drawing(SHOWN, OUTLINE, HIDES, HIDES, MIDDLE, MIDDLE, NONE, torch.tensor([2])), Reading("add", "", "star")),
        (LeftAlone(SHOWN, (8, 8)), None),
        (Removal(HIDDEN, OUTLINE, HIDES, DOG, MIDDLE, MIDDLE), None),
    ],
)
def test_what_an_unsure_instruction_was_taken_for_is_told(overlay: Overlay, expected: Reading | None) -> None:
    assert taken_for(field_of(overlay), KNOWN) == expected


@pytest.mark.shipped
@pytest.mark.parametrize(
    ("overlays", "reason"), [((), "no cat was found in it; one in other"), ((TINT,), "it looks so already.")]
)
def test_an_object_that_is_found_is_not_said_to_be_missing(
    overlays: tuple[Overlay, ...], reason: str, text_encoder: TextEncoder
) -> None:
    text, same = text_encoder.encode(["make the cat red"], plainly=True), torch.zeros(1, 3, 8, 8)
    said = told_of("make the cat red", text, field_of(*overlays), KNOWN, same, same, was_read=True, has_maps=False)
    (warning,) = said.warnings
    assert warning.startswith(f"The picture was left alone: {reason}")


def test_only_pictures_that_stay_are_the_source() -> None:
    draw = torch.Generator().manual_seed(0)
    source, painted = torch.rand(2, 2, 3, 8, 8, generator=draw)
    overlay = LeftAlone(torch.tensor([True, False]), (8, 8))
    assert torch.equal(overlay.over(painted, source), torch.stack([source[0], painted[1]]))
    assert overlay.uncovered().flatten(1).amax(dim=1).tolist() == [0, 1]
    assert overlay.where(torch.tensor([False, True])).shown.tolist() == [False, False]
    assert overlay.of(torch.tensor([1, 0])).shown.tolist() == [False, True]


def test_nobody_learnt_the_benchmarks_sentences_and_things() -> None:
    learnt = {sentence for *_, sentence in (*requests(), *object_requests())} | set(foreign_requests())
    assert learnt.isdisjoint((*MENTIONS, *map(normalise, FOREIGN)))
    known = {word for words in names_of().values() for word in words} | {*FOREIGN_NOUNS, *HELD_OUT_FOREIGN_NOUNS}
    assert known.isdisjoint(THINGS)
    assert all(sentence.count("{x}") == 1 for sentence in MENTIONS)
