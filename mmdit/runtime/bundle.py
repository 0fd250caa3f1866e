"""One result as one .zip, to be opened in another history: picture, sources, settings, hashes of its LoRAs, maps.

    picture.png  source.png  source.2.png …  settings.json  manifest.json  [maps.npz]

The manifest has the format's version, the SHA-256 of every other file, and name → SHA-256 of the LoRAs. In: an entry,
or a file that may come from anybody. Out: a file, or an entry. Of what is opened only decoded pixels, checked settings
and maps reach the history: they are written anew.
"""

import hashlib
import io
import json
import re
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from mmdit.files import appearing
from mmdit.lora.header import file_sha256
from mmdit.runtime.history import MOST_REFERENCES, Entry, History
from mmdit.runtime.reproduce import check_settings, hindrance, request_of
from mmdit.runtime.sizes import shown_size

if TYPE_CHECKING:  # see jobs.py
    from mmdit.attention.maps import AttentionMaps
    from mmdit.editor import EditResult

FORMAT = "mmdit-bundle 1"
SETTINGS, MANIFEST, PICTURE, MAPS = "settings.json", "manifest.json", "picture.png", "maps.npz"
_SOURCE = re.compile(r"source(?:\.([1-9][0-9]?[0-9]?))?\.png")
MOST_TEXT = 4 * 2**20  # bytes of the manifest
MOST_SETTINGS = 64 * 2**20  # as many as can be read of a PNG's text; a region's mask is in them
MOST_PICTURE = 256 * 2**20  # bytes of a PNG; one of 50 megapixels has 150 MB before it is compressed
MOST_MAPS = 2**30  # packed, and unpacked too
MOST_BYTES = 4 * 2**30  # of all files together
MOST_PIXELS = 200_000_000  # of all pictures together, which are all decoded at once


DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeError, OverflowError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
"""What reading a zip of anybody's may raise."""


class BundleError(ValueError):
    """A file that is no bundle, or a damaged one; one sentence with the remedy."""


def export_bundle(entry: Entry, file: str | Path) -> None:
    """Write an entry as one .zip; the file appears whole or not at all. Raises OSError: it can't be written or read."""
    settings = _json(entry.settings)
    members = {PICTURE: entry.result} | {_source_name(index): source for index, source in enumerate(entry.sources)}
    if entry.maps is not None:
        members[MAPS] = entry.maps
    hashes = {name: file_sha256(member) for name, member in members.items()}
    manifest = {
        "format": FORMAT,
        "made": entry.made.isoformat(),
        "files": hashes | {SETTINGS: hashlib.sha256(settings).hexdigest()},
        "loras": _lora_hashes(entry.settings),
    }
    # stored, as PNG and .npz are compressed already
    with appearing(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr(MANIFEST, _json(manifest))
        bundle.writestr(SETTINGS, settings)
        for name, member in members.items():
            bundle.write(member, name)


def import_bundle(file: str | Path, history: History) -> Entry:
    """Open a bundle into a history, as its newest entry.

    Raises:
        BundleError: not a bundle, or one that is damaged, too large, or holds anything else; nothing is kept of it.
        OSError: the file can't be read, or the history can't be written.
    """
    name = Path(file).name
    try:
        with zipfile.ZipFile(file) as bundle:
            result, sources = _opened(bundle)
    except DAMAGED as error:
        raise BundleError(f"{name}: not a bundle, or a damaged one ({_reason(error)}); export it again") from error
    except BundleError as error:
        raise BundleError(f"{name}: {error}; export it again where it was made") from error
    return history.save(result, sources)


# ---- reading, strictly


def _opened(bundle: zipfile.ZipFile) -> "tuple[EditResult, list[Image.Image]]":
    """Everything in it, checked: the result and its sources. Raises BundleError, or one of `DAMAGED`."""
    from mmdit.editor import EditResult

    count = _check_listing(bundle)
    manifest = _read_json(bundle, MANIFEST)
    hashes = manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(hashes, dict):
        raise BundleError(f"its format is {str(manifest.get('format'))[:40]!r}, and {FORMAT!r} can be opened")
    if hashes.keys() != set(bundle.namelist()) - {MANIFEST}:
        raise BundleError("its files are not those that its manifest lists")
    settings = _read_json(bundle, SETTINGS, hashes)
    with _refused_settings():
        check_settings(settings)
    _check_pixels(bundle, [PICTURE, *map(_source_name, range(count))])
    sources = [_picture(bundle, _source_name(index), hashes) for index in range(count)]
    picture = _picture(bundle, PICTURE, hashes)
    lost = {"region"} if hindrance(settings) else set()
    with _refused_settings():
        size = request_of({name: value for name, value in settings.items() if name not in lost}, sources).size
    if size != picture.size:
        raise BundleError(f"its {PICTURE} has another size than its settings say")
    return EditResult(picture, settings, {}, maps=_maps(bundle, hashes) if MAPS in hashes else None), sources


def _check_listing(bundle: zipfile.ZipFile) -> int:
    """What the bundle says it holds, before anything is unpacked; returns how many sources. Raises BundleError."""
    listed = bundle.infolist()
    if len(listed) > MOST_REFERENCES + 5:
        raise BundleError(f"it holds {len(listed)} files")
    names = [of.filename for of in listed]
    for of in listed:
        most = _most(of.filename)
        if not most or names.count(of.filename) > 1:
            raise BundleError(f"it holds {of.filename[:60]!r}, which no bundle does, or twice")
        if of.file_size > most:
            raise BundleError(f"its {of.filename} has {shown_size(of.file_size)}, more than {shown_size(most)}")
        if of.flag_bits & 1 or of.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"its {of.filename} is encrypted or packed in another way")
    total = sum(of.file_size for of in listed)
    if total > MOST_BYTES:
        raise BundleError(f"it holds {shown_size(total)}, more than {shown_size(MOST_BYTES)}")
    sources = [name for name in names if _SOURCE.fullmatch(name)]
    needed = {MANIFEST, SETTINGS, PICTURE, *(_source_name(index) for index in range(max(1, len(sources))))}
    if missing := sorted(needed - set(names)):
        raise BundleError(f"{missing[0]} is missing in it")
    return len(sources)


