"""Files of the folder of results: how they are named, how they get there whole, and what a killed process left.

A save writes into a hidden folder beside the results, ``.NAME.HOST-PID-START.partial``, then moves its files out, the
result last. A removal goes the other way round. Whoever is killed in between leaves that folder behind, and it tells
whose it was. Knows no pictures.
"""

import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

TIME_FORMAT = "%Y%m%d-%H%M%S-%f"  # UTC, so that names sort by time even when the clocks change
NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{6}")
_FILE = re.compile(rf"({NAME.pattern})(?:\.source(?:\.[0-9]+)?)?\.png|({NAME.pattern})\.maps\.npz")
_STAGE = re.compile(rf"\.({NAME.pattern})\.(\w*)-([0-9]+)-([0-9]+)\.partial")
SECONDS_APART = 2  # by which a process's start may be told differently after the clock was set
ABANDONED = 3600.0  # seconds after which a save on another machine is taken for dead


def name_at(moment: datetime) -> str:
    """The name of a result that is saved at a moment."""
    return moment.astimezone(timezone.utc).strftime(TIME_FORMAT)


def moment_of(name: str) -> datetime | None:
    """When a result was saved, in this machine's time zone; None for what is no result's name."""
    if not NAME.fullmatch(name):
        return None
    try:
        return datetime.strptime(name, TIME_FORMAT).replace(tzinfo=timezone.utc).astimezone()
    except (ValueError, OverflowError):  # no such day
        return None


def result_file(folder: Path, name: str) -> Path:
    """Where it is, a result is complete."""
    return folder / f"{name}.png"


def source_file(folder: Path, name: str, index: int = 0) -> Path:
    """The picture that was edited, or the ``index``-th reference, counted from 1."""
    return folder / (f"{name}.source.{index + 1}.png" if index else f"{name}.source.png")


def maps_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.maps.npz"


def names(folder: Path) -> list[str]:
    """Of everything that is named like a result, newest first."""
    return sorted((file.stem for file in folder.glob("*.png") if NAME.fullmatch(file.stem)), reverse=True)


def files_of(folder: Path, name: str) -> list[Path]:
    """Every file of a result, the result itself first."""
    found = [file for file in folder.glob(f"{name}.*") if _FILE.fullmatch(file.name)]
    return sorted(found, key=lambda file: (file != result_file(folder, name), file.name))


def sizes(folder: Path) -> dict[str, int]:
    """Name → bytes of all files of that name."""
    found: dict[str, int] = {}
    for file in folder.iterdir():
        if match := _FILE.fullmatch(file.name):
            try:
                size = file.stat().st_size
            except FileNotFoundError:  # removed by another process
                continue
            name = match[1] or match[2]
            found[name] = found.get(name, 0) + size
    return found


@contextmanager
def saving(folder: Path, name: str) -> Iterator[Path]:
    """A folder to write a result's files into; on leaving they become the result's, all of them or none.

    Raises:
        OSError: the folder can't be written.
    """
    with _stage(folder, name) as stage:
        yield stage
        last = result_file(stage, name)
        moved: list[Path] = []
        try:
            for file in sorted(stage.iterdir(), key=lambda file: file == last):
                moved.append(folder / file.name)
                file.replace(moved[-1])
        except BaseException:
            for file in reversed(moved):
                file.unlink(missing_ok=True)
            raise


def remove(folder: Path, name: str) -> None:
    """Delete a result. Raises OSError: it can't be."""
    with _stage(folder, name) as stage:
        for file in files_of(folder, name):
            file.replace(stage / file.name)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-saved or half-removed; what another process does now is left alone."""
    for stage in folder.glob(".*.partial"):
        match = _STAGE.fullmatch(stage.name)
        if match is None or _is_alive(stage, match[2], int(match[3]), int(match[4])):
            continue
        if not result_file(folder, match[1]).exists():
            for file in files_of(folder, match[1]):
                file.unlink(missing_ok=True)
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _stage(folder: Path, name: str) -> Iterator[Path]:
    stage = folder / f".{name}.{_this_process()}.partial"
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _is_alive(stage: Path, host: str, process: int, started: int) -> bool:
    import psutil

    if host != _host():
        try:
            return time.time() - stage.stat().st_mtime < ABANDONED
        except FileNotFoundError:  # it has ended meanwhile
            return True
    try:
        return abs(psutil.Process(process).create_time() - started) <= SECONDS_APART
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # somebody else's
        return True


def _this_process() -> str:
    import psutil

    process = psutil.Process()
    return f"{_host()}-{process.pid}-{int(process.create_time())}"


@cache
def _host() -> str:
    return re.sub(r"\W|_", "", platform.node(), flags=re.ASCII)[:40]
