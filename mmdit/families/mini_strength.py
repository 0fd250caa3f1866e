"""How strongly the embedded editor follows an instruction: its edits are mixed, not its texts.

    picture = of the neutral text + Σ (of textᵢ at sᵢ − of the neutral text)

Somewhere between two texts a small model decides at once whether an object is removed or how much light there is: half
of the way from one text to the other is no half of the edit. So the pictures are mixed, and beyond 1 the edit is made
again of what it made: 1.5 is half of the way from once to twice. What is copied to another size or place comes by its
share of the way instead (twice as large at 1, √2 times at ½). What is added, removed, replaced or recoloured can't be
more so than it is.

Pictures are (1, 3, height, width) in [−1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdit.model.cut_out import CutOut
from mmdit.model.drawing import Drawing
from mmdit.model.edit_field import EditField
from mmdit.model.overlay import UNKNOWN
from mmdit.model.removal import Removal
from mmdit.model.tint import Tint
from mmdit.told import NOTHING, Told


@dataclass(frozen=True)
class Weighed:
    """One text's edit in a mixture.

    Args:
        strength: as asked for.
        field: the edit; copies in it are as far on their way as asked already.
        pictures: made by it once, twice, …, as often as `times` says.
    """

    strength: float
    field: EditField
    pictures: tuple[Tensor, ...] = ()

    @property
    def times(self) -> int:
        """How often the edit has to be made."""
        return times(self._counted)

    @property
    def told(self) -> Told:
        """What is to be said of a strength of which there is no such thing."""
        if self._is_moved and not 0 <= self.strength <= 1:
            counts = min(max(self.strength, 0.0), 1.0)
            return Told(
                warnings=(f"An object is moved no farther: the strength {self.strength:g} counts as {counts:g}.",)
            )
        if self._is_on_its_way or self._counted == self.strength:
            return NOTHING
        what = "Nothing can be more than added, removed, replaced or recoloured, or less than not at all"
        return Told(warnings=(f"{what}: the strength {self.strength:g} counts as {self._counted:g}.",))

    def beside(self, neutral: Tensor) -> Tensor:
        """The picture as strong as asked, beside that of the neutral text: the same to the bit where nothing counts."""
        if self.strength == 0:
            return neutral
        known, counted = (neutral, *self.pictures), self._counted
        last = len(known) - 1
        return known[last] if counted == last else torch.lerp(known[last - 1], known[last], counted - last + 1)

    @property
    def _counted(self) -> float:
        """The strength in numbers of whole edits."""
        if self._is_on_its_way:
            return 1.0
        return min(max(self.strength, 0.0), 1.0) if self._is_all else self.strength

    @property
    def _is_on_its_way(self) -> bool:
        overlays = self.field.overlays
        return any(bool((one.shown & (one.leaves != UNKNOWN)).any()) for one in overlays if isinstance(one, CutOut))

    @property
    def _is_moved(self) -> bool:
        overlays = self.field.overlays
        return any(bool((one.shown & (one.scale == 1)).any()) for one in overlays if isinstance(one, CutOut))

    @property
    def _is_all(self) -> bool:
        kinds = (Removal, Drawing, Tint)
        return any(bool(one.shown.any()) for one in self.field.overlays if isinstance(one, kinds))


def times(strength: float) -> int:
    """How often an edit may have to be made."""
    return max(math.ceil(strength), 1)


def mixed(neutral: Tensor, edits: Sequence[Weighed]) -> Tensor:
    """The pictures' mixture; a single edit of the strength 1 comes back to the bit."""
    first, *others = (edit.beside(neutral) for edit in edits)
    return (first + sum(picture - neutral for picture in others)).clamp(-1, 1)
