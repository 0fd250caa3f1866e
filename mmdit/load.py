"""From a name to a model, to edit with or to train on: the catalog, a local folder or the hub, on a device, within the
memory that there is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mmdit.catalog import CATALOG, ModelEntry, entry_of, no_model
from mmdit.editor import EditError, Editor, Load
from mmdit.families.family import Family, Speed, SpeedError
from mmdit.families.folders import Located, ModelError
from mmdit.families.hub import OnProgress, locate
from mmdit.families.machine import ran_out_of_memory
from mmdit.families.memory import CHOICES, MemoryPlan, step_down, what_would_fit
from mmdit.lora.inspect import LoraError
from mmdit.lora.presets import PRESETS_FOLDER, Presets
from mmdit.request import RESOLUTIONS, check_range

if TYPE_CHECKING:
    from mmdit.families.mini_training import MiniTrainable
    from mmdit.families.pipeline_training import PipelineTrainable


def load_editor(
    name: str | Path = "mini",
    device: str = "auto",
    presets: Presets | None = None,
    memory: str = "auto",
    speed: Speed = Speed(),
) -> Editor:
    """Load a model.

    Args:
        name: a name of the catalog, the folder of an embedded editor or of a diffusers pipeline, or a hub id, which is
            downloaded if it must be.
        device: "cpu", "cuda", "mps", or "auto" for cuda where it is there, else the CPU.
        presets: the LoRAs that can be named; None for those that come with the program.
        memory: "auto", "full", "offload", "group", "int8" or "int4": see `families.memory`; the embedded editor takes
            the first two.
        speed: what to make it faster with.

    Raises:
        EditError: an unknown name, an unusable device, memory or speed, a model that can't be had, is damaged, or does
            not fit.
    """
    loaded = _load(name, device, memory, speed)
    presets = Presets([PRESETS_FOLDER]) if presets is None else presets
    return Editor(loaded.entry, loaded.family, presets, loaded.smaller, loaded.memory)


def fetch(name: str | Path, on_progress: OnProgress) -> None:
    """Download a model unless it is here, without loading it.

    Args:
        name: as for `load_editor`.
        on_progress: called while downloading, from another thread, with the bytes that have come and those that were
            missing.

    Raises:
        EditError: an unknown name, or a model that can't be had, with the remedy.
    """
    try:
        locate(_source(name), on_progress=on_progress)
    except ModelError as error:
        raise EditError(str(error)) from error


def load_trainable(
    name: str | Path = "mini", device: str = "auto", memory: str = "auto", resolution: int | None = None
) -> "MiniTrainable | PipelineTrainable":
    """Load a model to train a LoRA on; ``name``, ``device`` and ``memory`` as for `load_editor`.

    Args:
        resolution: the pairs are seen at about resolution² pixels; None for the model's own.

    Raises:
        EditError: as for `load_editor`, or a resolution out of range. LoraError: a model that can't be trained on so.
    """
    check_range("resolution", resolution, *RESOLUTIONS, whole=True)
    from mmdit.families.mini import MiniEditor

    loaded = _load(name, device, memory)
    title = Path(name).resolve().name if Path(name).is_dir() else loaded.entry.name  # no path into the file
    if isinstance(loaded.family, MiniEditor):
        from mmdit.families.mini_training import MiniTrainable

        if resolution is not None:
            raise LoraError(f"resolution is {resolution}; the embedded editor has one of its own, leave it out")
        return MiniTrainable(loaded.family, title)
    from mmdit.families.pipeline_training import PipelineTrainable

    return PipelineTrainable(loaded.family, title, resolution)


@dataclass(frozen=True)
class _Loaded:
    """
    Args:
        memory: how the family lies in memory.
        smaller: as for `Editor`.
    """

    entry: ModelEntry
    family: Family
    memory: str = ""
    smaller: Callable[[], Load | None] = lambda: None


def _source(name: str | Path) -> str | Path:
    """What `locate` finds a model by. Raises EditError: no model of the catalog, and nothing else that it could be."""
    if str(name) in CATALOG:
        return CATALOG[str(name)].source
    if "/" not in str(name) and not Path(name).exists():
        raise EditError(no_model(str(name)))
    return name


def _load(name: str | Path, device: str, memory: str, speed: Speed = Speed()) -> _Loaded:
    if memory not in CHOICES:
        raise EditError(f"memory is {memory!r}; use one of {', '.join(CHOICES)}")
    source = _source(name)
    entry = CATALOG.get(str(name)) or next((known for known in CATALOG.values() if known.source == str(name)), None)
    device = _device(device)
    try:
        located = locate(source)
        if located.pipeline is None:
            from mmdit.families.mini import MiniEditor

            if speed.said():
                raise EditError(f"the embedded editor is fast as it is; leave {speed.said()} out")
            if memory not in ("auto", "full"):
                raise EditError(f"the embedded editor is small and always loaded whole; leave memory {memory} out")
            return _Loaded(entry or entry_of(name), MiniEditor(located.folder, device))
        from mmdit.families.registry import plan_for  # brings diffusers' pipelines along

        loader = _Loader(located, plan_for(located, memory, device), speed)
        family, reason = loader.load()
    except (ModelError, SpeedError) as error:
        raise EditError(str(error)) from error
    if entry is None:
        traits = family.traits
        entry = replace(entry_of(name, located.pipeline), steps=traits.steps, guidance=traits.guidance)
    return _Loaded(entry, family, reason, loader.smaller)


class _Loader:
    """Loads a pipeline, and loads it again with less memory when that has run out."""

    def __init__(self, located: Located, plan: MemoryPlan, speed: Speed) -> None:
        self._located, self._plan, self._speed = located, plan, speed

    def load(self) -> tuple[Family, str]:
        """The family, and how it lies in memory; when there is less of that than was measured, the next smaller way.

        Raises:
            ModelError: damaged weights, or nothing that fits.
        """
        from mmdit.families.registry import load_family

        try:
            return load_family(self._located, self._plan, self._speed), self._reason()
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            plan = step_down(self._plan)
            if plan is None:
                raise ModelError(what_would_fit(self._plan.needs, self._plan.machine)) from None
        self._plan = plan
        return load_family(self._located, plan, self._speed), self._reason()

    def _reason(self) -> str:
        return "; ".join(filter(None, [self._plan.reason, self._speed.said()]))

    def smaller(self) -> Load | None:
        """What loads it the next smaller way; None where there is none."""
        plan = step_down(self._plan)
        if plan is None:
            return None
        self._plan = plan
        return self.load


def _device(wanted: str) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "cuda" if available["cuda"] else "cpu"
    if not available.get(wanted, False):
        usable = ", ".join(device for device, there in available.items() if there)
        raise EditError(f"device {wanted!r} is not usable here; use one of {usable}, or auto")
    return wanted
