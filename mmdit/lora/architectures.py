"""The Linears of models, by name and shape, without their weights: of known architectures and of local folders.

In: a name or a folder, or a LoRA's header. Out: module → (out, in), or which architecture the LoRA was made for. Needs
no torch. The formulas follow the constructors of diffusers' transformer classes.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdit.catalog import CATALOG
from mmdit.lora.fit import NO_MODULE, Fit, fit
from mmdit.lora.formats import Layers, resolve, split_keys
from mmdit.lora.header import LoraError, LoraHeader, read_header

Shapes = dict[str, tuple[int, int]]

KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "step1x-edit": ("Step1XEditTransformer2DModel", {}),
    "step1x-edit-v1.2": ("Step1XEditTransformer2DModel", {"enable_text_token_mapping": True}),
    "qwen-image": ("QwenImageTransformer2DModel", {}),
    "flux2": ("Flux2Transformer2DModel", {}),
    "flux2-klein-9b": (
        "Flux2Transformer2DModel",
        {"num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288, "guidance_embeds": False},
    ),
    "flux2-klein-4b": (
        "Flux2Transformer2DModel",
        {
            "num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680,
            "guidance_embeds": False,
        },
    ),
    "sd3-medium": ("SD3Transformer2DModel", {}),
    "sd3.5-medium": ("SD3Transformer2DModel", {"dual_attention_layers": range(13)}),
    "sd3.5-large": (
        "SD3Transformer2DModel",
        {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432},
    ),
}  # fmt: skip
"""Architecture → class of the transformer, and what its configuration has other than `DEFAULTS`."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "FluxTransformer2DModel": {
        "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128,
        "in_channels": 64, "patch_size": 1, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
        "guidance_embeds": False,
    },
    "Step1XEditTransformer2DModel": {
        "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128,
        "in_channels": 64, "patch_size": 1, "joint_attention_dim": 4096, "timestep_in_dim": 256, "vector_in_dim": 768,
        "connector_in_channels": 3584, "connector_hidden_size": 4096, "connector_depth": 2,
        "enable_text_token_mapping": False,
    },
    "QwenImageTransformer2DModel": {
        "num_layers": 60, "num_attention_heads": 24, "attention_head_dim": 128, "in_channels": 64, "out_channels": 16,
        "patch_size": 2, "joint_attention_dim": 3584,
    },
    "Flux2Transformer2DModel": {
        "num_layers": 8, "num_single_layers": 48, "num_attention_heads": 48, "attention_head_dim": 128,
        "in_channels": 128, "patch_size": 1, "joint_attention_dim": 15360, "timestep_guidance_channels": 256,
        "mlp_ratio": 3.0, "guidance_embeds": True,
    },
    "SD3Transformer2DModel": {
        "num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64, "in_channels": 16, "patch_size": 2,
        "joint_attention_dim": 4096, "caption_projection_dim": 1536, "pooled_projection_dim": 2048,
        "dual_attention_layers": (),
    },
}  # fmt: skip
_TIMESTEP_CHANNELS = 256
_ATTENTION = ("to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "add_q_proj", "to_out.0", "to_add_out")
_FLUX_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""Layers of a joint attention in the order of diffusers' class, and of FLUX's and FLUX.2's own."""
_HINTS = ("modelspec.architecture", "ss_base_model_version", "base_model", "base")


def linear_shapes(name: str | Path) -> Shapes:
    """Module → (out, in) of every Linear of a transformer, in the order of its constructor.

    Args:
        name: an architecture of `KNOWN`, a name of the catalog, or the local folder of a diffusers pipeline or
            transformer, with weights or with only its config.json.

    Raises:
        LoraError: none of these, or a folder without a transformer.
    """
    entry = CATALOG.get(str(name))
    architecture = entry.architecture if entry is not None and entry.architecture else name
    if architecture in KNOWN:
        return _from_config(*KNOWN[architecture])
    folder = Path(name if entry is None else entry.source)
    if not folder.is_dir():
        known = ", ".join(dict.fromkeys((*CATALOG, *KNOWN)))
        raise LoraError(f"there is no model {str(name)!r}; use one of {known}, or the folder of a local model")
    return _from_folder(folder / "transformer" if (folder / "transformer").is_dir() else folder)


def guess_family(header: LoraHeader) -> tuple[str, str]:
    """Which architecture a LoRA was made for: the one whose modules fit most of its pairs.

    Of several that fit alike the file's metadata decides, then how much of the model the LoRA covers.

    Returns:
        A name that `linear_shapes` takes, or "unknown"; and a sentence that says what was seen.
    """
    layers = split_keys(header.shapes)
    local = [name for name, entry in CATALOG.items() if (Path(entry.source) / "transformer").is_dir()]
    candidates = [_Candidate.of(name, header, layers) for name in (*local, *KNOWN)]
    best = max(candidates, key=lambda candidate: (candidate.fits, candidate.is_named, -len(candidate.held.missing)))
    said = next((f"; its metadata says {header.metadata[key]!r:.80}" for key in _HINTS if header.metadata.get(key)), "")
    if best.fits <= 0:
        why = "most of its layers are in no known model" if layers.parts else "it holds no low-rank pair"
        return "unknown", f"{why}{said}"
    alike = [
        other.name
        for other in candidates
        if other is not best and (other.fits, len(other.held.missing)) == (best.fits, len(best.held.missing))
    ]
    also = f" (also {', '.join(alike)}: the same shapes)" if alike else ""
    though = f", though {best.strays} modules do not fit" if best.strays else ""
    return best.name, f"{best.seen()}: {best.name}{also}{though}{said}"


@dataclass(frozen=True)
class _Candidate:
    """An architecture that a file may be for; `is_named` when its metadata says so."""

    name: str
    modules: Shapes
    held: Fit
    is_named: bool

    @classmethod
    def of(cls, name: str, header: LoraHeader, layers: Layers) -> "_Candidate":
        modules = linear_shapes(name)
        held = fit(resolve(layers, modules), header.shapes, modules)
        hints = "".join(header.metadata.get(key, "") for key in _HINTS)
        return cls(name, modules, held, _letters(name) in _letters(hints))

    @property
    def strays(self) -> int:
        """Pairs that do not fit. What is no pair tells nothing."""
        return len(self.held.mismatched) + sum(kind == NO_MODULE for kind in self.held.unknown.values())

    @property
    def fits(self) -> int:
        return len(self.held.matched) - self.strays

    def seen(self) -> str:
        """What of the file led here, for example "60 transformer_blocks of width 3072 with attn, img_mlp, txt_mlp"."""
        blocks: dict[str, set[str]] = {}
        parts: dict[str, None] = {}
        widths: Counter[int] = Counter()
        for pair in self.held.matched:
            stack, index, part, *_ = (*pair.module.split("."), "", "")
            widths[self.modules[pair.module][1]] += 1
            if index.isdigit():
                blocks.setdefault(stack, set()).add(index)
                parts[part] = None
        counts = " and ".join(f"{len(indices)} {stack}" for stack, indices in blocks.items()) or "layers"
        parts_text = f" with {', '.join(parts)}" if parts else ""
        return f"{counts} of width {widths.most_common(1)[0][0]}{parts_text}"


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _from_folder(folder: Path) -> Shapes:
    config = folder / "config.json"
    try:
        given = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    except ValueError as error:
        raise LoraError(f"{str(config)!r} is no JSON file ({error}); get it again") from error
    if given.get("_class_name") in _LINEARS:
        return _from_config(given["_class_name"], given)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise LoraError(f"{str(folder)!r} holds neither safetensors nor the config.json of a known transformer")
    shapes = {key: shape for file in weights for key, shape in read_header(file).shapes.items()}
    return {
        key.removesuffix(".weight"): (shape[0], shape[1])
        for key, shape in shapes.items()
        if key.endswith(".weight") and len(shape) == 2
    }


def _from_config(class_name: str, given: Mapping[str, Any]) -> Shapes:
    config = {**DEFAULTS[class_name], **{key: value for key, value in given.items() if value is not None}}
    config["width"] = config["num_attention_heads"] * config["attention_head_dim"]
    config["pixels"] = config["patch_size"] ** 2 * config.get("out_channels", config["in_channels"])
    return _LINEARS[class_name](config)


def _flux(config: Mapping[str, Any]) -> Shapes:
    shapes = _embedders("time_text_embed", config["width"], config["guidance_embeds"], config["pooled_projection_dim"])
    return shapes | _flux_blocks(config)


def _flux_blocks(config: Mapping[str, Any]) -> Shapes:
    """From the embedders of text and image to the end."""
    width = config["width"]
    shapes = {"context_embedder": (width, config["joint_attention_dim"]), "x_embedder": (width, config["in_channels"])}
    for index in range(config["num_layers"]):
        block = {"norm1.linear": (6 * width, width), "norm1_context.linear": (6 * width, width)}
        block |= _attention(width, _FLUX_ATTENTION) | _mlp("ff", width) | _mlp("ff_context", width)
        shapes |= _within(f"transformer_blocks.{index}", block)
    for index in range(config["num_single_layers"]):
        block = {
            "norm.linear": (3 * width, width), "proj_mlp": (4 * width, width), "proj_out": (width, 5 * width),
            **dict.fromkeys(("attn.to_q", "attn.to_k", "attn.to_v"), (width, width)),
        }  # fmt: skip
        shapes |= _within(f"single_transformer_blocks.{index}", block)
    return shapes | {"norm_out.linear": (2 * width, width), "proj_out": (config["pixels"], width)}


def _step1x(config: Mapping[str, Any]) -> Shapes:
    width, inner, outer = config["width"], config["connector_hidden_size"], config["connector_in_channels"]
    shapes = {
        f"{name}.{layer}": (width, channels if layer == "in_layer" else width)
        for name, channels in (("time_embed", config["timestep_in_dim"]), ("vec_embed", config["vector_in_dim"]))
        for layer in ("in_layer", "out_layer")
    }
    refiner = {
        "input_embedder": (inner, outer), "t_embedder.mlp.0": (inner, _TIMESTEP_CHANNELS),
        "t_embedder.mlp.2": (inner, inner), "c_embedder.linear_1": (inner, outer),
        "c_embedder.linear_2": (inner, inner),
    }  # fmt: skip
    block = {
        "self_attn_qkv": (3 * inner, inner), "self_attn_proj": (inner, inner), "mlp.fc1": (4 * inner, inner),
        "mlp.fc2": (inner, 4 * inner), "adaLN_modulation.1": (2 * inner, inner),
    }  # fmt: skip
    for index in range(config["connector_depth"]):
        refiner |= _within(f"individual_token_refiner.blocks.{index}", block)
    shapes |= _within("connector.S", refiner) | {"connector.global_proj_out": (config["vector_in_dim"], outer)}
    if config["enable_text_token_mapping"]:
        shapes["text_token_mapping"] = (inner, outer)
    return shapes | _flux_blocks(config)


def _qwen_image(config: Mapping[str, Any]) -> Shapes:
    width = config["width"]
    shapes = _embedders("time_text_embed", width)
    shapes |= {"img_in": (width, config["in_channels"]), "txt_in": (width, config["joint_attention_dim"])}
    block = {"img_mod.1": (6 * width, width), **_attention(width), **_mlp("img_mlp", width)}
    block |= {"txt_mod.1": (6 * width, width), **_mlp("txt_mlp", width)}
    for index in range(config["num_layers"]):
        shapes |= _within(f"transformer_blocks.{index}", block)
    return shapes | {"norm_out.linear": (2 * width, width), "proj_out": (config["pixels"], width)}


def _flux2(config: Mapping[str, Any]) -> Shapes:
    width, hidden = config["width"], int(config["width"] * config["mlp_ratio"])
    shapes = _embedders(
        "time_guidance_embed", width, config["guidance_embeds"], channels=config["timestep_guidance_channels"]
    )
    shapes |= {f"double_stream_modulation_{stream}.linear": (6 * width, width) for stream in ("img", "txt")}
    shapes |= {"single_stream_modulation.linear": (3 * width, width), "x_embedder": (width, config["in_channels"])}
    shapes["context_embedder"] = (width, config["joint_attention_dim"])
    gated = {"linear_in": (2 * hidden, width), "linear_out": (width, hidden)}  # SwiGLU: gate and value in one
    block = _attention(width, _FLUX_ATTENTION) | _within("ff", gated) | _within("ff_context", gated)
    for index in range(config["num_layers"]):
        shapes |= _within(f"transformer_blocks.{index}", block)
    block = {"attn.to_qkv_mlp_proj": (3 * width + 2 * hidden, width), "attn.to_out": (width, width + hidden)}
    for index in range(config["num_single_layers"]):
        shapes |= _within(f"single_transformer_blocks.{index}", block)
    return shapes | {"norm_out.linear": (2 * width, width), "proj_out": (config["pixels"], width)}


def _stable_diffusion_3(config: Mapping[str, Any]) -> Shapes:
    width, last = config["width"], config["num_layers"] - 1
    shapes = _embedders("time_text_embed", width, pooled=config["pooled_projection_dim"])
    shapes["context_embedder"] = (config["caption_projection_dim"], config["joint_attention_dim"])
    for index in range(config["num_layers"]):
        dual = index in config["dual_attention_layers"]
        block = {"norm1.linear": ((9 if dual else 6) * width, width)}
        block["norm1_context.linear"] = ((2 if index == last else 6) * width, width)
        block |= _attention(width)
        if dual:
            block |= dict.fromkeys(("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"), (width, width))
        block |= _mlp("ff", width) | _mlp("ff_context", width)
        if index == last:  # its text tokens are only read
            block = {name: shape for name, shape in block.items() if not name.startswith(("attn.to_add_out", "ff_c"))}
        shapes |= _within(f"transformer_blocks.{index}", block)
    return shapes | {"norm_out.linear": (2 * width, width), "proj_out": (config["pixels"], width)}


_LINEARS: dict[str, Callable[[Mapping[str, Any]], Shapes]] = {
    "FluxTransformer2DModel": _flux,
    "Step1XEditTransformer2DModel": _step1x,
    "QwenImageTransformer2DModel": _qwen_image,
    "Flux2Transformer2DModel": _flux2,
    "SD3Transformer2DModel": _stable_diffusion_3,
}


def _attention(width: int, names: tuple[str, ...] = _ATTENTION) -> Shapes:
    return {f"attn.{name}": (width, width) for name in names}


def _mlp(name: str, width: int) -> Shapes:
    return {f"{name}.net.0.proj": (4 * width, width), f"{name}.net.2": (width, 4 * width)}


def _embedders(
    name: str, width: int, guidance: bool = False, pooled: int | None = None, channels: int = _TIMESTEP_CHANNELS
) -> Shapes:
    """Two layers for each thing that conditions every block: the timestep, the guidance, the pooled text."""
    sizes = {"timestep": channels, "guidance": channels if guidance else None, "text": pooled}
    return {
        f"{name}.{part}_embedder.linear_{layer}": (width, size if layer == 1 else width)
        for part, size in sizes.items()
        if size is not None
        for layer in (1, 2)
    }


def _within(block: str, shapes: Shapes) -> Shapes:
    return {f"{block}.{name}": shape for name, shape in shapes.items()}
