"""What results were asked for: as values of the left column and of the stack, and what of it has no field there.

In: results and the jobs that made them. Out: values, and a sentence. Changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from mmdit.runtime.history import Entry
from mmdit.runtime.job import Job, JobState
from mmdit.runtime.jobs import Jobs
from mmdit.ui.language import say
from mmdit.ui.lora_shelf import LoraShelf
from mmdit.ui.request_fields import RequestFields, Values
from mmdit.ui.source_image import read_upload
from mmdit.ui.view import View


class PastRequests:
    """
    Args:
        stack: the component whose value is the stack.
    """

    def __init__(self, jobs: Jobs, fields: RequestFields, shelf: LoraShelf, stack: gr.HTML) -> None:
        self.jobs, self.fields, self.shelf, self.stack = jobs, fields, shelf, stack

    def latest(self) -> Job | None:
        """What a page shows when it is opened: the job that is on its way, or else the last that came to something, if
        that is still there."""
        job = self.jobs.current(but=(JobState.FAILED, JobState.CANCELLED))
        entry = None if job is None else job.snapshot.entry
        is_gone = entry is not None and not (entry.result.is_file() and entry.source.is_file())
        return None if is_gone else job

    def of_job(self, job: Job) -> tuple[Values, Any, View]:
        """What a job was asked for as far as it is known, its picture, and the view of it.

        Whether seeds are new is left to the page: a page that is opened was not asked to make the same picture again.
        """
        now = job.snapshot
        if now.entry is None:
            stack = self.shelf.from_settings(now.entries[-1].settings if now.entries else {})
            known = {self.fields.instruction: now.instruction, self.stack: self.shelf.to_browser(*stack)}
            return known, now.source, View(job=job.id)
        values, other = self.of_entry(now.entry)
        del values[self.fields.random_seed]
        return values, now.entry.source, View(job=job.id, left_out=other)

    def of_entry(self, entry: Entry) -> tuple[Values, str]:
        """Settings and stack of a result, and a sentence on what an edit from the page has otherwise, if anything."""
        with Image.open(entry.source, formats=["PNG"]) as given:
            return self.of_settings(entry.settings, given.size)

    def of_settings(
        self, settings: dict[str, Any], given: tuple[int, int], has_pictures: bool = True
    ) -> tuple[Values, str]:
        """The same for a result's settings and the (width, height) of the picture that was edited.

        Args:
            has_pictures: whether the result's pictures are at hand, in which its region is marked.
        """
        editor, (stack, problems) = self.jobs.editor, self.shelf.from_settings(settings)
        values = self.fields.of(settings, given)
        asked = self.fields.sampling(values, self.shelf.recommended(stack))
        asked["literally"] = any(of.weight for of in stack)  # as the editor has it where nobody says
        missing = [] if has_pictures else _with_pictures(settings)
        other = _otherwise(settings, asked, None if editor is None else editor.traits.strength_method, missing)
        return values | {self.stack: self.shelf.to_browser(stack, problems)}, other


def is_source(file: str | None, entry: Entry) -> bool:
    """Whether an uploaded picture is the one that a result was made from."""
    if file is None:
        return False
    try:
        one, other = read_upload(file)[0], read_upload(str(entry.source))[0]
    except ValueError:  # said where the picture is taken or used
        return False
    return one.size == other.size and one.tobytes() == other.tobytes()


def _with_pictures(settings: Mapping[str, Any]) -> list[str]:
    """What of a result's settings is lost without its pictures."""
    told = {"region": say("Region"), "references": say("More pictures to look at")}
    return [name for key, name in told.items() if settings.get(key)]


def _otherwise(
    settings: Mapping[str, Any], asked: Mapping[str, Any], method: str | None, missing: Sequence[str] = ()
) -> str:
    """One sentence that names what would be otherwise; "" for nothing.

    Args:
        settings: of the result.
        asked: "steps", "guidance", "shift" and "literally" of an edit from the page; None or False for nothing.
        method: of the strength, as the model in use has it; None while that is not known.
        missing: what else there is no more of.
    """
    names = {
        "steps": say("Steps"), "guidance": say("Guidance"), "shift": say("Shift of the schedule"),
        "literally": say("Words as they stand"),
    }  # fmt: skip
    other = [told for name, told in names.items() if (settings.get(name) or None) != (asked.get(name) or None)]
    strength = settings.get("strength") or {}
    own = strength.get("method")
    if method is not None and own not in (None, method) and strength.get("value") != 1:
        other.append(say("Method of the strength"))
    if strength.get("others"):
        other.append(say("Blended instructions"))
    other += missing
    if not other:
        return ""
    return say("An edit from here has other settings than this result: {settings}.", settings=", ".join(other))
