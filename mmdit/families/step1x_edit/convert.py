"""Step1X-Edit's original files in diffusers layout: the transformer tensor by tensor, the VAE, Qwen2.5-VL.

In: a safetensors file and a folder that is not there yet. Out: that folder, whole, or none. A header is checked against
the whole table of names before anything is written. Knows no command line, and of LoRAs nothing.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmdit.families.folders import Component, read_json, weight_files
from mmdit.families.machine import gigabytes
from mmdit.families.step1x_edit.original_names import (
    Piece,
    configuration,
    is_checkpoint,
    left_out,
    originals,
    pieces,
    version_of,
)
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel
from mmdit.lora.header import LoraHeader, read_header

SHARD_BYTES = 10**9
"""Most of one file of weights, and so of what is held in memory."""
STEM = "diffusion_pytorch_model"
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 2, "F8_E5M2": 2}
"""Type of an original weight → bytes of a number in what is written, where 8 bits are bfloat16."""
INDEX = {
    "_class_name": "Step1XEditPipeline",
    "_diffusers_version": diffusers.__version__,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "processor": ["transformers", "Qwen2_5_VLProcessor"],
    "transformer": ["diffusers", "Step1XEditTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
VAE = {
    "latent_channels": 16, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 1024, "shift_factor": 0.1159, "scaling_factor": 0.3611,
    "use_quant_conv": False, "use_post_quant_conv": False,
}  # fmt: skip
"""FLUX.1's."""
QWEN = (
    Component("text_encoder", *INDEX["text_encoder"]), Component("processor", *INDEX["processor"]),
    Component("tokenizer", "transformers", "Qwen2Tokenizer"),
)  # fmt: skip
"""What a folder of Qwen2.5-VL holds."""

OnPart = Callable[[int, int], None]
"""Called with the files of weights that are written, and how many there will be."""


def convert_checkpoint(
    file: Path,
    out: Path,
    version: str | None = None,
    vae: Path | None = None,
    text_encoder: Path | None = None,
    on_part: OnPart = lambda done, parts: None,
) -> list[str]:
    """The folder of a pipeline from an original checkpoint of version 1.0 or 1.1.

    Args:
        version: None for what the file looks like.
        vae: the original autoencoder's file. text_encoder: a folder of Qwen2.5-VL, whose files are linked, or copied
            where the disk is another one.

    Returns:
        Sentences: what was left out or changed, and what the folder still lacks.

    Raises:
        ValueError: a damaged file or another model's, with the first tensor that is amiss; a folder that is there
            already; no room.
    """
    header = read_header(file)
    found = version_of(header.shapes)
    if version == "1.0" and found != version:
        raise ValueError(f"{str(file)!r} is not of version 1.0: 'connector.scale_factor' is missing; leave it at 1.1")
    version = version or found
    config, wanted = _checked(header, version)
    said = _said(header, version)
    copied = 0 if vae is None else _checked_vae(vae)
    linked = {} if text_encoder is None else _checked_text_encoder(text_encoder)
    copied += sum(path.stat().st_size for path in linked if not _is_beside(path, out))
    with whole_folder(out, copied + sum(_taken(header, piece) for piece in wanted)) as partial:
        with init_empty_weights():
            Step1XEditTransformer2DModel(**config).save_config(partial / "transformer")
        _write_weights(header, wanted, partial / "transformer", on_part)
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).save_pretrained(partial / "scheduler")
        index = json.dumps(INDEX | {"version": version}, indent=2)
        (partial / "model_index.json").write_text(index, encoding="utf-8")
        if vae is not None:
            _vae(vae, load_file(vae)).save_pretrained(partial / "vae")
        _link(linked, partial)
    lacking = [*([] if vae else ["vae"]), *([] if text_encoder else ["text_encoder", "processor"])]
    if lacking:
        said.append(
            f"{str(out)!r} still lacks {', '.join(lacking)}: copy them from stepfun-ai/Step1X-Edit-v1p1-diffusers, "
            "which has the same, or convert again with --vae and --text-encoder"
        )
    return said


# ---- the transformer ----


def _checked(header: LoraHeader, version: str) -> tuple[dict, list[Piece]]:
    """The configuration and the pieces, after a look at every name, shape and type."""
    if not is_checkpoint(header.shapes):
        raise ValueError(
            f"{str(header.path)!r} is neither a checkpoint of Step1X-Edit nor a LoRA of low-rank pairs; check the file"
        )
    try:
        config = configuration(header.shapes, version)
        wanted = pieces(config)
        for name, shape in originals(wanted).items():
            if name not in header.shapes:
                missing = [other for other in originals(wanted) if other not in header.shapes]
                raise ValueError(f"{name!r} is missing, of {len(missing)} in all; get the file again")
            if header.shapes[name] != shape:
                raise ValueError(f"{name!r} has the shape {header.shapes[name]}, not {shape}; get the file again")
            if header.dtypes[name] not in BYTES:
                raise ValueError(f"{name!r} is of type {header.dtypes[name]}, not {', '.join(BYTES)}; get one of these")
    except ValueError as error:
        raise ValueError(f"{str(header.path)!r} is no whole checkpoint of Step1X-Edit: {error}") from None
    rest = sorted(header.shapes.keys() - originals(wanted).keys() - left_out(version))
    if rest:
        raise ValueError(
            f"{str(header.path)!r} holds tensors that Step1X-Edit {version} has no place for: "
            f"{some([repr(name) for name in rest])}; get its own file"
        )
    return config, wanted


