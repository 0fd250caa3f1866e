"""The training loop: the optimiser, repeatability, and that a killed run continues as if nothing had happened."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdit.families.mini_training import draw_timesteps
from mmdit.model.text import MAX_TOKENS, TextEncoder
from mmdit.model.transformer import MiniMMDiT
from mmdit.training.muon import Muon, orthogonalised
from mmdit.training.objective import edit_loss
from mmdit.training.train import InstructionCache, Trainer, TrainingConfig, train

REPOSITORY = Path(__file__).resolve().parent.parent
STEPS, BATCH = 24, 4


def small_config(data_folder: Path, out: Path) -> TrainingConfig:
    return TrainingConfig(
        data=data_folder, out=out, samples=STEPS * BATCH, batch=BATCH,
        compile=False, save_every=0, channels=48, layers=1,
    )  # fmt: skip


# ---- Muon ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(240, 240), (48, 240), (960, 240), (64, 32)])
def test_an_orthogonalised_update_keeps_its_directions_and_evens_its_strengths(shape: tuple[int, int]) -> None:
    update = torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))
    left, _, right = torch.linalg.svd(update.double(), full_matrices=False)
    core = left.T @ orthogonalised(update).double() @ right.T
    strengths = core.diagonal()
    assert (core - strengths.diag()).abs().max() < 1e-3  # the same singular vectors, in pairs
    assert strengths.max() < 1.3
    assert strengths[: len(strengths) * 95 // 100].min() > 0.6
    assert strengths.min() > 0  # a nearly singular direction may stay weak but does not turn round


def test_an_orthogonalised_update_does_not_depend_on_its_scale() -> None:
    update = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalised(1e-3 * update), orthogonalised(update), atol=1e-3, rtol=0)


def test_muon_solves_a_linear_problem() -> None:
    draw = torch.Generator().manual_seed(0)
    goal, inputs = torch.randn(24, 16, generator=draw) / 4, torch.randn(64, 16, generator=draw)
    weight = torch.zeros(24, 16, requires_grad=True)
    optimizer = Muon([weight], lr=0.05)
    losses = []
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 150)
        loss = (inputs @ (weight - goal).T).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.01 * losses[0]


def test_weight_decay_shrinks_what_gets_no_update() -> None:
    weight = torch.ones(4, 4, requires_grad=True)
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 0.95))


# ---- parts of a step -------------------------------------------------------------------------------------


def test_timesteps_favour_noise() -> None:
    drawn = draw_timesteps(20_000, torch.Generator().manual_seed(0))
    assert 0 < drawn.min() <= drawn.max() == 1
    assert 0.5 < (drawn == 1).float().mean() < 0.7
    assert drawn[drawn < 1].median() > 0.5


@pytest.mark.parametrize("rate", ["matrix_rate", "other_rate"])
def test_the_schedule_warms_up_and_ends_near_zero(rate: str, tmp_path: Path) -> None:
    config = TrainingConfig(data=tmp_path, out=tmp_path, samples=64_000, batch=64)
    factors = [config.rate(step) for step in range(config.steps)]
    assert config.steps == 1000
    assert factors[0] == pytest.approx(1 / 50)
    assert max(factors) == 1
    assert factors[-1] < 0.01
    assert all(before >= after for before, after in itertools.pairwise(factors[50:]))
    assert getattr(config, rate) > 0


@pytest.fixture(scope="module")
def trainer(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(small_config(data_folder, tmp_path_factory.mktemp("run")))


def test_a_perfect_estimate_costs_nothing_and_an_error_at_the_object_costs_most(trainer: Trainer) -> None:
    scenes = trainer.scenes.batch(0, 8, kinds=["recolour"] * 8, working_size=(128, 128))
    everywhere = torch.ones(8)
    assert edit_loss(scenes.target, scenes, everywhere).max() == 0
    at_object = scenes.masks[torch.arange(8), scenes.edited_slot][:, None] == 1
    at_object &= ((scenes.source - scenes.target).abs() > 0.1).any(dim=1, keepdim=True)
    elsewhere = (scenes.masks[torch.arange(8), scenes.edited_slot][:, None] == 0).roll(-9, dims=-1)
    costs = []
    for place in (at_object, elsewhere & ~at_object & _far_from(at_object)):
        estimate = scenes.target + 0.1 * place
        costs.append(edit_loss(estimate, scenes, everywhere) / place.float().mean(dim=(1, 2, 3)))
    assert (costs[0] > 2 * costs[1]).all()


def test_overshooting_black_or_white_costs_nothing_and_falling_short_does(trainer: Trainer) -> None:
    scenes = trainer.scenes.batch(0, 2, kinds=["contrast"] * 2, working_size=(128, 128))
    clipped = scenes.target.abs() >= 1
    assert clipped.any()
    outwards = 0.3 * clipped * scenes.target.sign()
    moment = torch.ones(2)
    assert edit_loss(scenes.target + outwards, scenes, moment).max() == 0
    assert edit_loss(scenes.target - outwards, scenes, moment).sum() > 0
    assert edit_loss(scenes.target + 0.3 * ~clipped, scenes, moment).sum() > 0


def test_a_run_can_start_from_given_weights(trainer: Trainer, data_folder: Path, tmp_path: Path) -> None:
    trainer.model.save_pretrained(tmp_path / "weights")
    config = replace(small_config(data_folder, tmp_path), seed=5, start_from=tmp_path / "weights")
    started = Trainer(config)
    for weights in (started.model.state_dict(), started.averaged):
        assert all(torch.equal(value, weights[name]) for name, value in trainer.model.state_dict().items())


def test_what_is_laid_over_edits_can_be_trained_alone(trainer: Trainer, data_folder: Path, tmp_path: Path) -> None:
    trainer.model.save_pretrained(tmp_path / "weights")
    config = replace(small_config(data_folder, tmp_path), start_from=tmp_path / "weights", only="object_head")
    started = Trainer(config)
    first_losses(started)
    before = trainer.model.state_dict()
    for weights in (started.model.state_dict(), started.averaged):
        changed = {name for name, value in weights.items() if not torch.equal(value, before[name])}
        assert changed
        assert all(name.startswith("object_head.") for name in changed)


def test_a_run_can_start_from_a_model_without_drawings(trainer: Trainer, data_folder: Path, tmp_path: Path) -> None:
    """Such as the ones that were trained before anything was laid over edits."""
    paints_all = MiniMMDiT.from_config({**trainer.model.config, "drawings": ()})
    paints_all.save_pretrained(tmp_path / "weights")
    started = Trainer(replace(small_config(data_folder, tmp_path), start_from=tmp_path / "weights"))
    weights = started.model.state_dict()
    assert any(name.startswith("object_head.") for name in weights)
    assert all(torch.equal(weights[name], value) for name, value in paints_all.state_dict().items())


def _far_from(place: Tensor) -> Tensor:
    return torch.nn.functional.max_pool2d(place.float(), 41, stride=1, padding=20) == 0


def test_an_instruction_has_the_same_features_whenever_it_is_first_met(text_encoder: TextEncoder) -> None:
    """A resumed run meets instructions in other company than the run that was killed."""
    instructions = [f"make the {thing} bigger{tail}" for thing in ("cat", "bus", "sun") for tail in ("", " please")]
    instructions.append("could you please turn the little cat on the left side of my old photo blue thanks")
    together, _ = InstructionCache(text_encoder).features(instructions)
    for index, instruction in enumerate(instructions):
        alone, mask = InstructionCache(text_encoder).features([instruction])
        assert alone.shape[1] == mask.shape[1] == MAX_TOKENS
        assert torch.equal(alone[0], together[index]), instruction


def test_the_same_seed_gives_the_same_first_losses(data_folder: Path, tmp_path: Path) -> None:
    first, again = (Trainer(small_config(data_folder, tmp_path)) for _ in range(2))
    other = Trainer(replace(small_config(data_folder, tmp_path), seed=1))
    losses = [first_losses(each) for each in (first, again, other)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    names = first.model.state_dict()
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in names.items())


def first_losses(trainer: Trainer) -> list[float]:
    return [loss for _, loss in itertools.islice(trainer.run(), 3)]


# ---- whole runs ------------------------------------------------------------------------------------------

RUN = """
import os, signal, sys
from pathlib import Path
from mmdit.training.train import Trainer, TrainingConfig, train

