"""How long an edit should take, and how much memory, going by the edits that this program has made.

In: what an edit's time grows with, and what edits have taken. Out: what to expect of the next one. Knows no model.
"""

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import Editor, EditRequest

KEPT = 24  # edits that are remembered
ALIKE = 1.05  # ratio of work up to which edits count as equally long


@dataclass(frozen=True)
class Work:
    """What an edit's time grows with.

    Args:
        model: the number of the loaded model; times of another one tell nothing.
        pixels: that the transformer sees, at its working size, in all calls together.
        output: pixels of the result.
    """

    model: int
    pixels: int
    output: int


@dataclass(frozen=True)
class Expected:
    """
    Args:
        least, most: seconds.
        edits: that this goes by.
        memory: bytes that the largest of them took: of the GPU, or of the process where there is none.
    """

    least: float
    most: float
    edits: int
    memory: int


@dataclass(frozen=True)
class _Run:
    work: Work
    editing: float
    around: float
    memory: int


class Pace:
    """The latest edits' times; may be asked and told from any thread."""

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def note(self, work: Work, editing: float, around: float, memory: int) -> None:
        """An edit was made: seconds in the model, and before and after it."""
        with self._lock:
            self._runs.append(_Run(work, editing, around, memory))

    def expected(self, work: Work) -> Expected | None:
        """Of an edit; None before the first one by its model.

        The edits nearest in size count. Time in the model grows with the pixels that it sees, the rest with the
        result's.
        """
        with self._lock:
            runs = [run for run in self._runs if run.work.model == work.model]
        if not runs:
            return None
        apart = [abs(math.log(work.pixels / run.work.pixels)) for run in runs]
        near = [run for run, far in zip(runs, apart, strict=True) if far <= min(apart) + math.log(ALIKE)]
        seconds = [
            run.editing * work.pixels / run.work.pixels + run.around * work.output / run.work.output for run in near
        ]
        return Expected(min(seconds), max(seconds), len(near), max(run.memory for run in near))


def work_of(editor: "Editor", request: "EditRequest", model: int) -> Work:
    """Raises EditError: a value out of range."""
    plan = editor.plan(request)
    seen = plan.working[0] * plan.working[1] * (1 + len(request.images))
    return Work(model, plan.steps * plan.passes * seen, plan.output[0] * plan.output[1])


def memory_in_use() -> int:
    """Bytes: the peak of the GPU since it was asked last, or what the process holds where there is none."""
    import psutil
    import torch

    if not torch.cuda.is_initialized():  # also where a GPU is lent to another process for each edit
        return psutil.Process().memory_info().rss
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak
