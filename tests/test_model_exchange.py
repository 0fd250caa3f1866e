"""The worker and its model: exchanging, failing, coming back, and edits that belong to one model."""

import ctypes
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoints import build

from mmdit import EditError, EditRequest, EditResult
from mmdit.catalog import find
from mmdit.editor import Editor
from mmdit.load import fetch, load_editor
from mmdit.runtime.history import History
from mmdit.runtime.job import Job, JobState
from mmdit.runtime.jobs import Jobs, QueueFullError
from mmdit.runtime.model_slot import ModelChoice, ModelState, OnProgress

PATIENCE = 120  # seconds; only a hung worker takes so long

ENDED = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Shop:
    """Real models from folders, with doors that a test can keep shut."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.living: list[weakref.ref[Editor]] = []
        self.alive_at_load: list[int] = []
        self.fetched = threading.Event()
        self.download: Callable[[ModelChoice, OnProgress], None] = lambda choice, report: None
        self.on_load: Callable[[], None] = lambda: None
        self.broken: set[str] = set()

    def fetch(self, choice: ModelChoice, on_progress: OnProgress) -> None:
        fetch(choice.name, on_progress)
        self.download(choice, on_progress)

    def load(self, choice: ModelChoice) -> Editor:
        self.alive_at_load.append(sum(editor() is not None for editor in self.living))
        self.on_load()
        if choice.name in self.broken:
            raise EditError(f"{choice.name} does not fit; use a smaller one")
        editor = load_editor(choice.name, "cpu", memory=choice.memory)
        self.loaded.append(choice.name)
        self.living.append(weakref.ref(editor))
        return editor


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def kontext(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kontext")
    build("flux_kontext").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def mini(tiny_editor_folder: Path) -> str:
    return str(tiny_editor_folder)


@pytest.fixture
def jobs(shop: Shop, mini: str, tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(shop.load, History(tmp_path / "results"), ModelChoice(mini), shop.fetch) as jobs:
        assert jobs.wait_until_loaded(PATIENCE) == ""
        yield jobs


def request(photograph: Image.Image, **values: object) -> EditRequest:
    given = {"images": [photograph.resize((96, 80))], "instruction": "make the cat blue", "seed": 7, "steps": 2}
    return EditRequest(**given | {"resolution": None} | values)


def finished(job: Job, state: JobState) -> None:
    assert job.wait(PATIENCE).state is state, job.snapshot


def held(shop: Shop, jobs: Jobs, name: str) -> threading.Event:
    """Begin a download that lasts until the event is set, 3 of 10 bytes being there."""
    go_on, begun = threading.Event(), threading.Event()

    def download(choice: ModelChoice, on_progress: OnProgress) -> None:
        on_progress(3, 10)
        begun.set()
        assert go_on.wait(PATIENCE)

    shop.download = download
    jobs.use(ModelChoice(name))
    assert begun.wait(PATIENCE)
    return go_on


# ---- exchange


def test_another_model_takes_the_place_of_the_first(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image
) -> None:
    before = jobs.model
    assert (before.name, before.state, before.coming) == (mini, ModelState.READY, None)
    jobs.use(ModelChoice(kontext, "full"))
    now = jobs.wait_until_settled(PATIENCE)
    assert (now.name, now.state, now.error, now.coming) == (kontext, ModelState.READY, "", None)
    assert now.number > before.number
    assert now.memory.startswith("full")
    assert now.entry.pipeline == "FluxKontextPipeline"
    job = jobs.submit(request(photograph))
    finished(job, JobState.DONE)
    with Image.open(job.snapshot.entry.result) as made:
        expected = load_editor(kontext, "cpu").edit(request(photograph)).image
        assert made.convert("RGB").tobytes() == expected.tobytes()
    assert before.name == mini


def test_while_another_model_is_loaded_it_is_the_one_that_is_known(
    jobs: Jobs, shop: Shop, mini: str, kontext: str
) -> None:
    first, seen = find("mini"), []
    shop.on_load = lambda: seen.append(jobs.model.entry_or(first))
    assert jobs.model.entry_or(first).name == mini
    jobs.use(ModelChoice(kontext))
    jobs.wait_until_settled(PATIENCE)
    assert [(entry.name, entry.pipeline) for entry in seen] == [(kontext, "FluxKontextPipeline")]
    jobs.unload()
    jobs.wait_until_settled(PATIENCE)
    assert jobs.model.entry_or(first) == first


def test_one_model_at_a_time_is_held(jobs: Jobs, shop: Shop, mini: str, kontext: str) -> None:
    for name in (kontext, mini, kontext):
        jobs.use(ModelChoice(name))
        jobs.wait_until_settled(PATIENCE)
    assert shop.loaded == [mini, kontext, mini, kontext]
    assert shop.alive_at_load == [0, 0, 0, 0]


def test_a_model_that_does_not_load_leaves_the_former_one(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image
) -> None:
    shop.broken = {kontext}
    jobs.use(ModelChoice(kontext))
    now = jobs.wait_until_settled(PATIENCE)
    assert (now.name, now.state, now.coming) == (mini, ModelState.READY, None)
    assert now.error == f"{kontext} does not fit; use a smaller one"
    finished(jobs.submit(request(photograph)), JobState.DONE)
    jobs.use(ModelChoice(mini))
    assert jobs.wait_until_settled(PATIENCE).error == ""


def test_when_the_former_one_does_not_come_back_there_is_none_until_one_loads(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image
) -> None:
    shop.broken = {kontext, mini}
    jobs.use(ModelChoice(kontext))
    now = jobs.wait_until_settled(PATIENCE)
    assert (now.name, now.state) == ("", ModelState.FAILED)
    assert f"{kontext} does not fit" in now.error and f"{mini} does not fit" in now.error
    with pytest.raises(QueueFullError, match="does not fit"):
        jobs.submit(request(photograph))
    shop.broken = set()
    jobs.use(ModelChoice(mini))
    finished(jobs.submit(request(photograph)), JobState.DONE)


def test_unloading_lets_go_and_edits_are_refused(jobs: Jobs, shop: Shop, photograph: Image.Image) -> None:
    job = jobs.submit(request(photograph))
    jobs.unload()
    with pytest.raises(QueueFullError, match="no model is loaded"):
        jobs.submit(request(photograph))
    assert jobs.wait_until_settled(PATIENCE).state is ModelState.NONE
    finished(job, JobState.DONE)  # it was there before
    assert jobs.editor is None
    assert [editor() for editor in shop.living] == [None]


@pytest.mark.parametrize(("name", "said"), [("nonesuch", "nonesuch"), ("org/nonesuch", "is not on this machine")])
def test_a_model_that_is_not_to_be_had_disturbs_nobody(jobs: Jobs, shop: Shop, mini: str, name: str, said: str) -> None:
    jobs.use(ModelChoice(name))
    now = jobs.wait_until_settled(PATIENCE)
    assert (now.name, now.state, now.coming) == (mini, ModelState.READY, None)
    assert said in now.error and "\n" not in now.error
    assert shop.loaded == [mini]


# ---- downloads, and edits meanwhile


def test_edits_go_on_during_a_download_and_belong_to_the_model_they_were_sent_to(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image
) -> None:
    go_on = held(shop, jobs, kontext)
    coming = jobs.model.coming
    assert (coming.name, coming.stage, coming.done, coming.missing) == (kontext, "fetching", 3, 10)
    early = jobs.submit(request(photograph))
    finished(early, JobState.DONE)
    assert early.snapshot.entry.settings["model"] == mini
    go_on.set()
    assert jobs.wait_until_settled(PATIENCE).name == kontext
    late = jobs.submit(request(photograph))
    finished(late, JobState.DONE)
    assert late.snapshot.entry.settings["model"] == kontext
    assert (early.model, late.model) == (mini, kontext)


def test_an_edit_for_a_model_that_does_not_come_is_not_made_by_another(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on, edit = threading.Event(), threading.Event(), Editor.edit

    def slow(editor: Editor, *arguments: object) -> EditResult:
        inside.set()
        assert go_on.wait(PATIENCE)
        return edit(editor, *arguments)

    monkeypatch.setattr(Editor, "edit", slow)
    shop.broken = {kontext}
    running, waiting = jobs.submit(request(photograph)), jobs.submit(request(photograph, seed=8))
    assert inside.wait(PATIENCE)
    jobs.use(ModelChoice(kontext))
    while jobs.model.coming.stage == "fetching":
        threading.Event().wait(0.01)
    meant_for_kontext = jobs.submit(request(photograph))
    go_on.set()
    finished(running, JobState.DONE)
    finished(waiting, JobState.DONE)
    finished(meant_for_kontext, JobState.FAILED)
    assert f"{kontext} does not fit" in meant_for_kontext.snapshot.error
    assert len(jobs.history.latest(9)) == 2


def test_the_latest_wish_counts(jobs: Jobs, shop: Shop, mini: str, kontext: str) -> None:
    go_on = held(shop, jobs, kontext)
    shop.download = lambda choice, on_progress: None
    jobs.use(ModelChoice(mini, "full"))
    assert jobs.wait_until_settled(PATIENCE).coming is None
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(PATIENCE)
    assert jobs.model.name == mini
    assert kontext not in shop.loaded


def test_a_download_that_fails_is_told_and_the_model_stays(
    jobs: Jobs, shop: Shop, mini: str, kontext: str, photograph: Image.Image
) -> None:
    def full(choice: ModelChoice, on_progress: OnProgress) -> None:
        raise EditError("org/model takes 24 GB more on the disk, where 1 GB are free; make room")

    shop.download = full
    jobs.use(ModelChoice(kontext))
    now = jobs.wait_until_settled(PATIENCE)
    assert (now.name, now.error.partition(" takes")[0]) == (mini, "org/model")
    assert shop.loaded == [mini]
    finished(jobs.submit(request(photograph)), JobState.DONE)


class Slow(Shop):
    """Its first model takes as long to load as a test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.loading, self.go_on = threading.Event(), threading.Event()

    def load(self, choice: ModelChoice) -> Editor:
        self.loading.set()
        assert self.go_on.wait(PATIENCE)
        return super().load(choice)


