"""Which text tokens a word of the instruction became.

In: what a tokenizer says about the characters that each token comes from. Out: words with their slots. Knows no model.
"""

import re
from collections.abc import Sequence

Words = tuple[tuple[str, tuple[int, ...]], ...]
"""Words in order, each with its text slots."""

_UNSPACED = "\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
"""Chinese and Japanese are written without spaces: each of their characters counts as a word."""
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['’\-][^\W{_UNSPACED}]+)*")


def words_with_slots(instruction: str, offsets: Sequence[tuple[int, int]], first_slot: int = 0) -> Words:
    """The words that have a token, in order, each with its slots; those that share a token count as one.

    Args:
        offsets: per token, the characters [start, end) of the instruction that it comes from; start = end for a
            token that is none of it.
        first_slot: the slot of the first of these tokens.
    """
    found = list[tuple[int, int, list[int]]]()  # first character, the one after the last, slots
    for word in WORD.finditer(instruction):
        slots = [
            first_slot + place
            for place, (start, end) in enumerate(offsets)
            if start < end and start < word.end() and end > word.start()
        ]
        if slots and found and slots[0] in found[-1][2]:
            first, _, before = found.pop()
            found.append((first, word.end(), sorted({*before, *slots})))
        elif slots:
            found.append((word.start(), word.end(), slots))
    return tuple((instruction[first:past], tuple(slots)) for first, past, slots in found)


def unread_words(instruction: str, read: int) -> tuple[str, ...]:
    """The words that begin after the last character that was read."""
    return tuple(word.group() for word in WORD.finditer(instruction) if word.start() >= read)
