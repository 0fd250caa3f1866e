"""An instruction that asks for several edits, as one instruction for each: "remove the dog and make it sepia".

In: the words as they were typed. Out: the parts, and in which order to make them. An instruction is only cut where both
sides plainly ask for an edit by themselves, so that "black and white" and "delete the cat and put a dog there" stay
whole; what the second side only implies is said first: "remove the dog and the cat" is "remove the dog and remove the
cat".
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from mmdit.model.asides import without_asides
from mmdit.model.lexicon import DETERMINERS, Lexicon
from mmdit.model.reader import PLAIN_WORDS, is_plain
from mmdit.model.text import normalise
from mmdit.model.vocabulary import COLOURS, PHOTO_EDITS

CUT = re.compile(r"\s*(?:[.,;]\s*|\b)(?:and then|and also|and|then|also)\b\s*|\s*[.,;]\s+", re.IGNORECASE)
"""What may stand between two requests."""
SHORTEST = 3
"""Words that a request about an object has at least: a verb, a determiner, the object."""
DEFINITE = frozenset(("the", "my", "your", "our"))
INDEFINITE = frozenset(("a", "an", "one", "another", "some"))
NEGATIONS = frozenset(("not", "no", "never", "without", "don't"))
PLACES = frozenset(("top", "bottom", "left", "right", "corner", "center", "centre", "middle", "upper", "lower"))
_GREY = re.compile(r"\b(black)\s+and\s+(white)\b", re.IGNORECASE)
OF_WHOLE = frozenset(word for _, own in PLAIN_WORDS.values() for of in own for word in of.split()) - {"and"}
"""Words for edits of the whole picture."""
_SIZES = frozenset(("bigger", "larger", "smaller"))
_HOW = frozenset(("a", "bit", "little", "much", "slightly", "please", "too", "also"))
_LOOK_VERBS = frozenset(("make", "turn", "paint", "colour", "color", "dye", "recolour", "recolor"))
_OBJECT_VERBS = frozenset(("move", "shift", "remove", "delete", "erase", "enlarge", "shrink", "replace", "paint"))
_CROSSED = frozenset(("swap", "exchange", "switch", "replace", "between", "both", "next", "have"))
"""Words by which two objects belong to one edit."""
OPPOSITES = ({"brighter", "darker"}, {"warmer", "cooler"})
"""Asked for together, they mean something else, such as contrast."""
OF_TONE = (*PHOTO_EDITS, "fog", "sunset", "vignette", "parts")
"""Edits after which everything stands where it stood, but an object may not be known any more."""
OF_PLACE = ("remove", "replace", "bigger", "smaller", "move")
"""Edits of an object that come to the same before one of tone and after it."""


def parts(instruction: str, lexicon: Lexicon | None) -> list[str]:
    """The requests of an instruction; the whole instruction where it holds only one, or some that are not plain."""
    things = frozenset() if lexicon is None else lexicon.things
    instruction = without_asides(instruction, things, OF_WHOLE)
    found = _cut(spelled_out(instruction, things), things)
    return [instruction] if len(found) == 1 else found


def _cut(instruction: str, things: AbstractSet[str]) -> list[str]:
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


def spelled_out(instruction: str, things: AbstractSet[str]) -> str:
    """The instruction with the verb, object, colour or size said again where a part only implies it.

    Args:
        things: words for objects.
    """
    instruction = _GREY.sub(r"\1_and_\2", instruction)
    pieces = [piece.split() for piece in CUT.split(instruction)]
    for place in range(1, len(pieces)):
        before, after = pieces[place - 1], pieces[place]
        known = _object(before, things)
        if known is None or not known.start or _CROSSED.intersection(map(str.lower, before)):
            continue
        verb, thing, rest = before[: known.start], before[known], before[known.stop :]
        other = _object(after, things)
        plain = [word.lower().strip(".,!") for word in after]
        if other is not None and other.start == 0:
            tail = after[other.stop :]
            if tail and not rest and _are_looks(tail):
                pieces[place - 1] = before + [word.rstrip(".!") for word in tail]
            pieces[place] = verb + after + ([] if tail or not _are_looks(rest) else rest)
        elif _are_looks(after) and verb[-1].lower() in _LOOK_VERBS:
            pieces[place] = verb + thing + after
        elif "it" in plain and (plain[0] in _OBJECT_VERBS or _are_looks(after[plain.index("it") + 1 :])):
            at = plain.index("it")
            pieces[place] = after[:at] + thing + after[at + 1 :]
    cuts = [*(cut[0] for cut in CUT.finditer(instruction)), ""]
    return "".join(" ".join(piece) + cut for piece, cut in zip(pieces, cuts, strict=True)).replace("_and_", " and ")


def _object(words: Sequence[str], things: AbstractSet[str]) -> slice | None:
    """Where an object is named after "the", with up to two words between ("the left dog"); None where none is."""
    said = [word.lower().strip(".,!?") for word in words]
    for place, word in enumerate(said):
        if word in DEFINITE:
            near = (end for end in range(place + 1, min(place + 4, len(said))) if said[end] in things)
            end = next(near, None)
            return None if end is None else slice(place, end + 1)
    return None


def _are_looks(words: Sequence[str]) -> bool:
    """Whether nothing but a colour or a size is said."""
    said = [word.lower().strip(".,!?") for word in words]
    return bool(said) and set(said) <= {*COLOURS, *_SIZES, *_HOW}


def _asks(text: str, things: AbstractSet[str], first: bool) -> bool:
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
