"""What `inspect` says of LoRA files: good, foreign, damaged and hostile ones; and the models it holds them against."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
)
from lora_files import Shapes, keys, tensors, write, write_sparse
from peft import LoraConfig
from safetensors.torch import save_file
from tiny_checkpoints import build
from torch import Tensor, nn

from mmdit.catalog import CATALOG
from mmdit.cli import main
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel
from mmdit.lora.architectures import KNOWN, guess_family, linear_shapes
from mmdit.lora.formats import seed_targets
from mmdit.lora.inspect import LARGEST_SCALE, LoraError, LoraReport, inspect, read_header
from mmdit.model.transformer import MiniMMDiT
from mmdit.ui.lora_markup import Row, truth

REPOSITORY = Path(__file__).resolve().parent.parent
TO_Q = "transformer_blocks.0.attn.to_q"


@cache
def shapes(family: str) -> Shapes:
    """Every Linear of a tiny pipeline's transformer."""
    return shapes_of(build(family).transformer)


def shapes_of(model: nn.Module) -> Shapes:
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return {name: (one.out_features, one.in_features) for name, one in linears.items()}


def blocks_of(modules: Shapes) -> Shapes:
    return {name: shape for name, shape in modules.items() if "_blocks" in name}


def attention(modules: Shapes) -> Shapes:
    return {name: shape for name, shape in modules.items() if ".attn." in name}


def inspect_tensors(folder: Path, held: Mapping[str, Tensor], modules: Shapes, **options: Any) -> LoraReport:
    save_file(dict(held), folder / "lora.safetensors")
    return inspect(folder / "lora.safetensors", modules, "the model", **options)


def counts(report: LoraReport) -> tuple[int, int, int, int, int]:
    lost = (report.missing, report.incomplete, report.mismatched, report.unknown)
    return (len(report.targets), *map(len, lost))


# ---- the cases that libraries pass over in silence ----


@pytest.mark.parametrize("family", ["qwen_image_edit", "flux_kontext", "flux2_klein", "stable_diffusion_3"])
@pytest.mark.parametrize("format", ["bare", "peft", "kohya"])
def test_keys_that_load_nothing_elsewhere_match_here(family: str, format: str, tmp_path: Path) -> None:
    modules = attention(shapes(family))
    write(tmp_path / "lora.safetensors", format, modules)
    report = inspect(tmp_path / "lora.safetensors", shapes(family), "the model")
    assert report.whole and counts(report) == (len(modules), 0, 0, 0, 0)
    assert report.refusal() == ""


@pytest.mark.parametrize(
    ("own", "format", "foreign"),
    [
        ("qwen_image_edit", "diffusers", "flux_kontext"),
        ("qwen_image_edit", "kohya-original", "flux_kontext"),
        ("flux_kontext", "diffusers", "qwen_image_edit"),
        ("flux_kontext", "pixelsmile", "qwen_image_edit"),
        ("flux_kontext", "original-sd3", "stable_diffusion_3"),
        ("flux2_klein", "original", "flux_kontext"),
        ("stable_diffusion_3", "kohya", "flux2_klein"),
    ],
)
def test_a_file_of_another_family_is_not_whole(own: str, format: str, foreign: str, tmp_path: Path) -> None:
    written = write(tmp_path / "lora.safetensors", format, blocks_of(shapes(foreign)))
    report = inspect(tmp_path / "lora.safetensors", shapes(own), "the model")
    assert not report.whole and len(report.targets) < len(written)
    assert report.unknown or report.mismatched
    assert report.refusal().startswith("lora.safetensors does not fit the model: ")


def test_some_unknown_keys(tmp_path: Path) -> None:
    held = tensors("diffusers", attention(shapes("qwen_image_edit")))
    for module in ("nowhere.to_q", "transformer_blocks.9.attn.to_q"):
        held |= {f"transformer.{module}.lora_{half}.weight": torch.ones(4, 4) for half in "AB"}
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert counts(report) == (24, 0, 0, 0, 2) and not report.whole
    assert report.unknown == ("nowhere.to_q", "transformer_blocks.9.attn.to_q")
    assert [(one.block, one.unknown) for one in report.blocks if one.unknown] == [
        ("other", 1),
        ("transformer_blocks.9", 1),
    ]
    assert "2 that the model does not have or take (nowhere.to_q, transformer_blocks.9.attn.to_q)" in report.refusal()


