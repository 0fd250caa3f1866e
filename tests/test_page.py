"""The studio as a person meets it: the real page, in a real headless Chromium, with the shipped editor."""

import json
import math
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdit.attention.maps import AttentionMaps
from mmdit.images import read_settings, save_png
from mmdit.model import checkpoint
from mmdit.model.inpainting import Inpainter
from mmdit.model.text import TextEncoder
from mmdit.model.transformer import MiniMMDiT

pytestmark = [pytest.mark.browser, pytest.mark.shipped]

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 180  # seconds; a busy build server is slow
INSTRUCTION = "#instruction textarea"


@dataclass
class Studio:
    """A running app.py, and what its pages have done so far."""

    address: str
    outputs: Path
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def results(self) -> list[Path]:
        return sorted(file for file in self.outputs.glob("*.png") if ".source." not in file.name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def running_studio(outputs: Path, *arguments: str, folder: Path = REPOSITORY) -> Iterator[Studio]:
    """A process of its own, of the program in a folder, on a free port."""
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--outputs", str(outputs), "--device", "cpu", *arguments]
    with running(command, port, outputs, folder) as studio:
        yield studio


@contextmanager
def running(command: list[str], port: int, outputs: Path, folder: Path = REPOSITORY) -> Iterator[Studio]:
    """A process that serves the page, once it says where. What it says goes to a file, which never fills up as a pipe
    does that nobody reads, and may be anything else before that."""
    address, said = f"http://127.0.0.1:{port}/", outputs.with_name(f"{outputs.name}.log")
    with said.open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        while address not in said.read_text():
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        yield Studio(address, outputs)
        assert process.poll() is None, "the studio has ended by itself: " + said.read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


@pytest.fixture(scope="module")
def slow_studio(tmp_path_factory: pytest.TempPathFactory, text_encoder: TextEncoder) -> Iterator[Studio]:
    """With an editor of ninety blocks that has learnt nothing: its edits last long enough to be cancelled."""
    folder = tmp_path_factory.mktemp("slow_studio")
    checkpoint.save(folder / "slow", checkpoint.Models(MiniMMDiT(layers=90), text_encoder, Inpainter()))
    with running_studio(folder / "outputs", "--model", str(folder / "slow")) as studio:
        yield studio


@pytest.fixture
def page(browser, studio: Studio):
    yield from open_page(browser, studio)


@pytest.fixture
def slow_page(browser, slow_studio: Studio):
    yield from open_page(browser, slow_studio)


def open_options(page) -> None:
    """For the first time on a page; then wait as any hand does.

    Gradio draws what is in an accordion when it is opened, and some milliseconds later gives it its first value again,
    over what a script may have filled in between.
    """
    page.click("#options button >> nth=0")
    page.wait_for_selector("#steps input[type=number]")
    page.wait_for_timeout(1000)


def open_page(browser, studio: Studio):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda message: message.type == "error" and studio.complaints.append(message.text))
    page.on("pageerror", lambda error: studio.complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((studio.address, "data:", "blob:")) or studio.strangers.append(request.url)
        ),
    )
    page.goto(studio.address)
    page.wait_for_selector("#edit")
    page.wait_for_selector("#recent .strip, #recent .strip-empty:has-text('so far')")  # attached
    if page.locator("#stage .compare").count():  # what a test before has made
        page.wait_for_selector("#source img")
    yield page
    context.close()


@pytest.fixture(scope="module")
def photograph_file(photograph: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upload") / "photograph.png"
    photograph.save(file)
    return file


def upload(page, file: Path) -> None:
    if page.locator("#source img").count():
        page.click("#source button[aria-label='Remove Image']")
    page.set_input_files("#source input[type=file]", file)


def say(page, instruction: str, keys: str = "Enter") -> None:
    page.fill(INSTRUCTION, instruction)
    page.press(INSTRUCTION, keys)


def wait_for_instruction(page, text: str) -> None:
    page.wait_for_function("([box, text]) => document.querySelector(box).value === text", arg=[INSTRUCTION, text])


def wait_for_news(page, text: str) -> str:
    page.wait_for_selector(f"#status .status:has-text('{text}')")
    return page.inner_text("#status .status")


def make_one(page, studio: Studio, file: Path, instruction: str, keys: str = "Enter") -> Path:
    """One edit from upload to file."""
    before = set(studio.results())
    upload(page, file)
    page.wait_for_selector("#source img")
    say(page, instruction, keys)
    return next_result(page, studio, before)


def next_result(page, studio: Studio, before: set[Path]) -> Path:
    """What was made since, once it is on show."""
    deadline = time.monotonic() + PATIENCE
    while set(studio.results()) == before and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    (new,) = set(studio.results()) - before
    page.wait_for_selector(f"#stage .after[src$='{new.name}']")
    return new


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / max(np.square(one - other).mean(), 1e-9))


