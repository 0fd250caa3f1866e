"""LoRA files that Step1X-Edit's own training writes, and its like: what they are taken for, and what they do.

The straight-line reference adds weight · alpha / rank · up @ down to the weights, with every fused layer cut into rows
by a table that is written out here.
"""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
from lora_files import Shapes, write_sparse
from safetensors.torch import save_file
from test_step1x_model import SIZES, drawn, told
from torch import Tensor, nn

from mmdit.catalog import CATALOG
from mmdit.families.folders import Component
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel
from mmdit.lora.architectures import guess_family, linear_shapes
from mmdit.lora.formats import Pair, read_keys
from mmdit.lora.header import read_header
from mmdit.lora.inspect import LoraError
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight, linears

QKV, ADDED_QKV = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
DOUBLE = {
    "img_attn.qkv": QKV, "img_attn.proj": ("attn.to_out.0",), "img_mod.lin": ("norm1.linear",),
    "img_mlp.0": ("ff.net.0.proj",), "img_mlp.2": ("ff.net.2",),
    "txt_attn.qkv": ADDED_QKV, "txt_attn.proj": ("attn.to_add_out",), "txt_mod.lin": ("norm1_context.linear",),
    "txt_mlp.0": ("ff_context.net.0.proj",), "txt_mlp.2": ("ff_context.net.2",),
}  # fmt: skip
SINGLE = {"linear1": (*QKV, "proj_mlp"), "linear2": ("proj_out",), "modulation.lin": ("norm.linear",)}
AROUND = {
    "img_in": "x_embedder", "txt_in": "context_embedder", "time_in.in_layer": "time_embed.in_layer",
    "time_in.out_layer": "time_embed.out_layer", "vector_in.in_layer": "vec_embed.in_layer",
    "vector_in.out_layer": "vec_embed.out_layer",
}  # fmt: skip
REFINED = "connector.S.individual_token_refiner.blocks.{}."
CONNECTOR = (
    "connector.S.input_embedder", "connector.S.t_embedder.mlp.0", "connector.S.t_embedder.mlp.2",
    "connector.S.c_embedder.linear_1", "connector.S.c_embedder.linear_2", "connector.global_proj_out",
    *(
        REFINED.format(index) + layer for index in range(2)
        for layer in ("self_attn_qkv", "self_attn_proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")
    ),
)  # fmt: skip
MAPPING = "text_token_mapping"

Layers = dict[str, tuple[str, ...]]
"""A layer of the original layout → the modules whose rows it holds, in order."""
Tensors = dict[str, Tensor]


def layers(double: int = 2, single: int = 2) -> Layers:
    """All that version 1.1 has but the head, whose modulation is stored the other way round."""
    blocks = [("double_blocks", "transformer_blocks", double, DOUBLE)]
    blocks += [("single_blocks", "single_transformer_blocks", single, SINGLE)]
    found = {
        f"{original}.{index}.{layer}": tuple(f"{own}.{index}.{module}" for module in modules)
        for original, own, count, parts in blocks
        for index in range(count)
        for layer, modules in parts.items()
    }
    found |= {layer: (module,) for layer, module in AROUND.items()}
    return found | {layer: (layer,) for layer in CONNECTOR}


def only(*beginnings: str) -> Layers:
    return {layer: modules for layer, modules in layers().items() if layer.startswith(beginnings)}


def shapes(model: nn.Module) -> Shapes:
    return {name: (linear.out_features, linear.in_features) for name, linear in linears(model).items()}


def named(layer: str, style: str) -> tuple[str, str, str]:
    """Keys of down, up and alpha."""
    if style == "kohya":
        stem, halves = f"lora_unet_{layer.replace('.', '_')}", ("lora_down", "lora_up")
    else:
        stem, halves = f"diffusion_model.{layer}", ("lora_A", "lora_B")
    return f"{stem}.{halves[0]}.weight", f"{stem}.{halves[1]}.weight", f"{stem}.alpha"


def written(
    model: nn.Module, held: Layers, ranks: Mapping[str, int], style: str = "kohya", seed: int = 0, split: bool = False
) -> Tensors:
    """A file for these layers.

    Args:
        ranks: a part of a layer's name → its rank; the first that fits, and 4 without one.
        split: with one pair of its own for each part of a fused layer, all in one up that is zero elsewhere.
    """
    sizes, tensors = shapes(model), {}
    draw = torch.Generator().manual_seed(seed)
    for layer, modules in held.items():
        rank = next((rank for part, rank in ranks.items() if part in layer), 4)
        down, up, alpha = named(layer, style)
        outs = [sizes[module][0] for module in modules]
        parts = [torch.randn(out, rank, generator=draw) for out in outs]
        whole = torch.block_diag(*parts) if split else torch.cat(parts)
        tensors[down] = 0.2 * torch.randn(whole.shape[1], sizes[modules[0]][1], generator=draw)
        tensors[up], tensors[alpha] = 0.2 * whole, torch.tensor(float(rank + seed))
    return tensors