def test_half_a_pair(tmp_path: Path) -> None:
    held = tensors("diffusers", attention(shapes("qwen_image_edit")))
    del held[f"transformer.{TO_Q}.lora_B.weight"], held["transformer.transformer_blocks.1.attn.to_k.lora_A.weight"]
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert counts(report) == (22, 2, 2, 0, 0) and not report.whole
    assert report.incomplete == report.missing == (TO_Q, "transformer_blocks.1.attn.to_k")
    assert f"2 with half a pair ({TO_Q}, transformer_blocks.1.attn.to_k)" in report.refusal()


@pytest.mark.parametrize("family", ["flux_kontext", "qwen_image_edit"])
def test_another_shape(family: str, tmp_path: Path) -> None:
    """With larger in_features diffusers widens FLUX's layer for good; Qwen-Image's it refuses."""
    modules = attention(shapes(family))
    out, features = modules[TO_Q]
    write(tmp_path / "lora.safetensors", "diffusers", modules | {TO_Q: (out, features + 8)})
    report = inspect(tmp_path / "lora.safetensors", shapes(family), "the model")
    assert counts(report) == (len(modules) - 1, 0, 0, 1, 0) and not report.whole
    assert report.mismatched == (
        f"{TO_Q}: the file's pair is {features + 8} → {out}, the model's layer {features} → {out}",
    )
    assert report.mismatched[0] in report.refusal()


@pytest.mark.parametrize(
    ("down", "up", "words"),
    [((4, 48), (49, 4), "48 → 49"), ((4, 48), (48, 3), "no common rank"), ((0, 48), (48, 0), "no common rank"),
     ((4, 48, 1, 1), (48, 4, 1, 1), "not two matrices"), ((192,), (48, 4), "not two matrices")],
)  # fmt: skip
def test_every_wrong_shape(down: tuple[int, ...], up: tuple[int, ...], words: str, tmp_path: Path) -> None:
    held = {f"{TO_Q}.lora_A.weight": torch.zeros(down), f"{TO_Q}.lora_B.weight": torch.zeros(up)}
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert counts(report)[::3] == (0, 1) and words in report.mismatched[0]


@pytest.mark.parametrize("rows", [95, 97, 32])
def test_a_fused_pair_of_other_rows_fits_none_of_its_modules(rows: int, tmp_path: Path) -> None:
    held = tensors("original", blocks_of(shapes("flux_kontext")))
    held["diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight"] = torch.zeros(rows, 4)
    report = inspect_tensors(tmp_path, held, shapes("flux_kontext"))
    assert [text.split(":")[0] for text in report.mismatched] == [f"{TO_Q[:-1]}{letter}" for letter in "qkv"]


def test_two_pairs_for_one_module_are_not_guessed_at(tmp_path: Path) -> None:
    modules = {TO_Q: shapes("qwen_image_edit")[TO_Q]}
    report = inspect_tensors(
        tmp_path, tensors("diffusers", modules) | tensors("kohya", modules, seed=1), shapes("qwen_image_edit")
    )
    assert report.mismatched == (f"{TO_Q}: the file has two pairs for it",) and not report.targets
    assert report.format == "mixed"


@pytest.mark.parametrize(
    ("ending", "words"),
    [("dora_scale", "DoRA magnitudes"), ("lora_magnitude_vector", "DoRA magnitudes"), ("lokr_w1", "LoKr"),
     ("hada_w1_a", "LoHa"), ("diff", "full weight difference"), ("lora_B.bias", "bias")],
)  # fmt: skip
def test_more_than_pairs_is_refused_in_words(ending: str, words: str, tmp_path: Path) -> None:
    held = tensors("diffusers", attention(shapes("qwen_image_edit")))
    held[f"transformer.{TO_Q}.{ending}"] = torch.ones(48)
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert not report.whole and report.unknown == (f"{TO_Q} ({words})",)
    assert f"({TO_Q} ({words}))" in report.refusal()
    assert ("which can't be applied" in report.refusal()) == bool(report.methods) == (words != "bias")


