"""Step1X-Edit's original files in diffusers layout: nothing lost, nothing half done, nothing of another model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from step1x_original import TINY, original_layout, tiny_model
from tiny_checkpoints import PROMPT, build
from torch import Tensor

from mmdit.cli import main
from mmdit.editor import EditRequest
from mmdit.families.step1x_edit import convert
from mmdit.families.step1x_edit.convert_lora import LORA_FILE, convert_lora
from mmdit.families.step1x_edit.original_names import configuration, originals, pieces
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel
from mmdit.load import load_editor
from mmdit.lora.inspect import inspect
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight, linears

REPOSITORY = Path(__file__).resolve().parent.parent
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def write(file: Path, scales_pooled: bool = True, **changes: Tensor | None) -> Path:
    """A tiny original checkpoint; of ``changes``, with "/" for ".", a None leaves the tensor out."""
    tensors = original_layout(tiny_model(scales_pooled).state_dict())
    for name, tensor in changes.items():
        name = name.replace("/", ".")
        tensors.pop(name) if tensor is None else tensors.update({name: tensor})
    save_file(tensors, file)
    return file


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write(tmp_path / "step1x.safetensors")


def loaded(folder: Path) -> Step1XEditTransformer2DModel:
    model, info = Step1XEditTransformer2DModel.from_pretrained(folder / "transformer", output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(["convert", "step1x", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


# ---- the whole of it ----


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_there_and_back(version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(version == "1.0")
    file = write(tmp_path / "step1x.safetensors", version == "1.0")
    out = tmp_path / "out"
    assert main(["convert", "step1x", str(file), str(out)]) == 0
    assert "still lacks vae, text_encoder, processor" in capsys.readouterr().err
    found, before = loaded(out).state_dict(), model.state_dict()
    assert list(found) == list(before) and all(torch.equal(found[name], before[name]) for name in before)
    back, first = original_layout(found), load_file(file)
    assert back.keys() == first.keys() and all(torch.equal(back[name], first[name]) for name in first)
    index = json.loads((out / "model_index.json").read_text())
    assert index["version"] == version and index["_class_name"] == "Step1XEditPipeline"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_forward_pass_needs_the_halves_swapped(original: Path, tmp_path: Path) -> None:
    """Against the makers' last layer: (shift, scale) = modulation, LN · (1 + scale) + shift."""
    convert.convert_checkpoint(original, tmp_path / "out")
    model, weights = loaded(tmp_path / "out"), load_file(original)
    seen: dict[str, Tensor] = {}
    model.norm_out.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], c=inputs[1], out=output))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model(
            torch.randn(1, 6, 16, generator=draw), torch.randn(1, 4, 16, generator=draw), torch.ones(1, 4).bool(),
            torch.tensor([0.5]), torch.zeros(6, 3), torch.zeros(4, 3),
        )  # fmt: skip
        name = "final_layer.adaLN_modulation.1"
        modulation = torch.nn.functional.silu(seen["c"]) @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        shift, scale = modulation.chunk(2, dim=-1)
        normed = torch.nn.functional.layer_norm(seen["x"], seen["x"].shape[-1:], eps=1e-6)
        torch.testing.assert_close(seen["out"], normed * (1 + scale[:, None]) + shift[:, None])
        assert not torch.allclose(seen["out"], normed * (1 + shift[:, None]) + scale[:, None], atol=1e-2)


@pytest.mark.parametrize(("version", "count"), [("1.0", 817), ("1.1", 816)])
def test_the_published_checkpoints_tensors_are_all_of_them_used(version: str, count: int) -> None:
    """By name and shape, from a model on meta through the test's own table."""
    with torch.device("meta"):
        model = Step1XEditTransformer2DModel(connector_scales_pooled=version == "1.0")
    shapes = {name: tuple(tensor.shape) for name, tensor in original_layout(model.state_dict()).items()}
    assert len(shapes) == count
    config = configuration(shapes, version)
    assert all(model.config[name] == value for name, value in config.items() if name != "out_channels")
    cut = pieces(config)
    assert originals(cut) == shapes
    assert {piece.name: piece.shape for piece in cut} == {n: tuple(w.shape) for n, w in model.state_dict().items()}


