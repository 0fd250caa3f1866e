"""Many edits by several clients at once, through the running page: nothing is lost, mixed up, or piled up."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from mmdit import EditRequest, load_editor
from mmdit.images import read_settings

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 180  # seconds; a busy build server is slow
CLIENTS = 4
EDITS = 200
WARM = 20  # edits after which memory should not grow any more
KEEP = 10  # seconds that this studio keeps Gradio's copies of files
SERVE = f"""
import sys, threading, time
from pathlib import Path
from mmdit.catalog import find
from mmdit.load import load_editor
from mmdit.runtime.history import History
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import ModelChoice
from mmdit.ui import page

def cancel(step, instruction):
    while True:
        for job in list(jobs._known.values()):
            if job.snapshot.instruction == instruction and job.snapshot.step >= step:
                return job.cancel()
        time.sleep(0.001)

def obey():
    for line in sys.stdin:
        step, _, instruction = line.strip().partition(" ")
        threading.Thread(target=cancel, args=[int(step), instruction], daemon=True).start()

page.TIDY_SECONDS, page.KEEP_SECONDS = 1, {KEEP}
port, outputs, model = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with Jobs(lambda choice: load_editor(choice.name, "cpu"), History(outputs), ModelChoice(model)) as jobs:
    threading.Thread(target=obey, daemon=True).start()
    page.serve(jobs, find(model), "127.0.0.1", port)
