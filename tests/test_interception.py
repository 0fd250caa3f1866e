"""Recording real edits, ours and diffusers': the picture stays the same to the bit, the maps are exact, no trace stays.

The references come from separate runs without a recorder, in which every call of scaled_dot_product_attention is noted.
"""

import threading
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FirstBlockCacheConfig, FlowMatchEulerDiscreteScheduler
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from peft import LoraConfig
from PIL import Image
from test_recorder import SdpaLog, reference
from tiny_checkpoints import FAMILIES, arguments, build, call, expected
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmdit.attention.interception import attention_heads, intercept, joint_attentions
from mmdit.attention.layout import TokenLayout
from mmdit.attention.maps import DIRECTIONS, AttentionMaps
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import EditTokens, Pass, RecordError, RecordSpec
from mmdit.editor import EditCancelled, Editor, EditRequest, EditResult
from mmdit.model.self_ensemble import SHIFTS

STEPS = 2
QWEN = ("qwen_image_edit", "qwen_image_edit_plus")
EVERYTHING = RecordSpec(steps="all", heads="all")
WORDS = (("turn", (3,)), ("the", (4,)), ("red", (6, 7)), ("the", (9,)))
INSTRUCTION = "make the armadillo and the sky blue"

shared = cache(build)  # one pipeline per family for the tests that leave it as it was


def traces(model: nn.Module) -> set[str]:
    """All that recording could have left behind, one line each."""
    found = {f"{name} {kind} {key}" for name, module in model.named_modules()
             for kind in ("_forward_hooks", "_forward_pre_hooks") for key in getattr(module, kind)}  # fmt: skip
    found |= {f"{name} tells" for name, module in model.named_modules() if getattr(module, "on_attention", None)}
    found |= {f"{name} runs {id(m.forward)}" for name, m in model.named_modules() if "forward" in vars(m)}
    found |= {f"{name} is {id(function)}" for name, function in _AttentionBackendRegistry._backends.items()}
    modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    return found | {f"modes {modes}", f"stance {torch._dynamo.eval_frame._stance.stance}"}


def assert_equal(maps: AttentionMaps, log: SdpaLog, tokens: EditTokens, which: Pass, within: float = 1e-6) -> None:
    calls = log.steps(tokens.calls_per_step, which.call)
    assert len(calls) == tokens.steps
    assert maps.layers == log.layers and len(maps.data) == len(DIRECTIONS) * len(tokens.layout.streams)
    assert maps.steps == pytest.approx([t / tokens.timestep_scale for t in log.timesteps[:: tokens.calls_per_step]])
    assert all(0 < step <= 1 for step in maps.steps)
    for direction, stream in maps.data:
        wanted = reference(calls, tokens, direction, stream, which.row)
        np.testing.assert_allclose(maps.select(direction, stream), wanted, atol=within, rtol=0)


# ---- diffusers ----


def edit_tokens(family: str, pipeline: DiffusionPipeline, guidance: bool = True) -> EditTokens:
    """What a family would say of `call`; Stable Diffusion 3 batches [without, with the instruction]."""
    facts = expected(family, pipeline, guidance=guidance)
    layout = TokenLayout.for_edit(facts.text_tokens, facts.target, facts.references, facts.text_first)
    batched = guidance and family == "stable_diffusion_3"
    unconditional = Pass() if batched else Pass(1) if facts.calls_per_step == 2 else None
    scale = 1000.0 if family == "stable_diffusion_3" else 1.0
    return EditTokens(layout, WORDS, STEPS, facts.calls_per_step, Pass(0, int(batched)), unconditional, scale)


def listen(family: str, pipeline: DiffusionPipeline, guidance: bool = True) -> SdpaLog:
    """An edit without a recorder."""
    layers = expected(family, pipeline, guidance=guidance).layers
    with SdpaLog(pipeline.transformer, layers).listening() as log:
        call(family, pipeline, steps=STEPS, guidance=guidance)
    return log


