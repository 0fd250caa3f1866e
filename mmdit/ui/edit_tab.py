"""The edit tab: a picture and an instruction on the left, what becomes of them on the right.

What is shown follows from a `View` and the job that it names, so that a reload or a second browser tab shows the
same. No handler of the page waits for the model; a timer looks after the job. Every handler lists as outputs what it
may change and nothing else: an answer that comes late must not put back what the user has changed meanwhile.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdit.catalog import ModelEntry
from mmdit.runtime.history import Entry
from mmdit.runtime.jobs import CAPACITY, Jobs, QueueFullError
from mmdit.ui import abilities, markup
from mmdit.ui.lora_shelf import LoraShelf, read_stack
from mmdit.ui.preflight import Preflight
from mmdit.ui.source_image import SourceImage, read_upload
from mmdit.ui.view import View, is_active, moment, news, shown_entry, stage, without_job

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest

POLL_SECONDS = 0.4
RECENT = 12
MOST_STEPS, MOST_GUIDANCE = 20, 5.0
WEB = Path(__file__).with_name("lora_web")

Update = dict[Any, Any]


class EditTab:
    """Builds the tab where it is made.

    Args:
        page: what is open.
        model: gives the defaults.
        examples: folder with pictures and an ``examples.json``; may be missing.
        shelf, stack: the LoRAs, and the component whose value is the stack; it is rendered elsewhere.
    """

    def __init__(
        self, page: gr.Blocks, jobs: Jobs, model: ModelEntry, examples: Path, shelf: LoraShelf, stack: gr.HTML
    ) -> None:
        self.page = page
        self.shelf = shelf
        self.stack = stack
        self.jobs = jobs
        self.history = jobs.history
        self.model = model
        self.examples = _read_examples(examples)
        self._thumbnail = functools.lru_cache(maxsize=256)(markup.thumbnail)
        with gr.Row(equal_height=False, elem_classes="columns"):
            with gr.Column(scale=5, min_width=320):
                self._build_request()
            with gr.Column(scale=7, min_width=320):
                self._build_result()
        self._build_rest()
        self._wire()

    # ---- layout

    def _build_request(self) -> None:
        self.source = SourceImage(
            label="Picture to edit", show_label=False, type="filepath", image_mode=None, format="png",
            sources=["upload", "clipboard"], buttons=[], height=320, elem_id="source",
            placeholder="Drop a picture here\nor click to choose one",
        )  # fmt: skip
        self.instruction = gr.Textbox(
            label="Instruction", placeholder="for example: make it black and white",
            lines=1, max_lines=4, max_length=1000, elem_id="instruction",
        )  # fmt: skip
        with gr.Row(elem_classes="actions"):
            self.edit = gr.Button("Edit", variant="primary", elem_id="edit", scale=3)
            self.cancel = gr.Button("Cancel", variant="secondary", elem_id="cancel", scale=1, interactive=False)
        self.preflight = Preflight(self.jobs)
        self.loras = gr.HTML(markup.NO_LORAS, js_on_load=markup.CLICK_SCRIPT, elem_id="loras-line")
        gr.HTML('<h2 class="section">Or try one of these</h2>', visible=bool(self.examples))
        self.example_strip = gr.HTML(
            markup.strip(self._example_items(), ""),
            js_on_load=markup.STRIP_SCRIPT, elem_id="examples", visible=bool(self.examples),
        )  # fmt: skip
        with gr.Accordion("Options", open=False, elem_id="options"):
            self.seed = gr.Number(
                label="Seed", precision=0, minimum=0, value=None, elem_id="seed",
                info="The same seed and settings make the same picture.",
            )  # fmt: skip
            self.random_seed = gr.Checkbox(
                label="New seed every time", value=True, elem_id="random-seed", container=False
            )
            self.steps = gr.Slider(
                1, MOST_STEPS, self.model.steps, step=1, label="Steps", elem_id="steps", buttons=[],
                info="One is the most exact with this editor; with more, the picture comes in stages.",
            )  # fmt: skip
            self.guidance = gr.Slider(
                0, MOST_GUIDANCE, self.model.guidance, step=0.1, label="Guidance", elem_id="guidance", buttons=[],
                info="1 is none, and what the editor was measured at; other values take twice the time.",
            )  # fmt: skip

    def _build_result(self) -> None:
        self.status = gr.HTML(markup.status("Opening…"), elem_id="status")
        self.stage = gr.HTML(markup.nothing_yet(), elem_id="stage")
        with gr.Row(elem_classes="actions"):
            self.download = gr.DownloadButton("Download PNG", visible=False, elem_id="download", min_width=140)
            self.look_inside = gr.Button("Look inside", visible=False, elem_id="look-inside", min_width=140)
            self.again = gr.Button("Edit the result", visible=False, elem_id="again", min_width=180)
            self.undo = gr.Button("Back to the earlier picture", visible=False, elem_id="undo", min_width=180)

    def _build_rest(self) -> None:
        gr.HTML('<h2 class="section">Recent results</h2>')
        self.recent = gr.HTML(
            markup.strip([], "Results are kept here."), js_on_load=markup.STRIP_SCRIPT, elem_id="recent"
        )
        with gr.Accordion("What it can do", open=False, elem_id="abilities"):
            gr.Markdown(abilities.TEXT)
        with gr.Row(visible=False):  # for programs, see `_serve`
            self.served = gr.Button()
            self.served_picture = gr.Image(label="result", format="png", type="filepath")
            self.served_settings = gr.JSON(label="settings")
            self.found = gr.JSON()  # for `_attach`
            self.found_picture = gr.Image(format="png", type="filepath")

    def _wire(self) -> None:
        self.view = gr.State(View())
        self.drawn = gr.State(())
        timer = gr.Timer(POLL_SECONDS)
        results = [self.download, self.look_inside, self.again, self.undo]
        right = [self.status, self.stage, self.edit, self.cancel, *results]
        left = [self.source, self.instruction, self.seed, self.random_seed, self.steps, self.guidance]
        shown = [self.view, self.drawn, *right]
        self.restored = [*shown, *left, self.stack, self.recent]
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        found = [self.found, self.found_picture]
        recalled = [self.stack, *left]
        attached = self.page.load(self._attach, None, [*shown, *found, self.recent], **quiet)
        attached.then(None, [*found, *recalled], recalled, js=_script("recall"), **quiet)
        self.stack.change(None, [self.stack], [self.loras], js=_script("line"), **quiet)
        asked = [self.view, self.drawn, self.random_seed]
        timer.tick(self._watch, asked, [self.drawn, *right, self.seed, self.recent], **quiet)
        gr.on([self.edit.click, self.instruction.submit], self._start, [self.view, *left, self.stack], shown, **quiet)
        self.cancel.click(self._cancel, [self.view], shown, **quiet)
        self.preflight.follow(self.source)
        self.source.upload(self._check_upload, [self.view, self.source], [*shown, self.source], **quiet)
        again = [*shown, self.source, self.instruction]
        self.example_strip.select(self._take_example, [self.view], again, **quiet)
        self.recent.select(self._restore, [self.view], self.restored, **quiet)
        self.again.click(self._edit_again, [self.view], again, **quiet)
        self.undo.click(self._take_back, [self.view], self.restored, **quiet)
        self.served.click(
            self._serve, [self.source, self.instruction, self.seed, self.steps, self.guidance],
            [self.served_picture, self.served_settings],
            api_name="edit", concurrency_limit=CAPACITY, show_progress="hidden",
            api_description="Edit a picture; returns the result as PNG, and the settings that make it again.",
        )  # fmt: skip

    # ---- what the user does

    def _attach(self) -> Update:
        """A page was opened or reloaded: find the job again."""
        job = self.jobs.current()
        if job is None:
            return {**self._show(View()), self.recent: self.recent_strip()}
        now = job.snapshot
        settings = {self.instruction: now.instruction} | ({} if now.entry is None else self._settings(now.entry))
        fields = {self.instruction: "", self.seed: None, self.random_seed: True, self.steps: self.model.steps,
                  self.guidance: self.model.guidance}  # fmt: skip
        found = {
            "untouched": [None, *fields.values()],
            "settings": [settings.get(field, untouched) for field, untouched in fields.items()],
            "stack": self.shelf.to_browser(*self.shelf.from_settings(now.entries[-1].settings if now.entries else {})),
        }
        return {
            **self._show(View(job=job.id)),
            self.found: found,
            self.found_picture: now.source if now.entry is None else now.entry.source,
            self.recent: self.recent_strip(),
        }

    def _start(
        self, view: View, source: str | None, instruction: str, seed: int | None, random_seed: bool,
        steps: int, guidance: float, stack: Any,
    ) -> Update:  # fmt: skip
        if is_active(view, self.jobs):
            return gr.skip()
        try:
            request = self.request(source, instruction, None if random_seed else seed, steps, guidance)
            job = self.jobs.submit(replace(request, loras=self.shelf.weights(read_stack(stack))))
        except (ValueError, QueueFullError) as error:
            return self._show(replace(without_job(view, self.jobs), notice=str(error)))
        return self._show(replace(without_job(view, self.jobs), job=job.id))

    def _cancel(self, view: View) -> Update:
        if (job := self.jobs.find(view.job)) is not None:
            job.cancel()
        return self._show(view)

    def _check_upload(self, view: View, source: str | None) -> Update:
        try:
            picture, shows = read_upload(source)
        except ValueError as error:
            return {**self._show(replace(view, notice=str(error))), self.source: None}
        seen = replace(view, notice="", before="")
        if shows and seen == view:
            return gr.skip()
        return {**self._show(seen), **({} if shows else {self.source: picture})}

    def _take_example(self, view: View, event: gr.EventData) -> Update:
        example = self.examples.get(str(event.picked))
        if example is None:
            return gr.skip()
        file, instruction = example
        return {
            **self._show(replace(view, notice="", before="")),
            self.source: file,
            self.instruction: instruction,
        }

    def _restore(self, view: View, event: gr.EventData) -> Update:
        return self.restore(view, str(event.picked))

    def _take_back(self, view: View) -> Update:
        return self.restore(view, view.before)

    def restore(self, view: View, name: str) -> Update:
        """Go back to a result: its picture, settings and LoRAs."""
        entry = self.history.find(name)
        if entry is None:
            return {
                **self._show(replace(view, notice="That result is no longer in the folder of results.")),
                self.recent: self.recent_strip(),
            }
        if is_active(view, self.jobs):
            return self._show(replace(view, notice="An edit is running; cancel it, or wait for it to finish."))
        return {
            **self._show(View(shown=name)),
            self.source: entry.source,
            **self._settings(entry),
            self.random_seed: False,
            self.stack: self.shelf.to_browser(*self.shelf.from_settings(entry.settings)),
        }

    def _edit_again(self, view: View) -> Update:
        entry = shown_entry(view, self.jobs)
        if entry is None:
            return gr.skip()
        view = replace(without_job(view, self.jobs), before=entry.name)
        return {**self._show(view), self.source: entry.result, self.instruction: ""}

    # ---- what the page shows

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
            update[self.recent] = self.recent_strip()
            if random_seed:  # else it is the user's, who may have written another by now
                update[self.seed] = job.snapshot.entries[-1].settings.get("seed")
        return update

    def _show(self, view: View) -> Update:
        """The right column for a view."""
        active = is_active(view, self.jobs)
        entry = None if active else shown_entry(view, self.jobs)
        return {
            self.view: view,
            self.drawn: moment(view, self.jobs),
            self.status: news(view, self.jobs),
            self.stage: stage(view, self.jobs),
            self.edit: gr.update(interactive=not active),
            self.cancel: gr.update(interactive=active),
            self.download: gr.update(value=entry and str(entry.result), visible=entry is not None),
            self.look_inside: gr.update(visible=entry is not None and entry.maps is not None),
            self.again: gr.update(visible=entry is not None and view.before != entry.name),
            self.undo: gr.update(visible=bool(view.before) and not active),
        }

    def _settings(self, entry: Entry) -> Update:
        """The left column's settings, as they were for an entry."""
        settings = entry.settings
        return {
            self.instruction: settings.get("instruction", ""),
            self.seed: settings.get("seed"),
            self.steps: min(settings.get("steps", self.model.steps), MOST_STEPS),
            self.guidance: min(settings.get("guidance", self.model.guidance), MOST_GUIDANCE),
        }

    def recent_strip(self) -> str:
        """The newest results, to click."""
        items = [
            markup.StripItem(entry.name, self._thumbnail(entry.result), entry.settings.get("instruction", ""))
            for entry in self.history.latest(RECENT)
        ]
        return markup.strip(items, "Every result is kept on disk and shown here. There are none so far.")

    def _example_items(self) -> list[markup.StripItem]:
        return [
            markup.StripItem(name, self._thumbnail(file), instruction)
            for name, (file, instruction) in self.examples.items()
        ]

    # ---- the model

    def request(
        self, source: str | None, instruction: str, seed: int | None, steps: int, guidance: float
    ) -> "EditRequest":
        """What the left column asks for, without LoRAs. Raises EditError or ImageError."""
        from mmdit.attention.spec import RecordSpec
        from mmdit.editor import EditError, EditRequest

        if source is None:
            raise EditError("there is no picture yet; add the one to edit")
        if not (instruction or "").strip():
            raise EditError('the instruction is empty; say what to do, for example "make it black and white"')
        picture, _ = read_upload(source)
        return EditRequest(
            [picture], instruction.strip(), seed=None if seed is None else int(seed), steps=int(steps),
            guidance=float(guidance), record=RecordSpec(steps="all", heads="all", patches="all", dtype="float16"),
        )  # fmt: skip

    def _serve(
        self, image: str | None, instruction: str, seed: int | None, steps: int, guidance: float
    ) -> tuple[str, dict[str, Any]]:
        """For programs: one edit from beginning to end."""
        try:
            job = self.jobs.submit(self.request(image, instruction, seed, steps, guidance))
        except (ValueError, QueueFullError) as error:
            raise gr.Error(str(error)) from error
        now = job.wait()
        if now.entry is None:
            raise gr.Error(now.error or "the edit was cancelled")
        return str(now.entry.result), now.entry.settings


def _read_examples(folder: Path) -> dict[str, tuple[Path, str]]:
    """File name → (file, instruction), of those that are there."""
    listing = folder / "examples.json"
    if not listing.is_file():
        return {}
    listed = json.loads(listing.read_text(encoding="utf-8"))
    found = {example["file"]: (folder / example["file"], example["instruction"]) for example in listed}
    return {name: (file, instruction) for name, (file, instruction) in found.items() if file.is_file()}


def _script(name: str) -> str:
    return (WEB / f"{name}.js").read_text(encoding="utf-8")