def test_a_lokr_file_is_counted_by_layers(tmp_path: Path) -> None:
    names = [f"lycoris_transformer_blocks_{index}_attn_to_q" for index in range(3)]
    held = {f"{name}.{part}": torch.ones(4, 4) for name in names for part in ("lokr_w1", "lokr_w2")}
    held |= {f"{name}.alpha": torch.tensor(4.0) for name in names}
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert counts(report) == (0, 0, 0, 0, 3) and (report.format, report.methods) == ("LoKr", ("LoKr",))
    assert report.refusal().startswith("lora.safetensors holds LoKr, which can't be applied: 0 modules match, 3 ")
    assert report.refusal().endswith("; use a LoRA of low-rank pairs") and "alpha" not in report.evidence
    assert report.unknown[0] == "transformer_blocks_0_attn_to_q (LoKr)"
    assert [one.block for one in report.blocks] == [f"transformer_blocks.{index}" for index in range(3)]


def test_text_encoder_keys_make_a_file_not_whole(tmp_path: Path) -> None:
    held = tensors("kohya", attention(shapes("flux_kontext")))
    stem = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    held |= {f"{stem}.lora_down.weight": torch.ones(4, 32), f"{stem}.lora_up.weight": torch.ones(32, 4)}
    held[f"{stem}.alpha"] = torch.tensor(4.0)
    report = inspect_tensors(tmp_path, held, shapes("flux_kontext"))
    assert report.unknown == (f"{stem} (text encoder)",) and not report.whole


# ---- what is missing ----


def test_blocks_left_out_are_listed_and_change_nothing(tmp_path: Path) -> None:
    modules = shapes("flux_kontext")
    some = {name: shape for name, shape in attention(modules).items() if name.startswith("transformer_blocks.1.")}
    write(tmp_path / "lora.safetensors", "diffusers", some)
    report = inspect(tmp_path / "lora.safetensors", modules, "the model")
    assert report.whole and not report.incomplete
    assert set(report.missing) == {name.replace("s.1.", "s.0.") for name in some}
    assert [(one.block, one.matched, one.missing) for one in report.blocks] == [
        ("transformer_blocks.0", 0, 8),
        ("transformer_blocks.1", 8, 0),
    ]


def test_an_empty_file_of_tensors_is_not_whole(tmp_path: Path) -> None:
    report = inspect_tensors(tmp_path, {}, shapes("flux_kontext"))
    assert not report.whole and counts(report) == (0, 0, 0, 0, 0) and "it holds no LoRA" in report.refusal()
    assert report.table().splitlines()[0].split() == ["block", "matched", "missing", "mismatched", "unknown"]


# ---- alpha ----


def alpha_report(folder: Path, metadata: dict[str, str], alpha: float | None = None) -> LoraReport:
    modules = attention(shapes("qwen_image_edit"))
    write(folder / "lora.safetensors", "bare", modules, rank=4, metadata=metadata)
    return inspect(folder / "lora.safetensors", modules, "the model", alpha)


@pytest.mark.parametrize(
    ("metadata", "given", "alpha", "words"),
    [
        ({}, None, 4.0, "no alpha in the file"),
        ({}, 8.0, 8.0, "alpha 8 is given with it"),
        ({"network_alpha": "16"}, 8.0, 16.0, "alpha 16 is in its metadata"),
        ({"ss_network_alpha": "1"}, None, 4.0, "no alpha in the file"),
        ({"network_alpha": "None"}, None, 4.0, "no alpha in the file"),
        ({"network_alpha": "nan"}, 2.0, 2.0, "alpha 2 is given with it"),
        ({"lora_adapter_metadata": '{"transformer.lora_alpha": 2, "text_encoder.lora_alpha": 9}'}, 8.0, 2.0, "alpha 2"),
    ],
)
def test_alpha_is_looked_for_in_order(
    metadata: dict[str, str], given: float | None, alpha: float, words: str, tmp_path: Path
) -> None:
    report = alpha_report(tmp_path, metadata, given)
    assert (report.ranks, report.alphas, report.scales) == ((4,), (alpha,), (alpha / 4,))
    assert words in report.evidence


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_alpha_tensors_of_every_type(dtype: torch.dtype, tmp_path: Path) -> None:
    held = tensors("kohya", attention(shapes("qwen_image_edit")), alpha=6.0)
    held = {key: value.to(dtype) if key.endswith("alpha") else value for key, value in held.items()}
    name = "lora_unet_transformer_blocks_0_attn_to_q.alpha"
    held[name] = held[name].reshape(1) * 2
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"), alpha=99.0)
    assert (report.alphas, report.scales) == ((6.0, 12.0), (1.5, 3.0))
    assert next(target.scale for target in report.targets if target.module == TO_Q) == 3.0
    assert report.as_json()["alpha"] == [6.0, 12.0] and report.as_json()["rank"] == 4


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_pairs_and_their_alpha_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    held = tensors("kohya", attention(shapes("qwen_image_edit")), alpha=6.0)
    held = {key: value.to(dtype) for key, value in held.items()}
    report = inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))
    assert report.whole and (report.alpha, report.scale) == (6.0, 1.5)


