"""Where text, target and reference tokens sit in the joint sequence.

A layout is built once per edit by the family that assembles the sequence; whoever looks at attention reads it
from there and never guesses from lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """A run of image tokens: ``height`` × ``width`` patches in row-major order."""

    name: str
    height: int
    width: int

    @property
    def tokens(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class TokenLayout:
    """The joint sequence [text; target; reference:0; reference:1; …], or with the text at its end.

    Args:
        text_tokens: text slots, padding included.
        streams: the image streams in sequence order; the first is the target.
        text_first: False for models that put the images before the text, as Stable Diffusion 3 does.
    """

    text_tokens: int
    streams: tuple[Stream, ...]
    text_first: bool = True

    @classmethod
    def for_edit(
        cls,
        text_tokens: int,
        target: tuple[int, int],
        references: Sequence[tuple[int, int]],
        text_first: bool = True,
    ) -> "TokenLayout":
        """A layout from patch grids, each (rows, columns)."""
        named = [Stream("target", *target)]
        named += [Stream(f"reference:{index}", *grid) for index, grid in enumerate(references)]
        return cls(text_tokens, tuple(named), text_first)

    @property
    def tokens(self) -> int:
        return self.text_tokens + sum(stream.tokens for stream in self.streams)

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Stream name ("text", "target", "reference:0", …) → its slice of the joint sequence."""
        lengths = {stream.name: stream.tokens for stream in self.streams}
        text = {"text": self.text_tokens}
        spans, start = {}, 0
        for name, length in (text | lengths if self.text_first else lengths | text).items():
            spans[name] = slice(start, start + length)
            start += length
        return spans

    def positions(self, device: torch.device | str = "cpu") -> Tensor:
        """Rotary coordinates of every token, text first, (tokens, 3) as (stream, row, column).

        The target is stream 0 and references are 1, 2, …; the words of the instruction count down from −1 on
        the same axis, so that no word shares a coordinate with a patch.
        """
        words = torch.zeros(self.text_tokens, 3, device=device)
        words[:, 0] = -1.0 - torch.arange(self.text_tokens, device=device)
        parts = [words]
        for index, stream in enumerate(self.streams):
            rows, columns = torch.meshgrid(
                torch.arange(stream.height, device=device), torch.arange(stream.width, device=device), indexing="ij"
            )
            parts.append(torch.stack([torch.full_like(rows, index), rows, columns], dim=-1).reshape(-1, 3).float())
        return torch.cat(parts)
