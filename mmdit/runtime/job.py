"""One edit, or several in a row, on the way through the queue: its state at any moment, for any thread.

Knows neither the queue nor the model.
"""

import secrets
import threading
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from PIL import Image

from mmdit.runtime.history import Entry

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest, StepProgress


class JobState(str, Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


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
        notes, warnings: see `EditResult`, of all results, each once; none unless done.
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
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""


class Job:
    """Made by `Jobs.submit` and `Jobs.submit_series`.

    Args:
        requests: one or more, of equally many steps.
        model: the name of the model that is to make them.

    Attributes:
        context: of whoever asked for it, in which the edits are made; lenders of GPUs look there for whose they are.
    """

    def __init__(self, requests: "Sequence[EditRequest]", model: str = "") -> None:
        self.model = model
        self.context = copy_context()
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