def test_black_and_white_from_upload_to_download(page, studio: Studio, photograph_file: Path) -> None:
    result = make_one(page, studio, photograph_file, "make it black and white")
    assert "Done" in wait_for_news(page, "Done")
    page.wait_for_selector("#preflight :text('The model works at 144 × 112.')")
    assert page.inner_text("#preflight").startswith("The result will be 512 × 384 pixels, as the picture is.")

    source = np.asarray(Image.open(photograph_file).convert("RGB"), dtype=np.float64)
    made = np.asarray(Image.open(result), dtype=np.float64)
    luma = np.repeat((source @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
    assert made.shape == source.shape
    assert psnr(made, luma) >= 28
    assert read_settings(result)["instruction"] == "make it black and white"

    with page.expect_download() as download:
        page.click("#download")
    assert Path(download.value.path()).read_bytes() == result.read_bytes()


def test_how_an_edit_was_made_is_no_warning(page, studio: Studio, photograph_file: Path) -> None:
    make_one(page, studio, photograph_file, "make it sepia and invert it")
    wait_for_news(page, "Done")
    assert page.inner_text("#status .note") == "Made as 2 edits: “make it sepia”, then “invert it”."
    assert page.locator("#status .warning").count() == 0
    make_one(page, studio, photograph_file, "what is the time")
    page.wait_for_selector("#status .warning:has-text('left alone')")


def test_a_reload_keeps_the_result(page, studio: Studio, photograph_file: Path) -> None:
    result = make_one(page, studio, photograph_file, "make it darker", "Control+Enter")
    page.reload()
    page.wait_for_selector(f"#stage .after[src$='{result.name}']")
    page.wait_for_selector("#source img")
    wait_for_instruction(page, "make it darker")
    assert page.get_attribute("#recent button", "data-name") == result.stem


def test_a_running_edit_is_found_again_and_can_be_cancelled(
    slow_page, slow_studio: Studio, photograph_file: Path
) -> None:
    from gradio_client import Client, handle_file

    page = slow_page
    wait_for_news(page, "Ready")
    client = Client(slow_studio.address, verbose=False)
    client.submit(handle_file(photograph_file), "make it sepia", 5, 50, 5, api_name="/edit")
    page.wait_for_timeout(2000)
    page.reload()
    wait_for_news(page, "of 50")
    page.reload()
    page.click("#cancel")
    wait_for_news(page, "Cancelled")
    page.wait_for_selector("#cancel[disabled]")
    page.wait_for_selector("#edit:not([disabled])")
    page.wait_for_timeout(500)
    assert slow_studio.results() == []


def test_a_broken_upload_is_explained_and_does_no_harm(
    page, studio: Studio, photograph_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("this is not a picture")
    upload(page, tmp_path / "notes.png")
    news = wait_for_news(page, "not a picture")
    assert "notes.png" in news
    assert str(tmp_path) not in news
    say(page, "make it darker")
    wait_for_news(page, "no picture")
    make_one(page, studio, photograph_file, "make it darker")


def test_nothing_to_do_is_explained(page, photograph_file: Path) -> None:
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    say(page, "   ")
    wait_for_news(page, "instruction is empty")


def test_a_result_can_be_edited_again_and_that_taken_back(page, studio: Studio, photograph_file: Path) -> None:
    first = make_one(page, studio, photograph_file, "make it warmer")
    page.click("#again")
    page.wait_for_selector("#undo:visible")
    wait_for_instruction(page, "")
    page.click("#undo")
    page.wait_for_selector("#again:visible")
    wait_for_instruction(page, "make it warmer")

    page.click("#again")
    page.wait_for_selector("#undo:visible")
    before = set(studio.results())
    say(page, "make it darker")
    page.wait_for_selector("#stage .compare")
    wait_for_news(page, "Done")
    (second,) = set(studio.results()) - before
    source = Image.open(second.with_suffix(".source.png"))
    assert source.tobytes() == Image.open(first).tobytes()


def test_a_recent_result_brings_back_picture_instruction_and_settings(
    page, studio: Studio, photograph_file: Path
) -> None:
    odd = 'say "${1 + 1}" {{value}} <b>bold</b>'
    older = make_one(page, studio, photograph_file, odd)
    make_one(page, studio, photograph_file, "make it brighter")
    page.wait_for_selector("#recent button >> nth=1")
    page.click(f"#recent button[data-name='{older.stem}']")
    page.wait_for_selector(f"#stage .after[src$='{older.name}']")
    wait_for_instruction(page, odd)
    assert page.inner_text(f"#recent button[data-name='{older.stem}']") == odd
    open_options(page)
    assert page.input_value("#seed input") == str(read_settings(older)["seed"])
    assert not page.is_checked("#random-seed input")


def test_look_inside_shows_what_the_edit_looked_at(page, studio: Studio, photograph_file: Path) -> None:
    result = make_one(page, studio, photograph_file, "make the balloon green")
    maps = AttentionMaps.load(result.with_suffix(".maps.npz"))
    page.click("#look-inside")
    page.wait_for_selector("#explorer .explorer:visible")
    page.wait_for_selector("#explorer .chip:visible")
    assert page.locator("#explorer .chip").evaluate_all("chips => chips.map(chip => chip.ariaLabel)") == list(
        maps.words
    )
    assert maps.metadata["instruction"] == page.inner_text("#explorer .instruction").strip("“”")
    page.click("#explorer .chip[aria-label='balloon']")
    page.wait_for_function("document.querySelectorAll('#explorer tbody tr').length > 3")

    page.get_by_role("tab", name="Edit").click()
    make_one(page, studio, photograph_file, "make it sepia")
    page.get_by_role("tab", name="Look inside").click()
    page.wait_for_selector("#explorer .chip[aria-label='sepia']:visible")


def test_before_and_after_are_compared_by_dragging(page, studio: Studio, photograph_file: Path) -> None:
    make_one(page, studio, photograph_file, "make it brighter")
    stage = page.locator("#stage .compare")
    width = stage.bounding_box()["width"]
    stage.locator("input").click(position={"x": 0.25 * width, "y": 40})
    assert 20 < float(stage.evaluate("element => element.style.getPropertyValue('--cut')").rstrip("%")) < 30


def cut_of(stage) -> float:
    """Percent of the width that show the picture before."""
    return float(stage.evaluate("element => getComputedStyle(element).getPropertyValue('--cut')"))


def opacity(stage, tag: str) -> float:
    return float(stage.locator(tag).evaluate("element => getComputedStyle(element).opacity"))


def test_a_new_result_is_shown_whole_with_the_handle_at_its_edge(
    page, studio: Studio, photograph_file: Path, tmp_path: Path
) -> None:
    make_one(page, studio, photograph_file, "make it black and white")
    stage = page.locator("#stage .compare")
    page.wait_for_function("[...document.querySelectorAll('#stage img')].every(image => image.complete)")
    stage.screenshot(path=tmp_path / "stage.png")
    seen = np.asarray(Image.open(tmp_path / "stage.png").convert("RGB"), dtype=np.int16)
    height, width = seen.shape[:2]
    picture = seen[2:-2, 60 : width // 2]
    assert (picture.max(axis=-1) - picture.min(axis=-1)).max() <= 16  # nothing of the coloured picture before
    assert seen[height // 2 - 14, 24].min() > 240 and seen[height // 2, 10].min() > 240  # the handle, whole
    assert (opacity(stage, ".tag.left"), opacity(stage, ".tag.right")) == (0, 1)

    box = stage.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 48 < cut_of(stage) < 52
    assert (opacity(stage, ".tag.left"), opacity(stage, ".tag.right")) == (1, 1)
    page.keyboard.press("End")
    assert cut_of(stage) == 100
    page.keyboard.press("ArrowLeft")
    assert 99 <= cut_of(stage) < 100


def test_a_long_error_begins_beside_its_dot(page, photograph_file: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    say(page, " ")
    wait_for_news(page, "instruction is empty")
    dot, text = page.evaluate(  # at once, for the page scrolls to the result
        "['dot', 'text'].map(part => document.querySelector(`#status .${part}`).getBoundingClientRect().toJSON())"
    )
    assert text["height"] > 2 * 18  # two lines or more
    assert dot["right"] < text["left"]
    assert text["top"] <= dot["top"] and dot["bottom"] <= text["top"] + 24


def test_buttons_of_a_row_are_of_one_height_and_captions_stand_clear(
    page, studio: Studio, photograph_file: Path
) -> None:
    make_one(page, studio, photograph_file, "make it brighter")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector("#again:visible")
    boxes = [page.locator(button).bounding_box() for button in ("#download", "#look-inside", "#again")]
    assert boxes[0]["height"] > 50  # "Download PNG" takes two lines
    assert {box["height"] for box in boxes if box["y"] == boxes[0]["y"]} == {boxes[0]["height"]}
    assert boxes[1]["y"] == boxes[0]["y"]
    for card in page.locator("#examples button").all():
        frame, caption = card.bounding_box(), card.locator("span").bounding_box()
        assert frame["y"] + frame["height"] - (caption["y"] + caption["height"]) >= 5


def test_a_loras_words_are_shown_whole(page) -> None:
    page.get_by_role("tab", name="LoRA").click()
    page.click("#loras .card[data-key='preset:cyanotype']")
    page.wait_for_selector("#loras .chip >> nth=9")
    assert page.locator("#loras .chips").evaluate("element => element.scrollHeight <= element.clientHeight")


def test_a_telephone_shows_the_whole_width(page, studio: Studio, photograph_file: Path) -> None:
    make_one(page, studio, photograph_file, "make it brighter")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_said_comes_into_sight_where_the_page_was_scrolled(page, photograph_file: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    page.fill(INSTRUCTION, "")
    page.locator("#edit").evaluate("button => scrollTo(0, button.getBoundingClientRect().bottom + scrollY - 100)")
    assert page.evaluate("document.querySelector('#status').getBoundingClientRect().bottom") < 0
    page.press(INSTRUCTION, "Enter")
    page.wait_for_selector("#status .status.error:has-text('instruction is empty')")
    page.wait_for_function("document.querySelector('#status').getBoundingClientRect().top >= 0")


def test_a_telephone_is_led_to_the_result_that_lies_below(page, studio: Studio, photograph_file: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    make_one(page, studio, photograph_file, "make it darker")
    page.wait_for_function("scrollY > 0 && document.querySelector('#status').getBoundingClientRect().top < 200")
    assert page.locator("#stage .after").bounding_box()["y"] < 844


def test_an_example_fills_in_picture_and_instruction(page) -> None:
    caption = page.get_attribute("#examples button >> nth=0", "title")
    page.click("#examples button >> nth=0")
    wait_for_instruction(page, caption)
    page.wait_for_selector("#source img")


def post(studio: Studio, body: dict) -> None:
    """Call the endpoint without Gradio's client. Raises what it answers when that is an error."""
    address = f"{studio.address}gradio_api/call/edit"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=PATIENCE) as answer:
        told = answer.read().decode()
    if "event: error" in told:
        raise RuntimeError(told)


def test_programs_can_edit_too(studio: Studio, photograph_file: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(studio.address, verbose=False)
    picture, settings, _ = client.predict(handle_file(photograph_file), "make it darker", 5, 2, 1, api_name="/edit")
    assert (settings["seed"], settings["steps"]) == (5, 2)
    assert Image.open(picture).size == (512, 384)
    with pytest.raises(Exception, match="instruction is empty"):
        client.predict(handle_file(photograph_file), "", 5, 2, 1, api_name="/edit")
    with pytest.raises(Exception, match="not uploaded"):  # a file of this machine, named instead of sent
        post(studio, {"data": [{"path": str(photograph_file)}, "make it darker", 5, 2, 1]})
    assert re.findall(r"/\w+", client.view_api(print_info=False, return_format="str"))[:1] == ["/edit"]


def test_nothing_left_the_machine_and_nothing_complained(studio: Studio) -> None:
    """Over all that the tests before have done."""
    assert studio.strangers == []
    assert studio.complaints == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "nonesuch"], "nonesuch"),
        (["--device", "abacus"], "abacus"),
        (["--port", "taken"], "taken"),
        (["--port", "0x"], "0x"),
    ],
)
def test_bad_arguments_cost_one_line(studio: Studio, tmp_path: Path, arguments: list[str], named: str) -> None:
    port = studio.address.rstrip("/").rpartition(":")[2]
    if arguments == ["--port", "taken"]:
        arguments, named = ["--port", port], port
    if "--port" not in arguments:  # the usual one may be taken, which is said, too
        with socket.create_server(("127.0.0.1", 0)) as free:
            arguments = [*arguments, "--port", str(free.getsockname()[1])]
    ended = subprocess.run(
        [sys.executable, "app.py", *arguments, "--outputs", str(tmp_path / "outputs")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert ended.returncode == 2
    assert named in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


def test_options_are_remembered_and_put_back(browser, studio: Studio) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)

    def opened() -> None:
        page.goto(studio.address)
        page.wait_for_selector("#status .dot")
        page.wait_for_timeout(1500)  # what is recalled comes by itself
        open_options(page)

    def asked() -> tuple[str, str]:
        return page.input_value("#steps input[type=number]"), page.input_value("#neutral textarea")

    opened()
    page.fill("#steps input[type=number]", "7")
    page.press("#steps input[type=number]", "Tab")
    page.fill("#neutral textarea", "leave it")
    page.press("#neutral textarea", "Tab")
    page.wait_for_timeout(500)
    opened()
    assert asked() == ("7", "leave it")
    page.click("#reset")
    page.wait_for_function("document.querySelector('#steps input[type=number]').value === '1'")
    page.wait_for_timeout(500)
    opened()
    assert asked() == ("1", "keep it as it is")
    context.close()


def test_time_and_memory_are_foreseen(page, studio: Studio, photograph_file: Path) -> None:
    make_one(page, studio, photograph_file, "make it darker")
    page.wait_for_selector("#preflight :text('GB of memory, going by')")
    upload(page, photograph_file)
    page.wait_for_selector("#preflight :text('About')")


def test_variants_of_rising_strength(page, studio: Studio, photograph_file: Path) -> None:
    before = set(studio.results())
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    open_options(page)
    page.fill("#variants input[type=number]", "4")
    page.press("#variants input[type=number]", "Tab")
    page.check("#by-strength input")
    page.wait_for_timeout(500)
    say(page, "make it darker")
    page.wait_for_selector("#choices :text('strength 1') >> nth=0")
    captions = page.inner_text("#choices")
    assert [f"strength {share:g}" in captions for share in (0.25, 0.5, 0.75, 1)] == [True] * 4
    deadline = time.monotonic() + PATIENCE
    while len(set(studio.results()) - before) < 4 and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    made = sorted(
        (read_settings(file) for file in set(studio.results()) - before), key=lambda of: of["strength"]["value"]
    )
    assert [of["strength"]["value"] for of in made] == [0.25, 0.5, 0.75, 1]
    assert len({of["seed"] for of in made}) == 1
    page.click("#reset")


def settle(page) -> None:
    """A page was opened or reloaded: what is recalled comes by itself."""
    page.wait_for_selector("#recent .strip, #recent .strip-empty:has-text('so far')")
    page.wait_for_timeout(1500)


def type_number(page, field: str, text: str) -> None:
    page.fill(f"#{field} input[type=number]", text)
    page.press(f"#{field} input[type=number]", "Tab")


def test_a_number_out_of_range_is_explained_and_put_back(page, studio: Studio, photograph_file: Path) -> None:
    before = set(studio.results())
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    open_options(page)
    page.uncheck("#random-seed input")
    type_number(page, "seed", "-5")
    say(page, "make it darker")
    assert "eed is -5" in wait_for_news(page, "it must be a whole number from 0")
    type_number(page, "seed", "5")
    page.fill("#size input, #size textarea", "99999 x 99999")
    page.click("#edit")
    wait_for_news(page, "is too large")
    page.fill("#steps input[type=number]", "99")  # the box puts back what is too much when it is left, and not before
    page.wait_for_timeout(500)
    type_number(page, "seed", "-5")
    page.click("#reset")
    page.wait_for_function("document.querySelector('#seed input').value === ''")
    assert page.is_checked("#random-seed input")
    assert page.input_value("#size input, #size textarea") == ""
    assert page.input_value("#steps input[type=number]") == "1"
    assert set(studio.results()) == before
    assert studio.complaints == []


def test_new_seeds_stay_new_after_a_reload(page, studio: Studio, photograph_file: Path) -> None:
    def seed_box() -> tuple[str, bool]:
        open_options(page)
        return page.input_value("#seed input"), page.is_checked("#random-seed input")

    result = make_one(page, studio, photograph_file, "make it darker")
    page.reload()
    settle(page)
    assert seed_box() == (str(read_settings(result)["seed"]), True)
    page.uncheck("#random-seed input")
    page.wait_for_timeout(500)
    page.reload()
    settle(page)
    assert seed_box()[1] is False


def test_what_was_typed_and_chosen_comes_back_after_a_reload(
    page, studio: Studio, photograph: Image.Image, photograph_file: Path, tmp_path: Path
) -> None:
    result = make_one(page, studio, photograph_file, "make it darker")
    wait_for_news(page, "Done")
    photograph.resize((100, 50)).save(tmp_path / "next.png")
    upload(page, tmp_path / "next.png")
    page.wait_for_selector("#preflight :text('100 × 50')")
    page.fill(INSTRUCTION, "make it wilder")
    page.wait_for_timeout(500)
    page.reload()
    settle(page)
    wait_for_instruction(page, "make it wilder")
    page.wait_for_selector("#preflight :text('100 × 50')")
    page.wait_for_selector(f"#stage .after[src$='{result.name}']")

    newer = make_one(page, studio, photograph_file, "make it brighter")
    wait_for_news(page, "Done")
    page.reload()
    page.wait_for_selector(f"#stage .after[src$='{newer.name}']")
    wait_for_instruction(page, "make it brighter")


def test_what_went_wrong_stays_with_its_page(
    browser, slow_page, slow_studio: Studio, photograph: Image.Image, photograph_file: Path
) -> None:
    page = slow_page
    wait_for_news(page, "Ready")
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    open_options(page)
    for box, number in (("steps", "20"), ("guidance", "5"), ("variants", "4")):  # long enough to be cancelled
        type_number(page, box, number)
    say(page, "make it sepia")
    wait_for_news(page, "of 80")
    page.click("#cancel")
    wait_for_news(page, "Cancelled")
    page.reload()
    settle(page)
    wait_for_news(page, "Ready")
    wait_for_instruction(page, "make it sepia")
    page.wait_for_selector("#source img")
    for other in open_page(browser, slow_studio):
        settle(other)
        assert "Ready" in other.inner_text("#status")
        assert other.input_value(INSTRUCTION) == ""
        assert other.locator("#source img").count() == 0


def test_what_a_result_has_without_a_field_here_is_named(page, studio: Studio, photograph_file: Path) -> None:
    result = make_one(page, studio, photograph_file, "make it darker")
    name = "29990101-000000-000000"
    strength = {"neutral": "keep it as it is", "value": 0.5, "others": [["make it sepia", 0.5]], "method": "changed"}
    settings = read_settings(result) | {"shift": 3.0, "literally": True, "strength": strength, "steps": 50}
    save_png(Image.open(result), studio.outputs / f"{name}.png", settings)
    Image.open(photograph_file).save(studio.outputs / f"{name}.source.png")
    try:
        page.reload()
        page.click(f"#recent button[data-name='{name}']")
        told = wait_for_news(page, "One of your results")
        named = "Steps, Shift of the schedule, Words as they stand, Method of the strength, Blended instructions"
        assert f"An edit from here has other settings than this result: {named}." in told
        page.click(f"#recent button[data-name='{result.stem}']")
        page.wait_for_selector(f"#stage .after[src$='{result.name}']")
        assert "other settings" not in page.inner_text("#status")
    finally:
        for file in studio.outputs.glob(f"{name}*"):
            file.unlink()


def test_a_page_opens_although_the_newest_result_is_gone(page, studio: Studio, photograph_file: Path) -> None:
    result = make_one(page, studio, photograph_file, "make it darker")
    wait_for_news(page, "Done")
    for file in studio.outputs.glob(f"{result.stem}*"):
        file.unlink()
    page.reload()
    settle(page)
    wait_for_news(page, "Ready")
    make_one(page, studio, photograph_file, "make it brighter")


def mark_a_part(page) -> str:
    """Drag over the painter; what it says of that."""
    page.click("#part button >> nth=0")
    page.wait_for_selector("#region .painter:visible")
    page.wait_for_function("document.querySelector('#region .frame img').naturalWidth > 0")
    page.locator("#region .frame").evaluate("element => element.scrollIntoView({block: 'center'})")
    box = page.locator("#region .overlay").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_selector("#region .news:has-text('is marked')")
    return page.inner_text("#region .news")


def test_what_is_marked_and_added_is_there_again_after_a_reload(
    page, studio: Studio, photograph: Image.Image, photograph_file: Path, tmp_path: Path
) -> None:
    """Before an edit, the region, the second picture and the options; and nothing of them once they were taken away."""
    photograph.resize((300, 200)).save(tmp_path / "second.png")
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    page.fill(INSTRUCTION, "make it sepia")
    marked = mark_a_part(page)
    page.click("#more-pictures button >> nth=0")
    page.set_input_files("#references input[type=file]", tmp_path / "second.png")
    page.wait_for_selector("#references :text('second')")
    open_options(page)
    page.fill("#size textarea, #size input", "200 × 150")
    page.press("#size textarea, #size input", "Tab")
    page.wait_for_selector("#preflight :text('200 × 150')")
    page.wait_for_timeout(500)
    page.reload()
    settle(page)
    wait_for_instruction(page, "make it sepia")
    page.wait_for_selector("#region .news:has-text('is marked')")
    assert page.inner_text("#region .news") == marked
    page.wait_for_selector("#references :text('second'):visible")
    page.wait_for_selector("#preflight :text('200 × 150')")

    before = set(studio.results())
    page.click("#edit")
    settings = read_settings(next_result(page, studio, before))
    assert "region" in settings and settings["references"] == 1 and settings["size"] == [200, 150]
    page.click("#region button[data-action=clear]")
    page.wait_for_selector("#region .news:has-text('Nothing')")
    open_options(page)
    page.fill("#size textarea, #size input", "")
    page.press("#size textarea, #size input", "Tab")
    page.wait_for_timeout(500)
    page.reload()
    settle(page)
    page.wait_for_selector("#source img")
    assert page.locator("#region .news:has-text('is marked')").count() == 0
    page.wait_for_selector("#preflight :text('512 × 384')")


def test_going_back_keeps_variants_and_options(page, studio: Studio, photograph_file: Path) -> None:
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    open_options(page)
    type_number(page, "variants", "2")
    say(page, "make it warmer")
    wait_for_news(page, "Done")
    page.wait_for_selector("#choices button >> nth=1")
    page.click("#again")
    page.wait_for_selector("#undo:visible")
    say(page, " ")
    wait_for_news(page, "instruction is empty")
    page.click("#undo")
    wait_for_instruction(page, "make it warmer")
    page.wait_for_selector("#choices button >> nth=1")
    assert page.input_value("#variants input[type=number]") == "2"
    assert page.is_checked("#random-seed input")


def test_a_typed_seed_counts(page, studio: Studio, photograph_file: Path) -> None:
    upload(page, photograph_file)
    page.wait_for_selector("#source img")
    open_options(page)
    page.fill("#seed input", "42")
    page.press("#seed input", "Tab")
    page.wait_for_function("!document.querySelector('#random-seed input').checked")
    result = make_one(page, studio, photograph_file, "make it cooler")
    assert read_settings(result)["seed"] == 42
