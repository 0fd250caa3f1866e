"""What is asked for: one edit, in the user's own terms, with everything left open that may be.

In: pictures, words and numbers. Out: an `EditRequest` that was checked, or one sentence. Knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from PIL import Image

from mmdit import images
from mmdit.attention.spec import RecordSpec
from mmdit.families.family import Reasoning
from mmdit.families.strength import Strength
from mmdit.finish import Guard
from mmdit.lora.stack import LoraWeight
from mmdit.region import Region

MAX_INSTRUCTION = 1000
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_SEED = 2**63 - 1
RESOLUTIONS = (64, 4096)


class EditError(ValueError):
    """A request that can't be carried out; one sentence with the value and the remedy."""


@dataclass(frozen=True)
class EditRequest:
    """
    Args:
        images: PIL pictures of any mode; the first is edited, others are references.
        instruction: what to do, in words; 1 to 1000 characters.
        seed: 0 to 2⁶³ − 1; None draws one, which the result's settings name.
        steps: sampler steps, 1 to 100; None for the model's default.
        guidance: how closely the instruction is followed, 0 to 20, in the model's own kind: classifier-free guidance, 1
            being none, or a number that the model is told; None for the model's default.
        negative: what is not wanted, in words; empty for nothing.
        true_guidance: for models that are told their guidance, the classifier-free guidance against ``negative``, at
            twice the time; None for the default.
        strength: how strongly the instruction is followed, beside a neutral one; None for as it stands.
        denoise: share of the noise schedule that is run, for models that start from the noised picture (diffusers
            calls it strength); None for the model's default.
        shift: of the noise schedule, 0.1 to 100; None for the model's own.
        size: (width, height) of the result; None for the first picture's own.
        resolution: the model works on about resolution² pixels and the result is brought to its size; None for what
            the model was trained on.
        loras: the LoRAs to apply, in order; the order changes nothing but the account.
        record: what to record of the joint attention; None for nothing.
        reasoning: for models that can: "think" to put the instruction into plainer words first, "reflect" to look at
            the result as well and edit again, three edits at most; "" for neither.
        literally: whether roundabout words are left as they stand, where the embedded editor would read them as plain
            ones; None for only with LoRAs, which may give words a meaning of their own.
        region: the part of the first picture that alone is edited; None for all of it.
        guard: "measure" how far the picture has moved and its colours have changed where they should not, "correct"
            that as well, or "off"; None to measure where a model paints the whole picture anew.
    """

    images: list[Image.Image]
    instruction: str
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    true_guidance: float | None = None
    strength: Strength | None = None
    denoise: float | None = None
    shift: float | None = None
    size: tuple[int, int] | None = None
    resolution: int | None = None
    loras: Sequence[LoraWeight] = ()
    record: RecordSpec | None = None
    reasoning: Reasoning = ""
    literally: bool | None = None
    region: Region | None = None
    guard: Guard | None = None

    def check(self) -> None:
        """Raises EditError or LoraError: a value out of range, with the value and the remedy."""
        if not self.images:
            raise EditError("no picture was given; add the one to edit")
        for number, picture in enumerate(self.images, start=1):
            if not isinstance(picture, Image.Image):
                raise EditError(f"picture {number} is a {type(picture).__name__}; open it with PIL.Image.open")
        length = len(self.instruction.strip())
        if length == 0:
            raise EditError('the instruction is empty; say what to do, for example "make it black and white"')
        if length > MAX_INSTRUCTION:
            raise EditError(f"the instruction has {length} characters; use at most {MAX_INSTRUCTION}")
        if len(self.negative) > MAX_INSTRUCTION:
            raise EditError(
                f"the negative instruction has {len(self.negative)} characters; use at most {MAX_INSTRUCTION}"
            )
        if self.strength is not None:
            self.strength.check()
        for text in (self.instruction, self.negative, *self._beside()):
            _check_text(text)
        check_range("steps", self.steps, 1, MAX_STEPS, whole=True)
        check_range("guidance", self.guidance, 0.0, MAX_GUIDANCE)
        check_range("true guidance", self.true_guidance, 0.0, MAX_GUIDANCE)
        check_range("denoise", self.denoise, 0.01, 1.0)
        check_range("shift", self.shift, 0.1, 100.0)
        check_range("resolution", self.resolution, *RESOLUTIONS, whole=True)
        if self.reasoning not in get_args(Reasoning):
            raise EditError(f"reasoning is {self.reasoning!r}; use 'think' or 'reflect', or leave it out")
        if self.guard is not None and self.guard not in get_args(Guard):
            raise EditError(f"guard is {self.guard!r}; use 'off', 'measure' or 'correct', or leave it out")
        if self.region is not None:
            self.region.check(images.upright_size(self.images[0]))
        check_range("seed", self.seed, 0, MAX_SEED, whole=True)
        if self.size is not None:
            for name, side in zip(("width", "height"), self.size, strict=True):
                check_range(name, side, 1, images.MAX_PIXELS, whole=True)
            if self.size[0] * self.size[1] > images.MAX_PIXELS:
                raise EditError(f"size {self.size[0]}×{self.size[1]} is too large; use at most 50 megapixels")
        for lora in self.loras:
            lora.check()

    def _beside(self) -> tuple[str, ...]:
        """The texts that the instruction is weighed against."""
        strength = self.strength
        return () if strength is None else (strength.neutral, *(text for text, _ in strength.others))


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EditError(f"{text[error.start]!r} is half a character, which no text has; type it again") from None


def check_range(name: str, value: float | None, low: float, high: float, whole: bool = False) -> None:
    """Raises EditError: a value that is given and no number in the range, both of whose ends are in it."""
    if value is None:
        return
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise EditError(f"{name} is {value!r}; it must be {kind} from {low:g} to {high:g}")
