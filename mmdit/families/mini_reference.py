"""The object of a second picture, to be put into the first: "put the cat of the second picture on the left".

In: the second picture, the instruction. Out: the instruction as the editor was taught to read it ("put the cat on the
left"), and a cut-out of the object, which takes the place of the drawing that the editor would make of it.

Axes: S the cut-out's side.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model import registration
from mmdit.model.edit_field import EditField
from mmdit.model.overlay import strips
from mmdit.model.removal import Removal

SECOND = r"(?:second|2nd|other|reference)\s+(?:picture|image|photo|photograph|one)\b"
ITS_OWN = re.compile(
    rf"\b(?:the|that|this)\s+((?:[\w'-]+\s+){{0,2}}?[\w'-]+)\s+(?:of|from|in|on)\s+(?:the\s+)?{SECOND}", re.IGNORECASE
)
"""What the second picture shows, which is new in the first."""
WHICH = re.compile(
    rf"\s*\b(?:of|from|in|on)\s+(?:the\s+)?{SECOND}"
    r"|\s*\b(?:in|into|to|onto)\s+(?:the\s+)?(?:first|1st)\b(?:\s+(?:picture|image|photo|photograph|one)\b)?",
    re.IGNORECASE,
)
"""What tells the pictures apart; the editor was never taught to read it."""
UNNAMED = re.compile(r"\b(?:the|that|this)\s+(?:object|thing|subject|item)\b", re.IGNORECASE)
SIDE = 192
"""Pixels of a cut-out's side."""

Look = Callable[[Sequence[str]], EditField]
"""Names → what the transformer estimates, sample by sample, when each is to be removed from the second picture."""


@dataclass(frozen=True)
class SecondPicture:
    """
    Args:
        source: (1, 3, height, width) in [−1, 1], of any size.
        working: the same at the working size.
        look: see `Look`.
    """

    source: Tensor
    working: Tensor
    look: Look


@dataclass(frozen=True)
class Borrowed:
    """
    Args:
        name: of the object.
        texture: (1, 4, S, S), as a `Drawing` has it.
    """

    name: str
    texture: Tensor


def speaks_of_second(instruction: str) -> bool:
    """Whether it tells the pictures apart."""
    return bool(WHICH.search(instruction) or UNNAMED.search(instruction))


def instruction_for_first(instruction: str, name: str | None) -> str:
    """The instruction as if there were one picture; an object that it does not name is called ``name``."""
    if name is not None:
        instruction = UNNAMED.sub(f"a {name}", instruction)
    alone = WHICH.sub("", ITS_OWN.sub(r"a \1", instruction)).strip()
    return re.sub(r"\ba (?=[aeiou])", "an ", alone)


def borrow(names: Sequence[str], known: Sequence[str], second: SecondPicture, textures: Tensor) -> Borrowed | None:
    """The surest of the named objects that the second picture shows; None where it shows none of them.

    Args:
        known: names of all objects that the editor knows, whose drawings are ``textures``, (K, 4, S, S).
    """
    field = second.look(names)
    removal = next((overlay for overlay in field.confined().sure_overlays() if isinstance(overlay, Removal)), None)
    if removal is None:
        return None
    numbers = torch.tensor([known.index(name) for name in names], device=removal.leaves.device)
    seen = removal.shown & (removal.leaves == numbers)
    if not seen.any():
        return None
    best = int(field.change.flatten(1).amax(dim=1).masked_fill(~seen, -torch.inf).argmax())
    outline = removal.outline[best : best + 1].sigmoid()
    texture, picture = textures[numbers[best]], second.working[0]
    square = registration.refined(texture, registration.find(texture, picture, outline[0, 0]), picture)
    centre, half = (of(*second.working.shape[-2:]).to(outline) for of in (square.centre, square.half))
    _, here = next(strips(SIDE, SIDE, outline.device))
    grid = (centre + here * half)[None]
    alpha = functional.grid_sample(outline, grid, align_corners=False)
    colour = functional.grid_sample(second.source, grid, padding_mode="border", align_corners=False)
    return Borrowed(names[best], torch.cat([(colour + 1) / 2 * alpha, alpha], dim=1).clamp(0, 1))
