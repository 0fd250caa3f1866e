"""An editor whose edits run on a GPU that is lent for each of them: ZeroGPU of Hugging Face Spaces.

The lender's decorator runs a generator in a forked process: what goes in and comes out is pickled, and nothing that the
edit changes there is seen here. So a result brings its settings along, LoRAs included, as the pipeline there was when
it was made; nothing is remembered on this side. Knows no more of the lender than that decorator, `spaces.GPU`.
"""

import math
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from mmdit.editor import EditCancelled, Editor, EditRequest, EditResult, StepProgress
from mmdit.families.step1x_edit.reasoning import MOST_TRIES

Lend = Callable[..., Callable[[Callable[..., Iterator[Any]]], Callable[..., Iterator[Any]]]]
Said = StepProgress | EditResult | Exception

AROUND = 20  # seconds, for weights on their way to the GPU, text encoding, decoding
FLOPS = 1.5e14  # a second; about a third of what the lent GPUs do in bfloat16
TEXT_TOKENS, PATCH = 512, 16


class BorrowingEditor:
    """All that the given editor is, but each edit borrows a GPU for as long as it should take.

    Args:
        lend: `spaces.GPU`.
    """

    def __init__(self, editor: Editor, lend: Lend) -> None:
        self._editor = editor
        self._lent = lend(duration=self.seconds)(self._said)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._editor, name)

    def seconds(self, request: EditRequest) -> int:
        """For how long a GPU is asked: the products of the transformer's weights with its tokens, and what is around.

        Raises:
            EditError: a value out of range.
        """
        plan = self.plan(request)
        edits = MOST_TRIES if request.reasoning == "reflect" else 1
        patches = math.ceil(plan.working[0] / PATCH) * math.ceil(plan.working[1] / PATCH)
        tokens = TEXT_TOKENS + patches * (1 + len(request.images))
        weights = sum(parameter.numel() for parameter in self.transformer.parameters())
        return edits * (AROUND + math.ceil(plan.steps * plan.passes * 2 * weights * tokens / FLOPS))

    def edit(self, request: EditRequest, on_step: Callable[[StepProgress], None] | None = None) -> EditResult:
        """As `Editor.edit`."""
        request.check()  # before a GPU is asked for
        lent = self._lent(request)
        try:
            for said in lent:
                if isinstance(said, Exception):
                    raise said
                if isinstance(said, EditResult):
                    return said
                if on_step is not None:
                    on_step(said)
        finally:
            lent.close()
        raise EditCancelled  # the lender took the GPU back

    def _said(self, request: EditRequest) -> Iterator[Said]:
        """There: each step, then the result or what went wrong; the lender would pass on no more than an error's name.

        Closing it ends the edit within a step.
        """
        said: SimpleQueue[Said] = SimpleQueue()
        is_unwanted = threading.Event()

        def on_step(progress: StepProgress) -> None:
            if is_unwanted.is_set():
                raise EditCancelled
            said.put(progress)

        def run() -> None:
            try:
                said.put(self._editor.edit(request, on_step))
            except Exception as error:
                said.put(error)
            except BaseException as error:  # else whoever waits would wait forever
                said.put(RuntimeError(f"the edit was ended from outside ({type(error).__name__}); send it again"))

        thread = threading.Thread(target=run, name="lent")
        thread.start()
        try:
            while isinstance(latest := said.get(), StepProgress):
                yield latest
            yield latest
        finally:
            is_unwanted.set()
            thread.join()
