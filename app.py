"""The door: python app.py opens the studio in the browser, on this machine only.

The page shows at once; the model loads meanwhile, in the worker that will run it.
"""

import argparse
import errno
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as `spaces` reads it
if ZERO_GPU:
    import spaces  # before whatever could start CUDA

FIRST_PORT = 7860


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see python {self.prog} --help\n")  # one line, not all usage


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="app.py", description="A local studio for editing pictures with words.")
    model = os.environ.get("MMDIT_MODEL", "mini")  # for Spaces, which start this without arguments
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    parser.add_argument(
        "--model", default=model,
        help="what to begin with: a name of `python -m mmdit models`, a folder or a hub id; default: mini, which is "
        "shipped. The page's tab “Model” exchanges it",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"),
        help="default: auto, cuda where it is there, else the CPU",
    )  # fmt: skip
    parser.add_argument(
        "--memory", default="auto", metavar="MODE",
        help="how that model lies in memory: full, offload, group, int8 or int4; default: auto, the best that fits",
    )  # fmt: skip
    parser.add_argument(
        "--attention", default="native", metavar="KERNEL",
        help="for that model: native, flash, flash_hub, sage, …; default: native",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action="store_true", help="compile that model's blocks; not for the embedded editor"
    )
    parser.add_argument("--host", default=host, help="address to listen on; default: this machine only")
    parser.add_argument("--port", type=int, help="default: 7860, or the next one that is free")
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="folder where results are kept; default: outputs"
    )
    parser.add_argument(
        "--outputs-limit", default="5GB", metavar="SIZE",
        help="how much that folder may hold, oldest removed first: 750MB, …; 0 for no limit; default: 5GB",
    )  # fmt: skip
    return parser


def _free_port(host: str, wanted: int | None) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + 100) if wanted is None else [wanted]:
        try:
            with socket.create_server((host, port)):
                return port
        except (OSError, OverflowError) as error:
            if wanted is not None or getattr(error, "errno", None) != errno.EADDRINUSE:
                raise ValueError(f"can't use {host}:{port}: {error}; try another --host or --port") from error
    raise ValueError(f"ports {FIRST_PORT} to {port} are all taken; give another with --port")


def _fetch(choice, on_progress) -> None:
    from mmdit.load import fetch  # brings PyTorch along

    fetch(choice.name, on_progress)


def _load(arguments: argparse.Namespace, choice):
    from mmdit.families.family import Speed
    from mmdit.load import load_editor

    meant = choice.name == arguments.model  # what makes one model faster may not do for another
    speed = Speed(arguments.attention, arguments.compile) if meant else Speed()
    editor = load_editor(choice.name, arguments.device, memory=choice.memory, speed=speed)
    if editor.memory:
        print(f"{choice.name}: {editor.memory}", file=sys.stderr)
    if not ZERO_GPU:
        return editor
    from mmdit.space.zero_gpu import BorrowingEditor

    return BorrowingEditor(editor, spaces.GPU)


def _loader(arguments: argparse.Namespace, first):
    """What loads models. On ZeroGPU the first one is loaded at once: what is there before the page is served is quick
    to reach a lent GPU."""
    load = partial(_load, arguments)
    if not ZERO_GPU:
        return load
    ready = {first: load(first)}
    return lambda choice: ready.pop(choice, None) or load(choice)


def main() -> int:
    """Serve the page until interrupted; returns the exit status."""
    arguments = _parser().parse_args()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        from mmdit.catalog import find
        from mmdit.runtime.history import History
        from mmdit.runtime.jobs import Jobs
        from mmdit.runtime.model_slot import ModelChoice
        from mmdit.runtime.sizes import parse_size
        from mmdit.ui import page

        model, first = find(arguments.model), ModelChoice(arguments.model, arguments.memory)
        limit = parse_size(arguments.outputs_limit)
        port = _free_port(arguments.host, arguments.port)
        if port != (arguments.port or FIRST_PORT):
            print(f"port {FIRST_PORT} is taken; using {port}", file=sys.stderr)
        history = History(arguments.outputs, limit)
        history.remove_leftovers()
        with Jobs(_loader(arguments, first), history, first, _fetch) as jobs:
            page.serve(jobs, model, arguments.host, port)
    except (ValueError, OSError) as error:
        print(f"app.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
