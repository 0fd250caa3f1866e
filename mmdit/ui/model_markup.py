"""The model tab's HTML: what is loaded, what is on its way, and the catalog as a table to choose from.

In: snapshots, catalog entries and table cells. Out: HTML, with every text escaped. Knows neither Gradio nor the hub.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmdit.catalog import ModelEntry
from mmdit.families.machine import gigabytes
from mmdit.hub_errors import page
from mmdit.runtime.model_slot import Coming, ModelSnapshot
from mmdit.ui import markup


def loaded(now: ModelSnapshot, seconds: float) -> str:
    """What is loaded, what is on its way, and why the last change came to nothing.

    Args:
        seconds: since the present stage of what is on its way began.
    """
    parts = []
    if now.coming is not None:
        parts.append(_on_its_way(now.coming, seconds))
    if now.entry is not None:
        parts += [markup.status(f"{now.name} is loaded.", "done"), _facts(now.entry, now.memory)]
    elif now.coming is None:
        parts.append(markup.status("No model is loaded."))
    if now.error:
        parts.append(markup.status(markup.sentence(now.error), "error"))
    return "".join(parts)


def _on_its_way(coming: Coming, seconds: float) -> str:
    share, took = None, f"{seconds:.0f} s"
    if coming.stage == "waiting":
        text = f"{coming.name} is loaded as soon as the edits before it are made…"
    elif coming.stage == "loading":
        text = f"Loading {coming.name}…"
    elif coming.missing:
        share = coming.done / coming.missing
        text = f"Downloading {coming.name}…"
        took = f"{gigabytes(coming.done)} of {gigabytes(coming.missing)} · {took}"
    else:
        text = f"Looking for {coming.name}…"
    return markup.status(text, "busy", share, took)


def _facts(entry: ModelEntry, memory: str) -> str:
    steps = "1 step" if entry.steps == 1 else f"{entry.steps} steps"
    facts = {
        "For": entry.task,
        "Licence": entry.licence or "as its folder or its page says",
        "In memory": memory or "everything at once",
        "By default": f"{steps}, guidance {entry.guidance:g}",
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
    heads = "".join(f'<th scope="col">{escape(column.capitalize())}</th>' for column in columns)
    lines = "".join(_line(columns, row, present) for row in rows)
    return (
        '<div class="model-table" role="region" aria-label="Models of the catalog" tabindex="0"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>{markup.hint(machine)}"
    )


def _line(columns: Sequence[str], row: Sequence[str], present: str) -> str:
    name, *others = row
    here = ' aria-current="true"' if name == present else ""
    button = f'<button type="button" data-name="{escape(name)}"{here}>{escape(name)}</button>'
    cells = "".join(
        f'<td data-label="{escape(column.capitalize())}">{escape(cell)}</td>'
        for column, cell in zip(columns[1:], others, strict=True)
    )
    return f'<tr><th scope="row">{button}</th>{cells}</tr>'


def terms(entry: ModelEntry, is_here: bool) -> str:
    """What loading a model means, said before.

    Args:
        is_here: nothing has to be downloaded.
    """
    licence = escape(entry.licence) or "not known before it is there"
    if isinstance(entry.source, Path):
        return f'<p class="hint">It is on this machine. Licence: {escape(entry.licence) or "as its folder says"}.</p>'
    address = escape(page(entry.source))
    link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
    size = f"About {gigabytes(entry.download)} are downloaded" if entry.download else "It is downloaded"
    start = "It is on this machine" if is_here else f"{size} from {link}"
    gated = " The hub wants the licence accepted there first, and `hf auth login`." if entry.gated else ""
    return f'<p class="hint">{start}. Licence: {licence}.{"" if is_here else gated}</p>'
