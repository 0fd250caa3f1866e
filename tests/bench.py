"""What things cost on this machine; prints, asserts nothing about time.

python tests/bench.py page | edit
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "assets" / "examples" / "coffee.jpg"


def page() -> None:
    """Seconds from `python app.py` until the page answers, and until an edit could start; peak memory."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as outputs:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", "7979", "--outputs", outputs],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"},
        )
        try:
            while True:
                try:
                    urllib.request.urlopen("http://127.0.0.1:7979/", timeout=2).read()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise SystemExit(f"app.py ended with status {process.returncode}") from None
                    time.sleep(0.05)
            print(f"page visible after {time.perf_counter() - started:.1f} s")
        finally:
            process.terminate()
            process.wait(10)


def edit() -> None:
    """A cold command-line edit, warm edits of a 512 × 384 photograph, and the process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        from PIL import Image

        picture = Path(folder) / "photograph.png"
        with Image.open(PHOTOGRAPH) as opened:
            opened.convert("RGB").resize((512, 384)).save(picture)
        command = [sys.executable, "-m", "mmdit", "edit", str(picture), "make it black and white"]
        started = time.perf_counter()
        subprocess.run([*command, "-o", str(Path(folder) / "out.png")], cwd=ROOT, check=True)
        print(f"python -m mmdit edit, cold: {time.perf_counter() - started:.1f} s")
        measured = subprocess.run(
            [sys.executable, __file__, "warm", str(picture)], cwd=ROOT, check=True, capture_output=True, text=True
        )
        numbers = json.loads(measured.stdout)
    print(f"warm edit of 512×384: median {numbers['median']:.2f} s, slowest {numbers['slowest']:.2f} s")
    print(f"peak memory of the whole process: {numbers['peak'] / 2**30:.2f} GiB")


def warm(picture: str) -> None:
    sys.path.insert(0, str(ROOT))
    from mmdit import EditRequest, load_editor
    from mmdit.images import load_image

    editor, times = load_editor("mini", device="cpu"), []
    request = EditRequest([load_image(picture)], "make the cup blue please", seed=1)
    for _ in range(7):
        started = time.perf_counter()
        editor.edit(request)
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"median": sorted(times)[3], "slowest": max(times), "peak": peak}))


if __name__ == "__main__":
    choices = {"page": page, "edit": edit, "warm": warm}
    if len(sys.argv) < 2 or not re.fullmatch("|".join(choices), sys.argv[1]):
        raise SystemExit(__doc__)
    choices[sys.argv[1]](*sys.argv[2:])
