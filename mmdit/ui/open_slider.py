"""A slider that hands over any number that was typed beside it.

Gradio's own refuses what lies outside with an error that the page does not show. Whether a number will do is for the
request to say, in a sentence.
"""

from typing import Any

import gradio as gr

from mmdit.ui.source_image import WithoutStub


class OpenSlider(gr.Slider, metaclass=WithoutStub):
    is_template = True  # the browser draws it as what it derives from

    def preprocess(self, payload: Any) -> Any:
        """What the browser sent, whatever it is."""
        return payload
