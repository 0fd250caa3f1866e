"""What an edit should take, from edits whose times follow the law, and from a real one."""

import pytest
from PIL import Image

from mmdit.editor import Editor, EditRequest
from mmdit.runtime.history import History
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.pace import KEPT, Expected, Pace, Work, work_of
from mmdit.ui.preflight import duration

PIXELS, OUTPUT = 144 * 112, 512 * 384


def run(pace: Pace, calls: int, output: int = OUTPUT, model: int = 1, memory: int = 0) -> None:
    """An edit that takes a second for each million pixels seen, and a second for each ten million of the result."""
    pace.note(Work(model, calls * PIXELS, output), calls * PIXELS / 1e6, output / 1e7, memory)


def test_what_follows_the_law_is_foreseen() -> None:
    pace = Pace()
    run(pace, calls=4, memory=3)
    for calls, output in ((4, OUTPUT), (8, OUTPUT), (1, OUTPUT), (4, 10 * OUTPUT), (20, OUTPUT // 3)):
        expected = pace.expected(Work(1, calls * PIXELS, output))
        assert expected.least == pytest.approx(calls * PIXELS / 1e6 + output / 1e7, rel=1e-3)
        assert (expected.most, expected.edits, expected.memory) == (expected.least, 1, 3)


def test_the_nearest_edits_count_and_differ_as_they_did() -> None:
    pace = Pace()
    run(pace, calls=40)
    pace.note(Work(1, 4 * PIXELS, OUTPUT), 2.0, 0.0, 5)
    pace.note(Work(1, 4 * PIXELS, OUTPUT), 3.0, 0.0, 7)
    assert pace.expected(Work(1, 5 * PIXELS, OUTPUT)) == Expected(2.5, 3.75, 2, 7)


def test_another_models_times_tell_nothing_and_old_ones_are_forgotten() -> None:
    pace = Pace()
    assert pace.expected(Work(1, PIXELS, OUTPUT)) is None
    run(pace, calls=1)
    assert pace.expected(Work(2, PIXELS, OUTPUT)) is None
    for _ in range(KEPT):
        run(pace, calls=1, model=2)
    assert pace.expected(Work(1, PIXELS, OUTPUT)) is None


def test_work_grows_with_steps_passes_sizes_and_pictures(tiny_editor: Editor) -> None:
    picture = Image.new("RGB", (96, 80))
    one = work_of(tiny_editor, EditRequest([picture], "x", steps=1, guidance=1.0), 1)
    assert work_of(tiny_editor, EditRequest([picture], "x", steps=3, guidance=1.0), 1).pixels == 3 * one.pixels
    assert work_of(tiny_editor, EditRequest([picture], "x", steps=1, guidance=2.0), 1).pixels == 2 * one.pixels
    double = work_of(tiny_editor, EditRequest([picture], "x", steps=1, guidance=1.0, size=(192, 160)), 1)
    assert (one.output, double.output) == (96 * 80, 4 * 96 * 80)


def test_edits_are_noted(tiny_editor: Editor, tmp_path) -> None:
    request = EditRequest([Image.new("RGB", (96, 80), (90, 120, 60))], "make it darker", seed=1, steps=2)
    with Jobs(lambda choice: tiny_editor, History(tmp_path)) as jobs:
        jobs.wait_until_loaded()
        work = work_of(tiny_editor, request, jobs.model.number)
        assert jobs.pace.expected(work) is None
        for count in (1, 2):
            jobs.submit(request).wait()
            expected = jobs.pace.expected(work)
            assert expected.edits == count and 0 < expected.least <= expected.most and expected.memory > 10e6


def test_it_is_said_in_words() -> None:
    assert duration(None, 1) == "How long it takes is known after the first edit."
    once = duration(Expected(1.24, 1.24, 1, 8 * 10**8), 1)
    assert once == "About 1.2 s and 0.8 GB of memory, going by 1 of the edits before."
    assert duration(Expected(2, 90, 3, 25 * 10**9), 4).startswith("About 8.0 s – 6.0 min and 25.0 GB of memory")
