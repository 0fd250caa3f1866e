"""FLUX.2: dev, and Klein in its distilled and its base form; each edits by looking at one or several pictures.

Joint sequence: [text; target; reference:0; reference:1; …], each picture on a grid of its own; text is 512 tokens of a
chat in which the instruction is the user's message, padding attended. Guidance is told to dev, is classifier-free in
two calls for Klein's base form, and is trained into the distilled one, which takes none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.flux2.pipeline_flux2 import format_input
from einops import rearrange
from PIL import Image
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.families.family import EditCall, Speed, Traits, fit_area
from mmdit.families.pipeline import EncodedText, PipelineFamily, resized
from mmdit.families.words import unread_words, words_with_slots

TEXT_SLOTS = 512
MOST_PIXELS, SHORTEST_SIDE, MOST_OBLONG = 1024**2, 64, 8
"""What the pipeline takes of a picture: it would shrink and crop a larger one, and refuses a smaller or longer one."""

PLACEHOLDER = "\ue000"
"""A character that stands in no template, to find where the instruction goes."""


class Flux2(PipelineFamily):
    """FLUX.2 dev and Klein."""

    pipelines: ClassVar[dict[str, Traits]] = {
        "Flux2Pipeline": Traits(
            steps=50, guidance=4.0, most_pictures=10, resolution=1024, takes_negative=False, takes_shift=False
        ),
        "Flux2KleinPipeline": Traits(
            steps=4, guidance=1.0, most_pictures=4, resolution=1024, takes_negative=False, takes_shift=False
        ),
    }
    """Klein's are those of the distilled form."""

    def __init__(self, pipeline: DiffusionPipeline, fingerprint: str, speed: Speed = Speed()) -> None:
        super().__init__(pipeline, fingerprint, speed)
        if self._is_klein and not pipeline.config.is_distilled:
            self.traits = replace(self.traits, steps=50, guidance=4.0, takes_negative=True)

    @property
    def _is_klein(self) -> bool:
        return type(self.pipeline).__name__ == "Flux2KleinPipeline"

    # ---- text ----

    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """Three hidden states of a language model that reads the instruction within its chat."""
        embeddings, _ = self.pipeline.encode_prompt(instruction, device=self.device, max_sequence_length=TEXT_SLOTS)
        read = self._read(instruction)
        written, start = self._instruction_in_chat(instruction)
        offsets = [(first - start, past - start) for first, past in read["offset_mapping"][0].tolist()]
        return EncodedText(
            {"prompt_embeds": embeddings},
            read["input_ids"][0],
            read["attention_mask"][0].bool(),
            words_with_slots(written, offsets),
            unread_words(written, max(past for _, past in offsets)),
        )

    def _read(self, instruction: str) -> Mapping[str, Tensor]:
        """The chat's token ids, their mask and the characters that each comes from, as the pipeline reads it."""
        how = {
            "padding": "max_length", "truncation": True, "max_length": TEXT_SLOTS, "return_offsets_mapping": True,
        }  # fmt: skip
        if self._is_klein:
            return self.pipeline.tokenizer(self._chat(instruction), return_tensors="pt", **how)
        return self.pipeline.tokenizer.apply_chat_template(
            format_input([instruction], self.pipeline.system_message),
            add_generation_prompt=False,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=how,
        )

    def _chat(self, instruction: str) -> str:
        """The chat in one string."""
        tokenizer = self.pipeline.tokenizer
        if self._is_klein:
            message = {"role": "user", "content": instruction}
            return tokenizer.apply_chat_template(
                [message], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        messages = format_input([instruction], self.pipeline.system_message)
        return tokenizer.apply_chat_template(messages, add_generation_prompt=False, tokenize=False)[0]

    def _instruction_in_chat(self, instruction: str) -> tuple[str, int]:
        """The instruction as the chat has it, and the character at which it begins there.

        Its place comes from the template: the words of a short instruction may stand in the system message too.
        """
        before, after = self._chat(PLACEHOLDER).split(PLACEHOLDER)
        chat = self._chat(instruction)
        if not (chat.startswith(before) and chat.endswith(after)):
            raise ValueError(
                f"the chat template changes with {instruction!r}; use the template that came with the model"
            )
        return chat[len(before) : len(chat) - len(after)], len(before)

    # ---- pictures ----

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """See `Family.working_size`.

        Up to a resolution of 1024 the pipeline takes the first picture at that very size, so that it and the target
        share one grid. Not far above it, at 4300 target tokens, the pipeline's noise schedule changes abruptly.
        """
        resolution = resolution or self.traits.resolution
        return _fitted(size, resolution, max(MOST_PIXELS, resolution**2))

    def pictures_for_model(self, call: EditCall) -> list[Image.Image]:
        """Each at a size that the pipeline leaves alone: the first at the working size, the others at their own."""
        first, *others = call.pictures
        sizes = [call.working, *(other.size for other in others)]
        return [
            resized(picture, _fitted(size, math.sqrt(min(math.prod(size), MOST_PIXELS)), MOST_PIXELS))
            for picture, size in zip((first, *others), sizes, strict=True)
        ]

    def guides_truly(self, call: EditCall) -> bool:
        """Klein's base form alone."""
        return self.traits.takes_negative and call.guidance > 1

    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """All pictures in order."""
        width, height = call.working
        return {**text, "image": pictures, "width": width, "height": height, "guidance_scale": call.guidance}

    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """A token is 2 × 2 latent cells."""
        cell = 2 * self.pipeline.vae_scale_factor
        target, *references = [
            (height // cell, width // cell) for width, height in (call.working, *(picture.size for picture in pictures))
        ]
        return TokenLayout.for_edit(text_tokens, target, references)

    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """Unpacked, out of the batch norm that the latents are scaled with, and unpatched."""
        vae = self.pipeline.vae
        rows = working[1] // (2 * self.pipeline.vae_scale_factor)
        grid = rearrange(latents, "1 (rows columns) channels -> 1 channels rows columns", rows=rows)
        mean, variance = (values.to(latents).view(1, -1, 1, 1) for values in (vae.bn.running_mean, vae.bn.running_var))
        return self.pipeline._unpatchify_latents(grid * torch.sqrt(variance + vae.config.batch_norm_eps) + mean)

    def latents_of(self, picture: Image.Image) -> Tensor:
        """Patched, put through the batch norm, and packed."""
        pixels = self.pipeline.image_processor.preprocess(picture).to(self.device, self.pipeline.vae.dtype)
        return self.pipeline._pack_latents(self.pipeline._encode_vae_image(pixels, generator=None))

    def _check(self, call: EditCall) -> None:
        super()._check(call)
        if self._is_klein and not self.traits.takes_negative and call.guidance != 1:
            raise ValueError(f"guidance is {call.guidance:g} but this Klein is distilled and takes none; leave it at 1")
        for number, picture in enumerate(call.pictures, start=1):
            if max(picture.size) > MOST_OBLONG * min(picture.size):
                width, height = picture.size
                raise ValueError(
                    f"picture {number} is {width} × {height}; FLUX.2 takes sides of up to {MOST_OBLONG} to 1: crop it"
                )


def _fitted(size: tuple[int, int], resolution: float, most_pixels: int) -> tuple[int, int]:
    """The (width, height) of about resolution² pixels with the shape of ``size`` that FLUX.2 takes: sides in multiples
    of 16, none too short, and no more pixels than ``most_pixels``.
    """
    resolution = max(resolution, SHORTEST_SIDE * math.sqrt(max(size) / min(size)))
    width, height = fit_area(size, resolution, Flux2.multiple)
    while width * height > most_pixels:
        resolution -= 1
        width, height = fit_area(size, resolution, Flux2.multiple)
    return min(width, MOST_OBLONG * height), min(height, MOST_OBLONG * width)
