"""Small LoRA files in each way that people's tools write them, for a model given by its Linears.

`write` makes a file and returns what it must do to each module; `keys` says only which tensors it would hold. The names
are written out here anew, so that they test the reader's table. Values are random, and the same every time.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = Mapping[str, tuple[int, int]]
"""Linear of the model → (out, in)."""

FORMATS: tuple[str, ...] = (
    "peft", "peft-default", "diffusers", "diffusers-old", "bare", "comfyui", "kohya", "lightx2v", "pixelsmile",
    "original", "original-peft", "kohya-original", "xlabs", "original-sd3", "kohya-original-sd3",
)  # fmt: skip
"""The originals need a model that has other names of old: FLUX, FLUX.2, or Stable Diffusion 3 for the last two."""

HOLDS_ALPHA = ("diffusers", "kohya", "lightx2v", "kohya-original", "kohya-original-sd3")
"""Formats whose real files say what alpha is; diffusers in the metadata, the others in a tensor for each pair."""

_QKV, _ADDED_QKV = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_FLUX = {
    "double_blocks.{}.img_attn.qkv": ("transformer_blocks", _QKV),
    "double_blocks.{}.txt_attn.qkv": ("transformer_blocks", _ADDED_QKV),
    "double_blocks.{}.img_attn.proj": ("transformer_blocks", ("attn.to_out.0",)),
    "double_blocks.{}.txt_attn.proj": ("transformer_blocks", ("attn.to_add_out",)),
    "double_blocks.{}.img_mlp.0": ("transformer_blocks", ("ff.net.0.proj",)),
    "double_blocks.{}.img_mlp.2": ("transformer_blocks", ("ff.net.2",)),
    "double_blocks.{}.txt_mlp.0": ("transformer_blocks", ("ff_context.net.0.proj",)),
    "double_blocks.{}.txt_mlp.2": ("transformer_blocks", ("ff_context.net.2",)),
    "double_blocks.{}.img_mod.lin": ("transformer_blocks", ("norm1.linear",)),
    "double_blocks.{}.txt_mod.lin": ("transformer_blocks", ("norm1_context.linear",)),
    "single_blocks.{}.linear1": ("single_transformer_blocks", (*_QKV, "proj_mlp")),
    "single_blocks.{}.linear2": ("single_transformer_blocks", ("proj_out",)),
    "single_blocks.{}.modulation.lin": ("single_transformer_blocks", ("norm.linear",)),
}
_FLUX2 = {
    **{name: own for name, own in _FLUX.items() if "attn" in name},
    "double_blocks.{}.img_mlp.0": ("transformer_blocks", ("ff.linear_in",)),
    "double_blocks.{}.img_mlp.2": ("transformer_blocks", ("ff.linear_out",)),
    "double_blocks.{}.txt_mlp.0": ("transformer_blocks", ("ff_context.linear_in",)),
    "double_blocks.{}.txt_mlp.2": ("transformer_blocks", ("ff_context.linear_out",)),
    "single_blocks.{}.linear1": ("single_transformer_blocks", ("attn.to_qkv_mlp_proj",)),
    "single_blocks.{}.linear2": ("single_transformer_blocks", ("attn.to_out",)),
}
_XLABS = {
    "double_blocks.{}.processor.qkv_lora1": ("transformer_blocks", _QKV),
    "double_blocks.{}.processor.qkv_lora2": ("transformer_blocks", _ADDED_QKV),
    "double_blocks.{}.processor.proj_lora1": ("transformer_blocks", ("attn.to_out.0",)),
    "double_blocks.{}.processor.proj_lora2": ("transformer_blocks", ("attn.to_add_out",)),
    "single_blocks.{}.processor.qkv_lora": ("single_transformer_blocks", _QKV),
    "single_blocks.{}.processor.proj_lora": ("single_transformer_blocks", ("proj_out",)),
}
_SD3 = {
    "joint_blocks.{}.x_block.attn.qkv": ("transformer_blocks", _QKV),
    "joint_blocks.{}.x_block.attn.proj": ("transformer_blocks", ("attn.to_out.0",)),
    "joint_blocks.{}.x_block.attn2.qkv": ("transformer_blocks", ("attn2.to_q", "attn2.to_k", "attn2.to_v")),
    "joint_blocks.{}.x_block.attn2.proj": ("transformer_blocks", ("attn2.to_out.0",)),
    "joint_blocks.{}.x_block.mlp.fc1": ("transformer_blocks", ("ff.net.0.proj",)),
    "joint_blocks.{}.x_block.mlp.fc2": ("transformer_blocks", ("ff.net.2",)),
    "joint_blocks.{}.x_block.adaLN_modulation.1": ("transformer_blocks", ("norm1.linear",)),
    "joint_blocks.{}.context_block.attn.qkv": ("transformer_blocks", _ADDED_QKV),
    "joint_blocks.{}.context_block.attn.proj": ("transformer_blocks", ("attn.to_add_out",)),
    "joint_blocks.{}.context_block.mlp.fc1": ("transformer_blocks", ("ff_context.net.0.proj",)),
    "joint_blocks.{}.context_block.mlp.fc2": ("transformer_blocks", ("ff_context.net.2",)),
}
_PREFIXES = {
    "peft": "base_model.model.", "peft-default": "base_model.model.", "diffusers": "transformer.",
    "diffusers-old": "transformer.", "pixelsmile": "transformer.", "comfyui": "diffusion_model.",
    "lightx2v": "diffusion_model.", "original": "diffusion_model.", "original-sd3": "model.diffusion_model.",
    "original-peft": "base_model.model.",
}  # fmt: skip
_ENDINGS = {
    "peft-default": ("lora_A.default", "lora_B.default"), "diffusers-old": ("lora.down", "lora.up"),
    "kohya": ("lora_down", "lora_up"), "kohya-original": ("lora_down", "lora_up"),
    "kohya-original-sd3": ("lora_down", "lora_up"), "lightx2v": ("lora_down", "lora_up"), "xlabs": ("down", "up"),
}  # fmt: skip


class Update(NamedTuple):
    """What a file must do to one module: add ``scale · up @ down``, (out, in), to its weight."""

    down: Tensor
    up: Tensor
    scale: float

    @property
    def delta(self) -> Tensor:
        return self.scale * self.up @ self.down


def write(
    path: str | Path,
    format: str,
    modules: Shapes,
    *,
    rank: int = 4,
    alpha: float | None = 8.0,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, Update]:
    """Write a file of one of FORMATS for these modules, or those of them that the format has a name for.

    Args:
        alpha: stored where real files of the format store it; None for nowhere.
        metadata: for the header, beside what the format puts there.

    Returns:
        Module → what the file says of it; the scale is alpha / rank, or 1 where the format keeps no alpha.
    """
    held = tensors(format, modules, rank=rank, alpha=alpha, seed=seed)
    about = {"format": "pt"}
    if format == "diffusers" and alpha is not None:
        about["lora_adapter_metadata"] = json.dumps({"transformer.r": rank, "transformer.lora_alpha": alpha})
    save_file(held, path, metadata=about | dict(metadata or {}))
    scale = alpha / rank if alpha is not None and format in HOLDS_ALPHA else 1.0
    updates = {}
    for layer, targets in _layers(format, modules).items():
        down_key, up_key = _pair_keys(format, layer)
        sizes = [modules[target][0] for target in targets]
        for target, up in zip(targets, held[up_key].split(sizes), strict=True):
            updates[target] = Update(held[down_key], up, scale)
    return updates


def tensors(
    format: str, modules: Shapes, *, rank: int = 4, alpha: float | None = 8.0, seed: int = 0
) -> dict[str, Tensor]:
    """What `write` stores."""
    draw = torch.Generator().manual_seed(seed)
    held = {}
    for key, shape in keys(format, modules, rank=rank, alpha=alpha).items():
        held[key] = torch.randn(shape, generator=draw) * 0.1 if shape else torch.tensor(float(alpha))
    return held


def keys(format: str, modules: Shapes, *, rank: int = 4, alpha: float | None = 8.0) -> dict[str, tuple[int, ...]]:
    """Tensor key → shape of what `write` stores, for models too large to write LoRAs for."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, targets in _layers(format, modules).items():
        down, up = _pair_keys(format, layer)
        shapes[down] = (rank, modules[targets[0]][1])
        shapes[up] = (sum(modules[target][0] for target in targets), rank)
        if alpha is not None and format in HOLDS_ALPHA and format != "diffusers":
            shapes[f"{layer}.alpha"] = ()
    return shapes


