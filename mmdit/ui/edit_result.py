"""The right column of the edit tab: what becomes of an edit, and what can be done with the result.

Shows a `View` and the job that it names; changes neither.
"""

from typing import Any

import gradio as gr

from mmdit.runtime.jobs import Jobs
from mmdit.ui import markup
from mmdit.ui.language import mark
from mmdit.ui.strips import Strips
from mmdit.ui.view import View, is_active, made, news, shown_entry, stage


class ResultColumn:
    """Builds the column where it is made."""

    def __init__(self, jobs: Jobs, strips: Strips) -> None:
        self.jobs, self.strips = jobs, strips
        self.status = gr.HTML(markup.status("…"), elem_id="status")
        self.stage = gr.HTML(markup.nothing_yet(), elem_id="stage")
        self.variants = gr.HTML("", js_on_load=markup.STRIP_SCRIPT, visible=False, elem_id="choices")
        with gr.Row(elem_classes="actions"):
            self.download = gr.DownloadButton(mark("Download PNG"), visible=False, elem_id="download", min_width=140)
            self.look_inside = gr.Button(mark("Look inside"), visible=False, elem_id="look-inside", min_width=140)
            self.again = gr.Button(mark("Edit the result"), visible=False, elem_id="again", min_width=180)
            self.undo = gr.Button(mark("Back to the earlier picture"), visible=False, elem_id="undo", min_width=180)
        self.all = [self.status, self.stage, self.variants, self.download, self.look_inside, self.again, self.undo]

    def show(self, view: View) -> dict[Any, Any]:
        """Component → what it shows of a view."""
        active = is_active(view, self.jobs)
        entry = None if active else shown_entry(view, self.jobs)
        series = made(view, self.jobs)
        return {
            self.status: news(view, self.jobs),
            self.stage: stage(view, self.jobs),
            self.variants: gr.update(value=self.strips.variants(series, entry), visible=len(series) > 1),
            self.download: gr.update(value=entry and str(entry.result), visible=entry is not None),
            self.look_inside: gr.update(visible=entry is not None and entry.maps is not None),
            self.again: gr.update(visible=entry is not None and view.before != entry.name),
            self.undo: gr.update(visible=bool(view.before) and not active),
        }
