"""An instruction that asks for several edits, as one instruction for each: "remove the dog and make it sepia".

In: the words as they were typed. Out: the parts, and in which order to make them. An instruction is only cut where both
sides plainly ask for an edit by themselves, so that "black and white" and "delete the cat and put a dog there" stay
whole.
"""

import re
from collections.abc import Sequence

from mmdit.model.lexicon import DETERMINERS, Lexicon
from mmdit.model.reader import PLAIN_WORDS, is_plain
from mmdit.model.text import normalise
from mmdit.model.vocabulary import PHOTO_EDITS

CUT = re.compile(r"\s*(?:[.,;]\s*|\b)(?:and then|and also|and|then|also)\b\s*|\s*[.,;]\s+", re.IGNORECASE)
"""What may stand between two requests."""
SHORTEST = 3
"""Words that a request about an object has at least: a verb, a determiner, the object."""
DEFINITE = frozenset(("the", "my", "your", "our"))
INDEFINITE = frozenset(("a", "an", "one", "another", "some"))
NEGATIONS = frozenset(("not", "no", "never", "without", "don't"))
PLACES = frozenset(("top", "bottom", "left", "right", "corner", "center", "centre", "middle", "upper", "lower"))
OPPOSITES = ({"brighter", "darker"}, {"warmer", "cooler"})
"""Asked for together, they mean something else, such as contrast."""
OF_TONE = (*PHOTO_EDITS, "fog", "sunset", "vignette", "parts")
"""Edits after which everything stands where it stood, but an object may not be known any more."""
OF_PLACE = ("remove", "replace", "bigger", "smaller", "move")
"""Edits of an object that come to the same before one of tone and after it."""


def parts(instruction: str, lexicon: Lexicon | None) -> list[str]:
    """The requests of an instruction; the whole instruction where it holds only one, or some that are not plain."""
    things = frozenset() if lexicon is None else lexicon.things
    found, start = list[str](), 0
    for cut in CUT.finditer(instruction):
        before, after = instruction[start : cut.start()], instruction[cut.end() :]
        ends = [len(after), *(later.start() for later in CUT.finditer(after))]
        if _asks(before, things, first=not found) and any(_asks(after[:end], things, first=False) for end in ends):
            found.append(before.strip())
            start = cut.end()
    found.append(instruction[start:].strip())
    kinds = {kind for part in found for kind in PLAIN_WORDS if is_plain(normalise(part), kind)}
    if not _asks(found[-1], things, len(found) == 1) or any(pair <= kinds for pair in OPPOSITES):
        return [instruction]
    return found


def in_order(requests: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(request, kind) in the order in which to make them: an object is found in the picture before it is toned."""
    ordered = list[tuple[str, str]]()
    for request, kind in requests:
        place = len(ordered)
        while kind in OF_PLACE and place and ordered[place - 1][1] in OF_TONE:
            place -= 1
        ordered.insert(place, (request, kind))
    return ordered


def _asks(text: str, things: frozenset[str], first: bool) -> bool:
    """Whether it plainly asks for an edit by itself: of the whole picture, or of a known object.

    A further request for something new must say where: "delete the cat, put a dog there" is one edit.
    """
    said = normalise(text)
    words = said.split()
    if any(is_plain(said, kind) for kind in PLAIN_WORDS):
        return True
    if len(words) < SHORTEST or words[0] in DETERMINERS | NEGATIONS or not things.intersection(words):
        return False
    speaks_of = INDEFINITE if PLACES.intersection(words) else DEFINITE
    return first or bool((speaks_of | DEFINITE).intersection(words))
