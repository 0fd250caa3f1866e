"""The tab "Model": what is loaded and how, what else there is and whether it would run here, and the exchange.

What is shown follows from the jobs' `ModelSnapshot` alone, so that every page shows the same. No handler waits for a
model; a timer looks after it.
"""

import re
import time
from pathlib import Path
from typing import Any

import gradio as gr

from mmdit.catalog import CATALOG, ModelEntry, find, no_model
from mmdit.families.folders import ModelError
from mmdit.families.hub import cached
from mmdit.families.listing import COLUMNS, describe_machine, model_rows
from mmdit.families.machine import measure
from mmdit.families.memory import CHOICES
from mmdit.lora.preset_schema import HUB_REPOSITORY
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import ModelChoice, ModelSnapshot, ModelState
from mmdit.ui import markup, model_markup
from mmdit.ui.language import mark

LOOK_SECONDS = 1.0
LONGEST_NAME = 1000

Update = dict[Any, Any]


class ModelTab:
    """Builds the tab where it is made.

    Args:
        page: what is open.
        tab: in which it is built.
        model: the one that is loaded first.
        header: shows the name of the model in use, on every tab.
        can_change: whether pages may exchange the model; where they may not, there is nothing that does.
    """

    def __init__(
        self, page: gr.Blocks, tab: gr.Tab, jobs: Jobs, model: ModelEntry, header: gr.HTML, can_change: bool
    ) -> None:  # fmt: skip
        self.jobs, self.model, self.header = jobs, model, header
        self.status = gr.HTML("", elem_id="model-status")
        if can_change:
            self._build_choice()
        gr.HTML(markup.section(mark("What there is")))
        self.table = gr.HTML("", js_on_load=markup.STRIP_SCRIPT, elem_id="models")
        self.drawn = gr.State(())
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        shown = [self.drawn, self.status, self.header]
        shown += [self.load, self.unload] if can_change else []
        self._can_change = can_change
        page.load(self.show, None, shown, **quiet)
        gr.Timer(LOOK_SECONDS).tick(self.watch, [self.drawn], [*shown, self.table], **quiet)
        tab.select(self.catalogue, None, [self.table], **quiet)
        if can_change:
            self._wire_choice(shown, quiet)

    def _build_choice(self) -> None:
        with gr.Row(elem_classes="actions"):
            self.unload = gr.Button(mark("Unload"), elem_id="unload", scale=0, min_width=140)
        gr.HTML(markup.section(mark("Load another one")))
        with gr.Row():
            self.name = gr.Textbox(
                label=mark("Model"), max_length=LONGEST_NAME, elem_id="model-name", scale=4, min_width=240,
                placeholder=mark("name, folder, or org/name on the hub"),
            )  # fmt: skip
            self.memory = gr.Dropdown(
                list(CHOICES), value="auto", label=mark("Memory"), elem_id="model-memory", scale=1, min_width=140,
                info=mark("auto takes the best that fits"),
            )  # fmt: skip
        self.terms = gr.HTML("", elem_id="model-terms")
        self.consent = gr.Checkbox(
            label=mark("I have read its licence and keep to it"), value=False, visible=False, elem_id="model-consent",
            container=False,
        )  # fmt: skip
        self.refusal = gr.HTML("", elem_id="model-refusal")
        with gr.Row(elem_classes="actions"):
            self.load = gr.Button(mark("Load"), variant="primary", elem_id="load", scale=0, min_width=140)

    def _wire_choice(self, shown: list[Any], quiet: dict[str, Any]) -> None:
        described = [self.terms, self.consent, self.refusal]
        self.table.select(self.choose, None, [self.name], **quiet)
        self.name.change(self.describe, [self.name], described, **quiet)
        asked = [self.name, self.memory, self.consent]
        gr.on([self.load.click, self.name.submit], self.use, asked, [*shown, self.refusal], **quiet)
        self.unload.click(self.let_go, None, shown, **quiet)

    # ---- what the user does

    def choose(self, event: gr.EventData) -> Any:
        """A name of the table was clicked."""
        return str(event.picked) if event.picked in CATALOG else gr.skip()

    def describe(self, name: str | None) -> Update:
        """What it would mean to load that one; the licence has to be agreed to anew for each."""
        entry = _entry((name or "").strip())
        if entry is None:
            return {self.terms: "", self.consent: gr.update(visible=False, value=False), self.refusal: ""}
        is_here = _is_here(entry)
        return {
            self.terms: model_markup.terms(entry, is_here),
            self.consent: gr.update(visible=_needs_consent(entry, is_here), value=False),
            self.refusal: "",
        }

    def use(self, name: str | None, memory: str, consent: bool) -> Update:
        """Load that one in place of the present one, or say why not."""
        name = (name or "").strip()
        if problem := problem_with(name, memory, consent):
            return {**self.show(), self.refusal: markup.status(problem, "error")}
        self.jobs.use(ModelChoice(name, memory))
        return {**self.show(), self.refusal: ""}

    def let_go(self) -> Update:
        """Unload the model."""
        self.jobs.unload()
        return self.show()

    # ---- what the page shows

    def watch(self, drawn: tuple) -> Any:
        """The timer's look at the model: redraw if it has moved."""
        now = self.jobs.model
        if _moment(now) == drawn:
            return gr.skip()
        as_listed = not drawn or (now.number, now.state) == (drawn[0].number, drawn[0].state)
        return self.show() | ({} if as_listed else {self.table: self.catalogue()})

    def show(self) -> Update:
        """All that tells what is loaded."""
        now = self.jobs.model
        seconds = 0.0 if now.coming is None else time.monotonic() - now.coming.since
        there = {
            self.drawn: _moment(now),
            self.status: model_markup.loaded(now, seconds),
            self.header: markup.header(self._in_use(now), max(1, now.number)),
        }
        if not self._can_change:
            return there
        return there | {self.load: gr.update(interactive=True), self.unload: gr.update(interactive=self.jobs.ready)}

    def catalogue(self) -> str:
        """The catalog, with what fits here now."""
        machine = measure()
        rows = model_rows(CATALOG.values(), machine)
        present = self.jobs.model.entry
        return model_markup.table(COLUMNS, rows, present.name if present else "", describe_machine(machine))

    def _in_use(self, now: ModelSnapshot) -> str:
        if now.number == 0 and now.state is not ModelState.FAILED:
            return self.model.name  # it is on its way
        return now.name or "no model"


