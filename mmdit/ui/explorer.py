"""The tab "Look inside": what the model looked at while it made a picture, explored without waiting.

Python sends a header and, when the page asks, a block of maps; the scripts of explorer_web draw in the browser.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from mmdit.ui.explorer_payload import Shelf

WEB = Path(__file__).with_name("explorer_web")
SCRIPTS = ("state", "data", "paint", "draw", "change", "export", "build", "keys")  # parts of one closure
NOTHING_YET = {"message": "What the model looked at appears here"}


class ExplorerTab:
    """Builds the tab's content where it is made.

    Args:
        page: what is open.
        shelf: recordings.
    """

    def __init__(self, page: gr.Blocks, shelf: Shelf) -> None:
        self.page = page
        self.shelf = shelf

        def maps_block(asked: Any) -> dict[str, Any]:  # Gradio marks the function, which a method does not bear
            return self.shelf.block(asked)

        self.view = gr.HTML(
            NOTHING_YET,
            html_template=_text("explorer.html"), css_template=_text("explorer.css"),
            js_on_load="\n".join(_text(f"{part}.js") for part in SCRIPTS),
            server_functions=[maps_block], apply_default_css=False, elem_id="explorer",
        )  # fmt: skip

    def show(self, name: str) -> dict[Any, Any]:
        """An update that shows the result of that name; "" for none."""
        return {self.view: self.shelf.header(name) if name else NOTHING_YET}


def _text(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
