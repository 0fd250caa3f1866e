"""Models from folders and from a hub: what is found, what is refused and in which words, and strict loading."""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import pytest
import tiny_checkpoints
import torch
from lora_files import write
from safetensors.torch import load_file, save_file

from mmdit.families import loading
from mmdit.families.folders import Component, Located, ModelError, weight_files
from mmdit.families.hub import cached, locate
from mmdit.families.loading import load_pipeline
from mmdit.families.machine import Machine
from mmdit.families.memory import MemoryPlan, choose
from mmdit.families.needs import Needs
from mmdit.families.registry import pipeline_class
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight, linears

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
FULL = MemoryPlan("full", "cpu", "float32")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 Kontext on disk; not to be changed."""
    folder = tmp_path_factory.mktemp("kontext")
    tiny_checkpoints.build("flux_kontext").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(saved, tmp_path / "kontext"))


def refusal(source: str | Path, *said: str, **arguments: Any) -> str:
    """The one sentence that `locate` refuses with, after seeing that all that was ``said`` is in it."""
    with pytest.raises(ModelError) as raised:
        locate(source, **arguments)
    sentence = str(raised.value)
    assert "\n" not in sentence and not sentence.endswith("."), sentence
    for words in said:
        assert words in sentence, sentence
    return sentence


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# ---- folders ----


@pytest.mark.parametrize("family", tiny_checkpoints.FAMILIES)
def test_every_family_is_found_whole(family: str, tmp_path: Path) -> None:
    pipeline = tiny_checkpoints.build(family)
    pipeline.save_pretrained(tmp_path)
    assert locate(tmp_path) == locate(str(tmp_path)) == Located(tmp_path, type(pipeline).__name__)


def test_an_embedded_editor_is_found(tiny_editor_folder: Path) -> None:
    assert locate(tiny_editor_folder) == Located(tiny_editor_folder, None)


@pytest.mark.parametrize(
    "file",
    [
        WEIGHTS, "transformer/config.json", "text_encoder_2/model.safetensors", "vae/config.json",
        "scheduler/scheduler_config.json", "tokenizer/tokenizer.json", "tokenizer_2/tokenizer_config.json",
    ],
)  # fmt: skip
def test_the_first_missing_file_is_named_with_the_way_to_get_it(folder: Path, file: str) -> None:
    (folder / file).unlink()
    refusal(folder, str(folder / file), "is missing", f"hf download ORG/NAME --local-dir {folder}", "the hub id")


def test_a_missing_part_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    refusal(folder, str(folder / "vae" / "config.json"), "is missing")


def test_parts_that_a_pipeline_does_without_need_no_folder(folder: Path) -> None:
    change(folder / "model_index.json", feature_extractor=[None, None], image_encoder=[None, None])
    assert locate(folder).pipeline == "FluxKontextPipeline"


def test_a_known_origin_is_named_in_the_remedy(folder: Path) -> None:
    change(folder / "model_index.json", _name_or_path="org/name")
    (folder / WEIGHTS).unlink()
    refusal(folder, "hf download org/name --local-dir")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"PK\x03\x04" + b"\0" * 50, "pickle or zip archive"),
        (b"\xff" * 100, "no safetensors file"),
    ],
)
def test_what_is_no_safetensors_is_told(folder: Path, content: bytes, said: str) -> None:
    (folder / WEIGHTS).write_bytes(content)
    refusal(folder, str(folder / WEIGHTS), said)


def test_half_a_file_is_told_without_loading_it(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    refusal(folder, WEIGHTS, "no intact safetensors file", "finish the download")


def sharded(folder: Path) -> list[Path]:
    """The transformer's weights in several files; their paths."""
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(folder / "transformer")
    (folder / WEIGHTS).unlink()
    transformer.save_pretrained(folder / "transformer", max_shard_size="200KB")
    return sorted((folder / "transformer").glob("*-of-*.safetensors"))


def test_every_shard_has_to_be_there(folder: Path) -> None:
    shards = sharded(folder)
    assert len(shards) > 2 and locate(folder).pipeline
    whole = load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)
    assert sum(value.numel() for value in whole.transformer.parameters()) > 0
    shards[1].unlink()
    refusal(folder, str(shards[1]), "is missing")


