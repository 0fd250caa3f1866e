"""What an instruction says around its edit: what is to stay, how much of it, what something new should be like; and
what would come out the wrong way round, since this editor can only add contrast, say, and leave nothing out.

In: the words of an instruction, as typed or normalised. Out: the words without asides, or why nothing is done. Knows
nothing of pictures.
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from mmdit.model.vocabulary import COLOURS

_STAYS = r"(?:keep|keeping|leave|leaving|preserve|preserving|maintain|maintaining)"
_UNCHANGED = r"(?:without|don't|do\s+not|never)\s+(?:chang|touch|alter|affect|modify|edit|mov)\w*"
KEEPING = re.compile(
    rf"(?:\s*[,.;]\s*(?:(?:and|but|while|yet|please|just)\s+)*|\s+(?:(?:and|but|while|yet)\s+)(?:(?:please|just)\s+)?)"
    rf"(?:{_STAYS}|{_UNCHANGED})\b(?:(?!\s+(?:and|then|but)\s+(?!(?:the|a|my|its|all|everything)\b))[^,.;])*"
    rf"|\s+{_UNCHANGED}\b(?:(?!\s+(?:and|then|but)\s+(?!(?:the|a|my|its|all|everything)\b))[^,.;])*",
    re.IGNORECASE,
)
"""A clause, not the first, that says what is to stay as it is."""
NUMBERED = re.compile(r"(^|[\s.,;])\s*\d+[.)]\s+")
"""The numbers of a list."""
REST = frozenset(("else", "rest", "everything", "anything", "others", "other", "remaining"))
"""What stays by itself."""
BUT_NOT = re.compile(r"\b(?:except(?: for)?|excluding|apart from|but (?:not|keep|leave|don't \w+|do not \w+))\b(.*)")
"""What leaves a part of the picture out."""
ALL_BUT = re.compile(
    r"^(?:please |now )?(?:(?:remove|delete|erase|clear|wipe|hide|get rid of|take out|cut out) "
    r"(?:everything|all|anything)\b.*\b(?:except|but|besides|apart|other)|"
    r"(?:only keep|keep only|leave only|only leave|keep just)\b(?!.*\b(?:gone|out|one|away)\b))"
)
"""What asks to remove all but one thing."""
ONLY_ADDED = {
    "contrast": ("contrast",), "saturation": ("saturation",), "blur": ("blur", "blurry", "blurred"),
    "fog": ("fog", "foggy"), "frame": ("frame", "border"), "vignette": ("vignette",), "sepia": ("sepia",),
    "night": ("night",),
}  # fmt: skip
"""Edits of the whole picture that have no counterpart here, and their words."""
HAS_OPPOSITE = ("contrast", "saturation", "blur")
"""Of these a strength below 0 makes one."""
_LESS = (
    r"(?:^(?:please )?no(?! (?:contrast|saturation|\w+ yet))|less|lower|reduce|decrease|lessen|remove|undo|take off|"
    r"turn down|bring down|tone down|(?<!not )(?<!isn't )too much)"
    r"(?: of)?(?: the| this| its| any| that| some| all)?(?: the)?"
)
_NOT = (
    r"(?:(?<!why )(?<!if )(?<!or )not(?: be| look)?|anything but|don't (?:want|make|turn)(?: it| this)?(?: to be)?)"
    r"(?: in| into)?(?: a| the)?"
)
SLIGHTLY = ("a tiny bit", "a little bit", "a bit", "a little", "a touch", "a tad", "slightly", "somewhat", "subtly")
STRONGLY = ("a lot", "much", "far", "way", "considerably", "significantly", "strongly")
AMOUNTS = dict.fromkeys(SLIGHTLY, 0.5) | dict.fromkeys(STRONGLY, 1.5)
"""How much is asked for → the strength of the instruction that it is taken for."""
GRADUAL = (
    "brighter", "darker", "warmer", "cooler", "contrast", "saturation", "blur", "fog", "vignette", "bigger", "smaller",
)  # fmt: skip
"""Edits of which there can be more and less."""
ADDING = frozenset(("add", "put", "draw", "place", "insert", "include"))
COUNTS = frozenset(("a", "an", "one", "another", "some", "two", "three", "four", "five", "several", "many"))
SIZES = frozenset(("tiny", "small", "little", "big", "large", "huge", "giant", "enormous"))
SIDES = frozenset(("left", "right", "top", "bottom", "upper", "lower", "above", "below", "behind", "front"))
WHICH = {
    "left": "left", "right": "right", "upper": "upper", "top": "upper", "lower": "lower", "bottom": "lower",
    "larger": "larger", "bigger": "larger", "smaller": "smaller",
}  # fmt: skip
"""How one of several objects is called → one of the vocabulary's `WHICH`."""
_OF_TWO = "|".join(WHICH)
_WHICH_BEFORE = re.compile(rf"\b(move (?:the|my)) (?P<which>{_OF_TWO}) (?P<thing>[\w'-]+) to\b")
_WHICH_AFTER = re.compile(rf"\b(move (?:the|my)) (?P<thing>[\w'-]+) (?:on|at) the (?P<which>{_OF_TWO}) to\b")
_COUNTED = COUNTS - {"a", "an", "one", "another", "some"}


