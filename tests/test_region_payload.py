"""What the region painter sends and reads: previews, maps and masks."""

import base64
import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmdit.attention.layout import Stream
from mmdit.attention.maps import AttentionMaps
from mmdit.runtime.history import Entry, History
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.markup import data_uri
from mmdit.ui.region_payload import preview_size, read_feather, read_mask, shown, word_map, words

WORDS = ("make", "the", "cat", "blue")
GRID = (8, 12)  # patches: rows, columns


def word_maps() -> AttentionMaps:
    """Two layers, three steps, two heads; every word looks at a place of its own, over a low noise."""
    draw = np.random.default_rng(5)
    y, x = np.mgrid[0 : GRID[0], 0 : GRID[1]]
    values = 0.02 * draw.random((3, 2, 2, len(WORDS), *GRID))
    for word in range(len(WORDS)):
        for layer in range(2):
            values[:, layer, :, word] += 0.2 * np.exp(
                -((y - 2 - word) ** 2 + (x - 2 - 2 * word) ** 2) / (3 + 4 * layer)
            )
    return AttentionMaps(
        words=WORDS, layers=("transformer_blocks.0", "transformer_blocks.1"), steps=(1.0, 0.6, 0.3), heads=("0", "1"),
        streams=(Stream("target", *GRID),), data={("image_to_text", "target"): values.astype(np.float32)},
    )  # fmt: skip


def save_recording(history: History, maps: AttentionMaps | None, picture: Image.Image) -> Entry:
    settings = {"instruction": " ".join(WORDS), "seed": 1, "steps": 3, "size": list(picture.size)}
    return history.save(SimpleNamespace(image=picture, settings=settings, maps=maps), [picture])