def test_a_shard_index_that_lists_nothing_is_told(folder: Path) -> None:
    sharded(folder)
    change(folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json", weight_map={})
    refusal(folder, "index.json", "lists no weights")


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "transformer" / "diffusion_pytorch_model.bin")
    refusal(folder, str(folder / "transformer"), "pickled", "can run code", "safetensors")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, "code of its own"),
        ({"transformer": ["mine", "Mine"]}, "its transformer comes from 'mine'"),
        ({"vae": ["os", "system"]}, "its vae comes from 'os'"),
        ({"_class_name": None}, "names no pipeline"),
        ({"vae": ["diffusers"]}, "says ['diffusers'] of 'vae'"),
        ({"../vae": ["diffusers", "AutoencoderKL"]}, "of '../vae'"),
    ],
)
def test_a_folder_that_brings_code_or_nonsense_is_refused(folder: Path, values: dict, said: str) -> None:
    change(folder / "model_index.json", **values)
    refusal(folder, said)


def test_files_that_are_no_json_are_told(folder: Path) -> None:
    (folder / "vae" / "config.json").write_text('{"half')
    refusal(folder, str(folder / "vae" / "config.json"), "is no JSON file")
    (folder / "model_index.json").write_text("[]")
    refusal(folder, "model_index.json", "no JSON object")


def test_what_is_no_pipeline_is_told_apart(folder: Path, tmp_path: Path) -> None:
    refusal(folder / "transformer", "only FluxTransformer2DModel", f"such as {str(folder)!r}")
    (folder / "model_index.json").unlink()
    refusal(folder, "has no model_index.json", "FluxTransformer2DModel")
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "no model's folder", "check the path")
    save_file({"x": torch.zeros(1)}, tmp_path / "empty" / "flux1-dev.safetensors")
    refusal(tmp_path / "empty", "single-file", "diffusers version")
    refusal(tmp_path / "empty" / "flux1-dev.safetensors", "is a file", "give the folder")


