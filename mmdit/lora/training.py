"""Train a LoRA on pairs of pictures, on whatever family offers itself as `Trainable`.

In: a `Trainable`, a folder of pairs, a few numbers. Out: the LoRA's file, a loss plot, a strip of held-out pairs. A
step depends only on the seed and its number, so a killed run continues with the losses that it would have had. Knows
neither what a batch holds nor how a family measures its error.
"""

import json
import math
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mmdit.files import appearing, check_appearing
from mmdit.lora.adapter import CHOICES, STORED_BYTES, attached, check_rank, parameter_count, target_modules
from mmdit.lora.inspect import LoraError
from mmdit.lora.pairs import PicturePair, fingerprint, hold_out, read_pairs
from mmdit.lora.training_output import STRIP_ROWS, Edited, draw_losses, draw_strip, save_lora

SOFTWARE = "mmdit-studio lora 1"
WARM_UP = 20  # steps
LARGEST_GRADIENT = 1.0  # norm
SHOWN_EVERY = 20.0  # seconds between progress lines
PRECISIONS = ("float32", "bfloat16")
MAX_SEED = 2**63 - 1
OF_THE_RUN = ("steps", "rank", "alpha", "targets", "batch", "rate", "seed", "precision")  # settings that decide it

Group = TypeVar("Group", bound=Sized)


class Trainable(Protocol[Group]):
    """What a family offers so that LoRAs can be trained on it.

    Pictures and instructions are encoded once, by ``prepare``, into groups: pairs of one shape, which may share a
    batch. What a group holds is the family's own affair: pixels, or a VAE's latents and a text encoder's states.

    Attributes:
        name: the base model's, for people.
        family: names the targets, see `mmdit.lora.formats.seed_targets`.
        fingerprint: of the base model's weights.
        resolution: the pairs are seen at about resolution² pixels; None for sizes of the family's own.
        transformer: takes the adapter; a diffusers model with `PeftAdapterMixin`.
    """

    name: str
    family: str
    fingerprint: str
    resolution: int | None
    transformer: nn.Module

    def prepare(self, pairs: Sequence[PicturePair]) -> Sequence[Group]:
        """The pairs, encoded, on the transformer's device. Raises LoraError: one that can't be used."""
        ...

    def loss(self, group: Group, rows: Tensor, draw: torch.Generator) -> Tensor:
        """Scalar training loss of these rows of a group, (B,) int64; all chance comes from ``draw``, on the CPU."""
        ...

    def edit(self, group: Group, row: int) -> Edited:
        """One pair as an ordinary edit makes it, by the transformer as it now is."""
        ...


