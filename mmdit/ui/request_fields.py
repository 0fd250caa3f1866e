"""The left column of the edit tab: what is asked for, as components, and as the `EditRequest` that they make.

What a model has no use for is hidden. Knows neither jobs nor results.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from mmdit.catalog import ModelEntry
from mmdit.ui.language import mark, say
from mmdit.ui.open_slider import OpenSlider
from mmdit.ui.source_image import SourceImage, read_uploads

if TYPE_CHECKING:  # see jobs.py
    from mmdit.attention.spec import RecordSpec
    from mmdit.editor import EditRequest
    from mmdit.families.family import Traits

MOST_VARIANTS = 8
NEUTRAL = "keep it as it is"
REASONING = [("Edit at once", ""), ("Think first", "think"), ("Think, then look and mend", "reflect")]
GUARD = [("Leave it", "off"), ("Measure", "measure"), ("Correct", "correct")]
SIZE = re.compile(r"(\d{1,8})\s*[x×*, ]\s*(\d{1,8})", re.IGNORECASE)

Values = dict[Block, Any]


class RequestFields:
    """
    Args:
        model: gives the model in use, or the one that is being loaded.
    """

    def __init__(self, model: Callable[[], ModelEntry]) -> None:
        self._model = model
        self._built_for = model()

    # ---- layout

    def build_picture(self) -> None:
        """The picture, and the instruction below it."""
        self.source = SourceImage(
            label=mark("Picture to edit"), show_label=False, type="filepath", image_mode=None, format="png",
            sources=["upload", "clipboard"], buttons=[], height=320, elem_id="source",
            placeholder=mark("Drop a picture here\nor click to choose one"),
        )  # fmt: skip
        with gr.Accordion(
            mark("More pictures to look at"), open=False, visible=False, elem_id="more-pictures"
        ) as self.more_pictures:
            self.references = gr.File(
                show_label=False, file_count="multiple", type="filepath", height=120, elem_id="references"
            )
        self.instruction = gr.Textbox(
            label=mark("Instruction"), placeholder=mark("for example: make it black and white"),
            lines=1, max_lines=4, max_length=1000, elem_id="instruction",
        )  # fmt: skip

    def build_options(self) -> None:
        """Everything else that can be said about an edit, most needed first."""
        self.variants = OpenSlider(
            1, MOST_VARIANTS, 1, step=1, label=mark("Variants"), elem_id="variants", buttons=[],
            info=mark("Pictures to choose from, each from its own seed."),
        )  # fmt: skip
        self.by_strength = gr.Checkbox(
            label=mark("Of rising strength instead, from one seed"), value=False, elem_id="by-strength", container=False
        )
        with gr.Row():
            self.seed = gr.Number(
                label=mark("Seed"), precision=0, value=None, elem_id="seed", min_width=140,
                info=mark("The same seed and settings make the same picture."),
            )  # fmt: skip
            self.size = gr.Textbox(
                label=mark("Size of the result"), placeholder=mark("as the picture"), max_length=24, elem_id="size",
                min_width=140,
                info=mark("Width × height in pixels; empty for the picture's own."),
            )  # fmt: skip
        self.random_seed = gr.Checkbox(
            label=mark("New seed every time"), value=True, elem_id="random-seed", container=False
        )
        self._build_sampling()
        self._build_strength()
        self._build_for_some_models()

    def _build_sampling(self) -> None:
        steps, guidance = _sampling(self._model())
        self.steps = OpenSlider(step=1, label=mark("Steps"), elem_id="steps", buttons=[], **steps)
        self.guidance = OpenSlider(step=0.1, label=mark("Guidance"), elem_id="guidance", buttons=[], **guidance)

    def _build_strength(self) -> None:
        self.strength = OpenSlider(
            -1, 3, 1, step=0.05, label=mark("Strength of the instruction"), elem_id="strength", buttons=[],
            info=mark("1 as it stands, 0 as the neutral words say, beyond 1 more than asked for."),
        )  # fmt: skip
        self.neutral = gr.Textbox(
            label=mark("Neutral words"), value=NEUTRAL, max_length=1000, elem_id="neutral",
            info=mark("What no change is called; used when the strength is not 1."),
        )  # fmt: skip

    def _build_for_some_models(self) -> None:
        self.negative = gr.Textbox(
            label=mark("Not wanted"), max_length=1000, visible=False, elem_id="negative",
            info=mark("What the picture should not show."),
        )  # fmt: skip
        self.true_guidance = OpenSlider(
            1, 20, 4, step=0.1, label=mark("Guidance away from it"), visible=False, elem_id="true-guidance", buttons=[],
            info=mark("Against what is not wanted, at twice the time."),
        )  # fmt: skip
        self.denoise = OpenSlider(
            0.05, 1, 0.6, step=0.05, label=mark("Repaint"), visible=False, elem_id="denoise", buttons=[],
            info=mark("How far the picture is dissolved before it is painted anew."),
        )  # fmt: skip
        self.resolution = OpenSlider(
            256, 2048, 1024, step=32, label=mark("Working resolution"), visible=False, elem_id="resolution", buttons=[],
            info=mark("The model works on about its square of pixels; smaller is faster and takes less memory."),
        )  # fmt: skip
        self.reasoning = gr.Dropdown(
            REASONING, value="",
            label=mark("Reasoning"), visible=False, elem_id="reasoning",
        )  # fmt: skip
        self.guard = gr.Radio(
            GUARD, value="measure",
            label=mark("If the picture moves or its colours change"), visible=False, elem_id="guard",
            info=mark("Models that paint the whole picture anew shift, scale and tint it a little."),
        )  # fmt: skip
        self.record = gr.Checkbox(
            label=mark("Record what the model looks at"), value=True, elem_id="record", container=False
        )
        self.reset = gr.Button(mark("Back to the defaults"), size="sm", elem_id="reset")

    # ---- values

    @property
    def all(self) -> list[Component]:
        """Every component, the picture first."""
        return [self.source, *self.defaults()]

    @property
    def of_some_models(self) -> list[Block]:
        """What `suited` changes, in its order."""
        return [
            self.steps, self.guidance, self.more_pictures, self.negative, self.reasoning, self.true_guidance,
            self.denoise, self.resolution, self.guard,
        ]  # fmt: skip

    @property
    def kept(self) -> list[Component]:
        """What a browser remembers for the next time."""
        return [
            self.variants, self.steps, self.guidance, self.strength, self.neutral, self.reasoning, self.guard,
            self.record, self.random_seed,
        ]  # fmt: skip

    @property
    def options(self) -> list[Component]:
        """What `build_options` has built, or what stands for it in `defaults`."""
        return [field for field in self.defaults() if field not in (self.instruction, self.references)]

    @property
    def changes(self) -> list[Callable[..., Any]]:
        """Events after which the size of an edit, or how long it takes, may be another."""
        watched = [
            self.source, self.references, self.variants, self.steps, self.guidance, self.resolution, self.true_guidance,
        ]  # fmt: skip
        return [self.size.submit, self.size.blur, self.negative.blur, *(field.change for field in watched)]

    def defaults(self) -> Values:
        """What an untouched page asks for, but for the picture."""
        return {
            self.instruction: "", self.references: None, self.variants: 1, self.by_strength: False, self.seed: None,
            self.size: "", self.random_seed: True, self.steps: self._model().steps,
            self.guidance: self._model().guidance, self.strength: 1, self.neutral: NEUTRAL, self.negative: "",
            self.true_guidance: 4, self.denoise: 0.6, self.resolution: 1024, self.reasoning: "",
            self.guard: "measure", self.record: True,
        }  # fmt: skip

    def of(self, settings: dict[str, Any], given: tuple[int, int]) -> Values:
        """What was asked for when a result with these settings was made; its pictures apart.

        Args:
            given: (width, height) of the picture that was edited.
        """
        names = {
            self.instruction: "instruction", self.seed: "seed", self.steps: "steps", self.guidance: "guidance",
            self.negative: "negative", self.true_guidance: "true_guidance", self.denoise: "denoise",
            self.resolution: "resolution", self.reasoning: "reasoning",
        }  # fmt: skip
        values = self.defaults() | {field: settings[name] for field, name in names.items() if name in settings}
        size, strength = tuple(settings.get("size", given)), settings.get("strength") or {}
        steps, guidance = _sampling(self._model())
        return values | {
            self.size: "" if size == given else f"{size[0]} × {size[1]}",
            self.random_seed: False,
            self.steps: min(values[self.steps], steps["maximum"]),
            self.guidance: min(values[self.guidance], guidance["maximum"]),
            self.strength: strength.get("value", 1),
            self.neutral: strength.get("neutral", NEUTRAL),
            **self._guard(settings),
        }

    def _guard(self, settings: dict[str, Any]) -> Values:
        """What settings leave out was off, where this model has a guard."""
        model = self._model()
        has_one = not model.is_embedded and settings.get("model") == model.name
        return {self.guard: settings.get("guard", "off")} if has_one else {}

    def suited(self, traits: "Traits", is_first: bool) -> Values:
        """Updates that show what the model in use has a use for, with its ranges and defaults, and hide the rest.

        Args:
            is_first: no other model was in use since the page was opened.
        """
        steps, guidance = _sampling(self._model())
        if is_first and self._model() == self._built_for:  # so that what was typed meanwhile stays
            steps = guidance = {}
        optional = {
            self.true_guidance: traits.true_guidance, self.denoise: traits.denoise, self.resolution: traits.resolution,
        }  # fmt: skip
        return {
            self.steps: gr.update(**steps),
            self.guidance: gr.update(**guidance),
            self.more_pictures: gr.update(visible=traits.most_pictures > 1),
            self.negative: gr.update(visible=traits.takes_negative),
            self.reasoning: gr.update(choices=_spoken(REASONING), visible=traits.reasons),
            **{
                field: gr.update(visible=False) if value is None else gr.update(visible=True, value=value)
                for field, value in optional.items()
            },
            self.guard: gr.update(choices=_spoken(GUARD), visible=traits.redraws),
        }

    def sampling(self, values: Values, recommended: Mapping[str, float]) -> dict[str, Any]:
        """Steps, guidance and shift that are asked for; a slider at the model's default leaves them to the LoRAs.

        Args:
            recommended: what the LoRAs bring along.
        """
        own = {"steps": int(values[self.steps]), "guidance": float(values[self.guidance])}
        chosen = {name: value for name, value in own.items() if value != getattr(self._model(), name)}
        return own | {"shift": None} | dict(recommended) | chosen

    def read(self, values: Values, traits: "Traits | None", recommended: Mapping[str, float]) -> "EditRequest":
        """What is asked for, without LoRAs.

        Args:
            traits: of the model in use; what it has no use for is left out. None while it is being loaded.
            recommended: see `sampling`.

        Raises:
            EditError: no picture, no instruction, a size that is none, a number outside of its slider. ValueError:
                more pictures than the model takes. ImageError: an unusable one.
        """
        from mmdit.editor import EditError, EditRequest
        from mmdit.families.strength import Strength

        self._check_numbers(values)
        instruction, strength = (values[self.instruction] or "").strip(), float(values[self.strength])
        if values[self.source] is None:
            raise EditError("there is no picture yet; add the one to edit")
        if not instruction:
            raise EditError('the instruction is empty; say what to do, for example "make it black and white"')
        optional = {} if traits is None else self._optional(values, traits)
        files = [values[self.source], *optional.pop("references", [])]
        return EditRequest(
            read_uploads(files, traits),
            instruction,
            seed=None if values[self.random_seed] or values[self.seed] is None else int(values[self.seed]),
            size=_size(values[self.size]),
            strength=None if strength == 1 else Strength((values[self.neutral] or "").strip(), strength),
            record=recording(self._model()) if values[self.record] else None,
            **self.sampling(values, recommended),
            **optional,
        )

    def series(self, values: Values, request: "EditRequest") -> "list[EditRequest]":
        """A request as often as variants of it are asked for: each with a seed of its own, the given or a drawn one and
        those after it, or each with a share of the strength, the last with all of it.
        """
        from mmdit.families.strength import Strength

        count = int(values[self.variants])
        if count == 1:
            return [request]
        first = random.randrange(2**31) if request.seed is None else request.seed
        if not values[self.by_strength]:
            return [replace(request, seed=first + place) for place in range(count)]
        top = float(values[self.strength])
        shares = (round(top * (place + 1) / count, 3) for place in range(count))
        neutral = (values[self.neutral] or "").strip()
        return [replace(request, seed=first, strength=Strength(neutral, share)) for share in shares]

    def _check_numbers(self, values: Values) -> None:
        """Raises EditError: a number outside of its slider."""
        from mmdit.editor import EditError

        steps, guidance = _sampling(self._model())
        ranges = {
            "variants": (self.variants, 1, MOST_VARIANTS),
            "steps": (self.steps, steps["minimum"], steps["maximum"]),
            "guidance": (self.guidance, guidance["minimum"], guidance["maximum"]),
        }
        for name, (field, least, most) in ranges.items():
            value = values[field]
            if not isinstance(value, int | float) or not least <= value <= most:
                raise EditError(f"{name} is {value!r}; it must be a number from {least:g} to {most:g}")
            if name != "guidance" and value != int(value):
                raise EditError(f"{name} is {value!r}; it must be a whole number")

    def _optional(self, values: Values, traits: "Traits") -> dict[str, Any]:
        """What the fields ask for that only some models have."""
        asked = {
            "references": (traits.most_pictures > 1, values[self.references] or []),
            "negative": (traits.takes_negative, values[self.negative] or ""),
            "true_guidance": (traits.true_guidance is not None, float(values[self.true_guidance])),
            "denoise": (traits.denoise is not None, float(values[self.denoise])),
            "resolution": (traits.resolution not in (None, values[self.resolution]), int(values[self.resolution])),
            "reasoning": (traits.reasons, values[self.reasoning] or ""),
            "guard": (traits.redraws, values[self.guard]),
        }
        return {name: value for name, (has, value) in asked.items() if has}


def _spoken(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Choices in the language of the page, which Gradio's own i18n leaves as they are."""
    return [(say(text), value) for text, value in choices]


