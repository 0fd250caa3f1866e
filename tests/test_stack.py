"""Stacks of LoRAs against merged weights and against peft; and that nothing of them stays.

The straight-line reference adds weight · alpha / rank · up @ down to a copy of the model's weights. Weights are
compared bit for bit; of outputs the last bits may depend on where memory lies.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomised
from diffusers.hooks import apply_layerwise_casting
from lora_files import Update, write
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file
from test_interception import traces
from tiny_checkpoints import FAMILIES, build, call
from torch import Tensor, nn

from mmdit.attention.spec import RecordSpec
from mmdit.editor import Editor, EditRequest
from mmdit.load import load_editor
from mmdit.lora.inspect import LoraError
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight, linears
from mmdit.model.transformer import MiniMMDiT

shared = cache(build)  # one pipeline per family; no test changes a weight
ALPHA, RANK = 8.0, 4


def shapes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Every Linear inside a block."""
    named = linears(model).items()
    return {name: (linear.out_features, linear.in_features) for name, linear in named if "blocks." in name}


def stack_of(model: nn.Module, **options: int) -> LoraStack:
    return LoraStack(model, "a tiny model", Presets([]), **options)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_applied_as_the_numbers_that_it_holds(dtype: torch.dtype, tmp_path: Path) -> None:
    model = shared("qwen_image_edit").transformer
    write(tmp_path / "wide.safetensors", "bare", shapes(model), rank=RANK)
    narrow = {key: value.to(dtype) for key, value in load_file(tmp_path / "wide.safetensors").items()}
    save_file({key: value.float() for key, value in narrow.items()}, tmp_path / "wide.safetensors")
    save_file(narrow, tmp_path / "narrow.safetensors")
    linear = next(module for name, module in linears(model).items() if "blocks." in name)
    x, outputs = torch.randn(2, linear.in_features, generator=torch.Generator().manual_seed(0)), []
    for file in ("wide", "narrow"):
        with stack_of(model).applied([LoraWeight(tmp_path / f"{file}.safetensors")]), torch.inference_mode():
            outputs.append(linear(x))
    assert torch.equal(*outputs) and not torch.equal(outputs[0], linear(x))


def two_files(folder: Path, model: nn.Module) -> dict[Path, dict[str, Update]]:
    """Two files for every Linear of every block, with what each does to it."""
    files = (folder / "first.safetensors", folder / "second.safetensors")
    return {
        file: write(file, "diffusers", shapes(model), rank=RANK, alpha=ALPHA, seed=seed)
        for seed, file in enumerate(files)
    }


def merged(
    model: nn.Module, stack: Sequence[tuple[dict[str, Update], float]], blocks: Mapping[str, float] | None = None
) -> nn.Module:
    """A copy with the LoRAs, each with its weight, in its own weights; ``blocks``: exact block name → factor."""
    model = copy.deepcopy(model)
    for name, linear in linears(model).items():
        factor = (blocks or {}).get(".".join(name.split(".")[:2]), 1.0)
        for updates, weight in stack:
            if name in updates:
                linear.weight.data += weight * factor * updates[name].delta
    return model


def tensors(model: nn.Module) -> dict[str, tuple[int, Tensor]]:
    """Where every weight lies, and a copy of what it is."""
    return {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()}


def assert_untouched(model: nn.Module, before: dict[str, tuple[int, Tensor]], marks: set[str]) -> None:
    after = model.state_dict()
    assert list(after) == list(before)
    for name, (place, value) in before.items():
        assert after[name].data_ptr() == place and torch.equal(after[name], value), name
    assert traces(model) == marks


def mini_inputs(seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "target": torch.randn(1, 3, 64, 64, generator=draw),
        "source": torch.randn(1, 3, 64, 64, generator=draw),
        "text": torch.randn(1, 5, 768, generator=draw),
        "text_mask": torch.ones(1, 5, dtype=torch.bool),
        "timestep": torch.tensor([0.7]),
    }


@torch.inference_mode()
def field(model: MiniMMDiT) -> Tensor:
    found = model(**mini_inputs())
    return torch.cat([found.gain, found.offset], dim=1)


# ---- every family ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_equals_merged_weights_and_leaves_no_trace(family: str, tmp_path: Path) -> None:
    pipeline = shared(family)
    model = pipeline.transformer
    files = two_files(tmp_path, model)
    first, second = files
    before, marks, plain = tensors(model), traces(model), call(family, pipeline)

    with stack_of(model).applied([LoraWeight(first, 0.8), LoraWeight(second, -0.5)]):
        stacked = call(family, pipeline)
    assert_untouched(model, before, marks)
    np.testing.assert_allclose(call(family, pipeline), plain, atol=1e-6)

    reference = build(family)
    reference.transformer = merged(model, [(files[first], 0.8), (files[second], -0.5)])
    np.testing.assert_allclose(stacked, call(family, reference), atol=1e-4)
    assert np.abs(stacked - plain).max() > 1e-3


