"""One edit from request to result: with the shipped editor, and with an untrained one where any weights will do."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdit import EditCancelled, EditError, EditRequest, EditResult, ImageError, StepProgress, load_editor
from mmdit.catalog import CATALOG
from mmdit.editor import Editor
from mmdit.families.folders import ModelError
from mmdit.families.mini import MiniEditor
from mmdit.model import checkpoint
from mmdit.model.layers import DoubleStreamBlock

shipped = pytest.mark.shipped


def request(picture: Image.Image, instruction: str = "make it brighter", **values: object) -> EditRequest:
    return EditRequest(**{"images": [picture], "instruction": instruction, "seed": 7, "steps": 2} | values)


def psnr(one: Image.Image, other: Image.Image) -> float:
    error = np.square(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def pixels(result: EditResult) -> bytes:
    assert result.image.mode == "RGB"
    return result.image.tobytes()


@pytest.fixture(scope="module")
def small(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


# ---- the shipped editor ----------------------------------------------------------------------------------


@shipped
def test_the_same_seed_makes_the_same_picture(editor: Editor, photograph: Image.Image) -> None:
    first, again = (editor.edit(request(photograph)) for _ in range(2))
    assert pixels(first) == pixels(again)


@shipped
@pytest.mark.parametrize("size", [(512, 384), (97, 411), (1, 1), (3000, 20)])
def test_the_result_has_the_pictures_size(editor: Editor, photograph: Image.Image, size: tuple[int, int]) -> None:
    assert editor.edit(request(photograph.resize(size))).image.size == size


@shipped
@pytest.mark.parametrize(
    "instruction",
    [
        "tell me a joke", "qwxz blorp vantelik", "pillow harbor seventeen lawyer",
        "what is the capital of france",
    ],
)  # fmt: skip
def test_nonsense_leaves_the_picture_alone_and_says_so(
    editor: Editor, photograph: Image.Image, instruction: str
) -> None:
    result = editor.edit(request(photograph, instruction, steps=None))
    assert psnr(result.image, photograph) >= 35
    assert any("left alone" in warning for warning in result.warnings)


@shipped
@pytest.mark.parametrize("instruction", ["make it black and white", "invert the colours"])
def test_a_photo_edit_does_what_it_says(editor: Editor, photograph: Image.Image, instruction: str) -> None:
    source = np.asarray(photograph, dtype=np.float64)
    expected = {
        "make it black and white": (source @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=-1),
        "invert the colours": 255 - source,
    }[instruction]
    result = editor.edit(request(photograph, instruction, steps=None))
    assert psnr(result.image, Image.fromarray(expected.round().astype(np.uint8))) > 24
    assert not result.warnings and not result.notes


@shipped
def test_the_shipped_weights_are_complete_and_small() -> None:
    folder = CATALOG["mini"].source
    transformer = checkpoint.load(folder).transformer
    assert all(parameter.isfinite().all() for parameter in transformer.parameters())
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 50 * 2**20
    assert {file.suffix for file in (folder / "transformer").iterdir()} == {".json", ".png", ".safetensors"}


# ---- any editor ------------------------------------------------------------------------------------------


def test_seeds_matter_and_results_repeat(tiny_editor: Editor, small: Image.Image) -> None:
    first, again, other = (tiny_editor.edit(request(small, seed=seed)) for seed in (7, 7, 8))
    assert pixels(first) == pixels(again)
    assert pixels(first) != pixels(other)


def test_instructions_steps_and_guidance_matter(tiny_editor: Editor, small: Image.Image) -> None:
    changes = [{}, {"instruction": "make it darker"}, {"steps": 3}, {"guidance": 3.0}]
    results = [tiny_editor.edit(request(small, **change)) for change in changes]
    assert len(set(map(pixels, results))) == len(changes)
    assert [any("guidance" in warning for warning in result.warnings) for result in results] == [False] * 3 + [True]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_progress_counts_every_step(tiny_editor: Editor, small: Image.Image, steps: int) -> None:
    seen: list[StepProgress] = []
    tiny_editor.edit(request(small, steps=steps), on_step=seen.append)
    assert [progress.step for progress in seen] == list(range(1, steps + 1))
    assert {progress.steps for progress in seen} == {steps}
    assert all(progress.seconds_left >= 0 for progress in seen)
    assert seen[-1].seconds_left == 0
    assert {progress.preview.mode for progress in seen} == {"RGB"}


def test_progress_watched_or_not_makes_the_same_picture(tiny_editor: Editor, small: Image.Image) -> None:
    watched = tiny_editor.edit(request(small), on_step=lambda progress: None)
    assert pixels(watched) == pixels(tiny_editor.edit(request(small)))


def test_cancelling_stops_within_the_step(tiny_editor: Editor, small: Image.Image) -> None:
    calls, seen = [], []
    hook = tiny_editor.transformer.register_forward_hook(lambda *_: calls.append(None))

    def cancel_at_two(progress: StepProgress) -> None:
        seen.append(progress.step)
        if progress.step == 2:
            raise EditCancelled

    try:
        with pytest.raises(EditCancelled):
            tiny_editor.edit(request(small, steps=50), on_step=cancel_at_two)
    finally:
        hook.remove()
    assert (len(calls), seen) == (2, [1, 2])


def test_settings_reproduce_the_result(tiny_editor: Editor, small: Image.Image) -> None:
    result = tiny_editor.edit(EditRequest([small], "  make it brighter "))
    settings = json.loads(json.dumps(result.settings))
    names = ("instruction", "seed", "steps", "guidance")
    again = tiny_editor.edit(EditRequest([small], **{name: settings[name] for name in names}))
    assert pixels(again) == pixels(result)
    assert again.settings == result.settings
    assert settings["size"] == [96, 80]
    assert (settings["steps"], settings["guidance"]) == (tiny_editor.entry.steps, tiny_editor.entry.guidance)


def test_settings_name_the_weights(tiny_editor: Editor, small: Image.Image, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, tiny_editor._family.models)
    same = load_editor(tmp_path, device="cpu")
    assert same.edit(request(small)).settings["weights"] == tiny_editor.edit(request(small)).settings["weights"]
    with torch.no_grad():
        same.transformer.proj_out.bias[0] += 1
    checkpoint.save(tmp_path, tiny_editor._family.models._replace(transformer=same.transformer))
    other = load_editor(tmp_path, device="cpu")
    assert other.edit(request(small)).settings["weights"] != same.edit(request(small)).settings["weights"]


def test_the_asked_size_is_made(tiny_editor: Editor, small: Image.Image) -> None:
    result = tiny_editor.edit(request(small, size=(50, 70)))
    assert result.image.size == (50, 70)
    assert result.settings["size"] == [50, 70]


def test_the_callers_picture_is_left_as_it_was(tiny_editor: Editor, small: Image.Image) -> None:
    before = small.tobytes()
    tiny_editor.edit(request(small))
    assert small.tobytes() == before


def test_pictures_of_other_modes_are_edited_as_their_rgb(tiny_editor: Editor, small: Image.Image) -> None:
    grey = small.convert("L")
    assert pixels(tiny_editor.edit(request(grey))) == pixels(tiny_editor.edit(request(grey.convert("RGB"))))


def test_a_truncated_instruction_is_warned_about_with_what_was_lost(tiny_editor: Editor, small: Image.Image) -> None:
    result = tiny_editor.edit(request(small, " ".join(["very"] * 25 + ["crimson"])))
    (warning,) = [warning for warning in result.warnings if "left out" in warning]
    assert "very very very very very crimson" in warning
    assert not any("left out" in warning for warning in tiny_editor.edit(request(small)).warnings)


def test_the_transformers_blocks_are_there_to_be_recorded(tiny_editor: Editor) -> None:
    assert sum(isinstance(module, DoubleStreamBlock) for module in tiny_editor.transformer.modules()) == 2


# ---- what is refused -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "no pictures": ({"images": []}, "no picture"),
    "the name of a picture": ({"images": ["meadow.jpg"]}, "picture 1 is a str"),
    "an array": ({"images": [np.zeros((8, 8, 3), np.uint8)]}, "picture 1 is a ndarray"),
    "an empty instruction": ({"instruction": ""}, "empty"),
    "a blank instruction": ({"instruction": " \n\t "}, "empty"),
    "a very long instruction": ({"instruction": "cat " * 5000}, "19999"),
    "no steps": ({"steps": 0}, "0"),
    "negative steps": ({"steps": -4}, "-4"),
    "half a step": ({"steps": 1.5}, "1.5"),
    "too many steps": ({"steps": 100_000}, "100000"),
    "steps in words": ({"steps": "four"}, "'four'"),
    "steps yes": ({"steps": True}, "True"),
    "guidance not a number": ({"guidance": math.nan}, "nan"),
    "infinite guidance": ({"guidance": math.inf}, "inf"),
    "negative guidance": ({"guidance": -0.5}, "-0.5"),
    "a negative seed": ({"seed": -1}, "-1"),
    "a fractional seed": ({"seed": 0.5}, "0.5"),
    "a seed of 65 bits": ({"seed": 2**64}, str(2**64)),
    "a seed beyond all floats": ({"seed": 10**400}, "seed is 1000"),
    "no width": ({"size": (0, 10)}, "width is 0"),
    "negative height": ({"size": (10, -2)}, "height is -2"),
    "an absurd size": ({"size": (100_000, 100_000)}, "100000×100000"),
    "half a pixel": ({"size": (10.5, 10)}, "10.5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_in_one_sentence_with_the_value(
    tiny_editor: Editor, small: Image.Image, name: str
) -> None:
    values, named = REFUSED[name]
    calls = []
    with pytest.raises(EditError) as caught:
        tiny_editor.edit(replace(request(small), **values), on_step=calls.append)
    message = str(caught.value)
    assert named in message
    assert "\n" not in message
    assert not calls


def test_two_pictures_are_refused_not_ignored(tiny_editor: Editor, small: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"^2 pictures.*exactly one"):
        tiny_editor.edit(request(small, images=[small, small]))


def test_a_picture_that_is_too_large_is_refused(tiny_editor: Editor) -> None:
    with pytest.raises(ImageError, match=r"picture 1.*10000×5001"):
        tiny_editor.edit(request(Image.new("1", (10_000, 5_001))))


def test_an_unknown_model_is_refused_with_the_catalog() -> None:
    with pytest.raises(EditError) as caught:
        load_editor("stable-confusion")
    assert "'stable-confusion'" in str(caught.value)
    assert all(name in str(caught.value) for name in CATALOG)


def test_an_unknown_device_is_refused_with_the_usable_ones(tiny_editor_folder: Path) -> None:
    with pytest.raises(EditError, match=r"'abacus'.*cpu"):
        load_editor(tiny_editor_folder, device="abacus")


def test_a_folder_with_half_an_editor_is_refused(tiny_editor: Editor, tmp_path: Path) -> None:
    tiny_editor.transformer.save_pretrained(tmp_path / "transformer")
    with pytest.raises(EditError, match=r"text_encoder/config.json is missing; .* is not an embedded editor"):
        load_editor(tmp_path, device="cpu")


@pytest.mark.parametrize(
    "file",
    [
        "transformer/diffusion_pytorch_model.safetensors", "transformer/drawings.png", "text_encoder/model.safetensors",
        "text_encoder/reader.safetensors", "inpainter.safetensors",
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "editor"
    shutil.copytree(CATALOG["mini"].source, folder)
    weights = folder / file
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EditError, match=rf"'{re.escape(str(folder))}' can't be loaded .*; get it again") as refused:
        load_editor(folder, device="cpu")
    assert "\n" not in str(refused.value)
    with pytest.raises(ModelError, match="can't be loaded"):
        MiniEditor(folder)
