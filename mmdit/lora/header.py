"""The header of a safetensors file: names, shapes, types, metadata and single numbers, but no weights.

In: a path. Out: a `LoraHeader`, whatever the file's size, and its digest. Knows nothing of what the names mean.
"""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

LARGEST_HEADER = 32 * 2**20  # bytes; real ones have some hundred thousand, and it must fit in memory
_ARCHIVES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_NUMBERS = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B"}


class LoraError(ValueError):
    """A LoRA that can't be read or used, in one sentence."""


@dataclass(frozen=True)
class LoraHeader:
    """
    Args:
        bytes: size of the whole file.
        shapes, dtypes: by tensor key, in the file's order; types as safetensors names them ("BF16").
        scalars: values of the tensors of one element.
    """

    path: Path
    bytes: int
    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    scalars: dict[str, float]


def read_header(path: str | Path) -> LoraHeader:
    """Read what a file says of itself; safetensors' own reader checks it first. Nothing in it is executed.

    Raises:
        LoraError: no file, no safetensors, truncated, tensors that overlap, a header too large to be one.
    """
    path = Path(path)
    if not path.is_file():
        raise LoraError(f"there is no file {str(path)!r}; name a .safetensors file")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start.startswith(_ARCHIVES):
                raise LoraError(f"{str(path)!r} is a pickle or zip archive, not safetensors; get a .safetensors file")
            length = int.from_bytes(start, "little")
            if length > LARGEST_HEADER:
                raise LoraError(f"{str(path)!r} is no safetensors file: it claims a header of {length:,} bytes")
            with safe_open(path, "np"):
                entries = json.loads(file.read(length))
            metadata = entries.pop("__metadata__", None) or {}
            shapes = {key: tuple(entry["shape"]) for key, entry in entries.items()}
            scalars = {}
            for key, entry in entries.items():
                if math.prod(shapes[key]) == 1:
                    file.seek(8 + length + entry["data_offsets"][0])
                    scalars[key] = _number(file.read(8), entry["dtype"])
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, LoraError):
            raise
        reason = " ".join(str(error).split())
        raise LoraError(f"{str(path)!r} is no intact safetensors file ({reason}); get it again") from error
    dtypes = {key: entry["dtype"] for key, entry in entries.items()}
    return LoraHeader(path, path.stat().st_size, metadata, shapes, dtypes, scalars)


def file_sha256(path: Path) -> str:
    """Of the whole file, in hexadecimal. Raises OSError: it can't be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _number(raw: bytes, dtype: str) -> float:
    """The first number in some bytes; not a number for a type that holds none."""
    if dtype == "BF16":  # the upper half of a float32
        raw, dtype = b"\0\0" + raw[:2], "F32"
    if dtype == "F8_E5M2":  # the upper half of a float16
        raw, dtype = b"\0" + raw[:1], "F16"
    if dtype == "F8_E4M3" and raw[0] & 127 != 127:  # a float16's upper bits, but the exponent is 8 less
        (number,) = struct.unpack("<e", struct.pack("<H", (raw[0] & 128) << 8 | (raw[0] & 127) << 7))
        return 256 * number
    layout = _NUMBERS.get(dtype)
    return float(struct.unpack_from(layout, raw)[0]) if layout else math.nan