def write_sparse(path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None) -> None:
    """A valid bfloat16 file of these shapes that is all zeros and takes next to no room on disk."""
    entries, stop = {"__metadata__": dict(metadata or {})}, 0
    for key, shape in shapes.items():
        start, stop = stop, stop + 2 * math.prod(shape)
        entries[key] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, stop]}
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + stop)


def _layers(format: str, modules: Shapes) -> dict[str, tuple[str, ...]]:
    """The file's name for a layer → the modules that it stands for."""
    kind = format.removeprefix("kohya-").removesuffix("-peft")
    if kind in ("original", "original-sd3", "xlabs"):
        gated = any("linear_in" in module for module in modules)
        tables = {"original": _FLUX2 if gated else _FLUX, "original-sd3": _SD3, "xlabs": _XLABS}
        layers = {
            name.format(index): tuple(f"{stack}.{index}.{part}" for part in own)
            for name, (stack, own) in tables[kind].items()
            for index in range(100)
            if f"{stack}.{index}.{own[0]}" in modules
        }
    else:
        layers = {module: (module,) for module in modules}
    flat = format.startswith("kohya")
    prefix = _PREFIXES.get(format, "")
    return {
        f"lora_unet_{name.replace('.', '_')}" if flat else f"{prefix}{name}": targets
        for name, targets in layers.items()
    }


def _pair_keys(format: str, layer: str) -> tuple[str, str]:
    """PixelSmile's trainer renames only what diffusers' attention processors once had."""
    old = format == "pixelsmile" and layer.endswith((".to_q", ".to_k", ".to_v", ".to_out.0"))
    down, up = _ENDINGS.get("diffusers-old" if old else format, ("lora_A", "lora_B"))
    return f"{layer}.{down}.weight", f"{layer}.{up}.weight"
