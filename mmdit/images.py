"""Between picture files, PIL images and tensors: the only place that knows all three.

Tensors are (1, 3, height, width), RGB in [−1, 1]. PIL images that leave this module are upright and RGB, their colours
sRGB.
"""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from mmdit.files import appearing

MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM")
"""Of the files that are opened, JPEG with the MPO of phones; Pillow starts other programs for some of its others."""
SETTINGS_KEY = "mmdit-settings"
GREY = ("1", "L", "LA")
SAME_COLOURS = 2  # levels of 255 by which profiles that mean sRGB differ
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""A profile's colours → the mode of pictures that it is for."""


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
            with Image.open(file, formats=FORMATS) as opened:
                return prepare(opened, str(file), background)
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{file}: too many pixels; scale it down below {MAX_PIXELS // 10**6} megapixels"
            ) from error
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{file}: not a picture that can be read; use PNG, JPEG, WebP, BMP, TIFF, GIF or AVIF"
            ) from error
        except ImageError:
            raise
        except Exception as error:  # each format's decoder raises whatever it runs into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"{file}: damaged or unreadable ({reason}); save it again as PNG or JPEG") from error


def prepare(image: Image.Image, name: str = "the picture", background: str = "white") -> Image.Image:
    """Upright by EXIF, transparency composited onto a colour, 8-bit sRGB; of an animation, the frame shown first.

    Raises:
        ImageError: more than `MAX_PIXELS`, which is checked before any pixel is decoded; numbers that do not tell what
            white is.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width}×{height} is {width * height / 1e6:.0f} megapixels; "
            f"scale it down below {MAX_PIXELS // 10**6} megapixels"
        )
    upright, profile = _in_eight_bits(image, name), image.info.get("icc_profile")
    if not upright.has_transparency_data:
        return _in_srgb(upright, profile, upright.mode in GREY)
    rgba = upright.convert("RGBA")
    colours = _in_srgb(rgba, profile, upright.mode in GREY)
    colours.putalpha(rgba.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", rgba.size, background), colours).convert("RGB")


def _in_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Upright, and 16-bit grey as "L"; other modes as they are. Raises ImageError: as `prepare`."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F" or (upright.mode == "I" and not _is_sixteen_bit(image)):
        raise ImageError(
            f"{name}: its numbers (mode {upright.mode}) do not tell what white is; save it with 8 or 16 bits a channel"
        )
    if upright.mode.startswith("I"):
        return Image.fromarray((np.asarray(upright, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    return upright


def _is_sixteen_bit(image: Image.Image) -> bool:
    """Whether 32-bit integers are shades up to 65535: in a file they are, of these formats; elsewhere they look so."""
    low, high = image.getextrema()
    return image.format in ("PNG", "PPM") or (low >= 0 and (high == 0 or 255 < high <= 65535))


def _in_srgb(image: Image.Image, profile: Any, grey: bool) -> Image.Image:
    """RGB, as an embedded colour profile says. What that leaves as it is stays so to the bit; it is ignored when it is
    broken, or made for other colours than the picture's.

    Args:
        image: without what is transparent.
        profile: ICC; None for none.
        grey: whether the picture has shades only, in whatever mode.
    """
    rgb = None
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        mode = _MODES[embedded.profile.xcolor_space]
        if {"L": grey, "CMYK": image.mode == "CMYK", "RGB": image.mode != "CMYK"}[mode]:
            rgb = _converted(image, mode, embedded)
    except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
        pass
    rgb = image.convert("RGB") if rgb is None else rgb
    rgb.info.pop("icc_profile", None)  # or it would be converted once more when it is read again
    return rgb


def _converted(image: Image.Image, mode: str, profile: ImageCms.ImageCmsProfile) -> Image.Image | None:
    """RGB by a profile of that mode; None where that means sRGB, as each colour of a grid comes out the same."""
    exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE  # its table of greys is too coarse
    transform = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), mode, "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION | exact,
    )  # fmt: skip
    if mode != "CMYK":
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
        colours = Image.fromarray(grid if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
        without, seen = (np.asarray(of, dtype=np.int16) for of in (colours.convert("RGB"), transform.apply(colours)))
        if np.abs(without - seen).max() <= SAME_COLOURS:
            return None
    return transform.apply(image.convert(mode))


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
    info = PngImagePlugin.PngInfo()
    info.add_itxt(SETTINGS_KEY, json.dumps(settings, ensure_ascii=False))
    with appearing(file) as partial:
        image.save(partial, format="PNG", pnginfo=info)


def read_settings(file: str | Path) -> dict[str, Any] | None:
    """The settings that `save_png` wrote, or None for a picture without any; decodes no pixel.

    Raises:
        OSError: no picture. SyntaxError, ValueError: a damaged one.
    """
    with Image.open(file, formats=FORMATS) as opened:
        written = opened.info.get(SETTINGS_KEY) if opened.format == "PNG" else None  # text before the pixels
    return json.loads(written) if written else None