def _sampling(model: ModelEntry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Range, default and explanation of steps and of guidance."""
    if model.is_embedded:
        steps = (20, mark("One is the most exact with this editor; with more, the picture comes in stages."))
        guidance = (5, mark("1 is none, and what the editor was measured at; other values take twice the time."))
    else:
        steps = (100, f"{mark('More take longer; the model’s default:')} {model.steps}")
        guidance = (20, f"{mark('How closely the words are followed; the model’s default:')} {model.guidance:g}")
    return (
        {"minimum": 1, "maximum": steps[0], "value": model.steps, "info": steps[1]},
        {"minimum": 0, "maximum": guidance[0], "value": model.guidance, "info": guidance[1]},
    )


def recording(model: ModelEntry) -> "RecordSpec":
    """Everything for the embedded editor; means for large ones, whose maps would take gigabytes."""
    from mmdit.attention.spec import RecordSpec

    if model.is_embedded:
        return RecordSpec(steps="all", heads="all", patches="all", dtype="float16")
    return RecordSpec(dtype="float16")


def _size(text: str | None) -> tuple[int, int] | None:
    """(width, height) as typed; None for nothing. Raises EditError."""
    from mmdit.editor import EditError

    text = (text or "").strip()
    if not text:
        return None
    match = SIZE.fullmatch(text)
    if match is None:
        raise EditError(f"the size is {text!r}; give width × height, such as 1024 × 768, or nothing")
    return int(match[1]), int(match[2])
