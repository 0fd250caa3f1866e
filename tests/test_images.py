"""Picture files, PIL images and tensors."""

import ast
import io
import random
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, UnidentifiedImageError

from mmdit import images
from mmdit.images import ImageError, load_image, prepare, read_settings, save_png, to_image, to_tensor

ORIENTATION = 0x0112
UPRIGHT = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14
# EXIF orientation → the pixels that a camera stores with it
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: UPRIGHT[::-1].transpose(1, 0, 2)[::-1, ::-1],
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: UPRIGHT[:, ::-1].transpose(1, 0, 2)[::-1, ::-1],
}


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("orientation", STORED)
def test_pictures_come_out_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(pixels(load_image(tmp_path / "turned.png")), UPRIGHT)


@pytest.mark.parametrize("alpha", [0, 64, 255])
def test_transparency_lies_on_white(alpha: int) -> None:
    colour = np.array([200, 30, 90])
    expected = (colour * alpha + 255 * (255 - alpha)) / 255
    found = pixels(prepare(Image.new("RGBA", (2, 2), (*colour.tolist(), alpha))))
    np.testing.assert_allclose(found, np.broadcast_to(expected, (2, 2, 3)), atol=1)


def test_grey_with_alpha_lies_on_white() -> None:
    assert pixels(prepare(Image.new("LA", (1, 1), (0, 0)))).tolist() == [[[255, 255, 255]]]


def test_a_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    assert pixels(load_image(tmp_path / "palette.png")).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(shades).save(tmp_path / "deep.png")
    assert pixels(load_image(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_that_do_not_tell_what_white_is_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (4, 3), 1).save(tmp_path / "numbers.tif")
    with pytest.raises(ImageError, match=rf"numbers\.tif: .*mode {mode}\b.*save it with 8 or 16 bits"):
        load_image(tmp_path / "numbers.tif")
    with pytest.raises(ImageError, match="mode"):
        prepare(Image.new(mode, (4, 3), 200))


def test_sixteen_bits_in_thirty_two_keep_their_shades(tmp_path: Path) -> None:
    (tmp_path / "deep.pgm").write_bytes(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 257, 257 * 200))
    assert pixels(load_image(tmp_path / "deep.pgm"))[0, :, 0].tolist() == [0, 1, 200]
    (tmp_path / "dark.pgm").write_bytes(b"P5 1 1 65535\n" + struct.pack(">H", 200))
    assert pixels(load_image(tmp_path / "dark.pgm")).max() <= 1
    assert pixels(prepare(Image.new("I", (1, 1), 257 * 90))).tolist() == [[[90, 90, 90]]]


# ---- colour profiles

DISPLAY_P3 = {"rXYZ": (0.5151, 0.2412, -0.0011), "gXYZ": (0.2920, 0.6922, 0.0419), "bXYZ": (0.1571, 0.0666, 0.7841)}


