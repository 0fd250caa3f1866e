"""LoRA training on a tiny editor: it learns, leaves no trace in the model, and goes on where it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from mmdit import images
from mmdit.cli import main
from mmdit.editor import EditError
from mmdit.families.mini import MiniEditor
from mmdit.families.mini_training import MiniGroup, MiniTrainable, change_loss, edit_loss
from mmdit.load import load_trainable
from mmdit.lora.adapter import attached, parameter_count, target_modules
from mmdit.lora.inspect import LoraError, inspect
from mmdit.lora.pairs import read_pairs
from mmdit.lora.training import LoraTrainer, LoraTrainingConfig, train
from mmdit.lora.training_output import Edited, draw_strip, save_lora
from mmdit.model.edit_field import EditField
from mmdit.model.transformer import MiniMMDiT
from mmdit.training import objective
from mmdit.training.scenes import SceneBatch

REPOSITORY = Path(__file__).resolve().parent.parent
ATTENTION = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out")
FEED_FORWARD = ("img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2")
SIZES = ((96, 96), (120, 90))  # (width, height) of the pictures; worked on at 128 × 128 and 144 × 112
STEPS = 6


def write_pairs(folder: Path, count: int, instructions: str = "invert the colours\nmake a negative") -> Path:
    """Soft random pictures and their negatives, every third of another shape."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    for index in range(count):
        noise = Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        source = noise.resize(SIZES[index % 3 == 2], Image.Resampling.BICUBIC)
        source.save(folder / f"{index:02}.source.png")
        Image.fromarray(255 - np.asarray(source)).save(folder / f"{index:02}.target.png")
        (folder / f"{index:02}.txt").write_text(instructions)
    return folder


@pytest.fixture(scope="module")
def trainable(tiny_editor_folder: Path) -> MiniTrainable:
    """One for all tests, since nothing that they do may leave a trace."""
    return load_trainable(tiny_editor_folder, "cpu")


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs", 7)


def small_config(pairs: Path, out: Path) -> LoraTrainingConfig:
    return LoraTrainingConfig(pairs, out / "look.safetensors", STEPS, rank=4, alpha=8.0, batch=4, rate=1e-2)


# ---- which modules, how large ----------------------------------------------------------------------------


def module_names(layers: int, targets: tuple[str, ...]) -> set[str]:
    places = [f"attn.{target}" if target in ATTENTION else target for target in targets]
    return {f"transformer_blocks.{layer}.{place}" for layer in range(layers) for place in places}


def mini_module_names(targets: tuple[str, ...]) -> set[str]:
    """Those of the tiny editor's two blocks; in the last one the text ends."""
    ends = {"attn.to_add_out", "txt_mlp.net.0.proj", "txt_mlp.net.2"}
    return module_names(2, targets) - {f"transformer_blocks.1.{place}" for place in ends}


@pytest.mark.parametrize(
    ("choice", "targets", "count"),
    [
        ("all", ATTENTION + FEED_FORWARD, 4 * ((8 + 7) * (48 + 48) + (4 + 2) * (48 + 192))),
        ("attention", ATTENTION, 4 * (8 + 7) * (48 + 48)),
    ],
)
def test_each_choice_has_exactly_its_modules_and_parameters(
    choice: str, targets: tuple[str, ...], count: int, trainable: MiniTrainable
) -> None:
    modules = target_modules(trainable.transformer, "mini", choice)
    assert set(modules) == mini_module_names(targets)
    assert parameter_count(modules, rank=4) == count
    with attached(trainable.transformer, modules, rank=4, alpha=4.0, seed=0) as parameters:
        assert sum(parameter.numel() for parameter in parameters.values()) == count
        needed = {name for name, parameter in trainable.transformer.named_parameters() if parameter.requires_grad}
        assert len(needed) == len(parameters) == 2 * len(modules)
        assert all("lora_" in name for name in needed)


