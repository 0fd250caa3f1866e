"""FLUX.1: Kontext, which edits by looking at the picture, and FLUX.1-dev, which starts from the noised picture.

Joint sequence: [text; target; reference:0], the reference only for Kontext; text is 512 T5 tokens, padding attended.
Guidance is told to the model; a negative instruction adds true classifier-free guidance, at twice the time.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.families.family import EditCall, Traits
from mmdit.families.pipeline import EncodedText, PipelineFamily, unpacked
from mmdit.families.words import unread_words, words_with_slots

TEXT_SLOTS = 512


class Flux(PipelineFamily):
    """FLUX.1 Kontext and FLUX.1-dev image to image."""

    pipelines: ClassVar[dict[str, Traits]] = {
        "FluxKontextPipeline": Traits(steps=28, guidance=2.5, resolution=1024, true_guidance=4.0),
        "FluxImg2ImgPipeline": Traits(steps=28, guidance=3.5, resolution=1024, denoise=0.6, true_guidance=4.0),
    }

    @property
    def _looks_at_reference(self) -> bool:
        return type(self.pipeline).__name__ == "FluxKontextPipeline"

    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """T5 reads token by token, CLIP as a whole."""
        embeddings, pooled, _ = self.pipeline.encode_prompt(
            instruction, device=self.device, max_sequence_length=TEXT_SLOTS
        )
        read = self.pipeline.tokenizer_2(
            instruction, max_length=TEXT_SLOTS, truncation=True, padding="max_length", return_offsets_mapping=True
        )
        offsets = read["offset_mapping"]
        return EncodedText(
            {"prompt_embeds": embeddings, "pooled_prompt_embeds": pooled},
            torch.tensor(read["input_ids"]),
            torch.tensor(read["attention_mask"]).bool(),
            words_with_slots(instruction, offsets),
            unread_words(instruction, max(end for _, end in offsets)),
        )

    def guides_truly(self, call: EditCall) -> bool:
        """Only against a negative instruction."""
        return bool(call.negative) and call.true_guidance > 1

    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """Kontext gets the picture at the working size and is told to leave that size alone."""
        width, height = call.working
        arguments = {
            **text, "image": pictures[0], "width": width, "height": height, "guidance_scale": call.guidance,
            "true_cfg_scale": call.true_guidance if self.guides_truly(call) else 1.0,
        }  # fmt: skip
        if self._looks_at_reference:
            return arguments | {"max_area": width * height, "_auto_resize": False}
        return arguments | {"strength": call.denoise}

    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """A token is 2 × 2 latent cells; Kontext's reference has the target's grid."""
        width, height = call.working
        cell = 2 * self.pipeline.vae_scale_factor
        grid = (height // cell, width // cell)
        return TokenLayout.for_edit(text_tokens, grid, [grid] if self._looks_at_reference else [])

    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """Unpacked and unscaled."""
        return unpacked(self.pipeline, latents, working)

    def latents_of(self, picture: Image.Image) -> Tensor:
        """Scaled and packed."""
        config = self.pipeline.vae.config
        latents = (self.encoded_by_vae(picture) - config.shift_factor) * config.scaling_factor
        return self.pipeline._pack_latents(latents, *latents.shape)
