"""One instruction at a time, from the templates.

In: a kind of edit, the object, colour, replacement and place it speaks of, a random generator, a split. Out: an
instruction, lower case, without punctuation except apostrophes and hyphens, at most 20 words. Knows nothing of
pixels, of what is in the picture, or of tokens.
"""

import itertools
import random
import re

from mmdit.model.vocabulary import COLOURS, KINDS, LEAVE_ALONE, OBJECT_EDITS, OBJECTS
from mmdit.training.wordings import more_colour_edits, more_light_edits, more_object_edits, object_edits, photo_edits
from mmdit.training.wordings.held_out import FIGURATIVE, PLAIN
from mmdit.training.wordings.idle import (
    CODAS,
    DO_NOTHING,
    FOREIGN_EDITS,
    FOREIGN_NOUNS,
    HELD_OUT_DO_NOTHING,
    HELD_OUT_FOREIGN_EDITS,
    HELD_OUT_FOREIGN_NOUNS,
    HELD_OUT_SALAD_WORDS,
    HELD_OUT_SMALL_TALK,
    KEYBOARD_ROWS,
    NEGATED_EDITS,
    NEGATIONS,
    ONSETS,
    SALAD_WORDS,
    SMALL_TALK,
    VOWELS,
)
from mmdit.training.wordings.nouns import (
    ADVERBS,
    COLOUR_MODIFIERS,
    COLOUR_SYNONYMS,
    HELD_OUT_COLOUR_SYNONYMS,
    HELD_OUT_SYNONYMS,
    PICTURE_NOUNS,
    PICTURE_PRONOUNS,
    PICTURE_SUFFIXES,
    PLACE_PHRASES,
    PLAIN_COLOUR_MODIFIERS,
    PREFIXES,
    SUFFIXES,
    SYNONYMS,
    TYPO_WORDS,
)

SPLITS = ("train", "wordings", "figurative", "synonyms")
LONGEST = 20
"""Most words an instruction may have."""

HELD_OUT_TEMPLATES = {"wordings": PLAIN, "figurative": FIGURATIVE}

SHORT = object_edits.SHORT | photo_edits.SHORT
FURTHER = more_object_edits.CORES | more_colour_edits.CORES | more_light_edits.CORES
CORES = {
    kind: {form: (*templates, *FURTHER[kind][form]) for form, templates in forms.items()}
    for kind, forms in (object_edits.CORES | photo_edits.CORES).items()
}


def held_out_objects() -> tuple[str, ...]:
    """The objects that have a held-out synonym."""
    return tuple(HELD_OUT_SYNONYMS)


def instruction(
    kind: str,
    rng: random.Random,
    *,
    name: str | None = None,
    colour: str | None = None,
    replacement: str | None = None,
    place: str | None = None,
    split: str = "train",
) -> str:
    """One instruction that asks for an edit of `kind`; for `LEAVE_ALONE` kinds, one that changes nothing.

    "absent object" asks for some edit of the object `name`, which the caller keeps out of the picture.
    """
    if kind not in KINDS or split not in SPLITS:
        raise ValueError(f"unknown kind {kind!r} or split {split!r}")
    if kind == "absent object" and name is not None:
        kind = rng.choice([edit for edit in OBJECT_EDITS if edit != "add"])
        colour = colour or rng.choice(list(COLOURS))
        replacement = replacement or rng.choice([other for other in OBJECTS if other != name])
    if kind in LEAVE_ALONE:
        return leave_alone(rng, split)
    needed = {"recolour": (name, colour), "replace": (name, replacement)}.get(kind, (name,))
    if kind in OBJECT_EDITS and None in needed:
        raise ValueError(f"{kind!r} needs more than {needed}")
    fields = _fields(rng, split, name, colour, replacement, place)
    if split in HELD_OUT_TEMPLATES:
        text = _fill(rng.choice(HELD_OUT_TEMPLATES[split].get(kind, PLAIN[kind])), fields, rng)
        return f"{text} please" if rng.random() < 0.2 else text
    is_short = rng.random() < 0.25
    text = _fill(rng.choice(SHORT[kind]), fields, rng) if is_short else _composed(kind, fields, rng)
    return _clumsy(text, rng)


