"""The folder of the Hugging Face Space: what is in it, what is wrong with one, and that the studio starts from it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml
from gradio_client import Client, handle_file
from PIL import Image
from test_page import REPOSITORY, running_studio

from mmdit.cli import main
from mmdit.editor import Editor, EditRequest
from mmdit.images import load_image
from mmdit.space.check import Report, check
from mmdit.space.folder import LARGE, SpaceFile, files_of, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by the command."""
    out = tmp_path_factory.mktemp("built") / "space"
    assert main(["space", "check", "--out", str(out)]) == 0
    return out


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A small one, that could be uploaded."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("README.md", "requirements.txt", "app.py"):
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_app.py").write_text("")
    (folder / "picture.png").write_bytes(b"small")
    (folder / "large.txt").write_bytes(bytes(LARGE + 1))
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / "private.txt").write_text("not tracked")
    yield folder


def of(checkout: Path) -> Report:
    return check(checkout, files_of(checkout))


def rewrite(checkout: Path, **matter: object) -> None:
    """Change the front matter; None takes a field away."""
    _, old, text = (checkout / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    new = {name: value for name, value in (yaml.safe_load(old) | matter).items() if value is not None}
    (checkout / "README.md").write_text(f"---\n{yaml.safe_dump(new)}---\n{text}", encoding="utf-8")


def test_only_what_git_tracks_and_users_need_is_uploaded(checkout: Path, tmp_path: Path) -> None:
    files = files_of(checkout)
    assert {str(file.path) for file in files} == {"README.md", "requirements.txt", "app.py", "picture.png", "large.txt"}
    assert {str(file.path) for file in files if file.is_stored} == {"picture.png", "large.txt"}
    write(checkout, files, tmp_path / "out")
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert written == {str(file.path) for file in files} | {".gitattributes"}
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "out", check=True)
    ask = ["git", "check-attr", "filter", *sorted(written)]
    told = subprocess.run(ask, cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    stored = {line.partition(":")[0] for line in told.stdout.splitlines() if line.endswith("filter: lfs")}
    assert stored == {"picture.png", "large.txt"}


def test_a_folder_that_is_there_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="is there already"):
        write(checkout, files_of(checkout), tmp_path / "out")
    with pytest.raises(ValueError, match="does not exist"):
        write(checkout, files_of(checkout), tmp_path / "nowhere" / "out")
    assert not list((tmp_path / "out").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"checkout", "out"}


def test_what_is_no_checkout_and_what_is_missing_is_said(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(ValueError, match="no git checkout"):
        files_of(tmp_path / "plain")
    (checkout / "app.py").unlink()
    with pytest.raises(ValueError, match=r"app\.py is tracked"):
        files_of(checkout)


def test_a_good_checkout_has_no_problems(checkout: Path) -> None:
    assert of(checkout).problems == ()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("sdk", None, "does not say sdk"), ("sdk", "docker", "write gradio"), ("app_file", "main.py", "main.py"),
        ("license", None, "license"), ("python_version", 3.1, "in quotes"), ("python_version", "3.9", "3.10 or newer"),
        ("python_version", "new", "a version"), ("sdk_version", "1.0.0", "make them agree"),
        ("sdk_version", "6.0.0", "tried here"), ("colorTo", "teal", "one of red"),
        ("short_description", "x" * 61, "60"),
    ],
)  # fmt: skip
def test_bad_front_matter_is_named(checkout: Path, field: str, value: object, said: str) -> None:
    rewrite(checkout, **{field: value})
    assert any(said in problem for problem in of(checkout).problems)


@pytest.mark.parametrize("text", ["# Title", "---\n: [\n---\n", "---\n- a\n---\n", "---\nsdk: gradio\n", ""])
def test_front_matter_that_is_none_is_named(checkout: Path, text: str) -> None:
    (checkout / "README.md").write_text(text)
    assert any("front matter" in problem for problem in of(checkout).problems)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("spaces", "leave it out"), ("flash-attn>=2", "leave it out"), ("no-such-package-anywhere", "not installed"),
        ("numpy<1.0", "correct requirements.txt"), ("not a requirement !", "no requirement"),
        ("gradio<6", "make them agree"), ("torch>=2.12", "ZeroGPU has"),
    ],
)  # fmt: skip
def test_bad_requirements_are_named(checkout: Path, line: str, said: str) -> None:
    with (checkout / "requirements.txt").open("a") as written:
        written.write(f"{line}\n")
    assert any(said in problem for problem in of(checkout).problems)


def test_too_much_is_named(checkout: Path) -> None:
    files = (*files_of(checkout), SpaceFile(PurePosixPath("weights.safetensors"), 2 * 1024**3, True))
    assert any("a Space may hold" in problem for problem in check(checkout, files).problems)


def test_the_command_reports_and_fails_on_a_problem(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, checkout: Path, tmp_path: Path
) -> None:
    assert main(["space", "check"]) == 0
    said = capsys.readouterr().out
    assert "ready to upload" in said
    assert "assets/mini/transformer/diffusion_pytorch_model.safetensors" in said
    rewrite(checkout, sdk="docker")
    monkeypatch.setattr("mmdit.cli_space.REPOSITORY", checkout)
    assert main(["space", "check", "--out", str(tmp_path / "out")]) == 2
    assert "write gradio" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_nothing_of_the_developers_is_in_the_folder(folder: Path) -> None:
    for name in ("tests", ".ci", ".git", "data", "outputs", ".venv"):
        assert not (folder / name).exists()


@pytest.mark.slow
@pytest.mark.shipped
def test_the_studio_starts_from_the_folder_and_edits(
    folder: Path, editor: Editor, photograph: Image.Image, tmp_path: Path
) -> None:
    photograph.save(tmp_path / "photograph.png")
    with running_studio(tmp_path / "outputs", folder=folder) as studio:
        client = Client(studio.address, verbose=False)
        picture, _, _ = client.predict(handle_file(tmp_path / "photograph.png"), "make it darker", 5, api_name="/edit")
    expected = editor.edit(EditRequest([photograph], "make it darker", seed=5)).image
    assert np.array_equal(np.asarray(load_image(picture)), np.asarray(expected))


def test_a_space_names_the_model_in_its_variables(tmp_path: Path) -> None:
    """Spaces give no arguments."""
    environment = {"GRADIO_SERVER_NAME": "0.0.0.0", "MMDIT_MODEL": "nonesuch", "PATH": "", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "app.py", "--outputs", str(tmp_path / "outputs")],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "nonesuch" in ended.stderr
