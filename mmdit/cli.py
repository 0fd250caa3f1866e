"""python -m mmdit: the studio without a page.

In: arguments. Out: files, an exit status: 0 on success, 2 on bad input, with one sentence on standard error.
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn


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
    edit.set_defaults(run=_edit)

    models = commands.add_parser("models", help="list the editors")
    models.set_defaults(run=_models)

    train = commands.add_parser("train", help="train the embedded editor")
    train.add_argument("--data", type=Path, required=True, help="folder that mmdit.training.prepare filled")
    train.add_argument("--out", type=Path, required=True, help="run folder; an interrupted run in it is continued")
    train.add_argument("--samples", type=int, default=100_000)
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


def _edit(arguments: argparse.Namespace) -> int:
    from mmdit.images import load_image, save_png

    *pictures, instruction = arguments.images
    if not pictures:
        raise ValueError(f"only {instruction!r} was given; give a picture and then the instruction in quotes")
    if arguments.output.suffix.lower() != ".png":
        raise ValueError(
            f"output {str(arguments.output)!r} must end in .png, which keeps the settings with the picture"
        )
    if not arguments.output.parent.is_dir():
        raise ValueError(f"output folder {str(arguments.output.parent)!r} does not exist; make it first")
    loaded = [load_image(picture) for picture in pictures]

    from mmdit.editor import EditRequest, StepProgress, load_editor

    request = EditRequest(
        images=loaded, instruction=instruction,
        seed=arguments.seed, steps=arguments.steps, guidance=arguments.guidance,
    )  # fmt: skip
    request.check()
    editor = load_editor(arguments.model, arguments.device)

    def show(progress: StepProgress) -> None:
        end = "\n" if progress.step == progress.steps else ""
        print(f"\rstep {progress.step}/{progress.steps}", end=end, file=sys.stderr, flush=True)

    result = editor.edit(request, on_step=show if sys.stderr.isatty() else None)
    save_png(result.image, arguments.output, result.settings)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{arguments.output}  seed {result.settings['seed']}  {result.timings['total']:.1f} s")
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