def _said(header: LoraHeader, version: str) -> list[str]:
    unused = left_out(version) & header.shapes.keys()
    said = [f"{name} is not used by version {version} and was left out" for name in unused]
    eights = sum(dtype.startswith("F8") for name, dtype in header.dtypes.items() if name not in unused)
    return said + ([f"{eights} tensors of 8 bits became bfloat16"] if eights else [])


def _write_weights(header: LoraHeader, wanted: Sequence[Piece], folder: Path, on_part: OnPart) -> None:
    """Shards named as diffusers names them, with an index where there are several."""
    shards = list(_shards(header, wanted))
    names = [f"{STEM}.safetensors"]
    if len(shards) > 1:
        names = [f"{STEM}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    weight_map, total = {}, 0
    for number, (name, shard) in enumerate(zip(names, shards, strict=True), start=1):
        # Opened anew for each, for what was read stays in memory till it is closed.
        with safe_open(header.path, "pt") as opened:
            tensors = {piece.name: _cut(opened.get_slice(piece.original), piece) for piece in shard}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
        on_part(number, len(shards))
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _shards(header: LoraHeader, wanted: Sequence[Piece]) -> Iterator[list[Piece]]:
    shard, size = list[Piece](), 0
    for piece in wanted:
        taken = _taken(header, piece)
        if shard and size + taken > SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(piece)
        size += taken
    yield shard


def _taken(header: LoraHeader, piece: Piece) -> int:
    """Bytes of what is written."""
    return math.prod(piece.shape) * BYTES[header.dtypes[piece.original]]


def _cut(original: object, piece: Piece) -> Tensor:
    """The weight, of the original tensor as safetensors slices it."""
    weight = original[slice(*piece.rows)]
    if weight.dtype.itemsize == 1:
        weight = weight.to(torch.bfloat16)
    if piece.is_swapped:
        shift, scale = weight.chunk(2)
        weight = torch.cat([scale, shift])
    return weight.contiguous()


# ---- the other parts ----


def _checked_vae(file: Path) -> int:
    """The bytes of the autoencoder's file, after a look at every name and shape."""
    header = read_header(file)
    _vae(file, {name: torch.empty(shape, device="meta") for name, shape in header.shapes.items()})
    return header.bytes


def _vae(file: Path, weights: dict[str, Tensor]) -> AutoencoderKL:
    """The autoencoder of these weights, which have the original names."""
    with init_empty_weights():
        model = AutoencoderKL(**VAE)
    try:
        converted = convert_ldm_vae_checkpoint(weights, model.config)
        if len(converted) < len(weights):
            raise KeyError(f"{len(weights) - len(converted)} tensors too many")
        model.load_state_dict(converted, assign=True)
    except (RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{str(file)!r} is not FLUX.1's autoencoder ({reason}); get it again") from None
    return model


def _checked_text_encoder(source: Path) -> dict[Path, str]:
    """Each file of a folder of Qwen2.5-VL → where it goes: the model's to ``text_encoder``, the rest to ``processor``.

    Raises:
        ValueError: no such folder, or one that lacks something.
    """
    if not source.is_dir():
        raise ValueError(f"there is no folder {str(source)!r}; check the path")
    files = {path.name: path for path in source.iterdir() if path.is_file()}
    _, weights = weight_files(files, QWEN[0])
    for index in [name for name in weights if name.endswith(".json")]:
        weights |= set(read_json(files[index]).get("weight_map", {}).values())
    groups = [group for component in QWEN for group in component.files]
    groups += [(name,) for name in weights or {"model.safetensors"}]
    lost = sorted(group[0] for group in groups if not files.keys() & set(group))
    if lost:
        raise ValueError(
            f"{str(source)!r} is no whole folder of Qwen2.5-VL: it lacks {some([repr(name) for name in lost])}; "
            "get it again"
        )
    for name in weights:
        if name.endswith(".safetensors"):
            read_header(files[name])
    own = weights | {"config.json", "generation_config.json"}
    places = {files[name]: f"text_encoder/{name}" for name in own & files.keys()}
    rest = [name for name in files.keys() - own if name.endswith((".json", ".txt", ".jinja"))]
    return places | {files[name]: f"processor/{name}" for name in rest if ".safetensors." not in name}


def _link(files: Mapping[Path, str], folder: Path) -> None:
    """Hard links in ``folder``; copies where the disk is another one."""
    for path, name in files.items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:
            shutil.copyfile(path, place)


def _is_beside(path: Path, out: Path) -> bool:
    """Whether a file is on the disk of the folder to come, where a link of it takes no room."""
    parent = out.resolve().parent
    return parent.is_dir() and path.stat().st_dev == parent.stat().st_dev


# ---- files ----


@contextmanager
def whole_folder(out: Path, size: int) -> Iterator[Path]:
    """A folder beside ``out`` that becomes it at the end, or is gone; what a killed run left is gone first.

    Args:
        size: bytes that will be written.

    Raises:
        ValueError: ``out`` is there and not empty, or its parent isn't; no room.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{str(out)!r} is there already; name a new folder")
    if not out.parent.is_dir():
        raise ValueError(f"the folder {str(out.parent)!r} does not exist; make it first")
    free = shutil.disk_usage(out.parent).free
    if size > free:
        raise ValueError(f"{str(out)!r} takes {gigabytes(size)}, but {gigabytes(free)} are free there; make room")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def some(names: Sequence[str]) -> str:
    """The first five of them, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