def without_asides(instruction: str, things: AbstractSet[str], of_whole: AbstractSet[str]) -> str:
    """The instruction without the numbers of a list and without what says that something stays which stays anyhow.

    Args:
        things: words for objects. of_whole: words for edits of the whole picture, which nothing stays out of.
    """
    listed = NUMBERED.sub(lambda number: ", " if number.start() else "", instruction).strip()

    def kept(clause: re.Match[str]) -> str:
        said, beside = _words(clause[0]), _words(listed[: clause.start()] + listed[clause.end() :])
        named, asked = things & said - {"keep"}, things & beside
        stays = bool(asked and named and not asked & named and not of_whole & beside)
        return "" if (REST & said and not named and not {"but", "except"} & said) or stays else clause[0]

    return KEEPING.sub(kept, listed).strip() or instruction


def why_not(
    instruction: str, kind: str, of_kind: Sequence[str], of_whole: Iterable[str], things: AbstractSet[str]
) -> str:
    """Why a normalised instruction that is read as an edit had better not be followed; empty if it can be.

    Args:
        kind: of the edit; empty where it is not sure.
        of_kind: its words, if it is one of the whole picture. of_whole: those of all such edits.
        things: words for objects.
    """
    left_out = BUT_NOT.search(instruction)
    is_kept = left_out is not None and not things.isdisjoint(left_out[1].split())
    if is_kept and not any(f" {of} " in f" {instruction[: left_out.start()]} " for of in of_whole):
        is_kept = False  # of another object
    if is_kept or (kind == "remove" and ALL_BUT.search(instruction)):
        return "it asks to leave something out, which this editor can't; mark what to edit as a region instead"
    if of_kind or not kind:
        for other, own in ONLY_ADDED.items():
            is_meant = kind in ("", other) or (kind, other) == ("black and white", "saturation")
            if is_meant and _is_said(instruction, _LESS, own):
                return _only_added(other)
    return "it says what the picture should not be" if _is_said(instruction, _NOT, of_kind) else ""


def amount(instruction: str) -> tuple[str, float, str] | None:
    """How much is asked for in a normalised instruction, in its words and as a strength, and the instruction without
    those words; None where nothing is said of it.
    """
    said = f" {instruction} "
    for words, value in AMOUNTS.items():
        if f" {words} " in said:
            return words, value, said.replace(f" {words} ", " ").strip()
    return None


def bare(words: Sequence[str], things: AbstractSet[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words of a request to add something without its number, size and colour, which nobody taught the editor, and
    those words; "next to" something is to the right of it.
    """
    if not ADDING.intersection(words[:3]):
        return list(words), ()
    text = " ".join(words)
    if not SIDES.intersection(words):
        text = re.sub(r"\b(?:next to|beside|alongside) (?=(?:the|my|your)\b)", "to the right of ", text)
    kept, dropped, said = list[str](), list[str](), text.split()
    for place, word in enumerate(said):
        following = next((other for other in said[place + 1 :] if other not in {*COLOURS, *SIZES, "and"}), "")
        quality = (word in COLOURS or word in SIZES or word == "and") and bool(kept) and kept[-1] in COUNTS
        if quality and following.removesuffix("s") in things:
            dropped.append(word)
        elif word in _COUNTED and following.removesuffix("s") in things:
            kept.append("a")
            dropped.append(word)
        elif dropped and dropped[-1] in _COUNTED and word.removesuffix("s") in things:
            kept.append(word.removesuffix("s"))
        else:
            kept.append(word)
    text = re.sub(r"\ba (?=[aeiou])", "an ", re.sub(r"\ban (?![aeiou])", "a ", " ".join(kept))) if dropped else text
    return text.split(), tuple(dropped)


def which_is_moved(words: Sequence[str], things: AbstractSet[str]) -> tuple[list[str], str]:
    """The words of a request to move one of several objects without what tells which one, and that: "move the left dog
    to the top" is "move the dog to the top" of the left one. Empty where it is not told so.
    """
    text = " ".join(words)
    found = _WHICH_BEFORE.search(text) or _WHICH_AFTER.search(text)
    if found is None or found["thing"] not in things:
        return list(words), ""
    said = f"{text[: found.start()]}{found[1]} {found['thing']} to{text[found.end() :]}"
    return said.split(), WHICH[found["which"]]


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w'-]+", text.lower()))


def _is_said(instruction: str, of: str, own: Sequence[str]) -> bool:
    """Whether words that a pattern finds stand right before one of the own words."""
    return (
        bool(own)
        and re.search(rf"(?<![\w']){of} (?:{'|'.join(own)})\b(?![- ]free|.*\benough)", instruction) is not None
    )


def _only_added(kind: str) -> str:
    remedy = "; ask for more of it with a strength below 0 instead" if kind in HAS_OPPOSITE else ""
    return f"this editor can add {'a ' if kind in ('frame', 'vignette') else ''}{kind}, not take it away{remedy}"
