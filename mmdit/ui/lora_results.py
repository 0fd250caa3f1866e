"""Series of edits as they come along: what to show of them, and one sheet with everything.

In: jobs with their `Series`. Out: HTML, and files in a folder that the page serves. Knows neither Gradio nor what the
browser does with the HTML; a browser names a series by its job.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.overlay import DIVERGING, colour_table, overlay
from mmdit.runtime.history import Entry
from mmdit.runtime.job import Job, JobSnapshot
from mmdit.ui import markup
from mmdit.ui.language import say
from mmdit.ui.lora_compare import (
    ALL_WORDS,
    Series,
    Variant,
    WordMaps,
    default_word,
    difference_picture,
    limit_of,
    sheet,
    word_maps,
)
from mmdit.ui.lora_pictures import Pictures

KEPT = 8  # series
SMALL = (480, 480)  # pixels of a picture on the page


@dataclass(frozen=True)
class _Run:
    job: Job
    series: Series
    read: dict[str, WordMaps] = field(default_factory=dict)  # by the entry's name


@dataclass(frozen=True)
class _Differences:
    """Of one word: each variant's map less that of the first, and the ends of their colour scale."""

    words: tuple[str, ...]
    word: str
    base: np.ndarray
    maps: tuple[np.ndarray, ...]
    limit: float


