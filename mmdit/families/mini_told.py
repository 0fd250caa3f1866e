"""What the embedded editor says of an edit: what was read, what it was unsure of, and why nothing changed.

In: the encoded instruction, the edit, the pictures before and after. Out: sentences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdit.model.cut_out import CutOut
from mmdit.model.drawing import Drawing
from mmdit.model.edit_field import EditField
from mmdit.model.overlay import UNKNOWN
from mmdit.model.reader import FOREIGN, NEEDED, OTHER, Reading
from mmdit.model.removal import Removal
from mmdit.model.text import TextFeatures, normalise
from mmdit.model.tint import Tint
from mmdit.model.vocabulary import COLOURS
from mmdit.told import Told

SEVERAL = frozenset(("both", "all", "every", "each"))
VISIBLE = 0.05  # change of a working pixel, of the full range, below which nobody sees it


def told_of(
    instruction: str,
    text: TextFeatures,
    field: EditField,
    known: Sequence[str],
    before: Tensor,
    after: Tensor,
    *,
    was_read: bool,
    has_maps: bool,
) -> Told:
    """What is to be said of one edit.

    Args:
        text: the instruction, encoded.
        known: names of the objects, by number.
        before, after: (1, 3, height, width) in [−1, 1], at the working size.
        was_read: whether the reader was asked.
        has_maps: whether there are maps of it.
    """
    notes, warnings, reading = list[str](), list[str](), text.readings[0]
    if text.truncated[0]:
        warnings.append(f"Only the start of the instruction was read; left out: “{' '.join(text.truncated[0])}”.")
    if text.left_out[0]:
        warnings.append(
            f"“{' '.join(text.left_out[0])}” was left out: what is new is one, of its own size and colours."
        )
    asks_nothing = reading is not None and reading.asks_nothing
    if text.read_as[0] and not asks_nothing:
        read = ", ".join(f"“{word}” as “{other}”" for word, other in text.read_as[0])
        notes.append(f"Read {read}.")
    taken = taken_for(field, known)
    if not is_visible(before, after):
        what = "The picture was left alone" if torch.equal(before, after) else "Hardly anything was changed"
        warnings.append(f"{what}: {_reason(reading, found=taken is not None)}.")
    elif reading is not None and reading.name and SEVERAL.intersection(normalise(instruction).split()):
        warnings.append(f"One {reading.name} is edited at a time: ask again of the result for the next.")
    elif reading is None and was_read:
        did = "followed the words as well as it could" if taken is None else f"took it for “{taken.said()}”"
        warnings.append(f"Not sure what is asked: {did}.")
    if has_maps and reading is not None and reading.plainly() not in ("", reading.said()):
        notes.append(f"The maps are of what the model was asked with: “{reading.plainly()}”.")
    return Told(tuple(notes), tuple(warnings))


def is_visible(before: Tensor, after: Tensor) -> bool:
    """Whether anybody sees the change, from (1, 3, height, width) to (1, 3, height, width)."""
    return (before - after).abs().mean(dim=1).max().item() / 2 >= VISIBLE


def taken_for(field: EditField, known: Sequence[str]) -> Reading | None:
    """What the first edit of a batch makes of an object; None where it makes nothing of one."""
    for overlay in field.overlays:
        if not overlay.shown[0]:
            continue
        name = known[int(overlay.leaves[0])] if overlay.leaves[0] != UNKNOWN else ""
        if isinstance(overlay, Removal):
            return Reading("remove", name)
        if isinstance(overlay, Tint):
            return Reading("recolour", known[int(overlay.thing[0])], colour=_nearest(overlay.colour[0]))
        if isinstance(overlay, CutOut) and name:
            return Reading("bigger" if overlay.scale[0] > 1 else "smaller", name)
        if isinstance(overlay, Drawing):
            return Reading("replace" if name else "add", name, known[int(overlay.thing[0])])
    return None


def _nearest(colour: Tensor) -> str:
    """The name of the colour, (3,) in [0, 1], that is nearest."""
    far = (torch.tensor(list(COLOURS.values())) - colour.cpu()).square().sum(dim=1)
    return list(COLOURS)[int(far.argmin())]


def _reason(reading: Reading | None, found: bool) -> str:
    """Why nothing changed; ``found`` is whether something was made of an object."""
    if reading is None:
        return "the instruction was not understood, or what it names is not there"
    if reading.why:
        return reading.why
    if reading.kind == FOREIGN:
        return "only English is understood"
    if reading.kind == OTHER:
        return "the instruction asks for no edit that this editor makes, or names nothing that it knows"
    if "name" in NEEDED.get(reading.kind, ()) and not found:
        return f"no {reading.name} was found in it; one in other colours or tones than its own is often not known"
    return "it looks so already"
