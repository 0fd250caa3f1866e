"""What the reader learns from: sentences, and what is asked for in each of them.

In: the training templates, and what authors wrote who had seen none of the held-out wordings: ``requests.tsv.gz``
(author, kind, sentence) of whole pictures, ``object_requests.tsv.gz`` (author, kind, which, sentence with slots) of
objects, ``object_phrases.tsv.gz`` (kind, form, phrase with slots) of what is done to an object or said of it,
``words.tsv.gz`` (thing, word) of what things are called, ``states.tsv.gz`` (kind, side, form, phrase) of what a picture
is ("from") and shall be ("to"), ``properties.tsv.gz`` (kind, form, phrase) of what it gains, loses or is. In the last
and in that of phrases, ("pattern", form, sentence) are sentences to say so. ``foreign.tsv.gz`` holds requests in other
languages. Out: `Example`s.
"""

import gzip
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmdit.model.reader import NEEDED, OPTIONAL, OTHER
from mmdit.model.text import normalise
from mmdit.model.vocabulary import COLOURS, FURTHER_EDITS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.wordings import instruction, leave_alone
from mmdit.training.wordings.idle import FOREIGN_NOUNS
from mmdit.training.wordings.nouns import COLOUR_SYNONYMS, PICTURE_NOUNS, PICTURE_PRONOUNS, PLACE_PHRASES, SYNONYMS

FOLDER = Path(__file__).parent / "wordings"
PHOTO_TEMPLATES, OBJECT_TEMPLATES, FILLINGS, NONSENSE = 2500, 1800, 3, 9000
"""Examples of a kind made of training templates, times that an author's sentence is filled, what asks for nothing."""
STATES, PROPERTIES, OBJECT_PHRASES = 500, 800, 2500
"""Examples of a kind that name what the picture is and what it shall be, that name what it gains, loses or is, and that
put a phrase of what is done to an object into a sentence."""
PATTERN = "pattern"
BARE = 0.3
"""Share of phrases that are a sentence by themselves, of those that can be one."""
OWN_NAME, FOREIGN = 0.3, 0.1
"""Shares of slots that are filled with the thing's own name, and with something that the editor does not know."""
SELECT = "select-"
HELD_OUT_AUTHOR, LAST_OF_BENCHMARK = "22", 36
AUTHORS_OF_THRESHOLDS = frozenset({"58", *map(str, range(61, 68))})
"""Whose sentences of `FURTHER_EDITS` are kept for the benchmark; the last author whose sentences it may use; whose
sentences are not learnt, but tell how well others are read, and from which probability on answers count.
"""
CHANGES = {
    "n": (
        "turn {a} into {b}", "change {a} to {b}", "change {a} into {b}", "from {a} to {b}", "go from {a} to {b}",
        "take it from {a} to {b}", "{b} instead of {a}", "make {b} out of {a}", "let {a} become {b}",
        "let {a} give way to {b}", "less {a} and more {b}", "swap {a} for {b}", "{a} should become {b}",
        "i want {b} and not {a}", "not {a} but {b}", "rather {b} than {a}", "convert {a} into {b}", "{a} to {b}",
        "can {a} become {b}", "make it go from {a} to {b}", "there is {a} but i would like {b}", "no {a} but {b}",
        "put {b} where there is {a}", "{a} into {b} please",
    ),
    "a": (
        "make it {b} instead of {a}", "make it {b} not {a}", "it is {a} make it {b}", "it is too {a} i want it {b}",
        "less {a} and more {b}", "{b} instead of {a}", "not {a} but {b}", "from {a} to {b}", "rather {b} than {a}",
        "turn the {a} picture into a {b} one", "it should be {b} and not {a}", "it looks {a} and should look {b}",
        "change it from {a} to {b}", "right now it is {a} but i would like it {b}", "go from {a} to {b}",
    ),
}  # fmt: skip
"""Form of the phrases, noun or adjective → ways to name what is (a) and what shall be (b)."""
FRAMES = (
    "add a {c} frame", "put a {c} border around it", "frame it in {c}", "give the picture a {c} frame", "a {c} border",
    "i want a thick {c} border", "surround the photo with a {c} edge", "{c} frame please", "put it in a {c} frame",
    "make a {c} border around the picture", "can you add a thin {c} frame", "it needs a frame that is {c}",
    "add a frame in {c}", "the border should be {c}", "a {c} picture frame around the whole thing",
)  # fmt: skip
"""Frames of a colour, of which no author was asked to write."""


