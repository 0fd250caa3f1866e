"""The history on the page: its handlers with the tiny editor, its HTML, and the tab in a browser."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image
from test_page import PATIENCE, Studio, open_page, running_studio, wait_for_instruction

from mmdit import EditRequest, EditResult
from mmdit.catalog import entry_of
from mmdit.editor import Editor
from mmdit.images import save_png
from mmdit.lora.presets import Presets
from mmdit.runtime.bundle import export_bundle
from mmdit.runtime.history import Entry, History
from mmdit.runtime.jobs import Jobs
from mmdit.ui import history_markup, history_tab
from mmdit.ui.edit_tab import EditTab
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.history_tab import HistoryTab, Shown
from mmdit.ui.lora_shelf import LoraShelf
from mmdit.ui.lora_tab import LoraPanel
from mmdit.ui.view import View

LETTERS = "abcdefghijklmnopqrstuvwxyz"
EVIL = '"><img src=x onerror=alert(1)>'


@dataclass
class Tab:
    tab: HistoryTab
    history: History
    edit: EditTab
    uploads: Path

    def said(self, update: dict[Any, Any]) -> str:
        return update[self.tab.status]


@pytest.fixture
def picture(photograph: Image.Image) -> Image.Image:
    return photograph.resize((96, 80))


@pytest.fixture
def here(tiny_editor: Editor, tiny_editor_folder: Path, tmp_path: Path) -> Iterator[Tab]:
    """The tab in a page that is not served, with an editor that works."""
    uploads, model = tmp_path / "uploads", entry_of(tiny_editor_folder)
    uploads.mkdir()
    with Jobs(lambda _: tiny_editor, History(tmp_path / "outputs")) as jobs:
        jobs.wait_until_loaded(PATIENCE)
        shelf = LoraShelf(Presets([]), jobs, model, uploads)
        with gr.Blocks() as page:
            panel = LoraPanel(shelf, jobs, tmp_path / "page")
            panel.stack.render()
            with gr.Tabs() as tabs:
                with gr.Tab("Edit", id="edit"):
                    recordings = Shelf(jobs.history, tmp_path / "page")
                    edit = EditTab(page, jobs, model, tmp_path / "none", shelf, panel.stack, recordings)
                with gr.Tab("History") as tab:
                    made = HistoryTab(tab, tabs, edit, tmp_path / "page", uploads)
        yield Tab(made, jobs.history, edit, uploads)


def make(history: History, editor: Editor, picture: Image.Image, instruction: str, **how: Any) -> Entry:
    return history.save(editor.edit(EditRequest([picture], instruction, **how)), [picture])


def fill(history: History, picture: Image.Image, count: int, **settings: Any) -> list[Entry]:
    """Newest first."""
    made = [
        EditResult(
            picture, {"instruction": f"number {LETTERS[index] * 3}", "model": "mini", "size": [96, 80]} | settings, {}
        )
        for index in range(count)
    ]
    return [history.save(result, [picture]) for result in made][::-1]


def names(html: str) -> list[str]:
    """What can be clicked, in order."""
    return [attributes["data-name"] for tag, attributes in Tags(html).seen if tag == "button"]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


# ---- handlers


def test_results_come_in_pages_and_are_searched(here: Tab, picture: Image.Image, monkeypatch) -> None:
    monkeypatch.setattr(history_tab, "EACH", 3)
    tab, entries = here.tab, fill(here.history, picture, 7)
    first = tab.draw(Shown())
    assert names(first[tab.gallery]) == [entry.name for entry in entries[:3]]
    assert "1–3 of 7" in first[tab.pages]
    assert not first[tab.newer]["interactive"]
    assert first[tab.older]["interactive"]
    last = tab.draw(Shown(page=99))
    assert names(last[tab.gallery]) == [entries[6].name]
    assert last[tab.shown].page == 2
    found = tab.find(Shown(page=2), "NUMBER FFF")
    assert names(found[tab.gallery]) == [entries[1].name]
    assert names(tab.find(Shown(), "nonesuch")[tab.gallery]) == []


def test_small_copies_are_shown_and_not_the_results(here: Tab, photograph: Image.Image) -> None:
    fill(here.history, photograph, 1)
    update = here.tab.draw(Shown())
    ((_, attributes),) = [seen for seen in Tags(update[here.tab.gallery]).seen if seen[0] == "img"]
    copy = Path(attributes["src"].removeprefix("gradio_api/file="))
    assert copy.is_relative_to(here.tab._folder)
    with Image.open(copy) as opened:
        assert opened.size == history_tab.TILE


def test_a_click_shows_a_result_and_the_next_one_compares(here: Tab, picture: Image.Image) -> None:
    newer, older = fill(here.history, picture, 2)
    tab = here.tab
    shown = tab.choose(Shown(), newer.name)
    assert newer.result.name in shown[tab.stage]
    assert newer.source.name in shown[tab.stage]
    assert "number bbb" in shown[tab.details]
    picking = tab.choose_second(shown[tab.shown])
    assert "Choose the second" in here.said(picking)
    both = tab.choose(picking[tab.shown], older.name)
    assert older.result.name in both[tab.stage]
    assert newer.result.name in both[tab.stage]
    assert newer.source.name not in both[tab.stage]
    pressed = [a["data-name"] for t, a in Tags(both[tab.gallery]).seen if t == "button" and a["aria-pressed"] == "true"]
    assert pressed == [newer.name, older.name]
    alone = tab.choose_second(both[tab.shown])
    assert newer.source.name in alone[tab.stage]


def test_what_is_gone_is_explained(here: Tab, picture: Image.Image) -> None:
    (entry,) = fill(here.history, picture, 1)
    shown = here.tab.choose(Shown(), entry.name)[here.tab.shown]
    entry.result.unlink()
    for update in (
        here.tab.choose(Shown(), "../../etc/passwd"),
        here.tab.choose(shown, entry.name),
        here.tab.make_again(shown),
        here.tab.write_bundle(shown),
    ):
        assert history_tab.GONE in here.said(update)
        assert 'class="status error"' in here.said(update)
    drawn = here.tab.draw(shown)
    assert not any(drawn[button]["interactive"] for button in (here.tab.use, here.tab.export, here.tab.compare))


def reproduced(here: Tab, shown: Shown) -> dict[Any, Any]:
    started = here.tab.make_again(shown)
    assert started[here.tab.shown].job, here.said(started)
    assert here.tab.jobs.find(started[here.tab.shown].job).wait(PATIENCE).state.finished
    return here.tab._watch(started[here.tab.shown])


def test_a_result_is_made_again_and_compared(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    entry = make(here.history, tiny_editor, picture, "make it brighter", seed=3)
    tab = here.tab
    update = reproduced(here, Shown(name=entry.name))
    assert "It is the same picture, bit for bit." in here.said(update)
    newest = here.history.latest(1)[0]
    assert newest.name != entry.name
    assert newest.settings == entry.settings
    assert newest.result.name in update[tab.stage]
    assert not update[tab.cancel]["visible"]


def test_a_picture_that_comes_out_otherwise_is_told(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    entry = make(here.history, tiny_editor, picture, "make it brighter", seed=3)
    with Image.open(entry.result) as opened:
        changed = opened.convert("RGB")
    red, green, blue = changed.getpixel((5, 5))
    changed.putpixel((5, 5), (red, green, (blue + 9) % 256))
    save_png(changed, entry.result, entry.settings | {"torch": "1.0"})
    said = here.said(reproduced(here, Shown(name=entry.name)))
    assert "It differs in 1 of 7680 pixels" in said
    assert "It was made with PyTorch 1.0" in said


def test_what_can_not_be_made_again_is_explained(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    made = tiny_editor.edit(EditRequest([picture], "make it brighter", seed=3))
    other = here.history.save(
        EditResult(made.image, made.settings | {"model": "flux-kontext", "weights": "x"}, {}), [picture]
    )
    assert "flux-kontext" in here.said(here.tab.make_again(Shown(name=other.name)))
    assert here.tab.jobs.current() is None


def test_a_cancelled_reproduction_says_so(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    entry = make(here.history, tiny_editor, picture, "make it brighter", seed=3, steps=50)
    started = here.tab.make_again(Shown(name=entry.name))[here.tab.shown]
    here.tab.stop(started)
    here.tab.jobs.find(started.job).wait(PATIENCE)
    assert "Cancelled" in here.said(here.tab._watch(started))
    assert here.history.latest(9) == [entry]


def test_settings_are_handed_to_the_edit_tab(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    entry = make(here.history, tiny_editor, picture, "make it brighter", seed=3, steps=2)
    update = here.tab.use_settings(Shown(name=entry.name), View())
    fields = here.edit.fields
    assert update[fields.source] == entry.source
    assert (update[fields.instruction], update[fields.seed], update[fields.steps]) == ("make it brighter", 3, 2)
    assert update[here.tab.tabs]["selected"] == "edit"
    assert set(update) <= {*here.edit.restored, here.tab.tabs}


# ---- what is dropped


def test_a_bundle_becomes_the_newest_result(
    here: Tab, tiny_editor: Editor, picture: Image.Image, tmp_path: Path
) -> None:
    entry = make(History(tmp_path / "elsewhere"), tiny_editor, picture, "make it brighter", seed=3)
    export_bundle(entry, here.uploads / "one.zip")
    update = here.tab.open(Shown(), str(here.uploads / "one.zip"))
    (arrived,) = here.history.latest(9)
    assert arrived.settings == entry.settings
    assert update[here.tab.shown].name == arrived.name
    assert "The bundle is open" in here.said(update)


def test_a_picture_of_ours_shows_its_settings(here: Tab, tiny_editor: Editor, picture: Image.Image) -> None:
    made = tiny_editor.edit(EditRequest([picture], "make it brighter", seed=3, steps=2))
    save_png(made.image, here.uploads / "sent.png", made.settings)
    update = here.tab.open(Shown(), str(here.uploads / "sent.png"))
    tab, shown = here.tab, update[here.tab.shown]
    assert "make it brighter" in update[tab.details]
    assert not update[tab.export]["interactive"]
    taken = tab.use_settings(shown, View())
    assert (taken[here.edit.fields.seed], taken[here.edit.fields.steps]) == (3, 2)
    assert here.edit.fields.source not in taken
    assert set(taken) <= {*here.edit.restored, tab.tabs}
    assert "made from 1 picture and 0 are here" in here.said(tab.make_again(shown))
    assert here.history.latest(9) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("text.zip", "text.zip: not a bundle"), ("text.png", "text.png”: not a picture"),
        ("plain.png", "Plain.png has no settings"), ("odd.png", "steps is 1000000000"),
        ("nonesuch.png", "not uploaded"),
        ("link.png", "not uploaded"), ("../outside.png", "not uploaded"),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_explained_without_paths(
    here: Tab, tiny_editor: Editor, picture: Image.Image, tmp_path: Path, name: str, sentence: str
) -> None:
    made = tiny_editor.edit(EditRequest([picture], "make it brighter", seed=3))
    for text in ("text.zip", "text.png"):
        (here.uploads / text).write_text("hello")
    picture.save(here.uploads / "plain.png")
    save_png(made.image, here.uploads / "odd.png", made.settings | {"steps": 10**9})
    save_png(made.image, tmp_path / "outside.png", made.settings)
    (here.uploads / "link.png").symlink_to(tmp_path / "outside.png")
    said = here.said(here.tab.open(Shown(), str(here.uploads / name)))
    assert 'class="status error"' in said
    assert sentence.casefold() in said.casefold()
    assert str(tmp_path) not in said
    assert here.history.latest(9) == []


def test_bundles_that_were_made_do_not_pile_up(here: Tab, picture: Image.Image) -> None:
    for entry in fill(here.history, picture, history_tab.KEPT_EXPORTS + 2):
        update = here.tab.write_bundle(Shown(name=entry.name))
        assert f"{entry.name}.zip" in update[here.tab.link]
    assert len(list(here.tab._folder.glob("*.zip"))) == history_tab.KEPT_EXPORTS


# ---- HTML


def test_texts_of_results_are_escaped(tmp_path: Path) -> None:
    settings = {
        "instruction": EVIL, "model": EVIL, "negative": EVIL, "size": [EVIL, 1], "reasoning": EVIL,
        "strength": {"value": EVIL, "neutral": EVIL}, "loras": [{"name": EVIL, "weight": EVIL, "sha256": EVIL}, EVIL],
    }  # fmt: skip
    entry = Entry("20260101-000000-000000", tmp_path / "a.png", tmp_path / "b.png", settings)
    for html in (
        history_markup.gallery([history_markup.Tile(entry, "x.jpg", False)], False),
        history_markup.details(settings, EVIL, [("x.jpg", tmp_path / f"{EVIL}.png")]),
        history_markup.alone("x.jpg", EVIL),
    ):
        assert not [attributes for _, attributes in Tags(html).seen if "onerror" in attributes]
        assert "onerror" in html


# ---- in a browser


@pytest.fixture(scope="module")
def studio(
    tmp_path_factory: pytest.TempPathFactory, tiny_editor: Editor, tiny_editor_folder: Path, photograph
) -> Iterator[Studio]:
    outputs = tmp_path_factory.mktemp("history") / "outputs"
    history = History(outputs)
    for index in range(history_tab.EACH + 2):
        make(
            history,
            tiny_editor,
            photograph.resize((96 + index, 80)),
            f"make it brighter {LETTERS[index] * 3}",
            seed=index,
        )
    with running_studio(outputs, "--model", str(tiny_editor_folder)) as studio:
        yield studio


@pytest.fixture
def page(browser, studio: Studio):
    yield from open_page(browser, studio)


def told(page, text: str) -> None:
    page.wait_for_selector(f"#history-status .status:has-text('{text}')")


@pytest.mark.browser
def test_the_tab_from_search_to_bundle_by_keyboard(page, studio: Studio, tmp_path: Path) -> None:
    page.wait_for_selector("#status .text:text-is('Ready.')")  # else "Reproduce" says that the editor is still loading
    tab = page.get_by_role("tab", name="History")
    tab.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#history-gallery button >> nth=23")
    assert page.locator("#history-gallery button").count() == history_tab.EACH
    page.focus("#history-older")
    page.keyboard.press("Enter")
    page.wait_for_selector("#history-pages:has-text('25–26 of 26')")

    page.get_by_label("Search").fill("brighter hhh")
    page.wait_for_selector("#history-pages:has-text('1–1 of 1')")
    page.get_by_label("Search").press("Tab")
    page.focus("#history-gallery button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#history-stage .after[src$='.png']")
    assert "make it brighter hhh" in page.inner_text("#history-details")

    page.focus("#history-reproduce")
    page.keyboard.press("Enter")
    told(page, "It is the same picture, bit for bit.")
    page.wait_for_selector("#history-stage .compare img[alt='Second result']")

    page.get_by_label("Search").fill("brighter")
    page.wait_for_selector("#history-pages:has-text('of 27')")
    page.click("#history-gallery button >> nth=0")
    told(page, "One of your results")
    page.click("#history-compare")
    told(page, "Choose the second result above.")
    page.click("#history-gallery button >> nth=3")
    told(page, "Drag the divider")
    assert page.input_value("#history-stage .compare input") == "50"

    with page.expect_download() as download:
        page.click("#history-export")
    file = tmp_path / download.value.suggested_filename
    shutil.copy(download.value.path(), file)
    page.set_input_files("#history-open input[type=file]", file)
    told(page, "The bundle is open")
    assert len(History(studio.outputs).search()) == 28

    page.click("#history-use")
    wait_for_instruction(page, "make it brighter hhh")
    page.wait_for_selector("#source img")
    page.wait_for_selector("#stage .compare:visible")
    assert studio.complaints == []
    assert studio.strangers == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "motion"), [(1280, "no-preference"), (390, "reduce")])
def test_what_a_card_shows_comes_into_sight_and_has_the_focus(page, width: int, motion: str) -> None:
    page.get_by_role("tab", name="History").click()
    page.emulate_media(reduced_motion=motion)
    page.set_viewport_size({"width": width, "height": 844})
    page.wait_for_selector("#history-gallery button >> nth=23")
    page.focus("#history-gallery button >> nth=1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#history-stage .compare")
    page.wait_for_function(
        """() => {
            const top = of => document.querySelector(of).getBoundingClientRect().top;
            return top('#history-status') >= 0 && top('#history-status') < 100 && top('#history-details') < innerHeight;
        }"""
    )
    assert page.evaluate("document.activeElement.id") == "history-stage"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('#history-stage input[type=range]')")


@pytest.mark.browser
def test_a_telephone_and_screen_readers(page) -> None:
    page.get_by_role("tab", name="History").click()
    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#history-gallery button >> nth=0")
    page.wait_for_selector("#history-details table")
    page.wait_for_timeout(500)
    assert page.is_visible("#history-open .or")  # between "Drop File Here" and "Click to Upload"
    card, when = (page.locator(f"#history-gallery {of} >> nth=0").bounding_box() for of in ("button", ".when"))
    assert card["y"] + card["height"] - (when["y"] + when["height"]) >= 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, input, a, img')].filter(of => of.closest('[id^=history]')
            && of.checkVisibility() && !(of.ariaLabel || of.title || of.alt || of.innerText.trim()
            || of.labels?.length || of.closest('button')?.innerText.trim())).map(of => of.outerHTML)"""
    )
    assert unnamed == []


def test_what_of_a_pictures_settings_has_no_field_is_named(
    here: Tab, tiny_editor: Editor, picture: Image.Image
) -> None:
    settings = tiny_editor.edit(EditRequest([picture], "make it brighter", seed=3)).settings
    assert here.edit.result.status not in here.edit.take_settings(settings)
    told = here.edit.take_settings(settings | {"shift": 3.0})[here.edit.result.status]
    assert "other settings than this result: Shift of the schedule." in told
