"""What things cost on this machine; prints, asserts nothing about time.

python tests/bench.py page | edit | lora
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
from collections.abc import Callable
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


def lora() -> None:
    """A stack of three LoRAs of rank 16 on all targets: applying it, changing a weight, and an edit with it."""
    sys.path.insert(0, str(ROOT))
    from mmdit import EditRequest, LoraWeight, load_editor
    from mmdit.images import load_image
    from mmdit.lora.architectures import linear_shapes
    from tests.lora_files import write

    editor = load_editor("mini", device="cpu")
    stack = editor._loras
    picture = load_image(PHOTOGRAPH).resize((512, 384))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.safetensors" for index in range(3)]
        targets = {name: shape for name, shape in linear_shapes("mini").items() if "blocks." in name}
        for index, file in enumerate(files):
            write(file, "diffusers", targets, rank=16, alpha=16.0, seed=index)
        loras = [LoraWeight(file, 0.5) for file in files]

        def apply(weight: float) -> None:
            with stack.applied([LoraWeight(file, weight) for file in files]):
                pass

        def timed(work: Callable[[], object]) -> float:
            started = time.perf_counter()
            work()
            return time.perf_counter() - started

        print(f"stack of three, first time: {1000 * timed(lambda: apply(0.5)):.1f} ms")
        again = sorted(timed(lambda: apply(0.5)) for _ in range(9))
        print(f"stack of three, again: median {1000 * again[4]:.1f} ms, slowest {1000 * again[-1]:.1f} ms")
        changed = sorted(timed(lambda index=index: apply(index / 10)) for index in range(1, 10))
        print(f"other weights: median {1000 * changed[4]:.1f} ms, slowest {1000 * changed[-1]:.1f} ms")
        plain, stacked = (EditRequest([picture], "make it black and white", seed=1, loras=used) for used in ((), loras))
        pairs = [(timed(lambda: editor.edit(plain)), timed(lambda: editor.edit(stacked))) for _ in range(15)]
        ratios = sorted(with_loras / without for without, with_loras in pairs)
        print(f"edit of 512×384 with three LoRAs ÷ plain: median {ratios[7]:.2f}, {ratios[3]:.2f} to {ratios[11]:.2f}")


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
    choices = {"page": page, "edit": edit, "lora": lora, "warm": warm}
    if len(sys.argv) < 2 or not re.fullmatch("|".join(choices), sys.argv[1]):
        raise SystemExit(__doc__)
    choices[sys.argv[1]](*sys.argv[2:])
