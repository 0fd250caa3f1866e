"""Attention over every backend, behind one function.

In: query, key and value after normalisation and rotary embedding. Out: the attended values and, when asked, every
row's log-sum-exp as the kernel itself computed it. Knows nothing of streams, layers or words.

Axes: B batch, H heads, S sequence, D head dimension; Sq and Sk where queries and keys differ in number.
"""

import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

NATIVE: dict[str, tuple[SDPBackend, str]] = {
    "cpu_flash": (SDPBackend.FLASH_ATTENTION, "cpu"),
    "cuda_flash": (SDPBackend.FLASH_ATTENTION, "cuda"),
    "cudnn": (SDPBackend.CUDNN_ATTENTION, "cuda"),
    "efficient": (SDPBackend.EFFICIENT_ATTENTION, "cuda"),
}
"""PyTorch's own kernels: backend → (its name there, device type)."""
PACKAGES: dict[str, str] = {"flash_attn_2": "flash_attn", "flash_attn_3": "flash_attn_interface"}
"""Backends of other packages: backend → the module that holds its `flash_attn_func`. No masks."""
BACKENDS: tuple[str, ...] = (*NATIVE, *PACKAGES, "chunked")
CHUNK_BYTES = 16 * 2**20  # of logits at a time in the chunked fallback

OnAttention = Callable[[Tensor, Tensor, Tensor, Tensor | None, float | None], None]
"""Told of an attention: query (B, H, Sq, D), key (B, H, Sk, D), lse (B, H, Sq), mask or None, scale or None."""


@dataclass(frozen=True)
class Attended:
    """
    Args:
        output: (B, H, Sq, D), in the dtype of the values.
        lse: (B, H, Sq) float32, the natural logarithm of each row's sum of exponentials; float64 for float64 input.
        backend: who computed the output; a name of `BACKENDS`, or "math" for PyTorch's unfused form.
    """

    output: Tensor
    lse: Tensor
    backend: str


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """softmax(query · keyᵀ · scale + mask) · value.

    Args:
        query: (B, H, Sq, D). key, value: (B, H, Sk, D).
        mask: broadcastable to (B, H, Sq, Sk). Boolean: True where a key may be attended to. Floating: added to
            the logits. A row that masks every key is the caller's mistake and yields NaN.
        scale: 1 / √D when omitted.

    Returns:
        (B, H, Sq, D), in the dtype of ``value``.
    """
    if query.device.type == "cpu" and query.requires_grad:
        return _explicit_attention(query, key, value, mask, scale)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


