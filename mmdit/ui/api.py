"""What programs can do: every action of the page as a named endpoint, for gradio_client and for MCP.

The signatures and docstrings are what the API page, `view_api` and MCP's tools show; pictures are files that were
uploaded. A result is in the history before it is returned, as when a person makes it.
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr
from gradio import FileData, processing_utils
from gradio.utils import get_upload_folder

from mmdit.catalog import CATALOG, ModelEntry
from mmdit.runtime.history import Entry
from mmdit.runtime.job import JobSnapshot
from mmdit.runtime.jobs import CAPACITY, Jobs
from mmdit.ui.api_values import flag, list_of, listed, png, region_of, size_of, strength_of, text, whole
from mmdit.ui.intake import refusal, sentences, uploaded
from mmdit.ui.lora_shelf import PRESET, LoraShelf, read_stack
from mmdit.ui.request_fields import NEUTRAL, recording
from mmdit.ui.source_image import read_upload

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest

MOST_LISTED = 1000
Loras = list[dict[str, Any]]


class Api:
    """Adds the endpoints to the page that is being built.

    Args:
        model: gives the model in use, or the one that is being loaded.
        shelf: the LoRAs that can be named.
    """

    def __init__(self, jobs: Jobs, model: Callable[[], ModelEntry], shelf: LoraShelf) -> None:
        self._jobs, self._model, self._shelf = jobs, model, shelf
        edits = {"concurrency_limit": CAPACITY, "concurrency_id": "edits"}
        self._add(edits, self.edit, self.strength_strip)
        self._add({}, self.status, self.cancel, self.models, self.lora_presets, self.lora_inspect)
        self._add({}, self.history, self.result, self.attention)

    def _add(self, limits: dict[str, Any], *actions: Callable[..., Any]) -> None:
        for action in actions:  # unqueued, or MCP gets text in place of pictures; clients queue all the same
            gr.api(action, api_name=action.__name__, queue=False, **limits)

    # ---- edits

    def edit(
        self,
        picture: FileData,
        instruction: str,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        loras: Loras | None = None,
        references: list[FileData] | None = None,
        size: list[int] | None = None,
        resolution: int | None = None,
        negative: str = "",
        true_guidance: float | None = None,
        strength: float | None = None,
        neutral: str = NEUTRAL,
        denoise: float | None = None,
        shift: float | None = None,
        reasoning: Literal["", "think", "reflect"] = "",
        literally: bool | None = None,
        record: bool = True,
        region: FileData | None = None,
        feather: float = 8.0,
        guard: Literal["off", "measure", "correct"] | None = None,
    ) -> tuple[FileData, dict[str, Any], list[str]]:
        """Edit a picture with words.

        Args:
            picture: the picture to edit.
            instruction: what to do, in words, such as "make it black and white".
            seed: 0 or more; the same seed and settings make the same picture. Left out: one is drawn.
            steps: sampler steps, 1 to 100. Left out: the model's default.
            guidance: how closely the instruction is followed, 0 to 20. Left out: the model's default.
            loras: each {"name": a preset of lora_presets, "weight": -2 to 2}, or "file": an uploaded .safetensors.
            references: more pictures to look at, for models that take several.
            size: [width, height] of the result in pixels. Left out: the picture's own.
            resolution: the model works on about its square of pixels, 64 to 4096. Left out: the model's own.
            negative: what is not wanted, in words, for models that take it.
            true_guidance: guidance against what is not wanted, for models that are told their guidance.
            strength: how strongly the instruction is followed beside the neutral words, -1 to 3.
            neutral: what no change is called; used with strength.
            denoise: share of the noise schedule that is run, 0.01 to 1, for models that repaint.
            shift: of the noise schedule, 0.1 to 100. Left out: the model's own.
            reasoning: for models that can: think about the instruction first, or also reflect on the result.
            literally: whether roundabout words are left as they stand.
            record: whether what the model looks at is kept, for attention.
            region: a picture of the same shape, white where alone the picture is edited, black where it is kept.
            feather: width of the region's soft edge, in pixels.
            guard: whether shift and colour drift outside of the edit are measured, or also corrected.

        Returns:
            The edited picture, a PNG.
            All settings that make it again.
            Sentences about what should be known of this result.
        """
        with sentences():
            request = self._request(
                [picture, *list_of("references", references)], instruction, loras, flag("record", record),
                seed=seed, steps=steps, guidance=guidance, size=size_of(size), resolution=resolution,
                negative=text("negative", negative), true_guidance=true_guidance, denoise=denoise, shift=shift,
                strength=None if strength is None else strength_of(neutral, strength),
                reasoning=reasoning, literally=None if literally is None else flag("literally", literally),
                region=None if region is None else region_of(region, feather), guard=guard,
            )  # fmt: skip
            done = self._made([request])
        return png(done.entry.result), done.entry.settings, list(done.warnings)

    def strength_strip(
        self,
        picture: FileData,
        instruction: str,
        strengths: list[float],
        neutral: str = NEUTRAL,
        seed: int | None = None,
        loras: Loras | None = None,
    ) -> tuple[FileData, list[str]]:
        """Make one edit at several strengths, and lay the results side by side.

        Args:
            picture: the picture to edit.
            instruction: what to do, in words.
            strengths: up to 16 numbers from -1 to 3: 0 is the neutral words, 1 the instruction, beyond 1 more than it.
            neutral: what no change is called.
            seed: 0 or more, the same for all. Left out: one is drawn.
            loras: as for edit.

        Returns:
            One picture of all, a PNG.
            The names of the results, for result and attention.
        """
        from mmdit import strip
        from mmdit.images import load_image

        with sentences():
            values = list_of("strengths", strengths)
            if not 1 <= len(values) <= strip.MOST:
                raise ValueError(f"{len(values)} strengths were given; use 1 to {strip.MOST}")
            seed = random.randrange(2**31) if seed is None else seed
            request = self._request([picture], instruction, loras, record=True, seed=seed)
            done = self._made([replace(request, strength=strength_of(neutral, value)) for value in values])
        pictures = [load_image(entry.result) for entry in done.entries]
        sheet = strip.side_by_side(pictures, [f"{value:g}" for value in values])
        sheet_file = processing_utils.save_pil_to_cache(sheet, get_upload_folder(), format="png")
        return png(Path(sheet_file)), [entry.name for entry in done.entries]

    def status(self) -> dict[str, Any]:
        """Tell what the studio is doing: the edit that runs, or else the last one, and whether the model is loaded.

        Returns:
            Whether the model is loaded, and job, state, instruction, step, steps and seconds_left of the edit.
        """
        told = {"model": self._model().name, "loaded": self._jobs.ready}
        job = self._jobs.current()
        if job is None:
            return told
        now = job.snapshot
        fields = ("instruction", "step", "steps", "seconds_left", "error")
        return told | {"job": now.id, "state": now.state.value} | {field: getattr(now, field) for field in fields}

    def cancel(self, job: str) -> str:
        """Cancel an edit that waits or runs.

        Args:
            job: its id, as status tells it.

        Returns:
            The state of the edit now.
        """
        found = self._jobs.find(job) if isinstance(job, str) else None
        if found is None:
            raise refusal("there is no edit of that id; status tells the id of the one that runs")
        found.cancel()
        return found.snapshot.state.value

    # ---- what there is

    def models(self) -> list[dict[str, Any]]:
        """List the models that the studio can be started with, and which one is in use.

        Returns:
            Of each: name, task, licence, what it needs, bytes to download, defaults, and whether it is in use.
        """
        known = {entry.name: entry for entry in (*CATALOG.values(), self._model())}
        return [
            {
                "name": entry.name if isinstance(entry.source, str) else Path(entry.name).name,
                "task": entry.task, "licence": entry.licence, "needs": entry.needs, "download": entry.download,
                "steps": entry.steps, "guidance": entry.guidance, "in_use": entry.name == self._model().name,
            }
            for entry in known.values()
        ]  # fmt: skip

    def lora_presets(self) -> list[dict[str, Any]]:
        """List the LoRA presets: looks and skills that can be added to a model.

        Returns:
            Of each: name, title, description, trigger words, instructions to try, weight, and whether it suits the
            model in use.
        """
        return [
            {
                "name": preset.name, "title": preset.title, "description": preset.description,
                "trigger": preset.trigger, "instructions": list(preset.instructions), "weight": preset.weight,
                "family": preset.family, "licence": preset.licence, "suits": self._shelf.suits(preset),
            }
            for preset in self._shelf.presets.all
        ]  # fmt: skip

    def lora_inspect(self, name: str = "", file: FileData | None = None) -> dict[str, Any]:
        """Tell what a LoRA is and what it would do to the model in use, from its file's header.

        Args:
            name: a preset of lora_presets.
            file: or else a .safetensors file.

        Returns:
            Format, rank, alpha, family, and which modules match, are missing, mismatched or unknown.
        """
        with sentences():
            return self._shelf.report(self._key({"name": name} if file is None else {"file": file})).as_json()

    # ---- what was made

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

    # ---- what they share

    def _request(
        self, pictures: list[Any], instruction: str, loras: Loras | None, record: bool, **settings: Any
    ) -> "EditRequest":
        """Raises ValueError of many kinds, or gr.Error: an unusable picture, LoRA, or setting."""
        from mmdit.editor import EditRequest

        request = EditRequest(
            [read_upload(str(uploaded(picture)))[0] for picture in pictures],
            text("instruction", instruction).strip(),
            loras=self._shelf.weights(read_stack({"items": [self._row(of) for of in list_of("loras", loras)]})),
            record=recording(self._model()) if record else None,
            **settings,
        )
        request.check()
        return request

    def _made(self, requests: "list[EditRequest]") -> JobSnapshot:
        for request in requests:
            request.check()  # before the first is made
        done = self._jobs.submit_series(requests).wait()
        if done.entry is None:
            raise ValueError(done.error or "the edit was cancelled")
        return done

    def _row(self, lora: Any) -> dict[str, Any]:
        """What a program calls a LoRA, as a row of the page's stack."""
        key = self._key(lora)
        preset = self._shelf.preset(key)
        return {"weight": 1.0 if preset is None else preset.weight, **lora, "key": key}

    def _key(self, lora: Any) -> str:
        if isinstance(lora, dict) and lora.get("file") is not None:
            return self._shelf.take(str(uploaded(lora["file"])))
        name = lora.get("name") if isinstance(lora, dict) else None
        if not isinstance(name, str) or self._shelf.preset(f"{PRESET}{name}") is None:
            raise ValueError(f"{str(name)[:100]!r} is no LoRA here; lora_presets lists their names, or upload a file")
        return f"{PRESET}{name}"

    def _entry(self, name: Any) -> Entry:
        entry = self._jobs.history.find(name) if isinstance(name, str) else None
        if entry is None:
            raise refusal("there is no result of that name; history lists them")
        return entry