class SeriesBook:
    """The series that were asked for last.

    Args:
        folder: for pictures; private to this process, served by the page.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = Pictures(folder)
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def latest(self) -> str:
        """The job of the newest series; "" when there is none."""
        with self._lock:
            return next(reversed(self._runs), "")

    def add(self, job: Job, series: Series) -> None:
        with self._lock:
            self._runs[job.id] = _Run(job, series)
            while len(self._runs) > KEPT:
                self._runs.popitem(last=False)

    def moment(self, job_id: str) -> tuple:
        """Equal as long as there is nothing new to show."""
        run = self._run(job_id)
        return () if run is None else (job_id, len(run.job.snapshot.entries), run.job.snapshot.state)

    def view(self, job_id: str, word: str | None = None) -> dict[str, Any]:
        """What the page shows of a series: ``{"job", "title", "html"}``.

        Args:
            word: whose differences are shown; None for the default.
        """
        run = self._run(job_id)
        if run is None:
            return {"job": "", "title": "", "html": ""}
        with self._lock:
            now = run.job.snapshot
            title = f"“{now.instruction}”"
            cells = self._cells(run, now)
            if run.series.x is not None:
                return {"job": job_id, "title": title, "html": _grid(run.series, cells)}
            head, beside = "", []
            if not now.state.finished:
                beside = [_place("waiting", now)] * len(cells)
            elif now.entries:
                head, beside = self._beside(run, now.entries, word)
            beside += [""] * (len(cells) - len(beside))
            figures = "".join(
                f'<figure class="made"><div class="pair">{cell}{other}</div><figcaption>{escape(say(of.caption))}'
                "</figcaption></figure>"
                for of, cell, other in zip(run.series.variants, cells, beside, strict=True)
            )
            return {"job": job_id, "title": title, "html": f'{head}<div class="comparison">{figures}</div>'}

    def sheet(self, job_id: str, word: str | None = None) -> Path:
        """One PNG of all pictures with captions, and with the settings in it. Raises MapsError: no pictures."""
        from mmdit import images

        run = self._run(job_id)
        entries = () if run is None else run.job.snapshot.entries
        if not entries:
            raise MapsError("there are no pictures to put together; make a series first")
        with self._lock:
            tiles: list[list[Image.Image]] = []
            for entry in entries:
                with Image.open(entry.result, formats=["PNG"]) as opened:
                    tiles.append([opened.convert("RGB")])
            found = None
            if run.series.x is None:
                found = self._differences(run, entries, word)
                for of, difference in zip(tiles, found.maps if found else (), strict=False):
                    of.append(difference_picture(of[0], difference, found.limit))
        settings = _settings(run.series, entries, found.word if found else None)
        title = f"“{settings['instruction']}” · seed {settings['seed']}"
        if found:
            title += f" · beside each: change of attention to “{found.word or 'all words'}”, ±{_percent(found.limit)}"
        file = self._folder / f"{entries[0].name}.{'grid' if run.series.x else 'comparison'}.png"
        self._folder.mkdir(parents=True, exist_ok=True)
        images.save_png(sheet(run.series, tiles, title), file, settings)
        return file

    def _run(self, job_id: str) -> _Run | None:
        with self._lock:
            return self._runs.get(job_id)

    def _cells(self, run: _Run, now: JobSnapshot) -> list[str]:
        """A picture to click for each variant; what is not there yet, or never will be, is an empty place."""
        cells = [
            _picture(entry, variant, self._pictures.small(entry.result, SMALL))
            for entry, variant in zip(now.entries, run.series.variants, strict=False)
        ]
        kind = "never" if now.state.finished else "waiting"
        return cells + [_place(kind, now)] * (len(run.series.variants) - len(cells))

    # ---- attention

    def _beside(self, run: _Run, entries: Sequence[Entry], word: str | None) -> tuple[str, list[str]]:
        """The line above the pictures, and what is beside each."""
        try:
            found = self._differences(run, entries, word)
        except MapsError as error:
            return f'<p class="note">{escape(str(error))}</p>', []
        if found is None:
            return "", []
        stem, tag = run.job.id, f"{found.words.index(found.word) if found.word else 'all'}"
        beside = []
        for place, (entry, difference) in enumerate(zip(entries, found.maps, strict=True)):
            with Image.open(entry.result, formats=["PNG"]) as opened:
                picture = opened.convert("RGB")
            if place == 0:
                made, label = (
                    overlay(picture.resize(_fit(picture)), found.base, float(found.base.max())),
                    say("attention"),
                )
            else:
                made = difference_picture(picture, difference, found.limit)
                label = say("change up to {share}", share=_percent(float(np.abs(difference).max())))
            url = self._pictures.keep(f"{stem}.{tag}.{place}.jpg", made)
            text = f"{say(run.series.variants[place].caption)}: {label}"
            beside.append(
                f'<div class="difference"><img src="{escape(url)}" alt="{escape(text)}">'
                f"<span>{escape(label)}</span></div>"
            )
        return _word_line(found), beside

    def _differences(self, run: _Run, entries: Sequence[Entry], word: str | None) -> _Differences | None:
        """None when nothing was recorded. Raises MapsError: damaged recordings, an unknown word."""
        for entry in entries:
            if entry.maps is None:
                return None
            if entry.name not in run.read:
                like = run.read.get(entries[0].name)
                run.read[entry.name] = word_maps(_load(entry), like)
        first = run.read[entries[0].name]
        word = default_word(first.words) if word is None else word
        base = first.of(word)
        maps = tuple(run.read[entry.name].of(word) - base for entry in entries)
        return _Differences(first.words, word, base, maps, limit_of(maps))


def _load(entry: Entry) -> AttentionMaps:
    try:
        return AttentionMaps.load(entry.maps)
    except MapsError as error:
        raise MapsError(f"The maps of {entry.maps.name} can't be read; make the series again.") from error


# ---- HTML


def _picture(entry: Entry, variant: Variant, small: str) -> str:
    caption = escape(say(variant.caption))
    return (
        f'<button type="button" class="result" data-entry="{escape(entry.name)}" '
        f'data-full="{escape(markup.file_url(entry.result))}" data-caption="{caption}" '
        f'aria-label="{say("{caption}: show it larger", caption=caption)}"><img src="{escape(small)}" alt=""></button>'
    )


def _place(kind: str, now: JobSnapshot) -> str:
    """Where a picture will be ("waiting"), or would have been ("never"), in its shape as far as that is known."""
    size = now.source.size if now.source is not None else now.entries[0].settings["size"] if now.entries else (4, 3)
    return f'<div class="place {kind}" style="aspect-ratio: {size[0]} / {size[1]}"></div>'


def _grid(series: Series, cells: Sequence[str]) -> str:
    """Cells with a LoRA's weights above, and perhaps another's at the left."""
    columns = len(series.x.values)
    side = "" if series.y is None else f'<td class="axis y" rowspan="2"><span>{escape(series.y.name)} ↓</span></td>'
    head = "".join(f'<th scope="col">{label}</th>' for label in series.x.labels)
    lines = []
    for place in range(0, len(cells), columns):
        label = "" if series.y is None else f'<th scope="row">{series.y.labels[place // columns]}</th>'
        lines.append(f"<tr>{label}{''.join(f'<td>{cell}</td>' for cell in cells[place : place + columns])}</tr>")
    return (
        f'<div class="scroll"><table class="grid" style="--columns: {columns}"><thead>'
        f'<tr>{side}<td class="axis x" colspan="{columns}">{escape(series.x.name)} →</td></tr><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _word_line(found: _Differences) -> str:
    options = "".join(
        f'<option value="{escape(word)}"{" selected" if word == found.word else ""}>{escape(word or say("all words"))}'
        "</option>"
        for word in (*found.words, ALL_WORDS)
    )
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in colour_table(DIVERGING)[::32].tolist())
    end = _percent(found.limit)
    note = say("Where the picture reads the word less (blue) or more (red) than without.")
    return (
        f'<div class="word-line"><label>{say("Attention to")} '
        f'<select class="word" aria-label="{say("Word")}">{options}</select></label>'
        f'<span class="scale"><span>−{end}</span><i style="background: linear-gradient(90deg, {stops})"></i>'
        f"<span>+{end}</span></span>"
        f'<span class="note">{note}</span></div>'
    )


def _settings(series: Series, entries: Sequence[Entry], word: str | None) -> dict[str, Any]:
    """For the sheet: what its pictures share, and what sets each apart."""
    shared = {name: value for name, value in entries[0].settings.items() if name != "loras"}
    pictures = [
        {"caption": variant.caption, "result": entry.name, "loras": entry.settings.get("loras", [])}
        for variant, entry in zip(series.variants, entries, strict=False)
    ]
    attention = {} if word is None else {"attention_to": word or "all words"}
    return shared | attention | {"pictures": pictures}


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _fit(picture: Image.Image) -> tuple[int, int]:
    scale = min(1.0, SMALL[0] / max(picture.size))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
