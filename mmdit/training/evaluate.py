"""Measure an embedded editor on edits that it has not seen and whose truth is known.

In: an editor, the data folder. Out: results.json, contact sheets, a printed table. Everything held out follows
from fixed seeds, so two runs on one machine agree. Definitions of the numbers: `score`.

    python -m mmdit evaluate --data data/ --out results/
"""

import json
import platform
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from mmdit import images
from mmdit.catalog import ASSETS, CATALOG
from mmdit.families.mini import MiniEditor, edit_field
from mmdit.training import localisation
from mmdit.training.objective import VISIBLE_CHANGE
from mmdit.training.photo_edits import photo_edit
from mmdit.training.plans import MAX_OBJECTS
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.vocabulary import KINDS, LEAVE_ALONE, OBJECT_EDITS, PHOTO_EDITS

EXAMPLES = ASSETS / "examples"
HELD_OUT_SEED = 4242
REPEATS = 4  # samples of each kind in one batch
TOUCHED = 0.08  # mean absolute change of another object, of the full range, from which on it was touched
UNSEEN = ("wordings", "figurative", "synonyms")
EXAMPLE_PHOTOGRAPHS = ("coffee.jpg", "chelsea.jpg", "launch.jpg")  # of assets/examples; training never saw them
RESIZABLE = tuple(kind for kind in PHOTO_EDITS if kind != "blur")  # blur is defined at the working size only

Scores = dict[str, float]


def psnr(error: Tensor | float) -> Tensor:
    """Decibels of a mean squared error on the [0, 1] scale; capped at 80."""
    return -10 * torch.log10(torch.as_tensor(error).clamp_min(1e-8))


