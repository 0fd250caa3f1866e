"""What comes in: too much of it is refused, no address is fetched, temporary files are tidied up."""

import os
from pathlib import Path

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from mmdit.catalog import CATALOG
from mmdit.families.family import Traits
from mmdit.images import ImageError
from mmdit.ui.intake import OwnFilesOnly, Studio
from mmdit.ui.request_fields import RequestFields
from mmdit.ui.source_image import read_uploads


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


@pytest.mark.parametrize(("most", "count"), [(1, 2), (2, 3), (None, 17)])
def test_too_many_pictures_are_refused_before_any_is_opened(most: int | None, count: int, tmp_path: Path) -> None:
    traits = None if most is None else Traits(steps=1, guidance=1.0, most_pictures=most)
    sources = [str(tmp_path / "missing.png")] * count
    with pytest.raises(ImageError, match="no such file"):
        read_uploads(sources[1:], traits)
    with pytest.raises(ValueError, match=f"{count} pictures were given; the model edits"):
        read_uploads(sources, traits)


def test_the_page_counts_pictures_before_it_opens_them(tmp_path: Path) -> None:
    with gr.Blocks():
        fields = RequestFields(lambda: CATALOG["mini"])
        fields.build_picture()
        fields.build_options()
    missing = str(tmp_path / "missing.png")
    values = fields.defaults() | {
        fields.source: missing, fields.references: [missing] * 2, fields.instruction: "make it darker",
    }  # fmt: skip
    with pytest.raises(ValueError, match="3 pictures were given; the model edits at most 2"):
        fields.read(values, Traits(steps=1, guidance=1.0, most_pictures=2), {})


@pytest.mark.parametrize("route", ["file=", "file/"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a.png", "https://127.0.0.1:9/a.png"])
def test_no_route_of_files_passes_an_address_on(route: str, address: str) -> None:
    passed = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["path"])
        await PlainTextResponse("served")(scope, receive, send)

    client = TestClient(OwnFilesOnly(app))
    assert client.get(f"/gradio_api/{route}{address}").status_code == 403
    assert client.get(f"/gradio_api/{route}/tmp/picture.png").text == "served"
    assert passed == [f"/gradio_api/{route}/tmp/picture.png"]
