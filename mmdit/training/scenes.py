"""Pictures to edit, with instructions and known answers, made on the fly.

In: the folder that `prepare.py` filled, a seed and a batch's number. Out: a `SceneBatch`. A batch depends on
nothing else, so training resumes anywhere and evaluation is repeatable. All drawing is batched torch on one
device. Knows the definitions of the edits, nothing of models.

Axes: B batch, N object slots, K pasted pixels of a whole batch.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from mmdit.model.transformer import WORKING_SIZES
from mmdit.training import wordings
from mmdit.training.photo_edits import luma, photo_edit, recolour
from mmdit.training.vocabulary import COLOURS, KINDS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES

SIZE_SHARES: dict[tuple[int, int], float] = dict(
    zip(WORKING_SIZES, (0.30, 0.19, 0.15, 0.16, 0.12, 0.04, 0.04), strict=True)
)
"""Working size (height, width) → its share of training batches."""

KIND_SHARES: dict[str, float] = {
    "recolour": 0.17, "remove": 0.26, "replace": 0.08, "add": 0.17, "bigger": 0.06, "smaller": 0.06,
    **dict.fromkeys(PHOTO_EDITS, 0.01), "absent object": 0.06, "nonsense": 0.03,
}  # fmt: skip

WORDING_VARIANTS: dict[str, int] = {
    "recolour": 32, "remove": 300, "replace": 10, "add": 32, "bigger": 200, "smaller": 200,
    **dict.fromkeys(PHOTO_EDITS, 2000), "nonsense": 4000,
}  # fmt: skip
"""How many wordings of one and the same request training meets; bounded so that encoded text can be kept."""

MAX_OBJECTS = 3
SIZES = (14, 84)
"""Smallest and largest side at which an object is ever drawn, in pixels."""
BIGGER, SMALLER = 1.5, 0.6
ANCHOR = 8
"""Added objects stand on a raster of this many pixels, half a patch of the model: few ways to cut one into patches."""
SYNTHETIC_SHARE = 0.3
HELD_OUT_EVERY = 8
TWINS = ("Sway_Wallpaper_Blue_2048x1536.png", "Waves.png")  # training has the same picture; one is plain white
NO_COLOUR = -1
UNSAID = -100  # the class index that cross-entropy ignores


@dataclass(frozen=True)
class SceneBatch:
    """
    Args:
        source, target: (B, 3, height, width) in [−1, 1].
        kinds, instructions: per sample.
        names: the object that the instruction is about, None for edits of the whole picture.
        masks: (B, N + 1, height, width) in [0, 1]: the visible part of each object of the source; in the last
            slot, what an "add" puts into the target.
        edited_slot: (B,) index into the masks, −1 where no object is edited.
        meaning: (B, 5) what the instruction says: indices into `KINDS`, `OBJECTS` (the one it is about), `OBJECTS`
            (the replacement), `COLOURS`, `PLACES`; −100 where it says nothing of the sort.
    """

    source: Tensor
    target: Tensor
    kinds: list[str]
    instructions: list[str]
    names: list[str | None]
    masks: Tensor
    edited_slot: Tensor
    meaning: Tensor


class Scenes:
    """An endless, addressable stream of batches.

    Args:
        folder: what `prepare.py` wrote.
        split: "train" or "held_out": which photographs are seen.
        seed: another seed, another stream.
        device: where the pictures are made and stay.
    """

    def __init__(self, folder: str | Path, split: str, seed: int, device: str = "cpu") -> None:
        folder = Path(folder)
        for name in ("objects.safetensors", "photographs.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name} is missing; make it with python -m mmdit.training.prepare")
        stored = load_file(folder / "photographs.safetensors")
        self.photographs = [stored[name].to(device) for name in photographs_of(split, list(stored))]
        self.seed, self.device = f"{split}-{seed}", device
        self.atlas, self.atlas_start = _atlas(load_file(folder / "objects.safetensors")["sprites"].to(device))
        self.colours = torch.tensor(list(COLOURS.values()), device=device)

    def batch(
        self,
        number: int,
        size: int,
        *,
        kinds: list[str] | None = None,
        working_size: tuple[int, int] | None = None,
        wording: str = "train",
    ) -> SceneBatch:
        """Batch ``number`` of the stream.

        Args:
            size: samples.
            kinds: one per sample; drawn by `KIND_SHARES` when omitted.
            working_size: (height, width); drawn by `SIZE_SHARES` when omitted.
            wording: "train", or a held-out split of `wordings.SPLITS`.
        """
        choose = random.Random(f"{self.seed}-{number}")
        draw = torch.Generator().manual_seed(choose.getrandbits(63))
        kinds = kinds or choose.choices(list(KIND_SHARES), weights=list(KIND_SHARES.values()), k=size)
        height, width = working_size or choose.choices(WORKING_SIZES, weights=list(SIZE_SHARES.values()))[0]

        plans = [_Plan.draw(kind, choose, wording) for kind in kinds]
        source = self._backgrounds(size, height, width, choose, draw)
        source, target, masks = self._paste_objects(source, plans, draw)
        for index, kind in enumerate(kinds):
            if kind in PHOTO_EDITS:
                target[index] = photo_edit(kind, source[index])
        edited = [MAX_OBJECTS if plan.kind == "add" else plan.edited for plan in plans]
        return SceneBatch(
            source=source * 2 - 1,
            target=target * 2 - 1,
            kinds=kinds,
            instructions=[plan.instruction for plan in plans],
            names=[plan.name for plan in plans],
            masks=masks,
            edited_slot=torch.tensor(edited, device=self.device),
            meaning=torch.tensor([plan.meaning() for plan in plans], device=self.device),
        )

    def _backgrounds(self, size: int, height: int, width: int, choose: random.Random, draw: torch.Generator) -> Tensor:
        """(B, 3, height, width) in [0, 1]: crops of photographs, and synthetic gradients, stripes and textures."""
        pictures = torch.empty(size, 3, height, width, device=self.device)
        synthetic = [index for index in range(size) if choose.random() < SYNTHETIC_SHARE]
        pictures[synthetic] = _synthetic_backgrounds(len(synthetic), height, width, draw).to(self.device)
        for index in sorted(set(range(size)) - set(synthetic)):
            photograph = choose.choice(self.photographs)
            scale = choose.uniform(1.0, min(photograph.shape[1] / height, photograph.shape[2] / width))
            rows, columns = int(height * scale), int(width * scale)
            top = choose.randint(0, photograph.shape[1] - rows)
            left = choose.randint(0, photograph.shape[2] - columns)
            crop = photograph[None, :, top : top + rows, left : left + columns].float() / 255
            crop = functional.interpolate(crop, (height, width), mode="bilinear", antialias=True)[0]
            crop = crop.flip(-1) if choose.random() < 0.5 else crop
            if choose.random() < 0.4:
                crop = crop * choose.uniform(0.6, 1.2) + choose.uniform(-0.1, 0.15)
            pictures[index] = crop
        return pictures.clamp_(0, 1)

    def _paste_objects(
        self, background: Tensor, plans: list["_Plan"], draw: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and the masks, from a background."""
        batch, _, height, width = background.shape
        placement = _Placement.draw(plans, height, width, draw)
        canvas = background.movedim(1, -1).reshape(batch, height * width, 3).repeat(2, 1, 1)
        masks = torch.zeros(batch, MAX_OBJECTS + 1, height * width, device=self.device)
        for slot in range(MAX_OBJECTS):
            for to_target in (False, True):
                pixels = self._pixels(placement.jobs(plans, slot, to_target), height, width)
                rows = pixels.sample + batch * to_target
                canvas[rows, pixels.place] = canvas[rows, pixels.place] * (1 - pixels.alpha) + pixels.colour
                added = to_target & placement.is_added[pixels.sample.cpu(), slot].to(self.device)
                if not to_target:
                    masks[pixels.sample, :slot, pixels.place] *= 1 - pixels.alpha
                    masks[pixels.sample, slot, pixels.place] = pixels.alpha[:, 0]
                else:
                    masks[pixels.sample, MAX_OBJECTS, pixels.place] = torch.where(
                        added, pixels.alpha[:, 0], masks[pixels.sample, MAX_OBJECTS, pixels.place]
                    )
        pictures = canvas.reshape(2, batch, height, width, 3).movedim(-1, 2).contiguous().clamp_(0, 1)
        return pictures[0], pictures[1], masks.reshape(batch, MAX_OBJECTS + 1, height, width)

    def _pixels(self, jobs: Tensor, height: int, width: int) -> "_Pixels":
        """Every pixel that a list of pasting jobs touches, as flat lists: one gather for the whole batch.

        jobs: (J, 7) integers: sample, object, side, centre x, centre y, flipped, colour.
        """
        sample, thing, side, centre_x, centre_y, flipped, colour = jobs.to(self.device).unbind(1)
        count = side * side
        job = torch.repeat_interleave(torch.arange(len(jobs), device=self.device), count)
        local = torch.arange(len(job), device=self.device) - (count.cumsum(0) - count)[job]
        y, x = local // side[job], local % side[job]
        sprite_x = torch.where(flipped[job] > 0, side[job] - 1 - x, x)
        texel = self.atlas_start[thing, side - SIZES[0]][job] + y * side[job] + sprite_x
        place_y = centre_y[job] - side[job] // 2 + y
        place_x = centre_x[job] - side[job] // 2 + x
        inside = (place_y >= 0) & (place_y < height) & (place_x >= 0) & (place_x < width)
        job, texel = job[inside], texel[inside]

        rgba = self.atlas[texel].float() / 255
        alpha = rgba[:, 3:]
        rgb = torch.minimum(rgba[:, :3], alpha)
        tinted = colour[job] != NO_COLOUR
        luminance = luma((rgb / alpha.clamp_min(1e-3)).T[:, None, :])[0].T
        tint = recolour(luminance, self.colours[colour[job].clamp_min(0)]) * alpha
        rgb = torch.where(tinted[:, None], tint, rgb)
        return _Pixels(sample[job], (place_y * width + place_x)[inside], rgb, alpha)


