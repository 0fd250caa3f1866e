"""Train the embedded editor, on the CPU or on one GPU.

In: the folder that `prepare.py` filled, a few numbers. Out: a run folder with the averaged weights, the state to
resume from, a log and sample sheets. A step depends only on the seed and its number, so a killed run continues
with the losses that it would have had.

    python -m mmdit train --data data/ --out run/ --samples 400000
"""

import ctypes
import json
import math
import platform
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmdit.catalog import CATALOG
from mmdit.families.mini_training import draw_timesteps
from mmdit.files import appearing
from mmdit.model.object_head import LEVELS
from mmdit.model.text import MAX_TOKENS, TextEncoder
from mmdit.model.transformer import MiniMMDiT
from mmdit.model.vocabulary import OBJECTS, PHOTO_EDITS
from mmdit.training.drawings import learn_drawings
from mmdit.training.muon import Muon
from mmdit.training.objective import Probe, change_loss, edit_loss, object_loss
from mmdit.training.scenes import KIND_SHARES, SceneBatch, Scenes

ASKED_WEIGHT, CHANGE_WEIGHT, OVERLAID_WEIGHT = 0.02, 0.1, 0.02
READING_SIZE, READING_BATCH, READING_WEIGHT = (32, 32), 64, 0.3
"""Each step also sees as many small pictures, which only edits of the whole picture and nonsense are asked of: the
wordings of those are many, a small picture shows as well as a large one what they mean, and costs a sixth."""
READING_KINDS = (*PHOTO_EDITS, "nonsense")
OVERLAID_KINDS, OVERLAID_SHARE = ("recolour", "remove", "replace", "add", "bigger", "smaller"), 0.8
"""Of the samples of a run that trains nothing but what is laid over edits, the share of those kinds."""
OBJECT_HEAD = "object_head"  # the transformer's module
SIZES = {"small": (192, 4), "mini": (240, 6), "large": (768, 16)}
"""Name → channels and layers: for comparisons, what ships, what a large GPU is for."""
MAX_SEED = 2**63 - 1
TEXT_NOISE = 0.4  # largest standard deviation of the noise on text features, whose own is 1
ENCODED_TOGETHER = 16  # instructions
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


