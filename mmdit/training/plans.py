"""What one scene holds, what is asked of it, and where its objects stand.

In: the kind of edit, a source of chance. Out: a `Plan` with its instruction; the `Placement` of a batch of plans, as
pasting jobs for `sprites.py`. Knows nothing of pixels.

Axes: B batch, N object slots, J pasting jobs.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdit.model.arrangement import next_to, standing
from mmdit.model.reader import Reading
from mmdit.model.vocabulary import COLOURS, FURTHER_EDITS, KINDS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training import wordings
from mmdit.training.requests import further_request
from mmdit.training.sprites import NO_COLOUR, SIZES

WORDING_VARIANTS: dict[str, int] = {
    "recolour": 32, "remove": 300, "replace": 10, "add": 32, "bigger": 200, "smaller": 200,
    **dict.fromkeys(PHOTO_EDITS, 2000), "nonsense": 4000,
}  # fmt: skip
"""How many wordings of one and the same request training meets; bounded so that encoded text can be kept."""

MAX_OBJECTS = 3
BIGGER, SMALLER = 1.5, 0.6
LARGER, LESSER = 52, 36  # sides of two objects of a kind that differ in size, of a picture of 128 × 128
LACKS_EDITED = {"source": ("add",), "target": ("remove",), "clean": (*OBJECT_EDITS, "move")}
"""What is drawn of each scene, before the edit, after it, and after it without the edited object → the kinds of edit
whose object it lacks."""
UNSAID = -100  # the class index that cross-entropy ignores


@dataclass(frozen=True)
class Plan:
    """What one scene holds and what is asked of it.

    Args:
        asked: the kind of edit in a narrower sense: what is asked of an absent object, or of one of two.
        reading: what the instruction says, for `FURTHER_EDITS`.
    """

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
    reading: Reading | None = None

    @classmethod
    def draw(cls, kind: str, choose: random.Random, wording: str) -> "Plan":
        if kind in FURTHER_EDITS:
            return cls._further(kind, choose, wording)
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

    @classmethod
    def _further(cls, kind: str, choose: random.Random, wording: str) -> "Plan":
        """Of a kind that is never trained: its instruction is one that an author wrote."""
        example, which = further_request(kind, choose, wording)
        said = Reading(**dict(example.answers))
        names = list(OBJECTS)
        others = choose.sample([name for name in names if name not in (said.name, said.new)], MAX_OBJECTS)
        cells = choose.sample(range(len(PLACES)), MAX_OBJECTS)
        objects, edited = others[: choose.randint(0, MAX_OBJECTS)], -1
        if kind == "move":
            objects, edited = [said.name, *others[:1]], 0
            cells = choose.sample([cell for cell in range(len(PLACES)) if PLACES[cell] != said.place], MAX_OBJECTS)
        elif kind == "one of two":
            objects, edited = [said.name, said.name], 0
            cells = _in_order(which, choose)
        elif kind == "beside":
            objects, edited = [said.name, said.new], 1
            cells = [PLACES.index("center")] * MAX_OBJECTS
            if said.beside == "behind":
                objects, edited = objects[::-1], 0
        return cls(
            kind, said.kind, tuple(names.index(name) for name in objects), tuple(cells), edited, 0,
            list(COLOURS).index(said.colour) if said.colour else 0, said.name or None, said.place or None,
            example.sentence, said,
        )  # fmt: skip

    def meaning(self) -> list[int]:
        """The row of `SceneBatch.meaning`."""
        if self.reading is not None:
            return [UNSAID] * 5
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


def _in_order(which: str, choose: random.Random) -> list[int]:
    """Cells of two objects, of which the first is the one that is meant, if that is told by their places."""
    rows, columns = choose.sample(range(3), 2), choose.sample(range(3), 2)
    rows = sorted(rows, reverse=which == "lower") if which in ("upper", "lower") else rows
    columns = sorted(columns, reverse=which == "right") if which in ("left", "right") else columns
    return [3 * row + column for row, column in zip(rows, columns, strict=True)] + [0]


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
    """Where each object stands: centre (B, N, 2) as x, y; side (B, N); flipped (B, N); is_added (B, N); to (B, N, 2),
    the centre after the edit.
    """

    centre: Tensor
    side: Tensor
    flipped: Tensor
    is_added: Tensor
    to: Tensor

    @classmethod
    def draw(cls, plans: list[Plan], height: int, width: int, draw: torch.Generator) -> "Placement":
        shape = (len(plans), MAX_OBJECTS)
        unit = min(height, width) / 128
        cells = torch.tensor([plan.cells for plan in plans])
        grid = torch.stack([cells % 3, cells // 3], dim=-1)
        centre = (2 * grid + 1) / 3 * (torch.tensor([width, height]) / 2)
        wander = (torch.rand(*shape, 2, generator=draw) * 12 - 6) * unit
        side = (36 + 18 * torch.rand(shape, generator=draw)) * unit
        flipped = torch.rand(shape, generator=draw) < 0.5
        is_added = torch.tensor(
            [[plan.asked == "add" and plan.edited == slot for slot in range(MAX_OBJECTS)] for plan in plans]
        )
        # An added object stands near the middle of its cell, at one size and facing one way: that much can be known.
        centre = torch.where(is_added[..., None], standing(cells, height, width), centre + wander)
        side = torch.where(is_added, torch.tensor(44 * unit), side)
        to = centre.clone()
        for sample, plan in enumerate(plans):
            if plan.reading is not None:
                _arrange(plan, centre[sample], side[sample], to[sample], height, width)
        return cls(centre.round().long(), side, flipped & ~is_added, is_added, to.round().long())

    def jobs(self, plans: list[Plan], slot: int, picture: str) -> Tensor:
        """Pasting jobs of one slot into a picture of `LACKS_EDITED`, (J, 7): sample, object, side, centre x, centre y,
        flipped, colour.
        """
        jobs = []
        for sample, plan in enumerate(plans):
            edited = plan.edited == slot
            if slot >= len(plan.objects) or (edited and plan.asked in LACKS_EDITED[picture]):
                continue
            thing, colour, side = plan.objects[slot], NO_COLOUR, self.side[sample, slot].item()
            if edited and picture == "target":
                thing = plan.replacement if plan.asked == "replace" else thing
                colour = plan.colour if plan.asked == "recolour" else NO_COLOUR
                side *= {"bigger": BIGGER, "smaller": SMALLER}.get(plan.asked, 1.0)
            side = min(max(round(side), SIZES[0]), SIZES[1])
            x, y = (self.to if picture == "target" else self.centre)[sample, slot].tolist()
            jobs.append((sample, thing, side, x, y, int(self.flipped[sample, slot]), colour))
        return torch.tensor(jobs, dtype=torch.long).reshape(-1, 7)


def _arrange(plan: Plan, centre: Tensor, side: Tensor, to: Tensor, height: int, width: int) -> None:
    """Sizes and places of one sample's objects, (N, 2), (N,) and (N, 2), as the reading of a further edit has it."""
    said, unit = plan.reading, min(height, width) / 128
    if said.which in ("larger", "smaller"):
        side[:2] = torch.tensor([LARGER, LESSER] if said.which == "larger" else [LESSER, LARGER]) * unit
    if said.kind == "move":
        to[0] = standing(torch.tensor(PLACES.index(said.place)), height, width)
    if said.beside:
        anchor, half_sides = 1 - plan.edited, torch.tensor([width, height]) / 2
        where = next_to(
            said.beside,
            centre[anchor] / half_sides - 1,
            side[anchor] / 2 / half_sides,
            side[plan.edited] / 2 / half_sides,
        )
        centre[plan.edited] = to[plan.edited] = (where + 1) * half_sides