def test_a_failure_while_another_model_loads_stays_to_be_read(mini: str, tmp_path: Path) -> None:
    shop = Slow()
    with Jobs(shop.load, History(tmp_path / "results"), ModelChoice(mini), shop.fetch) as jobs:
        assert shop.loading.wait(PATIENCE)
        jobs.use(ModelChoice("org/none"))
        failed = jobs.wait_until_settled(PATIENCE)
        shop.go_on.set()
        assert jobs.wait_until_loaded(PATIENCE) == ""
        assert failed.error != ""
        assert (jobs.model.name, jobs.model.error, jobs.model.coming) == (mini, failed.error, None)


def test_a_download_goes_on_to_be_shown_when_another_model_has_loaded(mini: str, kontext: str, tmp_path: Path) -> None:
    shop, arrived = Slow(), threading.Event()

    def download(choice: ModelChoice, on_progress: OnProgress) -> None:
        assert choice.name == mini or arrived.wait(PATIENCE)

    shop.download = download
    with Jobs(shop.load, History(tmp_path / "results"), ModelChoice(mini), shop.fetch) as jobs:
        assert shop.loading.wait(PATIENCE)
        jobs.use(ModelChoice(kontext))
        shop.go_on.set()
        assert jobs.wait_until_loaded(PATIENCE) == ""
        assert (jobs.model.name, jobs.model.coming.name, jobs.model.coming.stage) == (mini, kontext, "fetching")
        arrived.set()
        assert jobs.wait_until_settled(PATIENCE).name == kontext


