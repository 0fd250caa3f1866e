"""Step1X-Edit's original files in diffusers layout: the transformer tensor by tensor, the VAE, Qwen2.5-VL, LoRAs.

In: a safetensors file and a folder that is not there yet. Out: that folder, whole, or none. A header is checked against
the whole table of names before anything is written. Knows no command line.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
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
from mmdit.lora.formats import Pair, describe, read_keys
from mmdit.lora.header import LoraHeader, read_header

SHARD_BYTES = 10**9
"""Most of one file of weights, and so of what is held in memory."""
STEM = "diffusion_pytorch_model"
LORA_FILE = "pytorch_lora_weights.safetensors"
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
    with _whole_folder(out, header.bytes + sum(_size(path) for path in (vae, text_encoder) if path)) as partial:
        with init_empty_weights():
            Step1XEditTransformer2DModel(**config).save_config(partial / "transformer")
        _write_weights(header, wanted, partial / "transformer", on_part)
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).save_pretrained(partial / "scheduler")
        index = json.dumps(INDEX | {"version": version}, indent=2)
        (partial / "model_index.json").write_text(index, encoding="utf-8")
        if vae is not None:
            _convert_vae(vae, partial / "vae")
        if text_encoder is not None:
            _link_text_encoder(text_encoder, partial)
    lacking = [*([] if vae else ["vae"]), *([] if text_encoder else ["text_encoder", "processor"])]
    if lacking:
        said.append(
            f"{str(out)!r} still lacks {', '.join(lacking)}: copy them from stepfun-ai/Step1X-Edit-v1p1-diffusers, "
            "which has the same, or convert again with --vae and --text-encoder"
        )
    return said


def convert_lora(file: Path, out: Path, modules: dict[str, tuple[int, int]]) -> list[str]:
    """A LoRA in diffusers layout, from any layout that `mmdit.lora.formats` reads.

    Args:
        modules: Linear of the model → (out, in).

    Raises:
        ValueError: a tensor that is no low-rank pair or fits no module, listed; a folder that is there already.
    """
    header = read_header(file)
    reading = read_keys(header.shapes, modules)
    if not reading.pairs:
        raise ValueError(f"{str(file)!r} is neither a checkpoint of Step1X-Edit nor a LoRA; check the file")
    strange = [describe(key)[0] for key in reading.unknown]
    strange += [pair.module for pair in reading.pairs if not (pair.down and pair.up and _fits(pair, header, modules))]
    if strange:
        raise ValueError(f"{str(file)!r} has what the model has no place for: {_some(strange)}; nothing is left out")
    with _whole_folder(out, 2 * header.bytes) as partial, safe_open(file, "pt") as opened:
        tensors: dict[str, Tensor] = {}
        for pair in reading.pairs:
            up = opened.get_tensor(pair.up)
            name = f"transformer.{pair.module}"
            tensors[f"{name}.lora_A.weight"] = opened.get_tensor(pair.down).clone()
            tensors[f"{name}.lora_B.weight"] = (up if pair.rows is None else up[slice(*pair.rows)]).clone()
            if pair.alpha is not None:
                tensors[f"{name}.alpha"] = opened.get_tensor(pair.alpha).clone()
        save_file(tensors, partial / LORA_FILE, metadata=header.metadata)
    return [f"{len(reading.pairs)} modules, written to {str(out / LORA_FILE)!r}"]


def _fits(pair: Pair, header: LoraHeader, modules: dict[str, tuple[int, int]]) -> bool:
    """Whether the model has the pair's module, with its numbers of rows and columns."""
    if pair.module not in modules:
        return False
    (rank, columns), (rows, own_rank) = header.shapes[pair.down], header.shapes[pair.up]
    start, stop = pair.rows or (0, rows)
    return (min(stop, rows) - start, columns) == modules[pair.module] and rank == own_rank


def is_lora(file: Path) -> bool:
    """Whether a file is none of a whole transformer. Raises ValueError: no safetensors file, or a damaged one."""
    return not is_checkpoint(read_header(file).shapes)