def photographs_of(split: str, names: list[str]) -> list[str]:
    """The photographs of a split: every eighth is held out, and one that has a twin in training is in neither."""
    held_out = names[3::HELD_OUT_EVERY]
    if split == "train":
        return [name for name in names if name not in held_out]
    return [name for name in held_out if not name.endswith(TWINS)]


@dataclass(frozen=True)
class _Pixels:
    """sample (K,), place (K,) in a flattened canvas, colour (K, 3) premultiplied, alpha (K, 1)."""

    sample: Tensor
    place: Tensor
    colour: Tensor
    alpha: Tensor


@dataclass(frozen=True)
class _Plan:
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
    def draw(cls, kind: str, choose: random.Random, wording: str) -> "_Plan":
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
class _Placement:
    """Where each object stands: centre (B, N, 2) as x, y; side (B, N); flipped (B, N); is_added (B, N)."""

    centre: Tensor
    side: Tensor
    flipped: Tensor
    is_added: Tensor

    @classmethod
    def draw(cls, plans: list[_Plan], height: int, width: int, draw: torch.Generator) -> "_Placement":
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

    def jobs(self, plans: list[_Plan], slot: int, to_target: bool) -> Tensor:
        """Pasting jobs of one slot, (J, 7): sample, object, side, centre x, centre y, flipped, colour."""
        jobs = []
        for sample, plan in enumerate(plans):
            edited = plan.edited == slot
            if slot >= len(plan.objects) or (edited and plan.kind == ("remove" if to_target else "add")):
                continue
            thing, colour, side = plan.objects[slot], NO_COLOUR, self.side[sample, slot].item()
            if edited and to_target:
                thing = plan.replacement if plan.kind == "replace" else thing
                colour = plan.colour if plan.kind == "recolour" else NO_COLOUR
                side *= {"bigger": BIGGER, "smaller": SMALLER}.get(plan.kind, 1.0)
            side = min(max(round(side), SIZES[0]), SIZES[1])
            x, y = self.centre[sample, slot].tolist()
            jobs.append((sample, thing, side, x, y, int(self.flipped[sample, slot]), colour))
        return torch.tensor(jobs, dtype=torch.long).reshape(-1, 7)


