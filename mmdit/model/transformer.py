"""The embedded editor's transformer: a double-stream MMDiT that edits at a working resolution of about 128 px.

In: a noisy target picture, the source picture, the instruction's features, a timestep. Out: an `EditField`, which
applied to the source is the model's estimate of the finished edit. Knows nothing of samplers, files or words.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mmdit.attention.layout import TokenLayout
from mmdit.model.cross_attention import CrossAttentionBlock
from mmdit.model.edit_field import EditField, assemble
from mmdit.model.layers import DoubleStreamBlock, rotary_table, timestep_embedding
from mmdit.model.object_head import ObjectHead

WORKING_SIZES: tuple[tuple[int, int], ...] = (
    (128, 128), (112, 144), (144, 112), (96, 160), (160, 96), (80, 192), (192, 80),
)  # fmt: skip
"""The (height, width) that it is trained at; all hold 60 to 64 patches."""

BLOCKS: dict[str, Callable[[int, int], nn.Module]] = {"joint": DoubleStreamBlock, "cross": CrossAttentionBlock}
LAST_BLOCKS = BLOCKS | {"joint": partial(DoubleStreamBlock, context_pre_only=True)}
"""Nothing reads what the last block would make of the text."""
CLOSED = re.compile(r"(to_out\.0|to_add_out|mlp\.net\.2)\.(weight|bias)$")
"""A block's output projections, which start as zero."""
AFFINE_CHANNELS, SOFTNESS_CHANNELS = 12, 1
COARSE_CHANNELS = AFFINE_CHANNELS + SOFTNESS_CHANNELS  # of each patch; the others are of its pixels
TIMESTEP_CHANNELS = 128


