"""Measure an embedded editor on edits that it has not seen and whose truth is known.

In: an editor, the data folder. Out: results.json, contact sheets, pictures of the worst edits, a printed table.
Everything held out follows from fixed seeds, so two runs on one machine agree. Definitions of the numbers: `scores.py`.

    python -m mmdit evaluate --data data/ --out results/
"""

import json
import platform
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdit import images
from mmdit.catalog import ASSETS, CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.families.mini_sampling import edit_field
from mmdit.families.mini_told import is_visible
from mmdit.files import check_appearing
from mmdit.model.vocabulary import COLOURS, FURTHER_EDITS, KINDS, PHOTO_EDITS
from mmdit.training import localisation, sheets
from mmdit.training.photo_edits import photo_edit
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.scores import Scores, detail, psnr, right_object, score, summarise
from mmdit.training.wordings.left_alone import FOREIGN, MENTIONS, REQUESTS, THINGS

RESULTS = "results.json"
EXAMPLES = ASSETS / "examples"
BENCHMARK = 5
"""Rises whenever the held-out samples or what is measured of them change: numbers of one version can be compared. The
second has those of the first, and further edits; the third removals at full size, too; the fourth what is said of an
object, or asked of an unknown thing; the fifth what is asked in other languages.
"""
FIRST_FURTHER, FIRST_AT_FULL_SIZE, FIRST_LEFT_ALONE = 100_000, 200_000, 300_000  # numbers of their first batches
FULL_SIZE = (288, 288)  # as large as the held-out photographs allow
HELD_OUT_SEED = 4242
REPEATS = 4  # samples of each kind in one batch
LEFT_ALONE = 16  # samples of one batch of what is to be left alone
UNSEEN = ("wordings", "figurative", "synonyms")
EXAMPLE_PHOTOGRAPHS = ("coffee.jpg", "chelsea.jpg", "launch.jpg")  # of assets/examples; training never saw them
RESIZABLE = tuple(kind for kind in PHOTO_EDITS if kind != "blur")  # blur is defined at the working size only


