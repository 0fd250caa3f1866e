"""Between the endpoints and JSON: what a program sends, as values of the right type, and results as programs get them.

Each function that takes what was sent raises ValueError, in a sentence with the argument's name, for another type;
ranges are for `EditRequest.check`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio import FileData

from mmdit.runtime.history import Entry
from mmdit.runtime.jobs import CAPACITY
from mmdit.ui.intake import uploaded
from mmdit.ui.source_image import without_folder

if TYPE_CHECKING:  # see jobs.py
    from mmdit.families.strength import Strength
    from mmdit.region import Region


LONG = {"concurrency_limit": CAPACITY, "concurrency_id": "edits"}
"""For endpoints that wait for the model."""


def offer(*actions: Callable[..., Any], **limits: Any) -> None:
    """Make endpoints of them, named as they are."""
    for action in actions:  # unqueued, or MCP gets text in place of pictures; clients queue all the same
        gr.api(action, api_name=action.__name__, queue=False, **limits)


def png(file: Path) -> FileData:
    """A picture of ours."""
    return FileData(path=str(file), orig_name=file.name, mime_type="image/png")


def listed(entry: Entry) -> dict[str, Any]:
    """A result as a line of the history."""
    loras = entry.settings.get("loras")
    return {
        "name": entry.name, "made": entry.made.isoformat(timespec="seconds"), "recorded": entry.maps is not None,
        **{key: entry.settings.get(key) for key in ("instruction", "model", "seed", "size")},
        "loras": [lora.get("name") for lora in loras if isinstance(lora, dict)] if isinstance(loras, list) else [],
    }  # fmt: skip


def strength_of(neutral: Any, value: float) -> "Strength":
    """Strength beside the neutral words."""
    from mmdit.families.strength import Strength

    return Strength(text("neutral", neutral).strip(), value)


def region_of(mask: Any, feather: float) -> "Region":
    """The region of an uploaded mask. Raises gr.Error too: it was not uploaded."""
    from mmdit.region import Region, load_mask

    file = uploaded(mask)
    with without_folder(str(file)):
        return Region(load_mask(file), feather)


def text(name: str, value: Any) -> str:
    """Text, empty or not."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return value


def whole(name: str, value: Any) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be a whole number")
    return value


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be true or false")
    return value


def list_of(name: str, value: Any) -> list[Any]:
    """A list; an empty one for nothing."""
    if value is not None and not isinstance(value, list):
        raise ValueError(f"{name} must be a list")
    return value or []


def size_of(value: Any) -> tuple[int, int] | None:
    """(width, height); None for nothing."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("size must be [width, height] in pixels")
    return whole("width", value[0]), whole("height", value[1])
