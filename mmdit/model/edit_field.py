"""What the model changes in a picture, said without reference to a resolution.

The transformer does not paint pixels from nothing: it predicts, for every place of the picture, a 3 × 3 colour
matrix, an offset and how far to soften, that are applied to the source,
``edited = source + gain · source + offset + softness · (softened source − source)``. A change of colour, tone or
sharpness is therefore exact in every pixel, and the same field, resampled, edits the picture at any size.

Pictures are (B, 3, height, width) in [−1, 1]. Affine colour maps on a coarse grid go back to HDRNet, Gharbi et
al. 2017 (arXiv 1707.02880).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.object_head import FoundObjects
from mmdit.model.overlay import STRIP_ROWS, UNKNOWN, Overlay

SURELY_UNCHANGED, LIKELY_CHANGED = 0.1, 0.2  # probabilities between which an edit fades in
SURELY_CHANGED, POSSIBLY_CHANGED = 0.75, 0.1
"""Probabilities that some patch changes, from which on objects are laid over it: by itself, and where it is known from
elsewhere which edit is asked. The latter was chosen on training scenes, with the object and without.
"""


@dataclass(frozen=True)
class EditField:
    """An edit at the working resolution.

    Args:
        gain: (B, 9, height, width), row-major 3 × 3 colour matrices, added to the identity.
        offset: (B, 3, height, width).
        softness: (B, 1, height, width), 0 leaving the picture as sharp as it is, 1 replacing it by `soften`.
        change: (B, 1, rows, columns), per patch the logit that anything visible changes there; None if unknown.
        overlays: what is laid over it, in this order.
        found: what the overlays are made of; in training only.
    """

    gain: Tensor
    offset: Tensor
    softness: Tensor
    change: Tensor | None = None
    overlays: tuple[Overlay, ...] = ()
    found: FoundObjects | None = None

    def apply(self, source: Tensor) -> Tensor:
        """The edited picture at the field's own resolution, not clamped; source is (B, 3, height, width)."""
        edited = source + self.gained(source, self.gain) + self.offset + self.softness * (soften(source) - source)
        return self.covered(edited, source)

    def covered(self, picture: Tensor, source: Tensor) -> Tensor:
        """A picture with the overlays on top; ``source`` is what is edited, both of any one size."""
        for overlay in self.overlays:
            picture = overlay.over(picture, source)
        return picture

    def painted(self) -> "EditField":
        """The same edit without what is laid over it."""
        return replace(self, overlays=())

    def beside_overlays(self) -> "EditField":
        """The same edit, painted only where a covered object was: elsewhere the overlay alone changes the picture."""
        if not self.overlays:
            return self
        gate = math.prod(overlay.uncovered() for overlay in self.overlays)
        return replace(self, gain=self.gain * gate, offset=self.offset * gate, softness=self.softness * gate)

    def vacated(self) -> tuple[Tensor, Tensor]:
        """(B,) whether an object leaves its place, and (B, 4, height, width) what it hid, see `mmdit.model.hiding`."""
        vacated = torch.zeros(len(self.offset), dtype=torch.bool, device=self.offset.device)
        hides = self.offset.new_zeros(len(vacated), 4, *self.offset.shape[-2:])
        for overlay in self.overlays:
            leaves = overlay.shown & (overlay.leaves != UNKNOWN)
            vacated = vacated | leaves
            hides = torch.where(leaves[:, None, None, None], overlay.hides, hides)
        return vacated, hides

    def part(self, rows: slice, columns: slice) -> "EditField":
        """A rectangle of the picture, without `change`, whose patches are not cut, and without overlays."""
        return EditField(*(whole[..., rows, columns] for whole in (self.gain, self.offset, self.softness)))

    def of(self, chosen: Tensor) -> "EditField":
        """Some of the batch, by number."""
        overlays = tuple(overlay.of(chosen) for overlay in self.overlays)
        return EditField(self.gain[chosen], self.offset[chosen], self.softness[chosen], overlays=overlays)

    def replaced(self, chosen: Tensor, others: "EditField") -> "EditField":
        """The batch with others in the place of some, by number; the overlays stay."""
        pairs = ((self.gain, others.gain), (self.offset, others.offset), (self.softness, others.softness))
        return EditField(*(own.index_copy(0, chosen, other) for own, other in pairs), overlays=self.overlays)

    def mix(self, other: "EditField", weight: float | Tensor) -> "EditField":
        """self + weight · (other − self): the field whose result is that mixture of the two results, but for `change`
        and the overlays, which are the other's.

        Args:
            weight: of all, or (B, 1, 1, 1).
        """
        return EditField(
            torch.lerp(self.gain, other.gain, weight),
            torch.lerp(self.offset, other.offset, weight),
            torch.lerp(self.softness, other.softness, weight),
            change=other.change,
            overlays=other.overlays,
        )

    def blurred(self, chosen: Tensor) -> "EditField":
        """The batch, some of it, (B,), softened all over, by definition: where a patch is even at the working size the
        model sees nothing to soften, but finer text may stand there.
        """
        soft = chosen[:, None, None, None]
        return replace(
            self, gain=self.gain * ~soft, offset=self.offset * ~soft, softness=self.softness.masked_fill(soft, 1.0)
        )

    def surely_changes(self, least: float = SURELY_CHANGED) -> Tensor:
        """(B,) whether some patch changes with at least this probability."""
        return self.change.sigmoid().flatten(1).amax(dim=1) > least

    def sure_overlays(self, expected: Tensor | None = None) -> tuple[Overlay, ...]:
        """The overlays where some patch surely changes, or an edit is expected, (B,)."""
        sure = self.surely_changes() if expected is None else self.surely_changes() | expected
        return tuple(overlay.where(sure) for overlay in self.overlays)

    def confined(self) -> "EditField":
        """The same edit where `change` expects one, and none elsewhere: what should stay is the source, to the bit."""
        if self.change is None:
            return self
        surely_not, likely = SURELY_UNCHANGED, LIKELY_CHANGED
        gate = ((self.change.sigmoid() - surely_not) / (likely - surely_not)).clamp(0, 1)
        possible = self.surely_changes(POSSIBLY_CHANGED)
        overlays = tuple(overlay.where(possible) for overlay in self.overlays)
        gate = functional.interpolate(gate, self.offset.shape[-2:], mode="bilinear", align_corners=False)
        parts = (part * gate for part in (self.gain, self.offset, self.softness))
        return EditField(*parts, change=self.change, overlays=overlays)

    @staticmethod
    def gained(picture: Tensor, gain: Tensor) -> Tensor:
        """Each pixel's colour times its 3 × 3 matrix."""
        rows = gain.unflatten(1, (3, 3))
        return (rows * picture[:, None]).sum(dim=2)


