"""Stable Diffusion 3 through its family, on the tiny pipeline: the pipeline's own edit, seen and bounded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_checkpoints import PROMPT, build, expected, references
from torch import nn

from mmdit.attention.layout import TokenLayout
from mmdit.attention.spec import RecordSpec
from mmdit.families.family import EditCall
from mmdit.families.pipeline import EncodedText
from mmdit.families.registry import family_class, pipeline_class
from mmdit.families.stable_diffusion_3 import T5_SLOTS, StableDiffusion3
from mmdit.families.strength import Strength, TextTokens, interpolate
from mmdit.told import NOTHING

CLIP_SLOTS = 77
NEUTRAL = "turn the red cat into a red cat"  # as many tokens as PROMPT
SEED = 3


@pytest.fixture(scope="module")
def family() -> StableDiffusion3:
    return StableDiffusion3(build("stable_diffusion_3"), "tiny")


@pytest.fixture
def call(family: StableDiffusion3) -> EditCall:
    """Two of four steps from a noised 64 × 64 picture, guided."""
    (picture,) = references("stable_diffusion_3")
    working = family.working_size(picture.size, 64)
    return EditCall((picture,), PROMPT, steps=4, guidance=7.0, seed=SEED, working=working, denoise=0.5)


def directly(family: StableDiffusion3, call: EditCall, **more: Any) -> Image.Image:
    """The pipeline called as its documentation says."""
    arguments = {
        "prompt": call.instruction, "image": call.pictures[0], "width": call.working[0], "height": call.working[1],
        "strength": call.denoise, "guidance_scale": call.guidance, "num_inference_steps": call.steps,
        "generator": torch.Generator().manual_seed(call.seed),
    }  # fmt: skip
    return family.pipeline(**arguments | more).images[0]


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


@contextmanager
def calls_of(*modules: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The keyword arguments, and the first positional one as "input_ids", of every call of the modules."""
    seen: list[dict[str, Any]] = []

    def note(_: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        seen.append(keywords | ({"input_ids": arguments[0]} if arguments else {}))

    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def encoders(family: StableDiffusion3) -> tuple[nn.Module, ...]:
    return family.pipeline.text_encoder, family.pipeline.text_encoder_2, family.pipeline.text_encoder_3


# ---- the same edit ----


@pytest.mark.parametrize("denoise", [0.3, 0.5, 1.0])
@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (7.0, ""), (7.0, "a hat")])
def test_it_is_the_pipelines_own_edit(
    family: StableDiffusion3, call: EditCall, guidance: float, negative: str, denoise: float
) -> None:
    call = replace(call, guidance=guidance, negative=negative, denoise=denoise)
    wanted = directly(family, call, negative_prompt=negative or None)
    plain = family.edit(call)
    assert same(plain.image, wanted) and plain.maps is None and plain.told == NOTHING
    recorded = family.edit(replace(call, record=RecordSpec(steps="all", heads="all")))
    assert same(recorded.image, wanted)
    assert recorded.maps.words == ("turn", "the", "red", "cat", "into", "a", "blue", "dog")
    assert recorded.maps.layers == expected("stable_diffusion_3", family.pipeline).layers
    assert len(recorded.maps.steps) == {0.3: 2, 0.5: 2, 1.0: 4}[denoise]
    assert 0 < recorded.maps.steps[-1] < recorded.maps.steps[0] <= 1


def test_the_guided_pass_that_is_recorded_is_the_one_with_the_instruction(
    family: StableDiffusion3, call: EditCall
) -> None:
    """In the first step both edits see the same picture."""
    spec = RecordSpec(steps="all")
    guided, alone, without, other = (
        family.edit(replace(call, **how)).maps.select(words=0)[0]
        for how in (
            {"record": spec},
            {"record": spec, "guidance": 1.0},
            {"record": replace(spec, conditional=False), "negative": "add a hat"},
            {"record": replace(spec, conditional=False), "negative": "add a cat"},
        )
    )
    assert torch.allclose(torch.tensor(guided), torch.tensor(alone), atol=1e-6)
    assert abs(guided - without).max() > 1e-5 and abs(without - other).max() > 1e-5


def test_a_folder_of_the_text_to_image_pipeline_edits_too(
    family: StableDiffusion3, call: EditCall, tmp_path: Path
) -> None:
    family.pipeline.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    written = json.loads(index.read_text()) | {"_class_name": "StableDiffusion3Pipeline"}
    index.write_text(json.dumps(written))
    kind, editing = family_class(written["_class_name"]), pipeline_class(written["_class_name"])
    loaded = kind(editing.from_pretrained(tmp_path), "loaded")
    assert type(loaded.pipeline).__name__ in StableDiffusion3.pipelines
    assert same(loaded.edit(call).image, family.edit(call).image)


