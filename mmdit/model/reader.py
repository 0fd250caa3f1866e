"""What an instruction as a whole asks of a photograph: "there is far too much light in it" is read as "make it darker".

In: the frozen encoder's states of an instruction's tokens. Out: the plain words to encode in its place, if it asks for
an edit of the whole picture in other words than those. Trained by `mmdit.training.reader`; knows nothing of pixels.

Axes: B batch, T tokens, L layers of the encoder, C channels.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdit.model import eight_bits

READER_FILE = "reader.safetensors"
LAYERS = (0, 2, 4, 6)
"""Of the encoder's hidden states, from the word table to the last."""
SURE = 0.7
"""Probability from which a reading counts: the least, in steps of .05, at which one new training template in a thousand
is misread."""
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
}
"""Kind of edit → how it is said plainly, and the kind's own words."""
ASKING = frozenset((
    "a", "all", "an", "and", "apply", "as", "at", "be", "bit", "can", "change", "colour", "colours", "convert",
    "could", "do", "edit", "effect", "entire", "everything", "for", "get", "give", "here", "i", "image", "in",
    "into", "it", "its", "just", "like", "little", "look", "lot", "make", "me", "more", "much", "my", "need",
    "now", "of", "on", "photo", "photograph", "picture", "please", "put", "shot", "show", "slightly", "so", "some",
    "than", "that", "the", "them", "this", "to", "turn", "up", "very", "want", "we", "whole", "with", "would",
    "you", "your",
))  # fmt: skip
"""What people say around a kind's own words: an instruction of nothing else needs no other reading."""
KINDS = (*PLAIN_WORDS, "other")
_WIDTH = 192


class Reader(nn.Module):
    """Which of `KINDS` an instruction asks for: its tokens with their neighbours, mean and maximum, a small MLP.

    Args:
        channels: of the encoder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels * len(LAYERS))
        self.narrow = nn.Linear(channels * len(LAYERS), _WIDTH)
        self.neighbours = nn.Linear(3 * _WIDTH, _WIDTH)
        self.hidden = nn.Linear(2 * _WIDTH, _WIDTH)
        self.kinds = nn.Linear(_WIDTH, len(KINDS))

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
        """(B, kinds) logits.

        Args:
            states: (B, T, L, C), of `LAYERS`. mask: (B, T), true for tokens.
            dropout: share of channels left out, in training.
        """
        real = mask[..., None]
        x = functional.dropout(self.norm(states.flatten(2)), dropout, self.training)
        x = functional.gelu(self.narrow(x)) * real
        around = functional.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1).flatten(2)  # each token with those beside it
        x = x + functional.gelu(self.neighbours(around)) * real
        pooled = torch.cat([x.sum(1) / real.sum(1), x.masked_fill(~real, -torch.inf).amax(1)], dim=-1)
        hidden = functional.gelu(self.hidden(functional.dropout(pooled, dropout, self.training)))
        return self.kinds(functional.dropout(hidden, 1.5 * dropout, self.training))

    @torch.inference_mode()
    def read(self, instructions: list[str], states: Tensor, mask: Tensor) -> list[str | None]:
        """Per instruction, normalised, what it is read as; None for as it stands."""
        probabilities, kinds = self(states, mask).softmax(dim=-1).max(dim=-1)
        return [
            _plainly(instruction, KINDS[kind]) if probability >= SURE else None
            for instruction, probability, kind in zip(instructions, probabilities.tolist(), kinds.tolist(), strict=True)
        ]


def _plainly(instruction: str, kind: str) -> str | None:
    if kind not in PLAIN_WORDS:
        return None
    said = f" {instruction} "
    named = {of for of, (_, own) in PLAIN_WORDS.items() if any(f" {word} " in said for word in own)}
    if named - {kind}:  # two edits may be asked for, of which a reading would lose one
        return None
    return None if is_plain(instruction, kind) else PLAIN_WORDS[kind][0]


def is_plain(instruction: str, kind: str) -> bool:
    """Whether a normalised instruction is nothing but a kind's own word and words of asking."""
    plain, own = PLAIN_WORDS[kind]
    said, usual = f" {instruction} ", ASKING.union(plain.split())
    return any(f" {word} " in said and usual.issuperset(said.replace(f" {word} ", " ").split()) for word in own)
