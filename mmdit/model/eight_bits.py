"""Weights in eight bits: matrices and kernels as int8 with one float16 scale an output, all else in float16."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_SCALE = ".scale"


def save(weights: Mapping[str, Tensor], file: str | Path) -> None:
    """Write safetensors; rounding what was read from such a file again changes nothing."""
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        tensors |= _rounded(name, weight)
    save_file(tensors, file)


def load(file: str | Path) -> dict[str, Tensor]:
    """Read what `save` wrote, or plain tensors, as float32."""
    stored = load_file(file)
    return {name: _precise(name, stored) for name in stored if not name.endswith(_SCALE)}


def _rounded(name: str, weight: Tensor) -> dict[str, Tensor]:
    if weight.ndim < 2:
        return {name: weight.half().contiguous() if weight.is_floating_point() else weight}
    inputs = tuple(range(1, weight.ndim))
    scale = (weight.abs().amax(dim=inputs, keepdim=True).clamp_min(1e-8) / 127).half()
    rows = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8)
    return {name: rows, f"{name}{_SCALE}": scale}


def _precise(name: str, stored: Mapping[str, Tensor]) -> Tensor:
    weight, scale = stored[name], stored.get(f"{name}{_SCALE}")
    if scale is not None:
        return weight.float() * scale.float()
    return weight.float() if weight.is_floating_point() else weight
