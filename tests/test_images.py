"""Picture files, PIL images and tensors."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
