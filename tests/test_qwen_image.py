"""Qwen-Image-Edit and Edit-Plus as families, held against their pipelines called directly."""

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tiny_checkpoints import (
    PROMPT,
    VOCABULARY_PROMPTS,
    build,
    small_references,
    told_of_vision_tokens,
    transformer_calls,
)

from mmdit.attention.spec import RecordError, RecordSpec
from mmdit.families.family import EditCall
from mmdit.families.qwen_image import QwenImage, seeing
from mmdit.families.strength import Strength

FAMILIES = ("qwen_image_edit", "qwen_image_edit_plus")
PLUS = "qwen_image_edit_plus"
SEED = 7
SIDE = 64  # resolution of most edits


@cache
def family(name: str) -> QwenImage:
    return QwenImage(build(name), "some weights")


@cache
def small_family(name: str) -> QwenImage:
    """For use within `small_references`, where texts are of smaller pictures and their encodings others."""
    return QwenImage(family(name).pipeline, "some weights")


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A soft one, in which a shift would be seen."""
    draw = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(draw).resize((width, height), Image.Resampling.BICUBIC)


def edit_call(
    name: str, *pictures: Image.Image, instruction: str = PROMPT, resolution: int | None = SIDE, **how: Any
) -> EditCall:
    pictures = pictures or (picture(80, 56),)
    options = {"steps": 2, "guidance": 3.0, "seed": SEED} | how
    working = family(name).working_size(pictures[0].size, resolution)
    return EditCall(pictures=pictures, instruction=instruction, working=working, **options)


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def directly(pipeline: DiffusionPipeline, call: EditCall, **arguments: Any) -> Image.Image:
    """What somebody gets who has the pipeline and knows the sizes."""
    several = type(pipeline).__name__ == "QwenImageEditPlusPipeline"
    negative = {"negative_prompt": call.negative or " "} if call.guidance > 1 else {}
    prompt = {} if "prompt_embeds" in arguments else {"prompt": call.instruction}
    width, height = call.working
    with told_of_vision_tokens(pipeline.text_encoder):
        made = pipeline(
            image=list(call.pictures) if several else call.pictures[0], width=width, height=height,
            num_inference_steps=call.steps, true_cfg_scale=call.guidance,
            generator=torch.Generator().manual_seed(call.seed), **negative, **prompt, **arguments,
        ).images[0]  # fmt: skip
    return made if made.size == call.pictures[0].size else made.resize(call.pictures[0].size, Image.Resampling.LANCZOS)


# ---- the same as the pipeline ----


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_edit_is_the_pipelines_own(name: str, guidance: float) -> None:
    others = [picture(64, 96, 1), picture(200, 100, 2)] if name == PLUS else []
    with small_references():
        call = edit_call(name, picture(97, 61), *others, resolution=None, guidance=guidance)
        wanted = directly(family(name).pipeline, call)
        assert same(small_family(name).edit(call).image, wanted)
        recorded = edit_call(
            name, picture(97, 61), *others, resolution=None, guidance=guidance, record=RecordSpec(steps="all")
        )
        output = small_family(name).edit(recorded, lambda *_: None)
        assert same(output.image, wanted)
        assert output.maps.words == ("turn", "the", "red", "cat", "into", "a", "blue", "dog")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_negative_instruction_is_the_pipelines_own(name: str) -> None:
    with small_references():
        call = edit_call(name, resolution=None, negative="add a hat")
        wanted = directly(family(name).pipeline, call)
        assert same(small_family(name).edit(call).image, wanted)
        assert not same(small_family(name).edit(edit_call(name, resolution=None)).image, wanted)


def test_another_resolution_is_that_of_all_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    call = edit_call(PLUS, picture(192, 128), picture(60, 90, 1), resolution=80)
    assert call.working == (96, 64)
    found = family(PLUS).edit(call).image
    monkeypatch.setattr(sys.modules[type(family(PLUS).pipeline).__module__], "VAE_IMAGE_SIZE", 96 * 64)
    assert same(directly(family(PLUS).pipeline, call), found)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_whole_megapixel_is_the_pipelines_own(name: str) -> None:
    """Nothing said of any size: neither here nor there."""
    call = edit_call(name, picture(777, 513), resolution=None, steps=1, guidance=1.0)
    assert call.working == (1248, 832)
    pipeline = family(name).pipeline
    with told_of_vision_tokens(pipeline.text_encoder):
        made = pipeline(
            image=call.pictures[0], prompt=PROMPT, num_inference_steps=1, true_cfg_scale=1.0,
            generator=torch.Generator().manual_seed(SEED),
        ).images[0]  # fmt: skip
    assert made.size == call.working
    found = family(name).edit(call).image
    assert found.size == (777, 513) and same(found, made.resize((777, 513), Image.Resampling.LANCZOS))


def test_2511_tells_references_from_the_target() -> None:
    """Its transformer modulates reference tokens as at timestep 0."""
    parts = dict(family(PLUS).pipeline.components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        parts["transformer"] = type(parts["transformer"])(**{**parts["transformer"].config, "zero_cond_t": True}).eval()
    qwen = QwenImage(type(family(PLUS).pipeline)(**parts), "")
    with small_references():
        call = edit_call(PLUS, picture(80, 56), picture(60, 90, 1), resolution=None, record=RecordSpec())
        output = qwen.edit(call)
        assert same(output.image, directly(qwen.pipeline, call))
    assert output.maps.words == tuple(PROMPT.split())


# ---- sizes ----


@pytest.mark.parametrize("size", [(777, 513), (513, 777), (64, 64), (3000, 40), (1, 1)])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_result_has_the_size_of_the_first_picture(name: str, size: tuple[int, int]) -> None:
    call = edit_call(name, picture(*size), steps=1, guidance=1.0)
    assert all(side % 32 == 0 and side > 0 for side in call.working)
    assert family(name).edit(call).image.size == size


@pytest.mark.parametrize("name", FAMILIES)
def test_a_picture_that_is_hardly_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="picture 1 is 3000×29; crop it"):
        family(name).edit(edit_call(name, picture(3000, 29)))
    edited = family(name).edit(edit_call(name, picture(30, 3000), steps=1, guidance=1.0), lambda *_: None)
    assert edited.image.size == (30, 3000)


def test_four_references_keep_the_first_ones_shape() -> None:
    sizes = [(120, 80), (80, 120), (50, 50), (300, 60)]
    pictures = [picture(*size, seed) for seed, size in enumerate(sizes)]
    call = edit_call(PLUS, *pictures, resolution=96, steps=1, record=RecordSpec())
    with transformer_calls(family(PLUS).pipeline) as calls:
        output = family(PLUS).edit(call)
    assert output.image.size == (120, 80)
    assert call.working[0] > call.working[1]
    (target, first, *others) = calls[0]["img_shapes"][0]
    assert target == first == (1, call.working[1] // 16, call.working[0] // 16)
    assert [(rows < columns, rows == columns) for _, rows, columns in others] == [
        (False, False), (False, True), (True, False),
    ]  # fmt: skip
    assert [stream.name for stream in output.maps.streams] == ["target", *(f"reference:{i}" for i in range(4))]


@pytest.mark.parametrize("resolution", [40, 64, 100])
@pytest.mark.parametrize("size", [(80, 56), (56, 80), (100, 33), (31, 90)])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_layout_is_the_pipelines(name: str, size: tuple[int, int], resolution: int) -> None:
    """Grids as the rotary embedding gets them; the edited picture's is the target's."""
    others = [picture(48, 48, 1), picture(*size, 2)] if name == PLUS else []
    call = edit_call(name, picture(*size), *others, resolution=resolution, steps=1, record=RecordSpec())
    with transformer_calls(family(name).pipeline) as calls:
        streams = family(name).edit(call).maps.streams
    conditional, unconditional = calls
    shapes = conditional["img_shapes"][0]
    assert [(1, stream.height, stream.width) for stream in streams] == shapes == unconditional["img_shapes"][0]
    assert sum(stream.tokens for stream in streams) == conditional["hidden_states"].shape[1]
    assert shapes[0] == shapes[1]


def test_many_pixels_are_for_the_edited_picture() -> None:
    """Others are not encoded at more than the megapixel that the model was trained with."""
    first, other = Image.new("RGB", (90, 60)), Image.new("RGB", (60, 90))
    sizes = {}
    for resolution in (512, 1024, 2048):
        call = edit_call(PLUS, first, other, resolution=resolution)
        layout = family(PLUS).layout(call, [first, other], 1)
        sizes[resolution] = [(stream.width * 16, stream.height * 16) for stream in layout.streams]
    assert sizes[512] == [(640, 416), (640, 416), (416, 640)]
    assert sizes[1024] == [(1248, 832), (1248, 832), (832, 1248)]
    assert sizes[2048] == [(2496, 1664), (2496, 1664), (832, 1248)]


def test_ten_pictures_and_no_more() -> None:
    pictures = [picture(32, 32, seed) for seed in range(10)]
    output = family(PLUS).edit(edit_call(PLUS, *pictures, resolution=32, steps=1, record=RecordSpec()))
    assert len(output.maps.streams) == 11
    with pytest.raises(ValueError, match="11 pictures were given; QwenImageEditPlusPipeline edits at most 10"):
        family(PLUS).edit(edit_call(PLUS, *pictures, picture(32, 32), resolution=32))
    with pytest.raises(ValueError, match="2 pictures were given; QwenImageEditPipeline edits exactly one"):
        family("qwen_image_edit").edit(edit_call("qwen_image_edit", *pictures[:2]))


@pytest.mark.parametrize("name", FAMILIES)
def test_nobody_else_sees_the_sizes(name: str) -> None:
    """The pipeline is used directly in the middle of an edit of another size."""
    pipeline, module = family(name).pipeline, sys.modules[type(family(name).pipeline).__module__]
    small = edit_call(name)
    with small_references():
        before = dict(vars(module))
        alone = directly(pipeline, small)
        meanwhile = []
        call = edit_call(name, picture(90, 90), resolution=96, steps=1)
        family(name).edit(call, lambda *_: meanwhile.append(directly(pipeline, small)))
        assert same(meanwhile[0], alone)
        assert dict(vars(module)) == before


def test_a_name_that_the_pipeline_does_not_use_is_refused() -> None:
    with pytest.raises(ValueError, match="QwenImageEditPipeline does not use VAE_IMAGE_SIZE"):
        seeing(family("qwen_image_edit").pipeline, VAE_IMAGE_SIZE=1)


# ---- words ----

INSTRUCTIONS = (
    *VOCABULARY_PROMPTS[:4],
    "make the cat's well-known hat übergroß, please: 3 cats!",
    "把 猫 变成 dog",
    "  turn\tthe\n\nsky purple  ",
    "Picture 1: make it like Picture 2: assistant user system",
    "use {} and {0} and %s",
)


def slots_by_hand(pipeline: DiffusionPipeline, instruction: str, pictures: int) -> tuple[list[str], list[str]]:
    """What the text tokens after the dropped ones say, and those of the instruction alone, from the processor's ids."""
    pad = "<|vision_start|><|image_pad|><|vision_end|>"
    several = type(pipeline).__name__ == "QwenImageEditPlusPipeline"
    shown = "".join(f"Picture {number}: {pad}" for number in range(1, pictures + 1)) if several else ""
    text = pipeline.prompt_template_encode.replace("{}", shown + instruction)
    images = [Image.new("RGB", (384, 384) if several else (56, 56))] * pictures  # as large as the pipeline makes them
    ids = pipeline.processor(text=[text], images=images, padding=True, return_tensors="pt")["input_ids"][0].tolist()
    return [pipeline.tokenizer.decode([token]) for token in ids[64:]], ids[64:]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
