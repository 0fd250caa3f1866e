"""Jobs and history: cancelling, failing, waiting, and what is on disk when."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdit import EditError, EditRequest, EditResult, StepProgress
from mmdit.editor import Editor
from mmdit.images import read_settings
from mmdit.runtime import jobs as jobs_module
from mmdit.runtime.failures import free_memory
from mmdit.runtime.history import History
from mmdit.runtime.job import Job, JobState
from mmdit.runtime.jobs import CAPACITY, Jobs, QueueFullError
from mmdit.runtime.model_slot import ModelChoice

PATIENCE = 120  # seconds; only a hung worker takes so long


class Gate:
    """A real editor whose steps wait until the test lets them go on."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.entry, self.memory, self.plan = editor.entry, editor.memory, editor.plan
        self.usable = True
        self.reached = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def edit(self, request: EditRequest, on_step: Callable[[StepProgress], None]) -> EditResult:
        def gated(progress: StepProgress) -> None:
            self.reached.release()
            assert self.go_on.acquire(timeout=PATIENCE)
            on_step(progress)

        return self.editor.edit(request, gated)


@pytest.fixture
def picture(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "results")


@pytest.fixture
def jobs(tiny_editor: Editor, history: History) -> Iterator[Jobs]:
    jobs = Jobs(lambda _: tiny_editor, history)
    yield jobs
    jobs.close()


@pytest.fixture
def gate(tiny_editor: Editor) -> Gate:
    return Gate(tiny_editor)


@pytest.fixture
def gated_jobs(gate: Gate, history: History) -> Iterator[Jobs]:
    jobs = Jobs(lambda _: gate, history)
    yield jobs
    gate.go_on.release(1000)
    jobs.close()


def request(picture: Image.Image, **values: object) -> EditRequest:
    return EditRequest(**{"images": [picture], "instruction": "make it brighter", "seed": 7, "steps": 3} | values)


def finished(job: Job, state: JobState) -> None:
    assert job.wait(PATIENCE).state is state, job.snapshot


def test_an_edit_arrives_on_disk_as_it_was_made(jobs: Jobs, tiny_editor: Editor, picture: Image.Image) -> None:
    job = jobs.submit(request(picture))
    finished(job, JobState.DONE)
    entry = job.snapshot.entry
    expected = tiny_editor.edit(request(picture))
    with Image.open(entry.result) as written, Image.open(entry.source) as source:
        assert written.convert("RGB").tobytes() == expected.image.tobytes()
        assert source.convert("RGB").tobytes() == picture.tobytes()
    assert read_settings(entry.result) == read_settings(entry.source) == entry.settings == expected.settings


def test_the_result_is_on_disk_before_the_job_is_done(jobs: Jobs, picture: Image.Image, monkeypatch) -> None:
    states_while_saving = []
    save = jobs.history.save

    def watched_save(result: EditResult, sources: list[Image.Image]):
        entry = save(result, sources)
        states_while_saving.append((entry.result.is_file(), jobs.current().snapshot.state))
        return entry

    monkeypatch.setattr(jobs.history, "save", watched_save)
    finished(jobs.submit(request(picture)), JobState.DONE)
    assert states_while_saving == [(True, JobState.RUNNING)]


def test_cancelling_ends_a_running_edit_within_a_step(gated_jobs: Jobs, gate: Gate, picture: Image.Image) -> None:
    job = gated_jobs.submit(request(picture, steps=50))
    for _ in range(2):
        assert gate.reached.acquire(timeout=PATIENCE)
        gate.go_on.release()
    assert gate.reached.acquire(timeout=PATIENCE)  # inside step 3
    job.cancel()
    gate.go_on.release()
    finished(job, JobState.CANCELLED)
    assert job.snapshot.step == 2
    assert not gate.reached.acquire(timeout=0.1)
    assert gated_jobs.history.latest(9) == []


def test_a_waiting_edit_is_dropped_at_once(gated_jobs: Jobs, gate: Gate, picture: Image.Image) -> None:
    running, waiting, last = (gated_jobs.submit(request(picture, steps=1, seed=seed)) for seed in (1, 2, 3))
    assert gate.reached.acquire(timeout=PATIENCE)
    assert gated_jobs.current() is running
    assert gated_jobs.ahead_of(last) == 1
    waiting.cancel()
    assert waiting.snapshot.state is JobState.CANCELLED
    assert gated_jobs.ahead_of(last) == 0
    gate.go_on.release(2)
    finished(running, JobState.DONE)
    finished(last, JobState.DONE)
    assert [entry.settings["seed"] for entry in gated_jobs.history.latest(9)] == [3, 1]