@dataclass(frozen=True)
class TrainingConfig:
    """
    Args:
        data, out: the data folder and the run folder.
        text_encoder: folder of the frozen text encoder.
        start_from: folder of a transformer whose weights the run starts with; None for fresh ones.
        samples: length of the whole run; the schedule spans it, so it can't be changed when resuming.
        batch: samples a step.
        seed: decides initial weights, pictures, wordings, noise.
        matrix_rate, other_rate: peak learning rates of Muon (matrices of the blocks) and AdamW (the rest).
        decay_share: last part of the run over which the rates fall linearly to zero.
        average: decay of the exponential moving average of the weights.
        unconditional_share: samples whose instruction is withheld, for guidance.
        precision: "float32", or "bfloat16" for autocast.
        compile: compile the blocks; pays off after a few hundred steps.
        save_every: seconds between saved states.
        channels, layers: size of the model.
        attention: "joint", or "cross" to train what the MMDiT is compared with.
        only: "object_head" to train nothing but what is laid over edits, with the other weights as they are.
    """

    data: Path
    out: Path
    text_encoder: Path = CATALOG["mini"].source / "text_encoder"
    start_from: Path | None = None
    samples: int = 100_000
    batch: int = 64
    seed: int = 0
    matrix_rate: float = 0.02
    other_rate: float = 1e-3
    decay_share: float = 0.6
    average: float = 0.996
    unconditional_share: float = 0.05
    precision: str = "float32"
    device: str = "cpu"
    compile: bool = True
    save_every: float = 240.0
    channels: int = 240
    layers: int = 6
    attention: str = "joint"
    only: str = ""

    @property
    def steps(self) -> int:
        return max(1, self.samples // self.batch)

    def check(self) -> None:
        """Raises ValueError: a value out of range, a device that is not there, nothing to start from."""
        for name in ("samples", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("matrix_rate", "other_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be a number above 0")
        if not self.save_every >= 0:
            raise ValueError(f"save_every is {self.save_every:g}; it must be a number from 0")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed is {self.seed}; it must be from 0 to {MAX_SEED}")
        try:
            torch.zeros(1, device=self.device).item()
        except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without it
            raise ValueError(f"device {self.device!r} is not usable here; use cpu, or cuda if it is there") from error
        if self.start_from is not None and not (self.start_from / "config.json").is_file():
            raise ValueError(f"{self.start_from} holds no config.json; give the folder of a transformer to start from")

    def rate(self, step: int) -> float:
        """Learning-rate factor: 50 steps of warm-up, constant, linear decay."""
        remaining = 1 - step / self.steps
        return min(1.0, (step + 1) / 50, max(remaining / self.decay_share, 0.0))


def keep_freed_memory() -> None:
    """Let glibc reuse large freed blocks rather than return them: on 2 cores 23 instead of 19 samples/s."""
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


class InstructionCache:
    """Encodes an instruction once and keeps its features (float16, on the encoder's device)."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._kept: dict[str, Tensor] = {}

    def features(self, instructions: list[str]) -> tuple[Tensor, Tensor]:
        """(B, MAX_TOKENS, C) features and (B, MAX_TOKENS) mask."""
        new = [instruction for instruction in dict.fromkeys(instructions) if instruction not in self._kept]
        for start in range(0, len(new), ENCODED_TOGETHER):
            # Always one shape: otherwise the last bits would depend on the company, and so on the run's history.
            some = new[start : start + ENCODED_TOGETHER]
            encoded = self.encoder.encode(some + [""] * (ENCODED_TOGETHER - len(some)), MAX_TOKENS)
            for instruction, features, mask in zip(some, encoded.features, encoded.mask, strict=False):
                self._kept[instruction] = features[mask].half()
        rows = [self._kept[instruction] for instruction in instructions]
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        padded = torch.zeros(len(rows), MAX_TOKENS, rows[0].shape[1], device=rows[0].device)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = row
        return padded, torch.arange(MAX_TOKENS, device=padded.device) < lengths[:, None]


class Trainer:
    """The state of a run: model, averaged weights, optimisers, next step."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.model = MiniMMDiT(
            channels=config.channels, layers=config.layers, heads=config.channels // 48,
            attention=config.attention, drawings=tuple(OBJECTS),
        )  # fmt: skip
        if config.start_from is not None:
            _start_from(self.model, config.start_from)
        if config.only:
            self.model.requires_grad_(False).get_submodule(config.only).requires_grad_(True)
        self.model.to(config.device)
        self.averaged = {name: value.clone() for name, value in self.model.state_dict().items()}
        matrices, others = [], []
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            in_block = name.startswith("transformer_blocks") and parameter.ndim == 2 and "table" not in name
            (matrices if in_block else others).append(parameter)
        self.probe = Probe(config.channels).to(config.device)
        others.extend(self.probe.parameters())
        self.others = others
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(others, lr=config.other_rate, betas=(0.9, 0.98), weight_decay=0.0),
        }
        if matrices:
            self.optimizers["muon"] = Muon(
                matrices, lr=config.matrix_rate, weight_decay=0.01, precision=getattr(torch, config.precision)
            )
        self.peak_rates = {"muon": config.matrix_rate, "adamw": config.other_rate}
        self.scenes = Scenes(config.data, "train", config.seed, config.device)
        encoder = TextEncoder.from_pretrained(config.text_encoder).to(config.device)
        self.instructions = InstructionCache(encoder)
        self.step = 0
        if config.compile:
            for block in self.model.transformer_blocks:
                block.compile()

    def run(self) -> Iterator[tuple[int, float]]:
        """Train to the end, yielding (step, loss) after each step."""
        while self.step < self.config.steps:
            loss = self.train_step()
            self.step += 1
            yield self.step - 1, loss

    def train_step(self) -> float:
        config = self.config
        chance = random.Random(f"{config.seed}-noise-{self.step}")
        draw = torch.Generator().manual_seed(chance.getrandbits(63))
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.peak_rates[name] * config.rate(self.step)

        if config.only == OBJECT_HEAD:
            edit = self._backward(self.scenes.batch(self.step, config.batch, kinds=self._overlaid(chance)), draw, 1.0)
        else:
            edit = self._backward(self.scenes.batch(self.step, config.batch), draw, weight=1.0)
            kinds = chance.choices(READING_KINDS, k=READING_BATCH)
            reading = self.scenes.batch(-1 - self.step, READING_BATCH, kinds=kinds, working_size=READING_SIZE)
            self._backward(reading, draw, weight=READING_WEIGHT)

        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        self._average()
        return edit

    def learn_drawings(self) -> None:
        """Give the model its drawings; they are fitted at once and change no loss."""
        self.model.object_head.drawings.copy_(LEVELS * learn_drawings(self.scenes))

    def _overlaid(self, chance: random.Random) -> list[str]:
        """The kinds of a batch in which most edits lay something over the picture."""
        others = chance.choices(list(KIND_SHARES), weights=list(KIND_SHARES.values()), k=self.config.batch)
        return [chance.choice(OVERLAID_KINDS) if chance.random() < OVERLAID_SHARE else other for other in others]

    def _backward(self, scenes: SceneBatch, draw: torch.Generator, weight: float) -> float:
        """Add a batch's gradients, times ``weight``; returns the loss of the edits alone, or what is trained alone."""
        config, size = self.config, len(scenes.kinds)
        text, mask = self.instructions.features(scenes.instructions)
        strength = TEXT_NOISE * torch.rand(size, 1, 1, generator=draw)
        text = text + (strength * torch.randn(text.shape, generator=draw)).to(text.device)
        withheld = torch.rand(size, generator=draw) < config.unconditional_share
        mask = mask & ~withheld[:, None].to(mask.device)
        # Overlays are decided in the first step, when there is nothing but noise.
        timestep = (torch.ones(size) if config.only else draw_timesteps(size, draw)).to(config.device)
        noise = torch.randn(scenes.target.shape, generator=draw).to(config.device)

        half = config.precision == "bfloat16"
        with torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=half):
            t = timestep[:, None, None, None]
            noisy = (1 - t) * scenes.target + t * noise
            text_after: dict[int, Tensor] = {}
            field = self.model(
                noisy, scenes.source, text, mask, timestep,
                on_block=lambda index, _, text_tokens: text_after.update({index: text_tokens}),
            )  # fmt: skip
            loss = overlaid = object_loss(field.found, scenes, mask)
            if config.only != OBJECT_HEAD:
                edit = edit_loss(field.apply(scenes.source), scenes, timestep).mean()
                asked = self.probe.loss(text_after[min(Probe.BLOCK, max(text_after))], scenes, mask)
                loss = edit + ASKED_WEIGHT * asked + CHANGE_WEIGHT * change_loss(field, scenes, mask)
                loss = loss + OVERLAID_WEIGHT * overlaid
        (weight * loss).backward()
        return (overlaid if config.only == OBJECT_HEAD else edit).item()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        current = self.model.state_dict()
        torch._foreach_lerp_(list(self.averaged.values()), [current[name] for name in self.averaged], 1 - decay)

    def save(self) -> None:
        """Write state and averaged weights; each file is replaced as a whole, the state last."""
        out = self.config.out
        out.mkdir(parents=True, exist_ok=True)
        averaged = MiniMMDiT.from_config(self.model.config)
        averaged.load_state_dict(self.averaged)
        averaged.object_head.drawings.copy_(self.model.object_head.drawings)
        averaged.save_pretrained(out / "transformer")
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"probe.{name}": value for name, value in self.probe.state_dict().items()}
        state |= {f"averaged.{name}": value for name, value in self.averaged.items()}
        for name, optimizer in self.optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                state |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
        state = {name: value.contiguous() for name, value in state.items()}
        with appearing(out / "state.safetensors") as partial:
            save_file(state, partial, metadata={"step": str(self.step)})

    def resume(self) -> bool:
        """Continue from the run folder's saved state; False when there is none."""
        file = self.config.out / "state.safetensors"
        if not file.is_file():
            return False
        with safe_open(file, "pt") as opened:
            self.step = int(opened.metadata()["step"])
        state = load_file(file, device=self.config.device)
        self.model.load_state_dict(_with_prefix(state, "model."))
        self.model.object_head.load_drawings(self.config.out / "transformer")
        self.probe.load_state_dict(_with_prefix(state, "probe."))
        self.averaged = _with_prefix(state, "averaged.")
        for name, optimizer in self.optimizers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _with_prefix(state, f"{name}.").items():
                index, slot = key.split(".")
                slots.setdefault(int(index), {})[slot] = value
            optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        return True


