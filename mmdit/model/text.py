"""From an instruction to the features that the transformer reads.

A small pretrained sentence encoder (all-MiniLM-L6-v2, Apache-2.0), frozen and stored in 8 bits. Each word piece
gets two halves: what the piece means by itself and what it means in this sentence. Knows nothing of pictures.

Axes: B batch, T token slots, C feature channels.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

MAX_TOKENS = 20
"""Word pieces of an instruction that the editor reads; training never showed it more."""


@dataclass(frozen=True)
class TextFeatures:
    """
    Args:
        features: (B, T, C).
        mask: (B, T), True for real tokens.
        words: per instruction, its words with the token slots each one takes.
        truncated: per instruction, the words beyond `MAX_TOKENS` that were not read.
    """

    features: Tensor
    mask: Tensor
    words: tuple[tuple[tuple[str, slice], ...], ...]
    truncated: tuple[tuple[str, ...], ...]

    def to(self, device: torch.device | str) -> "TextFeatures":
        return TextFeatures(self.features.to(device), self.mask.to(device), self.words, self.truncated)


def normalise(instruction: str) -> str:
    """Lower case, unaccented width forms folded, words separated by single spaces, punctuation dropped."""
    folded = unicodedata.normalize("NFKC", instruction).lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w'\-]+|_", " ", folded).split())


class TextEncoder(nn.Module):
    """The frozen encoder and its tokenizer."""

    def __init__(self, config: BertConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)
        self.tokenizer = tokenizer
        self.requires_grad_(False).eval()

    @property
    def channels(self) -> int:
        return 2 * self.bert.config.hidden_size

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TextEncoder":
        """Read config.json, tokenizer.json and model.safetensors (float, or int8 rows with ``.scale``)."""
        folder = Path(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        config = BertConfig(**json.loads((folder / "config.json").read_text()))
        encoder = cls(config, tokenizer)
        stored = load_file(folder / "model.safetensors")
        encoder.bert.load_state_dict(
            {name: _dequantise(name, stored) for name in stored if not name.endswith(".scale")}
        )
        return encoder

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the three files; matrices become int8 with one float16 scale a row."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(self.bert.config.to_json_string())
        tensors: dict[str, Tensor] = {}
        for name, weight in self.bert.state_dict().items():
            tensors |= _quantise(name, weight)
        save_file(tensors, folder / "model.safetensors")

    def encode(self, instructions: list[str], slots: int | None = None) -> TextFeatures:
        """Features of each instruction, padded to ``slots`` tokens (default: the longest of the batch).

        An empty instruction is allowed and has no real token: it is the unconditional input of guidance.
        """
        encodings = [self.tokenizer.encode(normalise(instruction)) for instruction in instructions]
        pieces = [encoding.ids[1:-1] for encoding in encodings]
        kept = [ids[:MAX_TOKENS] for ids in pieces]
        words, truncated = [], []
        for instruction, encoding, ids in zip(instructions, encodings, kept, strict=True):
            spans = _word_spans(encoding.offsets[1:-1], normalise(instruction))
            words.append(tuple((word, span) for word, span in spans if span.stop <= len(ids)))
            truncated.append(tuple(word for word, span in spans if span.stop > len(ids)))
        slots = slots or max(1, max(len(ids) for ids in kept))
        features, mask = self._features(kept, slots)
        return TextFeatures(features, mask, tuple(words), tuple(truncated))

    @torch.inference_mode()
    def _features(self, pieces: list[list[int]], slots: int) -> tuple[Tensor, Tensor]:
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
        return (features * real[..., None]).clone(), real.clone()


def _unit_variance(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:])


def _word_spans(offsets: list[tuple[int, int]], text: str) -> list[tuple[str, slice]]:
    """Words of a tokenised text as (word, token slots); what has no space inside is one word."""
    spans: list[tuple[str, slice]] = []
    previous_end = -1
    for index, (begin, end) in enumerate(offsets):
        if spans and begin == previous_end:
            word, span = spans[-1]
            spans[-1] = (word + text[begin:end], slice(span.start, index + 1))
        else:
            spans.append((text[begin:end], slice(index, index + 1)))
        previous_end = end
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