# ---- what is sent


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 384), (512, 384)), ((1024, 1024), (1024, 1024)), ((8000, 6000), (1024, 768)), ((1, 10000), (1, 1024)),
     ((1, 1), (1, 1))],
)  # fmt: skip
def test_a_preview_is_never_larger_than_its_picture(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert preview_size(size) == expected


def test_fifty_megapixels_become_a_small_preview() -> None:
    sent = shown(Image.effect_mandelbrot((8160, 6120), (-2, -1.2, 1, 1.2), 20).convert("RGB"))
    with Image.open(io.BytesIO(base64.b64decode(sent["picture"].partition(",")[2]))) as preview:
        assert preview.format == "JPEG" and preview.size == (1024, 768) == tuple(sent["preview"])
    assert sent["size"] == [8160, 6120]
    assert len(sent["picture"]) < 500_000


def test_a_mask_that_is_shown_again_is_the_one_that_was_read(photograph: Image.Image) -> None:
    mask = Image.new("L", photograph.size)
    ImageDraw.Draw(mask).ellipse((60, 40, 150, 130), fill=255)
    again = read_mask(shown(photograph, mask, 3), photograph.size)
    assert again.tobytes() == mask.tobytes()


# ---- what comes back


def painted(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    return mask


def sent(mask: Image.Image) -> dict[str, Any]:
    return {"mask": data_uri(mask), "feather": 8}


def test_a_mask_is_scaled_to_the_picture() -> None:
    mask = read_mask(sent(painted((1024, 768))), (4096, 3072))
    assert (mask.mode, mask.size) == ("L", (4096, 3072))
    expected = np.asarray(painted((4096, 3072)), int)
    wrong = np.argwhere(np.abs(np.asarray(mask, int) - expected) > 0)
    assert len(wrong) < 4 * 1024 * 12  # pixels beside the edge of a rectangle of 1024 × 768
    assert mask.getpixel((1500, 1000)) == 255 and mask.getpixel((100, 100)) == 0


@pytest.mark.parametrize(
    "value", [None, {"mask": ""}, {"mask": "", "feather": 3, "picture": "x"}, sent(Image.new("L", (64, 64)))]
)
def test_nothing_marked_is_no_mask(value: Any) -> None:
    assert read_mask(value, (64, 64)) is None


def bomb() -> str:
    """A PNG that says of itself that it is 60000 × 60000."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    shape = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", shape) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


WHOLE = data_uri(painted((64, 64)))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("a text", "'a text'"),
        ([1, 2], "no picture"),
        ({"feather": 8}, "None"),
        ({"mask": 7}, "'7'"),
        ({"mask": {"path": "/etc/passwd"}}, "etc"),
        ({"mask": "/etc/passwd"}, "/etc/passwd"),
        ({"mask": "http://127.0.0.1/x.png"}, "http://127.0.0.1"),
        ({"mask": "data:image/svg+xml;base64,PHN2Zz4="}, "svg"),
        ({"mask": "data:image/png;base64,%%%"}, "no base64"),
        ({"mask": "data:image/png;base64,aGVsbG8="}, "no PNG"),
        ({"mask": WHOLE[: len(WHOLE) // 2 // 4 * 4]}, "damaged"),
        ({"mask": "data:image/png;base64," + "A" * (5 * 2**20)}, "5.0 MB"),
        ({"mask": bomb()}, "damaged|60000×60000"),
        (sent(Image.new("RGB", (64, 64))), "mode RGB"),
        (sent(Image.new("1", (64, 64))), "mode 1"),
        (sent(painted((64, 48))), "64×48"),
        ({"mask": data_uri(painted((64, 64)), "JPEG")}, "jpeg"),
    ],
)
def test_what_is_no_mask_gets_a_sentence(value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read_mask(value, (64, 64))
    assert "mark the region again" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_feather() -> None:
    assert read_feather({"mask": "", "feather": 12}) == 12.0
    assert read_feather(None) == 8.0
    for wrong in (float("nan"), float("inf"), -1, 257, "8", True, None, [8]):
        with pytest.raises(ValueError, match="from 0 to 256"):
            read_feather({"feather": wrong})


# ---- maps of words


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "outputs")


def test_a_words_map_arrives_as_it_was_recorded(history: History, photograph: Image.Image, tmp_path: Path) -> None:
    maps, shelf = word_maps(), Shelf(history, tmp_path / "blocks")
    entry = save_recording(history, maps, photograph)
    assert words(shelf, entry.name) == {"entry": entry.name, "words": list(WORDS)}
    cases = {
        (None, None, None): maps.heatmap(2, layers=maps.best_layers()),
        (1, None, None): maps.heatmap(2, layers=1),
        (0, 2, 1): maps.heatmap(2, layers=0, steps=2, heads=1),
    }
    for (layer, step, head), expected in cases.items():
        answer = word_map(shelf, {"entry": entry.name, "word": 2, "layer": layer, "step": step, "head": head})
        values = np.frombuffer(base64.b64decode(answer["values"]), "<f4").reshape(answer["rows"], answer["columns"])
        assert np.array_equal(values, expected)


def test_a_result_without_maps_offers_no_words(history: History, photograph: Image.Image, tmp_path: Path) -> None:
    shelf = Shelf(history, tmp_path / "blocks")
    assert words(shelf, save_recording(history, None, photograph).name) == {}
    assert words(shelf, "../../etc/passwd") == {}


def test_the_given_pictures_map_is_the_one_to_mark_it_by(
    history: History, photograph: Image.Image, tmp_path: Path
) -> None:
    maps = word_maps()
    over_given = maps.data["image_to_text", "target"][..., ::2, ::-2].copy()
    both = replace(
        maps, streams=(*maps.streams, Stream("reference:0", 4, 6)),
        data=maps.data | {("image_to_text", "reference:0"): over_given},
    )  # fmt: skip
    asked = {"entry": save_recording(history, both, photograph).name, "word": 2, "layer": 1}
    shelf = Shelf(history, tmp_path / "blocks")
    for stream, expected in (({}, over_given), ({"stream": "target"}, maps.data["image_to_text", "target"])):
        sent = word_map(shelf, asked | stream)
        values = np.frombuffer(base64.b64decode(sent["values"]), "<f4").reshape(sent["rows"], sent["columns"])
        np.testing.assert_allclose(values, expected[:, 1, :, 2].mean(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (None, "Ask with"),
        ({"entry": "../../etc/passwd"}, "no longer"),
        ({"entry": 7}, "Ask with"),
        ({"word": None}, "Ask with"),
        ({"word": "cat"}, "Word must be a whole number"),
        ({"word": True}, "Word must be a whole number"),
        ({"word": 4}, "no word 4"),
        ({"layer": -1}, "no layer -1"),
        ({"step": 3}, "no step 3"),
        ({"head": 1.5}, "Head must be"),
        ({"direction": "sideways"}, "sideways"),
        ({"stream": ["target"]}, "was not recorded"),
        ({"direction": "text_to_image"}, "was not recorded"),
    ],
)
def test_bad_wishes_get_a_sentence(
    history: History, photograph: Image.Image, tmp_path: Path, asked: Any, named: str
) -> None:
    entry = save_recording(history, word_maps(), photograph)
    answer = word_map(Shelf(history, tmp_path), {"entry": entry.name, "word": 1} | asked if asked else asked)
    assert list(answer) == ["error"]
    assert named in answer["error"].replace("There is n", "n")
    assert answer["error"].endswith(".") and str(tmp_path) not in answer["error"]