@pytest.mark.parametrize(("dtype", "named"), [(torch.int8, "I8"), (torch.uint8, "U8"), (torch.bool, "BOOL")])
def test_pairs_that_are_no_floating_point_numbers_are_refused(dtype: torch.dtype, named: str, tmp_path: Path) -> None:
    held = tensors("bare", attention(shapes("qwen_image_edit")))
    held = {key: value.to(dtype) for key, value in held.items()}
    with pytest.raises(LoraError, match=rf"holds {named}, which are no weights; get it as BF16 or F16"):
        inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))


def test_rank_stabilised_scale_is_pefts(tmp_path: Path) -> None:
    model = build("flux_kontext").transformer
    model.add_adapter(LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["to_q", "proj_out"]))
    model.save_lora_adapter(tmp_path, weight_name="lora.safetensors")
    report = inspect(tmp_path / "lora.safetensors", shapes("flux_kontext"), "the model")
    wrapped = {name: module for name, module in model.named_modules() if hasattr(module, "scaling") and module.scaling}
    assert {target.module: target.scale for target in report.targets} == {
        name: pytest.approx(module.scaling["default"]) for name, module in wrapped.items()
    }
    assert report.scales == (3.0,)


@pytest.mark.parametrize("alpha", [1.5e39, -1.5e39, 1e300])
def test_a_scale_that_no_weights_can_have_is_refused(alpha: float, tmp_path: Path) -> None:
    file, modules = tmp_path / "adapter_model.safetensors", attention(shapes("qwen_image_edit"))
    write(file, "peft", modules, rank=4)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": alpha}))
    with pytest.raises(LoraError, match=r"gives alpha -?1.*damaged"):
        inspect(file, modules, "")


def test_the_largest_scale_is_float32s() -> None:
    assert np.finfo(np.float32).max == LARGEST_SCALE


def test_a_scale_of_0_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lora.safetensors"
    write(file, "diffusers", blocks_of(linear_shapes("mini")), rank=4, alpha=0.0)
    assert main(["lora", "inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "69 of 69 modules have scale 0 and are not changed" in shown and "everything fits" not in shown
    drawn = truth(Row("lora", "lora", "lora", None, inspect(file, linear_shapes("mini"), "mini")))
    assert "69 of 69 modules have scale 0" in drawn and "Applies whole" not in drawn


def test_pefts_own_folder_has_alpha_beside(tmp_path: Path) -> None:
    modules = attention(shapes("qwen_image_edit"))
    for name in ("adapter_model", "other"):
        write(tmp_path / f"{name}.safetensors", "peft", modules)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 32}))
    scales = [inspect(tmp_path / f"{name}.safetensors", modules, "").scales for name in ("adapter_model", "other")]
    assert scales == [(8.0,), (1.0,)]


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"transformer.alpha_pattern": {"(a+)+$": 2}}', "only numbers by module name"),
        ('{"transformer.alpha_pattern": {"to_q": "much"}}', "only numbers by module name"),
        ('{"transformer.alpha_pattern": {"to_q": 1' + "0" * 400 + "}}", "only numbers by module name"),
        ('{"transformer.alpha_pattern": [1]}', "only numbers by module name"),
    ],
)
def test_an_adapter_configuration_that_cannot_be_followed(adapter: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LoraError, match=words):
        alpha_report(tmp_path, {"lora_adapter_metadata": adapter})


