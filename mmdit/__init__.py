"""MMDiT image editing: load an editor, edit pictures with words, see what it looked at.

Each name is imported when it is first asked for, so that ``import mmdit`` alone brings no PyTorch along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdit.attention.maps import AttentionMaps, MapsError
    from mmdit.attention.spec import RecordError, RecordSpec
    from mmdit.editor import EditCancelled, EditError, EditRequest, EditResult, StepProgress
    from mmdit.families.strength import Strength
    from mmdit.images import ImageError
    from mmdit.load import load_editor
    from mmdit.lora.inspect import LoraError, LoraReport
    from mmdit.lora.presets import Presets
    from mmdit.lora.stack import LoraWeight
    from mmdit.region import Region, RegionError

__all__ = [
    "AttentionMaps",
    "EditCancelled",
    "EditError",
    "EditRequest",
    "EditResult",
    "ImageError",
    "LoraError",
    "LoraReport",
    "LoraWeight",
    "MapsError",
    "Presets",
    "RecordError",
    "RecordSpec",
    "Region",
    "RegionError",
    "StepProgress",
    "Strength",
    "load_editor",
]

_HOMES = {
    "mmdit.attention.maps": ("AttentionMaps", "MapsError"),
    "mmdit.attention.spec": ("RecordError", "RecordSpec"),
    "mmdit.editor": ("EditCancelled", "EditError", "EditRequest", "EditResult", "StepProgress"),
    "mmdit.families.strength": ("Strength",),
    "mmdit.images": ("ImageError",),
    "mmdit.load": ("load_editor",),
    "mmdit.lora.inspect": ("LoraError", "LoraReport"),
    "mmdit.lora.presets": ("Presets",),
    "mmdit.lora.stack": ("LoraWeight",),
    "mmdit.region": ("Region", "RegionError"),
}


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:  # a submodule, which the import system looks for next, or nothing
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
