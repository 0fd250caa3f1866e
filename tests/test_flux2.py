"""FLUX.2 dev and both forms of Klein through their family, on tiny pipelines: their own edit, seen and bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tiny_checkpoints import PROMPT, build, expected, references
from torch import nn

from mmdit.attention.layout import TokenLayout
from mmdit.attention.spec import RecordSpec
from mmdit.families.family import EditCall
from mmdit.families.flux2 import TEXT_SLOTS, Flux2
from mmdit.families.strength import Strength
from mmdit.told import NOTHING

KINDS = ("flux2", "flux2_klein", "flux2_klein_base")
NEUTRAL = "turn the red cat into a red cat"  # as many tokens as PROMPT
SEED = 3


def built(kind: str) -> DiffusionPipeline:
    """Klein's base form differs from the distilled one in a flag."""
    pipeline = build(kind.removesuffix("_base"))
    if kind.endswith("_base"):
        pipeline.register_to_config(is_distilled=False)
    return pipeline


@pytest.fixture(scope="module", params=KINDS)
def family(request: pytest.FixtureRequest) -> Flux2:
    return Flux2(built(request.param), "tiny")


@pytest.fixture
def call(family: Flux2) -> EditCall:
    """Two steps at 64 × 64, with two pictures for dev and one for Klein."""
    pictures = tuple(references("flux2_klein" if family._is_klein else "flux2"))
    working = family.working_size(pictures[0].size, 64)
    return EditCall(pictures, PROMPT, steps=2, guidance=family.traits.guidance, seed=SEED, working=working)


def directly(family: Flux2, call: EditCall, **more: Any) -> Image.Image:
    """The pipeline called as its documentation says."""
    arguments = {
        "prompt": call.instruction, "image": list(call.pictures), "width": call.working[0], "height": call.working[1],
        "guidance_scale": call.guidance, "num_inference_steps": call.steps,
        "generator": torch.Generator().manual_seed(call.seed),
    }  # fmt: skip
    return family.pipeline(**arguments | more).images[0]


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


