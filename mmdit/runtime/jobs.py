"""One model, one worker thread, and the edits that wait for it.

In: `EditRequest`s, and wishes for another model. Out: `Job`s and `ModelSnapshot`s, which any thread may read at any
moment. A result is on disk before its job counts as done. The worker outlives whatever happens in an edit or while a
model is loaded. Knows neither the page nor the models: it is given functions that download and load them.
"""

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdit.runtime.failures import free_memory, sentence
from mmdit.runtime.history import History
from mmdit.runtime.job import Job, JobState
from mmdit.runtime.model_slot import Fetch, Load, ModelChoice, ModelSlot, ModelSnapshot, ModelState, OnProgress
from mmdit.runtime.pace import Pace, memory_in_use, work_of

if TYPE_CHECKING:  # at run time PyTorch is loaded by the worker, so that a page can show before
    from mmdit.editor import Editor, EditRequest, EditResult, StepProgress

CAPACITY = 8
EMBEDDED = ModelChoice("mini")
REMEMBERED = 64  # finished jobs that can still be looked up
CLOSING_SECONDS = 10  # for the worker to end in; what it downloads or loads can't be interrupted


class QueueFullError(RuntimeError):
    """As many edits wait as may wait, or there is no model; one sentence with the remedy."""


@dataclass(frozen=True, eq=False)
class _Wish:
    """For another model, or for none."""

    choice: ModelChoice | None

    @property
    def name(self) -> str:
        return "" if self.choice is None else self.choice.name


def already_here(choice: ModelChoice, on_progress: OnProgress) -> None:
    """The `Fetch` of models that never have to be downloaded."""


