"""python -m mmdit history: the folder of results on the command line.

In: arguments. Out: text or JSON, bundles, pictures. Knows no more of results than `mmdit.runtime` tells.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from mmdit.editor import Editor
    from mmdit.runtime.history import Entry, History

SHOWN = 20
WIDTH = 72  # characters of an instruction in a list


def add_history(commands: argparse._SubParsersAction) -> None:
    """Add ``history`` with its own commands to those of ``python -m mmdit``."""
    parser = commands.add_parser("history", help="look through results, pass them on, make them again")
    history = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = history.add_parser("list", help="the newest results")
    search = history.add_parser("search", help="results with some words in instruction, model, LoRAs, name or date")
    search.add_argument("text")
    for command in (listing, search):
        command.add_argument("-n", "--number", type=int, help=f"how many; default: {SHOWN}, or all with --json")
        command.add_argument("--json", action="store_true", help="all of them, with all settings, for programs")
        command.set_defaults(run=_list)
    listing.set_defaults(text="")

    export = history.add_parser("export", help="write a result with its sources, settings and maps as one .zip")
    export.add_argument("name", help="of a result, as `history list` shows it")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip")
    export.set_defaults(run=_export)

    opening = history.add_parser("import", help="open such a .zip into the folder of results")
    opening.add_argument("file", type=Path, metavar="FILE.zip")
    opening.add_argument("--outputs-limit", default="0", metavar="SIZE", help="as of app.py; default: none")
    opening.set_defaults(run=_import)

    again = history.add_parser("reproduce", help="make a result again and compare; status 1 if it differs")
    again.add_argument("result", help="a name of `history list`, or a PNG made here, whose sources are given too")
    again.add_argument(
        "sources", type=Path, nargs="*", metavar="SOURCE.png", help="what the PNG was made from, in order"
    )
    again.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    again.add_argument("--model", help="a name of `models`, a folder or a hub id; default: the result's, of `models`")
    again.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto for cuda where it is there, else cpu")
    again.add_argument(
        "--memory", default="auto", help="full, offload, group, int8, int4, or auto for the best of them that fits"
    )
    again.add_argument(
        "--lora", action="append", default=[], metavar="NAME_OR_PATH", help="where a LoRA of the result may be"
    )
    again.set_defaults(run=_reproduce)

    for command in (listing, search, export, opening, again):
        command.add_argument("--outputs", type=Path, default=Path("outputs"), help="the folder; default: outputs")


def _list(arguments: argparse.Namespace) -> int:
    import json

    from mmdit.runtime.sizes import shown_size
    from mmdit.runtime.storage import sizes

    if arguments.number is not None and arguments.number < 1:
        raise ValueError(f"--number is {arguments.number}; give at least 1")
    history = _history(arguments)
    found = history.search(arguments.text)
    if arguments.json:
        programs = [_for_programs(entry) for entry in found[: arguments.number]]
        print(json.dumps(programs, indent=2, ensure_ascii=False))
        return 0
    entries = found[: arguments.number or SHOWN]
    for entry in entries:
        print(f"{entry.name}  {entry.made:%Y-%m-%d %H:%M}  {_line(entry)}")
    more = f", the newest {len(entries)} are shown" if len(found) > len(entries) else ""
    takes = shown_size(sum(sizes(history.folder).values()))
    print(f"{len(found)} results found{more}; {arguments.outputs} holds {takes}", file=sys.stderr)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from mmdit.cli_edit import check_output
    from mmdit.runtime.bundle import export_bundle

    check_output(arguments.output, ".zip")
    export_bundle(_entry(_history(arguments), arguments.name), arguments.output)
    print(arguments.output)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from mmdit.runtime.bundle import import_bundle
    from mmdit.runtime.history import History, log
    from mmdit.runtime.reproduce import hindrance
    from mmdit.runtime.sizes import parse_size

    if not arguments.file.is_file():
        raise ValueError(f"there is no file {str(arguments.file)!r}; give one that `history export` wrote")
    log.addHandler(logging.NullHandler())  # what it logs is printed below
    history = History(arguments.outputs, parse_size(arguments.outputs_limit))
    entry = import_bundle(arguments.file, history)
    print(entry.name)
    for warning in filter(None, (hindrance(entry.settings), *history.trim())):
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from mmdit.cli_edit import check_output
    from mmdit.images import load_image, save_png
    from mmdit.runtime.reproduce import circumstances, difference, request_for, request_of

    check_output(arguments.output, ".png")
    kept, settings, sources = _kept(arguments)
    request_of(settings, sources)  # complains before a model is loaded
    editor = _editor(arguments, settings)
    made = editor.edit(request_for(editor, settings, sources, arguments.lora))
    save_png(made.image, arguments.output, made.settings)
    apart = difference(made.image, load_image(kept))
    print(f"{arguments.output}  {apart.sentence()}")
    if apart.pixels and (why := circumstances(settings)):
        print(f"warning: {why}", file=sys.stderr)
    return 1 if apart.pixels else 0


def _kept(arguments: argparse.Namespace) -> "tuple[Path, dict[str, Any], list[Image.Image]]":
    """The result to make again: its file, settings and sources. Raises ValueError: there is none."""
    from mmdit.images import load_image, read_settings

    file = Path(arguments.result)
    if file.suffix.lower() != ".png":
        if arguments.sources:
            raise ValueError("a result of the folder has its sources; give them for a PNG only")
        entry = _entry(_history(arguments), arguments.result)
        return entry.result, entry.settings, [load_image(source) for source in entry.sources]
    load_image(file)  # in full, so that a damaged one is told now
    settings = read_settings(file)
    if not isinstance(settings, dict):
        raise ValueError(f"{file} has no settings of ours in it; give a PNG as it was made here, unchanged")
    return file, settings, [load_image(source) for source in arguments.sources]


def _editor(arguments: argparse.Namespace, settings: "dict[str, Any]") -> "Editor":
    """The model that was asked for, or the catalog's of that name; no folder or hub id that only a file names."""
    from mmdit.catalog import CATALOG
    from mmdit.load import load_editor

    model = arguments.model
    if model is None:
        model = settings.get("model")
        if model not in CATALOG:
            raise ValueError(f"the result was made with {str(model)[:80]!r}, no name of `models`; give it with --model")
    return load_editor(model, arguments.device, memory=arguments.memory)


def _history(arguments: argparse.Namespace) -> "History":
    from mmdit.runtime.history import History

    if not arguments.outputs.is_dir():
        raise ValueError(f"there is no folder {str(arguments.outputs)!r}; name the folder of results with --outputs")
    return History(arguments.outputs)


def _entry(history: "History", name: str) -> "Entry":
    entry = history.find(name)
    if entry is None:
        raise ValueError(f"there is no result {name!r} in {history.folder.name}; `history list` shows those there are")
    return entry


def _line(entry: "Entry") -> str:
    text = " ".join(str(entry.settings.get("instruction", "")).split())
    text = f"{text[: WIDTH - 1]}…" if len(text) > WIDTH else text
    line = f"{entry.settings.get('model')}  {text}"
    return "".join(letter if letter.isprintable() else "�" for letter in line)  # it may come from anybody


def _for_programs(entry: "Entry") -> "dict[str, Any]":
    files = {"result": str(entry.result), "sources": [str(source) for source in entry.sources]}
    maps = {} if entry.maps is None else {"maps": str(entry.maps)}
    return {"name": entry.name, "made": entry.made.isoformat(), **files, **maps, "settings": entry.settings}
