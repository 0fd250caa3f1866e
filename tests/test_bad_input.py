"""What is wrong with what is sent gets one sentence, over plain HTTP, and the studio goes on as before."""

import base64
import http.server
import io
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from test_page import REPOSITORY, Studio, running_studio

from mmdit.editor import Editor, EditRequest
from mmdit.images import MAX_PIXELS, load_image

pytestmark = pytest.mark.shipped

FILE = {"_type": "gradio.FileData"}
SERVED = "gradio_api/file="


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


@pytest.fixture(scope="module")
def photograph_png(photograph: Image.Image) -> bytes:
    return encoded(photograph, "PNG")


@pytest.fixture(scope="module")
def picture(studio: Studio, photograph_png: bytes) -> dict[str, Any]:
    """A good one, uploaded."""
    return upload(studio, "photograph.png", photograph_png)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def upload(studio: Studio, name: str, content: bytes) -> dict[str, Any]:
    answer = httpx.post(f"{studio.address}gradio_api/upload", files={"files": (name, content)})
    return {"path": answer.raise_for_status().json()[0], "meta": FILE}


def call(studio: Studio, endpoint: str, body: str) -> tuple[bool, Any]:
    """Whether an endpoint did what it was asked, and its answer or its error."""
    address = f"{studio.address}gradio_api/call/{endpoint}"
    answer = httpx.post(address, content=body.encode(), headers={"Content-Type": "application/json"})
    told = httpx.get(f"{address}/{answer.raise_for_status().json()['event_id']}", timeout=600).text
    event, data = re.findall(r"event: (\w+)\ndata: (.*)\n", told)[-1]
    return event == "complete", json.loads(data)


def ask(studio: Studio, endpoint: str, *arguments: Any) -> tuple[bool, Any]:
    return call(studio, endpoint, json.dumps({"data": arguments}))


def edited(studio: Studio, *arguments: Any) -> Image.Image:
    done, answer = ask(studio, "edit", *arguments)
    assert done, answer
    shown = httpx.get(f"{studio.address}{SERVED}{answer[0]['path']}")
    return Image.open(io.BytesIO(shown.content))


def sentence(studio: Studio, endpoint: str, *arguments: Any) -> str:
    """The one that an endpoint refuses with."""
    return clear(studio, *ask(studio, endpoint, *arguments))


def clear(studio: Studio, done: bool, answer: Any) -> str:
    """It must say something, and nothing of the server."""
    assert not done, answer
    text = answer["error"]
    assert text and len(text) < 500, answer
    for secret in ("Traceback", 'File "', str(REPOSITORY), tempfile.gettempdir(), str(studio.outputs), "/usr", "/root"):
        assert secret not in text
    return text


# ---- pictures


def large(width: int, height: int) -> bytes:
    return encoded(Image.new("1", (width, height)), "PNG")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bomb.png", large(10_000, 10_001), "megapixels"),
        ("bomb.png", large(20_000, 20_001), "megapixels"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not a picture"),
        ("notes.png", b"this is not a picture", "not a picture"),
        ("empty.png", b"", "not a picture"),
        ("program.png", b"\x7fELF" + bytes(1000), "not a picture"),
    ],
)  # fmt: skip
def test_what_is_no_usable_picture_is_refused(studio: Studio, name: str, content: bytes, said: str) -> None:
    text = sentence(studio, "edit", upload(studio, name, content), "make it darker")
    assert said in text
    assert name in text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_was_cut_off_is_refused(studio: Studio, photograph: Image.Image, kind: str) -> None:
    content = encoded(photograph, kind)
    text = sentence(
        studio, "edit", upload(studio, f"cut.{kind.lower()}", content[: len(content) // 2]), "make it darker"
    )
    assert f"cut.{kind.lower()}" in text


def test_too_many_pictures_are_refused_before_any_is_opened(studio: Studio) -> None:
    broken = upload(studio, "notes.png", b"this is not a picture")
    text = sentence(studio, "edit", broken, "make it darker", None, None, None, None, [broken] * 20)
    assert re.search(r"21 pictures were given; the model edits (exactly one|at most \d+)", text)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3)])
def test_odd_sizes_keep_their_size(studio: Studio, size: tuple[int, int]) -> None:
    content = encoded(Image.new("RGB", size, (200, 90, 40)), "PNG")
    assert edited(studio, upload(studio, "odd.png", content), "make it darker", 5).size == size


def sixteen_bits(photograph: Image.Image) -> bytes:
    return encoded(Image.fromarray(np.asarray(photograph.convert("L"), dtype=np.uint16) * 257), "PNG")