@contextmanager
def calls_of(module: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The keyword arguments of every call of the module."""
    seen: list[dict[str, Any]] = []
    hook = module.register_forward_pre_hook(lambda _, __, keywords: seen.append(keywords), with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def tokenizer(family: Flux2) -> Any:
    return family.pipeline.tokenizer if family._is_klein else family.pipeline.tokenizer.tokenizer


# ---- the same edit ----


def test_it_is_the_pipelines_own_edit(family: Flux2, call: EditCall) -> None:
    wanted = directly(family, call)
    plain = family.edit(call)
    assert same(plain.image, wanted) and plain.maps is None and plain.told == NOTHING
    recorded = family.edit(replace(call, record=RecordSpec(steps="all", heads="all")))
    assert same(recorded.image, wanted)
    assert recorded.maps.words == ("turn", "the", "red", "cat", "into", "a", "blue", "dog")
    kind = "flux2_klein" if family._is_klein else "flux2"
    assert recorded.maps.layers == expected(kind, family.pipeline).layers
    assert recorded.maps.steps[0] == 1 and 0 < recorded.maps.steps[1] < 1


def test_guidance(family: Flux2, call: EditCall) -> None:
    """It is told to dev, compared by Klein's base form, and refused by the distilled one."""
    distilled = family._is_klein and not family.traits.takes_negative
    for guidance in (1.0, 2.5):
        changed = replace(call, guidance=guidance)
        if distilled and guidance > 1:
            with pytest.raises(ValueError, match=r"guidance is 2\.5 but .* distilled"):
                family.edit(changed)
            continue
        with calls_of(family.transformer) as seen:
            assert same(family.edit(changed).image, directly(family, changed))
        assert len(seen) == 2 * call.steps * (2 if family.guides_truly(changed) else 1)
        told = seen[0]["guidance"]
        assert told is None if family._is_klein else told.item() == guidance


def test_a_negative_instruction(family: Flux2, call: EditCall) -> None:
    call = replace(call, negative="a hat")
    if not family.traits.takes_negative:
        with pytest.raises(ValueError, match="takes no negative instruction"):
            family.edit(call)
        return
    negative = family.pipeline.encode_prompt("a hat")[0]
    wanted = directly(family, call, negative_prompt_embeds=negative)
    assert same(family.edit(call).image, wanted)
    assert same(family.edit(replace(call, record=RecordSpec())).image, wanted)
    assert not same(family.edit(replace(call, negative="")).image, wanted)


def test_the_pass_that_is_recorded_is_the_one_with_the_instruction(family: Flux2, call: EditCall) -> None:
    """In the first step both edits see the same noise."""
    if not family.traits.takes_negative:
        assert family.passes(call) == {}
        return
    spec = RecordSpec(steps="all")
    guided, alone, without = (
        family.edit(replace(call, **how)).maps.select(words=0)[0]
        for how in (
            {"record": spec},
            {"record": spec, "guidance": 1.0},
            {"record": replace(spec, conditional=False), "negative": NEUTRAL},
        )
    )
    assert abs(guided - alone).max() < 1e-6 and abs(guided - without).max() > 1e-5


# ---- what the model looks at ----


def test_the_layout_is_that_of_the_pipeline(family: Flux2, call: EditCall) -> None:
    wanted = expected("flux2_klein" if family._is_klein else "flux2", family.pipeline)
    layout = family.layout(call, family.pictures_for_model(call), wanted.text_tokens)
    assert layout == TokenLayout.for_edit(wanted.text_tokens, wanted.target, wanted.references)


def grids(ids: torch.Tensor) -> list[tuple[int, int]]:
    """(rows, columns) of each picture in the pipeline's ids, (tokens, 4) as (picture, row, column, word)."""
    of_each = [ids[ids[:, 0] == picture] for picture in ids[:, 0].unique_consecutive()]
    found = [(int(own[:, 1].max()) + 1, int(own[:, 2].max()) + 1) for own in of_each]
    assert [len(own) for own in of_each] == [rows * columns for rows, columns in found]
    return found


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(120, 70)], [(4, 7), (4, 7)]),
        ([(70, 120), (64, 96), (131, 70), (40, 30)], [(7, 4), (7, 4), (6, 4), (4, 8), (4, 5)]),
    ],
)
def test_the_layout_is_that_of_the_pipelines_own_ids(
    family: Flux2, call: EditCall, sizes: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    pictures = tuple(call.pictures[0].resize(size) for size in sizes)
    call = replace(call, pictures=pictures, working=family.working_size(sizes[0], 64))
    with calls_of(family.transformer) as seen:
        recorded = family.edit(replace(call, record=RecordSpec()))
    assert grids(seen[0]["img_ids"][0]) == wanted
    layout = family.layout(call, family.pictures_for_model(call), TEXT_SLOTS)
    assert layout == TokenLayout.for_edit(seen[0]["txt_ids"].shape[1], wanted[0], wanted[1:])
    assert recorded.image.size == sizes[0]
    assert [(stream.height, stream.width) for stream in recorded.maps.streams] == wanted


@pytest.mark.parametrize(
    "instruction",
    [
        PROMPT,
        "  Turn the RED cat into a zebra, the red one\n",
        "actions without speculation: make the image's attribution an object, user",  # in the templates too
        "make the café's blue-ish sky purple",
        "a",
    ],
)
def test_words_have_the_slots_of_their_tokens_in_the_chat(family: Flux2, instruction: str) -> None:
    with calls_of(family.pipeline.text_encoder) as seen:
        text = family.encode(instruction, [])
    ids, mask = seen[0]["input_ids"][0], seen[0]["attention_mask"][0]
    assert torch.equal(text.token_ids, ids) and torch.equal(text.mask, mask.bool()) and len(ids) == TEXT_SLOTS
    assert bool(text.mask[0]) is family._is_klein and bool(text.mask[-1]) is not family._is_klein  # padded on the left
    said = [word.strip(":,") for word in instruction.split()]
    assert [word for word, _ in text.words] == said and text.unread == ()
    for word, slots in text.words:
        assert tokenizer(family).decode(ids[list(slots)]).strip() == word
        assert list(slots) == list(range(slots[0], slots[-1] + 1))
    taken = [slot for _, slots in text.words for slot in slots]
    assert taken == sorted(set(taken)) and text.mask[taken].all()
    without = tokenizer(family).decode(ids[taken[0] : taken[-1] + 1])
    assert without.strip(" ") == instruction.strip()
    after = tokenizer(family).decode(ids[taken[-1] + 1 :])
    assert after.strip().startswith("<|im_end|>" if family._is_klein else "[/INST]")


def test_words_that_are_not_read_are_named(family: Flux2, call: EditCall) -> None:
    call = replace(call, instruction="a dog " * 260 + "zebra")
    edited = family.edit(call)
    assert len(edited.told.warnings) == 1 and edited.told.warnings[0].endswith("zebra”.")
    assert same(edited.image, directly(family, call))


# ---- size, steps, cancel ----


def test_the_size_comes_back(family: Flux2, call: EditCall) -> None:
    picture = call.pictures[0].resize((777, 513))
    working = family.working_size(picture.size, 64)
    assert working == (96, 64)
    small = replace(call, pictures=(picture,), working=working)
    seen: list[tuple[int, int, Image.Image]] = []
    edited = family.edit(small, lambda *step: seen.append(step))
    assert edited.image.size == (777, 513) and edited.image.mode == "RGB"
    assert [(done, of) for done, of, _ in seen] == [(1, 2), (2, 2)]
    for _, _, preview in seen:
        assert preview.mode == "RGB" and abs(preview.width / preview.height - 96 / 64) < 0.01
    assert same(edited.image, family.edit(small).image)


def test_preview_latents_are_those_that_are_decoded(family: Flux2, call: EditCall) -> None:
    """In the middle of the run, and for a picture that is no square, so that rows and columns can't be mixed up."""
    pictures = (call.pictures[0].resize((96, 64)),)
    call = replace(call, pictures=pictures, working=(96, 64))
    kept: list[torch.Tensor] = []

    def keep(pipeline: Any, step: int, _: Any, tensors: dict[str, torch.Tensor]) -> dict:
        kept.append(family.latent_picture(tensors["latents"], call.working))
        return {}

    vae, decoded = family.pipeline.vae, []
    vae.bn.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    vae.bn.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    decode = vae.decode
    vae.decode = lambda latents, **how: (decoded.append(latents), decode(latents, **how))[1]
    try:
        directly(family, call, callback_on_step_end=keep)
    finally:
        del vae.decode
        vae.bn.reset_running_stats()
    assert kept[-1].shape == (1, 4, 8, 12)
    torch.testing.assert_close(kept[-1], decoded[0])


@pytest.mark.parametrize(
    ("size", "resolution", "wanted"),
    [
        ((777, 513), None, (1248, 832)),
        ((1024, 1024), None, (1024, 1024)),
        ((4000, 3000), 1024, (1184, 880)),
        ((4000, 3000), 2048, (2352, 1776)),
        ((800, 100), 64, (512, 64)),
    ],
)
def test_working_sizes(
    family: Flux2, call: EditCall, size: tuple[int, int], resolution: int | None, wanted: tuple[int, int]
) -> None:
    working = family.working_size(size, resolution)
    assert working == wanted
    shown = family.pictures_for_model(replace(call, pictures=(Image.new("RGB", size),), working=working))[0].size
    assert shown == (working if (resolution or 0) <= 1024 else (1168, 880))


def test_the_pipeline_leaves_the_pictures_alone(family: Flux2, call: EditCall) -> None:
    """It would shrink, crop or refuse them: every shape that it takes is brought to a size that it takes as it is."""
    sizes = [(w, h) for w in (1, 63, 90, 513, 1023, 3000) for h in (8, 64, 95, 720, 4000) if max(w, h) <= 8 * min(w, h)]
    for width, height in sizes:
        picture = Image.new("RGB", (width, height))
        shown = family.pictures_for_model(replace(call, pictures=(call.pictures[0], picture)))
        assert shown[0].size == call.working
        processor, (across, down) = family.pipeline.image_processor, shown[1].size
        processor.check_image_input(shown[1])
        assert across * down <= 1024**2 and across % 16 == down % 16 == 0
        assert abs(across / width - down / height) * min(width, height) <= 16
        if width * height <= 1024**2 and min(width, height) >= 64:
            assert abs(across - width) <= 16 and abs(down - height) <= 16


@pytest.mark.parametrize("failing", [1, 2])
def test_a_cancelled_edit_ends_within_the_step(family: Flux2, call: EditCall, failing: int) -> None:
    before = family.edit(call).image

    def stop(done: int, *_: Any) -> None:
        if done == failing:
            raise KeyboardInterrupt

    with calls_of(family.transformer) as seen, pytest.raises(KeyboardInterrupt):
        family.edit(replace(call, record=RecordSpec()), stop)
    assert len(seen) == failing * (2 if family.guides_truly(call) else 1)
    assert same(family.edit(call).image, before)


# ---- text ----


def test_an_instruction_is_read_once(family: Flux2, call: EditCall) -> None:
    call = replace(call, instruction="make the sky purple and blue")
    first = family.edit(call).image
    with calls_of(family.pipeline.text_encoder) as seen:
        assert same(family.edit(call).image, first)
        assert not seen
        family.edit(replace(call, instruction="make the sky red"))
        assert len(seen) == 1


def test_strength(family: Flux2, call: EditCall) -> None:
    def with_strength(value: float, neutral: str = NEUTRAL) -> Image.Image:
        return family.edit(replace(call, strength=Strength(neutral, value))).image

    plain = family.edit(call).image
    assert same(with_strength(1.0), plain) and same(with_strength(1.0, "add a hat"), plain)
    assert same(with_strength(0.0), family.edit(replace(call, instruction=NEUTRAL)).image)
    assert not same(with_strength(1.5), plain) and not same(with_strength(0.5, "add a hat"), plain)


# ---- defaults and refusals ----


def test_defaults() -> None:
    def traits(kind: str) -> tuple[int, float, int, bool]:
        of = Flux2(built(kind), "tiny").traits
        return of.steps, of.guidance, of.most_pictures, of.takes_negative

    assert traits("flux2") == (50, 4.0, 10, False)
    assert traits("flux2_klein") == (4, 1.0, 4, False)
    assert traits("flux2_klein_base") == (50, 4.0, 4, True)


def test_what_it_can_not_do_is_refused(family: Flux2, call: EditCall) -> None:
    few, oblong = family.traits.most_pictures, Image.new("RGB", (900, 100))
    for change, message in (
        ({"pictures": call.pictures[:1] * (few + 1)}, f"{few + 1} pictures were given.*at most {few}"),
        ({"denoise": 0.5}, "denoise is 0.5"),
        ({"pictures": (call.pictures[0], oblong)}, "picture 2 is 900 × 100.*8 to 1: crop it"),
    ):
        with pytest.raises(ValueError, match=message):
            family.edit(replace(call, **change))
