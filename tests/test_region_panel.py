"""The region painter in a real headless Chromium: strokes and maps become the mask that they should."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.path import Path as MatplotlibPath
from PIL import Image
from scipy import ndimage
from test_region_payload import painted, save_recording, word_maps

from mmdit.attention.maps import AttentionMaps
from mmdit.runtime.history import Entry, History
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.region_payload import read_mask

PATIENCE = 60_000  # milliseconds; a busy build server is slow


def region_of_map(
    values: np.ndarray, size: tuple[int, int], threshold: float, smooth: float, grow: float
) -> np.ndarray:
    """(height, width) uint8, straight from scipy: smoothed, enlarged, thresholded, grown by a disc."""
    smoothed = ndimage.gaussian_filter(values.astype(np.float64), smooth, mode="nearest", truncate=4)
    (width, height), (rows, columns) = size, values.shape
    y = (np.arange(height) + 0.5) * rows / height - 0.5
    x = (np.arange(width) + 0.5) * columns / width - 0.5
    enlarged = ndimage.map_coordinates(smoothed, np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest")
    inside = enlarged >= threshold * enlarged.max()
    if grow > 0:
        inside = ndimage.distance_transform_edt(~inside) <= grow
    if grow < 0:
        inside = ndimage.distance_transform_edt(inside) > -grow
    return np.where(inside, 255, 0).astype(np.uint8)


@dataclass
class Served:
    """A page with nothing but the painter.

    Args:
        received: the values that were read, newest last.
        told: the values that the painter told of by itself.
        complaints: of the browser's console.
    """

    address: str
    maps: AttentionMaps
    entry: Entry
    received: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, photograph: Image.Image) -> Iterator[Served]:
    import gradio as gr

    from mmdit.ui.language import head, translations
    from mmdit.ui.page import STYLE, _theme
    from mmdit.ui.region_panel import RegionPanel

    folder = tmp_path_factory.mktemp("region")
    history = History(folder / "outputs")
    maps = word_maps()
    served = Served("", maps, save_recording(history, maps, photograph))
    large = photograph.resize((3000, 2000))
    marked = painted(photograph.size)
    with gr.Blocks(analytics_enabled=False) as page:
        panel = RegionPanel(Shelf(history, folder / "blocks"))
        wishes = {
            "photograph": lambda: panel.show(photograph),
            "large": lambda: panel.show(large, entry=served.entry.name),
            "marked": lambda: panel.show(photograph, marked, 20),
            "with-words": lambda: panel.show(photograph, entry=served.entry.name),
            "chosen": lambda: panel.show(
                photograph, entry=served.entry.name, chosen={"word": 3, "layer": 0, "step": 1}
            ),
            "nothing": panel.clear,
            "away": lambda: {panel.view: gr.update(visible=False)},
            "back": lambda: {panel.view: gr.update(visible=True)},
        }
        for name, wish in wishes.items():
            gr.Button(name, elem_id=name).click(wish, None, panel.view)
        gr.Button("read", elem_id="read").click(served.received.append, panel.view, None)  # as an edit would
        panel.view.change(served.told.append, panel.view, None)
    _, served.address, _ = page.launch(
        css_paths=STYLE, theme=_theme(), prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False,
        run_history=False, head=head(), i18n=translations(),
    )  # fmt: skip
    yield served
    page.close()


@pytest.fixture
def page(browser, served: Served):
    context = browser.new_context(viewport={"width": 900, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: message.type == "error" and served.complaints.append(message.text))
    page.on("pageerror", lambda error: served.complaints.append(str(error)))
    page.goto(served.address)
    page.wait_for_selector(".empty:visible")
    show(page, "photograph")
    yield page
    context.close()
    assert served.complaints == []


def show(page, name: str) -> None:
    page.locator(".frame img").evaluate("image => image.removeAttribute('src')")  # until the next one has come
    page.click(f"#{name}")
    page.wait_for_selector(".painter:visible")
    page.wait_for_function("document.querySelector('.frame img').naturalWidth > 0")


def value(page, served: Served) -> Any:
    """What an edit would get now."""
    served.received.clear()
    page.click("#read")
    for _ in range(PATIENCE // 50):
        if served.received:
            return served.received[0]
        page.wait_for_timeout(50)
    raise AssertionError("the page did not send its value")


def assert_mask(page, served: Served, expected: np.ndarray, within: float = 1.0) -> None:
    """The mask is that of (height, width) booleans, but for pixels that are not farther from an edge than that.

    Waits for it: the value follows a stroke within some milliseconds.
    """
    size = expected.shape[::-1]
    doubtful = np.zeros_like(expected)
    if within and expected.any() and not expected.all():
        inside, outside = (ndimage.distance_transform_edt(side) for side in (expected, ~expected))
        doubtful = np.maximum(inside, outside) <= within
    for _ in range(20):
        mask = read_mask(value(page, served), size)
        levels = np.zeros(expected.shape) if mask is None else np.asarray(mask, float)
        wrong = (np.abs(levels - 255 * expected) > 1) & ~doubtful
        if not wrong.any():
            return
        page.wait_for_timeout(100)
    assert not wrong.any(), f"{wrong.sum()} pixels, one of them {np.argwhere(wrong)[0]} (row, column)"


class Hand:
    """A mouse over the picture; places in pixels of the preview."""

    def __init__(self, page, size: tuple[int, int] = (512, 384)) -> None:
        self.page, self.size = page, size
        self.look()

    def look(self) -> None:
        """Find the picture again; a click elsewhere may have scrolled it."""
        self.page.locator(".frame").evaluate("element => element.scrollIntoView({block: 'center'})")
        self.box = self.page.locator(".overlay").bounding_box()

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.size
        return self.box["x"] + x / width * self.box["width"], self.box["y"] + y / height * self.box["height"]

    def drag(self, *places: tuple[float, float], lift: bool = True) -> None:
        self.look()
        self.page.mouse.move(*self.on_screen(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.on_screen(*place), steps=4)
        if lift:
            self.page.mouse.up()


def stroke(diameter: float, *places: tuple[float, float], size: tuple[int, int] = (512, 384)) -> np.ndarray:
    """(height, width): whether a pixel's middle is within half a diameter of the line through the places."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    nearest = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(places, places[1:] or places, strict=False):
        length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return nearest <= diameter / 2


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    inside = np.zeros((384, 512), bool)
    inside[top:bottom, left:right] = True
    return inside


