"""python -m mmdit lora: LoRA files on the command line.

In: arguments. Out: text or JSON on standard output. Knows no more of LoRAs than `mmdit.lora` tells.
"""

import argparse
from pathlib import Path


def add_lora(commands: argparse._SubParsersAction) -> None:
    """Add ``lora`` with its own commands to those of ``python -m mmdit``."""
    parser = commands.add_parser("lora", help="look at LoRA files, train LoRAs")
    lora = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = lora.add_parser("inspect", help="what a LoRA is and what it would do to a model")
    inspect.add_argument("file", type=Path, metavar="FILE", help="a .safetensors file; only its header is read")
    inspect.add_argument(
        "--model", help="an architecture, a name of `models`, or a folder; default: what it looks like"
    )
    inspect.add_argument("--json", action="store_true", help="everything, for programs")
    inspect.set_defaults(run=_inspect)
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
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
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
    from mmdit.lora.inspect import inspect, read_header

    model = arguments.model or guess_family(read_header(arguments.file))[0]
    is_known = model != "unknown"
    report = inspect(arguments.file, linear_shapes(model) if is_known else {}, model if is_known else "no model")
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
        return 0

    def values(numbers: tuple[float, ...]) -> str:
        return ", ".join(f"{number:g}" for number in numbers) or "–"

    print(f"{arguments.file.name}: {report.format}, {report.dtype or 'no pairs'}, {report.bytes / 1e6:.1f} MB")
    print(f"sha256   {report.sha256}")
    print(f"family   {report.family}")
    print(f"because  {report.evidence}")
    print(f"rank     {values(report.ranks)}   alpha {values(report.alphas)}   scale {values(report.scales)}")
    print(f"against  {report.model}")
    if report.blocks:
        print(f"\n{report.table()}\n")
    print("everything fits" if report.whole else report.refusal())
    return 0


def _train(arguments: argparse.Namespace) -> int:
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
