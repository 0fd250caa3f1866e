"""What an instruction asks for, in whatever words: "there is far too much light in it" is read as "make it darker",
"this kitty takes up too much room" as "make the cat smaller".

In: the frozen encoder's states of an instruction's tokens. Out: a `Reading`: the kind of edit and what it speaks of.
Trained by `mmdit.training.reader`; knows nothing of pixels.

Axes: B batch, T tokens, L layers of the encoder, C channels, W those of the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdit.model import eight_bits
from mmdit.model.vocabulary import (
    ARRANGEMENTS,
    BESIDE,
    BY_DEFINITION,
    COLOURS,
    EFFECTS,
    OBJECT_EDITS,
    OBJECTS,
    PHOTO_EDITS,
    PLACES,
    WHICH,
)

READER_FILE = "reader.safetensors"
LAYERS = (0, 2, 4, 6)
"""Of the encoder's hidden states, from the word table to the last."""
SURE, SURE_OF_WHOLE = 0.5, 0.7
"""Probabilities from which answers count, and from which those of an edit of the whole picture do. The first is the one
of .5, .6, .7 and .8 at which most requests about objects came out right over training scenes, of an author whose
sentences nobody learnt from: of what is not read the transformer makes something. At the second, in steps of .05, about
one in a thousand of new training templates is misread.
"""
LEAST = {"name": 0.2, "new": 0.7}
"""Of what an edit needs: the probability, among the known ones, of an object from which it counts. Whether the picture
holds the one that is edited will be seen; the new one is drawn.
"""
SURE_OF_LANGUAGE, UNREAD_LANGUAGE = 0.99, 0.5
"""Probabilities from which an instruction is not in English, where it is read as an edit and where it is not. The first
is the lowest of .5, .9, .95, .98, .99 at which none of 6,972 English sentences that nobody learnt from is taken for
another language.
"""
OF_PICTURE = 0.1
"""Probability that an edit of the whole picture is asked, from which it may be."""
NONE, OTHER, FOREIGN = "", "other", "foreign"
"""What says nothing of the sort; the kinds of what asks for no edit that is known, and of what is not in English."""
QUESTIONS: dict[str, tuple[str, ...]] = {
    "kind": (*PHOTO_EDITS, *EFFECTS, *OBJECT_EDITS, *ARRANGEMENTS, OTHER),
    "name": (NONE, *OBJECTS),
    "new": (NONE, *OBJECTS),
    "colour": (NONE, *COLOURS),
    "part": (NONE, *COLOURS),
    "place": (NONE, *PLACES),
    "which": (NONE, *WHICH),
    "beside": (NONE, *BESIDE),
}
"""What is asked about an instruction → the possible answers; see `Reading`."""
KINDS = QUESTIONS["kind"]
ANSWERS = sum(map(len, QUESTIONS.values()))
ALIKE = {"new": "name", "part": "colour"}
"""Questions whose answers are told by what tells those of another."""
NEEDED: dict[str, tuple[str, ...]] = {
    "recolour": ("name", "colour"), "remove": ("name",), "replace": ("name", "new"), "add": ("new",),
    "bigger": ("name",), "smaller": ("name",), "move": ("name", "place"), "parts": ("part", "colour"),
}  # fmt: skip
"""Kind → what else must be said for the edit to be made."""
OPTIONAL: dict[str, tuple[str, ...]] = {
    "recolour": ("which",), "remove": ("which",), "bigger": ("which",), "smaller": ("which",), "replace": ("which",),
    "move": ("which",), "add": ("place", "beside", "name"), "frame": ("colour",),
}  # fmt: skip
"""Kind → what else may be said."""
SAID_IF_SURE = ("replace", "move")
"""Kinds of which nobody taught the reader which of several is meant: what it is unsure of there was not said."""
PLAIN_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "black and white": ("make it black and white", ("black and white", "grayscale", "greyscale")),
    "sepia": ("make it sepia", ("sepia",)),
    "invert": ("invert the colours", ("invert", "negative")),
    "brighter": ("make it brighter", ("brighter", "brighten")),
    "darker": ("make it darker", ("darker", "darken")),
    "warmer": ("make it warmer", ("warmer",)),
    "cooler": ("make it cooler", ("cooler", "colder")),
    "contrast": ("increase the contrast", ("contrast",)),
    "saturation": ("increase the saturation", ("saturation", "saturated")),
    "blur": ("blur it", ("blur", "blurry")),
    "night": ("make it night", ("night",)),
    "fog": ("add fog", ("fog", "foggy", "mist", "misty")),
    "sunset": ("make it sunset", ("sunset", "dusk")),
    "frame": ("add a frame", ("frame", "border")),
    "vignette": ("add a vignette", ("vignette",)),
}
"""Edit of the whole picture → how it is said plainly, and the kind's own words."""
LEAVE = "leave it as it is"
"""What asks for nothing, said plainly."""
ASKING = frozenset((
    "a", "all", "an", "and", "apply", "as", "asap", "at", "be", "bit", "can", "change", "colour", "colours",
    "completely", "convert", "could", "do", "edit", "effect", "entire", "everything", "for", "get", "give", "here",
    "i", "image", "in", "into", "it", "its", "just", "like", "little", "look", "lot", "make", "me", "more", "much",
    "my", "need", "now", "of", "on", "photo", "photograph", "picture", "please", "pls", "plz", "put", "shot",
    "show", "slightly", "so", "some", "than", "thank", "thanks", "that", "the", "them", "then", "this", "to",
    "turn", "up", "very", "want", "we", "whole", "with", "would", "you", "your",
))  # fmt: skip
"""What people say around a kind's own words: an instruction of nothing else needs no other reading."""
SIDES = {
    "left": "to the left of", "right": "to the right of", "above": "above", "below": "below", "behind": "behind",
    "front": "in front of",
}  # fmt: skip
"""`BESIDE` in words."""
SIDE_OF = {"left": "left", "right": "right", "upper": "top", "lower": "bottom"}
"""Which of two objects → the word of `PLACES` for where it stands."""
_WIDTH, _HEADS = 192, 4


