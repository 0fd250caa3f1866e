"""Temporary files are tidied up, also while others come in."""

import os
from pathlib import Path

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app

from mmdit.ui.intake import Studio


def test_tidying_goes_on_while_files_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each deletion another file comes in, as uploads do from another thread."""
    with Studio() as page:
        picture = gr.Image()
    kept = [page.upload_file_set, picture.temp_files]
    for place, files in enumerate(kept):
        for number in range(3):
            file = tmp_path / f"{place}-{number}"
            file.touch()
            files.add(str(file))
    remove = os.remove

    def remove_and_receive(file: str) -> None:
        remove(file)
        for files in kept:
            files.add(f"{file}-{len(files)}-later")

    monkeypatch.setattr(os, "remove", remove_and_receive)
    delete_files_created_by_app(page, age=None)
    assert list(tmp_path.iterdir()) == []
    assert all(len(files) == 6 and all(name.endswith("later") for name in files) for files in kept)
