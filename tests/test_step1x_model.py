"""Step1X-Edit's transformer against straight-line arithmetic from the published description, and FLUX's blocks."""

import math

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor
from torch.nn import functional

from mmdit.families.step1x_edit.connector import Connector
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel

HEADS, HEAD, CONNECTOR_HEADS = 2, 32, 4
WIDTH = HEADS * HEAD
AXES = (4, 14, 14)
SIZES = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": HEAD,
    "num_attention_heads": HEADS, "joint_attention_dim": 32, "vector_in_dim": 24, "connector_in_channels": 16,
    "connector_hidden_size": 32, "connector_heads_num": CONNECTOR_HEADS, "axes_dims_rope": AXES,
}  # fmt: skip


def drawn(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every weight at random, those of norms too, so that none is hidden by its neutral value."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2, generator=draw)
    return module.eval()


def told(batch: int = 2, image: int = 24, text: int = 10, seed: int = 1) -> dict[str, Tensor]:
    """Arguments of a forward pass; the texts have 6 tokens and all ten."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(text) < torch.tensor([[6], [text]])[:batch]
    return {
        "hidden_states": torch.randn(batch, image, 16, generator=draw),
        "encoder_hidden_states": torch.randn(batch, text, 16, generator=draw) * mask[..., None],
        "prompt_embeds_mask": mask,
        "timestep": torch.tensor([0.7, 0.3])[:batch],
        "img_ids": torch.randint(0, 9, (image, 3), generator=draw).float(),
        "txt_ids": torch.randint(0, 9, (text, 3), generator=draw).float(),
    }


# ---- the straight line: functions of a dictionary of weights, one pair of loops for each attention ----


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(x: Tensor, weights: dict[str, Tensor] | None = None, name: str = "") -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    x = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return x if weights is None else x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * scale


def sinusoids(timestep: Tensor, channels: int = 256) -> Tensor:
    """In float32, whose rounding of angles up to 1000 is part of the published model."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(channels // 2) / (channels // 2))
    angles = (1000 * timestep)[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
    """(T, H, D) each; ``allowed`` (T, T)."""
    heads = []
    for head in range(query.shape[1]):
        scores = query[:, head] @ key[:, head].T / math.sqrt(query.shape[-1])
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)
        heads.append(scores.softmax(-1) @ value[:, head])
    return torch.cat(heads, dim=-1)


def rotate(x: Tensor, ids: Tensor) -> Tensor:
    """(T, H, D): each axis turns its own pairs of channels (x[2i], x[2i + 1]) by id · 10000^(-2i / d)."""
    turned, start = x.clone(), 0
    for axis, channels in enumerate(AXES):
        for pair in range(channels // 2):
            angle = ids[:, axis] * 10000 ** (-2 * pair / channels)
            even, odd = x[..., start + 2 * pair], x[..., start + 2 * pair + 1]
            cos, sin = angle.cos()[:, None], angle.sin()[:, None]
            turned[..., start + 2 * pair] = even * cos - odd * sin
            turned[..., start + 2 * pair + 1] = odd * cos + even * sin
        start += channels
    return turned


def connector_by_hand(
    weights: dict[str, Tensor], states: Tensor, mask: Tensor, timestep: Tensor
) -> tuple[Tensor, Tensor]:
    """One text: (T, C), (T,), scalar."""
    mean = states[mask].mean(0)
    pooled = mean * (1 + weights["scale_factor"]) if "scale_factor" in weights else mean
    vector = linear(weights, "global_proj_out", pooled)
    hidden = functional.silu(linear(weights, "S.t_embedder.mlp.0", sinusoids(timestep[None])[0].to(mean)))
    condition = linear(weights, "S.t_embedder.mlp.2", hidden)
    condition = condition + linear(
        weights, "S.c_embedder.linear_2", functional.silu(linear(weights, "S.c_embedder.linear_1", mean))
    )
    x = linear(weights, "S.input_embedder", states)
    allowed = mask[:, None] & mask[None, :]
    allowed[:, 0] = True
    for layer in range(2):
        block = f"S.individual_token_refiner.blocks.{layer}"
        gates = linear(weights, f"{block}.adaLN_modulation.1", functional.silu(condition))
        attention_gate, mlp_gate = gates[: len(gates) // 2], gates[len(gates) // 2 :]
        qkv = linear(weights, f"{block}.self_attn_qkv", layer_norm(x, weights, f"{block}.norm1"))
        query, key, value = (part.reshape(len(x), CONNECTOR_HEADS, -1) for part in qkv.split(x.shape[-1], dim=-1))
        x = x + attention_gate * linear(weights, f"{block}.self_attn_proj", attend(query, key, value, allowed))
        hidden = functional.silu(linear(weights, f"{block}.mlp.fc1", layer_norm(x, weights, f"{block}.norm2")))
        x = x + mlp_gate * linear(weights, f"{block}.mlp.fc2", hidden)
    return x, vector


def heads_of(
    weights: dict[str, Tensor], names: tuple[str, str, str], norms: tuple[str, str], x: Tensor
) -> list[Tensor]:
    query, key, value = (linear(weights, name, x).reshape(len(x), HEADS, HEAD) for name in names)
    return [rms_norm(query, weights[f"{norms[0]}.weight"]), rms_norm(key, weights[f"{norms[1]}.weight"]), value]


def feed_forward(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(
        weights, f"{name}.net.2", functional.gelu(linear(weights, f"{name}.net.0.proj", x), approximate="tanh")
    )


def double_block(
    weights: dict[str, Tensor], b: str, image: Tensor, text: Tensor, c: Tensor, ids: Tensor
) -> tuple[Tensor, Tensor]:
    shifts = {
        stream: linear(weights, f"{b}.norm1{suffix}.linear", functional.silu(c)).chunk(6)
        for stream, suffix in (("image", ""), ("text", "_context"))
    }
    normed = {
        stream: layer_norm(x) * (1 + shifts[stream][1]) + shifts[stream][0]
        for stream, x in (("image", image), ("text", text))
    }
    own = heads_of(
        weights, tuple(f"{b}.attn.to_{n}" for n in "qkv"), (f"{b}.attn.norm_q", f"{b}.attn.norm_k"), normed["image"]
    )
    added = heads_of(
        weights, tuple(f"{b}.attn.add_{n}_proj" for n in "qkv"), (f"{b}.attn.norm_added_q", f"{b}.attn.norm_added_k"),
        normed["text"],
    )  # fmt: skip
    query, key, value = (torch.cat(parts) for parts in zip(added, own, strict=True))
    attended = attend(rotate(query, ids), rotate(key, ids), value)
    outs = {"text": linear(weights, f"{b}.attn.to_add_out", attended[: len(text)])}
    outs["image"] = linear(weights, f"{b}.attn.to_out.0", attended[len(text) :])
    after = {}
    for stream, x, name in (("image", image, "ff"), ("text", text, "ff_context")):
        _, _, gate, shift, scale, mlp_gate = shifts[stream]
        x = x + gate * outs[stream]
        after[stream] = x + mlp_gate * feed_forward(weights, f"{b}.{name}", layer_norm(x) * (1 + scale) + shift)
    return after["image"], after["text"]


def single_block(weights: dict[str, Tensor], b: str, x: Tensor, c: Tensor, ids: Tensor) -> Tensor:
    shift, scale, gate = linear(weights, f"{b}.norm.linear", functional.silu(c)).chunk(3)
    normed = layer_norm(x) * (1 + scale) + shift
    query, key, value = heads_of(
        weights, tuple(f"{b}.attn.to_{n}" for n in "qkv"), (f"{b}.attn.norm_q", f"{b}.attn.norm_k"), normed
    )
    attended = attend(rotate(query, ids), rotate(key, ids), value)
    mlp = functional.gelu(linear(weights, f"{b}.proj_mlp", normed), approximate="tanh")
    return x + gate * linear(weights, f"{b}.proj_out", torch.cat([attended, mlp], dim=-1))


def velocity_by_hand(weights: dict[str, Tensor], given: dict[str, Tensor], row: int) -> Tensor:
    """(S, C) of one row of the batch."""
    within = {
        name.removeprefix("connector."): weight for name, weight in weights.items() if name.startswith("connector.")
    }
    timestep = given["timestep"][row]
    text, vector = connector_by_hand(
        within, given["encoder_hidden_states"][row], given["prompt_embeds_mask"][row], timestep
    )
    if "text_token_mapping.weight" in weights:
        quoted = given["quoted_embeds"][row]
        for slot in range(len(text)):
            if quoted[slot].abs().sum() > 0:
                text[slot] = text[slot] + linear(weights, "text_token_mapping", quoted[slot])
    condition = sum(
        linear(weights, f"{name}.out_layer", functional.silu(linear(weights, f"{name}.in_layer", x)))
        for name, x in (("time_embed", sinusoids(timestep[None])[0]), ("vec_embed", vector))
    )
    image, text = linear(weights, "x_embedder", given["hidden_states"][row]), linear(weights, "context_embedder", text)
    ids = torch.cat([given["txt_ids"], given["img_ids"]])
    for layer in range(2):
        image, text = double_block(weights, f"transformer_blocks.{layer}", image, text, condition, ids)
    x = torch.cat([text, image])
    for layer in range(2):
        x = single_block(weights, f"single_transformer_blocks.{layer}", x, condition, ids)
    scale, shift = linear(weights, "norm_out.linear", functional.silu(condition)).chunk(2)
    return linear(weights, "proj_out", layer_norm(x[len(text) :]) * (1 + scale) + shift)


# ---- the tests ----


def relative(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@torch.no_grad()
def test_the_connector_is_the_straight_line() -> None:
    for scales_pooled in (False, True):
        connector = drawn(Connector(16, 32, 24, CONNECTOR_HEADS, 2, scales_pooled)).double()
        given = told()
        states, mask, timestep = (
            given["encoder_hidden_states"].double(),
            given["prompt_embeds_mask"],
            given["timestep"].double(),
        )
        text, vector = connector(states, mask, timestep)
        for row in range(2):
            wanted = connector_by_hand(connector.state_dict(), states[row], mask[row], timestep[row])
            assert relative(text[row], wanted[0]) < 1e-5 and relative(vector[row], wanted[1]) < 1e-5


@torch.no_grad()
def test_the_whole_forward_is_the_straight_line() -> None:
    for version in ({"connector_scales_pooled": True}, {}, {"enable_text_token_mapping": True}):
        model = drawn(Step1XEditTransformer2DModel(**SIZES, **version))
        given = told()
        if "enable_text_token_mapping" in version:
            given["quoted_embeds"] = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(3))
            given["quoted_embeds"][:, [0, 1, 4, 9]] = 0
        found = model(**given, return_dict=False)[0]
        assert torch.equal(found, model(**given).sample)
        for row in range(2):
            assert relative(found[row], velocity_by_hand(model.state_dict(), given, row)) < 1e-5


@torch.no_grad()
def test_padding_reaches_the_blocks_but_not_the_connectors_mean() -> None:
    """What stands in padded slots changes nothing but those slots, which the blocks attend to: as it was trained."""
    model, given = drawn(Step1XEditTransformer2DModel(**SIZES)), told(batch=1)
    other = given | {"encoder_hidden_states": given["encoder_hidden_states"].clone()}
    other["encoder_hidden_states"][:, 6:] = 5.0
    connected = [
        model.connector(a["encoder_hidden_states"], a["prompt_embeds_mask"], a["timestep"]) for a in (given, other)
    ]
    assert torch.equal(connected[0][1], connected[1][1])
    torch.testing.assert_close(connected[0][0][:, :6], connected[1][0][:, :6])
    assert relative(model(**given).sample, model(**other).sample) > 1e-3


@torch.no_grad()
def test_the_blocks_are_those_of_flux() -> None:
    """Bit for bit, with the very weights, in a FluxTransformer2DModel of diffusers."""
    ours = drawn(Step1XEditTransformer2DModel(**SIZES))
    flux = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=HEAD, num_attention_heads=HEADS,
        joint_attention_dim=32, pooled_projection_dim=24, axes_dims_rope=AXES,
    ).eval()  # fmt: skip
    shared = {name: weight for name, weight in ours.state_dict().items() if "transformer_blocks" in name}
    missing, unexpected = flux.load_state_dict(shared, strict=False)
    assert not unexpected and not any("transformer_blocks" in name for name in missing)
    draw = torch.Generator().manual_seed(4)
    states = [torch.randn(2, length, WIDTH, generator=draw) for length in (24, 10)]
    condition = torch.randn(2, WIDTH, generator=draw)
    given = told()
    ids = torch.cat([given["txt_ids"], given["img_ids"]])
    results = []
    for model in (ours, flux):
        image, text, rotary = *states, model.pos_embed(ids)
        for block in (*model.transformer_blocks, *model.single_transformer_blocks):
            text, image = block(image, text, condition, rotary)
        results.append(torch.cat([text, image], dim=1))
    assert torch.equal(*results)


def test_gradients_are_the_same_when_activations_are_computed_again() -> None:
    model, given = drawn(Step1XEditTransformer2DModel(**SIZES)), told()
    gradients = []
    for again in (False, True):
        if again:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        model(**given).sample.square().mean().backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])