def summed(model: nn.Module, files: Iterable[tuple[Tensors, float]], style: str = "kohya") -> Tensors:
    """Module → W + Σ weight · alpha / rank · up @ down, in double precision."""
    weights = {name: linear.weight.detach().double() for name, linear in linears(model).items()}
    table = {**layers(), MAPPING: (MAPPING,)}
    for tensors, weight in files:
        used = 0
        for layer, modules in table.items():
            down, up, alpha = named(layer, style)
            if down not in tensors:
                continue
            rank = len(tensors[down])
            change = weight * tensors[alpha].item() / rank * tensors[up].double() @ tensors[down].double()
            outs = [len(weights[module]) for module in modules]
            for module, rows in zip(modules, change.split(outs), strict=True):
                weights[module] = weights[module] + rows
            used += 3
        assert used == len(tensors)
    return weights


@torch.no_grad()
def effective(model: nn.Module) -> Tensors:
    """Module → (out, in): what it makes of each feature by itself."""
    return {
        name: (linear(torch.eye(linear.in_features)) - linear.bias).T.double()
        for name, linear in linears(model).items()
    }


@torch.no_grad()
def velocity(model: Step1XEditTransformer2DModel) -> Tensor:
    given = told()
    if model.config.enable_text_token_mapping:
        given["quoted_embeds"] = given["encoder_hidden_states"].roll(1, dims=1)
    return model(**given).sample


def with_weights(weights: Tensors, **options: bool) -> Step1XEditTransformer2DModel:
    """The model of `model`, its Linears' weights exchanged."""
    other = model_of(**options)
    for name, linear in linears(other).items():
        linear.weight.data = weights[name].float()
    return other


def model_of(**options: bool) -> Step1XEditTransformer2DModel:
    return drawn(Step1XEditTransformer2DModel(**SIZES, **options))


@pytest.fixture
def model() -> Step1XEditTransformer2DModel:
    return model_of()


def stack_of(model: nn.Module) -> LoraStack:
    return LoraStack(model, "a tiny Step1X-Edit", Presets([]))


def saved(tensors: Tensors, file: Path) -> Path:
    save_file(tensors, file)
    return file


def assert_close(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: name + text)


# ---- what they do ----


def test_the_table_is_whole(model: Step1XEditTransformer2DModel) -> None:
    modules = [module for modules in layers().values() for module in modules]
    assert sorted(modules) == sorted(set(shapes(model)) - {"norm_out.linear", "proj_out"})


def test_a_stack_is_the_straight_line_sum_and_leaves_no_trace(
    model: Step1XEditTransformer2DModel, tmp_path: Path
) -> None:
    """All layers; blocks with ranks by kind; fused layers of split pairs in half precision; and the first once more."""
    contents = [
        written(model, layers(), {}),
        written(model, only("double_blocks", "single_blocks.1"), {"attn": 2, "mlp": 3, "mod": 1, "linear": 8}, seed=1),
        written(model, only("single_blocks", "double_blocks.0", "txt_in"), {"txt": 1}, seed=2, split=True),
    ]
    contents[2] = {key: value.bfloat16() for key, value in contents[2].items()}
    files = [saved(tensors, tmp_path / f"{index}.safetensors") for index, tensors in enumerate(contents)]
    order = [(0, 0.8), (1, -0.5), (2, 1.5), (0, 0.25)]
    expected = summed(model, [(contents[index], weight) for index, weight in order])

    before = {name: value.clone() for name, value in model.state_dict().items()}
    own, plain, stack = effective(model), velocity(model), stack_of(model)
    for file in files:
        assert stack.inspect(file).whole
    with stack.applied([LoraWeight(files[index], weight) for index, weight in order]):
        found, stacked = effective(model), velocity(model)

    assert_close(found, expected)
    changed = {name for name, weight in expected.items() if (weight - before[f"{name}.weight"]).abs().max() > 1e-2}
    assert changed == shapes(model).keys() - {"norm_out.linear", "proj_out"}
    torch.testing.assert_close(stacked, velocity(with_weights(expected)), atol=1e-3, rtol=1e-3)
    assert (stacked - plain).abs().max() > 0.1

    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    assert_close(effective(model), own)


