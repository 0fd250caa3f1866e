"""What a training run leaves: the LoRA file, a plot of the losses, a strip of pictures. Each appears whole or not.

In: weights by name, numbers, PIL pictures. Out: files. Knows neither models nor the loop.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from safetensors.torch import save
from torch import Tensor

from mmdit.files import appearing
from mmdit.lora.header import LoraError

PREFIX = "transformer"  # of every key, as diffusers' pipelines write them
STRIP_ROWS = 4
COLUMNS = ("source", "without LoRA", "with LoRA", "target")
SIDE, GAP, TEXT = 224, 12, 15
PAPER, INK = (250, 250, 249), (59, 59, 56)
AVERAGED = 20  # losses in a point of the smooth curve


@dataclass(frozen=True)
class Edited:
    """One pair and what the model makes of it: three pictures of one size, and what was asked."""

    instruction: str
    source: Image.Image
    edited: Image.Image
    target: Image.Image

    @property
    def error(self) -> float:
        """Mean squared difference of the edited picture and the target, on the [0, 1] scale."""
        edited, target = (np.asarray(picture, dtype=np.float64) / 255 for picture in (self.edited, self.target))
        return float(np.square(edited - target).mean())


def save_lora(file: Path, weights: Mapping[str, Tensor], rank: int, alpha: float, about: Mapping[str, str]) -> None:
    """Write a LoRA in float16 with diffusers' keys and metadata, so that any reader knows its alpha.

    Args:
        weights: "transformer_blocks.0.attn.to_q.lora_A.weight" → (rank, in), "….lora_B.weight" → (out, rank).
        about: further metadata of the file.

    Raises:
        LoraError: weights that float16 can't hold; nothing is written.
    """
    config = {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted({name.rsplit(".lora_", 1)[0] for name in weights}),
    }
    adapter = {f"{PREFIX}.{key}": value for key, value in config.items()}
    metadata = {**about, "format": "pt", "lora_adapter_metadata": json.dumps(adapter, indent=2, sort_keys=True)}
    tensors = {
        f"{PREFIX}.{name}": weight.detach().to("cpu", torch.float16).contiguous() for name, weight in weights.items()
    }
    if broken := next((name for name, weight in tensors.items() if not weight.isfinite().all()), None):
        raise LoraError(f"the trained weights are beyond all bounds in {broken}; train anew with a lower --rate")
    with appearing(file) as partial:
        partial.write_bytes(save(tensors, metadata))  # `save_file` lets nobody else read what it writes


def draw_losses(losses: Sequence[float], file: Path) -> None:
    """Plot every step's loss and their running mean, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, because it takes a third of a second
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, color="0.75", linewidth=0.7, label="each step")
    width = min(AVERAGED, len(losses))
    smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
    axes.plot(steps[width - 1 :], smooth, color="black", label=f"mean of {width} steps")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    with appearing(file) as partial:
        figure.savefig(partial, format="png")


def draw_strip(without: Sequence[Edited], with_lora: Sequence[Edited], file: Path) -> None:
    """A PNG with a row for each pair, at most `STRIP_ROWS`: source, edited without and with the LoRA, target."""
    rows = list(zip(without, with_lora, strict=True))[:STRIP_ROWS]
    font = ImageFont.load_default(TEXT)
    row_height = SIDE + TEXT + 2 * GAP
    size = (len(COLUMNS) * (SIDE + GAP) + GAP, TEXT + 2 * GAP + len(rows) * row_height)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(COLUMNS):
        draw.text((GAP + column * (SIDE + GAP), GAP), title, fill=INK, font=font)
    for row, (plain, styled) in enumerate(rows):
        top = TEXT + 2 * GAP + row * row_height
        draw.text((GAP, top), plain.instruction, fill=INK, font=font)
        for column, picture in enumerate((plain.source, plain.edited, styled.edited, plain.target)):
            shown = ImageOps.contain(picture, (SIDE, SIDE), Image.Resampling.BICUBIC)
            left = GAP + column * (SIDE + GAP) + (SIDE - shown.width) // 2
            sheet.paste(shown, (left, top + TEXT + GAP + (SIDE - shown.height) // 2))
    with appearing(file) as partial:
        sheet.save(partial, format="PNG")
