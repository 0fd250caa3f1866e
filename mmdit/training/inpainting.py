"""Train what paints where an object was: `mmdit.model.inpainting.Inpainter`.

In: scenes, in which what an object hides is known. Out: inpainter.safetensors. The windows are made once and shown
turned, mirrored and in other colours; the running mean of the weights is kept. One in eight of the photographs that
training may see is held back, to tell how much better than untrained weights the learnt ones are.

    python -m mmdit.training.inpainting --data data/ --out assets/mini
"""

import argparse
import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmdit.model.hiding import OPAQUE, hidden
from mmdit.model.inpainting import INPAINTER_FILE, SIDE, Inpainter, Window, windowed
from mmdit.training.scenes import Scenes

WARMING = 0.1  # share of the steps in which the rate rises
WINDOWS, HELD_BACK_WINDOWS, HELD_BACK_EVERY = 9_000, 384, 8
STEPS, BATCH, RATE, WEIGHT_DECAY, LARGEST_GRADIENT = 6_000, 32, 2e-3, 0.02, 1.0
OF_MEAN = 0.998  # share of the running mean of weights that a step keeps
PLAIN = 0.2  # deviation, of [−1, 1], below which a window's error counts no more than this one's
DRAWN_TOGETHER, UNKNOWN_EVERY = 16, 5


class Windows(NamedTuple):
    """N windows, see `Window`, all of one side, and what is behind the objects: target (N, 3, side, side)."""

    continued: Tensor
    measures: Tensor
    hole: Tensor
    inside: Tensor
    target: Tensor

    def of(self, rows: Tensor | slice) -> "Windows":
        """Some of them, in float32."""
        return Windows(*(part[rows].float() for part in self))


def make_windows(scenes: Scenes, count: int) -> Windows:
    """Windows around objects that are removed, in float16; objects too large for the usual side are left out.

    What can be seen through an object's edges is seen, as if its drawing were known, but in some, as if it were not.
    """
    found: list[tuple[Tensor, ...]] = []
    number = 0
    while len(found) < count:
        batch = scenes.batch(number, DRAWN_TOGETHER, kinds=["remove"] * DRAWN_TOGETHER)
        number += 1
        alpha = batch.masks[torch.arange(DRAWN_TOGETHER), batch.edited_slot][:, None]
        unknown = (torch.arange(DRAWN_TOGETHER) % UNKNOWN_EVERY == 0)[:, None, None]
        holes = torch.where(unknown, hidden(alpha)[:, 3], (alpha[:, 0] > OPAQUE).float())
        for target, hole in zip(batch.target, holes, strict=True):
            if not hole.any():
                continue
            window = Window.around(target, hole)
            if window.hole.shape[-1] == SIDE:
                behind = windowed(target, window.top, window.left, (SIDE, SIDE))
                found.append(tuple(part.half() for part in (*window.parts, behind)))
    return Windows(*(torch.stack(parts) for parts in zip(*found[:count], strict=True)))


def train(windows: Windows, steps: int, seed: int) -> Inpainter:
    """An inpainter that was shown the windows in an order that the seed decides."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    inpainter = Inpainter().train()
    mean = copy.deepcopy(inpainter)
    optimizer = torch.optim.AdamW(inpainter.parameters(), RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=WARMING)
    losses = []
    for step in range(steps):
        loss = _loss(inpainter, _varied(windows.of(torch.randint(len(windows.hole), (BATCH,))), draw))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(inpainter.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        for kept, now in zip(mean.parameters(), inpainter.parameters(), strict=True):
            kept.data.lerp_(now.data, 1 - min(OF_MEAN, (step + 1) / (step + 10)))
        losses.append(loss.item())
        if (step + 1) % max(1, steps // 20) == 0:
            print(f"step {step + 1}/{steps}  loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
    return mean.requires_grad_(False).eval()


def _loss(inpainter: Inpainter, shown: Windows) -> Tensor:
    """Mean squared error in the holes, over the variance of what each window shows."""
    with torch.autocast("cpu", torch.bfloat16):
        painted = inpainter(*shown[:-1])
    errors = ((painted.float() - shown.target).square() * shown.hole).sum(dim=(1, 2, 3)) / shown.hole.sum(dim=(1, 2, 3))
    variance = (shown.target * shown.inside).flatten(1).var(dim=1)
    return (errors / (variance + PLAIN**2)).mean()


def _varied(shown: Windows, draw: random.Random) -> Windows:
    """Turned, mirrored, with their colours' channels exchanged and inverted, all of them alike."""
    channels, sign = draw.sample(range(3), 3), draw.choice((1, -1))
    turns, mirrored = draw.randrange(4), draw.random() < 0.5

    def turned(part: Tensor) -> Tensor:
        return torch.rot90(part.flip(-1) if mirrored else part, turns, (-2, -1))

    continued, target = sign * shown.continued[:, :, channels], sign * shown.target[:, channels]
    return Windows(*map(turned, shown._replace(continued=continued, target=target)))


@torch.inference_mode()
def error(inpainter: Inpainter, windows: Windows) -> float:
    """Squared error in the holes, over that of a hole filled by the mean of what is seen in its window."""
    off = plain = 0.0
    for start in range(0, len(windows.hole), BATCH):
        shown = windows.of(slice(start, start + BATCH))
        seen = shown.inside * (1 - shown.hole)
        mean = (shown.target * seen).sum(dim=(2, 3), keepdim=True) / seen.sum(dim=(2, 3), keepdim=True)
        off += ((inpainter(*shown[:-1]).clamp(-1, 1) - shown.target).square() * shown.hole).sum().item()
        plain += ((mean - shown.target).square() * shown.hole).sum().item()
    return off / plain


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--out", type=Path, required=True, help="folder of the editor")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="how many are made (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    learnt, held_back = (Scenes(chosen.data, "train", chosen.seed) for _ in range(2))
    held_back.photographs = learnt.photographs[5::HELD_BACK_EVERY]
    learnt.photographs = [photo for at, photo in enumerate(learnt.photographs) if at % HELD_BACK_EVERY != 5]
    asked = make_windows(held_back, HELD_BACK_WINDOWS)
    inpainter = train(make_windows(learnt, chosen.windows), chosen.steps, chosen.seed)
    print(f"held back: untrained {error(Inpainter().eval(), asked):.4f}, trained {error(inpainter, asked):.4f}")
    inpainter.save(chosen.out / INPAINTER_FILE)


if __name__ == "__main__":
    main()