def problem_with(name: str, memory: str, consent: bool) -> str:
    """Why a model can't be loaded at once, in a sentence with the remedy; "" when it can."""
    entry = _entry(name)
    if not name:
        return "No model is named; choose one below, or type a folder or org/name."
    if not _can_be(name):
        return f"{no_model(name)}."
    if memory not in CHOICES:
        return f"Memory is {memory!r}; use one of {', '.join(CHOICES)}."
    if entry is not None and _needs_consent(entry, _is_here(entry)) and not consent:
        licence = f"is {entry.licence}" if entry.licence else "is not known here"
        return f"The licence of {name} {licence}; read it on the model's page, and tick that you keep to it."
    return ""


def _moment(now: ModelSnapshot) -> tuple:
    """Equal as long as there is nothing new to draw; another one every second while a model is on its way."""
    return (now, int(time.monotonic() - now.coming.since)) if now.coming else (now,)


def _entry(name: str) -> ModelEntry | None:
    """What is known of a model; None where a name can't be one, or its folder can't be read."""
    try:
        return find(name) if name in CATALOG or "/" in name else None
    except (OSError, ValueError):  # said when it is loaded
        return None


def _can_be(name: str) -> bool:
    """Whether a model may be called so: by the catalog, a folder that is there, or org/name on the hub."""
    try:
        is_folder = Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # no path at all, or the home of nobody
        is_folder = False
    return is_folder or name in CATALOG or re.fullmatch(HUB_REPOSITORY, name, re.ASCII) is not None


def _is_here(entry: ModelEntry) -> bool:
    try:
        return not isinstance(entry.source, str) or cached(entry.source)[0]
    except (OSError, ValueError, ModelError):
        return False


def _needs_consent(entry: ModelEntry, is_here: bool) -> bool:
    """A download under a licence that does not allow any use."""
    return not is_here and not entry.is_free
