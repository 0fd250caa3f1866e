"""What will come of what is asked for, said before the edit is made: sizes, LoRAs, time and memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gradio as gr

from mmdit.lora.header import LoraError
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.pace import Expected, work_of
from mmdit.ui import markup
from mmdit.ui.language import say
from mmdit.ui.lora_shelf import Chosen, LoraShelf

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest

GIGABYTE = 1e9


class Preflight:
    """Two lines, built where it is made: what will come of the edit, and words that its LoRAs miss."""

    def __init__(self, jobs: Jobs, shelf: LoraShelf) -> None:
        self._jobs, self._shelf = jobs, shelf
        self.line = gr.HTML("", elem_id="preflight")
        self.words = gr.HTML("", visible=False, elem_id="missing-words")

    def said(self, request: "EditRequest", stack: Sequence[Chosen], pictures: int) -> str:
        """HTML for a request and how many pictures it is to make. Raises EditError: a value out of range."""
        given = request.images[0].size
        size = request.size or given
        if size == given:
            told = [say("The result will be {size} pixels, as the picture is.", size=_size(size))]
        else:
            told = [say("The result will be {size} pixels.", size=_size(size))]
        told += self._brought(request, stack)
        editor, model = self._jobs.editor, self._jobs.model
        if editor is not None:
            told.append(say("The model works at {size}.", size=_size(editor.plan(request).working)))
            expected = self._jobs.pace.expected(work_of(editor, request, model.number))
            if request.strength is not None:
                told.append(say("Strength of the instruction: {strength}.", strength=f"{request.strength.value:g}"))
            told += [*self._matches(stack), duration(expected, pictures)]
        return markup.hint(" ".join(told))

    def said_of_words(self, stack: Sequence[Chosen], instruction: str) -> str:
        """HTML that names the LoRAs whose words the instruction lacks; "" where it lacks none."""
        missing = {of.key: self._shelf.words_missing(of, instruction) for of in stack}
        told = [
            say("{name} wants the words “{words}” in the instruction.", name=self._shelf.preset(key).title, words=words)
            for key, words in missing.items()
            if words
        ]
        return markup.hint(" ".join(told)) if told else ""

    def _brought(self, request: "EditRequest", stack: Sequence[Chosen]) -> list[str]:
        """A sentence on what the LoRAs' presets bring along that is not the model's default anyway."""
        said, model = self._shelf.recommended(stack), self._shelf.model
        brought = [name for name in said if getattr(request, name) == said[name] != getattr(model, name, None)]
        if not brought:
            return []
        words = {
            "steps": lambda steps: say("1 step") if steps == 1 else say("{count} steps", count=steps),
            "guidance": lambda guidance: say("guidance {guidance}", guidance=f"{guidance:g}"),
            "shift": lambda shift: say("shift {shift}", shift=f"{shift:g}"),
        }
        settings = ", ".join(words[name](said[name]) for name in brought)
        return [say("Settings from the LoRAs: {settings}.", settings=settings)]

    def _matches(self, stack: Sequence[Chosen]) -> list[str]:
        """A sentence on each LoRA that does not apply whole, and one on those that do."""
        whole, told = 0, []
        for chosen in stack:
            name = self._shelf.name(chosen.key)
            try:
                report = self._shelf.report(chosen.key)
            except LoraError as error:
                told.append(f"{name}: {error}.")
                continue
            whole += report.whole
            if not report.whole:
                lost = len(report.incomplete) + len(report.mismatched) + len(report.unknown)
                told.append(say("{name} applies in part: {count} of its modules do not.", name=name, count=lost))
        return [*told, say("LoRAs that apply whole: {count}.", count=whole)] if whole else told


def duration(expected: Expected | None, pictures: int) -> str:
    """How long an edit should take, in words."""
    if expected is None:
        return say("How long it takes is known after the first edit.")
    least, most = (_seconds(seconds * pictures) for seconds in (expected.least, expected.most))
    return say(
        "About {time} and {memory} GB of memory, going by {count} of the edits before.",
        time=most if least == most else f"{least} – {most}", memory=f"{expected.memory / GIGABYTE:.1f}",
        count=expected.edits,
    )  # fmt: skip


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