def test_the_queue_is_bounded_and_cancelling_makes_room(gated_jobs: Jobs, gate: Gate, picture: Image.Image) -> None:
    gated_jobs.submit(request(picture))
    assert gate.reached.acquire(timeout=PATIENCE)
    waiting = [gated_jobs.submit(request(picture)) for _ in range(CAPACITY)]
    with pytest.raises(QueueFullError, match=str(CAPACITY)):
        gated_jobs.submit(request(picture))
    waiting[3].cancel()
    assert gated_jobs.submit(request(picture)).snapshot.state is JobState.WAITING


def test_progress_can_be_watched_and_never_changes_afterwards(
    gated_jobs: Jobs, gate: Gate, picture: Image.Image
) -> None:
    job = gated_jobs.submit(request(picture, steps=2))
    assert gate.reached.acquire(timeout=PATIENCE)
    before = job.snapshot
    assert (before.state, before.step, before.source.size) == (JobState.RUNNING, 0, picture.size)
    gate.go_on.release()
    assert gate.reached.acquire(timeout=PATIENCE)
    after_one = job.snapshot
    assert (after_one.step, after_one.steps) == (1, 2)
    assert after_one.seconds_left >= 0
    assert after_one.preview is not None
    gate.go_on.release()
    finished(job, JobState.DONE)
    assert (before.step, after_one.step) == (0, 1)
    assert job.snapshot.source is None
    assert job.snapshot.preview is None
    with pytest.raises(FrozenInstanceError):
        before.step = 5


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (EditError("steps is 0; it must be at least 1"), "steps is 0; it must be at least 1"),
        (RuntimeError("out of memory\nmany\nlines"), "out of memory"),
    ],
)
def test_a_failing_edit_leaves_the_worker_alive(
    jobs: Jobs, tiny_editor: Editor, picture: Image.Image, monkeypatch, failure: Exception, sentence: str
) -> None:
    edit = Editor.edit

    def fail_once(self: Editor, *arguments: object) -> EditResult:
        monkeypatch.setattr(Editor, "edit", edit)
        raise failure

    monkeypatch.setattr(Editor, "edit", fail_once)
    broken = jobs.submit(request(picture))
    finished(broken, JobState.FAILED)
    assert sentence in broken.snapshot.error
    assert "\n" not in broken.snapshot.error
    finished(jobs.submit(request(picture)), JobState.DONE)


def test_a_bad_request_and_a_full_disk_are_told_in_a_sentence(jobs: Jobs, picture: Image.Image, monkeypatch) -> None:
    wrong = jobs.submit(request(picture, steps=0))
    finished(wrong, JobState.FAILED)
    assert "steps is 0" in wrong.snapshot.error

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs.history, "save", full)
    unsaved = jobs.submit(request(picture))
    finished(unsaved, JobState.FAILED)
    assert "No space left" in unsaved.snapshot.error


def test_a_result_counts_although_tidying_up_fails(
    jobs: Jobs, history: History, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: History) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(History, "trim", refuse)
    job = jobs.submit(request(picture))
    finished(job, JobState.DONE)
    assert job.snapshot.entry == history.latest(1)[0]
    assert any("tidying up after it failed" in warning for warning in job.snapshot.warnings)


def test_edits_wait_for_a_model_that_is_still_loading(
    tiny_editor: Editor, history: History, picture: Image.Image
) -> None:
    loaded = threading.Event()

    def load(choice: ModelChoice) -> Editor:
        assert loaded.wait(PATIENCE)
        return tiny_editor

    jobs = Jobs(load, history)
    job = jobs.submit(request(picture))
    assert not jobs.ready
    assert job.wait(0.05).state is JobState.WAITING
    loaded.set()
    finished(job, JobState.DONE)
    assert jobs.ready
    jobs.close()


