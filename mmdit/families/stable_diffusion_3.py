"""Stable Diffusion 3 and 3.5, image to image: the picture is noised by a share of the schedule and denoised in words.

Joint sequence: [target; text], no reference. Text is 77 CLIP tokens and then 256 T5 tokens, padding attended. So a word
stands twice, and gets the slots of both: what a patch reads of it is the sum over them, where it looks is the mean.
Guidance is classifier-free, with both passes in one batch: [without the instruction, with it].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.attention.spec import Pass
from mmdit.families.family import EditCall, Speed, Traits, fit_area
from mmdit.families.pipeline import EncodedText, PipelineFamily
from mmdit.families.strength import TextTokens, interpolate
from mmdit.families.words import unread_words, words_with_slots

T5_SLOTS = 256


class StableDiffusion3(PipelineFamily):
    """SD3 Medium, SD3.5 Medium, Large and Large Turbo.

    Turbo is built like Large and gets its defaults: whoever knows which it is gives it 4 steps and guidance 1.
    """

    pipelines: ClassVar[dict[str, Traits]] = {
        "StableDiffusion3Img2ImgPipeline": Traits(steps=28, guidance=7.0, resolution=1024, denoise=0.6)
    }
    timestep_scale: ClassVar[float] = 1000.0

    def __init__(self, pipeline: DiffusionPipeline, fingerprint: str, speed: Speed = Speed()) -> None:
        super().__init__(pipeline, fingerprint, speed)
        config = pipeline.transformer.config
        if config.dual_attention_layers:  # 3.5 Medium
            self.traits = replace(self.traits, steps=40, guidance=4.5)
        elif config.qk_norm is not None:  # 3.5 Large
            self.traits = replace(self.traits, steps=28, guidance=3.5)

    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """CLIP and T5 read token by token, CLIP also as a whole; words that one of them reads are read."""
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            instruction,
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=T5_SLOTS,
        )
        ids, mask, offsets = self._read(instruction)
        return EncodedText(
            {"prompt_embeds": embeddings, "pooled_prompt_embeds": pooled},
            torch.tensor(ids),
            torch.tensor(mask).bool(),
            words_with_slots(instruction, offsets),
            unread_words(instruction, max(end for _, end in offsets)),
        )

    def _read(self, instruction: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Token ids, mask and characters of all text slots, CLIP's first; the two CLIPs cut text alike."""
        pipeline = self.pipeline
        tokenizers = [(pipeline.tokenizer, pipeline.tokenizer_max_length), (pipeline.tokenizer_3, T5_SLOTS)]
        if pipeline.text_encoder_3 is None:  # left out to save memory: the pipeline gives its slots zeros
            tokenizers.pop()
        ids, mask, offsets = [], [], []
        for tokenizer, slots in tokenizers:
            read = tokenizer(
                instruction, padding="max_length", max_length=slots, truncation=True, return_offsets_mapping=True
            )
            ids += read["input_ids"]
            mask += read["attention_mask"]
            offsets += read["offset_mapping"]
        missing = pipeline.tokenizer_max_length + T5_SLOTS - len(ids)
        return ids + missing * [0], mask + missing * [0], offsets + missing * [(0, 0)]

    def _strengthened(self, call: EditCall, target: EncodedText, pictures: list[Image.Image]) -> dict[str, Tensor]:
        """Each encoder's slots by themselves, so that a longer word never blends CLIP's tokens with T5's."""
        neutral = self._encoded(call.strength.neutral, pictures)
        texts = [(self._encoded(text, pictures), s) for text, s in call.strength.targets(call.instruction)]
        clip = self.pipeline.tokenizer_max_length

        def mixed(part: Callable[[EncodedText], TextTokens]) -> Tensor:
            return interpolate(part(neutral), [(part(text), s) for text, s in texts], call.strength.text_method)

        slots = [mixed(partial(_slots, part)) for part in (slice(clip), slice(clip, None))]
        pooled = mixed(lambda text: text.tokens("pooled_prompt_embeds"))
        return {"prompt_embeds": torch.cat(slots)[None], "pooled_prompt_embeds": pooled[None]}

    def passes(self, call: EditCall) -> dict[str, Any]:
        """Both in one call."""
        return {"conditional": Pass(row=1), "unconditional": Pass(row=0)} if self.guides_truly(call) else {}

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """See `Family.working_size`; no side is longer than the model has positions."""
        working = super().working_size(size, resolution)
        longest = self._cell * self.transformer.config.pos_embed_max_size
        if max(working) <= longest:
            return working
        return fit_area(size, math.floor(longest * math.sqrt(min(size) / max(size))), self.multiple)

    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """The picture at the working size."""
        width, height = call.working
        return {
            **text, "image": pictures[0], "width": width, "height": height,
            "strength": call.denoise, "guidance_scale": call.guidance,
        }  # fmt: skip

    @property
    def _cell(self) -> int:
        """Pixels of a token's side."""
        return self.pipeline.vae_scale_factor * self.pipeline.patch_size

    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """The target before the text."""
        width, height = call.working
        grid = (height // self._cell, width // self._cell)
        return TokenLayout.for_edit(text_tokens, grid, [], text_first=False)

    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """Unscaled; they are not packed."""
        config = self.pipeline.vae.config
        return latents / config.scaling_factor + config.shift_factor

    def latents_of(self, picture: Image.Image) -> Tensor:
        """Scaled."""
        config = self.pipeline.vae.config
        return (self.encoded_by_vae(picture) - config.shift_factor) * config.scaling_factor


def _slots(part: slice, text: EncodedText) -> TextTokens:
    """Some of the slots as a text of their own; where there is nothing but padding all of them count."""
    embeddings = text.tensors["prompt_embeds"][0, part]
    mask = text.mask[part].to(embeddings.device)
    return TextTokens(embeddings, text.token_ids[part].to(embeddings.device), mask if mask.any() else None)
