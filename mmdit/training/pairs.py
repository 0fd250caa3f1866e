"""Write a look as a folder of pairs, the form in which LoRAs are trained.

In: the data folder that `prepare.py` filled, a look. Out: for each pair `0000.source.png`, `0000.target.png` and
`0000.txt`, the look's training wordings line by line. Pictures are backgrounds with up to three objects, at the
editor's working sizes by their shares. The target is the look of the source as it is in the file. What is written
follows from the seed alone; a smaller count writes the first of the same pairs. Knows nothing of models.

    python -m mmdit.training.pairs --data data --look thermal --count 800 --out runs/pairs/thermal
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from mmdit import images
from mmdit.training.looks import LOOKS, find_look
from mmdit.training.scenes import Scenes

BATCH = 8  # neighbouring pairs of one working size
ALL = "all"


def sources(data: Path, split: str, seed: int, batch: int = BATCH) -> Iterator[Tensor]:
    """Pictures without end, in batches of one working size: (batch, 3, height, width) in [0, 1], in steps of 1/255."""
    scenes = Scenes(data, split, seed)
    number = 0
    while True:
        source = scenes.batch(number, batch, kinds=["nonsense"] * batch).source
        yield ((source + 1) * 127.5).round() / 255
        number += 1


def write_pairs(folders: Mapping[str, Path], pictures: Iterator[Tensor], count: int) -> None:
    """Fill existing folders, look → folder, with the first ``count`` pictures, (3, height, width) in [0, 1]."""
    for index, picture in enumerate(islice(pictures, count)):
        for name, folder in folders.items():
            look = LOOKS[name]
            for role, image in (("source", picture[None]), ("target", look(picture[None]))):
                images.to_image(image * 2 - 1).save(folder / f"{index:04}.{role}.png")
            wordings = "".join(f"{wording}\n" for wording in look.instructions)
            (folder / f"{index:04}.txt").write_text(wordings, encoding="utf-8")


def write_folder(data: Path, look: str, count: int, out: Path, split: str = "train", seed: int = 0) -> None:
    """Pairs of one look, or with "all" a folder of pairs for each; the folder appears whole or not at all.

    Raises:
        ValueError: unknown look, no pair wanted, a folder that holds something already.
        FileNotFoundError: no data.
    """
    if count < 1:
        raise ValueError(f"{count} pairs were asked for; ask for at least one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not an empty folder; give another --out, or empty it first")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    folders = {name: partial / name for name in LOOKS} if look == ALL else {find_look(look).name: partial}
    try:
        for folder in folders.values():
            folder.mkdir(parents=True)
        write_pairs(folders, (picture for batch in sources(data, split, seed) for picture in batch), count)
        if out.exists():
            out.rmdir()
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m mmdit.training.pairs", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    parser.add_argument("--look", required=True, help=f"{', '.join(LOOKS)}; or {ALL}, each into a folder of its own")
    parser.add_argument("--count", type=int, default=800, help="pairs of each look")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, new or empty")
    parser.add_argument("--split", choices=("train", "held_out"), default="train", help="which photographs are seen")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other pictures")
    arguments = parser.parse_args(argv)
    try:
        with torch.inference_mode():
            write_folder(**vars(arguments))
    except (ValueError, OSError) as error:
        print(f"pairs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
