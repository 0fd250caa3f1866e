"""What chats with Qwen2.5-VL need, whichever family asks: places of vision tokens, and no commands in the text.

Knows no pipeline and no weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MERGED = 2
"""Vision patches of a vision token's side."""


def vision_grids(patches: Tensor) -> list[tuple[int, int]]:
    """(rows, columns) of vision tokens per picture, from the processor's (pictures, 3) of frames, rows, columns."""
    return [(rows // MERGED, columns // MERGED) for _, rows, columns in patches.tolist()]


def chat_positions(ids: Tensor, image_id: int, grids: Sequence[tuple[int, int]]) -> Tensor:
    """(3, T) positions (time, row, column) of tokens (M-RoPE, arXiv 2409.12191, section 2.1).

    A picture's tokens share one time and count rows and columns from it; the text after it goes on beyond its larger
    side. transformers 5 finds them only if it is told which tokens are vision tokens, which pipelines do not tell it;
    it then counts pictures as if they were text.

    Args:
        image_id: the token that stands for each vision token.
        grids: (rows, columns) of vision tokens, per picture.
    """
    positions, at, slot, left = torch.zeros(3, len(ids), dtype=torch.long), 0, 0, list(grids)
    while slot < len(ids):
        if ids[slot] != image_id:
            positions[:, slot] = at
            at, slot = at + 1, slot + 1
            continue
        rows, columns = left.pop(0)
        count = rows * columns
        cell = torch.arange(count)
        positions[:, slot : slot + count] = at + torch.stack([torch.zeros_like(cell), cell // columns, cell % columns])
        at, slot = at + max(rows, columns), slot + count
    return positions


def refuse_commands(tokenizer: Any, instruction: str) -> None:
    """Raises ValueError: the instruction holds one of the model's control tokens, such as <|im_end|>."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special and token.content in instruction:
            raise ValueError(
                f"the instruction holds {token.content}, which the model takes for a command; leave it out"
            )
