"""The box that takes the picture to edit: Gradio's, but it hands over the uploaded file as it is.

Gradio's own opens the file first, and answers a broken one with nothing but "Error". Whether a file is a picture
is for `mmdit.images` to say, in a sentence.
"""

from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from mmdit.ui.intake import uploaded

if TYPE_CHECKING:  # see jobs.py
    from mmdit.families.family import Traits

MOST_PICTURES = 16  # of one edit, while no model is there that takes fewer
SHOWN_BY_BROWSERS = {"PNG", "JPEG", "WEBP", "GIF", "BMP"}


class WithoutStub(type(gr.Image)):
    """Makes a class as Python does; Gradio would write a .pyi file next to this one."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        return ABCMeta.__new__(cls, name, bases, attributes)


class SourceImage(gr.Image, metaclass=WithoutStub):
    is_template = True  # the browser draws it as what it derives from

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file. Raises `gr.Error` for a file that is not an upload."""
        return None if payload is None else str(uploaded({"path": payload.path}, self.GRADIO_CACHE))


def read_upload(source: str) -> tuple[Image.Image, bool]:
    """An uploaded picture, and whether a browser can show its file. Raises `ImageError` without the folder."""
    from mmdit.images import FORMATS, load_image

    with without_folder(source):
        picture = load_image(source)
    with Image.open(source, formats=FORMATS) as opened:
        return picture, opened.format in SHOWN_BY_BROWSERS


def read_uploads(sources: Sequence[str], traits: "Traits | None") -> list[Image.Image]:
    """The uploaded pictures of one edit, of which none is opened when there are too many.

    Args:
        traits: of the model in use; None while there is none.

    Raises:
        ValueError: more than the model takes. ImageError: as `read_upload`.
    """
    from mmdit.families.family import check_number

    check_number(len(sources), MOST_PICTURES if traits is None else traits.most_pictures, "the model")
    return [read_upload(source)[0] for source in sources]


@contextmanager
def without_folder(source: str) -> Iterator[None]:
    """Each `ImageError` about that file names it, but not where it lies."""
    from mmdit.images import ImageError

    try:
        yield
    except ImageError as error:
        raise ImageError(str(error).replace(source, f"“{Path(source).name}”")) from error
