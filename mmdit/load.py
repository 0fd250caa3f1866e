"""From a name to an `Editor`: the catalog, a local folder or the hub, on a device, within the memory that there is."""

from dataclasses import replace
from pathlib import Path

import torch

from mmdit.catalog import CATALOG, ModelEntry, entry_of
from mmdit.editor import EditError, Editor
from mmdit.families.family import Family
from mmdit.families.loading import Located, ModelError, locate
from mmdit.families.memory import MemoryPlan, step_down, what_would_fit
from mmdit.lora.presets import PRESETS_FOLDER, Presets


def load_editor(
    name: str | Path = "mini", device: str = "auto", presets: Presets | None = None, memory: str = "auto"
) -> Editor:
    """Load a model.

    Args:
        name: a name of the catalog, the folder of an embedded editor or of a diffusers pipeline, or a hub id, which is
            downloaded if it must be.
        device: "cpu", "cuda", "mps", or "auto" for the best there is.
        presets: the LoRAs that can be named; None for those that come with the program.
        memory: "auto", "full", "offload", "int8" or "int4": see `families.memory`.

    Raises:
        EditError: an unknown name, an unusable device, a model that can't be had, is damaged, or does not fit.
    """
    entry = CATALOG.get(str(name)) or next((known for known in CATALOG.values() if known.source == str(name)), None)
    if entry is None and "/" not in str(name) and not Path(name).exists():
        known = ", ".join(CATALOG)
        raise EditError(f"{str(name)!r} is neither a model of the catalog ({known}), nor a folder, nor an org/name")
    device = _device(device)
    presets = Presets([PRESETS_FOLDER]) if presets is None else presets
    try:
        located = locate(entry.source if entry else name)
        if located.pipeline is None:
            return _embedded(entry or entry_of(name), located.folder, device, presets)
        from mmdit.families.registry import plan_for  # brings diffusers' pipelines along

        loader = _Loader(located, plan_for(located, memory, device))
        family, reason = loader.load()
    except ModelError as error:
        raise EditError(str(error)) from error
    if entry is None:
        traits = family.traits
        entry = replace(entry_of(name, located.pipeline), steps=traits.steps, guidance=traits.guidance)
    return Editor(entry, family, presets, loader.smaller, reason)


def _embedded(entry: ModelEntry, folder: Path, device: str, presets: Presets) -> Editor:
    from mmdit.families.mini import MiniEditor

    return Editor(entry, MiniEditor(folder, device), presets)


class _Loader:
    """Loads a pipeline, and loads it again with less memory when that has run out."""

    def __init__(self, located: Located, plan: MemoryPlan) -> None:
        self._located, self._plan = located, plan

    def load(self) -> tuple[Family, str]:
        """The family, and how it lies in memory; when there is less of that than was measured, the next smaller way.

        Raises:
            ModelError: damaged weights, or nothing that fits.
        """
        from mmdit.families.registry import load_family

        try:
            return load_family(self._located, self._plan), self._plan.reason
        except (torch.OutOfMemoryError, MemoryError):
            plan = step_down(self._plan)
            if plan is None:
                raise ModelError(what_would_fit(self._plan.needs, self._plan.machine)) from None
        self._plan = plan
        return load_family(self._located, plan), plan.reason

    def smaller(self) -> tuple[Family, str] | None:
        """The next smaller way; None where there is none."""
        plan = step_down(self._plan)
        if plan is None:
            return None
        self._plan = plan
        return self.load()


def _device(wanted: str) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "cuda" if available["cuda"] else "cpu"
    if not available.get(wanted, False):
        usable = ", ".join(device for device, there in available.items() if there)
        raise EditError(f"device {wanted!r} is not usable here; use one of {usable}, or auto")
    return wanted