@pytest.mark.parametrize("kind", ["16-bit", "CMYK", "GIF", "WEBP", "transparent", "palette"])
def test_unusual_pictures_are_edited_as_they_look(
    studio: Studio, editor: Editor, photograph: Image.Image, tmp_path: Path, kind: str
) -> None:
    clear_part = photograph.copy()
    clear_part.putalpha(Image.linear_gradient("L").resize(photograph.size))
    moving = {"save_all": True, "append_images": [photograph.rotate(90), photograph.rotate(180)]}
    content = {
        "16-bit": lambda: sixteen_bits(photograph),
        "CMYK": lambda: encoded(photograph.convert("CMYK"), "JPEG"),
        "GIF": lambda: encoded(photograph, "GIF", **moving),
        "WEBP": lambda: encoded(photograph, "WEBP", **moving),
        "transparent": lambda: encoded(clear_part, "PNG"),
        "palette": lambda: encoded(photograph.quantize(16), "PNG"),
    }[kind]()
    (tmp_path / "picture").write_bytes(content)
    looks = load_image(tmp_path / "picture")
    made = edited(studio, upload(studio, f"{kind}.png", content), "make it darker", 5)
    expected = editor.edit(EditRequest([looks], "make it darker", seed=5)).image
    assert np.array_equal(np.asarray(made), np.asarray(expected))
    reference = np.asarray(photograph.convert("L"), dtype=float)
    if kind != "transparent":
        assert np.abs(np.asarray(looks.convert("L"), dtype=float) - reference).mean() < 12  # and it is that picture


# ---- words


@pytest.mark.parametrize("words", ["", "   ", "\n\t", "x" * 20_000, "make it darker " * 2000])
def test_no_words_and_too_many_are_refused(studio: Studio, picture: dict, words: str) -> None:
    assert re.search("is empty|use at most 1000", sentence(studio, "edit", picture, words))


@pytest.mark.parametrize(
    "words",
    [
        "اجعلها أغمق",
        "הפוך לכהה יותר",
        "make it 🌙🌚👩‍👩‍👧",
        "make it\0darker",
        "make\x1b[31m it \x07darker\x7f",
        "\u202emake it darker",
        "'; DROP TABLE --",
        "<script>alert(1)</script>",
        "{{7*7}} ${x} %s %n",
    ],
)
def test_any_words_make_a_picture_that_remembers_them(studio: Studio, picture: dict, words: str) -> None:
    done, answer = ask(studio, "edit", picture, words, 5)
    assert done, answer
    assert answer[1]["instruction"] == words
    done, (found, *_) = ask(studio, "history", "", 1)
    assert found[0]["instruction"] == words


@pytest.mark.parametrize("words", ["make it \ud800 darker", None, 5, ["make it darker"], {"a": 1}, True])
def test_what_is_no_text_is_refused(studio: Studio, picture: dict, words: Any) -> None:
    assert "text" in sentence(studio, "edit", picture, words)


# ---- numbers


@pytest.mark.parametrize(
    "name", ["seed", "steps", "guidance", "resolution", "true_guidance", "strength", "denoise", "shift"]
)
@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-5", '"many"', "[]", "{}", "true"]
)
def test_numbers_out_of_range_are_refused_by_name(studio: Studio, picture: dict, name: str, value: str) -> None:
    arguments = [json.dumps(argument) for argument in defaults(picture)]
    arguments[ORDER.index(name)] = value
    text = clear(studio, *call(studio, "edit", f'{{"data": [{", ".join(arguments)}]}}'))
    assert name.replace("_", " ") in text


ORDER = (
    "picture", "instruction", "seed", "steps", "guidance", "loras", "references", "size", "resolution", "negative",
    "true_guidance", "strength", "neutral", "denoise", "shift", "reasoning", "literally", "record",
    "region", "feather", "guard",
)  # fmt: skip


