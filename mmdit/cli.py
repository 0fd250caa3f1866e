"""python -m mmdit: the studio without a page.

In: arguments. Out: files, an exit status: 0 on success, 2 on bad input, with one sentence on standard error, 130 when
stopped, 141 when nobody reads standard output any more, as shells have it.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from mmdit.cli_convert import add_convert
from mmdit.cli_edit import add_edit, check_output, join_strengths
from mmdit.cli_history import add_history
from mmdit.cli_lora import add_lora
from mmdit.cli_space import add_space


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        arguments = _parser().parse_args(join_strengths(sys.argv[1:] if argv is None else argv))
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has seen enough; Python would flush the rest at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError) as error:
        sentence = " ".join(str(error).split())
        print(f"mmdit: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mmdit: stopped", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake costs one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m mmdit", description="Edit pictures with words.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_edit(commands)

    models = commands.add_parser("models", help="list the editors")
    models.set_defaults(run=_models)

    _add_maps(commands)
    add_lora(commands)
    add_history(commands)
    add_convert(commands)
    add_space(commands)
    _add_bench(commands)

    train = commands.add_parser("train", help="train the embedded editor")
    train.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    train.add_argument("--out", type=Path, required=True, help="run folder; an interrupted run in it is continued")
    train.add_argument("--samples", type=int, default=100_000)
    train.add_argument("--start-from", type=Path, help="folder of a transformer to go on from; default: fresh weights")
    train.add_argument("--batch", type=int, default=64)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--matrix-rate", type=float, default=0.02, help="peak learning rate of the blocks' matrices")
    train.add_argument("--other-rate", type=float, default=1e-3, help="peak learning rate of all else")
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    train.add_argument(
        "--size", choices=("small", "mini", "large"), default="mini",
        help="width and blocks: 192 and 4, 240 and 6 (what ships), 768 and 16 (for a large GPU)",
    )  # fmt: skip
    train.add_argument("--attention", choices=("joint", "cross"), default="joint", help="cross: for comparison")
    train.add_argument("--only", choices=("object_head",), default="", help="train this part alone, the rest stays")
    train.add_argument("--no-compile", action="store_true", help="skip compilation: better for short runs")
    train.add_argument("--save-every", type=float, default=240.0, help="seconds between saved states")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="measure an embedded editor on held-out edits")
    evaluate.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    evaluate.add_argument("--model", default="mini", help="a name of `models`, or a folder")
    evaluate.add_argument("--out", type=Path, required=True, help="folder for results.json and contact sheets")
    evaluate.add_argument("--steps", type=int, nargs="+", default=[1, 4, 8])
    evaluate.add_argument("--per-kind", type=int, default=24, help="held-out samples of each kind")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _add_maps(commands: argparse._SubParsersAction) -> None:
    maps = commands.add_parser("maps", help="look at recorded attention").add_subparsers(
        required=True, metavar="COMMAND"
    )
    show = maps.add_parser("show", help="draw one word's attention")
    show.add_argument("maps", type=Path, metavar="MAPS.npz", help="what `edit --maps` wrote")
    show.add_argument("--word", required=True, help="a word of the instruction")
    show.add_argument("-o", "--output", type=Path, required=True, help=".png, or .gif through the steps or layers")
    show.add_argument("--direction", default="image_to_text", help="image_to_text or text_to_image")
    show.add_argument("--stream", action="append", help="target or reference:0, …; default: all")
    show.add_argument("--layer", action="append", help="a layer's name or position; default: the most telling ones")
    show.add_argument("--step", type=int, help="position of one recorded step; default: the mean")
    show.add_argument("--picture", type=Path, help="the edited picture, to draw over")
    show.add_argument("--reference", type=Path, action="append", help="the reference pictures, in order")
    show.add_argument("--colour-map", default="magma", help="magma, viridis, inferno or cividis")
    show.set_defaults(run=_show_maps)


def _add_bench(commands: argparse._SubParsersAction) -> None:
    bench = commands.add_parser("bench", help="measure what things cost here").add_subparsers(
        required=True, metavar="COMMAND"
    )
    attention = bench.add_parser("attention", help="recording attention against a plain run and against full maps")
    attention.add_argument("--tokens", type=int, nargs="+", default=[1024, 2304, 4096], help="image tokens, squares")
    attention.add_argument("--repeats", type=int, default=5, help="timed runs of each mode")
    attention.add_argument("--json", type=Path, help="also write the numbers here")
    attention.set_defaults(run=_bench_attention)

    family = bench.add_parser("family", help="a real architecture on random weights: plain, recorded, full softmax")
    family.add_argument("--family", required=True, help="flux-kontext, qwen-image-edit, …; an unknown one lists them")
    family.add_argument("--random-weights", action="store_true", help="required: nothing is loaded or downloaded")
    family.add_argument("--resolution", type=int, default=1024, help="pixels of a side of target and reference")
    family.add_argument("--steps", type=int, default=4, help="transformer calls of a run")
    family.add_argument("--repeats", type=int, default=3, help="timed runs of each mode")
    family.add_argument("--device", default="auto", help="cuda, cpu, or auto for cuda where it is there")
    family.add_argument("--blocks", type=int, help="keep only so many double and so many single blocks, to try it out")
    family.add_argument("--json", type=Path, help="also write the numbers here")
    family.set_defaults(run=_bench_family)


def _show_maps(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, ".png", ".gif")
    from mmdit.attention.figure import draw_word, misfits
    from mmdit.attention.maps import AttentionMaps
    from mmdit.images import load_image

    maps = AttentionMaps.load(arguments.maps)
    pictures = {f"reference:{index}": load_image(file) for index, file in enumerate(arguments.reference or [])}
    if arguments.picture is not None:
        pictures["target"] = load_image(arguments.picture)
    layers = arguments.layer and [int(layer) if layer.lstrip("-").isdigit() else layer for layer in arguments.layer]
    draw_word(
        maps, arguments.word, arguments.output, direction=arguments.direction, streams=arguments.stream, layers=layers,
        step=arguments.step, pictures=pictures, colour_map=arguments.colour_map,
    )  # fmt: skip
    for warning in misfits(maps, pictures):
        print(f"warning: {warning}", file=sys.stderr)
    print(arguments.output)
    return 0


def _bench_attention(arguments: argparse.Namespace) -> int:
    if arguments.json is not None:
        check_output(arguments.json, ".json")
    from mmdit.attention.bench import bench

    bench(tuple(arguments.tokens), arguments.repeats, arguments.json)
    return 0


def _bench_family(arguments: argparse.Namespace) -> int:
    if not arguments.random_weights:
        raise ValueError("bench family needs --random-weights; real weights are loaded with `python -m mmdit edit`")
    if arguments.json is not None:
        check_output(arguments.json, ".json")
    from mmdit.families.bench import Settings, bench

    settings = Settings(
        arguments.family, arguments.resolution, arguments.steps, arguments.repeats, arguments.device, arguments.blocks
    )
    bench(settings, arguments.json)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from mmdit.catalog import CATALOG
    from mmdit.families.listing import describe_models
    from mmdit.families.machine import measure

    print(describe_models(CATALOG.values(), measure()))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from mmdit.training.train import SIZES, TrainingConfig, train

    channels, layers = SIZES[arguments.size]
    train(
        TrainingConfig(
            data=arguments.data,
            out=arguments.out,
            samples=arguments.samples,
            start_from=arguments.start_from,
            batch=arguments.batch,
            seed=arguments.seed,
            device=arguments.device,
            precision=arguments.precision,
            channels=channels,
            layers=layers,
            attention=arguments.attention,
            only=arguments.only,
            compile=not arguments.no_compile,
            save_every=arguments.save_every,
            matrix_rate=arguments.matrix_rate,
            other_rate=arguments.other_rate,
        )
    )
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from mmdit.training.evaluate import evaluate

    evaluate(arguments.model, arguments.data, arguments.out, tuple(arguments.steps), arguments.per_kind)
    return 0
