"""The peft adapter that a LoRA is trained as: which modules get one, how large it is, on and off again.

In: a transformer of named blocks. Out: the trainable parameters, for as long as a context lasts. Knows no loss.
Source: Hu et al. 2021 (arXiv 2106.09685).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from mmdit.lora.formats import SEED_TARGETS, seed_targets
from mmdit.lora.inspect import LoraError

CHOICES = ("all", "attention")
"""The seed's twelve targets in every block, or the eight of them that project for the attention."""
STORED_BYTES = 2  # of a parameter in float16
ADAPTER = "in_training"

Shapes = Mapping[str, tuple[int, int]]
"""Module name → (out, in)."""


def target_modules(transformer: nn.Module, family: str, choice: str) -> dict[str, tuple[int, int]]:
    """Exact module name → (out, in) of every target in every block that can have it.

    Args:
        transformer: has its blocks in ``transformer_blocks``.
        family: decides what the seed's targets are called there.
        choice: of `CHOICES`.

    Raises:
        LoraError: a target that a block should have and lacks.
    """
    names = seed_targets(family)
    wanted = [names[target] for target in SEED_TARGETS if choice == "all" or "mlp" not in target]
    shapes: dict[str, tuple[int, int]] = {}
    for index, block in enumerate(transformer.transformer_blocks):
        linears = {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}
        for target in wanted:
            found = [name for name in (target, f"attn.{target}") if name in linears]
            if not found and getattr(block, "context_pre_only", False):
                continue  # Stable Diffusion 3's last block makes nothing of the text
            if not found:
                raise LoraError(
                    f"transformer_blocks.{index} has no Linear {target!r}, so the model can't take this LoRA"
                )
            linear = linears[found[0]]
            shapes[f"transformer_blocks.{index}.{found[0]}"] = (linear.out_features, linear.in_features)
    return shapes


def parameter_count(shapes: Shapes, rank: int) -> int:
    """Numbers in a LoRA of that rank: down (rank, in) and up (out, rank) of each module."""
    return sum(rank * (features_out + features_in) for features_out, features_in in shapes.values())


def check_rank(shapes: Shapes, rank: int) -> None:
    """Raises LoraError: a rank above the width of the smallest layer, where a pair is no low-rank matrix."""
    smallest = min(min(shape) for shape in shapes.values())
    if rank > smallest:
        raise LoraError(f"rank is {rank}; the model's smallest layer has {smallest} features, so use at most that")


@contextmanager
def attached(
    transformer: nn.Module, modules: Shapes, rank: int, alpha: float, seed: int
) -> Iterator[dict[str, nn.Parameter]]:
    """The transformer with a fresh adapter on exactly these modules; afterwards it is as before, bit for bit.

    Args:
        transformer: a diffusers model with `PeftAdapterMixin`; its own parameters are frozen meanwhile.
        seed: decides the adapter's down projections; the up projections start as zero.

    Yields:
        The adapter's parameters by name, "transformer_blocks.0.attn.to_q.lora_A.weight" and so on.

    Raises:
        LoraError: the transformer has an adapter already.
    """
    if getattr(transformer, "peft_config", None):
        raise LoraError(f"the model has the adapter {next(iter(transformer.peft_config))!r} already; unload it first")
    needed_gradients = [(parameter, parameter.requires_grad) for parameter in transformer.parameters()]
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(modules)), ADAPTER)
        wrapped = {name for name, module in transformer.named_modules() if isinstance(module, BaseTunerLayer)}
        if wrapped != set(modules):
            raise LoraError(f"peft put the adapter on {len(wrapped)} modules instead of {len(modules)}")
        yield {
            name.replace(f".{ADAPTER}.", "."): parameter
            for name, parameter in transformer.named_parameters()
            if f".{ADAPTER}." in name
        }
    finally:
        transformer.unload_lora()
        for parameter, needed in needed_gradients:
            parameter.requires_grad_(needed)
