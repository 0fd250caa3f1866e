"""Step1X-Edit as a family: its loop against straight-line arithmetic, its passes, pictures, text and reasoning."""

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import PROMPT, build, transformer_calls
from torch import Tensor

from mmdit.attention.spec import RecordSpec
from mmdit.families import step1x
from mmdit.families.family import EditCall
from mmdit.families.machine import Machine
from mmdit.families.step1x import APOSTROPHE, BESIDE, Step1X
from mmdit.families.step1x_edit.pipeline import Step1XEditPipeline
from mmdit.families.step1x_edit.reasoning import Verdict, think, verdict
from mmdit.families.strength import Strength

FAMILIES = ("step1x_edit", "step1x_edit_1_2")
SEED, SIDE = 7, 64


@cache
def family(name: str) -> Step1X:
    return Step1X(build(name), "some weights")


@cache
def version_1_0() -> Step1X:
    parts = build("step1x_edit").components
    return Step1X(Step1XEditPipeline(**parts, version="1.0"), "some weights")


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    draw = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(draw).resize((width, height), Image.Resampling.BICUBIC)


def edit_call(*pictures: Image.Image, resolution: int = SIDE, **how: Any) -> EditCall:
    pictures = pictures or (picture(80, 56),)
    working = family("step1x_edit").working_size(pictures[0].size, resolution)
    return EditCall(
        **{"pictures": pictures, "instruction": PROMPT, "steps": 2, "guidance": 3.0, "seed": SEED, "working": working}
        | how
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(pixels(one), pixels(other))


# ---- the loop ----


@torch.no_grad()
def by_hand(editing: Step1X, call: EditCall, renormalised_above: float) -> Tensor:
    """The latents at the end: Euler steps of the guided velocity, on a schedule shifted by the picture's size."""
    pipeline, (width, height) = editing.pipeline, call.working
    source = call.pictures[0].resize(call.working, Image.Resampling.LANCZOS)
    told = [pipeline.encode_prompt(text, [source]) for text in (call.instruction, call.negative)]
    latents = torch.randn(1, 4, height // 8, width // 8, generator=torch.Generator().manual_seed(call.seed))

    def packed(x: Tensor) -> Tensor:
        cells = x.reshape(4, height // 16, 2, width // 16, 2)
        return cells.permute(1, 3, 0, 2, 4).reshape(1, -1, 16)

    vae = pipeline.vae
    values = torch.from_numpy(np.asarray(source).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    reference = packed((vae.encode(values).latent_dist.mode() - vae.config.shift_factor) * vae.config.scaling_factor)
    rows, columns = height // 16, width // 16
    shape = editing.pipeline.version.reference_id
    ids = [[0, row, column] for row in range(rows) for column in range(columns)]
    ids += [[shape[0], row + shape[1], column + shape[2]] for row in range(rows) for column in range(columns)]
    x = packed(latents)
    shift = math.exp((1.15 - 0.5) / (4096 - 256) * (rows * columns - 256) + 0.5)
    plain = [1 - step / call.steps for step in range(call.steps)]
    times = [shift / (shift + 1 / t - 1) for t in plain] + [0.0]
    for now, then in pairwise(times):
        velocities = []
        for text in told:
            length = text.prompt_embeds.shape[1]
            slots = 640 if pipeline.version.is_padded else length
            embeds, placed = torch.zeros(1, slots, 16), torch.zeros(slots, 3)
            embeds[:, :length], placed[:length] = text.prompt_embeds, text.text_ids
            quoted = {} if text.quoted_embeds is None else {"quoted_embeds": text.quoted_embeds}
            velocity = pipeline.transformer(
                hidden_states=torch.cat([x, reference], dim=1), encoder_hidden_states=embeds,
                prompt_embeds_mask=(torch.arange(slots) < length)[None], timestep=torch.tensor([now]),
                img_ids=torch.tensor(ids).float(), txt_ids=placed, **quoted,
            ).sample[:, : rows * columns]  # fmt: skip
            velocities.append(velocity)
        difference = velocities[0] - velocities[1]
        if now > renormalised_above:
            norms = difference.pow(2).sum(-1, keepdim=True).sqrt()
            difference = torch.stack(
                [d / max(1.0, n.item()) ** 0.4 for d, n in zip(difference[0], norms[0], strict=True)]
            )
        x = x + (then - now) * (velocities[1] + call.guidance * difference)
    return x


@pytest.mark.parametrize(("name", "above"), [("1.0", 1.0), ("1.1", 0.93), ("1.2", 0.00093)])
def test_the_loop_is_the_straight_line(name: str, above: float) -> None:
    """At its third step 1.1 is below its threshold, 1.2 above; guidance is so large that norms are above 1."""
    editing = {"1.0": version_1_0, "1.1": lambda: family(FAMILIES[0]), "1.2": lambda: family(FAMILIES[1])}[name]()
    call = edit_call(guidance=6.0, steps=4, negative="add a hat", instruction=f'{PROMPT} "now"')
    latents: list[Tensor] = []
    pipeline = editing.pipeline
    source = call.pictures[0].resize(call.working, Image.Resampling.LANCZOS)
    with torch.no_grad():
        for parameter in pipeline.transformer.proj_out.parameters():
            parameter.mul_(8)
        try:
            pipeline(
                source, call.instruction, call.negative, true_cfg_scale=6.0, num_inference_steps=4,
                generator=torch.Generator().manual_seed(SEED), output_type="latent",
                callback_on_step_end=lambda _, __, ___, tensors: latents.append(tensors["latents"]) or {},
            )  # fmt: skip
            wanted = by_hand(editing, call, above)
        finally:
            for parameter in pipeline.transformer.proj_out.parameters():
                parameter.div_(8)
    torch.testing.assert_close(latents[-1], wanted, rtol=1e-4, atol=1e-4)


def test_the_versions_edit_differently() -> None:
    made = {pixels(editing.edit(edit_call()).image).tobytes() for editing in (version_1_0(), *map(family, FAMILIES))}
    assert len(made) == 3


@pytest.mark.parametrize("name", FAMILIES)
def test_the_edit_is_the_pipelines_own(name: str) -> None:
    for guidance in (3.0, 1.0):
        call = edit_call(picture(97, 61), guidance=guidance, record=RecordSpec(steps="all"))
        editing = family(name)
        source = call.pictures[0].resize(call.working, Image.Resampling.LANCZOS)
        direct = editing.pipeline(
            image=source, prompt=PROMPT, true_cfg_scale=guidance, num_inference_steps=2,
            generator=torch.Generator().manual_seed(SEED),
        ).images[0].resize((97, 61), Image.Resampling.LANCZOS)  # fmt: skip
        assert same(editing.edit(replace(call, record=None)).image, direct)
        recorded = editing.edit(call, lambda *_: None)
        assert same(recorded.image, direct)
        assert recorded.maps.words == tuple(PROMPT.split())
        assert [stream.name for stream in recorded.maps.streams] == ["target", "reference:0"]


# ---- two passes, or one batch ----


def test_one_batch_is_two_passes() -> None:
    editing = Step1X(family("step1x_edit").pipeline, "some weights")
    assert not editing.guides_in_one_batch  # on a CPU
    call = edit_call(record=RecordSpec(steps="all"))
    with transformer_calls(editing.pipeline) as calls:
        apart = editing.edit(call)
    assert [len(words["hidden_states"]) for words in calls] == [1, 1, 1, 1]
    editing.guides_in_one_batch = True
    with transformer_calls(editing.pipeline) as calls:
        together = editing.edit(call)
    assert [len(words["hidden_states"]) for words in calls] == [2, 2]
    assert np.abs(pixels(apart.image) - pixels(together.image)).max() <= 1
    for conditional in (True, False):
        wanted = replace(call, negative="add a hat", record=RecordSpec(steps="all", conditional=conditional))
        maps = []
        for editing.guides_in_one_batch in (False, True):
            maps.append(editing.edit(wanted).maps)
        assert maps[0].words == maps[1].words == tuple((PROMPT if conditional else "add a hat").split())
        shares = [found.select(direction="image_to_text", stream="target") for found in maps]
        np.testing.assert_allclose(*shares, atol=1e-5)


def test_a_text_of_another_length_is_never_one_batch() -> None:
    editing = family("step1x_edit_1_2")
    assert not editing.guides_in_one_batch
    with pytest.raises(ValueError, match="tokens; guide in two passes"):
        editing.pipeline(picture(64, 64), PROMPT, num_inference_steps=1, batched_guidance=True)


def test_memory_decides_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations at 1024² take some gigabytes, for the VAE even in a tiny model."""
    editing = family("step1x_edit")
    for free, wanted in ((10**9, False), (10**10, True)):
        machine = Machine("cuda", free, free, 10**11, 10**11, 10**12, frozenset())
        monkeypatch.setattr(step1x, "measure", lambda _, machine=machine: machine)
        monkeypatch.setattr(step1x, "on_gpu", lambda _: True)
        assert Step1X(editing.pipeline, "").guides_in_one_batch == wanted
    monkeypatch.setattr(step1x, "on_gpu", lambda _: False)
    assert not Step1X(editing.pipeline, "").guides_in_one_batch


# ---- pictures ----


@pytest.mark.parametrize("name", FAMILIES)
def test_a_second_picture_stands_to_the_right_of_the_first(name: str) -> None:
    editing = family(name)
    call = edit_call(picture(80, 56), picture(40, 90, 1), record=RecordSpec())
    with transformer_calls(editing.pipeline) as calls:
        output = editing.edit(call)
    assert output.told.warnings == (BESIDE,) and output.image.size == (80, 56)
    target, first, second = output.maps.streams
    assert (target.height, target.width) == (first.height, first.width) == (3, 5)
    assert second.height > second.width
    ids = calls[0]["img_ids"]
    assert calls[0]["hidden_states"].shape[1] == len(ids) == sum(stream.tokens for stream in output.maps.streams)
    own, beside = ids[15:30], ids[30:]
    assert beside[:, 2].min() == own[:, 2].max() + 1 and beside[:, 1].min() == own[:, 1].min()
    assert len({tuple(place) for place in ids.tolist()}) == len(ids)
    alone = editing.edit(replace(call, pictures=call.pictures[:1]))
    assert not same(alone.image, output.image)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_instruction_is_read_beside_two_large_pictures(version: str) -> None:
    """One picture of this size takes 324 of the 640 slots, and both stand before the text."""
    pipeline = version_1_0().pipeline if version == "1.0" else family("step1x_edit").pipeline
    pictures = [picture(640, 640), picture(640, 640, 1)]
    told, other = (pipeline.encode_prompt(text, pictures) for text in (PROMPT, "make it night"))
    kept = told.reading.tokens[told.reading.dropped :][: told.prompt_embeds.shape[1]]
    assert max(token.characters[1] for token in kept) == len(PROMPT)
    assert not torch.equal(told.prompt_embeds[:, -12:], other.prompt_embeds[:, -12:])


def test_three_pictures_are_too_many() -> None:
    with pytest.raises(ValueError, match="3 pictures were given; Step1XEditPipeline edits at most 2"):
        family("step1x_edit").edit(edit_call(*[picture(64, 64, seed) for seed in range(3)]))


@pytest.mark.parametrize("size", [(777, 513), (513, 777), (64, 64), (1, 1), (900, 30)])
def test_the_result_has_the_size_of_the_first_picture(size: tuple[int, int]) -> None:
    call = edit_call(picture(*size), steps=1, guidance=1.0)
    assert all(side % 16 == 0 for side in call.working)
    assert family("step1x_edit").edit(call).image.size == size


# ---- text ----


def test_an_apostrophe_is_warned_of_where_it_is_a_mark() -> None:
    call = edit_call(instruction="paint the dog's hat red")
    assert family("step1x_edit").edit(call).told.warnings == (APOSTROPHE,)
    assert family("step1x_edit_1_2").edit(call).told.warnings == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_commands_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"holds <\|image_pad\|>"):
        family(name).edit(edit_call(instruction="a <|image_pad|> b"))


def test_what_does_not_fit_is_named() -> None:
    """640 slots, of which the picture takes at least 256."""
    long = " ".join(["blue"] * 600)
    (warning,) = family("step1x_edit").edit(edit_call(instruction=f"turn it {long} end", steps=1)).told.warnings
    assert warning.startswith("Only the start of the instruction was read") and warning.endswith("blue end”.")


@pytest.mark.parametrize("name", FAMILIES)
def test_strength_leads_from_the_neutral_instruction_to_the_own(name: str) -> None:
    editing = family(name)
    call = edit_call(instruction='turn it into a "dog"')
    neutral = 'turn it into a "cat"'
    at = {s: editing.edit(replace(call, strength=Strength(neutral, s))).image for s in (0.0, 1.0, 2.0)}
    assert same(at[1.0], editing.edit(call).image)
    assert same(at[0.0], editing.edit(replace(call, instruction=neutral)).image)
    assert not same(at[2.0], at[1.0])


# ---- thinking and reflection ----


def test_an_answer_is_read_by_its_tags() -> None:
    assert verdict("<#Think> fine <#Success>") == Verdict("success", reasons="fine")
    assert verdict(" <#Think>too\ndark<#Reflection> make it lighter \n") == Verdict(
        "reflection", "make it lighter", "too\ndark"
    )
    assert verdict("<#Think> broken <#Failed>") == Verdict("failed", reasons="broken")
    assert verdict("<#Think> what? <#Reflection> ").outcome == "failed"
    for answer in (
        "",
        "it is fine",
        "<#Success>",
        "<#Think> a <#Success> <#Failed>",
        "<#Think> a <#Think> b <#Failed>",
    ):
        assert verdict(answer).outcome == "unclear"


def test_thinking_is_drawn_from_the_seed() -> None:
    pipeline = family("step1x_edit_1_2").pipeline
    state = torch.get_rng_state()
    thoughts = [think(pipeline, picture(64, 64), PROMPT, seed) for seed in (1, 1, 2)]
    assert thoughts[0] == thoughts[1] != thoughts[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_thinking_edits_by_the_thought() -> None:
    editing = family("step1x_edit_1_2")
    call = edit_call(reasoning="think")
    thought = think(editing.pipeline, call.pictures[0], PROMPT, SEED)
    output = editing.edit(call)
    assert output.told.notes[0] == f"The model read the instruction as: “{thought}”."
    assert same(output.image, editing.edit(replace(call, reasoning="", instruction=thought)).image)


def test_reflection_edits_again_as_the_verdicts_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts are given here, since a model with random weights gives none."""
    editing = family("step1x_edit_1_2")
    said = [Verdict("reflection", "add a hat", "no hat"), Verdict("failed", "", "no dog"), Verdict("failed", "", "no")]
    looked: list[tuple[Image.Image, Image.Image, str]] = []

    def reflect(_: Any, source: Image.Image, edited: Image.Image, instruction: str, seed: int) -> Verdict:
        looked.append((source, edited, instruction))
        return said[len(looked) - 1]

    monkeypatch.setattr(step1x, "think", lambda *_: "make the sky purple")
    monkeypatch.setattr(step1x, "reflect", reflect)
    call = edit_call(reasoning="reflect")
    output = editing.edit(call)
    plain = replace(call, reasoning="", instruction="make the sky purple")
    first = editing.edit(plain).image
    second = editing.edit(replace(plain, pictures=(first,), instruction="add a hat", seed=SEED + 1)).image
    third = editing.edit(replace(plain, seed=SEED + 2)).image
    assert [same(*pair) for pair in zip([first, second, third], [edited for _, edited, _ in looked], strict=True)] == [
        True
    ] * 3
    assert all(source is call.pictures[0] and instruction == PROMPT for source, _, instruction in looked)
    assert same(output.image, third) and len(output.told.notes) == 4
    assert "Edit 1 of at most 3, reflection: no hat" in output.told.notes
    looked.clear()
    said[0] = Verdict("success", "", "good")
    assert same(editing.edit(call).image, first) and len(looked) == 1


def test_an_answer_in_no_form_is_told_in_short() -> None:
    *_, last = family("step1x_edit_1_2").edit(edit_call(reasoning="reflect", steps=1)).told.notes
    assert last.startswith("Edit 3 of at most 3, unclear: ") and len(last) < 300


def test_only_1_2_reasons() -> None:
    with pytest.raises(ValueError, match="reasoning is 'think' but Step1XEditPipeline can't reason; leave it out"):
        family("step1x_edit").edit(edit_call(reasoning="think"))