# ---- the worker survives


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("odd"), "odd"),
        (MemoryError(), "memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nand much more"), "memory ran out"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: 99 bytes"), "memory ran out"),
    ],
)
def test_whatever_an_edit_raises_the_next_one_is_made(
    jobs: Jobs, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch, failure: BaseException, said: str
) -> None:
    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(Editor, "edit", fail)
    broken = jobs.submit(request(photograph))
    finished(broken, JobState.FAILED)
    assert said in broken.snapshot.error and "\n" not in broken.snapshot.error
    monkeypatch.undo()
    finished(jobs.submit(request(photograph)), JobState.DONE)


def test_a_model_that_lost_its_weights_is_loaded_again(
    jobs: Jobs, shop: Shop, mini: str, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an edit ran out of memory twice, the second time while loading the model a smaller way."""

    def lose(editor: Editor, *arguments: object) -> None:
        editor._loaded = None
        raise EditError("there is not enough memory; close other programs")

    monkeypatch.setattr(Editor, "edit", lose)
    finished(jobs.submit(request(photograph)), JobState.FAILED)
    monkeypatch.undo()
    finished(jobs.submit(request(photograph)), JobState.DONE)
    assert shop.loaded == [mini, mini]


@ENDED
def test_a_killed_worker_is_started_again(jobs: Jobs, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = jobs._worker

    def end_the_thread(job: Job) -> None:
        raise SystemExit

    monkeypatch.setattr(jobs, "_run", end_the_thread)
    lost = jobs.submit(request(photograph))
    finished(lost, JobState.FAILED)
    assert "ended from outside" in lost.snapshot.error
    worker.join(PATIENCE)
    assert not worker.is_alive()
    monkeypatch.undo()
    finished(jobs.submit(request(photograph)), JobState.DONE)


@ENDED
def test_a_worker_killed_while_it_sleeps_is_started_again(jobs: Jobs, photograph: Image.Image) -> None:
    worker = jobs._worker
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(SystemExit))
    with jobs._changed:
        jobs._changed.notify_all()  # an exception from outside arrives when the thread runs again
    worker.join(PATIENCE)
    assert not worker.is_alive()
    finished(jobs.submit(request(photograph)), JobState.DONE)
