"""Where two or more editors look for what a word names, side by side: their maps of the same held-out samples.

In: folders of embedded editors, with their telling layers. Out: one picture. Their numbers are those of
`python -m mmdit evaluate`.

    python -m mmdit.training.comparison --data data --models runs/joint runs/cross --out comparison.webp
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmdit import images
from mmdit.attention.maps import iou, normalise
from mmdit.attention.overlay import overlay
from mmdit.families.mini import MiniEditor
from mmdit.training.evaluate import HELD_OUT_SEED
from mmdit.training.localisation import LOCATED, Located, located
from mmdit.training.scenes import SceneBatch, Scenes

WORKING_SIZE = (112, 144)
SCALE, GAP, LABEL = 2, 6, 16
STREAM = "reference:0"


def figure(editors: dict[str, MiniEditor], scenes: SceneBatch, count: int) -> Image.Image:
    """A row a sample: the given picture, then its map by each editor, under the word and its IoU with the object."""
    found = {name: {sample.index: sample for sample in located(editor, scenes)} for name, editor in editors.items()}
    common = sorted(set.intersection(*(set(samples) for samples in found.values())))[:count]
    height, width = (side * SCALE for side in scenes.source.shape[-2:])
    page = Image.new("RGB", ((1 + len(found)) * (width + GAP) - GAP, len(common) * (height + LABEL)), "white")
    draw = ImageDraw.Draw(page)
    for row, index in enumerate(common):
        top = row * (height + LABEL)
        picture = images.to_image(scenes.source[index : index + 1]).resize((width, height), Image.Resampling.LANCZOS)
        page.paste(picture, (0, top + LABEL))
        draw.text((0, top), scenes.instructions[index][: width // 6], fill="black")
        for column, (name, samples) in enumerate(found.items(), start=1):
            heatmap, left = _heatmap(samples[index]), column * (width + GAP)
            title = f"{name}: “{samples[index].word}”, IoU {iou(heatmap, samples[index].mask):.2f}"
            draw.text((left, top), title, fill="black")
            shown = overlay(picture, normalise(heatmap), 1.0)
            page.paste(shown, (left, top + LABEL))
    return page


def _heatmap(sample: Located) -> np.ndarray:
    """The default view over the given picture."""
    maps = sample.maps
    return maps.heatmap(sample.word, stream=STREAM, layers=maps.best_layers("image_to_text", STREAM))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mmdit.training.comparison", description="Maps of several editors, side by side."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="folders of embedded editors")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    parser.add_argument("--count", type=int, default=6, help="samples")
    arguments = parser.parse_args()
    if len({folder.name for folder in arguments.models}) < len(arguments.models):
        parser.error("two of the models' folders have the same name; rename one, they are told apart by it")
    editors = {folder.name: MiniEditor(folder) for folder in arguments.models}
    kinds = list(LOCATED) * -(-2 * arguments.count // len(LOCATED))  # some name no visible object
    scenes = Scenes(arguments.data, "held_out", HELD_OUT_SEED).batch(
        20_000, len(kinds), kinds=kinds, working_size=WORKING_SIZE
    )
    figure(editors, scenes, arguments.count).save(arguments.out)


if __name__ == "__main__":
    main()
