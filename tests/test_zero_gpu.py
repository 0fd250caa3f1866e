"""Edits on a lent GPU: with a lender that pickles what goes in and out, as `spaces` does, and changes nothing else."""

import contextvars
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdit.attention.spec import RecordSpec
from mmdit.editor import EditCancelled, EditError, Editor, EditRequest
from mmdit.families.step1x_edit.reasoning import MOST_TRIES
from mmdit.lora.inspect import LoraError
from mmdit.lora.stack import LoraWeight
from mmdit.runtime.history import History
from mmdit.runtime.job import JobState
from mmdit.runtime.jobs import Jobs
from mmdit.space.zero_gpu import AROUND, BorrowingEditor

pytestmark = pytest.mark.shipped


class Lender:
    """Keeps account of what was asked for."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self.back = 0

    def lend(self, duration: Callable[..., int]) -> Callable:
        def decorate(task: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def lent(*arguments: Any) -> Iterator[Any]:
                self.seconds.append(duration(*arguments))
                try:
                    for said in task(*pickle.loads(pickle.dumps(arguments))):
                        yield pickle.loads(pickle.dumps(said))
                finally:
                    self.back += 1

            return lent

        return decorate


@pytest.fixture
def lender() -> Lender:
    return Lender()


@pytest.fixture
def borrowing(editor: Editor, lender: Lender) -> BorrowingEditor:
    return BorrowingEditor(editor, lender.lend)


def test_an_edit_is_the_editors_own(
    borrowing: BorrowingEditor, lender: Lender, editor: Editor, photograph: Image.Image
) -> None:
    request = EditRequest(
        [photograph], "thermal", seed=5, steps=3, loras=[LoraWeight("thermal", 0.8)], record=RecordSpec()
    )
    steps: list[int] = []
    made, expected = borrowing.edit(request, lambda progress: steps.append(progress.step)), editor.edit(request)
    assert np.array_equal(np.asarray(made.image), np.asarray(expected.image))
    assert made.settings == expected.settings
    assert np.array_equal(made.maps.heatmap("thermal"), expected.maps.heatmap("thermal"))
    assert steps == [1, 2, 3]
    assert (len(lender.seconds), lender.back) == (1, 1)


def test_what_is_wrong_is_said_in_full(borrowing: BorrowingEditor, lender: Lender, photograph: Image.Image) -> None:
    with pytest.raises(EditError, match="steps is 0"):
        borrowing.edit(EditRequest([photograph], "make it darker", steps=0))
    assert lender.seconds == []
    with pytest.raises(LoraError, match="nonesuch"):
        borrowing.edit(EditRequest([photograph], "make it darker", loras=[LoraWeight("nonesuch")]))
    assert lender.back == 1


def test_cancelling_gives_the_gpu_back(borrowing: BorrowingEditor, lender: Lender, photograph: Image.Image) -> None:
    seen: list[int] = []

    def stop(progress: Any) -> None:
        seen.append(progress.step)
        raise EditCancelled

    with pytest.raises(EditCancelled):
        borrowing.edit(EditRequest([photograph], "make it darker", steps=100), stop)
    assert (seen, lender.back) == ([1], 1)


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_the_lent_thread_is_told(
    borrowing: BorrowingEditor, photograph: Image.Image, ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> None:
        raise ending

    monkeypatch.setattr(Editor, "edit", end)
    with pytest.raises(RuntimeError, match=f"ended from outside .{ending.__name__}.; send it again"):
        borrowing.edit(EditRequest([photograph], "make it darker"))


def test_a_gpu_is_asked_for_by_what_the_edit_takes(borrowing: BorrowingEditor, photograph: Image.Image) -> None:
    request = EditRequest([photograph], "make it darker")
    assert borrowing.seconds(request) == AROUND + 1
    large = replace(request, steps=100, guidance=3.0, images=[photograph] * 4)
    assert borrowing.seconds(replace(request, reasoning="reflect")) == MOST_TRIES * (AROUND + 1)
    assert borrowing.seconds(large) >= borrowing.seconds(request)


def test_the_lender_sees_who_asked(editor: Editor, photograph: Image.Image, tmp_path: Path) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    class Watching(BorrowingEditor):
        def seconds(self, request: EditRequest) -> int:
            seen.append(who.get())
            return super().seconds(request)

    with Jobs(lambda _: Watching(editor, Lender().lend), History(tmp_path)) as jobs:
        asked = [contextvars.copy_context() for _ in range(2)]
        for context, name in zip(asked, ("one", "other"), strict=True):
            context.run(who.set, name)
            job = context.run(jobs.submit, EditRequest([photograph], "make it darker"))
            assert job.wait().state is JobState.DONE
    assert seen == ["one", "other"]