class Jobs:
    """The queue and its worker, which starts at once by loading the first model. Close it, or use it as a context.

    Args:
        load: returns a model's editor; called in the worker. Jobs submitted meanwhile wait.
        history: where results are written.
        first: the model to begin with.
        fetch: downloads a model; called before ``load``, and from another thread while there are edits to be made.
    """

    def __init__(
        self, load: Load, history: History, first: ModelChoice = EMBEDDED, fetch: Fetch = already_here
    ) -> None:
        self.history = history
        self._slot = ModelSlot(fetch, load)
        self.pace = Pace()
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._known: dict[str, Job] = {}
        self._closed = False
        self._tried = threading.Event()
        self._wish: _Wish | None = None  # the latest, until it is fulfilled
        self._due: _Wish | None = None  # what the worker does as soon as no edit waits for the present model
        self._task: Job | _Wish | None = None  # what the worker is at
        self._worker: threading.Thread | None = self._start_worker()
        self.use(first)

    # ---- the model

    @property
    def model(self) -> ModelSnapshot:
        """What is loaded and what is on its way, as it is now."""
        return self._slot.snapshot

    @property
    def editor(self) -> "Editor | None":
        """The editor, for questions that need no edit; None while there is none that can answer."""
        editor = self._slot.editor
        return editor if editor is not None and editor.usable else None

    @property
    def ready(self) -> bool:
        """Whether a model is loaded."""
        return self.editor is not None

    def wait_until_loaded(self, timeout: float | None = None) -> str:
        """Wait for the first model; returns one sentence when it could not be loaded, or else nothing."""
        self._tried.wait(timeout)
        return "" if self.ready else self.model.error

    def use(self, choice: ModelChoice) -> None:
        """Exchange the model; returns at once. An earlier wish that is not fulfilled yet is dropped.

        A download leaves the present model at work. Then come the edits that wait for it, and then the exchange.
        """
        with self._changed:
            if self._closed:
                return
            self._ensure_worker()
            wish = self._wish = _Wish(choice)
            if self.model.state in (ModelState.NONE, ModelState.FAILED) and self._task is None:
                self._make_due(wish)
                return
            self._due = None
            self._slot.expect(choice, "fetching")
        threading.Thread(target=self._fetch, args=[wish], name="download", daemon=True).start()

    def unload(self) -> None:
        """Let go of the model when the edits that wait for it are made; returns at once."""
        with self._changed:
            self._ensure_worker()
            self._slot.forget()
            wish = self._wish = _Wish(None)
            self._make_due(wish)

    def wait_until_settled(self, timeout: float | None = None) -> ModelSnapshot:
        """The model when no other is on its way, or as it is after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._wish is None, timeout)
        return self.model

    # ---- edits

    def submit(self, request: "EditRequest", number: int | None = None) -> Job:
        """Queue one edit; see `submit_series`."""
        return self.submit_series([request], number)

    def submit_series(self, requests: "Sequence[EditRequest]", number: int | None = None) -> Job:
        """Queue one job of one or more edits of equally many steps, made one after the other.

        They are for the model that is in use now, or that is about to be: no other will make them.

        Args:
            number: of the model that they were written for, see `ModelSnapshot`; None for whichever it is.

        Raises:
            QueueFullError: `CAPACITY` edits wait already, there is no model, or it is another one than ``number``.
        """
        with self._changed:
            if self._closed:
                raise QueueFullError("the studio is shutting down; start it again")
            self._ensure_worker()
            model = self._model_to_come()
            if not model:
                raise QueueFullError(self.model.error or "no model is loaded; load one first")
            if number is not None and (self.model.number, self.model.name) != (number, model):
                raise QueueFullError(f"the model has changed to {model} meanwhile; look at the settings and edit again")
            self._waiting = deque(job for job in self._waiting if not job.snapshot.state.finished)
            if len(self._waiting) >= CAPACITY:
                raise QueueFullError(f"{CAPACITY} edits are waiting already; let one finish, or cancel one")
            job = Job(requests, model)
            self._waiting.append(job)
            self._remember(job)
            self._changed.notify_all()
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of that id, unless it is long gone."""
        with self._changed:
            return self._known.get(job_id)

    def current(self, but: Collection[JobState] = ()) -> Job | None:
        """The running job; or else the one submitted last, but for those in some states."""
        with self._changed:
            known = [job for job in self._known.values() if job.snapshot.state not in but]
        running = [job for job in known if job.snapshot.state is JobState.RUNNING]
        return next(iter(running or reversed(known)), None)

    def ahead_of(self, job: Job) -> int:
        """How many edits wait in front of a waiting one."""
        with self._changed:
            waiting = [other for other in self._waiting if not other.snapshot.state.finished]
        return waiting.index(job) if job in waiting else 0

    def close(self) -> None:
        """Cancel everything and end the worker; returns when it has ended, or after `CLOSING_SECONDS`."""
        with self._changed:
            self._closed, worker = True, self._worker
            for job in self._known.values():
                job.cancel()
            self._changed.notify_all()
        self._tried.set()
        if worker is not None:
            worker.join(CLOSING_SECONDS)

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _remember(self, job: Job) -> None:
        self._known[job.id] = job
        finished = [known for known in self._known.values() if known.snapshot.state.finished]
        for forgotten in finished[: max(0, len(finished) - REMEMBERED)]:
            del self._known[forgotten.id]

    # ---- the worker

    def _start_worker(self) -> threading.Thread:
        worker = threading.Thread(target=self._work, name="editor", daemon=True)
        worker.start()
        return worker

    def _ensure_worker(self) -> None:
        if self._worker is None:
            self._worker = self._start_worker()

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                if isinstance(task, Job):
                    self._run(task)
                else:
                    self._fulfil(task)
        finally:
            with self._changed:
                self._abandon()
                left = (self._waiting or self._due) and not self._closed
                self._worker = self._start_worker() if left else None

    def _abandon(self) -> None:
        """Whatever ended the worker's thread, nobody waits for it forever."""
        task, self._task = self._task, None
        if isinstance(task, Job):
            task.end(JobState.FAILED, error="the worker was ended from outside; send the edit again")
        elif task is not None:
            self._slot.give_up("the worker was ended from outside; load the model again")
            self._settle(task)

    def _next(self) -> Job | _Wish | None:
        """Edits for the present model first, then the change of it; None at the end."""
        with self._changed:
            self._task = None
            while not self._closed:
                present = self.model.name
                self._task = next((job for job in self._waiting if job.model == present), None)
                if self._task is not None:
                    self._waiting.remove(self._task)
                    break
                if self._due is not None:
                    self._task, self._due = self._due, None
                    break
                self._dismiss()
                self._changed.wait()
            return self._task

    def _model_to_come(self) -> str:
        """The name of the model that edits submitted now are for; "" for none."""
        change = self._due or self._task
        return change.name if isinstance(change, _Wish) else self.model.name

    def _dismiss(self) -> None:
        """Nobody makes the edits for a model that is not there and not about to be."""
        snapshot = self.model
        for job in self._waiting:
            now = f"{snapshot.name} is loaded now" if snapshot.name else "no model is loaded now"
            gone = snapshot.error or f"this edit was meant for {job.model}, but {now}; send it again"
            job.end(JobState.FAILED, error=gone)
        self._waiting.clear()

    def _make_due(self, wish: _Wish) -> None:
        """Hand a wish to the worker."""
        if wish.choice is not None:
            self._slot.expect(wish.choice, "waiting")
        self._due = wish
        self._changed.notify_all()

    def _fetch(self, wish: _Wish) -> None:
        """In a thread of its own: download, then hand over to the worker, unless something else is wanted by now."""
        error = self._slot.fetch(wish.choice)
        with self._changed:
            if self._wish is not wish or self._closed:
                return
            if not error:
                self._make_due(wish)
                return
            self._slot.forget(error)
            self._settle(wish)

    def _fulfil(self, wish: _Wish) -> None:
        if wish.choice is None:
            self._slot.unload()
        else:
            self._slot.exchange(wish.choice)
        with self._changed:
            self._settle(wish)
        self._tried.set()

    def _settle(self, wish: _Wish) -> None:
        if self._wish is wish:
            self._wish = None
        self._changed.notify_all()

    def _run(self, job: Job) -> None:
        requests = job.begin()
        if requests and self._make(job, requests):
            free_memory()
            if not self._slot.editor.usable:
                self._slot.renew()

    def _tidied(self, request: "EditRequest", result: "EditResult") -> tuple[str, ...]:
        """Note how long an edit took, and make room; sentences for the person. It is made, whatever fails here."""
        try:
            work = work_of(self._slot.editor, request, self.model.number)
            editing = result.timings["edit"]
            self.pace.note(work, editing, result.timings["total"] - editing, memory_in_use())
            return self.history.trim()
        except Exception as error:
            return (f"The result is kept, but tidying up after it failed: {sentence(error)}.",)

    def _make(self, job: Job, requests: "tuple[EditRequest, ...]") -> bool:
        """Make the edits of a job. Returns whether that has failed."""
        from mmdit.editor import EditCancelled

        def on_step(progress: "StepProgress") -> None:
            if job.cancel_wanted:
                raise EditCancelled
            job.progress(progress)

        try:
            notes, warnings = dict[str, None](), dict[str, None]()  # each sentence once
            for request in requests:
                if job.cancel_wanted:  # while the result before was saved
                    raise EditCancelled
                result = job.context.run(self._slot.editor.edit, request, on_step)
                entry = self.history.save(result, request.images)
                job.made(entry)
                notes |= dict.fromkeys(result.notes)
                warnings |= dict.fromkeys((*result.warnings, *self._tidied(request, result)))
            job.end(JobState.DONE, entry=entry, notes=tuple(notes), warnings=tuple(warnings))
        except EditCancelled:
            job.end(JobState.CANCELLED)
        except BaseException as error:  # whatever happens to one edit, the next one has its turn
            job.end(JobState.FAILED, error=sentence(error))
            return True
        return False
