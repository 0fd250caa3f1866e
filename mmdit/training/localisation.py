"""Do the attention maps mean something? The named object's map is held against its true mask.

In: an editor, held-out scenes. Out: intersection over union and pointing accuracy per layer and for the default
view, for both image streams, with three controls: an untrained model, chance (the same maps with their patches
shuffled), and the mask of another object in the picture. As a command: finds on training pictures which layer tells
what a word names, and writes it beside the weights, for the default view.

    python -m mmdit.training.localisation --data data --out assets/mini
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mmdit import images
from mmdit.attention.maps import DIRECTIONS, AttentionMaps, iou, pointing
from mmdit.attention.spec import RecordSpec
from mmdit.families.mini import MiniEditor
from mmdit.model.checkpoint import TELLING_LAYERS
from mmdit.model.transformer import MiniMMDiT
from mmdit.training.plans import MAX_OBJECTS
from mmdit.training.scenes import SceneBatch, Scenes

COVERED = 0.25  # share of a patch from which on it belongs to the object
LOCATED = ("recolour", "remove", "replace", "bigger", "smaller")
"""Kinds whose object stands in the source."""
STREAMS = ("target", "reference:0")
DEFAULT_VIEW = "default view"

Table = dict[str, dict[str, dict[str, float]]]
"""Stream → layer or `DEFAULT_VIEW` → measure → mean over samples."""


@dataclass(frozen=True)
class Located:
    """One sample's number in its batch, its maps, its object's word, and masks (row, column) of that object and of
    another one, if any.
    """

    index: int
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
            yield Located(index, maps, name, masks[slot], others[0] if others else None)


def measure(samples: list[Located], direction: str = "image_to_text") -> Table:
    """Means over samples; "other_iou" over those with another object."""
    shuffle = random.Random(0)
    found: dict[str, dict[str, dict[str, list[float]]]] = {
        stream: defaultdict(lambda: defaultdict(list)) for stream in STREAMS
    }
    for sample in samples:
        for stream in STREAMS:
            for view, layers in _views(sample.maps, direction, stream).items():
                heatmap = sample.maps.heatmap(sample.word, direction, stream, layers=layers)
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


def telling_layers(measured: Table) -> dict[str, list[str]]:
    """Stream → the layer whose maps overlap most with the named objects."""
    return {
        stream: [max((view for view in views if view != DEFAULT_VIEW), key=lambda view: views[view]["iou"])]
        for stream, views in measured.items()
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


def _views(maps: AttentionMaps, direction: str, stream: str) -> dict[str, tuple[str, ...]]:
    return {layer: (layer,) for layer in maps.layers} | {DEFAULT_VIEW: maps.best_layers(direction, stream)}


def _patch_masks(scenes: SceneBatch, index: int, patch: int) -> list[np.ndarray]:
    """Boolean (row, column) masks of the source's objects, by slot."""
    coverage = functional.avg_pool2d(scenes.masks[index, :MAX_OBJECTS][None], patch)[0]
    return [one.cpu().numpy() > COVERED for one in coverage]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mmdit.training.localisation", description="Find the layers whose maps find named objects."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--out", type=Path, required=True, help="folder of the embedded editor")
    parser.add_argument("--per-kind", type=int, default=48, help="training samples of each kind that is looked at")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kinds = [kind for kind in LOCATED for _ in range(arguments.per_kind)]
    scenes = Scenes(arguments.data, "train", arguments.seed).batch(0, len(kinds), kinds=kinds)
    samples = list(located(MiniEditor(arguments.out), scenes))
    measured = {direction: measure(samples, direction) for direction in DIRECTIONS}
    for direction, streams in measured.items():
        print(f"{direction}, {len(samples)} training samples")
        for stream, views in streams.items():
            for view, row in views.items():
                print(f"  {stream:13} {view:28} IoU {row['iou']:.2f}, points {row['pointing']:.2f}")
    found = json.dumps({direction: telling_layers(streams) for direction, streams in measured.items()}, indent=2)
    (arguments.out / TELLING_LAYERS).write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