def test_several_files_of_weights(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "SHARD_BYTES", 300_000)
    seen: list[tuple[int, int]] = []
    convert.convert_checkpoint(original, tmp_path / "out", on_part=lambda *part: seen.append(part))
    files = sorted(path.name for path in (tmp_path / "out/transformer").glob("*.safetensors"))
    assert seen == [(number, len(files)) for number in range(1, len(files) + 1)] and len(files) > 3
    assert files[0] == f"diffusion_pytorch_model-00001-of-{len(files):05}.safetensors"
    before = tiny_model(True).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in loaded(tmp_path / "out").state_dict().items())


def test_eight_bits_become_bfloat16(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = original_layout(tiny_model(True).state_dict())
    file = tmp_path / "eight.safetensors"
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}, file)
    assert main(["convert", "step1x", str(file), str(tmp_path / "out")]) == 0
    assert f"{len(tensors)} tensors of 8 bits became bfloat16" in capsys.readouterr().err
    assert main(["convert", "step1x", str(file), str(tmp_path / "other"), "--version", "1.1"]) == 0
    assert f"{len(tensors) - 1} tensors of 8 bits" in capsys.readouterr().err
    wanted = load_file(file)["img_in.weight"].to(torch.bfloat16)
    assert torch.equal(load_file(tmp_path / "out" / WEIGHTS)["x_embedder.weight"], wanted)


def test_1_1_with_the_scale_of_1_0(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "step1x", str(original), str(tmp_path / "out"), "--version", "1.1"]) == 0
    assert "connector.scale_factor is not used by version 1.1" in capsys.readouterr().err
    assert "connector.scale_factor" not in loaded(tmp_path / "out").state_dict()
    file = write(tmp_path / "without.safetensors", scales_pooled=False)
    assert "is not of version 1.0" in refusal(capsys, file, tmp_path / "other", "--version", "1.0")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tiny pipeline whose VAE lies in vae.safetensors, and whose Qwen2.5-VL in qwen, as their makers have them."""
    pipeline = build("step1x_edit")
    pipeline.text_encoder.save_pretrained(tmp_path / "qwen")
    pipeline.processor.save_pretrained(tmp_path / "qwen")
    save_file(original_vae(pipeline.vae.state_dict()), tmp_path / "vae.safetensors")
    shape = {name: pipeline.vae.config[name] for name in convert.VAE if name in pipeline.vae.config}
    monkeypatch.setattr(convert, "VAE", shape | {"norm_num_groups": 1})
    return pipeline


def test_a_converted_pipeline_edits(pipeline: Any, tmp_path: Path) -> None:
    """With the VAE and Qwen2.5-VL given: the folder goes through the same door as a download."""
    qwen, vae, file = tmp_path / "qwen", tmp_path / "vae.safetensors", tmp_path / "step1x.safetensors"
    save_file(original_layout(pipeline.transformer.state_dict()), file)
    out = tmp_path / "out"
    options = ["--vae", str(vae), "--text-encoder", str(qwen)]
    assert main(["convert", "step1x", str(file), str(out), *options]) == 0
    assert (out / "text_encoder/model.safetensors").stat().st_nlink == 2
    editor = load_editor(out, device="cpu")
    assert all(
        torch.equal(a, b)
        for a, b in zip(editor._family.pipeline.vae.parameters(), pipeline.vae.parameters(), strict=True)
    )
    pipeline.save_pretrained(tmp_path / "saved")
    request = EditRequest([Image.new("RGB", (40, 30), "red")], PROMPT, seed=1, steps=1, resolution=64)
    found, wanted = editor.edit(request), load_editor(tmp_path / "saved", device="cpu").edit(request)
    assert found.image.tobytes() == wanted.image.tobytes()


def original_vae(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """BFL's names for a VAE of four levels: the decoder's levels are counted from the other end."""
    made = {}
    for name, tensor in ours.items():
        name = re.sub(r"^(\w+)\.mid_block\.resnets\.(\d)", lambda m: f"{m[1]}.mid.block_{int(m[2]) + 1}", name)
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_norm_out", "norm_out")
        for own, theirs in (
            ("to_q", "q"),
            ("to_k", "k"),
            ("to_v", "v"),
            ("to_out.0", "proj_out"),
            ("group_norm", "norm"),
        ):
            name = name.replace(f"attn_1.{own}", f"attn_1.{theirs}")
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
        name = name.replace("conv_shortcut", "nin_shortcut")
        is_matrix = "attn_1" in name and tensor.ndim == 2
        made[name] = tensor[..., None, None].contiguous() if is_matrix else tensor.contiguous()
    return made


def test_flux_autoencoder_is_taken_as_its_makers_name_it() -> None:
    """The published configuration, on meta: 244 tensors of the original file, and all of the model's."""
    with torch.device("meta"):
        ours = AutoencoderKL(**convert.VAE).state_dict()
        theirs = original_vae(ours)
        assert len(theirs) == 244 and "decoder.up.0.block.2.conv1.weight" in theirs
        assert convert._vae(Path("vae.safetensors"), theirs).state_dict().keys() == ours.keys()


