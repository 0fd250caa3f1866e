"""From an instruction to the features that the transformer reads.

A small pretrained sentence encoder (all-MiniLM-L6-v2, Apache-2.0), frozen and stored in 8 bits. Each word piece
gets two halves: what the piece means by itself and what it means in this sentence. Before that, an instruction is read,
if there is a reader, and where it asks in roundabout words put into plain ones; words that training never used are read
as others, if there is a lexicon. Knows nothing of pictures.

Axes: B batch, T token slots, C feature channels.
"""

import gzip
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from mmdit.model import eight_bits
from mmdit.model.asides import bare, which_is_moved, why_not
from mmdit.model.lexicon import LEXICON_FILE, Lexicon
from mmdit.model.reader import ASKING, FOREIGN, LAYERS, OTHER, PLAIN_WORDS, READER_FILE, Reader, Reading
from mmdit.model.vocabulary import COLOURS, OBJECTS, PHOTO_EDITS

REFUSALS = ("don't ", "do not ", "please don't ", "please do not ", "never ")
"""How an instruction begins that asks for nothing."""
ENGLISH = frozenset((
    "the", "it", "make", "and", "please", "this", "that", "with", "should", "want", "give", "picture", "brighten",
    "darken", "sharpen", "desaturate", "dehaze", "denoise", "rotate", "flip", "crop", "resize", "remove", "enlarge",
    "shrink",
))  # fmt: skip
"""What holds one of these is in English, whatever else it holds."""
VOCABULARY_FILE = "vocab.txt.gz"
MAX_TOKENS = 20
"""Word pieces of an instruction that the editor reads; training never showed it more."""


@dataclass(frozen=True)
class TextFeatures:
    """
    Args:
        features: (B, T, C).
        ids: (B, T) of the word pieces; 0 where there is none.
        mask: (B, T), True for real tokens.
        words: per instruction, its words with the token slots each one, or what it is read as, takes.
        truncated: per instruction, the words beyond `MAX_TOKENS` that were not read.
        read_as: per instruction, the whole of it or each word that was replaced, with what it was read as; only words
            that were read, each pair once.
        left_out: per instruction, words for what something new should be like, which count for nothing.
        named: per instruction, the object that it is about, if its own name stands there; else an empty text.
        readings: per instruction, what a reader says that it asks for; None where it is not sure, or was not asked.
    """

    features: Tensor
    ids: Tensor
    mask: Tensor
    words: tuple[tuple[tuple[str, slice], ...], ...]
    truncated: tuple[tuple[str, ...], ...]
    read_as: tuple[tuple[tuple[str, str], ...], ...]
    readings: tuple[Reading | None, ...]
    left_out: tuple[tuple[str, ...], ...]
    named: tuple[str, ...]

    def to(self, device: torch.device | str) -> "TextFeatures":
        return replace(self, **{name: getattr(self, name).to(device) for name in ("features", "ids", "mask")})


def normalise(instruction: str) -> str:
    """Lower case, unaccented width forms folded, words separated by single spaces, punctuation dropped."""
    folded = unicodedata.normalize("NFKC", instruction).lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w'\-]+|_", " ", folded).split())


