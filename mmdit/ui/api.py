"""What programs can do: every action of the page as a named endpoint, for gradio_client and for MCP.

The signatures and docstrings are what the API page, `view_api` and MCP's tools show; pictures are files that were
uploaded. A result is in the history before it is returned, as when a person makes it.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradio import FileData, processing_utils
from gradio.utils import get_upload_folder

from mmdit.catalog import CATALOG, ModelEntry
from mmdit.runtime.job import JobSnapshot
from mmdit.runtime.jobs import Jobs
from mmdit.runtime.model_slot import ModelChoice
from mmdit.ui.api_values import LONG, flag, list_of, offer, png, region_of, size_of, strength_of, text
from mmdit.ui.intake import refusal, sentences, uploaded
from mmdit.ui.lora_shelf import PRESET, LoraShelf, read_stack
from mmdit.ui.model_tab import problem_with
from mmdit.ui.request_fields import NEUTRAL, recording
from mmdit.ui.source_image import read_uploads

if TYPE_CHECKING:  # see jobs.py
    from mmdit.editor import EditRequest

Loras = list[dict[str, Any]]


class Api:
    """Adds the endpoints to the page that is being built.

    Args:
        model: gives the model in use, or the one that is being loaded.
        shelf: the LoRAs that can be named.
        can_change: whether programs may exchange the model.
    """

    def __init__(self, jobs: Jobs, model: Callable[[], ModelEntry], shelf: LoraShelf, can_change: bool = True) -> None:
        self._jobs, self._model, self._shelf = jobs, model, shelf
        offer(self.edit, self.strength_strip, **LONG)
        offer(self.status, self.cancel, self.models, self.lora_presets, self.lora_inspect)
        if can_change:
            offer(self.use_model, self.unload_model)

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
        return png(done.entry.result), done.entry.settings, [*done.warnings, *done.notes]

    def strength_strip(
        self,
        picture: FileData,
        instruction: str,
        strengths: list[float],
        neutral: str = NEUTRAL,
        seed: int | None = None,
        loras: Loras | None = None,
    ) -> tuple[FileData, list[str], list[str]]:
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
            Sentences about what should be known of them.
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
        return png(Path(sheet_file)), [entry.name for entry in done.entries], [*done.warnings, *done.notes]

    def status(self) -> dict[str, Any]:
        """Tell what the studio is doing: the edit that runs, or else the last one, and whether the model is loaded.

        Returns:
            Whether the model is loaded, model_error (why the last change of it came to nothing, "" if it did not), and
            job, state, instruction, step, steps, seconds_left and error of the edit.
        """
        told = {"model": self._model().name, "loaded": self._jobs.ready, "model_error": self._jobs.model.error}
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
        loaded = self._jobs.model.entry
        in_use = "" if loaded is None else loaded.name
        return [
            {
                "name": entry.name if isinstance(entry.source, str) else Path(entry.name).name,
                "task": entry.task, "licence": entry.licence, "needs": entry.needs, "download": entry.download,
                "steps": entry.steps, "guidance": entry.guidance, "in_use": entry.name == in_use,
            }
            for entry in known.values()
        ]  # fmt: skip

    def use_model(self, name: str, memory: str = "auto", consent: bool = False) -> str:
        """Load another model in place of the present one; status tells when it is in use, or why it came to nothing.

        Args:
            name: as models lists it, or org/name on the Hugging Face hub.
            memory: how it lies in memory: auto, full, offload, group, int8 or int4.
            consent: that its licence was read and will be kept to; asked for where it does not allow any use.

        Returns:
            What happens now.
        """
        with sentences():
            wanted = text("name", name).strip()
            if problem := problem_with(wanted, text("memory", memory), flag("consent", consent)):
                raise ValueError(problem)
        self._jobs.use(ModelChoice(wanted, memory))
        return f"{wanted} is on its way; edits that wait are made first"

    def unload_model(self) -> str:
        """Let go of the model, when the edits that wait for it are made.

        Returns:
            What happens now.
        """
        self._jobs.unload()
        return "the model is let go of; use_model loads one"

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

    # ---- what they share

    def _request(
        self, pictures: list[Any], instruction: str, loras: Loras | None, record: bool, **settings: Any
    ) -> "EditRequest":
        """Raises ValueError of many kinds, or gr.Error: an unusable picture, too many, an unusable LoRA or setting."""
        from mmdit.editor import EditRequest

        editor, files = self._jobs.editor, [str(uploaded(picture)) for picture in pictures]
        request = EditRequest(
            read_uploads(files, None if editor is None else editor.traits),
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