@pytest.mark.parametrize("source", ["nowhere", "./org/name/deep", "/no/such/folder", "a/b/c", "", Path("org/name")])
def test_what_is_neither_folder_nor_hub_id_is_told(source: str | Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(source, "org/name on the hub", cache=tmp_path / "cache")


def test_plain_weights_go_before_variants() -> None:
    part = Component("transformer", "diffusers", "FluxTransformer2DModel")
    stem = "diffusion_pytorch_model"
    plain, half = f"{stem}.safetensors", f"{stem}.fp16.safetensors"
    shards = {f"{stem}.safetensors.index.json", *(f"{stem}-0000{n}-of-00002.safetensors" for n in (1, 2))}
    half_shards = {f"{stem}.safetensors.index.fp16.json", f"{stem}.fp16-00001-of-00001.safetensors"}
    assert weight_files([half, plain, "flux1-dev.safetensors", f"{stem}.bin"], part) == ("", {plain})
    assert weight_files([half, *shards], part) == ("", shards)
    assert weight_files([half], part) == ("fp16", {half})
    assert weight_files(half_shards, part) == ("fp16", half_shards)
    assert weight_files(["model.safetensors"], part) == ("", set())


# ---- loading ----


@pytest.mark.parametrize("family", tiny_checkpoints.FAMILIES)
def test_a_loaded_pipeline_edits_as_diffusers_own(family: str, tmp_path: Path) -> None:
    tiny_checkpoints.build(family).save_pretrained(tmp_path)
    located = locate(tmp_path)
    kind = pipeline_class(located.pipeline)
    loaded = load_pipeline(located, kind, FULL)
    parts = {}
    if family.startswith("step1x"):  # diffusers finds no class of ours; rounding depends on how weights lie
        modules = {name: part for name, part in loaded.components.items() if isinstance(part, torch.nn.Module)}
        parts = {name: type(part).from_pretrained(tmp_path / name) for name, part in modules.items()}
    own = kind.from_pretrained(tmp_path, **parts)
    assert np.array_equal(tiny_checkpoints.call(family, loaded), tiny_checkpoints.call(family, own))
    for name, part in loaded.components.items():
        if isinstance(part, torch.nn.Module):
            assert not part.training and {value.dtype for value in part.parameters()} == {torch.float32}, name


def test_the_parts_of_a_text_to_image_pipeline_serve_image_to_image(folder: Path) -> None:
    change(folder / "model_index.json", _class_name="FluxPipeline")
    loaded = load_pipeline(locate(folder), diffusers.FluxImg2ImgPipeline, FULL)
    assert type(loaded) is diffusers.FluxImg2ImgPipeline


@pytest.mark.parametrize("mode", ["offload", "group"])
@pytest.mark.parametrize("family", ["flux_kontext", "qwen_image_edit", "step1x_edit"])
def test_offloading_changes_nothing_in_the_picture(family: str, mode: str, tmp_path: Path) -> None:
    """With the CPU in the place of a GPU: all hooks run, nothing has to be moved."""
    tiny_checkpoints.build(family).save_pretrained(tmp_path)
    located = locate(tmp_path)
    kind = pipeline_class(located.pipeline)
    whole = load_pipeline(located, kind, FULL)
    file = tmp_path / "lora.safetensors"
    full, styled = tiny_checkpoints.call(family, whole, steps=1), with_lora(family, whole, file)
    loaded = load_pipeline(located, kind, replace(FULL, mode=mode))
    hooked = [
        name for name, part in loaded.components.items()
        if hasattr(part, "_hf_hook") or any(hasattr(module, "_diffusers_hook") for module in modules(part))
    ]  # fmt: skip
    assert {"transformer", "text_encoder"} <= set(hooked)
    for _ in range(2):
        edited = tiny_checkpoints.call(family, loaded, steps=1)
        assert np.allclose(edited, full, atol=1e-5)  # not equal: weights in memory are aligned differently
        assert np.allclose(with_lora(family, loaded, file), styled, atol=1e-4)
    assert np.abs(styled - full).mean() > 1e-3


def with_lora(family: str, pipeline: Any, file: Path) -> np.ndarray:
    """An edit with a strong LoRA on all blocks, whose file is made if it is not there."""
    transformer = pipeline.transformer
    if not file.exists():
        sizes = {
            name: (linear.out_features, linear.in_features)
            for name, linear in linears(transformer).items()
            if "blocks." in name
        }
        write(file, "diffusers", sizes, rank=4, alpha=64.0, seed=1)
    with LoraStack(transformer, "tiny", Presets(())).applied([LoraWeight(file)]):
        return tiny_checkpoints.call(family, pipeline, steps=1)


def modules(part: Any) -> Iterator[torch.nn.Module]:
    return part.modules() if isinstance(part, torch.nn.Module) else iter(())


def test_the_plan_decides_precision_and_tiles(saved: Path) -> None:
    plan = replace(FULL, dtype="bfloat16", vae_tiling=True)
    loaded = load_pipeline(locate(saved), diffusers.FluxKontextPipeline, plan)
    for part in (loaded.transformer, loaded.text_encoder, loaded.text_encoder_2, loaded.vae):
        assert {value.dtype for value in part.parameters()} == {torch.bfloat16}
    assert loaded.vae.use_tiling
    assert not load_pipeline(locate(saved), diffusers.FluxKontextPipeline, FULL).vae.use_tiling


def test_variants_are_loaded_where_there_is_nothing_else(folder: Path) -> None:
    before = tiny_checkpoints.call("flux_kontext", diffusers.FluxKontextPipeline.from_pretrained(folder))
    (folder / WEIGHTS).rename((folder / WEIGHTS).with_name("diffusion_pytorch_model.fp16.safetensors"))
    loaded = load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)
    assert np.array_equal(tiny_checkpoints.call("flux_kontext", loaded), before)


def test_loading_is_silent_and_leaves_bars_as_they_were(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    loaded = load_pipeline(locate(saved), diffusers.FluxKontextPipeline, FULL)
    tiny_checkpoints.call("flux_kontext", loaded)
    written = capfd.readouterr()
    assert "it/s" not in written.err and written.out == ""
    assert of_diffusers.is_progress_bar_enabled() and of_transformers.is_progress_bar_enabled()


def reweigh(edit: Callable[[dict[str, torch.Tensor]], None], file: Path) -> None:
    weights = load_file(file)
    edit(weights)
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("file", "key"),
    [
        (WEIGHTS, "transformer_blocks.1.attn.to_q.weight"),
        ("text_encoder_2/model.safetensors", "encoder.block.0.layer.0.SelfAttention.q.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight"),
    ],
)
def test_weights_that_are_missing_are_an_error_not_random_numbers(folder: Path, file: str, key: str) -> None:
    reweigh(lambda weights: weights.pop(key), folder / file)
    with pytest.raises(ModelError, match=re.escape(key)) as raised:
        load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)
    assert str(folder / file.split("/")[0]) in str(raised.value)


