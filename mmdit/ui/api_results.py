"""What programs can do with the results that are kept: the endpoints of the history, beside those of `api`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from gradio import FileData, processing_utils
from gradio.utils import get_upload_folder

from mmdit.runtime.bundle import export_bundle, import_bundle
from mmdit.runtime.history import Entry
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.reproduce import circumstances, difference, hindrance, request_for
from mmdit.ui.api_values import LONG, listed, offer, png, text, whole
from mmdit.ui.intake import refusal, sentences, uploaded
from mmdit.ui.source_image import without_folder

MOST_LISTED = 1000


class ResultsApi:
    """Adds the endpoints to the page that is being built.

    Args:
        loras: files in which the LoRAs of a result may be found again.
    """

    def __init__(self, jobs: Jobs, loras: Callable[[], tuple[Path, ...]]) -> None:
        self._jobs, self._loras = jobs, loras
        offer(self.history, self.result, self.attention, self.export_bundle, self.open_bundle)
        offer(self.reproduce, **LONG)

    def history(self, search: str = "", count: int = 20) -> list[dict[str, Any]]:
        """List results, newest first.

        Args:
            search: words that must all be in the instruction, model, LoRAs, name or date. Left out: every result.
            count: how many at most, 1 to 1000.

        Returns:
            Of each: name, when it was made, instruction, model, seed, size, LoRAs, whether attention was recorded.
        """
        with sentences():
            if not 1 <= whole("count", count) <= MOST_LISTED:
                raise ValueError(f"count is {count!r}; it must be a whole number from 1 to {MOST_LISTED}")
            found = self._jobs.history.search(text("search", search))[:count]
        return [listed(entry) for entry in found]

    def result(self, name: str) -> tuple[FileData, FileData, dict[str, Any]]:
        """Get a result of the history again.

        Args:
            name: as history lists it.

        Returns:
            The edited picture, a PNG.
            The picture that was given, a PNG.
            All settings that make it again.
        """
        entry = self._entry(name)
        return png(entry.result), png(entry.source), entry.settings

    def attention(
        self,
        name: str,
        word: str,
        direction: Literal["image_to_text", "text_to_image"] = "image_to_text",
        stream: str | None = None,
        layer: int | None = None,
        step: int | None = None,
    ) -> FileData:
        """Draw where a word of the instruction was looked at while a result was made.

        Args:
            name: of the result, as history lists it.
            word: a word of its instruction.
            direction: what each patch of the picture read of the word, or where the word looked in the picture.
            stream: target for the edited picture, reference:0 for the given one. Left out: both, side by side.
            layer: position of one layer. Left out: the most telling ones.
            step: position of one step. Left out: the mean of all.

        Returns:
            A heatmap over the picture, a PNG.
        """
        from mmdit.attention.figure import draw_word
        from mmdit.attention.maps import AttentionMaps
        from mmdit.images import load_image

        entry = self._entry(name)
        with sentences(), tempfile.TemporaryDirectory() as folder:
            if entry.maps is None:
                raise ValueError("nothing was recorded with that result; make it again with record")
            pictures = {f"reference:{place}": load_image(file) for place, file in enumerate(entry.sources)}
            file = Path(folder, "attention.png")
            draw_word(
                AttentionMaps.load(entry.maps), text("word", word), file, direction=text("direction", direction),
                streams=None if stream is None else [text("stream", stream)],
                layers=None if layer is None else [whole("layer", layer)],
                step=None if step is None else whole("step", step),
                pictures={"target": load_image(entry.result), **pictures},
            )  # fmt: skip
            return png(Path(processing_utils.save_file_to_cache(file, get_upload_folder())))

    def reproduce(self, name: str) -> tuple[FileData, str]:
        """Make a result again, by its own settings and pictures, and compare.

        Args:
            name: as history lists it.

        Returns:
            The picture as it came out now, a PNG.
            Whether it is the same, and if not, how far apart and what may be why.
        """
        from mmdit.images import load_image

        entry, number, editor = self._entry(name), self._jobs.model.number, self._jobs.editor
        with sentences():
            if editor is None:
                raise ValueError("no model is loaded; try again when status tells that one is")
            sources = [load_image(source) for source in entry.sources]
            request = request_for(editor, entry.settings, sources, self._loras())
            done = self._jobs.submit(request, number).wait()
            if done.entry is None:
                raise ValueError(done.error or "the edit was cancelled")
            apart = difference(load_image(done.entry.result), load_image(entry.result))
        why = circumstances(entry.settings) if apart.pixels else ""
        return png(done.entry.result), f"{apart.sentence()} {why}".strip()

    def export_bundle(self, name: str) -> FileData:
        """Pack a result into one file that opens on another machine: picture, sources, settings, LoRA hashes, maps.

        Args:
            name: as history lists it.

        Returns:
            The bundle, a .zip.
        """
        entry = self._entry(name)
        with sentences(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{entry.name}.zip")
            export_bundle(entry, file)
            kept = processing_utils.save_file_to_cache(file, get_upload_folder())
        return FileData(path=kept, orig_name=file.name, mime_type="application/zip")

    def open_bundle(self, bundle: FileData) -> tuple[str, list[str]]:
        """Take a bundle into the history, as its newest result.

        Args:
            bundle: a .zip that export_bundle wrote, here or elsewhere.

        Returns:
            The name of the result.
            What had to make room for it, and what can't be done with it, if anything.
        """
        file = uploaded(bundle)
        with sentences(), without_folder(str(file)):
            entry = import_bundle(file, self._jobs.history)
        return entry.name, [text for text in (hindrance(entry.settings), *self._jobs.history.trim()) if text]

    def _entry(self, name: Any) -> Entry:
        entry = self._jobs.history.find(name) if isinstance(name, str) else None
        if entry is None:
            raise refusal("there is no result of that name; history lists them")
        return entry
