"""python -m mmdit: exit status, what is printed, what is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lora_files import write
from PIL import Image

from mmdit.attention.maps import DIRECTIONS, AttentionMaps
from mmdit.catalog import CATALOG
from mmdit.cli import main
from mmdit.editor import EditRequest
from mmdit.images import load_image, read_settings
from mmdit.load import load_editor
from mmdit.lora.architectures import linear_shapes
from mmdit.lora.presets import PRESETS_FOLDER, Presets
from mmdit.lora.stack import LoraWeight

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def picture(tmp_path: Path, photograph: Image.Image) -> Path:
    photograph.resize((120, 90)).save(tmp_path / "in.png")
    (tmp_path / "out").mkdir()
    return tmp_path / "in.png"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error; argparse leaves by SystemExit."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as ending:
        status = ending.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


BAD_VALUES: dict[str, tuple[list[str], str]] = {
    "steps 0": (["--steps", "0"], "steps is 0"),
    "steps in words": (["--steps", "four"], "four"),
    "half a step": (["--steps", "1.5"], "1.5"),
    "guidance nan": (["--guidance", "nan"], "nan"),
    "a negative seed": (["--seed", "-1"], "-1"),
    "a seed beyond all floats": (["--seed", "1" + 400 * "0"], "seed is 1000"),
    "an unknown model": (["--model", "stable-confusion"], "stable-confusion"),
    "an unknown device": (["--device", "abacus"], "abacus"),
    "an unknown memory": (["--memory", "much"], "memory is 'much'; use one of auto, full"),
    "another memory than whole": (["--memory", "int8"], "the embedded editor is small and always loaded whole"),
    "a strength in words": (["--neutral", "leave it", "--strength", "half"], "'half' is no number"),
    "half a list of strengths": (["--neutral", "leave it", "--strength", "0.5,"], "'0.5,' is no number"),
    "an unknown option": (["--strenght", "1"], "--strenght"),
    "an unknown LoRA": (["--lora", "thermsl"], "thermal"),
    "a LoRA that is not there": (["--lora", "nowhere/look.safetensors:0.5"], "nowhere/look.safetensors"),
    "a LoRA's weight": (["--lora", "thermal:3"], "weight of LoRA 'thermal' is 3.0"),
    "no number as a LoRA's weight": (["--lora", "thermal:nan"], "weight of LoRA 'thermal' is nan"),
    "a preset for another family": (["--lora", "kontext-fluffy"], "preset 'kontext-fluffy' is for flux, and "),
    "such a preset, in part": (["--lora", "kontext-fluffy", "--partial"], "preset 'kontext-fluffy' is for flux, and "),
    "a LoRA for another model": (["--lora", "thermal"], "thermal.safetensors does not fit"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_costs_one_line_and_writes_nothing(
    name: str, picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, named = BAD_VALUES[name]
    output = picture.parent / "out" / "out.png"
    arguments = ["edit", picture, "make it brighter", "-o", output, "--model", tiny_editor_folder, *options]
    assert_refused(run(capsys, *arguments), named, output.parent)


@pytest.mark.parametrize(
    ("file", "instruction", "named"),
    [
        ("missing.png", "make it brighter", "missing.png"),
        ("text.png", "make it brighter", "text.png"),
        ("in.png", "", "empty"),
        ("in.png", "   ", "empty"),
        ("in.png", "x" * 20_000, "20000"),
    ],
)
def test_a_bad_input_costs_one_line_and_writes_nothing(
    file: str, instruction: str, named: str, picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (picture.parent / "text.png").write_text("this is no picture")
    output = picture.parent / "out" / "out.png"
    arguments = ["edit", picture.parent / file, instruction, "-o", output, "--model", tiny_editor_folder]
    assert_refused(run(capsys, *arguments), named, output.parent)


LONG = "x" * 252  # no file can be called so with an ending
LONGEST = 255  # characters of the names that files can have


@pytest.mark.parametrize("output", ["missing/out.png", "in.png/out.png", "out.jpg", "folder.png", f"{LONG}.png"])
def test_an_output_that_cannot_be_written_costs_one_line(
    output: str,
    picture: Path,
    tiny_editor_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = picture.parent / "out" / output
    (picture.parent / "out" / "folder.png").mkdir()
    before = sorted(picture.parent.rglob("*"))
    monkeypatch.setattr("mmdit.load.load_editor", lambda *_: pytest.fail("the editor was loaded"))
    status, out, err = run(
        capsys, "edit", picture, "make it brighter", "-o", target, "--model", tiny_editor_folder, "--steps", 1
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert Path(output).name in err or Path(output).parent.name in err
    assert sorted(picture.parent.rglob("*")) == before


def assert_refused(outcome: tuple[int, str, str], named: str, folder: Path) -> None:
    status, out, err = outcome
    assert (status, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert named in err
    assert not list(folder.iterdir())


def test_two_pictures_for_an_editor_of_one_are_refused(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = picture.parent / "out" / "out.png"
    arguments = ["edit", picture, picture, "make it brighter", "-o", output, "--model", tiny_editor_folder]
    assert_refused(run(capsys, *arguments), "2 pictures", output.parent)


def test_a_forgotten_instruction_is_refused(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = picture.parent / "out" / "out.png"
    assert_refused(run(capsys, "edit", picture, "-o", output), "instruction", output.parent)


def test_an_edit_keeps_the_size_and_its_settings_and_repeats(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [picture.parent / "out" / name for name in ("one.png", "two.png")]
    options = ["--model", tiny_editor_folder, "--steps", 3, "--guidance", 1.5, "--seed", 11, "--device", "cpu"]
    for file in files:
        status, out, _ = run(capsys, "edit", picture, "Make it brighter", "-o", file, *options)
        assert status == 0
        assert file.name in out
        assert "11" in out
    first, second = (np.asarray(load_image(file)) for file in files)
    assert first.shape == (90, 120, 3)
    np.testing.assert_array_equal(first, second)
    settings = read_settings(files[0])
    wanted = {"instruction": "Make it brighter", "steps": 3, "guidance": 1.5, "seed": 11, "size": [120, 90]}
    assert wanted.items() <= settings.items()


def test_a_strip_says_once_what_each_of_its_edits_would_say(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = picture.parent / "strip.png"
    options = ["--model", tiny_editor_folder, "--guidance", 1.5, "--neutral", "leave it", "--strength", 0.5, 1]
    status, _, err = run(capsys, "edit", picture, "make it brighter", "-o", file, *options)
    assert status == 0
    assert err.count("warning: The embedded editor overshoots with guidance") == 1
    sheet = read_settings(file)
    assert sheet["strengths"] == [0.5, 1] and sheet["edit"]["strength"]["value"] == 0.5
    status, _, err = run(capsys, "history", "reproduce", file, picture, "-o", picture.parent / "again.png")
    assert status != 0 and "not the settings of an edit" in err


@pytest.mark.parametrize("given", [["-0.5"], ["0", "0.5", "-1"], ["0,0.5,-1"]])
@pytest.mark.parametrize("first", [True, False])
def test_strengths_end_where_the_numbers_do(
    given: list[str], first: bool, picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = picture.parent / "out" / "out.png"
    strengths, edit = ["--strength", *given], [picture, "make it brighter"]
    options = ["--neutral", "leave it", "--model", tiny_editor_folder, "-o", file]
    assert run(capsys, "edit", *(strengths + edit if first else edit + strengths), *options)[0] == 0
    made = read_settings(file)
    told = made["strengths"] if len(given[0]) > 4 or len(given) > 1 else [made["strength"]["value"]]
    assert told == [float(number) for number in ",".join(given).split(",")]


STOPPED = """
import runpy, sys
stopping = sys.argv.pop()

