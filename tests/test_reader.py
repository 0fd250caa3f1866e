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
from mmdit.model.reader import KINDS, PLAIN_WORDS, READER_FILE, Reader
from mmdit.model.text import TextEncoder, normalise
from mmdit.training import reader as training
from mmdit.training.reader import examples, exchanged, learnt_from, report, requests, train
from mmdit.training.vocabulary import LEAVE_ALONE, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.wordings import instruction
from mmdit.training.wordings.generate import _expand
from mmdit.training.wordings.held_out import FIGURATIVE, HELD_OUT_PHRASES, HELD_OUT_WORDS, PLAIN

FOLDER = CATALOG["mini"].source / "text_encoder"
ROUNDABOUT = "there is far too much light in it"


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.from_pretrained(FOLDER)


def read_as(encoder: TextEncoder, sentences: list[str]) -> list[str | None]:
    read = encoder.encode(sentences, plainly=True).read_as
    return [
        pairs[0][1] if pairs and pairs[0][1] in {plain for plain, _ in PLAIN_WORDS.values()} else None for pairs in read
    ]


def test_the_kinds_are_those_that_are_taught() -> None:
    assert (*PHOTO_EDITS, "other") == KINDS
    assert set(PHOTO_EDITS) <= {kind for _, kind, _ in requests()} <= set(KINDS)


def test_no_request_holds_anything_held_out() -> None:
    held = [
        normalise(text)
        for table in (PLAIN, FIGURATIVE)
        for texts in table.values()
        for t in texts
        for text in _expand(t)
    ]
    sentences = [sentence for _, _, sentence in requests()]
    assert len(set(sentences)) == len(sentences) > 5000
    for sentence in sentences:
        assert sentence == normalise(sentence) and 1 <= len(sentence.split()) <= 20
        assert not set(sentence.split()) & set(HELD_OUT_WORDS), sentence
        assert not any(re.search(rf"\b{re.escape(phrase)}\b", sentence) for phrase in HELD_OUT_PHRASES), sentence
        assert not any(text in sentence for text in held if len(text) > 3), sentence


def test_requests_are_read_as_what_they_ask(encoder: TextEncoder) -> None:
    some = random.Random(0).sample(requests(), 300)
    read = read_as(encoder, [sentence for _, _, sentence in some])
    plainly = {kind: plain for kind, (plain, _) in PLAIN_WORDS.items()}
    right = [plain in (None, plainly.get(kind)) for (_, kind, _), plain in zip(some, read, strict=True)]
    assert sum(right) >= 0.97 * len(some)
    assert sum(plain is not None for plain in read) > len(some) / 2


def test_its_own_words_need_no_reading(encoder: TextEncoder) -> None:
    for plain, known in PLAIN_WORDS.values():
        assert read_as(encoder, [plain, f"could you please make this photo {known[0]}"]) == [None, None]
    two_edits = "it is a gloomy evening so make it brighter and blur it"
    assert read_as(encoder, ["it came out as pale as paper darken it", two_edits]) == ["make it darker", None]
    assert read_as(encoder, [ROUNDABOUT]) == ["make it darker"]
    assert encoder.encode([ROUNDABOUT]).read_as == ((),)  # only where it is asked for


def test_objects_and_nonsense_are_left_to_the_editor(encoder: TextEncoder) -> None:
    draw, sentences = random.Random(1), []
    for kind in (*OBJECT_EDITS, *LEAVE_ALONE):
        for _ in range(60):
            name, replacement = draw.sample(list(OBJECTS), 2)
            name = None if kind == "nonsense" else name
            sentences.append(
                instruction(kind, draw, name=name, colour="red", replacement=replacement, place=draw.choice(PLACES))
            )
    assert sum(plain is not None for plain in read_as(encoder, sentences)) <= 0.01 * len(sentences)
    assert read_as(encoder, ["there is too little light on the cat", "", "?!"]) == [None, None, None]


def test_the_edit_is_that_of_the_plain_words() -> None:
    editor = load_editor("mini", device="cpu")
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(60, 200, (96, 128, 3), dtype=np.uint8))
    result = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, record=RecordSpec()))
    plain = editor.edit(EditRequest([picture], "make it darker", seed=1))
    assert result.image.tobytes() == plain.image.tobytes()
    assert result.warnings == (f"Read “{ROUNDABOUT}” as “make it darker”.",) and plain.warnings == ()
    assert result.maps.words == ("make", "it", "darker")
    assert result.settings["instruction"] == ROUNDABOUT


def test_with_a_lora_words_may_mean_something_else() -> None:
    editor = load_editor("mini", device="cpu")
    picture = Image.new("RGB", (96, 96), (120, 130, 140))
    styled = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, loras=[LoraWeight("thermal", 0.01)]))
    assert not any("as “make it darker”" in warning for warning in styled.warnings)
    assert styled.settings["literally"]
    without = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, loras=[LoraWeight("thermal", 0.0)]))
    assert any("as “make it darker”" in warning for warning in without.warnings)
    literal = editor.edit(EditRequest([picture], ROUNDABOUT, seed=1, literally=True))
    assert not any("as “make it darker”" in warning for warning in literal.warnings)


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


def test_training_learns_and_is_the_same_each_time(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = examples("1", 0)
    own = {sentence for author, _, sentence in requests() if author == "1"}
    assert len(own - {sentence for _, sentence in without}) > 0.9 * len(own)  # some are training templates, too
    learnt = random.Random(0).sample(without, 400)
    readers = [train(encoder, learnt, seed=0) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(readers[0].parameters(), readers[1].parameters(), strict=True))
    told = [(kind, sentence) for kind, sentence in learnt if kind != "other"]
    capsys.readouterr()
    report(encoder, readers[0], told)
    assert float(re.match(r"right ([\d.]+);", capsys.readouterr().out)[1]) > 0.8


def test_a_reader_can_learn_what_others_say(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EXCHANGED", 50)
    monkeypatch.setattr(training, "EPOCHS_OF_MEAN", 24)
    sentences = sorted({sentence for _, sentence in random.Random(0).sample(examples("", 0), 300)})
    pupil = learnt_from(encoder, [encoder.reader], sentences, 0)
    states, mask = encoder.states(sentences)
    assert (pupil(states, mask).argmax(-1) == encoder.reader(states, mask).argmax(-1)).float().mean() > 0.8


def test_exchanged_words_are_none_that_is_held_out(encoder: TextEncoder) -> None:
    sentences = [sentence for _, _, sentence in requests()[:500]]
    spoilt = exchanged(encoder, sentences, 0)
    assert spoilt == exchanged(encoder, sentences, 0)
    assert not {word for sentence in spoilt for word in sentence.split()} & set(HELD_OUT_WORDS)
    assert sum(sentence not in sentences for sentence in spoilt) > 0.9 * len(spoilt)