# ---- the transformer ----


def _checked(header: LoraHeader, version: str) -> tuple[dict, list[Piece]]:
    """The configuration and the pieces, after a look at every name and shape."""
    try:
        config = configuration(header.shapes, version)
        wanted = pieces(config)
        for name, shape in originals(wanted).items():
            if name not in header.shapes:
                missing = [other for other in originals(wanted) if other not in header.shapes]
                raise ValueError(f"{name!r} is missing, of {len(missing)} in all; get the file again")
            if header.shapes[name] != shape:
                raise ValueError(f"{name!r} has the shape {header.shapes[name]}, not {shape}; get the file again")
    except ValueError as error:
        raise ValueError(f"{str(header.path)!r} is no whole checkpoint of Step1X-Edit: {error}") from None
    rest = sorted(header.shapes.keys() - originals(wanted).keys() - left_out(version))
    if rest:
        raise ValueError(
            f"{str(header.path)!r} holds tensors that Step1X-Edit {version} has no place for: {_some(rest)}"
        )
    return config, wanted


def _said(header: LoraHeader, version: str) -> list[str]:
    said = [
        f"{name} is not used by version {version} and was left out" for name in left_out(version) & set(header.shapes)
    ]
    eights = sum(dtype.startswith("F8") for dtype in header.dtypes.values())
    return said + ([f"{eights} tensors of 8 bits became bfloat16"] if eights else [])


def _write_weights(header: LoraHeader, wanted: Sequence[Piece], folder: Path, on_part: OnPart) -> None:
    """Shards named as diffusers names them, with an index where there are several."""
    shards = list(_shards(header, wanted))
    names = [f"{STEM}.safetensors"]
    if len(shards) > 1:
        names = [f"{STEM}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    weight_map, total = {}, 0
    for number, (name, shard) in enumerate(zip(names, shards, strict=True), start=1):
        with safe_open(
            header.path, "pt"
        ) as opened:  # anew for each, for what was read stays in memory till it is closed
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
        bits = header.dtypes[piece.original].lstrip("BFIU").split("_")[0]
        taken = torch.Size(piece.shape).numel() * max(2, int(bits) // 8)
        if shard and size + taken > SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(piece)
        size += taken
    yield shard


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


def _convert_vae(file: Path, folder: Path) -> None:
    read_header(file)
    with init_empty_weights():
        model = AutoencoderKL(**VAE)
    weights = convert_ldm_vae_checkpoint(load_file(file), model.config)
    try:
        model.load_state_dict(weights, assign=True)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{str(file)!r} is not FLUX.1's autoencoder ({reason}); get it again") from None
    model.save_pretrained(folder)


def _link_text_encoder(source: Path, partial: Path) -> None:
    """Weights and configuration into ``text_encoder``, all else that a processor needs into ``processor``."""
    files = [path for path in source.iterdir() if path.suffix in (".json", ".safetensors", ".txt", ".jinja")]
    names = {path.name for path in files}
    if "config.json" not in names or not any(path.suffix == ".safetensors" for path in files):
        raise ValueError(
            f"{str(source)!r} is no folder of Qwen2.5-VL: it lacks config.json or safetensors; get it whole"
        )
    for path in files:
        is_model = path.suffix == ".safetensors" or ".safetensors.index" in path.name or path.name in (
            "config.json", "generation_config.json",
        )  # fmt: skip
        place = partial / ("text_encoder" if is_model else "processor") / path.name
        place.parent.mkdir(exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:
            shutil.copyfile(path, place)


# ---- files ----


@contextmanager
def _whole_folder(out: Path, size: int) -> Iterator[Path]:
    """A folder beside ``out`` that becomes it at the end, or is gone; what a killed run left is gone first."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{str(out)!r} is there already; name a new folder")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"the folder {str(out.absolute().parent)!r} does not exist; make it first")
    free = shutil.disk_usage(out.absolute().parent).free
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


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _some(names: Sequence[str]) -> str:
    """The first five of them, and how many there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(name) for name in names[:5]) + more
