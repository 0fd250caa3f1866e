"""The whole path of one edit: request → prepared pictures → family → result.

In: an `EditRequest`. Out: an `EditResult`. Knows no model; a family does the work between.
"""

import gc
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch
from PIL import Image
from torch import nn

from mmdit import images
from mmdit.attention.maps import AttentionMaps
from mmdit.attention.spec import RecordSpec
from mmdit.catalog import ModelEntry
from mmdit.families.family import EditCall, Family, FamilyOutput, OnStep, Reasoning, Traits, steps_run
from mmdit.families.strength import Strength
from mmdit.lora.inspect import LoraReport
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight

MAX_INSTRUCTION = 1000
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_SEED = 2**63 - 1
RESOLUTIONS = (64, 4096)

Load = Callable[[], tuple[Family, str]]
"""Loads a model; gives it and how it lies in memory."""


class EditError(ValueError):
    """A request that can't be carried out; one sentence with the value and the remedy."""


class EditCancelled(Exception):  # noqa: N818 - an outcome, not an error
    """Raise it from ``on_step`` to end an edit within the step."""


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
            the result as well and edit again, up to three times; "" for neither.
        literally: whether roundabout words are left as they stand, where the embedded editor would read them as plain
            ones; None for only with LoRAs, which may give words a meaning of their own.
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

    def check(self) -> None:
        """Raises EditError or LoraError: a value out of range, with the value and the remedy."""
        if not self.images:
            raise EditError("no picture was given; add the one to edit")
        length = len(self.instruction.strip())
        if length == 0:
            raise EditError('the instruction is empty; say what to do, for example "make it black and white"')
        if length > MAX_INSTRUCTION:
            raise EditError(f"the instruction has {length} characters; use at most {MAX_INSTRUCTION}")
        if len(self.negative) > MAX_INSTRUCTION:
            raise EditError(
                f"the negative instruction has {len(self.negative)} characters; use at most {MAX_INSTRUCTION}"
            )
        for text in (self.instruction, self.negative, *self._neutral()):
            _check_text(text)
        _check_range("steps", self.steps, 1, MAX_STEPS, whole=True)
        _check_range("guidance", self.guidance, 0.0, MAX_GUIDANCE)
        _check_range("true guidance", self.true_guidance, 0.0, MAX_GUIDANCE)
        _check_range("denoise", self.denoise, 0.01, 1.0)
        _check_range("shift", self.shift, 0.1, 100.0)
        _check_range("resolution", self.resolution, *RESOLUTIONS, whole=True)
        if self.strength is not None:
            self.strength.check()
        if self.reasoning not in get_args(Reasoning):
            raise EditError(f"reasoning is {self.reasoning!r}; use 'think' or 'reflect', or leave it out")
        _check_range("seed", self.seed, 0, MAX_SEED, whole=True)
        if self.size is not None:
            for name, side in zip(("width", "height"), self.size, strict=True):
                _check_range(name, side, 1, images.MAX_PIXELS, whole=True)
            if self.size[0] * self.size[1] > images.MAX_PIXELS:
                raise EditError(f"size {self.size[0]}×{self.size[1]} is too large; use at most 50 megapixels")
        for lora in self.loras:
            lora.check()

    def _neutral(self) -> tuple[str, ...]:
        strength = self.strength
        return () if strength is None else (strength.neutral, *(text for text, _ in strength.others))


@dataclass(frozen=True)
class StepProgress:
    """After a step: how many are done, of how many; seconds left; a preview at the working size."""

    step: int
    steps: int
    seconds_left: float
    preview: Image.Image


@dataclass(frozen=True)
class EditPlan:
    """What an edit will do, known before it runs.

    Args:
        working: (width, height) at which the model works.
        output: (width, height) of the result.
        steps: that will be run.
    """

    working: tuple[int, int]
    output: tuple[int, int]
    steps: int


@dataclass(frozen=True)
class EditResult:
    """
    Args:
        image: RGB, the size of the first input unless asked otherwise.
        settings: all that is needed to make it again, JSON-ready.
        timings: stage → seconds.
        warnings: sentences for the person who asked.
        maps: what every joint attention looked at; None unless asked for.
    """

    image: Image.Image
    settings: dict[str, Any]
    timings: dict[str, float]
    warnings: tuple[str, ...] = field(default=())
    maps: AttentionMaps | None = None


