"""What a preset's YAML may say: one small file → a checked `Preset`, or a `PresetError` that says what to change.

In: a YAML file. Out: a `Preset` whose local paths lie inside the YAML's folder by name; whether they are there is
for others to see. Plain values are read as text, and as numbers only by the fields that want one, so that ``no`` is a
word and a date builds no object. Knows no folder of presets, no hub and no model.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mmdit.lora.inspect import LoraError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
SEE = "see the example in lora_presets/README.md"
WEIGHTS = (-2.0, 2.0)
USUAL_WEIGHTS = (0.0, 1.5)
LORA_SUFFIXES = (".safetensors",)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class PresetError(LoraError):
    """A preset or a LoRA's name that can't be used; one sentence with the value and the remedy."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub, at a branch, tag or full commit hash."""

    repository: str
    file: str
    revision: str = "main"


@dataclass(frozen=True)
class Preset:
    """
    Args:
        name: what people and programs call it: the YAML's name without its ending.
        title, description, base, licence, homepage: for people; empty where the YAML says nothing.
        family: name of the architecture that it was trained for, as `mmdit.lora.architectures` has it.
        file, hub: where the weights are; exactly one is given.
        sha256: of the weights, 64 lower-case hex digits; None to take them as they are.
        alpha: for weights that carry none.
        weight, weight_range: where a slider starts, and its two ends.
        instructions: what to tell the model, most useful first.
        trigger: words that have to be in the instruction; empty for none.
        steps, guidance, shift: of the sampler; None for the model's own.
        thumbnail: a picture of what it does.
        needs: what it takes to run, one sentence.
    """

    name: str
    title: str
    family: str
    description: str = ""
    base: str = ""
    file: Path | None = None
    hub: HubFile | None = None
    sha256: str | None = None
    alpha: float | None = None
    weight: float = 1.0
    weight_range: tuple[float, float] = USUAL_WEIGHTS
    instructions: tuple[str, ...] = ()
    trigger: str = ""
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    licence: str = ""
    homepage: str = ""
    thumbnail: Path | None = None
    needs: str = ""


def read_preset(path: Path, label: str) -> Preset:
    """The preset that a YAML describes.

    Args:
        label: what errors call the file.

    Raises:
        PresetError: not such a YAML, a field that is missing, unknown or out of range.
    """
    check_name(path.stem, label)
    values = _fields(_document(path, label), FIELDS, label, "")
    values |= _source(values.pop("source"), path.parent, label)
    if "thumbnail" in values:
        values["thumbnail"] = path.parent / values["thumbnail"]
    weight = values.get("weight", 1.0)
    low, high = values.setdefault("weight_range", (min(USUAL_WEIGHTS[0], weight), max(USUAL_WEIGHTS[1], weight)))
    if not low <= weight <= high:
        raise PresetError(
            f"{label}: weight is {weight:g}, outside the weight_range [{low:g}, {high:g}]; change one of the two"
        )
    return Preset(name=path.stem, **values)


def read_hub_file(given: Mapping[str, object], label: str, prefix: str = "") -> HubFile:
    """The same for ``repository``, ``file`` and ``revision`` alone."""
    return HubFile(**_fields(given, HUB, label, prefix))


def check_name(name: str, label: str) -> None:
    """Raises PresetError for a file name that would make an ambiguous preset name."""
    if not name.isprintable() or name != name.strip() or ":" in name or len(name) > 100:
        raise PresetError(
            f"{label} can't name a preset; rename the file: at most 100 characters, no colon, no space at the ends"
        )


def shown(value: object) -> str:
    """Any value in at most 60 printable characters, for error messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def printable(text: str) -> bool:
    """Without control characters but for line ends and tabs, and without half surrogates."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t" for letter in text)


# ---- YAML ----


class _Loader(yaml.SafeLoader):
    """Mappings, lists and text; no tags, anchors or aliases, no key twice, at most `MAX_DEPTH` levels."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - replaces PyYAML's own table of guesses: numbers, dates, yes and no
        letter: [(tag, pattern) for tag, pattern in guesses if tag == "tag:yaml.org,2002:null"]
        for letter, guesses in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        if event.tag is not None:
            raise yaml.MarkedYAMLError(problem="tags are not allowed", problem_mark=event.start_mark)
        if self.depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a field's name is not text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{shown(key.value)} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _document(path: Path, label: str) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PresetError(f"{label} can't be read ({error.strerror}); check that you may read it") from None
    if len(data) > MAX_BYTES:
        raise PresetError(f"{label} is larger than {MAX_BYTES // 1024} kB; a preset holds a few lines, no weights")
    try:
        document = yaml.load(data.decode("utf-8-sig"), _Loader)  # a SafeLoader: makes plain values only
    except UnicodeDecodeError:
        raise PresetError(f"{label} is not UTF-8 text; save it as such") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise PresetError(f"{label}: {line}{problem}; {SEE}") from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise PresetError(f"{label} has characters that YAML does not allow; write it anew as plain text") from None
    if not isinstance(document, dict):
        raise PresetError(f"{label} holds {shown(document)}; write lines such as 'title: Pencil sketch'")
    return document


# ---- fields ----


class _Wrong(Exception):  # noqa: N818 - what to write instead, on its way to a PresetError
    pass


@dataclass(frozen=True)
class Field:
    """How a field is read from the YAML's value, and whether it has to be there."""

    read: Callable[[object], Any]
    required: bool = False


