"""Between picture files, PIL images and tensors: the only place that knows all three.

Tensors are (1, 3, height, width), RGB in [−1, 1]. PIL images that leave this module are upright and RGB.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

MAX_PIXELS = 50_000_000
SETTINGS_KEY = "mmdit-settings"


class ImageError(ValueError):
    """A picture that can't be used; the message says which one, why, and what to do."""


def load_image(file: str | Path, background: str = "white") -> Image.Image:
    """Read a picture file, upright and RGB, what is transparent on ``background``. Raises `ImageError`."""
    file = Path(file)
    if not file.is_file():
        raise ImageError(f"{file}: no such file; give the path of a picture (PNG, JPEG, WebP, …)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `prepare` has a limit of its own
        try:
            with Image.open(file) as opened:
                return prepare(opened, str(file), background)
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{file}: too many pixels; scale it down below {MAX_PIXELS // 10**6} megapixels"
            ) from error
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{file}: not a picture that can be read; use PNG, JPEG, WebP, BMP, TIFF or GIF"
            ) from error
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{file}: damaged or unreadable ({error}); save it again as PNG or JPEG") from error


def prepare(image: Image.Image, name: str = "the picture", background: str = "white") -> Image.Image:
    """Upright by EXIF, transparency composited onto a colour, 8-bit RGB; of an animation, the frame shown first.

    Raises:
        ImageError: more than `MAX_PIXELS`; checked before any pixel is decoded.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width}×{height} is {width * height / 1e6:.0f} megapixels; "
            f"scale it down below {MAX_PIXELS // 10**6} megapixels"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I"):
        upright = Image.fromarray((np.asarray(upright, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba).convert("RGB")
    return upright.convert("RGB")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The (width, height) that `prepare` will give it, without decoding it."""
    sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return image.size[::-1] if sideways else image.size


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image → (1, 3, height, width) in [−1, 1]."""
    pixels = torch.from_numpy(np.asarray(image, dtype=np.uint8).copy())
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_image(tensor: Tensor) -> Image.Image:
    """(1, 3, height, width) → RGB image; what lies outside [−1, 1] is clipped."""
    pixels = ((tensor[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def resize(tensor: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, with an antialiasing filter when shrinking."""
    return functional.interpolate(tensor, (height, width), mode="bilinear", align_corners=False, antialias=True)


def save_png(image: Image.Image, file: str | Path, settings: dict[str, Any]) -> None:
    """Write a PNG with its settings as JSON in a text chunk; the file appears whole or not at all."""
    file = Path(file)
    info = PngImagePlugin.PngInfo()
    info.add_itxt(SETTINGS_KEY, json.dumps(settings, ensure_ascii=False))
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        image.save(partial, format="PNG", pnginfo=info)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def read_settings(file: str | Path) -> dict[str, Any] | None:
    """The settings that `save_png` wrote, or None for a picture without any; decodes no pixel.

    Raises:
        OSError: no picture. SyntaxError, ValueError: a damaged one.
    """
    with Image.open(file) as opened:
        written = opened.info.get(SETTINGS_KEY) if opened.format == "PNG" else None  # text before the pixels
    return json.loads(written) if written else None
