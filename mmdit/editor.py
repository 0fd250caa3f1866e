"""The whole path of one edit: request → prepared pictures → family → result.

In: an `EditRequest`. Out: an `EditResult`. Knows no model; a family does the work between.
"""

import gc
import platform
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from mmdit import images
from mmdit.attention.maps import AttentionMaps
from mmdit.catalog import ModelEntry
from mmdit.families.family import EditCall, Family, FamilyOutput, OnStep, Traits, steps_run
from mmdit.families.machine import ran_out_of_memory
from mmdit.families.strength import Strength
from mmdit.finish import Guard, finish
from mmdit.lora.inspect import LoraReport
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack
from mmdit.region import Region
from mmdit.request import EditError, EditRequest
from mmdit.told import Told

if TYPE_CHECKING:  # see finish.py
    from mmdit.alignment import Drift

Load = Callable[[], tuple[Family, str]]
"""Loads a model; gives it and how it lies in memory."""


class EditCancelled(Exception):  # noqa: N818 - an outcome, not an error
    """Raise it from ``on_step`` to end an edit within the step."""


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
        passes: through the transformer in each.
    """

    working: tuple[int, int]
    output: tuple[int, int]
    steps: int
    passes: int


@dataclass(frozen=True)
class EditResult:
    """
    Args:
        image: RGB, the size of the first input unless asked otherwise.
        settings: all that is needed to make it again, JSON-ready.
        timings: stage → seconds.
        notes: how the edit was understood and made, in sentences for the person who asked.
        warnings: what is otherwise than asked, or may be, in sentences.
        maps: what every joint attention looked at; None unless asked for.
        drift: of the picture against the given one, before it was corrected; None where it was not measured.
    """

    image: Image.Image
    settings: dict[str, Any]
    timings: dict[str, float]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    maps: AttentionMaps | None = None
    drift: "Drift | None" = None


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
    def usable(self) -> bool:
        """False once memory ran out and the model could not be loaded again so that it takes less."""
        return self._loaded is not None

    @property
    def transformer(self) -> nn.Module:
        """The module whose joint-attention blocks do the work."""
        return self._family.transformer

    @property
    def weights(self) -> str:
        """Identifies the model's weights, as settings do."""
        return self._family.fingerprint

    @property
    def traits(self) -> Traits:
        """What the model can do, and its defaults."""
        return self._family.traits

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """The (width, height) at which a picture of ``size`` is worked on."""
        return self._family.working_size(size, resolution)

    def inspect_lora(self, name_or_path: str | Path, alpha: float | None = None) -> LoraReport:
        """What a LoRA would do to this model, from its file's header. Raises LoraError: unknown or unreadable."""
        return self._loras.inspect(name_or_path, alpha)

    def plan(self, request: EditRequest) -> EditPlan:
        """The sizes and steps of an edit, without making it. Raises EditError: a value out of range."""
        request.check()
        request = self._as_recommended(request)
        output = request.size or images.upright_size(request.images[0])
        steps = request.steps or self.entry.steps
        working = self.working_size(output, request.resolution)
        return EditPlan(working, output, steps_run(steps, self._denoise(request)), self._passes(request))

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
        edited = time.perf_counter()
        guard = request.guard or ("measure" if self.traits.redraws else "off")
        finished = finish(call.pictures[0], output.image, request.region, guard)
        ended = time.perf_counter()
        settings = self._settings(call, request, loras) | _finishing(request.region, guard, finished.drift)
        timings = {"prepare": prepared - started, "edit": edited - prepared, "finish": ended - edited,
                   "total": ended - started}  # fmt: skip
        maps = None if output.maps is None else replace(output.maps, metadata=output.maps.metadata | settings)
        told = output.told + Told(warnings=finished.warnings)
        return EditResult(finished.image, settings, timings, told.notes, told.warnings, maps, finished.drift)

    def _run(
        self, call: EditCall, request: EditRequest, on_step: OnStep | None
    ) -> tuple[FamilyOutput, list[dict[str, Any]]]:
        """The family's edit with the LoRAs applied; once more, with less memory, when that runs out."""
        try:
            return self._once(call, request, on_step)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
        # what the failed edit held is freed outside of that block only
        too_large = EditError(
            f"the edit ran out of memory at {call.working[0]}×{call.working[1]}, and no other way of loading "
            f"{self.entry.name} helps; give a smaller resolution"
        )
        if not self._step_down():
            raise too_large
        try:
            output, loras = self._once(call, request, on_step)
        except (RuntimeError, MemoryError) as error:
            raise (too_large if ran_out_of_memory(error) else error) from None
        again = Told(warnings=(f"The edit ran out of memory and was made once more: {self.memory}",))
        return replace(output, told=output.told + again), loras

    def _once(
        self, call: EditCall, request: EditRequest, on_step: OnStep | None
    ) -> tuple[FamilyOutput, list[dict[str, Any]]]:
        with self._loras.applied(request.loras) as applied:
            output = self._family.edit(call, on_step)
        lost = Told(warnings=tuple(lora.report.loss() for lora in applied if not lora.report.whole))
        return replace(output, told=lost + output.told), [lora.settings() for lora in applied]

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
        """What the request leaves open, as the presets of its LoRAs say."""
        said = self.presets.recommended(str(lora.name_or_path) for lora in request.loras if lora.weight)
        if not self.traits.takes_shift:
            said.pop("shift", None)
        return replace(request, **{name: value for name, value in said.items() if getattr(request, name) is None})

    def _denoise(self, request: EditRequest) -> float:
        return float((self.traits.denoise or 1.0) if request.denoise is None else request.denoise)

    def _passes(self, request: EditRequest) -> int:
        """Two where guidance compares with a pass of its own."""
        guidance = self.entry.guidance if request.guidance is None else request.guidance
        if self.entry.is_embedded:
            return 2 if guidance != 1 else 1
        true = self.traits.true_guidance
        if true is not None:  # told its guidance, and compares with what is not wanted only
            guidance = (true if request.true_guidance is None else request.true_guidance) if request.negative else 1
        return 2 if self.traits.takes_negative and guidance > 1 else 1

    def _literally(self, request: EditRequest) -> bool:
        return any(lora.weight for lora in request.loras) if request.literally is None else request.literally

    def _strength(self, request: EditRequest) -> Strength | None:
        own = request.strength
        return None if own is None else replace(own, method=own.method or self.traits.strength_method)

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
            strength=self._strength(request),
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
            "weights": self.weights,
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


def _finishing(region: Region | None, guard: Guard, drift: "Drift | None") -> dict[str, Any]:
    """What settings tell of the guard and the region; what says nothing is left out."""
    said = {
        "guard": None if guard == "off" else guard,
        "drift": None if drift is None else drift.settings(),
        "region": None if region is None else region.settings(),
    }
    return {name: value for name, value in said.items() if value is not None}