def test_a_transformer_with_fewer_blocks_than_weights_is_an_error(folder: Path) -> None:
    change(folder / "transformer" / "config.json", num_layers=1)
    with pytest.raises(ModelError, match=r"no place for 'transformer_blocks\.1\..* and \d+ more"):
        load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_another_shape_is_an_error(folder: Path, part: str) -> None:
    file = next((folder / part).glob("*.safetensors"))

    def widen(weights: dict[str, torch.Tensor]) -> None:
        key = next(key for key, value in weights.items() if value.ndim == 2)
        weights[key] = torch.zeros(weights[key].shape[0] + 1, weights[key].shape[1])

    reweigh(widen, file)
    with pytest.raises(ModelError, match=r"can't be loaded|has another shape") as raised:
        load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)
    assert str(folder / part) in str(raised.value) and "\n" not in str(raised.value)


def test_a_class_that_the_library_lacks_is_told(folder: Path) -> None:
    change(folder / "model_index.json", transformer=["diffusers", "FluxTransformer9DModel"])
    with pytest.raises(ModelError, match=r"no FluxTransformer9DModel.*pip install -U diffusers"):
        load_pipeline(locate(folder), diffusers.FluxKontextPipeline, FULL)


def test_parts_of_another_pipeline_are_told(folder: Path) -> None:
    with pytest.raises(ModelError, match="can't be loaded"):
        load_pipeline(locate(folder), diffusers.StableDiffusion3Img2ImgPipeline, FULL)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_running_out_of_memory_stays_what_it_is(saved: Path, monkeypatch: Any, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(diffusers.FluxTransformer2DModel, "from_pretrained", fail)
    with pytest.raises(type(error)):
        load_pipeline(locate(saved), diffusers.FluxKontextPipeline, FULL)


def test_a_quantiser_that_does_nothing_is_noticed(saved: Path, monkeypatch: Any) -> None:
    plan = replace(FULL, mode="int8", quantised=("transformer",), quantiser="torchao")
    monkeypatch.setattr(loading, "quantisation", lambda library, plan: None)
    with pytest.raises(ModelError, match=r"torchao left .*transformer' as it is"):
        load_pipeline(locate(saved), diffusers.FluxKontextPipeline, plan)


@pytest.mark.slow  # of what is installed only there
@pytest.mark.parametrize("family", ["flux_kontext", "qwen_image_edit", "flux2", "step1x_edit"])
def test_eight_bit_weights(family: str, tmp_path: Path) -> None:
    torchao = pytest.importorskip("torchao", reason="torchao is not installed")
    tiny_checkpoints.build(family).save_pretrained(tmp_path)
    located = locate(tmp_path)
    machine = Machine("cpu", 0, 0, 10**11, 10**11, 10**11, frozenset({"torchao"}))
    plan = choose("int8", Needs.of_folder(tmp_path, tiny_checkpoints.SIDE), machine)
    kind = pipeline_class(located.pipeline)
    loaded = load_pipeline(located, kind, plan)
    half = load_pipeline(located, kind, replace(FULL, dtype="bfloat16"))
    for part in (loaded.transformer, loaded.text_encoder):
        kinds = {type(module.weight) for module in part.modules() if isinstance(module, torch.nn.Linear)}
        assert any(kind.__module__.startswith(torchao.__name__) for kind in kinds)
    difference = np.abs(tiny_checkpoints.call(family, loaded) - tiny_checkpoints.call(family, half))
    assert 0 < difference.mean() < 0.02
    file = tmp_path / "lora.safetensors"
    in_half, in_eight = with_lora(family, half, file), with_lora(family, loaded, file)
    plain = tiny_checkpoints.call(family, loaded, steps=1)
    assert np.abs(in_eight - in_half).mean() < np.abs(in_eight - plain).mean() / 4


# ---- the hub ----


def in_cache(cache: Path, repository: str, folder: Path) -> Path:
    """The folder as huggingface_hub keeps a repository; the folder of the snapshot."""
    place = cache / f"models--{repository.replace('/', '--')}"
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        blob = place / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        link = place / "snapshots" / COMMIT / file.relative_to(folder)
        for parent in (blob.parent, link.parent):
            parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    return place / "snapshots" / COMMIT


def test_a_whole_copy_in_the_cache_is_used_without_the_hub(saved: Path, tmp_path: Path) -> None:
    snapshot = in_cache(tmp_path, "org/kontext", saved)
    assert locate("org/kontext", tmp_path) == Located(snapshot, "FluxKontextPipeline")
    whole, size = cached("org/kontext", tmp_path)
    assert whole and size == sum(path.stat().st_size for path in (tmp_path / "models--org--kontext/blobs").iterdir())


def test_without_the_hub_half_a_copy_says_what_is_missing(saved: Path, tmp_path: Path) -> None:
    snapshot = in_cache(tmp_path, "org/kontext", saved)
    (snapshot / WEIGHTS).resolve().unlink()
    told = ("the hub can't be reached", str(snapshot / WEIGHTS), "is missing", "go online and give org/kontext")
    refusal("org/kontext", *told, cache=tmp_path)
    assert not cached("org/kontext", tmp_path)[0]


def test_without_the_hub_and_a_copy_the_way_out_is_told(tmp_path: Path) -> None:
    refusal("org/kontext", "is not on this machine", "https://huggingface.co/org/kontext", cache=tmp_path)
    assert cached("org/kontext", tmp_path) == (False, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_before_a_hub_id(saved: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(saved, tmp_path / "org" / "kontext")
    monkeypatch.chdir(tmp_path)
    assert locate("org/kontext") == Located(Path("org/kontext"), "FluxKontextPipeline")


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub on this machine. Of "gated/…" the files, of "absent/…" everything is refused as by the real one; of
    "failing/…" the weights of the transformer fail until the file ``mended`` is there.
    """

    protocol_version = "HTTP/1.1"
    repositories: ClassVar[dict[str, dict[str, bytes]]] = {}
    sizes: ClassVar[dict[str, int]] = {}
    mended: ClassVar[Path]
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+|/tree/.+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repository = (api or file)[1]
        if repository.startswith("absent/"):
            return self.send(401, "RepoNotFound")
        if file and repository.startswith("gated/"):
            return self.send(403, "GatedRepo")
        files = self.repositories[repository]
        if file:
            if with_body:
                self.asked.append(f"{repository}/{file[2]}")
            if repository.startswith("failing/") and file[2] == WEIGHTS and not self.mended.exists():
                return self.send(410, "")  # what the client does not try again by itself
            return self.send(200, "", files[file[2]], with_body)
        entries = [
            {
                "type": "file", "path": name, "rfilename": name, "size": self.sizes.get(name, len(data)),
                "oid": hashlib.sha1(data).hexdigest(), "blobId": hashlib.sha1(data).hexdigest(),
            }
            for name, data in files.items()
        ]  # fmt: skip
        listing = entries if "/tree/" in path else {"id": repository, "sha": COMMIT, "siblings": entries}
        return self.send(200, "", json.dumps(listing).encode(), with_body, "application/json")

    def send(
        self, status: int, code: str, body: bytes = b"", with_body: bool = True, kind: str = "application/octet-stream"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


NOT_NEEDED = (
    "flux1-kontext-dev.safetensors", "README.md", "teaser.png", "code.py", "onnx/model.onnx", "vae/deeper/model.onnx",
    "transformer/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin",
    "text_encoder/modeling.py", "text_encoder/flax_model.msgpack",
)  # fmt: skip


@pytest.fixture
def hub(saved: Path, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    needed = {path.relative_to(saved).as_posix(): path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    pickled = {name.replace(".safetensors", ".bin"): data for name, data in needed.items()}
    code = {"model_index.json": json.dumps({"_class_name": "X", "vae": ["mine", "Mine"]}).encode()}
    huge = needed | {f"{name}": data for name, data in needed.items()}
    Hub.repositories = {
        "org/kontext": needed | dict.fromkeys(NOT_NEEDED, b"not needed"),
        "gated/kontext": needed, "failing/kontext": needed, "org/pickled": pickled, "org/code": code, "org/huge": huge,
        "org/lora": {"lora.safetensors": b"x"},
    }  # fmt: skip
    Hub.asked, Hub.mended, Hub.sizes = [], tmp_path / "mended", {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ASK = """
import json, sys, types
from pathlib import Path
sys.modules["mmdit"] = package = types.ModuleType("mmdit")  # its own __init__ loads the editor
package.__path__ = [sys.argv[1]]
from mmdit.families.folders import ModelError
from mmdit.families.hub import locate
seen, answers = [], []
for name in sys.argv[3:]:
    try:
        answers.append(str(locate(name, Path(sys.argv[2]), lambda *bytes: seen.append(bytes)).folder))
    except ModelError as error:
        answers.append(str(error))
print(json.dumps([answers, seen]))
"""


def ask(endpoint: str, cache: Path, *names: str) -> tuple[list[str], list[list[int]]]:
    """What `locate` answers in a program of its own, where the hub is ``endpoint``; the progress it reported."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(cache.parent / "home"), "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    code = [sys.executable, "-c", ASK, str(Path(loading.__file__).parents[1]), str(cache), *names]
    ended = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "it/s" not in ended.stderr
    return json.loads(ended.stdout)


def test_a_download_brings_what_is_needed_and_nothing_else(hub: str, saved: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    [folder, again], seen = ask(hub, cache, "org/kontext", "org/kontext")
    found = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
    assert found == {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert again == folder and len(Hub.asked) == len(found)  # each file once
    total = sum((Path(folder) / name).stat().st_size for name in found - {"model_index.json"})
    assert seen[-1] == [total, total] and all(0 <= done <= total for done, _ in seen)
    assert cached("org/kontext", cache)[0]
    assert locate("org/kontext", cache).pipeline == "FluxKontextPipeline"  # this process is offline


def test_a_hub_refuses_in_one_sentence_each(hub: str, tmp_path: Path) -> None:
    Hub.sizes = {"vae/diffusion_pytorch_model.safetensors": 10**15}
    names = ["gated/kontext", "absent/kontext", "org/pickled", "org/code", "org/lora", "org/huge"]
    answers, _ = ask(hub, tmp_path / "cache", *names)
    gated, absent, pickled, code, lora, huge = answers
    assert "https://huggingface.co/gated/kontext" in gated and "hf auth login" in gated and "licence" in gated
    assert "no absent/kontext" in absent
    assert "no safetensors in text_encoder" in pickled
    assert "code of its own" in code and "'mine'" in code
    assert "no model_index.json" in lora and "--lora" in lora
    assert "takes 1000000 GB more" in huge and "are free" in huge and "HF_HOME" in huge
    assert all("\n" not in answer for answer in answers)
    assert all(name.endswith("model_index.json") for name in Hub.asked)  # nothing large was fetched in vain


def test_a_download_goes_on_where_it_stopped(hub: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    [failed], _ = ask(hub, cache, "failing/kontext")
    assert "answered 410 for failing/kontext; try again" in failed
    assert not cached("failing/kontext", cache)[0]
    refusal("failing/kontext", WEIGHTS, "is missing", "go online", cache=cache)  # this process is offline
    snapshot = cache / "models--failing--kontext" / "snapshots" / COMMIT
    here = {f"failing/kontext/{path.relative_to(snapshot).as_posix()}" for path in snapshot.rglob("*.*")}
    Hub.asked.clear()
    Hub.mended.touch()
    [folder], _ = ask(hub, cache, "failing/kontext")
    assert locate("failing/kontext", cache).folder == Path(folder) == snapshot
    assert f"failing/kontext/{WEIGHTS}" in Hub.asked and not here & set(Hub.asked)


def test_a_hub_that_is_not_there_is_told(tmp_path: Path) -> None:
    [answer], _ = ask("http://127.0.0.1:9", tmp_path / "cache", "org/kontext")
    assert "the hub can't be reached" in answer and "go online" in answer
