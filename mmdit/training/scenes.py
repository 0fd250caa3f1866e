"""Pictures to edit, with instructions and known answers, made on the fly.

In: the folder that `prepare.py` filled, a seed and a batch's number. Out: a `SceneBatch`. A batch depends on
nothing else, so training resumes anywhere and evaluation is repeatable. All drawing is batched torch on one
device. Knows the definitions of the edits, nothing of models.

Axes: B batch, N object slots, K objects of the vocabulary.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmdit.model.effect import made
from mmdit.model.overlay import strips
from mmdit.model.reader import Reading
from mmdit.model.transformer import WORKING_SIZES
from mmdit.model.vocabulary import BY_DEFINITION, OBJECTS, PHOTO_EDITS
from mmdit.training.backgrounds import draw_backgrounds, photographs_of
from mmdit.training.photo_edits import photo_edit
from mmdit.training.plans import LACKS_EDITED, MAX_OBJECTS, Placement, Plan
from mmdit.training.sprites import Pixels, Sprites

SIZE_SHARES: dict[tuple[int, int], float] = dict(
    zip(WORKING_SIZES, (0.30, 0.19, 0.15, 0.16, 0.12, 0.04, 0.04), strict=True)
)
"""Working size (height, width) → its share of training batches."""

KIND_SHARES: dict[str, float] = {
    "recolour": 0.17, "remove": 0.26, "replace": 0.08, "add": 0.17, "bigger": 0.06, "smaller": 0.06,
    **dict.fromkeys(PHOTO_EDITS, 0.01), "absent object": 0.06, "nonsense": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class SceneBatch:
    """
    Args:
        source, target: (B, 3, height, width) in [−1, 1].
        kinds, instructions: per sample.
        names: the object that the instruction is about, None for edits of the whole picture.
        clean: (B, 3, height, width), the target without the edited object; the source where the edit is of the
            whole picture.
        painted: (B, 7) the edited object as the target shows it: sample, object, side, centre x and y, flipped, colour;
            −1 throughout where there is none.
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
    clean: Tensor
    painted: Tensor
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
        self.sprites = Sprites(load_file(folder / "objects.safetensors")["sprites"], device)

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

        plans = [Plan.draw(kind, choose, wording) for kind in kinds]
        source = draw_backgrounds(self.photographs, size, height, width, choose, draw)
        placement = Placement.draw(plans, height, width, draw)
        source, target, clean, masks = self._paste_objects(source, plans, placement)
        for index, kind in enumerate(kinds):
            if kind in PHOTO_EDITS:
                target[index] = photo_edit(kind, source[index])
            elif kind in BY_DEFINITION:
                target[index] = _with_effect(plans[index].reading, source[index])
        edited = [MAX_OBJECTS if plan.asked == "add" else plan.edited for plan in plans]
        return SceneBatch(
            source=source * 2 - 1,
            target=target * 2 - 1,
            kinds=kinds,
            instructions=[plan.instruction for plan in plans],
            names=[plan.name for plan in plans],
            clean=clean * 2 - 1,
            painted=_painted(plans, placement),
            masks=masks,
            edited_slot=torch.tensor(edited, device=self.device),
            meaning=torch.tensor([plan.meaning() for plan in plans], device=self.device),
        )

    def with_each_object(self, scenes: SceneBatch, index: int) -> Tensor:
        """(K, 3, height, width) in [−1, 1]: one sample's target with each object of the vocabulary in the place of the
        one that stands there, in front of whatever overlaps it.
        """
        clean = (scenes.clean[index] + 1) / 2
        things = torch.arange(len(OBJECTS))
        jobs = scenes.painted[index].repeat(len(things), 1)
        jobs[:, 0], jobs[:, 1] = things, things
        height, width = clean.shape[-2:]
        pixels = self.sprites.pixels(jobs, height, width)
        canvas = clean.movedim(0, -1).reshape(1, height * width, 3).repeat(len(things), 1, 1)
        _paste(canvas, pixels, pixels.sample)
        return canvas.reshape(-1, height, width, 3).movedim(-1, 1) * 2 - 1

    def _paste_objects(
        self, background: Tensor, plans: list[Plan], placement: Placement
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source, target, the target without its edited object, and the masks, from a background."""
        batch, _, height, width = background.shape
        canvas = background.movedim(1, -1).reshape(batch, height * width, 3).repeat(3, 1, 1)
        masks = torch.zeros(batch, MAX_OBJECTS + 1, height * width, device=self.device)
        for slot in range(MAX_OBJECTS):
            for number, picture in enumerate(LACKS_EDITED):
                pixels = self.sprites.pixels(placement.jobs(plans, slot, picture), height, width)
                _paste(canvas, pixels, pixels.sample + batch * number)
                if picture == "source":
                    masks[pixels.sample, :slot, pixels.place] *= 1 - pixels.alpha
                    masks[pixels.sample, slot, pixels.place] = pixels.alpha[:, 0]
                elif picture == "target":
                    added = placement.is_added[pixels.sample.cpu(), slot].to(self.device)
                    masks[pixels.sample, MAX_OBJECTS, pixels.place] = torch.where(
                        added, pixels.alpha[:, 0], masks[pixels.sample, MAX_OBJECTS, pixels.place]
                    )
        pictures = canvas.reshape(3, batch, height, width, 3).movedim(-1, 2).contiguous().clamp_(0, 1)
        return *pictures, masks.reshape(batch, MAX_OBJECTS + 1, height, width)


def _paste(canvas: Tensor, pixels: Pixels, rows: Tensor) -> None:
    """Draw over a flattened canvas (rows, height · width, 3), in place."""
    canvas[rows, pixels.place] = canvas[rows, pixels.place] * (1 - pixels.alpha) + pixels.colour


def _with_effect(reading: Reading, picture: Tensor) -> Tensor:
    """A picture, (3, height, width) in [0, 1], with what a reading asks for of `BY_DEFINITION`."""
    height, width = picture.shape[-2:]
    _, here = next(strips(height, width, picture.device))
    return made(reading, picture[None], here, width / height)[0].clamp(0, 1)


def _painted(plans: list[Plan], placement: Placement) -> Tensor:
    """`SceneBatch.painted`."""
    painted = torch.full((len(plans), 7), -1)
    for slot in range(MAX_OBJECTS):
        jobs = placement.jobs(plans, slot, "target")
        edited = jobs[[plans[sample].edited == slot for sample in jobs[:, 0].tolist()]]
        painted[edited[:, 0]] = edited
    return painted
