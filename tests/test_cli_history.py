"""python -m mmdit history: what is listed, passed on and made again; what is refused in a line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdit import EditRequest, EditResult
from mmdit.cli import main
from mmdit.editor import Editor
from mmdit.images import read_settings, save_png
from mmdit.runtime.history import Entry, History

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def picture(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


@pytest.fixture
def entry(tmp_path: Path, tiny_editor: Editor, picture: Image.Image) -> Entry:
    made = tiny_editor.edit(EditRequest([picture], "make it brighter", seed=7))
    return History(tmp_path / "outputs").save(made, [picture])


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = main(["history", *(str(argument) for argument in arguments)])
    except SystemExit as ending:
        status = ending.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_results_are_listed_and_searched(entry: Entry, picture: Image.Image, capsys: pytest.CaptureFixture) -> None:
    settings = {"instruction": "make it\n\x1b[31mdarker", "model": "mini", "size": [96, 80]}
    newer = History("outputs").save(EditResult(picture, settings, {}), [picture])
    status, listed, told = run(capsys, "list")
    assert status == 0
    first, second = listed.splitlines()
    assert first.startswith(newer.name)
    assert first.endswith("mini  make it �[31mdarker")
    assert second.startswith(entry.name)
    assert told.startswith("2 results found; outputs holds ")
    assert run(capsys, "list", "-n", 1)[1].splitlines() == [first]
    assert run(capsys, "search", "BRIGHTER")[1].splitlines() == [second]
    assert run(capsys, "search", "sepia")[:2] == (0, "")
    (told,) = json.loads(run(capsys, "search", "brighter", "--json")[1])
    assert told["settings"] == entry.settings
    assert (told["name"], told["result"], told["sources"]) == (entry.name, str(entry.result), [str(entry.source)])


def test_programs_are_told_all_results_unless_they_ask_for_fewer(entry: Entry, capsys: pytest.CaptureFixture) -> None:
    history = History("outputs")
    small = Image.new("RGB", (8, 8))
    for _ in range(20):
        history.save(EditResult(small, {"instruction": "more", "size": [8, 8]}, {}), [small])
    assert len(json.loads(run(capsys, "list", "--json")[1])) == 21
    assert len(json.loads(run(capsys, "list", "--json", "-n", 3)[1])) == 3
    assert len(run(capsys, "list")[1].splitlines()) == 20
    assert len(run(capsys, "list", "-n", 30)[1].splitlines()) == 21


def test_a_result_goes_from_one_folder_to_another(entry: Entry, capsys: pytest.CaptureFixture) -> None:
    assert run(capsys, "export", entry.name, "-o", "one.zip")[:2] == (0, "one.zip\n")
    status, name, _ = run(capsys, "import", "one.zip", "--outputs", "other")
    assert status == 0
    (arrived,) = History("other").latest(9)
    assert (arrived.name, arrived.settings) == (name.strip(), entry.settings)
    size = sum(file.stat().st_size for file in Path("other").iterdir())
    status, _, told = run(capsys, "import", "one.zip", "--outputs", "other", "--outputs-limit", f"{size}B")
    assert (status, len(History("other").latest(9))) == (0, 1)
    assert told.startswith("warning: The oldest result was removed")
    command = [sys.executable, "-m", "mmdit", "history", "import", "one.zip", "--outputs", "other"]
    ended = subprocess.run(
        [*command, "--outputs-limit", f"{size}B"], capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("oldest result was removed"), ended.stderr.count("\n")) == (0, 1, 1)


def test_a_result_of_the_folder_is_made_again(
    entry: Entry, tiny_editor_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    status, told, _ = run(capsys, "reproduce", entry.name, "-o", "again.png", "--model", tiny_editor_folder)
    assert (status, told) == (0, "again.png  It is the same picture, bit for bit\n")
    with Image.open("again.png") as again, Image.open(entry.result) as kept:
        assert np.array_equal(np.asarray(again), np.asarray(kept))
    assert read_settings("again.png") == entry.settings


def test_a_picture_is_made_again_from_its_sources(
    entry: Entry, tiny_editor_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copy(entry.result, "sent.png")
    with Image.open(entry.source) as source:
        source.transpose(Image.Transpose.ROTATE_180).save("other.png")
    common = ("-o", "again.png", "--model", tiny_editor_folder)
    assert run(capsys, "reproduce", "sent.png", entry.source, *common)[0] == 0
    status, told, _ = run(capsys, "reproduce", "sent.png", "other.png", *common)
    assert status == 1
    assert "It differs in" in told


BAD: dict[str, tuple[list[str], str]] = {
    "an unknown name": (["export", "20200101-000000-000000", "-o", "x.zip"], "no result '20200101-000000-000000'"),
    "a path as a name": (["export", "../outputs", "-o", "x.zip"], "no result '../outputs'"),
    "an export that is no zip": (["export", "NAME", "-o", "x.tar"], "'x.tar' must be a file that ends in .zip"),
    "an export into nowhere": (["export", "NAME", "-o", "nowhere/x.zip"], "'nowhere' does not exist"),
    "an import of nothing": (["import", "nonesuch.zip"], "no file 'nonesuch.zip'; give one that `history export`"),
    "an export under too long a name": (["export", "NAME", "-o", f"{'x' * 252}.zip"], f"'{'x' * 252}.zip' can't"),
    "an import of a picture": (["import", "plain.png"], "plain.png: not a bundle"),
    "a limit in words": (["import", "plain.png", "--outputs-limit", "much"], "the size 'much'"),
    "no folder": (["list", "--outputs", "nowhere"], "no folder 'nowhere'"),
    "no results wanted": (["list", "-n", "0"], "--number is 0"),
    "half a result": (["list", "-n", "0.5"], "0.5"),
    "a picture without settings": (["reproduce", "plain.png", "-o", "x.png"], "plain.png has no settings of ours"),
    "a picture that is none": (["reproduce", "text.png", "-o", "x.png"], "text.png: not a picture"),
    "a picture without its source": (["reproduce", "sent.png", "-o", "x.png"], "made from 1 picture and 0 are here"),
    "sources of a known result": (["reproduce", "NAME", "plain.png", "-o", "x.png"], "give them for a PNG only"),
    "a model that only a file names": (["reproduce", "NAME", "-o", "x.png"], "give it with --model"),
    "another model": (["reproduce", "NAME", "-o", "x.png", "--model", "mini"], "but 'mini' is loaded"),
    "nothing": ([], "required"),
}


@pytest.mark.shipped
@pytest.mark.parametrize("name", BAD)
def test_bad_input_costs_one_line_and_writes_nothing(
    name: str, entry: Entry, picture: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, named = BAD[name]
    picture.save("plain.png")
    Path("text.png").write_text("hello")
    save_png(picture, "sent.png", entry.settings)
    before = sorted(tmp_path.rglob("*"))
    status, out, told = run(capsys, *(entry.name if argument == "NAME" else argument for argument in arguments))
    assert (status, out) == (2, "")
    assert named in told
    assert len(told.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
