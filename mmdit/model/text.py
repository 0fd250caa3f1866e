"""From an instruction to the features that the transformer reads.

A small pretrained sentence encoder (all-MiniLM-L6-v2, Apache-2.0), frozen and stored in 8 bits. Each word piece
gets two halves: what the piece means by itself and what it means in this sentence. Words that training never used
are first read as others, if there is a lexicon. Knows nothing of pictures.

Axes: B batch, T token slots, C feature channels.
"""

import json
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from mmdit.model.lexicon import LEXICON_FILE, Lexicon

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
        read_as: per instruction, each word that the lexicon replaced, with what it was read as; only words that were
            read, each pair once.
    """

    features: Tensor
    ids: Tensor
    mask: Tensor
    words: tuple[tuple[tuple[str, slice], ...], ...]
    truncated: tuple[tuple[str, ...], ...]
    read_as: tuple[tuple[tuple[str, str], ...], ...]

    def to(self, device: torch.device | str) -> "TextFeatures":
        return replace(self, **{name: getattr(self, name).to(device) for name in ("features", "ids", "mask")})


def normalise(instruction: str) -> str:
    """Lower case, unaccented width forms folded, words separated by single spaces, punctuation dropped."""
    folded = unicodedata.normalize("NFKC", instruction).lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w'\-]+|_", " ", folded).split())


class TextEncoder(nn.Module):
    """The frozen encoder, its tokenizer and, if it has one, its lexicon."""

    def __init__(self, config: BertConfig, tokenizer: Tokenizer, lexicon: Lexicon | None = None) -> None:
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)
        self.tokenizer = tokenizer
        self.lexicon = lexicon
        self.requires_grad_(False).eval()

    @property
    def channels(self) -> int:
        return 2 * self.bert.config.hidden_size

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TextEncoder":
        """Read config.json, tokenizer.json, model.safetensors (float, or int8 rows with ``.scale``).

        A lexicon.json beside them is used, too.
        """
        folder = Path(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        config = BertConfig(**json.loads((folder / "config.json").read_text()))
        lexicon = folder / LEXICON_FILE
        encoder = cls(config, tokenizer, Lexicon.from_file(lexicon) if lexicon.is_file() else None)
        stored = load_file(folder / "model.safetensors")
        encoder.bert.load_state_dict(
            {name: _dequantise(name, stored) for name in stored if not name.endswith(".scale")}
        )
        return encoder

    def save_pretrained(self, folder: str | Path) -> None:
        """Write these files; matrices become int8 with one float16 scale a row."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(self.bert.config.to_json_string())
        tensors: dict[str, Tensor] = {}
        for name, weight in self.bert.state_dict().items():
            tensors |= _quantise(name, weight)
        save_file(tensors, folder / "model.safetensors")
        if self.lexicon is not None:
            self.lexicon.save(folder / LEXICON_FILE)

    def encode(self, instructions: list[str], slots: int | None = None) -> TextFeatures:
        """Features of each instruction, padded to ``slots`` tokens (default: the longest of the batch).

        An empty instruction is allowed and has no real token: it is the unconditional input of guidance.
        """
        said = [normalise(instruction).split() for instruction in instructions]
        read = said if self.lexicon is None else [self.lexicon.read(words) for words in said]
        encodings = [self.tokenizer.encode(" ".join(words)) for words in read]
        kept = [encoding.ids[1:-1][:MAX_TOKENS] for encoding in encodings]
        words, truncated, read_as = [], [], []
        for own, replaced, encoding, ids in zip(said, read, encodings, kept, strict=True):
            spans = list(zip(own, replaced, _word_spans(encoding.offsets[1:-1], replaced), strict=True))
            spans = [triple for triple in spans if triple[2].start < triple[2].stop]
            words.append(tuple((word, span) for word, _, span in spans if span.stop <= len(ids)))
            truncated.append(tuple(word for word, _, span in spans if span.stop > len(ids)))
            pairs = ((word, other) for word, other, span in spans if span.stop <= len(ids) and word != other)
            read_as.append(tuple(dict.fromkeys(pairs)))
        slots = slots or max(1, max(len(ids) for ids in kept))
        features, ids, mask = self._features(kept, slots)
        return TextFeatures(features, ids, mask, tuple(words), tuple(truncated), tuple(read_as))

    @torch.inference_mode()
    def _features(self, pieces: list[list[int]], slots: int) -> tuple[Tensor, Tensor, Tensor]:
        device = self.bert.embeddings.word_embeddings.weight.device
        start, end = (self.tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        ids = torch.zeros(len(pieces), slots + 2, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, tokens in enumerate(pieces):
            ids[row, : len(tokens) + 2] = torch.tensor([start, *tokens, end], device=device)
            mask[row, : len(tokens) + 2] = True
        in_sentence = self.bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state[:, 1:-1]
        alone = self.bert.embeddings.word_embeddings(ids[:, 1:-1])
        features = torch.cat([_unit_variance(alone), _unit_variance(in_sentence)], dim=-1)
        lengths = torch.tensor([len(tokens) for tokens in pieces], device=device)
        real = torch.arange(slots, device=device) < lengths[:, None]
        return (features * real[..., None]).clone(), (ids[:, 1:-1] * real).clone(), real.clone()


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


def _quantise(name: str, weight: Tensor) -> dict[str, Tensor]:
    if weight.ndim != 2:
        return {name: weight.half() if weight.is_floating_point() else weight}
    scale = (weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127).half()
    rows = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8)
    return {name: rows, f"{name}.scale": scale}


def _dequantise(name: str, stored: dict[str, Tensor]) -> Tensor:
    scale = stored.get(f"{name}.scale")
    weight = stored[name]
    if scale is not None:
        return weight.float() * scale.float()
    return weight.float() if weight.is_floating_point() else weight
