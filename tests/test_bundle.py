"""Bundles: what goes out comes in the same, and nothing else comes in."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdit import EditRequest, EditResult, RecordSpec
from mmdit.attention.maps import AttentionMaps
from mmdit.editor import Editor
from mmdit.images import load_image
from mmdit.region import Region, RegionError
from mmdit.runtime import bundle as bundles
from mmdit.runtime.bundle import BundleError, export_bundle, import_bundle
from mmdit.runtime.history import Entry, History
from mmdit.runtime.reproduce import check_settings, hindrance, request_for

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tiny_editor: Editor, photograph: Image.Image) -> tuple[EditResult, Image.Image]:
    picture = photograph.resize((96, 80))
    return tiny_editor.edit(EditRequest([picture], "make it “brighter”", seed=7, record=RecordSpec())), picture


@pytest.fixture
def entry(made: tuple[EditResult, Image.Image], tmp_path: Path) -> Entry:
    result, picture = made
    loras = [{"name": "sepia-film", "file": "s.safetensors", "sha256": "ab12", "weight": 0.8, "blocks": None}]
    settings = result.settings | {"references": 1, "loras": loras}
    return History(tmp_path / "here").save(
        EditResult(result.image, settings, {}, maps=result.maps), [picture, picture.rotate(180)]
    )


@pytest.fixture
def file(entry: Entry, tmp_path: Path) -> Path:
    export_bundle(entry, tmp_path / "one.zip")
    return tmp_path / "one.zip"


@pytest.fixture
def elsewhere(tmp_path: Path) -> History:
    return History(tmp_path / "elsewhere")


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"))


def test_everything_arrives_in_another_history(entry: Entry, file: Path, elsewhere: History) -> None:
    arrived = import_bundle(file, elsewhere)
    assert elsewhere.latest(9) == History(elsewhere.folder).latest(9) == [arrived]
    assert arrived.settings == entry.settings
    assert len(arrived.sources) == 2
    for there, here in zip((arrived.result, *arrived.sources), (entry.result, *entry.sources), strict=True):
        assert np.array_equal(pixels(there), pixels(here))
    there, here = AttentionMaps.load(arrived.maps), AttentionMaps.load(entry.maps)
    assert (there.words, there.layers, there.metadata) == (here.words, here.layers, here.metadata)
    assert all(np.array_equal(there.data[key], here.data[key]) for key in here.data)


def test_a_bundle_is_a_zip_that_anybody_can_read(entry: Entry, file: Path) -> None:
    files = unpacked(file)
    assert set(files) == {
        "picture.png", "source.png", "source.2.png", "settings.json", "manifest.json", "maps.npz",
    }  # fmt: skip
    assert files["picture.png"] == entry.result.read_bytes()
    assert json.loads(files["settings.json"]) == entry.settings
    assert json.loads(files["manifest.json"])["loras"] == {"sepia-film": "ab12"}
    assert [other.name for other in file.parent.iterdir() if other.is_file()] == ["one.zip"]


def test_a_bundle_without_maps_and_references(
    made: tuple[EditResult, Image.Image], tmp_path: Path, elsewhere: History
) -> None:
    result, picture = made
    entry = History(tmp_path / "here").save(EditResult(result.image, result.settings, {}), [picture])
    export_bundle(entry, tmp_path / "one.zip")
    arrived = import_bundle(tmp_path / "one.zip", elsewhere)
    assert arrived.maps is None
    assert arrived.references == ()


@pytest.fixture
def of_a_region(tiny_editor: Editor, photograph: Image.Image, tmp_path: Path) -> Entry:
    """The result of a mask with very many shades."""
    grain = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 1200), dtype=np.uint8))
    picture = photograph.resize((96, 80))
    made = tiny_editor.edit(EditRequest([picture], "make it “brighter”", seed=7, region=Region(grain, 2.0)))
    return History(tmp_path / "here").save(made, [picture])


def test_a_result_with_a_large_mask_is_made_again_elsewhere(
    of_a_region: Entry, tiny_editor: Editor, tmp_path: Path, elsewhere: History
) -> None:
    export_bundle(of_a_region, tmp_path / "one.zip")
    arrived = import_bundle(tmp_path / "one.zip", elsewhere)
    assert not hindrance(arrived.settings)
    again = tiny_editor.edit(request_for(tiny_editor, arrived.settings, [load_image(arrived.source)]))
    assert np.array_equal(np.asarray(again.image), pixels(of_a_region.result))


def test_a_bundle_that_was_made_without_the_mask_opens(
    of_a_region: Entry, tiny_editor: Editor, tmp_path: Path, elsewhere: History
) -> None:
    older = of_a_region.settings | {"region": {"feather": 2.0, "size": [1200, 1000]}}
    result, source = load_image(of_a_region.result), load_image(of_a_region.source)
    export_bundle(History(tmp_path / "older").save(EditResult(result, older, {}), [source]), tmp_path / "one.zip")
    arrived = import_bundle(tmp_path / "one.zip", elsewhere)
    assert arrived.settings == older and "can't be made again" in hindrance(older)
    check_settings(older)
    with pytest.raises(RegionError, match="mask was too large"):
        request_for(tiny_editor, older, [source])


def test_an_export_that_fails_leaves_no_file(entry: Entry, tmp_path: Path) -> None:
    entry.references[0].unlink()
    before = set(tmp_path.iterdir())
    with pytest.raises(OSError, match="source"):
        export_bundle(entry, tmp_path / "two.zip")
    assert set(tmp_path.iterdir()) == before


# ---- what is not opened


def unpacked(file: Path) -> Files:
    with zipfile.ZipFile(file) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def pack(files: Files, file: Path, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file, "w", compression) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)


def sealed(files: Files) -> Files:
    """With a manifest that fits the files, as whoever wants to do harm would make it."""
    from hashlib import sha256

    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {name: sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    return files | {"manifest.json": json.dumps(manifest).encode()}


def with_settings(**changed: object) -> Callable[[Files], Files]:
    return lambda files: sealed(
        files | {"settings.json": json.dumps(json.loads(files["settings.json"]) | changed).encode()}
    )


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def npz_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as arrays:
        for index in range(3):
            with arrays.open(f"maps_{index}.npy", "w") as member:
                for _ in range(8):
                    member.write(bytes(2**20))
    return buffer.getvalue()


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: sealed({other: data for other, data in files.items() if other != name})


HARMFUL: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a path": (lambda files: sealed(files | {"../evil.png": b"x"}), "it holds '../evil.png'"),
    "an absolute path": (lambda files: sealed(files | {"/etc/passwd": b"x"}), "it holds '/etc/passwd'"),
    "a folder": (lambda files: sealed(files | {"maps/": b""}), "it holds 'maps/'"),
    "a program": (lambda files: sealed(files | {"run.py": b"x"}), "it holds 'run.py'"),
    "source number 0": (lambda files: sealed(files | {"source.0.png": files["source.png"]}), "'source.0.png'"),
    "a gap among sources": (lambda files: sealed(files | {"source.9.png": files["source.png"]}), "source.3.png"),
    "no picture": (without("picture.png"), "picture.png is missing"),
    "no source": (without("source.png"), "source.png is missing"),
    "no settings": (without("settings.json"), "settings.json is missing"),
    "fewer sources than were given": (without("source.2.png"), "made from 2 pictures and 1 are here"),
    "another picture": (lambda files: files | {"picture.png": files["source.2.png"]}, "changed after the bundle"),
    "more than the manifest lists": (
        lambda files: files | {"source.3.png": files["source.png"]}, "not those that its manifest lists",
    ),
    "another format": (lambda files: files | {"manifest.json": b'{"format": "mmdit-bundle 9"}'}, "mmdit-bundle 9"),
    "a manifest that is a list": (lambda files: files | {"manifest.json": b"[]"}, "is no JSON object"),
    "a manifest that is deep": (lambda files: files | {"manifest.json": b"[" * 10**6}, "is no JSON"),
    "settings that are no JSON": (lambda files: sealed(files | {"settings.json": b"\xff"}), "is no JSON"),
    "settings of something else": (lambda files: sealed(files | {"settings.json": b"{}"}), "instruction is missing"),
    "steps without end": (with_settings(steps=10**9), "steps is 1000000000"),
    "settings of another size": (with_settings(size=[10, 10]), "another size"),
    "a picture that is a text": (lambda files: sealed(files | {"source.png": b"hello"}), "source.png is no picture"),
    "a picture of 100 megapixels": (
        lambda files: sealed(files | {"source.png": png(10_000, 10_000)}), "source.png is no picture that can be used",
    ),
    "a torn picture": (
        lambda files: sealed(files | {"picture.png": files["picture.png"][:900]}), "picture.png is no picture",
    ),
    "maps that are a text": (lambda files: sealed(files | {"maps.npz": b"hello"}), "not a bundle, or a damaged one"),
    "maps that unpack to more": (lambda files: sealed(files | {"maps.npz": npz_bomb()}), "maps.npz has 25.2 MB unp"),
    "maps of something else": (
        lambda files: sealed(files | {"maps.npz": _other_npz()}), "maps.npz can't be used",
    ),
    "a text that is too long": (
        lambda files: files | {"manifest.json": bytes(bundles.MOST_TEXT + 1)}, "manifest.json has 4.19 MB",
    ),
    "too many files": (
        lambda files: sealed(files | {f"source.{n}.png": b"" for n in range(2, 200)}), "it holds 203 files",
    ),
}  # fmt: skip


def _other_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, numbers=np.arange(3))
    return buffer.getvalue()


def assert_refused(file: Path, sentence: str, history: History, folder: Path) -> None:
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    with pytest.raises(BundleError, match=sentence) as raised:
        import_bundle(file, history)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(file.name)
    assert str(folder) not in str(raised.value)
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", HARMFUL)
def test_what_no_export_writes_is_refused_and_leaves_nothing(
    name: str, file: Path, elsewhere: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, sentence = HARMFUL[name]
    monkeypatch.setattr(bundles, "MOST_MAPS", 20 * 2**20)
    pack(change(unpacked(file)), file, zipfile.ZIP_DEFLATED)
    assert_refused(file, sentence, elsewhere, tmp_path)


def test_sizes_are_refused_before_anything_is_unpacked(
    file: Path, elsewhere: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("something was unpacked"))
    monkeypatch.setattr(bundles, "MOST_PICTURE", 1000)
    assert_refused(file, "has .* more than 1 kB", elsewhere, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(bundles, "MOST_BYTES", 1000)
    assert_refused(file, "it holds .*, more than 1 kB", elsewhere, tmp_path)


def test_many_large_pictures_are_refused_before_any_is_decoded(
    file: Path, elsewhere: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {f"source.{number}.png": png(7000, 7000) for number in range(2, 7)}
    pack(with_settings(references=5)(unpacked(file) | large), file, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr("mmdit.images.prepare", lambda *_: pytest.fail("a picture was decoded"))
    assert_refused(file, "its pictures have 245 megapixels together, more than 200", elsewhere, tmp_path)


def test_settings_are_checked_before_pictures(
    file: Path, elsewhere: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(with_settings(steps=10**9)(unpacked(file)), file)
    monkeypatch.setattr("mmdit.images.prepare", lambda *_: pytest.fail("a picture was decoded"))
    assert_refused(file, "steps is 1000000000", elsewhere, tmp_path)


def test_the_same_name_twice_is_refused(file: Path, elsewhere: History, tmp_path: Path) -> None:
    with zipfile.ZipFile(file, "a") as bundle, pytest.warns(UserWarning, match="Duplicate"):
        bundle.writestr("picture.png", b"another")
    assert_refused(file, "it holds 'picture.png', which no bundle does, or twice", elsewhere, tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_foreign_files_are_refused(data: bytes, elsewhere: History, tmp_path: Path) -> None:
    (tmp_path / "foreign.zip").write_bytes(data)
    assert_refused(tmp_path / "foreign.zip", r"^foreign\.zip: ", elsewhere, tmp_path)


def test_a_listing_that_points_before_the_bundles_beginning_is_refused(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    where = slice(data.rfind(b"PK\5\6") + 16, data.rfind(b"PK\5\6") + 20)  # where the listing begins, in the end record
    data[where] = (int.from_bytes(data[where], "little") + 1000).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"can't be read"):
        import_bundle(file, History(tmp_path / "history"))


def test_a_damaged_bundle_is_refused_or_opened_whole(entry: Entry, file: Path, tmp_path: Path) -> None:
    """Bytes changed and ends cut off at random: either a sentence, or what was exported."""
    whole, draw = file.read_bytes(), random.Random(0)
    expected, refused = pixels(entry.result), 0
    for attempt in range(150):
        data = bytearray(whole)
        if attempt % 3 == 0:
            del data[draw.randrange(len(data)) :]
        near = draw.choice([len(data), min(len(data), 2000)])  # headers are at both ends
        for _ in range(draw.randrange(1, 4) if data else 0):
            place = draw.randrange(near)
            data[draw.choice([place, -1 - place])] = draw.randrange(256)
        file.write_bytes(data)
        history = History(tmp_path / f"attempt {attempt}")
        try:
            arrived = import_bundle(file, history)
        except BundleError as error:
            assert "\n" not in str(error)
            assert not history.folder.exists()
            refused += 1
        else:
            assert np.array_equal(pixels(arrived.result), expected)
            assert arrived.settings == entry.settings
    assert refused > 100