def _most(name: str) -> int:
    """The most bytes that a file of that name may have; 0 for one that has no business in a bundle."""
    known = {SETTINGS: MOST_SETTINGS, MANIFEST: MOST_TEXT, PICTURE: MOST_PICTURE, MAPS: MOST_MAPS}
    return MOST_PICTURE if _SOURCE.fullmatch(name) else known.get(name, 0)


def _read(bundle: zipfile.ZipFile, name: str, hashes: dict[str, Any] | None = None) -> bytes:
    """A file's bytes, never more than the listing said. Raises BundleError: it can't be read, or its SHA-256 is not the
    manifest's.
    """
    try:
        data = bundle.read(name)
    except OSError as error:  # the listing says that it begins before the bundle does
        raise BundleError(f"its {name} can't be read ({_reason(error)})") from error
    if hashes is not None and hashlib.sha256(data).hexdigest() != hashes[name]:
        raise BundleError(f"its {name} was changed after the bundle was made")
    return data


def _read_json(bundle: zipfile.ZipFile, name: str, hashes: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        read = json.loads(_read(bundle, name, hashes))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleError(f"its {name} is no JSON") from error
    if not isinstance(read, dict):
        raise BundleError(f"its {name} is no JSON object")
    return read


@contextmanager
def _refused_settings() -> Iterator[None]:
    """Each ValueError about the settings as a BundleError."""
    try:
        yield
    except ValueError as error:
        raise BundleError(f"its {SETTINGS} can't be used ({_reason(error)})") from error


def _check_pixels(bundle: zipfile.ZipFile, names: Sequence[str]) -> None:
    """Raises BundleError: pictures that are too large together, as their headers say, or none."""
    pixels = 0
    for name in names:
        with bundle.open(name) as file, _png(file, name) as opened:
            pixels += opened.width * opened.height
    if pixels > MOST_PIXELS:
        most = MOST_PIXELS // 10**6
        raise BundleError(f"its pictures have {pixels / 1e6:.0f} megapixels together, more than {most}")


def _picture(bundle: zipfile.ZipFile, name: str, hashes: dict[str, Any]) -> Image.Image:
    """A PNG, decoded. Raises BundleError: it is none, or has more pixels than a picture may."""
    from mmdit import images

    with _png(io.BytesIO(_read(bundle, name, hashes)), name) as opened:
        return images.prepare(opened, name)


@contextmanager
def _png(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """A PNG of which no pixel is decoded yet. Raises BundleError: it is none, or turns out to be no usable one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there are limits of our own
            with Image.open(file, formats=["PNG"]) as opened:
                yield opened
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BundleError(f"its {name} is no picture that can be used ({_reason(error)})") from error


def _maps(bundle: zipfile.ZipFile, hashes: dict[str, Any]) -> "AttentionMaps":
    from mmdit.attention.maps import AttentionMaps, MapsError

    data = _read(bundle, MAPS, hashes)
    with zipfile.ZipFile(io.BytesIO(data)) as arrays:  # as an .npz is
        unpacked = sum(of.file_size for of in arrays.infolist())
    if unpacked > MOST_MAPS:
        raise BundleError(f"its {MAPS} has {shown_size(unpacked)} unpacked, more than {shown_size(MOST_MAPS)}")
    with tempfile.TemporaryDirectory(prefix="mmdit-bundle-") as folder:
        file = Path(folder) / MAPS
        file.write_bytes(data)
        try:
            return AttentionMaps.load(file)
        except MapsError as error:
            raise BundleError(f"its {MAPS} can't be used ({_reason(error).replace(str(file), MAPS)})") from error


# ---- small things


def _source_name(index: int) -> str:
    return f"source.{index + 1}.png" if index else "source.png"


def _lora_hashes(settings: dict[str, Any]) -> dict[str, str]:
    loras = settings.get("loras")
    listed = loras if isinstance(loras, list) else []
    return {str(lora.get("name")): str(lora.get("sha256")) for lora in listed if isinstance(lora, dict)}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