def attention_with_lse(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Attended:
    """`attention`, and the log-sum-exp of every row from the same kernel call; the output is the same to the bit
    (on the CPU while no gradient is wanted, where `attention` takes another way).

    Args:
        query, key, value, mask, scale: see `attention`.
        backend: "auto" for the one that PyTorch would choose, or a name of `BACKENDS`.

    Raises:
        ValueError: a backend that is unknown, not there, or can't do what is asked.
    """
    if backend in PACKAGES:
        return _package_attention(query, key, value, mask, scale, backend)
    if backend == "chunked":
        return _chunked_attention(query, key, value, mask, scale)
    if backend != "auto" and (backend not in NATIVE or NATIVE[backend][1] != query.device.type):
        raise ValueError(
            f"attention backend {backend!r} does not run on {query.device.type}; use one of {_usable(query.device)}"
        )
    chosen = nullcontext() if backend == "auto" else sdpa_kernel(NATIVE[backend][0])
    with chosen, _KernelTap() as tap:
        output = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    if tap.lse is None:
        return Attended(output, _chunked_lse(query, key, mask, scale), "math")
    return Attended(output, tap.lse[..., : query.shape[-2]], tap.backend)


def available_backends(device: torch.device | str) -> tuple[str, ...]:
    """The backends that this installation has for a device. Whether a kernel takes a given shape shows when it runs."""
    kind = torch.device(device).type
    native = [name for name, (_, of) in NATIVE.items() if of == kind]
    packages = [name for name, module in PACKAGES.items() if kind == "cuda" and importlib.util.find_spec(module)]
    return (*native, *packages, "chunked")


def _usable(device: torch.device) -> str:
    return ", ".join(("auto", *available_backends(device)))


class _KernelTap(TorchDispatchMode):
    """Lets PyTorch choose and call its kernel, and keeps the log-sum-exp that the kernel returns anyway."""

    _ATEN: ClassVar[Any] = torch.ops.aten
    KERNELS: ClassVar[dict[Any, str]] = {
        _ATEN._scaled_dot_product_flash_attention_for_cpu.default: "cpu_flash",
        _ATEN._scaled_dot_product_flash_attention.default: "cuda_flash",
        _ATEN._scaled_dot_product_cudnn_attention.default: "cudnn",
        _ATEN._scaled_dot_product_efficient_attention.default: "efficient",
    }
    LSE_ON_DEMAND: ClassVar[tuple[str, ...]] = ("cudnn", "efficient")
    LSE_FLAG = 4  # position of their argument compute_log_sumexp

    def __init__(self) -> None:
        super().__init__()
        self.lse: Tensor | None = None
        self.backend = ""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        if function is self._ATEN.scaled_dot_product_attention.default:  # whole in inference mode: look inside
            with self:
                return function.decompose(*arguments, **keywords)
        backend = self.KERNELS.get(function)
        if backend in self.LSE_ON_DEMAND:
            arguments = (*arguments[: self.LSE_FLAG], True, *arguments[self.LSE_FLAG + 1 :])
        result = function(*arguments, **keywords)
        if backend is not None:
            self.backend = backend
            lse = result[1]
            self.lse = lse.squeeze(-1) if lse.ndim == 4 else lse
        return result


def _package_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None, backend: str
) -> Attended:
    if backend not in available_backends(query.device):
        raise ValueError(
            f"attention backend {backend!r} needs the package {PACKAGES[backend]} and a CUDA device; "
            f"use one of {_usable(query.device)}"
        )
    if mask is not None:
        raise ValueError(f"attention backend {backend!r} takes no mask; use auto")
    flash = importlib.import_module(PACKAGES[backend]).flash_attn_func
    tensors = [x.transpose(1, 2) for x in (query, key, value)]
    output, lse, *_ = flash(*tensors, softmax_scale=scale, return_attn_probs=True)
    return Attended(output.transpose(1, 2), lse, backend)


def _chunked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None) -> Attended:
    """Right everywhere and slow: exact logits, a bounded number of rows at a time."""
    outputs, sums = [], []
    for logits in _logit_chunks(query, key, mask, scale):
        lse = logits.logsumexp(dim=-1)
        sums.append(lse)
        outputs.append((logits - lse[..., None]).exp() @ value.to(logits.dtype))
    return Attended(torch.cat(outputs, dim=-2).to(value.dtype), torch.cat(sums, dim=-1), "chunked")


def _chunked_lse(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    return torch.cat([logits.logsumexp(dim=-1) for logits in _logit_chunks(query, key, mask, scale)], dim=-1)


def _logit_chunks(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None) -> Any:
    """Logits of some rows after the others, (B, H, rows, Sk), in float32 or wider."""
    precise = torch.promote_types(query.dtype, torch.float32)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    batch, heads, length, _ = query.shape
    rows = max(1, CHUNK_BYTES // (batch * heads * key.shape[-2] * precise.itemsize))
    bias = None if mask is None else additive(mask, precise).expand(batch, heads, length, key.shape[-2])
    turned = key.to(precise).transpose(-1, -2)
    for start in range(0, length, rows):
        some = slice(start, start + rows)
        logits = (query[:, :, some].to(precise) * scale) @ turned
        yield logits if bias is None else logits + bias[:, :, some]


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as what is added to the logits: 0 and −∞ for a boolean one."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -float("inf"))


def _explicit_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """The textbook form. At a few hundred tokens its compiled backward beats the CPU's fused kernel in bf16."""
    logits = (query @ key.transpose(-1, -2)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        logits = logits.masked_fill(~mask, -float("inf")) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(dim=-1).to(value.dtype) @ value
