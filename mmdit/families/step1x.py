"""Step1X-Edit 1.0, 1.1 and 1.2.

Joint sequence: [text; target; reference:0; reference:1]. The text is what a vision-language model says of a chat with
the picture and the instruction, brought to the transformer by a connector: always 640 slots, padding attended, but in
1.2, where it is as long as it is. Guidance is true classifier-free guidance: two passes, or one of twice the batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.attention.spec import Pass
from mmdit.families.family import EditCall, FamilyOutput, OnStep, Speed, Traits, fit_area
from mmdit.families.machine import measure
from mmdit.families.needs import Needs
from mmdit.families.pipeline import EncodedText, PipelineFamily, resized, unpacked
from mmdit.families.step1x_edit.conditioning import Reading
from mmdit.families.step1x_edit.pipeline import TOKEN_SIDE
from mmdit.families.step1x_edit.reasoning import MOST_TRIES, reflect, think
from mmdit.families.vision_chat import refuse_commands
from mmdit.families.words import words_with_slots
from mmdit.told import Told

MOST_SAID = 200
"""Characters of the model's reasons that are told."""

BESIDE = "Step1X-Edit was trained with one picture; the second is seen as if it stood to the right of the first."
APOSTROPHE = (
    "This version of Step1X-Edit takes an apostrophe for a quotation mark and reads what follows letter by letter; "
    "an instruction without it is followed better."
)


