"""The instructions of training, and that nothing held out leaks into them."""

import itertools
import random
import re
from collections import defaultdict

import pytest

from mmdit.model.text import normalise
from mmdit.model.vocabulary import COLOURS, KINDS, LEAVE_ALONE, OBJECT_EDITS, OBJECTS, PLACES
from mmdit.training.wordings import SPLITS, core_count, held_out_objects, instruction, leave_alone
from mmdit.training.wordings.generate import CORES, LONGEST, SHORT, _expand
from mmdit.training.wordings.held_out import FIGURATIVE, HELD_OUT_PHRASES, HELD_OUT_WORDS, PLAIN
from mmdit.training.wordings.idle import (
    HELD_OUT_DO_NOTHING,
    HELD_OUT_FOREIGN_EDITS,
    HELD_OUT_FOREIGN_NOUNS,
    HELD_OUT_SALAD_WORDS,
    HELD_OUT_SMALL_TALK,
)
from mmdit.training.wordings.nouns import (
    COLOUR_SYNONYMS,
    HELD_OUT_COLOUR_SYNONYMS,
    HELD_OUT_SYNONYMS,
    PLACE_PHRASES,
    SYNONYMS,
)
from mmdit.training.wordings.tables import words

DRAWS = 600  # of every kind
AN = frozenset(
    words("""
    abode agaric airship alcazar alsatian amour amphibian anchovy anemone angelfish angora ape apis apple arbour aster
    asterisk auto autobus automaton echinopsis elm enoki erdbeere estrella etoile evergreen inflatable oak oink oinker
    ombrello omnibus opuntia orangutan orchid umbrella ursine""")
)
"""Every object word of training that takes "an"; written by hand."""
SPELT_WITH_A_VOWEL = ("x", "s", "nd")  # an x-ray, an s-curve, an ND filter


def draw(kind: str, split: str, seed: int) -> str:
    rng = random.Random(f"{kind}-{split}-{seed}")
    names = list(held_out_objects()) if split == "synonyms" else list(OBJECTS)
    name, replacement = rng.sample(names, 2)
    colour, place = rng.choice(list(COLOURS)), rng.choice(PLACES)
    values = {"name": name, "colour": colour, "replacement": replacement, "place": place}
    needed = {"recolour": ("name", "colour"), "replace": ("name", "replacement"), "add": ("name", "place")}
    slots = needed.get(kind, ("name",) if kind in OBJECT_EDITS or kind == "absent object" else ())
    return instruction(kind, rng, split=split, **{slot: values[slot] for slot in slots})


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[str, list[str]]]:
    """Split → kind → instructions."""
    return {split: {kind: [draw(kind, split, seed) for seed in range(DRAWS)] for kind in KINDS} for split in SPLITS}


@pytest.fixture(scope="module")
def training(drawn: dict[str, dict[str, list[str]]]) -> list[str]:
    return list(itertools.chain.from_iterable(drawn["train"].values()))


def phrase_in(phrase: str, text: str) -> bool:
    return f" {phrase} " in f" {text} "


def test_training_never_says_a_held_out_word(training: list[str]) -> None:
    nouns = {*HELD_OUT_SYNONYMS.values(), *HELD_OUT_COLOUR_SYNONYMS.values(), *HELD_OUT_FOREIGN_NOUNS}
    held_out = HELD_OUT_WORDS | nouns | set(HELD_OUT_SALAD_WORDS)
    said = set(itertools.chain.from_iterable(text.split() for text in training))
    assert not said & held_out


def test_training_never_says_a_held_out_phrase(training: list[str]) -> None:
    small_talk = [text for template in HELD_OUT_SMALL_TALK for text in _expand(template) if "{" not in text]
    for text in training:
        assert not any(phrase_in(phrase, text) for phrase in HELD_OUT_PHRASES), text
        assert text not in small_talk


def british(text: str) -> str:
    return text.replace("color", "colour").replace("gray", "grey").replace("center", "centre")


def test_no_training_instruction_holds_a_held_out_template(drawn: dict[str, dict[str, list[str]]]) -> None:
    """Whatever stands for the fields."""
    for kind, templates in itertools.chain(PLAIN.items(), FIGURATIVE.items()):
        trained = "\n".join(british(text) for text in drawn["train"][kind])
        for text in itertools.chain.from_iterable(map(_expand, templates)):
            pattern = re.sub(r"{\w+}", "[^\n]+", re.sub(r" ?{p}", "", british(text)))
            found = re.search(rf"\b{pattern}\b", trained)
            assert not found, (kind, text, found[0])


def test_no_training_template_equals_a_held_out_one() -> None:
    trained = {
        text
        for kind in SHORT
        for template in itertools.chain(SHORT[kind], *CORES[kind].values())
        for text in _expand(template)
    }
    held_out = itertools.chain.from_iterable([*PLAIN.values(), *FIGURATIVE.values()])
    assert not trained & {text for template in held_out for text in _expand(template)}
    assert len(trained) > 1000


