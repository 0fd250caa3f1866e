"""What Step1X-Edit's vision-language model reads of an instruction and its pictures, token by token.

In: the instruction and the sizes of the pictures' vision grids. Out: token ids in the makers' chat template, which of
them come from which characters, and where they stand for the rotary embedding. What stands in quotation marks is read
letter by letter. Knows no weights.

The templates are word for word those that the checkpoints were trained with (github.com/stepfun-ai/Step1X-Edit, Apache
licence 2.0).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmdit.families.vision_chat import MERGED, chat_positions

_DESCRIBE = """Given a user prompt, generate an "Enhanced prompt" that provides detailed visual descriptions suitable \
for image generation. Evaluate the level of detail in the user prompt:
- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial relationships \
to create vivid and concrete scenes.
- If the prompt is already detailed, refine and enhance the existing details slightly without overcomplicating.

Here are examples of how to transform or refine prompts:
- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping peacefully \
on a warm sunny windowsill, surrounded by pots of blooming red flowers.
- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street lamps, \
a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass skyscrapers.

Please generate only the enhanced description for the prompt below and avoid including any additional commentary or \
evaluations:
User Prompt:"""
_IMAGINE = """Given a reference image and a user editing instruction.
You need to understand the information of the reference image and the content of the editing instruction,
and then generate a detailed description of the edited target image based on the reference image and the editing \
instruction.\N{SPACE}
The description should include the requirements in the editing instruction and try to closely match the content of \
the target image.
The editing instruction is:"""

VISION_SIDE = 14 * MERGED
"""Pixels of a vision token's side."""
VISION_END, IMAGE = "<|vision_end|>", "<|image_pad|>"


@dataclass(frozen=True)
class Version:
    """
    Args:
        template: what stands before the instruction or the picture; all tokens before its colon are dropped.
        pictures_first: whether the pictures stand before the instruction.
        slots: text tokens that are read at most.
        is_padded: whether the text is padded to so many.
        vision_pixels: fewest and most of a picture as the vision-language model sees it.
        renormalised_above: timestep, 1 at pure noise, above which guidance is renormalised. The published code of 1.2
            compares a timestep of at most 1000, so that it renormalises at every step.
        reference_id: where the first token of the reference stands, (picture, row, column).
    """

    template: str
    pictures_first: bool
    slots: int
    is_padded: bool
    vision_pixels: tuple[int, int]
    renormalised_above: float
    reference_id: tuple[int, int, int]


_FEWEST = 256 * 28**2
VERSIONS: dict[str, Version] = {
    "1.0": Version(_DESCRIBE, True, 640, True, (_FEWEST, 324 * 28**2), 1.0, (0, 0, 0)),
    "1.1": Version(_DESCRIBE, True, 640, True, (_FEWEST, 324 * 28**2), 0.93, (1, 1, 1)),
    "1.2": Version(_IMAGINE, False, 2048, False, (_FEWEST, 400 * 28**2), 0.93e-3, (1, 0, 0)),
}


ROOM_FOR_TEXT = 128
"""Slots that are kept from pictures, for the instruction and what the chat has around it."""


def vision_pixels(version: Version, pictures: int) -> tuple[int, int]:
    """Fewest and most pixels of each of several pictures: together they leave `ROOM_FOR_TEXT` of the slots."""
    fewest, most = version.vision_pixels
    most = min(most, (version.slots - ROOM_FOR_TEXT) // pictures * VISION_SIDE**2)
    return min(fewest, most), most


@dataclass(frozen=True)
class Token:
    """
    Args:
        characters: [start, end) of the instruction that it comes from; (0, 0) for what is none of it.
        is_quoted: whether it stands in quotation marks.
    """

    id: int
    characters: tuple[int, int] = (0, 0)
    is_quoted: bool = False


@dataclass(frozen=True)
class Reading:
    """
    Args:
        tokens: of the whole chat.
        dropped: how many of them, from the first, are not given to the transformer.
    """

    tokens: tuple[Token, ...]
    dropped: int

    @property
    def ids(self) -> Tensor:
        """(T,), of the whole chat."""
        return torch.tensor([token.id for token in self.tokens])


def read(processor: Any, version: Version, instruction: str, grids: Sequence[tuple[int, int]]) -> Reading:
    """The chat that the vision-language model gets.

    Args:
        processor: Qwen2.5-VL's.
        grids: (rows, columns) of vision tokens, per picture.
    """
    tokenizer = processor.tokenizer
    pictures = [{"type": "image"}] * len(grids)
    if version.pictures_first:
        content = [{"type": "text", "text": version.template}, *pictures, {"type": "text", "text": instruction}]
    else:
        content = [{"type": "text", "text": f"{version.template} {instruction}"}, *pictures]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=processor.chat_template, tokenize=False,
        add_generation_prompt=True, add_vision_id=True,
    )  # fmt: skip
    template = chat.index(version.template)
    after_template = template + len(version.template)
    if version.pictures_first:
        start = chat.rindex(VISION_END) + len(VISION_END)
        tokens = _plain(tokenizer, chat[:start]) + _spelled_after_marks(tokenizer, chat[start:], start)
    else:
        start = after_template + 1
        tokens = _spelled_within_marks(tokenizer, chat)
    placed = [_placed(token, start, len(instruction)) for token in tokens]
    before_colon = chat[: after_template - 1]
    return Reading(tuple(_expanded(tokenizer, placed, grids)), len(_plain(tokenizer, before_colon)))


