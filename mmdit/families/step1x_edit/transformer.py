"""The transformer of Step1X-Edit: FLUX.1's blocks, behind a connector to a vision-language model.

In: noisy latents with reference latents, hidden states of Qwen2.5-VL, ids and a timestep. Out: the velocity. The blocks
are diffusers' own; names and configuration are those of the published diffusers-layout checkpoints, so that LoRAs,
quantisation, offload and recording find what they know.

Axes: B batch, S image tokens (target, then references), T text slots, C channels.
"""

from typing import Any, ClassVar

import torch
from diffusers import CacheMixin, ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.normalization import AdaLayerNormContinuous
from diffusers.models.transformers.transformer_flux import (
    FluxPosEmbed,
    FluxSingleTransformerBlock,
    FluxTransformerBlock,
)
from torch import Tensor, nn
from torch.nn import functional

from mmdit.families.step1x_edit.connector import Connector


class Step1XEditTransformer2DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """The arguments are the published configuration's.

    Args:
        vector_in_dim: channels of the pooled vector.
        connector_in_channels: of the vision-language model.
        connector_scales_pooled: version 1.0, see `Connector`.
        enable_text_token_mapping: version 1.2, see `forward`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["FluxTransformerBlock", "FluxSingleTransformerBlock"]
    _skip_layerwise_casting_patterns: ClassVar[list[str]] = ["pos_embed", "norm"]
    _repeated_blocks: ClassVar[list[str]] = ["FluxTransformerBlock", "FluxSingleTransformerBlock"]

    @register_to_config
    def __init__(
        self,
        patch_size: int = 1,
        in_channels: int = 64,
        out_channels: int | None = None,
        num_layers: int = 19,
        num_single_layers: int = 38,
        attention_head_dim: int = 128,
        num_attention_heads: int = 24,
        joint_attention_dim: int = 4096,
        timestep_in_dim: int = 256,
        vector_in_dim: int = 768,
        connector_in_channels: int = 3584,
        connector_hidden_size: int = 4096,
        connector_heads_num: int = 32,
        connector_depth: int = 2,
        guidance_embeds: bool = False,
        axes_dims_rope: tuple[int, ...] = (16, 56, 56),
        enable_text_token_mapping: bool = False,
        connector_scales_pooled: bool = False,
    ) -> None:
        super().__init__()
        width = num_attention_heads * attention_head_dim
        self.pos_embed = FluxPosEmbed(theta=10000, axes_dim=axes_dims_rope)
        self.time_embed = _Embedder(timestep_in_dim, width)
        self.vec_embed = _Embedder(vector_in_dim, width)
        self.connector = Connector(
            connector_in_channels, connector_hidden_size, vector_in_dim, connector_heads_num, connector_depth,
            connector_scales_pooled,
        )  # fmt: skip
        self.text_token_mapping = (
            nn.Linear(connector_in_channels, connector_hidden_size) if enable_text_token_mapping else None
        )
        self.context_embedder = nn.Linear(joint_attention_dim, width)
        self.x_embedder = nn.Linear(in_channels, width)
        self.transformer_blocks = nn.ModuleList(
            FluxTransformerBlock(width, num_attention_heads, attention_head_dim) for _ in range(num_layers)
        )
        self.single_transformer_blocks = nn.ModuleList(
            FluxSingleTransformerBlock(width, num_attention_heads, attention_head_dim) for _ in range(num_single_layers)
        )
        self.norm_out = AdaLayerNormContinuous(width, width, elementwise_affine=False, eps=1e-6)
        self.proj_out = nn.Linear(width, patch_size**2 * (out_channels or in_channels))
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        prompt_embeds_mask: Tensor,
        timestep: Tensor,
        img_ids: Tensor,
        txt_ids: Tensor,
        quoted_embeds: Tensor | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """
        Args:
            hidden_states: (B, S, C) packed latents.
            encoder_hidden_states: (B, T, C) of the vision-language model.
            prompt_embeds_mask: (B, T), true for tokens; only the connector heeds it, the blocks attend to all slots.
            timestep: (B,), 1 at pure noise.
            img_ids, txt_ids: (S, 3) and (T, 3), positions on each axis of the rotary embedding.
            quoted_embeds: (B, T, C) word embeddings of what stands in quotation marks, zeros elsewhere, for
                configurations with ``enable_text_token_mapping``: what is to be written literally is told past the
                vision-language model.

        Returns:
            (B, S, C): the velocity, also where the references are, which means nothing there.
        """
        timestep = timestep.to(hidden_states.dtype)
        text, pooled = self.connector(encoder_hidden_states, prompt_embeds_mask.bool(), timestep)
        if self.text_token_mapping is not None:
            is_quoted = quoted_embeds.any(dim=-1, keepdim=True)
            text = text + self.text_token_mapping(quoted_embeds) * is_quoted
        image, text = self.x_embedder(hidden_states), self.context_embedder(text)
        condition = self.time_embed(self._sinusoids(timestep)) + self.vec_embed(pooled)
        rotary = self.pos_embed(torch.cat([txt_ids, img_ids]))
        for block in (*self.transformer_blocks, *self.single_transformer_blocks):
            text, image = self._run(block, image, text, condition, rotary)
        velocity = self.proj_out(self.norm_out(image, condition))
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)

    def _sinusoids(self, timestep: Tensor) -> Tensor:
        channels = self.config.timestep_in_dim
        embedding = get_timestep_embedding(1000 * timestep, channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        return embedding.to(timestep.dtype)

    def _run(self, block: nn.Module, *inputs: Any) -> tuple[Tensor, Tensor]:
        """(text, image) after a block, whose activations are computed again in the backward pass if that is asked."""
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *inputs)
        image, text, condition, rotary = inputs
        return block(hidden_states=image, encoder_hidden_states=text, temb=condition, image_rotary_emb=rotary)


class _Embedder(nn.Module):
    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(in_channels, channels)
        self.out_layer = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(functional.silu(self.in_layer(x)))