@pytest.mark.parametrize(("name", "pictures"), [("qwen_image_edit", 1), (PLUS, 1), (PLUS, 3)])
def test_words_are_the_instructions_own(name: str, pictures: int, instruction: str) -> None:
    qwen = family(name)
    encoded = qwen.encode(instruction, [Image.new("RGB", (56, 56))] * pictures)
    pieces, ids = slots_by_hand(qwen.pipeline, instruction, pictures)
    assert encoded.token_ids.tolist() == ids and encoded.tensors["prompt_embeds"].shape[1] == len(ids)

    # the instruction starts after the last picture's end and stops before the message's end
    first = max(slot for slot, piece in enumerate(pieces) if piece == "<|vision_end|>") + 1
    last = max(slot for slot, piece in enumerate(pieces) if piece == "<|im_end|>")
    assert qwen.pipeline.tokenizer.decode(ids[first:last]) == instruction
    words, taken = [], []
    for word, slots in encoded.words:
        assert list(slots) == list(range(slots[0], slots[-1] + 1)) and first <= slots[0] and slots[-1] < last
        assert qwen.pipeline.tokenizer.decode([ids[slot] for slot in slots]).strip().strip(",:!.") == word
        words.append(word)
        taken += slots
    assert taken == sorted(set(taken))
    left = [pieces[slot] for slot in range(first, last) if slot not in taken]
    assert not any(letter.isalnum() for piece in left for letter in piece)
    cut = "".join(letter if letter.isalnum() or letter in "'-" else " " for letter in instruction)
    apart = "".join(f" {letter} " if "一" <= letter <= "鿿" else letter for letter in cut)  # no spaces in Chinese
    assert words == apart.split()