class HeldOut:
    """The held-out samples: a fixed number of each kind, over all working sizes."""

    def __init__(self, data: Path, per_kind: int) -> None:
        self.scenes = Scenes(data, "held_out", HELD_OUT_SEED)
        self.batches = max(1, per_kind // REPEATS)

    def __iter__(self) -> Iterator[SceneBatch]:
        return self.worded("train")

    def worded(self, wording: str, further: bool = False) -> Iterator[SceneBatch]:
        """The same scenes' worth of samples with instructions of another split of `wordings.SPLITS`.

        Args:
            further: samples of `FURTHER_EDITS` in the place of those of `KINDS`; of the splits "train" and "wordings".
        """
        kinds = [kind for kind in (FURTHER_EDITS if further else KINDS) for _ in range(REPEATS)]
        for number in range(self.batches):
            yield self.scenes.batch(number + FIRST_FURTHER * further, len(kinds), kinds=kinds, wording=wording)

    def at_full_size(self) -> Iterator[SceneBatch]:
        """Objects to be removed from pictures of `FULL_SIZE`."""
        for number in range(FIRST_AT_FULL_SIZE, FIRST_AT_FULL_SIZE + self.batches):
            yield self.scenes.batch(number, REPEATS, kinds=["remove"] * REPEATS, working_size=FULL_SIZE)

    def left_alone(self) -> Iterator[SceneBatch]:
        """One scene for each instruction of `wordings.left_alone`, of up to four times as many as there are samples of
        a kind: what is said of an object that is there, and what is asked of an unknown thing, or in another language.
        """
        draw, number = random.Random(HELD_OUT_SEED), FIRST_LEFT_ALONE
        for kind, sentences in (("mention", MENTIONS), ("unknown thing", THINGS), ("foreign", FOREIGN)):
            for start in range(0, min(len(sentences), 4 * REPEATS * self.batches), LEFT_ALONE):
                said = sentences[start : start + LEFT_ALONE]
                scenes = self.scenes.batch(number, len(said), kinds=["remove"] * len(said))
                asked = said if sentences is not THINGS else [draw.choice(REQUESTS).replace("{f}", of) for of in said]
                instructions = [
                    sentence.format(x=name, c=draw.choice(list(COLOURS)))
                    for sentence, name in zip(asked, scenes.names, strict=True)
                ]
                yield replace(scenes, kinds=[kind] * len(said), instructions=instructions, target=scenes.source)
                number += 1


def run(
    editor: MiniEditor,
    held_out: HeldOut,
    wording: str,
    steps: int,
    worst: sheets.Worst | None = None,
    further: bool = False,
) -> dict[str, dict[str, Any]]:
    """Edit every sample of a split of wordings and summarise by kind; ``worst`` is shown every edit.

    Args:
        further: see `HeldOut.worded`.
    """
    scores: dict[str, list[Scores]] = defaultdict(list)
    for scenes in held_out.worded(wording, further):
        output = edit_batch(editor, scenes, steps)
        rows = score(scenes, output)
        if worst is not None:
            worst.show(scenes, output, rows)
        for index, (kind, row) in enumerate(zip(scenes.kinds, rows, strict=True)):
            right = right_object(held_out.scenes, scenes, index, output)
            scores[kind].append(row if right is None else row | {"right_object": float(right)})
    return summarise(scores)


def edit_batch(editor: MiniEditor, scenes: SceneBatch, steps: int) -> Tensor:
    """The finished edits, (B, 3, height, width)."""
    text = editor.text_encoder.encode(scenes.instructions, plainly=True)
    seeds = list(range(len(scenes.kinds)))
    field = edit_field(editor.models, scenes.source, text, steps=steps, seeds=seeds)
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


def run_removals_at_full_size(editor: MiniEditor, held_out: HeldOut, steps: int) -> dict[str, Any]:
    """Objects removed from held-out photographs of `FULL_SIZE`, through the path that a user's edit takes."""
    rows = []
    for scenes in held_out.at_full_size():
        pictures = [images.to_image(source[None]) for source in scenes.source]
        calls = [editor.call(*asked, steps) for asked in zip(pictures, scenes.instructions, strict=True)]
        output = torch.cat([images.to_tensor(editor.edit(call).image) for call in calls])
        for row, rough in zip(score(scenes, output), detail(scenes, output), strict=True):
            rows.append(row if rough is None else row | {"detail": rough})
    return summarise({"remove": rows})["remove"]


def run_left_alone(editor: MiniEditor, held_out: HeldOut, steps: int) -> dict[str, dict[str, Any]]:
    """What becomes of pictures of which nothing is asked, or something of a thing that is unknown."""
    scores: dict[str, list[Scores]] = defaultdict(list)
    for scenes in held_out.left_alone():
        output = edit_batch(editor, scenes, steps)
        for kind, row, before, after in zip(scenes.kinds, score(scenes, output), scenes.source, output, strict=True):
            scores[kind].append(row | {"edited": float(is_visible(before[None], after[None]))})
    return summarise(scores)


def _whole_photographs(held_out: HeldOut) -> list[Tensor]:
    """(3, height, width) uint8: the held-out wallpapers and the photographs among the examples."""
    examples = [images.load_image(EXAMPLES / name) for name in EXAMPLE_PHOTOGRAPHS]
    return held_out.scenes.photographs + [
        ((images.to_tensor(picture)[0] + 1) * 127.5).round().to(torch.uint8) for picture in examples
    ]


def evaluate(model: str, data: Path, out: Path, steps: tuple[int, ...], per_kind: int) -> dict[str, Any]:
    """Everything, into a folder; returns what results.json holds.

    Args:
        steps: sampler steps, one or several numbers of them.
        per_kind: held-out samples of each kind.

    Raises:
        ValueError: a number below 1, or a folder that can't be written; nothing is measured.
    """
    for name, value in (*(("steps", count) for count in steps), ("per_kind", per_kind)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    entry = CATALOG.get(model)
    editor = MiniEditor(entry.source if entry else model)
    default = CATALOG["mini"].steps
    held_out, worst = HeldOut(data, per_kind), sheets.Worst()
    try:
        out.mkdir(parents=True, exist_ok=True)
        check_appearing(out / RESULTS)
    except OSError as error:
        raise ValueError(f"folder {out} can't be written ({error.strerror}); give another --out") from error
    results: dict[str, Any] = {
        "benchmark": BENCHMARK,
        "samples_of_a_kind": held_out.batches * REPEATS,
        "model": model,
        "weights": editor.fingerprint,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "default_steps": default,
        "seen_wordings": {
            str(count): run(editor, held_out, "train", count, worst if count == default else None) for count in steps
        },
        **{f"unseen_{wording}": run(editor, held_out, wording, default) for wording in UNSEEN},
        "further_edits": {
            str(count): run(editor, held_out, "train", count, worst if count == default else None, further=True)
            for count in steps
        },
        "unseen_further_edits": run(editor, held_out, "wordings", default, further=True),
        "full_size": run_full_size(editor, _whole_photographs(held_out), default),
        "removals_at_full_size": run_removals_at_full_size(editor, held_out, default),
        "left_alone": run_left_alone(editor, held_out, default),
        "attention": localisation.localisation(editor, list(held_out)),
    }
    (out / RESULTS).write_text(json.dumps(results, indent=2))
    kinds = [kind for kind in KINDS for _ in range(2)]
    for wording in ("train", *UNSEEN):
        scenes = held_out.scenes.batch(10_000, len(kinds), kinds=kinds, working_size=(128, 128), wording=wording)
        output = edit_batch(editor, scenes, default)
        sheets.sheet(sheets.samples(scenes, output)).save(out / f"sheet_{wording}.png")
    kinds = [kind for kind in FURTHER_EDITS for _ in range(4)]
    scenes = held_out.scenes.batch(2 * FIRST_FURTHER, len(kinds), kinds=kinds, working_size=(128, 128))
    sheets.sheet(sheets.samples(scenes, edit_batch(editor, scenes, default))).save(out / "sheet_further.png")
    if default in steps:
        sheets.sheet(worst.samples()).save(out / "worst.png")
    print(table(results))
    return results


COLUMNS = {
    "psnr": ("dB", 6), "psnr_unedited": ("unedited", 8), "psnr_outside": ("outside", 8),
    "psnr_source": ("to source", 9), "touched": ("touched", 7), "right_object": ("right", 7),
    "relative_error": ("error", 7),
}  # fmt: skip
"""Measure → title and width in the printed table; shares have three places, decibels one."""


def table(results: dict[str, Any]) -> str:
    """The main numbers as text."""
    lines = []
    at_all_steps = ("seen_wordings", "further_edits")
    unseen = (f"unseen_{wording}" for wording in UNSEEN)
    for title in ("seen_wordings", *unseen, "further_edits", "unseen_further_edits"):
        by_steps = results[title] if title in at_all_steps else {str(results["default_steps"]): results[title]}
        for count, summary in by_steps.items():
            lines.append(f"\n{title.replace('_', ' ')}, {count} steps")
            lines.append(" ".join(["kind            ", *(f"{title:>{width}}" for title, width in COLUMNS.values())]))
            for kind, row in summary.items():
                cells = (_cell(row.get(key), width) for key, (_, width) in COLUMNS.items())
                lines.append(f"{kind:16} {' '.join(cells)}{_bounds(row)}")
    lines.append("\nfull size, dB (worst)")
    lines += [f"{kind:16} {row['psnr']:6.1f} ({row['worst']:.1f})" for kind, row in results["full_size"].items()]
    removed = results["removals_at_full_size"]
    lines.append(f"removed at full size: error {removed['relative_error']:.3f}{_bounds(removed)}, "
                 f"detail {_cell(removed.get('detail'), 0)} of the truth's")  # fmt: skip
    lines += [
        f"{kind}: {_cell(row['edited'], 0)} edited, {_cell(row['psnr_source'], 0)} dB to the source"
        for kind, row in results["left_alone"].items()
    ]
    return "\n".join(lines) + "\n" + localisation.table(results["attention"])


def _cell(value: float | None, width: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width}.{3 if width == 7 else 1}f}"


def _bounds(row: dict[str, Any]) -> str:
    """The interval of the error, where there is one."""
    bounds = row["intervals"].get("relative_error")
    return f"  [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
