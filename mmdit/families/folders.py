"""What the folder of a model must hold, and whether it does.

In: a local folder, or the model_index.json of one that is still to come. Out: a `Located` folder that is whole and safe
to load, its `Component`s, or a sentence that names the first file that is amiss. Only JSON and the headers of
safetensors are read; nothing that a folder brings is executed. Knows no family, no machine, and of the hub only how its
cache is laid out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdit.lora.header import LoraError, read_header
from mmdit.lora.preset_schema import HUB_REPOSITORY

EMBEDDED = "MiniMMDiT"
LIBRARIES = ("diffusers", "transformers")
STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""Library → how it names a component's weights."""
OWN_CLASSES = {"Step1XEditTransformer2DModel": "mmdit.families.step1x_edit.transformer"}
"""Classes that published folders count as diffusers', though no release of it has them → where they are here."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "tekken.json")
POINTER = b"version https://git-lfs"


class ModelError(ValueError):
    """A model that can't be had or run here; one sentence with the value and the remedy."""


class UnfinishedError(ModelError):
    """A folder of which something has not arrived."""


@dataclass(frozen=True)
class Located:
    """A folder that was found whole.

    Args:
        pipeline: class name of its model_index.json; None for an embedded editor.
    """

    folder: Path
    pipeline: str | None


@dataclass(frozen=True)
class Component:
    """One entry of a model_index.json: ``library.kind``, in the folder ``name``."""

    name: str
    library: str
    kind: str

    @property
    def module(self) -> str:
        """Where its class is."""
        return OWN_CLASSES.get(self.kind, self.library)

    @property
    def is_model(self) -> bool:
        """Whether it has weights."""
        return not self.kind.endswith(("Scheduler", "Processor", "FeatureExtractor")) and "Tokenizer" not in self.kind

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """Of each group, one file has to be there."""
        if self.is_model:
            return (("config.json",),)
        if self.kind.endswith("Scheduler"):
            return (("scheduler_config.json",),)
        if "Tokenizer" in self.kind:
            return ("tokenizer_config.json",), VOCABULARIES
        return (("processor_config.json", "preprocessor_config.json"),)


def check_folder(folder: Path) -> Located:
    """A folder that is there, found whole.

    Raises:
        UnfinishedError: something is missing.
        ModelError: it is no model, or not a safe one.
    """
    if not (folder / "model_index.json").is_file():
        return _without_index(folder)
    index = read_json(folder / "model_index.json")
    try:
        for component in components(index, str(folder)):
            _check_component(folder / component.name, component)
    except UnfinishedError as error:
        raise UnfinishedError(f"{error}; {_how_to_finish(folder, index)}") from None
    return Located(folder, index["_class_name"])


def _without_index(folder: Path) -> Located:
    for place, remedy in (
        (folder / "transformer", f"get model_index.json and the other parts of the pipeline into {str(folder)!r}, too"),
        (folder, f"give the folder of the whole pipeline, such as {str(folder.parent)!r}"),
    ):
        if not (place / "config.json").is_file():
            continue
        kind = read_json(place / "config.json").get("_class_name")
        if kind == EMBEDDED and place != folder:
            return Located(folder, None)
        raise ModelError(f"{str(folder)!r} has no model_index.json, only {kind or 'a model'}; {remedy}")
    if any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{str(folder)!r} holds single-file checkpoints; get the diffusers version, with a model_index.json"
        )
    raise ModelError(f"{str(folder)!r} is no model's folder: there is no model_index.json in it; check the path")


