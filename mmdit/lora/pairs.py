"""A folder of picture pairs to learn a look from: sources, targets and what the user will say.

In: a folder with ``name.source.png``, ``name.target.png`` and ``name.txt`` (an instruction a line) for every pair,
or with one ``pairs.jsonl``. Out: `PicturePair`s, and their pictures when asked. Knows nothing of models.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from PIL import Image

from mmdit import images
from mmdit.lora.inspect import LoraError

LIST = "pairs.jsonl"
SOURCE, TARGET, TEXT = ".source.png", ".target.png", ".txt"
HELD_OUT_EVERY, FEWEST_TO_HOLD_OUT = 10, 5


@dataclass(frozen=True)
class PicturePair:
    """
    Args:
        name: for people and messages.
        source, target: picture files of one size.
        instructions: at least one, none empty; each asks for the edit in its own words.
    """

    name: str
    source: Path
    target: Path
    instructions: tuple[str, ...]

    def open(self) -> tuple[Image.Image, Image.Image]:
        """Source and target, upright RGB. Raises LoraError: a file that is no picture, or two sizes."""
        try:
            source, target = images.load_image(self.source), images.load_image(self.target)
        except images.ImageError as error:
            raise LoraError(str(error)) from error
        if source.size != target.size:
            sizes = " and ".join(f"{width}×{height}" for width, height in (source.size, target.size))
            raise LoraError(f"{self.source} and {self.target.name} are {sizes}; both pictures of a pair need one size")
        return source, target


def read_pairs(folder: str | Path) -> tuple[PicturePair, ...]:
    """Every pair of a folder, in the order of the names or of the list; opens no picture.

    Where there is a ``pairs.jsonl``, it alone decides: a JSON object a line, with "source" and "target" (paths
    inside the folder) and "instruction" or "instructions".

    Raises:
        LoraError: no such folder, no pair, a missing file, no instruction, a path that leads out of the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LoraError(f"{folder}: no such folder; give one that holds pairs of pictures")
    listed = folder / LIST
    pairs = _listed(listed) if listed.is_file() else _named(folder)
    if not pairs:
        raise LoraError(f"{folder} holds no pair; put name{SOURCE}, name{TARGET} and name{TEXT} into it, or a {LIST}")
    return pairs


def hold_out(pairs: Sequence[PicturePair]) -> tuple[tuple[PicturePair, ...], tuple[PicturePair, ...]]:
    """(to learn from, held out): every tenth is held out, of five to nine the last, of fewer none."""
    every = min(HELD_OUT_EVERY, max(len(pairs), FEWEST_TO_HOLD_OUT))
    held_out = tuple(pairs[every - 1 :: every])
    return tuple(pair for index, pair in enumerate(pairs) if (index + 1) % every), held_out


def fingerprint(pairs: Sequence[PicturePair]) -> str:
    """First 16 hex digits of the SHA-256 over the pairs' files and instructions, in their order."""
    digest = hashlib.sha256()
    for pair in pairs:
        for part in (pair.source.read_bytes(), pair.target.read_bytes(), "\n".join(pair.instructions).encode()):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def _named(folder: Path) -> tuple[PicturePair, ...]:
    files = {file.name for file in folder.iterdir() if file.is_file()}
    names = {file.removesuffix(end) for end in (SOURCE, TARGET) for file in files if file.endswith(end)}
    pairs = []
    for name in sorted(names):
        for end in (SOURCE, TARGET, TEXT):
            if name + end not in files:
                there = next(name + other for other in (SOURCE, TARGET) if name + other in files)
                raise LoraError(f"{folder / (name + end)} is missing, although {there} is there; add it")
        text = folder / (name + TEXT)
        lines = (line.strip() for line in _read_text(text).splitlines())
        instructions = tuple(line for line in lines if line)
        if not instructions:
            raise LoraError(f"{text} is empty; write what to do into it, an instruction a line")
        pairs.append(PicturePair(name, folder / (name + SOURCE), folder / (name + TARGET), instructions))
    return tuple(pairs)


def _listed(file: Path) -> tuple[PicturePair, ...]:
    pairs = []
    for number, line in enumerate(_read_text(file).split("\n"), start=1):
        if line.strip():
            pairs.append(_from_line(line, file.parent, f"{file} line {number}"))
    return tuple(pairs)


def _from_line(line: str, folder: Path, where: str) -> PicturePair:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LoraError(f"{where} is not JSON; write one object a line") from error
    if not isinstance(entry, dict):
        raise LoraError(f'{where} is {line.strip()[:40]}; it must be an object with "source", "target", "instruction"')
    source, target = (_inside(entry.get(key), folder, f"{where}: {key!r}") for key in ("source", "target"))
    return PicturePair(source.name, source, target, _instructions(entry, where))


def _inside(value: Any, folder: Path, where: str) -> Path:
    """The file of the folder that a path names."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise LoraError(f"{where} is {value!r}; it must be the path of a picture inside {folder}")
    parts = {*PurePosixPath(value).parts, *PureWindowsPath(value).parts}
    leads_out = ".." in parts or PurePosixPath(value).is_absolute() or bool(PureWindowsPath(value).anchor)
    file = folder / value
    if leads_out or not file.resolve().is_relative_to(folder.resolve()):
        raise LoraError(f"{where} is {value!r}, which leads out of {folder}; put the picture into the folder")
    if not file.is_file():
        raise LoraError(f"{where} is {value!r}, but {file} does not exist; add it or take the line out")
    return file


def _instructions(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    several = entry.get("instructions", [entry.get("instruction")])
    usable = isinstance(several, list) and all(isinstance(text, str) and text.strip() for text in several)
    if not several or not usable:
        raise LoraError(f'{where} says nothing to do; give an "instruction", or several in a list "instructions"')
    return tuple(text.strip() for text in several)


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoraError(f"{file} is not text in UTF-8; save it again as UTF-8") from error
