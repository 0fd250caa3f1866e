"""How LoRAs are trained on the embedded editor: pairs at the working size, and the error of the edits found.

In: pairs of pictures. Out: groups of one working size, the loss of a batch, ordinary edits to compare. The timesteps
are those that the editor itself was trained with, and the loss is its loss without the heavier weight of edited pixels.
Knows nothing of optimisers or runs.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit import images
from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor, working_size
from mmdit.families.mini_sampling import edit_field
from mmdit.lora.inspect import LoraError
from mmdit.lora.pairs import PicturePair
from mmdit.lora.training_output import Edited
from mmdit.model.edit_field import EditField
from mmdit.model.text import MAX_TOKENS

CHANGE_WEIGHT = 0.1
VISIBLE_CHANGE = 0.06  # in [−1, 1]: what counts as an edited pixel
CHANGED_SHARE = 0.05  # of a patch's pixels: from here on it counts as changed
PURE_NOISE_SHARE = 0.6
SMALLEST_TIMESTEP = 0.5  # below it the weight 1/t² of the velocity loss grows no further
ENCODED_TOGETHER = 64  # instructions
EDIT_SEED = 0


@dataclass(frozen=True)
class Instructions:
    """Encoded once: features (U, MAX_TOKENS, C) float16 and mask (U, MAX_TOKENS) of U different instructions."""

    texts: tuple[str, ...]
    features: Tensor
    mask: Tensor

    def rows(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) → features (B, T, C) and mask (B, T), T being the longest one's length."""
        mask = self.mask[which]
        longest = int(mask.sum(dim=1).max())
        return self.features[which, :longest].float(), mask[:, :longest]


@dataclass(frozen=True)
class MiniGroup:
    """N pairs of one working size.

    Args:
        source, target: (N, 3, height, width) uint8.
        wordings: (N, W) indices into ``instructions``; a pair with fewer than W has its own again and again.
        counts: (N,) how many are different.
    """

    source: Tensor
    target: Tensor
    instructions: Instructions
    wordings: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.source)


