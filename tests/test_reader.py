"""Roundabout requests that are read as plain ones, and what is left as it stands."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdit.attention.spec import RecordSpec
from mmdit.catalog import CATALOG
from mmdit.editor import EditRequest
from mmdit.load import load_editor
from mmdit.lora.stack import LoraWeight
from mmdit.model.lexicon import Lexicon
from mmdit.model.reader import (
    FOREIGN,
    KINDS,
    NEEDED,
    OPTIONAL,
    PLAIN_WORDS,
    QUESTIONS,
    READER_FILE,
    Reader,
    Reading,
    by_question,
    mean_of_words,
)
from mmdit.model.text import TextEncoder, normalise
from mmdit.model.vocabulary import ARRANGEMENTS, EFFECTS, OBJECT_EDITS, PHOTO_EDITS
from mmdit.training import reader as training
from mmdit.training.reader import Encoded, averaged, exchanged, learn_languages, learnt_from, report, train
from mmdit.training.requests import by_author, examples, foreign_requests, requests
from mmdit.training.wordings import instruction
from mmdit.training.wordings.held_out import HELD_OUT_WORDS
from mmdit.training.wordings.left_alone import FOREIGN as FOREIGN_REQUESTS

FOLDER = CATALOG["mini"].source / "text_encoder"
ROUNDABOUT = "there is far too much light in it"
NOTHING = Reading("other")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.from_pretrained(FOLDER)


def read(encoder: TextEncoder, sentences: list[str]) -> list[Reading | None]:
    return list(encoder.encode(sentences, plainly=True).readings)


def read_as(encoder: TextEncoder, sentences: list[str]) -> list[str | None]:
    """The plain words in the place of the whole instruction."""
    pairs = encoder.encode(sentences, plainly=True).read_as
    return [
        next((plain for said, plain in of if said == sentence and " " in plain), None)
        for of, sentence in zip(pairs, sentences, strict=True)
    ]


def test_the_kinds_are_those_that_are_taught() -> None:
    assert {*PHOTO_EDITS, *EFFECTS, *OBJECT_EDITS, *ARRANGEMENTS, "other"} == set(KINDS)
    assert {*PHOTO_EDITS, *EFFECTS} <= {kind for _, kind, _ in requests()} <= set(KINDS)
    assert set(PLAIN_WORDS) == {*PHOTO_EDITS, *EFFECTS}
    assert {question for of in (*NEEDED.values(), *OPTIONAL.values()) for question in of} <= set(QUESTIONS)


def test_requests_are_read_as_what_they_ask(encoder: TextEncoder) -> None:
    some = random.Random(0).sample([request for request in requests() if request[1] != "other"], 300)
    found = read(encoder, [sentence for _, _, sentence in some])
    right = [reading is None or reading.kind == kind for (_, kind, _), reading in zip(some, found, strict=True)]
    assert sum(right) >= 0.97 * len(some)
    assert sum(reading is not None for reading in found) > len(some) / 2


def test_requests_about_objects_are_read_as_what_they_ask(encoder: TextEncoder) -> None:
    learnt = [example for example in examples("", 5) if example.kind in (*OBJECT_EDITS, *ARRANGEMENTS)]
    some = random.Random(0).sample(learnt, 300)
    found = read(encoder, [example.sentence for example in some])
    surely = [(dict(example.answers), reading) for example, reading in zip(some, found, strict=True) if reading]
    right = [
        all(getattr(reading, question) == to for question, to in answers.items())
        for answers, reading in surely
        if all(answers[question] for question in NEEDED[answers["kind"]])
    ]
    assert sum(right) >= 0.97 * len(right)
    assert len(right) > len(some) / 2


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("get rid of the kitten", Reading("remove", "cat")),
        ("the doggy should be much smaller", Reading("smaller", "dog")),
        ("i want the puppy to be scarlet", Reading("recolour", "dog", colour="red")),
        ("put a robot where the tree is", Reading("replace", "tree", "robot")),
        ("move the balloon to the top left corner", Reading("move", "balloon", place="top left")),
        ("remove the cat on the left", Reading("remove", "cat", which="left")),
        ("add a star to the left of the moon", Reading("add", "moon", "star", beside="left")),
        ("make the red parts green", Reading("parts", part="red", colour="green")),
        ("add fog", Reading("fog")),
        ("add a black frame", Reading("frame", colour="black")),
        ("turn broad daylight into starlight", Reading("night")),
        ("from pitch black to bright", Reading("brighter")),
        ("from bright to dim", Reading("darker")),
    ],
)
def test_what_is_asked_is_told_whole(encoder: TextEncoder, instruction: str, expected: Reading) -> None:
    assert read(encoder, [instruction]) == [expected]


def test_a_reading_is_said_plainly() -> None:
    assert Reading("replace", "cat", "umbrella").plainly() == "replace the cat with an umbrella"
    assert Reading("add", new="star", place="top left").plainly() == "add a star at the top left"
    assert Reading("add", "cat", "star", beside="left").plainly() == "add a star"
    assert Reading("move", "cat", place="left").plainly() == "remove the cat"
    assert Reading("recolour", "cat", colour="red", which="left").plainly() == "make the cat red"
    assert Reading("night").plainly() == "make it night"
    assert Reading("fog").plainly() == Reading("parts", part="red", colour="blue").plainly() == ""
    assert Reading("fog").said() == "add fog"
    assert Reading("frame", colour="orange").said() == "add an orange frame"
    assert Reading("parts", part="red", colour="blue").said() == "make the red parts blue"
    assert Reading("move", "cat", place="left").said() == "move the cat to the left"
    assert Reading("remove", "cat", which="upper").said() == "remove the upper cat"
    assert Reading("remove", "cat", which="any").said() == "remove one of the two cats"
    assert Reading("add", "cat", "star", beside="front").said() == "add a star in front of the cat"


def test_an_instruction_that_says_it_plainly_needs_no_telling() -> None:
    moved = Reading("move", "cat", place="left")
    assert moved.is_said_by("please move my cat to the left")
    assert not moved.is_said_by("shift the moggy leftwards")
    assert Reading("fog").is_said_by("make it foggy")
    assert not Reading("fog").is_said_by("visibility fifty metres")


def test_its_own_words_need_no_reading(encoder: TextEncoder) -> None:
    for plain, known in PLAIN_WORDS.values():
        assert read_as(encoder, [plain, f"could you please make this photo {known[0]}"]) == [None, None]
    for plain in ("make the cat blue", "remove the dog", "please make my cat bigger", "add a star at the top"):
        assert read_as(encoder, [plain]) == [None]
    two_edits = "it is a gloomy evening so make it brighter and blur it"
    assert read_as(encoder, ["it came out as pale as paper darken it", two_edits]) == ["make it darker", None]
    assert read_as(encoder, [ROUNDABOUT]) == ["make it darker"]
    assert encoder.encode([ROUNDABOUT]).read_as == ((),)  # only where it is asked for
    assert encoder.encode([ROUNDABOUT]).readings == (None,)


def test_what_asks_for_nothing_is_read_as_nothing_or_left_to_the_editor(encoder: TextEncoder) -> None:
    draw = random.Random(1)
    sentences = [instruction("nonsense", draw) for _ in range(500)]
    taken = [reading for reading in read(encoder, sentences) if reading is not None and reading.kind != NOTHING.kind]
    assert len(taken) <= 0.01 * len(sentences)
    assert read(encoder, ["there is too little light on the cat", "", "?!"]) == [None, None, None]


@pytest.mark.parametrize(
    "instruction",
    [
        "what breed is the dog", "count the dogs", "put a hat on the cat", "the car is fine as it is",
        "remove the xylophone", "replace the cat with a xylophone", "add a xylophone at the top",
        "do not touch the cat",
    ],
)  # fmt: skip
def test_what_is_no_edit_or_of_an_unknown_thing_asks_for_nothing(encoder: TextEncoder, instruction: str) -> None:
    found = read(encoder, [instruction])[0]
    assert found.kind == NOTHING.kind or (found.kind == "remove" and found.name not in ("", "xylophone"))
    assert (NOTHING.said(), NOTHING.plainly()) == ("leave it as it is", "")


def test_a_word_for_an_effect_is_no_unknown_thing(encoder: TextEncoder) -> None:
    """Where the lexicon reads an unknown word as an effect's own, nothing is read of an object."""
    other = TextEncoder.from_pretrained(FOLDER)
    assert read(other, ["enlarge the xylophone"]) != [None]
    other.lexicon = Lexicon(words={"xylophone": "saturation"}, colours={}, ambiguous=frozenset(), things=frozenset())
    assert read(other, ["enlarge the xylophone"]) == [None]


