"""attention() and attention_with_lse() against the textbook in float64, and what a RecordSpec may ask for."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmdit.attention import fused
from mmdit.attention.fused import PACKAGES, Attended, attention, attention_with_lse, available_backends
from mmdit.attention.layout import TokenLayout
from mmdit.attention.maps import DIRECTIONS
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import EditTokens, RecordError, RecordSpec

SHAPE = (2, 3, 17, 8)


def reference(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, bias: Tensor | None) -> Tensor:
    """Row by row, head by head: exponentials, their sum, the weighted mean of the values."""
    batch, heads, length, channels = query.shape
    result = torch.empty_like(value)
    for sample in range(batch):
        for head in range(heads):
            for row in range(length):
                logits = key[sample, head] @ query[sample, head, row] / channels**0.5
                if bias is not None:
                    logits = logits + bias.expand(batch, heads, length, length)[sample, head, row]
                weights = (logits - logits.max()).exp()
                if allowed is not None:
                    weights = weights * allowed.expand(batch, heads, length, length)[sample, head, row]
                result[sample, head, row] = (weights[:, None] * value[sample, head]).sum(0) / weights.sum()
    return result


def draw_inputs(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [2 * torch.randn(SHAPE, generator=draw).to(dtype) for _ in range(3)]


def masks() -> dict[str, tuple[Tensor | None, Tensor | None]]:
    """Name → (boolean mask, additive mask), shaped as the model shapes it and in full."""
    draw = torch.Generator().manual_seed(2)
    padding = torch.ones(2, 1, 1, 17, dtype=torch.bool)
    padding[0, ..., 3:6], padding[1, ..., :9] = False, False
    full = torch.rand(2, 3, 17, 17, generator=draw) < 0.5
    full[..., 0] = True  # no row without any key
    bias = torch.randn(1, 3, 17, 17, generator=draw)
    return {"none": (None, None), "padding": (padding, None), "full": (full, None), "additive": (None, bias)}


MASKS = masks()


@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_equals_float64_softmax(name: str, needs_gradient: bool) -> None:
    allowed, bias = MASKS[name]
    query, key, value = draw_inputs()
    expected = reference(query.double(), key.double(), value.double(), allowed, bias)
    query.requires_grad_(needs_gradient)
    found = attention(query, key, value, mask=bias if allowed is None else allowed)
    assert found.dtype == value.dtype
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("name", ["padding", "full"])
def test_a_boolean_mask_equals_minus_infinity_added(name: str, needs_gradient: bool) -> None:
    allowed, _ = MASKS[name]
    query, key, value = draw_inputs()
    query.requires_grad_(needs_gradient)
    added = torch.zeros(allowed.shape).masked_fill(~allowed, -float("inf"))
    torch.testing.assert_close(
        attention(query, key, value, mask=allowed), attention(query, key, value, mask=added), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_masked_keys_and_values_do_not_matter(needs_gradient: bool) -> None:
    allowed, _ = MASKS["padding"]
    query, key, value = draw_inputs()
    query.requires_grad_(needs_gradient)
    hidden = ~allowed[:, 0, 0, :, None].unsqueeze(1)
    other_key, other_value = (torch.where(hidden, 100 * torch.ones(SHAPE), x) for x in (key, value))
    torch.testing.assert_close(
        attention(query, other_key, other_value, mask=allowed), attention(query, key, value, mask=allowed),
        atol=1e-6, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_gradients_equal_those_of_the_float64_reference(name: str) -> None:
    allowed, bias = MASKS[name]
    inputs = [x.requires_grad_() for x in draw_inputs()]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    outer = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))

    (attention(*inputs, mask=bias if allowed is None else allowed) * outer).sum().backward()
    _differentiable_reference(*exact, allowed, bias).mul(outer).sum().backward()
    for found, expected in zip(inputs, exact, strict=True):
        torch.testing.assert_close(found.grad.double(), expected.grad, atol=1e-5, rtol=1e-4)


def _differentiable_reference(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, bias: Tensor | None
) -> Tensor:
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.shape[-1] ** 0.5
    logits = logits if bias is None else logits + bias
    weights = logits.exp() if allowed is None else logits.exp() * allowed
    return torch.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdim=True), value)


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_half_precision_values_give_half_precision_results(needs_gradient: bool) -> None:
    query, key, value = draw_inputs(torch.bfloat16)
    expected = reference(query.double(), key.double(), value.double(), None, None)
    query.requires_grad_(needs_gradient)
    found = attention(query, key, value)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=0.06, rtol=0.02)


# ---- attention_with_lse ----

ROWS, COLUMNS = 9, 17
BACKENDS = ("auto", *available_backends("cpu"))
GRADIENTS: dict[str, Callable[[], AbstractContextManager]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "grad": nullcontext,
}


def uneven(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Query (2, 3, 9, 8), key and value (2, 3, 17, 8)."""
    query, key, value = draw_inputs(dtype)
    return query[:, :, :ROWS].contiguous(), key, value


