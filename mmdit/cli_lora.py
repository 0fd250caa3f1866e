"""python -m mmdit lora: LoRA files on the command line.

In: arguments. Out: text or JSON on standard output. Knows no more of LoRAs than `mmdit.lora` tells.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdit.lora.presets import Preset, Presets

WIDTH = 60  # characters of the words in a list


def add_lora(commands: argparse._SubParsersAction) -> None:
    """Add ``lora`` with its own commands to those of ``python -m mmdit``."""
    parser = commands.add_parser("lora", help="look at LoRA files, train LoRAs")
    lora = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = lora.add_parser("inspect", help="what a LoRA is and what it would do to a model")
    inspect.add_argument(
        "lora", metavar="NAME_OR_PATH",
        help="a preset, a .safetensors file or a hub id, which is fetched unless it is here; only the header is read",
    )  # fmt: skip
    inspect.add_argument(
        "--model", help="an architecture, a name of `models`, or a folder; default: what it looks like"
    )
    inspect.add_argument("--json", action="store_true", help="everything, for programs")
    inspect.set_defaults(run=_inspect)
    listing = lora.add_parser("list", help="the presets: family, weight, whether the file is here, words to use")
    listing.set_defaults(run=_list)
    _add_train(lora)


def _add_train(lora: argparse._SubParsersAction) -> None:
    train = lora.add_parser("train", help="train a LoRA on pairs of pictures; an interrupted run is continued")
    train.add_argument("--model", default="mini", help="a name of `models`, or a folder")
    train.add_argument(
        "--pairs", type=Path, required=True, metavar="FOLDER",
        help="of name.source.png, name.target.png and name.txt (an instruction a line), or of a pairs.jsonl",
    )  # fmt: skip
    train.add_argument("--steps", type=int, required=True)
    train.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.safetensors", help="file to write")
    train.add_argument("--rank", type=int, default=16)
    train.add_argument("--alpha", type=float, default=16.0, help="the LoRA acts with the factor alpha / rank")
    train.add_argument("--targets", choices=("all", "attention"), default="all", help="all twelve of a block, or eight")
    train.add_argument("--batch", type=int, default=16, help="samples a step")
    train.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto for cuda where it is there, else cpu")
    train.add_argument("--memory", default="auto", help="auto, full, int8 or int4; what is offloaded can't be trained")
    train.add_argument(
        "--resolution",
        type=int,
        help="pairs are seen at about resolution × resolution pixels; default: the model's",
    )
    train.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    train.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="for unfinished runs; default: the output's")
    train.set_defaults(run=_train)


def _inspect(arguments: argparse.Namespace) -> int:
    import json

    from mmdit.lora.architectures import guess_family, linear_shapes
    from mmdit.lora.inspect import NO_MODEL, inspect, read_header

    file, preset = _presets().resolve(arguments.lora)
    model = arguments.model or guess_family(read_header(file))[0]
    shapes, model = ({}, NO_MODEL) if model == "unknown" else (linear_shapes(model), model)
    report = inspect(file, shapes, model, alpha=None if preset is None else preset.alpha)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
        return 0

    def values(numbers: tuple[float, ...]) -> str:
        return ", ".join(f"{number:g}" for number in numbers) or "–"

    kind = "no LoRA" if report.format == "none" else report.format
    print(f"{file.name}: {', '.join(filter(None, (kind, report.dtype)))}, {report.bytes / 1e6:.1f} MB")
    print(f"sha256   {report.sha256}")
    print(f"family   {report.family}")
    print(f"because  {report.evidence}")
    print(f"rank     {values(report.ranks)}   alpha {values(report.alphas)}   scale {values(report.scales)}")
    print(f"against  {report.model}")
    if report.blocks:
        print(f"\n{report.table()}\n")
    print((report.idle() or "everything fits") if report.whole else report.refusal())
    return 0


def _list(arguments: argparse.Namespace) -> int:
    presets = _presets()
    rows = [("name", "family", "weight", "file", "words"), *(_row(preset, presets) for preset in presets.all)]
    wide = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join((*(text.ljust(width) for text, width in zip(row, wide, strict=False)), row[4])).rstrip())
    for problem in presets.problems:
        print(f"warning: {problem}", file=sys.stderr)
    return 0


def _row(preset: "Preset", presets: "Presets") -> tuple[str, ...]:
    """Of the words the trigger, or else the first instruction."""
    words = " ".join((preset.trigger or next(iter(preset.instructions), "")).split())
    here = "here" if presets.is_here(preset) else "to be fetched"
    shown = f"{words[: WIDTH - 1]}…" if len(words) > WIDTH else words
    return preset.name, preset.family, f"{preset.weight:g}", here, shown


def _presets() -> "Presets":
    from mmdit.lora.presets import PRESETS_FOLDER, Presets

    return Presets([PRESETS_FOLDER])


def _train(arguments: argparse.Namespace) -> int:
    from mmdit.cli_edit import check_output

    check_output(arguments.output, ".safetensors")
    from mmdit.load import load_trainable
    from mmdit.lora.training import LoraTrainingConfig, train

    config = LoraTrainingConfig(
        pairs=arguments.pairs, out=arguments.output, steps=arguments.steps,
        rank=arguments.rank, alpha=arguments.alpha, targets=arguments.targets,
        batch=arguments.batch, rate=arguments.rate, seed=arguments.seed,
        precision=arguments.precision, checkpoints=arguments.checkpoints,
    )  # fmt: skip
    config.check()
    train(load_trainable(arguments.model, arguments.device, arguments.memory, arguments.resolution), config)
    return 0
