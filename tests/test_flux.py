"""FLUX.1 through its family, held against the diffusers pipelines called directly, on tiny real-format checkpoints."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FluxImg2ImgPipeline
from PIL import Image
from tiny_checkpoints import PROMPT, SIDE, build, expected, references

from mmdit.attention.spec import RecordError, RecordSpec
from mmdit.families.family import EditCall
from mmdit.families.flux import TEXT_SLOTS, Flux
from mmdit.families.strength import Strength

SEED, STEPS = 3, 3


@pytest.fixture(scope="module")
def kontext() -> Flux:
    return Flux(build("flux_kontext"), "tiny")


@pytest.fixture(scope="module")
def image_to_image(kontext: Flux) -> Flux:
    return Flux(FluxImg2ImgPipeline(**kontext.pipeline.components), "tiny")


@pytest.fixture
def call(kontext: Flux) -> EditCall:
    picture = references("flux_kontext")[0]
    return EditCall((picture,), PROMPT, STEPS, 2.5, SEED, kontext.working_size(picture.size, SIDE))


def directly(pipeline: DiffusionPipeline, call: EditCall, **further: Any) -> Image.Image:
    """The same edit by the pipeline itself."""
    sizes = {"max_area": SIDE**2, "_auto_resize": False} if "Kontext" in type(pipeline).__name__ else {}
    return pipeline(
        image=call.pictures[0], prompt=call.instruction, width=SIDE, height=SIDE, guidance_scale=call.guidance,
        num_inference_steps=call.steps, generator=torch.Generator().manual_seed(call.seed), **sizes, **further,
    ).images[0]  # fmt: skip


@pytest.mark.parametrize("record", [None, RecordSpec(steps="all")])
@pytest.mark.parametrize("guided", [False, True])
def test_kontext_makes_the_pipelines_own_edit(
    kontext: Flux, call: EditCall, record: RecordSpec | None, guided: bool
) -> None:
    further = {"negative_prompt": "a photo of a cat", "true_cfg_scale": 3.0} if guided else {}
    wanted = directly(kontext.pipeline, call, **further)
    asked = replace(call, negative="a photo of a cat", true_guidance=3.0) if guided else call
    made = kontext.edit(replace(asked, record=record))
    assert made.image.tobytes() == wanted.tobytes()
    assert (made.maps is None) == (record is None)
    if record is not None:
        assert np.allclose(made.maps.steps, kontext.pipeline.scheduler.sigmas[:STEPS])


@pytest.mark.parametrize("denoise", [1.0, 0.5])
@pytest.mark.parametrize("record", [None, RecordSpec(steps="all")])
def test_image_to_image_makes_the_pipelines_own_edit(
    image_to_image: Flux, call: EditCall, record: RecordSpec | None, denoise: float
) -> None:
    wanted = directly(image_to_image.pipeline, call, strength=denoise)
    seen = []
    made = image_to_image.edit(replace(call, denoise=denoise, record=record), lambda *step: seen.append(step[:2]))
    assert made.image.tobytes() == wanted.tobytes()
    run = {1.0: 3, 0.5: 2}[denoise]
    assert seen == [(step + 1, run) for step in range(run)]
    if record is not None:
        assert [stream.name for stream in made.maps.streams] == ["target"]
        assert len(made.maps.steps) == run


def test_the_layout_is_that_of_the_pipelines_ids(kontext: Flux, call: EditCall) -> None:
    ids: dict[str, torch.Tensor] = {}
    hook = kontext.transformer.register_forward_pre_hook(
        lambda _, __, named: ids.update(image=named["img_ids"], text=named["txt_ids"]), with_kwargs=True
    )
    kontext.edit(call)
    hook.remove()
    layout = kontext.layout(call, list(call.pictures), TEXT_SLOTS)
    known = expected("flux_kontext", kontext.pipeline)
    grids = [(stream.height, stream.width) for stream in layout.streams]
    assert grids == [known.target, *known.references]
    assert len(ids["text"]) == layout.text_tokens
    rows = [[stream, row, column] for stream, grid in enumerate(grids) for row, column in np.ndindex(*grid)]
    assert ids["image"].tolist() == rows


def test_words_have_the_slots_of_their_tokens(kontext: Flux) -> None:
    instruction = "Turn the  cat's unforeseeable hat—blue, please!"
    tokenizer = kontext.pipeline.tokenizer_2
    encoded = kontext.encode(instruction, [])
    ids = tokenizer(instruction, padding="max_length", max_length=TEXT_SLOTS).input_ids
    assert encoded.token_ids.tolist() == ids
    assert [word for word, _ in encoded.words] == ["Turn", "the", "cat's", "unforeseeable", "hat", "blue", "please"]
    for word, slots in encoded.words:
        text = tokenizer.decode([ids[slot] for slot in slots])
        assert word in text and len(text.strip()) <= len(word) + 1, (word, text)


def test_what_is_not_read_is_said(kontext: Flux, call: EditCall) -> None:
    made = kontext.edit(replace(call, instruction="make it blue " * 200 + "finally"))
    assert len(made.told.warnings) == 1
    assert made.told.warnings[0].endswith("blue finally”.")


def test_a_picture_keeps_its_size_and_the_model_sees_its_shape(kontext: Flux) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (513, 777, 3), dtype=np.uint8))
    working = kontext.working_size(picture.size, 96)
    assert working == (112, 80)
    shown = []
    made = kontext.edit(EditCall((picture,), PROMPT, 2, 2.5, SEED, working), lambda *step: shown.append(step[2].size))
    assert made.image.size == (777, 513)
    assert all(width / height == pytest.approx(112 / 80, rel=0.01) for width, height in shown)


def test_a_cancelled_edit_ends_within_the_step_and_harms_nothing(kontext: Flux, call: EditCall) -> None:
    before = kontext.edit(call).image
    calls = []

    def cancel(done: int, *_: object) -> None:
        calls.append(done)
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        kontext.edit(replace(call, record=RecordSpec()), cancel)
    assert calls == [1]
    assert kontext.edit(call).image.tobytes() == before.tobytes()


def test_strength_runs_from_the_neutral_instruction_to_this_one_and_beyond(kontext: Flux, call: EditCall) -> None:
    neutral = PROMPT.replace("blue dog", "red cat")
    made = {s: kontext.edit(replace(call, strength=Strength(neutral, s))).image.tobytes() for s in (0.0, 1.0, 1.6)}
    assert made[1.0] == kontext.edit(call).image.tobytes()
    assert made[0.0] == kontext.edit(replace(call, instruction=neutral)).image.tobytes()
    assert made[1.6] not in (made[0.0], made[1.0])


def test_an_instruction_is_encoded_once(kontext: Flux, call: EditCall) -> None:
    calls: list[None] = []
    hook = kontext.pipeline.text_encoder_2.register_forward_pre_hook(lambda *_: calls.append(None))
    for seed in (1, 2):
        kontext.edit(replace(call, instruction="make the sky purple", seed=seed))
    hook.remove()
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pictures": 2}, "2 pictures were given; FluxKontextPipeline edits exactly one"),
        ({"denoise": 0.5}, "denoise is 0.5"),
        ({"negative": "grain", "true_guidance": 1.0}, "'grain' does nothing without guidance above 1"),
    ],
)
def test_what_it_cannot_do_is_said(kontext: Flux, call: EditCall, change: dict[str, Any], said: str) -> None:
    if "pictures" in change:
        change = {"pictures": call.pictures * change["pictures"]}
    with pytest.raises(ValueError, match=said):
        kontext.edit(replace(call, **change))


def test_the_pass_without_the_instruction_has_the_words_of_the_negative_one(kontext: Flux, call: EditCall) -> None:
    asked = replace(call, record=RecordSpec(conditional=False), true_guidance=3.0)
    assert kontext.edit(replace(asked, negative="a cat and a hat")).maps.words == ("a", "cat", "and", "a#2", "hat")
    with pytest.raises(RecordError):
        kontext.edit(asked)