def test_a_model_that_will_not_load_fails_those_who_wait(history: History, picture: Image.Image) -> None:
    started = threading.Event()

    def load(choice: ModelChoice) -> Editor:
        assert started.wait(PATIENCE)
        raise EditError("'nonesuch' is no model")

    jobs = Jobs(load, history)
    job = jobs.submit(request(picture))
    started.set()
    assert jobs.wait_until_loaded(PATIENCE) == "'nonesuch' is no model"
    finished(job, JobState.FAILED)
    with pytest.raises(QueueFullError, match="nonesuch"):
        jobs.submit(request(picture))
    jobs.close()


def test_old_jobs_are_forgotten(gated_jobs: Jobs, picture: Image.Image, monkeypatch) -> None:
    monkeypatch.setattr(jobs_module, "REMEMBERED", 2)
    dropped = []
    for _ in range(5):
        dropped.append(gated_jobs.submit(request(picture)))
        dropped[-1].cancel()
    gated_jobs.submit(request(picture))
    assert gated_jobs.find(dropped[0].id) is None
    assert gated_jobs.find(dropped[-1].id) is dropped[-1]


# ---- history


def result(picture: Image.Image, seed: int) -> EditResult:
    return EditResult(picture, {"instruction": "make “it” brighter", "seed": seed, "size": [96, 80]}, {})


def test_history_lists_the_newest_first_and_survives_a_restart(history: History, picture: Image.Image) -> None:
    saved = [history.save(result(picture, seed), [picture]) for seed in range(5)]
    assert len({entry.name for entry in saved}) == 5
    assert [entry.name for entry in saved] == sorted(entry.name for entry in saved)
    reopened = History(history.folder)
    assert [entry.settings["seed"] for entry in reopened.latest(3)] == [4, 3, 2]
    assert reopened.latest(3) == saved[:1:-1]


def test_history_passes_over_what_is_not_its_own(history: History, picture: Image.Image) -> None:
    entry = history.save(result(picture, 1), [picture])
    folder = history.folder
    (folder / "20991231-235959-000000.png").write_bytes(entry.result.read_bytes()[:200])  # torn
    (folder / "20991231-235959-000000.source.png").write_bytes(entry.source.read_bytes())
    (folder / "20991231-235959-000001.png").write_bytes(entry.result.read_bytes())  # without its source
    picture.save(folder / "20991231-235959-000002.png")  # without settings
    picture.save(folder / "20991231-235959-000002.source.png")
    picture.save(folder / "holiday.png")
    (folder / ".20991231-235959-000003.png.1.partial").write_bytes(b"half")
    assert History(folder).latest(9) == [entry]
    assert history.find("../" + entry.name) is None
    assert history.find("20991231-235959-000009") is None


def test_a_result_that_can_not_be_written_leaves_nothing_behind(
    history: History, picture: Image.Image, monkeypatch
) -> None:
    entry = history.save(result(picture, 1), [picture])
    save = Image.Image.save

    def fail_on_the_result(image: Image.Image, file: Path, **options: object) -> None:
        save(image, file, **options)
        if ".source." not in file.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail_on_the_result)
    with pytest.raises(OSError, match="No space"):
        history.save(result(picture, 2), [picture])
    monkeypatch.undo()
    assert history.latest(9) == [entry]
    assert set(history.folder.iterdir()) == {entry.result, entry.source}


def test_a_deleted_result_is_gone(history: History, picture: Image.Image) -> None:
    first, second = (history.save(result(picture, seed), [picture]) for seed in (1, 2))
    second.result.unlink()
    assert history.latest(9) == [first]
    assert history.find(second.name) is None


def test_the_source_is_kept_upright_and_without_transparency(history: History, picture: Image.Image) -> None:
    entry = history.save(replace(result(picture, 1), warnings=("as is",)), [picture.convert("RGBA")])
    with Image.open(entry.source) as source:
        assert source.mode == "RGB"
        assert source.size == picture.size


def test_a_series_is_one_job_with_a_result_for_each_edit(jobs: Jobs, tiny_editor: Editor, picture: Image.Image) -> None:
    requests = [request(picture, seed=seed) for seed in (3, 1, 2)]
    job = jobs.submit_series(requests)
    finished(job, JobState.DONE)
    assert [entry.settings["seed"] for entry in job.snapshot.entries] == [3, 1, 2]
    assert job.snapshot.entry == job.snapshot.entries[-1]
    assert jobs.history.latest(9) == list(reversed(job.snapshot.entries))
    for asked, entry in zip(requests, job.snapshot.entries, strict=True):
        with Image.open(entry.result) as written:
            assert written.convert("RGB").tobytes() == tiny_editor.edit(asked).image.tobytes()