# ---- what is wrong ----


def test_the_other_parts_are_checked_before_the_transformer_is_written(
    pipeline: Any, original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "whole_folder", lambda *_: pytest.fail("something was written"))
    right, out, file, qwen = (
        load_file(tmp_path / "vae.safetensors"),
        tmp_path / "out",
        tmp_path / "v",
        tmp_path / "qwen",
    )
    name = "encoder.conv_in.weight"
    without = {key: tensor for key, tensor in right.items() if key != name}
    for tensors, why in (
        (without, "Missing key"),
        (right | {name: torch.zeros(2, 2, 3, 3)}, "size mismatch for encoder.conv_in.weight"),
        (right | {"encoder.down.9.norm.weight": torch.zeros(2)}, "1 tensors too many"),
        ({"unet.weight": torch.zeros(2)}, "is not FLUX.1's autoencoder"),
    ):
        save_file(tensors, file)
        assert why in refusal(capsys, original, out, "--vae", file)
    assert "there is no file" in refusal(capsys, original, out, "--vae", tmp_path / "none")
    assert "there is no folder" in refusal(capsys, original, out, "--text-encoder", tmp_path / "none")
    (qwen / "model.safetensors").rename(qwen / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (qwen / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (qwen / "tokenizer_config.json").unlink()
    said = refusal(capsys, original, out, "--text-encoder", qwen)
    assert "lacks 'model-00002-of-00002.safetensors', 'tokenizer_config.json'" in said


def test_shapes_and_types_that_tell_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each tensor that the configuration is read from, in every wrong way."""
    tensors, file = original_layout(tiny_model(True).state_dict()), tmp_path / "a.safetensors"
    telling = (
        "img_in.weight", "txt_in.weight", "time_in.in_layer.weight", "vector_in.in_layer.weight",
        "final_layer.linear.weight", "connector.S.input_embedder.weight",
        "double_blocks.0.img_attn.norm.query_norm.scale",
    )  # fmt: skip
    for name in telling:
        for shape in ((), (0,), (7,), (5, 0), (3, 5), (2, 2, 2)):
            save_file(tensors | {name: torch.zeros(shape)}, file)
            assert "has the shape (" in refusal(capsys, file, tmp_path / "out")
    save_file(tensors | {telling[-1]: torch.zeros(7)}, file)
    assert "(64, 16), whose rows are no heads of 7" in refusal(capsys, file, tmp_path / "out")
    for dtype in (torch.int8, torch.bool):
        save_file(tensors | {"txt_in.bias": tensors["txt_in.bias"].to(dtype)}, file)
        assert "'txt_in.bias' is of type" in refusal(capsys, file, tmp_path / "out")
    save_file(tensors | {"single_blocks.999999999999.linear2.bias": torch.zeros(64)}, file)
    assert "'single_blocks.2.modulation.lin.weight' is missing" in refusal(capsys, file, tmp_path / "out")


def test_damaged_and_other_files_are_refused(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(original.read_bytes()[:-100])
    assert "is no intact safetensors file" in refusal(capsys, cut, out)
    missing = write(tmp_path / "a.safetensors", **{"single_blocks/1/linear2/bias": None, "txt_in/bias": None})
    assert re.search(r"'(single_blocks.1.linear2|txt_in).bias' is missing, of 2 in all", refusal(capsys, missing, out))
    telling = write(tmp_path / "b.safetensors", **{"img_in/weight": None})
    assert "'img_in.weight' is missing" in refusal(capsys, telling, out)
    shape = write(tmp_path / "c.safetensors", **{"double_blocks/1/img_mlp/0/weight": torch.zeros(256, 63)})
    assert "'double_blocks.1.img_mlp.0.weight' has the shape (256, 63), not (256, 64)" in refusal(capsys, shape, out)
    more = {f"extra/{index}": torch.zeros(1) for index in range(7)}
    said = refusal(capsys, write(tmp_path / "d.safetensors", **more), out)
    assert "'extra.0', 'extra.1', 'extra.2', 'extra.3', 'extra.4' and 2 more" in said
    strange = tmp_path / "e.safetensors"
    save_file({"down_blocks.0.weight": torch.zeros(2, 2)}, strange)
    assert "is neither a checkpoint of Step1X-Edit nor a LoRA" in refusal(capsys, strange, out)
    assert "there is no file" in refusal(capsys, tmp_path / "none.safetensors", out)
    assert "--model x is for LoRAs" in refusal(capsys, original, out, "--model", "x")
    assert not out.exists() and not (tmp_path / ".out.partial").exists()


def test_nothing_is_overwritten(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "is there already; name a new folder" in refusal(capsys, original, out)
    assert (out / "mine.txt").read_text() == "mine"
    assert "does not exist; make it first" in refusal(capsys, original, tmp_path / "no" / "out")
    (out / "mine.txt").unlink()
    link = tmp_path / "link"
    link.symlink_to(out)
    assert main(["convert", "step1x", str(original), str(link)]) == 0
    assert (out / WEIGHTS).is_file() and link.is_symlink()


def test_no_room_is_said_before(
    pipeline: Any, original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is written, for 8 bits become 16; a link takes none."""
    tensors = original_layout(tiny_model(True).state_dict())
    file = tmp_path / "eight.safetensors"
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}, file)
    free = 2 * sum(tensor.numel() for tensor in tensors.values())
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: SimpleNamespace(free=free - 1))
    for needs_room in (original, file):
        assert "are free there; make room" in refusal(capsys, needs_room, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    qwen = ["--text-encoder", str(tmp_path / "qwen")]
    assert main(["convert", "step1x", str(file), str(tmp_path / "out"), *qwen]) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_conversion_leaves_nothing(
    error: Any, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "SHARD_BYTES", 300_000)

    def stop(done: int, parts: int) -> None:
        if done == 2:
            assert len(list((tmp_path / ".out.partial/transformer").glob("*.safetensors"))) == 2
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        convert.convert_checkpoint(original, tmp_path / "out", on_part=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step1x.safetensors"]


def test_a_killed_conversion_leaves_no_folder_and_the_next_one_works(original: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom mmdit.families.step1x_edit import convert\n"
        "convert.SHARD_BYTES = 300_000\n"
        "def wait(done, parts):\n    print(done, flush=True)\n    time.sleep(60 if done == 2 else 0)\n"
        "convert.convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), on_part=wait)\n"
    )
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(
        [sys.executable, "-c", script, str(original), str(out)], stdout=subprocess.PIPE, text=True, env=environment
    )
    for line in running.stdout:
        if line.strip() == "2":
            running.send_signal(signal.SIGKILL)
    running.wait()
    assert not out.exists() and (tmp_path / ".out.partial").is_dir()
    assert main(["convert", "step1x", str(original), str(out)]) == 0
    assert not (tmp_path / ".out.partial").exists()
    assert loaded(out).config.num_layers == TINY["num_layers"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells a process its peak memory")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """Peak beyond the imports ≤ 2 GB + the largest tensor, for a file that is larger than that."""
    shapes = original_shapes_of(num_layers=2, num_single_layers=5)
    file, largest = tmp_path / "large.safetensors", max(2 * torch.Size(shape).numel() for shape in shapes.values())
    save_file({name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}, file)
    script = (
        "import re, sys\nfrom pathlib import Path\nfrom mmdit.families.step1x_edit import convert\n"
        "def taken(what):\n"
        "    return 1024 * int(re.search(what + r':\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = taken('VmRSS')\n"
        "convert.convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(taken('VmHWM') - before)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", script, str(file), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    peak = int(ended.stdout.split()[-1])
    print(f"{file.stat().st_size / 1e9:.2f} GB in {time.monotonic() - started:.1f} s, peak {peak / 1e9:.2f} GB")
    assert peak < 2e9 + largest < file.stat().st_size


def original_shapes_of(**config: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = Step1XEditTransformer2DModel(**config, connector_scales_pooled=True)
    return {name: tuple(tensor.shape) for name, tensor in original_layout(model.state_dict()).items()}


# ---- LoRAs ----


def kohya(rank: int = 4, seed: int = 2) -> dict[str, Tensor]:
    """Every layer of the blocks that the makers' trainer writes, and one of the connector."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in original_layout(tiny_model(True).state_dict()).items():
        stem = name.removesuffix(".weight")
        is_layer = weight.ndim == 2 and ("_blocks." in name or name.endswith("blocks.0.self_attn_qkv.weight"))
        if not is_layer:
            continue
        key = f"lora_unet_{stem.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, weight.shape[1], generator=draw)
        tensors[f"{key}.lora_up.weight"] = torch.randn(weight.shape[0], rank, generator=draw)
        tensors[f"{key}.alpha"] = torch.tensor(8.0)
    return tensors


def told() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(1, 6, 16, generator=draw), "timestep": torch.tensor([0.5]),
        "encoder_hidden_states": torch.randn(1, 4, 16, generator=draw), "prompt_embeds_mask": torch.ones(1, 4).bool(),
        "img_ids": torch.arange(18).reshape(6, 3).float(), "txt_ids": torch.zeros(4, 3),
    }  # fmt: skip


@torch.no_grad()
def test_several_loras_of_kohya_apply_whole_each_with_its_weight(tmp_path: Path) -> None:
    """Held against a checkpoint whose original tensors have all of them in."""
    model, changed = tiny_model(True), original_layout(tiny_model(True).state_dict())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = model(**told()).sample
    stack = []
    for seed, weight in ((2, 0.7), (3, -0.4), (4, 1.5)):
        held, file = kohya(seed=seed), tmp_path / f"{seed}.safetensors"
        held = {key: value if key.endswith("alpha") else 0.2 * value for key, value in held.items()}
        save_file(held, file)
        report = inspect(file, linear_shapes_of(model), "tiny")
        assert report.whole and len(report.targets) == 2 * 14 + 2 * 6 + 1
        stack.append(LoraWeight(file, weight))
        for name in changed:
            key = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
            if f"{key}.alpha" in held:
                added = held[f"{key}.lora_up.weight"] @ held[f"{key}.lora_down.weight"]
                changed[name] = changed[name] + weight * held[f"{key}.alpha"] / 4 * added
    save_file(changed, tmp_path / "changed.safetensors")
    convert.convert_checkpoint(tmp_path / "changed.safetensors", tmp_path / "changed")
    wanted = loaded(tmp_path / "changed")(**told()).sample
    with LoraStack(model, "tiny", Presets([])).applied(stack):
        torch.testing.assert_close(model(**told()).sample, wanted, rtol=1e-4, atol=1e-4)
    assert (wanted - plain).abs().max() > 0.1
    assert torch.equal(model(**told()).sample, plain)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def linear_shapes_of(model: Step1XEditTransformer2DModel) -> dict[str, tuple[int, int]]:
    return {name: (linear.out_features, linear.in_features) for name, linear in linears(model).items()}


def test_a_lora_becomes_one_of_diffusers_layout(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it adds to the original weights, cut like these, is what the converted one adds."""
    convert.convert_checkpoint(original, tmp_path / "model")
    held = kohya()
    file = tmp_path / "lora.safetensors"
    save_file(held, file, metadata={"ss_network_dim": "4"})
    assert main(["convert", "step1x", str(file), str(tmp_path / "out"), "--model", str(tmp_path / "model")]) == 0
    found = load_file(tmp_path / "out" / LORA_FILE)
    with safe_open(tmp_path / "out" / LORA_FILE, "pt") as opened:
        assert opened.metadata() == {"ss_network_dim": "4"}
    changed = {}
    for name, weight in original_layout(tiny_model(True).state_dict()).items():
        key = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
        if f"{key}.alpha" in held:
            weight = weight + 2.0 * held[f"{key}.lora_up.weight"] @ held[f"{key}.lora_down.weight"]
        changed[name] = weight
    save_file(changed, tmp_path / "changed.safetensors")
    convert.convert_checkpoint(tmp_path / "changed.safetensors", tmp_path / "changed")
    before, after = loaded(tmp_path / "model").state_dict(), loaded(tmp_path / "changed").state_dict()
    modules = {name.removesuffix(".lora_A.weight").removeprefix("transformer.") for name in found if "lora_A" in name}
    assert len(modules) == 2 * 14 + 2 * 6 + 1
    for name in before:
        module = name.removesuffix(".weight")
        added = torch.zeros_like(before[name])
        if name.endswith(".weight") and module in modules:
            key = f"transformer.{module}"
            added = found[f"{key}.alpha"] / 4 * found[f"{key}.lora_B.weight"] @ found[f"{key}.lora_A.weight"]
        torch.testing.assert_close(before[name] + added, after[name])


@pytest.mark.parametrize("where", ["beside", "pattern", "rank-stabilised"])
def test_a_converted_lora_adds_what_it_did(original: Path, tmp_path: Path, where: str) -> None:
    """Wherever alpha is said, and by whatever names."""
    convert.convert_checkpoint(original, tmp_path / "model")
    modules = linear_shapes_of(loaded(tmp_path / "model"))
    held = {key: value for key, value in kohya().items() if not key.endswith(".alpha")}
    fused = "lora_unet_double_blocks_0_img_attn_qkv"
    said = {"beside": {"lora_alpha": 8}, "pattern": {"lora_alpha": 2, "alpha_pattern": {fused: 8}},
            "rank-stabilised": {"lora_alpha": 8, "use_rslora": True}}[where]  # fmt: skip
    (tmp_path / "trained").mkdir()
    file = tmp_path / "trained/adapter_model.safetensors"
    (tmp_path / "trained/adapter_config.json").write_text(json.dumps(said))
    save_file(held, file, metadata={"ss_network_alpha": "1"})
    convert_lora(file, tmp_path / "out", modules)

    def added(path: Path) -> dict[str, torch.Tensor]:
        tensors = load_file(path)
        return {
            of.module: of.scale * tensors[of.up][slice(*(of.rows or (None,)))] @ tensors[of.down]
            for of in inspect(path, modules, "model").targets
        }

    before, after = added(file), added(tmp_path / "out" / LORA_FILE)
    scales = {target.scale for target in inspect(file, modules, "model").targets}
    assert scales == {"beside": {2.0}, "pattern": {0.5, 2.0}, "rank-stabilised": {4.0}}[where]
    assert before.keys() == after.keys()
    for module, values in before.items():
        torch.testing.assert_close(after[module], values)


def test_a_lora_of_dotted_names_is_no_checkpoint(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert.convert_checkpoint(original, tmp_path / "model")
    file, name = tmp_path / "lora.safetensors", "double_blocks.1.txt_attn.qkv"
    down, up = torch.randn(4, 64), torch.randn(3 * 64, 4)
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, file)
    assert main(["convert", "step1x", str(file), str(tmp_path / "out"), "--model", str(tmp_path / "model")]) == 0
    found = load_file(tmp_path / "out" / LORA_FILE)
    modules = [f"transformer.transformer_blocks.1.attn.add_{part}_proj" for part in "qkv"]
    assert len(found) == 6 and all(torch.equal(found[f"{module}.lora_A.weight"], down) for module in modules)
    assert torch.equal(torch.cat([found[f"{module}.lora_B.weight"] for module in modules]), up)


def test_a_lora_of_another_model_is_refused(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert.convert_checkpoint(original, tmp_path / "model")
    file, model = tmp_path / "lora.safetensors", ["--model", tmp_path / "model"]
    wrong = kohya() | {"lora_unet_double_blocks_9_img_mlp_0.lora_down.weight": torch.zeros(4, 64)}
    wrong |= {"lora_unet_double_blocks_9_img_mlp_0.lora_up.weight": torch.zeros(256, 4)}
    save_file(wrong, file)
    assert "double_blocks_9_img_mlp_0" in refusal(capsys, file, tmp_path / "out", *model)
    save_file(kohya() | {"lora_unet_single_blocks_0_linear2.dora_scale": torch.zeros(64)}, file)
    assert "single_blocks_0_linear2" in refusal(capsys, file, tmp_path / "out", *model)
    key = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file(kohya() | {f"{key}.lora_up.weight": torch.zeros(3 * 64 + 1, 4)}, file)
    assert "fused pair has 193 rows, the model's layers 192" in refusal(capsys, file, tmp_path / "out", *model)
    twice = {"transformer.proj_out.lora_A.weight": (4, 64), "transformer.proj_out.lora_B.weight": (16, 4)}
    twice |= {name.replace("transformer.proj_out", "lora_unet_final_layer_linear"): twice[name] for name in twice}
    save_file({name: torch.zeros(shape) for name, shape in twice.items()}, file)
    assert "'proj_out' (the file has two pairs for it)" in refusal(capsys, file, tmp_path / "out", *model)
    save_file(kohya(), file)
    assert "has what the model has no place for" in refusal(capsys, file, tmp_path / "out")  # the published size
    assert "is a LoRA; leave out --version" in refusal(capsys, file, tmp_path / "out", "--version", "1.1")
    assert not (tmp_path / "out").exists()
