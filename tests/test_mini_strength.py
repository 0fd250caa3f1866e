"""How strongly the embedded editor follows an instruction: edits are mixed."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmdit.attention.spec import RecordSpec
from mmdit.editor import EditCancelled, Editor, EditRequest, EditResult, StepProgress
from mmdit.families.strength import EDITS, Strength

pytestmark = pytest.mark.shipped
NEUTRAL = "keep it as it is"


def edited(editor: Editor, picture: Image.Image, instruction: str, *strength: float, **more: object) -> EditResult:
    of = Strength(NEUTRAL, *strength) if strength else None
    return editor.edit(EditRequest([picture], instruction, **{"seed": 1, "strength": of} | more))


def levels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=float)


def between(one: Image.Image, other: Image.Image, share: float) -> np.ndarray:
    return (levels(one) + share * (levels(other) - levels(one))).clip(0, 255)


def extent(picture: Image.Image, background: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Middle (x, y) and (width, height) of where two pictures differ plainly."""
    differs = np.abs(levels(picture) - levels(background)).max(axis=2) > 60
    found = [np.flatnonzero(differs.any(axis=axis)) for axis in (0, 1)]
    ends = np.array([(of[0], of[-1] + 1) for of in found], dtype=float)
    return ends.mean(axis=1), ends[:, 1] - ends[:, 0]


@pytest.mark.parametrize("instruction", ["make it sepia", "blur it", "make the dog red", "remove the dog", "add fog"])
@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_part_of_an_edit_is_a_mixture(instruction: str, share: float, editor: Editor, gravel: Image.Image) -> None:
    whole = edited(editor, gravel, instruction)
    part = edited(editor, gravel, instruction, share)
    assert np.abs(levels(whole.image) - levels(gravel)).max() > 60
    assert np.abs(levels(part.image) - between(gravel, whole.image, share)).max() <= 1.01
    assert part.settings["strength"]["method"] == EDITS
    assert part.notes == whole.notes and part.warnings == whole.warnings


@pytest.mark.parametrize("instruction", ["make it sepia", "make the dog red", "remove the dog", "make the dog bigger"])
def test_nothing_and_all_of_it_are_exact(instruction: str, editor: Editor, gravel: Image.Image) -> None:
    assert edited(editor, gravel, instruction, 0.0).image.tobytes() == gravel.tobytes()
    whole = edited(editor, gravel, instruction, record=RecordSpec())
    strong = edited(editor, gravel, instruction, 1.0, record=RecordSpec())
    assert strong.image.tobytes() == whole.image.tobytes()
    assert strong.maps.words == whole.maps.words


def test_beyond_all_of_it_the_edit_is_made_again(editor: Editor, gravel: Image.Image) -> None:
    once = edited(editor, gravel, "make it darker").image
    twice = edited(editor, once, "make it darker").image
    assert edited(editor, gravel, "make it darker", 2.0).image.tobytes() == twice.tobytes()
    half = edited(editor, gravel, "make it darker", 1.5).image
    assert np.abs(levels(half) - between(once, twice, 0.5)).max() <= 1.51
    assert levels(twice).mean() < levels(half).mean() < levels(once).mean()


def test_below_nothing_is_the_other_way(editor: Editor, gravel: Image.Image) -> None:
    darker = edited(editor, gravel, "make it darker").image
    found = edited(editor, gravel, "make it darker", -1.0).image
    assert np.abs(levels(found) - between(gravel, darker, -1)).max() <= 1.01


@pytest.mark.parametrize("value", [-0.5, 0.5, 1.0, 1.5])
def test_an_object_grows_by_its_factor_to_the_power_of_the_strength(
    value: float, editor: Editor, gravel: Image.Image
) -> None:
    without = edited(editor, gravel, "remove the dog").image
    sizes = [
        extent(edited(editor, gravel, "make the dog bigger", strength).image, without)[1]
        for strength in (0.0, 1.0, value)
    ]
    factor = (sizes[1] / sizes[0])[0]  # it may reach over the lower edge
    assert factor > 1.3
    assert sizes[2][0] == pytest.approx(sizes[0][0] * factor**value, rel=0.1)


