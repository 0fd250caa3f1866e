"""What the tensors of Step1X-Edit's original single-file checkpoints are called here, and how they are cut.

In: the shapes that a file's header tells. Out: the configuration of the transformer, and for each original tensor the
weights that come of it. Knows no weights.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accelerate import init_empty_weights

from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel

Shape = tuple[int, ...]

_DOUBLE = {
    "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear",
    "img_attn.qkv": "attn.to_q attn.to_k attn.to_v", "txt_attn.qkv": "attn.add_q_proj attn.add_k_proj attn.add_v_proj",
    "img_attn.proj": "attn.to_out.0", "txt_attn.proj": "attn.to_add_out",
    "img_attn.norm.query_norm": "attn.norm_q", "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q", "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj", "txt_mlp.2": "ff_context.net.2",
}  # fmt: skip
_SINGLE = {
    "modulation.lin": "norm.linear", "linear1": "attn.to_q attn.to_k attn.to_v proj_mlp", "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k",
}  # fmt: skip
_OUTSIDE = {
    "img_in": "x_embedder", "txt_in": "context_embedder",
    "time_in.in_layer": "time_embed.in_layer", "time_in.out_layer": "time_embed.out_layer",
    "vector_in.in_layer": "vec_embed.in_layer", "vector_in.out_layer": "vec_embed.out_layer",
    "final_layer.linear": "proj_out", "final_layer.adaLN_modulation.1": "norm_out.linear",
}  # fmt: skip
"""Original module → the modules here that its rows are, in this order."""
_SWAPPED = "final_layer.adaLN_modulation.1"
_POOLED_SCALE = "connector.scale_factor"
_REFINER = "connector.S.individual_token_refiner.blocks"


@dataclass(frozen=True)
class Piece:
    """One weight, as rows [start, stop) of an original tensor.

    Args:
        is_swapped: whether the two halves of the rows change places: (shift, scale) there, (scale, shift) here.
    """

    name: str
    original: str
    shape: Shape
    rows: tuple[int, int]
    is_swapped: bool = False


def is_checkpoint(shapes: Mapping[str, Shape]) -> bool:
    """Whether a file holds the transformer, whole or not."""
    return any(name.startswith("double_blocks.") for name in shapes)


def configuration(shapes: Mapping[str, Shape], version: str) -> dict[str, Any]:
    """The arguments of `Step1XEditTransformer2DModel`, from the shapes of an original checkpoint.

    Raises:
        ValueError: a tensor that tells one of them is missing, or can't be what it should.
    """

    def shape(name: str, sides: int = 2) -> Shape:
        if name not in shapes:
            raise ValueError(f"{name!r} is missing; get the file again")
        if len(shapes[name]) != sides or 0 in shapes[name]:
            raise ValueError(f"{name!r} has the shape {shapes[name]}, not one of {sides} sides; get the file again")
        return shapes[name]

    width, channels = shape("img_in.weight")
    (head,) = shape("double_blocks.0.img_attn.norm.query_norm.scale", sides=1)
    if width % head:
        raise ValueError(
            f"'img_in.weight' has the shape {(width, channels)}, whose rows are no heads of {head}; get the file again"
        )
    inner, outer = shape("connector.S.input_embedder.weight")
    return {
        "in_channels": channels, "out_channels": shape("final_layer.linear.weight")[0],
        "num_layers": _count(shapes, "double_blocks"), "num_single_layers": _count(shapes, "single_blocks"),
        "attention_head_dim": head, "num_attention_heads": width // head,
        "joint_attention_dim": shape("txt_in.weight")[1],
        "timestep_in_dim": shape("time_in.in_layer.weight")[1], "vector_in_dim": shape("vector_in.in_layer.weight")[1],
        "connector_in_channels": outer, "connector_hidden_size": inner, "connector_heads_num": max(1, inner // 128),
        "connector_depth": _count(shapes, _REFINER), "axes_dims_rope": (head // 8, 7 * head // 16, 7 * head // 16),
        "connector_scales_pooled": version == "1.0",
    }  # fmt: skip


def pieces(config: Mapping[str, Any]) -> list[Piece]:
    """Every weight of the transformer of this configuration, by its original tensor, in the model's order."""
    with init_empty_weights():
        model = Step1XEditTransformer2DModel(**config)
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {}
    for original, modules in _modules(config):
        for ending in (".weight", ".bias"):
            names = [f"{module}{ending}" for module in modules]
            if names[0] not in shapes:
                continue
            is_norm = original.endswith("_norm")
            stop = 0
            for name in names:
                start, stop = stop, stop + shapes[name][0]
                tensor = f"{original}.scale" if is_norm else f"{original}{ending}"
                found[name] = Piece(name, tensor, shapes[name], (start, stop), original == _SWAPPED)
    for name, shape in shapes.items():
        if name.startswith("connector."):
            found[name] = Piece(name, name, shape, (0, shape[0]))
    return [found[name] for name in shapes]


def originals(wanted: list[Piece]) -> dict[str, Shape]:
    """Original tensor → its shape, of all that the pieces are cut from."""
    rows: dict[str, int] = {}
    for piece in wanted:
        rows[piece.original] = max(rows.get(piece.original, 0), piece.rows[1])
    return {piece.original: (rows[piece.original], *piece.shape[1:]) for piece in wanted}


def version_of(shapes: Mapping[str, Shape]) -> str:
    """1.0 scales the pooled vector, which 1.1 does not."""
    return "1.0" if _POOLED_SCALE in shapes else "1.1"


def left_out(version: str) -> set[str]:
    """Tensors that a checkpoint of this version may hold without any use."""
    return set() if version == "1.0" else {_POOLED_SCALE}


def _modules(config: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """(original module, modules here) of all but the connector."""
    found = [(original, modules.split()) for original, modules in _OUTSIDE.items()]
    for stack, own, table, count in (
        ("double_blocks", "transformer_blocks", _DOUBLE, config["num_layers"]),
        ("single_blocks", "single_transformer_blocks", _SINGLE, config["num_single_layers"]),
    ):
        for index in range(count):
            for original, modules in table.items():
                inside = [f"{own}.{index}.{module}" for module in modules.split()]
                found.append((f"{stack}.{index}.{original}", inside))
    return found


def _count(shapes: Mapping[str, Shape], stack: str) -> int:
    """Blocks of a stack. One that is missing is found later: its number is less than their count."""
    return len({match[1] for name in shapes if (match := re.match(rf"{re.escape(stack)}\.(\d+)\.", name))})
