"""Attention kernels and compiled blocks: used when asked for and working, left aside while recording, else refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from PIL import Image
from tiny_checkpoints import PROMPT, build, references

from mmdit import EditError, EditRequest, RecordSpec, load_editor
from mmdit.cli import main
from mmdit.families.family import Speed

MATH = "_native_math"
"""A kernel of PyTorch that is there on every machine and is not the one that it would choose."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kontext")
    build("flux_kontext").save_pretrained(folder)
    return folder


@pytest.fixture
def request_() -> EditRequest:
    return EditRequest(references("flux_kontext"), PROMPT, seed=3, steps=2, resolution=64)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that are called, in order."""
    seen: list[str] = []

    def noted(name: str, kernel: Callable) -> Callable:
        def call(*arguments: object, **keywords: object) -> object:
            seen.append(name)
            return kernel(*arguments, **keywords)

        return call

    for name in (AttentionBackendName.NATIVE, AttentionBackendName(MATH)):
        kernel = _AttentionBackendRegistry._backends[name]
        monkeypatch.setitem(_AttentionBackendRegistry._backends, name, noted(name.value, kernel))
    return seen


def test_the_kernel_that_is_asked_for_is_used_but_not_to_record(
    folder: Path, request_: EditRequest, used: list[str]
) -> None:
    plain = load_editor(folder, "cpu").edit(request_)
    assert set(used) == {"native"}
    used.clear()
    editor = load_editor(folder, "cpu", speed=Speed(MATH))
    assert editor.memory.endswith(f"; attention by {MATH}")
    used.clear()
    made = editor.edit(request_)
    assert set(used) == {MATH}
    difference = np.abs(np.asarray(made.image, dtype=int) - np.asarray(plain.image, dtype=int)).max()
    assert difference <= 2
    used.clear()
    recorded = editor.edit(replace(request_, record=RecordSpec()))
    assert set(used) == {"native"}
    assert recorded.image.tobytes() == plain.image.tobytes()
    assert recorded.notes == (f"Recorded without attention by {MATH}: an edit without maps is faster.",)
    assert _AttentionBackendRegistry._active_backend == AttentionBackendName.NATIVE


@pytest.mark.slow
def test_compiled_blocks_make_the_same_edit(folder: Path, request_: EditRequest) -> None:
    plain = np.asarray(load_editor(folder, "cpu").edit(request_).image, dtype=int)
    editor = load_editor(folder, "cpu", speed=Speed(compile=True))
    compiled = [block._compiled_call_impl is not None for block in editor.transformer.transformer_blocks]
    assert all(compiled) and editor.memory.endswith("; compiled blocks")
    assert np.abs(np.asarray(editor.edit(request_).image, dtype=int) - plain).max() <= 2


def test_a_kernel_that_gives_something_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = AttentionBackendName(MATH)
    monkeypatch.setitem(_AttentionBackendRegistry._backends, name, lambda **given: 1.2 * given["value"])
    monkeypatch.setitem(_AttentionBackendRegistry._supported_arg_names, name, {"value"})
    with pytest.raises(EditError, match=rf"attention '{MATH}' is off by \d+% here; leave it at native"):
        load_editor(folder, "cpu", speed=Speed(MATH))


@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (Speed("flesh"), "attention is 'flesh'; there are flash, "),
        (Speed("flash"), "attention 'flash' does not work here: .*; leave it at native"),
        (Speed("sage"), "attention 'sage' does not work here: .*; leave it at native"),
    ],
)
def test_what_is_not_there_is_said(folder: Path, speed: Speed, said: str) -> None:
    with pytest.raises(EditError, match=said):
        load_editor(folder, "cpu", speed=speed)


def test_a_model_that_has_no_choice_says_so(tmp_path: Path) -> None:
    build("stable_diffusion_3").save_pretrained(tmp_path)
    with pytest.raises(EditError, match="SD3Transformer2DModel has PyTorch's attention only"):
        load_editor(tmp_path, "cpu", speed=Speed(MATH))
    with pytest.raises(EditError, match="the embedded editor is fast as it is; leave compiled blocks out"):
        load_editor("mini", "cpu", speed=Speed(compile=True))


def test_the_command_takes_them(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 64), (90, 120, 60)).save(tmp_path / "in.png")
    command = ["edit", str(tmp_path / "in.png"), PROMPT, "-o", str(tmp_path / "out.png"), "--model", str(folder)]
    assert main([*command, "--device", "cpu", "--steps", "1", "--resolution", "64", "--attention", "flash"]) == 2
    assert "attention 'flash' does not work here" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
    assert main([*command, "--device", "cpu", "--steps", "1", "--resolution", "64", "--attention", MATH]) == 0
