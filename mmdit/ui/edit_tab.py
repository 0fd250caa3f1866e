"""The edit tab: a picture and an instruction on the left, what becomes of them on the right.

What is shown follows from a `View` and the job that it names, so that a reload or a second browser tab shows the
same. No handler of the page waits for the model; a timer looks after the job.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mmdit.catalog import ModelEntry
from mmdit.runtime.history import Entry
from mmdit.runtime.jobs import CAPACITY, Job, Jobs, QueueFullError
from mmdit.ui import abilities, markup
from mmdit.ui.source_image import SourceImage
from mmdit.ui.view import View, is_active, moment, news, shown_entry, stage, without_job

POLL_SECONDS = 0.4
RECENT = 12
MOST_STEPS, MOST_GUIDANCE = 20, 5.0
SHOWN_BY_BROWSERS = {"PNG", "JPEG", "WEBP", "GIF", "BMP"}

Update = dict[Any, Any]


class EditTab:
    """Builds the tab where it is made.

    Args:
        page: what is open.
        model: gives the defaults.
        examples: folder with pictures and an ``examples.json``; may be missing.
    """

    def __init__(self, page: gr.Blocks, jobs: Jobs, model: ModelEntry, examples: Path) -> None:
        self.page = page
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
            self.again = gr.Button("Edit this result again", visible=False, elem_id="again", min_width=180)
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

    def _wire(self) -> None:
        self.view = gr.State(View())
        self.drawn = gr.State(())
        timer = gr.Timer(POLL_SECONDS)
        results = [self.download, self.look_inside, self.again, self.undo]
        right = [self.status, self.stage, self.edit, self.cancel, *results]
        left = [self.source, self.instruction, self.seed, self.random_seed, self.steps, self.guidance]
        everything = [self.view, self.drawn, *right, *left, self.recent]
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        self.page.load(self._attach, None, everything, **quiet)
        timer.tick(self._watch, [self.view, self.drawn], [self.drawn, *right, self.seed, self.recent], **quiet)
        gr.on(
            [self.edit.click, self.instruction.submit], self._start, [self.view, *left], everything, **quiet
        )  # fmt: skip
        self.cancel.click(self._cancel, [self.view], everything, **quiet)
        # Not the settings: an answer that comes late would put back those that were changed meanwhile.
        shown = [self.view, self.drawn, *right, self.source]
        self.source.upload(self._check_upload, [self.view, self.source], shown, **quiet)
        self.example_strip.select(self._take_example, [self.view], everything, **quiet)
        self.recent.select(self._restore, [self.view], everything, **quiet)
        self.again.click(self._edit_again, [self.view], everything, **quiet)
        self.undo.click(self._take_back, [self.view], everything, **quiet)
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
            return {**self._show(View()), self.recent: self._recent_strip()}
        now = job.snapshot
        update = self._show(View(job=job.id))
        if now.entry is not None:
            update |= {self.source: now.entry.source, **self._settings(now.entry)}
        elif now.source is not None:
            update[self.source] = now.source
        return {**update, self.instruction: now.instruction, self.recent: self._recent_strip()}

    def _start(
        self, view: View, source: str | None, instruction: str, seed: int | None, random_seed: bool,
        steps: int, guidance: float,
    ) -> Update:  # fmt: skip
        if is_active(view, self.jobs):
            return gr.skip()
        try:
            job = self._submit(source, instruction, None if random_seed else seed, steps, guidance)
        except (ValueError, QueueFullError) as error:
            return self._show(replace(without_job(view, self.jobs), notice=str(error)))
        return self._show(replace(without_job(view, self.jobs), job=job.id))

    def _cancel(self, view: View) -> Update:
        if (job := self.jobs.find(view.job)) is not None:
            job.cancel()
        return self._show(view)

    def _check_upload(self, view: View, source: str | None) -> Update:
        try:
            picture, shows = _read_upload(source)
        except ValueError as error:
            return {**self._show(replace(view, notice=str(error))), self.source: None}
        update = self._show(replace(view, notice="", before=""))
        return update if shows else {**update, self.source: picture}

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
        return self._restore_entry(view, str(event.picked))

    def _take_back(self, view: View) -> Update:
        return self._restore_entry(view, view.before)

    def _restore_entry(self, view: View, name: str) -> Update:
        entry = self.history.find(name)
        if entry is None:
            return {
                **self._show(replace(view, notice="That result is no longer in the folder of results.")),
                self.recent: self._recent_strip(),
            }
        if is_active(view, self.jobs):
            return self._show(replace(view, notice="An edit is running; cancel it, or wait for it to finish."))
        return {
            **self._show(View(shown=name)),
            self.source: entry.source,
            **self._settings(entry),
            self.random_seed: False,
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

    def _watch(self, view: View, drawn: tuple) -> Any:
        """The timer's look at the job: redraw if it has moved."""
        if moment(view, self.jobs) == drawn:
            return gr.skip()
        update = self._show(view)
        del update[self.view]
        job = self.jobs.find(view.job)
        if job is not None and (entry := job.snapshot.entry) is not None:
            update |= {self.seed: entry.settings.get("seed"), self.recent: self._recent_strip()}
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

    def _recent_strip(self) -> str:
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

    def _submit(self, source: str | None, instruction: str, seed: int | None, steps: int, guidance: float) -> Job:
        from mmdit.attention.spec import RecordSpec
        from mmdit.editor import EditError, EditRequest

        if source is None:
            raise EditError("there is no picture yet; add the one to edit")
        if not instruction.strip():
            raise EditError('the instruction is empty; say what to do, for example "make it black and white"')
        picture, _ = _read_upload(source)
        request = EditRequest(
            [picture], instruction.strip(), seed=None if seed is None else int(seed), steps=int(steps),
            guidance=float(guidance), record=RecordSpec(steps="all", heads="all", patches="all", dtype="float16"),
        )  # fmt: skip
        return self.jobs.submit(request)

    def _serve(
        self, image: str | None, instruction: str, seed: int | None, steps: int, guidance: float
    ) -> tuple[str, dict[str, Any]]:
        """For programs: one edit from beginning to end."""
        try:
            job = self._submit(image, instruction, seed, steps, guidance)
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


def _read_upload(source: str) -> tuple[Image.Image, bool]:
    """An uploaded picture, and whether a browser can show its file. Raises `ImageError` without the folder."""
    from mmdit.images import ImageError, load_image

    try:
        picture = load_image(source)
    except ImageError as error:
        raise ImageError(str(error).replace(source, f"“{Path(source).name}”")) from error
    with Image.open(source) as opened:
        return picture, opened.format in SHOWN_BY_BROWSERS