def test_pixelsmiles_mixed_file_applies_twelve_targets_at_scale_two_like_peft(tmp_path: Path) -> None:
    """Its files carry no alpha; diffusers itself drops four of the twelve and halves the rest."""
    model = shared("qwen_image_edit_plus").transformer
    file = tmp_path / "pixelsmile.safetensors"
    twelve = {name: shape for name, shape in shapes(model).items() if "mod" not in name}
    updates = write(file, "pixelsmile", twelve, rank=RANK, alpha=2 * RANK, seed=3)
    preset = f"title: smile\nfamily: qwen-image\nsource:\n  file: {file.name}\nalpha: {2 * RANK}\n"
    (tmp_path / "smile.yaml").write_text(
        preset + "description: d\nbase: b\nlicence: MIT\nhomepage: https://example.org\nneeds: nothing\n"
        "weight: 1.0\nweight_range: [0, 2]\n"
    )
    stack = LoraStack(model, "tiny qwen", Presets([tmp_path]))

    report = stack.inspect("smile")
    assert (len(report.targets), report.scales, report.whole) == (len(twelve), (2.0,), True)
    assert len({name.split(".", 2)[2] for name in twelve}) == 12

    state = {f"{name}.lora_A.weight": update.down for name, update in updates.items()}
    state |= {f"{name}.lora_B.weight": update.up for name, update in updates.items()}
    reference = build("qwen_image_edit_plus")
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(twelve))
    inject_adapter_in_model(config, reference.transformer, "smile")
    loaded = set_peft_model_state_dict(reference.transformer, state, adapter_name="smile")
    assert not loaded.unexpected_keys

    with stack.applied([LoraWeight("smile")]):
        ours = call("qwen_image_edit_plus", shared("qwen_image_edit_plus"))
    np.testing.assert_allclose(ours, call("qwen_image_edit_plus", reference), atol=1e-5)


# ---- weights ---------------------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_transformer: MiniMMDiT) -> MiniMMDiT:
    return tiny_transformer


def test_weight_zero_is_the_same_as_none(model: MiniMMDiT, tmp_path: Path) -> None:
    first, _ = two_files(tmp_path, model)
    plain = field(model)
    with stack_of(model).applied([LoraWeight(first, 0.0)]):
        torch.testing.assert_close(field(model), plain, atol=2e-5, rtol=1e-4)


def test_the_same_lora_twice_counts_twice_and_forty_of_them_forty_times(model: MiniMMDiT, tmp_path: Path) -> None:
    ((first, updates), _) = two_files(tmp_path, model).items()
    stack = stack_of(model)
    for count, weight in ((2, 0.3), (40, 0.02)):
        with stack.applied([LoraWeight(first, weight)] * count):
            many = field(model)
        torch.testing.assert_close(many, field(merged(model, [(updates, count * weight)])), atol=2e-5, rtol=1e-4)


def test_a_block_is_named_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MiniMMDiT(channels=24, layers=12, heads=1, rotary_channels=(8, 8, 8))
    randomised(model)
    ((first, updates), _) = two_files(tmp_path, model).items()
    factors = {"transformer_blocks.1": 0.0, "transformer_blocks.3": -1.5}
    with stack_of(model).applied([LoraWeight(first, 0.4, blocks=factors)]):
        blockwise = field(model)
    torch.testing.assert_close(blockwise, field(merged(model, [(updates, 0.4)], factors)), atol=2e-5, rtol=1e-4)


