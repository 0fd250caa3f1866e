"""python -m mmdit convert: checkpoints of other layouts, for those models that have them.

In: arguments. Out: a folder; progress and what is to be known on standard error.
"""

import argparse
import sys
from pathlib import Path


def add_convert(commands: argparse._SubParsersAction) -> None:
    """Add ``convert`` to the commands."""
    convert = commands.add_parser("convert", help="bring original checkpoints into diffusers layout").add_subparsers(
        required=True, metavar="MODEL"
    )
    step1x = convert.add_parser("step1x", help="Step1X-Edit's single files (1.0, 1.1) and LoRAs")
    step1x.add_argument("file", type=Path, metavar="IN.safetensors", help="a checkpoint or a LoRA")
    step1x.add_argument("out", type=Path, metavar="OUT_DIR", help="a folder that is not there yet")
    step1x.add_argument("--version", choices=("1.0", "1.1"), help="of the checkpoint; default: what it looks like")
    step1x.add_argument("--vae", type=Path, metavar="FILE", help="the original vae.safetensors")
    step1x.add_argument("--text-encoder", type=Path, metavar="FOLDER", help="of Qwen2.5-VL-7B-Instruct")
    step1x.add_argument("--model", metavar="FOLDER", help="that a LoRA is for; default: the published one")
    step1x.set_defaults(run=_convert_step1x)


def _convert_step1x(arguments: argparse.Namespace) -> int:
    from mmdit.families.step1x_edit.convert import convert_checkpoint
    from mmdit.families.step1x_edit.convert_lora import convert_lora, is_lora
    from mmdit.lora.architectures import linear_shapes

    def show(done: int, parts: int) -> None:
        if sys.stderr.isatty():
            print(f"\rfile {done}/{parts}", end="\n" if done == parts else "", file=sys.stderr, flush=True)

    file, model = arguments.file, arguments.model
    parts = {"version": arguments.version, "vae": arguments.vae, "text_encoder": arguments.text_encoder}
    if is_lora(file):
        if any(parts.values()):
            raise ValueError(f"{str(file)!r} is a LoRA; leave out --version, --vae and --text-encoder")
        said = convert_lora(file, arguments.out, linear_shapes(model or "step1x-edit"))
    else:
        if model is not None:
            raise ValueError(f"--model {model} is for LoRAs, and {str(file)!r} is none; leave it out")
        said = convert_checkpoint(file, arguments.out, **parts, on_part=show)
    for sentence in said:
        print(sentence, file=sys.stderr)
    return 0
