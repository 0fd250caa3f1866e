"""The folder of results: what a killed save leaves, how large it grows, what is found in it."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmdit.attention.maps import AttentionMaps
from mmdit.attention.spec import RecordSpec
from mmdit.editor import Editor, EditRequest, EditResult
from mmdit.images import SETTINGS_KEY, read_settings
from mmdit.runtime import storage
from mmdit.runtime.history import History
from mmdit.runtime.sizes import parse_size, shown_size

PATIENCE = 120  # seconds


@pytest.fixture
def picture(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "results")


def result(picture: Image.Image, **settings: object) -> EditResult:
    return EditResult(picture, {"instruction": "make it brighter", "model": "mini", "size": [96, 80]} | settings, {})


def coloured(*colour: int) -> Image.Image:
    return Image.new("RGB", (64, 48), colour)


def noise(seed: int, side: int = 128) -> Image.Image:
    """A picture that PNG can't make smaller."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


# ---- sources


def test_every_source_is_kept_in_order_and_found_after_a_restart(
    history: History, tiny_editor: Editor, picture: Image.Image
) -> None:
    given = [picture, coloured(200, 10, 10), coloured(10, 10, 200)]
    made = tiny_editor.edit(EditRequest(given[:1], "make it brighter", seed=1))
    entry = history.save(EditResult(made.image, made.settings | {"references": 2}, {}), given)
    (found,) = History(history.folder).latest(9)
    assert found == entry
    assert len(found.sources) == 3
    assert found.source == found.sources[0]
    for file, source in zip(found.sources, given, strict=True):
        with Image.open(file) as opened:
            assert opened.tobytes() == source.tobytes()


def test_a_result_without_one_of_its_sources_is_passed_over(history: History, picture: Image.Image) -> None:
    whole = history.save(result(picture, references=1), [picture, picture])
    lacking = history.save(result(picture, references=1), [picture, picture])
    lacking.references[0].unlink()
    assert history.latest(9) == History(history.folder).latest(9) == [whole]


def test_sources_from_before_they_were_counted_are_found(history: History, picture: Image.Image) -> None:
    history.save(result(picture), [picture, picture, picture])
    assert len(History(history.folder).latest(1)[0].sources) == 3


def test_settings_that_are_nonsense_hide_one_file_and_not_the_others(history: History, picture: Image.Image) -> None:
    entry = history.save(result(picture), [picture])
    for index, text in enumerate(("[" * 100_000, "{", "[1]", '{"references": 1e999}')):
        info = PngImagePlugin.PngInfo()
        info.add_itxt(SETTINGS_KEY, text)
        picture.save(history.folder / f"20990101-000000-00000{index}.png", pnginfo=info)
    picture.save(history.folder / "20991399-000000-000000.source.png")  # named like no day
    (history.folder / "20991399-000000-000000.png").write_bytes(entry.result.read_bytes())
    assert History(history.folder).search() == [entry]


# ---- killed


def save_forever(folder: Path, seed: int, saves) -> None:
    """The child: one save after another, until it is killed."""
    history = History(folder)
    history.remove_leftovers()
    source, reference, made = (noise(seed * 3 + index, 256) for index in range(3))
    saves.send(True)
    while True:
        history.save(EditResult(made, {"instruction": "x", "references": 1}, {}), [source, reference])