def test_a_moved_object_goes_a_part_of_the_way(editor: Editor, gravel: Image.Image) -> None:
    without = edited(editor, gravel, "remove the dog").image
    middles = [
        extent(edited(editor, gravel, "move the dog to the left", value).image, without)[0] for value in (0.0, 0.5, 1.0)
    ]
    assert np.abs(middles[2] - middles[0]).max() > 60
    assert np.abs(middles[1] - (middles[0] + middles[2]) / 2).max() <= 4


def test_a_moved_object_goes_no_farther_than_its_place(editor: Editor, gravel: Image.Image) -> None:
    there = edited(editor, gravel, "move the apple to the top right")
    for strength, expected in ((2.0, there.image), (-1.0, gravel)):
        moved = edited(editor, gravel, "move the apple to the top right", strength)
        assert np.abs(levels(moved.image) - levels(expected)).mean() < 0.5
        assert any("moved no farther" in warning for warning in moved.warnings)
    assert not any("moved no farther" in warning for warning in there.warnings)


@pytest.mark.parametrize("instruction", ["remove the dog", "add a star at the top", "make the dog red"])
def test_nothing_is_more_than_there_or_gone(instruction: str, editor: Editor, gravel: Image.Image) -> None:
    whole = edited(editor, gravel, instruction)
    more, less = (edited(editor, gravel, instruction, value) for value in (2.5, -1.0))
    assert more.image.tobytes() == whole.image.tobytes()
    assert less.image.tobytes() == gravel.tobytes()
    assert any("the strength 2.5 counts as 1." in warning for warning in more.warnings)
    assert any("the strength -1 counts as 0." in warning for warning in less.warnings)


def test_several_texts_are_added(editor: Editor, gravel: Image.Image) -> None:
    strength = Strength("make it darker", 0.5, (("make it sepia", 0.25), ("remove the dog", 1.0)))
    found = edited(editor, gravel, "make it cooler", strength=strength, steps=2)
    of = {
        text: levels(edited(editor, gravel, text, steps=2).image)
        for text in ("make it darker", "make it cooler", "make it sepia", "remove the dog")
    }
    neutral = of["make it darker"]
    expected = neutral + sum(
        share * (of[text] - neutral)
        for text, share in (("make it cooler", 0.5), ("make it sepia", 0.25), ("remove the dog", 1.0))
    )
    assert np.abs(levels(found.image) - expected.clip(0, 255)).max() <= 2.51


def test_each_of_several_edits_is_as_strong(editor: Editor, gravel: Image.Image) -> None:
    found = edited(editor, gravel, "remove the dog and make it sepia", 0.5)
    first = edited(editor, gravel, "remove the dog", 0.5)
    assert found.image.tobytes() == edited(editor, first.image, "make it sepia", 0.5).image.tobytes()


def test_steps_are_counted_over_all_runs_and_each_can_be_the_last(editor: Editor, gravel: Image.Image) -> None:
    seen: list[StepProgress] = []
    request = EditRequest([gravel], "make it darker", seed=1, steps=2, strength=Strength(NEUTRAL, 1.5))
    whole = editor.edit(request, seen.append)
    counted = [progress for progress in seen if progress.step]
    assert [progress.step for progress in counted] == [1, 2, 3, 4, 5, 6]
    assert {progress.steps for progress in counted} == {6}

    def stop(progress: StepProgress) -> None:
        if progress.step == 3:
            raise EditCancelled

    with pytest.raises(EditCancelled):
        editor.edit(request, stop)
    assert editor.edit(request).image.tobytes() == whole.image.tobytes()


def test_texts_can_be_mixed_instead(editor: Editor, gravel: Image.Image) -> None:
    by_texts = replace(Strength(NEUTRAL, 0.5), method="all")
    found = edited(editor, gravel, "make it darker", strength=by_texts)
    assert found.settings["strength"]["method"] == "all"
    assert found.image.tobytes() != edited(editor, gravel, "make it darker", 0.5).image.tobytes()