def test_the_tables_of_synonyms_do_not_overlap() -> None:
    for trained, held_out, names in (
        (SYNONYMS, HELD_OUT_SYNONYMS, OBJECTS),
        (COLOUR_SYNONYMS, HELD_OUT_COLOUR_SYNONYMS, COLOURS),
    ):
        meanings = defaultdict(set)
        for name in names:
            for word in (name, *trained.get(name, ()), *([held_out[name]] if name in held_out else [])):
                meanings[word].add(name)
        assert all(len(names) == 1 for names in meanings.values())  # no word for two things
        assert not set(held_out.values()) & set(itertools.chain(names, *trained.values()))
        assert set(trained) | set(held_out) <= set(names)


@pytest.mark.parametrize("split", SPLITS)
def test_instructions_are_as_the_text_encoder_reads_them(split: str, drawn: dict[str, dict[str, list[str]]]) -> None:
    for text in itertools.chain.from_iterable(drawn[split].values()):
        assert text
        assert normalise(text) == text
        assert len(text.split()) <= LONGEST
        assert text.isascii()


@pytest.mark.parametrize("split", SPLITS)
def test_a_and_an_agree_with_the_next_word(split: str, drawn: dict[str, dict[str, list[str]]]) -> None:
    for text in itertools.chain.from_iterable(drawn[split].values()):
        for article, word in re.findall(r"\b(an?) ([a-z]+)", text):
            begins_like_you = word.startswith(("uni", "us", "ut", "eu", "one"))
            begins_like_a_vowel = word[0] in "aeiou" or word in SPELT_WITH_A_VOWEL
            assert article == ("an" if begins_like_a_vowel and not begins_like_you else "a"), text


def test_objects_take_the_article_that_a_person_would_use(training: list[str]) -> None:
    names = set(itertools.chain(OBJECTS, *SYNONYMS.values()))
    found = defaultdict(set)
    for text in training:
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            found[word].add(article)
    for word in names & set(found):
        assert found[word] == {"an" if word in AN else "a"}, word
    assert set(found) & AN


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LEAVE_ALONE])
def test_every_kind_is_asked_for_in_many_ways(kind: str, drawn: dict[str, dict[str, list[str]]]) -> None:
    assert core_count(kind) >= 60
    texts = drawn["train"][kind]
    assert len(set(texts)) > DRAWS / 3
    (commonest,) = sorted(map(texts.count, set(texts)))[-1:]
    assert commonest < DRAWS / 10


def test_kinds_are_not_asked_for_in_each_others_words(drawn: dict[str, dict[str, list[str]]]) -> None:
    """One text, one meaning: kinds of edit share no instruction."""
    meanings = defaultdict(set)
    for kind in KINDS:
        if kind not in LEAVE_ALONE:
            for text in drawn["train"][kind]:
                meanings[text].add(kind)
    assert not {text: kinds for text, kinds in meanings.items() if len(kinds) > 1}


@pytest.mark.parametrize("kind", OBJECT_EDITS)
def test_every_template_names_the_object(kind: str) -> None:
    templates = itertools.chain(SHORT[kind], *CORES[kind].values(), PLAIN[kind])
    fields = {"recolour": {"x", "c"}, "replace": {"x", "y"}, "add": {"x", "p"}}.get(kind, {"x"})
    for template in templates:
        for text in _expand(template):
            assert fields <= set(re.findall(r"{(\w+)}", text)), text


def test_each_place_has_phrases_of_its_own() -> None:
    texts = [text for place in PLACES for phrase in set(PLACE_PHRASES[place]) for text in set(_expand(phrase))]
    assert len(set(texts)) == len(texts) > 90


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_generator_gives_the_same_instruction(split: str) -> None:
    assert all(draw(kind, split, 1) == draw(kind, split, 1) for kind in KINDS)
    assert leave_alone(random.Random(3), split) == leave_alone(random.Random(3), split)


def test_held_out_idle_templates_are_not_trained_on(training: list[str]) -> None:
    templates = (*HELD_OUT_FOREIGN_EDITS, *HELD_OUT_DO_NOTHING)
    fixed = {text for template in templates for text in _expand(template) if "{" not in text}
    assert len(fixed) > 15
    assert not fixed & set(training)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("sharpen", {}),
        ("remove", {}),
        ("recolour", {"name": "cat"}),
        ("replace", {"name": "cat"}),
        ("remove", {"name": "cat", "split": "test"}),
    ],
)
def test_what_is_unknown_or_missing_is_refused(kind: str, values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"unknown|needs more"):
        instruction(kind, random.Random(0), **values)
