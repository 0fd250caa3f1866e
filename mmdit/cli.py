"""python -m mmdit: the studio without a page.

In: arguments. Out: files, an exit status: 0 on success, 2 on bad input, with one sentence on standard error.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mmdit.cli_lora import add_lora

if TYPE_CHECKING:
    from mmdit.lora.presets import Presets
    from mmdit.lora.stack import LoraWeight


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
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

    edit = commands.add_parser("edit", help="edit a picture")
    edit.add_argument(
        "images", nargs="+", metavar="IN.png … INSTRUCTION", help="the picture, references, the instruction"
    )
    edit.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    edit.add_argument("--model", default="mini", help="a name of `models`, or a folder")
    edit.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    edit.add_argument("--steps", type=int, help="sampler steps; default: the model's")
    edit.add_argument("--guidance", type=float, help="classifier-free guidance, 1 is none; default: the model's")
    edit.add_argument("--seed", type=int, help="the same seed makes the same picture; default: drawn and reported")
    edit.add_argument(
        "--lora", action="append", default=[], metavar="NAME_OR_PATH[:W]",
        help="a preset, a .safetensors file or a hub id, with its weight from -2 to 2; can be given again",
    )  # fmt: skip
    edit.add_argument("--partial", action="store_true", help="apply what fits of a LoRA of which something does not")
    edit.add_argument("--maps", type=Path, help="also record the joint attention, into this .npz")
    edit.set_defaults(run=_edit)

    models = commands.add_parser("models", help="list the editors")
    models.set_defaults(run=_models)

    _add_maps(commands)
    add_lora(commands)
    _add_bench(commands)

    train = commands.add_parser("train", help="train the embedded editor")
    train.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    train.add_argument("--out", type=Path, required=True, help="run folder; an interrupted run in it is continued")
    train.add_argument("--samples", type=int, default=100_000)
    train.add_argument("--start-from", type=Path, help="folder of a transformer to go on from; default: fresh weights")
    train.add_argument("--batch", type=int, default=64)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
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


def _edit(arguments: argparse.Namespace) -> int:
    from mmdit.images import load_image, save_png

    *pictures, instruction = arguments.images
    if not pictures:
        raise ValueError(f"only {instruction!r} was given; give a picture and then the instruction in quotes")
    _check_output(arguments.output, ".png")
    if arguments.maps is not None:
        _check_output(arguments.maps, ".npz")
    loaded = [load_image(picture) for picture in pictures]

    from mmdit.attention.spec import RecordSpec
    from mmdit.editor import EditRequest, StepProgress, load_editor
    from mmdit.lora.presets import PRESETS_FOLDER, Presets

    presets = Presets([PRESETS_FOLDER])
    request = EditRequest(
        images=loaded, instruction=instruction,
        seed=arguments.seed, steps=arguments.steps, guidance=arguments.guidance,
        loras=[_lora(text, presets, arguments.partial) for text in arguments.lora],
        record=None if arguments.maps is None else RecordSpec(steps="all"),
    )  # fmt: skip
    request.check()
    editor = load_editor(arguments.model, arguments.device, presets)

    def show(progress: StepProgress) -> None:
        end = "\n" if progress.step == progress.steps else ""
        print(f"\rstep {progress.step}/{progress.steps}", end=end, file=sys.stderr, flush=True)

    result = editor.edit(request, on_step=show if sys.stderr.isatty() else None)
    save_png(result.image, arguments.output, result.settings)
    if result.maps is not None:
        result.maps.save(arguments.maps)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{arguments.output}  seed {result.settings['seed']}  {result.timings['total']:.1f} s")
    return 0


def _lora(text: str, presets: "Presets", partial: bool) -> "LoraWeight":
    """From NAME_OR_PATH[:WEIGHT]; a preset without a weight gets its own, a file 1."""
    from mmdit.lora.stack import LoraWeight

    name, colon, number = text.rpartition(":")
    try:
        if colon:
            return LoraWeight(name, float(number), partial=partial)
    except ValueError:
        pass  # the colon belongs to the name
    preset = presets.find(text)
    return LoraWeight(text, 1.0 if preset is None else preset.weight, partial=partial)


def _check_output(file: Path, *suffixes: str) -> None:
    """Raises ValueError for a file that could not be written, before there is work to lose."""
    if file.suffix.lower() not in suffixes or file.is_dir():
        raise ValueError(f"output {str(file)!r} must be a file that ends in {' or '.join(suffixes)}")
    if not file.parent.is_dir():
        raise ValueError(f"output folder {str(file.parent)!r} does not exist; make it first")


def _show_maps(arguments: argparse.Namespace) -> int:
    from mmdit.attention.figure import draw_word
    from mmdit.attention.maps import AttentionMaps
    from mmdit.images import load_image

    _check_output(arguments.output, ".png", ".gif")
    maps = AttentionMaps.load(arguments.maps)
    pictures = {f"reference:{index}": load_image(file) for index, file in enumerate(arguments.reference or [])}
    if arguments.picture is not None:
        pictures["target"] = load_image(arguments.picture)
    layers = arguments.layer and [int(layer) if layer.lstrip("-").isdigit() else layer for layer in arguments.layer]
    draw_word(
        maps, arguments.word, arguments.output, direction=arguments.direction, streams=arguments.stream, layers=layers,
        step=arguments.step, pictures=pictures, colour_map=arguments.colour_map,
    )  # fmt: skip
    print(arguments.output)
    return 0


def _bench_attention(arguments: argparse.Namespace) -> int:
    from mmdit.attention.bench import bench

    bench(tuple(arguments.tokens), arguments.repeats, arguments.json)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from mmdit.catalog import CATALOG

    for entry in CATALOG.values():
        print(f"{entry.name}\n  task     {entry.task}\n  licence  {entry.licence}\n  needs    {entry.needs}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from mmdit.training.train import TrainingConfig, train

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
            compile=not arguments.no_compile,
            save_every=arguments.save_every,
        )
    )
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from mmdit.training.evaluate import evaluate

    evaluate(arguments.model, arguments.data, arguments.out, tuple(arguments.steps), arguments.per_kind)
    return 0
