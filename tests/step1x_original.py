"""Step1X-Edit's original layout, from a model of ours: the names written out anew, so that they test the converter's.

In: a state dict. Out: the tensors as the makers' single files hold them.
"""

import torch
from torch import Tensor

from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel

TINY = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2,
    "joint_attention_dim": 32, "vector_in_dim": 24, "connector_in_channels": 16, "connector_hidden_size": 32,
    "connector_heads_num": 1, "axes_dims_rope": (4, 14, 14),
}  # fmt: skip


def tiny_model(scales_pooled: bool, seed: int = 0) -> Step1XEditTransformer2DModel:
    """Every weight at random."""
    model = Step1XEditTransformer2DModel(**TINY, connector_scales_pooled=scales_pooled).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=draw)
    return model


def original_layout(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows that were cut are joined again, the halves of the last modulation are put back."""
    ours, made = dict(ours), {}

    def take(original: str, *modules: str) -> None:
        for ending in ("weight", "bias"):
            if f"{modules[0]}.{ending}" in ours:
                made[f"{original}.{ending}"] = torch.cat([ours.pop(f"{module}.{ending}") for module in modules])

    def take_norm(original: str, module: str) -> None:
        made[f"{original}.scale"] = ours.pop(f"{module}.weight")

    blocks = {name.split(".")[1] for name in ours if name.startswith("transformer_blocks.")}
    for i in blocks:
        b, o = f"transformer_blocks.{i}", f"double_blocks.{i}"
        for theirs, suffix, qkv, out, norms, feed in (
            ("img", "", [f"attn.to_{x}" for x in "qkv"], "attn.to_out.0", "attn.norm_", "ff"),
            (
                "txt",
                "_context",
                [f"attn.add_{x}_proj" for x in "qkv"],
                "attn.to_add_out",
                "attn.norm_added_",
                "ff_context",
            ),
        ):
            take(f"{o}.{theirs}_mod.lin", f"{b}.norm1{suffix}.linear")
            take(f"{o}.{theirs}_attn.qkv", *[f"{b}.{module}" for module in qkv])
            take(f"{o}.{theirs}_attn.proj", f"{b}.{out}")
            take_norm(f"{o}.{theirs}_attn.norm.query_norm", f"{b}.{norms}q")
            take_norm(f"{o}.{theirs}_attn.norm.key_norm", f"{b}.{norms}k")
            take(f"{o}.{theirs}_mlp.0", f"{b}.{feed}.net.0.proj")
            take(f"{o}.{theirs}_mlp.2", f"{b}.{feed}.net.2")
    for i in {name.split(".")[1] for name in ours if name.startswith("single_transformer_blocks.")}:
        b, o = f"single_transformer_blocks.{i}", f"single_blocks.{i}"
        take(f"{o}.modulation.lin", f"{b}.norm.linear")
        take(f"{o}.linear1", f"{b}.attn.to_q", f"{b}.attn.to_k", f"{b}.attn.to_v", f"{b}.proj_mlp")
        take(f"{o}.linear2", f"{b}.proj_out")
        take_norm(f"{o}.norm.query_norm", f"{b}.attn.norm_q")
        take_norm(f"{o}.norm.key_norm", f"{b}.attn.norm_k")
    for theirs, own in (("img_in", "x_embedder"), ("txt_in", "context_embedder"), ("final_layer.linear", "proj_out")):
        take(theirs, own)
    for theirs, own in (("time_in", "time_embed"), ("vector_in", "vec_embed")):
        for layer in ("in_layer", "out_layer"):
            take(f"{theirs}.{layer}", f"{own}.{layer}")
    for ending in ("weight", "bias"):
        scale, shift = ours.pop(f"norm_out.linear.{ending}").chunk(2)
        made[f"final_layer.adaLN_modulation.1.{ending}"] = torch.cat([shift, scale])
    for name in [name for name in ours if name.startswith("connector.")]:
        made[name] = ours.pop(name)
    assert not ours, sorted(ours)
    return made