class Editor:
    """A loaded model, ready to edit. Make one with `mmdit.load.load_editor`.

    Args:
        smaller: asked when an edit ran out of memory; gives what loads the same model so that it takes less, or None
            when there is no such way. The model is let go of before that is called.
        memory: how the model is laid out in memory, and why, for people.
    """

    def __init__(
        self,
        entry: ModelEntry,
        family: Family,
        presets: Presets,
        smaller: Callable[[], Load | None] = lambda: None,
        memory: str = "",
    ) -> None:
        self.entry = entry
        self.presets = presets
        self.memory = memory
        self._smaller = smaller
        self._use(family)

    def _use(self, family: Family) -> None:
        self._loaded: tuple[Family, LoraStack] | None = (
            family, LoraStack(family.transformer, self.entry.name, self.presets)
        )  # fmt: skip

    @property
    def _family(self) -> Family:
        return self._still_loaded()[0]

    @property
    def _loras(self) -> LoraStack:
        return self._still_loaded()[1]

    def _still_loaded(self) -> tuple[Family, LoraStack]:
        if self._loaded is None:
            raise EditError(f"{self.entry.name} is not loaded any more, since memory ran out; load it again")
        return self._loaded

    @property
    def transformer(self) -> nn.Module:
        """The module whose joint-attention blocks do the work."""
        return self._family.transformer

    @property
    def traits(self) -> Traits:
        """What the model can do, and its defaults."""
        return self._family.traits

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """The (width, height) at which a picture of ``size`` is worked on."""
        return self._family.working_size(size, resolution)

    def inspect_lora(self, name_or_path: str | Path) -> LoraReport:
        """What a LoRA would do to this model, from its file's header. Raises LoraError: unknown or unreadable."""
        return self._loras.inspect(name_or_path)

    def plan(self, request: EditRequest) -> EditPlan:
        """The sizes and steps of an edit, without making it. Raises EditError: a value out of range."""
        request.check()
        request = self._as_recommended(request)
        output = request.size or images.upright_size(request.images[0])
        steps = request.steps or self.entry.steps
        working = self.working_size(output, request.resolution)
        return EditPlan(working, output, steps_run(steps, self._denoise(request)))

    def edit(self, request: EditRequest, on_step: Callable[[StepProgress], None] | None = None) -> EditResult:
        """Carry out one request.

        Args:
            on_step: called after every step, from the calling thread.

        Raises:
            EditError: a value out of range, or something that this model can't do. ImageError: an unusable picture.
                LoraError: a LoRA that does not fit. RecordError: a recording that can't be made. EditCancelled: as
                ``on_step`` did.
        """
        started = time.perf_counter()
        request.check()
        request = self._as_recommended(request)
        call = self._call(request)
        prepared = time.perf_counter()

        def report(done: int, steps: int, preview: Image.Image) -> None:
            if on_step is not None:
                left = (time.perf_counter() - prepared) / done * (steps - done)
                on_step(StepProgress(done, steps, left, preview))

        output, loras = self._run(call, request, report if on_step is not None else None)
        finished = time.perf_counter()
        settings = self._settings(call, request, loras)
        timings = {"prepare": prepared - started, "edit": finished - prepared, "total": finished - started}
        maps = None if output.maps is None else replace(output.maps, metadata=output.maps.metadata | settings)
        return EditResult(output.image, settings, timings, output.warnings, maps)

    def _run(
        self, call: EditCall, request: EditRequest, on_step: OnStep | None
    ) -> tuple[FamilyOutput, list[dict[str, Any]]]:
        """The family's edit with the LoRAs applied; once more, with less memory, when that runs out."""
        try:
            return self._once(call, request, on_step)
        except torch.OutOfMemoryError:
            pass  # what the failed edit held is freed outside of this block only
        too_large = EditError(
            f"the edit ran out of memory at {call.working[0]}×{call.working[1]}, and no other way of loading "
            f"{self.entry.name} helps; give a smaller resolution"
        )
        if not self._step_down():
            raise too_large
        try:
            output, loras = self._once(call, request, on_step)
        except torch.OutOfMemoryError:
            raise too_large from None
        warning = f"The edit ran out of memory and was made once more: {self.memory}"
        return replace(output, warnings=(*output.warnings, warning)), loras

    def _once(
        self, call: EditCall, request: EditRequest, on_step: OnStep | None
    ) -> tuple[FamilyOutput, list[dict[str, Any]]]:
        with self._loras.applied(request.loras) as applied:
            return self._family.edit(call, on_step), [lora.settings() for lora in applied]

    def _step_down(self) -> bool:
        """Load the model again so that it takes less memory; False when there is no such way."""
        load = self._smaller()
        if load is None:
            return False
        self._loaded = None  # both at once might not fit
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        family, self.memory = load()
        self._use(family)
        return True

    def _as_recommended(self, request: EditRequest) -> EditRequest:
        """What the request leaves open, as the presets of its LoRAs say; the last that says something counts."""
        said: dict[str, Any] = {}
        for lora in request.loras:
            preset = self.presets.find(str(lora.name_or_path)) if lora.weight else None
            for name in ("steps", "guidance", "shift"):
                if preset is not None and getattr(preset, name) is not None:
                    said[name] = getattr(preset, name)
        return replace(request, **{name: value for name, value in said.items() if getattr(request, name) is None})

    def _denoise(self, request: EditRequest) -> float:
        return float((self.traits.denoise or 1.0) if request.denoise is None else request.denoise)

    def _literally(self, request: EditRequest) -> bool:
        return any(lora.weight for lora in request.loras) if request.literally is None else request.literally

    def _call(self, request: EditRequest) -> EditCall:
        """The request with pictures prepared and nothing left open."""
        pictures = [images.prepare(picture, f"picture {index + 1}") for index, picture in enumerate(request.images)]
        if request.size is not None:
            pictures[0] = pictures[0].resize(request.size, Image.Resampling.LANCZOS)
        entry, truth = self.entry, self.traits.true_guidance
        return EditCall(
            pictures=tuple(pictures),
            instruction=request.instruction.strip(),
            steps=entry.steps if request.steps is None else request.steps,
            guidance=float(entry.guidance if request.guidance is None else request.guidance),
            seed=random.randrange(2**31) if request.seed is None else request.seed,
            working=self.working_size(pictures[0].size, request.resolution),
            negative=request.negative.strip(),
            true_guidance=float((truth or 1.0) if request.true_guidance is None else request.true_guidance),
            denoise=self._denoise(request),
            shift=request.shift,
            strength=request.strength,
            record=request.record,
            reasoning=request.reasoning,
            literally=self._literally(request),
        )

    def _settings(self, call: EditCall, request: EditRequest, loras: list[dict[str, Any]]) -> dict[str, Any]:
        """All that is needed to make the edit again; what says nothing is left out."""
        optional = {
            "negative": call.negative,
            "true_guidance": call.true_guidance if call.negative and self.traits.true_guidance else None,
            "strength": None if call.strength is None else asdict(call.strength),
            "denoise": call.denoise if self.traits.denoise else None,
            "shift": call.shift,
            "resolution": request.resolution,
            "reasoning": call.reasoning,
            "literally": call.literally,
            "working": list(call.working) if self.traits.resolution else None,
            "references": len(call.pictures) - 1,
        }
        return {
            "model": self.entry.name,
            "weights": self._family.fingerprint,
            "instruction": call.instruction,
            "seed": call.seed,
            "steps": call.steps,
            "guidance": call.guidance,
            "size": list(call.pictures[0].size),
            "loras": loras,
            **{name: value for name, value in optional.items() if value},
            "torch": torch.__version__,
            "machine": platform.machine(),
        }


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EditError(f"{text[error.start]!r} is half a character, which no text has; type it again") from None


def _check_range(name: str, value: float | None, low: float, high: float, whole: bool = False) -> None:
    if value is None:
        return
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise EditError(f"{name} is {value!r}; it must be {kind} from {low:g} to {high:g}")
