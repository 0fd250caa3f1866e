"""MMDiT image editing: load an editor, edit pictures with words, see what it looked at."""

from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.spec import RecordError, RecordSpec
from mmdit.editor import EditCancelled, EditError, EditRequest, EditResult, StepProgress
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
    "load_editor",
]
