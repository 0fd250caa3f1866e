"""The edit tab: a picture and an instruction on the left, what becomes of them on the right (`edit_result.py`).

What is shown follows from a `View` and the job that it names, so that a reload or a second browser tab shows the
same. No handler of the page waits for the model; a timer looks after the job. Every handler lists as outputs what it
may change and nothing else: an answer that comes late must not put back what the user has changed meanwhile.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdit.catalog import ModelEntry
from mmdit.runtime.history import Entry
from mmdit.runtime.jobs import Jobs, QueueFullError
from mmdit.ui import abilities, markup
from mmdit.ui.edit_result import ResultColumn
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.language import mark, say
from mmdit.ui.lora_shelf import LoraShelf, read_stack
from mmdit.ui.past_request import PastRequests, is_source
from mmdit.ui.preflight import Preflight
from mmdit.ui.region_panel import RegionPanel
from mmdit.ui.request_fields import RequestFields, Values
from mmdit.ui.source_image import read_upload
from mmdit.ui.strips import Strips
from mmdit.ui.view import View, is_active, moment, shown_entry, without_job

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest

POLL_SECONDS = 0.4
LOOK_SECONDS = 1.0  # for another model
WEB = Path(__file__).with_name("edit_web")

Update = dict[Any, Any]


class EditTab:
    """Builds the tab where it is made.

    Args:
        page: what is open.
        model: gives the defaults.
        examples: folder with pictures and an ``examples.json``; may be missing.
        shelf, stack: the LoRAs, and the component whose value is the stack; it is rendered elsewhere.
        recordings: whose words' maps can become regions.
    """

    def __init__(
        self, page: gr.Blocks, jobs: Jobs, model: ModelEntry, examples: Path, shelf: LoraShelf, stack: gr.HTML,
        recordings: Shelf,
    ) -> None:  # fmt: skip
        self.page = page
        self.shelf = shelf
        self.stack = stack
        self.jobs = jobs
        self.history = jobs.history
        self.model = model
        self.recordings = recordings
        self.strips = Strips(jobs.history, examples)
        with gr.Row(equal_height=False, elem_classes="columns"):
            with gr.Column(scale=5, min_width=320):
                self._build_request()
            with gr.Column(scale=7, min_width=320):
                self.result = ResultColumn(jobs, self.strips)
        self._build_rest()
        self._wire()

    # ---- layout

    def _build_request(self) -> None:
        self.fields = RequestFields(self.model_in_use)
        self.past = PastRequests(self.jobs, self.fields, self.shelf, self.stack)
        self.fields.build_picture()
        with gr.Row(elem_classes="actions"):
            self.edit = gr.Button(mark("Edit"), variant="primary", elem_id="edit", scale=3)
            self.cancel = gr.Button(mark("Cancel"), variant="secondary", elem_id="cancel", scale=1, interactive=False)
        self.preflight = Preflight(self.jobs, self.shelf)
        self.loras = gr.HTML(markup.NO_LORAS, js_on_load=markup.CLICK_SCRIPT, elem_id="loras-line")
        with gr.Accordion(mark("Edit only a part of it"), open=False, elem_id="part") as self.part:
            self.region = RegionPanel(self.recordings)
        gr.HTML(markup.section(mark("Or try one of these")), visible=bool(self.strips.pictures))
        self.example_strip = gr.HTML(
            self.strips.examples(),
            js_on_load=markup.STRIP_SCRIPT, elem_id="examples", visible=bool(self.strips.pictures),
        )  # fmt: skip
        with gr.Accordion(mark("Options"), open=False, elem_id="options"):
            self.fields.build_options()

    def _build_rest(self) -> None:
        gr.HTML(markup.section(mark("Recent results")))
        self.recent = gr.HTML(markup.strip([], "…"), js_on_load=markup.STRIP_SCRIPT, elem_id="recent")
        with gr.Accordion(mark("What it can do"), open=False, elem_id="abilities") as self.abilities:
            self.told = gr.Markdown(abilities.text())
        with gr.Row(visible=False):  # for `_attach`
            self.found = gr.JSON()
            self.found_picture = gr.Image(format="png", type="filepath")
            self.found_region = gr.JSON()

    def _wire(self) -> None:
        self.view = gr.State(View())
        self.drawn = gr.State(())
        self.fitted = gr.State(0)  # number of the model that the left column is fitted to
        fields = self.fields
        timer = gr.Timer(POLL_SECONDS)
        right = [*self.result.all, self.edit, self.cancel]
        shown = [self.view, self.drawn, *right]
        region = self.region.view
        self.restored = [*shown, *fields.all, fields.more_pictures, self.stack, region, self.part, self.recent]
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        found = [self.found, self.found_picture]
        drafted = [self.recent, region, *fields.all]
        fitting = [self.fitted, self.abilities, self.told, *fields.of_some_models]
        attached = self.page.load(self._attach, None, [*shown, *found, self.recent, *fitting], **quiet)
        recalled = [self.found_region, fields.more_pictures, self.stack, *fields.all]
        recalling = attached.then(None, [*found, self.recent, *recalled], recalled, js=self._recall(), **quiet)
        recalling.then(self._marked_again, [fields.source, self.found_region], [region, self.part], **quiet)
        fields.seed.input(lambda: False, None, fields.random_seed, **quiet)
        fields.source.clear(self.region.clear, None, [region], **quiet)
        self.stack.change(None, [self.stack], [self.loras], js=_script("line"), **quiet)
        asked = [self.view, self.drawn, fields.random_seed]
        timer.tick(self._watch, asked, [self.drawn, *right, fields.seed, self.recent], **quiet)
        self.asked = {self.view, self.fitted, self.stack, region, *fields.all}
        """What `request` needs to know."""
        started = gr.on([self.edit.click, fields.instruction.submit], self._start, self.asked, shown, **quiet)
        started.then(None, js=_script("look"), **quiet)
        self.cancel.click(self._cancel, [self.view], shown, **quiet)
        gr.on([field.change for field in fields.kept], None, fields.kept, js=_script("keep"), **quiet)
        gr.on([field.change for field in drafted], None, drafted, js=_script("draft"), **quiet)
        fields.reset.click(self._reset, None, list(dict.fromkeys([*fields.options, *fields.of_some_models])), **quiet)
        told = [self.stack.change, self.fitted.change, self.recent.change, *fields.changes]
        gr.on(told, self._foresee, self.asked, [self.preflight.line], trigger_mode="always_last", **quiet)
        gr.on(
            [self.stack.change, fields.instruction.change], self._miss_words, [self.stack, fields.instruction],
            [self.preflight.words], trigger_mode="always_last", **quiet,
        )  # fmt: skip
        gr.Timer(LOOK_SECONDS).tick(self._follow_model, [self.fitted], fitting, **quiet)
        fields.source.upload(self._check_upload, [self.view, fields.source], [*shown, fields.source, region], **quiet)
        again = [*shown, fields.source, fields.instruction, region]
        self.example_strip.select(self._take_example, [self.view], again, **quiet)
        self.recent.select(self._restore, [self.view], self.restored, **quiet)
        self.result.variants.select(self._choose, [self.view], shown, **quiet)
        self.result.again.click(self._edit_again, [self.view], again, **quiet)
        self.result.undo.click(self._take_back, [self.view], self.restored, **quiet)

    # ---- what the user does

    def _attach(self) -> Update:
        """A page was opened or reloaded: find the job again."""
        job, fit = self.past.latest(), self._fit(0)
        fresh = {field: fit[field]["value"] for field in self.fields.of_some_models if "value" in fit.get(field, {})}
        untouched = self.fields.defaults() | fresh
        found, picture, view = {"untouched": [None, *untouched.values()]}, None, View()
        if job is not None:
            settings, picture, view = self.past.of_job(job)
            found["stack"] = settings.get(self.stack)
            found["settings"] = [settings.get(field, default) for field, default in untouched.items()]
        return {
            **self._show(view),
            self.found: found,
            self.found_picture: picture,
            self.recent: self.strips.recent(),
            **fit,
        }

    def _start(self, values: Values) -> Update:
        view = values[self.view]
        if is_active(view, self.jobs):
            return gr.skip()
        try:
            request = self.request(values)
            job = self.jobs.submit_series(self.fields.series(values, request), values[self.fitted] or None)
        except (ValueError, QueueFullError) as error:
            left = replace(without_job(view, self.jobs), before=view.before, job_before=view.job_before)
            return self._show(replace(left, notice=str(error)))
        return self._show(replace(without_job(view, self.jobs), job=job.id))

    def _recall(self) -> str:
        places = [self.fields.all.index(field) for field in self.fields.kept]
        references = f"[{self.fields.all.index(self.fields.references)}]"
        return _script("recall").replace("KEPT.", f"{places}.").replace("[REFERENCES]", references)

    def _reset(self) -> Update:
        editor = self.jobs.editor
        suited = {} if editor is None else self.fields.suited(editor.traits, is_first=False)
        own = {field for field, update in suited.items() if "value" in update}
        return suited | {field: self.fields.defaults()[field] for field in self.fields.options if field not in own}

    def _foresee(self, values: Values) -> str:
        if values[self.fields.source] is None:
            return ""
        written = values[self.fields.instruction] or "as yet unsaid"
        try:
            request = self.request(values | {self.fields.instruction: written})
            return self.preflight.said(request, read_stack(values[self.stack]), int(values[self.fields.variants]))
        except ValueError:  # said when the edit is asked for
            return ""

    def _miss_words(self, stack: Any, instruction: str | None) -> Any:
        try:
            told = self.preflight.said_of_words(read_stack(stack), instruction or "")
        except ValueError:  # said when the edit is asked for
            told = ""
        return gr.update(value=told, visible=bool(told))

    def _follow_model(self, fitted: int) -> Any:
        return self._fit(fitted) or gr.skip()

    def _fit(self, fitted: int) -> Update:
        """Once a model is there, and whenever it is another one: its defaults, and what it has a use for."""
        number, editor = self.jobs.model.number, self.jobs.editor
        if editor is None or number == fitted:
            return {}
        return {
            self.fitted: number,
            self.abilities: gr.update(visible=editor.entry.is_embedded),
            self.told: abilities.text(),
            **self.fields.suited(editor.traits, is_first=fitted == 0),
        }

    def _choose(self, view: View, event: gr.EventData) -> Update:
        return self._show(replace(view, shown=str(event.picked), notice=""))

    def _cancel(self, view: View) -> Update:
        if (job := self.jobs.find(view.job)) is not None:
            job.cancel()
        return self._show(view)

    def _check_upload(self, view: View, source: str | None) -> Update:
        try:
            picture, shows = read_upload(source)
        except ValueError as error:
            return {**self._show(replace(view, notice=str(error))), self.fields.source: None, **self.region.clear()}
        seen = replace(view, notice="", before="")
        if shows and seen == view:
            return self.region.show(picture)
        return {**self._show(seen), **({} if shows else {self.fields.source: picture}), **self.region.show(picture)}

    def _take_example(self, view: View, event: gr.EventData) -> Update:
        example = self.strips.pictures.get(str(event.picked))
        if example is None:
            return gr.skip()
        file, instruction = example
        return {
            **self._show(replace(view, notice="", before="")),
            self.fields.source: file,
            self.fields.instruction: instruction,
            **self.region.unmarked(str(file)),
        }

    def _restore(self, view: View, event: gr.EventData) -> Update:
        return self.restore(view, str(event.picked))

    def _take_back(self, view: View) -> Update:
        """What stood there before "edit the result": its picture, words and region; options stay as they are now."""
        entry = self.history.find(view.before)
        if entry is None or is_active(view, self.jobs):
            return self.restore(view, view.before)
        return {
            **self._show(View(job=view.job_before, shown=entry.name)),
            self.fields.source: entry.source,
            self.fields.instruction: entry.settings["instruction"],
            **self._marked_as(entry),
        }

    def restore(self, view: View, name: str) -> Update:
        """Go back to a result: its picture, settings and LoRAs."""
        entry = self.history.find(name)
        if entry is None:
            return {
                **self._show(replace(view, notice="That result is no longer in the folder of results.")),
                self.recent: self.strips.recent(),
            }
        if is_active(view, self.jobs):
            gr.Info(say("An edit is running; cancel it, or wait for it to finish."))
            return self._show(view)
        settings, other = self.past.of_entry(entry)
        return {
            **self._show(View(shown=name, left_out=other)),
            self.fields.source: entry.source,
            **settings,
            **self._marked_as(entry),
            self.fields.references: [str(file) for file in entry.references] or None,
            self.fields.more_pictures: gr.update(open=bool(entry.references)),
        }

    def take_settings(self, settings: dict[str, Any]) -> Update:
        """Settings and LoRAs of a result that is not here; the pictures stay."""
        nothing = (0, 0)  # so that its size is asked for, whatever the picture's is
        values, other = self.past.of_settings(settings, nothing, has_pictures=False)
        del values[self.fields.references]
        return values | ({self.result.status: markup.status(other)} if other else {})

    def _edit_again(self, view: View) -> Update:
        entry = shown_entry(view, self.jobs)
        if entry is None:
            return gr.skip()
        view = replace(without_job(view, self.jobs), before=entry.name, job_before=view.job)
        return {**self._show(view), self.fields.source: entry.result, self.fields.instruction: "",
                **self.region.unmarked(str(entry.result))}  # fmt: skip

    def take_map(self, view: View, event: gr.EventData) -> Update:
        """The explorer's "Use as region": go back to its result, with that map as the region."""
        entry = self.history.find(str(event.entry))
        if entry is None or is_active(view, self.jobs):
            return self.restore(view, str(event.entry))
        return self.restore(view, entry.name) | self.region.take(event) | {self.part: gr.update(open=True)}

    # ---- what the page shows

    def _marked_again(self, source: str | None, drafted: dict[str, Any] | None) -> Update:
        """The painter of a page that was opened or reloaded: with the region that this browser tab has kept, or else
        with that of the result that it shows.
        """
        job = self.past.latest()
        entry = None if job is None else job.snapshot.entry
        is_its_own = entry is not None and is_source(source, entry)
        if drafted is not None and source is not None:
            opened = {self.part: gr.update(open=True)} if drafted.get("mask") else {}
            return self.region.marked_again(source, drafted, entry.name if is_its_own else "") | opened
        return self._marked_as(entry) if is_its_own else self.region.unmarked(source)

    def _marked_as(self, entry: Entry) -> Update:
        """The painter with what an entry's edit was confined to; opened where there is such a thing."""
        opened = {self.part: gr.update(open=True)} if "region" in entry.settings else {}
        return self.region.marked_as(entry) | opened

    def shown_name(self, view: View) -> str:
        """The name of the result on show; "" when there is none."""
        entry = shown_entry(view, self.jobs)
        return entry.name if entry is not None else ""

    def _watch(self, view: View, drawn: tuple, random_seed: bool) -> Any:
        """The timer's look at the job: redraw if it has moved."""
        if moment(view, self.jobs) == drawn:
            return gr.skip()
        update = self._show(view)
        del update[self.view]
        job = self.jobs.find(view.job)
        if job is not None and job.snapshot.state.finished and job.snapshot.entries:
            update[self.recent] = self.strips.recent()
            if random_seed:  # else it is the user's, who may have written another by now
                update[self.fields.seed] = job.snapshot.entries[-1].settings.get("seed")
        return update

    def _show(self, view: View) -> Update:
        """The right column for a view, and the buttons that follow from it."""
        drawn = moment(view, self.jobs)  # first, so that what moves meanwhile is drawn by the next look
        active = is_active(view, self.jobs)
        return {
            self.view: view,
            self.drawn: drawn,
            **self.result.show(view),
            self.edit: gr.update(interactive=not active),
            self.cancel: gr.update(interactive=active),
        }

    # ---- the model

    def model_in_use(self) -> ModelEntry:
        """The loaded one, or else the one that is being loaded or was last."""
        return self.jobs.model.entry_or(self.model)

    def request(self, values: Values) -> "EditRequest":
        """What the left column and the stack ask for. Raises EditError, ImageError or LoraError."""
        self._check_model(values[self.fitted])
        editor, stack = self.jobs.editor, read_stack(values[self.stack])
        traits = None if editor is None else editor.traits
        request = self.fields.read(values, traits, self.shelf.recommended(stack))
        region = self.region.chosen(values[self.region.view], request.images[0].size)
        request = replace(request, region=region, loras=self.shelf.weights(stack))
        request.check()
        return request

    def _check_model(self, fitted: int) -> None:
        """Raises EditError: the settings on the page are for another model than the one that would get them."""
        from mmdit.editor import EditError

        now = self.jobs.model
        exchanged = now.coming is not None and now.coming.stage != "fetching"
        if fitted and (exchanged or fitted != now.number):
            name = now.coming.name if exchanged else now.name or "no model"
            raise EditError(f"the model has changed to {name}; once its settings are here, look at them and edit again")


def _script(name: str) -> str:
    return (WEB / f"{name}.js").read_text(encoding="utf-8")