def record(
    family: str, pipeline: DiffusionPipeline, tokens: EditTokens, spec: RecordSpec = EVERYTHING, **options: Any
) -> tuple[np.ndarray, AttentionMaps]:
    transformer = pipeline.transformer
    recorder = Recorder(spec, tokens, tuple(joint_attentions(transformer)), attention_heads(transformer))
    with intercept(transformer, recorder):
        image = call(family, pipeline, steps=STEPS, **options)
    return image, recorder.maps()


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_recorded_edit_is_the_same_edit(family: str, guidance: bool) -> None:
    pipeline = shared(family)
    plain, log = call(family, pipeline, steps=STEPS, guidance=guidance), listen(family, pipeline, guidance)
    tokens, before = edit_tokens(family, pipeline, guidance), traces(pipeline.transformer)
    recorded, maps = record(family, pipeline, tokens, guidance=guidance)
    assert np.array_equal(recorded, plain)
    assert maps.layers == expected(family, pipeline).layers and maps.words == ("turn", "the", "red", "the#2")
    assert_equal(maps, log, tokens, tokens.conditional)
    assert traces(pipeline.transformer) == before


@pytest.mark.parametrize("family", ["stable_diffusion_3", *QWEN])
def test_the_pass_without_the_instruction_is_told_apart(family: str) -> None:
    pipeline = shared(family)
    tokens, log = edit_tokens(family, pipeline), listen(family, pipeline)
    if family in QWEN:  # its other call reads another prompt, of another length
        _, with_it = record(family, pipeline, tokens)
        with pytest.raises(RecordError, match=str(tokens.layout.tokens)):
            record(family, pipeline, tokens, RecordSpec(conditional=False))
        text = pipeline.encode_prompt(" ", image=arguments(family)["image"])[0].shape[1]
        assert text < tokens.layout.text_tokens
        layout = TokenLayout(text, tokens.layout.streams)
        tokens = EditTokens(layout, WORDS, STEPS, 2, tokens.conditional, tokens.unconditional)
    else:
        _, with_it = record(family, pipeline, tokens)
    _, without = record(family, pipeline, tokens, RecordSpec(steps="all", heads="all", conditional=False))
    assert_equal(without, log, tokens, tokens.unconditional)
    assert np.abs(without.select() - with_it.select()).max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_that_contradicts_the_layout_is_refused(family: str) -> None:
    pipeline = shared(family)
    plain, before = call(family, pipeline), traces(pipeline.transformer)
    tokens = edit_tokens(family, pipeline)
    one_more = TokenLayout(tokens.layout.text_tokens + 1, tokens.layout.streams, tokens.layout.text_first)
    wrong = EditTokens(one_more, WORDS, STEPS)
    with pytest.raises(RecordError, match=rf"{tokens.layout.tokens} queries .* {tokens.layout.tokens + 1} tokens"):
        record(family, pipeline, wrong)
    assert traces(pipeline.transformer) == before
    assert np.array_equal(call(family, pipeline), plain)


