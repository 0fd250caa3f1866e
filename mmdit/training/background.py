"""Train what stands behind objects: `mmdit.model.background`.

In: scenes of which an object is removed, whose truth is known. Out: background.safetensors beside the text encoder.

    python -m mmdit.training.background --data data --out assets/mini
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmdit.model.background import BACKGROUND_FILE, Background
from mmdit.model.inpainting import hole_of
from mmdit.training.scenes import SceneBatch, Scenes

BATCH, RATE, AVERAGED_OVER, WINDOW = 32, 2e-3, 500, 96
SURE, TOLD_EVERY = 1e-6, 200


def lesson(scenes: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, holes and truths of scenes with a removed object, as far as they lie in a window around it."""
    height, width = scenes.source.shape[-2:]
    side = (min(WINDOW, height), min(WINDOW, width))
    alpha = scenes.masks[torch.arange(len(scenes.kinds)), scenes.edited_slot][:, None]
    whole = torch.cat([scenes.source, scenes.target, hole_of(torch.logit(alpha, SURE))], dim=1)
    windows = []
    for picture, (x, y) in zip(whole, _middles(alpha), strict=True):
        top = min(max(y - side[0] // 2, 0), height - side[0])
        left = min(max(x - side[1] // 2, 0), width - side[1])
        windows.append(picture[:, top : top + side[0], left : left + side[1]])
    source, target, hole = torch.stack(windows).split([3, 3, 1], dim=1)
    return source, hole, target


def _middles(alpha: Tensor) -> list[list[int]]:
    """Per sample the x and y of the middle of an object, in pixels."""
    total = alpha.sum(dim=(1, 2, 3)).clamp_min(SURE)
    columns, rows = (torch.arange(count, device=alpha.device).float() for count in alpha.shape[:-3:-1])
    x, y = (alpha[:, 0].sum(dim=1) @ columns) / total, (alpha[:, 0].sum(dim=2) @ rows) / total
    return torch.stack([x, y], dim=1).round().long().tolist()


def train(scenes: Scenes, samples: int, seed: int) -> Background:
    """The mean of the last weights, exponentially.

    Args:
        samples: how many scenes it sees.
    """
    torch.manual_seed(seed)
    network = Background().train().to(memory_format=torch.channels_last)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / AVERAGED_OVER))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    steps, started, errors = -(-samples // BATCH), time.monotonic(), list[float]()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    for step in range(steps):
        source, hole, target = lesson(scenes.batch(step, BATCH, kinds=["remove"] * BATCH))
        output = network(source.contiguous(memory_format=torch.channels_last), hole)
        squared = (functional.mse_loss(output, target, reduction="none") * hole).sum(dim=(1, 2, 3))
        loss = squared.sum() / hole.sum() / 3
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        errors.append(loss.item())
        if (step + 1) % TOLD_EVERY == 0:
            gone, recent = time.monotonic() - started, sum(errors[-TOLD_EVERY:]) / TOLD_EVERY
            whole = gone / (step + 1) * steps
            print(f"{step + 1}/{steps}  error {recent:.4f}  {gone:.0f} s of {whole:.0f}", flush=True)
    return averaged.module.requires_grad_(False).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--out", type=Path, required=True, help="folder of the editor")
    parser.add_argument("--samples", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network = train(Scenes(arguments.data, "train", arguments.seed), arguments.samples, arguments.seed)
    network.save(arguments.out / BACKGROUND_FILE)


if __name__ == "__main__":
    main()
