"""The models as a table, for a terminal and for the page: what each is for, how large, whether it runs here, whether it
is here.

In: catalog entries and a `Machine`. Out: text. Looks into the catalog's folders and huggingface_hub's cache, loads
nothing and asks no network.
"""

from collections.abc import Iterable
from pathlib import Path

from mmdit.catalog import ModelEntry
from mmdit.families.hub import cached
from mmdit.families.machine import Machine, gigabytes, hub_cache
from mmdit.families.memory import fits
from mmdit.families.needs import Needs

COLUMNS = ("name", "task", "licence", "download", "here", "on disk")
GAP = "  "
GATED = "gated: accept the licence on the model's page of https://huggingface.co and run `hf auth login`"


def describe_models(entries: Iterable[ModelEntry], machine: Machine, cache: Path | None = None) -> str:
    """One line for each entry, under a line of headings, and what this machine has.

    Args:
        cache: where downloads are kept; None for huggingface_hub's own place.
    """
    cache = hub_cache() if cache is None else cache
    rows = [COLUMNS, *model_rows(entries, machine, cache)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [GATED] if any(", gated" in row[2] for row in rows) else []
    return "\n".join([*lines, "", *notes, describe_machine(machine, cache)])


def model_rows(entries: Iterable[ModelEntry], machine: Machine, cache: Path | None = None) -> list[tuple[str, ...]]:
    """For each entry a cell for each of `COLUMNS`; arguments as for `describe_models`."""
    cache = hub_cache() if cache is None else cache
    return [_row(entry, machine, cache) for entry in entries]


def _row(entry: ModelEntry, machine: Machine, cache: Path) -> tuple[str, ...]:
    is_local = isinstance(entry.source, Path)
    licence = f"{entry.licence}, gated" if entry.gated else entry.licence
    return (
        entry.name,
        entry.task,
        licence,
        "none" if is_local else gigabytes(entry.download),
        fits(Needs.of_entry(entry) if entry.parameters else None, machine),
        ("shipped" if entry.source.is_dir() else "missing") if is_local else _kept(entry, cache),
    )


def _kept(entry: ModelEntry, cache: Path) -> str:
    whole, size = cached(entry.source, cache)
    if whole:
        return "yes"
    return f"partly: {gigabytes(size)} of {gigabytes(entry.download)}" if size else "no"


def describe_machine(machine: Machine, cache: Path | None = None) -> str:
    """One line: what is free here."""
    cache = hub_cache() if cache is None else cache
    gpu = f"{gigabytes(machine.gpu_free)} of {gigabytes(machine.gpu_total)} GPU memory ({machine.device}), "
    return (
        f"Free here: {gpu if machine.device != 'cpu' else 'no GPU, '}{gigabytes(machine.system_free)} of "
        f"{gigabytes(machine.system_total)} system memory, {gigabytes(machine.disk_free)} on the disk of {cache}"
    )
