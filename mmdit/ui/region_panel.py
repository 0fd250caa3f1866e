"""The region painter of the edit tab: the picture, and what of it to edit, marked by hand or from a word's map.

Python sends the picture once; the scripts of region_web paint in the browser. The component's value is
``{"mask", "feather"}``: a data URI of an 8-bit greyscale PNG, white where to edit, or "" for the whole picture; and the
width of the soft edge in pixels of the whole picture.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from mmdit.runtime.history import Entry
from mmdit.ui import region_payload
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.region_payload import FEATHER, NOTHING
from mmdit.ui.source_image import read_upload

if TYPE_CHECKING:  # see jobs.py
    from mmdit.region import Region

WEB = Path(__file__).with_name("region_web")
SCRIPTS = ("state", "png", "map", "paint", "change", "words", "draw", "pointer", "keys")  # parts of one closure


class RegionPanel:
    """Builds the painter where it is made; it shows nothing until it is given a picture.

    Args:
        shelf: recordings, whose words' maps can become regions.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

        def word_map(asked: Any) -> dict[str, Any]:  # Gradio marks the function, which a method does not bear
            return region_payload.word_map(self.shelf, asked)

        self.view = gr.HTML(
            NOTHING,
            html_template=_text("region.html"), css_template=_text("region.css"),
            js_on_load="\n".join(_text(f"{part}.js") for part in SCRIPTS),
            server_functions=[word_map], apply_default_css=False, elem_id="region",
        )  # fmt: skip

    def show(
        self,
        picture: Image.Image,
        mask: Image.Image | None = None,
        feather: float = FEATHER,
        entry: str = "",
        chosen: dict[str, Any] | None = None,
    ) -> dict[Any, Any]:
        """An update that shows an upright RGB picture.

        Args:
            mask: "L", of any size: what is marked already.
            feather: pixels of the whole picture.
            entry: the result whose words' maps fit this picture; "" for none.
            chosen: the map to take as region at once, as `word_map` is asked for it; without "entry".
        """
        found = region_payload.words(self.shelf, entry) if entry else {}
        return {self.view: region_payload.shown(picture, mask, feather) | found | {"chosen": chosen}}

    def take(self, event: gr.EventData) -> dict[Any, Any]:
        """The explorer's "Use as region": an update that shows what its result was made from, with that map marked."""
        from mmdit import images

        chosen = {kind: getattr(event, kind, None) for kind in ("word", "direction", "layer", "step", "head")}
        entry = self.shelf.history.find(str(getattr(event, "entry", "")))
        if entry is None:
            return self.clear()
        return self.show(images.load_image(entry.source), entry=entry.name, chosen=chosen)

    def unmarked(self, source: str | None) -> dict[Any, Any]:
        """An update that shows an uploaded picture in which nothing is marked."""
        try:
            return self.clear() if source is None else self.show(read_upload(source)[0])
        except ValueError:  # said where the picture is taken or used
            return self.clear()

    def marked_again(self, source: str, value: dict[str, Any], entry: str = "") -> dict[Any, Any]:
        """An update that shows an uploaded picture with what a value of the component marks in it."""
        try:
            picture = read_upload(source)[0]
            region = self.chosen(value, picture.size)
        except ValueError:  # said where the picture is taken or used
            return self.unmarked(source)
        return self.show(picture, None if region is None else region.mask, region_payload.read_feather(value), entry)

    def marked_as(self, entry: Entry) -> dict[Any, Any]:
        """An update that shows an entry's picture and the region that was asked for."""
        from mmdit.images import load_image
        from mmdit.region import RegionError, region_of

        picture = load_image(entry.source)
        try:
            region = region_of(entry.settings["region"])
        except (KeyError, RegionError):
            return self.show(picture, entry=entry.name)
        return self.show(picture, region.mask, region.feather, entry.name)

    def clear(self) -> dict[Any, Any]:
        """An update that shows nothing."""
        return {self.view: NOTHING}

    def chosen(self, value: Any, size: tuple[int, int]) -> "Region | None":
        """The region in a value of the component, for a picture of (width, height); its mask is the preview's size.

        Raises:
            ValueError: what a browser sent is no mask of such a picture.
        """
        from mmdit.region import Region

        mask = region_payload.read_mask(value, region_payload.preview_size(size))
        return None if mask is None else Region(mask, region_payload.read_feather(value))


def _text(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
