"""LoRA training on diffusers pipelines: what is learnt from is what an edit sees, on tiny real-format checkpoints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image
from safetensors import safe_open
from test_lora_training import account, assert_untouched, write_pairs
from tiny_checkpoints import build

from mmdit.cli import main
from mmdit.editor import EditRequest
from mmdit.families.pipeline import PipelineFamily
from mmdit.families.pipeline_training import PipelineTrainable
from mmdit.families.registry import family_class
from mmdit.load import load_editor, load_trainable
from mmdit.lora.inspect import LoraError
from mmdit.lora.pairs import read_pairs
from mmdit.lora.stack import LoraWeight
from mmdit.lora.training import LoraTrainingConfig, train

RESOLUTION = 64
NAMES = (
    "flux_kontext", "flux_image_to_image", "flux2_klein", "flux2", "qwen_image_edit", "qwen_image_edit_plus",
    "stable_diffusion_3", "step1x_edit", "step1x_edit_1_2",
)  # fmt: skip


QUICK = ("flux_kontext", "stable_diffusion_3")
EVERY_NAME = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NAMES]


@pytest.fixture(scope="module", params=EVERY_NAME)
def family(request: pytest.FixtureRequest) -> PipelineFamily:
    if request.param == "flux_image_to_image":
        pipeline = FluxImg2ImgPipeline(**build("flux_kontext").components)
    else:
        pipeline = build(request.param)
    family = family_class(type(pipeline).__name__)(pipeline, "tiny")
    family.traits = replace(family.traits, steps=2)  # of the edits that are compared
    return family


@pytest.fixture(scope="module")
def trainable(family: PipelineFamily) -> PipelineTrainable:
    return PipelineTrainable(family, "tiny", RESOLUTION)


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs", 5)


def test_the_latents_of_a_picture_are_undone_by_the_previews(family: PipelineFamily) -> None:
    width, height = family.working_size((120, 90), RESOLUTION)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    with torch.no_grad():
        latents = family.latents_of(picture)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        is_video = "Qwen" in type(family.pipeline).__name__
        encoded = family.pipeline.vae.encode(pixels[:, :, None] if is_video else pixels).latent_dist.mode()
    shown = family.latent_picture(latents, (width, height))
    assert torch.allclose(shown, encoded[:, :, 0] if is_video else encoded, atol=1e-4)


def test_the_loss_is_that_of_the_pipelines_own_velocity(
    family: PipelineFamily, trainable: PipelineTrainable, pairs_folder: Path
) -> None:
    """Its first Euler step goes from ε to ε + (σ₁ − 1) v, which tells v; the loss at pure noise is ‖v − (ε − x₀)‖²."""
    pair = read_pairs(pairs_folder)[0]
    ((prepared,),) = trainable.prepare([pair])
    told = prepared.wordings[0]
    noise = told["hidden_states"][:, : prepared.target.shape[1]]
    with torch.no_grad():
        loss = trainable._loss(prepared.target, noise, 1.0, told).item()

    call = trainable._call(pair.open()[0], pair.instructions[0])
    call = replace(call, steps=4, denoise=1.0, guidance=1.0 if family.guides_truly(call) else call.guidance)
    pictures = family.pictures_for_model(call)
    after: list[torch.Tensor] = []
    family.run(
        call, **family.arguments(call, pictures, family._text(call, pictures)[0]), num_inference_steps=call.steps,
        generator=torch.Generator().manual_seed(call.seed), output_type="latent",
        callback_on_step_end=lambda *step: after.append(step[-1]["latents"]) or {},
    )  # fmt: skip
    first, second = family.pipeline.scheduler.sigmas[:2]
    assert first == 1
    velocity = (after[0] - noise) / (second - 1)
    assert loss == pytest.approx((velocity - (noise - prepared.target)).square().mean().item(), rel=1e-3)


def test_what_the_transformer_is_told_is_what_an_edit_tells_it(
    family: PipelineFamily, trainable: PipelineTrainable, pairs_folder: Path
) -> None:
    pair = read_pairs(pairs_folder)[2]
    ((prepared,),) = trainable.prepare([pair])
    told, call = prepared.wordings[0], trainable._call(pair.open()[0], pair.instructions[0])
    seen: list[dict] = []
    handle = family.transformer.register_forward_pre_hook(
        lambda _, __, arguments: seen.append(dict(arguments)), with_kwargs=True
    )
    try:
        family.edit(call)
    finally:
        handle.remove()
    length = prepared.target.shape[1]
    rows = slice(-1, None) if len(seen[0]["hidden_states"]) == 2 else slice(None)  # the conditional half of a batch
    assert told["hidden_states"].shape == seen[0]["hidden_states"][rows].shape
    assert torch.equal(told["hidden_states"][:, length:], seen[0]["hidden_states"][rows][:, length:])
    assert torch.equal(told["encoder_hidden_states"], seen[0]["encoder_hidden_states"][rows])
    if prepared.target.ndim == 3 and told["hidden_states"].shape[1] > length:  # the reference is the source
        source = pair.open()[0].resize(call.working, Image.Resampling.LANCZOS)
        with torch.no_grad():
            latents = family.latents_of(source)
        assert torch.allclose(told["hidden_states"][:, length : 2 * length], latents, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "flux_kontext",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen_image_edit_plus", "stable_diffusion_3")),
    ],
)
def test_a_lora_is_trained_and_loaded_by_the_command_and_the_editor(
    name: str, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = tmp_path / name, tmp_path / "look.safetensors"
    build(name).save_pretrained(folder)
    command = [
        "lora", "train", "--model", str(folder), "--pairs", str(pairs_folder), "--steps", "30", "-o", str(file),
        "--rank", "4", "--alpha", "8", "--batch", "2", "--rate", "0.02", "--resolution", str(RESOLUTION),
        "--device", "cpu",
    ]  # fmt: skip
    assert main(command) == 0
    assert "→ all " in capsys.readouterr().out
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["resolution"] == str(RESOLUTION)
    with Image.open(file.with_suffix(".strip.png")) as strip:
        assert strip.width > 4 * RESOLUTION

    editor = load_editor(folder, "cpu")
    assert editor.inspect_lora(file).whole
    pair = read_pairs(pairs_folder)[-1]
    request = EditRequest([pair.open()[0]], pair.instructions[0], seed=0, steps=2, resolution=RESOLUTION)
    plain = editor.edit(request).image
    changed = editor.edit(replace(request, loras=[LoraWeight(file)])).image
    assert np.abs(np.asarray(plain, dtype=float) - np.asarray(changed, dtype=float)).mean() > 1


def test_training_lowers_the_loss_and_leaves_the_model_alone(
    family: PipelineFamily, trainable: PipelineTrainable, pairs_folder: Path, tmp_path: Path
) -> None:
    before = account(family.transformer)
    config = LoraTrainingConfig(pairs_folder, tmp_path / "look.safetensors", 40, rank=4, alpha=8.0, batch=2, rate=2e-2)
    trained = train(trainable, config)
    assert np.mean(trained.losses[-10:]) < 0.9 * np.mean(trained.losses[:5])
    assert_untouched(family.transformer, before)


def test_what_can_not_be_trained_on_is_told(family: PipelineFamily, pairs_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="resolution is 512; the embedded editor has one of its own"):
        load_trainable("mini", "cpu", resolution=512)
    with torch.device("meta"):
        away = type(family.transformer).from_config(family.transformer.config)
    here, family.pipeline.transformer = family.pipeline.transformer, away
    try:
        with pytest.raises(LoraError, match="offload"):
            PipelineTrainable(family, "tiny")
    finally:
        family.pipeline.transformer = here