class TextEncoder(nn.Module):
    """The frozen encoder, its tokenizer and, if it has them, its lexicon and its reader.

    Args:
        pieces: the word pieces that it knows, in the order of their numbers.
    """

    def __init__(
        self, config: BertConfig, pieces: Sequence[str], lexicon: Lexicon | None = None, reader: Reader | None = None
    ) -> None:
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        self.tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=True)
        self.lexicon = lexicon
        self.reader = reader
        self.requires_grad_(False).eval()

    @property
    def pieces(self) -> list[str]:
        """The word pieces in the order of their numbers."""
        vocabulary = self.tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.__getitem__)

    @property
    def things(self) -> frozenset[str]:
        """Words for the objects that the editor knows."""
        return frozenset() if self.lexicon is None else self.lexicon.things

    @property
    def channels(self) -> int:
        return 2 * self.bert.config.hidden_size

    @classmethod
    def from_pretrained(cls, folder: str | Path, with_reader: bool = True) -> "TextEncoder":
        """Read config.json, `VOCABULARY_FILE`, model.safetensors (float, or int8 rows with ``.scale``).

        A lexicon and a reader beside them are used, too.

        Args:
            with_reader: whether to read that; not where a new one is to be trained.
        """
        folder = Path(folder)
        pieces = gzip.decompress((folder / VOCABULARY_FILE).read_bytes()).decode().splitlines()
        config = BertConfig(**json.loads((folder / "config.json").read_text()))
        lexicon, reader = folder / LEXICON_FILE, folder / READER_FILE
        encoder = cls(
            config, pieces,
            Lexicon.from_file(lexicon) if lexicon.is_file() else None,
            Reader.from_file(reader) if with_reader and reader.is_file() else None,
        )  # fmt: skip
        encoder.bert.load_state_dict(eight_bits.load(folder / "model.safetensors"))
        return encoder

    def save_pretrained(self, folder: str | Path) -> None:
        """Write these files; matrices become int8 with one float16 scale a row."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VOCABULARY_FILE).write_bytes(gzip.compress("\n".join(self.pieces).encode(), mtime=0))
        (folder / "config.json").write_text(self.bert.config.to_json_string())
        eight_bits.save(self.bert.state_dict(), folder / "model.safetensors")
        if self.lexicon is not None:
            self.lexicon.save(folder / LEXICON_FILE)
        if self.reader is not None:
            self.reader.save(folder / READER_FILE)

    def encode(self, instructions: list[str], slots: int | None = None, plainly: bool = False) -> TextFeatures:
        """Features of each instruction, padded to ``slots`` tokens (default: the longest of the batch).

        An empty instruction is allowed and has no real token: it is the unconditional input of guidance.

        Args:
            plainly: whether the reader may put plain words in the place of a whole instruction; the result's words are
                the plain ones then.
        """
        said = [normalise(instruction).split() for instruction in instructions]
        left_out = [()] * len(said)
        if plainly and self.reader is not None:
            said, left_out = zip(*(bare(words, self.things) for words in said), strict=True)
        readings = self._read(said) if plainly and self.reader is not None else [None] * len(said)
        named = [
            reading.name if reading is not None and reading.name in words else ""
            for words, reading in zip(said, readings, strict=True)
        ]
        wholes = [_other_words(words, reading) for words, reading in zip(said, readings, strict=True)]
        told = [_read_words(words, reading) for words, reading in zip(said, readings, strict=True)]
        unread = [() if whole is None else self._beyond(own) for own, whole in zip(said, wholes, strict=True)]
        said = [own if whole is None else whole.split() for own, whole in zip(said, wholes, strict=True)]
        read = said if self.lexicon is None else [self.lexicon.read(words) for words in said]
        encodings = [self.tokenizer.encode(" ".join(words)) for words in read]
        kept = [encoding.ids[1:-1][:MAX_TOKENS] for encoding in encodings]
        words, truncated, read_as = [], [], []
        given = zip(instructions, wholes, told, unread, said, read, encodings, kept, strict=True)
        for instruction, whole, whole_told, lost, own, replaced, encoding, ids in given:
            spans = list(zip(own, replaced, _word_spans(encoding.offsets[1:-1], replaced), strict=True))
            spans = [triple for triple in spans if triple[2].start < triple[2].stop]
            words.append(tuple((word, span) for word, _, span in spans if span.stop <= len(ids)))
            truncated.append(lost or tuple(word for word, _, span in spans if span.stop > len(ids)))
            pairs = [(word, other) for word, other, span in spans if span.stop <= len(ids) and word != other]
            as_whole = [(instruction, whole_told)] if whole_told else []
            read_as.append(tuple(dict.fromkeys(as_whole if whole or whole_told else pairs)))
        slots = slots or max(1, max(len(ids) for ids in kept))
        features, ids, mask = self._features(kept, slots)
        return TextFeatures(
            features,
            ids,
            mask,
            tuple(words),
            tuple(truncated),
            tuple(read_as),
            tuple(readings),
            tuple(left_out),
            tuple(named),
        )

    @torch.inference_mode()
    def states(self, instructions: list[str]) -> tuple[Tensor, Tensor]:
        """What the reader reads: (B, T, L, C) hidden states of the layers `LAYERS`, (B, T) mask.

        Args:
            instructions: normalised; the first `MAX_TOKENS` tokens count, and the encoder's own at both ends.
        """
        pieces = [self.tokenizer.encode(instruction).ids[1:-1][:MAX_TOKENS] for instruction in instructions]
        ids, mask = self._padded(pieces, max(map(len, pieces), default=0))
        hidden = self.bert(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        return torch.stack([hidden[layer] for layer in LAYERS], dim=2), mask

    def _read(self, said: list[list[str]]) -> list[Reading | None]:
        """What the reader says; nothing of an edit that is refused, nor of another tone of the whole picture where an
        object is named, or another such edit.
        """
        texts = [" ".join(words) for words in said]
        bare_of_which = [which_is_moved(words, self.things) for words in said]
        states, mask = self.states([" ".join(self._named(words)) for words, _ in bare_of_which])
        found = self.reader.read(states, mask)
        foreign = self.reader.are_foreign(states, mask, found)
        for row, (words, reading) in enumerate(zip(said, found, strict=True)):
            if foreign[row] and not ENGLISH.intersection(words):
                found[row] = Reading(FOREIGN)
                continue
            kind = "" if reading is None else reading.kind
            why = "" if kind == OTHER else self._why_not(texts[row], kind)
            if why:
                found[row] = Reading(OTHER, why=why)
                continue
            if reading is None:
                continue
            refused = texts[row].startswith(REFUSALS)
            if refused and (kind == OTHER or reading.is_said_by(texts[row].split(" ", 1)[1].removeprefix("not "))):
                found[row] = Reading(OTHER, why="it says what not to do")
                continue
            if reading.kind in PHOTO_EDITS:
                unclear = self.things & set(words) or _names_another(texts[row], reading.kind)
            else:
                unclear = reading.kind not in PLAIN_WORDS and self._names_effect(words)
            which = bare_of_which[row][1]
            if not words or refused or unclear:
                found[row] = None
            elif reading.kind == "move" and which:
                found[row] = replace(reading, which=which)
        return found

    def _why_not(self, instruction: str, kind: str) -> str:
        """See `asides.why_not`."""
        own = PLAIN_WORDS[kind][1] if kind in PLAIN_WORDS else ()
        return why_not(instruction, kind, own, (of for _, every in PLAIN_WORDS.values() for of in every), self.things)

    def _names_effect(self, words: list[str]) -> bool:
        """Whether the lexicon reads a word as an edit of the whole picture's own: what the reader takes for an object
        may be no thing then.
        """
        if self.lexicon is None:
            return False
        effects = {own for _, of in PLAIN_WORDS.values() for own in of}
        read = self.lexicon.read(words)
        return any(other in effects and other != word for word, other in zip(words, read, strict=True))

    def _beyond(self, words: list[str]) -> tuple[str, ...]:
        """The words beyond the `MAX_TOKENS` that the reader sees."""
        spans = _word_spans(self.tokenizer.encode(" ".join(words)).offsets[1:-1], words)
        return tuple(word for word, span in zip(words, spans, strict=True) if span.stop > MAX_TOKENS)

    def _named(self, words: list[str]) -> list[str]:
        """The words, those by their own names of which the lexicon knows which object or colour they name."""
        read = words if self.lexicon is None else self.lexicon.read(words)
        return [other if other in (*OBJECTS, *COLOURS) else word for word, other in zip(words, read, strict=True)]

    def _padded(self, pieces: list[list[int]], slots: int) -> tuple[Tensor, Tensor]:
        """(B, slots + 2) ids between the encoder's own marks, and their mask."""
        device = self.bert.embeddings.word_embeddings.weight.device
        start, end = (self.tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        ids = torch.zeros(len(pieces), slots + 2, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, tokens in enumerate(pieces):
            ids[row, : len(tokens) + 2] = torch.tensor([start, *tokens, end], device=device)
            mask[row, : len(tokens) + 2] = True
        return ids, mask

    @torch.inference_mode()
    def _features(self, pieces: list[list[int]], slots: int) -> tuple[Tensor, Tensor, Tensor]:
        ids, mask = self._padded(pieces, slots)
        device = ids.device
        in_sentence = self.bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state[:, 1:-1]
        alone = self.bert.embeddings.word_embeddings(ids[:, 1:-1])
        features = torch.cat([_unit_variance(alone), _unit_variance(in_sentence)], dim=-1)
        lengths = torch.tensor([len(tokens) for tokens in pieces], device=device)
        real = torch.arange(slots, device=device) < lengths[:, None]
        return (features * real[..., None]).clone(), (ids[:, 1:-1] * real).clone(), real.clone()


def _names_another(instruction: str, kind: str) -> bool:
    """Whether it holds another kind's own words: two edits may be asked for, of which a reading would lose one."""
    said = f" {instruction} "
    return any(f" {word} " in said for of in PHOTO_EDITS if of != kind for word in PLAIN_WORDS[of][1])


def _other_words(said: list[str], reading: Reading | None) -> str | None:
    """The plain words to encode in an instruction's place; None where it is plain, or where there are none."""
    plain = "" if reading is None else reading.plainly()
    if not plain or (reading.kind in PHOTO_EDITS and reading.is_said_by(" ".join(said))):
        return None
    return None if ASKING.union(plain.split()).issuperset(said) else plain


def _read_words(said: list[str], reading: Reading | None) -> str | None:
    """What to say that an instruction was read as; None where it says so itself."""
    return None if reading is None or reading.is_said_by(" ".join(said)) else reading.said()


def _unit_variance(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:])


def _word_spans(offsets: list[tuple[int, int]], words: list[str]) -> list[slice]:
    """The token slots of each word of a text, given where in it (words and single spaces) each token begins.

    Empty where no token comes of a word.
    """
    spans, slot, begin = [], 0, 0
    for word in words:
        first, end = slot, begin + len(word)
        while slot < len(offsets) and offsets[slot][0] < end:
            slot += 1
        spans.append(slice(first, slot))
        begin = end + 1
    return spans