def profile(primaries: dict[str, tuple[float, float, float]] | None = None) -> bytes:
    """sRGB's, with other primaries written into it."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack_from(">I", data, 128)[0]):
        name, place, _ = struct.unpack_from(">4sII", data, 132 + 12 * index)
        if place and name.decode() in (primaries or {}):
            struct.pack_into(">3i", data, place + 8, *(round(value * 65536) for value in primaries[name.decode()]))
    return bytes(data)


def grey_profile(gamma: float) -> bytes:
    """Of the smallest kind: a white point and one power."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    places = (128 + 4 + 24, 128 + 4 + 24 + len(white))
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", places[0], len(white), b"kTRC", places[1], len(curve))
    rest = tags + white + curve
    head = struct.pack(">I4sI4s4s4s12x4s", 128 + len(rest), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    illuminant = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return head.ljust(68, b"\0") + illuminant + bytes(48) + rest


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def linear(values: np.ndarray) -> np.ndarray:
    values = values / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(values: np.ndarray) -> np.ndarray:
    values = values.clip(0, 1)
    return 255 * np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def test_a_wide_gamut_comes_out_in_srgb(tmp_path: Path) -> None:
    """By the matrices that Display P3 and sRGB are defined with, beyond whose range colours are clipped."""
    given = colours()
    Image.fromarray(given).save(tmp_path / "phone.png", icc_profile=profile(DISPLAY_P3))
    p3 = np.array([[0.486571, 0.265668, 0.198217], [0.228975, 0.691739, 0.079287], [0.0, 0.045113, 1.043944]])
    srgb = np.array(
        [[3.240970, -1.537383, -0.498611], [-0.969244, 1.875968, 0.041555], [0.055630, -0.203977, 1.056972]]
    )
    found = load_image(tmp_path / "phone.png")
    assert np.abs(pixels(found) - encoded(linear(given) @ (srgb @ p3).T)).max() <= 3
    save_png(found, tmp_path / "again.png", {})
    assert load_image(tmp_path / "again.png").tobytes() == found.tobytes()


@pytest.mark.parametrize("icc", [None, b"", b"no profile", profile()[:300], profile()])
def test_what_is_srgb_or_has_a_broken_profile_stays_to_the_bit(icc: bytes | None, tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "picture.png", icc_profile=icc)
    assert np.array_equal(pixels(load_image(tmp_path / "picture.png")), colours())


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_profile_for_other_colours_is_ignored(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(colours()).convert(mode)
    picture.info["icc_profile"] = profile(DISPLAY_P3) if mode == "CMYK" else b"\0" * 200
    assert np.array_equal(pixels(prepare(picture)), np.asarray(picture.convert("RGB")))
    coloured = Image.fromarray(colours())
    coloured.info["icc_profile"] = grey_profile(1.0)
    assert np.array_equal(pixels(prepare(coloured)), colours())


def test_grey_by_its_profile(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(ramp).save(tmp_path / "linear.png", icc_profile=grey_profile(1.0))
    found = pixels(load_image(tmp_path / "linear.png"))
    assert np.abs(found[0, :, 1] - encoded(ramp[0] / 255)).max() <= 1
    assert found[0, 0].tolist() == [0, 0, 0] and found[0, 255].tolist() == [255, 255, 255]


def test_a_profile_leaves_transparency_alone() -> None:
    solid = Image.fromarray(colours())
    clear = solid.copy()
    clear.putalpha(Image.linear_gradient("L").resize(solid.size))
    for picture in (solid, clear):
        picture.info["icc_profile"] = profile(DISPLAY_P3)
    within = prepare(solid).convert("RGBA")
    within.putalpha(clear.getchannel("A"))
    expected = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), within).convert("RGB")
    assert np.array_equal(pixels(prepare(clear)), np.asarray(expected))


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "ink.jpg", quality=95)
    red, green, blue = pixels(load_image(tmp_path / "ink.jpg"))[8, 8]
    assert red < 40
    assert min(green, blue) > 120


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_extreme_shapes(size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    Image.new(mode, size, 1).save(tmp_path / "thin.png")
    assert load_image(tmp_path / "thin.png").size == size


def png_that_claims(width: int, height: int) -> bytes:
    """A valid header and one byte of data: decoding it would fail, reading its size does not."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (16_000, 16_000), (2_000_000, 2_000_000)])
def test_too_many_pixels_are_refused_before_decoding(width: int, height: int, tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    file.write_bytes(png_that_claims(width, height))
    with pytest.raises(ImageError, match=r"huge\.png.*50 megapixels"):
        load_image(file)


def test_the_largest_picture_passes_the_check(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(png_that_claims(10_000, 5_000))
    with pytest.raises(ImageError, match="damaged"):  # it is decoded, and only then found to be empty
        load_image(file)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    contents = {
        "text.png": b"this is no picture",
        "empty.png": b"",
        "cut.jpg": whole.read_bytes()[: whole.stat().st_size // 2],
        "header.jpg": whole.read_bytes()[:20],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name) as caught:
            load_image(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "GIF"])
def test_damaged_files_are_opened_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    buffer, draw, refused = io.BytesIO(), random.Random(0), 0
    Image.effect_noise((48, 48), 40).convert("RGB").save(buffer, kind)
    for _ in range(400):
        data = bytearray(buffer.getvalue())
        for _ in range(draw.choice([1, 6])):
            data[draw.randrange(min(len(data), draw.choice([150, 10**6])))] = draw.randrange(256)
        (tmp_path / "damaged").write_bytes(data)
        try:
            load_image(tmp_path / "damaged")
        except ImageError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize("kind", ["EPS", "TGA", "DDS", "PCX", "ICO"])
def test_only_formats_of_pictures_are_opened_whatever_the_name_says(kind: str, tmp_path: Path) -> None:
    """Pillow would start Ghostscript for an EPS."""
    Image.new("RGB", (32, 32), "red").save(tmp_path / "picture.png", kind)
    with pytest.raises(ImageError, match="not a picture that can be read"):
        load_image(tmp_path / "picture.png")
    with pytest.raises(UnidentifiedImageError):
        read_settings(tmp_path / "picture.png")


@pytest.mark.parametrize("kind", [*images.FORMATS, "MPO"])
def test_every_format_of_pictures_is_opened(kind: str, tmp_path: Path) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    picture = Image.new("RGB", (32, 32), (200, 40, 60))
    picture.save(tmp_path / "picture", kind, **({"append_images": [picture]} if kind == "MPO" else {}))
    np.testing.assert_allclose(pixels(load_image(tmp_path / "picture")), np.asarray(picture), atol=4)


def test_nothing_is_opened_in_whatever_format_it_is() -> None:
    for file in Path(images.__file__).parent.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "Image.open":
                assert any(given.arg == "formats" for given in call.keywords), f"{file.name}:{call.lineno}"


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_a_path_without_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / name)


def test_to_tensor_and_back_is_exact() -> None:
    every_value = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([every_value, every_value.T, every_value[::-1]], axis=-1))
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), np.asarray(image) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(pixels(to_image(tensor)), np.asarray(image))


def test_what_is_out_of_range_is_clipped() -> None:
    assert pixels(to_image(torch.tensor([-7.0, 0.0, 7.0]).reshape(1, 3, 1, 1))).tolist() == [[[0, 128, 255]]]


def test_resize_averages_when_shrinking() -> None:
    stripes = torch.tensor([-1.0, 1.0]).repeat(64).expand(1, 3, 128, 128)
    assert images.resize(stripes, 16, 16)[..., 1:-1, 1:-1].abs().max() < 0.05


def test_a_saved_png_gives_back_picture_and_settings(photograph: Image.Image, tmp_path: Path) -> None:
    settings = {"instruction": "mach die Kätzchen “blau” 🐱", "seed": 2**62, "size": [512, 384], "guidance": 1.5}
    save_png(photograph, tmp_path / "out.png", settings)
    assert read_settings(tmp_path / "out.png") == settings
    np.testing.assert_array_equal(pixels(load_image(tmp_path / "out.png")), np.asarray(photograph))
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_a_picture_without_settings_has_none(photograph: Image.Image, tmp_path: Path) -> None:
    for name in ("plain.png", "plain.jpg"):
        photograph.save(tmp_path / name)
        assert read_settings(tmp_path / name) is None


def test_saving_replaces_the_old_file_whole(photograph: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "out.png"
    file.write_bytes(b"old")
    save_png(photograph, file, {"seed": 1})
    assert read_settings(file) == {"seed": 1}


def test_a_save_that_fails_leaves_nothing_behind(photograph: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("kept")
    for target in (tmp_path / "folder.png", tmp_path / "missing" / "out.png", tmp_path / "file" / "out.png"):
        with pytest.raises(OSError):
            save_png(photograph, target, {})
    with pytest.raises(TypeError):
        save_png(photograph, tmp_path / "out.png", {"seed": object()})
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.png"]
    assert (tmp_path / "file").read_text() == "kept"


def test_one_file_saved_from_many_threads_at_once_is_whole(tmp_path: Path) -> None:
    picture, errors = Image.effect_noise((200, 200), 40), list[Exception]()

    def save() -> None:
        try:
            for _ in range(10):
                save_png(picture, tmp_path / "one.png", {"seed": 1})
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and list(tmp_path.iterdir()) == [tmp_path / "one.png"]
    assert Image.open(tmp_path / "one.png").tobytes() == picture.tobytes()