def test_an_alpha_that_is_no_number_is_refused(tmp_path: Path) -> None:
    held = tensors("kohya", attention(shapes("qwen_image_edit")))
    held["lora_unet_transformer_blocks_0_attn_to_q.alpha"] = torch.tensor(float("nan"))
    with pytest.raises(LoraError, match=f"alpha nan for {TO_Q}"):
        inspect_tensors(tmp_path, held, shapes("qwen_image_edit"))


# ---- files that are none ----


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def with_header(text: str, data: int) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + bytes(data)


OVERLAP = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
TOO_LARGE = '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,8]}}'
HOSTILE: dict[str, bytes] = {
    "empty": b"", "one byte": b"{", "no header": bytes(8), "header of 2 GB": (2 << 30).to_bytes(8, "little") + b"{}",
    "header past the end": (100).to_bytes(8, "little") + b"{}", "no JSON": with_header("{{", 0),
    "a list": with_header("[1]", 0), "nested": with_header("[" * 100_000, 0), "overlap": with_header(OVERLAP, 12),
    "shape and size disagree": with_header(TOO_LARGE, 8), "data beyond": with_header("{}", 7),
    "metadata of numbers": with_header('{"__metadata__":{"a":1}}', 0), "negative": b"\xff" * 64,
    "zip": b"PK\x03\x04" + bytes(200), "text": b"A LoRA, honestly." * 9,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_none_costs_one_sentence(name: str, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    file.write_bytes(HOSTILE[name])
    assert_refused(file)


def assert_refused(file: Path) -> None:
    with pytest.raises(LoraError) as caught:
        read_header(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_file_costs_one_sentence(tmp_path: Path) -> None:
    assert_refused(tmp_path / "missing.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert_refused(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_are_not_executed(protocol: int, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol))
    assert_refused(file)
    torch.save({"a": Trap(tmp_path / "sprung")}, file)
    assert_refused(file)
    assert not (tmp_path / "sprung").exists()


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    write(file, "kohya", attention(shapes("qwen_image_edit")))
    whole = file.read_bytes()
    for length in (0, 4, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert_refused(file)


INSPECT = """
import json, sys, time, types
package = types.ModuleType("mmdit")  # without what `import mmdit` loads besides
package.__path__ = [sys.argv[1]]
sys.modules["mmdit"] = package
import mmdit.cli_lora
from mmdit.lora.architectures import linear_shapes
from mmdit.lora.inspect import inspect

def peak():  # not getrusage, whose peak a process inherits from the one that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))

modules, before, started = linear_shapes("qwen-image"), peak(), time.perf_counter()
report = inspect(sys.argv[2], modules, "qwen-image")
seconds = [time.perf_counter() - started]
found = [report.whole, len(report.targets), report.family, len(report.sha256)]
seconds.append(time.perf_counter() - started)
print(json.dumps([found, report.bytes, peak() - before, seconds, "torch" in sys.modules]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
def test_an_850_mb_file_needs_next_to_no_memory_and_no_torch(tmp_path: Path) -> None:
    file, modules = tmp_path / "large.safetensors", linear_shapes("qwen-image")
    ends = tuple(f".{own}" for own in seed_targets("qwen-image").values())
    twelve = {name: shape for name, shape in modules.items() if name.endswith(ends)}
    write_sparse(file, keys("pixelsmile", twelve, rank=64))
    ended = subprocess.run(
        [sys.executable, "-c", INSPECT, str(REPOSITORY / "mmdit"), str(file)],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found, size, grown, seconds, has_torch = json.loads(ended.stdout)
    print(f"inspected {size / 1e6:.1f} MB in {seconds[0]:.3f} s, with family and sha256 in {seconds[1]:.3f} s,")
    print(f"in {grown / 1e6:.1f} MB more memory")
    assert found == [True, 720, "qwen-image", 64] and not has_torch
    assert size > 2 * 424_673_280 and grown < 50e6
    assert file.stat().st_blocks * 512 < 10e6


# ---- the report ----


def test_json_and_table(tmp_path: Path) -> None:
    modules = linear_shapes("qwen-image")
    some = {name: shape for name, shape in attention(modules).items() if not name.startswith("transformer_blocks.7.")}
    file = tmp_path / "lora.safetensors"
    write_sparse(file, keys("pixelsmile", some, rank=8), {"ss_base_model_version": "qwen-image"})
    report = inspect(file, modules, "qwen-image", alpha=16.0)
    told = json.loads(json.dumps(report.as_json()))
    expected = {
        "format": "mixed", "family": "qwen-image", "rank": 8, "alpha": 16.0, "scale": 2.0, "matched": 59 * 8,
        "missing": 8, "incomplete": 0, "mismatched": 0, "unknown": 0, "dtype": "BF16", "whole": True, "name": "lora",
        "bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "model": "qwen-image",
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    for what in ("matched", "missing", "incomplete", "mismatched", "unknown"):
        assert len(told[f"{what}_names"]) == told[what]
    assert told["missing_names"] == [name for name in attention(modules) if ".7." in name]
    assert told["blocks"][7] == {
        "block": "transformer_blocks.7", "matched": 0, "missing": 8, "mismatched": 0, "unknown": 0,
    }  # fmt: skip
    assert len(told["blocks"]) == 60
    rows = [line.split() for line in report.table().splitlines()]
    assert rows[1:] == [
        ["transformer_blocks.0–6", "8", "0", "0", "0"],
        ["transformer_blocks.7", "0", "8", "0", "0"],
        ["transformer_blocks.8–59", "8", "0", "0", "0"],
    ]
    assert len({len(line) for line in report.table().splitlines()}) == 1


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lora.safetensors"
    write(file, "diffusers", blocks_of(linear_shapes("mini")), rank=4, alpha=8.0)
    assert main(["lora", "inspect", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["model"], told["matched"], told["whole"]) == ("mini", "mini", 69, True)
    assert main(["lora", "inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "scale 2" in shown and "transformer_blocks.0–4" in shown and "everything fits" in shown
    assert told["sha256"] in shown

    assert main(["lora", "inspect", str(file), "--model", "flux"]) == 0  # a file that does not fit is no error
    assert "does not fit flux: 0 modules match" in capsys.readouterr().out
    assert main(["lora", "inspect", str(file), "--model", str(REPOSITORY / "assets/mini")]) == 0
    assert "everything fits" in capsys.readouterr().out
    for arguments in ([str(file), "--model", "sdxl"], [str(tmp_path / "missing.safetensors")], [str(tmp_path)]):
        assert main(["lora", "inspect", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    write(file, "bare", {"down_blocks.0.to_q": (8, 8)})
    assert main(["lora", "inspect", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["model"], told["matched"], told["unknown"]) == ("unknown", "no model", 0, 1)
    assert main(["lora", "inspect", str(file)]) == 0
    assert "lora.safetensors does not fit any model that is known here: 0 modules match" in capsys.readouterr().out

    save_file({"hello.world": torch.ones(2, 2)}, file)
    assert main(["lora", "inspect", str(file), "--model", "mini"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("lora.safetensors: no LoRA, ") and shown.endswith("; use the file of a LoRA\n")
    assert "scale 1, is assumed" not in shown


# ---- models without weights ----

CLASSES = {
    "FluxTransformer2DModel": FluxTransformer2DModel, "QwenImageTransformer2DModel": QwenImageTransformer2DModel,
    "Flux2Transformer2DModel": Flux2Transformer2DModel, "SD3Transformer2DModel": SD3Transformer2DModel,
    "Step1XEditTransformer2DModel": Step1XEditTransformer2DModel,
}  # fmt: skip
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "step1x-edit": ("Step1XEditTransformer2DModel", {"connector_scales_pooled": True}),
    "step1x-edit-v1.2": ("Step1XEditTransformer2DModel", {"enable_text_token_mapping": True}),
    "qwen-image": ("QwenImageTransformer2DModel", {}),
    "flux2": ("Flux2Transformer2DModel", {}),
    "flux2-klein-4b": (
        "Flux2Transformer2DModel",
        {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680,
         "guidance_embeds": False},
    ),
    "flux2-klein-9b": (
        "Flux2Transformer2DModel",
        {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288,
         "guidance_embeds": False},
    ),
    "sd3-medium": (
        "SD3Transformer2DModel",
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192},
    ),
    "sd3.5-medium": (
        "SD3Transformer2DModel",
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
         "dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm"},
    ),
    "sd3.5-large": (
        "SD3Transformer2DModel",
        {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "pos_embed_max_size": 192,
         "qk_norm": "rms_norm"},
    ),
}  # fmt: skip
"""What the published config.json have other than the defaults of diffusers' class."""


@pytest.mark.parametrize("name", KNOWN)
def test_formulas_are_what_diffusers_builds(name: str) -> None:
    class_name, config = PUBLISHED[name]
    with torch.device("meta"):
        model = CLASSES[class_name](**config)
    assert list(linear_shapes(name).items()) == list(shapes_of(model).items())


@pytest.mark.parametrize(
    "family",
    ["flux_kontext", "stable_diffusion_3", "qwen_image_edit", "flux2_klein", "flux2", "step1x_edit", "step1x_edit_1_2"],
)
@pytest.mark.parametrize("with_weights", [True, False])
def test_a_local_folder(family: str, with_weights: bool, tmp_path: Path) -> None:
    model = build(family).transformer
    model.save_pretrained(tmp_path / "transformer", max_shard_size="300KB")
    if not with_weights:
        for file in (tmp_path / "transformer").glob("*.safetensors"):
            file.unlink()
    assert linear_shapes(tmp_path) == linear_shapes(tmp_path / "transformer") == shapes_of(model)


def test_a_local_folder_of_an_unknown_class_tells_by_its_weights(tmp_path: Path) -> None:
    model = build("qwen_image_edit").transformer
    model.save_pretrained(tmp_path / "transformer", max_shard_size="100KB")
    config = tmp_path / "transformer" / "config.json"
    config.write_text(config.read_text().replace("QwenImageTransformer2DModel", "SomebodysTransformer"))
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 1
    assert linear_shapes(tmp_path) == shapes_of(model)
    for file in (tmp_path / "transformer").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(LoraError, match="neither"):
        linear_shapes(tmp_path)


def test_the_embedded_editor_tells_by_its_weights() -> None:
    with torch.device("meta"):
        transformer = MiniMMDiT.from_config(MiniMMDiT.load_config(CATALOG["mini"].source / "transformer"))
    assert linear_shapes("mini").items() == shapes_of(transformer).items()


def test_no_such_model() -> None:
    with pytest.raises(LoraError, match=r"'sdxl'; use one of mini, flux.*or the folder"):
        linear_shapes("sdxl")


# ---- whose LoRA it is ----


def guess(folder: Path, format: str, modules: Shapes, metadata: dict[str, str] | None = None) -> tuple[str, str]:
    write_sparse(folder / "lora.safetensors", keys(format, modules), metadata)
    return guess_family(read_header(folder / "lora.safetensors"))


@pytest.mark.parametrize(
    ("name", "format", "expected", "words"),
    [
        ("qwen-image", "pixelsmile", "qwen-image", "60 transformer_blocks of width 3072 with img_mod, attn, img_mlp"),
        ("qwen-image", "kohya", "qwen-image", "60 transformer_blocks"),
        ("flux", "kohya-original", "flux", "19 transformer_blocks and 38 single_transformer_blocks of width 3072"),
        ("flux", "xlabs", "flux", "flux (also step1x-edit, step1x-edit-v1.2: the same shapes)"),
        ("step1x-edit", "original", "flux", "(also step1x-edit, step1x-edit-v1.2: the same shapes)"),
        ("flux2", "original", "flux2", "8 transformer_blocks and 48 single_transformer_blocks of width 6144"),
        ("flux2-klein-4b", "diffusers", "flux2-klein-4b", "5 transformer_blocks and 20 single_transformer_blocks"),
        ("flux2-klein-9b", "comfyui", "flux2-klein-9b", "24 single_transformer_blocks of width 4096"),
        ("sd3-medium", "kohya-original-sd3", "sd3-medium", "24 transformer_blocks of width 1536"),
        ("sd3.5-medium", "diffusers", "sd3.5-medium", "24 transformer_blocks of width 1536"),
        ("sd3.5-large", "original-sd3", "sd3.5-large", "38 transformer_blocks of width 2432"),
        ("mini", "bare", "mini", "6 transformer_blocks of width 240"),
    ],
)
def test_the_family_is_told_by_names_widths_and_blocks(
    name: str, format: str, expected: str, words: str, tmp_path: Path
) -> None:
    family, evidence = guess(tmp_path, format, blocks_of(linear_shapes(name)))
    assert family == expected and words in evidence


def test_attention_alone_is_told_by_the_number_of_blocks(tmp_path: Path) -> None:
    """FLUX's double blocks and Qwen-Image's have the same attention."""
    for name in ("flux", "qwen-image"):
        modules = linear_shapes(name)
        double = {one: shape for one, shape in attention(modules).items() if one.startswith("transformer_blocks.")}
        assert guess(tmp_path, "bare", double)[0] == name


def test_metadata_decides_only_between_equals(tmp_path: Path) -> None:
    flux, qwen = blocks_of(linear_shapes("flux")), blocks_of(linear_shapes("qwen-image"))
    hint = {"modelspec.architecture": "Step1X-Edit/lora"}
    assert guess(tmp_path, "bare", flux, hint)[0] == "step1x-edit"
    family, evidence = guess(tmp_path, "bare", qwen, hint)
    assert family == "qwen-image" and evidence.endswith("; its metadata says 'Step1X-Edit/lora'")


@pytest.mark.parametrize("format", ["kohya", "diffusers"])
def test_the_connector_tells_step1x_edit_from_flux(format: str, tmp_path: Path) -> None:
    modules = linear_shapes("step1x-edit")
    connector = {name: shape for name, shape in modules.items() if name.startswith("connector.")}
    assert len(connector) == 16
    assert guess(tmp_path, format, blocks_of(modules) | connector)[0] == "step1x-edit"
    mapping = {"text_token_mapping": linear_shapes("step1x-edit-v1.2")["text_token_mapping"]}
    assert guess(tmp_path, format, blocks_of(modules) | mapping)[0] == "step1x-edit-v1.2"


@pytest.mark.parametrize(
    "name", [name for name, e in CATALOG.items() if e.architecture in PUBLISHED and e.family != "stable_diffusion_3"]
)
def test_the_catalog_counts_the_weights_of_the_real_architectures(name: str) -> None:
    """Stable Diffusion 3 also stores a table of positions, which is no parameter."""
    class_name, config = PUBLISHED[CATALOG[name].architecture]
    config = {key: value for key, value in config.items() if key != "connector_scales_pooled"}  # 1.0 is not in it
    with torch.device("meta"):
        model = CLASSES[class_name](**config)
    assert sum(parameter.numel() for parameter in model.parameters()) == CATALOG[name].parameters["transformer"]


def test_what_does_not_fit_is_admitted(tmp_path: Path) -> None:
    modules = attention(linear_shapes("mini")) | {"transformer_blocks.0.attn.to_everything": (240, 240)}
    family, evidence = guess(tmp_path, "diffusers", modules, {"base": "m" * 500})
    assert family == "mini" and "mini, though 1 modules do not fit; its metadata says 'mmm" in evidence
    assert len(evidence) < 250


@pytest.mark.parametrize("modules", [{}, {"down_blocks.0.attentions.0.to_q": (320, 320)}, {TO_Q: (77, 77)}])
def test_a_stranger_stays_unknown(modules: Shapes, tmp_path: Path) -> None:
    assert guess(tmp_path, "diffusers", modules)[0] == "unknown"


def test_text_encoders_do_not_hide_the_family(tmp_path: Path) -> None:
    modules = linear_shapes("flux")
    held = keys("kohya-original", {name: modules[name] for name in modules if "_blocks.3." in name})
    for index in range(50):
        held[f"lora_te1_text_model_encoder_layers_{index}_q.lora_down.weight"] = (4, 768)
    write_sparse(tmp_path / "lora.safetensors", held)
    assert guess_family(read_header(tmp_path / "lora.safetensors"))[0] == "flux"
