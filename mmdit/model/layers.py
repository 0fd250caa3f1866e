"""The parts of an MMDiT: rotary embedding, joint attention, the double-stream block.

Axes: B batch, S sequence, H heads, D head dimension, C channels (= H · D). Module names are those that LoRA
files for Qwen-Image address, so one list of targets serves both.

Sources: MMDiT, Esser et al. 2024 (arXiv 2403.03206); rotary embedding, Su et al. 2021 (arXiv 2104.09864);
AdaLN-single, Chen et al. 2023 (arXiv 2310.00426).
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mmdit.attention.fused import OnAttention, attention, attention_with_lse


def timestep_embedding(timestep: Tensor, channels: int) -> Tensor:
    """Sinusoids of a timestep in [0, 1]: (B,) → (B, channels), cosines first, periods 2π/1000 to 2π · 10."""
    frequencies = torch.exp(-math.log(1e4) * torch.arange(channels // 2, device=timestep.device) / (channels // 2))
    angles = 1000.0 * timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_table(positions: Tensor, axis_channels: tuple[int, ...], theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every token's rotation, each (S, D / 2).

    Args:
        positions: (S, axes) coordinates.
        axis_channels: channels of a head that each axis rotates; their sum is D.
        theta: the base of the frequencies.
    """
    angles = []
    for axis, channels in enumerate(axis_channels):
        exponents = torch.arange(0, channels, 2, device=positions.device, dtype=torch.float32) / channels
        angles.append(positions[:, axis, None].float() * theta**-exponents)
    angles = torch.cat(angles, dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate neighbouring channel pairs of (B, S, H, D) by the table's angles."""
    cosine, sine = (table[:, None, :].to(x.dtype) for table in rotary)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor, epsilon: float) -> Tensor:
    """AdaLN: (B, S, C) normalised over channels, scaled and shifted by (B, 1, C)."""
    return functional.layer_norm(x, x.shape[-1:], eps=epsilon) * (1 + scale) + shift


class GELUProjection(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two linear layers; ``net.1`` is the place of a dropout that is never used, kept for the names' sake."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = expansion * channels
        self.net = nn.ModuleList([GELUProjection(channels, hidden), nn.Identity(), nn.Linear(hidden, channels)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class JointAttention(nn.Module):
    """One softmax over [text; image]; each stream has its own projections and its own QK-RMSNorm.

    ``on_attention``, where it is set, is told of every call: query, key, log-sum-exp, mask, scale (None: 1 / √D).
    """

    def __init__(self, channels: int, heads: int, epsilon: float = 1e-6, context_pre_only: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.on_attention: OnAttention | None = None
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
            setattr(self, name, nn.Linear(channels, channels))
        self.to_add_out = None if context_pre_only else nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(self, name, nn.RMSNorm(channels // heads, eps=epsilon))

    def forward(
        self, image: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """image (B, S_image, C), text (B, S_text, C) → what is added to each, None to a text that ends here; rotary
        covers the joint [text; image].
        """

        def split_heads(x: Tensor) -> Tensor:
            return rearrange(x, "b s (h d) -> b s h d", h=self.heads)

        query = [self.norm_added_q(split_heads(self.add_q_proj(text))), self.norm_q(split_heads(self.to_q(image)))]
        key = [self.norm_added_k(split_heads(self.add_k_proj(text))), self.norm_k(split_heads(self.to_k(image)))]
        value = [split_heads(self.add_v_proj(text)), split_heads(self.to_v(image))]

        query, key = (rotate(torch.cat(parts, dim=1), rotary).transpose(1, 2) for parts in (query, key))
        value = torch.cat(value, dim=1).transpose(1, 2).to(query.dtype)
        if self.on_attention is None:
            attended = attention(query, key, value, mask=mask)
        else:
            found = attention_with_lse(query, key, value, mask=mask)
            self.on_attention(query, key, found.lse, mask, None)
            attended = found.output
        joint = rearrange(attended, "b h s d -> b s (h d)")

        text_length = text.shape[1]
        to_text = None if self.to_add_out is None else self.to_add_out(joint[:, :text_length])
        return self.to_out[0](joint[:, text_length:]), to_text


class DoubleStreamBlock(nn.Module):
    """A joint-attention block: AdaLN → joint attention → AdaLN → feed-forward, per stream.

    The modulation is AdaLN-single: the model computes one (B, 6, C) tensor per stream from the timestep and each
    block adds its own table. Rows: shift, scale, gate of the attention; shift, scale, gate of the feed-forward.

    Args:
        context_pre_only: whether the text ends here, as in Stable Diffusion 3's last block: the image reads it, and
            nothing is made of it, so that it leaves as it came.
    """

    def __init__(self, channels: int, heads: int, epsilon: float = 1e-6, context_pre_only: bool = False) -> None:
        super().__init__()
        self.context_pre_only = context_pre_only
        self.attn = JointAttention(channels, heads, epsilon, context_pre_only)
        self.img_mlp = FeedForward(channels)
        self.txt_mlp = None if context_pre_only else FeedForward(channels)
        self.img_scale_shift_table = nn.Parameter(torch.zeros(6, channels))
        self.txt_scale_shift_table = nn.Parameter(torch.zeros(6, channels))
        self.epsilon = epsilon

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        image_modulation: Tensor,
        text_modulation: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        image_shifts = (image_modulation + self.img_scale_shift_table).to(image.dtype).chunk(6, dim=1)
        text_shifts = (text_modulation + self.txt_scale_shift_table).to(text.dtype).chunk(6, dim=1)

        attended_image, attended_text = self.attn(
            modulate(image, *image_shifts[:2], self.epsilon),
            modulate(text, *text_shifts[:2], self.epsilon),
            rotary,
            mask,
        )
        image = image + image_shifts[2] * attended_image
        image = image + image_shifts[5] * self.img_mlp(modulate(image, *image_shifts[3:5], self.epsilon))
        if self.context_pre_only:
            return image, text
        text = text + text_shifts[2] * attended_text
        text = text + text_shifts[5] * self.txt_mlp(modulate(text, *text_shifts[3:5], self.epsilon))
        return image, text
