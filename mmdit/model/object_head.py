"""Which object an edit is about, and what is laid over the picture for it: a copy or a tint of it, or a drawing.

The head reads what the transformer's last block knows of each patch and of the words; the object's edges it finds in
the source's pixels. Where an object stands to the pixel is found by laying its own drawing over it
(`registration.py`).

Axes: B batch, N patches, T text tokens, K drawings, C channels of the transformer, W those of the head.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import EinopsError, rearrange
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from mmdit.model.cut_out import CutOut, middle
from mmdit.model.drawing import Drawing
from mmdit.model.hiding import hidden
from mmdit.model.overlay import UNKNOWN, Overlay, middles
from mmdit.model.registration import EXACT, FAR, NEAR, Sight, Square, compare, find, refined
from mmdit.model.removal import Removal
from mmdit.model.tint import Tint

WIDTH, MIXERS, HEADS = 128, 2, 4
PIXEL_CHANNELS, EDGE_CHANNELS = 4, 24
DRAWING_SIDE = 64
LEVELS = 255
DRAWINGS_FILE = "drawings.png"
RASTER = 2  # places along a patch's side at which something new can stand
SURE, POSSIBLE, CANDIDATES = 0.5, 0.02, 3
"""Probability of a name from which it counts by itself, and if its drawing fits, of so many names."""
ALIKE, WELL, SHAPED, COVERED, EXPLAINED = 0.5, 0.9, 0.7, 0.52, 0.3
"""Of a drawing: the share of its pixels in the picture's colours from which it fits, and fits well; the overlap with
the outline from which a sure name does without, and the share of pixels explained from which no overlap is asked; the
overlap that is asked else, as a part of a large object has its colours, too; and the share explained below which
another object may stand there."""
STANDING = ("recolours", "removes", "resizes", "replaces")
ASKED = (*STANDING, "adds")
EDGE = 1e-4  # the probability of a pixel that surely belongs to no object, and of one that surely does is 1 − that
TYPICAL_SIDE = 0.34  # of the picture's shorter one: where the side of something new starts


@dataclass(frozen=True)
class FoundObjects:
    """
    Args:
        recolours, removes, resizes, replaces, adds: (B,) logits that the edit is one of these.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to the object that is recoloured,
            removed, resized or replaced.
        colour: (B, 3) in [0, 1], the new one of what is recoloured.
        scale: (B,) the new size over the old, of what is resized.
        side: (B,) the side of what is added, over the picture's shorter one.
        place: (B, 4 N) logits of the points of a raster of half patches, at which what is added has its middle.
        named, drawn: (B, K) logits of the object that is spoken of, and of the one that is added or put in its place.
    """

    recolours: Tensor
    removes: Tensor
    resizes: Tensor
    replaces: Tensor
    adds: Tensor
    outline: Tensor
    colour: Tensor
    scale: Tensor
    side: Tensor
    place: Tensor
    named: Tensor
    drawn: Tensor

    def overlays(self, source: Tensor, textures: Tensor, patch_size: int) -> tuple[Overlay, ...]:
        """What is laid over an edit of the source, (B, 3, height, width).

        Args:
            textures: (K, 4, S, S), see `Drawing`.
        """
        height, width = source.shape[-2:]
        asked = self._asked()
        outline, centre, squares = self.outline.clone(), middle(self.outline), dict[int, Square]()
        half, hides = torch.ones_like(centre), self.outline.new_zeros(len(source), 4, height, width)
        named = torch.full_like(self.outline[:, 0, 0, 0], UNKNOWN, dtype=torch.long)
        seen = (self.outline > 0).flatten(1).any(dim=1)
        for index in (torch.stack([asked[kind] for kind in STANDING]).any(dim=0) & seen).nonzero()[:, 0].tolist():
            found = self._recognised(index, source[index], textures)
            if found is not None:
                named[index], squares[index], edges, hides[index] = found
                outline[index, 0] = torch.logit(edges, EDGE)
                centre[index] = squares[index].centre(height, width).to(centre)
                half[index] = squares[index].half(height, width).to(half)
        known = named != UNKNOWN
        for index in asked["adds"].nonzero()[:, 0].tolist():
            squares[index] = self._free_square(index, height, width, patch_size)
            outline[index] = -torch.inf  # it takes nothing's place
        return (
            Tint(asked["recolours"] & known, outline, hides, self.colour, named),
            Removal(asked["removes"] & known, outline, hides, named, centre, half),
            CutOut(asked["resizes"] & known, outline, hides, self.scale, centre, centre, named),
            self._drawing(asked["adds"] | asked["replaces"] & known, squares, outline, hides, textures, named),
        )

    def _recognised(self, index: int, picture: Tensor, textures: Tensor) -> tuple[int, Square, Tensor, Tensor] | None:
        """One sample's object, its place, its edges and what it hides: the likely name whose drawing fits best by its
        colours, else the likeliest if it is sure and fits by its shape; None where none does. Where what fits explains
        hardly a pixel, every name is tried that might explain them: on a red balloon an apple fits so.
        """
        outline = self.outline[index, 0].sigmoid()
        sure, names = self.named[index].softmax(dim=-1).sort(descending=True)
        best, fits, is_unclear = None, ALIKE, False
        for place, (probability, name) in enumerate(zip(sure.tolist(), names.tolist(), strict=True)):
            is_likely = place < CANDIDATES and probability >= POSSIBLE
            if fits >= WELL or not (is_likely or is_unclear):
                break
            if not (textures[name, 3] > 0.5).any():  # a model that has learnt no drawings
                continue
            square, sight = _sighted(textures[name], picture, outline)
            is_like = sight.explained >= SHAPED or sight.overlap >= COVERED
            if sight.alike >= fits and is_like and (is_likely or sight.explained >= EXPLAINED):
                edges = sight.edges(outline)
                drawn = (sight.drawn[None], sight.known[None, None]) if sight.explained > EXACT else ()
                best, fits = (name, square, edges, hidden(edges[None, None], *drawn)[0]), sight.alike
                is_unclear = sight.explained < EXPLAINED
            elif best is None and probability >= SURE and sight.overlap >= SHAPED:
                best = name, square, outline, hidden(outline[None, None])[0]
        return best

    def _asked(self) -> dict[str, Tensor]:
        """Kind of edit → (B,) whether it is asked for; at most one of each sample."""
        logits = torch.stack([getattr(self, kind) for kind in ASKED])
        likeliest, number = logits.max(dim=0)
        return {kind: (likeliest > 0) & (number == index) for index, kind in enumerate(ASKED)}

    def _drawing(
        self,
        asked: Tensor,
        squares: dict[int, Square],
        outline: Tensor,
        hides: Tensor,
        textures: Tensor,
        leaves: Tensor,
    ) -> Drawing:
        drawn, (height, width) = _sure(self.drawn), outline.shape[-2:]
        texture = textures[drawn.clamp_min(0)]
        centre, half = outline.new_zeros(len(outline), 2), outline.new_ones(len(outline), 2)
        for index, square in squares.items():
            centre[index], half[index] = square.centre(height, width), square.half(height, width)
            if square.flipped:
                texture[index] = texture[index].flip(-1)
        return Drawing(asked & (drawn != UNKNOWN), outline, hides, texture, centre, half, leaves, drawn)

    def _free_square(self, index: int, height: int, width: int, patch_size: int) -> Square:
        """Where something new stands."""
        columns = width // patch_size * RASTER
        row, column = divmod(int(self.place[index].argmax()), columns)
        step = patch_size // RASTER
        return Square.about(column * step, row * step, round(self.side[index].item() * min(height, width)))


def _sighted(texture: Tensor, picture: Tensor, outline: Tensor) -> tuple[Square, Sight]:
    """Where a drawing fits best; what does not fit well near the outline is looked for farther away."""
    found = []
    for search in (NEAR, FAR):
        square = refined(texture, find(texture, picture, outline, search), picture)
        found.append((square, compare(texture, square, picture, outline)))
        if found[-1][1].alike >= WELL:
            break
    return max(found, key=lambda one: one[1].alike)


def _sure(names: Tensor) -> Tensor:
    """(B,) the name that is surely meant, by number; `UNKNOWN` where none is."""
    probability, name = names.softmax(dim=-1).max(dim=-1)
    return torch.where(probability >= SURE, name, UNKNOWN)


class ObjectHead(nn.Module):
    """
    Args:
        channels: of the transformer.
        patch_size: pixels along a patch's side.
        drawings: how many objects are remembered.
    """

    def __init__(self, channels: int, patch_size: int, drawings: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.tokens_in = nn.Linear(2 * channels, WIDTH)
        self.place_in = nn.Linear(2, WIDTH)
        self.words_in = nn.Linear(channels, WIDTH)
        self.mixers = nn.ModuleList([
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(MIXERS)
        ])  # fmt: skip
        self.norm_out = nn.LayerNorm(WIDTH)
        self.whole_out = nn.Linear(2 * WIDTH, 7)
        self.place_out = nn.Linear(WIDTH, RASTER**2)
        self.names_out = nn.Linear(WIDTH, 2 * drawings)
        self.colour_out = nn.Linear(WIDTH, 3)
        self.pixels_out = nn.Linear(WIDTH, PIXEL_CHANNELS * patch_size**2)
        self.edges = nn.Sequential(
            nn.Conv2d(PIXEL_CHANNELS + 3, EDGE_CHANNELS, 3, padding=1), nn.GELU(),
            nn.Conv2d(EDGE_CHANNELS, EDGE_CHANNELS, 3, padding=1), nn.GELU(),
            nn.Conv2d(EDGE_CHANNELS, 1, 3, padding=1),
        )  # fmt: skip
        blank = torch.zeros(drawings, 4, DRAWING_SIDE, DRAWING_SIDE)
        self.register_buffer("drawings", blank, persistent=False)  # learnt apart, see `mmdit.training.drawings`
        """`textures` in levels from 0 to 255, stored as a picture."""

    def save_drawings(self, folder: str | Path) -> None:
        """Write the drawings as one PNG, side by side; its colours are premultiplied."""
        levels = self.drawings.round().clamp(0, LEVELS).to(torch.uint8).cpu()
        strip = rearrange(levels, "k c y x -> y (k x) c").contiguous().numpy()
        Image.fromarray(strip).save(Path(folder) / DRAWINGS_FILE, optimize=True)

    def load_drawings(self, folder: str | Path) -> None:
        """Read what `save_drawings` wrote. Raises FileNotFoundError, and ValueError for a file that is none."""
        file = Path(folder) / DRAWINGS_FILE
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; the model has learnt what its objects look like by it")
        try:
            with Image.open(file, formats=["PNG"]) as opened:
                strip = torch.from_numpy(np.array(opened.convert("RGBA"), dtype=np.float32))
            levels = rearrange(strip, "y (k x) c -> k c y x", k=len(self.drawings), x=DRAWING_SIDE, y=DRAWING_SIDE)
        except (OSError, SyntaxError, EinopsError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is damaged ({error}); get it again") from error
        self.drawings.copy_(levels)

    @property
    def textures(self) -> Tensor:
        """(K, 4, S, S) the remembered drawings, see `Drawing`."""
        return self.drawings / LEVELS

    @property
    def has_drawings(self) -> bool:
        """Whether it has learnt what any object looks like."""
        return bool((self.drawings[:, 3] > LEVELS / 2).any())

    def forward(
        self, target_tokens: Tensor, reference_tokens: Tensor, text_tokens: Tensor, text_mask: Tensor, source: Tensor
    ) -> FoundObjects | None:
        """None where no edit of the batch is of this kind, but in training.

        Args:
            target_tokens, reference_tokens: (B, N, C) after the last block.
            text_tokens, text_mask: (B, T, C) and (B, T), likewise.
            source: (B, 3, height, width) in [−1, 1].
        """
        height, width = source.shape[-2:]
        rows, columns = height // self.patch_size, width // self.patch_size
        x, y = middles(columns, source.device), middles(rows, source.device)
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)

        words = _normalised(text_tokens) * text_mask[..., None]
        words = words.sum(dim=1) / text_mask.sum(dim=1, keepdim=True).clamp_min(1)
        words = functional.gelu(self.words_in(words[:, None]))
        both = torch.cat([_normalised(target_tokens), _normalised(reference_tokens)], dim=-1)
        tokens = self.tokens_in(both) + self.place_in(places) + words
        for mixer in self.mixers:
            tokens = mixer(tokens)
        tokens = self.norm_out(tokens)

        pooled = torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=-1)
        # Not a matrix-vector product: its last bits depend on where memory happens to lie.
        whole = ((pooled[:, None] * self.whole_out.weight).sum(dim=-1) + self.whole_out.bias).float()
        resizes, scale, replaces, adds, side, recolours, removes = whole.unbind(dim=1)
        if not self.training and not (torch.stack([recolours, removes, resizes, replaces, adds]) > 0).any():
            return None
        place = rearrange(self.place_out(tokens), "b (y x) (p q) -> b (y p x q)", y=rows, p=RASTER, q=RASTER)
        named, drawn = self.names_out(words[:, 0]).float().chunk(2, dim=-1)
        return FoundObjects(
            recolours=recolours, removes=removes, resizes=resizes, replaces=replaces, adds=adds,
            outline=self._outline(tokens, source), colour=self.colour_out(words[:, 0]).float().sigmoid(),
            scale=scale.exp(), side=TYPICAL_SIDE * side.exp(), place=place.float(), named=named, drawn=drawn,
        )  # fmt: skip

    def _outline(self, tokens: Tensor, source: Tensor) -> Tensor:
        patch = self.patch_size
        pixels = rearrange(
            self.pixels_out(tokens), "b (y x) (c p q) -> b c (y p) (x q)", p=patch, q=patch, y=source.shape[-2] // patch
        )
        return self.edges(torch.cat([pixels, source], dim=1)).float()


def _normalised(tokens: Tensor) -> Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:])
