"""Make the README's pictures from the running studio.

python tests/screenshots.py
"""

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "assets" / "screenshots"


def main(folder: Path) -> None:
    """An object removed from an example, the attention of another, and two LoRAs compared on it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as outputs, sync_playwright() as driver:
        command = [sys.executable, "app.py", "--port", str(port), "--outputs", outputs]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            process.stdout.readline()
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/?__theme=light")
            edit_example(page, "gravel.jpg")
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=folder / "studio.png")
            page.close()
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(f"http://127.0.0.1:{port}/?__theme=light")
            edit_example(page, "meadow.jpg")
            page.click("#look-inside")
            page.click("#explorer .chip[aria-label='cat']")
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / "explorer.png")
            page.get_by_role("tab", name="LoRA").click()
            for preset in ("cyanotype", "thermal"):
                page.click(f"#loras [data-key='preset:{preset}']")
            page.click("#loras .start-compare")
            page.wait_for_selector("#series .word", timeout=120_000)
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / "lora.png", full_page=True)
        finally:
            process.terminate()
            process.wait(30)


def shrink(folder: Path) -> None:
    """PNG → WebP, a fifth of the bytes."""
    for file in folder.glob("*.png"):
        with Image.open(file) as page:
            page.convert("RGB").save(file.with_suffix(".webp"), quality=85, method=6)
        file.unlink()


def edit_example(page: Page, name: str) -> None:
    """Take an example and wait until its edit is on show."""
    page.click(f"#examples [data-name='{name}']")
    page.wait_for_selector("#source img")
    page.click("#edit")
    page.wait_for_function("document.querySelector('#status .busy, #status .done')")
    page.wait_for_selector("#status .done", timeout=120_000)
    page.wait_for_selector("#stage .after")
    page.wait_for_timeout(800)


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    made = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    main(made)
    shrink(made)
