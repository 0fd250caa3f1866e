"""The other way to let a picture read text, for comparison: image self-attention, then cross-attention to the words.

The block of PixArt-α (Chen et al. 2023, arXiv 2310.00426, section 2.3) with the QK-RMSNorm and rotary embedding of
`layers.py`. The words stay as they were embedded: they have no queries, no projections of their own per stream, and do
not read the picture.

Axes: B batch, S sequence, H heads, D head dimension, C channels (= H · D).
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mmdit.attention.fused import OnAttention, attention, attention_with_lse
from mmdit.model.layers import FeedForward, modulate, rotate


class Attention(nn.Module):
    """Queries from one sequence, keys and values from another or the same one.

    ``on_attention``, where it is set, is told of every call as of a joint attention over [keys' sequence; queries'
    sequence] in which only the former can be read, so that one recorder serves both kinds of block.
    """

    def __init__(self, channels: int, heads: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.heads = heads
        self.on_attention: OnAttention | None = None
        for name in ("to_q", "to_k", "to_v"):
            setattr(self, name, nn.Linear(channels, channels))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        for name in ("norm_q", "norm_k"):
            setattr(self, name, nn.RMSNorm(channels // heads, eps=epsilon))

    def forward(
        self,
        x: Tensor,
        read: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, S, C) reads ``read`` (B, S_read, C) → (B, S, C).

        Args:
            rotary: of both sequences, which are one then; None for neither.
            mask: (B, 1, 1, S_read), True for what may be read.
        """
        query, key, value = (
            rearrange(of, "b s (h d) -> b s h d", h=self.heads)
            for of in (self.to_q(x), self.to_k(read), self.to_v(read))
        )
        query, key = self.norm_q(query), self.norm_k(key)
        if rotary is not None:
            query, key = rotate(query, rotary), rotate(key, rotary)
        query, key, value = (of.transpose(1, 2) for of in (query, key, value.to(query.dtype)))
        if self.on_attention is None:
            attended = attention(query, key, value, mask=mask)
        else:
            found = attention_with_lse(query, key, value, mask=mask)
            self.on_attention(*_as_joint(query, key, found.lse, mask), None)
            attended = found.output
        return self.to_out[0](rearrange(attended, "b h s d -> b s (h d)"))


def _as_joint(query: Tensor, key: Tensor, lse: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, log-sum-exp and mask of the joint attention over [read; x] that this cross-attention is.

    What is read asks nothing, so its rows have an infinite log-sum-exp and with it no probability anywhere.
    """
    read, own = key.shape[-2], query.shape[-2]
    seen = torch.ones(len(query), 1, 1, read, dtype=torch.bool, device=query.device) if mask is None else mask
    return (
        functional.pad(query, (0, 0, read, 0)),
        functional.pad(key, (0, 0, 0, own)),
        functional.pad(lse, (read, 0), value=torch.inf),
        functional.pad(seen, (0, own), value=False),
    )


class CrossAttentionBlock(nn.Module):
    """AdaLN → image self-attention, cross-attention to the text, AdaLN → feed-forward; takes what `DoubleStreamBlock`
    takes and leaves the text as it is.
    """

    def __init__(self, channels: int, heads: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.attn1 = Attention(channels, heads, epsilon)
        self.attn2 = Attention(channels, heads, epsilon)
        self.img_mlp = FeedForward(channels)
        self.img_scale_shift_table = nn.Parameter(torch.zeros(6, channels))
        self.epsilon = epsilon

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        image_modulation: Tensor,
        text_modulation: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """See `DoubleStreamBlock.forward`. Where no word is real, the picture reads the first slot, which is empty."""
        words = text.shape[1]
        shifts = (image_modulation + self.img_scale_shift_table).to(image.dtype).chunk(6, dim=1)
        own = modulate(image, *shifts[:2], self.epsilon)
        image = image + shifts[2] * self.attn1(own, own, tuple(table[words:] for table in rotary))
        readable = mask[..., :words].clone()
        readable[..., 0] |= ~readable.any(dim=-1)
        image = image + self.attn2(
            functional.layer_norm(image, image.shape[-1:], eps=self.epsilon), text, mask=readable
        )
        image = image + shifts[5] * self.img_mlp(modulate(image, *shifts[3:5], self.epsilon))
        return image, text
