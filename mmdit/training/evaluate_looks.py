"""Measure the LoRAs of our looks against the looks' definitions, and draw their thumbnails.

In: the data folder, a folder of LoRAs named after `LOOKS`, an embedded editor. Out: results.json, a contact sheet of
every look and one of stacked pairs, a printed table; with --thumbnails, NAME.webp beside each LoRA. Sources are held
out; everything follows from fixed seeds. Definitions of the numbers: `measure`, `measure_pair`. Knows no key formats.

    python -m mmdit.training.evaluate_looks --data data --presets lora_presets --out results/looks
"""

import argparse
import itertools
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from mmdit import images
from mmdit.catalog import ASSETS, CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.families.mini_sampling import edit_field
from mmdit.files import appearing
from mmdit.lora.presets import Presets
from mmdit.lora.stack import LoraStack, LoraWeight
from mmdit.training.looks import LOOKS, Look
from mmdit.training.pairs import BATCH, sources
from mmdit.training.scores import psnr

HELD_OUT_SEED = 4343
THUMBNAIL_PICTURE = ASSETS / "examples" / "chelsea.jpg"
THUMBNAIL_SIZE = (256, 192)
THUMBNAIL_BYTES = 15_000
CELL = 128  # pixels of a contact sheet's pictures

Numbers = dict[str, float]


@dataclass(frozen=True)
class Sample:
    """Pictures (B, 3, height, width) in [0, 1], as they are and in the look, and what each is asked for."""

    source: Tensor
    truth: Tensor
    instructions: list[str]


@contextmanager
def with_loras(editor: MiniEditor, files: Sequence[Path]) -> Iterator[None]:
    """The editor with LoRA files on its transformer, each at weight 1. Raises LoraError: one does not fit."""
    stack = LoraStack(editor.transformer, "mini", Presets(()))
    with stack.applied([LoraWeight(file) for file in files]):
        yield


def edited(editor: MiniEditor, source: Tensor, instructions: list[str], files: Sequence[Path] = ()) -> Tensor:
    """The edits of a batch of working pictures with LoRAs on the editor, clamped; all in [0, 1]."""
    text = editor.text_encoder.encode(instructions).to(editor.device)
    working = (source * 2 - 1).to(editor.device)
    with with_loras(editor, files):
        field = edit_field(
            editor.models, working, text,
            steps=CATALOG["mini"].steps, seeds=list(range(len(instructions))),
        )  # fmt: skip
    return ((field.apply(working).clamp(-1, 1) + 1) / 2).cpu()


