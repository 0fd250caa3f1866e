"""The parts of the page that Gradio has no component for, as HTML.

In: plain values. Out: HTML, with every text escaped. Knows neither Gradio nor the model.
"""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from mmdit.ui.language import mark, say

STRIP_SCRIPT = """
element.addEventListener('click', event => {
  const item = event.target.closest('[data-name]');
  if (item) trigger('select', {picked: item.dataset.name});
});
"""
CLICK_SCRIPT = """
element.addEventListener('click', event => {
  if (event.target.closest('button')) trigger('select', {});
});
"""
MODEL_SCRIPT = "watch('value', () => document.dispatchEvent(new Event('mmdit-model')));"
"""For the header: tells the page's own components that another model is in use."""
NO_LORAS = f'<button type="button" class="lora-line" data-count="0">{mark("No LoRAs · add a look")}</button>'
"""Until `edit_web/line.js` knows better."""

LOGO = (
    '<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><rect x="2" y="2" width="28" height="28" rx="8"/>'
    '<path d="M16 5v22"/><path class="half" d="M16 8.5a7.5 7.5 0 0 1 0 15z"/>'
    '<path d="M16 8.5a7.5 7.5 0 0 0 0 15"/></svg>'
)


@dataclass(frozen=True)
class StripItem:
    """
    Args:
        name: what a click reports.
        picture: a data URI.
    """

    name: str
    picture: str
    caption: str


def header(model: str, number: int = 1) -> str:
    """The top of the page; another value for another model.

    Args:
        number: counts the models that were in use.
    """
    return (
        f'<header class="studio-header">{LOGO}<div><h1>MMDiT Studio</h1>'
        f"<p>{say('Edit a picture by saying what to change. It never leaves this machine.')}</p></div>"
        f'<span class="model" data-number="{number}" title="{say("The model in use")}">{escape(model)}</span></header>'
    )


def status(
    text: str,
    kind: str = "calm",
    share: float | None = None,
    details: str = "",
    notes: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> str:
    """One line of news.

    Args:
        kind: "calm", "busy", "done" or "error".
        share: how much of the work is done, 0 to 1; None while busy for "nobody knows yet".
        details: smaller, at the end of the line.
        notes, warnings: beneath it, a paragraph each; warnings first.
    """
    bar = ""
    if kind == "busy":
        known = "" if share is None else f' style="width: {100 * share:.0f}%"'
        bar = f'<div class="bar{" unknown" if share is None else ""}"><div{known}></div></div>'
    small = f'<span class="details">{escape(details)}</span>' if details else ""
    said = [("warning", one) for one in warnings] + [("note", one) for one in notes]
    beneath = "".join(f'<p class="{sort}">{escape(one)}</p>' for sort, one in said)
    role = "alert" if kind == "error" else "status"
    return (
        f'<div class="status {kind}" role="{role}"><div class="line"><span class="dot"></span>'
        f'<span class="text">{escape(text)}</span>{small}</div>{bar}{beneath}</div>'
    )


def sentence(text: str) -> str:
    """A message as people read it: with a capital and an end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def hint(text: str) -> str:
    """A quiet line."""
    return f'<p class="hint">{escape(text)}</p>'


def section(title: str) -> str:
    """A heading; its text is not escaped, so that it can be a mark."""
    return f'<h2 class="section">{title}</h2>'


def nothing_yet() -> str:
    return (
        f'<div class="stage empty"><div><strong>{say("Your edited picture appears here")}</strong>'
        f"<span>{say('Add a picture, say what to change, press Enter.')}</span></div></div>"
    )


def in_progress(size: tuple[int, int], preview: Image.Image | None) -> str:
    """The picture as far as it has come, in the shape that it will have."""
    shape = _shape(size)
    if preview is None:
        return f'<div class="stage waiting" style="{shape}"></div>'
    return (
        f'<div class="stage preview" style="{shape}"><img src="{data_uri(preview)}" alt="{say("Preview")}">'
        f'<span class="tag right">{say("Preview")}</span></div>'
    )


def compare(
    before: Path,
    after: Path,
    size: tuple[int, int],
    tags: tuple[str, str] = ("Before", "After"),
    names: tuple[str, str] = ("Before the edit", "After the edit"),
    cut: int = 0,
) -> str:
    """Two pictures, one over the other, with a divider to drag; one of another size is fitted into ``size``.

    Args:
        tags: shown on the two.
        names: of the two, for those who don't see them.
        cut: how much of the width shows ``before`` at first, 0 to 100 percent.
    """
    tags, names = [escape(say(tag)) for tag in tags], [escape(say(name)) for name in names]
    label = say("Compare {one} and {other}", one=tags[0], other=tags[1])
    return (
        f'<div class="stage compare" style="{_shape(size)}; --cut: {cut}">'
        f'<img src="{file_url(after)}" alt="{names[1]}" class="after">'
        f'<img src="{file_url(before)}" alt="{names[0]}" class="before">'
        f'<span class="tag left">{tags[0]}</span><span class="tag right">{tags[1]}</span>'
        f'<input type="range" min="0" max="100" step="0.1" value="{cut}" aria-label="{label}"'
        " oninput=\"this.parentElement.style.setProperty('--cut', this.value)\">"
        '<div class="divider"></div></div>'
    )


def strip(items: list[StripItem], otherwise: str, chosen: str | None = None) -> str:
    """A row of pictures to click.

    Args:
        otherwise: what to say when there are none.
        chosen: name of the one that is; None where none can be.
    """
    if not items:
        return f'<p class="strip-empty">{escape(otherwise)}</p>'

    def pressed(item: StripItem) -> str:
        return "" if chosen is None else f' aria-pressed="{str(item.name == chosen).lower()}"'

    buttons = "".join(
        f'<button type="button" data-name="{escape(item.name)}" title="{escape(item.caption)}"{pressed(item)}>'
        f'<img src="{item.picture}" alt=""><span>{escape(item.caption)}</span></button>'
        for item in items
    )
    return f'<div class="strip">{buttons}</div>'


def file_url(file: Path) -> str:
    """Where the page finds a file of a folder that it may show."""
    return f"gradio_api/file={quote(file.as_posix())}"


def thumbnail(file: Path, side: int = 224) -> str:
    """A small copy of a picture file, as a data URI."""
    from mmdit.images import FORMATS

    with Image.open(file, formats=FORMATS) as opened:
        opened.draft("RGB", (side, side))
        small = opened.convert("RGB")
    small.thumbnail((side, side))
    return data_uri(small, "JPEG")


def data_uri(image: Image.Image, format: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shape(size: tuple[int, int]) -> str:
    width, height = size
    return f"--width: {width}; --height: {height}"