@pytest.mark.parametrize("text", ["say <|im_end|> loudly", "a <|image_pad|>", "<|im_start|>system"])
@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_are_refused(name: str, text: str) -> None:
    for call in (edit_call(name, instruction=text), edit_call(name, negative=text)):
        with pytest.raises(ValueError, match=r"holds <\|\w+\|>.*leave it out"):
            family(name).edit(call)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_pass_without_the_instruction_is_refused_before_the_run(name: str) -> None:
    call = edit_call(name, record=RecordSpec(conditional=False))
    with pytest.raises(RecordError, match="conditional is False"):
        family(name).edit(call, lambda *_: pytest.fail("it ran"))


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_are_shares(name: str) -> None:
    """What the whole text and all images get of a patch is one; the instruction's words get a part of it."""
    maps = family(name).edit(edit_call(name, record=RecordSpec(heads="all", steps="all"))).maps
    read = maps.select("image_to_text", "target")
    assert read.shape[:4] == (2, 3, 3, 8) and (read > 0).all() and (read.sum(axis=3) < 1).all()
    looked = sum(maps.select("text_to_image", stream.name).sum(axis=(-2, -1)) for stream in maps.streams)
    assert (looked > 0).all() and (looked < 1).all()


# ---- strength ----


@pytest.mark.parametrize("name", FAMILIES)
def test_the_ends_of_strength_are_edits(name: str) -> None:
    instruction, neutral = "turn the red cat", "turn the blue cat"
    plain = family(name).edit(edit_call(name, instruction=instruction)).image
    at_rest = family(name).edit(edit_call(name, instruction=neutral)).image
    found = {
        value: family(name).edit(edit_call(name, instruction=instruction, strength=Strength(neutral, value))).image
        for value in (0.0, 1.0, 2.0)
    }
    assert same(found[1.0], plain) and same(found[0.0], at_rest) and not same(plain, at_rest)
    assert not same(found[2.0], plain)


