"""From a folder and a plan to a pipeline that is ready: every part loaded strictly and placed.

In: a `Located` folder and a `MemoryPlan`. Out: a diffusers pipeline that lies where the plan says. Knows no family, no
hub, and not how the plan was chosen.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdit.families.folders import Component, Located, ModelError, components, read_json, weight_files
from mmdit.families.machine import ran_out_of_memory
from mmdit.families.memory import MemoryPlan

DTYPE_NAMES = {"diffusers": "torch_dtype", "transformers": "dtype"}


def load_pipeline(located: Located, pipeline_class: type, plan: MemoryPlan) -> Any:
    """The pipeline, every weight where the plan wants it, without progress bars.

    A weight that is missing or of another shape is an error here, where diffusers and transformers go on with random
    numbers; so is one of the transformer's that its configuration has no place for.

    Args:
        located: of a diffusers pipeline.
        pipeline_class: diffusers' class that takes the folder's parts.

    Raises:
        ModelError: damaged weights, or weights that don't fit the configuration, or parts that don't fit the class.
        torch.OutOfMemoryError, MemoryError: see `memory.step_down`.
    """
    parts = components(read_json(located.folder / "model_index.json"), str(located.folder))
    with _without_bars():
        models = {part.name: _load_component(located.folder, part, plan) for part in parts if part.is_model}
        with load_errors(str(located.folder)):
            pipeline = pipeline_class.from_pretrained(located.folder, local_files_only=True, **models)
        pipeline.set_progress_bar_config(disable=True)
        _place(pipeline, plan)
    if plan.vae_tiling:
        pipeline.vae.enable_tiling()
    return pipeline


def _load_component(folder: Path, part: Component, plan: MemoryPlan) -> Any:
    import torch

    place = folder / part.name
    cls = getattr(importlib.import_module(part.module), part.kind, None)
    if cls is None:
        raise ModelError(f"{part.library} has no {part.kind} for {str(place)!r}; `pip install -U {part.library}`")
    extra: dict[str, Any] = {}
    if part.name in plan.quantised:
        extra["quantization_config"] = quantisation(part.library, plan)
    variant, _ = weight_files((path.name for path in place.iterdir()), part)
    if variant:
        extra["variant"] = variant
    stays = not plan.offload and plan.mode not in ("offload", "group")
    if stays and plan.device != "cpu" and (part.library == "transformers" or part.name in plan.quantised):
        # without a copy in system memory; on the CPU, diffusers would leave out what a device map names
        extra["device_map"] = {"": plan.device}
    with load_errors(str(place)):
        model, info = cls.from_pretrained(
            place, **{DTYPE_NAMES[part.library]: getattr(torch, plan.dtype)}, local_files_only=True,
            use_safetensors=True, output_loading_info=True, **extra,
        )  # fmt: skip
    _check_keys(place, part, info)
    if part.name in plan.quantised and not _is_quantised(model):
        raise ModelError(f"{plan.quantiser} left {str(place)!r} as it is; use another memory mode, or update diffusers")
    return model.eval().to(plan.device) if stays and "device_map" not in extra else model.eval()


def _check_keys(place: Path, part: Component, info: Mapping[str, Any]) -> None:
    """Raises ModelError: what was loaded is not what the configuration says."""
    wrong = {
        "lacks": info["missing_keys"],
        "has another shape of": [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]],
        "has no place for": info["unexpected_keys"] if part.name == "transformer" else (),
    }
    for problem, keys in wrong.items():
        if keys:
            first, more = min(keys), f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(
                f"{str(place)!r} {problem} {first!r}{more}: its weights are not what config.json says; get both again"
            )


def _is_quantised(model: Any) -> bool:
    import torch

    plain = (torch.nn.Parameter, torch.Tensor)
    return any(type(part.weight) not in plain for part in model.modules() if isinstance(part, torch.nn.Linear))


def quantisation(library: str, plan: MemoryPlan) -> Any:
    """The configuration of the plan's quantiser, as a library wants it."""
    import torch

    owner = importlib.import_module(library)
    if plan.quantiser == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return owner.TorchAoConfig(Int8WeightOnlyConfig())
    if plan.mode == "int8":
        return owner.BitsAndBytesConfig(load_in_8bit=True)
    return owner.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, plan.dtype)
    )


def _place(pipeline: Any, plan: MemoryPlan) -> None:
    import torch

    if plan.mode == "group":
        _stream(pipeline, torch.device(plan.device), plan.pinned)
    elif plan.mode == "offload" or plan.offload:
        pipeline.enable_model_cpu_offload(device=plan.device)
    else:
        pipeline.to(plan.device)


def _stream(pipeline: Any, device: Any, pinned: bool) -> None:
    """The transformer block by block, the text encoders layer by layer, the rest on the device."""
    import torch
    from diffusers.hooks import apply_group_offloading

    on_cuda = device.type == "cuda"
    ways = {"use_stream": on_cuda, "low_cpu_mem_usage": on_cuda and not pinned}
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        if name == "transformer":
            apply_group_offloading(part, device, offload_type="block_level", num_blocks_per_group=1, **ways)
        elif name.startswith("text_encoder"):  # its blocks lie too deep for diffusers to find them
            apply_group_offloading(part, device, offload_type="leaf_level", **ways)
        else:
            part.to(device)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the progress bars of diffusers and transformers; afterwards as before."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [module for module in (of_diffusers, of_transformers) if module.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()


@contextmanager
def load_errors(place: str) -> Iterator[None]:
    """What goes wrong where weights are read, as one sentence; running out of memory stays what it is."""
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        raise ModelError(f"{place!r} needs a package that is missing ({_first_line(error)}); install it") from error
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError(
            f"{place!r} can't be loaded ({type(error).__name__}: {_first_line(error)}); get it again, or update "
            "diffusers and transformers"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:500] if lines else "no reason given"
