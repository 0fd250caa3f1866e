"""LoRAs of Step1X-Edit, whatever they call their modules, in diffusers layout.

In: a safetensors file, a model's Linears and a folder that is not there yet. Out: that folder with one file, whole, or
none. Knows no command line.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmdit.families.step1x_edit.convert import some, whole_folder
from mmdit.lora.fit import fit
from mmdit.lora.formats import read_keys, split_keys
from mmdit.lora.header import LoraHeader, read_header
from mmdit.lora.inspect import ALPHA_METADATA, inspect

LORA_FILE = "pytorch_lora_weights.safetensors"


def is_lora(file: Path) -> bool:
    """Whether a file holds low-rank pairs. Raises ValueError: no safetensors file, or a damaged one."""
    return bool(split_keys(read_header(file).shapes).parts)


def convert_lora(file: Path, out: Path, modules: Mapping[str, tuple[int, int]]) -> list[str]:
    """A LoRA in diffusers layout, from any layout that `mmdit.lora.formats` reads; it adds the same to each module.

    Args:
        modules: Linear of the model → (out, in).

    Returns:
        A sentence: what was written.

    Raises:
        ValueError: a tensor that is no low-rank pair or fits no module, listed; a folder that is there already; no
            room.
    """
    header = read_header(file)
    _check(header, modules)
    targets = inspect(file, modules, "Step1X-Edit").targets
    with whole_folder(out, 2 * header.bytes) as partial, safe_open(file, "pt") as opened:
        tensors: dict[str, Tensor] = {}
        for target in targets:
            up = opened.get_tensor(target.up)
            name = f"transformer.{target.module}"
            tensors[f"{name}.lora_A.weight"] = opened.get_tensor(target.down).clone()
            tensors[f"{name}.lora_B.weight"] = (up if target.rows is None else up[slice(*target.rows)]).clone()
            if target.scale != 1:  # which is what a file without alpha means
                tensors[f"{name}.alpha"] = torch.tensor(target.scale * target.rank)
        about = {key: value for key, value in header.metadata.items() if key not in ALPHA_METADATA}
        save_file(tensors, partial / LORA_FILE, metadata=about)
    return [f"{len(targets)} modules, written to {str(out / LORA_FILE)!r}"]


def _check(header: LoraHeader, modules: Mapping[str, tuple[int, int]]) -> None:
    """Raises ValueError unless all pairs fit."""
    held = fit(read_keys(header.shapes, modules), header.shapes, modules)
    strange = held.unknown | held.mismatched | dict.fromkeys(held.incomplete, "half a pair")
    if strange or not held.matched:
        what = some([f"{name!r} ({why})" for name, why in strange.items()])
        raise ValueError(
            f"{str(header.path)!r} has what the model has no place for: {what}; name the model that it was made for "
            "with --model, for nothing is left out"
        )
