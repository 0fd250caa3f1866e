"""MMDiT image editing: load an editor, edit pictures with words, see what it looked at."""

from mmdit.attention.maps import AttentionMaps, MapsError
from mmdit.attention.spec import RecordError, RecordSpec
from mmdit.editor import EditCancelled, EditError, EditRequest, EditResult, StepProgress, load_editor
from mmdit.images import ImageError

__all__ = [
    "AttentionMaps",
    "EditCancelled",
    "EditError",
    "EditRequest",
    "EditResult",
    "ImageError",
    "MapsError",
    "RecordError",
    "RecordSpec",
    "StepProgress",
    "load_editor",
]
