"""Measuring real architectures on random weights: that they are real, that the modes are fair, what is reported."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_checkpoints
import torch
from torch import nn

from mmdit.attention.layout import TokenLayout
from mmdit.cli import main
from mmdit.families import bench as bench_module
from mmdit.families.bench import MODES, Report, measured
from mmdit.families.bench_model import (
    FAMILIES,
    Edit,
    Settings,
    check,
    layout_of,
    materialise,
    on_meta,
    parameters_of,
    usable_device,
)
from mmdit.lora.architectures import KNOWN, linear_shapes

CPU = torch.device("cpu")
SMALL = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16, "joint_attention_dim": 32}
TINY: Mapping[str, Mapping[str, Any]] = {
    "flux-kontext": {**SMALL, "num_single_layers": 2, "pooled_projection_dim": 16, "axes_dims_rope": (4, 6, 6)},
    "flux2-dev": {**SMALL, "num_single_layers": 2, "axes_dims_rope": (4, 4, 4, 4)},
    "flux2-klein-4b": {**SMALL, "num_single_layers": 2, "axes_dims_rope": (4, 4, 4, 4)},
    "qwen-image-edit": {**SMALL, "axes_dims_rope": (4, 6, 6)},
    "sd3.5-medium": {
        **SMALL, "caption_projection_dim": 32, "pooled_projection_dim": 16, "pos_embed_max_size": 8,
        "dual_attention_layers": (0,),
    },
}  # fmt: skip
"""Changes that make a model of each kind small; its shape stays."""
BILLIONS = {
    "flux-kontext": 11.9, "flux2-dev": 32.2, "flux2-klein-4b": 3.88, "flux2-klein-9b": 9.08, "qwen-image-edit": 20.4,
    "sd3.5-medium": 2.24, "sd3.5-large": 8.06,
}  # fmt: skip
"""Of the published transformers, positions not counted."""
TINY_PIPELINES = {
    "flux-kontext": "flux_kontext",
    "flux2-dev": "flux2",
    "flux2-klein-4b": "flux2_klein",
    "qwen-image-edit": "qwen_image_edit_plus",
    "sd3.5-medium": "stable_diffusion_3",
}


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_module.PROBE_SIDE, "cpu", 64)


def tiny(family: str, **given: Any) -> Settings:
    return Settings(family, **{"resolution": 64, "steps": 2, "repeats": 1, "changes": TINY[family], **given})


# ---- the architectures ----


@pytest.mark.parametrize("family", FAMILIES)
def test_the_architecture_is_the_real_one(family: str) -> None:
    few_positions = {"pos_embed_max_size": 8} if family.startswith("sd3") else {}  # which would take seconds to compute
    transformer = on_meta(Settings(family, changes=few_positions))
    linears = {
        name: tuple(module.weight.shape)
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
    }
    assert parameters_of(transformer) / 1e9 == pytest.approx(BILLIONS[family], rel=0.005)
    assert linears == linear_shapes(FAMILIES[family].architecture)
    assert {parameter.device.type for parameter in transformer.parameters()} == {"meta"}


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("sd3")])
def test_the_table_agrees_with_the_defaults_of_diffusers(family: str) -> None:
    kind, given = KNOWN[FAMILIES[family].architecture]
    with torch.device("meta"):
        theirs = getattr(diffusers, kind)(**given)
    ours = on_meta(Settings(family))
    assert {name: of.shape for name, of in ours.named_parameters()} == {
        name: of.shape for name, of in theirs.named_parameters()
    }


def test_blocks_shorten_both_stacks_and_never_lengthen_one() -> None:
    few, many = (on_meta(Settings("flux2-klein-4b", blocks=blocks)) for blocks in (1, 10))
    assert (len(few.transformer_blocks), len(few.single_transformer_blocks)) == (1, 1)
    assert (len(many.transformer_blocks), len(many.single_transformer_blocks)) == (5, 10)


def test_weights_are_drawn_in_bfloat16_and_as_deep_as_the_real_one_stays_finite() -> None:
    settings = tiny("flux-kontext", changes={**TINY["flux-kontext"], "num_layers": 19, "num_single_layers": 38})
    transformer = on_meta(settings)
    materialise(transformer, CPU)
    assert {(parameter.dtype, parameter.device) for parameter in transformer.parameters()} == {(torch.bfloat16, CPU)}
    with torch.no_grad():
        output = Edit.of(settings, transformer, layout_of(settings)).step(1.0)
    assert output.isfinite().all()
    assert 0.01 < output.float().std() < 100


@pytest.mark.parametrize("family", TINY_PIPELINES)
def test_inputs_are_those_of_the_pipeline(family: str) -> None:
    """But for the numbers in latents and text."""
    name = TINY_PIPELINES[family]
    pipeline = tiny_checkpoints.build(name)
    calls: list[dict[str, Any]] = []
    handle = pipeline.transformer.register_forward_pre_hook(lambda *call: calls.append(call[2]), with_kwargs=True)
    tiny_checkpoints.call(name, pipeline, steps=1, guidance=False)
    handle.remove()
    told = tiny_checkpoints.expected(name, pipeline, guidance=False)
    layout = TokenLayout.for_edit(told.text_tokens, told.target, told.references, told.text_first)
    ours = Edit.of(Settings(family), pipeline.transformer, layout).arguments
    theirs = calls[0]
    given = {name for name, value in theirs.items() if value is not None and not name.endswith("attention_kwargs")}
    assert given - {"timestep", "return_dict"} == {name for name, value in ours.items() if value is not None}
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert value.shape == theirs[name].shape, name
        if name.endswith("_ids"):
            assert torch.equal(value.float(), theirs[name].float()), name
    assert ours.get("img_shapes") == theirs.get("img_shapes")


# ---- the modes ----


@pytest.mark.parametrize("family", TINY)
def test_three_modes_run_and_recording_changes_nothing(family: str) -> None:
    report = measured(tiny(family))
    assert [cost.mode for cost in report.modes] == list(MODES)
    assert all(cost.median > 0 and cost.rate > 0 and not cost.out_of_memory for cost in report.modes)
    assert report.modes[0].to_plain == 1
    assert report.bit_identical is True
    assert report.maps_differ < 0.02  # shares in bfloat16 have 8 bits
    assert report.heads_at_once == report.heads == 2
    assert report.layers == sum(report.blocks)
    references = {} if family.startswith("sd3") else {"reference:0": 16}
    assert dict(report.tokens) == {"text": FAMILIES[family].text_tokens, "target": 16, **references}


def test_heads_that_do_not_fit_at_once_are_materialised_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "FULL_COPIES", 2**40)
    report = measured(tiny("flux-kontext"))
    assert report.heads_at_once == 1
    assert report.maps_differ < 0.02


def test_a_changed_output_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def meddling(edit: Edit) -> bench_module.Done:
        return bench_module.Done([output + 1e-2 for output in edit.run()])

    monkeypatch.setitem(bench_module.RUNS, "recording", meddling)
    monkeypatch.setattr(bench_module, "_difference", lambda *_: 0.0)
    assert measured(tiny("flux-kontext")).bit_identical is False


def test_operations_are_those_of_linears_and_attention() -> None:
    """Of Qwen-Image all image tokens pass one set of Linears, all text tokens the other."""
    report = measured(tiny("qwen-image-edit"))
    width, text, image = 32, report.tokens["text"], 32
    block = 2 * 12 * width**2 * (text + image) + 4 * (text + image) ** 2 * width
    modulations = report.layers * 2 * 2 * 6 * width**2
    ends = 2 * width * (64 * image + 32 * text + 64 * image) + 2 * (256 * width + width**2 + 2 * width**2)
    assert report.operations == report.layers * block + modulations + ends


def out_of_memory(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_out_of_memory_is_a_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(bench_module.RUNS, "full softmax", out_of_memory)
    bench_module.bench(tiny("flux-kontext"))
    printed = capsys.readouterr().out
    assert [line.split(maxsplit=2)[2] for line in printed.splitlines() if line.startswith("full softmax")] == [
        "out of memory"
    ]
    assert "plain and recording give the same output, bit for bit" in printed
    assert "differ" not in printed


def test_a_plain_run_out_of_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_module.RUNS, "plain", out_of_memory)
    with pytest.raises(ValueError, match=r"the plain run ran out of memory; lower the resolution"):
        measured(tiny("flux-kontext"))


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Edit) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setitem(bench_module.RUNS, "full softmax", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        measured(tiny("flux-kontext"))


# ---- what can't be ----


def test_too_little_memory_is_said_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdit.families.bench_model.free_bytes", lambda _: 12 * 10**9)
    monkeypatch.setattr(bench_module, "materialise", lambda *_: pytest.fail("something was allocated"))
    with pytest.raises(ValueError, match=r"11\.9 billion parameters × 2 bytes = 24 GB, .* 12 GB of system memory"):
        measured(Settings("flux-kontext", device="cpu"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"family": "flux-context"}, f"'flux-context' is unknown; use one of {', '.join(FAMILIES)}"),
        ({"resolution": 1000}, "resolution is 1000; flux-kontext takes multiples of 16 up to"),
        ({"family": "sd3.5-large", "resolution": 4096}, "takes multiples of 16 up to 3072"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"repeats": 0}, "repeats is 0"),
        ({"blocks": 0}, "blocks is 0"),
    ],
)
def test_settings_that_can_not_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(replace(Settings("flux-kontext"), **given))


def test_a_device_that_is_not_here() -> None:
    with pytest.raises(ValueError, match="device 'abacus' can't be measured here; use one of"):
        usable_device("abacus")


# ---- the command ----


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["bench", "family", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_command_prints_and_writes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = replace(FAMILIES["flux-kontext"], more=TINY["flux-kontext"])
    monkeypatch.setitem(FAMILIES, "flux-kontext", model)
    file = tmp_path / "numbers.json"
    status, printed, _ = run(
        capsys, "--family", "flux-kontext", "--random-weights", "--resolution", 64, "--blocks", 1, "--steps", 1,
        "--repeats", 2, "--device", "cpu", "--json", file,
    )  # fmt: skip
    assert status == 0
    assert printed.startswith("This runs without a GPU: only the ratios mean something.\n")
    assert "1 double and 1 single blocks, 2 heads × 16" in printed
    assert f"torch {torch.__version__}" in printed
    assert "544 tokens (512 text, 16 target, 16 reference:0)" in printed
    assert "not measured" in printed
    found = json.loads(file.read_text())
    assert set(found) == set(Report.__dataclass_fields__)
    assert [cost["mode"] for cost in found["modes"]] == list(MODES)
    assert all(len(cost["seconds"]) == 2 for cost in found["modes"])
    assert found["bit_identical"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--family", "flux-kontext"], "needs --random-weights; real weights are loaded with `python -m mmdit edit`"),
        (["--family", "flux", "--random-weights"], f"family 'flux' is unknown; use one of {', '.join(FAMILIES)}"),
        (["--family", "flux-kontext", "--random-weights", "--json", "nowhere/n.json"], "'nowhere' does not exist"),
    ],
)
def test_command_refuses_in_one_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    status, printed, error = run(capsys, *arguments)
    assert (status, printed, error.count("\n")) == (2, "", 1)
    assert said in error
