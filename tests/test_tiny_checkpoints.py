"""The tiny checkpoints are what they claim to be: whole, repeatable, and laid out as `expected` says."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from tiny_checkpoints import FAMILIES, PROMPT, SIDE, build, call, expected, references, small_references
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

STEPS = 2
QWEN = ("qwen_image_edit", "qwen_image_edit_plus")
GUIDED = ("flux_kontext", "stable_diffusion_3", *QWEN, "step1x_edit", "step1x_edit_1_2")

shared = cache(build)  # one pipeline per family for the tests that leave it as it was


class Attention(NamedTuple):
    """One call of scaled_dot_product_attention."""

    transformer_call: int
    layer: str
    heads: int
    length: int
    first_value: torch.Tensor  # of the sequence: (H, D), of the last sample in the batch


class AttentionLog(TorchFunctionMode):
    """Notes each fused attention, and in which module of the transformer it happened."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: str | None = None
        self.transformer_calls = 0
        self.attentions: list[Attention] = []

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is functional.scaled_dot_product_attention and self.layer:
            tensors = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
            _, heads, length, _ = tensors["query"].shape
            first_value = tensors["value"][-1, :, 0].clone()
            self.attentions.append(Attention(self.transformer_calls, self.layer, heads, length, first_value))
        return function(*args, **kwargs)

    @contextmanager
    def listening(self, transformer: nn.Module) -> Iterator[None]:
        """Within it the modules of the transformer that compute attention say when they do."""

        def enter(name: str | None) -> Any:
            def hook(*_: Any) -> None:
                self.layer = name

            return hook

        def count(*_: Any) -> None:
            self.transformer_calls += 1

        handles = [transformer.register_forward_pre_hook(count)]
        for name, module in transformer.named_modules():
            if hasattr(module, "processor"):
                handles.append(module.register_forward_pre_hook(enter(name)))
                handles.append(module.register_forward_hook(enter(None)))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_is_repeatable_to_the_bit(family: str) -> None:
    random_state = torch.get_rng_state()
    images = call(family, build(family), steps=STEPS)
    again = call(family, build(family), steps=STEPS)
    assert images.shape == (1, SIDE, SIDE, 3) and images.dtype == np.float32
    assert np.isfinite(images).all() and images.std() > 0.01
    assert np.array_equal(images, again)
    assert torch.equal(torch.get_rng_state(), random_state)

    unguided = call(family, shared(family), steps=STEPS, guidance=False)
    assert np.array_equal(images, unguided) == (family not in GUIDED)


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_joint_sequence_is_as_expected(family: str, guidance: bool) -> None:
    pipeline, log, steps_seen = shared(family), AttentionLog(), []

    def callback(_: DiffusionPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        steps_seen.append(step)
        return tensors

    with log.listening(pipeline.transformer):
        call(family, pipeline, steps=STEPS, guidance=guidance, callback=callback)

    layout = expected(family, pipeline, guidance=guidance)
    assert steps_seen == list(range(STEPS))
    assert log.transformer_calls == STEPS * layout.calls_per_step
    others = {item.layer for item in log.attentions if item.layer not in layout.layers}
    assert others == ({"transformer_blocks.0.attn2"} if family == "stable_diffusion_3" else set())
    for conditional in range(1, log.transformer_calls + 1, layout.calls_per_step):
        items = [item for item in log.attentions if item.transformer_call == conditional and item.layer not in others]
        assert tuple(item.layer for item in items) == layout.layers
        assert {item.heads for item in items} == {layout.heads}
        assert {item.length for item in items} == {layout.sequence_length}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_stands_where_expected(family: str) -> None:
    """Values have neither norm nor rotation, so the first one of the sequence tells which stream it comes from."""
    pipeline, log, values = shared(family), AttentionLog(), {}
    layout = expected(family, pipeline, guidance=False)
    attention = pipeline.transformer.get_submodule(layout.layers[0])
    handles = [
        projection.register_forward_hook(lambda _, __, output, name=name: values.update({name: output}))
        for name, projection in (("image", attention.to_v), ("text", attention.add_v_proj))
    ]
    try:
        with log.listening(pipeline.transformer):
            call(family, pipeline, steps=1, guidance=False)
    finally:
        for handle in handles:
            handle.remove()
    assert values["text"].shape[1] == layout.text_tokens
    first = values["text" if layout.text_first else "image"][-1, 0]
    assert torch.equal(log.attentions[0].first_value.flatten(), first)


@pytest.mark.parametrize("family", QWEN)
def test_the_template_loses_its_64_tokens_and_no_more(family: str) -> None:
    pipeline, several = shared(family), family == "qwen_image_edit_plus"
    picture = "Picture 1: <|vision_start|><|image_pad|><|vision_end|>" if several else ""
    text = pipeline.prompt_template_encode.format(picture + PROMPT)
    tokens = pipeline.processor(text=[text], images=references(family)[:1], return_tensors="pt").input_ids[0]
    assert pipeline.tokenizer.decode(tokens[:64]).endswith("<|im_start|>user\n")
    kept = pipeline.tokenizer.decode(tokens[64:])
    assert kept.startswith("Picture 1: <|vision_start|>" if several else "<|vision_start|><|image_pad|>")
    assert kept.endswith(f"<|vision_end|>{PROMPT}<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("family", ["qwen_image_edit_plus", "flux2"])
def test_a_pipeline_survives_the_disk(family: str, tmp_path: Path) -> None:
    built = shared(family)
    built.save_pretrained(tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is type(built)
    assert expected(family, loaded) == expected(family, built)
    for name, component in built.components.items():
        if isinstance(component, nn.Module):
            weights = loaded.components[name].state_dict()
            assert weights.keys() == component.state_dict().keys()
            assert all(torch.equal(weights[key], weight) for key, weight in component.state_dict().items())
    # Not to the bit: weights mapped from a file are not aligned in memory, and the kernels then sum in another order.
    np.testing.assert_allclose(call(family, loaded), call(family, built), atol=1e-5)


def test_small_references_are_undone() -> None:
    modules = pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
    before = [dict(vars(module)) for module in modules]
    with pytest.raises(KeyError), small_references():
        assert pipeline_qwenimage_edit.calculate_dimensions(1024 * 1024, 1.0) == (SIDE, SIDE, None)
        assert pipeline_qwenimage_edit_plus.calculate_dimensions(1024 * 1024, 3.0) == (96, 32)
        assert pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE == SIDE**2
        raise KeyError
    assert [dict(vars(module)) for module in modules] == before


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'flux3'.*flux_kontext"):
        build("flux3")