def score(scenes: SceneBatch, output: Tensor) -> list[Scores]:
    """One dictionary a sample.

    psnr, psnr_unedited: of output and source against the target. error, error_unedited: squared error summed over
    the edited region (where source and target visibly differ, grown by a pixel), or over the whole picture when it
    is a photo edit; their ratio over many samples is "the error relative to the unedited picture's". psnr_outside:
    over what lies more than 4 pixels from the edited region. psnr_source: of the output against the source.
    touched: 1 when another object than the named one changed; absent when there is no other.
    """
    output = output.clamp(-1, 1)
    error = _squared_error(output, scenes.target)
    unedited = _squared_error(scenes.source, scenes.target)
    visible = ((scenes.source - scenes.target).abs().amax(dim=1, keepdim=True) > VISIBLE_CHANGE).float()
    region, near = (functional.max_pool2d(visible, size, 1, size // 2) for size in (3, 9))
    change = (output - scenes.source).abs().mean(dim=1, keepdim=True) / 2
    scores = []
    for index, kind in enumerate(scenes.kinds):
        where = region[index] if kind in OBJECT_EDITS else torch.ones_like(region[index])
        row = {
            "psnr": psnr(error[index].mean()).item(),
            "psnr_unedited": psnr(unedited[index].mean()).item(),
            "error": (error[index] * where).sum().item(),
            "error_unedited": (unedited[index] * where).sum().item(),
            "psnr_source": psnr(_squared_error(output, scenes.source)[index].mean()).item(),
        }
        outside = 1 - near[index]
        if kind in OBJECT_EDITS and outside.sum() > 0:
            row["psnr_outside"] = psnr((error[index] * outside).sum() / outside.sum()).item()
        touched = _others_touched(scenes, index, change[index, 0] * outside[0])
        if kind in OBJECT_EDITS and touched is not None:
            row["touched"] = float(touched)
        scores.append(row)
    return scores


def _squared_error(a: Tensor, b: Tensor) -> Tensor:
    """(B, 1, height, width), on the [0, 1] scale."""
    return ((a - b) / 2).square().mean(dim=1, keepdim=True)


def _others_touched(scenes: SceneBatch, index: int, change: Tensor) -> bool | None:
    """Whether any object but the edited one changed; None when there is none to be seen."""
    shares = []
    for slot in range(MAX_OBJECTS):
        mask = scenes.masks[index, slot] > 0.5
        if slot != scenes.edited_slot[index] and mask.sum() > 20:
            shares.append(change[mask].mean().item())
    return max(shares) > TOUCHED if shares else None


def summarise(scores: dict[str, list[Scores]]) -> dict[str, Scores]:
    """Kind → numbers: means, and the ratio of the summed errors as "relative_error"."""
    summary = {}
    for kind, rows in scores.items():
        total = {key: [row[key] for row in rows if key in row] for key in {key for row in rows for key in row}}
        means = {key: sum(values) / len(values) for key, values in total.items()}
        if kind not in LEAVE_ALONE:
            means["relative_error"] = sum(total["error"]) / sum(total["error_unedited"])
        means["samples"] = len(rows)
        del means["error"], means["error_unedited"]
        summary[kind] = means
    return summary


class HeldOut:
    """The held-out samples: a fixed number of each kind, over all working sizes."""

    def __init__(self, data: Path, per_kind: int) -> None:
        self.scenes = Scenes(data, "held_out", HELD_OUT_SEED)
        self.batches = max(1, per_kind // REPEATS)

    def __iter__(self) -> Iterator[SceneBatch]:
        return self.worded("train")

    def worded(self, wording: str) -> Iterator[SceneBatch]:
        """The same scenes' worth of samples with instructions of another split of `wordings.SPLITS`."""
        kinds = [kind for kind in KINDS for _ in range(REPEATS)]
        for number in range(self.batches):
            yield self.scenes.batch(number, len(kinds), kinds=kinds, wording=wording)


def run(editor: MiniEditor, batches: Iterator[SceneBatch], steps: int) -> dict[str, Scores]:
    """Edit every sample and summarise by kind."""
    scores: dict[str, list[Scores]] = defaultdict(list)
    for scenes in batches:
        output = edit_batch(editor, scenes, steps)
        for kind, row in zip(scenes.kinds, score(scenes, output), strict=True):
            scores[kind].append(row)
    return summarise(scores)


def edit_batch(editor: MiniEditor, scenes: SceneBatch, steps: int) -> Tensor:
    """The finished edits, (B, 3, height, width)."""
    text = editor.text_encoder.encode(scenes.instructions, plainly=True)
    seeds = list(range(len(scenes.kinds)))
    field = edit_field(editor.transformer, editor.text_encoder, scenes.source, text, steps=steps, seeds=seeds)
    return field.apply(scenes.source).clamp(-1, 1)


def run_full_size(editor: MiniEditor, photographs: list[Tensor], steps: int) -> dict[str, Scores]:
    """Photo edits of whole held-out photographs at their own size, through the path that a user's edit takes."""
    requests = {"black and white": "make it black and white", "sepia": "apply a sepia tone",
                "invert": "invert the colors", "brighter": "make it brighter", "darker": "make it darker",
                "warmer": "make it warmer", "cooler": "make it cooler", "contrast": "increase the contrast",
                "saturation": "increase the saturation", "night": "make it night"}  # fmt: skip
    summary = {}
    for kind in RESIZABLE:
        values = []
        for photograph in photographs:
            picture = images.to_image(photograph[None].float() / 127.5 - 1)
            output = editor.edit(editor.call(picture, requests[kind], steps)).image
            truth = photo_edit(kind, photograph.float() / 255)
            error = ((images.to_tensor(output)[0] + 1) / 2 - truth).square().mean()
            values.append(psnr(error).item())
        summary[kind] = {"psnr": sum(values) / len(values), "worst": min(values), "samples": len(values)}
    return summary


def _whole_photographs(held_out: HeldOut) -> list[Tensor]:
    """(3, height, width) uint8: the held-out wallpapers and the photographs among the examples."""
    examples = [images.load_image(EXAMPLES / name) for name in EXAMPLE_PHOTOGRAPHS]
    return held_out.scenes.photographs + [
        ((images.to_tensor(picture)[0] + 1) * 127.5).round().to(torch.uint8) for picture in examples
    ]


def contact_sheet(editor: MiniEditor, scenes: SceneBatch, steps: int) -> Image.Image:
    """Source, output and truth of every sample, with its instruction."""
    output = edit_batch(editor, scenes, steps)
    height, width = scenes.source.shape[-2:]
    columns, cell, label = 4, (3 * (width + 2) + 8, height + 18), 14
    rows = -(-len(scenes.kinds) // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for index, instruction in enumerate(scenes.instructions):
        left, top = index % columns * cell[0], index // columns * cell[1]
        draw.text((left, top), instruction[: cell[0] // 6], fill="black")
        for place, picture in enumerate((scenes.source, output, scenes.target)):
            sheet.paste(images.to_image(picture[index : index + 1]), (left + place * (width + 2), top + label))
    return sheet


def evaluate(model: str, data: Path, out: Path, steps: tuple[int, ...], per_kind: int) -> dict[str, Any]:
    """Everything, into a folder; returns what results.json holds."""
    entry = CATALOG.get(model)
    editor = MiniEditor(entry.source if entry else model)
    default = CATALOG["mini"].steps
    held_out = HeldOut(data, per_kind)
    results: dict[str, Any] = {
        "model": model,
        "weights": editor.fingerprint,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "default_steps": default,
        "seen_wordings": {str(count): run(editor, iter(held_out), count) for count in steps},
        **{f"unseen_{wording}": run(editor, held_out.worded(wording), default) for wording in UNSEEN},
        "full_size": run_full_size(editor, _whole_photographs(held_out), default),
        "attention": localisation.localisation(editor, list(held_out)),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=2))
    kinds = [kind for kind in KINDS for _ in range(2)]
    for wording in ("train", *UNSEEN):
        scenes = held_out.scenes.batch(10_000, len(kinds), kinds=kinds, working_size=(128, 128), wording=wording)
        contact_sheet(editor, scenes, default).save(out / f"sheet_{wording}.png")
    print(table(results))
    return results


def table(results: dict[str, Any]) -> str:
    """The main numbers as text."""
    lines = []
    for title in ("seen_wordings", *(f"unseen_{wording}" for wording in UNSEEN)):
        by_steps = results[title] if title == "seen_wordings" else {str(results["default_steps"]): results[title]}
        for count, summary in by_steps.items():
            lines.append(f"\n{title.replace('_', ' ')}, {count} steps")
            lines.append(
                f"{'kind':16} {'dB':>6} {'unedited':>9} {'error':>7} {'outside':>8} {'touched':>8} {'to source':>10}"
            )
            for kind, row in summary.items():
                cells = [row.get(key, float("nan")) for key in (
                    "psnr", "psnr_unedited", "relative_error", "psnr_outside", "touched", "psnr_source")]  # fmt: skip
                lines.append("{:16} {:6.1f} {:9.1f} {:7.3f} {:8.1f} {:8.3f} {:10.1f}".format(kind, *cells))
    lines.append("\nfull size, dB (worst)")
    lines += [f"{kind:16} {row['psnr']:6.1f} ({row['worst']:.1f})" for kind, row in results["full_size"].items()]
    return "\n".join(lines) + "\n" + localisation.table(results["attention"])