def test_the_edit_is_that_of_the_plain_words() -> None:
    editor = load_editor("mini", device="cpu")
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(60, 200, (96, 128, 3), dtype=np.uint8))
    result = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, record=RecordSpec()))
    plain = editor.edit(EditRequest([picture], "make it darker", seed=1))
    assert result.image.tobytes() == plain.image.tobytes()
    assert result.notes == (f"Read “{ROUNDABOUT}” as “make it darker”.",) and plain.notes == ()
    assert result.maps.words == ("make", "it", "darker")
    assert result.settings["instruction"] == ROUNDABOUT


def test_with_a_lora_words_may_mean_something_else() -> None:
    editor = load_editor("mini", device="cpu")
    picture = Image.new("RGB", (96, 96), (120, 130, 140))
    styled = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, loras=[LoraWeight("thermal", 0.01)]))
    assert not any("as “make it darker”" in note for note in styled.notes)
    assert styled.settings["literally"]
    without = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, loras=[LoraWeight("thermal", 0.0)]))
    assert any("as “make it darker”" in note for note in without.notes)
    literal = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, literally=True))
    assert not any("as “make it darker”" in note for note in literal.notes)


def test_it_is_saved_as_it_was_loaded(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    states, mask = encoder.states([ROUNDABOUT, "sepia"])
    again = Reader.from_file(tmp_path / READER_FILE)
    assert torch.equal(again(states, mask), encoder.reader(states, mask))
    assert (tmp_path / READER_FILE).read_bytes() == (FOLDER / READER_FILE).read_bytes()


def test_padding_changes_nothing(encoder: TextEncoder) -> None:
    alone = encoder.reader(*encoder.states(["sepia"]))
    beside = encoder.reader(*encoder.states(["sepia", ROUNDABOUT]))[:1]
    torch.testing.assert_close(alone, beside, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_training_learns_and_is_the_same_each_time(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "EPOCHS", 25)
    learnt = random.Random(0).sample([of for of in examples("", 0) if of.kind in PHOTO_EDITS], 400)
    pool = Encoded(encoder, [example.sentence for example in learnt])
    readers = [train(pool, learnt, seed=0) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(readers[0].parameters(), readers[1].parameters(), strict=True))
    report(encoder, readers[0], learnt)
    said = re.search(r"right ([\d.]+), wrong ([\d.]+)", capsys.readouterr().out)
    assert float(said[1]) > 0.5
    assert float(said[2]) < 0.1


def test_sentences_are_encoded_as_the_encoder_does(encoder: TextEncoder) -> None:
    sentences = ["make it sepia", "remove the very small cat on the left", "blur"]
    pool = Encoded(encoder, [*sentences, "blur"])
    rows = pool.rows(sentences)
    states, mask = pool.batch(rows)
    expected, real = encoder.states(sentences)
    assert torch.equal(mask, real)
    off = (states[mask] - expected[real]).abs().mean()
    assert off < 0.01 * expected[real].abs().mean()  # bfloat16 has three digits
    assert len(pool.lengths) == 3


@pytest.mark.slow
def test_a_reader_can_learn_what_others_say(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EPOCHS_OF_MEAN", 24)
    sentences = sorted({example.sentence for example in random.Random(0).sample(examples("", 0), 300)})
    pool = Encoded(encoder, sentences)
    pupil = learnt_from(pool, [encoder.reader], sentences, 0)
    said, expected = (by_question(of(*pool.batch(pool.rows(sentences))))[0] for of in (pupil, encoder.reader))
    assert (said.argmax(-1) == expected.argmax(-1)).float().mean() > 0.8


def test_the_mean_of_readers_has_the_mean_of_their_weights(encoder: TextEncoder) -> None:
    first, second = Reader(384), encoder.reader
    mean = averaged([first, second])
    for name, of in mean.state_dict().items():
        torch.testing.assert_close(of, (first.state_dict()[name] + second.state_dict()[name]) / 2)
    assert torch.equal(first.narrow.weight, averaged([first]).narrow.weight)


def test_exchanged_words_are_none_that_is_held_out(encoder: TextEncoder) -> None:
    sentences = [sentence for _, _, sentence in requests()[:500]]
    spoilt = exchanged(encoder, sentences, 0)
    assert spoilt == exchanged(encoder, sentences, 0)
    assert not {word for sentence in spoilt for word in sentence.split()} & set(HELD_OUT_WORDS)
    assert sum(sentence not in sentences for sentence in spoilt) > 0.9 * len(spoilt)


@pytest.mark.shipped
def test_other_languages_are_told_from_english(encoder: TextEncoder) -> None:
    told = encoder._read([normalise(sentence).split() for sentence in FOREIGN_REQUESTS])
    assert told.count(Reading(FOREIGN)) >= 0.6 * len(told)
    english = [example.sentence.split() for example in by_author("61", 0)]
    english += [["mkae", "it", "sepia"], ["terracotta", "warmth"], ["black", "and", "wite"]]
    assert encoder._read(english).count(Reading(FOREIGN)) == 0


@pytest.mark.slow
def test_a_reader_learns_languages_and_nothing_else(encoder: TextEncoder) -> None:
    english, foreign = [example.sentence for example in by_author("61", 0)], foreign_requests()
    reader = Reader(encoder.bert.config.hidden_size).requires_grad_(False)
    before = {name: weight.clone() for name, weight in reader.state_dict().items()}
    learn_languages(reader, Encoded(encoder, [*english[::2], *foreign[::2]]), frozenset(foreign))
    told = reader.foreign(mean_of_words(*encoder.states([*english[1::2], *foreign[1::2]])))[:, 0] > 0
    wanted = torch.arange(len(told)) >= len(english[1::2])
    assert (told == wanted).float().mean() > 0.85
    changed = {name for name, weight in reader.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {"foreign.weight", "foreign.bias"}
