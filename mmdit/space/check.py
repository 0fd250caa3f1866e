"""Whether a folder would work as a Hugging Face Space: its front matter, its requirements, its sizes.

In: a folder and its files. Out: a `Report`. Asks no network: versions are held against what is installed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from mmdit.space.folder import SpaceFile

FENCE = "---\n"
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
MOST_BYTES = 1024**3  # that a Space's repository may hold
LONGEST_DESCRIPTION = 60  # characters
OLDEST_PYTHON = Version("3.10")
NOT_REQUIRED = ("spaces", "flash-attn", "flash_attn")
"""The first is put there by the Space itself; the others have no wheel that its builder finds."""
ZERO_GPU_TORCH = tuple(Version(f"2.{minor}.0") for minor in (8, 9, 10, 11))


@dataclass(frozen=True)
class Report:
    """
    Args:
        front_matter: of README.md; empty where there is none that can be read.
        requirements: as they stand in requirements.txt, each with the version that is installed here.
        problems: one sentence each, with the remedy; none for a folder that can be uploaded.
    """

    files: tuple[SpaceFile, ...]
    front_matter: dict[str, Any]
    requirements: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)

    def text(self) -> str:
        """For people, one fact a line."""
        stored = [file for file in self.files if file.is_stored]
        matter = (f"{name}: {value}" for name, value in self.front_matter.items())
        lines = [
            f"{len(self.files)} files, {self.bytes / 1e6:.1f} MB",
            f"{len(stored)} of them, {sum(file.size for file in stored) / 1e6:.1f} MB, in large file storage:",
            *(f"  {file.path}  {file.size / 1e6:.2f} MB" for file in sorted(stored, key=lambda file: -file.size)),
            "front matter:",
            *(f"  {line}" for line in matter),
            "requirements, and what is installed here:",
            *(f"  {wanted}  {here or 'not installed'}" for wanted, here in self.requirements),
            *(f"problem: {problem}" for problem in self.problems),
            "not ready to upload" if self.problems else "ready to upload",
        ]
        return "\n".join(lines)


def check(folder: Path, files: Sequence[SpaceFile]) -> Report:
    """Look at what would be uploaded."""
    names = {str(file.path) for file in files}
    matter, problems = _front_matter(folder / "README.md")
    problems += tuple(_matter_problems(matter, names)) if matter else ()
    wanted, unreadable = _requirements(folder / "requirements.txt")
    problems += (*unreadable, *_requirement_problems(wanted, str(matter.get("sdk_version", ""))))
    total = sum(file.size for file in files)
    if total > MOST_BYTES:
        problems += (f"the files are {total / 1e9:.2f} GB; a Space may hold {MOST_BYTES / 1e9:.2f} GB, leave some out",)
    return Report(tuple(files), matter, tuple((str(of), _installed(of.name)) for of in wanted), problems)


def _front_matter(readme: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    parts = text.split(FENCE, 2)
    if not text.startswith(FENCE) or len(parts) < 3:
        return {}, ("README.md does not begin with front matter between two lines of ---; write some",)
    try:
        read = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return {}, (f"the front matter of README.md is not YAML ({' '.join(str(error).split())}); mend it",)
    return (read, ()) if isinstance(read, dict) else ({}, ("the front matter of README.md names nothing; write some",))


def _matter_problems(matter: dict[str, Any], names: set[str]) -> Iterator[str]:
    for name in ("title", "emoji", "sdk", "sdk_version", "app_file", "python_version", "license"):
        if not matter.get(name):
            yield f"the front matter does not say {name}; add it"
    if matter.get("sdk", "gradio") != "gradio":
        yield f"sdk is {matter['sdk']!r}; write gradio"
    if matter.get("app_file") and matter["app_file"] not in names:
        yield f"app_file is {matter['app_file']!r}, which is not among the files; write app.py"
    for name in ("colorFrom", "colorTo"):
        if matter.get(name, COLOURS[0]) not in COLOURS:
            yield f"{name} is {matter[name]!r}; use one of {', '.join(COLOURS)}"
    if len(str(matter.get("short_description", ""))) > LONGEST_DESCRIPTION:
        yield f"short_description is longer than {LONGEST_DESCRIPTION} characters; shorten it"
    for name in ("python_version", "sdk_version"):  # a number loses its last zero: 3.10 is 3.1
        if matter.get(name) and (not isinstance(matter[name], str) or _version(matter[name]) is None):
            yield f"{name} is {matter[name]!r}; write a version in quotes"
    python = _version(matter.get("python_version"))
    if python is not None and python < OLDEST_PYTHON:
        yield f"python_version is {python}; this program needs {OLDEST_PYTHON} or newer"


def _requirements(file: Path) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    wanted, problems = [], [] if lines else ["requirements.txt is missing or empty; write it"]
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        try:
            wanted.append(Requirement(line))
        except InvalidRequirement:
            problems.append(f"{line!r} in requirements.txt is no requirement; write name>=version")
    return tuple(wanted), tuple(problems)


def _requirement_problems(wanted: Sequence[Requirement], sdk_version: str) -> Iterator[str]:
    for of in wanted:
        here = _installed(of.name)
        if of.name.lower() in NOT_REQUIRED:
            yield f"{of.name} is in requirements.txt; leave it out, a Space brings it along or can't build it"
        elif not here:
            yield f"{of.name} is not installed here, so whether it exists is unknown; install it, or correct the name"
        elif not of.specifier.contains(here, prereleases=True):
            yield f"{of} is asked for, but {here} is what it was tried with here; correct requirements.txt"
        if of.name == "gradio" and _version(sdk_version) and not of.specifier.contains(sdk_version):
            yield f"sdk_version is {sdk_version}, and requirements.txt asks for {of}; make them agree"
        if of.name == "gradio" and here and sdk_version != here:
            yield f"sdk_version is {sdk_version or 'not given'}, but {here} is what was tried here; write that"
        if of.name == "torch" and not any(of.specifier.contains(known) for known in ZERO_GPU_TORCH):
            yield f"{of} is asked for; ZeroGPU has {', '.join(map(str, ZERO_GPU_TORCH))}"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _version(text: Any) -> Version | None:
    try:
        return Version(text)
    except (InvalidVersion, TypeError):
        return None