def held_out_pictures(data: Path, count: int) -> list[Tensor]:
    """``count`` pictures in batches of one size, (B, 3, height, width) in [0, 1]."""
    batches = list(islice(sources(data, "held_out", HELD_OUT_SEED), -(-count // BATCH)))
    return [batch[: count - index * BATCH] for index, batch in enumerate(batches)]


def samples(look: Look, wordings: Sequence[str], pictures: Sequence[Tensor]) -> Iterator[Sample]:
    """Batches of pictures with their look, asked for with the wordings in turn."""
    asked = itertools.cycle(wordings)
    for source in pictures:
        yield Sample(source, look(source), list(islice(asked, len(source))))


def measure(editor: MiniEditor, file: Path, batches: Iterator[Sample]) -> Numbers:
    """How near a LoRA comes to its look.

    relative_error: the squared error with the LoRA, summed over all samples, over the editor's without it, which is
    given the same instruction; worst_relative_error: the same of the sample where it is largest; psnr, psnr_base:
    means over samples, dB; samples: how many there were.
    """
    errors = torch.cat([_errors(editor, file, sample) for sample in batches])
    mean = psnr(errors).mean(dim=0)
    return {
        "relative_error": (errors[:, 0].sum() / errors[:, 1].sum()).item(),
        "worst_relative_error": (errors[:, 0] / errors[:, 1].clamp_min(1e-12)).max().item(),
        "psnr": mean[0].item(),
        "psnr_base": mean[1].item(),
        "samples": len(errors),
    }


def _errors(editor: MiniEditor, file: Path, sample: Sample) -> Tensor:
    """Mean squared errors on the [0, 1] scale, (B, 2): with the LoRA, without it. All pictures have nearly one area."""
    outputs = [edited(editor, sample.source, sample.instructions, files) for files in ((file,), ())]
    return torch.stack([(output - sample.truth).square().mean(dim=(1, 2, 3)) for output in outputs], dim=1)


def measure_pair(editor: MiniEditor, looks: tuple[Look, Look], files: tuple[Path, Path], source: Tensor) -> Numbers:
    """What two stacked LoRAs make, each at weight 1, asked "A and B".

    difference_from_first, difference_from_second: root of the mean squared difference, on the [0, 1] scale, of that
    picture from what one LoRA makes alone, asked for itself.
    """
    count = len(source)
    alone = [edited(editor, source, _asked([look], count), [file]) for look, file in zip(looks, files, strict=True)]
    both = edited(editor, source, _asked(looks, count), files)
    first, second = ((both - one).square().mean().sqrt().item() for one in alone)
    return {"difference_from_first": first, "difference_from_second": second}


def _asked(looks: Sequence[Look], count: int) -> list[str]:
    """One instruction a picture: a training wording of each look, joined."""
    return [" and ".join(look.instructions[k % len(look.instructions)] for look in looks) for k in range(count)]


def trained(presets: Path) -> dict[str, Path]:
    """Look → its LoRA's file, for those that the folder holds. Raises FileNotFoundError: it holds none."""
    files = {name: presets / f"{name}.safetensors" for name in LOOKS}
    files = {name: file for name, file in files.items() if file.is_file()}
    if not files:
        wanted = presets / f"{next(iter(LOOKS))}.safetensors"
        raise FileNotFoundError(f"{presets} holds no LoRA of a look; train one as {wanted}")
    return files


def evaluate(model: str, data: Path, presets: Path, out: Path, per_look: int) -> dict[str, Any]:
    """Everything, into a folder; returns what results.json holds."""
    if per_look < 1:
        raise ValueError(f"{per_look} samples of each look were asked for; ask for at least one")
    files = trained(presets)
    pictures = held_out_pictures(data, per_look)
    editor = load_editor(model)
    results: dict[str, Any] = {
        "model": model,
        "weights": editor.fingerprint,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "looks": {},
        "pairs": [],
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        look = LOOKS[name]
        results["looks"][name] = {
            "bytes": file.stat().st_size,
            "seen_wordings": measure(editor, file, samples(look, look.instructions, pictures)),
            "held_out_wordings": measure(editor, file, samples(look, look.held_out_instructions, pictures)),
        }
        sheet(editor, file, next(samples(look, look.held_out_instructions, pictures))).save(out / f"{name}.webp")
        print(row(name, results["looks"][name]), flush=True)
    for pair in itertools.combinations(files, 2):
        looks, of_pair = (tuple(table[name] for name in pair) for table in (LOOKS, files))
        numbers = measure_pair(editor, looks, of_pair, pictures[0])
        results["pairs"].append({"looks": list(pair), **numbers})
    if results["pairs"]:
        pair_sheet(editor, files, pictures[0][:1]).save(out / "pairs.webp")
    (out / "results.json").write_text(json.dumps(results, indent=2))
    print(pair_table(results["pairs"]))
    return results


def load_editor(model: str) -> MiniEditor:
    """An embedded editor by its catalogue name or its folder."""
    entry = CATALOG.get(model)
    return MiniEditor(entry.source if entry else model)


def row(name: str, numbers: dict[str, Any]) -> str:
    """One look's numbers as a line."""
    cells = [
        f"{numbers[split]['relative_error']:7.1%} (worst {numbers[split]['worst_relative_error']:7.1%}) "
        f"{numbers[split]['psnr']:5.1f} dB, base {numbers[split]['psnr_base']:5.1f} dB"
        for split in ("seen_wordings", "held_out_wordings")
    ]
    return f"{name:14} seen {cells[0]}   held out {cells[1]}   {numbers['bytes'] / 2**20:.2f} MiB"


def pair_table(pairs: list[dict[str, Any]]) -> str:
    """The pairs' numbers as text, the least different first."""
    ordered = sorted(pairs, key=lambda pair: min(pair["difference_from_first"], pair["difference_from_second"]))
    lines = [
        f"{' + '.join(pair['looks']):32} {pair['difference_from_first']:.3f} {pair['difference_from_second']:.3f}"
        for pair in ordered
    ]
    return "\n".join(["stacked: RMS difference from the first, the second alone", *lines])


def sheet(editor: MiniEditor, file: Path, sample: Sample) -> Image.Image:
    """Source, base, LoRA and truth of every picture of a sample, in rows, with what was asked."""
    base, with_lora = (edited(editor, sample.source, sample.instructions, files) for files in ((), (file,)))
    rows = list(zip(sample.source, base, with_lora, sample.truth, strict=True))
    return _grid(rows, [f"{asked}   (source, base, LoRA, truth)" for asked in sample.instructions])


def pair_sheet(editor: MiniEditor, files: dict[str, Path], source: Tensor) -> Image.Image:
    """One picture under every two LoRAs, the plain ones on the diagonal."""
    rows = []
    for first in files:
        named = [[first] if first == second else [first, second] for second in files]
        cells = [
            edited(editor, source, _asked([LOOKS[name] for name in names], 1), [files[name] for name in names])[0]
            for names in named
        ]
        rows.append(cells)
    return _grid(rows, [f"{first} and {', '.join(files)}" for first in files])


def _grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str]) -> Image.Image:
    """Rows of pictures (3, height, width) in [0, 1], each under its label."""
    height = max(picture.shape[1] for cells in rows for picture in cells) + 18
    width = max(picture.shape[2] for cells in rows for picture in cells) + 2
    canvas = Image.new("RGB", (width * max(map(len, rows)), height * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    for row_index, (cells, label) in enumerate(zip(rows, labels, strict=True)):
        draw.text((2, row_index * height + 2), label, fill="black")
        for column, picture in enumerate(cells):
            canvas.paste(images.to_image(picture[None] * 2 - 1), (column * width, row_index * height + 16))
    return canvas


def thumbnail(editor: MiniEditor, look: Look, file: Path) -> Image.Image:
    """An example picture at full size through a user's edit, cut to 256 × 192: left as it was, right in the look."""
    picture = images.load_image(THUMBNAIL_PICTURE)
    with with_loras(editor, [file]):
        call = editor.call(picture, look.instructions[0], CATALOG["mini"].steps)
        output = editor.edit(replace(call, literally=True)).image  # as all edits with LoRAs
    before, after = (ImageOps.fit(image, THUMBNAIL_SIZE, Image.Resampling.LANCZOS) for image in (picture, output))
    width, height = THUMBNAIL_SIZE
    before.paste(after.crop((width // 2, 0, width, height)), (width // 2, 0))
    ImageDraw.Draw(before).line((width // 2, 0, width // 2, height), fill="white", width=2)
    return before


def save_thumbnail(image: Image.Image, file: Path) -> None:
    """A WebP file of at most `THUMBNAIL_BYTES`, as good as fits; it appears whole or not at all."""
    with appearing(file) as partial:
        for quality in range(91, 0, -10):
            image.save(partial, format="WEBP", quality=quality, method=6)
            if partial.stat().st_size <= THUMBNAIL_BYTES:
                break


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m mmdit.training.evaluate_looks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--presets", type=Path, required=True, help="folder with the looks' LoRAs, NAME.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json and contact sheets")
    parser.add_argument("--per-look", type=int, default=48, help="held-out samples of each look and set of wordings")
    parser.add_argument("--model", default="mini", help="a name of `models`, or a folder")
    parser.add_argument("--thumbnails", action="store_true", help="only draw NAME.webp beside each LoRA")
    arguments = vars(parser.parse_args(argv))
    try:
        if not arguments.pop("thumbnails"):
            evaluate(**arguments)
            return 0
        editor = load_editor(arguments["model"])
        for name, file in trained(arguments["presets"]).items():
            save_thumbnail(thumbnail(editor, LOOKS[name], file), file.with_suffix(".webp"))
    except (ValueError, OSError) as error:
        print(f"evaluate_looks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