def _atlas(sprites: Tensor) -> tuple[Tensor, Tensor]:
    """Every object at every size: texels (K, 4) uint8 premultiplied, and (objects, sizes) starts."""
    texels, starts, start = [], [], 0
    for side in range(SIZES[0], SIZES[1] + 1):
        scaled = functional.interpolate(sprites.float(), (side, side), mode="bicubic", antialias=True)
        scaled = scaled.round().clamp(0, 255).to(torch.uint8)
        texels.append(scaled.flatten(2).movedim(1, 2).reshape(-1, 4))
        starts.append(start + torch.arange(len(sprites), device=sprites.device) * side * side)
        start += len(sprites) * side * side
    return torch.cat(texels), torch.stack(starts, dim=1)


def _synthetic_backgrounds(size: int, height: int, width: int, draw: torch.Generator) -> Tensor:
    """Gradients between two colours, some striped, some with soft noise, (B, 3, height, width)."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw)

    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = uniform(size, 1, 1, 1) * 2 * torch.pi
    along = (angle.cos() * x + angle.sin() * y) / 2.8 + 0.5
    stripes = ((uniform(size, 1, 1, 1) * 8 + 1) * along * 2 * torch.pi).sin().gt(0).float() * 0.6 + 0.2
    along = torch.where(uniform(size, 1, 1, 1) < 0.25, stripes, along)
    picture = torch.lerp(uniform(size, 3, 1, 1), uniform(size, 3, 1, 1), along)
    coarse = (uniform(size, 3, 6, 6) - 0.5) * 0.7
    noise = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return picture + noise * (uniform(size, 1, 1, 1) < 0.6)