@dataclass(frozen=True)
class Reading:
    """
    Args:
        kind: of edit.
        name: of the object that it is about.
        new: the object that is added or takes the other's place.
        colour: the new one, of an object, of parts of the picture, or of a frame.
        part: the colour of the parts that get another.
        place: where something new or moved stands, one of `PLACES`.
        which: of several objects of the name, one of `WHICH`.
        beside: where something new stands, seen from the named object, one of `BESIDE`.
        why: nothing is to be done, where that is known better than from the kind.

    Where it says nothing of the sort, an empty text.
    """

    kind: str
    name: str = NONE
    new: str = NONE
    colour: str = NONE
    part: str = NONE
    place: str = NONE
    which: str = NONE
    beside: str = NONE
    why: str = NONE

    @property
    def is_possible(self) -> bool:
        """Whether it makes sense: nothing takes its own place or colour, or stands beside itself or beside nothing."""
        own = self.kind in ("replace", "add") and self.new == self.name
        return (
            not own and not (self.kind == "parts" and self.part == self.colour) and bool(self.name or not self.beside)
        )

    @property
    def asks_nothing(self) -> bool:
        """Whether the picture is to stay as it is."""
        return self.kind in (OTHER, FOREIGN)

    def plainly(self) -> str:
        """The plainest words for it that the transformer was taught; empty where it needs not be asked."""
        if self.asks_nothing or self.kind in BY_DEFINITION:
            return ""
        if self.kind == "move":  # what is there is found so
            return f"remove the {self.name}"
        return replace(self, which=NONE, beside=NONE).said()

    def said(self) -> str:
        """The plainest words for it."""
        which = {"any": "one of the two "}.get(self.which, f"the {self.which} ") if self.which else "the "
        thing = f"{which}{self.name}{'s' * (self.which == 'any')}"
        at = f" {SIDES[self.beside]} the {self.name}" if self.beside else f" at the {self.place}" if self.place else ""
        words = {
            "recolour": f"make {thing} {self.colour}",
            "remove": f"remove {thing}",
            "replace": f"replace {thing} with {_a(self.new)}",
            "add": f"add {_a(self.new)}{at}",
            "bigger": f"make {thing} bigger",
            "smaller": f"make {thing} smaller",
            "move": f"move {thing} to the {self.place}",
            "parts": f"make the {self.part} parts {self.colour}",
            "frame": f"add {_a(f'{self.colour} frame'.strip())}",
        }
        return LEAVE if self.asks_nothing else words.get(self.kind) or PLAIN_WORDS[self.kind][0]

    def is_said_by(self, instruction: str) -> bool:
        """Whether a normalised instruction is nothing but its plain words and words of asking."""
        if self.kind in PLAIN_WORDS and is_plain(instruction, self.kind):
            return True
        return ASKING.union(self.said().split()).issuperset(instruction.split())


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