def text_ids(
    reading: Reading, version: Version, image_id: int, grids: Sequence[tuple[int, int]], size: tuple[int, int]
) -> Tensor:
    """(T, 3) where the tokens that are kept stand among image tokens, as (picture, row, column).

    All at the origin, but in version 1.2: there they count up to -1, and vision tokens stand in the row and column of
    the picture that they see.

    Args:
        size: (width, height) in pixels at which the transformer sees the first picture.
    """
    ids = reading.ids
    kept = ids[reading.dropped :][: version.slots]
    placed = torch.zeros(len(kept), 3)
    if version.is_padded:
        return placed
    time = chat_positions(ids, image_id, grids)[0, reading.dropped :][: version.slots].float()
    placed[:, 0] = time - (time.max() + 1)
    seen = [_in_latents(grid, size, number) for number, grid in enumerate(grids)]
    vision = kept == image_id
    placed[vision, 1:] = torch.cat(seen)[: int(vision.sum())]
    return placed


def _in_latents(grid: tuple[int, int], size: tuple[int, int], number: int) -> Tensor:
    """(rows · columns, 2) of (row, column) among the latents' tokens, at the middle of each vision token.

    The published code puts a latent token of 16 pixels 3.5 pixels too far to the lower right; so it was trained. A
    second picture stands beside the first.
    """
    sides = []
    for count, pixels in zip(grid, reversed(size), strict=True):
        middle = VISION_SIDE * torch.arange(count) + (VISION_SIDE - 1) / 2
        sides.append((middle * (pixels - 1) / (VISION_SIDE * count - 1) - 11) / 16)
    rows, columns = torch.meshgrid(sides[0], sides[1] + number * (size[0] // 16), indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], dim=1)


def _placed(token: Token, start: int, length: int) -> Token:
    """The token with its characters counted from the start of the instruction."""
    first, last = (min(max(character - start, 0), length) for character in token.characters)
    return Token(token.id, (first, last) if first < last else (0, 0), token.is_quoted)


def _expanded(tokenizer: Any, tokens: Sequence[Token], grids: Sequence[tuple[int, int]]) -> list[Token]:
    """With each picture's one token repeated for its grid."""
    image, left = tokenizer.convert_tokens_to_ids(IMAGE), list(grids)
    expanded: list[Token] = []
    for token in tokens:
        expanded += [token] * math.prod(left.pop(0)) if token.id == image else [token]
    return expanded


def _plain(tokenizer: Any, text: str, start: int = 0, is_quoted: bool = False) -> list[Token]:
    """The text's tokens; ``start`` is where it stands."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return [
        Token(token, (start + first, start + last), is_quoted)
        for token, (first, last) in zip(read["input_ids"], read["offset_mapping"], strict=True)
    ]


def _spelled_after_marks(tokenizer: Any, text: str, start: int) -> list[Token]:
    """Versions 1.0 and 1.1: every mark, an apostrophe too, opens or closes, also beyond the instruction's end.

    A character in quotation marks has the tokens that it has between “ and ”.
    """
    text = text.translate(_STRAIGHT)
    ends = [[token.id for token in _plain(tokenizer, mark)] for mark in "“”"]
    tokens, begun, is_quoted = list[Token](), 0, False
    for place, character in enumerate(text):
        if character == '"' and is_quoted:
            begun, is_quoted = place, False
        elif character == '"':
            tokens += _plain(tokenizer, text[begun : place + 1], start + begun)
            is_quoted = True
        elif is_quoted:
            ids = [token.id for token in _plain(tokenizer, f"“{character}”")]
            if ids[: len(ends[0])] == ends[0] and ids[-len(ends[1]) :] == ends[1]:
                ids = ids[len(ends[0]) : -len(ends[1])]
            tokens += [Token(token, (start + place, start + place + 1)) for token in ids]
    return tokens if is_quoted else tokens + _plain(tokenizer, text[begun:], start + begun)


_STRAIGHT = str.maketrans("'“”", '"""')


def _spelled_within_marks(tokenizer: Any, chat: str) -> list[Token]:
    """Version 1.2: what stands between a pair of marks, up to the first mark that has no other."""
    special = sorted({token.content for token in tokenizer.added_tokens_decoder.values()}, key=len, reverse=True)
    tokens, at = list[Token](), 0
    for part in re.split(f"({'|'.join(map(re.escape, special))})", chat):
        begun = 0
        for mark in () if part in special else re.finditer(r'"([^"]*)("?)|“([^”]*)(”?)', part):
            if not (mark[2] or mark[4]):
                break
            first, last = mark.span(1 if mark[2] else 3)
            tokens += _plain(tokenizer, part[begun:first], at + begun)
            for place in range(first, last):
                tokens += _plain(tokenizer, part[place], at + place, is_quoted=True)
            begun = last
        tokens += _plain(tokenizer, part[begun:], at + begun)
        at += len(part)
    return tokens
