"""What one scene holds, what is asked of it, and where its objects stand.

In: the kind of edit, a source of chance. Out: a `Plan` with its instruction; the `Placement` of a batch of plans, as
pasting jobs for `sprites.py`. Knows nothing of pixels.

Axes: B batch, N object slots, J pasting jobs.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdit.training import wordings
from mmdit.training.sprites import NO_COLOUR, SIZES
from mmdit.training.vocabulary import COLOURS, KINDS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES

WORDING_VARIANTS: dict[str, int] = {
    "recolour": 32, "remove": 300, "replace": 10, "add": 32, "bigger": 200, "smaller": 200,
    **dict.fromkeys(PHOTO_EDITS, 2000), "nonsense": 4000,
}  # fmt: skip
"""How many wordings of one and the same request training meets; bounded so that encoded text can be kept."""

MAX_OBJECTS = 3
BIGGER, SMALLER = 1.5, 0.6
ANCHOR = 8
"""Added objects stand on a raster of this many pixels, half a patch of the model: few ways to cut one into patches."""
LACKS_EDITED = {"source": ("add",), "target": ("remove",), "clean": OBJECT_EDITS}
"""What is drawn of each scene, before the edit, after it, and after it without the edited object → the kinds of edit
whose object it lacks."""
UNSAID = -100  # the class index that cross-entropy ignores


@dataclass(frozen=True)
class Plan:
    """What one scene holds and what is asked of it."""

    kind: str
    asked: str
    objects: tuple[int, ...]
    cells: tuple[int, ...]
    edited: int
    replacement: int
    colour: int
    name: str | None
    place: str | None
    instruction: str

    @classmethod
    def draw(cls, kind: str, choose: random.Random, wording: str) -> "Plan":
        names = list(OBJECTS)
        things = choose.sample(range(len(names)), MAX_OBJECTS + 2)
        cells = choose.sample(range(len(PLACES)), MAX_OBJECTS)
        edits_object = kind in OBJECT_EDITS
        count = choose.randint(1 if edits_object else 0, MAX_OBJECTS)
        edited = choose.randrange(count) if edits_object else -1
        if edits_object and wording == "synonyms":
            things = _with_synonym(things, edited, choose)
        colour, replacement = choose.randrange(len(COLOURS)), things[MAX_OBJECTS]
        place: str | None = None
        if kind == "add":
            if choose.random() < 0.1:
                cells = _centred(cells, edited)
            else:
                place = PLACES[cells[edited]]
        asked = (
            choose.choice(("recolour", "remove", "replace", "bigger", "smaller")) if kind == "absent object" else kind
        )
        subject = things[edited] if edits_object else things[MAX_OBJECTS + 1]
        name = names[subject] if asked in OBJECT_EDITS else None
        instruction = _instruction(
            asked, choose, wording,
            name=name, colour=list(COLOURS)[colour], replacement=names[replacement], place=place,
        )  # fmt: skip
        return cls(
            kind, asked, tuple(things[:count]), tuple(cells), edited, replacement, colour, name, place, instruction
        )

    def meaning(self) -> list[int]:
        """The row of `SceneBatch.meaning`."""
        return [
            KINDS.index(self.asked),
            UNSAID if self.name is None else list(OBJECTS).index(self.name),
            self.replacement if self.asked == "replace" else UNSAID,
            self.colour if self.asked == "recolour" else UNSAID,
            UNSAID if self.place is None else PLACES.index(self.place),
        ]


def _with_synonym(things: list[int], edited: int, choose: random.Random) -> list[int]:
    """The same objects, but the edited one is drawn from those that have a held-out synonym."""
    names = list(OBJECTS)
    candidates = [names.index(name) for name in wordings.held_out_objects()]
    free = [thing for thing in candidates if thing not in things]
    return [choose.choice(free) if index == edited else thing for index, thing in enumerate(things)]


def _centred(cells: list[int], edited: int) -> list[int]:
    """Put the edited slot into the middle cell, swapping with whoever is there."""
    centre, moved = PLACES.index("center"), cells[edited]
    cells = [moved if cell == centre else cell for cell in cells]
    cells[edited] = centre
    return cells


def _instruction(asked: str, choose: random.Random, wording: str, **slots: str | None) -> str:
    needed = {
        "recolour": ("name", "colour"), "replace": ("name", "replacement"), "add": ("name", "place"),
        "remove": ("name",), "bigger": ("name",), "smaller": ("name",),
    }.get(asked, ())  # fmt: skip
    used = {slot: slots[slot] for slot in needed}
    if wording != "train":
        return (
            wordings.leave_alone(choose, wording)
            if asked == "nonsense"
            else wordings.instruction(asked, choose, split=wording, **used)
        )
    variant = random.Random(f"{asked}-{sorted(used.items())}-{choose.randrange(WORDING_VARIANTS[asked])}")
    return wordings.leave_alone(variant) if asked == "nonsense" else wordings.instruction(asked, variant, **used)


@dataclass(frozen=True)
class Placement:
    """Where each object stands: centre (B, N, 2) as x, y; side (B, N); flipped (B, N); is_added (B, N)."""

    centre: Tensor
    side: Tensor
    flipped: Tensor
    is_added: Tensor

    @classmethod
    def draw(cls, plans: list[Plan], height: int, width: int, draw: torch.Generator) -> "Placement":
        shape = (len(plans), MAX_OBJECTS)
        unit = min(height, width) / 128
        cells = torch.tensor([plan.cells for plan in plans])
        grid = torch.stack([cells % 3, cells // 3], dim=-1)
        middle = torch.tensor([width, height]) / 2
        centre = (2 * grid + 1) / 3 * middle
        anchored = middle + ((centre - middle) / ANCHOR).trunc() * ANCHOR
        wander = (torch.rand(*shape, 2, generator=draw) * 12 - 6) * unit
        side = (36 + 18 * torch.rand(shape, generator=draw)) * unit
        flipped = torch.rand(shape, generator=draw) < 0.5
        is_added = torch.tensor(
            [[plan.kind == "add" and plan.edited == slot for slot in range(MAX_OBJECTS)] for plan in plans]
        )
        # An added object stands near the middle of its cell, at one size and facing one way: that much can be known.
        centre = torch.where(is_added[..., None], anchored, centre + wander)
        side = torch.where(is_added, torch.tensor(44 * unit), side)
        return cls(centre.round().long(), side, flipped & ~is_added, is_added)

    def jobs(self, plans: list[Plan], slot: int, picture: str) -> Tensor:
        """Pasting jobs of one slot into a picture of `LACKS_EDITED`, (J, 7): sample, object, side, centre x, centre y,
        flipped, colour.
        """
        jobs = []
        for sample, plan in enumerate(plans):
            edited = plan.edited == slot
            if slot >= len(plan.objects) or (edited and plan.kind in LACKS_EDITED[picture]):
                continue
            thing, colour, side = plan.objects[slot], NO_COLOUR, self.side[sample, slot].item()
            if edited and picture == "target":
                thing = plan.replacement if plan.kind == "replace" else thing
                colour = plan.colour if plan.kind == "recolour" else NO_COLOUR
                side *= {"bigger": BIGGER, "smaller": SMALLER}.get(plan.kind, 1.0)
            side = min(max(round(side), SIZES[0]), SIZES[1])
            x, y = self.centre[sample, slot].tolist()
            jobs.append((sample, thing, side, x, y, int(self.flipped[sample, slot]), colour))
        return torch.tensor(jobs, dtype=torch.long).reshape(-1, 7)