"""


@dataclass
class Studio:
    """A studio in a process of its own, which is told what to cancel."""

    process: subprocess.Popen
    address: str
    outputs: Path
    temporary: Path

    def cancel(self, instruction: str, step: int) -> None:
        """Cancel the edit with that instruction as soon as it has made so many steps; 0 for while it waits."""
        self.process.stdin.write(f"{step} {instruction}\n")
        self.process.stdin.flush()

    def memory(self) -> int:
        """Bytes that are its own."""
        return psutil.Process(self.process.pid).memory_full_info().uss

    def kept(self) -> tuple[int, int]:
        """How many temporary files there are, and their bytes."""
        files = [file.stat().st_size for file in self.temporary.rglob("*") if file.is_file()]
        return len(files), sum(files)


@contextmanager
def running(folder: Path, model: Path) -> Iterator[Studio]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outputs, temporary = folder / "outputs", folder / "temporary"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), str(outputs), str(model)], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"GRADIO_TEMP_DIR": str(temporary)},
    )  # fmt: skip
    try:
        assert f":{port}" in process.stdout.readline()
        yield Studio(process, f"http://127.0.0.1:{port}/", outputs, temporary)
        assert process.poll() is None, "the studio has ended by itself"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@dataclass(frozen=True)
class Asked:
    """One edit: of a picture that only this client has, with a seed that only it uses."""

    picture: Path
    seed: int
    way: str

    @property
    def instruction(self) -> str:
        return f"make it brighter, number {self.seed}"

    @property
    def steps(self) -> int:
        return 20 if self.way == "cancel" else 2


class Client(threading.Thread):
    """Edits one picture after the other; now and then it cancels, or closes the page while the edit runs."""

    def __init__(self, studio: Studio, asked: list[Asked], done: threading.Semaphore) -> None:
        super().__init__()
        self.studio, self.asked, self.done = studio, asked, done
        self.got: dict[int, tuple[Path, dict]] = {}
        self.refused: dict[int, str] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            client = self.open()
            for asked in self.asked:
                client = self.make(client, asked)
                self.done.release()
        except BaseException as error:
            self.failure = error
            self.done.release(1000)

    def open(self):
        from gradio_client import Client as Connection

        with urllib.request.urlopen(self.studio.address, timeout=PATIENCE) as page:
            assert b"MMDiT Studio" in page.read()
        return Connection(self.studio.address, verbose=False, download_files=str(self.asked[0].picture.parent / "got"))

    def make(self, client, asked: Asked):
        from gradio_client import handle_file

        if asked.way == "cancel":
            self.studio.cancel(asked.instruction, step=asked.seed % 3)
        values = (handle_file(asked.picture), asked.instruction, asked.seed, asked.steps, 1)
        sent = client.submit(*values, api_name="/edit")
        if asked.way == "reload":
            while sent.status().code.value not in ("PROCESSING", "FINISHED"):
                time.sleep(0.01)
            client.close()
            return self.open()
        try:
            picture, settings, *_ = sent.result(PATIENCE)
            self.got[asked.seed] = Path(picture), settings
        except Exception as error:
            self.refused[asked.seed] = str(error)
        return client


def ask(folder: Path) -> list[list[Asked]]:
    """What each client asks for: every eighth edit is cancelled, every eighth one left by a closed page."""
    draw = np.random.default_rng(0)
    plans: list[list[Asked]] = []
    for client in range(CLIENTS):
        ways = (["cancel", "reload"] + ["stay"] * 6) * (EDITS // 8)
        random.Random(client).shuffle(ways)
        place = folder / f"client-{client}"
        place.mkdir()
        plans.append([])
        for number in range(EDITS // CLIENTS):
            file = place / f"{number}.png"
            Image.fromarray(draw.integers(0, 256, (10, 12, 3), dtype=np.uint8)).resize((96, 80)).save(file)
            plans[-1].append(Asked(file, 1000 * client + number, ways[number]))
    return plans


def wait_for_the_last(studio: Studio, plans: list[list[Asked]]) -> None:
    """Edits whose pages were closed may still run."""
    wanted = {asked.seed for plan in plans for asked in plan if asked.way == "reload"}
    deadline = time.monotonic() + PATIENCE
    while not wanted <= set(saved(studio)) and time.monotonic() < deadline:
        time.sleep(0.1)


def saved(studio: Studio) -> dict[int, Path]:
    """Seed → result, of all that is on disk."""
    results = [file for file in studio.outputs.glob("*.png") if ".source" not in file.name]
    seeds = [read_settings(file)["seed"] for file in results]
    assert len(set(seeds)) == len(seeds), "an edit was made twice"
    return dict(zip(seeds, results, strict=True))


def check(studio: Studio, plans: list[list[Asked]], clients: list[Client], model: Path) -> None:
    """Every client got the edits of its own pictures with its own seeds, and what it did not get is on disk."""
    editor, on_disk = load_editor(model, "cpu"), saved(studio)
    for plan, client in zip(plans, clients, strict=True):
        for asked in plan:
            if asked.way == "cancel":
                assert "cancelled" in client.refused[asked.seed], client.refused
                assert asked.seed not in on_disk
                continue
            with Image.open(asked.picture) as picture:
                request = EditRequest([picture], asked.instruction, seed=asked.seed, steps=2, guidance=1.0)
                expected = editor.edit(request).image.tobytes()
            with Image.open(on_disk[asked.seed]) as kept:
                assert kept.convert("RGB").tobytes() == expected
            if asked.way == "stay":
                file, settings = client.got[asked.seed]
                assert (settings["seed"], settings["instruction"]) == (asked.seed, asked.instruction)
                with Image.open(file) as given:
                    assert given.convert("RGB").tobytes() == expected
    assert len(on_disk) == sum(asked.way != "cancel" for plan in plans for asked in plan)


@pytest.mark.slow
def test_nothing_is_lost_mixed_up_or_piled_up(tiny_editor_folder: Path, tmp_path: Path) -> None:
    plans, done = ask(tmp_path), threading.Semaphore(0)
    with running(tmp_path, tiny_editor_folder) as studio:
        clients = [Client(studio, plan, done) for plan in plans]
        for client in clients:
            client.start()
        for _ in range(WARM):
            assert done.acquire(timeout=PATIENCE)
        warm = studio.memory()
        for client in clients:
            client.join(PATIENCE + 10 * EDITS)
        assert [client.failure for client in clients] == [None] * CLIENTS
        grown = studio.memory() / warm - 1
        wait_for_the_last(studio, plans)
        time.sleep(KEEP + 3)
        files, size = studio.kept()
        print(f"{EDITS} edits: memory {warm / 1e6:.0f} MB after {WARM}, {100 * grown:+.1f} % since; "
              f"{files} temporary files, {size} bytes")  # fmt: skip
    check(studio, plans, clients, tiny_editor_folder)
    assert (files, size) == (0, 0)
    assert grown <= 0.05