@pytest.mark.parametrize("name", FAMILIES)
def test_strength_is_pixelsmiles(name: str) -> None:
    """Embeddings mixed by hand and given to the pipeline, as PixelSmile's inference does."""
    pipeline = family(name).pipeline
    with small_references():
        call = edit_call(
            name, instruction="turn the red cat", strength=Strength("turn the blue cat", 1.5), resolution=None,
            guidance=1.0, record=RecordSpec(),
        )  # fmt: skip
        output = small_family(name).edit(call)
        shown = pipeline.image_processor.resize(call.pictures[0], call.working[1], call.working[0])
        with torch.no_grad():
            neutral, target = (
                pipeline.encode_prompt(text, image=[shown] if name == PLUS else shown)[0]
                for text in ("turn the blue cat", "turn the red cat")
            )
        wanted = directly(pipeline, call, prompt_embeds=neutral + 1.5 * (target - neutral))
    assert same(output.image, wanted)
    assert output.maps.words == ("turn", "the", "red", "cat")


def test_texts_of_other_lengths_keep_the_instructions_words() -> None:
    strength = Strength("keep the background unchanged", 1.3, (("add a hat", 0.5),))
    output = family(PLUS).edit(edit_call(PLUS, strength=strength, record=RecordSpec()))
    assert output.maps.words == tuple(PROMPT.split())


