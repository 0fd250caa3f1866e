"""The tab "History": every result on disk, to find, to use, to make again, to compare and to pass on.

What is shown follows from a `Shown` and what is on disk. A browser names results, never files; what it drops is
read as a stranger's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mmdit.runtime.bundle import export_bundle, import_bundle
from mmdit.runtime.history import Entry
from mmdit.runtime.job import JobState
from mmdit.runtime.jobs import QueueFullError
from mmdit.runtime.reproduce import check_settings, circumstances, difference, hindrance, request_for
from mmdit.ui import history_markup, markup
from mmdit.ui.edit_tab import POLL_SECONDS, EditTab, Update
from mmdit.ui.language import mark, say
from mmdit.ui.lora_pictures import Pictures
from mmdit.ui.source_image import read_upload
from mmdit.ui.view import View

EACH = 24  # results on a page
TILE, SMALL, LARGE = (320, 240), (160, 160), (1024, 1024)  # pixels of copies
KEPT_EXPORTS = 8
GONE = "That result is no longer in the folder of results."
START_DOWNLOAD = "() => document.querySelector('#history-link a')?.click()"
LOOK = (Path(__file__).with_name("history_web") / "look.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Dropped:
    """A picture of ours without its sources: a small copy's address, its name, its settings."""

    address: str
    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What one browser tab looks at.

    Args:
        text, page: what is searched for, and which page of it.
        name, second: the result on show, and what it is compared with.
        choosing: whether the next click chooses the second.
        dropped: shown in a result's place.
        job, of: id of the job that makes a result again, and that result's name.
        news, kind: a sentence, "" for what to do first, and as what it is said; see `markup.status`.
    """

    text: str = ""
    page: int = 0
    name: str = ""
    second: str = ""
    choosing: bool = False
    dropped: Dropped | None = None
    job: str = ""
    of: str = ""
    news: str = ""
    kind: str = "calm"


class HistoryTab:
    """Builds the tab where it is made.

    Args:
        tabs: to lead to the edit tab.
        edit: takes over settings.
        folder: for small copies and bundles; private to this process, served by the page.
        uploads: the only folder from which dropped files are taken.
    """

    def __init__(self, tab: gr.Tab, tabs: gr.Tabs, edit: EditTab, folder: Path, uploads: Path) -> None:
        self.tabs, self.edit, self.jobs, self.history, self.shelf = tabs, edit, edit.jobs, edit.history, edit.shelf
        self._folder, self._uploads, self._pictures = folder, uploads, Pictures(folder)
        self._exports: list[Path] = []
        self._build()
        self._wire(tab)

    # ---- layout

    def _build(self) -> None:
        with gr.Row(elem_classes="actions history-find"):
            self.search = gr.Textbox(
                label=mark("Search"), placeholder=mark("words, a model, a LoRA, or 2026-01-31"),
                elem_id="history-search", scale=3, min_width=280, max_length=200,
            )  # fmt: skip
            self.drop = gr.File(
                label=mark("Drop a bundle or a picture"), file_types=[".zip", ".png"], height=92,
                elem_id="history-open", scale=2, min_width=260,
            )  # fmt: skip
        self.gallery = gr.HTML("", js_on_load=markup.STRIP_SCRIPT, elem_id="history-gallery")
        with gr.Row(elem_classes="actions history-pages"):
            self.newer = gr.Button(mark("Newer"), elem_id="history-newer", scale=0, min_width=88)
            self.pages = gr.HTML("", elem_id="history-pages")
            self.older = gr.Button(mark("Older"), elem_id="history-older", scale=0, min_width=88)
        self.status = gr.HTML("", elem_id="history-status")
        with gr.Row(equal_height=False, elem_classes="columns"):
            with gr.Column(scale=7, min_width=320):
                self.stage = gr.HTML(history_markup.nothing_chosen(), elem_id="history-stage")
                with gr.Row(elem_classes="actions"):
                    self.use = gr.Button(
                        mark("Use these settings"), variant="primary", elem_id="history-use", min_width=150
                    )
                    self.again = gr.Button(mark("Reproduce"), elem_id="history-reproduce", min_width=120)
                    self.cancel = gr.Button(mark("Cancel"), elem_id="history-cancel", min_width=100, visible=False)
                    self.compare = gr.Button(mark("Compare with another"), elem_id="history-compare", min_width=170)
                    self.export = gr.Button(mark("Export bundle"), elem_id="history-export", min_width=130)
                self.link = gr.HTML("", elem_id="history-link")
            with gr.Column(scale=5, min_width=320):
                self.details = gr.HTML("", elem_id="history-details")

    def _wire(self, tab: gr.Tab) -> None:
        self.shown = gr.State(Shown())
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        buttons = [self.newer, self.older, self.use, self.again, self.cancel, self.compare, self.export]
        below = [self.shown, self.status, self.stage, self.details, self.link, *buttons, self.timer]
        everything = [*below, self.gallery, self.pages]

        def wire(event: Callable[..., Any], answer: Callable[..., Update], *inputs: Any, **how: Any) -> Any:
            return event(answer, [self.shown, *inputs], everything, **quiet, **how)

        wire(tab.select, self.draw)
        wire(self.search.change, self.find, self.search, trigger_mode="always_last")
        wire(self.newer.click, lambda shown: self.draw(replace(shown, page=shown.page - 1)))
        wire(self.older.click, lambda shown: self.draw(replace(shown, page=shown.page + 1)))
        opened = self.drop.upload(self._open, [self.shown, self.drop], [*everything, self.drop], **quiet)
        wire(self.again.click, self.make_again)
        wire(self.cancel.click, self.stop)
        wire(self.compare.click, self.choose_second)
        chosen = self.gallery.select(self._choose, [self.shown], everything, **quiet)
        for shows in (opened, chosen):
            shows.then(None, js=LOOK, **quiet)
        self.timer.tick(self._watch, [self.shown], everything, **quiet)
        exported = self.export.click(self.write_bundle, [self.shown], [self.shown, self.status, self.link], **quiet)
        exported.then(None, None, None, js=START_DOWNLOAD, **quiet)
        taken = [*self.edit.restored, self.tabs]
        self.use.click(self.use_settings, [self.shown, self.edit.view], taken, **quiet)

    # ---- what the user does

    def find(self, shown: Shown, text: str) -> Update:
        """Results with these words."""
        return self.draw(replace(shown, text=text or "", page=0))

    def _choose(self, shown: Shown, event: gr.EventData) -> Update:
        return self.choose(shown, str(event.picked))

    def choose(self, shown: Shown, name: str) -> Update:
        """Show a result, or compare it with the one on show."""
        if self.history.find(name) is None:
            return self.draw(replace(shown, news=say(GONE), kind="error"))
        if shown.choosing and name != shown.name:
            news = say("Drag the divider to compare the two.")
            return self.draw(replace(shown, second=name, choosing=False, news=news, kind="done"))
        news = say("One of your results")
        return self.draw(replace(shown, name=name, second="", choosing=False, dropped=None, news=news, kind="done"))

    def choose_second(self, shown: Shown) -> Update:
        """Let the next click choose what to compare with; or no longer."""
        if shown.choosing or shown.second:
            return self.draw(replace(shown, choosing=False, second="", news=say("One of your results"), kind="done"))
        return self.draw(replace(shown, choosing=True, news=say("Choose the second result above."), kind="calm"))

    def _open(self, shown: Shown, path: str | None) -> Update:
        return {**self.open(shown, path), self.drop: None}

    def open(self, shown: Shown, path: str | None) -> Update:
        """A file was dropped: a bundle becomes the newest result, of a picture the settings are shown."""
        file = Path(path or "").resolve()
        try:
            if not file.is_relative_to(self._uploads.resolve()) or not file.is_file():
                raise ValueError("that file was not uploaded; drop it on the page")
            if file.suffix.lower() == ".zip":
                entry = import_bundle(file, self.history)
                told = (say("The bundle is open, as your newest result."), hindrance(entry.settings))
                news = " ".join(text for text in (*told, *self.history.trim()) if text)
                return self.draw(Shown(name=entry.name, job=shown.job, of=shown.of, news=news, kind="done"))
            dropped = self._read_picture(file)
        except (ValueError, OSError) as error:
            return self.draw(replace(shown, news=self._told(error), kind="error"))
        news = say("A picture made with the studio. It holds its settings, but not the pictures that it was made from.")
        news = f"{news} {hindrance(dropped.settings)}".strip()
        return self.draw(replace(shown, name="", second="", choosing=False, dropped=dropped, news=news, kind="done"))

    def _read_picture(self, file: Path) -> Dropped:
        """Raises ValueError: no picture, or none of ours."""
        from mmdit import images

        read_upload(str(file))
        settings = images.read_settings(file)
        if not isinstance(settings, dict):
            raise ValueError(f"{file.name} has no settings in it; open a PNG as it was saved here, unchanged")
        check_settings(settings)
        return Dropped(self._pictures.small(file, LARGE), file.name, settings)

    def use_settings(self, shown: Shown, view: View) -> Update:
        """Hand the settings over to the edit tab, and lead there."""
        if shown.dropped is not None:
            taken = self.edit.take_settings(shown.dropped.settings)
        else:
            taken = self.edit.restore(view, shown.name)
        return {**taken, self.tabs: gr.update(selected="edit")}

    def write_bundle(self, shown: Shown) -> Update:
        """One .zip of the result on show, and a link to it."""
        entry = self.history.find(shown.name)
        try:
            if entry is None:
                raise ValueError(GONE)
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._folder / f"{entry.name}.zip"
            export_bundle(entry, file)
        except (ValueError, OSError) as error:
            shown = replace(shown, news=self._told(error), kind="error")
            return {self.shown: shown, self.status: self._said(shown), self.link: ""}
        self._exports = [*(kept for kept in self._exports if kept != file), file]
        while len(self._exports) > KEPT_EXPORTS:
            self._exports.pop(0).unlink(missing_ok=True)
        shown = replace(shown, news=say("The bundle holds the picture, its sources, settings and maps."), kind="done")
        return {self.shown: shown, self.status: self._said(shown), self.link: history_markup.link(file)}

    def make_again(self, shown: Shown) -> Update:
        """Queue the edit that made the result on show."""
        from mmdit.images import load_image

        number, editor = self.jobs.model.number, self.jobs.editor
        entry = self.history.find(shown.name)
        settings = shown.dropped.settings if shown.dropped is not None else entry.settings if entry else {}
        try:
            if entry is None and shown.dropped is None:
                raise ValueError(GONE)
            if editor is None:
                raise ValueError("the editor is still loading; try again in a moment")
            sources = [load_image(source) for source in entry.sources] if entry is not None else []
            job = self.jobs.submit(request_for(editor, settings, sources, self.shelf.files), number)
        except (ValueError, OSError, QueueFullError) as error:
            return self.draw(replace(shown, news=self._told(error), kind="error"))
        return self.draw(replace(shown, second="", choosing=False, job=job.id, of=entry.name, news="", kind="calm"))

    def stop(self, shown: Shown) -> Update:
        """Cancel what `make_again` has queued."""
        if (job := self.jobs.find(shown.job)) is not None:
            job.cancel()
        return self._watch(shown)

    def _watch(self, shown: Shown) -> Any:
        """The timer's look at the job; when it has ended, what came of it."""
        job = self.jobs.find(shown.job)
        if job is not None and not job.snapshot.state.finished:
            return {self.status: self._said(shown)}
        ended = replace(shown, job="", of="", kind="error")
        if job is None or job.snapshot.state is JobState.CANCELLED:
            return self.draw(replace(ended, news=say("Cancelled. Nothing was saved."), kind="calm"))
        made, kept = job.snapshot.entry, self.history.find(shown.of)
        if made is None or kept is None:
            return self.draw(replace(ended, news=_sentence(job.snapshot.error or GONE)))
        news = _outcome(made, kept)
        if shown.name != shown.of:  # something else is looked at by now
            return self.draw(replace(ended, news=news, kind="done"))
        return self.draw(replace(ended, second=made.name, choosing=False, news=news, kind="done"))

    # ---- what the page shows

    def draw(self, shown: Shown) -> Update:
        """Everything, for a view."""
        found = self.history.search(shown.text)
        last = max(0, (len(found) - 1) // EACH)
        shown = replace(shown, page=min(max(0, shown.page), last))
        entry, second = self.history.find(shown.name), self.history.find(shown.second)
        here, active = entry is not None, bool(shown.job)
        comparing = shown.choosing or second is not None
        return {
            self.shown: shown,
            self.status: self._said(shown),
            self.gallery: self._gallery(shown, found),
            self.pages: history_markup.pages(shown.page, EACH, len(found)),
            self.newer: gr.update(interactive=shown.page > 0),
            self.older: gr.update(interactive=shown.page < last),
            self.stage: self._stage(shown, entry, second),
            self.details: self._details(shown, entry),
            self.link: "",
            self.use: gr.update(interactive=here or shown.dropped is not None),
            self.again: gr.update(interactive=(here or shown.dropped is not None) and not active),
            self.cancel: gr.update(visible=active),
            self.compare: gr.update(
                value=say("Stop comparing") if comparing else say("Compare with another"), interactive=here
            ),
            self.export: gr.update(interactive=here),
            self.timer: gr.Timer(active=active),
        }

    def _said(self, shown: Shown) -> str:
        """The status line."""
        job = self.jobs.find(shown.job)
        if job is None or job.snapshot.state.finished:
            first = say("Ready.") if shown.name else say("Choose a result to see its settings.")
            return markup.status(shown.news or first, shown.kind)
        now = job.snapshot
        if now.state is JobState.WAITING:
            return markup.status(say("Making it again: other edits are first…"), "busy")
        share = now.step / now.steps if now.steps else None
        done = say("Step {step} of {steps}", step=now.step, steps=now.steps) if now.steps else ""
        return markup.status(say("Making it again…"), "busy", share, done)

    def _told(self, error: Exception) -> str:
        """What went wrong as a sentence without this machine's folders."""
        if isinstance(error, OSError):
            return _sentence(f"a file could not be read or written: {error.strerror or type(error).__name__}")
        text = str(error)
        for folder in (self.history.folder, self._uploads, self._uploads.resolve()):
            text = re.sub(rf"{re.escape(str(folder))}[\\/](?:\w+[\\/])*", "", text)
        return _sentence(text)

    def _gallery(self, shown: Shown, found: list[Entry]) -> str:
        tiles = [
            history_markup.Tile(
                entry, self._pictures.small(entry.result, TILE, crop=True), entry.name in (shown.name, shown.second)
            )
            for entry in found[shown.page * EACH :][:EACH]
        ]
        return history_markup.gallery(tiles, searched=bool(shown.text.strip()))

    def _stage(self, shown: Shown, entry: Entry | None, second: Entry | None) -> str:
        if shown.dropped is not None:
            return history_markup.alone(shown.dropped.address, shown.dropped.name)
        if entry is None:
            return history_markup.nothing_chosen()
        if second is not None:
            tags, names = ("First", "Second"), ("First result", "Second result")
            return markup.compare(entry.result, second.result, _size(entry), tags, names, cut=50)
        return markup.compare(entry.source, entry.result, _size(entry))

    def _details(self, shown: Shown, entry: Entry | None) -> str:
        if shown.dropped is not None:
            return history_markup.details(shown.dropped.settings, shown.dropped.name)
        if entry is None:
            return ""
        sources = [(self._pictures.small(source, SMALL), source) for source in entry.sources]
        return history_markup.details(entry.settings, f"{entry.result.name}, {history_markup.made_at(entry)}", sources)


def _outcome(made: Entry, kept: Entry) -> str:
    """Whether a result that was made again is the one that was kept."""
    from mmdit.images import load_image

    try:
        apart = difference(load_image(made.result), load_image(kept.result))
    except ValueError:
        return GONE
    why = circumstances(kept.settings) if apart.pixels else ""
    return " ".join(_sentence(text) for text in (f"Made again. {apart.sentence()}", why) if text)


def _size(entry: Entry) -> tuple[int, int]:
    with Image.open(entry.result, formats=["PNG"]) as opened:
        return opened.size


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
