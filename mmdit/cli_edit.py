"""python -m mmdit edit: one edit, or a strip of several strengths, from the command line.

In: arguments. Out: picture files, maps; progress and warnings on standard error.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdit.files import check_appearing

if TYPE_CHECKING:
    from PIL import Image

    from mmdit.editor import Editor, EditRequest, EditResult, StepProgress
    from mmdit.lora.presets import Presets
    from mmdit.lora.stack import LoraWeight


def add_edit(commands: argparse._SubParsersAction) -> None:
    """Add `edit` to the commands."""
    edit = commands.add_parser("edit", help="edit a picture")
    edit.add_argument(
        "images", nargs="+", metavar="IN.png … INSTRUCTION", help="the picture, references, the instruction"
    )
    edit.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    edit.add_argument("--model", default="mini", help="a name of `models`, a folder or a hub id")
    edit.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto for cuda where it is there, else cpu")
    edit.add_argument(
        "--memory", default="auto", help="full, offload, group, int8, int4, or auto for the best of them that fits"
    )
    edit.add_argument("--attention", default="native", metavar="KERNEL", help="native, flash, flash_hub, sage, …")
    edit.add_argument("--compile", action="store_true", help="compile the blocks: for many edits with one model")
    edit.add_argument("--steps", type=int, help="sampler steps; default: the model's")
    edit.add_argument("--guidance", type=float, help="how closely to follow the instruction; default: the model's")
    edit.add_argument("--negative", default="", help="what is not wanted, in words")
    edit.add_argument("--true-guidance", type=float, help="against --negative, for models that are told their guidance")
    edit.add_argument("--neutral", help="the instruction that stands for no change, for --strength")
    edit.add_argument(
        "--strength", type=_numbers, metavar="S",
        help="how strongly to follow the instruction beside --neutral: -1 to 3, 1 is as it stands; several, such as "
        "0 0.5 1 or 0,0.5,1, make a strip",
    )  # fmt: skip
    edit.add_argument("--denoise", type=float, help="share of the noise schedule, for image-to-image models")
    edit.add_argument("--resolution", type=int, help="work on about this many pixels squared; default: the model's")
    edit.add_argument(
        "--reasoning", choices=("think", "reflect"), default="", help="let the model think, or also check"
    )
    edit.add_argument("--mask", type=Path, metavar="MASK.png", help="edit only where this picture is white")
    edit.add_argument("--feather", type=float, help="width in pixels of the edge inside --mask; default: 8")
    edit.add_argument(
        "--guard", choices=("off", "measure", "correct"),
        help="measure, or also correct, how far the picture moves and its colours change; default: measure where the "
        "model paints the whole picture anew",
    )  # fmt: skip
    edit.add_argument("--literally", action="store_true", help="leave roundabout words as they stand")
    edit.add_argument("--seed", type=int, help="the same seed makes the same picture; default: drawn and reported")
    edit.add_argument(
        "--lora", action="append", default=[], metavar="NAME_OR_PATH[:W]",
        help="a preset, a .safetensors file or a hub id, with its weight from -2 to 2; can be given again",
    )  # fmt: skip
    edit.add_argument("--partial", action="store_true", help="apply what fits of a LoRA of which something does not")
    edit.add_argument(
        "--maps", type=Path,
        help="also record the joint attention, into this .npz: of each step, or with large models the mean of all",
    )  # fmt: skip
    edit.set_defaults(run=_edit)


def _edit(arguments: argparse.Namespace) -> int:
    from mmdit.images import load_image

    *pictures, instruction = arguments.images
    if not pictures:
        raise ValueError(f"only {instruction!r} was given; give a picture and then the instruction in quotes")
    check_output(arguments.output, ".png")
    if arguments.maps is not None:
        check_output(arguments.maps, ".npz")
    loaded = [load_image(picture) for picture in pictures]

    from mmdit.attention.spec import RecordSpec
    from mmdit.editor import StepProgress
    from mmdit.families.family import Speed
    from mmdit.load import load_editor
    from mmdit.lora.presets import PRESETS_FOLDER, Presets

    presets = Presets([PRESETS_FOLDER])
    request = _request(arguments, loaded, instruction, presets)
    request.check()
    editor = load_editor(
        arguments.model, arguments.device, presets, arguments.memory, Speed(arguments.attention, arguments.compile)
    )
    if arguments.maps is not None:  # of every step those of a large model would exceed the budget
        request = replace(request, record=RecordSpec(steps="all" if editor.entry.is_embedded else "mean"))
    plan = editor.plan(request)
    if editor.memory:
        print(f"{arguments.model}: {editor.memory}", file=sys.stderr)
    if editor.traits.resolution:
        sizes = [f"{width}×{height}" for width, height in (plan.working, plan.output)]
        print(f"works at {sizes[0]} for a picture of {sizes[1]}, {plan.steps} steps", file=sys.stderr)

    def show(progress: StepProgress) -> None:
        end = "\n" if progress.step == progress.steps else ""
        left = f"  {progress.seconds_left:.0f} s left"
        print(f"\rstep {progress.step}/{progress.steps}{left}", end=end, file=sys.stderr, flush=True)

    on_step = show if sys.stderr.isatty() else None
    if len(arguments.strength or ()) > 1:
        return _edit_strip(arguments, editor, request, on_step)
    _report(arguments, editor.edit(request, on_step))
    return 0


def _request(
    arguments: argparse.Namespace, pictures: "list[Image.Image]", instruction: str, presets: "Presets"
) -> "EditRequest":
    """What the command line asks for. Raises ValueError: a strength without --neutral, or the reverse; a bad mask."""
    from mmdit.editor import EditRequest
    from mmdit.families.strength import Strength
    from mmdit.region import FEATHER, Region, load_mask
    from mmdit.strip import MOST

    if (arguments.strength is None) != (arguments.neutral is None):
        raise ValueError("--strength and --neutral go together; give both or neither")
    if arguments.feather is not None and arguments.mask is None:
        raise ValueError("--feather is of a region; give its --mask as well")
    strengths = arguments.strength or ()
    if arguments.maps is not None and len(strengths) > 1:
        raise ValueError("--maps records one edit; give one --strength with it")
    if len(strengths) > MOST:
        raise ValueError(f"there are {len(strengths)} strengths; a strip shows {MOST} at most")
    feather = FEATHER if arguments.feather is None else arguments.feather
    strength = Strength(arguments.neutral, strengths[0]) if strengths else None
    return EditRequest(
        images=pictures, instruction=instruction, negative=arguments.negative, strength=strength,
        seed=arguments.seed, steps=arguments.steps, denoise=arguments.denoise, resolution=arguments.resolution,
        guidance=arguments.guidance, true_guidance=arguments.true_guidance, reasoning=arguments.reasoning,
        literally=arguments.literally or None, guard=arguments.guard,
        region=None if arguments.mask is None else Region(load_mask(arguments.mask), feather),
        loras=[_lora(text, presets, arguments.partial) for text in arguments.lora],
    )  # fmt: skip


def _edit_strip(
    arguments: argparse.Namespace,
    editor: "Editor",
    request: "EditRequest",
    on_step: "Callable[[StepProgress], None] | None",
) -> int:
    """One picture of several strengths."""
    from mmdit.images import save_png
    from mmdit.strip import edit_strip, side_by_side

    results = edit_strip(editor, request, arguments.strength, on_step)
    sheet = side_by_side([result.image for result in results], [f"{value:g}" for value in arguments.strength])
    save_png(sheet, arguments.output, {"strengths": arguments.strength, "edit": results[0].settings})
    _say(results)
    seconds = sum(result.timings["total"] for result in results)
    print(f"{arguments.output}  seed {results[0].settings['seed']}  {seconds:.1f} s")
    return 0


def _report(arguments: argparse.Namespace, result: "EditResult") -> None:
    """Write the result and say what was made."""
    from mmdit.images import save_png

    save_png(result.image, arguments.output, result.settings)
    if result.maps is not None:
        result.maps.save(arguments.maps)
    _say([result])
    print(f"{arguments.output}  seed {result.settings['seed']}  {result.timings['total']:.1f} s")


def _say(results: "Sequence[EditResult]") -> None:
    """What is to be said of the results, each sentence once."""
    for note in dict.fromkeys(note for result in results for note in result.notes):
        print(f"note: {note}", file=sys.stderr)
    for warning in dict.fromkeys(warning for result in results for warning in result.warnings):
        print(f"warning: {warning}", file=sys.stderr)


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


def join_strengths(arguments: Sequence[str]) -> list[str]:
    """`--strength 0 0.5 1` as `--strength=0,0.5,1`, so that what follows the numbers is not taken for one of them."""
    joined: list[str] = []
    is_open = False
    for argument in arguments:
        if is_open and _is_number(argument):
            joined[-1] += f"{',' if '=' in joined[-1] else '='}{argument}"
        else:
            joined.append(argument)
            is_open = argument == "--strength"
    return joined


def _numbers(text: str) -> list[float]:
    """Of `--strength`: one number, or several with commas between them."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and not several such as 0,0.5,1") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_output(file: Path, *suffixes: str) -> None:
    """Raises ValueError for a file that could not be written, before there is work to lose."""
    if file.suffix.lower() not in suffixes:
        raise ValueError(f"output {str(file)!r} must be a file that ends in {' or '.join(suffixes)}")
    if not file.parent.is_dir():
        raise ValueError(f"output folder {str(file.parent)!r} does not exist; make it first")
    try:
        check_appearing(file)
    except OSError as error:
        raise ValueError(f"output {str(file)!r} can't be written ({error.strerror}); give another one") from None
