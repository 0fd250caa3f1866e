"""Qwen-Image-Edit, and Qwen-Image-Edit-Plus (2509, 2511), which looks at up to ten pictures.

Joint sequence: [text; target; reference:0; reference:1; …], the edited picture being the first reference. The text is
what a vision-language model says of a chat template that holds the pictures and the instruction: a remnant of the
template, vision tokens for each picture, the instruction, the template's tail. Guidance is true classifier-free
guidance: each step is two transformer calls, with texts of different lengths.

The pipelines bring every reference to a megapixel whatever the size of the result, which zooms the result when that is
another one (diffusers, pull request 12453), and take the result's shape from the last picture. Here the result has the
shape of the first picture, whose tokens form the same grid as the result's at any resolution.
"""

import functools
import inspect
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.families.family import EditCall, Traits
from mmdit.families.pipeline import EncodedText, PipelineFamily
from mmdit.families.vision_chat import chat_positions, refuse_commands, vision_grids
from mmdit.families.words import Words, words_with_slots

NOTHING = " "
"""The negative instruction that stands for none; Qwen's own examples use it."""
MOST_STRETCHED = 100
"""The vision-language model reads no picture with one side of 200 times the other, once both are rounded."""


class QwenImage(PipelineFamily):
    """Qwen-Image-Edit and Edit-Plus. Steps and guidance are those of the makers' README."""

    pipelines: ClassVar[dict[str, Traits]] = {
        "QwenImageEditPipeline": Traits(steps=50, guidance=4.0, resolution=1024),
        "QwenImageEditPlusPipeline": Traits(steps=40, guidance=4.0, resolution=1024, most_pictures=10),
    }
    multiple: ClassVar[int] = 32
    text_sees_pictures: ClassVar[bool] = True

    # ---- sizes ----

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """As the pipeline itself would choose it for a picture of this shape. 777 × 513 at 1024 becomes 1248 × 832."""
        return self._fitted((resolution or self.traits.resolution) ** 2, size[0] / size[1])

    def pictures_for_model(self, call: EditCall) -> list[Image.Image]:
        """Edit reads the picture at the working size; Edit-Plus reads pictures as they are and resizes them itself."""
        return list(call.pictures) if self._is_plus else super().pictures_for_model(call)

    @property
    def _is_plus(self) -> bool:
        return type(self.pipeline).__name__ == "QwenImageEditPlusPipeline"

    @property
    def _code(self) -> types.ModuleType:
        """Where the pipeline's functions and constants for sizes are."""
        return sys.modules[type(self.pipeline).__module__]

    def _fitted(self, area: int, ratio: float) -> tuple[int, int]:
        """The pipeline's own (width, height) of about so many pixels, but no side of 0, for width / height."""
        width, height, *_ = self._code.calculate_dimensions(area, ratio)
        return max(self.multiple, width), max(self.multiple, height)

    def _reference_size(self, call: EditCall, ratio: float) -> tuple[int, int]:
        """The (width, height) at which a reference is encoded.

        Of the shape of the first picture, the working size. Others have about a megapixel, as in training, or as many
        pixels as the result when that has fewer.
        """
        width, height = call.pictures[0].size
        if ratio == width / height:
            return call.working
        trained = self._code.VAE_IMAGE_SIZE
        as_trained = call.working == self._fitted(trained, width / height)
        area = trained if as_trained else min(trained, call.working[0] * call.working[1])
        return self._fitted(area, ratio)

    def _sizes(self, call: EditCall) -> dict[str, Any]:
        """What stands for the pipeline's constants and function for sizes during an edit."""
        if not self._is_plus:
            return {"calculate_dimensions": lambda area, ratio: (*call.working, None)}
        references = object()  # in the place of a number of pixels, so that it is told apart from any

        def calculate_dimensions(area: Any, ratio: float) -> tuple[int, int]:
            return self._reference_size(call, ratio) if area is references else self._fitted(area, ratio)

        return {"calculate_dimensions": calculate_dimensions, "VAE_IMAGE_SIZE": references}

    # ---- the edit ----

    def run(self, call: EditCall, **arguments: Any) -> Any:
        """The pipeline's own call, with the sizes of this edit."""
        return seeing(self.pipeline, **self._sizes(call))(**arguments)

    def _check(self, call: EditCall) -> None:
        super()._check(call)
        for number, picture in enumerate(call.pictures, start=1):
            if max(picture.size) > MOST_STRETCHED * min(picture.size):
                width, height = picture.size
                raise ValueError(
                    f"picture {number} is {width}×{height}; crop it, no side may be {MOST_STRETCHED} times the other"
                )

    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """The vision-language model reads the pictures before the instruction, each vision token in its row and column.

        Raises:
            ValueError: the instruction holds one of the model's control tokens, such as <|im_end|>.
        """
        prompt, model = instruction or NOTHING, self.pipeline.text_encoder
        refuse_commands(self.pipeline.tokenizer, prompt)
        thread, read = threading.get_ident(), []

        def reading(_: torch.nn.Module, arguments: tuple, keywords: dict[str, Any]) -> tuple[tuple, dict] | None:
            if threading.get_ident() != thread:
                return None
            read.append(keywords["input_ids"])
            ids, grids = read[0][0].cpu(), vision_grids(keywords["image_grid_thw"])
            placed = chat_positions(ids, model.config.image_token_id, grids)[:, None].to(read[0].device)
            return arguments, {**keywords, "position_ids": placed}

        handle = model.register_forward_pre_hook(reading, with_kwargs=True)
        try:
            embeddings, _ = self.pipeline.encode_prompt(prompt, self._read_pictures(pictures), self.device)
        finally:
            handle.remove()
        ids = read[0][0].cpu()[self.pipeline.prompt_template_encode_start_idx :]
        words = self._words(prompt, ids.tolist(), len(pictures))
        return EncodedText({"prompt_embeds": embeddings}, ids, torch.ones_like(ids, dtype=torch.bool), words)

    def _read_pictures(self, pictures: Sequence[Image.Image]) -> Any:
        """The pictures as the vision-language model gets them, as the pipeline prepares them."""
        if not self._is_plus:
            return pictures[0]
        sizes = [self._fitted(self._code.CONDITION_IMAGE_SIZE, picture.width / picture.height) for picture in pictures]
        resize = self.pipeline.image_processor.resize
        return [resize(picture, height, width) for picture, (width, height) in zip(pictures, sizes, strict=True)]

    def _words(self, prompt: str, ids: list[int], pictures: int) -> Words:
        """The instruction's words with their slots; none when the text is not where the template puts it.

        It stands after the vision tokens of the last picture and before the template's tail. Both ends are special
        tokens, so that it is cut into tokens as it would be alone.
        """
        tokenizer = self.pipeline.tokenizer
        after_picture = tokenizer.convert_tokens_to_ids("<|vision_end|>")
        ends = [slot for slot, token in enumerate(ids) if token == after_picture]
        tail = tokenizer(self.pipeline.prompt_template_encode.split("{}")[1], add_special_tokens=False)["input_ids"]
        alone = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
        if len(ends) != pictures or ids[ends[-1] + 1 :] != [*alone["input_ids"], *tail]:
            return ()
        return words_with_slots(prompt, alone["offset_mapping"], ends[-1] + 1)

    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """Width and height are those of the first picture; the masks say that no token is padding."""
        width, height = call.working
        masks = {f"{name}_mask": torch.ones(e.shape[:2], dtype=torch.long, device=e.device) for name, e in text.items()}
        return {
            **text, **masks, "image": pictures if self._is_plus else pictures[0], "width": width, "height": height,
            "true_cfg_scale": call.guidance,
        }  # fmt: skip

    def passes(self, call: EditCall) -> dict[str, Any]:
        """The pass without the instruction reads another text, in which the instruction's words have no slots."""
        return {"calls_per_step": 2} if self.guides_truly(call) else {}

    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """A token is 2 × 2 latent cells."""
        sizes = [call.working]
        if self._is_plus:
            sizes += [self._reference_size(call, picture.width / picture.height) for picture in pictures]
        else:
            sizes.append(call.working)
        cell = 2 * self.pipeline.vae_scale_factor
        target, *references = [(height // cell, width // cell) for width, height in sizes]
        return TokenLayout.for_edit(text_tokens, target, references)

    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """Unpacked, unscaled and without the axis of frames."""
        width, height = working
        pipeline, config = self.pipeline, self.pipeline.vae.config
        unpacked = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)[:, :, 0]
        mean, deviation = (
            torch.tensor(values, device=latents.device, dtype=torch.float32)[None, :, None, None]
            for values in (config.latents_mean, config.latents_std)
        )
        return unpacked.float() * deviation + mean

    def latents_of(self, picture: Image.Image) -> Tensor:
        """As a video of one frame, scaled and packed."""
        pixels = self.pipeline.image_processor.preprocess(picture).to(self.device, self.pipeline.vae.dtype)
        latents = self.pipeline._encode_vae_image(pixels[:, :, None], generator=None)
        batch, channels, _, rows, columns = latents.shape
        return self.pipeline._pack_latents(latents, batch, channels, rows, columns)


def seeing(pipeline: DiffusionPipeline, **names: Any) -> DiffusionPipeline:
    """The same pipeline, in whose ``__call__`` some names of its module stand for something else.

    It shares everything with the one given, which goes on seeing what it did, as do all others and all threads.
    """
    kind = type(pipeline)
    own: Callable = inspect.unwrap(kind.__call__)
    unknown = sorted(set(names) - set(own.__code__.co_names))
    if unknown:
        raise ValueError(f"{kind.__name__} does not use {', '.join(unknown)}; use diffusers 0.42")
    code = types.FunctionType(own.__code__, own.__globals__ | names, own.__name__, own.__defaults__, own.__closure__)
    code.__kwdefaults__ = own.__kwdefaults__
    call = functools.wraps(kind.__call__)(torch.no_grad()(code))
    view = object.__new__(type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__}))
    view.__dict__ = pipeline.__dict__
    return view
