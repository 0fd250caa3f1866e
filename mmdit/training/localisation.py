"""Do the attention maps mean something? The named object's map is held against its true mask.

In: an editor, held-out scenes. Out: intersection over union and pointing accuracy per layer and for the default
view, for both image streams, with three controls: an untrained model, chance (the same maps with their patches
shuffled), and the mask of another object in the picture.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mmdit import images
from mmdit.attention.maps import AttentionMaps, iou, pointing
from mmdit.attention.spec import RecordSpec
from mmdit.families.mini import MiniEditor
from mmdit.model.transformer import MiniMMDiT
from mmdit.training.plans import MAX_OBJECTS
from mmdit.training.scenes import SceneBatch

COVERED = 0.25  # share of a patch from which on it belongs to the object
LOCATED = ("recolour", "remove", "replace", "bigger", "smaller")
"""Kinds whose object stands in the source."""
STREAMS = ("target", "reference:0")
DEFAULT_VIEW = "default view"

Table = dict[str, dict[str, dict[str, float]]]
"""Stream → layer or `DEFAULT_VIEW` → measure → mean over samples."""


@dataclass(frozen=True)
class Located:
    """One sample's maps, its object's word, and masks (row, column) of that object and of another one, if any."""

    maps: AttentionMaps
    word: str
    mask: np.ndarray
    other_mask: np.ndarray | None


def localisation(editor: MiniEditor, batches: list[SceneBatch]) -> dict[str, Any]:
    """Numbers of the editor and of an untrained model of its size: {"samples", "trained", "untrained"}."""
    trained = [of for batch in batches for of in located(editor, batch)]
    weights = editor.transformer
    try:
        torch.manual_seed(0)
        editor.transformer = MiniMMDiT.from_config(weights.config).to(editor.device).eval()
        untrained = [of for batch in batches for of in located(editor, batch)]
    finally:
        editor.transformer = weights
    return {"samples": len(trained), "trained": measure(trained), "untrained": measure(untrained)}


def located(editor: MiniEditor, scenes: SceneBatch) -> Iterator[Located]:
    """The samples whose instruction names a visible object by its main name."""
    for index, (kind, name, slot) in enumerate(
        zip(scenes.kinds, scenes.names, scenes.edited_slot.tolist(), strict=True)
    ):
        if kind not in LOCATED or name not in scenes.instructions[index].split():
            continue
        masks = _patch_masks(scenes, index, editor.transformer.config.patch_size)
        if not masks[slot].any():
            continue
        picture = images.to_image(scenes.source[index : index + 1])
        maps = editor.edit(editor.call(picture, scenes.instructions[index], seed=index, record=RecordSpec())).maps
        others = [mask for other, mask in enumerate(masks) if other != slot and mask.any()]
        if name in maps.words:
            yield Located(maps, name, masks[slot], others[0] if others else None)


def measure(samples: list[Located]) -> Table:
    """Means over samples; "other_iou" over those with another object."""
    shuffle = random.Random(0)
    found: dict[str, dict[str, dict[str, list[float]]]] = {
        stream: defaultdict(lambda: defaultdict(list)) for stream in STREAMS
    }
    for sample in samples:
        for stream in STREAMS:
            for view, layers in _views(sample.maps, stream).items():
                heatmap = sample.maps.heatmap(sample.word, "image_to_text", stream, layers=layers)
                order = list(range(heatmap.size))
                shuffle.shuffle(order)
                shuffled = heatmap.flat[order].reshape(heatmap.shape)
                row = found[stream][view]
                row["iou"].append(iou(heatmap, sample.mask))
                row["pointing"].append(pointing(heatmap, sample.mask))
                row["chance_iou"].append(iou(shuffled, sample.mask))
                row["chance_pointing"].append(float(sample.mask.mean()))
                if sample.other_mask is not None:
                    row["other_iou"].append(iou(heatmap, sample.other_mask))
    return {
        stream: {view: {key: sum(of) / len(of) for key, of in row.items()} for view, row in views.items()}
        for stream, views in found.items()
    }


def table(results: dict[str, Any]) -> str:
    """The numbers as text."""
    lines = [f"\nattention, image to text, the named object's word against its mask, {results['samples']} samples"]
    lines.append(f"{'stream':13} {'layer':28} {'IoU':>5} {'points':>7} {'untrained':>10} {'chance':>7} {'other':>6}")
    for stream, views in results["trained"].items():
        for view, row in views.items():
            untrained = results["untrained"][stream][view]["iou"]
            lines.append(
                f"{stream:13} {view:28} {row['iou']:5.2f} {row['pointing']:7.2f} {untrained:10.2f} "
                f"{row['chance_iou']:7.2f} {row.get('other_iou', float('nan')):6.2f}"
            )
    return "\n".join(lines)


def _views(maps: AttentionMaps, stream: str) -> dict[str, tuple[str, ...]]:
    return {layer: (layer,) for layer in maps.layers} | {DEFAULT_VIEW: maps.best_layers("image_to_text", stream)}


def _patch_masks(scenes: SceneBatch, index: int, patch: int) -> list[np.ndarray]:
    """Boolean (row, column) masks of the source's objects, by slot."""
    coverage = functional.avg_pool2d(scenes.masks[index, :MAX_OBJECTS][None], patch)[0]
    return [one.cpu().numpy() > COVERED for one in coverage]
