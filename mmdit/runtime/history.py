"""What was made, on disk: one folder, two PNG files an edit, each with the settings in a text chunk, and its maps.

In: an `EditResult` and its source. Out: files whose names sort by time. Knows neither jobs nor the page.
"""

import re
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditResult

NAME = re.compile(r"\d{8}-\d{6}-\d{6}")
TIME_FORMAT = "%Y%m%d-%H%M%S-%f"  # UTC, so that names sort by time even when the clocks change


@dataclass(frozen=True)
class Entry:
    """
    Args:
        name: unique in its folder; sorts by time.
        result, source: PNG files.
        maps: the recorded attention, an .npz; None when there is none.
        settings: all that is needed to make it again.
    """

    name: str
    result: Path
    source: Path
    settings: dict[str, Any]
    maps: Path | None = None


class History:
    """The folder of results; made when the first one is saved."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self._lock = threading.Lock()
        self._read: dict[str, Entry] = {}  # entries never change, and a large PNG takes long to read

    def save(self, result: "EditResult", source: Image.Image) -> Entry:
        """Write a result, its source and its maps. The result comes last: where it is, the others are too.

        Args:
            source: as it was given to the editor, upright.

        Raises:
            OSError: the folder can't be written.
        """
        from mmdit import images

        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = self._free_name()
            maps = None if result.maps is None else self._maps(name)
            entry = Entry(name, self._result(name), self._source(name), result.settings, maps)
            try:
                images.save_png(images.prepare(source), entry.source, result.settings)
                if result.maps is not None:
                    result.maps.save(maps)
                images.save_png(result.image, entry.result, result.settings)
            except BaseException:
                entry.source.unlink(missing_ok=True)
                self._maps(name).unlink(missing_ok=True)
                raise
            self._read[name] = entry
        return entry

    def latest(self, count: int) -> list[Entry]:
        """The newest entries, newest first. Files that this class did not write are passed over."""
        entries: list[Entry] = []
        for file in sorted(self.folder.glob("*.png"), reverse=True):
            if len(entries) == count:
                break
            if (entry := self.find(file.stem)) is not None:
                entries.append(entry)
        return entries

    def find(self, name: str) -> Entry | None:
        """The entry of that name; None when there is none, or when its files are gone or damaged."""
        from mmdit import images

        if not NAME.fullmatch(name) or not self._result(name).is_file() or not self._source(name).is_file():
            return None
        if name not in self._read:
            try:
                settings = images.read_settings(self._result(name))
            except (OSError, SyntaxError, ValueError):
                return None
            if not isinstance(settings, dict):
                return None
            maps = self._maps(name) if self._maps(name).is_file() else None
            self._read[name] = Entry(name, self._result(name), self._source(name), settings, maps)
        return self._read[name]

    def _free_name(self) -> str:
        moment = datetime.now(timezone.utc)
        while self._result(moment.strftime(TIME_FORMAT)).exists():
            moment += timedelta(microseconds=1)
        return moment.strftime(TIME_FORMAT)

    def _result(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def _source(self, name: str) -> Path:
        return self.folder / f"{name}.source.png"

    def _maps(self, name: str) -> Path:
        return self.folder / f"{name}.maps.npz"
