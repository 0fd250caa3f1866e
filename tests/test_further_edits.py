"""What follows from reading: effects, parts of a colour, moving, one of two, something beside something else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdit import images
from mmdit.attention.spec import RecordSpec
from mmdit.catalog import CATALOG
from mmdit.editor import Editor, EditRequest
from mmdit.families.mini import MiniEditor
from mmdit.families.strength import Strength
from mmdit.load import load_editor
from mmdit.model.effect import Effect
from mmdit.model.reader import Reading
from mmdit.model.vocabulary import EFFECTS, FURTHER_OBJECT_EDITS
from mmdit.training.evaluate import edit_batch
from mmdit.training.scenes import Scenes
from mmdit.training.scores import score

pytestmark = pytest.mark.shipped
SAID = {
    "fog": ("make it foggy", Reading("fog")),
    "sunset": ("make it look like sunset", Reading("sunset")),
    "frame": ("add a red frame", Reading("frame", colour="red")),
    "vignette": ("add a vignette", Reading("vignette")),
    "parts": ("make the red parts green", Reading("parts", part="red", colour="green")),
}


@pytest.fixture(scope="module")
def editor() -> Editor:
    return load_editor("mini", device="cpu")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Red and other colours, at a size of its own."""
    draw = np.random.default_rng(0)
    small = Image.fromarray(draw.integers(0, 255, (6, 9, 3), dtype=np.uint8))
    return small.resize((333, 217), Image.Resampling.BICUBIC)


def defined(picture: Image.Image, reading: Reading, amount: float = 1.0) -> np.ndarray:
    source = images.to_tensor(picture)
    return np.asarray(images.to_image(Effect.of_readings([reading], source, amount).over(source, source)), dtype=int)


def difference(image: Image.Image, expected: np.ndarray) -> int:
    return int(np.abs(np.asarray(image, dtype=int) - expected).max())


@pytest.mark.parametrize("kind", SAID)
def test_an_effect_is_its_definition_at_the_pictures_own_size(kind: str, editor: Editor, picture: Image.Image) -> None:
    instruction, reading = SAID[kind]
    for steps in (1, 3):
        result = editor.edit(EditRequest([picture], instruction, seed=1, steps=steps))
        assert result.image.size == picture.size
        assert difference(result.image, defined(picture, reading)) <= 1
        assert not any("left alone" in warning for warning in result.warnings)


def test_every_effect_is_among_them() -> None:
    assert set(SAID) == {*EFFECTS, "parts"}


def test_an_effect_has_a_strength_and_maps_of_the_words_that_were_typed(editor: Editor, picture: Image.Image) -> None:
    for value in (0.0, 0.5, 1.5):
        strength = Strength("keep it as it is", value, method="all")
        result = editor.edit(EditRequest([picture], "make it foggy", seed=1, strength=strength))
        assert difference(result.image, defined(picture, Reading("fog"), value)) <= 1
    recorded = editor.edit(EditRequest([picture], "make it foggy", seed=1, record=RecordSpec()))
    assert recorded.maps.words == ("make", "it", "foggy")


def test_literally_and_together_with_another_edit(editor: Editor, picture: Image.Image) -> None:
    literally = editor.edit(EditRequest([picture], "make it foggy", seed=1, literally=True))
    assert difference(literally.image, defined(picture, Reading("fog"))) > 20
    both = editor.edit(EditRequest([picture], "add fog and add a black frame", seed=1))
    alone = editor.edit(EditRequest([picture], "add fog", seed=1))
    assert difference(both.image, defined(alone.image, Reading("frame", colour="black"))) <= 1


@pytest.mark.parametrize("kind", FURTHER_OBJECT_EDITS)
def test_objects_stand_where_the_instruction_says(kind: str, data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(2, 16, kinds=[kind] * 16, working_size=(112, 144))
    shipped = MiniEditor(CATALOG["mini"].source)
    rows = score(scenes, edit_batch(shipped, scenes, 1))
    error, unedited = (sum(row[key] for row in rows) for key in ("error", "error_unedited"))
    assert error < 0.35 * unedited
    assert sum(row["error"] < 0.35 * row["error_unedited"] for row in rows) >= 12


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", FURTHER_OBJECT_EDITS)
def test_recording_changes_nothing_and_sees_the_steps_alone(
    kind: str, steps: int, data_folder: Path, editor: Editor
) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(2, 4, kinds=[kind] * 4, working_size=(112, 144))
    for source, instruction in zip(scenes.source[:3], scenes.instructions, strict=False):
        request = EditRequest([images.to_image(source[None])], instruction, seed=1, steps=steps)
        plain, recorded = editor.edit(request), editor.edit(replace(request, record=RecordSpec(steps="all")))
        assert recorded.image.tobytes() == plain.image.tobytes()
        assert len(recorded.maps.steps) == steps
        assert recorded.maps.steps[0] == pytest.approx(1.0)


def test_a_moved_object_stands_whole_in_its_new_place(data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(2, 8, kinds=["move"] * 8, working_size=(128, 128))
    outputs = edit_batch(MiniEditor(CATALOG["mini"].source), scenes, 1)
    errors = []
    for output, clean, target in zip(outputs, scenes.clean, scenes.target, strict=True):
        there = (target - clean).abs().amax(dim=0) > 0.1
        errors.append(((output - target)[:, there].square().sum() / (clean - target)[:, there].square().sum()).item())
    assert sorted(errors)[4] < 0.25


@pytest.mark.parametrize(
    ("object_edit", "side"), [("remove the dog", "on the left"), ("make the apple blue", "on the right")]
)
def test_where_one_is_all_there_is_it_is_meant(
    object_edit: str, side: str, editor: Editor, gravel: Image.Image
) -> None:
    thing = object_edit.split()[2]
    told_apart = editor.edit(EditRequest([gravel], object_edit.replace(thing, f"{thing} {side}"), seed=1))
    assert told_apart.image.tobytes() == editor.edit(EditRequest([gravel], object_edit, seed=1)).image.tobytes()
    assert told_apart.image.tobytes() != gravel.tobytes()
