"""The LoRA tab: what browsers may ask of the shelf, its HTML, and the whole of it in a real headless Chromium."""

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from lora_files import write
from PIL import Image
from safetensors.torch import load_file, save_file
from test_page import (
    PATIENCE,
    REPOSITORY,
    Studio,
    free_port,
    open_options,
    open_page,
    running,
    upload,
    wait_for_instruction,
    wait_for_news,
)

from mmdit.catalog import CATALOG
from mmdit.editor import Editor, EditRequest
from mmdit.images import read_settings
from mmdit.load import load_editor
from mmdit.lora.architectures import linear_shapes
from mmdit.lora.inspect import LoraError, inspect
from mmdit.lora.presets import PRESETS_FOLDER, Preset, Presets
from mmdit.lora.stack import LoraWeight
from mmdit.runtime.history import Entry, History
from mmdit.runtime.job import Job, JobState
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import ModelChoice
from mmdit.ui import lora_markup
from mmdit.ui.lora_pictures import Pictures
from mmdit.ui.lora_shelf import Chosen, LoraShelf, NotHereError, read_stack
from mmdit.ui.preflight import Preflight
from mmdit.ui.view import View, news

WEB = REPOSITORY / "mmdit" / "ui" / "lora_web"
EVIL = '<img src=x onerror="window.pwned=1">\'${1+1}{{value}}'
RANK, ALPHA = 4, 32.0
FILM, THERMAL = "preset:sepia-film", "preset:thermal"
SERVE = """
import sys
from pathlib import Path
from mmdit.catalog import CATALOG
from mmdit.load import load_editor
from mmdit.lora.presets import Presets
from mmdit.runtime.history import History
from mmdit.runtime.jobs import Jobs
from mmdit.ui import page
port, outputs, presets = int(sys.argv[1]), Path(sys.argv[2]), Presets([Path(sys.argv[3])])
with Jobs(lambda choice: load_editor(choice.name, "cpu", presets), History(outputs)) as jobs:
    page.serve(jobs, CATALOG["mini"], "127.0.0.1", port, presets)
"""


def in_blocks() -> dict[str, tuple[int, int]]:
    """Every Linear of the shipped editor's blocks: out, in."""
    return {name: shape for name, shape in linear_shapes("mini").items() if name.startswith("transformer_blocks.")}


def yaml(folder: Path, name: str, **fields: object) -> None:
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items() if key != "source"]
    (folder / f"{name}.yaml").write_text("\n".join([*lines, "source:", *fields["source"]]) + "\n", encoding="utf-8")


def fill(folder: Path) -> None:
    """Presets that fit, one with a title that bites, one for another model, and one that is broken."""
    for seed, name in enumerate(("sepia-film", "thermal", "evil")):
        write(folder / f"{name}.safetensors", "diffusers", in_blocks(), rank=RANK, alpha=ALPHA, seed=seed)
    Image.new("RGB", (300, 200), (160, 110, 60)).save(folder / "film.png")
    yaml(
        folder, "sepia-film", title="Sepia film", description="Warm browns of old prints.", family="mini",
        weight=0.8, weight_range=[0, 1.5], instructions=["make it an old print", "warm it"], trigger="print",
        thumbnail="film.png", source=["  file: sepia-film.safetensors"],
    )  # fmt: skip
    yaml(folder, "thermal", title="Thermal", family="mini", source=["  file: thermal.safetensors"])
    yaml(folder, "evil", title=EVIL, description=EVIL, family="mini", instructions=[EVIL],
         source=["  file: evil.safetensors"])  # fmt: skip
    yaml(
        folder, "fluffy", title="Fluffy", family="flux", base="someone/kontext", needs="A GPU with 48 GB.",
        source=["  hub:", "    repository: someone/fluffy", "    file: fluffy.safetensors"],
    )  # fmt: skip
    (folder / "broken.yaml").write_text("title: [", encoding="utf-8")


def damage(file: Path, target: Path) -> None:
    """A copy with half a pair and a module that no model has."""
    tensors = load_file(file)
    del tensors[next(key for key in tensors if key.endswith("lora_B.weight"))]
    tensors |= {f"transformer.nonsense.lora_{half}.weight": torch.zeros(RANK, RANK) for half in "AB"}
    save_file(tensors, target)