class Step1X(PipelineFamily):
    """Steps and guidance are those of the makers' README."""

    pipelines: ClassVar[dict[str, Traits]] = {
        "Step1XEditPipeline": Traits(steps=28, guidance=6.0, resolution=1024, most_pictures=2),
        "Step1XEditPipelineV1P2": Traits(steps=50, guidance=6.0, resolution=1024, most_pictures=2, reasons=True),
    }
    multiple: ClassVar[int] = TOKEN_SIDE
    text_sees_pictures: ClassVar[bool] = True

    def __init__(self, pipeline: Any, fingerprint: str, speed: Speed = Speed()) -> None:
        super().__init__(pipeline, fingerprint, speed)
        self.guides_in_one_batch = self._fits_twice()

    def _fits_twice(self) -> bool:
        """Whether both passes of a guided edit fit on the GPU at once; elsewhere that wins nothing.

        Found once, for the last bits of a result depend on it.
        """
        transformer = self.transformer
        if not (self.pipeline.version.is_padded and on_gpu(transformer)):
            return False
        width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
        needs = Needs({}, width, resolution=self.traits.resolution, pictures=self.traits.most_pictures, batch=2)
        return needs.activations("bfloat16") < measure(str(self.device)).gpu_free

    # ---- text ----

    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """The vision-language model sees the pictures beside the instruction.

        Raises:
            ValueError: the instruction holds one of the model's control tokens.
        """
        refuse_commands(self.pipeline.processor.tokenizer, instruction)
        said = self.pipeline.encode_prompt(instruction, pictures)
        reading, slots = said.reading, said.prompt_embeds.shape[1]
        kept = reading.tokens[reading.dropped :][:slots]
        words = words_with_slots(instruction, [token.characters for token in kept])
        tensors = {"prompt_embeds": said.prompt_embeds, "text_ids": said.text_ids[None]}
        if said.quoted_embeds is not None:
            tensors["quoted_embeds"] = said.quoted_embeds
        ids = torch.tensor([token.id for token in kept])
        return EncodedText(
            tensors, ids, torch.ones_like(ids, dtype=torch.bool), words, _unread(instruction, reading, slots)
        )

    def _strengthened(self, call: EditCall, target: EncodedText, pictures: list[Image.Image]) -> dict[str, Tensor]:
        """Places are those of the instruction's own tokens."""
        return super()._strengthened(call, target, pictures) | {"text_ids": target.tensors["text_ids"]}

    # ---- the edit ----

    def pictures_for_model(self, call: EditCall) -> list[Image.Image]:
        """The first at the working size, a second with as many pixels in its own shape."""
        first, *others = call.pictures
        resolution = (call.working[0] * call.working[1]) ** 0.5
        return [
            resized(first, call.working),
            *(resized(picture, fit_area(picture.size, resolution, self.multiple)) for picture in others),
        ]

    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """One batch or two passes, as the memory allows."""
        placed = {name: tensor[0] for name, tensor in text.items() if name.endswith("text_ids")}
        return {
            **text, **placed, "image": pictures, "width": call.working[0], "height": call.working[1],
            "true_cfg_scale": call.guidance, "batched_guidance": self.guides_in_one_batch,
        }  # fmt: skip

    def passes(self, call: EditCall) -> dict[str, Any]:
        """The instruction's pass is the first call, or the first half of the batch."""
        if self.guides_truly(call) and self.guides_in_one_batch:
            return {"unconditional": Pass(row=1)}
        return super().passes(call)

    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """The text has all its slots; a second reference has a grid of its own."""
        version = self.pipeline.version
        grids = [
            (height // TOKEN_SIDE, width // TOKEN_SIDE) for width, height in (picture.size for picture in pictures)
        ]
        target = (call.working[1] // TOKEN_SIDE, call.working[0] // TOKEN_SIDE)
        return TokenLayout.for_edit(version.slots if version.is_padded else text_tokens, target, grids)

    def edit(self, call: EditCall, on_step: OnStep | None = None) -> FamilyOutput:
        """See `Family.edit`; with thinking and reflection where the call asks for them."""
        self._check(call)
        warnings = (BESIDE,) if len(call.pictures) > 1 else ()
        if self.pipeline.version.pictures_first and "'" in call.instruction:
            warnings += (APOSTROPHE,)
        output = self._reasoned(call, on_step) if call.reasoning else super().edit(call, on_step)
        return replace(output, told=Told(warnings=warnings) + output.told)

    def _reasoned(self, call: EditCall, on_step: OnStep | None) -> FamilyOutput:
        """Think, edit and, for "reflect", look at the result and edit again, `MOST_TRIES` edits at most.

        The last edit counts: an accepted one, or the last that there was.
        """
        source, wanted = call.pictures[0], call.instruction
        thought = think(self.pipeline, source, wanted, call.seed)
        said = [f"The model read the instruction as: “{thought}”."]
        now, tries = replace(call, instruction=thought), MOST_TRIES if call.reasoning == "reflect" else 1
        for number in range(1, tries + 1):
            output = super().edit(now, on_step)
            if call.reasoning != "reflect":
                break
            seen = reflect(self.pipeline, source, output.image, wanted, call.seed + number)
            reasons = seen.reasons[:MOST_SAID] or "no reasons given"
            said.append(f"Edit {number} of at most {tries}, {seen.outcome}: {reasons}")
            if seen.outcome == "success":
                break
            pictures = (output.image if seen.remedy else source, *call.pictures[1:])
            now = replace(call, pictures=pictures, instruction=seen.remedy or thought, seed=call.seed + number)
        return replace(output, told=Told(tuple(said)) + output.told)

    # ---- latents ----

    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """Unpacked and unscaled."""
        return unpacked(self.pipeline, latents, working)

    def latents_of(self, picture: Image.Image) -> Tensor:
        """Scaled and packed."""
        return self.pipeline.encoded(picture)


def on_gpu(transformer: torch.nn.Module) -> bool:
    """Whether all of it lies there, not offloaded."""
    return all(parameter.device.type == "cuda" for parameter in transformer.parameters())


def _unread(instruction: str, reading: Reading, slots: int) -> tuple[str, ...]:
    """The words of which no token was kept."""
    kept = {token.characters for token in reading.tokens[reading.dropped :][:slots]}
    cut = [token.characters for token in reading.tokens[reading.dropped + slots :] if token.characters not in kept]
    return tuple(word for word, _ in words_with_slots(instruction, [place for place in cut if place[0] < place[1]]))
