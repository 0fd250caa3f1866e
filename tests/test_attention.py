"""attention() against the textbook in float64."""

import pytest
import torch
from torch import Tensor

from mmdit.attention.fused import attention

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