def uneven_mask(name: str) -> Tensor | None:
    """The masks above for 9 queries, and padding as an additive mask of the same shape."""
    if name == "additive padding":
        return torch.zeros(2, 1, 1, COLUMNS).masked_fill(~MASKS["padding"][0], -float("inf"))
    mask = next((mask for mask in MASKS[name] if mask is not None), None)
    return mask[..., :ROWS, :] if mask is not None and mask.shape[-2] > 1 else mask


def exact(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp by the full matrix in float64."""
    logits = torch.einsum("bhqd,bhkd->bhqk", query.double(), key.double())
    logits = logits * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        logits = logits.masked_fill(~mask, -float("inf")) if mask.dtype == torch.bool else logits + mask.double()
    return torch.einsum("bhqk,bhkd->bhqd", logits.softmax(-1), value.double()), logits.exp().sum(-1).log()


def check(found: Attended, inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, scale: float | None) -> None:
    output, lse = exact(*inputs, mask, scale)
    half = inputs[0].dtype == torch.bfloat16
    assert found.output.dtype == inputs[2].dtype and found.lse.dtype == torch.float32
    torch.testing.assert_close(found.output.double(), output, atol=0.06 if half else 5e-6, rtol=0.02 if half else 1e-5)
    torch.testing.assert_close(found.lse.double(), lse, atol=1e-3 if half else 3e-6, rtol=1e-6)


@pytest.mark.parametrize("mode", GRADIENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*MASKS, "additive padding"])
def test_lse_and_output_equal_float64(name: str, backend: str, mode: str) -> None:
    inputs, mask = uneven(), uneven_mask(name)
    inputs[0].requires_grad_(mode == "grad")
    for scale in (None, 0.9):
        with GRADIENTS[mode]():
            found = attention_with_lse(*inputs, mask=mask, scale=scale, backend=backend)
        assert found.backend == ("cpu_flash" if backend == "auto" else backend)
        check(found, inputs, mask, scale)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["none", "padding"])
def test_lse_of_bfloat16_equals_float64(name: str, backend: str) -> None:
    inputs, mask = uneven(torch.bfloat16), uneven_mask(name)
    check(attention_with_lse(*inputs, mask=mask, backend=backend), inputs, mask, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", GRADIENTS)
@pytest.mark.parametrize("name", MASKS)
def test_auto_is_pytorchs_own_result_to_the_bit(name: str, mode: str, dtype: torch.dtype) -> None:
    inputs, mask = uneven(dtype), uneven_mask(name)
    mask = mask if mask is None or mask.dtype == torch.bool else mask.to(dtype)
    strided = tuple(x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs)  # as diffusers passes them
    for query, key, value in (inputs, strided):
        with GRADIENTS[mode]():
            expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5)
            found = attention_with_lse(query, key, value, mask=mask, scale=0.5)
        assert torch.equal(found.output, expected)


def test_a_gradient_goes_through_as_it_would_have() -> None:
    outer = torch.randn(2, 3, ROWS, 8, generator=torch.Generator().manual_seed(3))
    gradients = []
    for attend in (functional.scaled_dot_product_attention, lambda *inputs: attention_with_lse(*inputs).output):
        inputs = [x.requires_grad_() for x in uneven()]
        (attend(*inputs) * outer).sum().backward()
        gradients.append([x.grad for x in inputs])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("mode", GRADIENTS)
@pytest.mark.parametrize("name", MASKS)
def test_without_a_fused_kernel_lse_is_right_and_output_the_same(name: str, mode: str) -> None:
    inputs, mask = uneven(), uneven_mask(name)
    with sdpa_kernel(SDPBackend.MATH), GRADIENTS[mode]():
        expected = functional.scaled_dot_product_attention(*inputs, attn_mask=mask)
        found = attention_with_lse(*inputs, mask=mask)
    assert found.backend == "math"
    assert torch.equal(found.output, expected)
    check(found, inputs, mask, None)


@pytest.mark.parametrize("size", [1, 2 * 3 * COLUMNS * 4 * 4])  # a row at a time; four, which do not divide nine
@pytest.mark.parametrize("name", MASKS)
def test_chunks_are_seamless(monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    inputs, mask = uneven(), uneven_mask(name)
    monkeypatch.setattr(fused, "CHUNK_BYTES", size)
    check(attention_with_lse(*inputs, mask=mask, backend="chunked"), inputs, mask, None)
    with sdpa_kernel(SDPBackend.MATH):
        check(attention_with_lse(*inputs, mask=mask), inputs, mask, None)


@pytest.mark.parametrize("backend", ["sage", "", "cuda_flash", "cudnn", *PACKAGES])
def test_an_unusable_backend_is_refused_by_name(backend: str) -> None:
    assert backend not in available_backends("cpu")
    sentence = rf"^attention backend '{backend}' [^\n]*; use one of auto, cpu_flash, chunked$"
    with pytest.raises(ValueError, match=sentence):
        attention_with_lse(*draw_inputs(), backend=backend)


# ---- what a RecordSpec may ask for ----


LAYERS = ("transformer_blocks.0.attn", "transformer_blocks.1.attn")
WORDS = (("turn", (1,)), ("the", (2,)), ("tabby", (3, 4, 5)), ("the", (7,)))
TOKENS = EditTokens(TokenLayout.for_edit(9, (3, 4), [(2, 3), (4, 2)]), WORDS, steps=3)


def refused(spec: RecordSpec, tokens: EditTokens | None = None) -> str:
    """The one sentence with which a recorder declines."""
    with pytest.raises(RecordError) as caught:
        Recorder(spec, tokens or TOKENS, LAYERS, heads=3)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (RecordSpec(words=("the", "dog")), ("'dog'", "turn, the, tabby, the#2")),
        (RecordSpec(words=("the#3",)), ("'the#3'", "the#2")),
        (RecordSpec(words=()), ("words is ()", "'all'")),
        (RecordSpec(words="the"), ("words is 'the'", "'all'")),
        (RecordSpec(layers=("transformer_blocks.9.attn",)), ("'transformer_blocks.9.attn'", *LAYERS)),
        (RecordSpec(layers=(2,)), ("2", *LAYERS)),
        (RecordSpec(layers=()), ("layers is ()", "'all'")),
        (RecordSpec(steps=(0, 3)), ("(0, 3)", "0 to 2")),
        (RecordSpec(steps=(-1,)), ("(-1,)", "0 to 2")),
        (RecordSpec(steps=()), ("steps is ()", "0 to 2")),
        (RecordSpec(steps="last"), ("steps is 'last'", "0 to 2")),
        (RecordSpec(heads=(3,)), ("(3,)", "0 to 2")),
        (RecordSpec(heads=()), ("heads", "0 to 2")),
        (RecordSpec(streams=("reference:2",)), ("'reference:2'", "target, reference:0, reference:1")),
        (RecordSpec(streams=()), ("streams is ()", "'all'")),
        (RecordSpec(directions=("text_to_text",)), ("'text_to_text'", *DIRECTIONS)),
        (RecordSpec(directions=()), ("directions is ()", *DIRECTIONS)),
        (RecordSpec(patches=((0, 0), (3, 0))), ("(3, 0)", "3 rows", "4 columns")),
        (RecordSpec(patches=((-1, 0),)), ("(-1, 0)", "3 rows", "4 columns")),
        (RecordSpec(conditional=False), ("conditional", "guidance")),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_is_not_there_is_refused_by_name(spec: RecordSpec, named: tuple[str, ...]) -> None:
    sentence = refused(spec)
    assert all(name in sentence for name in named), sentence


def test_an_instruction_without_a_word_is_refused() -> None:
    assert "no word" in refused(RecordSpec(), replace(TOKENS, words=()))


@pytest.mark.parametrize("slots", [(), (9,), (-1, 3)])
def test_a_word_that_is_not_among_the_text_is_refused(slots: tuple[int, ...]) -> None:
    assert "'cat'" in refused(RecordSpec(), replace(TOKENS, words=(("cat", slots),)))


def test_more_than_the_budget_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = EditTokens(TokenLayout.for_edit(512, (256, 256), [(256, 256)]), WORDS, 1000)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: pytest.fail("allocated"))
    sentence = refused(RecordSpec(steps="all", heads="all"), huge)
    needed = 2 * 2 * 1000 * 2 * 3 * len(WORDS) * 256 * 256 * 4 / 2**20  # directions, streams, …, bytes
    assert f"{needed:.1f} MiB" in sentence and "256.0 MiB" in sentence and "'mean'" in sentence
    for factor in ("1000 steps", "2 layers", "3 heads", "4 words"):
        assert factor in sentence
    assert f"{needed / 2:.1f} MiB" in refused(RecordSpec(steps="all", heads="all", dtype="float16"), huge)
    assert "4 words and 65536 patches" in refused(RecordSpec(steps="all", heads="all", patches="all"), huge)