def soften(picture: Tensor) -> Tensor:
    """Two 5 × 5 box filters, close to a Gaussian of σ = 2 pixels: (B, C, height, width) → the same."""
    padded = functional.pad(picture, (4, 4, 4, 4), mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(padded, 5, 1), 5, 1)


def assemble(
    affine: Tensor, softness: Tensor, pixel_gain: Tensor, residual: Tensor, change: Tensor | None = None
) -> EditField:
    """The field from the transformer's output.

    Args:
        affine: (B, 12, rows, columns): per patch a 3 × 4 matrix [M | t], interpolated between patches.
        softness: (B, 1, rows, columns), interpolated too.
        pixel_gain: (B, 1, height, width): how strongly each pixel follows it, 0 being fully.
        residual: (B, 3, height, width): what no colour matrix explains.
        change: see `EditField`.
    """
    height, width = residual.shape[-2:]
    coarse = torch.cat([affine, softness], dim=1)
    dense = functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    matrix = dense[:, :12] * (1 + pixel_gain)
    return EditField(matrix[:, :9], matrix[:, 9:] + residual, softness=dense[:, 12:], change=change)


def carry(field: EditField, working: Tensor, source: Tensor) -> Tensor:
    """The edit at the source's own size.

    The finished working picture is enlarged, and the detail that the working size could not hold goes through the
    same colour matrices. Where the edit softened detail (a blur), the finer detail is softened alike. What is laid
    over it is drawn at that size, a copied object from the source itself.

    Args:
        field: the edit of ``working``, which is ``source`` resized to the working size.
        source: (1, 3, height, width).

    Returns:
        (1, 3, height, width) in [−1, 1].
    """
    height, width = source.shape[-2:]
    overlaid, field = field, field.painted()
    edited = field.apply(working)
    kept_detail = detail_gain(field, working)
    result = torch.empty_like(source)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))

        def enlarged(picture: Tensor, rows: slice = rows) -> Tensor:
            return _enlarge(picture, height, width, rows)

        strip = source[:, :, rows]
        detail = strip - enlarged(working)
        detail = detail + EditField.gained(detail, enlarged(field.gain))
        result[:, :, rows] = (enlarged(edited) + enlarged(kept_detail) * detail).clamp(-1, 1)
    return overlaid.covered(result, source)


def detail_gain(field: EditField, working: Tensor) -> Tensor:
    """How much of the detail expected from the colour matrices alone is there after the edit, (1, 1, h, w) in [0, 1].

    A local least-squares fit of the edited picture's detail on the expected one's, neither of them clamped: what is
    white at the working size may be finer text. Where it was softened and holds no detail to fit, that alone counts.
    """
    expected = _detail(working + EditField.gained(working, field.gain))
    found = _detail(field.apply(working))

    def local_sum(picture: Tensor) -> Tensor:
        return functional.avg_pool2d(picture.sum(dim=1, keepdim=True), 9, stride=1, padding=4)

    fit = (local_sum(expected * found) + 1e-4) / (local_sum(expected.square()) + 1e-4)
    return fit.minimum(1 - field.softness).clamp(0, 1)


def _detail(picture: Tensor) -> Tensor:
    padded = functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    return picture - functional.avg_pool2d(padded, 3, stride=1)


def _enlarge(picture: Tensor, height: int, width: int, rows: slice) -> Tensor:
    """A horizontal strip of the bilinear enlargement of a (1, C, h, w) picture to (height, width)."""
    small_height = picture.shape[-2]
    centres = (torch.arange(rows.start, rows.stop, device=picture.device) + 0.5) * small_height / height - 0.5
    centres = centres.clamp(0, small_height - 1)
    above = centres.floor().long()
    below = (above + 1).clamp_max(small_height - 1)
    strip = torch.lerp(picture[:, :, above], picture[:, :, below], (centres - above)[:, None])
    return functional.interpolate(strip, (len(centres), width), mode="bilinear", align_corners=False)
