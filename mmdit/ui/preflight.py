"""What will come of the picture in the box, said before the edit is made: its size, and the size that is worked on."""

import gradio as gr

from mmdit.runtime.jobs import Jobs
from mmdit.ui import markup
from mmdit.ui.language import say
from mmdit.ui.source_image import read_upload


class Preflight:
    """One line, built where it is made."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.line = gr.HTML("", elem_id="preflight")

    def said(self, source: str | None) -> str:
        """HTML for an uploaded picture; nothing without one, or for a file that is none."""
        if source is None:
            return ""
        try:
            picture, _ = read_upload(source)
            editor = self._jobs.editor
            working = None if editor is None else editor.working_size(picture.size)
        except ValueError:  # no picture, or a model that is gone: said where one is taken or used
            return ""
        line = say("The result will be {size} pixels, as the picture is.", size=_size(picture.size))
        works = "" if working is None else f" {say('The model works at {size}.', size=_size(working))}"
        return markup.hint(line + works)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
