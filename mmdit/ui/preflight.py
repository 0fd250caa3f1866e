"""What will come of the picture in the box, said before the edit is made: its size, and the size that is worked on."""

import gradio as gr

from mmdit.runtime.jobs import Jobs
from mmdit.ui import markup
from mmdit.ui.source_image import read_upload


class Preflight:
    """One line, built where it is made."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._line = gr.HTML("", elem_id="preflight")

    def follow(self, source: gr.Image, instruction: gr.Textbox) -> None:
        """Say it anew for each picture, and when the instruction is begun, since the model may be there by then."""
        gr.on(
            [source.change, instruction.focus], self.said, [source], [self._line],
            queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip

    def said(self, source: str | None) -> str:
        """HTML for an uploaded picture; nothing without one, or for a file that is none."""
        if source is None:
            return ""
        try:
            picture, _ = read_upload(source)
        except ValueError:  # said where the picture is taken
            return ""
        line = f"The result will be {_size(picture.size)} pixels, as the picture is."
        editor = self._jobs.editor
        if editor is not None:
            line += f" The model works at {_size(editor.working_size(picture.size))}."
        return markup.hint(line)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