def _start_from(model: MiniMMDiT, folder: Path) -> None:
    """Take over a transformer's weights; one that lays nothing over its edits leaves what does as it is."""
    start = MiniMMDiT.from_pretrained(folder, torch_dtype=torch.float32)
    if start.object_head is not None:
        model.object_head.drawings.copy_(start.object_head.drawings)
    weights = start.state_dict()
    own = {name: value for name, value in model.state_dict().items() if name.startswith(f"{OBJECT_HEAD}.")}
    model.load_state_dict(own | weights)


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def train(config: TrainingConfig) -> None:
    """Run to the end, resuming what the run folder holds; prints progress with the time left.

    Raises:
        ValueError: as `TrainingConfig.check`, or a run of other settings in the folder. FileNotFoundError: no data.
    """
    config.check()
    keep_freed_memory()
    trainer = Trainer(config)
    described = {
        name: str(value)
        for name, value in asdict(config).items()
        if name not in ("data", "out", "text_encoder", "save_every")
    }
    config.out.mkdir(parents=True, exist_ok=True)
    written = config.out / "config.json"
    if trainer.resume():
        if json.loads(written.read_text()) != described:
            raise ValueError(f"{config.out} holds a run with other settings ({written}); use another --out")
        print(f"resuming at step {trainer.step} of {config.steps}", flush=True)
    else:
        trainer.learn_drawings()
    written.write_text(json.dumps(described, indent=2))

    started, first, saved, shown, losses = time.monotonic(), trainer.step, time.monotonic(), 0.0, []
    with (config.out / "losses.txt").open("a", buffering=1) as log:
        for step, loss in trainer.run():
            losses.append(loss)
            log.write(f"{step} {loss:.9g}\n")
            now = time.monotonic()
            if now - shown > 20 or step + 1 == config.steps:
                pace = (now - started) / (step + 1 - first)
                left = pace * (config.steps - step - 1)
                print(
                    f"step {step + 1}/{config.steps}  loss {sum(losses) / len(losses):.4f}  "
                    f"{config.batch / pace:.1f} samples/s  {left / 60:.0f} min left",
                    flush=True,
                )
                shown, losses = now, []
            if now - saved > config.save_every:
                trainer.save()
                saved = now
    trainer.save()