def defaults(picture: dict) -> list[Any]:
    given = {
        "picture": picture, "instruction": "make it darker", "negative": "", "neutral": "keep it", "reasoning": "",
        "record": True, "feather": 8,
    }  # fmt: skip
    return [given.get(name) for name in ORDER]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", [0, 5]), ("size", [-1, 5]), ("size", [5]), ("size", "large"), ("size", [1.5, 5]), ("size", [1e9, 1e9]),
        ("size", [MAX_PIXELS, 2]), ("size", [None, 5]), ("references", "x"), ("references", [5]), ("loras", "thermal"),
        ("loras", [5]), ("loras", [{"name": "thermal", "weight": 1e9}]), ("loras", [{}]),
        ("loras", [{"name": "thermal", "weight": "x"}]),
        ("loras", [{"name": "thermal", "blocks": {"a": None}}]), ("loras", [{"name": "thermal", "blocks": 5}]),
        ("negative", 5), ("negative", "x" * 20_000), ("neutral", 5), ("reasoning", 5), ("reasoning", "x"),
        ("literally", "x"), ("record", "x"), ("region", "x"), ("region", 5), ("guard", "x"), ("guard", 5),
        ("guard", []),
    ],
)  # fmt: skip
def test_settings_of_the_wrong_kind_are_refused(studio: Studio, picture: dict, name: str, value: Any) -> None:
    arguments = defaults(picture)
    arguments[ORDER.index(name)] = value
    if name == "neutral":
        arguments[ORDER.index("strength")] = 0.5
    sentence(studio, "edit", *arguments)


@pytest.mark.parametrize("count", [0, -1, 1e9, "x", None, 1.5, True])
def test_a_listing_has_a_sensible_length(studio: Studio, count: Any) -> None:
    assert "count" in sentence(studio, "history", "", count)


@pytest.mark.parametrize("arguments", [[], [None] * 40, "x", {"picture": 1}])
def test_too_few_and_too_many_arguments_are_refused(studio: Studio, arguments: Any) -> None:
    body = json.dumps({"data": arguments})
    answer = httpx.post(f"{studio.address}gradio_api/call/edit", content=body)
    if answer.is_success:
        clear(studio, *call(studio, "edit", body))
    else:
        assert "Traceback" not in answer.text


# ---- files


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, photograph_png: bytes) -> Path:
    """A picture that lies elsewhere in the folder of temporary files."""
    file = tmp_path_factory.mktemp("foreign") / "private.png"
    file.write_bytes(photograph_png)
    return file


@pytest.mark.parametrize("meta", [FILE, None])
@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../../../etc/passwd", "file:///etc/passwd", "README.md", "assets/examples/coffee.jpg", "",
     "foreign", "through", "C:\\Windows\\win.ini", "a\0b", "x" * 5000, "~/.bashrc", "/dev/zero", "\ud800"],
)  # fmt: skip
def test_only_uploads_are_taken_for_pictures(
    studio: Studio, picture: dict, foreign: Path, path: str, meta: dict | None
) -> None:
    path = {"foreign": str(foreign), "through": f"{Path(picture['path']).parent}/../../..{foreign}"}.get(path, path)
    sent = {"path": path, **({"meta": meta} if meta else {})}
    assert "not uploaded" in sentence(studio, "edit", sent, "make it darker")
    assert "not uploaded" in sentence(studio, "lora_inspect", "", sent)
    if not meta:
        assert "not uploaded" in sentence(studio, "edit", picture, "make it darker", None, None, None, None, [path])


