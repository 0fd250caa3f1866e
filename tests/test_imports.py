"""The house rules: imports flow one way, only the page knows gradio, importing does nothing but import."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmdit

REPOSITORY = Path(__file__).resolve().parent.parent
LAYERS = (
    {"mmdit.files"},
    {
        "mmdit.images",
        "mmdit.catalog",
        "mmdit.hub_errors",
        "mmdit.told",
        "mmdit.attention.layout",
        "mmdit.attention.fused",
    },
    {"mmdit.model", "mmdit.region", "mmdit.alignment"},
    {"mmdit.attention", "mmdit.lora"},
    {"mmdit.families", "mmdit.finish"},
    {"mmdit.training"},
    {"mmdit.request"},
    {"mmdit.editor"},
    {"mmdit.load", "mmdit.strip"},
    {"mmdit"},
    {"mmdit.runtime", "mmdit.space"},
    {
        "mmdit.ui",
        "mmdit.cli",
        "mmdit.cli_convert",
        "mmdit.cli_edit",
        "mmdit.cli_history",
        "mmdit.cli_lora",
        "mmdit.cli_space",
        "mmdit.__main__",
    },
    {"app"},
)
"""From the ground up; a module belongs to the longest of these names that begins its own."""
SIDEWAYS = {
    ("mmdit.__main__", "mmdit.cli"), ("mmdit.cli", "mmdit.cli_edit"), ("mmdit.cli", "mmdit.cli_lora"),
    ("mmdit.cli", "mmdit.cli_convert"), ("mmdit.cli", "mmdit.cli_history"), ("mmdit.cli", "mmdit.cli_space"),
    ("mmdit.cli_history", "mmdit.cli_edit"), ("mmdit.cli_lora", "mmdit.cli_edit"),
}  # fmt: skip
NOT_FOR_TRAINING = {"mmdit.runtime", "mmdit.ui", "mmdit.load", "mmdit.editor", "mmdit"}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for file in (*sorted((REPOSITORY / "mmdit").rglob("*.py")), REPOSITORY / "app.py")}


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    parts = [part for layer in LAYERS for part in layer if f"{module}.".startswith(f"{part}.")]
    assert parts, f"{module} belongs to no layer"
    longest = max(parts, key=len)
    inside = module in ("mmdit", longest) or longest != "mmdit"
    assert inside, f"{module} is a new part: give it a layer in {Path(__file__).name}"
    return longest


def height(part: str) -> int:
    (level,) = (level for level, layer in enumerate(LAYERS) if part in layer)
    return level


def imported_by(file: Path) -> set[str]:
    """Full names of every module that a file imports, inside functions and for type checking too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively; write the module's full name"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= submodules & set(FILES)
            if submodules - set(FILES):
                names.add(node.module)
    return names


@pytest.mark.parametrize("module", FILES)
def test_imports_flow_one_way(module: str) -> None:
    own = part_of(module)
    for imported in imported_by(FILES[module]):
        if imported.split(".")[0] not in ("mmdit", "app"):
            continue
        other = part_of(imported)
        allowed = other == own or height(other) < height(own) or (own, other) in SIDEWAYS
        assert allowed, f"{module} imports {imported}, which is beside or above it"


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("mmdit.training")])
def test_training_knows_neither_page_nor_studio(module: str) -> None:
    for imported in imported_by(FILES[module]):
        if imported.startswith("mmdit"):
            assert part_of(imported) not in NOT_FOR_TRAINING, f"{module} imports {imported}"


@pytest.mark.parametrize("module", FILES)
def test_only_the_page_knows_gradio(module: str) -> None:
    if part_of(module) not in ("mmdit.ui", "app"):
        assert not {name for name in imported_by(FILES[module]) if name.split(".")[0] == "gradio"}


WATCH = """
import json, os, sys
repository, seen = sys.argv[1], []

def writes(mode, flags):
    return (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or bool(
        isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )

def watch(event, arguments):
    in_packages = event == "open" and str(arguments[0]).startswith(sys.prefix)  # gradio keeps a file in its own folder
    if event == "open" and writes(*arguments[1:3]) and str(arguments[0]).startswith((repository, os.getcwd())):
        if not in_packages:
            seen.append(f"wrote {arguments[0]}")
    elif event == "socket.bind" and arguments[1][1] == 0:
        pass  # urllib3 asks in this way whether the machine has IPv6
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        seen.append(f"{event} {arguments[1:]}")
    elif event == "os.mkdir" and str(arguments[0]).startswith((repository, os.getcwd())):
        seen.append(f"made {arguments[0]}")

sys.addaudithook(watch)
import importlib
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps(seen))
"""


def test_importing_writes_nothing_and_calls_nobody(tmp_path: Path) -> None:
    modules = [module for module in FILES if module != "mmdit.__main__"]  # which runs
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", WATCH, str(REPOSITORY), *modules],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == []
    assert not list(tmp_path.iterdir())


def test_the_command_line_shows_its_help_without_what_edits_need() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import sys, mmdit.cli; print(*{name.split('.')[0] for name in sys.modules})"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert not {"torch", "numpy", "PIL", "gradio"} & set(ended.stdout.split())


def test_every_public_name_can_be_imported_and_is_seen_by_type_checkers() -> None:
    for name in mmdit.__all__:
        value = getattr(mmdit, name)
        assert value is getattr(importlib.import_module(value.__module__), name)
    tree = ast.parse(FILES["mmdit"].read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    assert sorted(alias.name for node in checked.body for alias in node.names) == sorted(mmdit.__all__)
    assert set(mmdit.__all__) <= set(dir(mmdit))
    with pytest.raises(AttributeError, match="nonesuch"):
        mmdit.nonesuch  # noqa: B018