class Stop:
    def find_spec(self, name, *_):
        if name == stopping:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stop())
runpy.run_module("mmdit", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["mmdit.cli", "torch"])
def test_ctrl_c_while_something_is_imported_costs_one_line(module: str, picture: Path) -> None:
    command = [sys.executable, "-c", STOPPED, "edit", "in.png", "make it darker", "-o", "out.png", module]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=picture.parent,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "mmdit: stopped\n")


# ---- attention maps ----


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, photograph: Image.Image, tiny_editor_folder: Path
) -> dict[str, Path]:
    """A picture, its edit with maps and without, made by the command line."""
    folder = tmp_path_factory.mktemp("recorded")
    files = {name: folder / name for name in ("in.png", "with.png", "without.png", "maps.npz")}
    photograph.resize((120, 90)).save(files["in.png"])
    for output, more in {"with.png": ["--maps", files["maps.npz"]], "without.png": []}.items():
        arguments = ["edit", files["in.png"], "Make the sky bluer, the sky", "-o", files[output], "--literally", *more]
        arguments += ["--model", tiny_editor_folder, "--steps", 3, "--guidance", 1.5, "--seed", 11, "--device", "cpu"]
        assert main([str(argument) for argument in arguments]) == 0
    assert sorted(folder.iterdir()) == sorted(files.values())
    return files


