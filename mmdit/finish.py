"""What is done to a family's picture before it is a result: the alignment guard, then the region.

In this order, so that outside of a region nothing is left of a correction either. In: the picture as given, the picture
as edited. Out: the result's picture, and how far it had drifted.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageChops

from mmdit.region import Region

if TYPE_CHECKING:
    from mmdit.alignment import Drift

Guard = Literal["off", "measure", "correct"]
VISIBLE = 13  # of 255, below which nobody sees a pixel's change


@dataclass(frozen=True)
class Finished:
    """
    Args:
        drift: as it was before it was corrected; None where it was not measured.
        warnings: sentences for the person who asked.
    """

    image: Image.Image
    drift: "Drift | None" = None
    warnings: tuple[str, ...] = ()


def finish(source: Image.Image, edited: Image.Image, region: Region | None, guard: Guard) -> Finished:
    """
    Args:
        source, edited: RGB, of one size.
        region: what alone may change; None for everything.
    """
    from mmdit.alignment import correct, measure  # scikit-image takes long to load, and the page is waited for

    drift, warnings = None, ()
    if guard != "off":
        drift = measure(source, edited, None if region is None else region.inside(source.size))
        if guard == "correct":
            edited = correct(edited, drift)
            if not drift.reliable:
                warnings = ("The guard corrected nothing: too little of the given picture is found again.",)
        elif drift.seen and drift.reliable:
            warnings = (f"The picture has drifted: {drift.said()}. The guard can correct that.",)
    if region is not None:
        within = region.blend(source, edited)
        is_missed = guard == "off" and _differs(source, edited)  # a model that paints all anew changes something anyway
        if is_missed and not _differs(source, within):
            warnings += ("The edit lies outside of the region, where nothing is changed: mark another one.",)
        edited = within
    return Finished(edited, drift, warnings)


def _differs(picture: Image.Image, other: Image.Image) -> bool:
    """Whether some pixel of two RGB pictures of one size differs so that it is seen."""
    return max(high for _, high in ImageChops.difference(picture, other).getextrema()) >= VISIBLE
