"""What every family of editors offers, so that one edit call drives them all.

In: an `EditCall`, in which nothing is left open. Out: a `FamilyOutput`. Knows no model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image
from torch import nn

from mmdit.attention.maps import AttentionMaps
from mmdit.attention.spec import RecordSpec
from mmdit.families.strength import EDITS, Strength
from mmdit.told import NOTHING, Told

OnStep = Callable[[int, int, Image.Image], None]
"""Called after each step with the steps done, the steps that there are, and a preview; what it raises ends the edit."""

Reasoning = Literal["", "think", "reflect"]

NATIVE = "native"
"""PyTorch's own attention, which chooses among its kernels itself."""


@dataclass(frozen=True)
class Traits:
    """What a family can do and how it likes to be run.

    Args:
        steps, guidance: defaults.
        most_pictures: that one edit can look at, the edited one included.
        resolution: the model works on about resolution² pixels; None for a family with sizes of its own.
        takes_negative: whether an instruction can be given of what is not wanted.
        denoise: default share of the noise schedule that is run, for families that start from the noised picture; None
            for those that start from noise alone and look at the picture beside it.
        takes_shift: whether another noise schedule can be asked for.
        true_guidance: default of the true classifier-free guidance that a negative instruction adds, for families whose
            `guidance` is only told to the model; None where `guidance` is the true one.
        reasons: whether the model can think about an instruction and look at its own results.
        redraws: whether the whole picture is painted anew, and may come back moved or tinted.
        mixes_edits: whether strength can mix edits in place of texts; then it does so by default.
    """

    steps: int
    guidance: float
    most_pictures: int = 1
    resolution: int | None = None
    takes_negative: bool = True
    denoise: float | None = None
    takes_shift: bool = True
    true_guidance: float | None = None
    reasons: bool = False
    redraws: bool = True
    mixes_edits: bool = False

    @property
    def strength_method(self) -> str:
        """The family's own method of `Strength`."""
        return EDITS if self.mixes_edits else "all"


class SpeedError(ValueError):
    """Something that does not work here; one sentence with the remedy."""


@dataclass(frozen=True)
class Speed:
    """
    Args:
        attention: a kernel by diffusers' name, such as "flash" (the flash-attn package), "flash_hub" or "_flash_3_hub"
            (kernels of the hub, with the kernels package), "sage"; "native" is PyTorch's own choice.
        compile: whether the transformer's repeated blocks are compiled; recorded edits, and those with LoRAs, run
            without.
    """

    attention: str = NATIVE
    compile: bool = False

    def said(self) -> str:
        """For people; "" for what is the default."""
        parts = [f"attention by {self.attention}"] if self.attention != NATIVE else []
        return ", ".join([*parts, "compiled blocks"] if self.compile else parts)


@dataclass(frozen=True)
class EditCall:
    """One edit as a family gets it.

    Args:
        pictures: upright RGB; the first is edited and has the size of the result.
        steps: sampler steps; guidance: the family's own kind of it; seed: of the initial noise.
        working: (width, height) at which the model works.
        negative: what is not wanted, in words; empty for nothing.
        true_guidance: see `Traits`; 1 is none.
        denoise: share of the noise schedule that is run, (0, 1]; diffusers calls it strength.
        shift: of the noise schedule, as in `families.schedule`; None for the model's own.
        strength: how strongly the instruction is followed; None for as it stands.
        record: what to record of the joint attention; None for nothing.
        reasoning: "think" to put the instruction into plainer words first, "reflect" to look at the result as well and
            edit again, "" for neither.
        literally: whether roundabout words are left as they stand, by a family that would read them as plain ones.
    """

    pictures: tuple[Image.Image, ...]
    instruction: str
    steps: int
    guidance: float
    seed: int
    working: tuple[int, int]
    negative: str = ""
    true_guidance: float = 1.0
    denoise: float = 1.0
    shift: float | None = None
    strength: Strength | None = None
    record: RecordSpec | None = None
    reasoning: Reasoning = ""
    literally: bool = False


@dataclass(frozen=True)
class FamilyOutput:
    """The edited picture, what its maker should know about it, and what the model looked at if that was recorded."""

    image: Image.Image
    told: Told = NOTHING
    maps: AttentionMaps | None = None


class Family(Protocol):
    """A loaded model of one family."""

    transformer: nn.Module
    fingerprint: str
    traits: Traits

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """The (width, height) at which a picture of ``size`` is worked on; ``resolution`` as in `Traits`."""

    def edit(self, call: EditCall, on_step: OnStep | None = None) -> FamilyOutput:
        """Edit the first picture.

        Raises:
            ValueError: something that this family can't do, in one sentence. RecordError: a recording that can't be
                made. Whatever ``on_step`` raises; the model stays usable.
        """


def check_call(call: EditCall, traits: Traits, name: str) -> None:
    """Raises ValueError: something that the family called ``name`` can't do, in one sentence."""
    check_number(len(call.pictures), traits.most_pictures, name)
    if call.negative and not traits.takes_negative:
        raise ValueError(f"{name} takes no negative instruction; leave {call.negative!r} out")
    if call.true_guidance != 1 and traits.true_guidance is None:
        raise ValueError(f"true guidance is {call.true_guidance:g} but {name} has none; leave it out, or give guidance")
    if call.denoise != 1 and traits.denoise is None:
        raise ValueError(f"denoise is {call.denoise:g} but {name} edits from pure noise; leave it at 1")
    if call.shift is not None and not traits.takes_shift:
        raise ValueError(f"shift is {call.shift:g} but {name} has one noise schedule only; leave it out")
    if call.strength is not None and call.strength.method == EDITS and not traits.mixes_edits:
        raise ValueError(f"the method of strength is {EDITS!r}, which {name} does not have; leave it out")
    if call.reasoning and not traits.reasons:
        raise ValueError(f"reasoning is {call.reasoning!r} but {name} can't reason; leave it out")


def check_number(pictures: int, most: int, name: str) -> None:
    """Raises ValueError: more pictures than what is called ``name`` takes, in one sentence."""
    if pictures > most:
        taken = "exactly one" if most == 1 else f"at most {most}"
        raise ValueError(f"{pictures} pictures were given; {name} edits {taken}")


def steps_run(steps: int, denoise: float) -> int:
    """How many of the sampler's steps are run, as diffusers' image-to-image pipelines count them."""
    return steps - int(max(steps - steps * denoise, 0))


def fit_area(size: tuple[int, int], resolution: float, multiple: int) -> tuple[int, int]:
    """The (width, height) of about resolution² pixels with the shape of ``size``, both sides multiples.

    777 × 513 at 1024 in multiples of 16 becomes 1264 × 832.
    """
    scale = resolution / math.sqrt(size[0] * size[1])
    width, height = (max(1, round(side * scale / multiple)) * multiple for side in size)
    return width, height
