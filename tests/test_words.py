"""Words and the text tokens that they became."""

import pytest

from mmdit.families.words import words_with_slots

Spans = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("text", "offsets", "expected"),
    [
        ("a red cat", [(0, 1), (1, 5), (5, 9)], (("a", (3,)), ("red", (4,)), ("cat", (5,)))),
        ("把猫变成狗", [(0, 1), (1, 2), (2, 4), (4, 5)], (("把", (3,)), ("猫", (4,)), ("变成", (5,)), ("狗", (6,)))),
        ("猫变成狗", [(0, 2), (1, 3), (3, 4)], (("猫变成", (3, 4)), ("狗", (5,)))),
        ("龘 red", [(0, 1), (0, 1), (0, 1), (1, 5)], (("龘", (3, 4, 5)), ("red", (6,)))),
        ("red, cat", [(0, 3), (0, 0), (3, 4), (4, 8)], (("red", (3,)), ("cat", (6,)))),
    ],
)
def test_each_slot_is_of_one_word(text: str, offsets: Spans, expected: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
    """So that the shares of all words and of what they leave over add up to one."""
    words = words_with_slots(text, offsets, first_slot=3)
    assert words == expected
    slots = [slot for _, of in words for slot in of]
    assert len(slots) == len(set(slots))
