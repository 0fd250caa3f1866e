"""Small copies of pictures, as files that the page may show; made once, and again when the original changes.

In: picture files and pictures. Out: addresses. Knows nothing of what is on them.
"""

import hashlib
from pathlib import Path

from PIL import Image, ImageOps

from mmdit.files import appearing
from mmdit.ui import markup


class Pictures:
    """
    Args:
        folder: private to this process, served by the page; made when the first picture is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def small(self, file: Path, size: tuple[int, int], crop: bool = False) -> str:
        """The address of a copy that fits into (width, height), or fills it if cropped; "" for no readable picture."""
        from mmdit.images import FORMATS

        try:
            name = _named(str(file), file.stat().st_mtime_ns, size, crop)
            if not (self._folder / name).is_file():
                with Image.open(file, formats=FORMATS) as opened:
                    opened.draft("RGB", size)
                    picture = opened.convert("RGB")
                self.keep(name, ImageOps.fit(picture, size) if crop else ImageOps.contain(picture, size))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return ""
        return markup.file_url(self._folder / name)

    def keep(self, name: str, picture: Image.Image) -> str:
        """The address of a picture that was made here; ``name`` ends in .jpg or .png."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with appearing(self._folder / name) as partial:
            picture.save(partial, "PNG" if name.endswith(".png") else "JPEG", quality=88)
        return markup.file_url(self._folder / name)


def _named(*parts: object) -> str:
    return f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}.jpg"