def set_range(page, selector: str, value: float) -> None:
    page.eval_on_selector(
        selector,
        "(range, value) => { range.value = value; for (const name of ['input', 'change'])"
        " range.dispatchEvent(new Event(name, {bubbles: true})); }",
        value,
    )


def brush_diameter(page) -> float:
    """Of a picture that is shown at its own size; as of the next frame."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return float(page.inner_text(".size-name").removesuffix(" px"))


@pytest.mark.browser
def test_the_mask_is_where_the_strokes_were(page, served: Served) -> None:
    hand, diameter = Hand(page), brush_diameter(page)
    assert 8 < diameter < 60
    hand.drag((100, 80), (300, 120), (280, 300))
    painted = stroke(diameter, (100, 80), (300, 120), (280, 300))
    assert_mask(page, served, painted, within=1.5)
    page.click("[data-tool=eraser]")
    hand.drag((200, 60), (200, 150))
    assert_mask(page, served, painted & ~stroke(diameter, (200, 60), (200, 150)), within=1.5)
    page.locator(".overlay").focus()
    for _ in range(5):
        page.keyboard.press("[")
    assert brush_diameter(page) < diameter
    page.keyboard.press("b")
    hand.drag((400, 350), (400, 350))
    assert_mask(
        page, served,
        painted & ~stroke(diameter, (200, 60), (200, 150)) | stroke(brush_diameter(page), (400, 350)), within=1.5,
    )  # fmt: skip


@pytest.mark.browser
def test_rectangle_and_lasso_and_what_they_take_away(page, served: Served) -> None:
    hand = Hand(page)
    page.click("[data-tool=rectangle]")
    hand.drag((300, 250), (100, 60))
    assert_mask(page, served, box(100, 60, 300, 250))
    page.keyboard.down("Alt")
    hand.drag((200, 20), (250, 380))
    page.keyboard.up("Alt")
    both = box(100, 60, 300, 250) & ~box(200, 20, 250, 380)
    assert_mask(page, served, both)
    page.locator(".overlay").focus()
    page.keyboard.press("l")
    corners = [(320, 100), (480, 140), (440, 340), (340, 300)]
    hand.drag(*corners)
    middles = np.stack(np.mgrid[0:384, 0:512][::-1], axis=-1).reshape(-1, 2) + 0.5
    drawn = MatplotlibPath(corners).contains_points(middles).reshape(384, 512)
    assert_mask(page, served, both | drawn, within=1.5)


@pytest.mark.browser
def test_undo_redo_invert_fill_clear(page, served: Served) -> None:
    hand = Hand(page)
    page.click("[data-tool=rectangle]")
    hand.drag((10, 10), (100, 100))
    hand.drag((200, 200), (300, 300))
    first, both = box(10, 10, 100, 100), box(10, 10, 100, 100) | box(200, 200, 300, 300)
    assert_mask(page, served, both)
    page.locator(".overlay").focus()
    page.keyboard.press("Control+z")
    assert_mask(page, served, first)
    page.click("[data-action=undo]")
    assert_mask(page, served, np.zeros_like(both))
    assert value(page, served) == {"mask": "", "feather": 8}
    page.wait_for_selector("[data-action=undo][aria-disabled=true]")
    page.keyboard.press("Control+z")  # the read button has the focus, which is no business of the painter
    page.locator(".overlay").focus()
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+y")
    assert_mask(page, served, both)
    page.click("[data-action=invert]")
    assert_mask(page, served, ~both)
    page.click("[data-action=fill]")
    assert_mask(page, served, np.ones_like(both))
    assert "100 %" in page.inner_text(".news")
    page.click("[data-action=clear]")
    assert_mask(page, served, np.zeros_like(both))
    assert "whole picture" in page.inner_text(".news")
    for _ in range(3):
        page.click("[data-action=undo]")
    assert_mask(page, served, both)
    hand.drag((400, 10), (450, 50))
    page.wait_for_selector("[data-action=redo][aria-disabled=true]")
    assert_mask(page, served, both | box(400, 10, 450, 50))


@pytest.mark.browser
def test_a_stroke_is_told_of_when_it_ends(page, served: Served) -> None:
    hand = Hand(page)
    page.wait_for_timeout(500)
    served.told.clear()
    hand.drag((100, 80), (300, 120), lift=False)
    page.wait_for_timeout(600)
    assert served.told == []
    page.mouse.up()
    for _ in range(100):
        page.wait_for_timeout(50)
        if served.told:
            break
    assert [sorted(told) for told in served.told] == [["feather", "mask"]]
    assert served.told[0] == value(page, served)
    with Image.open(io.BytesIO(base64.b64decode(served.told[0]["mask"].partition(",")[2]))) as mask:
        assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (512, 384))


@pytest.mark.browser
def test_a_stroke_beyond_the_border_and_one_taken_back(page, served: Served) -> None:
    hand, diameter = Hand(page), brush_diameter(page)
    hand.drag((450, 200), (560, 200))
    ended = stroke(diameter, (450, 200), (560, 200))
    assert_mask(page, served, ended, within=1.5)
    hand.drag((100, 80), (300, 120), lift=False)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert_mask(page, served, ended, within=1.5)


@pytest.mark.browser
def test_painting_by_keyboard(page, served: Served) -> None:
    diameter = brush_diameter(page)
    page.locator(".overlay").focus()
    page.keyboard.press("ArrowLeft")  # from the middle, by a 64th of the longer side
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Space")
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    painted = stroke(diameter, (248, 192), (248, 151))
    assert_mask(page, served, painted | box(248, 151, 272, 159), within=1.5)
    page.locator(".overlay").focus()
    page.keyboard.press("Control+z")
    assert_mask(page, served, painted, within=1.5)


@pytest.mark.browser
def test_a_finger_paints_and_does_not_scroll(browser, served: Served) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(served.address)
    show(page, "photograph")
    hand, diameter = Hand(page), brush_diameter(page)
    scrolled, finger = page.evaluate("scrollY"), context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [dict(zip("xy", hand.on_screen(*place), strict=True), id=n) for n, place in enumerate(places)]
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    touch("Start", (100, 300))
    for y in range(280, 80, -20):
        touch("Move", (100, y))
    touch("End")
    assert page.evaluate("scrollY") == scrolled
    assert_mask(page, served, stroke(diameter, (100, 300), (100, 100)), within=2)
    assert page.evaluate("getComputedStyle(document.querySelector('.painter')).touchAction") == "auto"
    context.close()


@pytest.mark.browser
def test_a_large_picture_is_painted_small_and_marked_large(page, served: Served) -> None:
    show(page, "large")
    page.wait_for_function("document.querySelector('.overlay').width === 1024")
    hand = Hand(page, (3000, 2000))
    page.click("[data-tool=rectangle]")
    hand.drag((600, 400), (1800, 1600))
    inside = np.zeros((2000, 3000), bool)
    inside[400:1600, 600:1800] = True
    assert_mask(page, served, inside, within=3000 / 1024 * 1.5)
    page.select_option(".word", label="cat")
    set_range(page, "[data-map=grow]", 40)  # of the 3000
    heatmap = served.maps.heatmap(2, layers=served.maps.best_layers())
    expected = region_of_map(heatmap, (1024, 683), 0.5, 0.5, 40 * 1024 / 3000)
    assert_mask(page, served, expected > 0, within=0)


@pytest.mark.browser
def test_the_map_of_a_word_becomes_the_region_that_numpy_makes_of_it(page, served: Served) -> None:
    show(page, "with-words")
    page.wait_for_selector(".word-map:visible")
    heatmap = served.maps.heatmap(2, layers=served.maps.best_layers())
    page.select_option(".word", label="cat")
    assert_mask(page, served, region_of_map(heatmap, (512, 384), 0.5, 0.5, 0) > 0, within=0)
    for threshold, smooth, grow in [(30, 0, 0), (30, 1.5, 0), (60, 1, 20), (25, 0.3, -13), (0, 0.5, 0), (100, 0, 5)]:
        for name, wanted in (("threshold", threshold), ("smooth", smooth), ("grow", grow)):
            set_range(page, f"[data-map={name}]", wanted)
        expected = region_of_map(heatmap, (512, 384), threshold / 100, smooth, grow)
        assert_mask(page, served, expected > 0, within=0)
    page.click("[data-action=undo]")
    assert value(page, served)["mask"] == ""


@pytest.mark.browser
def test_a_map_can_be_added_and_painted_further(page, served: Served) -> None:
    show(page, "with-words")
    page.click("[data-tool=rectangle]")
    Hand(page).drag((10, 300), (100, 380))
    page.check(".add")
    page.select_option(".word", label="make")
    heatmap = served.maps.heatmap(0, layers=served.maps.best_layers())
    both = box(10, 300, 100, 380) | (region_of_map(heatmap, (512, 384), 0.5, 0.5, 0) > 0)
    assert_mask(page, served, both)
    Hand(page).drag((400, 300), (500, 380))
    assert_mask(page, served, both | box(400, 300, 500, 380))


@pytest.mark.browser
def test_a_map_that_was_chosen_elsewhere_is_taken_at_once(page, served: Served) -> None:
    show(page, "chosen")
    heatmap = served.maps.heatmap(3, layers=0, steps=1)
    assert_mask(page, served, region_of_map(heatmap, (512, 384), 0.5, 0.5, 0) > 0, within=0)
    assert page.inner_text(".which") == "The map of layer 1, step 2"
    assert page.locator(".word option:checked").inner_text() == "blue"


@pytest.mark.browser
def test_the_explorer_hands_over_the_map_that_it_shows(
    browser, served: Served, photograph: Image.Image, tmp_path: Path
) -> None:
    import gradio as gr

    from mmdit.ui.explorer import ExplorerTab
    from mmdit.ui.language import head, translations
    from mmdit.ui.region_panel import RegionPanel

    history = History(tmp_path / "outputs")
    entry = save_recording(history, served.maps, photograph)
    with gr.Blocks(analytics_enabled=False) as blocks:
        panel = RegionPanel(Shelf(history, tmp_path / "blocks"))
        explorer = ExplorerTab(blocks, Shelf(history, tmp_path / "blocks"))
        explorer.view.submit(panel.take, None, panel.view)
        gr.Button("read", elem_id="read").click(served.received.append, panel.view, None)
        blocks.load(lambda: explorer.show(entry.name), None, explorer.view)
    _, address, _ = blocks.launch(
        allowed_paths=[str(tmp_path)], prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False,
        run_history=False, head=head(), i18n=translations(),
    )  # fmt: skip
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector(".explorer[aria-busy=false]:visible")
    page.click(".chip >> nth=1")
    for key in ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    page.click(".explorer .region")
    page.wait_for_selector(".painter:visible")
    heatmap = served.maps.heatmap(1, layers=0, steps=0)
    assert_mask(page, served, region_of_map(heatmap, (512, 384), 0.5, 0.5, 0) > 0, within=0)
    page.close()
    blocks.close()


@pytest.mark.browser
def test_what_was_marked_is_shown_again_and_another_picture_begins_anew(page, served: Served) -> None:
    show(page, "marked")
    assert_mask(page, served, np.asarray(painted((512, 384))) > 0, within=0)
    assert value(page, served)["feather"] == 20
    page.wait_for_function("document.querySelector('.news').textContent.startsWith('6 %')")
    set_range(page, ".feather", 3)
    page.wait_for_timeout(200)
    assert value(page, served)["feather"] == 3
    show(page, "photograph")
    page.wait_for_function("document.querySelector('.news').textContent.startsWith('Nothing')")
    assert value(page, served) == {"mask": "", "feather": 8}
    show(page, "marked")
    page.click("#nothing")
    page.wait_for_selector(".painter", state="hidden")
    assert read_mask(value(page, served), (512, 384)) is None


@pytest.mark.browser
def test_after_a_reload_nothing_is_marked(page, served: Served) -> None:
    served.told.clear()
    Hand(page).drag((100, 80), (300, 120))
    for _ in range(PATIENCE // 50):
        page.wait_for_timeout(50)
        if served.told:
            break
    page.wait_for_timeout(500)  # a page that is left while it is still being answered complains
    page.reload()
    page.wait_for_selector(".empty:visible")
    assert read_mask(value(page, served), (512, 384)) is None


@pytest.mark.browser
def test_what_nobody_sees_does_not_count(page, served: Served) -> None:
    """A component that was taken off the page and comes back has its value, but no picture."""
    Hand(page).drag((100, 80), (300, 120))
    page.click("#away")
    page.wait_for_selector(".painter", state="detached")
    page.click("#back")
    page.wait_for_selector(".empty:visible")
    assert read_mask(value(page, served), (512, 384)) is None


@pytest.mark.browser
def test_every_slider_has_a_name_and_says_its_value(page) -> None:
    show(page, "with-words")
    values = {
        "Size": " px", "Threshold": "50 % of the largest", "Smoothing": "0.5 patches", "Grow or shrink": "0 px",
        "Soft edge": "8 px",
    }  # fmt: skip
    for name, value in values.items():
        slider = page.get_by_role("slider", name=name, exact=True)
        assert slider.get_attribute("aria-valuetext").endswith(value)
    assert page.locator("input[type=range]").count() == len(values)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1440])
def test_the_painter_fits_and_the_dark_reaches_it(page, served: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme="dark")
    show(page, "with-words")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.locator(".toolbar button").all():
        place = button.bounding_box()
        assert place["x"] >= 0 and place["x"] + place["width"] <= width and place["height"] >= 24
        assert button.get_attribute("aria-label") or button.inner_text()
    colour = page.eval_on_selector(".small", "element => getComputedStyle(element).backgroundColor")
    assert sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3])) < 200, colour
