"""The lexicon: how it is looked up, what the shipped one holds, and that training never needs it."""

import itertools
import math
import os
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from mmdit.catalog import CATALOG
from mmdit.editor import Editor, EditRequest
from mmdit.model.lexicon import LEXICON_FILE, Lexicon
from mmdit.model.text import MAX_TOKENS, TextEncoder
from mmdit.model.vocabulary import COLOURS, KINDS, LEAVE_ALONE, OBJECT_EDITS, OBJECTS, PLACES
from mmdit.training.lexicon import SINGLE_WORD, Reader, Training, WordNet, build, inflect
from mmdit.training.wordings import instruction
from mmdit.training.wordings.nouns import PICTURE_NOUNS

SHIPPED = CATALOG["mini"].source / "text_encoder" / LEXICON_FILE
DRAWS = 300  # training instructions of every kind
MOST_BYTES = 300_000

HAND_MADE = Lexicon(
    words={"poodle": "dog", "rose": "flower", "illuminate": "light up", "monochrome": "black and white"},
    colours={"azure": "blue", "rose": "pink", "rust": "brown"},
    ambiguous=frozenset({"rose", "rust"}),
    things=frozenset({"dog", "cat", "balloon"}),
    notice="made by hand",
)


@pytest.fixture(scope="module")
def shipped() -> Lexicon:
    return Lexicon.from_file(SHIPPED)


@pytest.fixture(scope="module")
def training() -> Training:
    return Training.from_wordings()


@pytest.fixture(scope="module")
def wordnet() -> WordNet:
    """WordNet as mmdit/training/packages.sh unpacks it; on a build server its absence is a failure."""
    packages = Path(os.environ.get("MMDIT_DATA", REPOSITORY / "data")) / "packages"
    folder = packages / "wordnet-base/usr/share/wordnet"
    if not (folder / "data.noun").is_file():
        reason = f"no WordNet in {folder}; fetch it with `sh mmdit/training/packages.sh {packages}`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return WordNet(folder)


@pytest.fixture(scope="module")
def encoder(text_encoder: TextEncoder) -> TextEncoder:
    """The shipped encoder with the lexicon that is made by hand."""
    other = TextEncoder(text_encoder.bert.config, text_encoder.pieces, HAND_MADE)
    other.bert.load_state_dict(text_encoder.bert.state_dict())
    return other


def drawn(kind: str, seed: int) -> str:
    """An instruction as training draws it."""
    rng = random.Random(f"lexicon-{kind}-{seed}")
    values = dict(zip(("name", "replacement"), rng.sample(list(OBJECTS), 2), strict=True))
    values |= {"colour": rng.choice(list(COLOURS)), "place": rng.choice(PLACES)}
    needed = {"recolour": ("name", "colour"), "replace": ("name", "replacement"), "add": ("name", "place")}
    slots = needed.get(kind, ("name",) if kind in OBJECT_EDITS or kind == "absent object" else ())
    return instruction(kind, rng, **{slot: values[slot] for slot in slots})


@pytest.fixture(scope="module")
def instructions() -> dict[str, list[str]]:
    return {kind: [drawn(kind, seed) for seed in range(DRAWS)] for kind in KINDS}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("make the dog azure", "make the dog blue"),
        ("add an azure balloon", "add an blue balloon"),
        ("make the dog rose", "make the dog pink"),
        ("rose", "pink"),
        ("add a rose", "add a flower"),
        ("add a rose on the left", "add a flower on the left"),
        ("remove the rust", "remove the rust"),
        ("give it a rose tint", "give it a pink tint"),
        ("give it a rust colour", "give it a brown colour"),
        ("a rust coloured dog", "a brown coloured dog"),
        ("turn it into a rose balloon", "turn it into a pink balloon"),
        ("my rust poodle", "my brown dog"),
        ("a rose pink dog", "a rose pink dog"),
        ("azure blue", "azure blue"),
        ("the poodle's colour", "the dog's colour"),
        ("rose's", "flower's"),
        ("make it monochrome", "make it black and white"),
        ("the giraffe and the poodles", "the giraffe and the poodles"),
        ("", ""),
    ],
)
def test_reading(said: str, read: str) -> None:
    words = HAND_MADE.read(said.split())
    assert " ".join(words) == read
    assert len(words) == len(said.split())