def test_the_original_names_with_dots_do_the_same(model: Step1XEditTransformer2DModel, tmp_path: Path) -> None:
    dotted = written(model, layers(), {"attn": 3}, style="original", seed=3)
    expected = summed(model, [(dotted, 0.7)], style="original")
    with stack_of(model).applied([LoraWeight(saved(dotted, tmp_path / "dotted.safetensors"), 0.7)]) as (applied,):
        assert_close(effective(model), expected)
    assert applied.report.whole


def test_the_mapping_of_version_1_2(tmp_path: Path) -> None:
    model = model_of(enable_text_token_mapping=True)
    tensors = written(model, {**layers(), MAPPING: (MAPPING,)}, {})
    file = saved(tensors, tmp_path / "mapping.safetensors")
    expected = summed(model, [(tensors, 0.6)])
    with stack_of(model).applied([LoraWeight(file, 0.6)]):
        assert_close(effective(model), expected)
        stacked = velocity(model)
    other = with_weights(expected, enable_text_token_mapping=True)
    torch.testing.assert_close(stacked, velocity(other), atol=1e-3, rtol=1e-3)
    with pytest.raises(LoraError, match=MAPPING):
        stack_of(model_of()).resolve([LoraWeight(file)])


# ---- what they are taken for ----


def test_the_connectors_attention_is_one_layer(model: Step1XEditTransformer2DModel) -> None:
    module = REFINED.format(0) + "self_attn_qkv"
    keys = named(module, "kohya")
    assert keys[2] == "lora_unet_connector_S_individual_token_refiner_blocks_0_self_attn_qkv.alpha"
    held = dict(zip(keys, ((4, 32), (96, 4), ()), strict=True))
    assert read_keys(held, shapes(model)).pairs == (Pair(module, *keys),)


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        ("lora_unet_guidance_in_in_layer", "guidance_in_in_layer"),
        ("lora_unet_final_layer_adaLN_modulation_1", "final_layer_adaLN_modulation_1"),
        ("lora_unet_double_blocks_2_img_attn_qkv", "double_blocks_2_img_attn_qkv"),
        ("lora_unet_connector_S_individual_token_refiner_blocks_0_self_attn_q", "self_attn_q"),
        ("lora_te_model_layers_0_self_attn_q_proj", "text encoder"),
    ],
)
def test_a_file_with_a_layer_that_fits_nothing_is_refused(
    stem: str, said: str, model: Step1XEditTransformer2DModel, tmp_path: Path
) -> None:
    tensors = written(model, layers(), {})
    tensors |= {f"{stem}.lora_down.weight": torch.ones(4, 64), f"{stem}.lora_up.weight": torch.ones(64, 4)}
    file = saved({**tensors, f"{stem}.alpha": torch.tensor(4.0)}, tmp_path / "more.safetensors")
    before = effective(model)
    with pytest.raises(LoraError, match="does not fit") as raised, stack_of(model).applied([LoraWeight(file)]):
        pytest.fail("applied")
    assert said in str(raised.value) and "1 that the model does not have" in str(raised.value)
    assert_close(effective(model), before)


@pytest.mark.parametrize(
    ("beginnings", "family", "also"),
    [
        (("",), "step1x-edit", "step1x-edit-v1.2"),
        (("connector.",), "step1x-edit", "step1x-edit-v1.2"),
        (("double_blocks", "single_blocks"), "flux", "step1x-edit"),
    ],
)
def test_whose_file_it_is(beginnings: tuple[str, ...], family: str, also: str, tmp_path: Path) -> None:
    sizes, held = linear_shapes("step1x-edit"), {}
    for layer, modules in layers(double=19, single=38).items():
        if layer.startswith(beginnings):
            down, up, alpha = named(layer, "kohya")
            held |= {down: (4, sizes[modules[0]][1]), up: (sum(sizes[module][0] for module in modules), 4), alpha: ()}
    write_sparse(tmp_path / "lora.safetensors", held)
    found, why = guess_family(read_header(tmp_path / "lora.safetensors"))
    assert found == family and f"also {also}" in why


# ---- the architecture ----


def test_version_1_0_has_one_parameter_more_than_1_1() -> None:
    with torch.device("meta"):
        model = Step1XEditTransformer2DModel(connector_scales_pooled=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_427_800_385
    assert CATALOG["step1x-edit-v1.1"].parameters["transformer"] == 12_427_800_384


def test_published_folders_name_a_class_that_is_here() -> None:
    """model_index.json says ["diffusers", "Step1XEditTransformer2DModel"], which no release of diffusers has."""
    part = Component("transformer", "diffusers", "Step1XEditTransformer2DModel")
    assert getattr(importlib.import_module(part.module), part.kind) is Step1XEditTransformer2DModel
    assert Component("vae", "diffusers", "AutoencoderKL").module == "diffusers"
    assert Component("text_encoder", "transformers", "Qwen2_5_VLForConditionalGeneration").module == "transformers"