def test_a_series_counts_steps_over_all_its_edits_and_keeps_what_was_made_when_cancelled(
    gated_jobs: Jobs, gate: Gate, picture: Image.Image
) -> None:
    job = gated_jobs.submit_series([request(picture, seed=seed, steps=2) for seed in (1, 2, 3)])
    for _ in range(3):
        assert gate.reached.acquire(timeout=PATIENCE)
        gate.go_on.release()
    assert gate.reached.acquire(timeout=PATIENCE)  # in the last step of the second edit
    assert (job.snapshot.step, job.snapshot.steps, len(job.snapshot.entries)) == (3, 6, 1)
    assert job.snapshot.seconds_left > 0
    job.cancel()
    gate.go_on.release()
    finished(job, JobState.CANCELLED)
    assert [entry.settings["seed"] for entry in job.snapshot.entries] == [1]
    assert gated_jobs.history.latest(9) == list(job.snapshot.entries)


def test_an_edit_that_fails_ends_its_series_and_not_the_next_job(jobs: Jobs, picture: Image.Image) -> None:
    job = jobs.submit_series([request(picture), request(picture, instruction=" "), request(picture)])
    finished(job, JobState.FAILED)
    assert "instruction is empty" in job.snapshot.error
    assert len(job.snapshot.entries) == 1
    finished(jobs.submit(request(picture)), JobState.DONE)


def test_edits_that_wait_are_made_by_another_worker_when_one_ends(
    gated_jobs: Jobs, gate: Gate, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_once() -> None:
        monkeypatch.undo()
        raise SystemExit

    first = gated_jobs.submit(request(picture, steps=1))
    assert gate.reached.acquire(timeout=PATIENCE)
    failing, waiting = gated_jobs.submit(request(picture, instruction=" ")), gated_jobs.submit(request(picture))
    monkeypatch.setattr(jobs_module, "free_memory", end_once)
    gate.go_on.release(1000)
    finished(first, JobState.DONE)
    finished(failing, JobState.FAILED)
    finished(waiting, JobState.DONE)
    finished(gated_jobs.submit(request(picture)), JobState.DONE)


def test_memory_that_can_not_be_freed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", fault)
    free_memory()


def test_a_series_that_is_cancelled_while_a_result_is_saved_begins_no_other_edit(
    jobs: Jobs, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, edit, begun = History.save, Editor.edit, list[int]()

    def cancelling(self: History, *arguments: object) -> object:
        job.cancel()
        return save(self, *arguments)

    def counted(self: Editor, asked: EditRequest, *arguments: object) -> EditResult:
        begun.append(asked.seed)
        return edit(self, asked, *arguments)

    monkeypatch.setattr(History, "save", cancelling)
    monkeypatch.setattr(Editor, "edit", counted)
    assert jobs.wait_until_loaded(PATIENCE) == ""
    ready = threading.Event()
    monkeypatch.setattr(Job, "begin", lambda self, begin=Job.begin: (ready.wait(PATIENCE), begin(self))[1])
    job = jobs.submit_series([request(picture, seed=seed) for seed in (1, 2)])
    ready.set()
    finished(job, JobState.CANCELLED)
    assert begun == [1] and len(job.snapshot.entries) == 1


def test_an_edit_is_for_the_model_that_it_was_written_for(jobs: Jobs, picture: Image.Image) -> None:
    assert jobs.wait_until_loaded(PATIENCE) == ""
    number = jobs.model.number
    finished(jobs.submit(request(picture), number), JobState.DONE)
    jobs.use(ModelChoice("another"))
    assert jobs.wait_until_settled(PATIENCE).name == "another"
    with pytest.raises(QueueFullError, match="the model has changed to another meanwhile"):
        jobs.submit(request(picture), number)
    finished(jobs.submit(request(picture), jobs.model.number), JobState.DONE)


def test_closing_does_not_wait_for_a_download(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "CLOSING_SECONDS", 0.2)
    begun, go_on = threading.Event(), threading.Event()

    def download(*_: object) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        raise ValueError("stopped")

    jobs = Jobs(lambda _: pytest.fail("loaded"), history, fetch=download)
    assert begun.wait(PATIENCE)
    jobs.close()
    assert not go_on.is_set()
    go_on.set()