def test_recording_leaves_the_picture_and_its_settings_as_they_were(recorded: dict[str, Path]) -> None:
    first, second = (np.asarray(load_image(recorded[name])) for name in ("with.png", "without.png"))
    np.testing.assert_array_equal(first, second)
    assert read_settings(recorded["with.png"]) == read_settings(recorded["without.png"])


def test_the_maps_of_an_edit_say_what_edit_it_was(recorded: dict[str, Path]) -> None:
    maps = AttentionMaps.load(recorded["maps.npz"])
    assert maps.metadata.items() >= read_settings(recorded["with.png"]).items()
    assert (maps.metadata["instruction"], maps.metadata["seed"]) == ("Make the sky bluer, the sky", 11)
    assert maps.directions == DIRECTIONS
    assert {"make", "the", "sky", "the#2", "sky#2"} <= set(maps.words)
    assert (len(maps.steps), len(maps.layers)) == (3, 2)
    assert np.isfinite(maps.select()).all()


@pytest.mark.parametrize("maps", ["maps.png", "maps", "missing/maps.npz", "in.png/maps.npz", f"{LONG}.npz"])
def test_a_maps_file_that_cannot_be_written_is_refused_before_the_edit(
    maps: str, picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdit.load.load_editor", lambda *_: pytest.fail("the editor was loaded"))
    output = picture.parent / "out" / "out.png"
    arguments = ["edit", picture, "make it brighter", "-o", output, "--maps", output.parent / maps]
    assert_refused(run(capsys, *arguments), Path(maps).parent.name or maps, output.parent)


def test_the_longest_names_that_files_can_have_are_good_outputs(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, maps = (picture.parent / "out" / name.rjust(LONGEST, "x") for name in (".png", ".npz"))
    command = ["edit", picture, "make it brighter", "-o", output, "--maps", maps, "--model", tiny_editor_folder]
    assert run(capsys, *command)[0] == 0
    assert read_settings(output)["instruction"] == "make it brighter" and AttentionMaps.load(maps).words
    assert set(output.parent.iterdir()) == {output, maps}


SHOWN: dict[str, tuple[list[str], int]] = {
    "every stream": ([], 2),
    "one of them": (["--stream", "target", "--direction", "text_to_image"], 1),
    "some layers of a step": (["--layer", "0", "--layer", "transformer_blocks.1.attn", "--step", "-1"], 2),
    "over its pictures": (["--picture", "with.png", "--reference", "in.png", "--colour-map", "viridis"], 2),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_word_is_shown(
    name: str,
    recorded: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options, streams = SHOWN[name]
    monkeypatch.chdir(recorded["in.png"].parent)
    for ending in ("png", "gif"):
        output = tmp_path / f"shown.{ending}"
        arguments = ["maps", "show", "maps.npz", "--word", "sky", "-o", output, *options]
        assert run(capsys, *arguments) == (0, f"{output}\n", "")
        with Image.open(output) as opened:
            assert opened.size == (streams * 396 + 86, 450)
            assert getattr(opened, "n_frames", 1) == (1 if ending == "png" else 2 if "--step" in options else 3)
    assert read_settings(tmp_path / "shown.png")["edit"]["seed"] == 11
    assert len(list(tmp_path.iterdir())) == 2


NOT_SHOWN: dict[str, tuple[list[str], str]] = {
    "an unknown word": (["maps.npz", "--word", "dog"], "'dog'"),
    "an unknown layer": (["maps.npz", "--word", "sky", "--layer", "attn"], "'attn'"),
    "a layer too far": (["maps.npz", "--word", "sky", "--layer", "2"], "position 2"),
    "a layer too far back": (["maps.npz", "--word", "sky", "--layer", "-3"], "position -3"),
    "a step too far": (["maps.npz", "--word", "sky", "--step", "3"], "3"),
    "a step in words": (["maps.npz", "--word", "sky", "--step", "last"], "last"),
    "an unknown stream": (["maps.npz", "--word", "sky", "--stream", "reference:9"], "reference:9"),
    "an unknown direction": (["maps.npz", "--word", "sky", "--direction", "sideways"], "sideways"),
    "an unknown colour map": (["maps.npz", "--word", "sky", "--colour-map", "jet"], "'jet'"),
    "a missing picture": (["maps.npz", "--word", "sky", "--picture", "none.png"], "none.png"),
    "a reference too many": (["maps.npz", "--word", "sky", *2 * ["--reference", "in.png"]], "reference:1"),
    "a missing file": (["none.npz", "--word", "sky"], "none.npz"),
    "a picture as maps": (["in.png", "--word", "sky"], "in.png"),
    "a damaged file": (["damaged.npz", "--word", "sky"], "damaged.npz"),
    "no word": (["maps.npz"], "--word"),
}


@pytest.mark.parametrize("ending", ["png", "gif"])
@pytest.mark.parametrize("name", NOT_SHOWN)
def test_what_cannot_be_shown_costs_one_line_and_writes_nothing(
    name: str,
    ending: str,
    recorded: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options, named = NOT_SHOWN[name]
    for file in (recorded["maps.npz"], recorded["in.png"]):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "damaged.npz").write_bytes(recorded["maps.npz"].read_bytes()[:-50])
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert_refused(run(capsys, "maps", "show", *options, "-o", f"out/shown.{ending}"), named, tmp_path / "out")


@pytest.mark.parametrize("output", ["shown.jpg", "shown", "missing/shown.png", "missing/shown.gif", f"{LONG}.png"])
def test_a_figure_that_cannot_be_written_costs_one_line(
    output: str, recorded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["maps", "show", recorded["maps.npz"], "--word", "sky", "-o", tmp_path / output]
    assert_refused(run(capsys, *arguments), Path(output).parent.name or output, tmp_path)


def test_a_picture_of_another_shape_than_the_maps_is_told(
    recorded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(recorded["in.png"]) as given:
        given.resize((61, 45)).save(tmp_path / "smaller.png")
        given.crop((0, 0, 90, 90)).save(tmp_path / "other.png")
    base = ["maps", "show", recorded["maps.npz"], "--word", "sky", "-o", tmp_path / "shown.png"]
    for option, stream in (("--picture", "target"), ("--reference", "reference:0")):
        assert run(capsys, *base, option, tmp_path / "smaller.png")[2] == ""
        status, _, err = run(capsys, *base, option, tmp_path / "other.png")
        assert (status, err.count("\n")) == (0, 1)
        assert f"the picture for {stream} is 90×90 and has another shape" in err


@pytest.mark.parametrize("output", ["missing/n.json", f"{LONG}.json", "n.txt"])
def test_numbers_that_cannot_be_written_are_refused_before_they_are_measured(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdit.attention.bench.bench", lambda *_: pytest.fail("it was measured"))
    named = Path(output).parent.name or output
    assert_refused(run(capsys, "bench", "attention", "--json", tmp_path / output), named, tmp_path)


def test_a_reader_that_has_seen_enough_is_no_bad_input() -> None:
    command = [sys.executable, "-m", "mmdit", "models"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 141)


BAD_TRAINING: dict[str, tuple[list[str], str]] = {
    "no samples": (["--samples", "0"], "samples is 0; it must be at least 1"),
    "fewer than no samples": (["--samples", "-5"], "samples is -5; it must be at least 1"),
    "no batch": (["--batch", "0"], "batch is 0; it must be at least 1"),
    "a negative seed": (["--seed", "-1"], "seed is -1; it must be from 0 to"),
    "a rate that is no number": (["--matrix-rate", "nan"], "matrix_rate is nan; it must be a number above 0"),
    "no rate": (["--other-rate", "0"], "other_rate is 0; it must be a number above 0"),
    "states at no time": (["--save-every", "nan"], "save_every is nan; it must be a number from 0"),
    "an unknown device": (["--device", "abacus"], "device 'abacus' is not usable here; use cpu"),
    "nothing to start from": (["--start-from", "some/where"], "some/where holds no config.json"),
}


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_a_training_that_can_not_be_is_refused_and_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, told = BAD_TRAINING[name]
    monkeypatch.setattr("mmdit.training.train.Trainer", lambda *_: pytest.fail("a model was made"))
    status, out, err = run(capsys, "train", "--data", tmp_path, "--out", tmp_path / "run", *options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--steps", "1", "0"], "steps is 0; it must be at least 1"),
        (["--per-kind", "-1"], "per_kind is -1; it must be at least 1"),
        ([], "taken can't be written (File exists); give another --out"),
    ],
)
def test_an_evaluation_that_can_not_be_kept_is_refused_before_it_is_made(
    options: list[str], told: str, data_folder: Path, tiny_editor_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("mmdit.training.evaluate.run", lambda *_: pytest.fail("it was measured"))
    (tmp_path / "taken").write_text("kept")
    command = ["evaluate", "--data", data_folder, "--model", tiny_editor_folder, "--out", tmp_path / "taken", *options]
    status, out, err = run(capsys, *command)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert (tmp_path / "taken").read_text() == "kept"


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "models")
    assert (status, err) == (0, "")
    for entry in CATALOG.values():
        assert entry.name in out
        assert entry.licence in out


def test_no_command_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)


@pytest.mark.shipped
def test_the_real_thing_in_a_process_of_its_own(picture: Path) -> None:
    output = picture.parent / "out" / "out.png"
    command = [sys.executable, "-m", "mmdit", "edit", picture, "make it black and white", "-o", output, "--seed", "3"]
    ended = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, cwd=picture.parent,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert load_image(output).size == (120, 90)
    assert read_settings(output)["seed"] == 3
    before, after = (np.ptp(np.asarray(load_image(file)).astype(int), axis=-1).mean() for file in (picture, output))
    assert after < before / 4  # channels nearly equal: nearly grey


# ---- LoRAs -----------------------------------------------------------------------------------------------


def in_blocks(folder: Path) -> dict[str, tuple[int, int]]:
    """What LoRAs usually train."""
    return {name: shape for name, shape in linear_shapes(folder).items() if "blocks." in name}


def test_loras_are_applied_with_their_weights_and_named_in_the_settings(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modules, output = in_blocks(tiny_editor_folder), picture.parent / "out" / "out.png"
    files = [picture.parent / f"{name}.safetensors" for name in ("first", "second")]
    for seed, file in enumerate(files):
        write(file, "kohya", modules, seed=seed)
    base = ["edit", picture, "make it brighter", "--model", tiny_editor_folder, "--seed", "3"]
    loras = ["--lora", f"{files[0]}:-0.5", "--lora", files[1]]
    assert run(capsys, *base, "-o", output, *loras)[0] == 0
    said = [(lora["name"], lora["weight"]) for lora in read_settings(output)["loras"]]
    assert said == [("first.safetensors", -0.5), ("second.safetensors", 1.0)]

    wanted = load_editor(tiny_editor_folder, "cpu").edit(
        EditRequest([load_image(picture)], "make it brighter", seed=3,
                    loras=[LoraWeight(files[0], -0.5), LoraWeight(files[1])])
    )  # fmt: skip
    assert load_image(output).tobytes() == wanted.image.tobytes()


def test_what_does_not_fit_is_left_out_only_when_asked(
    picture: Path, tiny_editor_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, file = picture.parent / "out" / "out.png", picture.parent / "look.safetensors"
    write(file, "kohya", in_blocks(tiny_editor_folder) | {"transformer_blocks.7.attn.to_q": (48, 48)})
    command = ["edit", picture, "make it brighter", "-o", output, "--model", tiny_editor_folder, "--lora", file]
    assert_refused(run(capsys, *command), "transformer_blocks", output.parent)
    assert run(capsys, *command, "--partial")[0] == 0
    assert read_settings(output)["loras"][0]["file"] == "look.safetensors"


def test_inspecting_a_shipped_preset_says_that_everything_fits(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "lora", "inspect", PRESETS_FOLDER / "thermal.safetensors", "--model", "mini", "--json")
    report = json.loads(out)
    assert status == 0 and report["family"] == "mini" and report["whole"]
    assert (report["matched"], report["missing"], report["mismatched"], report["unknown"]) == (69, 0, 0, 0)
    assert (report["rank"], report["alpha"], report["scale"]) == (16, 16.0, 1.0)


def test_presets_are_listed_and_inspected_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "lora", "list")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()}
    presets = Presets([PRESETS_FOLDER])
    assert list(rows) == ["name", *(preset.name for preset in presets.all)]
    assert rows["thermal"].split() == ["thermal", "mini", "1", "here", "thermal", "camera"]
    assert "  flux " in rows["kontext-fluffy"] and "make this object fluffy" in rows["kontext-fluffy"]
    assert ("  here  " in rows["kontext-fluffy"]) == presets.is_here(presets.find("kontext-fluffy"))
    by_name, by_path = (
        run(capsys, "lora", "inspect", lora, "--json") for lora in ("thermal", PRESETS_FOLDER / "thermal.safetensors")
    )
    assert by_name == by_path and by_name[0] == 0
    status, out, err = run(capsys, "lora", "inspect", "thermsl")
    assert (status, out) == (2, "") and "did you mean 'thermal'" in err
