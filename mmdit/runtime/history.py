"""What was made, on disk: a result, its sources and its maps, the pictures with the settings in a text chunk.

In: an `EditResult` and its sources. Out: entries, by name, by age, by what is searched for. Knows neither jobs nor the
page; how files get into the folder is for `storage` to know.
"""

import logging
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import count as count_up
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmdit.runtime import storage
from mmdit.runtime.sizes import shown_size

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditResult

log = logging.getLogger(__name__)

MOST_REFERENCES = 100  # that are believed
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Entry:
    """
    Args:
        name: unique in its folder; sorts by time.
        result, source: PNG files.
        settings: all that is needed to make it again.
        maps: the recorded attention, an .npz; None when there is none.
        references: PNG files of the further pictures that were given.
    """

    name: str
    result: Path
    source: Path
    settings: dict[str, Any]
    maps: Path | None = None
    references: tuple[Path, ...] = ()

    @property
    def sources(self) -> tuple[Path, ...]:
        """Every picture that was given, the edited one first."""
        return (self.source, *self.references)

    @property
    def made(self) -> datetime:
        """When it was saved, in this machine's time zone."""
        return storage.moment_of(self.name)


class History:
    """The folder of results; made when the first one is saved.

    Args:
        limit: how many bytes `trim` leaves in it; 0 for no limit.
    """

    def __init__(self, folder: str | Path, limit: int = 0) -> None:
        self.folder = Path(folder).resolve()
        self.limit = limit
        self._lock = threading.Lock()
        self._read: dict[str, tuple[tuple[int, int], Entry | None]] = {}  # by name, with the file's time and size

    # ---- writing

    def save(self, result: "EditResult", sources: Sequence[Image.Image]) -> Entry:
        """Write a result, its sources and its maps; they appear all at once or not at all.

        Args:
            sources: as they were given to the editor, the edited one first.

        Raises:
            OSError: the folder can't be written.
        """
        from mmdit import images

        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = self._free_name()
            with storage.saving(self.folder, name) as stage:
                for index, source in enumerate(sources):
                    upright = images.prepare(source, f"picture {index + 1}")
                    images.save_png(upright, storage.source_file(stage, name, index), result.settings)
                if result.maps is not None:
                    result.maps.save(storage.maps_file(stage, name))
                images.save_png(result.image, storage.result_file(stage, name), result.settings)
            entry = self._entry(name, result.settings)
            self._read[name] = _stamp(entry.result), entry
        return entry

    def trim(self) -> tuple[str, ...]:
        """Remove the oldest results until the folder keeps its limit, but never the newest one.

        Returns:
            Sentences for the person whose results they are; none when nothing had to go.
        """
        if not self.limit:
            return ()
        with self._lock:
            sizes = storage.sizes(self.folder) if self.folder.is_dir() else {}
            ours = [name for name in sorted(sizes) if self.find(name) is not None]
            total = sum(sizes[name] for name in ours)
            removed: list[str] = []
            try:
                while total > self.limit and len(removed) < len(ours) - 1:
                    oldest = ours[len(removed)]
                    storage.remove(self.folder, oldest)
                    removed.append(oldest)
                    total -= sizes[oldest]
            except OSError as error:
                log.warning("an old result can't be removed: %s", error)
        warnings = self._said(len(removed), sum(sizes[name] for name in removed), total)
        for warning in warnings:
            log.warning(warning)
        return warnings

    def remove_leftovers(self) -> None:
        """Delete what killed saves left behind; for whoever starts to work with the folder."""
        if self.folder.is_dir():
            storage.remove_leftovers(self.folder)

    # ---- reading

    def latest(self, count: int) -> list[Entry]:
        """The newest entries, newest first. Files that this class did not write are passed over."""
        return list(islice(self._entries(), count))

    def search(self, text: str = "") -> list[Entry]:
        """The entries that have every word of ``text`` somewhere in their instruction, model, LoRAs, name or date.

        Newest first; capitals do not matter, and no text finds everything.
        """
        words = _plain(text).split()
        return [entry for entry in self._entries() if not words or _has(entry, words)]

    def find(self, name: str) -> Entry | None:
        """The entry of that name; None when there is none, or when its files are gone or damaged."""
        if storage.moment_of(name) is None:
            return None
        try:
            stamp = _stamp(storage.result_file(self.folder, name))
        except OSError:
            return None
        if name not in self._read or self._read[name][0] != stamp:
            settings = _settings(storage.result_file(self.folder, name))
            self._read[name] = stamp, None if settings is None else self._entry(name, settings)
        entry = self._read[name][1]
        return entry if entry is not None and all(source.is_file() for source in entry.sources) else None

    def _entries(self) -> Iterator[Entry]:
        for name in storage.names(self.folder):
            if (entry := self.find(name)) is not None:
                yield entry

    def _entry(self, name: str, settings: dict[str, Any]) -> Entry:
        """With the references that the settings count; from before they did, with those that are there."""
        told = settings.get("references", 0)
        files = (storage.source_file(self.folder, name, index) for index in count_up(1))
        counted = isinstance(told, int) and 0 < told <= MOST_REFERENCES
        references = tuple(islice(files, told) if counted else takewhile(Path.is_file, files))
        maps = storage.maps_file(self.folder, name)
        return Entry(
            name, storage.result_file(self.folder, name), storage.source_file(self.folder, name), settings,
            maps if maps.is_file() else None, references,
        )  # fmt: skip

    def _free_name(self) -> str:
        moment = datetime.now(timezone.utc)
        while any(self.folder.glob(f"*{storage.name_at(moment)}.*")):  # a result, or one that is being saved
            moment += timedelta(microseconds=1)
        return storage.name_at(moment)

    def _said(self, removed: int, freed: int, total: int) -> tuple[str, ...]:
        limit = f"the {shown_size(self.limit)} that the folder of results may hold"
        said = []
        if removed:
            oldest = "The oldest result was" if removed == 1 else f"The {removed} oldest results were"
            said.append(f"{oldest} removed ({shown_size(freed)}) to keep to {limit}; --outputs-limit sets another size")
        if total > self.limit:
            said.append(f"The results that are left take {shown_size(total)}, more than {limit}")
        return tuple(said)


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _settings(file: Path) -> dict[str, Any] | None:
    """Of a result that is whole and ours; no pixel is decoded."""
    from mmdit import images

    try:
        with file.open("rb") as opened:
            opened.seek(-len(PNG_END), 2)
            whole = opened.read() == PNG_END
        settings = images.read_settings(file) if whole else None
    except (OSError, SyntaxError, ValueError, RecursionError, Image.DecompressionBombError):
        return None
    return settings if isinstance(settings, dict) else None


def _has(entry: Entry, words: Sequence[str]) -> bool:
    settings = entry.settings
    loras = settings.get("loras")
    named = [lora.get("name") for lora in loras if isinstance(lora, dict)] if isinstance(loras, list) else []
    made = f"{entry.made:%Y-%m-%d %H:%M}"
    texts = (settings.get("instruction"), settings.get("model"), *named, entry.result.name, made)
    text = _plain("\n".join(str(text) for text in texts))
    return all(word in text for word in words)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
