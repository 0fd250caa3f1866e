"""What the reader learns from: nothing held out, every slot filled, every answer what was filled in."""

import random
import re

import pytest

from mmdit.model.reader import NEEDED, OPTIONAL, QUESTIONS
from mmdit.model.text import normalise
from mmdit.model.vocabulary import COLOURS, FURTHER_EDITS, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.requests import (
    AUTHORS_OF_THRESHOLDS,
    CHANGES,
    FRAMES,
    HELD_OUT_AUTHOR,
    LAST_OF_BENCHMARK,
    PATTERN,
    Filler,
    _from_object_phrases,
    _from_properties,
    by_author,
    called,
    examples,
    further_request,
    further_requests,
    names_of,
    object_phrases,
    object_requests,
    properties,
    requests,
    states,
)
from mmdit.training.wordings.generate import _expand
from mmdit.training.wordings.held_out import FIGURATIVE, HELD_OUT_PHRASES, HELD_OUT_WORDS, PLAIN
from mmdit.training.wordings.nouns import HELD_OUT_COLOUR_SYNONYMS, HELD_OUT_SYNONYMS

HELD_OUT_NOUNS = {*HELD_OUT_SYNONYMS.values(), *HELD_OUT_COLOUR_SYNONYMS.values()}
SLOTS = {"recolour": "xc", "remove": "x", "replace": "xy", "add": "y", "bigger": "x", "smaller": "x", "move": "xp",
         "parts": "cd", "beside": "xy"}  # fmt: skip


def test_no_request_holds_anything_held_out() -> None:
    held = [
        normalise(text)
        for table in (PLAIN, FIGURATIVE)
        for texts in table.values()
        for t in texts
        for text in _expand(t)
    ]
    sentences = [sentence for _, _, sentence in requests()]
    with_slots = [sentence for *_, sentence in object_requests()]
    assert len(set(sentences)) == len(sentences) > 5000
    assert len(set(object_requests())) == len(with_slots) > 5000
    for sentence in sentences:
        assert sentence == normalise(sentence) and 1 <= len(sentence.split()) <= 20
    for sentence in sentences + with_slots:
        assert not set(sentence.split()) & set(HELD_OUT_WORDS), sentence
        assert not any(re.search(rf"\b{re.escape(phrase)}\b", sentence) for phrase in HELD_OUT_PHRASES), sentence
        assert not any(text in sentence for text in held if len(text) > 3), sentence


def test_no_request_about_an_object_matches_a_held_out_template() -> None:
    """Whatever stands in its slots."""

    def british(text: str) -> str:
        return text.replace("color", "colour").replace("gray", "grey").replace("center", "centre")

    patterns = []
    for texts in (*PLAIN.values(), *FIGURATIVE.values()):
        for text in (of for template in texts for of in _expand(template)):
            if len(re.sub(r"{[a-z]+}", "", text).split()) > 1:
                patterns.append(re.compile(rf"\b{re.sub(r'{[a-z]+}', '.+', re.sub(r' ?{p}', '', british(text)))}\b"))
    for *_, sentence in object_requests():
        assert not any(pattern.search(british(sentence)) for pattern in patterns), sentence


def test_no_word_for_anything_is_held_out() -> None:
    assert set(names_of()) == {*OBJECTS, *COLOURS, *PLACES}
    for thing, words in names_of().items():
        assert len(words) > 10, thing
        assert not set(words) & HELD_OUT_NOUNS
        assert not {part for word in words for part in word.split()} & HELD_OUT_WORDS


def test_every_request_has_the_slots_of_its_kind() -> None:
    for _, kind, which, sentence in object_requests():
        own = kind.removeprefix("select-")
        slots = set(re.findall(r"{(\w)}", sentence))
        assert slots <= set("xycdp"), sentence
        assert set(SLOTS.get(own, "")) <= slots, (kind, sentence)
        assert (which == "-") == (own == kind and kind != "beside")
        assert own in (*OBJECT_EDITS, "move", "parts", "beside", "other")


def test_examples_say_what_was_filled_in() -> None:
    learnt = examples("", 0)
    assert learnt == examples("", 0) != examples("", 1)
    assert {example.kind for example in learnt} == set(QUESTIONS["kind"])
    for example in learnt:
        answers = dict(example.answers)
        assert example.sentence == normalise(example.sentence)
        assert "{" not in example.sentence
        assert set(answers) == {"kind", *NEEDED.get(example.kind, ()), *OPTIONAL.get(example.kind, ())}
        assert all(answer in QUESTIONS[question] for question, answer in answers.items())
    for kind, question in (("remove", "name"), ("add", "new"), ("recolour", "colour"), ("move", "place")):
        of_kind = [dict(example.answers)[question] for example in learnt if example.kind == kind]
        assert set(of_kind) >= set(QUESTIONS[question]) - {""}


@pytest.mark.parametrize("author", ["3", "19"])
def test_an_author_can_be_left_out(author: str) -> None:
    own = {sentence for by, _, sentence in requests() if by == author}
    without = {example.sentence for example in examples(author, 0)}
    assert len(own - without) > 0.9 * len(own)  # some are training templates, too
    assert {example.sentence for example in by_author(author, 0)} >= own


def test_further_edits_of_one_author_are_held_out() -> None:
    own = {sentence for by, kind, sentence in requests() if by == HELD_OUT_AUTHOR and kind in FURTHER_EDITS}
    assert len(own) > 50
    assert not own & {example.sentence for example in examples("", 0)}
    assert {by for by, *_ in requests()} - {HELD_OUT_AUTHOR}
    for kind in FURTHER_EDITS:
        train, unseen = (dict.fromkeys(further_requests(split)[kind]) for split in ("train", "wordings"))
        assert len(train) > 3 * len(unseen) > 15
        assert not train.keys() & unseen.keys()