class MiniTrainable:
    """A loaded embedded editor, as `mmdit.lora.training.Trainable` wants it.

    Args:
        name: the base model's, written into the LoRA.
    """

    family = "mini"
    resolution = None

    def __init__(self, editor: MiniEditor, name: str) -> None:
        self.name = name
        self.fingerprint = editor.fingerprint
        self.transformer, self._models, self._device = editor.transformer, editor.models, editor.device

    def prepare(self, pairs: Sequence[PicturePair]) -> tuple[MiniGroup, ...]:
        """The pairs by working size.

        Raises:
            LoraError: an unusable picture, or an instruction without a word or with more than the model reads.
        """
        instructions = self._encoded(pairs)
        number = {text: index for index, text in enumerate(instructions.texts)}
        pictures: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        wordings: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
        for pair in pairs:
            source, target = pair.open()
            size = working_size(source.height, source.width)
            pictures[size].append(tuple(_bytes(images.resize(images.to_tensor(of), *size)) for of in (source, target)))
            wordings[size].append([number[text] for text in pair.instructions])
        groups = []
        for size, of_size in pictures.items():
            sources, targets = (torch.cat(side).to(self._device) for side in zip(*of_size, strict=True))
            most = max(map(len, wordings[size]))
            table = torch.tensor([(row * most)[:most] for row in wordings[size]])
            counts = torch.tensor([len(row) for row in wordings[size]])
            groups.append(MiniGroup(sources, targets, instructions, table, counts))
        return tuple(groups)

    def loss(self, group: MiniGroup, rows: Tensor, draw: torch.Generator) -> Tensor:
        """Mean error of the edits estimated from noise, and of where they are expected; rows is (B,)."""
        chosen = (torch.rand(len(rows), generator=draw) * group.counts[rows]).long()
        text, mask = group.instructions.rows(group.wordings[rows, chosen].to(self._device))
        timestep = draw_timesteps(len(rows), draw).to(self._device)
        where = rows.to(self._device)
        source, target = _unit(group.source[where]), _unit(group.target[where])
        noise = torch.randn(target.shape, generator=draw).to(self._device)
        t = timestep[:, None, None, None]
        field = self.transformer((1 - t) * target + t * noise, source, text, mask, timestep, find_objects=False)
        edit = edit_loss(field.apply(source), target, timestep).mean()
        return edit + CHANGE_WEIGHT * change_loss(field, source, target)

    def edit(self, group: MiniGroup, row: int) -> Edited:
        """One pair, edited at the working size by its first instruction with the model's own defaults."""
        source = _unit(group.source[row : row + 1])
        instruction = group.instructions.texts[int(group.wordings[row, 0])]
        field = edit_field(
            self._models, source, self._models.text_encoder.encode([instruction]).to(self._device),
            steps=CATALOG["mini"].steps, guidance=CATALOG["mini"].guidance, seeds=[EDIT_SEED],
        )  # fmt: skip
        return Edited(
            instruction=instruction,
            source=images.to_image(source),
            edited=images.to_image(field.apply(source)),
            target=images.to_image(_unit(group.target[row : row + 1])),
        )

    def _encoded(self, pairs: Sequence[PicturePair]) -> Instructions:
        owners = {text: pair.name for pair in reversed(pairs) for text in pair.instructions}
        features, masks = [], []
        texts = tuple(owners)
        for start in range(0, len(texts), ENCODED_TOGETHER):
            some = list(texts[start : start + ENCODED_TOGETHER])
            encoded = self._models.text_encoder.encode(some, MAX_TOKENS)
            for text, words, left_out in zip(some, encoded.words, encoded.truncated, strict=True):
                if left_out:
                    raise LoraError(
                        f"the instruction {text!r} of pair {owners[text]} is longer than the model reads; "
                        f"shorten it by {len(left_out)} words"
                    )
                if not words:
                    raise LoraError(f"the instruction {text!r} of pair {owners[text]} holds no word; say what to do")
            features.append(encoded.features.half())
            masks.append(encoded.mask)
        return Instructions(texts, torch.cat(features), torch.cat(masks))


def draw_timesteps(size: int, draw: torch.Generator) -> Tensor:
    """(B,) logit-normal timesteps that favour noise, three in five of them pure noise, where every edit begins."""
    timestep = torch.sigmoid(torch.randn(size, generator=draw) * 0.8 + 0.8)
    return torch.where(torch.rand(size, generator=draw) < PURE_NOISE_SHARE, torch.ones(size), timestep)


def edit_loss(estimate: Tensor, target: Tensor, timestep: Tensor) -> Tensor:
    """Squared error of the estimated edit, (B,), weighted as a velocity loss.

    What overshoots a target of full black or white is right: the finished picture is clamped.
    """
    weight = timestep.clamp_min(SMALLEST_TIMESTEP) ** -2
    overshoots = (target.abs() >= 1) & (estimate * target.sign() > 1)
    return weight * (estimate - target).masked_fill(overshoots, 0).square().mean(dim=(1, 2, 3))


def change_loss(field: EditField, source: Tensor, target: Tensor) -> Tensor:
    """Scalar cross-entropy of `EditField.change`: does enough of a patch change visibly, or border on what does?"""
    visible = ((source - target).abs().amax(dim=1, keepdim=True) > VISIBLE_CHANGE).float()
    grown = functional.max_pool2d(visible, 3, stride=1, padding=1)
    changed = functional.avg_pool2d(grown, source.shape[-1] // field.change.shape[-1]) > CHANGED_SHARE
    return functional.binary_cross_entropy_with_logits(field.change, changed.float())


def _bytes(picture: Tensor) -> Tensor:
    """[−1, 1] → uint8."""
    return ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _unit(pixels: Tensor) -> Tensor:
    """uint8 → [−1, 1]."""
    return pixels.float() / 127.5 - 1
