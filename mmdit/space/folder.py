"""The folder that a Hugging Face Space is made of: what of this repository goes into it, and how it is written.

In: a checkout. Out: a list of files, or a folder that can be uploaded as it is. Judges nothing; see `check`.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

LEFT_OUT = ("tests", ".ci", ".github", ".pre-commit-config.yaml", "pyproject.toml")
ATTRIBUTES = ".gitattributes"
BINARY = ("*.safetensors", "*.npz", "*.png", "*.jpg", "*.webp", "*.gif")
"""What a Space takes through large file storage (LFS) only, whatever its size."""
LARGE = 10 * 1024**2  # bytes, from which a Space takes any file through LFS only


@dataclass(frozen=True)
class SpaceFile:
    """
    Args:
        path: relative to the folder.
        is_stored: kept in large file storage.
    """

    path: PurePosixPath
    size: int
    is_stored: bool


def files_of(repository: Path) -> tuple[SpaceFile, ...]:
    """What would be uploaded: the files that git tracks, without those that only developers need.

    Raises:
        ValueError: no git checkout, or a tracked file is not there.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True)
    if listed.returncode != 0:
        raise ValueError(f"{repository} is no git checkout, so which files belong to it is unknown; clone it with git")
    paths = [PurePosixPath(path) for path in listed.stdout.split("\0") if path]
    kept = [path for path in paths if path.parts[0] not in LEFT_OUT and path.name != ATTRIBUTES]
    missing = [str(path) for path in kept if not (repository / path).is_file()]
    if missing:
        raise ValueError(f"{missing[0]} is tracked by git but not there; restore it with git checkout")
    return tuple(_measured(repository, path) for path in kept)


def write(repository: Path, files: Sequence[SpaceFile], out: Path) -> None:
    """Copy the files into a new folder; it appears whole or not at all.

    Raises:
        ValueError: the folder is there already, or its parent is not.
    """
    if out.exists():
        raise ValueError(f"{out} is there already; name a folder that is not")
    if not out.parent.is_dir():
        raise ValueError(f"output folder {str(out.parent)!r} does not exist; make it first")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as stage:
        whole = Path(stage, "space")
        for file in files:
            (whole / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / file.path, whole / file.path)
        (whole / ATTRIBUTES).write_text(_attributes(files), encoding="utf-8")
        whole.rename(out)


def _measured(repository: Path, path: PurePosixPath) -> SpaceFile:
    size = (repository / path).stat().st_size
    return SpaceFile(path, size, size > LARGE or any(fnmatch(path.name, pattern) for pattern in BINARY))


def _attributes(files: Sequence[SpaceFile]) -> str:
    """The .gitattributes that put into large file storage what has to be there."""
    stored = [file.path for file in files if file.is_stored]
    named = [path.as_posix() for path in stored if not any(fnmatch(path.name, pattern) for pattern in BINARY)]
    used = [pattern for pattern in BINARY if any(fnmatch(path.name, pattern) for path in stored)]
    return "".join(f"{of} filter=lfs diff=lfs merge=lfs -text\n" for of in (*used, *named))
