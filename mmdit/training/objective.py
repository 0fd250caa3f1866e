"""What training minimises: the error of the estimated edit, and what the model must tell on the way.

Knows the transformer's outputs and the scenes' ground truth, nothing of optimisers or runs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdit.families.mini_training import CHANGED_SHARE, SMALLEST_TIMESTEP, VISIBLE_CHANGE
from mmdit.model.arrangement import ANCHOR
from mmdit.model.edit_field import EditField
from mmdit.model.object_head import FoundObjects
from mmdit.model.vocabulary import COLOURS, KINDS, OBJECT_EDITS, OBJECTS, PLACES
from mmdit.training.plans import BIGGER, SMALLER, UNSAID
from mmdit.training.scenes import SceneBatch

EDITED_PIXEL_WEIGHT = 5.0
RESIZED = {"bigger": BIGGER, "smaller": SMALLER}  # the kinds that copy an object → the new size over the old
OUTLINE_WEIGHT, COLOUR_WEIGHT = 5.0, 10.0


class Probe(nn.Module):
    """A linear head that exists in training only: after an early block, the text stream must tell what was asked.

    The kind of edit, the objects, the colour and the place are known exactly, and being asked for them teaches the
    text stream to understand long before the pixels do.
    """

    CLASSES = (len(KINDS), len(OBJECTS), len(OBJECTS), len(COLOURS), len(PLACES))
    BLOCK = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.what = nn.Linear(channels, sum(self.CLASSES))

    def loss(self, text_tokens: Tensor, scenes: SceneBatch, mask: Tensor) -> Tensor:
        """Scalar cross-entropy, summed over what instructions say; text_tokens (B, T, C) of block `BLOCK`."""
        pooled = (text_tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)
        meaning = torch.where(mask.any(dim=1, keepdim=True), scenes.meaning, UNSAID)
        total = pooled.new_zeros(())
        for logits, answer in zip(self.what(pooled).split(self.CLASSES, dim=-1), meaning.unbind(1), strict=True):
            if (answer != UNSAID).any():
                total = total + functional.cross_entropy(logits, answer)
        return total


def change_loss(field: EditField, scenes: SceneBatch, mask: Tensor) -> Tensor:
    """Scalar cross-entropy of the patches' `EditField.change`; samples without an instruction do not count."""
    patch = scenes.source.shape[-1] // field.change.shape[-1]
    changed = functional.avg_pool2d(visibly_changed(scenes), patch) > CHANGED_SHARE
    told = mask.any(dim=1)
    return functional.binary_cross_entropy_with_logits(field.change[told], changed[told].float())


def object_loss(found: FoundObjects, scenes: SceneBatch, mask: Tensor) -> Tensor:
    """Scalar loss of what is laid over an edit: the object that it is about, and what it makes of it.

    Args:
        mask: (B, T) of the text; samples without an instruction ask for nothing.
    """
    told = mask.any(dim=1)

    def asks(*kinds: str) -> Tensor:
        return torch.tensor([kind in kinds for kind in scenes.kinds], device=mask.device) & told

    recolours, removes, resizes = asks("recolour"), asks("remove"), asks(*RESIZED)
    replaces, adds = asks("replace"), asks("add")
    loss = sum(
        functional.binary_cross_entropy_with_logits(logit, asked.float())
        for logit, asked in (
            (found.recolours, recolours), (found.removes, removes), (found.resizes, resizes),
            (found.replaces, replaces), (found.adds, adds),
        )
    )  # fmt: skip
    named = torch.where(told, scenes.meaning[:, 1], UNSAID)
    if (named != UNSAID).any():
        loss = loss + functional.cross_entropy(found.named, named)
    stands = recolours | removes | resizes | replaces
    if stands.any():
        belongs = scenes.masks[stands, scenes.edited_slot[stands]][:, None]
        loss = loss + OUTLINE_WEIGHT * functional.binary_cross_entropy_with_logits(found.outline[stands], belongs)
    if recolours.any():
        colours = torch.tensor(list(COLOURS.values()), device=mask.device)[scenes.meaning[recolours, 3]]
        loss = loss + COLOUR_WEIGHT * (found.colour[recolours] - colours).abs().mean()
    if resizes.any():
        factors = torch.tensor([RESIZED.get(kind, 1.0) for kind in scenes.kinds], device=mask.device)
        loss = loss + (found.scale / factors).log().abs()[resizes].mean()
    return loss + _drawing_loss(found, scenes, adds, replaces)


def _drawing_loss(found: FoundObjects, scenes: SceneBatch, adds: Tensor, replaces: Tensor) -> Tensor:
    """Which object is drawn, and where something new stands."""
    height, width = scenes.source.shape[-2:]
    jobs, loss = scenes.painted.to(adds.device), found.drawn.new_zeros(())
    if (adds | replaces).any():
        loss = loss + functional.cross_entropy(found.drawn[adds | replaces], jobs[adds | replaces, 1])
    if adds.any():
        _, _, side, x, y, _, _ = jobs[adds].unbind(dim=1)
        points = y // ANCHOR * (width // ANCHOR) + x // ANCHOR
        loss = loss + functional.cross_entropy(found.place[adds], points)
        loss = loss + (found.side[adds] * min(height, width) / side).log().abs().mean()
    return loss


def visibly_changed(scenes: SceneBatch) -> Tensor:
    """(B, 1, height, width): 1 where source and target differ visibly, grown by a pixel."""
    changed = ((scenes.source - scenes.target).abs().amax(dim=1, keepdim=True) > VISIBLE_CHANGE).float()
    return functional.max_pool2d(changed, 3, stride=1, padding=1)


def edit_loss(estimate: Tensor, scenes: SceneBatch, timestep: Tensor) -> Tensor:
    """Per-sample squared error of the estimated edit, (B,), weighted as a velocity loss and towards edited pixels.

    What overshoots a target of full black or white is right: the finished picture is clamped.
    """
    t = timestep[:, None, None, None]
    is_object = torch.tensor([kind in OBJECT_EDITS for kind in scenes.kinds], device=t.device)[:, None, None, None]
    weight = torch.where(is_object, 1 + (EDITED_PIXEL_WEIGHT - 1) * visibly_changed(scenes), 1.0)
    weight = weight / t.clamp_min(SMALLEST_TIMESTEP) ** 2
    overshoots = (scenes.target.abs() >= 1) & (estimate * scenes.target.sign() > 1)
    return (weight * (estimate - scenes.target).masked_fill(overshoots, 0).square()).mean(dim=(1, 2, 3))
