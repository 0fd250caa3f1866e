"""LoRA key names: what each tensor of a file is, and which Linear of a model it is for.

In: the names and shapes of a file's tensors, and of a model's Linears. Out: a `Reading`: low-rank pairs by module, and
the keys that belong to none. Knows no file, no weights, no torch.

The model's own module names decide what a name means. It is taken as it stands, or as what the same layer is called in
the code that the model was published with (`_ORIGINAL`), or as either of them with underscores for dots, as kohya
writes them. So one table serves every family, and what the model lacks cannot be resolved.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SEED_TARGETS: tuple[str, ...] = (
    "to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out",
    "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
)  # fmt: skip
"""The layers of a double-stream block that a LoRA trains, the last four of them beyond attention."""

_FEED_FORWARD = {
    "mini": SEED_TARGETS[8:],
    "qwen-image": SEED_TARGETS[8:],
    "flux": ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    "step1x": ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    "sd3": ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    "flux2": ("ff.linear_in", "ff.linear_out", "ff_context.linear_in", "ff_context.linear_out"),
}

_QKV, _ADDED_QKV = "attn.to_q attn.to_k attn.to_v", "attn.add_q_proj attn.add_k_proj attn.add_v_proj"
_ORIGINAL: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "double_blocks": ("transformer_blocks", {
        "img_attn_qkv": (_QKV,), "img_attn_proj": ("attn.to_out.0",),
        "txt_attn_qkv": (_ADDED_QKV,), "txt_attn_proj": ("attn.to_add_out",),
        "img_mlp_0": ("ff.net.0.proj", "ff.linear_in"), "img_mlp_2": ("ff.net.2", "ff.linear_out"),
        "txt_mlp_0": ("ff_context.net.0.proj", "ff_context.linear_in"),
        "txt_mlp_2": ("ff_context.net.2", "ff_context.linear_out"),
        "img_mod_lin": ("norm1.linear",), "txt_mod_lin": ("norm1_context.linear",),
        "processor_qkv_lora1": (_QKV,), "processor_proj_lora1": ("attn.to_out.0",),
        "processor_qkv_lora2": (_ADDED_QKV,), "processor_proj_lora2": ("attn.to_add_out",),
    }),
    "single_blocks": ("single_transformer_blocks", {
        "linear1": (f"{_QKV} proj_mlp", "attn.to_qkv_mlp_proj"), "linear2": ("proj_out", "attn.to_out"),
        "modulation_lin": ("norm.linear",),
        "processor_qkv_lora": (_QKV,), "processor_proj_lora": ("proj_out",),
    }),
    "joint_blocks": ("transformer_blocks", {
        "x_block_attn_qkv": (_QKV,), "x_block_attn_proj": ("attn.to_out.0",),
        "x_block_attn2_qkv": (_QKV.replace("attn", "attn2"),), "x_block_attn2_proj": ("attn2.to_out.0",),
        "x_block_mlp_fc1": ("ff.net.0.proj",), "x_block_mlp_fc2": ("ff.net.2",),
        "x_block_adaLN_modulation_1": ("norm1.linear",),
        "context_block_attn_qkv": (_ADDED_QKV,), "context_block_attn_proj": ("attn.to_add_out",),
        "context_block_mlp_fc1": ("ff_context.net.0.proj",), "context_block_mlp_fc2": ("ff_context.net.2",),
        "context_block_adaLN_modulation_1": ("norm1_context.linear",),
    }),
    "": ("", {
        "img_in": ("x_embedder",), "txt_in": ("context_embedder",), "final_layer_linear": ("proj_out",),
        "time_in_in_layer": (
            "time_text_embed.timestep_embedder.linear_1", "time_guidance_embed.timestep_embedder.linear_1",
            "time_embed.in_layer",
        ),
        "time_in_out_layer": (
            "time_text_embed.timestep_embedder.linear_2", "time_guidance_embed.timestep_embedder.linear_2",
            "time_embed.out_layer",
        ),
        "guidance_in_in_layer": (
            "time_text_embed.guidance_embedder.linear_1", "time_guidance_embed.guidance_embedder.linear_1",
        ),
        "guidance_in_out_layer": (
            "time_text_embed.guidance_embedder.linear_2", "time_guidance_embed.guidance_embedder.linear_2",
        ),
        "vector_in_in_layer": ("time_text_embed.text_embedder.linear_1", "vec_embed.in_layer"),
        "vector_in_out_layer": ("time_text_embed.text_embedder.linear_2", "vec_embed.out_layer"),
        "t_embedder_mlp_0": ("time_text_embed.timestep_embedder.linear_1",),
        "t_embedder_mlp_2": ("time_text_embed.timestep_embedder.linear_2",),
        "y_embedder_mlp_0": ("time_text_embed.text_embedder.linear_1",),
        "y_embedder_mlp_2": ("time_text_embed.text_embedder.linear_2",),
        "single_stream_modulation_lin": ("single_stream_modulation.linear",),
        "double_stream_modulation_img_lin": ("double_stream_modulation_img.linear",),
        "double_stream_modulation_txt_lin": ("double_stream_modulation_txt.linear",),
    }),
}  # fmt: skip
"""Stack of blocks → the model's stack, and layer (underscores for dots) → what the model may call it.

