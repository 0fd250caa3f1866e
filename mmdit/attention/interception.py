"""How diffusers' transformers reach the recorder, without copying or patching any of their code.

Inside `intercept`, each joint-attention module is named by its own forward hooks, and the call of
``scaled_dot_product_attention`` that it makes is answered by `attention_with_lse`, which runs the very kernel that
PyTorch would have run. So the output stays the same to the bit. Everything is undone on exit.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mmdit.attention.fused import attention_with_lse
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import RecordError

JOINT_ATTENTION = re.compile(r"(single_)?transformer_blocks\.\d+\.attn")
"""Names of joint-attention modules in FLUX.1, FLUX.2, Qwen-Image and SD3; SD3's image-only ``attn2`` is none."""


def joint_attentions(transformer: nn.Module) -> dict[str, nn.Module]:
    """Name → module of every joint attention, in the order of execution. Raises RecordError when there is none."""
    modules = _uncompiled(transformer).named_modules()
    found = {name: module for name, module in modules if JOINT_ATTENTION.fullmatch(name)}
    if not found:
        raise RecordError(f"{type(transformer).__name__} has no joint-attention blocks that can be recorded")
    return found


def attention_heads(transformer: nn.Module) -> int:
    """Heads of a joint attention."""
    return next(iter(joint_attentions(transformer).values())).heads


@contextmanager
def intercept(transformer: nn.Module, recorder: Recorder) -> Iterator[Recorder]:
    """Record a diffusers transformer inside this context, for calls from the thread that entered it.

    A compiled one runs uncompiled meanwhile, so that its result may differ in the last bits from a compiled run's.

    Raises:
        RecordError: a step cache is on, which would skip layers.
    """
    if getattr(transformer, "is_cache_enabled", False):
        raise RecordError("a step cache is on and skips layers; call disable_cache() on the transformer to record")
    is_compiled = transformer is not _uncompiled(transformer)
    transformer = _uncompiled(transformer)
    thread = threading.get_ident()
    entered: list[_SdpaWatch] = []

    def called(_: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        recorder.begin_call(keywords["timestep"])

    def enter(layer: str) -> Any:
        def hook(*_: Any) -> None:
            if threading.get_ident() == thread:
                watch = _SdpaWatch(recorder, layer)
                watch.__enter__()
                entered.append(watch)

        return hook

    def leave(*_: Any) -> None:
        if threading.get_ident() == thread and entered:
            entered.pop().__exit__(None, None, None)

    with ExitStack() as undo:
        if is_compiled or any(module._compiled_call_impl is not None for module in transformer.modules()):
            undo.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code would pass the hooks by
        undo.callback(transformer.register_forward_pre_hook(called, with_kwargs=True).remove)
        for name, module in joint_attentions(transformer).items():
            if name in recorder.layers:
                undo.callback(module.register_forward_pre_hook(enter(name)).remove)
                undo.callback(module.register_forward_hook(leave, always_call=True).remove)
        try:
            yield recorder
        finally:
            while entered:
                leave()


def _uncompiled(transformer: nn.Module) -> nn.Module:
    """The module inside the one that ``torch.compile(transformer)`` returns."""
    return getattr(transformer, "_orig_mod", transformer)


class _SdpaWatch(TorchFunctionMode):
    """Answers one module's scaled_dot_product_attention and reports it."""

    def __init__(self, recorder: Recorder, layer: str) -> None:
        super().__init__()
        self.recorder, self.layer = recorder, layer

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        if function is not functional.scaled_dot_product_attention:
            return function(*arguments, **keywords)
        return self._attend(*arguments, **keywords)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if dropout_p or is_causal or enable_gqa:
            raise RecordError(f"{self.layer} uses dropout, causal or grouped attention, which can't be recorded")
        attended = attention_with_lse(query, key, value, mask=attn_mask, scale=scale)
        self.recorder.observe(self.layer, query, key, attended.lse, attn_mask, scale)
        return attended.output
