"""The LoRA tab: cards to choose from, the stack with its truth, and series of edits that differ in weights alone.

The stack is the value of one component, kept by the browser and sent along with every edit. What a LoRA would do is
asked of the shelf, what a series shows of the book; here is only how they are wired.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from mmdit.attention.maps import MapsError
from mmdit.lora.inspect import LoraError
from mmdit.runtime.jobs import Jobs, QueueFullError
from mmdit.ui import lora_markup, markup
from mmdit.ui.edit_tab import POLL_SECONDS, EditTab, Update
from mmdit.ui.language import mark
from mmdit.ui.lora_compare import Series, comparison, requests, weight_grid
from mmdit.ui.lora_pictures import Pictures
from mmdit.ui.lora_results import SeriesBook
from mmdit.ui.lora_shelf import PRESET, Chosen, LoraShelf, NotHereError, read_stack
from mmdit.ui.request_fields import Values
from mmdit.ui.view import View, is_active, news

WEB = Path(__file__).with_name("lora_web")
PANEL_SCRIPTS = ("state", "cards", "stack", "runs")  # parts of one closure
FACE = (320, 200)  # pixels of a card's picture


class LoraPanel:
    """Cards and stack, as one component that is rendered where it belongs.

    Args:
        folder: for cards' pictures; private to this process, served by the page.
    """

    def __init__(self, shelf: LoraShelf, jobs: Jobs, folder: Path) -> None:
        self.shelf = shelf
        self.jobs = jobs
        self._pictures = Pictures(folder)
        self.stack = gr.HTML(
            {"items": [], "notes": []},
            html_template=_text("panel.html"), css_template=_text("panel.css"),
            js_on_load="\n".join(_text(f"{part}.js") for part in PANEL_SCRIPTS),
            server_functions=_functions(self.catalogue, self.row, self.fetch_row, self.inspect_file),
            apply_default_css=False, elem_id="loras", render=False,
        )  # fmt: skip

    def catalogue(self, _: Any = None) -> dict[str, str]:
        """All cards, those for the model in use first, and what is wrong with presets."""
        presets = self.shelf.presets
        cards = sorted(presets.all, key=lambda preset: (not self.shelf.suits(preset), preset.title.casefold()))
        made = [
            lora_markup.card(
                f"{PRESET}{preset.name}", preset,
                self._pictures.small(preset.thumbnail, FACE, crop=True) if preset.thumbnail else "",
                self.shelf.suits(preset),
            )
            for preset in cards
        ]  # fmt: skip
        return {"cards": "".join(made), "problems": lora_markup.problems(presets.problems)}

    def row(self, key: Any) -> dict[str, Any]:
        """A row of the stack: ``{"html", "pending"}``, or ``{"gone": sentence}``; pending ones are asked for again."""
        return self._row(str(key), self.shelf.report)

    def fetch_row(self, key: Any) -> dict[str, Any]:
        """The same, after its file was downloaded if need be."""
        return self._row(str(key), self.shelf.fetch)

    def inspect_file(self, path: Any) -> dict[str, Any]:
        """What an uploaded file holds: ``{"key", "name", "html"}``, or ``{"error": sentence}``."""
        try:
            key = self.shelf.take(str(path))
            of = self._describe(key, self.shelf.report(key))
        except LoraError as error:
            return {"error": markup.sentence(str(error))}
        return {"key": key, "name": of.name, "html": lora_markup.inspected(of)}

    def _row(self, key: str, ask: Callable[[str], Any]) -> dict[str, Any]:
        if not self.shelf.knows(key):
            return {"gone": f"“{self.shelf.name(key)[:100]}” is no longer here; drop its file again"}
        try:
            return {"html": lora_markup.row(self._describe(key, ask(key))), "pending": False}
        except NotHereError as error:
            of = replace(self._describe(key), problem=str(error), can_fetch=True)
            return {"html": lora_markup.row(of), "pending": False}
        except LoraError as error:
            of = replace(self._describe(key), problem=str(error))
            return {"html": lora_markup.row(of), "pending": self.jobs.editor is None}

    def _describe(self, key: str, report: Any = None) -> lora_markup.Row:
        preset, name = self.shelf.preset(key), self.shelf.name(key)
        return lora_markup.Row(key, preset.title if preset else name, name, preset, report)


class LoraTab:
    """Builds the tab where it is made.

    Args:
        page: what is open.
        tabs: to lead from one tab to another.
        folder: see `LoraPanel`.
    """

    def __init__(self, page: gr.Blocks, tabs: gr.Tabs, edit: EditTab, panel: LoraPanel, folder: Path) -> None:
        self.tabs, self.edit, self.panel, self.shelf, self.jobs = tabs, edit, panel, panel.shelf, edit.jobs
        self.book = SeriesBook(folder)
        panel.stack.render()
        with gr.Row(elem_classes="actions series"):
            self.status = gr.HTML("", elem_id="series-status")
            self.cancel = gr.Button(mark("Cancel"), visible=False, elem_id="series-cancel", scale=0, min_width=110)
        self.results = gr.HTML(
            {"job": "", "title": "", "html": ""},
            html_template=_text("results.html"), css_template=_text("results.css"), js_on_load=_text("results.js"),
            server_functions=_functions(self.sheet), apply_default_css=False, elem_id="series",
        )  # fmt: skip
        self._wire(page)

    def _wire(self, page: gr.Blocks) -> None:
        edit, stack = self.edit, self.panel.stack
        self.job = gr.State("")
        self.drawn = gr.State(())
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        watched = [self.drawn, self.status, self.results, self.cancel, self.timer]
        page.load(self._attach, None, [self.job, *watched], **quiet)
        stack.submit(self._start, edit.asked, [self.job, *watched], **quiet)
        self.timer.tick(self._watch, [self.job, self.drawn], [*watched, edit.recent], **quiet)
        self.cancel.click(self._cancel, [self.job], [self.status], **quiet)
        self.results.select(self._choose_word, [self.job], [self.results], **quiet)
        self.results.submit(self._open, [edit.view], [*edit.restored, self.tabs], **quiet)
        stack.select(self._use_words, None, [edit.fields.instruction], **quiet)
        edit.loras.select(lambda: gr.update(selected="loras"), None, [self.tabs], **quiet)

    # ---- what the user does

    def _start(self, values: Values, event: gr.EventData) -> Update:
        try:
            chosen = read_stack(values[self.panel.stack])
            series = self._series(chosen, event)
            request = self.edit.request(values)
            if request.seed is None:  # one for all: that of the result on show, where there is one
                seed = values[self.edit.fields.seed]
                request = replace(request, seed=random.randrange(2**31) if seed is None else int(seed))
            edits = requests(request, series, self.shelf.weights(chosen))
            job = self.jobs.submit_series(edits, values[self.edit.fitted] or None)
        except (ValueError, QueueFullError) as error:
            return {self.status: markup.status(markup.sentence(str(error)), "error")}
        self.book.add(job, series)
        return {self.job: job.id, **self._show(job.id)}

    def _series(self, chosen: tuple[Chosen, ...], event: gr.EventData) -> Series:
        names = [self.shelf.name(of.key) for of in chosen]
        weights = [of.weight for of in chosen]
        if event.run == "compare":
            return comparison(names, weights)
        keys = [of.key for of in chosen]

        def place(key: Any) -> int:
            return keys.index(key) if key in keys else -1

        x, y = (place(event.x), str(event.xs)), (place(event.y), str(event.ys))
        return weight_grid(names, weights, x, y if event.y else None)

    def _cancel(self, job_id: str) -> Update:
        if (job := self.jobs.find(job_id)) is not None:
            job.cancel()
        return {self.status: news(View(job=job_id), self.jobs)}

    def _choose_word(self, job_id: str, event: gr.EventData) -> Update:
        return {self.results: self.book.view(job_id, str(event.word))}

    def _open(self, view: View, event: gr.EventData) -> Update:
        return {**self.edit.restore(view, str(event.open)), self.tabs: gr.update(selected="edit")}

    def _use_words(self, event: gr.EventData) -> Any:
        preset = self.shelf.preset(str(event.key))
        place = event.words
        if preset is None or not isinstance(place, int) or not 0 <= place < len(preset.instructions):
            return gr.skip()
        return preset.instructions[place]

    # ---- what the page shows

    def _attach(self) -> Update:
        """A page was opened or reloaded: show the newest series again, if it has come to something."""
        job_id = self.book.latest
        job = self.jobs.find(job_id) if job_id else None
        came_to_nothing = job is not None and job.snapshot.state.finished and not job.snapshot.entries
        return {self.job: job_id, **self._show(job_id)} if job_id and not came_to_nothing else gr.skip()

    def _watch(self, job_id: str, drawn: tuple) -> Any:
        """The timer's look at the series."""
        moment = self._moment(job_id)
        if moment == drawn:
            return gr.skip()
        update = self._show(job_id)
        if moment[:2] != tuple(drawn)[:2]:
            update[self.edit.recent] = self.edit.strips.recent()
        return update

    def _show(self, job_id: str) -> Update:
        view, drawn = View(job=job_id), self._moment(job_id)  # first, as in the tab "Edit"
        active = is_active(view, self.jobs)
        return {
            self.drawn: drawn,
            self.status: news(view, self.jobs) if self.jobs.find(job_id) else "",
            self.results: self.book.view(job_id),
            self.cancel: gr.update(visible=active),
            self.timer: gr.Timer(active=active),
        }

    def _moment(self, job_id: str) -> tuple:
        """Equal as long as there is nothing new to draw."""
        job = self.jobs.find(job_id)
        if job is None:
            return ()
        now = job.snapshot
        return (job_id, len(now.entries), now.state, now.step, job.cancel_wanted, self.jobs.ready)

    def sheet(self, asked: Any) -> dict[str, str]:
        """For the browser: one PNG of a series, ``{"url", "name"}``, or ``{"error": sentence}``."""
        job_id, word = (asked.get("job"), asked.get("word")) if isinstance(asked, dict) else ("", None)
        try:
            file = self.book.sheet(str(job_id), None if word is None else str(word))
        except MapsError as error:
            return {"error": markup.sentence(str(error))}
        return {"url": markup.file_url(file), "name": file.name}


def _functions(*methods: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Gradio marks the functions that a browser may call, which a bound method does not bear."""

    def plain(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(asked: Any = None) -> Any:
            return method(asked)

        call.__name__ = method.__name__
        return call

    return [plain(method) for method in methods]


def _text(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