Several names in one string are one fused layer, its rows in this order; of several strings the one counts whose
modules exist. The final layer's modulation is left out, for its two halves are stored the other way round.
"""

NO_PAIR = "no LoRA pair"
LONGEST_KEY = 500  # characters; real ones have some hundred, and searching in longer ones could take minutes
_PREFIX = re.compile(r"(?:base_model\.model\.|(?:model\.)?diffusion_model\.|transformer\.)*")
_BEGINNING = re.compile(r"\D*")  # up to the block's number
_FLAT = re.compile(r"(?:lora_unet|lora_transformer|lycoris)_")
_TEXT_ENCODER = re.compile(r"(?:base_model\.model\.)?(?:lora_te\d?_|text_encoders?(?:_\d)?\.)")
_PART = re.compile(r"\.(lora_[AB])(?:\.\w+)?\.weight$|\.(lora[._](?:down|up)|down|up)\.weight$|\.(alpha)$")
_PARTS = {
    "lora_A": "down", "lora_down": "down", "lora.down": "down", "down": "down",
    "lora_B": "up", "lora_up": "up", "lora.up": "up", "up": "up", "alpha": "alpha",
}  # fmt: skip
_BLOCK = re.compile(r"(double_blocks|single_blocks|joint_blocks)[._](\d+)[._](.+)")

_STYLES = {"lora_B": "lora_A", "lora_up": "lora_down", "lora.up": "lora.down", "up": "down"}
_FORMATS = (
    (_FLAT, "kohya"),
    (re.compile(r".*\.processor\."), "xlabs"),
    (re.compile(_PREFIX.pattern + r"(?:double|single|joint)_blocks\."), "original"),
    (re.compile(r"base_model\.|.*\.lora_[AB]\.\w+\.weight$"), "peft"),
    (re.compile(r".*\.lora_(?:down|up)\."), "lightx2v"),
    (re.compile(r"transformer\."), "diffusers"),
    (re.compile(r"(?:model\.)?diffusion_model\."), "comfyui"),
    (re.compile(r""), "bare"),
)
"""How keys of a pair look; the first that fits."""

_KINDS = (
    (re.compile(r"\.(?:dora_scale|lora_magnitude_vector(?:\.\w+){0,2})$"), "DoRA magnitudes"),
    (re.compile(r"\.lokr_\w+(?:\.\w+){0,2}$"), "LoKr"),
    (re.compile(r"\.hada_\w+(?:\.\w+){0,2}$"), "LoHa"),
    (re.compile(r"\.oft_\w+(?:\.\w+){0,2}$"), "OFT"),
    (re.compile(r"\.lora_mid\.weight$"), "LoCon"),
    (re.compile(r"\.diff$"), "full weight difference"),
    (re.compile(r"\.diff_b$"), "bias difference"),
    (re.compile(r"\.(?:lora_bias|lora_(?:B|up)(?:\.\w+)?\.bias)$"), "bias"),
    (re.compile(r"\.alpha$"), "alpha without a pair"),
)
_METHODS = {
    "DoRA magnitudes": "DoRA", "LoKr": "LoKr", "LoHa": "LoHa", "OFT": "OFT", "LoCon": "LoCon",
    "full weight difference": "full weight differences",
}  # fmt: skip
"""Of `_KINDS`, those that make a file something else than low-rank pairs → what that is called."""


@dataclass(frozen=True)
class Pair:
    """One low-rank pair of a file, for one Linear of the model.

    Args:
        module: name in the model; for something that the model lacks, the file's own name for it.
        down, up, alpha: tensor keys of the file: (rank, in), (out, rank), scalar; None where the file has none.
        rows: the rows [start, stop) of `up` that belong to this module, when several share it; None for all.
    """

    module: str
    down: str | None
    up: str | None
    alpha: str | None
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Reading:
    """What a file's keys say.

    Args:
        format: peft, diffusers, comfyui, bare, kohya, original, xlabs, lightx2v; mixed when one file has several ways
            of writing; none when it has no pair.
        unknown: tensor keys that belong to no pair; `describe` says in words what they are.
    """

    format: str
    pairs: tuple[Pair, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Layers:
    """A file's keys sorted by layer, before any model gives the layers' names a meaning.

    Args:
        parts: the file's name for a layer → "down", "up", "alpha" → tensor key.
        format, unknown: as in `Reading`.
    """

    format: str
    parts: dict[str, dict[str, str]]
    unknown: tuple[str, ...]


def read_keys(shapes: Mapping[str, tuple[int, ...]], modules: Mapping[str, tuple[int, int]]) -> Reading:
    """Sort a file's tensors into pairs.

    Args:
        shapes: tensor key → shape.
        modules: Linear of the model → (out, in).
    """
    return resolve(split_keys(shapes), modules)


def split_keys(shapes: Mapping[str, tuple[int, ...]]) -> Layers:
    """The half of `read_keys` that needs no model."""
    layers: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    ways: dict[tuple[str, ...], str] = {}  # how a key begins and ends → the first such key
    for key, shape in shapes.items():
        found = _PART.search(key) if len(key) <= LONGEST_KEY else None
        if found is None or _TEXT_ENCODER.match(key):
            unknown.append(key)
            continue
        written = found[1] or found[2] or found[3]
        parts, part = layers.setdefault(key[: found.start()], {}), _PARTS[written]
        if part in parts or (part == "alpha" and math.prod(shape) != 1):
            unknown.append(key)
            continue
        parts[part] = key
        if part != "alpha":
            ways.setdefault((_BEGINNING.match(key)[0], written, found[0]), key)
    lone = [stem for stem, parts in layers.items() if parts.keys() <= {"alpha"}]
    unknown += [key for stem in lone for key in layers.pop(stem).values()]
    formats = {(_format(key), _STYLES.get(written, written)) for (_, written, _), key in ways.items()}
    return Layers("mixed" if len(formats) > 1 else formats.pop()[0] if formats else "none", layers, tuple(unknown))


def resolve(layers: Layers, modules: Mapping[str, tuple[int, int]]) -> Reading:
    """The half of `read_keys` that says which modules the layers are."""
    flat = _flattened(modules) if any(map(_FLAT.match, layers.parts)) else {}
    # Qwen-Image and the embedded editor never had other names, so a foreign file of original names is not for them.
    has_original = not any(".img_mlp." in module for module in modules)
    pairs: list[Pair] = []
    for stem, parts in layers.parts.items():
        name = _own_name(stem)
        module = flat.get(name) if _FLAT.match(stem) else name
        targets = (module,) if module in modules else (has_original and _original(name, modules)) or (name,)
        pairs.extend(_pairs(targets, parts, modules))
    return Reading(layers.format, tuple(pairs), layers.unknown)


def describe(key: str) -> tuple[str, str]:
    """The layer that a key of `Reading.unknown` is for, without prefix and ending, and in words what the key holds."""
    if len(key) > LONGEST_KEY:
        return key, NO_PAIR
    found, kind = _PART.search(key), "tensor too many"
    if found is None or found[3]:
        found, kind = next(
            ((found, kind) for pattern, kind in _KINDS if (found := pattern.search(key))), (None, NO_PAIR)
        )
    stem = key[: found.start()] if found else key
    return _own_name(stem), "text encoder" if _TEXT_ENCODER.match(key) else kind


def methods(keys: Iterable[str]) -> tuple[str, ...]:
    """What keys of `Reading.unknown` make of a file beside or in place of low-rank pairs, such as LoHa; each once."""
    found = (_METHODS.get(describe(key)[1]) for key in keys)
    return tuple(dict.fromkeys(method for method in found if method))


def seed_targets(family: str) -> dict[str, str]:
    """The seed's targets → what the family calls them; both are ends of module names.

    Raises:
        ValueError: a family without a known translation.
    """
    if family not in _FEED_FORWARD:
        raise ValueError(f"the targets of {family!r} are unknown; there are those of {', '.join(_FEED_FORWARD)}")
    return dict(zip(SEED_TARGETS, (*SEED_TARGETS[:8], *_FEED_FORWARD[family]), strict=True))


def _pairs(targets: tuple[str, ...], parts: dict[str, str], modules: Mapping[str, tuple[int, int]]) -> list[Pair]:
    keys = (parts.get("down"), parts.get("up"), parts.get("alpha"))
    if len(targets) == 1:
        return [Pair(targets[0], *keys)]
    stops = [sum(modules[target][0] for target in targets[: index + 1]) for index in range(len(targets))]
    return [
        Pair(target, *keys, rows=(start, stop))
        for target, start, stop in zip(targets, [0, *stops], stops, strict=False)
    ]


def _original(name: str, modules: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """The modules that the original code has under this name, dotted or flat; none if the model lacks them."""
    found = _BLOCK.match(name)
    block, index, layer = found.groups() if found else ("", "", name)
    stack, layers = _ORIGINAL[block]
    for own in layers.get(layer.replace(".", "_"), ()):
        targets = tuple(f"{stack}.{index}.{target}" if stack else target for target in own.split())
        if all(target in modules for target in targets) and not _is_swapped(layer, modules[targets[0]]):
            return targets
    return ()


def _is_swapped(layer: str, linear: tuple[int, int]) -> bool:
    """Whether it is a modulation of two parts, which diffusers has as (scale, shift), the original the other way."""
    return "adaLN_modulation" in layer and linear[0] == 2 * linear[1]


def _flattened(modules: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Module names with underscores for dots, but for those that would then be two modules at once."""
    names = [module.replace(".", "_") for module in modules]
    counts = Counter(names)
    return {name: module for name, module in zip(names, modules, strict=True) if counts[name] == 1}


def _own_name(stem: str) -> str:
    return (_FLAT if _FLAT.match(stem) else _PREFIX).sub("", stem, count=1)


def _format(key: str) -> str:
    return next(name for pattern, name in _FORMATS if pattern.match(key))