def _text(longest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > longest or not printable(value):
            raise _Wrong(f"write 1 to {longest} printable characters")
        return value.strip()

    return read


def _number(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        try:
            number = float(value) if isinstance(value, str) else math.nan
        except ValueError:
            number = math.nan
        if not low <= number <= high:  # false for NaN
            raise _Wrong(f"write a number from {low:g} to {high:g}")
        return number

    return read


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"\d{1,6}", value, re.ASCII) or not low <= int(value) <= high:
            raise _Wrong(f"write a whole number from {low} to {high}")
        return int(value)

    return read


def _matching(pattern: str, remedy: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise _Wrong(remedy)
        return value

    return read


def _list(read_one: Callable[[object], Any], least: int, most: int) -> Callable[[object], tuple[Any, ...]]:
    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise _Wrong(f"write a list of {least if least == most else f'{least} to {most}'} entries")
        return tuple(read_one(entry) for entry in value)

    return read


def _range(value: object) -> tuple[float, float]:
    low, high = _list(_number(*WEIGHTS), 2, 2)(value)
    if low >= high:
        raise _Wrong("write the lower weight first")
    return low, high


def _path(suffixes: tuple[str, ...]) -> Callable[[object], str]:
    """A path that stays below where it starts, with forward slashes: "look.safetensors"."""

    def read(value: object) -> str:
        path = PurePosixPath(value) if isinstance(value, str) else PurePosixPath()
        text = str(path)
        leaves = path.is_absolute() or ".." in path.parts or re.search(r"[\\:\n\t]", text)
        if leaves or path.suffix.lower() not in suffixes or len(text) > 200 or not printable(text):
            raise _Wrong(f"write a relative path to a {' or '.join(suffixes)} file, without '..'")
        return text

    return read


def _lines(*names: str) -> Callable[[object], Mapping[str, object]]:
    def read(value: object) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise _Wrong(f"write {' or '.join(f'{name}: …' for name in names)} on the line below it, indented")
        return value

    return read


HUB_REPOSITORY = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
FIELDS: Mapping[str, Field] = {
    "title": Field(_text(100), required=True),
    "description": Field(_text(2000)),
    "family": Field(_matching(r"[a-z0-9][a-z0-9.-]{0,59}", "write an architecture such as mini"), required=True),
    "base": Field(_text(200)),
    "source": Field(_lines("file", "hub"), required=True),
    "sha256": Field(_matching(r"[0-9a-f]{64}", "write the 64 lower-case hex digits that sha256sum prints")),
    "alpha": Field(_number(1e-3, 1e5)),
    "weight": Field(_number(*WEIGHTS)),
    "weight_range": Field(_range),
    "instructions": Field(_list(_text(1000), 1, 200)),
    "trigger": Field(_text(200)),
    "steps": Field(_whole(1, 100)),
    "guidance": Field(_number(0, 20)),
    "shift": Field(_number(0.1, 100)),
    "licence": Field(_text(200)),
    "homepage": Field(
        _matching(r"https://[\w.~:/?#@!$&()*+,;=%-]{3,500}", "write an address that begins with https://")
    ),
    "thumbnail": Field(_path(PICTURE_SUFFIXES)),
    "needs": Field(_text(500)),
}
SOURCE: Mapping[str, Field] = {"file": Field(_path(LORA_SUFFIXES)), "hub": Field(_lines("repository"))}
HUB: Mapping[str, Field] = {
    "repository": Field(_matching(HUB_REPOSITORY, "write owner/name as on the hub"), required=True),
    "file": Field(_path(LORA_SUFFIXES), required=True),
    "revision": Field(_matching(r"(?!.*\.\.)[\w][\w./-]{0,99}", "write a full commit hash, a tag or main")),
}


def _fields(given: Mapping[str, object], table: Mapping[str, Field], label: str, prefix: str) -> dict[str, Any]:
    """Checked values of the fields that are given; a field without a value counts as left out."""
    for name in given:
        if name not in table:
            nearest = difflib.get_close_matches(str(name)[:60], table, 1, cutoff=0.0)[0]
            raise PresetError(f"{label}: {shown(name)} is no known field; did you mean {prefix}{nearest}?")
    values = {}
    for name, field in table.items():
        if given.get(name) in (None, ""):
            if field.required:
                raise PresetError(f"{label}: {prefix}{name} is missing; {SEE}")
            continue
        try:
            values[name] = field.read(given[name])
        except _Wrong as wrong:
            raise PresetError(f"{label}: {prefix}{name} is {shown(given[name])}; {wrong}") from None
    return values


def _source(given: Mapping[str, object], folder: Path, label: str) -> dict[str, Any]:
    source = _fields(given, SOURCE, label, "source.")
    if len(source) != 1:
        raise PresetError(f"{label}: source has {' and '.join(source) or 'nothing'}; give it either file or hub")
    if "file" in source:
        return {"file": folder / source["file"]}
    return {"hub": read_hub_file(source["hub"], label, "source.hub.")}