def test_a_single_module_has_the_last_word_over_its_block(model: MiniMMDiT, tmp_path: Path) -> None:
    ((first, updates), _) = two_files(tmp_path, model).items()
    only = {f"transformer_blocks.{index}": 0.0 for index in range(2)} | {"transformer_blocks.1.attn.to_q": 1.0}
    reference = copy.deepcopy(model)
    reference.transformer_blocks[1].attn.to_q.weight.data += updates["transformer_blocks.1.attn.to_q"].delta
    with stack_of(model).applied([LoraWeight(first, 1.0, blocks=only)]):
        torch.testing.assert_close(field(model), field(reference), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("weight", [2.01, -3, float("nan"), float("inf"), "1", True, None])
def test_a_weight_out_of_range_is_refused(weight: object) -> None:
    for lora in (LoraWeight("sketch", weight), LoraWeight("sketch", 1.0, blocks={"transformer_blocks.0": weight})):
        with pytest.raises(LoraError, match=r"'sketch' is .*; it must be a number from -2 to 2"):
            lora.check()


def test_an_unknown_block_is_refused(model: MiniMMDiT, tmp_path: Path) -> None:
    first, _ = two_files(tmp_path, model)
    with (
        pytest.raises(LoraError, match=r"nothing in block 'transformer_blocks\.7'; it touches transformer_blocks\.0"),
        stack_of(model).applied([LoraWeight(first, blocks={"transformer_blocks.7": 1.0})]),
    ):
        pytest.fail("applied")


# ---- nothing silently wrong ------------------------------------------------------------------------------


def test_after_an_exception_everything_is_as_before(model: MiniMMDiT, tmp_path: Path) -> None:
    files = two_files(tmp_path, model)
    before, marks, plain = tensors(model), traces(model), field(model)
    with pytest.raises(KeyError), stack_of(model).applied([LoraWeight(file) for file in files]):
        field(model)
        raise KeyError
    assert_untouched(model, before, marks)
    torch.testing.assert_close(field(model), plain, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("damage", ["unknown module", "half a pair", "wider", "another family"])
def test_a_file_that_does_not_fit_is_refused_whole_and_applied_in_part_only_when_asked(
    model: MiniMMDiT, tmp_path: Path, damage: str
) -> None:
    first, _ = two_files(tmp_path, model)
    held = load_file(first)
    name = "transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"
    if damage == "unknown module":
        held |= {f"transformer.nowhere.lora_{half}.weight": held[name.format(half)].clone() for half in "AB"}
    elif damage == "half a pair":
        del held[name.format("B")]
    elif damage == "wider":
        held[name.format("A")] = torch.randn(RANK, 96)
    else:
        held = {key.replace("img_mlp.net", "ff.net").replace("txt_mlp", "ff_context"): held[key] for key in held}
    save_file(held, first)
    stack, plain = stack_of(model), field(model)
    with pytest.raises(LoraError, match=r"first"), stack.applied([LoraWeight(first)]):
        pytest.fail("applied")
    torch.testing.assert_close(field(model), plain, atol=2e-5, rtol=1e-4)
    with stack.applied([LoraWeight(first, partial=True)]) as applied:
        assert 0 < len(applied[0].report.targets) < len(shapes(model)) + (damage == "unknown module")
        assert not torch.equal(field(model), plain)


def test_an_edit_says_what_it_left_out_of_a_lora(tiny_editor: Editor, photograph: Image.Image, tmp_path: Path) -> None:
    first, _ = two_files(tmp_path, tiny_editor.transformer)
    held, name = load_file(first), "transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"
    asked = EditRequest([photograph], "make it darker", seed=1, loras=[LoraWeight(first, partial=True)])
    assert not tiny_editor.edit(asked).warnings
    save_file(
        held | {f"transformer.nowhere.lora_{half}.weight": held[name.format(half)].clone() for half in "AB"}, first
    )
    (warning,) = tiny_editor.edit(asked).warnings
    assert warning.startswith("first.safetensors was applied in part") and "nowhere" in warning


def test_nothing_that_fits_is_refused_even_in_part(model: MiniMMDiT, tmp_path: Path) -> None:
    file = tmp_path / "flux.safetensors"
    write(file, "diffusers", {"single_transformer_blocks.0.attn.to_q": (16, 16)}, rank=2, alpha=2.0, seed=0)
    with pytest.raises(LoraError), stack_of(model).applied([LoraWeight(file, partial=True)]):
        pytest.fail("applied")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_refused(model: MiniMMDiT, tmp_path: Path, value: float) -> None:
    first, _ = two_files(tmp_path, model)
    held = load_file(first)
    next(iter(held.values())).view(-1)[0] = value
    save_file(held, first)
    with pytest.raises(LoraError, match="NaN or infinity"), stack_of(model).applied([LoraWeight(first)]):
        pytest.fail("applied")


def test_a_module_that_is_never_called_is_reported(tmp_path: Path) -> None:
    """Fused projections answer in place of to_q, to_k and to_v, so a LoRA on those would do nothing."""
    pipeline = build("flux_kontext")
    first, _ = two_files(tmp_path, pipeline.transformer)
    stack = stack_of(pipeline.transformer)
    pipeline.transformer.fuse_qkv_projections()
    with (
        pytest.raises(LoraError, match=r"never called single_transformer_blocks\.0\.attn\.to_k and 17 more"),
        stack.applied([LoraWeight(first)]),
    ):
        call("flux_kontext", pipeline)


# ---- loading ---------------------------------------------------------------------------------------------


def test_other_weights_read_nothing_again_and_a_changed_file_is_read(model: MiniMMDiT, tmp_path: Path) -> None:
    first, _ = two_files(tmp_path, model)
    stack, when = stack_of(model), first.stat().st_mtime_ns
    with stack.applied([LoraWeight(first, 0.5)]):
        half = field(model)
    write(first, "diffusers", shapes(model), rank=RANK, alpha=ALPHA, seed=7)
    os.utime(first, ns=(when, when))  # as if it were the file that was read
    with stack.applied([LoraWeight(first, 0.25)]):
        pass
    with stack.applied([LoraWeight(first, 0.5)]):
        torch.testing.assert_close(field(model), half, atol=2e-5, rtol=1e-4)
    os.utime(first, ns=(when + 10**9, when + 10**9))
    with stack.applied([LoraWeight(first, 0.5)]):
        assert not torch.equal(field(model), half)


def test_what_is_kept_of_loaded_files_is_bounded(model: MiniMMDiT, tmp_path: Path) -> None:
    files = []
    for seed in range(6):
        files.append(tmp_path / f"{seed}.safetensors")
        write(files[-1], "diffusers", shapes(model), rank=RANK, alpha=ALPHA, seed=seed)
    size = files[0].stat().st_size
    stack = stack_of(model, cache_bytes=2 * size)
    for file in files:
        with stack.applied([LoraWeight(file)]):
            field(model)
    assert 0 < stack.kept_bytes <= 2 * size


def test_weights_in_eight_bits_work(model: MiniMMDiT, tmp_path: Path) -> None:
    ((first, updates), _) = two_files(tmp_path, model).items()
    rounded = copy.deepcopy(model)
    for name, linear in linears(rounded).items():
        if "blocks." in name:
            linear.weight.data, linear.bias.data = (
                value.data.to(torch.float8_e4m3fn).float() for value in (linear.weight, linear.bias)
            )
    for block in model.transformer_blocks:
        apply_layerwise_casting(block, torch.float8_e4m3fn, torch.float32, skip_modules_pattern=["norm"])
    plain = field(model)
    torch.testing.assert_close(plain, field(rounded), atol=2e-5, rtol=1e-4)
    with stack_of(model).applied([LoraWeight(first)]):
        torch.testing.assert_close(field(model), field(merged(rounded, [(updates, 1.0)])), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(field(model), plain, atol=2e-5, rtol=1e-4)


def test_a_compiled_model_takes_them_too(model: MiniMMDiT, tmp_path: Path) -> None:
    ((first, updates), _) = two_files(tmp_path, model).items()
    reference = field(merged(model, [(updates, 1.0)]))
    for block in model.transformer_blocks:
        block.compile(backend="eager")
    field(model)
    with stack_of(model).applied([LoraWeight(first)]):
        torch.testing.assert_close(field(model), reference, atol=2e-5, rtol=1e-4)


# ---- the editor ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tiny_editor_folder: Path) -> Editor:
    return load_editor(tiny_editor_folder, device="cpu")


def request_for(photograph: Image.Image, **fields: object) -> EditRequest:
    return EditRequest([photograph], "make it black and white", seed=3, steps=2, **fields)


def test_an_edit_with_loras_says_so_and_the_next_one_is_plain(
    tiny: Editor, photograph: Image.Image, tmp_path: Path
) -> None:
    first, second = two_files(tmp_path, tiny.transformer)
    plain = tiny.edit(request_for(photograph))
    loras = [LoraWeight(first, 0.5), LoraWeight(second, 1.0, blocks={"transformer_blocks.1": 0.5})]
    stacked = tiny.edit(request_for(photograph, loras=loras))
    assert stacked.image.tobytes() != plain.image.tobytes()
    assert plain.settings["loras"] == []
    for lora, said in zip(loras, stacked.settings["loras"], strict=True):
        report = tiny.inspect_lora(lora.name_or_path)
        assert said == {
            "name": lora.name_or_path.name, "file": lora.name_or_path.name, "sha256": report.sha256,
            "weight": lora.weight, "blocks": lora.blocks, "alpha": ALPHA, "scale": ALPHA / RANK,
        }  # fmt: skip
    assert tiny.edit(request_for(photograph)).image.tobytes() == plain.image.tobytes()


def test_recording_changes_nothing_and_sees_the_loras(tiny: Editor, photograph: Image.Image, tmp_path: Path) -> None:
    first, _ = two_files(tmp_path, tiny.transformer)
    request = request_for(photograph, loras=[LoraWeight(first)])
    recorded = tiny.edit(replace(request, record=RecordSpec()))
    assert recorded.image.tobytes() == tiny.edit(request).image.tobytes()
    without = tiny.edit(request_for(photograph, record=RecordSpec()))
    assert not np.array_equal(
        recorded.maps.select("image_to_text", "target"), without.maps.select("image_to_text", "target")
    )


@pytest.mark.parametrize("name", ["no-such-preset", "missing.safetensors", ""])
def test_a_lora_that_is_not_there_ends_the_edit_before_it_starts(
    tiny: Editor, photograph: Image.Image, name: str
) -> None:
    with pytest.raises(LoraError):
        tiny.edit(request_for(photograph, loras=[LoraWeight(name)]))
