"""MMDiT image editing: load an editor, edit pictures with words."""

from mmdit.editor import EditCancelled, EditError, EditRequest, EditResult, StepProgress, load_editor
from mmdit.images import ImageError

__all__ = ["EditCancelled", "EditError", "EditRequest", "EditResult", "ImageError", "StepProgress", "load_editor"]