@dataclass(frozen=True)
class LoraTrainingConfig:
    """
    Args:
        pairs: folder, see `mmdit.lora.pairs.read_pairs`.
        out: the .safetensors file to write; an existing one is replaced when the new one is finished.
        steps, batch: length of the run, samples a step.
        rank, alpha: of the LoRA, which acts with the factor alpha / rank.
        targets: "all" or "attention".
        rate: peak learning rate of AdamW.
        seed: decides the first weights and everything that is drawn.
        precision: "float32", or "bfloat16" for autocast.
        checkpoints: folder of the state to resume from; None for the output's.
        save_every: seconds between saved states.
    """

    pairs: Path
    out: Path
    steps: int
    rank: int = 16
    alpha: float = 16.0
    targets: str = "all"
    batch: int = 16
    rate: float = 1e-3
    seed: int = 0
    precision: str = "float32"
    checkpoints: Path | None = None
    save_every: float = 60.0

    @property
    def state_file(self) -> Path:
        """Where an unfinished run keeps its state."""
        return (self.checkpoints or self.out.parent) / f"{self.out.stem}.training-state"

    def check(self) -> None:
        """Raises LoraError: a value out of range, or a file that could not be written."""
        for name in ("steps", "rank", "batch"):
            value = getattr(self, name)
            if value < 1:
                raise LoraError(f"{name} is {value}; it must be at least 1")
        for name in ("alpha", "rate"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise LoraError(f"{name} is {value:g}; it must be a number above 0")
        if not 0 <= self.seed <= MAX_SEED:
            raise LoraError(f"seed is {self.seed}; it must be from 0 to {MAX_SEED}")
        for name, known in (("targets", CHOICES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise LoraError(f"{name} is {getattr(self, name)!r}; use {' or '.join(known)}")
        if self.out.suffix != ".safetensors":
            raise LoraError(f"output {str(self.out)!r} must be a file that ends in .safetensors")
        for folder in {self.out.parent, self.state_file.parent}:
            if not folder.is_dir():
                raise LoraError(f"folder {str(folder)!r} does not exist; make it first")
        for file in (self.out, self.state_file):
            try:
                check_appearing(file)
            except OSError as error:
                raise LoraError(
                    f"{str(file)!r} can't be written ({error.strerror}); give another folder or a shorter name"
                ) from None

    def factor(self, step: int) -> float:
        """Of the learning rate: linear warm-up, then a cosine to zero."""
        return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class TrainedLora:
    """
    Args:
        file: the LoRA.
        losses: of every step.
        error_ratio: squared error with the LoRA ÷ without it, over the held-out pairs.
        held_out: their number; 0 where there were too few pairs, and the ratio is of the pairs learnt from.
    """

    file: Path
    losses: tuple[float, ...]
    error_ratio: float
    held_out: int


class LoraTrainer:
    """The state of a run: the adapter's parameters, their optimiser, the losses so far.

    Args:
        groups: what ``trainable`` prepared.
        parameters: what `attached` yielded.
        identity: what must be equal for a saved state to be continued.
    """

    def __init__(
        self,
        trainable: Trainable[Group],
        groups: Sequence[Group],
        config: LoraTrainingConfig,
        parameters: Mapping[str, nn.Parameter],
        identity: Mapping[str, Any],
    ) -> None:
        self.trainable, self.groups, self.config = trainable, groups, config
        self.parameters, self.identity = parameters, identity
        self.losses: list[float] = []
        self.optimizer = torch.optim.AdamW(parameters.values(), lr=config.rate, betas=(0.9, 0.99), weight_decay=0.0)
        self._device = next(iter(parameters.values())).device

    def run(self) -> Iterator[tuple[int, float]]:
        """Train to the end, yielding (steps done, loss) after each step."""
        while len(self.losses) < self.config.steps:
            self.losses.append(self._step(len(self.losses)))
            yield len(self.losses), self.losses[-1]

    def _step(self, step: int) -> float:
        draw = torch.Generator().manual_seed(random.Random(f"{self.config.seed}-{step}").getrandbits(63))
        group, rows = self._batch(draw)
        self.optimizer.param_groups[0]["lr"] = self.config.rate * self.config.factor(step)
        half = self.config.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            loss = self.trainable.loss(group, rows, draw)
        value = loss.item()
        if not math.isfinite(value):
            raise LoraError(f"the loss of step {step + 1} is {value}; use a lower rate than {self.config.rate:g}")
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value

    def _batch(self, draw: torch.Generator) -> tuple[Group, Tensor]:
        """One shape, drawn by how many pairs have it, and rows of it: all once before any comes twice."""
        sizes = torch.tensor([float(len(group)) for group in self.groups])
        group = self.groups[int(torch.multinomial(sizes, 1, generator=draw))]
        rounds = math.ceil(self.config.batch / len(group))
        rows = torch.cat([torch.randperm(len(group), generator=draw) for _ in range(rounds)])
        return group, rows[: self.config.batch]

    def save(self) -> None:
        """Replace the state file as a whole. Raises OSError: it can't be written."""
        state = {f"lora.{name}": parameter.detach() for name, parameter in self.parameters.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            state |= {f"adamw.{index}.{slot}": value for slot, value in slots.items()}
        state["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        with appearing(self.config.state_file) as partial:
            partial.write_bytes(save(state, {"run": json.dumps(dict(self.identity))}))

    def resume(self) -> bool:
        """Continue from the state file; False when there is none.

        Raises:
            LoraError: the state is another run's, or none.
        """
        file = self.config.state_file
        if not file.is_file():
            return False
        try:
            with safe_open(file, "pt") as opened:
                saved = json.loads(opened.metadata()["run"])
            state = load_file(file)
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise LoraError(f"{file} is not the state of a training run; delete it") from error
        for key, value in self.identity.items():
            if saved.get(key) != value:
                raise LoraError(
                    f"{file} is of a run with {key} {saved.get(key)}, not {value}; finish that one, or delete the file"
                )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[f"lora.{name}"])
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("adamw."):
                _, index, slot = key.split(".")
                slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.losses = state["losses"].tolist()
        return True


def train(trainable: Trainable[Group], config: LoraTrainingConfig) -> TrainedLora:
    """Run to the end, resuming an unfinished run; prints sizes, progress and the held-out error.

    The transformer is afterwards as it was before, however this ends.

    Raises:
        LoraError: unusable values, pairs or state. KeyboardInterrupt: once the state is saved.
    """
    config.check()
    pairs = read_pairs(config.pairs)
    learnt, held_out = hold_out(pairs)
    modules = _announced(trainable, config)
    groups, shown = trainable.prepare(learnt), trainable.prepare(held_out or learnt[:STRIP_ROWS])
    compared = [(group, row) for group in shown for row in range(len(group))]
    identity = {
        "model": trainable.fingerprint, "pairs": fingerprint(pairs), "resolution": trainable.resolution,
        **{name: getattr(config, name) for name in OF_THE_RUN},
    }  # fmt: skip
    with attached(trainable.transformer, modules, config.rank, config.alpha, config.seed) as parameters:
        trainer = LoraTrainer(trainable, groups, config, parameters, identity)
        _run(trainer)
        save_lora(config.out, parameters, config.rank, config.alpha, _about(trainable, config, pairs))
        with_lora = [trainable.edit(*where) for where in compared]
    without = [trainable.edit(*where) for where in compared]
    draw_losses(trainer.losses, config.out.with_suffix(".loss.png"))
    draw_strip(without, with_lora, config.out.with_suffix(".strip.png"))
    config.state_file.unlink(missing_ok=True)

    errors = [sum(edited.error for edited in all_edited) for all_edited in (with_lora, without)]
    ratio = errors[0] / max(errors[1], 1e-12)
    of = f"{len(held_out)} held-out pairs" if held_out else "pairs that it learnt from: fewer than 5, none held out"
    print(f"{config.out}  error with ÷ without LoRA {ratio:.3f} ({of})", flush=True)
    return TrainedLora(config.out, tuple(trainer.losses), ratio, len(held_out))


def _announced(trainable: Trainable[Group], config: LoraTrainingConfig) -> dict[str, tuple[int, int]]:
    """The chosen modules; prints how large each choice would be."""
    choices = {choice: target_modules(trainable.transformer, trainable.family, choice) for choice in CHOICES}
    for choice, modules in choices.items():
        count = parameter_count(modules, config.rank)
        print(
            f"{'→' if choice == config.targets else ' '} {choice:9}  {len(modules)} modules, rank {config.rank}: "
            f"{count:,} parameters, {count * STORED_BYTES:,} bytes",
            flush=True,
        )
    check_rank(choices[config.targets], config.rank)
    return choices[config.targets]


def _about(trainable: Trainable[Group], config: LoraTrainingConfig, pairs: Sequence[PicturePair]) -> dict[str, str]:
    return {
        "software": SOFTWARE,
        "base_model": trainable.name,
        "base_fingerprint": trainable.fingerprint,
        "instruction": pairs[0].instructions[0],
        "pairs": str(len(pairs)),
        **({} if trainable.resolution is None else {"resolution": str(trainable.resolution)}),
        **{name: f"{getattr(config, name)}" for name in OF_THE_RUN},
    }


def _run(trainer: LoraTrainer) -> None:
    """Train to the end with progress lines and saved states."""
    config = trainer.config
    if trainer.resume():
        print(f"resuming after step {len(trainer.losses)} of {config.steps}", flush=True)
    first, started, shown, recent = len(trainer.losses), time.monotonic(), 0.0, []
    saved = started
    with _interruptions() as asked_to_stop:
        for done, loss in trainer.run():
            recent.append(loss)
            now = time.monotonic()
            if now - shown > SHOWN_EVERY or done == config.steps:
                pace = (now - started) / (done - first)
                print(
                    f"step {done}/{config.steps}  loss {sum(recent) / len(recent):.4f}  "
                    f"{config.batch / pace:.1f} samples/s  {pace * (config.steps - done) / 60:.1f} min left",
                    flush=True,
                )
                shown, recent = now, []
            if asked_to_stop.is_set():
                trainer.save()
                print(f"stopped after step {done} of {config.steps}; the same command goes on from there", flush=True)
                raise KeyboardInterrupt
            if now - saved > config.save_every:
                trainer.save()
                saved = now


@contextmanager
def _interruptions() -> Iterator[threading.Event]:
    """Set by Ctrl+C, so that no step is left half done; a second one interrupts at once. In the main thread only."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
