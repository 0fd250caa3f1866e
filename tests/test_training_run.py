"""Two minutes of the real training command: it learns, and what it wrote is an editor."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.model import checkpoint
from mmdit.model.inpainting import Inpainter
from mmdit.model.text import TextEncoder
from mmdit.model.transformer import MiniMMDiT
from mmdit.training.evaluate import edit_batch
from mmdit.training.scenes import Scenes
from mmdit.training.scores import score, summarise

REPOSITORY = Path(__file__).resolve().parent.parent
EASIEST = ("invert", "night")


@pytest.mark.slow
def test_two_minutes_of_training_beat_doing_nothing_on_two_photo_edits(data_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", "--data", data_folder, "--out", run, "--samples", 2560, "--batch", 32, "--no-compile"]
    subprocess.run([sys.executable, "-m", "mmdit", *map(str, command)], cwd=REPOSITORY, check=True)

    losses = [float(line.split()[1]) for line in (run / "losses.txt").read_text().splitlines()]
    assert len(losses) == 80
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

    transformer = MiniMMDiT.from_pretrained(run / "transformer")
    text_encoder = TextEncoder.from_pretrained(CATALOG["mini"].source / "text_encoder")
    checkpoint.save(tmp_path / "editor", checkpoint.Models(transformer, text_encoder, Inpainter()))
    kinds = [kind for kind in EASIEST for _ in range(8)]
    scenes = Scenes(data_folder, "held_out", seed=7).batch(0, len(kinds), kinds=kinds)
    rows = score(scenes, edit_batch(MiniEditor(tmp_path / "editor"), scenes, steps=1))
    found = summarise({kind: [row for row, of in zip(rows, kinds, strict=True) if of == kind] for kind in EASIEST})
    for kind, numbers in found.items():
        print(f"{kind}: {numbers['psnr']:.1f} dB, unedited {numbers['psnr_unedited']:.1f} dB")
        assert numbers["psnr"] > numbers["psnr_unedited"]
