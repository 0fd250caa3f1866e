"""From what a vision-language model says to text tokens and a pooled vector, aware of the timestep.

In: hidden states of Qwen2.5-VL with their mask. Out: one text token for each of them, padding included, and one vector
for the whole text. Module names are those of the published checkpoints (arXiv 2504.17761; the token refiner is
HunyuanVideo's, arXiv 2412.03603, section 4.2.2).

Axes: B batch, T text slots, C channels.
"""

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from torch.nn import functional

TIMESTEP_CHANNELS = 256
MLP_RATIO = 4


class Connector(nn.Module):
    """
    Args:
        in_channels: of the vision-language model. channels: of the text tokens. pooled_channels: of the vector.
        heads, layers: of the refiner.
        scales_pooled: whether the mean is multiplied by a learned 1 + s before it becomes the vector (version 1.0).
    """

    def __init__(
        self, in_channels: int, channels: int, pooled_channels: int, heads: int, layers: int, scales_pooled: bool
    ) -> None:
        super().__init__()
        self.S = _Refiner(in_channels, channels, heads, layers)
        self.global_proj_out = nn.Linear(in_channels, pooled_channels)
        self.scale_factor = nn.Parameter(torch.zeros(1)) if scales_pooled else None

    def forward(self, states: Tensor, mask: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            states: (B, T, C). mask: (B, T), true for tokens, false for padding. timestep: (B,), 0 to 1.

        Returns:
            Text tokens (B, T, C) and the vector (B, C).
        """
        mean = _mean(states, mask)
        pooled = mean if self.scale_factor is None else mean * (1 + self.scale_factor.to(mean.dtype))
        return self.S(states, mean, mask, timestep), self.global_proj_out(pooled)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """(B, C): of the tokens that are no padding."""
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


class _Refiner(nn.Module):
    def __init__(self, in_channels: int, channels: int, heads: int, layers: int) -> None:
        super().__init__()
        self.input_embedder = nn.Linear(in_channels, channels)
        self.t_embedder = _TimestepEmbedder(channels)
        self.c_embedder = _Projection(in_channels, channels)
        self.individual_token_refiner = _Blocks(channels, heads, layers)

    def forward(self, states: Tensor, mean: Tensor, mask: Tensor, timestep: Tensor) -> Tensor:
        condition = self.t_embedder(1000 * timestep) + self.c_embedder(mean)
        return self.individual_token_refiner(self.input_embedder(states), condition, mask)


class _TimestepEmbedder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIMESTEP_CHANNELS, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, timestep: Tensor) -> Tensor:
        embedding = get_timestep_embedding(timestep, TIMESTEP_CHANNELS, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.mlp(embedding.to(self.mlp[0].bias.dtype))


class _Projection(nn.Module):
    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, channels)
        self.linear_2 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class _Blocks(nn.Module):
    def __init__(self, channels: int, heads: int, layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_RefinerBlock(channels, heads) for _ in range(layers))

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        allowed = (mask[:, :, None] & mask[:, None, :])[:, None]  # (B, 1, T, T)
        # Every row sees the first token, so that none of padding is empty: as the model was trained.
        allowed = allowed | (torch.arange(mask.shape[1], device=mask.device) == 0)
        for block in self.blocks:
            x = block(x, condition, allowed)
        return x


class _RefinerBlock(nn.Module):
    """Self-attention and an MLP, each let in by a gate that the timestep and the text's mean decide."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.self_attn_qkv = nn.Linear(channels, 3 * channels)
        self.self_attn_proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = _MLP(channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 2 * channels))

    def forward(self, x: Tensor, condition: Tensor, allowed: Tensor) -> Tensor:
        attention_gate, mlp_gate = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
        qkv = self.self_attn_qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        x = x + attention_gate * self.self_attn_proj(attended.transpose(1, 2).flatten(2))
        return x + mlp_gate * self.mlp(self.norm2(x))


class _MLP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, MLP_RATIO * channels)
        self.fc2 = nn.Linear(MLP_RATIO * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.silu(self.fc1(x)))
