"""Key names of real LoRA files against what diffusers, peft and the files' own makers read in them."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers.loaders.lora_pipeline import Flux2LoraLoaderMixin, FluxLoraLoaderMixin, QwenImageLoraLoaderMixin
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from lora_files import FORMATS, HOLDS_ALPHA, Shapes, Update, keys, tensors, write
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file
from tiny_checkpoints import build
from torch import Tensor, nn

from mmdit.lora.architectures import linear_shapes
from mmdit.lora.formats import SEED_TARGETS, describe, read_keys, seed_targets
from mmdit.lora.inspect import inspect
from mmdit.model.transformer import MiniMMDiT

FAMILIES = {
    "flux": "flux_kontext", "step1x": "step1x_edit", "sd3": "stable_diffusion_3", "qwen-image": "qwen_image_edit",
    "flux2": "flux2_klein",
}  # fmt: skip
"""Family of seed targets → a tiny pipeline of it."""
FLUX_FORMATS = tuple(name for name in FORMATS if not name.endswith("sd3"))
SEED_FORMATS = tuple(name for name in FORMATS if "original" not in name and name != "xlabs")
SD3_FORMATS = (*SEED_FORMATS, "original-sd3", "kohya-original-sd3")
LABELS = {
    "peft-default": "peft", "diffusers-old": "diffusers", "pixelsmile": "mixed", "original-peft": "original",
    "kohya-original": "kohya", "original-sd3": "original", "kohya-original-sd3": "kohya",
}  # fmt: skip


@cache
def transformer(family: str) -> nn.Module:
    if family == "mini":
        return MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8))
    return build(FAMILIES[family]).transformer


@cache
def shapes(family: str) -> Shapes:
    """Every Linear inside a block."""
    linears = {name: module for name, module in transformer(family).named_modules() if isinstance(module, nn.Linear)}
    return {name: (one.out_features, one.in_features) for name, one in linears.items() if "_blocks" in name}


def one_block_of_flux() -> Shapes:
    """A double and a single block at FLUX's own width, which diffusers' converters take for granted."""
    return {name: shape for name, shape in linear_shapes("flux").items() if "_blocks.0." in name}


def updates_of(held: Mapping[str, Tensor], modules: Shapes) -> dict[str, Update]:
    """What our reading makes of a file's tensors."""
    reading = read_keys({key: tuple(value.shape) for key, value in held.items()}, modules)
    assert not reading.unknown
    updates = {}
    for pair in reading.pairs:
        assert pair.module in modules and pair.module not in updates
        down, up = held[pair.down], held[pair.up]
        alpha = len(down) if pair.alpha is None else held[pair.alpha].item()
        updates[pair.module] = Update(down, up if pair.rows is None else up[slice(*pair.rows)], alpha / len(down))
    return updates