@pytest.mark.parametrize("where", ["step", "attention", "block"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_exception_leaves_no_trace(family: str, where: str) -> None:
    pipeline = shared(family)
    plain = call(family, pipeline)
    layer = pipeline.transformer.get_submodule(expected(family, pipeline).layers[-1])
    inner = {"attention": next(layer.children()), "block": layer}.get(where)

    def fail(*_: Any) -> dict:
        raise KeyboardInterrupt

    handle = None if inner is None else inner.register_forward_hook(fail)
    before = traces(pipeline.transformer)
    try:
        with pytest.raises(KeyboardInterrupt):
            record(family, pipeline, edit_tokens(family, pipeline), callback=fail if inner is None else None)
        assert traces(pipeline.transformer) == before
    finally:
        if handle is not None:
            handle.remove()
    assert np.array_equal(call(family, pipeline), plain)


@pytest.mark.parametrize("same_transformer", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_another_thread_is_neither_recorded_nor_disturbed(family: str, same_transformer: bool) -> None:
    """It makes a whole edit while this thread is in the middle of a recorded attention."""
    pipeline, other = shared(family), build(family)
    if same_transformer:
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config)
        other = type(pipeline)(**{**pipeline.components, "scheduler": scheduler})
        other.set_progress_bar_config(disable=True)
    plain, log, tokens = call(family, pipeline), listen(family, pipeline), edit_tokens(family, pipeline)
    images: list[np.ndarray] = []

    def meanwhile(*_: Any) -> None:
        if threading.current_thread() is threading.main_thread() and not images:
            thread = threading.Thread(target=lambda: images.append(call(family, other, steps=STEPS)))
            thread.start()
            thread.join()

    layer = pipeline.transformer.get_submodule(log.layers[1])
    handle = next(layer.children()).register_forward_hook(meanwhile)
    try:
        recorded, maps = record(family, pipeline, tokens)
    finally:
        handle.remove()
    assert len(images) == 1 and np.array_equal(images[0], plain) and np.array_equal(recorded, plain)
    assert_equal(maps, log, tokens, tokens.conditional)


@pytest.mark.parametrize("family", ["flux_kontext", "stable_diffusion_3", "qwen_image_edit", "flux2"])
def test_with_a_lora(family: str) -> None:
    pipeline = build(family)
    bare = call(family, pipeline)
    torch.manual_seed(0)
    targets = ["to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "to_qkv_mlp_proj"]
    pipeline.transformer.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    plain, log, tokens = call(family, pipeline), listen(family, pipeline), edit_tokens(family, pipeline)
    before = traces(pipeline.transformer)
    recorded, maps = record(family, pipeline, tokens)
    assert np.array_equal(recorded, plain) and not np.array_equal(plain, bare)
    assert_equal(maps, log, tokens, tokens.conditional)
    assert traces(pipeline.transformer) == before


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("family", ["flux_kontext", "qwen_image_edit"])
def test_a_compiled_transformer_is_recorded_too(family: str, whole: bool) -> None:
    pipeline = build(family)
    log, tokens = listen(family, pipeline), edit_tokens(family, pipeline)
    if whole:
        pipeline.transformer = torch.compile(pipeline.transformer, backend="eager")
    else:
        pipeline.transformer.compile_repeated_blocks(backend="eager")
    plain, before = call(family, pipeline), traces(pipeline.transformer)
    recorded, maps = record(family, pipeline, tokens)
    assert np.array_equal(recorded, plain)
    assert_equal(maps, log, tokens, tokens.conditional)
    assert traces(pipeline.transformer) == before


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_fused_kernel(family: str) -> None:
    pipeline = shared(family)
    tokens = edit_tokens(family, pipeline)
    with sdpa_kernel(SDPBackend.MATH):
        plain, log = call(family, pipeline), listen(family, pipeline)
        recorded, maps = record(family, pipeline, tokens)
    assert np.array_equal(recorded, plain)
    assert_equal(maps, log, tokens, tokens.conditional)


def test_a_backend_that_can_not_be_observed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def textbook(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
        logits = torch.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
        return torch.einsum("bhqk,bkhd->bqhd", logits.softmax(-1), value)

    monkeypatch.setitem(_AttentionBackendRegistry._backends, AttentionBackendName.NATIVE, textbook)
    pipeline = shared("flux2")
    layer = expected("flux2", pipeline).layers[0]
    with pytest.raises(RecordError, match=rf"{layer}.*native"):
        record("flux2", pipeline, edit_tokens("flux2", pipeline))


def test_a_step_cache_is_refused() -> None:
    pipeline = build("flux_kontext")
    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    before = traces(pipeline.transformer)
    with pytest.raises(RecordError, match=r"step cache.*disable_cache\(\)"):
        record("flux_kontext", pipeline, edit_tokens("flux_kontext", pipeline))
    assert traces(pipeline.transformer) == before


def test_a_model_without_joint_attention_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match="Linear"):
        joint_attentions(nn.Linear(2, 2))


# ---- ours ----


def edit(editor: Editor, picture: Image.Image, spec: RecordSpec | None, on_step: Any = None, **how: Any) -> EditResult:
    return editor.edit(EditRequest([picture], INSTRUCTION, seed=3, record=spec, literally=True, **how), on_step)


def own_tokens(editor: Editor, maps: AttentionMaps, steps: int, guidance: float) -> EditTokens:
    text = editor._family.text_encoder.encode([INSTRUCTION])
    words = tuple((word, tuple(range(len(text.mask[0])))[span]) for word, span in text.words[0])
    grid = (maps.streams[0].height, maps.streams[0].width)
    return EditTokens(TokenLayout.for_edit(len(text.mask[0]), grid, [grid]), words, steps, 1 if guidance == 1 else 2)


def check_our_own(editor: Editor, picture: Image.Image, within: float = 1e-6, **how: Any) -> AttentionMaps:
    layers = tuple(f"transformer_blocks.{index}.attn" for index in range(len(editor.transformer.transformer_blocks)))
    before = traces(editor.transformer)
    plain = edit(editor, picture, None, **how)
    with SdpaLog(editor.transformer, layers).listening() as log:
        edit(editor, picture, None, **how)
    recorded = edit(editor, picture, EVERYTHING, **how)
    assert plain.maps is None and np.array_equal(recorded.image, plain.image)
    assert recorded.maps.metadata.items() >= recorded.settings.items()
    tokens = own_tokens(editor, recorded.maps, **how)
    of_sampler = tokens.steps * tokens.calls_per_step
    assert len(log.calls) - of_sampler in (0, len(SHIFTS) * tokens.calls_per_step)  # further views follow it
    del log.calls[of_sampler:], log.timesteps[of_sampler:]
    assert_equal(recorded.maps, log, tokens, Pass(), within)
    assert traces(editor.transformer) == before
    return recorded.maps


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_our_edit_is_the_same_edit(tiny_editor: Editor, photograph: Image.Image, steps: int, guidance: float) -> None:
    maps = check_our_own(tiny_editor, photograph, steps=steps, guidance=guidance)
    assert maps.words == ("make", "the", "armadillo", "and", "the#2", "sky", "blue")
    assert [stream.name for stream in maps.streams] == ["target", "reference:0"]


@pytest.mark.shipped
def test_the_shipped_editor(editor: Editor, photograph: Image.Image) -> None:
    check_our_own(editor, photograph, within=3e-6, steps=2, guidance=2.0)  # log-sum-exps of 20 are only that precise


@pytest.mark.parametrize("failure", [EditCancelled, ZeroDivisionError])
def test_a_cancelled_edit_leaves_no_trace(
    tiny_editor: Editor, photograph: Image.Image, failure: type[Exception]
) -> None:
    def stop(_: Any) -> None:
        raise failure

    plain, before = edit(tiny_editor, photograph, None), traces(tiny_editor.transformer)
    with pytest.raises(failure):
        edit(tiny_editor, photograph, EVERYTHING, stop)
    assert traces(tiny_editor.transformer) == before
    assert np.array_equal(edit(tiny_editor, photograph, None).image, plain.image)


def test_another_edit_of_ours_meanwhile(tiny_editor: Editor, photograph: Image.Image) -> None:
    images: list[Image.Image] = []

    def meanwhile(_: Any) -> None:
        thread = threading.Thread(target=lambda: images.append(edit(tiny_editor, photograph, None, steps=2).image))
        thread.start()
        thread.join()

    alone = edit(tiny_editor, photograph, EVERYTHING, steps=2)
    crowded = edit(tiny_editor, photograph, EVERYTHING, meanwhile, steps=2)
    assert all(np.array_equal(image, alone.image) for image in (*images, crowded.image)) and len(images) == 2
    assert all(np.array_equal(crowded.maps.data[key], values) for key, values in alone.maps.data.items())


def test_one_recording_at_a_time(tiny_editor: Editor, photograph: Image.Image) -> None:
    def record_too(_: Any) -> None:
        edit(tiny_editor, photograph, RecordSpec(), steps=1)

    before = traces(tiny_editor.transformer)
    with pytest.raises(RecordError, match="already"):
        edit(tiny_editor, photograph, RecordSpec(), record_too, steps=2)
    assert traces(tiny_editor.transformer) == before


def test_our_editor_refuses_before_the_first_step(tiny_editor: Editor, photograph: Image.Image) -> None:
    with pytest.raises(RecordError, match=r"'zebra'.*make, the, armadillo, and, the#2, sky, blue"):
        edit(tiny_editor, photograph, RecordSpec(words=("zebra",)), lambda _: pytest.fail("it ran"))