class MiniMMDiT(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """A joint transformer over [text; target; reference].

    Args:
        channels: width of both streams.
        layers: double-stream blocks.
        heads: attention heads; channels / heads is the head dimension.
        patch_size: pixels along a patch's side.
        text_channels: features per token of the instruction.
        rotary_channels: channels of a head rotated by (stream, row, column); their sum is the head dimension.
        rotary_theta: base of the rotary frequencies; small, because the grid is.
        change_block: the block after which target tokens must tell whether their patch changes at all.
        attention: "joint", the MMDiT, or "cross", the kind of block that it is compared with.
        drawings: names of the objects that an `ObjectHead` remembers, to find them, add them and put them in another's
            place; none for a model without one.
    """

    _repeated_blocks: ClassVar = ["DoubleStreamBlock", "CrossAttentionBlock"]
    _no_split_modules: ClassVar = ["DoubleStreamBlock", "CrossAttentionBlock"]

    @register_to_config
    def __init__(
        self,
        channels: int = 240,
        layers: int = 6,
        heads: int = 5,
        patch_size: int = 16,
        text_channels: int = 768,
        rotary_channels: tuple[int, int, int] = (12, 18, 18),
        rotary_theta: float = 100.0,
        change_block: int = 3,
        attention: str = "joint",
        drawings: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if attention not in BLOCKS:
            raise ValueError(f"attention is {attention!r}; use {' or '.join(BLOCKS)}")
        if sum(rotary_channels) * heads != channels:
            raise ValueError(
                f"rotary_channels {tuple(rotary_channels)} must add up to channels / heads = {channels / heads:g}"
            )
        pixels = patch_size**2
        self.target_in = nn.Linear(3 * pixels, channels)
        self.reference_in = nn.Linear(3 * pixels, channels)
        self.text_in = nn.Linear(text_channels, channels)
        self.pooled_text_in = nn.Linear(text_channels, channels)
        self.timestep_in = nn.Sequential(
            nn.Linear(TIMESTEP_CHANNELS, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.img_mod = nn.Linear(channels, 6 * channels)
        self.txt_mod = nn.Linear(channels, 6 * channels)
        self.transformer_blocks = nn.ModuleList([BLOCKS[attention](channels, heads) for _ in range(layers - 1)])
        self.transformer_blocks.append(LAST_BLOCKS[attention](channels, heads))
        self.norm_out = nn.Linear(channels, 2 * channels)
        self.proj_out = nn.Linear(channels, 4 * pixels + COARSE_CHANNELS)
        self.change_out = nn.Linear(channels, 1)
        self.object_head = ObjectHead(channels, patch_size, len(drawings)) if drawings else None
        self._initialise()

    def _initialise(self) -> None:
        """Every block starts as the identity, the whole model as "leave the picture alone"."""
        for module in (self.img_mod, self.txt_mod):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
        for module in (self.norm_out, self.proj_out, self.pooled_text_in):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        for block in self.transformer_blocks:
            for name, parameter in block.named_parameters():
                if CLOSED.search(name):
                    nn.init.zeros_(parameter)
                elif name.endswith("scale_shift_table"):
                    with torch.no_grad():
                        parameter[[2, 5]] = 1.0  # gates open; the zero output projections close the branch

    @classmethod
    def from_pretrained(cls, folder: str | Path, **settings: Any) -> "MiniMMDiT":
        """Read what `save_pretrained` wrote. Raises FileNotFoundError or ValueError for missing or damaged drawings."""
        model = super().from_pretrained(folder, **settings)
        if model.object_head is not None:
            model.object_head.load_drawings(folder)
        return model

    def save_pretrained(self, folder: str | Path, **settings: Any) -> None:
        """Write the weights, as diffusers does, and beside them the drawings."""
        super().save_pretrained(folder, **settings)
        if self.object_head is not None:
            self.object_head.save_drawings(folder)

    @property
    def text_attentions(self) -> tuple[str, ...]:
        """Names of the modules in which the picture reads the text, in order."""
        module = {"joint": "attn", "cross": "attn2"}[self.config.attention]
        return tuple(f"transformer_blocks.{index}.{module}" for index in range(self.config.layers))

    def layout(self, text_tokens: int, height: int, width: int) -> TokenLayout:
        """The joint sequence of one edit of a height × width working picture."""
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise ValueError(f"working size {width}×{height} must be a multiple of {patch} on both sides")
        grid = (height // patch, width // patch)
        return TokenLayout.for_edit(text_tokens, grid, [grid])

    def forward(
        self,
        target: Tensor,
        source: Tensor,
        text: Tensor,
        text_mask: Tensor,
        timestep: Tensor,
        on_block: Callable[[int, Tensor, Tensor], None] | None = None,
        find_objects: bool = True,
    ) -> EditField:
        """Estimate the finished edit.

        Args:
            target: (B, 3, height, width), the noisy picture (1 − t) · finished + t · noise.
            source: (B, 3, height, width) in [−1, 1], the picture to edit.
            text: (B, T, text_channels) features of the instruction's tokens.
            text_mask: (B, T), True for real tokens; what the others hold does not matter.
            timestep: (B,) in [0, 1]; 1 is pure noise.
            on_block: called after each block with its index, the image tokens (B, target + reference, C) and the
                text tokens (B, T, C).
            find_objects: whether to look for what is laid over the edit, in a model that can.
        """
        height, width = target.shape[-2:]
        layout = self.layout(text.shape[1], height, width)
        rotary = rotary_table(
            layout.positions(target.device), tuple(self.config.rotary_channels), self.config.rotary_theta
        )
        mask = functional.pad(text_mask, (0, layout.tokens - layout.text_tokens), value=True)[:, None, None, :]

        # Embed both streams
        image_tokens = torch.cat(
            [self.target_in(self._patches(target)), self.reference_in(self._patches(source))], dim=1
        )
        text = text * text_mask[..., None]
        text_tokens = self.text_in(text)

        # Condition on the timestep and the instruction as a whole
        pooled = text.sum(dim=1) / text_mask.sum(dim=1, keepdim=True).clamp_min(1)
        condition = self.timestep_in(timestep_embedding(timestep, TIMESTEP_CHANNELS)) + self.pooled_text_in(pooled)
        condition = functional.silu(condition)
        image_modulation = self.img_mod(condition).unflatten(-1, (6, -1))
        text_modulation = self.txt_mod(condition).unflatten(-1, (6, -1))

        for index, block in enumerate(self.transformer_blocks):
            image_tokens, text_tokens = block(
                image_tokens, text_tokens, image_modulation, text_modulation, rotary, mask
            )
            if index == min(self.config.change_block, len(self.transformer_blocks) - 1):
                # Not a matrix-vector product: its last bits depend on where memory happens to lie.
                weighted = image_tokens[:, : layout.streams[0].tokens] * self.change_out.weight
                change = weighted.sum(dim=-1, keepdim=True) + self.change_out.bias
            if on_block is not None:
                on_block(index, image_tokens, text_tokens)
        target_tokens, reference_tokens = image_tokens.split(layout.streams[0].tokens, dim=1)
        field = self._edit_field(target_tokens, condition, change, height, width)
        if self.object_head is None or not find_objects:
            return field
        found = self.object_head(target_tokens, reference_tokens, text_tokens, text_mask, source)
        if found is None or self.training:
            return replace(field, found=found)
        textures = self.object_head.textures
        return replace(field, overlays=found.overlays(source, textures, self.config.patch_size))

    def _edit_field(
        self, target_tokens: Tensor, condition: Tensor, change: Tensor, height: int, width: int
    ) -> EditField:
        patch = self.config.patch_size
        scale, shift = self.norm_out(condition)[:, None].chunk(2, dim=-1)
        tokens = functional.layer_norm(target_tokens, target_tokens.shape[-1:], eps=1e-6) * (1 + scale) + shift
        output = rearrange(self.proj_out(tokens).float(), "b (y x) c -> b c y x", y=height // patch)
        pixels = rearrange(output[:, COARSE_CHANNELS:], "b (c p q) y x -> b c (y p) (x q)", p=patch, q=patch)
        change = rearrange(change.float(), "b (y x) c -> b c y x", y=height // patch)
        affine, softness = output[:, :AFFINE_CHANNELS], output[:, AFFINE_CHANNELS:COARSE_CHANNELS]
        return assemble(affine, softness, pixels[:, :1], pixels[:, 1:], change)

    def _patches(self, picture: Tensor) -> Tensor:
        patch = self.config.patch_size
        return rearrange(picture, "b c (y p) (x q) -> b (y x) (c p q)", p=patch, q=patch)
