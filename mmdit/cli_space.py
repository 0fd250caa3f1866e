"""python -m mmdit space: the Hugging Face Space that this repository makes.

In: arguments. Out: a report on standard output, a folder to upload.
"""

import argparse
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def add_space(commands: argparse._SubParsersAction) -> None:
    """Add ``space`` with its own commands to those of ``python -m mmdit``."""
    space = commands.add_parser("space", help="make a Hugging Face Space").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = space.add_parser("check", help="what would be uploaded, and whether it would work there")
    check.add_argument("--out", type=Path, metavar="DIR", help="also write the folder to upload; it must not be there")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from mmdit.space.check import check
    from mmdit.space.folder import files_of, write

    files = files_of(REPOSITORY)
    report = check(REPOSITORY, files)
    if arguments.out is not None and not report.problems:
        write(REPOSITORY, files, arguments.out)
    print(report.text())
    return 2 if report.problems else 0