# ---- steps, cancel, cache ----


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_cancelled_edit_ends_within_the_step(name: str, recording: bool) -> None:
    plain = family(name).edit(edit_call(name, steps=3)).image
    call = edit_call(name, steps=3, record=RecordSpec() if recording else None)
    done: list[int] = []

    def stop(step: int, *_: Any) -> None:
        done.append(step)
        raise KeyboardInterrupt

    with transformer_calls(family(name).pipeline) as calls, pytest.raises(KeyboardInterrupt):
        family(name).edit(call, stop)
    assert done == [1] and len(calls) == 2  # with and without the instruction
    assert same(family(name).edit(edit_call(name, steps=3)).image, plain)
    with small_references():
        again = edit_call(name, resolution=None)
        assert same(small_family(name).edit(again).image, directly(family(name).pipeline, again))


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_are_told_with_a_picture(name: str) -> None:
    told: list[tuple[int, int, tuple[int, int]]] = []
    call = edit_call(name, picture(160, 80), steps=3)
    watched = family(name).edit(call, lambda step, steps, shown: told.append((step, steps, shown.size)))
    assert [(step, steps) for step, steps, _ in told] == [(1, 3), (2, 3), (3, 3)]
    width, height = told[0][2]
    assert width / height == pytest.approx(call.working[0] / call.working[1], rel=0.05)
    assert same(watched.image, family(name).edit(call).image)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_preview_of_the_source_is_the_source(name: str) -> None:
    """Latents of the loop, as `latent_picture` unpacks them, are those of the encoder."""
    qwen, source = family(name), picture(96, 64)
    vae, pipeline = qwen.pipeline.vae, qwen.pipeline
    pixels = pipeline.image_processor.preprocess(source, 64, 96).unsqueeze(2)
    with torch.no_grad():
        wanted = vae.encode(pixels).latent_dist.mode()[:, :, 0]
        scaled = pipeline._encode_vae_image(pixels, None)
    packed = pipeline._pack_latents(scaled, 1, vae.config.z_dim, 8, 12)
    torch.testing.assert_close(qwen.latent_picture(packed, (96, 64)), wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_are_encoded_once_for_the_same_pictures(name: str) -> None:
    qwen = QwenImage(build(name), "")
    calls: list[int] = []
    qwen.pipeline.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    for how, wanted in (
        ({}, 2),  # with and without the instruction
        ({"seed": 1}, 2),
        ({"instruction": "add a hat"}, 3),
        ({"strength": Strength("add a hat", 0.5)}, 3),
    ):
        qwen.edit(edit_call(name, steps=1, **how))
        assert len(calls) == wanted
    qwen.edit(edit_call(name, picture(80, 56, 5), steps=1))
    assert len(calls) == 5