@pytest.mark.parametrize("kind", FURTHER_EDITS)
def test_a_further_request_uses_plain_names(kind: str) -> None:
    for number in range(20):
        example, which = further_request(kind, random.Random(number), "train")
        answers = dict(example.answers)
        assert all(answers[of] in example.sentence for of in ("name", "new", "colour", "part") if answers.get(of))
        assert which != "any"
        assert answers.get("which") == which if kind == "one of two" else True


def test_no_later_author_wrote_what_is_held_out_nor_changes_the_benchmark() -> None:
    unseen = {sentence for kind in FURTHER_EDITS for _, sentence in further_requests("wordings")[kind]}
    later = {row[-1] for row in (*requests(), *object_requests()) if int(row[0]) > LAST_OF_BENCHMARK}
    used = {sentence for kind in FURTHER_EDITS for _, sentence in further_requests("train")[kind]}
    earlier = {row[-1] for row in (*requests(), *object_requests()) if int(row[0]) <= LAST_OF_BENCHMARK}
    assert later and not later & unseen
    assert used <= earlier


def test_states_are_of_one_kind_and_hold_nothing_held_out() -> None:
    sides: dict[tuple[str, str, str], str] = {}
    for (kind, form, side), phrases in states().items():
        assert kind in (*PHOTO_EDITS, "fog", "sunset")
        assert form in CHANGES
        for phrase in phrases:
            assert phrase == normalise(phrase)
            assert not set(phrase.split()) & HELD_OUT_WORDS
            assert sides.setdefault((side, form, phrase), kind) == kind
    kinds = {kind for kind, _, _ in states()}
    assert len(states()) == 4 * len(kinds)
    named = [example for example in examples("", 1) if example.kind in kinds]
    assert sum(example.sentence.startswith("turn the") for example in named) > 20


def test_properties_are_of_one_kind_and_their_sentences_hold_nothing_held_out() -> None:
    held = [normalise(text) for texts in PLAIN.values() for t in texts for text in _expand(t) if "{" not in text]
    kinds, of = sorted(set(properties()) - {PATTERN}), {}
    assert set(kinds) == {*PHOTO_EDITS, "fog", "sunset"}
    for kind in kinds:
        for form, phrases in properties()[kind].items():
            for phrase in phrases:
                assert of.setdefault((form, phrase), kind) == kind
                assert ("{it}" in phrase) == (form == "verb")
    for form, sentences in properties()[PATTERN].items():
        assert form in properties()["brighter"]
        assert all(sentence.count("{w}") == 1 for sentence in sentences)
    named = [_from_properties(kind, random.Random(number)).sentence for kind in kinds for number in range(300)]
    for sentence in named:
        assert not set(sentence.split()) & HELD_OUT_WORDS, sentence
        assert not any(phrase in sentence for phrase in HELD_OUT_PHRASES), sentence
        assert not any(text in sentence for text in held if len(text) > 3), sentence
    assert len(set(named)) > 0.9 * len(named)


def test_object_phrases_have_their_slots_and_their_sentences_hold_nothing_held_out() -> None:
    kinds = sorted(set(object_phrases()) - {PATTERN})
    assert kinds == sorted((*OBJECT_EDITS, "move"))
    unseen = {sentence for of in further_requests("wordings").values() for _, sentence in of}
    draw = random.Random(0)
    for kind in kinds:
        for form, phrases in object_phrases()[kind].items():
            own = SLOTS[kind].replace("x", "") if form in ("state", "fault") else SLOTS[kind]
            for phrase in phrases:
                assert set(own) <= set(re.findall(r"{(\w)}", phrase)) <= {*own, *("p" if kind == "add" else "")}, phrase
                assert not any(text.replace("{w}", phrase) in unseen for text in object_phrases()[PATTERN][form])
                assert phrase not in unseen
    for form, sentences in object_phrases()[PATTERN].items():
        holds_object = form in ("state", "fault")
        assert all(sentence.count("{w}") == 1 and ("{x}" in sentence) == holds_object for sentence in sentences)
    made = [_from_object_phrases(kind, Filler(draw, ("gadget",))) for kind in kinds for _ in range(400)]
    for example in made:
        assert all(dict(example.answers)[needed] or "gadget" in example.sentence for needed in NEEDED[example.kind])
        assert not set(example.sentence.split()) & HELD_OUT_WORDS, example
        assert not any(phrase in example.sentence for phrase in HELD_OUT_PHRASES), example
    assert len(set(made)) > 0.98 * len(made)


def test_nobody_learns_from_the_authors_of_the_thresholds() -> None:
    learnt = {example.sentence for example in examples("", 0)}
    for author in AUTHORS_OF_THRESHOLDS:
        own = {example.sentence for example in by_author(author, 0)}
        assert len(own) > 300
        assert len(own & learnt) < 0.03 * len(own)  # by chance, from other authors and templates


def test_words_are_of_the_thing() -> None:
    draw = random.Random(0)
    assert {called("cat", draw) for _ in range(300)} <= {"cat", *names_of()["cat"]}
    assert all(" " in called("top left", draw) for _ in range(50))
    assert len({template for template in FRAMES if "{c}" in template}) == len(FRAMES)
    assert set(PHOTO_EDITS) <= {kind for _, kind, _ in requests()}
