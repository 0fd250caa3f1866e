"""What the tests share: tiny models with random weights, the shipped editor, a picture, the training data."""

import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # share the cores, before torch counts them
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mmdit.catalog import ASSETS, CATALOG
from mmdit.editor import Editor
from mmdit.load import load_editor
from mmdit.model import checkpoint
from mmdit.model.inpainting import Inpainter
from mmdit.model.text import TextEncoder
from mmdit.model.transformer import MiniMMDiT

REPOSITORY = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NEEDED_DATA = ("objects.safetensors", "photographs.safetensors")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shipped: needs the trained weights under assets/mini")


@pytest.fixture(scope="session")
def editor() -> Editor:
    """The shipped editor."""
    return load_editor("mini", device="cpu")


@pytest.fixture(scope="session")
def text_encoder() -> TextEncoder:
    """The shipped text encoder."""
    return TextEncoder.from_pretrained(CATALOG["mini"].source / "text_encoder")


def randomised(transformer: MiniMMDiT, seed: int = 0) -> MiniMMDiT:
    """Every weight drawn anew, those that start as zero too, at a scale that keeps activations near one."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            scale = parameter.shape[1] ** -0.5 if parameter.ndim == 2 and "table" not in name else 0.3
            parameter.normal_(std=scale, generator=draw)
            if "norm_q" in name or "norm_k" in name or "norm_added" in name:
                parameter.add_(1.0)
    return transformer.eval()


@pytest.fixture
def tiny_transformer() -> MiniMMDiT:
    """Two blocks, two heads, random weights everywhere; a new one for every test."""
    return randomised(MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8)))


@pytest.fixture(scope="session")
def tiny_editor_folder(tmp_path_factory: pytest.TempPathFactory, text_encoder: TextEncoder) -> Path:
    """An editor on disk that is complete but for having learnt anything."""
    folder = tmp_path_factory.mktemp("tiny_editor")
    transformer = MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8))
    checkpoint.save(folder, checkpoint.Models(randomised(transformer), text_encoder, Inpainter()))
    return folder


@pytest.fixture(scope="session")
def tiny_editor(tiny_editor_folder: Path) -> Editor:
    return load_editor(tiny_editor_folder, device="cpu")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that mmdit.training.prepare fills; on a build server its absence is a failure."""
    folder = Path(os.environ.get("MMDIT_DATA", REPOSITORY / "data"))
    missing = [name for name in NEEDED_DATA if not (folder / name).is_file()]
    if missing:
        reason = (
            f"no {missing[0]} in {folder}; make it with `python -m mmdit.training.prepare --out {folder}` "
            "or set MMDIT_DATA to the folder that holds it"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """512 × 384: a sky, a ground with fine stripes, a disc, a box and some lines."""
    y, x = np.mgrid[0:384, 0:512].astype(np.float64)
    sky = np.stack([60 + 0.3 * y, 110 + 0.2 * y + 0.05 * x, 200 - 0.1 * y], axis=-1)
    ground = np.stack([120 + 0.1 * x, 90 + 30 * np.sin(x / 3), 60 + 20 * np.cos(y / 5)], axis=-1)
    pixels = np.where((y > 240 + 20 * np.sin(x / 60))[..., None], ground, sky)
    picture = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60, 40, 150, 130), fill=(240, 220, 90))
    draw.rectangle((300, 170, 400, 290), fill=(150, 40, 50), outline=(30, 20, 20), width=4)
    for offset in range(0, 100, 12):
        draw.line((180 + offset, 200, 150 + offset, 300), fill=(30, 90, 40), width=2)
    return picture


@pytest.fixture(scope="session")
def gravel() -> Image.Image:
    """270 × 360: a dog, an apple and a house on gravel, one of the page's examples."""
    return Image.open(ASSETS / "examples/gravel.jpg").convert("RGB").resize((270, 360))


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; on a build server its absence is a failure."""
    try:
        from playwright import sync_api as playwright
    except ImportError:
        missing("Playwright is not installed; pip install playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        missing(f"none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


def missing(reason: str) -> None:
    """A build server has a browser; elsewhere these tests are left out."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
