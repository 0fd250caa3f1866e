"""The place for one model: what is in it, what is on its way into it, and how one makes room for another.

In: a function that downloads a model and one that loads it. Out: the editor for the worker, and `ModelSnapshot`s that
any thread may read at any moment. Knows neither jobs nor the page; only one thread at a time may change the model.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from mmdit.catalog import ModelEntry, find
from mmdit.runtime.failures import free_memory, sentence

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import Editor

Stage = Literal["fetching", "waiting", "loading"]
OnProgress = Callable[[int, int], None]
"""Called with the bytes that have come, and those that were missing."""


@dataclass(frozen=True)
class ModelChoice:
    """
    Args:
        name: a name of the catalog, a local folder or a hub id.
        memory: "auto", "full", "offload", "group", "int8" or "int4".
    """

    name: str
    memory: str = "auto"


Fetch = Callable[[ModelChoice, OnProgress], None]
Load = Callable[[ModelChoice], "Editor"]


class ModelState(str, Enum):
    NONE = "none"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Coming:
    """A model on its way.

    Args:
        stage: it is downloaded, waits for edits with the present model, or is loaded.
        since: when the stage began, of `time.monotonic`.
        done, missing: bytes that have come, of how many; 0 of 0 where nothing is downloaded, or not known yet.
    """

    name: str
    stage: Stage
    since: float
    done: int = 0
    missing: int = 0


@dataclass(frozen=True)
class ModelSnapshot:
    """What is loaded, at one moment.

    Args:
        name: as it was asked for; of the one that is being loaded while there is none; "" for none.
        state: of the model that edits.
        number: counts models as they become ready, so that whoever looks can tell that it is another one.
        entry: what is known of it; None unless ready.
        memory: how it lies in memory, and why, for people; "" where nothing is to be said.
        error: why the last change came to nothing, in one sentence with the remedy; "" when it did not.
        coming: the model that is on its way; None for none.
    """

    name: str = ""
    state: ModelState = ModelState.NONE
    number: int = 0
    entry: ModelEntry | None = None
    memory: str = ""
    error: str = ""
    coming: Coming | None = None

    def entry_or(self, first: ModelEntry) -> ModelEntry:
        """What is known of the model, or of one by its name while it is not ready; ``first`` where none is named."""
        return self.entry or (find(self.name) if self.name else first)


class ModelSlot:
    """
    Args:
        fetch: downloads a model unless it is here, as far as that can be told without loading it.
        load: returns its editor. Both raise ValueError for what the asker can mend.
    """

    def __init__(self, fetch: Fetch, load: Load) -> None:
        self._fetch = fetch
        self._load = load
        self._lock = threading.Lock()
        self._choice: ModelChoice | None = None
        self._editor: Editor | None = None
        self._snapshot = ModelSnapshot()

    @property
    def editor(self) -> "Editor | None":
        """The model that edits; None while there is none."""
        return self._editor

    @property
    def snapshot(self) -> ModelSnapshot:
        """The model as it is now; never changes afterwards."""
        snapshot, editor = self._snapshot, self._editor
        return snapshot if editor is None else replace(snapshot, memory=editor.memory)  # an edit may have changed it

    # ---- what is on its way

    def expect(self, choice: ModelChoice, stage: Stage) -> None:
        """From now on this one is on its way, and no other."""
        self._set(error="", coming=Coming(choice.name, stage, time.monotonic()))

    def forget(self, error: str = "") -> None:
        """Nothing is on its way any more."""
        self._set(error=error, coming=None)

    def fetch(self, choice: ModelChoice) -> str:
        """Download it if need be; one sentence when it is not to be had, or else nothing. For any thread."""

        def report(done: int, missing: int) -> None:
            with self._lock:
                coming = self._snapshot.coming
                if coming is not None and coming.name == choice.name and coming.stage == "fetching":
                    self._snapshot = replace(self._snapshot, coming=replace(coming, done=done, missing=missing))

        try:
            self._fetch(choice, report)
        except BaseException as error:  # also what ends a thread: whoever waits has to be told
            return sentence(error)
        return ""

    # ---- what is loaded

    def exchange(self, choice: ModelChoice) -> None:
        """Load another model in place of the present one, which comes back when that fails. Never raises.

        Where there is none, the other one is downloaded first; else `fetch` has been called.
        """
        former = self._choice
        self._let_go(choice.name)
        self._advance("", choice, "loading" if former else "fetching")
        error = "" if former else self.fetch(choice)
        if not error:
            self._advance(choice.name, choice, "loading")
            error = self._try(choice)
        if error:
            free_memory()
            error = self._go_back(choice, former, error)
        self._arrive(former if error and former else choice, error)

    def _advance(self, before: str, choice: ModelChoice, stage: Stage) -> None:
        """After what had this name, or nothing, this one is on its way, unless another was chosen meanwhile."""
        with self._lock:
            coming = self._snapshot.coming
            if ("" if coming is None else coming.name) in (before, choice.name):
                coming = Coming(choice.name, stage, time.monotonic())
                self._snapshot = replace(self._snapshot, error="", coming=coming)

    def _arrive(self, choice: ModelChoice, error: str) -> None:
        """This one is on its way no more; what was chosen meanwhile keeps its news."""
        with self._lock:
            coming = self._snapshot.coming
            if coming is not None and coming.name == choice.name:
                coming = None
            self._snapshot = replace(self._snapshot, error=error or self._snapshot.error, coming=coming)

    def _go_back(self, failed: ModelChoice, former: ModelChoice | None, error: str) -> str:
        """After an error, load what was there before; the error, with what may have gone wrong now."""
        if former is None:
            self.give_up(error)
            return error
        self._set(name=former.name)
        self._advance(failed.name, former, "loading")
        again = self._try(former)
        if again:
            error = f"{error}; {former.name}, which was there before, could not be loaded again either: {again}"
            self.give_up(error)
        return error

    def give_up(self, error: str) -> None:
        """There is no model, for this reason."""
        self._editor = self._choice = None
        self._set(name="", state=ModelState.FAILED, entry=None, error=error)
        free_memory()

    def unload(self) -> None:
        """Let go of the model."""
        self._let_go("")
        self._set(state=ModelState.NONE, error="")

    def renew(self) -> None:
        """Load the same model again, which has lost its weights when memory ran out. Never raises."""
        choice = self._choice
        if choice is None:
            return
        self._let_go(choice.name)
        error = self._try(choice)
        if error:
            self.give_up(error)

    def _let_go(self, name: str) -> None:
        """Both at once might not fit."""
        self._editor = self._choice = None
        self._set(name=name, state=ModelState.LOADING, entry=None)
        free_memory()

    def _try(self, choice: ModelChoice) -> str:
        """One sentence when it can't be loaded, or else nothing."""
        try:
            editor = self._load(choice)
        except BaseException as error:  # as for `fetch`
            return sentence(error)
        self._choice, self._editor = choice, editor
        number = self._snapshot.number + 1
        self._set(name=choice.name, state=ModelState.READY, number=number, entry=editor.entry)
        return ""

    def _set(self, **changes: object) -> None:
        with self._lock:
            self._snapshot = replace(self._snapshot, **changes)