class Reader(nn.Module):
    """Answers `QUESTIONS` about an instruction: a transformer layer over its tokens; for the kind their mean and
    maximum and a small MLP, for every other question the tokens that it looks at. What is not in English is told by the
    mean of the words alone, before any of them is understood.

    Args:
        channels: of the encoder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels * len(LAYERS))
        self.narrow = nn.Linear(channels * len(LAYERS), _WIDTH)
        self.mixer = nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, 3 * _WIDTH // 2, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.hidden = nn.Linear(2 * _WIDTH, _WIDTH)
        self.kinds = nn.Linear(_WIDTH, len(KINDS))
        self.looks = nn.Linear(_WIDTH, len(QUESTIONS) - 1)
        self.answers = nn.ModuleDict({
            question: nn.Linear(_WIDTH, len(possible))
            for question, possible in QUESTIONS.items() if question != "kind" and question not in ALIKE
        })  # fmt: skip
        self.foreign = nn.Linear(channels, 1)

    @classmethod
    def from_file(cls, file: str | Path) -> "Reader":
        """Read what `save` wrote."""
        weights = eight_bits.load(file)
        reader = cls(weights["norm.weight"].numel() // len(LAYERS))
        reader.load_state_dict(weights)
        return reader.requires_grad_(False).eval()

    def save(self, file: str | Path) -> None:
        """Write the weights in 8 bits."""
        eight_bits.save(self.state_dict(), file)

    def forward(self, states: Tensor, mask: Tensor, dropout: float = 0.0) -> Tensor:
        """(B, `ANSWERS`) logits, question by question.

        Args:
            states: (B, T, L, C), of `LAYERS`. mask: (B, T), true for tokens.
            dropout: share of channels left out, in training.
        """
        real = mask[..., None]
        x = functional.dropout(self.norm(states.flatten(2)), dropout, self.training)
        x = self.mixer(functional.gelu(self.narrow(x)), src_key_padding_mask=~mask)
        x = functional.dropout(x, dropout, self.training) * real
        pooled = torch.cat([x.sum(1) / real.sum(1), x.masked_fill(~real, -torch.inf).amax(1)], dim=-1)
        hidden = functional.gelu(self.hidden(functional.dropout(pooled, dropout, self.training)))
        answers = [self.kinds(functional.dropout(hidden, 1.5 * dropout, self.training))]
        looks = self.looks(x).masked_fill(~real, -torch.inf).softmax(dim=1)
        seen = functional.dropout(looks.transpose(1, 2) @ x, dropout, self.training)  # (B, questions, W)
        for place, question in enumerate(list(QUESTIONS)[1:]):
            answers.append(self.answers[ALIKE.get(question, question)](seen[:, place]))
        return torch.cat(answers, dim=-1)

    @torch.inference_mode()
    def read(self, states: Tensor, mask: Tensor) -> list[Reading | None]:
        """Per instruction what it asks for, which may be nothing (`OTHER`); None where nothing is sure."""
        answers = [of.softmax(dim=-1) for of in by_question(self(states, mask))]
        whole = answers[0][:, [KINDS.index(kind) for kind in PLAIN_WORDS]].sum(dim=1)
        return [
            _reading(
                dict(zip(QUESTIONS, (of[row] for of in answers), strict=True)), about_object=of_picture < OF_PICTURE
            )
            for row, of_picture in enumerate(whole.tolist())
        ]

    @torch.inference_mode()
    def are_foreign(self, states: Tensor, mask: Tensor, readings: Sequence[Reading | None]) -> list[bool]:
        """Per instruction whether it is not in English; what asks for an edit must be so surely."""
        read = [reading is not None and not reading.asks_nothing for reading in readings]
        least = [SURE_OF_LANGUAGE if of else UNREAD_LANGUAGE for of in read]
        probabilities = self.foreign(mean_of_words(states, mask))[:, 0].sigmoid()
        return [probability > of for probability, of in zip(probabilities.tolist(), least, strict=True)]


def mean_of_words(states: Tensor, mask: Tensor) -> Tensor:
    """(B, C) mean of the tokens' states, (B, T, L, C), of the word table, where the mask, (B, T), is true."""
    return (states[:, :, 0] * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)


def _reading(answers: dict[str, Tensor], about_object: bool) -> Reading | None:
    """What is asked for, from the probabilities of each question's possible answers."""
    kind, probability = _likeliest(answers, "kind")
    if kind == OTHER:
        return Reading(OTHER) if about_object else None
    sure = SURE_OF_WHOLE if kind in PLAIN_WORDS else SURE
    if probability < sure:
        return None
    said = {}
    for question in NEEDED.get(kind, ()):
        said[question], probability = _likeliest(answers, question, but_none=question in LEAST)
        if question in LEAST and probability < LEAST[question]:
            return Reading(OTHER) if about_object else None  # what it is about is not known
        if not said[question] or probability < LEAST.get(question, sure):
            return None
    for question in OPTIONAL.get(kind, ()):
        said[question], probability = _likeliest(answers, question)
        if probability < sure:
            if kind not in SAID_IF_SURE:
                return None
            said[question] = NONE
        if question == "which" and SIDE_OF.get(said["which"]) in said.get("place", NONE).split():
            said[question] = NONE  # "to the left" is where it goes
    reading = Reading(kind, **said)
    return reading if reading.is_possible else None


def _likeliest(answers: dict[str, Tensor], question: str, but_none: bool = False) -> tuple[str, float]:
    """The likeliest answer and its probability; of those that say something, if ``but_none``."""
    probabilities = answers[question]
    if but_none:
        probabilities = torch.cat([probabilities.new_zeros(1), probabilities[1:] / probabilities[1:].sum()])
    return QUESTIONS[question][probabilities.argmax()], probabilities.max().item()


def by_question(logits: Tensor) -> tuple[Tensor, ...]:
    """The logits of each of `QUESTIONS`."""
    return logits.split([len(possible) for possible in QUESTIONS.values()], dim=-1)


def is_plain(instruction: str, kind: str) -> bool:
    """Whether a normalised instruction is nothing but a kind's own word and words of asking."""
    plain, own = PLAIN_WORDS[kind]
    said, usual = f" {instruction} ", ASKING.union(plain.split(), COLOURS if kind == "frame" else ())
    return any(f" {word} " in said and usual.issuperset(said.replace(f" {word} ", " ").split()) for word in own)