def components(index: Mapping[str, Any], label: str) -> list[Component]:
    """The parts of a model_index.json that are there.

    Args:
        label: what errors call the model.

    Raises:
        ModelError: not a pipeline's index, or parts that are neither diffusers' nor transformers'.
    """
    name = index.get("_class_name")
    custom = f"{label!r} wants code of its own to be run"
    if isinstance(name, list):
        raise ModelError(f"{custom} (pipeline {name[0]!r}), which this program doesn't do; use a model without")
    if not isinstance(name, str):
        raise ModelError(f"the model_index.json of {label!r} names no pipeline (_class_name is {name!r}); get it again")
    found = []
    for part, entry in index.items():
        if part.startswith("_") or not isinstance(entry, list) or entry == [None, None]:
            continue
        if len(entry) != 2 or not all(isinstance(word, str) for word in entry) or not part.isidentifier():
            raise ModelError(f"the model_index.json of {label!r} says {entry!r} of {part!r}; get it again")
        if entry[0] not in LIBRARIES:
            raise ModelError(
                f"{custom} (its {part} comes from {entry[0]!r}, not from {' or '.join(LIBRARIES)}), which this program "
                "doesn't do; use a model without"
            )
        found.append(Component(part, *entry))
    return found


def _check_component(place: Path, component: Component) -> None:
    names = {path.name for path in place.iterdir()} if place.is_dir() else set()
    for group in component.files:
        there = [name for name in group if name in names]
        if not there:
            raise UnfinishedError(f"{str(place / group[0])!r} is missing")
        _check_size(place / there[0])
        if there[0].endswith(".json"):
            read_json(place / there[0])
    if not component.is_model:
        return
    _, wanted = weight_files(names, component)
    if not wanted:
        if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
            raise ModelError(f"{str(place)!r} has only pickled weights, which can run code; get safetensors instead")
        raise UnfinishedError(f"{str(place / f'{STEMS[component.library]}.safetensors')!r} is missing")
    for name in [name for name in wanted if name.endswith(".json")]:
        shards = read_json(place / name).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{str(place / name)!r} lists no weights; get it again")
        wanted |= {str(shard) for shard in shards.values()}
    for name in sorted(wanted):
        _check_size(place / name)
        if name.endswith(".safetensors"):
            _check_weights(place / name)


def weight_files(names: Iterable[str], component: Component) -> tuple[str, set[str]]:
    """A component's variant ("fp16", or "" for the plain one, which goes first) and its files among these names."""
    stem = STEMS[component.library]
    variants: dict[str, set[str]] = {}
    for name in names:
        shard = re.fullmatch(rf"{stem}(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors", name)
        match = shard or re.fullmatch(rf"{stem}\.safetensors\.index(?:\.(\w+))?\.json", name)
        if match:
            variants.setdefault(match[1] or "", set()).add(name)
    variant = min(variants, default="")
    return variant, variants.get(variant, set())


def plain_weights(component: Path) -> list[Path]:
    """The safetensors of a component, without the variants ("model.fp16.safetensors") where plain ones are there."""
    files = sorted(component.glob("*.safetensors"))
    plain = [file for file in files if "." not in file.name.removesuffix(".safetensors")]
    return plain or files


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError: none there, or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{str(path)!r} can't be read ({error.strerror}); get it again") from None
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is no JSON file ({error}); get it again") from None
    if not isinstance(value, dict):
        raise ModelError(f"{str(path)!r} holds no JSON object; get it again")
    return value


def _check_size(file: Path) -> None:
    if not file.is_file():  # a link of the cache without its target is none either
        raise UnfinishedError(f"{str(file)!r} is missing")
    if file.stat().st_size == 0:
        raise UnfinishedError(f"{str(file)!r} is empty")


def _check_weights(file: Path) -> None:
    """The header, and that the file is as long as it says."""
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise UnfinishedError(f"{str(file)!r} is a Git LFS pointer, not the weights (`git lfs pull` gets them)")
    try:
        read_header(file)
    except LoraError as error:
        raise UnfinishedError(str(error).removesuffix("; get it again")) from None


def _how_to_finish(folder: Path, index: Mapping[str, Any]) -> str:
    kept = re.fullmatch(r"models--(.+?)--(.+)", folder.parent.parent.name)
    if kept and folder.parent.name == "snapshots":
        return f"go online and give {kept[1]}/{kept[2]} again: the download goes on where it stopped"
    said = str(index.get("_name_or_path", ""))
    repository = said if re.fullmatch(HUB_REPOSITORY, said, re.ASCII) else "ORG/NAME"
    return (
        f"finish the download with `hf download {repository} --local-dir {folder}`, or give the hub id in place of the "
        "folder"
    )
