"""The model tab's HTML: what is loaded, what is on its way, and the catalog as a table to choose from.

In: snapshots, catalog entries and table cells. Out: HTML, with every text escaped. Knows neither Gradio nor the hub.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmdit.catalog import ModelEntry
from mmdit.families.machine import gigabytes
from mmdit.hub_errors import page
from mmdit.runtime.model_slot import Coming, ModelSnapshot
from mmdit.ui import markup
from mmdit.ui.language import say

VALUES = re.compile(r"\d[\d.]* GB|(?<=on the disk of ).+|(?<=memory \()\w+")


def loaded(now: ModelSnapshot, seconds: float) -> str:
    """What is loaded, what is on its way, and why the last change came to nothing.

    Args:
        seconds: since the present stage of what is on its way began.
    """
    parts = []
    if now.coming is not None:
        parts.append(_on_its_way(now.coming, seconds))
    if now.entry is not None:
        parts += [markup.status(say("{model} is loaded.", model=now.name), "done"), _facts(now.entry, now.memory)]
    elif now.coming is None:
        parts.append(markup.status(say("No model is loaded.")))
    if now.error:
        parts.append(markup.status(markup.sentence(now.error), "error"))
    return "".join(parts)


def _on_its_way(coming: Coming, seconds: float) -> str:
    share, took = None, f"{seconds:.0f} s"
    if coming.stage == "waiting":
        text = say("{model} is loaded as soon as the edits before it are made…", model=coming.name)
    elif coming.stage == "loading":
        text = say("Loading {model}…", model=coming.name)
    elif coming.missing:
        share = coming.done / coming.missing
        text = say("Downloading {model}…", model=coming.name)
        took = f"{say('{step} of {steps}', step=gigabytes(coming.done), steps=gigabytes(coming.missing))} · {took}"
    else:
        text = say("Looking for {model}…", model=coming.name)
    return markup.status(text, "busy", share, took)


def _facts(entry: ModelEntry, memory: str) -> str:
    guidance = f"{entry.guidance:g}"
    one = say("1 step, guidance {guidance}", guidance=guidance)
    many = say("{count} steps, guidance {guidance}", count=entry.steps, guidance=guidance)
    facts = {
        say("For"): say(entry.task),
        say("Licence"): entry.licence or say("as its folder or its page says"),
        say("In memory"): memory or say("everything at once"),
        say("By default"): one if entry.steps == 1 else many,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    return f'<dl class="model-facts">{rows}</dl>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], present: str, machine: str) -> str:
    """The catalog; a click on a name chooses it.

    Args:
        rows: a cell for each column, the name first.
        present: the name of the model that is loaded.
        machine: a line below.
    """
    heads = "".join(f'<th scope="col">{escape(say(column.capitalize()))}</th>' for column in columns)
    lines = "".join(_line(columns, row, present) for row in rows)
    return (
        f'<div class="model-table" role="region" aria-label="{say("Models of the catalog")}" tabindex="0"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>{markup.hint(_spoken(machine))}"
    )


def _line(columns: Sequence[str], row: Sequence[str], present: str) -> str:
    name, *others = row
    here = ' aria-current="true"' if name == present else ""
    button = f'<button type="button" data-name="{escape(name)}"{here}>{escape(name)}</button>'
    cells = "".join(
        f'<td data-label="{escape(say(column.capitalize()))}">{escape(_spoken(cell))}</td>'
        for column, cell in zip(columns[1:], others, strict=True)
    )
    return f'<tr><th scope="row">{button}</th>{cells}</tr>'


def _spoken(text: str) -> str:
    """What the listing says, in the language of the page; sizes and places in it stay as they are."""
    return say(VALUES.sub("{}", text)).format(*VALUES.findall(text))


def terms(entry: ModelEntry, is_here: bool) -> str:
    """What loading a model means, said before.

    Args:
        is_here: nothing has to be downloaded.
    """
    if isinstance(entry.source, Path):
        licence = escape(entry.licence) or say("as its folder says")
        return f'<p class="hint">{say("It is on this machine.")} {say("Licence: {licence}.", licence=licence)}</p>'
    address = escape(page(entry.source))
    link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
    start, gated = say("It is on this machine."), ""
    if not is_here:
        size = say("About {size} are downloaded from", size=gigabytes(entry.download))
        start = f"{size if entry.download else say('It is downloaded from')} {link}."
        gated = say("The hub wants the licence accepted there first, and “hf auth login”.") if entry.gated else ""
    licence = say("Licence: {licence}.", licence=escape(entry.licence) or say("not known before it is there"))
    return f'<p class="hint">{start} {licence} {gated}</p>'