@pytest.fixture(scope="module")
def presets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets")
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def half_file(presets_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("files") / "half.safetensors"
    damage(presets_folder / "thermal.safetensors", file)
    return file


# ---- the shelf


@pytest.fixture
def shelf(presets_folder: Path, tmp_path: Path) -> Iterator[LoraShelf]:
    """Before the editor is loaded, which never ends well here."""

    def load(choice: ModelChoice) -> Editor:
        raise ValueError("there is no editor in this test")

    (tmp_path / "uploads").mkdir()
    with Jobs(load, History(tmp_path / "outputs")) as jobs:
        yield LoraShelf(Presets([presets_folder]), jobs, CATALOG["mini"], tmp_path / "uploads")


def dropped(shelf: LoraShelf, file: Path, name: str = "") -> str:
    target = shelf._uploads / (name or file.name)
    shutil.copy(file, target)
    return shelf.take(str(target))


def test_a_report_needs_no_loaded_editor(shelf: LoraShelf, presets_folder: Path) -> None:
    report = shelf.report(FILM)
    assert report.whole
    assert len(report.targets) == len(in_blocks())
    assert report.scales == (ALPHA / RANK,)
    assert shelf.name(FILM) == "sepia-film"


def test_a_file_that_would_have_to_be_fetched_is_not(shelf: LoraShelf) -> None:
    with pytest.raises(NotHereError, match="someone/fluffy"):
        shelf.report("preset:fluffy")


def test_only_uploads_are_taken(shelf: LoraShelf, presets_folder: Path, half_file: Path, tmp_path: Path) -> None:
    outside = presets_folder / "thermal.safetensors"
    (tmp_path / "uploads" / "link.safetensors").symlink_to(outside)
    for path in (outside, tmp_path / "uploads" / ".." / "x.safetensors", tmp_path / "uploads" / "link.safetensors"):
        with pytest.raises(LoraError, match="not uploaded"):
            shelf.take(str(path))
    key = dropped(shelf, half_file)
    assert dropped(shelf, half_file) == key
    assert str(tmp_path) not in key
    assert not shelf.report(key).whole
    assert shelf.name(key) == "half.safetensors"
    (tmp_path / "uploads" / "half.safetensors").unlink()
    with pytest.raises(LoraError, match="no longer here"):
        shelf.report(key)


@pytest.mark.parametrize("content", [b"PK\x03\x04zip", b"", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_hostile_file_costs_one_sentence_without_a_path(shelf: LoraShelf, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    key = dropped(shelf, tmp_path / "bad.safetensors")
    with pytest.raises(LoraError) as raised:
        shelf.report(key)
    assert "bad.safetensors" in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_a_browser_sends_is_checked() -> None:
    good = {"key": FILM, "weight": 1, "partial": True, "blocks": {"transformer_blocks.0": 0.5}, "name": "ignored"}
    assert read_stack({"items": [good]}) == (Chosen(FILM, 1.0, True, {"transformer_blocks.0": 0.5}),)
    bad: list[object] = [
        None, [], {"items": "x"}, {"items": [1]}, {"items": [{}]}, {"items": [good] * 65},
        *({"items": [good | changed]} for changed in (
            {"weight": "1"}, {"weight": 2.01}, {"weight": float("nan")}, {"weight": True}, {"key": 3},
            {"blocks": {"a": 7}}, {"blocks": [1]},
        )),
    ]  # fmt: skip
    for sent in bad:
        with pytest.raises(LoraError):
            read_stack(sent)


def test_a_results_stack_comes_back(shelf: LoraShelf, half_file: Path, presets_folder: Path) -> None:
    key = dropped(shelf, half_file)

    def entry(name: str, file: Path, weight: float, blocks: object = None) -> dict[str, object]:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return {"name": name, "file": file.name, "sha256": digest, "weight": weight, "blocks": blocks}

    film, thermal = presets_folder / "sepia-film.safetensors", presets_folder / "thermal.safetensors"
    blocks = {"transformer_blocks.1": 0.0}
    stack, problems = shelf.from_settings(
        {"loras": [entry("half.safetensors", half_file, -0.5), entry("sepia-film", film, 1.5, blocks)]}
    )
    assert stack == (Chosen(key, -0.5, partial=True), Chosen(FILM, 1.5, False, blocks))
    assert problems == ()
    assert read_stack(shelf.to_browser(stack)) == stack

    stack, problems = shelf.from_settings(
        {"loras": [entry("thermal", film, 1.0), entry("gone", thermal, 1.0), entry("thermal", thermal, 9.0), 3, {}]}
    )
    assert stack == (Chosen(THERMAL, 1.0),)
    assert len(problems) == 5
    for sentence, named in zip(problems, ("not the one", "“gone”", "9.0", "None", "None"), strict=True):
        assert named in sentence
    assert shelf.from_settings({"loras": "nonsense"}) == ((), ())


def test_weights_are_those_of_the_stack(shelf: LoraShelf, half_file: Path) -> None:
    key = dropped(shelf, half_file)
    made = shelf.weights([Chosen(FILM, 0.8), Chosen(key, -1.0, partial=True)])
    assert made == [LoraWeight("sepia-film", 0.8), LoraWeight(str(shelf._files[key]), -1.0, None, True)]
    with pytest.raises(LoraError, match="no longer here"):
        shelf.weights([Chosen("file:0", 1.0)])


def test_words_that_a_preset_goes_by_are_missed(shelf: LoraShelf) -> None:
    def missing(key: str, instruction: str, weight: float = 1.0) -> str:
        return shelf.words_missing(Chosen(key, weight), instruction)

    assert missing(FILM, "make the cat red") == missing(FILM, "") == missing(FILM, "warm it") == "print"
    assert missing(FILM, "make it an old PRINT") == missing(FILM, "make it red", weight=0.0) == ""
    assert missing(THERMAL, "make it red") == ""
    shipped = LoraShelf(Presets([PRESETS_FOLDER]), shelf.jobs, CATALOG["mini"], shelf._uploads)
    for instruction, wanted in (
        ("make the cat red", "thermal camera"), ("Thermal", ""), ("Turn it into a heat map", ""),
    ):  # fmt: skip
        assert shipped.words_missing(Chosen(THERMAL, 1.0), instruction) == wanted
    assert shipped.words_missing(Chosen("preset:qwen-edit-2509-lightning-4", 1.0), "make the cat red") == ""


def test_what_a_file_merely_leaves_out_is_no_misfit(
    presets_folder: Path, half_file: Path, reference: Editor, photograph: Image.Image, tmp_path: Path
) -> None:
    tensors = load_file(half_file)
    whole = (key for key in tensors if key.endswith("lora_B.weight") and "nonsense" not in key)
    module = next(whole).removesuffix("lora_B.weight")
    (tmp_path / "uploads").mkdir()
    file = tmp_path / "uploads" / "sparse.safetensors"
    save_file({key: tensor for key, tensor in tensors.items() if not key.startswith(module)}, file)
    with Jobs(lambda choice: reference, History(tmp_path / "outputs")) as jobs:
        jobs.wait_until_loaded(PATIENCE)
        shelf = LoraShelf(Presets([presets_folder]), jobs, CATALOG["mini"], tmp_path / "uploads")
        key = shelf.take(str(file))
        report = shelf.report(key)
        said = Preflight(jobs, shelf).said(EditRequest([photograph], "warm it"), [Chosen(key, 1.0, partial=True)], 1)
    assert (len(report.incomplete), len(report.unknown), len(report.missing)) == (1, 1, 2)
    assert "sparse.safetensors applies in part: 2 of its modules do not." in said


# ---- HTML


class Tags(HTMLParser):
    """Names of all tags and attributes of some HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_texts_of_presets_and_files_are_escaped(half_file: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{EVIL.replace('/', '')}.safetensors"
    tensors = {f"transformer.{EVIL}.lora_{half}.weight": torch.zeros(RANK, RANK) for half in "AB"}
    save_file(load_file(half_file) | tensors, path)
    report = inspect(path, linear_shapes("mini"), "mini")
    preset = Preset(EVIL, EVIL, "mini", EVIL, EVIL, path, trigger=EVIL, instructions=(EVIL,), needs=EVIL)
    row = lora_markup.Row(EVIL, EVIL, EVIL, preset, report, EVIL)
    made = [
        lora_markup.card(EVIL, preset, EVIL, True), lora_markup.card(EVIL, preset, "", False), lora_markup.row(row),
        lora_markup.inspected(row), lora_markup.row(replace(row, report=None)), lora_markup.problems([EVIL, EVIL]),
    ]  # fmt: skip
    for html in made:
        tags = Tags(html)
        assert not {name for name in tags.attributes if name.startswith("on")}, html
        assert tags.tags <= {
            "button", "span", "img", "div", "svg", "path", "input", "p", "dl", "dt", "dd", "i", "details", "summary",
            "b", "pre", "label", "ul", "li",
        }  # fmt: skip
        assert "onerror=" in tags.text or "onerror" not in html


def test_the_truth_says_what_is_lost(half_file: Path, presets_folder: Path) -> None:
    count = len(in_blocks())
    whole = inspect(presets_folder / "thermal.safetensors", linear_shapes("mini"), "mini")
    text = Tags(lora_markup.truth(lora_markup.Row("k", "t", "t", None, whole))).text
    assert "Applies whole" in text and f"{count} of {count}" in text
    half = inspect(half_file, linear_shapes("mini"), "mini")
    html = lora_markup.truth(lora_markup.Row("k", "t", "t", None, half))
    text = Tags(html).text
    assert "Refused" in text and f"{count - 1} of {count + 1}" in text and "nonsense" in text
    assert 'class="partial"' in html
    foreign = inspect(half_file, {"elsewhere": (3, 3)}, "tiny")
    html = lora_markup.truth(lora_markup.Row("k", "t", "t", None, foreign))
    assert "Refused" in html and 'class="partial"' not in html


def test_pictures_that_can_not_be_read_have_no_address(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path / "small")
    (tmp_path / "bad.png").write_text("no picture")
    assert pictures.small(tmp_path / "bad.png", (32, 20)) == ""
    assert pictures.small(tmp_path / "missing.png", (32, 20)) == ""
    Image.new("RGB", (640, 100), "red").save(tmp_path / "wide.png")
    for crop, size in ((True, (32, 20)), (False, (32, 5))):
        address = pictures.small(tmp_path / "wide.png", (32, 20), crop)
        with Image.open(address.partition("file=")[2]) as small:
            assert small.size == size


def test_a_cancelled_series_says_what_is_kept(shelf: LoraShelf, photograph: Image.Image, tmp_path: Path) -> None:
    entry = Entry("20260101-000000-000000", tmp_path / "a.png", tmp_path / "a.source.png", {})
    for kept, state, said in (
        (0, JobState.CANCELLED, "Nothing was saved."),
        (1, JobState.CANCELLED, "One picture was finished before and kept."),
        (3, JobState.CANCELLED, "3 pictures were finished before and kept."),
        (2, JobState.FAILED, "2 pictures were finished before and kept."),
    ):
        job = Job([EditRequest([photograph], "make it sepia")] * 5)
        job.begin()
        for _ in range(kept):
            job.made(entry)
        job.end(state, **({"error": "it broke"} if state is JobState.FAILED else {}))
        shelf.jobs._remember(job)
        assert said in news(View(job=job.id), shelf.jobs)


def test_the_tab_weighs_little() -> None:
    assert sum(file.stat().st_size for file in WEB.iterdir()) <= 60_000


# ---- the page


@dataclass
class LoraStudio(Studio):
    presets: Path | None = None


@pytest.fixture(scope="module")
def lora_studio(presets_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoraStudio]:
    outputs, port = tmp_path_factory.mktemp("studio") / "outputs", free_port()
    command = [sys.executable, "-c", SERVE, str(port), str(outputs), str(presets_folder)]
    with running(command, port, outputs) as studio:
        yield LoraStudio(studio.address, outputs, presets=presets_folder)


@pytest.fixture
def page(browser, lora_studio: LoraStudio):
    """On the LoRA tab, with nothing in the stack."""
    for opened in open_page(browser, lora_studio):
        opened.get_by_role("tab", name="LoRA").click()
        opened.wait_for_selector("#loras .card:visible")
        opened.wait_for_timeout(300)
        if opened.locator("#loras .row").count():  # what a test before has left
            opened.click("#loras .clear")
        yield opened


@pytest.fixture(scope="module")
def photograph_file(photograph: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upload") / "photograph.png"
    photograph.save(file)
    return file


@pytest.fixture(scope="module")
def reference(presets_folder: Path) -> Editor:
    """What the studio must agree with."""
    return load_editor("mini", "cpu", Presets([presets_folder]))


def choose(page, *keys: str) -> None:
    """Click cards, and wait for the rows' truth."""
    for key in keys:
        page.click(f"#loras .card[data-key='{key}']")
    for key in keys:
        page.wait_for_selector(f"#loras .row[data-key='{key}'] .truth")


def type_weight(page, key: str, text: str) -> None:
    box = f"#loras .row[data-key='{key}'] .number"
    page.fill(box, text)
    page.press(box, "Enter")


def go(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def prepare(page, file: Path, instruction: str, seed: int = 7) -> None:
    """Fill in the edit tab; ends on the LoRA tab."""
    go(page, "Edit")
    upload(page, file)
    page.wait_for_selector("#source img")
    if not page.locator("#seed input:visible").count():
        open_options(page)
    page.uncheck("#random-seed input")
    page.fill("#seed input", str(seed))
    page.press("#seed input", "Tab")
    page.fill("#instruction textarea", instruction)
    go(page, "LoRA")


def new_results(page, studio: Studio, before: set[Path], count: int = 1) -> list[Path]:
    deadline = time.monotonic() + PATIENCE
    while len(set(studio.results()) - before) < count and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    return sorted(set(studio.results()) - before)


def loras_of(result: Path) -> list[tuple[str, float]]:
    return [(lora["name"], lora["weight"]) for lora in read_settings(result)["loras"]]


def titles(page) -> list[str]:
    return page.locator("#loras .card:visible .title").all_inner_texts()


@pytest.mark.browser
@pytest.mark.shipped
def test_cards_are_searched_and_filtered(page) -> None:
    assert set(titles(page)) == {EVIL, "Sepia film", "Thermal"}
    for words, found in (("SEPIA", ["Sepia film"]), ("browns", ["Sepia film"]), ("mini therm", ["Thermal"]),
                         ("print", ["Sepia film"]), ("fluffy", [])):  # fmt: skip
        page.fill("#loras .search", words)
        assert titles(page) == found
    assert "“fluffy”" in page.inner_text("#loras .no-cards")
    page.click("#loras [data-scope=all]")
    assert titles(page) == ["Fluffy"]
    page.press("#loras .card:visible", "Enter")
    assert "A GPU with 48 GB." in page.inner_text("#loras .card-news")
    assert page.locator("#loras .row").count() == 0
    opacity = page.eval_on_selector("#loras .card.foreign .title", "element => getComputedStyle(element).opacity")
    assert float(opacity) < 0.8
    assert "broken.yaml" in page.text_content("#loras .problems")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_hostile_preset_is_only_text(page, lora_studio: LoraStudio) -> None:
    choose(page, "preset:evil")
    assert page.inner_text("#loras .row .title") == EVIL
    assert page.inner_text("#loras .row .chip") == EVIL
    assert page.evaluate("window.pwned") is None
    assert page.locator("#loras .cards img[src='x'], #loras .rows img").count() == 0


@pytest.mark.browser
@pytest.mark.shipped
def test_a_card_adds_and_removes_and_the_truth_is_told(page) -> None:
    card = f"#loras .card[data-key='{FILM}']"
    page.focus(card)
    page.keyboard.press("Enter")
    page.wait_for_selector("#loras .row .truth")
    assert page.get_attribute(card, "aria-pressed") == "true"
    count = len(in_blocks())
    truth = page.inner_text("#loras .row .truth")
    assert "Applies whole" in truth
    assert f"{count} of {count}" in truth
    assert f"× 0.8 = {0.8 * ALPHA / RANK:g}" in truth
    assert page.input_value("#loras .slider") == "0.8"
    page.keyboard.press("Enter")
    page.wait_for_selector("#loras .row", state="detached")
    assert page.get_attribute(card, "aria-pressed") == "false"
    assert page.is_visible("#loras .stacked .empty")


@pytest.mark.browser
@pytest.mark.shipped
def test_weights_order_and_the_line_on_the_edit_tab(page) -> None:
    choose(page, FILM, THERMAL)
    page.focus(f"#loras .row[data-key='{THERMAL}'] .slider")
    page.keyboard.press("ArrowRight")
    assert page.input_value(f"#loras .row[data-key='{THERMAL}'] .number") == "1.05"
    type_weight(page, FILM, "−1,25")
    assert f"× −1.25 = −{1.25 * ALPHA / RANK:g}" in page.inner_text(f"#loras .row[data-key='{FILM}'] .facts")
    for text in ("7", "a", "nan", ""):
        type_weight(page, FILM, text)
        page.wait_for_selector("#loras .stack-news:visible")
        assert f"“{text}”" in page.inner_text("#loras .stack-news")
        assert "from −2 to 2" in page.inner_text("#loras .stack-news")
    page.focus(f"#loras .row[data-key='{THERMAL}'] .slider")
    assert page.input_value(f"#loras .row[data-key='{FILM}'] .number") == "-1.25"

    page.click(f"#loras .row[data-key='{THERMAL}'] [data-action=up]")
    assert page.locator("#loras .row .head .title").all_inner_texts() == ["Thermal", "Sepia film"]
    assert page.is_disabled(f"#loras .row[data-key='{THERMAL}'] [data-action=up]")
    go(page, "Edit")
    page.wait_for_selector("#loras-line button:has-text('LoRAs: thermal 1.05 · sepia-film −1.25')")
    page.click("#loras-line button")
    page.wait_for_selector("#loras .row:visible")
    page.click("#loras .clear")
    page.wait_for_selector("#loras .stacked .empty:visible")
    go(page, "Edit")
    page.wait_for_selector("#loras-line button:has-text('No LoRAs')")


@pytest.mark.browser
@pytest.mark.shipped
def test_its_words_become_the_instruction(page) -> None:
    choose(page, FILM)
    page.click("#loras .chip >> nth=1")
    page.wait_for_selector("#loras .stack-news:has-text('warm it')")
    go(page, "Edit")
    wait_for_instruction(page, "warm it")


@pytest.mark.browser
@pytest.mark.shipped
def test_an_edit_has_its_stack(
    page, lora_studio: LoraStudio, photograph_file: Path, photograph: Image.Image, reference: Editor
) -> None:
    prepare(page, photograph_file, "make it sepia", seed=11)
    choose(page, THERMAL, FILM)
    type_weight(page, THERMAL, "-0.5")
    go(page, "Edit")
    before = set(lora_studio.results())
    page.click("#edit")
    (result,) = new_results(page, lora_studio, before)
    wait_for_news(page, "Done")
    saved = read_settings(result)
    assert loras_of(result) == [("thermal", -0.5), ("sepia-film", 0.8)]
    digest = hashlib.sha256((lora_studio.presets / "thermal.safetensors").read_bytes()).hexdigest()
    assert saved["loras"][0]["sha256"] == digest
    request = EditRequest([photograph], "make it sepia", seed=11, steps=saved["steps"], guidance=saved["guidance"])
    stack = [LoraWeight("thermal", -0.5), LoraWeight("sepia-film", 0.8)]
    made = np.asarray(Image.open(result), dtype=int)
    assert np.abs(made - np.asarray(reference.edit(replace(request, loras=stack)).image, dtype=int)).max() <= 1
    assert np.abs(made - np.asarray(reference.edit(request).image, dtype=int)).max() > 5

    go(page, "LoRA")
    page.click("#loras .clear")
    go(page, "Edit")
    page.click(f"#recent button[data-name='{result.stem}']")
    page.wait_for_selector("#loras-line button:has-text('LoRAs: thermal −0.5 · sepia-film 0.8')")
    go(page, "LoRA")
    page.wait_for_selector("#loras .row .truth >> nth=1")
    assert page.locator("#loras .slider").evaluate_all("all => all.map(one => one.value)") == ["-0.5", "0.8"]


@pytest.mark.browser
@pytest.mark.shipped
def test_a_preset_brings_its_settings_unless_others_are_given(
    page, lora_studio: LoraStudio, photograph_file: Path
) -> None:
    file = lora_studio.presets / "quick.yaml"
    yaml(lora_studio.presets, "quick", title="Quick", family="mini", steps=4, guidance=2.5,
         source=["  file: thermal.safetensors"])  # fmt: skip
    try:
        prepare(page, photograph_file, "make it sepia")
        page.click("#loras .again")
        page.wait_for_selector("#loras .card[data-key='preset:quick']")
        choose(page, "preset:quick", THERMAL)
        go(page, "Edit")
        page.wait_for_selector("#preflight :text('Settings from the LoRAs: 4 steps, guidance 2.5.')")
        made = []
        for told, steps in (("guidance 2.5", None), ("guidance 2.5", "2")):
            before = set(lora_studio.results())
            if steps is not None:
                page.fill("#steps input[type=number]", steps)
                page.press("#steps input[type=number]", "Tab")
            page.wait_for_selector(f"#preflight :text('{told}.')")
            page.click("#edit")
            made += new_results(page, lora_studio, before)
            wait_for_news(page, "Done")
        assert [(of["steps"], of["guidance"]) for of in map(read_settings, made)] == [(4, 2.5), (2, 2.5)]
        page.fill("#steps input[type=number]", "1")
        page.press("#steps input[type=number]", "Tab")
        go(page, "LoRA")
        before = set(lora_studio.results())
        page.click("#loras .start-compare")
        made = new_results(page, lora_studio, before, 4)
        assert {(of["steps"], of["guidance"]) for of in map(read_settings, made)} == {(4, 2.5)}
        page.wait_for_selector("#series-status .done")
    finally:
        file.unlink()


@pytest.mark.browser
@pytest.mark.shipped
def test_missing_words_are_named_before_the_edit(page) -> None:
    choose(page, FILM)
    go(page, "Edit")
    page.fill("#instruction textarea", "make the cat red")
    page.wait_for_selector("#missing-words :text('Sepia film wants the words “print” in the instruction.')")
    page.fill("#instruction textarea", "make it an old print")
    page.wait_for_selector("#missing-words", state="hidden")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_file_is_dropped_inspected_refused_and_applied_in_part(
    page, lora_studio: LoraStudio, half_file: Path, photograph_file: Path, tmp_path: Path
) -> None:
    prepare(page, photograph_file, "make it sepia")
    page.set_input_files("#loras .drop input", half_file)
    page.wait_for_selector("#loras .inspected pre:visible")
    count = len(in_blocks())
    told = page.inner_text("#loras .inspected")
    assert "half.safetensors" in told and f"{count - 1} of {count + 1}" in told and "Refused" in told
    assert "/" not in page.inner_text("#loras .inspected .head")
    page.click("#loras .inspected .add")
    page.wait_for_selector("#loras .row .truth.refused")

    before = set(lora_studio.results())
    go(page, "Edit")
    page.click("#edit")
    assert "does not fit" in wait_for_news(page, "does not fit")
    go(page, "LoRA")
    page.click("#loras .start-compare")
    page.wait_for_selector("#series-status .error:has-text('does not fit')")
    assert set(lora_studio.results()) == before
    page.check("#loras .row .partial input")
    assert "Applies in part" in page.inner_text("#loras .row .verdict.accepted")
    go(page, "Edit")
    page.click("#edit")
    (result,) = new_results(page, lora_studio, before)
    assert loras_of(result) == [("half.safetensors", 1.0)]
    assert str(tmp_path.parent) not in json.dumps(read_settings(result))


@pytest.mark.browser
@pytest.mark.shipped
def test_a_bad_file_is_explained_and_does_no_harm(page, presets_folder: Path, tmp_path: Path) -> None:
    whole = (presets_folder / "thermal.safetensors").read_bytes()
    bad = {"pickle.safetensors": b"\x80\x04pickled", "short.safetensors": whole[:1000], "notes.txt": b"hello"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#loras .drop input", tmp_path / name)
        page.wait_for_selector(f"#loras .card-news:has-text('{name}')")
        told = page.inner_text("#loras .card-news")
        assert str(tmp_path) not in told and "/gradio/" not in told
        assert page.is_hidden("#loras .inspected")
    page.set_input_files("#loras .drop input", presets_folder / "thermal.safetensors")
    page.wait_for_selector("#loras .inspected .truth.whole")
    assert page.is_hidden("#loras .card-news")


@pytest.mark.browser
@pytest.mark.shipped
def test_compare(page, lora_studio: LoraStudio, photograph_file: Path, tmp_path: Path) -> None:
    prepare(page, photograph_file, "make the disc green", seed=5)
    choose(page, FILM, THERMAL)
    before = set(lora_studio.results())
    page.click("#loras .start-compare")
    made = new_results(page, lora_studio, before, 4)
    page.wait_for_selector("#series .word")
    assert [loras_of(file) for file in made] == [
        [], [("sepia-film", 0.8)], [("thermal", 1.0)], [("sepia-film", 0.8), ("thermal", 1.0)],
    ]  # fmt: skip
    assert {read_settings(file)["seed"] for file in made} == {5}
    captions = page.locator("#series figcaption").all_inner_texts()
    assert captions == ["Without", "sepia-film 0.8", "thermal 1", "All together"]
    shown = page.locator("#series .result").evaluate_all("all => all.map(one => one.dataset.entry)")
    assert shown == [file.stem for file in made]
    page.wait_for_function(
        "[...document.querySelectorAll('#series .pair img')].filter(image => image.naturalWidth > 0).length === 8"
    )
    assert page.input_value("#series .word") == "green"
    first = page.get_attribute("#series .difference img >> nth=1", "src")
    page.select_option("#series .word", "disc")
    page.wait_for_function(
        "src => document.querySelectorAll('#series .difference img')[1].getAttribute('src') !== src", arg=first
    )
    assert page.input_value("#series .word") == "disc"

    with page.expect_download() as download:
        page.click("#series .save")
    settings = read_settings(download.value.path())
    assert settings["attention_to"] == "disc"
    assert [picture["result"] for picture in settings["pictures"]] == [file.stem for file in made]
    assert settings["pictures"][3]["loras"][1]["name"] == "thermal"
    assert settings["instruction"] == "make the disc green"
    go(page, "Edit")
    page.wait_for_selector(f"#recent button[data-name='{made[-1].stem}']")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_grid_over_two_weights(page, lora_studio: LoraStudio, photograph_file: Path) -> None:
    prepare(page, photograph_file, "make it sepia", seed=5)
    choose(page, FILM, THERMAL)
    page.fill("#loras .xs", "0, 1")
    page.select_option("#loras .y", THERMAL)
    page.fill("#loras .ys", "-1, 0, 1")
    assert "6 pictures" in page.inner_text("#loras .start-grid")
    before = set(lora_studio.results())
    page.click("#loras .start-grid")
    made = new_results(page, lora_studio, before, 6)
    page.wait_for_selector("#series-status .done")
    page.wait_for_function("document.querySelectorAll('#series table .result').length === 6")
    assert [loras_of(file) for file in made] == [
        [("sepia-film", x), ("thermal", y)] for y in (-1.0, 0.0, 1.0) for x in (0.0, 1.0)
    ]  # fmt: skip
    assert page.locator("#series th[scope=col]").all_inner_texts() == ["0", "1"]
    assert page.locator("#series th[scope=row]").all_inner_texts() == ["−1", "0", "1"]
    with page.expect_download() as download:
        page.click("#series .save")
    assert len(read_settings(download.value.path())["pictures"]) == 6

    page.click("#series .result >> nth=4")
    page.wait_for_selector("#series dialog[open]")
    assert page.inner_text("#series .caption") == "sepia-film 0 · thermal 1"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#series .caption") == "sepia-film 1 · thermal 1"
    page.click("#series dialog .open")
    page.wait_for_selector(f"#stage .after[src$='{made[5].name}']")
    page.wait_for_selector("#loras-line button:has-text('LoRAs: sepia-film 1 · thermal 1')")


@pytest.mark.browser
@pytest.mark.shipped
def test_series_that_can_not_be_are_explained(page, lora_studio: LoraStudio, photograph_file: Path) -> None:
    choose(page, FILM, THERMAL)
    go(page, "Edit")
    if page.locator("#source img").count():
        page.click("#source button[aria-label='Remove Image']")
        page.wait_for_selector("#source img", state="detached")
    go(page, "LoRA")
    page.click("#loras .start-compare")
    page.wait_for_selector("#series-status .error:has-text('no picture')")
    prepare(page, photograph_file, "make it sepia")
    before = set(lora_studio.results())
    page.select_option("#loras .y", THERMAL)
    for xs, ys, told in (
        ("0, nan", "0", "“nan” on X is no weight"),
        ("0", "0, a", "“a” on Y is no weight"),
        ("7", "0", "“7” on X is no weight"),
        ("", "0", "X has no weights"),
        ("0,.1,.2,.3,.4,.5", "0,.1,.2,.3,.4", "6 × 5 weights make 30 pictures"),
    ):
        page.fill("#loras .xs", xs)
        page.fill("#loras .ys", ys)
        page.press("#loras .ys", "Enter")
        page.wait_for_selector(f"#series-status .error:has-text('{told}')")
    page.select_option("#loras .y", FILM)
    page.click("#loras .start-grid")
    page.wait_for_selector("#series-status .error:has-text('same LoRA')")
    assert set(lora_studio.results()) == before


@pytest.mark.browser
@pytest.mark.shipped
def test_a_series_can_be_cancelled(page, lora_studio: LoraStudio, photograph_file: Path) -> None:
    prepare(page, photograph_file, "make it sepia")
    go(page, "Edit")
    page.fill("#steps input[type=number]", "20")
    page.press("#steps input[type=number]", "Tab")
    go(page, "LoRA")
    choose(page, FILM)
    page.fill("#loras .xs", ", ".join(f"{value / 10:g}" for value in range(20)))
    page.click("#loras .start-grid")
    page.wait_for_selector("#series-status .busy:has-text('of 400')")
    page.click("#series-cancel")
    page.wait_for_selector("#series-status .status:has-text('Cancelled')")
    page.wait_for_selector("#series-cancel", state="hidden")
    page.wait_for_selector("#series .place.never >> nth=0")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_reload_keeps_the_stack_and_the_series(page, lora_studio: LoraStudio, photograph_file: Path) -> None:
    prepare(page, photograph_file, "make it sepia", seed=3)
    choose(page, THERMAL)
    before = set(lora_studio.results())
    page.click("#loras .start-compare")
    made = new_results(page, lora_studio, before, 2)
    page.wait_for_selector("#series .word")
    type_weight(page, THERMAL, "0.35")
    page.reload()
    page.wait_for_selector("#loras-line button:has-text('LoRAs: thermal 0.35')")
    wait_for_instruction(page, "make it sepia")
    page.wait_for_selector("#source img")
    before = set(lora_studio.results())
    page.click("#edit")
    (result,) = new_results(page, lora_studio, before)
    assert loras_of(result) == [("thermal", 0.35)]
    go(page, "LoRA")
    page.wait_for_selector("#loras .row .truth.whole")
    assert page.input_value("#loras .row .number") == "0.35"
    page.wait_for_selector(f"#series .result[data-entry='{made[1].stem}']")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_new_page_has_the_stack_of_the_newest_result(
    browser, page, lora_studio: LoraStudio, photograph_file: Path
) -> None:
    prepare(page, photograph_file, "make it sepia")
    choose(page, FILM)
    before = set(lora_studio.results())
    go(page, "Edit")
    page.click("#edit")
    new_results(page, lora_studio, before)
    wait_for_news(page, "Done")
    for other in open_page(browser, lora_studio):
        other.wait_for_selector("#loras-line button:has-text('LoRAs: sepia-film 0.8')")


@pytest.mark.browser
@pytest.mark.shipped
def test_a_late_answer_does_not_undo_the_settings(
    browser, lora_studio: LoraStudio, photograph_file: Path, page
) -> None:
    """What the newest result was made with is filled in after a reload, but not over what was changed meanwhile."""
    prepare(page, photograph_file, "make it sepia")
    go(page, "Edit")
    before = set(lora_studio.results())
    page.click("#edit")
    new_results(page, lora_studio, before)
    wait_for_news(page, "Done")

    held: list = []
    free = [False]

    def hold(route) -> None:
        if free[0]:
            route.continue_()
        else:
            held.append(route)

    def release() -> None:
        free[0] = True
        while held:
            held.pop().continue_()

    page.route(re.compile("gradio_api/(run|queue|api)"), hold)
    page.reload()
    page.wait_for_selector("#edit")
    open_options(page)
    page.fill("#steps input[type=number]", "3")
    page.press("#steps input[type=number]", "Tab")
    page.wait_for_timeout(500)
    assert page.input_value("#steps input[type=number]") == "3", "before any answer"
    assert held, "the page asked for nothing when it was opened"
    release()
    page.wait_for_selector("#stage .compare")
    page.wait_for_timeout(1000)
    assert page.input_value("#steps input[type=number]") == "3"
    assert page.input_value("#instruction textarea") == ""

    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    page.fill("#instruction textarea", "make it darker")
    page.wait_for_timeout(500)
    free[0] = False
    page.click("#edit")
    page.wait_for_timeout(500)
    page.fill("#steps input[type=number]", "2")
    page.press("#steps input[type=number]", "Tab")
    before = set(lora_studio.results())
    release()
    (result,) = new_results(page, lora_studio, before)
    wait_for_news(page, "Done")
    assert read_settings(result)["steps"] == 3
    assert page.input_value("#steps input[type=number]") == "2"


@pytest.mark.browser
@pytest.mark.shipped
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_telephone(page, lora_studio: LoraStudio, half_file: Path, theme: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=theme)
    go(page, "LoRA")
    page.wait_for_selector("#loras .card:visible")
    page.wait_for_timeout(300)
    if page.locator("#loras .row").count():
        page.click("#loras .clear")
    choose(page, FILM, "preset:evil")
    page.set_input_files("#loras .drop input", half_file)
    page.wait_for_selector("#loras .inspected pre")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in ("#loras .card >> nth=0", "#loras .row >> nth=0", "#loras .run >> nth=0"):
        colour = page.locator(selector).evaluate("element => getComputedStyle(element).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
        assert brightness < 70 if theme == "dark" else brightness > 230, (selector, colour)


@pytest.mark.browser
@pytest.mark.shipped
def test_everything_has_a_name_for_screen_readers(page) -> None:
    choose(page, FILM)
    nameless = page.eval_on_selector_all(
        "#loras button, #loras input, #loras select, #series button",
        """all => all.filter(one => !(one.ariaLabel || one.innerText?.trim() || one.textContent.trim()
                                      || one.closest('label')?.innerText.trim() || one.labels?.[0]?.innerText.trim()))
                     .map(one => one.outerHTML)""",
    )
    assert nameless == []


@pytest.mark.browser
@pytest.mark.shipped
def test_nothing_left_the_machine_and_nothing_complained(lora_studio: LoraStudio) -> None:
    """Over all that the tests before have done."""
    assert lora_studio.strangers == []
    assert lora_studio.complaints == []
