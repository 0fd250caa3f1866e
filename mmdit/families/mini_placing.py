"""What is laid over a picture once the instruction's reading has its say: which of two objects is meant, where a moved
one goes, what stands beside another, effects of the whole picture, and what stays as it is.

In: what the object head found. Out: overlays. Looks again at the picture where more must be known.

Axes: B batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdit.model.arrangement import arranged, one_of_two
from mmdit.model.checkpoint import Models
from mmdit.model.cut_out import CutOut
from mmdit.model.edit_field import EditField
from mmdit.model.effect import Effect
from mmdit.model.inpainting import without_object
from mmdit.model.left_alone import LeftAlone
from mmdit.model.overlay import UNKNOWN, Overlay
from mmdit.model.reader import NEEDED, Reading
from mmdit.model.removal import Removal
from mmdit.model.text import TextFeatures
from mmdit.model.tint import Tint

Find = Callable[[Tensor, Tensor, TextFeatures], tuple[Overlay, ...]]
"""(chosen, source, text): numbers in the batch, and their pictures and instructions → what would be laid over them."""


@dataclass(frozen=True)
class Placing:
    """
    Args:
        working: (B, 3, height, width) in [−1, 1], the pictures.
        text: what is asked of them.
        models: for what else is looked for, and what hides what was found.
        find: see `Find`.
    """

    working: Tensor
    text: TextFeatures
    models: Models
    find: Find

    def placed(self, field: EditField, amount: float = 1.0, way: float = 1.0) -> tuple[Overlay, ...]:
        """What is laid over the pictures, from what was found in them.

        Args:
            field: what the transformer estimates first, with what was found.
            amount: of effects, see `Effect`.
            way: share of the way to another size or place, see `CutOut.by`.
        """
        readings = self.text.readings
        overlays = self._of_named(field.sure_overlays(expected=self._all(reading is not None for reading in readings)))
        effect = Effect.of_readings(readings, self.working, amount)
        if effect.shown.any():
            overlays = (*(overlay.where(~effect.shown) for overlay in overlays), effect)
        if any(reading is not None and reading.which for reading in readings):
            overlays = one_of_two(overlays, self._beside_hidden(overlays), readings)
        overlays = arranged(overlays, readings, self.working.shape[-2:], self._named)
        if way != 1:
            overlays = tuple(overlay.by(way) if isinstance(overlay, CutOut) else overlay for overlay in overlays)
        return (*overlays, self._left_alone(overlays))

    def _of_named(self, overlays: tuple[Overlay, ...]) -> tuple[Overlay, ...]:
        """The overlays but for those of another object than the one that is asked for by its own name: where there is
        no apple, a red balloon is the likeliest, but not meant.
        """
        known = tuple(self.models.transformer.config.drawings)
        meant = [known.index(name) if name in known else UNKNOWN for name in self.text.named]
        asked = torch.tensor(meant, device=self.working.device)

        def is_meant(overlay: Overlay) -> Tensor:
            found = overlay.thing if isinstance(overlay, Tint) else overlay.leaves
            return (asked == UNKNOWN) | (found == UNKNOWN) | (found == asked)

        return tuple(overlay.where(is_meant(overlay)) for overlay in overlays)

    def _left_alone(self, overlays: tuple[Overlay, ...]) -> LeftAlone:
        """The pictures of which nothing is asked, or something of an object that is not found there.

        What a transformer paints of an object that its head does not find is hardly ever right, if the head knows what
        objects look like.
        """
        readings, head = [reading or Reading("") for reading in self.text.readings], self.models.transformer.object_head
        nothing = self._all(reading.asks_nothing for reading in readings)
        finds = head is not None and head.has_drawings
        unfound = self._all(finds and "name" in NEEDED.get(reading.kind, ()) for reading in readings)
        for overlay in overlays:
            unfound = unfound & ~overlay.shown
        return LeftAlone(nothing | unfound, tuple(self.working.shape[-2:]))

    def _all(self, flags: Iterable[bool]) -> Tensor:
        """(B,) of one flag a picture."""
        return torch.tensor(list(flags), device=self.working.device)

    def _beside_hidden(self, overlays: tuple[Overlay, ...]) -> tuple[Overlay, ...]:
        """What is found when the object that was found is hidden."""
        hides = self.working.new_zeros(len(self.working), 4, *self.working.shape[-2:])
        for overlay in overlays:
            hides = torch.where(overlay.shown[:, None, None, None], overlay.hides, hides)
        hidden = without_object(self.working, hides, self.models.inpainter).apply(self.working)
        return self._of_named(self.find(torch.arange(len(hidden), device=hidden.device), hidden, self.text))

    def _named(self, chosen: Tensor, names: Sequence[str]) -> Removal | None:
        """Where the named objects of some pictures are: what would be removed."""
        said = self.models.text_encoder.encode([f"remove the {name}" for name in names]).to(self.working.device)
        found = self.find(chosen, self.working[chosen], said)
        return next((overlay for overlay in found if isinstance(overlay, Removal)), None)
