"""What makes a pipeline's transformer faster: another attention kernel, compiled blocks.

In: a transformer and what was asked for. Out: the same transformer, or a sentence on why not. A kernel is tried before
it is used: it must give what PyTorch's own gives. Knows nothing of edits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend, dispatch_attention_fn
from torch import Tensor, nn

from mmdit.families.family import NATIVE, Speed, SpeedError

TRIED_TOKENS, TRIED_HEADS = 256, 2
LARGEST_ERROR = 0.05
"""Root mean square, relative to the values': bfloat16 kernels differ by .005, those in 8 bits by .03."""


def speed_up(transformer: nn.Module, speed: Speed, device: torch.device) -> None:
    """Compile the blocks if asked, and see that the attention kernel works.

    Raises:
        SpeedError: a kernel that is unknown, missing, wrong, or that this transformer does not ask for; a transformer
            without repeated blocks.
    """
    if speed.attention != NATIVE:
        processors = [getattr(module, "processor", None) for module in transformer.modules()]
        if not any(hasattr(processor, "_attention_backend") for processor in processors):
            raise SpeedError(f"{type(transformer).__name__} has PyTorch's attention only; leave attention at {NATIVE}")
        parameter = next(transformer.parameters())
        head = getattr(transformer.config, "attention_head_dim", 64)
        _try(speed.attention, head, device, torch.bfloat16 if device.type == "cuda" else parameter.dtype)
    if speed.compile:
        try:
            transformer.compile_repeated_blocks()
        except ValueError as error:
            raise SpeedError(f"{type(transformer).__name__} has no blocks to compile; leave compile out") from error


@contextmanager
def attending(kernel: str) -> Iterator[None]:
    """Within it diffusers' models use this attention kernel."""
    with attention_backend(AttentionBackendName(kernel)):
        yield


def _try(kernel: str, head: int, device: torch.device, dtype: torch.dtype) -> None:
    """Raises SpeedError: a kernel that does not give what PyTorch's own does, for heads of so many channels."""
    known = [name.value for name in AttentionBackendName]
    if kernel not in known:
        raise SpeedError(f"attention is {kernel!r}; there are {', '.join(known)}")
    draw = torch.Generator().manual_seed(0)
    shape = (1, TRIED_TOKENS, TRIED_HEADS, head)
    query, key, value = (torch.randn(shape, generator=draw).to(device, dtype) for _ in range(3))
    try:
        with attending(kernel), torch.no_grad():
            made = dispatch_attention_fn(query, key, value)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpeedError(f"attention {kernel!r} does not work here: {reason}; leave it at {NATIVE}") from error
    wanted = dispatch_attention_fn(query, key, value, backend=AttentionBackendName.NATIVE)
    error = _relative(made, wanted)
    if not error <= LARGEST_ERROR:
        raise SpeedError(f"attention {kernel!r} is off by {error:.0%} here; leave it at {NATIVE}")


def _relative(made: Tensor, wanted: Tensor) -> float:
    return ((made.float() - wanted.float()).square().mean() / wanted.float().square().mean()).sqrt().item()