@dataclass(frozen=True, order=True)
class Example:
    """
    Args:
        sentence: normalised.
        answers: (question, answer) of what the sentence says, or that it says nothing of the sort.
    """

    sentence: str
    answers: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        return dict(self.answers)["kind"]

    @property
    def is_rare(self) -> bool:
        """Whether few sentences ask for such an edit."""
        answers = dict(self.answers)
        return self.kind in FURTHER_EDITS or bool(answers.get("which") or answers.get("beside"))


def _table(name: str) -> list[list[str]]:
    text = gzip.decompress((FOLDER / f"{name}.tsv.gz").read_bytes()).decode()
    return [line.split("\t") for line in text.splitlines()]


def _by_form(name: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """A table's first column → its second → the phrases of its third."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, form, phrase in _table(name):
        found.setdefault(kind, {}).setdefault(form, []).append(phrase)
    return {kind: {form: tuple(phrases) for form, phrases in by.items()} for kind, by in found.items()}


def requests() -> list[tuple[str, str, str]]:
    """(author, kind, sentence) of every hand-written request about the whole picture, and of what asks for nothing."""
    return [(author, kind, sentence) for author, kind, sentence in _table("requests")]


def object_requests() -> list[tuple[str, str, str, str]]:
    """(author, kind, which, sentence) of every hand-written request with slots: {x} object, {y} new one, {c} colour,
    {d} other colour, {p} phrase of place.
    """
    return [(author, kind, which, sentence) for author, kind, which, sentence in _table("object_requests")]


def foreign_requests() -> list[str]:
    """Requests in other languages."""
    return [sentence for (sentence,) in _table("foreign")]


PLACE_WORDS = {
    place: tuple(phrase for phrase in phrases if not re.search(r"[({|]", phrase) and " " in phrase)
    for place, phrases in PLACE_PHRASES.items()
}
"""Place → the phrases of the training templates for it that need no filling in."""


@cache
def names_of() -> dict[str, tuple[str, ...]]:
    """Object, colour or place → what people call it, but for its own name; phrases with a preposition for places."""
    found = {thing: list(more) for thing, more in (SYNONYMS | COLOUR_SYNONYMS).items()}
    for thing, word in _table("words"):
        found.setdefault(thing, []).append(word)
    for place, phrases in PLACE_WORDS.items():
        found[place] = [*found[place], *phrases]
    return {thing: tuple(dict.fromkeys(words)) for thing, words in found.items()}


def called(thing: str, draw: random.Random) -> str:
    """A word for an object, a colour or a place."""
    own = thing not in PLACES and draw.random() < OWN_NAME
    return thing if own else draw.choice(names_of()[thing])


class Filler:
    """Fills slots by chance and says what it filled in.

    Args:
        foreign: words for what the editor does not know.
    """

    def __init__(self, draw: random.Random, foreign: tuple[str, ...]) -> None:
        self.draw, self.foreign = draw, foreign
        self.slots: dict[str, str] = {}
        self.answers: dict[str, str] = {}

    def thing(self, slot: str, question: str, name: str) -> None:
        """An object, or now and then something unknown in its place."""
        unknown = self.draw.random() < FOREIGN
        self.slots[slot] = self.draw.choice(self.foreign) if unknown else called(name, self.draw)
        self.answers[question] = "" if unknown else name

    def value(self, slot: str, question: str, name: str) -> None:
        """A colour or a place."""
        self.slots[slot], self.answers[question] = called(name, self.draw), name

    def filled(self, sentence: str) -> str:
        text = normalise(sentence.format(**self.slots))
        return re.sub(r"\ba (?=(?!uni|us|ut|eu|one)[aeiou])", "an ", text)


class PlainFiller(Filler):
    """Fills slots with things' own names."""

    def thing(self, slot: str, question: str, name: str) -> None:
        """See `Filler.thing`."""
        self.slots[slot] = self.answers[question] = name

    def value(self, slot: str, question: str, name: str) -> None:
        """See `Filler.value`."""
        self.slots[slot] = self.draw.choice(PLACE_WORDS[name]) if name in PLACES else name
        self.answers[question] = name


def _example(kind: str, sentence: str, answers: dict[str, str]) -> Example:
    asked = (*NEEDED.get(kind, ()), *OPTIONAL.get(kind, ()))
    return Example(sentence, (("kind", kind), *((question, answers.get(question, "")) for question in asked)))


def _from_author(kind: str, which: str, sentence: str, filler: Filler) -> Example:
    draw = filler.draw
    name, new = draw.sample(list(OBJECTS), 2)
    colour, part = draw.sample(list(COLOURS), 2)
    answers = {}
    if kind.startswith(SELECT):
        kind, answers = kind.removeprefix(SELECT), {"which": which}
    elif kind == "beside":
        kind, answers = "add", {"beside": which}
    if "{x}" in sentence:
        filler.thing("x", "name", name)
    if "{y}" in sentence:
        filler.thing("y", "new", new)
    if "{p}" in sentence:
        filler.value("p", "place", draw.choice(PLACES))
    if "{d}" in sentence:  # what was c shall be d
        filler.value("c", "part", part)
        filler.value("d", "colour", colour)
    elif "{c}" in sentence:
        filler.value("c", "colour", colour)
    return _example(kind, filler.filled(sentence), filler.answers | answers)


def _from_template(kind: str, filler: Filler) -> Example:
    draw = filler.draw
    name, new = draw.sample(list(OBJECTS), 2)
    place = "" if kind != "add" or draw.random() < 0.1 else draw.choice(PLACES)
    filler.thing("x", "new" if kind == "add" else "name", name)
    if kind == "replace":
        filler.thing("y", "new", new)
    filler.value("c", "colour", draw.choice(list(COLOURS)))
    sentence = instruction(
        kind, draw, name=filler.slots["x"], colour=filler.answers["colour"], replacement=filler.slots.get("y", new),
        place=place or None,
    )  # fmt: skip
    return _example(kind, sentence, filler.answers | {"place": place})


@cache
def further_requests(split: str) -> dict[str, list[tuple[str, str]]]:
    """Kind of `FURTHER_EDITS` → (which, sentence with slots) of a split of wordings: "train", or "wordings" of an
    author whose sentences of these kinds are held out.
    """
    found: dict[str, dict[bool, set[tuple[str, str]]]] = {kind: {True: set(), False: set()} for kind in FURTHER_EDITS}
    rows = [*object_requests(), *((author, kind, "-", sentence) for author, kind, sentence in requests())]
    for author, kind, which, sentence in rows:
        if int(author) > LAST_OF_BENCHMARK:
            continue
        own = "one of two" if kind.startswith(SELECT) else kind
        if own in found:
            which = f"{kind.removeprefix(SELECT)}:{which}" if own == "one of two" else which
            found[own][author == HELD_OUT_AUTHOR].add((which, sentence))
    return {kind: sorted(by[True] - by[False] if split == "wordings" else by[False]) for kind, by in found.items()}


def further_request(kind: str, draw: random.Random, split: str) -> tuple[Example, str]:
    """A request of one of `FURTHER_EDITS` in own names of objects, colours and places' phrases, and which is meant."""
    asked = [request for request in further_requests(split)[kind] if not request[0].endswith(":any")]
    which, sentence = draw.choice(asked)
    narrower, _, which = which.rpartition(":")
    own = f"{SELECT}{narrower}" if kind == "one of two" else kind
    return _from_author(own, which, sentence, PlainFiller(draw, ())), which


@cache
def states() -> dict[tuple[str, str, str], tuple[str, ...]]:
    """(kind, form, side) → phrases for what a picture is or shall be."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for kind, side, form, phrase in _table("states"):
        found.setdefault((kind, form, side), []).append(phrase)
    return {key: tuple(phrases) for key, phrases in found.items()}


def _from_states(kind: str, draw: random.Random) -> Example:
    form = draw.choice(list(CHANGES))
    is_now, shall_be = (draw.choice(states()[kind, form, side]) for side in ("from", "to"))
    return _example(kind, normalise(draw.choice(CHANGES[form]).format(a=is_now, b=shall_be)), {})


@cache
def properties() -> dict[str, dict[str, tuple[str, ...]]]:
    """Kind, or `PATTERN` → form → phrases, or sentences with the gap {w} for one.

    The forms: gain, loss and gone are nouns of what there is more of after the edit, less of, and nothing of any more;
    wanted, unwanted and comparative are adjectives; verb stands with its object, {it}.
    """
    return _by_form("properties")


def _from_properties(kind: str, draw: random.Random) -> Example:
    forms = properties()[kind]
    form = draw.choice(sorted(forms))
    phrase = draw.choice(forms[form]).format(it=draw.choice(PICTURE_PRONOUNS))
    sentence = draw.choice(properties()[PATTERN][form]).format(w=phrase, pic=draw.choice(PICTURE_NOUNS))
    return _example(kind, normalise(sentence), {})


@cache
def object_phrases() -> dict[str, dict[str, tuple[str, ...]]]:
    """Kind, or `PATTERN` → form → phrases with slots, or sentences with the gap {w} for one.

    The forms: do is a command, noun what is wished for; state is what the object {x} of the sentence shall be, fault
    what it is and shall not be.
    """
    return _by_form("object_phrases")


def _from_object_phrases(kind: str, filler: Filler) -> Example:
    draw, forms = filler.draw, object_phrases()[kind]
    form = draw.choice(sorted(forms))
    phrase = draw.choice(forms[form])
    if form in ("state", "fault") or draw.random() > BARE:
        phrase = draw.choice(object_phrases()[PATTERN][form]).replace("{w}", phrase)
    return _from_author(kind, "-", phrase, filler)


def _is_held_out(author: str, kind: str) -> bool:
    of_benchmark = author == HELD_OUT_AUTHOR and (kind in FURTHER_EDITS or kind.startswith(SELECT))
    return of_benchmark or author in AUTHORS_OF_THRESHOLDS


def examples(without: str, seed: int, known: tuple[str, ...] = FOREIGN_NOUNS) -> list[Example]:
    """What one reader learns from, without one author's sentences.

    Args:
        known: words that people may put where an object's name stands; those for objects are left out.
    """
    draw = random.Random(seed)
    things = {word for words in names_of().values() for word in words} | set(OBJECTS)
    foreign = tuple(word for word in known if word not in things)
    found = {
        _example(kind, sentence, {})
        for author, kind, sentence in requests()
        if author != without and not _is_held_out(author, kind)
    }
    found |= {_example(kind, instruction(kind, draw), {}) for kind in PHOTO_EDITS for _ in range(PHOTO_TEMPLATES)}
    found |= {_example(OTHER, leave_alone(draw), {}) for _ in range(NONSENSE)}
    for kind in sorted({kind for kind, _, _ in states()}):
        found |= {_from_states(kind, draw) for _ in range(STATES)}
    for kind in sorted(set(properties()) - {PATTERN}):
        found |= {_from_properties(kind, draw) for _ in range(PROPERTIES)}
    for kind in sorted(set(object_phrases()) - {PATTERN}):
        found |= {_from_object_phrases(kind, Filler(draw, foreign)) for _ in range(OBJECT_PHRASES)}
    for author, kind, which, sentence in object_requests():
        if author == without or _is_held_out(author, kind):
            continue
        for _ in range(FILLINGS):
            found.add(_from_author(kind, which, sentence, Filler(draw, foreign)))
    for _ in range(OBJECT_TEMPLATES):
        found |= {_from_template(kind, Filler(draw, foreign)) for kind in OBJECT_EDITS}
        frame = Filler(draw, foreign)
        frame.value("c", "colour", draw.choice(list(COLOURS)))
        found.add(_example("frame", frame.filled(draw.choice(FRAMES)), frame.answers))
    return sorted(found)


def by_author(author: str, seed: int) -> list[Example]:
    """The sentences of one author, their slots filled once."""
    draw = random.Random(seed)
    whole = [_example(kind, sentence, {}) for by, kind, sentence in requests() if by == author]
    return whole + [
        _from_author(kind, which, sentence, Filler(draw, FOREIGN_NOUNS))
        for by, kind, which, sentence in object_requests()
        if by == author
    ]
