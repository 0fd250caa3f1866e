"""From settings back to the request: the same picture bit for bit, or one sentence on why not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lora_files import write
from PIL import Image
from tiny_checkpoints import build

from mmdit import EditRequest, EditResult, LoraWeight, Region
from mmdit.catalog import CATALOG
from mmdit.editor import Editor
from mmdit.families.qwen_image import QwenImage
from mmdit.families.step1x import Step1X
from mmdit.families.strength import Strength
from mmdit.images import read_settings, save_png
from mmdit.lora.presets import Presets
from mmdit.lora.stack import linears
from mmdit.runtime.history import History
from mmdit.runtime.reproduce import ReproduceError, circumstances, difference, request_for, request_of


@pytest.fixture
def picture(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


def again(editor: Editor, made: EditResult, sources: list[Image.Image], tmp_path: Path, **how: Any) -> EditResult:
    """Made once more from what is on disk alone."""
    entry = History(tmp_path / "results").save(made, sources)
    pictures = []
    for file in entry.sources:
        with Image.open(file) as opened:
            pictures.append(opened.convert("RGB"))
    return editor.edit(request_for(editor, read_settings(entry.result), pictures, **how))


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory, tiny_editor: Editor) -> Path:
    """A folder of presets for the tiny editor."""
    folder = tmp_path_factory.mktemp("looks")
    for seed, name in enumerate(("warm", "cold", "flat")):
        write(folder / f"{name}.safetensors", "diffusers", blocks_of(tiny_editor), seed=seed)
    return folder


@pytest.fixture
def looking(tiny_editor: Editor, looks: Path) -> Editor:
    """The tiny editor with these presets."""
    return Editor(tiny_editor.entry, tiny_editor._family, Presets([looks]))


def blocks_of(editor: Editor) -> dict[str, tuple[int, int]]:
    modules = linears(editor.transformer).items()
    return {name: (of.out_features, of.in_features) for name, of in modules if name.startswith("transformer_blocks.")}


STRENGTH = Strength("leave it as it is", 0.5, (("make it darker", 0.25),), "changed")
STACK = [LoraWeight("warm", 0.75, {"transformer_blocks.1": 0.5}), LoraWeight("cold", -0.3), LoraWeight("flat", 0.0)]
REGION = Region(Image.linear_gradient("L").resize((96, 80)).rotate(90), 3.0)
REQUESTS: dict[str, dict[str, Any]] = {
    "plain, seed drawn": {},
    "several steps and guidance": {"seed": 0, "steps": 3, "guidance": 2.5},
    "another size": {"seed": 3, "size": (120, 70)},
    "a strength with others": {"seed": 4, "strength": STRENGTH},
    "a stack of LoRAs": {"seed": 5, "loras": STACK},
    "a LoRA and words that are read": {"seed": 6, "loras": STACK[:1], "literally": False},
    "a region and the guard": {"seed": 8, "region": REGION, "guard": "correct"},
    "roundabout words": {"seed": 7, "instruction": "I would like it to look as if it were night", "literally": True},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_picture_comes_bit_for_bit(name: str, looking: Editor, picture: Image.Image, tmp_path: Path) -> None:
    request = EditRequest(**{"images": [picture], "instruction": "make it brighter"} | REQUESTS[name])
    made = looking.edit(request)
    reproduced = again(looking, made, [picture], tmp_path)
    assert reproduced.image.tobytes() == made.image.tobytes()
    assert reproduced.settings == made.settings


def test_a_lora_that_was_named_by_its_file_is_found_among_presets(
    looking: Editor, looks: Path, picture: Image.Image, tmp_path: Path
) -> None:
    made = looking.edit(EditRequest([picture], "make it brighter", loras=[LoraWeight(looks / "flat.safetensors")]))
    assert again(looking, made, [picture], tmp_path).image.tobytes() == made.image.tobytes()


@pytest.mark.shipped
def test_the_shipped_editor_with_two_looks_makes_the_same_picture_bit_for_bit(
    editor: Editor, picture: Image.Image, tmp_path: Path
) -> None:
    loras = [LoraWeight("thermal", 0.5), LoraWeight("cyanotype", 0.3, {"transformer_blocks.1": 0.5})]
    made = editor.edit(EditRequest([picture], "make it brighter", seed=5, size=(112, 70), loras=loras))
    assert made.image.tobytes() != picture.tobytes()
    assert again(editor, made, [picture], tmp_path).image.tobytes() == made.image.tobytes()


def test_a_model_that_reasons_thinks_the_same_again(picture: Image.Image, tmp_path: Path) -> None:
    editor = Editor(CATALOG["mini"], Step1X(build("step1x_edit_1_2"), "some weights"), Presets([]))
    request = EditRequest(
        [picture], "make it brighter", steps=1, guidance=3.0, negative="blur", resolution=64, reasoning="think", seed=2
    )
    made = editor.edit(request)
    assert made.settings["reasoning"] == "think"
    reproduced = again(editor, made, [picture], tmp_path)
    assert reproduced.image.tobytes() == made.image.tobytes()
    assert reproduced.settings == made.settings


def test_every_picture_that_was_given_takes_part(picture: Image.Image, tmp_path: Path) -> None:
    editor = Editor(CATALOG["mini"], QwenImage(build("qwen_image_edit_plus"), "some weights"), Presets([]))
    given = [picture, Image.new("RGB", (64, 64), (200, 30, 30)), Image.new("RGB", (48, 64), (30, 30, 200))]
    made = editor.edit(EditRequest(given, "make it brighter", steps=1, resolution=64, seed=2))
    assert made.settings["references"] == 2
    assert again(editor, made, given, tmp_path).image.tobytes() == made.image.tobytes()
    with pytest.raises(ReproduceError, match="made from 3 pictures and 1 are here"):
        request_for(editor, made.settings, given[:1])


# ---- what can't be made again


@pytest.fixture
def made(tiny_editor: Editor, picture: Image.Image) -> EditResult:
    return tiny_editor.edit(EditRequest([picture], "make it brighter", seed=7))


def test_a_png_alone_gives_the_settings_and_asks_for_the_picture(
    made: EditResult, picture: Image.Image, tmp_path: Path
) -> None:
    save_png(made.image, tmp_path / "sent by a friend.png", made.settings)
    settings = read_settings(tmp_path / "sent by a friend.png")
    with pytest.raises(ReproduceError, match=r"made from 1 picture and 0 are here; .*give the picture"):
        request_of(settings, [])
    request = request_of(settings, [picture])
    assert (request.instruction, request.seed, request.size) == ("make it brighter", 7, (96, 80))


@pytest.mark.shipped
def test_another_model_and_other_weights_are_told_apart(
    editor: Editor, tiny_editor: Editor, made: EditResult, picture: Image.Image
) -> None:
    with pytest.raises(ReproduceError, match="but 'mini' is loaded; load the other"):
        request_for(editor, made.settings, [picture])
    older = made.settings | {"weights": "0123456789abcdef"}
    with pytest.raises(ReproduceError, match=r"other weights of .*0123456789ab;"):
        request_for(tiny_editor, older, [picture])
    elsewhere = made.settings | {"model": "/home/somebody/editor"}  # the same weights in another folder
    assert request_for(tiny_editor, elsewhere, [picture]).seed == 7


@pytest.fixture
def lora_files(tmp_path: Path, tiny_editor: Editor) -> tuple[Path, Path]:
    """Two files of one name."""
    files = (tmp_path / "here" / "look.safetensors", tmp_path / "there" / "look.safetensors")
    for seed, file in enumerate(files):
        file.parent.mkdir()
        write(file, "diffusers", blocks_of(tiny_editor), seed=seed)
    return files


def test_a_lora_is_known_by_its_content(
    looking: Editor, picture: Image.Image, lora_files: tuple[Path, Path], tmp_path: Path
) -> None:
    right, wrong = lora_files
    made = looking.edit(EditRequest([picture], "make it brighter", seed=1, loras=[LoraWeight(right, 0.5)]))
    digest = made.settings["loras"][0]["sha256"]
    for offered in ([], [wrong]):
        with pytest.raises(ReproduceError, match=f"'look.safetensors' with the SHA-256 {digest[:12]}… is not here"):
            request_for(looking, made.settings, [picture], offered)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no LoRA")
    reproduced = again(looking, made, [picture], tmp_path, loras=[broken, wrong, right])
    assert reproduced.image.tobytes() == made.image.tobytes()
    with pytest.raises(ReproduceError, match=r"is not here.*nonesuch"):
        request_for(looking, made.settings, [picture], ["nonesuch"])


def test_a_preset_whose_file_was_replaced_is_refused(
    looking: Editor, looks: Path, picture: Image.Image, tmp_path: Path
) -> None:
    made = looking.edit(EditRequest([picture], "make it brighter", seed=1, loras=[LoraWeight("warm", 0.5)]))
    folder = tmp_path / "presets"
    folder.mkdir()
    shutil.copy(looks / "cold.safetensors", folder / "warm.safetensors")
    other = Editor(looking.entry, looking._family, Presets([folder]))
    with pytest.raises(ReproduceError, match="a file of that name has the SHA-256"):
        request_for(other, made.settings, [picture])
    nothing = Editor(looking.entry, looking._family, Presets([]))
    with pytest.raises(ReproduceError, match=r"'warm' with .* is not here; give its file"):
        request_for(nothing, made.settings, [picture])
    request = request_for(nothing, made.settings, [picture], [looks / "warm.safetensors"])
    assert nothing.edit(request).image.tobytes() == made.image.tobytes()


@pytest.fixture
def scaled(looking: Editor, looks: Path, tmp_path: Path) -> Editor:
    """The tiny editor with a preset that gives its file an alpha of 1 for rank 4."""
    folder = tmp_path / "scaled"
    folder.mkdir()
    write(folder / "film.safetensors", "bare", blocks_of(looking), seed=9)
    (folder / "look.yaml").write_text("title: Look\nfamily: mini\nsource:\n  file: film.safetensors\nalpha: 1\n")
    return Editor(looking.entry, looking._family, Presets([folder]))


def test_a_lora_is_scaled_again_as_its_preset_did(
    scaled: Editor, looking: Editor, picture: Image.Image, tmp_path: Path
) -> None:
    made = scaled.edit(EditRequest([picture], "make it brighter", seed=1, loras=[LoraWeight("look")]))
    assert (made.settings["loras"][0]["alpha"], made.settings["loras"][0]["scale"]) == (1.0, 0.25)
    assert again(scaled, made, [picture], tmp_path).settings == made.settings
    offered = [tmp_path / "scaled" / "film.safetensors"]
    reproduced = again(looking, made, [picture], tmp_path, loras=offered)  # which knows no such preset
    assert reproduced.image.tobytes() == made.image.tobytes()
    preset = tmp_path / "scaled" / "look.yaml"
    preset.write_text(preset.read_text().replace("alpha: 1", "alpha: 16"))
    assert again(scaled, made, [picture], tmp_path).image.tobytes() == made.image.tobytes()
    older = made.settings | {"loras": [{"name": "look", "sha256": made.settings["loras"][0]["sha256"], "weight": 1.0}]}
    assert request_for(scaled, older, [picture]).loras == [LoraWeight("look")]


def test_a_lora_that_can_not_be_scaled_as_it_was_is_refused(
    looking: Editor, picture: Image.Image, tmp_path: Path
) -> None:
    """peft keeps alpha in a file beside, which can get lost."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    file, beside = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    write(file, "peft", blocks_of(looking))
    beside.write_text('{"lora_alpha": 8, "use_rslora": true}')
    made = looking.edit(EditRequest([picture], "make it brighter", seed=1, loras=[LoraWeight(file)]))
    assert request_for(looking, made.settings, [picture], [file]).loras[0].alpha is None
    beside.unlink()
    elsewhere = shutil.copy(file, tmp_path / "film.safetensors")
    with pytest.raises(ReproduceError, match=r"was applied at scale 4\.0, and here it would be at 1\.0; put back"):
        request_for(looking, made.settings, [picture], [elsewhere])


CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"instruction": None}, "instruction is 'None'"),
    "a path as a picture": ({"images": ["/etc/passwd"]}, "'images', which this version does not know"),
    "something new": ({"sharpness": 3}, "'sharpness', which this version does not know"),
    "a seed in words": ({"seed": "seven"}, "seed is 'seven'"),
    "a true seed": ({"seed": True}, "seed is 'True'"),
    "many steps": ({"steps": 10**9}, "steps is 1000000000"),
    "guidance nan": ({"guidance": float("nan")}, "guidance is nan"),
    "a size of one": ({"size": [96]}, "the size or the number"),
    "a size in words": ({"size": ["96", 80]}, "width is '96'"),
    "a huge size": ({"size": [10**5, 10**5]}, "too large"),
    "minus one reference": ({"references": -1}, "the number of pictures"),
    "a LoRA that is a text": ({"loras": ["../../x"]}, "is no LoRA"),
    "a LoRA's weight": ({"loras": [{"name": "a", "sha256": "b", "weight": 9}]}, "weight of LoRA 'a' is 9"),
    "a LoRA's blocks": ({"loras": [{"name": "a", "sha256": "b", "weight": 1, "blocks": [1]}]}, "is no LoRA"),
    "a strength of something": ({"strength": {"neutral": "x", "power": 3}}, "the strength in the settings"),
    "a strength's others": ({"strength": {"neutral": "x", "others": [1]}}, "the strength in the settings"),
    "a strength's text": ({"strength": {"neutral": 3}}, "the neutral instruction is 3"),
    "an unknown reasoning": ({"reasoning": "guess"}, "reasoning is 'guess'"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_settings_are_not_believed(name: str, made: EditResult, picture: Image.Image) -> None:
    changed, sentence = CHANGED[name]
    with pytest.raises(ValueError, match=sentence) as raised:
        request_of(made.settings | changed, [picture])
    assert "\n" not in str(raised.value)


def test_other_settings_are_told_apart(picture: Image.Image) -> None:
    with pytest.raises(ReproduceError, match="not the settings of an edit: instruction is missing"):
        request_of({"parameters": "Steps: 20"}, [picture])


# ---- comparing


def test_the_difference_is_counted() -> None:
    one = Image.fromarray(np.full((4, 5, 3), 100, dtype=np.uint8))
    other = one.copy()
    other.putpixel((2, 1), (100, 93, 100))
    other.putpixel((4, 3), (101, 100, 100))
    assert difference(one, one.copy()).sentence() == "It is the same picture, bit for bit"
    assert difference(one, other).sentence() == "It differs in 2 of 20 pixels, by at most 7 of 255"
    assert difference(one, other.resize((3, 3))).pixels == 20


def test_other_circumstances_are_told(made: EditResult) -> None:
    assert circumstances(made.settings) == circumstances({}) == ""
    assert "PyTorch 1.0 on a PDP-11" in circumstances(made.settings | {"torch": "1.0", "machine": "a PDP-11"})