class Watched(http.server.BaseHTTPRequestHandler):
    """Counts who comes, and sends them on to this machine's own address."""

    visits = 0

    def do_GET(self) -> None:
        type(self).visits += 1
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def neighbour() -> Iterator[int]:
    """The port of another server on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Watched) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:PORT/picture.png", "http://localhost:PORT/picture.png", "http://[::1]:PORT/", "http://0:PORT/",
     "http://2130706433:PORT/", "http://0x7f.1:PORT/", "http://169.254.169.254/latest/meta-data/", "http://",
     "http://user@127.0.0.1:PORT/gradio_api/file=http://127.0.0.1:PORT/", "https://127.0.0.1:PORT/picture.png",
     "http://127.0.0.1:PORT/gradio_api/file=/etc/passwd", "ftp://127.0.0.1:PORT/",
     "http://93.184.216.34/picture.png", "https://93.184.216.34:9/"],
)  # fmt: skip
def test_no_address_is_fetched(studio: Studio, neighbour: int, address: str) -> None:
    address = address.replace("PORT", str(neighbour))
    for sent in (
        {"path": address, "meta": FILE},
        {"path": address},
        address,
        {"path": "x", "url": address, "meta": FILE},
    ):
        assert re.search("not fetched|not uploaded", sentence(studio, "edit", sent, "make it darker"))
    for served in (SERVED, "gradio_api/file/"):
        assert httpx.get(f"{studio.address}{served}{address}").status_code == 403
    assert Watched.visits == 0


def test_an_upload_is_known_by_its_address_and_as_data(
    studio: Studio, picture: dict, editor: Editor, photograph: Image.Image, photograph_png: bytes
) -> None:
    expected = np.asarray(editor.edit(EditRequest([photograph], "make it darker", seed=5)).image)
    data = f"data:image/png;base64,{base64.b64encode(photograph_png).decode()}"
    for sent in (f"{studio.address}{SERVED}{picture['path']}", data):
        assert np.array_equal(np.asarray(edited(studio, sent, "make it darker", 5)), expected)
    for broken in ("data:image/png;base64,?", "data:,x", "data:"):
        assert "base64" in sentence(studio, "edit", broken, "make it darker")


def test_nothing_but_the_served_folders_can_be_read(studio: Studio, picture: dict, foreign: Path) -> None:
    edited(studio, picture, "make it darker", 5)
    result = studio.results()[-1]
    served = httpx.get(f"{studio.address}{SERVED}{result}")
    assert served.content == result.read_bytes()
    weights = REPOSITORY / "assets" / "mini" / "README.md"
    for path in (
        "/etc/passwd", foreign, f"{result.parent}/../../{foreign.parent.name}/{foreign.name}", "file:///etc/passwd",
        weights, REPOSITORY / "app.py", "app.py", f"{result.parent}/%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc/passwd",
        Path(picture["path"]).parent.parent, result.parent, "/proc/self/environ", "README.md", ".git/config",
    ):  # fmt: skip
        answer = httpx.get(f"{studio.address}{SERVED}{path}")
        assert answer.status_code in (403, 404), path
        assert "Traceback" not in answer.text
    for path in (
        "static/../../../../etc/passwd",
        "assets/..%2f..%2f..%2fetc/passwd",
        "gradio_api/proxy=http://127.0.0.1/",
    ):
        answer = httpx.get(f"{studio.address}{path}")
        assert not answer.is_success or "root:" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "", ".", "20260101-000000-000000", "a\0b", "x" * 5000, None, 5, [],
     "\ud800"],
)  # fmt: skip
def test_only_results_are_found_in_the_history(studio: Studio, name: Any) -> None:
    assert "no result of that name" in sentence(studio, "result", name)
    assert "no result of that name" in sentence(studio, "attention", name, "cat")
    assert "no edit of that id" in sentence(studio, "cancel", name)


@pytest.mark.parametrize(
    "name",
    [
        "lora_presets/thermal.safetensors",
        "/etc/passwd",
        "../lora_presets/thermal",
        "org/name",
        "org/name:x.safetensors",
        "",
        None,
        5,
        "\ud800",
    ],
)
def test_loras_are_named_and_not_pointed_at(studio: Studio, picture: dict, name: Any) -> None:
    assert "no LoRA here" in sentence(studio, "lora_inspect", name)
    assert "no LoRA here" in sentence(studio, "edit", picture, "make it darker", 5, None, None, [{"name": name}])


def test_what_is_no_lora_file_is_refused(studio: Studio, picture: dict) -> None:
    for name, content in (
        ("a.safetensors", b"no"),
        ("a.bin", b"no"),
        ("b.safetensors", b"\xff" * 100),
        ("c.safetensors", b""),
    ):
        sent = upload(studio, name, content)
        assert name in sentence(studio, "lora_inspect", "", sent)
        assert name in sentence(studio, "edit", picture, "make it darker", 5, None, None, [{"file": sent}])


@pytest.mark.parametrize(
    "rest",
    [
        [5],
        ["cat"],
        ["darker", "sideways"],
        ["darker", 5],
        ["darker", "image_to_text", 7],
        ["darker", "image_to_text", "reference:9"],
        ["darker", "image_to_text", "target", 99],
        ["darker", "image_to_text", "target", "x"],
        ["darker", "image_to_text", "target", 0, 99],
        ["darker", "image_to_text", "target", 0, 1.5],
    ],
)
def test_attention_that_was_not_recorded_is_refused(studio: Studio, picture: dict, rest: list) -> None:
    edited(studio, picture, "make it darker", 5)
    name = studio.results()[-1].stem
    sentence(studio, "attention", name, *rest)


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"data": null}', "[" * 100_000, '{"data": ' + "[" * 5000 + "]" * 5000 + "}"]
)
def test_what_is_no_request_is_answered(studio: Studio, body: str) -> None:
    answer = httpx.post(
        f"{studio.address}gradio_api/call/edit", content=body, headers={"Content-Type": "application/json"}
    )
    assert "Traceback" not in answer.text
    assert str(REPOSITORY) not in answer.text


def test_a_good_edit_works_as_before(studio: Studio, picture: dict, editor: Editor, photograph: Image.Image) -> None:
    """After all that the tests before have sent."""
    expected = editor.edit(EditRequest([photograph], "make it darker", seed=5)).image
    assert np.array_equal(np.asarray(edited(studio, picture, "make it darker", 5)), np.asarray(expected))
