"""The strips of small pictures to click: examples, variants, recent results.

In: the history, a folder of examples. Out: HTML; a click names a result or an example.
"""

import functools
import json
from pathlib import Path

from mmdit.runtime.history import Entry, History
from mmdit.ui import markup
from mmdit.ui.language import say

RECENT = 12


class Strips:
    """
    Args:
        examples: folder with pictures and an ``examples.json``; may be missing.

    Attributes:
        pictures: the examples: file name → (file, instruction), of those that are there.
    """

    def __init__(self, history: History, examples: Path) -> None:
        self._history = history
        self.pictures = _read_examples(examples)
        self._thumbnail = functools.lru_cache(maxsize=256)(markup.thumbnail)

    def examples(self) -> str:
        items = [
            markup.StripItem(name, self._thumbnail(file), instruction)
            for name, (file, instruction) in self.pictures.items()
        ]
        return markup.strip(items, "")

    def variants(self, series: tuple[Entry, ...], chosen: Entry | None) -> str:
        """What a job has made so far, to choose from."""
        items = [markup.StripItem(entry.name, self._thumbnail(entry.result), _differs(entry)) for entry in series]
        return markup.strip(items, "", chosen.name if chosen is not None else "")

    def recent(self) -> str:
        """The newest results."""
        items = [
            markup.StripItem(entry.name, self._thumbnail(entry.result), entry.settings.get("instruction", ""))
            for entry in self._history.latest(RECENT)
        ]
        return markup.strip(items, say("Every result is kept on disk and shown here. There are none so far."))


def _differs(entry: Entry) -> str:
    """What tells a variant from the others: its strength, if it has one, or its seed."""
    strength = entry.settings.get("strength")
    if strength is not None:
        return say("strength {strength}", strength=f"{strength['value']:g}")
    return say("seed {seed}", seed=entry.settings["seed"])


def _read_examples(folder: Path) -> dict[str, tuple[Path, str]]:
    listing = folder / "examples.json"
    if not listing.is_file():
        return {}
    listed = json.loads(listing.read_text(encoding="utf-8"))
    found = {example["file"]: (folder / example["file"], example["instruction"]) for example in listed}
    return {name: (file, instruction) for name, (file, instruction) in found.items() if file.is_file()}