def test_without_t5_its_slots_say_nothing(call: EditCall) -> None:
    pipeline = build("stable_diffusion_3")
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    family = StableDiffusion3(pipeline, "no T5")
    assert same(family.edit(replace(call, record=RecordSpec())).image, directly(family, call))
    text = family.encode(PROMPT, [])
    assert len(text.token_ids) == len(text.mask) == CLIP_SLOTS + T5_SLOTS and not text.mask[CLIP_SLOTS:].any()
    assert max(slot for _, slots in text.words for slot in slots) < CLIP_SLOTS
    assert same(family.edit(replace(call, strength=Strength("add a hat", 1.0))).image, directly(family, call))
    assert not same(family.edit(replace(call, strength=Strength("add a hat", 0.5))).image, directly(family, call))


# ---- what the model looks at ----


def test_the_layout_is_that_of_the_pipeline(family: StableDiffusion3, call: EditCall) -> None:
    wanted = expected("stable_diffusion_3", family.pipeline)
    layout = family.layout(call, family.pictures_for_model(call), wanted.text_tokens)
    assert layout == TokenLayout.for_edit(wanted.text_tokens, wanted.target, wanted.references, text_first=False)


def test_the_layout_is_that_of_what_the_transformer_gets(family: StableDiffusion3, call: EditCall) -> None:
    picture = call.pictures[0].resize((120, 70))
    call = replace(call, pictures=(picture,), working=family.working_size(picture.size, 96))
    with calls_of(family.transformer) as seen:
        recorded = family.edit(replace(call, record=RecordSpec()))
    rows, columns = (side // family.transformer.config.patch_size for side in seen[0]["hidden_states"].shape[2:])
    text_tokens = seen[0]["encoder_hidden_states"].shape[1]
    assert (rows, columns) == (5, 8) and text_tokens == CLIP_SLOTS + T5_SLOTS
    assert family.layout(call, [picture], text_tokens) == TokenLayout.for_edit(
        text_tokens, (rows, columns), [], text_first=False
    )
    assert recorded.maps.select(stream="target").shape[-2:] == (rows, columns)


@pytest.mark.parametrize(
    "instruction",
    [
        PROMPT,
        "Turn  the RED cat into a zebra, the red one",
        "make the café's blue-ish sky purple",
        "add a hat " + "and a dog " * 40 + "zebra",  # CLIP reads its first 75 tokens, T5 all of it
    ],
)
def test_words_have_the_slots_of_clip_and_of_t5(family: StableDiffusion3, instruction: str) -> None:
    with calls_of(*encoders(family)) as seen:
        text = family.encode(instruction, [])
    clip, clip_2, t5 = (one["input_ids"][0].tolist() for one in seen)
    assert text.token_ids.tolist() == clip + t5
    pipeline = family.pipeline

    def read_back(tokenizer: Any, ids: list[int], slots: list[int]) -> str:
        return tokenizer.decode([ids[slot] for slot in slots]).replace(" ", "").lower()

    said = [word.strip(",") for word in instruction.split()]
    assert [word for word, _ in text.words] == said and text.unread == ()
    for word, slots in text.words:
        in_clip = [slot for slot in slots if slot < CLIP_SLOTS]
        in_t5 = [slot - CLIP_SLOTS for slot in slots if slot >= CLIP_SLOTS]
        assert read_back(pipeline.tokenizer_3, t5, in_t5).replace("<unk>", "é") == word.lower()
        for tokenizer, ids in ((pipeline.tokenizer, clip), (pipeline.tokenizer_2, clip_2)):
            assert read_back(tokenizer, ids, in_clip) in (word.lower(), "")
        assert in_clip or len(said) > 70
    taken = [slot for _, slots in text.words for slot in slots]
    assert len(set(taken)) == len(taken) and text.mask[taken].all()


def test_words_that_nothing_reads_are_named(family: StableDiffusion3, call: EditCall) -> None:
    call = replace(call, instruction="a dog " * 140 + "zebra")
    (warning,) = family.edit(call).told.warnings
    assert "zebra" in warning and same(family.edit(call).image, directly(family, call))


# ---- size, steps, cancel ----


def test_sizes(family: StableDiffusion3, call: EditCall) -> None:
    picture = call.pictures[0].resize((777, 513))
    assert family.working_size(picture.size, 64) == (80, 48)
    small = replace(call, pictures=(picture,), working=(80, 48))
    previews: list[Image.Image] = []
    edited = family.edit(small, lambda done, of, preview: previews.append((done, of, preview)))
    assert edited.image.size == (777, 513) and edited.image.mode == "RGB"
    assert [(done, of) for done, of, _ in previews] == [(1, 2), (2, 2)]
    for _, _, preview in previews:
        assert preview.mode == "RGB" and abs(preview.width / preview.height - 80 / 48) < 0.01
    assert same(edited.image, family.edit(small).image)


def test_no_side_is_longer_than_the_model_has_positions(family: StableDiffusion3) -> None:
    assert family.working_size((777, 513), 256) == (320, 208)
    assert family.working_size((4000, 1000), 1024) == (512, 128)  # 32 positions of 16 pixels
    assert family.working_size((513, 777)) == (336, 512)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_cancelled_edit_ends_within_the_step(family: StableDiffusion3, call: EditCall, failing: int) -> None:
    before = family.edit(call).image

    def stop(done: int, *_: Any) -> None:
        if done == failing:
            raise KeyboardInterrupt

    with calls_of(family.transformer) as seen, pytest.raises(KeyboardInterrupt):
        family.edit(replace(call, record=RecordSpec()), stop)
    assert len(seen) == failing
    assert same(family.edit(call).image, before)


# ---- text ----


def test_an_instruction_is_read_once(family: StableDiffusion3, call: EditCall) -> None:
    call = replace(call, instruction="make the sky purple and blue", negative="a red cat")
    first = family.edit(call).image
    with calls_of(*encoders(family)) as seen:
        assert same(family.edit(call).image, first)
        assert not seen
        family.edit(replace(call, instruction="make the sky red"))
        assert len(seen) == 3


def test_strength(family: StableDiffusion3, call: EditCall) -> None:
    def with_strength(value: float, neutral: str = NEUTRAL) -> Image.Image:
        return family.edit(replace(call, strength=Strength(neutral, value))).image

    plain = family.edit(call).image
    assert same(with_strength(1.0), plain) and same(with_strength(1.0, "add a hat"), plain)
    assert same(with_strength(0.0), family.edit(replace(call, instruction=NEUTRAL)).image)
    assert not same(with_strength(1.5), plain)


def test_strength_never_blends_one_encoder_with_the_other(family: StableDiffusion3, call: EditCall) -> None:
    """The neutral text has fewer tokens, so the slots of both have to be aligned."""
    call = replace(call, strength=Strength("turn a dog", 0.5))
    neutral, target = (family._encoded(text, []) for text in ("turn a dog", PROMPT))
    mixed = family._strengthened(call, target, [])["prompt_embeds"][0]

    def part_of(text: EncodedText, part: slice) -> TextTokens:
        return TextTokens(text.tensors["prompt_embeds"][0, part], text.token_ids[part], text.mask[part])

    for part in (slice(0, CLIP_SLOTS), slice(CLIP_SLOTS, None)):
        assert torch.equal(mixed[part], interpolate(part_of(neutral, part), [(part_of(target, part), 0.5)]))
    assert not torch.equal(mixed, interpolate(neutral.tokens("prompt_embeds"), [(target.tokens("prompt_embeds"), 0.5)]))


# ---- defaults and refusals ----


@pytest.mark.parametrize(
    ("config", "steps", "guidance"),
    [
        ({"qk_norm": None, "dual_attention_layers": ()}, 28, 7.0),
        ({"qk_norm": "rms_norm", "dual_attention_layers": ()}, 28, 3.5),
        ({"qk_norm": "rms_norm", "dual_attention_layers": (0,)}, 40, 4.5),
    ],
)
def test_defaults_of_each_model(config: dict[str, Any], steps: int, guidance: float) -> None:
    pipeline = build("stable_diffusion_3")
    pipeline.transformer.register_to_config(**config)
    traits = StableDiffusion3(pipeline, "tiny").traits
    assert (traits.steps, traits.guidance, traits.denoise, traits.most_pictures) == (steps, guidance, 0.6, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": (Image.new("RGB", (64, 64)),) * 2}, "exactly one"),
        ({"guidance": 1.0, "negative": "a hat"}, "'a hat' does nothing without guidance"),
    ],
)
def test_what_it_can_not_do_is_refused(
    family: StableDiffusion3, call: EditCall, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        family.edit(replace(call, **change))
