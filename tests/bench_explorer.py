"""What the attention explorer costs in a headless Chromium; prints, asserts nothing about time.

python tests/bench_explorer.py
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mmdit.runtime.history import History  # noqa: E402
from mmdit.ui.explorer_payload import Shelf  # noqa: E402
from tests import test_explorer as harness  # noqa: E402

SIZES = {"small, with a reference": (12, 16, 32, True), "FLUX-sized": (57, 20, 64, False)}
CHANGES = 60  # of the layer slider, and as many of the word

# Milliseconds of drawing, and from the change until the browser has painted the next frame.
MEASURE = """async changes => {
  const find = selector => document.querySelector(selector), found = {layer: [], word: []};
  const chips = [...document.querySelectorAll('.chip')], slider = find('.layer');
  const ways = {
    layer: i => { slider.value = i % (Number(slider.max) + 1); slider.dispatchEvent(new Event('input')); },
    word: i => chips[i % chips.length].click(),
  };
  for (const [way, change] of Object.entries(ways)) for (let i = 0; i < changes; i++) {
    const started = performance.now();
    change(i);
    await new Promise(painted => requestAnimationFrame(() => setTimeout(painted)));
    found[way].push([Number(find('[data-redraw-ms]').dataset.redrawMs), performance.now() - started]);
  }
  return found;
}"""


def bench(browser, name: str, layers: int, words: int, side: int, reference: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "outputs")
        grid = (side, side)
        maps = harness.synthetic_maps(
            layers, tuple(f"word{index}" for index in range(words)), grid, grid if reference else None,
            steps=1, heads=1, patches=(),
        )  # fmt: skip
        entry = harness.save_recording(history, maps, Image.new("RGB", (1024, 1024), "grey"))
        served, address = harness.serve(history, Path(folder) / "blocks")
        page = browser.new_page(viewport={"width": 1248, "height": 900})
        files: list[int] = []
        page.on("response", lambda answer: answer.url.endswith(".u8") and files.append(size_of(answer)))
        page.goto(address)
        started = time.perf_counter()
        harness.show(page, entry)
        harness.settled(page)
        opened = time.perf_counter() - started
        page.wait_for_timeout(1000)  # the strip
        found = page.evaluate(MEASURE, CHANGES)
        page.close()
        served.close()
        head = told_bytes(Shelf(history, Path(folder) / "again"), entry.name)
    print(f"{name}: {layers} layers × {words} words × {side}×{side}")
    print(f"  payload {sum(files) + head:,} bytes: maps {sum(files):,} in {len(files)} file(s), the rest {head:,}")
    print(f"  from the name to the picture {opened:.2f} s")
    for way, times in found.items():
        drawing, painted = np.array(times).T
        print(
            f"  {way}: drawing {np.median(drawing):.1f} ms, worst {drawing.max():.1f}; "
            f"until painted {np.median(painted):.1f} ms, worst {painted.max():.1f}"
        )


def size_of(answer) -> int:
    return int(answer.headers["content-length"])


def told_bytes(shelf: Shelf, name: str) -> int:
    """The JSON that comes with the maps: the header, and the scales of each stream that is shown at once."""
    header = shelf.header(name)
    asked = {"entry": name, "direction": header["directions"][0]}
    answers = [shelf.block(asked | {"stream": stream["name"]}) for stream in header["streams"]]
    return sum(len(json.dumps(told).encode()) for told in (header, *answers))


def main() -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        for name, size in SIZES.items():
            bench(browser, name, *size)


if __name__ == "__main__":
    main()