def assert_all_open(folder: Path) -> int:
    """Every picture of every listed entry, in full; returns how many entries there are."""
    entries = History(folder).search()
    for entry in entries:
        assert entry.settings == read_settings(entry.result) == {"instruction": "x", "references": 1}
        for file in (entry.result, *entry.sources):
            with Image.open(file) as opened:
                opened.load()
                assert opened.size == (256, 256)
    return len(entries)


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_at_any_moment_nothing_is_half_written(tmp_path: Path, kills: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmdit.images", "mmdit.runtime.history"])
    draw, interrupted, saved = random.Random(kills), 0, 0
    for kill in range(kills):
        ready, saves = context.Pipe(duplex=False)
        child = context.Process(target=save_forever, args=(tmp_path, kill, saves), daemon=True)
        child.start()
        assert ready.poll(PATIENCE)
        time.sleep(draw.uniform(0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        child.join(PATIENCE)
        interrupted += any(tmp_path.glob(".*.partial"))
        saved += assert_all_open(tmp_path)

        history = History(tmp_path)
        history.remove_leftovers()
        listed = history.search()
        assert set(tmp_path.iterdir()) == {file for entry in listed for file in (entry.result, *entry.sources)}
        for entry in listed:  # so that the folder stays small
            storage.remove(tmp_path, entry.name)
    assert interrupted >= kills // 4  # else the kills have met no save
    assert saved > 0


SAVE_SLOWLY = """
import sys, time
from PIL import Image
from mmdit.editor import EditResult
from mmdit.runtime.history import History

class Slow(Image.Image):
    def save(self, *arguments, **options):
        print("saving", flush=True)
        sys.stdin.readline()
        super().save(*arguments, **options)

slow = Slow()
slow.__dict__.update(Image.new("RGB", (8, 8)).__dict__)
History(sys.argv[1]).save(EditResult(slow, {"instruction": "x"}, {}), [Image.new("RGB", (8, 8))])
"""


def test_leftovers_go_but_a_save_of_another_process_is_left_alone(history: History, picture: Image.Image) -> None:
    entry = history.save(result(picture), [picture])
    command = [sys.executable, "-c", SAVE_SLOWLY, str(history.folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout.readline() == "saving\n"
        (stage,) = history.folder.glob(".*.partial")
        dead = history.folder / ".20200101-000000-000000.elsewhere-1-1.partial"
        dead.mkdir()
        (dead / "20200101-000000-000000.source.png").write_bytes(b"half")
        (history.folder / "20200101-000000-000000.maps.npz").write_bytes(b"moved out before it was killed")
        (history.folder / ".notes.partial").mkdir()  # not ours
        history.remove_leftovers()
        assert stage.is_dir()
        assert dead.is_dir()  # it may be under way on another machine
        os.utime(dead, (time.time() - 2 * storage.ABANDONED,) * 2)
        history.remove_leftovers()
        assert not dead.exists()
        other.communicate("go on\n", timeout=PATIENCE)
        assert other.returncode == 0
    assert len(history.latest(9)) == 2
    assert history.find(entry.name) == entry
    names = {file.name for file in history.folder.iterdir() if not storage.NAME.match(file.name)}
    assert names == {".notes.partial"}
    assert not list(history.folder.glob("20200101*"))


def test_a_removal_that_was_killed_is_finished(history: History, picture: Image.Image) -> None:
    kept, removed = (history.save(result(picture), [picture]) for _ in range(2))
    with storage.saving(history.folder, removed.name) as stage:  # whose name tells that this process runs
        name = stage.name.rpartition("-")[0] + "-1.partial"  # of another that began long ago
    (history.folder / name).mkdir()
    removed.result.rename(history.folder / name / removed.result.name)
    history.remove_leftovers()
    assert set(history.folder.iterdir()) == {kept.result, kept.source}


# ---- limit


def test_the_oldest_go_first_the_newest_never_and_nothing_that_is_not_ours(history: History) -> None:
    folder = history.folder
    saved = [history.save(result(noise(seed), seed=seed), [noise(seed)]) for seed in range(4)]
    each = sum(file.stat().st_size for file in (saved[0].result, saved[0].source))
    foreign = {
        "20200101-000000-000000.png": noise(1),  # named like ours, but without settings
        "20200101-000000-000000.source.png": noise(2),
        "holiday.png": noise(3),
    }
    for name, picture in foreign.items():
        picture.save(folder / name)
    before = content(folder)

    assert History(folder).trim() == ()
    assert History(folder, 10 * each).trim() == ()
    assert content(folder) == before
    limited = History(folder, int(2.5 * each))
    (warning,) = limited.trim()
    assert "2 oldest results were removed" in warning
    assert shown_size(limited.limit) in warning
    assert limited.latest(9) == [saved[3], saved[2]]
    gone = {file.name for entry in saved[:2] for file in (entry.result, entry.source)}
    assert content(folder) == {name: data for name, data in before.items() if name not in gone}

    removed, left = History(folder, 1).trim()
    assert "oldest result was removed" in removed
    assert "left take" in left
    assert limited.latest(9) == [saved[3]]


def test_maps_count_and_go_with_their_result(history: History, tiny_editor: Editor, picture: Image.Image) -> None:
    request = EditRequest([picture], "make it brighter", seed=1, record=RecordSpec())
    first, second = (history.save(tiny_editor.edit(request), [picture]) for _ in range(2))
    assert AttentionMaps.load(first.maps).words == AttentionMaps.load(second.maps).words
    sizes = storage.sizes(history.folder)
    assert sizes[first.name] == sum(file.stat().st_size for file in (first.result, first.source, first.maps))
    History(history.folder, sizes[second.name]).trim()
    assert set(history.folder.iterdir()) == {second.result, second.source, second.maps}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("5GB", 5 * 10**9), ("5 gb", 5 * 10**9), ("1.5GiB", 3 * 2**29), ("750MB", 750 * 10**6),
        ("10kb", 10_000), ("4KiB", 4096), ("2TB", 2 * 10**12), ("17B", 17),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "GB", "-1GB", "5G B", "5 GBs", "nan", "1e3MB", "inf GB", "0.1B", "٥GB", "0x5GB"]
)
def test_other_sizes_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"the size .*0 for no limit"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (17, "17 B"), (4096, "4.1 kB"), (412_000_000, "412 MB"), (999_600_000, "1 GB"), (5 * 10**9, "5 GB")],
)
def test_sizes_are_shown_as_people_read_them(size: int, text: str) -> None:
    assert shown_size(size) == text


# ---- search


def test_search_finds_words_of_instruction_model_loras_name_and_date(history: History, picture: Image.Image) -> None:
    loras = [{"name": "sepia-film", "weight": 0.8}]
    first = history.save(result(picture, instruction="Mach die Straße heller"), [picture])
    second = history.save(result(picture, instruction="make it brighter", loras=loras), [picture])
    third = history.save(result(picture, instruction="make it darker", model="flux-kontext"), [picture])
    history = History(history.folder)
    assert history.search() == history.search("  ") == [third, second, first]
    assert history.search("MAKE") == [third, second]
    assert history.search("brighter make") == [second]
    assert history.search("STRASSE") == [first]
    assert history.search("sepia") == [second]
    assert history.search("flux it") == [third]
    assert history.search(second.name) == [second]
    assert history.search(f"{first.made:%Y-%m-%d}") == [third, second, first]
    assert history.search("make lighter") == []


def test_search_survives_settings_of_any_type(history: History, picture: Image.Image) -> None:
    odd = history.save(result(picture, instruction=["a", 1], model=None, loras={"name": 3}), [picture])
    assert History(history.folder).search("a") == [odd]


def test_a_file_is_read_once_and_again_when_it_has_changed(
    history: History, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [history.save(result(picture, seed=seed), [picture]) for seed in range(3)]
    opened: list[str] = []
    opening = Image.open

    def counted(file: Path, **options: object) -> Image.Image:
        opened.append(Path(file).name)
        return opening(file, **options)

    monkeypatch.setattr(Image, "open", counted)
    history = History(history.folder)
    assert history.search("brighter") == history.search("brighter") == entries[::-1]
    assert len(opened) == 3
    info = PngImagePlugin.PngInfo()
    info.add_itxt(SETTINGS_KEY, json.dumps({"instruction": "another"}))
    picture.save(entries[1].result, pnginfo=info)
    (found,) = history.search("another")
    assert found.name == entries[1].name
    assert len(opened) == 4
