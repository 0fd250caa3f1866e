"""Paired folders: what is read from good ones, and one sentence about each way in which one can be bad."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdit.lora.inspect import LoraError
from mmdit.lora.pairs import fingerprint, hold_out, read_pairs


def write_picture(file: Path, size: tuple[int, int] = (40, 30), shade: int = 90) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 20, 200)).save(file)


def write_pair(folder: Path, name: str, text: str | bytes = "invert the colours") -> None:
    write_picture(folder / f"{name}.source.png")
    write_picture(folder / f"{name}.target.png", shade=160)
    (folder / f"{name}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())


def write_list(folder: Path, *entries: object) -> None:
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")


# ---- good folders ----------------------------------------------------------------------------------------


def test_pairs_are_read_by_name_with_an_instruction_a_line(tmp_path: Path) -> None:
    write_pair(tmp_path, "b", "\ufeffinvert it\r\n\r\n  make a négative  \n")
    write_pair(tmp_path, "a.b c", "invert the colours")
    (tmp_path / "README.txt").write_text("about these pictures")
    (tmp_path / "other.png").write_bytes(b"")
    first, second = read_pairs(tmp_path)
    assert (first.name, second.name) == ("a.b c", "b")
    assert second.source == tmp_path / "b.source.png"
    assert second.target == tmp_path / "b.target.png"
    assert second.instructions == ("invert it", "make a négative")
    source, target = second.open()
    assert source.size == target.size == (40, 30)
    assert np.asarray(source)[0, 0].tolist() == [90, 20, 200]
    assert np.asarray(target)[0, 0].tolist() == [160, 20, 200]


def test_a_list_is_read_in_its_own_order_and_alone_decides(tmp_path: Path) -> None:
    write_pair(tmp_path, "unlisted")
    for file in ("z/in.jpg", "z/out.webp", "in.png", "out.png"):
        write_picture(tmp_path / file)
    write_list(
        tmp_path,
        {"source": "z/in.jpg", "target": "z/out.webp", "instructions": ["one ", "two"], "licence": "CC0"},
        "",
        {"source": "in.png", "target": "./out.png", "instruction": "three"},
    )
    first, second = read_pairs(tmp_path)
    assert first.source == tmp_path / "z" / "in.jpg"
    assert first.instructions == ("one", "two")
    assert second.instructions == ("three",)
    assert second.open()[1].size == (40, 30)


@pytest.mark.parametrize(
    ("count", "held_out"),
    [(1, []), (4, []), (5, [4]), (9, [8]), (10, [9]), (19, [9]), (20, [9, 19]), (31, [9, 19, 29])],
)
def test_every_tenth_is_held_out_and_of_five_to_nine_the_last(count: int, held_out: list[int], tmp_path: Path) -> None:
    for index in range(count):
        write_pair(tmp_path, f"{index:03}")
    learnt, held = hold_out(read_pairs(tmp_path))
    assert [int(pair.name) for pair in held] == held_out
    assert [int(pair.name) for pair in learnt] == [index for index in range(count) if index not in held_out]


def test_the_fingerprint_is_of_pictures_and_instructions(tmp_path: Path) -> None:
    for name in ("one", "moved"):
        write_pair(tmp_path / name, "a", "invert it")
        write_pair(tmp_path / name, "b", "invert it\nmake a negative")
    pairs = read_pairs(tmp_path / "one")
    before = fingerprint(pairs)
    assert fingerprint(read_pairs(tmp_path / "moved")) == before
    assert fingerprint(pairs[::-1]) != before
    assert fingerprint(pairs[:1]) != before
    write_pair(tmp_path / "moved", "b", "invert it\nmake a positive")
    assert fingerprint(read_pairs(tmp_path / "moved")) != before
    write_picture(tmp_path / "one" / "a.target.png", shade=161)
    assert fingerprint(pairs) != before


# ---- bad folders -----------------------------------------------------------------------------------------


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def with_text(text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "b.txt").write_bytes(text)


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no source": (without("b.source.png"), "b.source.png is missing, although b.target.png is there"),
    "no target": (without("b.target.png"), "b.target.png is missing, although b.source.png is there"),
    "no text": (without("b.txt"), "b.txt is missing"),
    "an empty text": (with_text(b""), "b.txt is empty"),
    "a text of blanks": (with_text(b" \n\t\r\n"), "b.txt is empty"),
    "a text in Latin-1": (with_text("négatif".encode("latin-1")), "b.txt is not text in UTF-8"),
    "nothing": (empty, "holds no pair"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_bad_folder_costs_one_sentence_that_names_the_file(name: str, tmp_path: Path) -> None:
    spoil, told = BAD_FOLDERS[name]
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    spoil(tmp_path)
    assert_told(lambda: read_pairs(tmp_path), told, str(tmp_path))


def test_a_folder_that_is_not_there_costs_one_sentence(tmp_path: Path) -> None:
    assert_told(lambda: read_pairs(tmp_path / "missing"), "missing: no such folder")
    (tmp_path / "file").touch()
    assert_told(lambda: read_pairs(tmp_path / "file"), "file: no such folder")


IN, OUT = "in.png", "out.png"
BAD_LINES: dict[str, tuple[object, str]] = {
    "not JSON": ("{'source': 1}", "line 2 is not JSON"),
    "a bomb": ("[" * 100_000, "line 2 is not JSON"),
    "not an object": ("[1, 2]", "line 2 is [1, 2]"),
    "no source": ({"target": OUT, "instruction": "x"}, "line 2: 'source' is None"),
    "a number": ({"source": IN, "target": 7, "instruction": "x"}, "line 2: 'target' is 7"),
    "an empty path": ({"source": "", "target": OUT, "instruction": "x"}, "line 2: 'source' is ''"),
    "a NUL": ({"source": "a\0b", "target": OUT, "instruction": "x"}, "'source' is 'a\\x00b'"),
    "a missing file": ({"source": "gone.png", "target": OUT, "instruction": "x"}, "gone.png"),
    "a folder": ({"source": ".", "target": OUT, "instruction": "x"}, "'source' is '.'"),
    "no instruction": ({"source": IN, "target": OUT}, "line 2 says nothing to do"),
    "a blank instruction": ({"source": IN, "target": OUT, "instruction": " "}, "line 2 says nothing to do"),
    "an empty list": ({"source": IN, "target": OUT, "instructions": []}, "line 2 says nothing to do"),
    "a blank among others": ({"source": IN, "target": OUT, "instructions": ["x", ""]}, "line 2 says nothing to do"),
    "a text for a list": ({"source": IN, "target": OUT, "instructions": "x"}, "line 2 says nothing to do"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_costs_one_sentence_that_names_it(name: str, tmp_path: Path) -> None:
    line, told = BAD_LINES[name]
    write_picture(tmp_path / IN)
    write_picture(tmp_path / OUT)
    write_list(tmp_path, {"source": IN, "target": OUT, "instruction": "x"}, line)
    assert_told(lambda: read_pairs(tmp_path), told, "pairs.jsonl")


def test_an_empty_list_is_no_pair(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    write_list(tmp_path, "")
    assert_told(lambda: read_pairs(tmp_path), "holds no pair")


@pytest.mark.parametrize("way", ["../secret.png", "here/../../secret.png", "link.png", "C:\\secret.png", "absolute"])
def test_no_path_leads_out_of_the_folder(way: str, tmp_path: Path) -> None:
    folder, secret = tmp_path / "pairs", tmp_path / "secret.png"
    write_picture(secret)
    write_picture(folder / OUT)
    (folder / "here").mkdir()
    (folder / "link.png").symlink_to(secret)
    write_list(folder, {"source": str(secret) if way == "absolute" else way, "target": OUT, "instruction": "x"})
    assert_told(lambda: read_pairs(folder), "leads out of", "secret" if way != "link.png" else "link.png")


def test_bad_pictures_cost_one_sentence_when_they_are_opened(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    (pair,) = read_pairs(tmp_path)
    write_picture(pair.target, (30, 40))
    assert_told(pair.open, "a.source.png and a.target.png are 40×30 and 30×40")
    pair.target.write_text("no picture at all")
    assert_told(pair.open, "a.target.png: not a picture")
    pair.target.write_bytes(pair.source.read_bytes()[:60])
    assert_told(pair.open, "a.target.png: damaged")


def assert_told(act: Callable[[], object], *told: str) -> None:
    with pytest.raises(LoraError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for words in told:
        assert words in message
