"""From a cold start to a reload: one person's hour with the studio, in a real headless Chromium.

Each station is pictured at three widths, light and dark, into the folder that MMDIT_SCREENSHOTS names, for people to
look at.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_page import INSTRUCTION, PATIENCE, REPOSITORY, Studio, running_studio, wait_for_instruction, wait_for_news

from mmdit.attention.maps import AttentionMaps
from mmdit.images import read_settings
from mmdit.region import region_of

pytestmark = [pytest.mark.browser, pytest.mark.shipped, pytest.mark.slow]

MEADOW = REPOSITORY / "assets" / "examples" / "meadow.jpg"
SCREENS = ((1440, 900), (820, 1180), (390, 844))
STATIONS = ("opened", "edited", "looked-inside", "compared", "edited-locally", "history", "model", "reloaded")
MOST_BYTES = 300_000


class Visit:
    """A page of the studio at its stations."""

    def __init__(self, page, studio: Studio, folder: Path) -> None:
        self.page, self.studio, self.folder = page, studio, folder
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda message: message.type == "error" and studio.complaints.append(message.text))
        page.on("pageerror", lambda error: studio.complaints.append(str(error)))
        page.on("request", self._note)

    def _note(self, request) -> None:
        if not request.url.startswith((self.studio.address, "data:", "blob:")):
            self.studio.strangers.append(request.url)

    def picture(self, station: str) -> None:
        """At every width, light and dark; nothing may stick out to the side."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            for width, height in SCREENS:
                self.page.set_viewport_size({"width": width, "height": height})
                self.page.wait_for_timeout(400)
                self.page.screenshot(path=self.folder / f"{station}-{width}-{scheme}.png", full_page=True)
                assert self.page.evaluate("document.documentElement.scrollWidth") <= width, (station, width)
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": SCREENS[0][0], "height": SCREENS[0][1]})

    def go(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def stack(self, *presets: str) -> None:
        self.go("LoRA")
        for preset in presets:
            self.page.click(f"#loras .card[data-key='preset:{preset}']")
            self.page.wait_for_selector(f"#loras .row[data-key='preset:{preset}'] .truth")

    def new_results(self, before: set[Path], count: int = 1) -> list[Path]:
        deadline = time.monotonic() + PATIENCE
        while len(set(self.studio.results()) - before) < count and time.monotonic() < deadline:
            self.page.wait_for_timeout(100)
        made = sorted(set(self.studio.results()) - before)
        assert len(made) == count
        return made

    def edit(self, instruction: str) -> Path:
        before = set(self.studio.results())
        self.page.fill(INSTRUCTION, instruction)
        self.page.press(INSTRUCTION, "Control+Enter")
        (made,) = self.new_results(before)
        self.page.wait_for_selector(f"#stage .after[src$='{made.name}']")
        wait_for_news(self.page, "Done")
        return made


def own_bytes(page) -> int:
    """Of the page as it is served, without what is Gradio's: our HTML with its styles and scripts, and our own CSS."""
    return page.evaluate(
        """() => {
            const {components, css, js} = window.gradio_config;
            const ours = components.filter(({type}) => type === 'html').map(({props}) => props);
            return new Blob([JSON.stringify(ours), css ?? '', js ?? '']).size;
        }"""
    )


def blueness(pixels: np.ndarray) -> np.ndarray:
    """(height, width) levels by which blue exceeds red."""
    return pixels[..., 2] - pixels[..., 0]


def resized(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(np.float32(heat)).resize(shape[::-1], Image.Resampling.BILINEAR))


@pytest.fixture
def visit(browser, tmp_path: Path) -> Iterator[Visit]:
    folder = Path(os.environ.get("MMDIT_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with running_studio(tmp_path / "outputs") as studio:
        context = browser.new_context(viewport={"width": SCREENS[0][0], "height": SCREENS[0][1]})
        yield Visit(context.new_page(), studio, folder)
        context.close()


def test_from_a_cold_start_to_a_reload(visit: Visit) -> None:
    page, studio = visit.page, visit.studio
    page.goto(studio.address)
    page.wait_for_selector("#edit:visible")
    page.wait_for_selector("#examples img")
    print(f"page weight of our own parts: {own_bytes(page) / 1000:.0f} kB")
    assert own_bytes(page) <= MOST_BYTES
    visit.picture("opened")

    page.set_input_files("#source input[type=file]", MEADOW)
    page.wait_for_selector("#source img")
    blue = visit.edit("make the cat blue")
    visit.picture("edited")
    maps = AttentionMaps.load(blue.with_suffix(".maps.npz"))
    source, made = (np.asarray(Image.open(file).convert("RGB"), int) for file in (MEADOW, blue))
    assert made.shape == source.shape

    page.click("#look-inside")
    page.click("#explorer .chip[aria-label='cat']:visible")
    page.wait_for_function("document.querySelectorAll('#explorer tbody tr').length > 3")
    page.wait_for_timeout(500)
    visit.picture("looked-inside")
    heat = maps.heatmap("cat", stream="reference:0", layers=maps.layers[2])
    bluer = blueness(made) - blueness(source)
    there = resized(heat, bluer.shape) > 0.5 * heat.max()
    assert bluer[there].mean() > 20 > 5 * abs(bluer[~there].mean())  # where the word looks, the picture has become blue

    visit.stack("cyanotype", "thermal")
    before = set(studio.results())
    page.click("#loras .start-compare")
    compared = visit.new_results(before, 4)
    page.wait_for_selector("#series .word")
    page.wait_for_timeout(1000)
    stacks = [[lora["name"] for lora in read_settings(file)["loras"]] for file in compared]
    assert stacks == [[], ["cyanotype"], ["thermal"], ["cyanotype", "thermal"]]
    visit.picture("compared")

    visit.go("Edit")
    page.click(f"#recent button[data-name='{blue.stem}']")
    wait_for_instruction(page, "make the cat blue")
    page.wait_for_selector(f"#stage .after[src$='{blue.name}']")
    page.click("#look-inside")
    page.click("#explorer .chip[aria-label='cat']:visible")
    page.click("#explorer button.region")
    page.wait_for_selector("#region .painter:visible")
    page.wait_for_function("!document.querySelector('#region .news').textContent.startsWith('Nothing')")
    visit.stack("cyanotype", "thermal")
    visit.go("Edit")
    local = visit.edit("make it black and white")
    visit.picture("edited-locally")
    settings = read_settings(local)
    assert [lora["name"] for lora in settings["loras"]] == ["cyanotype", "thermal"]
    given, result = (np.asarray(Image.open(file)) for file in (local.with_suffix(".source.png"), local))
    weights = np.asarray(region_of(settings["region"]).weights((given.shape[1], given.shape[0])))
    assert 0 < (weights > 0).mean() < 0.9
    assert np.array_equal(result[weights == 0], given[weights == 0])
    assert not np.array_equal(result[weights > 0], given[weights > 0])

    visit.go("History")
    everything = [blue, *compared, local]
    page.wait_for_selector(f"#history-gallery button >> nth={len(everything) - 1}")
    page.click(f"#history-gallery button[data-name='{local.stem}']")
    page.wait_for_selector(f"#history-stage .after[src$='{local.name}']")
    visit.picture("history")
    visit.go("Model")
    page.wait_for_selector("#models tr >> nth=5")
    visit.picture("model")

    page.reload()
    page.wait_for_selector(f"#stage .after[src$='{local.name}']")
    page.wait_for_selector("#source img")
    wait_for_instruction(page, "make it black and white")
    page.wait_for_selector("#region .news:has-text('is marked')", state="attached")
    for file in everything:
        page.wait_for_selector(f"#recent button[data-name='{file.stem}']", state="attached")
    visit.go("LoRA")
    page.wait_for_selector("#loras .row >> nth=1")
    visit.go("History")
    page.wait_for_selector(f"#history-gallery button >> nth={len(everything) - 1}")
    names = page.locator("#history-gallery button").evaluate_all("all => all.map(one => one.dataset.name)")
    assert sorted(names) == sorted(file.stem for file in everything)
    visit.go("Look inside")
    page.wait_for_selector("#explorer .chip:visible")
    visit.picture("reloaded")
    assert studio.complaints == []
    assert studio.strangers == []
    assert {file.name for file in visit.folder.glob("*.png")} >= {f"{of}-1440-dark.png" for of in STATIONS}