def test_a_lexicon_comes_back_from_its_file(tmp_path: Path) -> None:
    HAND_MADE.save(tmp_path / "once.json")
    loaded = Lexicon.from_file(tmp_path / "once.json")
    assert loaded == HAND_MADE
    loaded.save(tmp_path / "twice.json")
    assert (tmp_path / "twice.json").read_bytes() == (tmp_path / "once.json").read_bytes()


def test_replaced_words_have_the_slots_and_features_of_what_they_are_read_as(encoder: TextEncoder) -> None:
    said, plain = "Illuminate the azure poodle, please", "light up the blue dog please"
    encoded, reference = encoder.encode([said]), encoder.encode([plain])
    assert torch.equal(encoded.features, reference.features)
    slots = dict(reference.words[0])
    assert encoded.words[0] == (
        ("illuminate", slice(slots["light"].start, slots["up"].stop)),
        ("the", slots["the"]),
        ("azure", slots["blue"]),
        ("poodle", slots["dog"]),
        ("please", slots["please"]),
    )
    assert encoded.read_as == ((("illuminate", "light up"), ("azure", "blue"), ("poodle", "dog")),)
    assert reference.read_as == ((),)


def test_moving_features_keeps_what_was_read(encoder: TextEncoder) -> None:
    encoded = encoder.encode(["azure"])
    assert encoded.to("cpu").read_as == encoded.read_as == ((("azure", "blue"),),)


def test_a_replaced_word_beyond_the_limit_is_reported_in_the_own_words(encoder: TextEncoder) -> None:
    encoded = encoder.encode([" ".join(["cat"] * MAX_TOKENS + ["azure"]), " ".join(["poodle"] * 2)])
    assert encoded.truncated == (("azure",), ())
    assert encoded.read_as == ((), (("poodle", "dog"),))


def test_without_a_lexicon_nothing_is_replaced(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    assert TextEncoder.from_pretrained(tmp_path).lexicon == HAND_MADE
    (tmp_path / LEXICON_FILE).unlink()
    plain = TextEncoder.from_pretrained(tmp_path)
    assert plain.lexicon is None
    encoded = plain.encode(["an azure poodle"])
    assert encoded.read_as == ((),)
    assert [word for word, _ in encoded.words[0]] == ["an", "azure", "poodle"]
    assert not torch.equal(encoded.features, encoder.encode(["an azure poodle"]).features)
    plain.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again" / LEXICON_FILE).exists()


@pytest.mark.shipped
def test_the_editor_says_what_it_read(editor: Editor, photograph: Image.Image) -> None:
    literal = editor.edit(EditRequest([photograph], "a beige kayak", literally=True))
    (read,) = [line for line in literal.notes if "Read" in line]
    assert read == "Read “beige” as “brown”, “kayak” as “boat”."
    (read,) = [line for line in editor.edit(EditRequest([photograph], "a beige kayak")).notes if "Read" in line]
    assert read == "Read “a beige kayak” as “make the boat brown”."
    assert not [line for line in editor.edit(EditRequest([photograph], "a brown boat")).notes if "Read" in line]


def test_training_instructions_are_read_as_they_are(
    shipped: Lexicon, text_encoder: TextEncoder, instructions: dict[str, list[str]]
) -> None:
    assert text_encoder.lexicon == shipped
    for text in itertools.chain.from_iterable(instructions.values()):
        assert shipped.read(text.split()) == text.split()


def test_the_training_vocabulary_is_complete(training: Training, instructions: dict[str, list[str]]) -> None:
    """Every word that is drawn is in it, possessives apart."""
    for kind, texts in instructions.items():
        if kind not in LEAVE_ALONE:
            said = set(itertools.chain.from_iterable(text.split() for text in texts))
            assert not {word for word in said if not training.knows(word.removesuffix("'s"))}


def test_what_the_shipped_one_holds(shipped: Lexicon, training: Training) -> None:
    """Only single words that training lacks, read as words that it has, so there is neither chain nor loop."""
    assert SHIPPED.stat().st_size <= MOST_BYTES
    assert "Princeton" in shipped.notice
    assert "NO REPRESENTATIONS OR WARRANTIES" in shipped.notice
    unknown = set(shipped.words) | set(shipped.colours)
    assert len(shipped.words) > 3000
    assert all(SINGLE_WORD.fullmatch(word) and not training.knows(word) for word in unknown)
    assert set(shipped.words.values()) <= training.known
    assert set(shipped.colours.values()) == set(COLOURS)
    assert not unknown & {*shipped.words.values(), *shipped.colours.values()}
    assert shipped.ambiguous <= set(shipped.colours)
    assert set(OBJECTS) <= shipped.things <= training.known


@pytest.mark.parametrize(
    ("word", "reading"),
    [
        ("doberman", "dog"), ("kayak", "boat"), ("minivan", "car"), ("haciendas", "house"), ("catfish", "fish"),
        ("reversed", "inverted"), ("colossal", "big"), ("disappear", "vanish"),
        ("hippopotamus", "hippopotamus"), ("walrus", "walrus"), ("accountant", "accountant"), ("zzyzxqj", "zzyzxqj"),
        ("beige", "brown"), ("aqua", "blue"), ("chartreuse", "green"), ("indigo", "purple"),
    ],
)  # fmt: skip
def test_shipped_readings(shipped: Lexicon, word: str, reading: str) -> None:
    (read,) = shipped.read([word])
    assert read in (reading, f"{reading}s")


def test_the_shipped_one_is_what_the_script_makes(wordnet: WordNet, training: Training, tmp_path: Path) -> None:
    build(wordnet, training).save(tmp_path / LEXICON_FILE)
    assert (tmp_path / LEXICON_FILE).read_bytes() == SHIPPED.read_bytes()


def cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    lengths = math.sqrt(sum(use**2 for use in a.values()) * sum(use**2 for use in b.values()))
    return sum(use * b.get(kind, 0.0) for kind, use in a.items()) / lengths if lengths else 0.0


def family(word: str) -> set[str]:
    """A word and what may be a form of it: what begins alike, but for its last two letters."""
    return {word, *(word + end for end in ("s", "d", "r")), *(inflect(word, end) for end in ("s", "ed", "ing", "er"))}


def test_words_of_training_are_read_well_when_training_lacks_them(wordnet: WordNet, training: Training) -> None:
    """A word that tells of kinds of edit is read as one that training uses for the same; one of nonsense rarely is."""
    reader = Reader(wordnet, training)
    telling = [word for word in sorted(training.uses) if training.tells(word) and word in wordnet.senses]
    idle = [
        word for word, uses in sorted(training.uses.items()) if max(uses, key=lambda kind: uses[kind]) == "nonsense"
    ]
    readings = {}
    for word in (*telling, *idle):
        reader.training = replace(training, known=training.known - family(word))
        readings[word] = reader.edit_word(word)
    pairs = [(training.uses[word], training.uses.get(readings[word] or "", {})) for word in telling if readings[word]]
    alike = [cosine(*pair) > 0.4 for pair in pairs]
    assert len(alike) > 60
    assert sum(alike) / len(alike) > 0.75
    assert sum(readings[word] is not None for word in idle) / len(idle) < 0.05


def test_readings_never_say_a_word_that_tells_nothing(shipped: Lexicon, training: Training) -> None:
    """But in the forms of a word, whose own reading tells something."""
    readings = set(shipped.words.values())
    telling = {word for word in readings if word in OBJECTS or word in PICTURE_NOUNS or training.tells(word)}
    forms = {inflect(word, end) for word in telling | set(COLOURS) for end in ("s", "ed", "ing", "er", "est")}
    assert readings <= telling | forms | set(COLOURS)


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("dim", "dims dimmed dimming dimmer dimmest"),
        ("bright", "brights brighted brighting brighter brightest"),
        ("pale", "pales paled paling paler palest"),
        ("gloomy", "gloomies gloomied gloomying gloomier gloomiest"),
        ("gray", "grays grayed graying grayer grayest"),
        ("brighten", "brightens brightened brightening brightener brightenest"),
        ("quit", "quits quitted quitting quitter quittest"),
        ("wash", "washes washed washing washer washest"),
        ("fox", "foxes foxed foxing foxer foxest"),
    ],
)
def test_inflection(word: str, forms: str) -> None:
    assert [inflect(word, ending) for ending in ("s", "ed", "ing", "er", "est")] == forms.split()
