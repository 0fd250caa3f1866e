"""The tab "Model": what it says and does without a browser, and the exchange of a model in a real headless Chromium."""

import dataclasses
import re
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image
from test_page import PATIENCE, Studio, open_options, open_page, running_studio, say, upload, wait_for_news
from tiny_checkpoints import build

from mmdit.catalog import CATALOG, find
from mmdit.editor import EditError
from mmdit.families.machine import Machine
from mmdit.images import read_settings
from mmdit.load import fetch, load_editor
from mmdit.lora.presets import PRESETS_FOLDER, Presets
from mmdit.runtime.history import History
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import Coming, ModelChoice, ModelSnapshot, ModelState
from mmdit.ui import model_markup, model_tab
from mmdit.ui import page as page_module
from mmdit.ui.model_tab import ModelTab

EVIL = '<img src=x onerror="window.pwned=1">'
GB = 10**9


class Text(HTMLParser):
    """What people read of HTML, and whether its tags are balanced."""

    VOID = ("img", "br", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text(html: str) -> str:
    return " ".join(" ".join(Text(html).words).split())


@pytest.fixture(scope="module")
def kontext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kontext")
    build("flux_kontext").save_pretrained(folder)
    return folder


@pytest.fixture
def jobs(tiny_editor_folder: Path, tmp_path: Path) -> Iterator[Jobs]:
    def load(choice: ModelChoice):
        return load_editor(choice.name, "cpu", memory=choice.memory)

    first = ModelChoice(str(tiny_editor_folder))
    history = History(tmp_path / "results")
    with Jobs(load, history, first, lambda choice, report: fetch(choice.name, report)) as jobs:
        assert jobs.wait_until_loaded(PATIENCE) == ""
        yield jobs


@pytest.fixture
def tab(jobs: Jobs) -> ModelTab:
    return built(jobs, can_change=True)


def built(jobs: Jobs, can_change: bool) -> ModelTab:
    with gr.Blocks() as page:
        header = gr.HTML("")
        with gr.Tab("Model") as about:
            return ModelTab(page, about, jobs, find(jobs.model.name), header, can_change)


def asked_to_use(tab: ModelTab, name: str, memory: str = "auto", consent: bool = False) -> tuple[str, str]:
    """What the tab says at once, as a refusal and of the state afterwards."""
    told = tab.use(name, memory, consent)
    tab.jobs.wait_until_settled(PATIENCE)
    return text(told[tab.refusal]), text(tab.show()[tab.status])


def test_it_tells_what_is_loaded_and_how(tab: ModelTab, kontext: Path) -> None:
    assert asked_to_use(tab, str(kontext), "full")[0] == ""
    said = text(tab.show()[tab.status])
    entry = tab.jobs.editor.entry
    for words in (f"{kontext} is loaded.", "In memory full", "everything at once", "takes about",
                  f"{entry.steps} steps, guidance {entry.guidance:g}"):  # fmt: skip
        assert words in said
    assert str(kontext) in text(tab.show()[tab.header])


def test_nothing_is_drawn_anew_while_nothing_happens(tab: ModelTab, kontext: Path) -> None:
    drawn = tab.show()[tab.drawn]
    assert tab.watch(drawn) == gr.skip()
    tab.use(str(kontext), "auto", False)
    tab.jobs.wait_until_settled(PATIENCE)
    told = tab.watch(drawn)
    assert str(kontext) in text(told[tab.status])
    assert tab.table in told  # another model leaves other memory free
    assert tab.table not in tab.watch((dataclasses.replace(tab.jobs.model, coming=Coming("x", "loading", 0.0)), 1))


def test_a_model_is_unloaded(tab: ModelTab) -> None:
    assert tab.show()[tab.unload]["interactive"]
    tab.let_go()
    tab.jobs.wait_until_settled(PATIENCE)
    told = tab.show()
    assert text(told[tab.status]) == "No model is loaded."
    assert not told[tab.unload]["interactive"]


@pytest.mark.parametrize(
    ("name", "memory", "said"),
    [
        ("  ", "auto", "No model is named"),
        ("mini", "half", "Memory is 'half'; use one of auto, full"),
        ("nonesuch", "auto", "'nonesuch' is neither a model of the catalog (mini, "),
        ("/no/such/folder", "auto", "'/no/such/folder' is neither a model"),
        ("~nobody/such", "auto", "'~nobody/such' is neither a model"),
        ("x" * 300 + "/y", "auto", "nor a folder, nor an org/name."),
        (EVIL + "/x", "auto", "nor a folder, nor an org/name."),
        ("black-forest-labs/FLUX.1-dev", "auto", "FLUX.1 [dev] Non-Commercial"),
        ("flux-kontext", "auto", "tick that you keep to it"),
        ("someone/something", "auto", "licence of someone/something is not known here"),
    ],
)
def test_what_can_not_be_loaded_is_refused_at_once(tab: ModelTab, name: str, memory: str, said: str) -> None:
    before = tab.jobs.model
    refused, _ = asked_to_use(tab, name, memory)
    assert said in refused
    assert tab.jobs.model == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sd3.5-large", "is not on this machine and the hub can't be reached; go online once"),
        ("qwen-image-edit", "is not on this machine and the hub can't be reached; go online once"),
    ],
)
def test_what_is_not_to_be_had_is_told_and_the_model_stays(
    tab: ModelTab, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdit.families.hub.hub_cache", lambda: tmp_path / "cache")
    refused, status = asked_to_use(tab, name, consent=True)
    assert refused == ""
    assert said in status.replace("There is", "there is")
    assert f"{tab.jobs.model.name} is loaded." in status
    assert tab.jobs.model.state is ModelState.READY


def test_a_licence_is_agreed_to_only_where_it_binds_and_something_is_fetched(tab: ModelTab, kontext: Path) -> None:
    for name, wanted in (
        ("flux-dev", True), ("sd3-medium", True), ("someone/something", True),
        ("qwen-image-edit", False), ("flux2-klein-4b", False), ("mini", False), (str(kontext), False), ("", False),
        ("nonesuch", False), ("x" * 300 + "/y", False),
    ):  # fmt: skip
        told = tab.describe(name)
        assert told[tab.consent]["visible"] is wanted, name[:40]
        assert told[tab.consent]["value"] is False
    said = text(tab.describe("flux-dev")[tab.terms])
    assert "About 34 GB are downloaded from https://huggingface.co/black-forest-labs/FLUX.1-dev" in said
    assert "FLUX.1 [dev] Non-Commercial" in said and "hf auth login" in said


def test_the_table_has_a_row_for_each_model_with_what_the_command_line_says(
    tab: ModelTab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from mmdit.cli import main

    machine = Machine("cuda", 24 * GB, 24 * GB, 64 * GB, 64 * GB, 500 * GB)
    monkeypatch.setattr("mmdit.families.machine.measure", lambda: machine)
    monkeypatch.setattr(model_tab, "measure", lambda: machine)
    assert main(["models"]) == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    rows = re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", tab.catalogue())
    cells = [[text(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]
    assert cells == lines[1 : 1 + len(CATALOG)]
    assert lines[-1] == [tab.catalogue().rpartition("</div>")[2].removeprefix('<p class="hint">').removesuffix("</p>")]


def test_a_click_on_a_row_chooses_it_and_nothing_else_does(tab: ModelTab) -> None:
    assert tab.choose(SimpleNamespace(picked="flux-dev")) == "flux-dev"
    assert tab.choose(SimpleNamespace(picked=EVIL)) == gr.skip()


@pytest.mark.parametrize(
    ("coming", "said"),
    [
        (Coming("org/m", "fetching", 0.0), "Looking for org/m… 12 s"),
        (Coming("org/m", "fetching", 0.0, 3 * GB, 34 * GB), "Downloading org/m… 3.0 GB of 34 GB · 12 s"),
        (Coming("org/m", "waiting", 0.0), "org/m is loaded as soon as the edits before it are made… 12 s"),
        (Coming("org/m", "loading", 0.0), "Loading org/m… 12 s"),
    ],
)
def test_a_model_on_its_way_is_told_of(coming: Coming, said: str) -> None:
    html = model_markup.loaded(ModelSnapshot("mini", ModelState.READY, 1, CATALOG["mini"], coming=coming), 12.3)
    assert text(html).startswith(f"{said} mini is loaded.")
    assert ("width: 9%" in html) == (coming.missing > 0)


def test_names_and_errors_are_only_text() -> None:
    entry = dataclasses.replace(CATALOG["mini"], name=EVIL, task=EVIL, licence=EVIL, source="org/x", steps=3)
    now = ModelSnapshot(EVIL, ModelState.READY, 1, entry, EVIL, EVIL, Coming(EVIL, "loading", 0.0))
    for html in (
        model_markup.loaded(now, 1), model_markup.terms(entry, False), model_markup.terms(entry, True),
        model_markup.table([EVIL, EVIL], [[EVIL, EVIL]], EVIL, EVIL),
    ):  # fmt: skip
        assert "<img" not in html
        assert EVIL in text(html)


def test_a_hosted_page_only_shows(jobs: Jobs) -> None:
    tab = built(jobs, can_change=False)
    assert "is loaded." in text(tab.show()[tab.status])
    for missing in ("load", "unload", "name"):
        assert not hasattr(tab, missing)
    named = {function.name for function in tab.header.parent.fns.values()}
    assert named.isdisjoint({"use", "let_go", "choose", "describe"}), named


@pytest.mark.parametrize(("space", "changes"), [("someone/studio", False), (None, True)])
def test_on_a_space_the_page_has_nothing_that_changes_the_model(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str | None, changes: bool
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space is not None:
        monkeypatch.setenv("SPACE_ID", space)
    page = page_module._build(jobs, CATALOG["mini"], Presets([tmp_path]), tmp_path)
    assert ({"use", "let_go"} <= {function.name for function in page.fns.values()}) is changes


# ---- the other tabs follow


def test_the_edit_tab_follows_and_takes_no_settings_for_another_model(
    jobs: Jobs, kontext: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabs: list = []
    real = page_module.EditTab

    def remembered(*arguments: object):
        tabs.append(real(*arguments))
        return tabs[-1]

    monkeypatch.setattr(page_module, "EditTab", remembered)
    mini = jobs.model.name
    page_module._build(jobs, find(mini), Presets([tmp_path]), tmp_path)
    (edit,) = tabs
    fields, first = edit.fields, jobs.model.number
    fitted = edit._follow_model(0)
    assert fitted[edit.fitted] == first
    assert "value" not in fitted[fields.steps]  # what was typed while it was loaded stays
    assert edit._follow_model(first) == gr.skip()

    jobs.use(ModelChoice(str(kontext)))
    entry = jobs.wait_until_settled(PATIENCE).entry
    fitted = edit._follow_model(first)
    assert (fitted[fields.steps]["value"], fitted[fields.guidance]["value"]) == (entry.steps, entry.guidance)
    assert fitted[fields.steps]["maximum"] == 100
    assert fitted[fields.negative]["visible"] and not fitted[edit.abilities]["visible"]
    assert edit.shelf.model == entry
    values = fields.defaults() | {edit.fitted: first}
    with pytest.raises(EditError, match=f"the model has changed to {re.escape(str(kontext))}"):
        edit.request(values)

    jobs.use(ModelChoice(mini))
    jobs.wait_until_settled(PATIENCE)
    fitted = edit._follow_model(jobs.model.number - 1)
    assert (fitted[fields.steps]["value"], fitted[fields.steps]["maximum"]) == (find(mini).steps, 20)
    assert fitted[edit.abilities]["visible"] and not fitted[fields.resolution]["visible"]


def test_what_a_browser_was_fitted_to_is_compared_with_that(jobs: Jobs, kontext: Path, tmp_path: Path) -> None:
    """A page that is opened after a change gets the new model's defaults, and knows them as untouched."""
    first = find(jobs.model.name)
    with gr.Blocks() as page:
        shelf = page_module.LoraShelf(Presets([tmp_path]), jobs, first, tmp_path)
        recordings = page_module.Shelf(jobs.history, tmp_path)
        edit = page_module.EditTab(page, jobs, first, tmp_path, shelf, gr.HTML(), recordings)
    jobs.use(ModelChoice(str(kontext)))
    jobs.wait_until_settled(PATIENCE)
    from mmdit import EditRequest

    job = jobs.submit(EditRequest([Image.new("RGB", (64, 64))], "make it blue", seed=1, steps=3, resolution=64))
    assert job.wait(PATIENCE).error == ""
    found = edit._attach()
    place = list(edit.fields.defaults()).index(edit.fields.steps)
    assert found[edit.found]["untouched"][1 + place] == found[edit.fields.steps]["value"] == jobs.editor.entry.steps
    assert found[edit.found]["settings"][place] == 3


# ---- the page


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


@pytest.fixture
def page(browser, studio: Studio):
    yield from open_page(browser, studio)


def wait_until(condition: Callable[[], bool], page) -> None:
    for _ in range(10 * PATIENCE):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not happen")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_model_is_exchanged_on_the_page(page, studio: Studio, kontext: Path, photograph: Image.Image) -> None:
    photograph.resize((96, 64)).save(kontext.parent / "picture.png")
    open_options(page)
    page.get_by_role("tab", name="LoRA").click()
    page.wait_for_selector("#loras .card:not(.foreign)")
    page.get_by_role("tab", name="Model").click()
    page.wait_for_selector("#model-status :text('mini is loaded.')")
    page.wait_for_selector("#models button[data-name='mini'][aria-current]")
    page.click("#models button[data-name='flux-dev']")
    page.wait_for_selector("#model-consent input:visible")
    page.wait_for_selector("#model-terms :text('Non-Commercial')")
    page.click("#load")
    page.wait_for_selector("#model-refusal :text('tick that you keep to it')")

    page.fill("#model-name textarea, #model-name input", "none/such")
    page.wait_for_selector("#model-refusal .status", state="detached")
    page.check("#model-consent input")
    page.click("#load")
    page.wait_for_selector("#model-status .status.error")
    facts, error = (page.locator(f"#model-status {of}").bounding_box() for of in (".model-facts", ".error"))
    assert error["y"] - (facts["y"] + facts["height"]) >= 10

    page.fill("#model-name textarea, #model-name input", str(kontext))
    page.wait_for_selector("#model-terms :text('on this machine')")
    page.click("#load")
    page.wait_for_selector(f"#model-status :text('{kontext} is loaded.')")
    assert str(kontext) in page.inner_text(".studio-header .model")
    page.get_by_role("tab", name="LoRA").click()
    for_flux = {f"preset:{preset.name}" for preset in Presets([PRESETS_FOLDER]).all if preset.family == "flux"}
    fitting = page.locator("#loras .card:not(.foreign)")
    wait_until(lambda: set(fitting.evaluate_all("cards => cards.map(card => card.dataset.key)")) == for_flux, page)

    page.get_by_role("tab", name="Edit").click()
    wait_until(lambda: page.input_value("#steps input[type=number]") == "28", page)
    upload(page, kontext.parent / "picture.png")
    page.wait_for_selector("#source img")
    page.fill("#steps input[type=number]", "2")
    page.keyboard.press("Tab")
    say(page, "make it darker")
    wait_for_news(page, "Done")
    (result,) = studio.results()
    settings = read_settings(result)
    assert (settings["model"], settings["steps"], settings["guidance"]) == (str(kontext), 2, 2.5)

    page.get_by_role("tab", name="Model").click()
    page.click("#unload")
    page.wait_for_selector("#model-status :text('No model is loaded.')")
    page.click("#models button[data-name='mini']")
    page.wait_for_selector("#model-terms :text('Apache-2.0')")
    page.click("#load")
    page.wait_for_selector("#model-status :text('mini is loaded.')")
    page.get_by_role("tab", name="Edit").click()
    wait_until(lambda: page.input_value("#steps input[type=number]") == "1", page)
    assert studio.complaints == []
    assert studio.strangers == []
    assert threading.active_count() < 100