def leave_alone(rng: random.Random, split: str = "train") -> str:
    """An instruction whose right answer is the unchanged picture.

    For "synonyms": the training templates with held-out words and nouns.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}")
    (sort,) = rng.choices(("salad", "letters", "talk", "foreign", "negation"), (35, 15, 20, 15, 15))
    if sort == "salad":
        words = SALAD_WORDS if split == "train" else HELD_OUT_SALAD_WORDS
        return " ".join(rng.sample(words, rng.randint(1, 9)))
    if sort == "letters":
        return " ".join(_letters(rng, split) for _ in range(rng.randint(1, 5)))
    first, second = rng.sample(list(OBJECTS), 2)
    foreign = rng.sample(FOREIGN_NOUNS if split == "train" else HELD_OUT_FOREIGN_NOUNS, 2)
    fields = _fields(rng, split, first, rng.choice(list(COLOURS)), second, None)
    fields |= {"f": foreign[0], "f2": foreign[1]}
    text = _fill(_idle_template(sort, rng, split in HELD_OUT_TEMPLATES), fields, rng)
    imperative = sort == "foreign" and not text.startswith(("i ", "the ", "a ", "an "))
    if imperative and split not in HELD_OUT_TEMPLATES and rng.random() < 0.3:
        text = f"{rng.choice(PREFIXES['do'])} {text}"
    return text


def core_count(kind: str) -> int:
    """How many distinct cores `kind` has in training, each choice counted, `{...}` fields not."""
    templates = itertools.chain(SHORT[kind], *CORES[kind].values())
    return len(set(itertools.chain.from_iterable(_expand(template) for template in templates)))


def _expand(template: str) -> list[str]:
    """All texts that the choices of a template allow."""
    parts = [part.split("|") for part in re.split(r"[()]", template)]
    return [" ".join("".join(choice).split()) for choice in itertools.product(*parts)]


def _idle_template(sort: str, rng: random.Random, new: bool) -> str:
    """A template of small talk, of a foreign edit or of a negation; `new` for one that is held out."""
    if sort == "talk":
        return rng.choice(HELD_OUT_SMALL_TALK if new else SMALL_TALK)
    if sort == "foreign":
        return rng.choice(HELD_OUT_FOREIGN_EDITS if new else FOREIGN_EDITS)
    if new:
        return rng.choice(HELD_OUT_DO_NOTHING)
    if rng.random() < 0.5:
        return rng.choice(DO_NOTHING)
    return f"{rng.choice(NEGATIONS)} {rng.choice(NEGATED_EDITS)}"


def _fields(
    rng: random.Random,
    split: str,
    name: str | None,
    colour: str | None,
    replacement: str | None,
    place: str | None,
) -> dict[str, str]:
    """What goes into a template's object, replacement, colour and place; nothing where none is given."""
    return {
        "x": _object_word(name, rng, split) if name else "",
        "y": _object_word(replacement, rng, split) if replacement else "",
        "c": _colour_word(colour, rng, split) if colour else "",
        "p": rng.choice(PLACE_PHRASES[place]) if place else "",
    }


def _object_word(name: str, rng: random.Random, split: str) -> str:
    """The object's name or a synonym, as the split allows."""
    if split == "synonyms":
        return HELD_OUT_SYNONYMS.get(name, name)
    if split == "train" and name in SYNONYMS and rng.random() < 0.4:
        return rng.choice(SYNONYMS[name])
    return name


def _colour_word(colour: str, rng: random.Random, split: str) -> str:
    """The colour's name, a synonym, or the name with a modifier, as the split allows."""
    if split == "synonyms":
        return HELD_OUT_COLOUR_SYNONYMS[colour]
    chance = rng.random()
    if split == "train" and chance < 0.4:
        return rng.choice(COLOUR_SYNONYMS[colour])
    if split == "train" and chance < 0.45:
        modifiers = PLAIN_COLOUR_MODIFIERS if colour in ("black", "white") else COLOUR_MODIFIERS
        return f"{rng.choice(modifiers)} {colour}"
    return colour


def _fill(template: str, fields: dict[str, str], rng: random.Random) -> str:
    """The template with its choices made, its fields filled, a or an put right and one spelling chosen."""
    picture = {
        "it": rng.choice(PICTURE_PRONOUNS),
        "pic": rng.choice(PICTURE_NOUNS),
        "more": rng.choice(ADVERBS),
    }
    for _ in range(2):  # a place phrase may hold choices and fields of its own
        template = re.sub(r"\(([^()]*)\)", lambda match: rng.choice(match[1].split("|")), template)
        template = template.format(**fields, **picture)
    text = re.sub(r"\ba (?=x-|(?!uni|us|ut|eu|one)[aeiou])", "an ", " ".join(template.split()))
    if rng.random() < 0.5:
        text = text.replace("colour", "color").replace("colorise", "colorize").replace("minimise", "minimize")
        return text.replace("grey", "gray")
    return text.replace("gray", "grey").replace("center", "centre")


def _composed(kind: str, fields: dict[str, str], rng: random.Random) -> str:
    """A core with an optional prefix and suffix that suit its grammatical form."""
    (form,) = rng.choices(("do", "say", "noun"), (60, 22, 18))
    core = _fill(rng.choice(CORES[kind][form]), fields, rng)
    text = core
    if rng.random() < (0.25 if form == "say" else 0.5):
        text = f"{rng.choice(PREFIXES[form])} {core}"
    if rng.random() < 0.3:
        suffixes = SUFFIXES[form]
        if not fields["p"] and not re.search(r"\b(pic|picture|photo|image|photograph|shot|scene|here|it)\b", core):
            suffixes += PICTURE_SUFFIXES
        suffix = rng.choice(suffixes)
        if suffix not in text:
            text = f"{text} {suffix}"
    return text if len(text.split()) <= LONGEST else core


def _clumsy(text: str, rng: random.Random) -> str:
    """Now and then without articles, now and then with a typo in a word that does not matter."""
    if rng.random() < 0.08:
        text = re.sub(r"\b(?:the|an?) (?!bit|lot)", "", text)
    words = text.split()
    places = [place for place, word in enumerate(words) if word in TYPO_WORDS]
    if places and rng.random() < 0.02:
        place = rng.choice(places)
        words[place] = _typo(words[place], rng)
    return " ".join(words)


def _typo(word: str, rng: random.Random) -> str:
    """The word with one letter lost, doubled, swapped with the next, or hit wrongly."""
    at = rng.randrange(1, len(word) - 1)
    spoilt = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
    )
    return rng.choice(spoilt)


def _letters(rng: random.Random, split: str) -> str:
    """One meaningless string: mashed letters or an invented word; held out, a run along the keyboard too."""
    style = rng.random()
    if split != "train" and style < 0.4:
        row = rng.choice(KEYBOARD_ROWS)
        start = rng.randrange(len(row) - 4)
        return (row[start:] + row[:start])[: rng.randint(4, len(row))]
    if style < 0.6:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 9)))
    syllables = ((rng.choice(ONSETS), rng.choice(VOWELS), rng.choice(CODAS)) for _ in range(rng.randint(1, 2)))
    return "".join(itertools.chain.from_iterable(syllables))