def assert_same(found: Mapping[str, Update], expected: Mapping[str, Update]) -> None:
    """The same modules, and each does the same to random features."""
    assert found.keys() == expected.keys() and found
    draw = torch.Generator().manual_seed(5)
    for module, update in found.items():
        features = torch.randn(update.down.shape[1], 3, generator=draw, dtype=torch.float64)
        ours, theirs = (
            one.scale * one.up.double() @ (one.down.double() @ features) for one in (update, expected[module])
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def of_diffusers(converted: Mapping[str, Tensor]) -> dict[str, Update]:
    """Updates from keys as diffusers hands them to peft, alpha already in the weights."""
    downs = [key for key in converted if key.endswith(".lora_A.weight")]
    assert 2 * len(downs) == len(converted)
    return {
        key.removeprefix("transformer.").removesuffix(".lora_A.weight"): Update(
            converted[key], converted[key.replace("lora_A", "lora_B")], 1.0
        )
        for key in downs
    }


# ---- every format ----


@pytest.mark.parametrize(
    ("family", "format"),
    [
        *(("flux", name) for name in FLUX_FORMATS),
        *(("flux2", name) for name in FLUX_FORMATS if name != "xlabs"),
        *(("sd3", name) for name in SD3_FORMATS),
        *((family, name) for family in ("qwen-image", "mini") for name in SEED_FORMATS),
    ],
)
def test_a_file_of_each_format_means_what_was_written(family: str, format: str, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    expected = write(file, format, shapes(family), rank=3, alpha=6.0)
    assert len(expected) >= (len(shapes(family)) if "original" not in format and format != "xlabs" else 16)
    if format in HOLDS_ALPHA and format != "diffusers":
        assert_same(updates_of(load_file(file), shapes(family)), expected)
    report = inspect(file, shapes(family), family)
    assert report.whole and report.format == LABELS.get(format, format)
    held = load_file(file)
    found = {
        one.module: Update(held[one.down], held[one.up][slice(*(one.rows or (None,)))], one.scale)
        for one in report.targets
    }
    assert_same(found, expected)
    assert report.scales == ((2.0,) if format in HOLDS_ALPHA else (1.0,))


# ---- against diffusers and peft ----


@pytest.mark.parametrize("format", ["kohya", "lightx2v", "comfyui"])
def test_qwen_files_mean_what_diffusers_reads(format: str) -> None:
    held = tensors(format, shapes("qwen-image"), alpha=6.0)
    expected = of_diffusers(QwenImageLoraLoaderMixin.lora_state_dict(dict(held)))
    assert_same(updates_of(held, shapes("qwen-image")), expected)


@pytest.mark.parametrize("format", ["kohya-original", "xlabs"])
def test_flux_files_mean_what_diffusers_reads(format: str) -> None:
    modules = one_block_of_flux()
    held = tensors(format, modules, rank=3, alpha=6.0)
    assert_same(updates_of(held, modules), of_diffusers(FluxLoraLoaderMixin.lora_state_dict(dict(held))))


def test_a_whole_flux_file_of_original_names_means_what_diffusers_reads() -> None:
    modules = linear_shapes("flux")
    held = tensors("original-peft", modules, rank=1)
    held["base_model.model.final_layer.linear.lora_A.weight"] = torch.randn(1, 3072)
    held["base_model.model.final_layer.linear.lora_B.weight"] = torch.randn(64, 1)
    found = updates_of(held, modules)
    assert len(found) == 19 * 14 + 38 * 6 + 1
    assert_same(found, of_diffusers(FluxLoraLoaderMixin.lora_state_dict(dict(held))))


@pytest.mark.parametrize("format", ["kohya-original", "original"])
def test_flux2_files_mean_what_diffusers_reads(format: str) -> None:
    held = tensors(format, shapes("flux2"), alpha=6.0)
    expected = of_diffusers(Flux2LoraLoaderMixin.lora_state_dict(dict(held)))
    assert_same(updates_of(held, shapes("flux2")), expected)


def test_sd3_files_mean_what_diffusers_makes_of_a_checkpoint() -> None:
    """Diffusers has no converter for such LoRAs, but one for checkpoints: a checkpoint that is the LoRA's update."""
    modules = shapes("sd3")
    held = tensors("original-sd3", modules)
    prefix, last = "model.diffusion_model.", "joint_blocks.2.context_block.adaLN_modulation.1"
    layers = {key.removeprefix(prefix).removesuffix(".lora_A.weight") for key in held if "lora_A" in key}
    weights = {
        layer: held[f"{prefix}{layer}.lora_B.weight"] @ held[f"{prefix}{layer}.lora_A.weight"] for layer in layers
    }
    others = [f"{part}.mlp.{index}" for part in ("t_embedder", "y_embedder") for index in (0, 2)]
    others += [f"joint_blocks.{index}.context_block.adaLN_modulation.1" for index in (0, 1)]
    others += ["x_embedder.proj", "context_embedder", "final_layer.linear", "final_layer.adaLN_modulation.1", last]
    weights |= {layer: torch.arange(8.0)[:, None] for layer in others}
    checkpoint = {f"{layer}.weight": weight for layer, weight in weights.items()}
    checkpoint |= {f"{layer}.bias": weight[:, 0] for layer, weight in weights.items()} | {"pos_embed": torch.zeros(1)}
    converted = convert_sd3_transformer_checkpoint_to_diffusers(checkpoint)

    found = updates_of(held, modules)
    for module, update in found.items():
        torch.testing.assert_close(update.delta, converted[f"{module}.weight"])
    assert len(found) == 3 * 10 + 4 + 2 * 3
    # The last block's text modulation is stored the other way round, so it must not be taken as it is.
    assert not torch.equal(converted["transformer_blocks.2.norm1_context.linear.weight"], weights[last])
    pair = {f"{last}.lora_A.weight": (4, 32), f"{last}.lora_B.weight": (64, 4)}
    assert [pair.module for pair in read_keys(pair, modules).pairs] == [last]


def test_peft_saves_what_we_read(tmp_path: Path) -> None:
    model = build("qwen_image_edit").transformer
    modules = shapes("qwen-image")
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=list(SEED_TARGETS), init_lora_weights=False,
        rank_pattern={"transformer_blocks.1.attn.to_q": 2}, alpha_pattern={"transformer_blocks.0.attn.to_k": 3},
    )  # fmt: skip
    torch.manual_seed(0)
    model.add_adapter(config)
    model.save_lora_adapter(tmp_path, weight_name="lora.safetensors")
    expected = {
        name: module for name, module in model.named_modules() if hasattr(module, "get_delta_weight") and module.r
    }
    report = inspect(tmp_path / "lora.safetensors", modules, "qwen-image")
    held = load_file(tmp_path / "lora.safetensors")
    assert report.whole and {target.module for target in report.targets} == expected.keys()
    assert len(expected) == 3 * len(SEED_TARGETS)
    assert (report.ranks, report.scales) == ((2, 4), (0.75, 1.5, 3.0))
    for target in report.targets:
        found = target.scale * held[target.up] @ held[target.down]
        torch.testing.assert_close(found, expected[target.module].get_delta_weight("default"))
    bare = read_keys({key: tuple(value.shape) for key, value in get_peft_model_state_dict(model).items()}, modules)
    assert bare.format == "bare" and {pair.module for pair in bare.pairs} == expected.keys()


# ---- names that mean nothing, or two things ----


@pytest.mark.parametrize(
    ("key", "layer", "words"),
    [
        ("transformer.transformer_blocks.0.attn.to_q.dora_scale", "transformer_blocks.0.attn.to_q", "DoRA magnitudes"),
        ("base_model.model.a.0.to_q.lora_magnitude_vector.default.weight", "a.0.to_q", "DoRA magnitudes"),
        ("transformer.a.0.to_q.lora_magnitude_vector", "a.0.to_q", "DoRA magnitudes"),
        ("lycoris_transformer_blocks_0_attn_to_q.lokr_w1", "transformer_blocks_0_attn_to_q", "LoKr"),
        ("diffusion_model.a.0.to_q.lokr_w2_a", "a.0.to_q", "LoKr"),
        ("lora_unet_a_0_to_q.hada_w1_a", "a_0_to_q", "LoHa"),
        ("lora_unet_a_0_to_q.oft_blocks", "a_0_to_q", "OFT"),
        ("lora_unet_a_0_to_q.lora_mid.weight", "a_0_to_q", "LoCon"),
        ("diffusion_model.a.0.to_q.diff", "a.0.to_q", "full weight difference"),
        ("diffusion_model.a.0.to_q.diff_b", "a.0.to_q", "bias difference"),
        ("transformer.a.0.to_q.lora_bias", "a.0.to_q", "bias"),
        ("base_model.model.a.0.to_q.lora_B.bias", "a.0.to_q", "bias"),
        ("transformer.a.0.to_q.alpha", "a.0.to_q", "alpha without a pair"),
        ("lora_te1_text_model_encoder.lora_down.weight", "lora_te1_text_model_encoder", "text encoder"),
        ("text_encoder.text_model.q_proj.lora_A.weight", "text_encoder.text_model.q_proj", "text encoder"),
        ("text_encoders.clip_l.q.lora_B.weight", "text_encoders.clip_l.q", "text encoder"),
        ("transformer.a.0.norm.weight", "a.0.norm.weight", "no LoRA pair"),
    ],
)
def test_what_is_no_pair_is_named(key: str, layer: str, words: str) -> None:
    reading = read_keys({key: ()}, {"a.0.to_q": (8, 8)})
    assert (reading.unknown, reading.pairs, reading.format) == ((key,), (), "none")
    assert describe(key) == (layer, words)


def test_very_long_names_are_no_pairs() -> None:
    keys = [f"{'a' * 500}.{ending}" for ending in ("lora_A.weight", "lora_B.weight", "lokr_w1", "alpha")]
    reading = read_keys(dict.fromkeys(keys, (8, 8)), {"a.0.to_q": (8, 8)})
    assert (reading.unknown, reading.pairs) == (tuple(keys), ())
    assert [describe(key) for key in keys] == [(key, "no LoRA pair") for key in keys]


@pytest.mark.parametrize("part", [".lokr_a", ".hada_a", ".oft_a", ".lora_magnitude_vector"])
def test_a_name_that_nearly_is_something_many_times_over_is_told_at_once(part: str) -> None:
    """In a process of its own, as a search for patterns can't be interrupted."""
    script = "import sys; from mmdit.lora.formats import describe; print(describe(sys.argv[1] * 60_000 + '!')[1])"
    ended = subprocess.run([sys.executable, "-c", script, part], capture_output=True, text=True, timeout=30)
    assert ended.stdout == "no LoRA pair\n"


def test_a_second_tensor_for_the_same_half_is_not_dropped() -> None:
    modules = {"a.0.to_q": (8, 8)}
    held = keys("bare", modules) | keys("diffusers-old", modules)
    twice = {key.removeprefix("transformer."): shape for key, shape in held.items()}
    reading = read_keys(twice, modules)
    assert len(reading.pairs) == 1 and len(reading.unknown) == 2
    assert describe(reading.unknown[0]) == ("a.0.to_q", "tensor too many")


def test_an_alpha_of_many_numbers_is_no_alpha() -> None:
    modules = {"a.0.to_q": (8, 8)}
    reading = read_keys(keys("kohya", modules) | {"lora_unet_a_0_to_q.alpha": (8,)}, modules)
    assert reading.unknown == ("lora_unet_a_0_to_q.alpha",) and reading.pairs[0].alpha is None


def test_underscores_that_could_be_two_modules_are_neither() -> None:
    pair = {"lora_unet_a_b_c.lora_down.weight": (4, 8), "lora_unet_a_b_c.lora_up.weight": (8, 4)}
    assert read_keys(pair, {"a.b_c": (8, 8)}).pairs[0].module == "a.b_c"
    assert read_keys(pair, {"a.b_c": (8, 8), "a_b.c": (8, 8)}).pairs[0].module == "a_b_c"


def test_original_names_are_not_for_models_that_never_had_them() -> None:
    """Qwen-Image's attention has FLUX's width, so that FLUX's would fit."""
    flux, qwen = linear_shapes("flux"), linear_shapes("qwen-image")
    for format in ("original", "kohya-original", "xlabs"):
        assert not {pair.module for pair in read_keys(keys(format, flux), qwen).pairs} & qwen.keys()


def test_a_fused_layer_is_split_by_rows_and_shares_its_alpha() -> None:
    modules = one_block_of_flux()
    pairs = {pair.module: pair for pair in read_keys(keys("kohya-original", modules), modules).pairs}
    block = "single_transformer_blocks.0"
    rows = {"attn.to_q": (0, 3072), "attn.to_k": (3072, 6144), "attn.to_v": (6144, 9216), "proj_mlp": (9216, 21504)}
    for name, expected in rows.items():
        pair = pairs[f"{block}.{name}"]
        assert pair.rows == expected
        assert (pair.down, pair.alpha) == tuple(
            f"lora_unet_single_blocks_0_linear1.{part}" for part in ("lora_down.weight", "alpha")
        )
    assert pairs[f"{block}.proj_out"].rows is None
    flux2 = {pair.module: pair for pair in read_keys(keys("original", shapes("flux2")), shapes("flux2")).pairs}
    assert flux2[f"{block}.attn.to_qkv_mlp_proj"].rows is None


# ---- the seed's targets ----


@pytest.mark.parametrize("family", [*FAMILIES, "mini"])
def test_every_seed_target_finds_its_modules(family: str) -> None:
    modules = shapes(family)
    found = {seed: [name for name in modules if name.endswith(f".{own}")] for seed, own in seed_targets(family).items()}
    assert tuple(found) == SEED_TARGETS and all(found.values())
    blocks = {name.split(".")[1] for name in modules if name.startswith("transformer_blocks.")}
    last = {"sd3": "2", "mini": "1"}  # where the text ends
    without = {"to_add_out", *(seed for seed in SEED_TARGETS if "txt" in seed)} if family in last else set()
    for seed, own in found.items():
        double = {name.split(".")[1] for name in own if name.startswith("transformer_blocks.")}
        assert blocks - double == ({last[family]} if seed in without else set()), seed


def test_an_unknown_family_has_no_targets() -> None:
    with pytest.raises(ValueError, match=r"'sdxl'.*qwen-image"):
        seed_targets("sdxl")
    assert json.loads(json.dumps(seed_targets("mini"))) == {name: name for name in SEED_TARGETS}


def test_parameters_of_the_seeds_lora_on_qwen_image() -> None:
    """PixelSmile's rank 64: 849.3 MB in bfloat16."""
    modules = linear_shapes("qwen-image")
    counts = {
        seed: sum(64 * sum(shape) for name, shape in modules.items() if name.endswith(f".{own}"))
        for seed, own in seed_targets("qwen-image").items()
    }
    assert sum(counts.values()) == 424_673_280
    assert sum(count for seed, count in counts.items() if "mlp" not in seed) == 188_743_680
