"""An object of the source, copied to another size: what enlarging and shrinking need beside a colour matrix.

A small model paints an object from memory, softly; the source shows it sharply. So the model also tells which pixels of
the source belong to the object that it is to scale, and how far, and these pixels are laid over the edit. (Copying by
predicted coordinates: appearance flow, Zhou et al. 2016, arXiv 1605.03557.)

Axes: B batch, N patches, C channels of the transformer, W those of the head. Coordinates are (x, y), from −1 at the
left or upper edge of the picture to 1 at the other, whatever its size: those of `torch.nn.functional.grid_sample`.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

WIDTH, MIXERS, HEADS = 128, 2, 4
PIXEL_CHANNELS, EDGE_CHANNELS = 8, 24
GROWN = 5  # pixels of the working size; chosen among 1, 2, 3 and 5 on training samples
STRIP_ROWS = 512  # rows drawn at a time, to bound memory


@dataclass(frozen=True)
class CutOut:
    """
    Args:
        there: (B,) logit that the edit copies an object at all; one of 0 or less copies none.
        outline: (B, 1, height, width) logit that a pixel of the source belongs to it.
        scale: (B,) the new size over the old, about the middle of the outline's extent.
    """

    there: Tensor
    outline: Tensor
    scale: Tensor

    @property
    def copied(self) -> Tensor:
        """(B,) whether an object is copied, for which it must also be seen."""
        return (self.there > 0) & (self.outline > 0).flatten(1).any(dim=1)

    @property
    def centre(self) -> Tensor:
        """(B, 2) the point that stays where it is; the picture's middle where no pixel belongs to the object."""
        belongs = self.outline[:, 0] > 0
        middles = []
        for across in (1, 2):
            hit = belongs.any(dim=across)
            place = _pixels(hit.shape[1], hit.device)
            first, last = torch.where(hit, place, 1.0).amin(dim=1), torch.where(hit, place, -1.0).amax(dim=1)
            middles.append((first + last) / 2)
        return torch.stack(middles, dim=1)

    def over(self, picture: Tensor, source: Tensor) -> Tensor:
        """The picture with the source's object over it, both (B, 3, height, width) of any one size."""
        height, width = source.shape[-2:]
        alpha = self.outline.sigmoid() * self.copied[:, None, None, None]
        x, y = _pixels(width, source.device), _pixels(height, source.device)
        centre, scale = self.centre[:, None, None], self.scale[:, None, None, None]
        strips = []
        for top in range(0, height, STRIP_ROWS):
            rows = slice(top, min(top + STRIP_ROWS, height))
            here = torch.stack(torch.meshgrid(x, y[rows], indexing="xy"), dim=-1)
            grid = centre + (here - centre) / scale  # where in the source each pixel comes from
            share = functional.grid_sample(alpha, grid, align_corners=False)
            colour = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
            strips.append(torch.lerp(picture[:, :, rows], colour, share))
        return torch.cat(strips, dim=2)

    def uncovered(self) -> Tensor:
        """(B, 1, height, width) in [0, 1]: where the object was, a little grown, and so what may have to be painted;
        everywhere where no object is copied.
        """
        alpha = functional.max_pool2d(self.outline.sigmoid(), 2 * GROWN + 1, stride=1, padding=GROWN)
        return torch.where(self.copied[:, None, None, None], alpha, 1.0)

    def where(self, expected: Tensor) -> "CutOut":
        """The same, copying only in the samples, (B,), where that is expected."""
        return CutOut(self.there.masked_fill(~expected, -torch.inf), self.outline, self.scale)

    def of(self, chosen: Tensor) -> "CutOut":
        """Some of the batch, by number."""
        return CutOut(self.there[chosen], self.outline[chosen], self.scale[chosen])


def _pixels(count: int, device: torch.device) -> Tensor:
    """(count,) coordinates of the middles of pixels, or of patches, along one side."""
    return (torch.arange(count, device=device) + 0.5) * 2 / count - 1


class CutOutHead(nn.Module):
    """Finds the object from what the transformer's last block knows of each patch, its edges from the source's pixels.

    Args:
        channels: of the transformer.
        patch_size: pixels along a patch's side.
    """

    def __init__(self, channels: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.tokens_in = nn.Linear(2 * channels, WIDTH)
        self.place_in = nn.Linear(2, WIDTH)
        self.mixers = nn.ModuleList([
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(MIXERS)
        ])  # fmt: skip
        self.norm_out = nn.LayerNorm(WIDTH)
        self.whole_out = nn.Linear(2 * WIDTH, 2)
        self.pixels_out = nn.Linear(WIDTH, PIXEL_CHANNELS * patch_size**2)
        self.edges = nn.Sequential(
            nn.Conv2d(PIXEL_CHANNELS + 3, EDGE_CHANNELS, 3, padding=1), nn.GELU(),
            nn.Conv2d(EDGE_CHANNELS, EDGE_CHANNELS, 3, padding=1), nn.GELU(),
            nn.Conv2d(EDGE_CHANNELS, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, target_tokens: Tensor, reference_tokens: Tensor, source: Tensor) -> CutOut | None:
        """None where no edit of the batch copies an object, but in training.

        Args:
            target_tokens, reference_tokens: (B, N, C) after the last block.
            source: (B, 3, height, width) in [−1, 1].
        """
        height, width = source.shape[-2:]
        rows, columns = height // self.patch_size, width // self.patch_size
        x, y = _pixels(columns, source.device), _pixels(rows, source.device)
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)

        both = [functional.layer_norm(tokens, tokens.shape[-1:]) for tokens in (target_tokens, reference_tokens)]
        tokens = self.tokens_in(torch.cat(both, dim=-1)) + self.place_in(places)
        for mixer in self.mixers:
            tokens = mixer(tokens)
        tokens = self.norm_out(tokens)

        pooled = torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=-1)
        # Not a matrix-vector product: its last bits depend on where memory happens to lie.
        whole = (pooled[:, None] * self.whole_out.weight).sum(dim=-1) + self.whole_out.bias
        there, scale = whole[:, 0].float(), whole[:, 1].float().exp()
        if not self.training and not (there > 0).any():
            return None
        return CutOut(there, self._outline(tokens, source), scale)

    def _outline(self, tokens: Tensor, source: Tensor) -> Tensor:
        patch = self.patch_size
        pixels = rearrange(
            self.pixels_out(tokens), "b (y x) (c p q) -> b c (y p) (x q)", p=patch, q=patch, y=source.shape[-2] // patch
        )
        return self.edges(torch.cat([pixels, source], dim=1)).float()
