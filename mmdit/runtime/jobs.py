"""One model, one worker thread, and the edits that wait for it.

In: `EditRequest`s. Out: `Job`s, whose snapshots any thread may read at any moment. A result is on disk before
its job counts as done. Knows neither the page nor the model: it is given a function that loads an editor.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from PIL import Image

from mmdit.runtime.history import Entry, History

if TYPE_CHECKING:  # at run time PyTorch is loaded by the worker, so that a page can show before
    from mmdit.editor import Editor, EditRequest, StepProgress

log = logging.getLogger(__name__)

CAPACITY = 8
REMEMBERED = 64  # finished jobs that can still be looked up


class JobState(str, Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class QueueFullError(RuntimeError):
    """As many edits wait as may wait; one sentence with the remedy."""


@dataclass(frozen=True)
class JobSnapshot:
    """A job at one moment.

    Args:
        step, steps: done, of how many, over all edits of the job; 0 of 0 before the first step is done.
        seconds_left: an estimate; None before the first step is done.
        preview: after the latest step, at the model's working size; None unless running.
        source: the picture being edited; None once the job is finished.
        entry: where the (last) result is, with its settings; None unless done.
        entries: the results that are there so far, in the order of the requests.
        error: one sentence; empty unless failed.
    """

    id: str
    instruction: str
    state: JobState
    source: Image.Image | None
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    preview: Image.Image | None = None
    entry: Entry | None = None
    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""


class Job:
    """One edit, or several in a row, on the way through the queue. Made by `Jobs.submit` and `Jobs.submit_series`."""

    def __init__(self, requests: "Sequence[EditRequest]") -> None:
        self._requests: tuple[EditRequest, ...] = tuple(requests)
        self._lock = threading.Lock()
        self._cancel_wanted = False
        self._finished = threading.Event()
        self._snapshot = JobSnapshot(
            secrets.token_hex(8), requests[0].instruction, JobState.WAITING, next(iter(requests[0].images), None)
        )

    @property
    def id(self) -> str:
        return self._snapshot.id

    @property
    def snapshot(self) -> JobSnapshot:
        """The job as it is now; never changes afterwards."""
        return self._snapshot

    @property
    def cancel_wanted(self) -> bool:
        return self._cancel_wanted

    def cancel(self) -> None:
        """Drop a waiting job at once, end a running one after its current step, leave a finished one alone."""
        with self._lock:
            self._cancel_wanted = True
            if self._snapshot.state is JobState.WAITING:
                self._finish(JobState.CANCELLED)

    def wait(self, timeout: float | None = None) -> JobSnapshot:
        """The job when it has finished, or as it is after ``timeout`` seconds."""
        self._finished.wait(timeout)
        return self._snapshot

    def begin(self) -> "tuple[EditRequest, ...]":
        """For the worker: mark it as running and hand out the requests; none when it was cancelled."""
        with self._lock:
            if self._snapshot.state is not JobState.WAITING:
                return ()
            self._snapshot = replace(self._snapshot, state=JobState.RUNNING)
            return self._requests

    def progress(self, progress: "StepProgress") -> None:
        """For the worker: one more step of the current edit is done."""
        with self._lock:
            done, edits = len(self._snapshot.entries), len(self._requests)
            pace = progress.seconds_left / max(1, progress.steps - progress.step)
            self._snapshot = replace(
                self._snapshot,
                step=done * progress.steps + progress.step,
                steps=edits * progress.steps,
                seconds_left=progress.seconds_left + pace * progress.steps * (edits - done - 1),
                preview=progress.preview,
            )

    def made(self, entry: Entry) -> None:
        """For the worker: one more result is on disk."""
        with self._lock:
            self._snapshot = replace(self._snapshot, entries=(*self._snapshot.entries, entry))

    def end(self, state: JobState, **outcome: Entry | tuple[str, ...] | str) -> None:
        """For the worker: the final state, with the snapshot fields that go with it."""
        with self._lock:
            if not self._snapshot.state.finished:
                self._finish(state, **outcome)

    def _finish(self, state: JobState, **outcome: Entry | tuple[str, ...] | str) -> None:
        self._requests = ()  # pictures are large, and finished jobs are remembered
        self._snapshot = replace(self._snapshot, state=state, source=None, preview=None, **outcome)
        self._finished.set()


class Jobs:
    """The queue and its worker, which starts at once by loading the model. Close it, or use it as a context.

    Args:
        load: returns the editor; called once, in the worker. Jobs submitted meanwhile wait.
        history: where results are written.
    """

    def __init__(self, load: "Callable[[], Editor]", history: History) -> None:
        self.history = history
        self._load = load
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._known: dict[str, Job] = {}
        self._closed = False
        self._loaded = threading.Event()
        self._load_error = ""
        self._editor: Editor | None = None
        self._worker = threading.Thread(target=self._work, name="editor", daemon=True)
        self._worker.start()

    @property
    def ready(self) -> bool:
        """Whether the editor is loaded."""
        return self._loaded.is_set() and not self._load_error

    @property
    def editor(self) -> "Editor | None":
        """The editor, for questions that need no edit; None until it is loaded."""
        return self._editor

    def wait_until_loaded(self, timeout: float | None = None) -> str:
        """Wait for the editor; returns one sentence when it could not be loaded, or else nothing."""
        self._loaded.wait(timeout)
        return self._load_error

    def submit(self, request: "EditRequest") -> Job:
        """Queue one edit; see `submit_series`."""
        return self.submit_series([request])

    def submit_series(self, requests: "Sequence[EditRequest]") -> Job:
        """Queue one job of one or more edits of equally many steps, made one after the other.

        Raises:
            QueueFullError: `CAPACITY` edits wait already, or the editor can't be used.
        """
        with self._changed:
            if self._closed or self._load_error:
                raise QueueFullError(self._load_error or "the studio is shutting down; start it again")
            self._waiting = deque(job for job in self._waiting if not job.snapshot.state.finished)
            if len(self._waiting) >= CAPACITY:
                raise QueueFullError(f"{CAPACITY} edits are waiting already; let one finish, or cancel one")
            job = Job(requests)
            self._waiting.append(job)
            self._remember(job)
            self._changed.notify_all()
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of that id, unless it is long gone."""
        with self._changed:
            return self._known.get(job_id)

    def current(self) -> Job | None:
        """The running job; or else the one submitted last."""
        with self._changed:
            known = list(self._known.values())
        running = [job for job in known if job.snapshot.state is JobState.RUNNING]
        return next(iter(running or reversed(known)), None)

    def ahead_of(self, job: Job) -> int:
        """How many edits wait in front of a waiting one."""
        with self._changed:
            waiting = [other for other in self._waiting if not other.snapshot.state.finished]
        return waiting.index(job) if job in waiting else 0

    def close(self) -> None:
        """Cancel everything and end the worker; returns when it has ended."""
        with self._changed:
            self._closed = True
            for job in self._known.values():
                job.cancel()
            self._changed.notify_all()
        self._worker.join()

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _remember(self, job: Job) -> None:
        self._known[job.id] = job
        finished = [known for known in self._known.values() if known.snapshot.state.finished]
        for forgotten in finished[: max(0, len(finished) - REMEMBERED)]:
            del self._known[forgotten.id]

    def _work(self) -> None:
        try:
            editor = self._load()
        except Exception as error:
            self._give_up(_sentence(error))
            return
        self._editor = editor
        self._loaded.set()
        while (job := self._next()) is not None:
            self._run(editor, job)

    def _give_up(self, error: str) -> None:
        with self._changed:
            self._load_error = error
            self._closed = True
            for job in self._waiting:
                job.end(JobState.FAILED, error=error)
        self._loaded.set()

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.popleft()

    def _run(self, editor: "Editor", job: Job) -> None:
        from mmdit.editor import EditCancelled

        requests = job.begin()
        if not requests:
            return

        def on_step(progress: "StepProgress") -> None:
            if job.cancel_wanted:
                raise EditCancelled
            job.progress(progress)

        try:
            warnings: dict[str, None] = {}
            for request in requests:
                result = editor.edit(request, on_step)
                entry = self.history.save(result, request.images)
                job.made(entry)
                warnings |= dict.fromkeys((*result.warnings, *self.history.trim()))
            job.end(JobState.DONE, entry=entry, warnings=tuple(warnings))
        except EditCancelled:
            job.end(JobState.CANCELLED)
        except Exception as error:  # whatever happens to one edit, the next one has its turn
            job.end(JobState.FAILED, error=_sentence(error))


def _sentence(error: Exception) -> str:
    """What went wrong in one line; what is not the asker's to mend goes to the log in full."""
    first_line = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, ValueError):  # EditError and ImageError are, and say all that is needed
        return first_line
    log.error("the editor failed", exc_info=error)
    if isinstance(error, OSError):
        return f"a file could not be read or written: {first_line}"
    return f"something unexpected happened: {first_line} ({type(error).__name__}); the log has the details"