@pytest.mark.parametrize(("choice", "count"), [("all", 424_673_280), ("attention", 188_743_680)])
def test_sizes_agree_with_a_published_file(choice: str, count: int) -> None:
    """PixelSmile's LoRA of rank 64 on Qwen-Image: 60 blocks of width 3072."""
    shapes = dict.fromkeys(module_names(60, ATTENTION), (3072, 3072))
    if choice == "all":
        shapes |= {name: (12288, 3072) if "net.0" in name else (3072, 12288) for name in module_names(60, FEED_FORWARD)}
    assert parameter_count(shapes, rank=64) == count


def test_a_block_without_a_target_is_refused(trainable: MiniTrainable) -> None:
    incomplete = MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8))
    del incomplete.transformer_blocks[0].txt_mlp
    with pytest.raises(LoraError, match=r"transformer_blocks\.0 has no Linear 'txt_mlp.net.0.proj'"):
        target_modules(incomplete, "mini", "all")
    assert set(target_modules(incomplete, "mini", "attention")) == mini_module_names(ATTENTION)


# ---- the model afterwards --------------------------------------------------------------------------------


def account(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, int], dict[str, bool]]:
    """Copies of all tensors by name, identities of all modules, who wants gradients."""
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    modules = {name: id(module) for name, module in model.named_modules()}
    return tensors, modules, {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def assert_untouched(model: nn.Module, before: tuple[dict[str, Tensor], dict[str, int], dict[str, bool]]) -> None:
    tensors, modules, gradients = account(model)
    assert list(tensors) == list(before[0])
    assert all(torch.equal(value, before[0][name]) for name, value in tensors.items())
    assert (modules, gradients) == before[1:]
    assert not getattr(model, "peft_config", None)
    assert not model.training


def test_training_leaves_no_trace_in_the_model(trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    trainable.transformer.proj_out.bias.requires_grad_(False)
    before = account(trainable.transformer)
    train(trainable, small_config(pairs_folder, tmp_path))
    assert_untouched(trainable.transformer, before)
    trainable.transformer.proj_out.bias.requires_grad_(True)


def test_an_exception_leaves_no_trace_in_the_model(trainable: MiniTrainable) -> None:
    before = account(trainable.transformer)
    modules = target_modules(trainable.transformer, "mini", "all")

    def raise_within() -> None:
        with attached(trainable.transformer, modules, 4, 4.0, seed=0) as parameters:
            for parameter in parameters.values():
                parameter.data.fill_(1.0)
            raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        raise_within()
    assert_untouched(trainable.transformer, before)


def test_a_second_adapter_is_refused_and_the_first_stays(trainable: MiniTrainable) -> None:
    modules = target_modules(trainable.transformer, "mini", "attention")
    with attached(trainable.transformer, modules, 2, 2.0, seed=0) as first:
        with (
            pytest.raises(LoraError, match="has the adapter 'in_training' already"),
            attached(trainable.transformer, modules, 2, 2.0, seed=1),
        ):
            pass
        assert all(parameter.requires_grad for parameter in first.values())
        assert list(trainable.transformer.peft_config) == ["in_training"]


# ---- what it learns --------------------------------------------------------------------------------------


def test_the_loss_falls_clearly_on_a_plain_look(trainable: MiniTrainable, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", 12)
    config = replace(small_config(pairs, tmp_path), steps=60, rank=16, alpha=16.0, batch=8)
    trained = train(trainable, config)
    assert len(trained.losses) == 60
    assert sum(trained.losses[-10:]) < 0.25 * sum(trained.losses[:10])
    assert trained.held_out == 1
    assert trained.error_ratio < 0.8


def test_bfloat16_trains_too(trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    config = replace(small_config(pairs_folder, tmp_path), steps=3)
    half = train(trainable, replace(config, precision="bfloat16"))
    full = train(trainable, config)
    assert half.losses != full.losses
    assert half.losses == pytest.approx(full.losses, rel=0.1)
    assert load_file(half.file)


def test_the_first_losses_depend_on_the_seed_alone(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config(pairs_folder, tmp_path), steps=3)
    losses = []
    for seed, unrelated in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(unrelated)
        losses.append(train(trainable, replace(config, seed=seed)).losses)
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_training_leaves_the_global_random_numbers_alone(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    train(trainable, replace(small_config(pairs_folder, tmp_path), steps=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_rate_beyond_measure_is_told(trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    before = account(trainable.transformer)
    with pytest.raises(LoraError, match=r"the loss of step \d+ is (nan|inf); use a lower rate than 1e\+30"):
        train(trainable, replace(small_config(pairs_folder, tmp_path), steps=40, rate=1e30))
    assert not list(tmp_path.iterdir())
    assert_untouched(trainable.transformer, before)


def test_weights_beyond_all_bounds_replace_no_file(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(pairs_folder, tmp_path)
    config.out.write_bytes(b"a good one")
    step = LoraTrainer._step

    def too_far(trainer: LoraTrainer, number: int) -> float:
        loss = step(trainer, number)
        with torch.no_grad():
            next(iter(trainer.parameters.values()))[0, 0] = 70_000.0  # above float16's largest number
        return loss

    monkeypatch.setattr(LoraTrainer, "_step", too_far)
    with pytest.raises(LoraError, match="lower --rate"):
        train(trainable, config)
    assert [file.name for file in tmp_path.iterdir()] == [config.out.name]
    assert config.out.read_bytes() == b"a good one"


def test_the_schedule_warms_up_and_ends_near_zero(tmp_path: Path) -> None:
    config = LoraTrainingConfig(tmp_path, tmp_path / "x.safetensors", steps=400)
    factors = [config.factor(step) for step in range(400)]
    assert factors[0] == pytest.approx(1 / 20)
    assert max(factors) == factors[19] == pytest.approx(1, abs=0.01)
    assert factors[200] == pytest.approx(0.5)
    assert factors[-1] < 1e-4


# ---- the file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["all", "attention"])
def test_the_file_says_what_it_is(targets: str, trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    config = replace(small_config(pairs_folder, tmp_path), steps=2, targets=targets, seed=3)
    config.out.write_bytes(b"an older file")
    file = train(trainable, config).file
    modules = mini_module_names(ATTENTION + (FEED_FORWARD if targets == "all" else ()))
    tensors = load_file(file)
    assert set(tensors) == {f"transformer.{name}.lora_{part}.weight" for name in modules for part in "AB"}
    for name, tensor in tensors.items():
        wide_in, wide_out = ("net.2" in name and "mlp" in name), "net.0" in name
        inner = (4, 192 if wide_in else 48) if "lora_A" in name else (192 if wide_out else 48, 4)
        assert tensor.shape == inner, name
        assert tensor.dtype == torch.float16
        assert tensor.isfinite().all()
    assert any(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    adapter = json.loads(metadata["lora_adapter_metadata"])
    assert adapter["transformer.r"] == 4
    assert adapter["transformer.lora_alpha"] == 8
    assert set(adapter["transformer.target_modules"]) == modules
    told = {name: metadata[name] for name in ("targets", "rank", "alpha", "steps", "seed", "instruction", "format")}
    assert told == {
        "targets": targets, "rank": "4", "alpha": "8.0", "steps": "2", "seed": "3",
        "instruction": "invert the colours", "format": "pt",
    }  # fmt: skip
    assert metadata["software"] == "mmdit-studio lora 1"
    assert metadata["base_fingerprint"] == trainable.fingerprint
    assert metadata["base_model"] == trainable.name
    assert "/" not in metadata["base_model"]
    assert file.stat().st_mode == file.with_suffix(".loss.png").stat().st_mode  # others may read it, too


def test_our_own_inspection_finds_the_file_whole(trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    file = train(trainable, replace(small_config(pairs_folder, tmp_path), steps=1)).file
    shapes = {
        name: (module.out_features, module.in_features)
        for name, module in trainable.transformer.named_modules()
        if isinstance(module, nn.Linear)
    }
    report = inspect(file, shapes, "tiny")
    assert report.whole
    assert len(report.targets) == 21
    assert (report.ranks, report.alphas, report.scales) == ((4,), (8.0,), (2.0,))


def some_input(seed: int = 0) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    pictures = torch.rand(2, 2, 3, 128, 128, generator=draw) * 2 - 1
    text = torch.randn(2, 5, 768, generator=draw)
    return pictures[0], pictures[1], text, torch.ones(2, 5, dtype=torch.bool), torch.tensor([1.0, 0.4])


def result(model: nn.Module) -> Tensor:
    with torch.no_grad():
        field = model(*some_input())
        return torch.cat([part.flatten() for part in (field.gain, field.offset, field.softness, field.change)])


def test_diffusers_loads_the_file_as_it_was_in_training(
    trainable: MiniTrainable, tiny_editor_folder: Path, tmp_path: Path
) -> None:
    """The scale alpha / rank = 2 among others; held against peft and against weights merged by hand."""
    transformer, file = trainable.transformer, tmp_path / "look.safetensors"
    modules = target_modules(transformer, "mini", "all")
    plain = result(transformer)
    with attached(transformer, modules, 4, 8.0, seed=0) as parameters:
        torch.testing.assert_close(result(transformer), plain, atol=2e-5, rtol=0)  # the up projections are still zero
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.copy_(torch.randn(parameter.shape, generator=draw).mul(0.05).half())
        in_training = result(transformer)
        save_lora(file, parameters, 4, 8.0, {})
    assert (in_training - plain).abs().max() > 0.1

    fresh = MiniMMDiT.from_pretrained(tiny_editor_folder / "transformer", torch_dtype=torch.float32)
    merged = MiniMMDiT.from_pretrained(tiny_editor_folder / "transformer", torch_dtype=torch.float32)
    fresh.load_lora_adapter(str(tmp_path), prefix="transformer", weight_name=file.name)
    torch.testing.assert_close(result(fresh), in_training, atol=2e-5, rtol=0)

    tensors = load_file(file)
    with torch.no_grad():
        for name in modules:
            down, up = (tensors[f"transformer.{name}.lora_{part}.weight"].float() for part in "AB")
            merged.get_submodule(name).weight += 2.0 * up @ down
    torch.testing.assert_close(result(merged), in_training, atol=1e-4, rtol=1e-4)


# ---- a killed run ----------------------------------------------------------------------------------------


def partial_run(trainable: MiniTrainable, config: LoraTrainingConfig, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End a run without a word after its ``at``-th save, of which there is one a step."""
    save, saves = LoraTrainer.save, []

    def save_and_stop(trainer: LoraTrainer) -> None:
        save(trainer)
        saves.append(None)
        if len(saves) == at:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(LoraTrainer, "save", save_and_stop)
        with pytest.raises(SystemExit):
            train(trainable, replace(config, save_every=-1.0))


@pytest.mark.parametrize("at", [1, STEPS - 1, STEPS])
def test_a_run_that_ended_at_a_checkpoint_goes_on_with_the_same_losses(
    at: int, trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(trainable, small_config(pairs_folder, tmp_path / "whole"))
    config = replace(small_config(pairs_folder, tmp_path), checkpoints=tmp_path / "states")
    (tmp_path / "states").mkdir()
    partial_run(trainable, config, at, monkeypatch)
    assert [file.name for file in (tmp_path / "states").iterdir()] == ["look.training-state"]
    assert not config.out.exists()

    resumed = train(trainable, config)
    assert resumed.losses == whole.losses
    assert resumed.error_ratio == whole.error_ratio
    first, second = load_file(whole.file), load_file(resumed.file)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not list((tmp_path / "states").iterdir())
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == [
        "look.loss.png", "look.safetensors", "look.strip.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rank": 8}, "rank 4, not 8"),
        ({"steps": 7}, "steps 6, not 7"),
        ({"seed": 9}, "seed 0, not 9"),
        ({"targets": "attention"}, "targets all, not attention"),
        ({"pairs": "others"}, "pairs "),
    ],
)
def test_a_state_of_another_run_is_refused(
    changed: dict[str, object], told: str, trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = small_config(pairs_folder, tmp_path)
    partial_run(trainable, config, 1, monkeypatch)
    if "pairs" in changed:
        changed = {"pairs": write_pairs(tmp_path / "others", 7, "invert it")}
    with pytest.raises(LoraError, match=f"look.training-state is of a run with {told}"):
        train(trainable, replace(config, **changed))
    assert config.state_file.is_file()


def test_a_state_of_another_resolution_is_refused(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(pairs_folder, tmp_path)
    monkeypatch.setattr(trainable, "resolution", 512, raising=False)
    partial_run(trainable, config, 1, monkeypatch)
    monkeypatch.setattr(trainable, "resolution", 768)
    with pytest.raises(LoraError, match=r"look\.training-state is of a run with resolution 512, not 768"):
        train(trainable, config)
    monkeypatch.setattr(trainable, "resolution", 512)
    with safe_open(train(trainable, config).file, "pt") as opened:
        assert opened.metadata()["resolution"] == "512"


def test_a_state_that_can_not_be_written_is_refused_before_training(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path
) -> None:
    """Its name is longer than the output's, which is as long as names can be."""
    config = replace(small_config(pairs_folder, tmp_path), out=tmp_path / f"{'x' * 243}.safetensors")
    with pytest.raises(LoraError, match=r"x\.training-state' can't be written .*give another folder or a shorter name"):
        train(trainable, config)
    assert not list(tmp_path.iterdir())


def test_a_state_that_can_not_be_written_any_more_is_an_os_error(
    trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(small_config(pairs_folder, tmp_path), checkpoints=tmp_path / "states", save_every=-1.0)
    config.checkpoints.mkdir()
    monkeypatch.setattr(LoraTrainer, "_step", lambda *_: config.checkpoints.rmdir() or 1.0)
    with pytest.raises(FileNotFoundError, match="states"):
        train(trainable, config)


def test_a_state_that_is_none_is_told(trainable: MiniTrainable, pairs_folder: Path, tmp_path: Path) -> None:
    config = small_config(pairs_folder, tmp_path)
    config.state_file.write_bytes(b"\0" * 100)
    with pytest.raises(LoraError, match=r"look\.training-state is not the state of a training run; delete it"):
        train(trainable, config)


class Interrupted(MiniTrainable):
    """An editor at whose third batch somebody presses Ctrl+C."""

    asked = 0

    def loss(self, group: MiniGroup, rows: Tensor, draw: torch.Generator) -> Tensor:
        self.asked += 1
        if self.asked == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return super().loss(group, rows, draw)


def test_ctrl_c_ends_the_step_saves_and_says_how_to_go_on(
    trainable: MiniTrainable, tiny_editor_folder: Path, pairs_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config = small_config(pairs_folder, tmp_path)
    interrupted = Interrupted(MiniEditor(tiny_editor_folder), trainable.name)
    before, handler = account(interrupted.transformer), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, config)
    assert "stopped after step 3 of 6; the same command goes on from there" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler
    assert_untouched(interrupted.transformer, before)
    assert [file.name for file in tmp_path.iterdir()] == ["look.training-state"]

    resumed = train(trainable, config)
    assert "resuming after step 3 of 6" in capsys.readouterr().out
    (tmp_path / "whole").mkdir()
    assert resumed.losses == train(trainable, small_config(pairs_folder, tmp_path / "whole")).losses


RUN = """
import sys
from pathlib import Path
from mmdit.load import load_trainable
from mmdit.lora.training import LoraTrainingConfig, train
out = Path(sys.argv[3]) / "look.safetensors"
train(load_trainable(sys.argv[1], "cpu"), LoraTrainingConfig(
    Path(sys.argv[2]), out, steps=400, rank=4, alpha=8.0, batch=4, rate=1e-2, save_every=-1.0
))
"""


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_with_the_same_losses(
    trainable: MiniTrainable, tiny_editor_folder: Path, pairs_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config(pairs_folder, tmp_path), steps=400)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tiny_editor_folder), str(pairs_folder), str(tmp_path)],
        env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 900
    while not config.state_file.is_file():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not config.out.exists()

    resumed = train(trainable, config)
    (tmp_path / "whole").mkdir()
    assert resumed.losses == train(trainable, replace(config, out=tmp_path / "whole" / "look.safetensors")).losses


# ---- the embedded editor's part --------------------------------------------------------------------------


def photo_scene(source: Tensor, target: Tensor) -> SceneBatch:
    """A pair as the editor's own training knows it."""
    nothing = torch.zeros(len(source), 1)
    kinds = ["invert"] * len(source)
    return SceneBatch(source, target, kinds, kinds, [None] * len(source), source, *[nothing] * 4)


def test_the_loss_is_that_of_the_editors_own_training() -> None:
    draw = torch.Generator().manual_seed(0)
    source, target = (torch.randn(2, 3, 3, 64, 96, generator=draw) * 0.8).clamp(-1, 1)
    target[:, :, :30] = source[:, :, :30]
    estimate = target + torch.randn(target.shape, generator=draw)
    timestep = torch.tensor([1.0, 0.7, 0.1])
    scene = photo_scene(source, target)
    torch.testing.assert_close(
        edit_loss(estimate, target, timestep), objective.edit_loss(estimate, scene, timestep), atol=1e-6, rtol=1e-6
    )
    change = torch.randn(3, 1, 4, 6, generator=draw)
    field = EditField(torch.zeros(3, 9, 64, 96), torch.zeros(3, 3, 64, 96), torch.zeros(3, 1, 64, 96), change)
    told = torch.ones(3, 1, dtype=torch.bool)
    torch.testing.assert_close(change_loss(field, source, target), objective.change_loss(field, scene, told))


def test_pairs_are_grouped_by_the_working_size_nearest_in_shape(trainable: MiniTrainable, pairs_folder: Path) -> None:
    pairs = read_pairs(pairs_folder)
    square, wide = trainable.prepare(pairs)
    assert square.source.shape == square.target.shape == (5, 3, 128, 128)
    assert wide.source.shape == wide.target.shape == (2, 3, 112, 144)
    for group, row, index in ((square, 2, 3), (wide, 0, 2)):
        for side, file in ((group.source, pairs[index].source), (group.target, pairs[index].target)):
            picture = images.resize(images.to_tensor(Image.open(file)), *side.shape[-2:])
            assert (side[row] / 127.5 - 1 - picture[0]).abs().max() < 1 / 254


def test_a_batch_holds_its_pairs_pictures_and_one_of_their_own_instructions(
    trainable: MiniTrainable, tmp_path: Path
) -> None:
    folder = write_pairs(tmp_path / "pairs", 2)
    (folder / "01.txt").write_text("turn every colour into its opposite right now")
    (group,) = trainable.prepare(read_pairs(folder))
    wanted = [["invert the colours", "make a negative"], ["turn every colour into its opposite right now"]]
    encoder = trainable._models.text_encoder
    met: list[set[str]] = [set(), set()]
    inputs: list[tuple[Tensor, ...]] = []
    hook = trainable.transformer.register_forward_pre_hook(lambda _, given: inputs.append(given))
    try:
        for seed in range(12):
            rows = torch.tensor([0, 1, 0])
            trainable.loss(group, rows, torch.Generator().manual_seed(seed))
    finally:
        hook.remove()
    for noisy, source, text, mask, timestep in inputs:
        assert torch.equal(source, group.source[[0, 1, 0]] / 127.5 - 1)
        t = timestep[:, None, None, None]
        noise = (noisy - (1 - t) * (group.target[[0, 1, 0]] / 127.5 - 1)) / t
        assert 0.9 < noise.std() < 1.1
        for sample, pair in enumerate((0, 1, 0)):
            for instruction in wanted[pair]:
                own = encoder.encode([instruction])
                length = own.mask.sum()
                if mask[sample].sum() == length and (text[sample, :length] - own.features[0]).abs().max() < 0.01:
                    met[pair].add(instruction)
    assert len(inputs) == 12
    assert met == [set(wanted[0]), set(wanted[1])]


def test_the_loss_is_of_the_edit_and_a_tenth_of_where_it_is_expected(
    trainable: MiniTrainable, pairs_folder: Path
) -> None:
    group = trainable.prepare(read_pairs(pairs_folder))[1]
    calls: list[tuple[Tensor, EditField]] = []
    hook = trainable.transformer.register_forward_hook(lambda _, given, found: calls.append((given[4], found)))
    try:
        loss = trainable.loss(group, torch.tensor([1, 0]), torch.Generator().manual_seed(0))
    finally:
        hook.remove()
    ((timestep, field),) = calls
    scene = photo_scene(*(side[[1, 0]] / 127.5 - 1 for side in (group.source, group.target)))
    expected = objective.edit_loss(field.apply(scene.source), scene, timestep).mean()
    expected = expected + 0.1 * objective.change_loss(field, scene, torch.ones(2, 1, dtype=torch.bool))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("?!\n", r"'\?!' of pair 01 holds no word"),
        (" ".join(["brighter"] * 23), "of pair 01 is longer than the model reads; shorten it by 3 words"),
    ],
)
def test_an_instruction_that_the_model_cannot_read_is_told(
    text: str, told: str, trainable: MiniTrainable, tmp_path: Path
) -> None:
    folder = write_pairs(tmp_path / "pairs", 2)
    (folder / "01.txt").write_text(text)
    with pytest.raises(LoraError, match=told):
        trainable.prepare(read_pairs(folder))


def test_a_model_that_cannot_be_trained_on_is_told(tmp_path: Path) -> None:
    with pytest.raises(EditError, match="neither a model of the catalog"):
        load_trainable("minni")
    with pytest.raises(EditError, match="device 'abacus' is not usable here; use one of cpu"):
        load_trainable("mini", "abacus")


# ---- pictures beside the file ----------------------------------------------------------------------------


def test_plot_and_strip_show_the_held_out_pairs(trainable: MiniTrainable, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", 20)
    train(trainable, replace(small_config(pairs, tmp_path), steps=2))
    with Image.open(tmp_path / "look.loss.png") as plot:
        assert plot.size == (960, 480)
        assert len(plot.convert("RGB").getcolors(10_000)) > 10
    with Image.open(tmp_path / "look.strip.png") as strip:
        assert strip.mode == "RGB"
        assert strip.height // strip.width == 0  # two rows of four


def test_the_strip_puts_each_picture_in_its_column(tmp_path: Path) -> None:
    shades = {name: Image.new("RGB", (64, 32), name) for name in ("red", "green", "blue", "black")}
    plain = Edited("turn", shades["red"], shades["green"], shades["black"])
    styled = replace(plain, edited=shades["blue"])
    draw_strip([plain] * 6, [styled] * 6, tmp_path / "strip.png")
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    rows = {}
    for name, shade in shades.items():
        hits = (strip == np.asarray(shade)[0, 0]).all(axis=-1)
        columns = np.flatnonzero(hits.sum(axis=0) > 100)
        rows[name] = (columns.min(), hits[:, columns[len(columns) // 2]].sum())
    lefts = [rows[name][0] for name in ("red", "green", "blue", "black")]
    assert lefts == sorted(lefts)
    assert {count for _, count in rows.values()} == {4 * 112}  # four rows of a 64 × 32 picture, 224 wide
    assert plain.error == pytest.approx((128 / 255) ** 2 / 3)
    assert styled.error == pytest.approx(1 / 3)


def test_few_pairs_are_shown_but_none_is_held_out(
    trainable: MiniTrainable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write_pairs(tmp_path / "pairs", 3)
    trained = train(trainable, replace(small_config(pairs, tmp_path), steps=1))
    assert trained.held_out == 0
    assert "fewer than 5, none held out" in capsys.readouterr().out
    assert (tmp_path / "look.strip.png").is_file()


# ---- the command -----------------------------------------------------------------------------------------


def test_the_command_tells_sizes_and_progress_and_writes_three_files(
    tiny_editor_folder: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "lora", "train", "--model", tiny_editor_folder, "--pairs", pairs_folder, "--rank", 4, "--alpha", 8,
        "--targets", "attention", "--steps", 2, "--batch", 3, "--device", "cpu", "-o", tmp_path / "look.safetensors",
    ]  # fmt: skip
    assert main([str(part) for part in command]) == 0
    out = capsys.readouterr().out
    assert "  all        21 modules, rank 4: 11,520 parameters, 23,040 bytes" in out
    assert "→ attention  15 modules, rank 4: 5,760 parameters, 11,520 bytes" in out
    assert "step 2/2  loss " in out
    assert "samples/s  0.0 min left" in out
    assert "error with ÷ without LoRA " in out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["look.loss.png", "look.safetensors", "look.strip.png"]


BAD_VALUES: dict[str, tuple[list[str], str]] = {
    "no steps": (["--steps", "0"], "steps is 0"),
    "no rank": (["--rank", "0"], "rank is 0"),
    "a rank beyond the layers": (["--rank", "64"], "rank is 64"),
    "a negative batch": (["--batch", "-3"], "batch is -3"),
    "alpha nan": (["--alpha", "nan"], "alpha is nan"),
    "no rate": (["--rate", "0"], "rate is 0"),
    "an endless rate": (["--rate", "inf"], "rate is inf"),
    "a negative seed": (["--seed", "-1"], "seed is -1"),
    "no resolution": (["--resolution", "0"], "resolution is 0; it must be a whole number from 64 to 4096"),
    "too high a resolution": (["--resolution", "5000"], "resolution is 5000; it must be a whole number from 64"),
    "unknown targets": (["--targets", "some"], "some"),
    "unknown precision": (["--precision", "int8"], "int8"),
    "an unknown model": (["--model", "stable-confusion"], "stable-confusion"),
    "an unknown device": (["--device", "abacus"], "abacus"),
    "no such pairs": (["--pairs", "nowhere"], "nowhere: no such folder"),
    "another suffix": (["-o", "look.pt"], "look.pt"),
    "no such folder": (["-o", "nowhere/look.safetensors"], "nowhere"),
    "no such checkpoints": (["--checkpoints", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_costs_one_line_and_writes_nothing(
    name: str, tiny_editor_folder: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options, told = BAD_VALUES[name]
    command = [
        "lora", "train", "--model", tiny_editor_folder, "--pairs", pairs_folder, "--steps", 1, "-o", "look.safetensors",
        *options,
    ]  # fmt: skip
    assert refused(lambda: main([str(part) for part in command])) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert told in err
    assert not list(tmp_path.iterdir())


def refused(act: Callable[[], int]) -> int:
    """The exit status; argparse leaves by SystemExit."""
    try:
        return act()
    except SystemExit as ending:
        return ending.code