saves, die_at = [], int(sys.argv[3])
save = Trainer.save

def save_then_die(trainer):
    save(trainer)
    saves.append(None)
    if len(saves) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

Trainer.save = save_then_die
train(TrainingConfig(
    data=Path(sys.argv[1]), out=Path(sys.argv[2]), samples=int(sys.argv[4]), batch=int(sys.argv[5]),
    compile=False, save_every=0, channels=48, layers=1,
))
"""


def start_run(data_folder: Path, out: Path, die_at: int) -> subprocess.Popen:
    """A run in a process of its own that kills itself right after its ``die_at``-th save; 0 for never."""
    threads = str(torch.get_num_threads())
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-c", RUN, *map(str, (data_folder, out, die_at, STEPS * BATCH, BATCH))]
    return subprocess.Popen(command, env=environment, cwd=out.parent, stdout=subprocess.DEVNULL)


def read_losses(out: Path) -> list[tuple[int, str]]:
    lines = (out / "losses.txt").read_text().splitlines()
    return [(int(step), loss) for step, loss in (line.split() for line in lines)]


@pytest.fixture(scope="module")
def uninterrupted(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(small_config(data_folder, out))
    losses = read_losses(out)
    assert [step for step, _ in losses] == list(range(STEPS))
    return dict(losses)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_continues_with_the_same_losses(
    uninterrupted: dict[int, str], data_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start_run(data_folder, out, die_at=0)
    deadline = time.monotonic() + 900
    while not ((out / "state.safetensors").is_file() and len(read_losses(out)) >= 5):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert max(step for step, _ in read_losses(out)) < STEPS - 1

    train(small_config(data_folder, out))
    for step, loss in read_losses(out):  # a step done twice must have come out twice the same
        assert loss == uninterrupted[step], step
    assert read_losses(out)[-1][0] == STEPS - 1


@pytest.mark.slow
def test_a_run_killed_right_after_saving_has_lost_no_line_of_its_log(
    uninterrupted: dict[int, str], data_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert start_run(data_folder, out, die_at=3).wait(timeout=900) == -signal.SIGKILL
    train(small_config(data_folder, out))
    assert dict(read_losses(out)) == uninterrupted


@pytest.mark.slow
def test_a_finished_run_holds_a_model_that_loads(data_folder: Path, tmp_path: Path) -> None:
    config = replace(small_config(data_folder, tmp_path / "run"), samples=3 * BATCH)
    train(config)
    assert MiniMMDiT.from_pretrained(config.out / "transformer").config.channels == 48
    assert not list(config.out.glob("*.partial"))
    described = json.loads((config.out / "config.json").read_text())
    assert described["samples"] == str(3 * BATCH)
    with pytest.raises(ValueError, match="other settings"):
        train(replace(config, seed=1))
    assert json.loads((config.out / "config.json").read_text()) == described
