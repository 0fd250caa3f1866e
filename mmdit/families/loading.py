"""From a name to a pipeline that is ready: find or download its folder, see that it is whole, load it strictly.

In: a local folder or an "org/name" of the Hugging Face hub. Out: a `Located` folder, and a diffusers pipeline that lies
where its `MemoryPlan` says. Only JSON, vocabularies and safetensors are read; nothing that a folder brings is executed.
What is in huggingface_hub's cache and whole is used as it is, without asking the network. Knows no family.
"""

import importlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdit.families.memory import MemoryPlan, ModelError, disk_free, gigabytes, hub_cache, read_json
from mmdit.lora.header import LoraError, read_header
from mmdit.lora.preset_schema import HUB_REPOSITORY

__all__ = ["Located", "ModelError", "OnProgress", "cached", "load_pipeline", "locate"]

EMBEDDED = "MiniMMDiT"
LIBRARIES = ("diffusers", "transformers")
STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""Library → how it names a component's weights."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "tekken.json")
TEXT_SUFFIXES = (".json", ".txt", ".model", ".jinja")
POINTER = b"version https://git-lfs"
GIVE = "give the folder of a diffusers pipeline, or org/name on the hub"
DTYPE_NAMES = {"diffusers": "torch_dtype", "transformers": "dtype"}
SPARE = 10**9  # bytes of a disk that a download leaves free
POLL = 0.5  # seconds between reports

OnProgress = Callable[[int, int], None]
"""Called while downloading, from another thread, with the bytes that have come and those that were missing."""


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


def locate(source: str | Path, cache: Path | None = None, on_progress: OnProgress | None = None) -> Located:
    """The folder of a model, downloaded if it must be.

    Args:
        source: a folder with a model_index.json, the folder of an embedded editor, or "org/name" on the hub. A folder
            that is there goes first.
        cache: where downloads are kept; None for huggingface_hub's own place.

    Raises:
        ModelError: nothing of the kind, not whole, not safe to load, or not to be had, with the remedy.
    """
    text, path = str(source), Path(source).expanduser()
    if text and path.is_dir():
        return _check(path)
    if text and path.exists():
        raise ModelError(f"{text!r} is a file; {GIVE}")
    if isinstance(source, Path) or not re.fullmatch(HUB_REPOSITORY, text, re.ASCII):
        raise ModelError(f"there is no folder {text!r}; {GIVE}")
    return _from_hub(text, hub_cache() if cache is None else cache, on_progress)


def cached(repository: str, cache: Path | None = None) -> tuple[bool, int]:
    """Whether all of an "org/name" lies in the cache, and how many bytes do. Asks no network."""
    cache = hub_cache() if cache is None else cache
    try:
        folder = _snapshot(repository, cache)
        whole = folder is not None and _check(folder) is not None
    except ModelError:
        whole = False
    return whole, sum(_blobs(repository, cache))


# ---- a folder ----


def _check(folder: Path) -> Located:
    """Raises UnfinishedError: something is missing. ModelError: it is no model, or not a safe one."""
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


# ---- the hub ----


def _from_hub(repository: str, cache: Path, on_progress: OnProgress | None) -> Located:
    unfinished: UnfinishedError | None = None
    kept = _snapshot(repository, cache)
    if kept is not None:
        try:
            return _check(kept)
        except UnfinishedError as error:
            unfinished = error
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    with _hub_errors(repository, unfinished):
        info = HfApi().model_info(repository, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        if "model_index.json" not in sizes:
            raise ModelError(
                f"{repository} is no diffusers pipeline: it has no model_index.json; use the diffusers version of the "
                "model, or, if it is a LoRA, --lora"
            )
        index = hf_hub_download(repository, "model_index.json", revision=info.sha, cache_dir=cache)
        files = wanted_files(components(read_json(Path(index)), repository), sizes, repository)
        missing = _check_disk(repository, cache, info.sha, {name: sizes[name] for name in files})
        with _reporting(repository, cache, missing, on_progress):
            # by branch, so that the cache remembers which commit it stands for
            snapshot_download(repository, cache_dir=cache, allow_patterns=[_literally(name) for name in files])
    return _check(_snapshot(repository, cache))


def wanted_files(parts: list[Component], sizes: Mapping[str, int], repository: str) -> list[str]:
    """What of a repository's files has to be downloaded.

    Args:
        sizes: path in the repository → bytes.

    Raises:
        ModelError: a component whose weights are there only as pickles, or not at all.
    """
    wanted = ["model_index.json"]
    for part in parts:
        names = [name.removeprefix(f"{part.name}/") for name in sizes if name.startswith(f"{part.name}/")]
        names = [name for name in names if "/" not in name]
        chosen = {name for name in names if name.endswith(TEXT_SUFFIXES) and ".index." not in name}
        if part.is_model:
            _, weights = weight_files(names, part)
            if not weights:
                raise ModelError(f"{repository} has no safetensors in {part.name}; use a version of it that has them")
            chosen |= weights
        wanted += [f"{part.name}/{name}" for name in sorted(chosen)]
    return wanted


def _literally(name: str) -> str:
    """A pattern that only this name matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _snapshot(repository: str, cache: Path) -> Path | None:
    """The folder in the cache that the branch main stands for; it need not be whole."""
    place = cache / f"models--{repository.replace('/', '--')}"
    try:
        folder = place / "snapshots" / (place / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return folder if folder.is_dir() and folder.parent.name == "snapshots" else None


def _blobs(repository: str, cache: Path, pattern: str = "*") -> list[int]:
    """Sizes of a repository's files in the cache, those under way included."""
    sizes = []
    for blob in (cache / f"models--{repository.replace('/', '--')}" / "blobs").glob(pattern):
        try:
            sizes.append(blob.stat().st_size)
        except OSError:  # renamed meanwhile
            continue
    return sizes


def _check_disk(repository: str, cache: Path, commit: str, sizes: Mapping[str, int]) -> int:
    """How many bytes are to come. Raises ModelError: more than the disk has room for."""
    from huggingface_hub import try_to_load_from_cache

    absent = [
        name
        for name in sizes
        if not isinstance(try_to_load_from_cache(repository, name, cache_dir=cache, revision=commit), str)
    ]
    missing = max(0, sum(sizes[name] for name in absent) - sum(_blobs(repository, cache, "*.incomplete")))
    free = disk_free(cache)
    if missing and missing + SPARE > free:
        raise ModelError(
            f"{repository} takes {gigabytes(missing)} more on the disk of {str(cache)!r}, where {gigabytes(free)} are "
            "free; make room, or set HF_HOME to a folder on a larger disk"
        )
    return missing


@contextmanager
def _reporting(repository: str, cache: Path, missing: int, on_progress: OnProgress | None) -> Iterator[None]:
    """Within it the growth of the cache is reported, in place of huggingface_hub's own bars."""
    if on_progress is None:
        yield
        return
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before, done, were_shown = sum(_blobs(repository, cache)), threading.Event(), not are_progress_bars_disabled()

    def watch() -> None:
        while not done.wait(POLL):
            on_progress(max(0, min(missing, sum(_blobs(repository, cache)) - before)), missing)

    watcher = threading.Thread(target=watch, daemon=True)
    disable_progress_bars()
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if were_shown:
            enable_progress_bars()
    on_progress(missing, missing)


@contextmanager
def _hub_errors(repository: str, unfinished: UnfinishedError | None) -> Iterator[None]:
    """What huggingface_hub raises, as one sentence with the remedy.

    Args:
        unfinished: what is wrong with the part that is in the cache; None if nothing is.
    """
    from huggingface_hub import errors

    address = f"https://huggingface.co/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        problem = f"{repository} wants its licence accepted; do so at {address} and run `hf auth login`"
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        problem = f"the hub has no {repository} that you may read; check the name, or run `hf auth login`"
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError):
        problem = f"{repository} has no branch main with a model; see {address}, download it and give its folder"
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.HTTPError, OSError) as error:
        answered = _status(error)
        if unfinished is not None and answered is None:
            problem = f"the hub can't be reached, and {unfinished}"
        elif answered is not None:
            problem = f"the hub answered {answered} for {repository}; try again later"
        elif isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            problem = f"{repository} could not be written to the cache ({error.strerror}); see that you may write there"
        else:
            problem = (
                f"{repository} is not on this machine and the hub can't be reached; go online once, or fetch it from "
                f"{address} in another way and give its folder"
            )
    else:
        return
    raise ModelError(problem)


def _status(error: BaseException | None) -> int | None:
    """What the hub answered, if it did; huggingface_hub wraps the answer in other errors."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return response.status_code
        error = error.__cause__
    return None


# ---- loading ----


def load_pipeline(located: Located, pipeline_class: type, plan: MemoryPlan) -> Any:
    """The pipeline, every weight where the plan wants it, without progress bars.

    A weight that is missing or of another shape is an error here, where diffusers and transformers go on with random
    numbers; so is one of the transformer's that its configuration has no place for.

    Args:
        located: of a diffusers pipeline.
        pipeline_class: diffusers' class that takes the folder's parts.

    Raises:
        ModelError: damaged weights, or weights that don't fit the configuration, or parts that don't fit the class.
        torch.OutOfMemoryError, MemoryError: see `memory.step_down`.
    """
    parts = components(read_json(located.folder / "model_index.json"), str(located.folder))
    with _without_bars():
        models = {part.name: _load_component(located.folder, part, plan) for part in parts if part.is_model}
        with _load_errors(str(located.folder)):
            pipeline = pipeline_class.from_pretrained(located.folder, local_files_only=True, **models)
        pipeline.set_progress_bar_config(disable=True)
        _place(pipeline, plan)
    if plan.vae_tiling:
        pipeline.vae.enable_tiling()
    return pipeline


def _load_component(folder: Path, part: Component, plan: MemoryPlan) -> Any:
    import torch

    place = folder / part.name
    cls = getattr(importlib.import_module(part.library), part.kind, None)
    if cls is None:
        raise ModelError(f"{part.library} has no {part.kind} for {str(place)!r}; `pip install -U {part.library}`")
    extra: dict[str, Any] = {}
    if part.name in plan.quantised:
        extra["quantization_config"] = quantisation(part.library, plan)
    variant, _ = weight_files((path.name for path in place.iterdir()), part)
    if variant:
        extra["variant"] = variant
    stays = not plan.offload and plan.mode not in ("offload", "group")
    if stays and plan.device != "cpu" and (part.library == "transformers" or part.name in plan.quantised):
        # without a copy in system memory; on the CPU, diffusers would leave out what a device map names
        extra["device_map"] = {"": plan.device}
    with _load_errors(str(place)):
        model, info = cls.from_pretrained(
            place, **{DTYPE_NAMES[part.library]: getattr(torch, plan.dtype)}, local_files_only=True,
            use_safetensors=True, output_loading_info=True, **extra,
        )  # fmt: skip
    _check_keys(place, part, info)
    if part.name in plan.quantised and not _is_quantised(model):
        raise ModelError(f"{plan.quantiser} left {str(place)!r} as it is; use another memory mode, or update diffusers")
    return model.eval().to(plan.device) if stays and "device_map" not in extra else model.eval()


def _check_keys(place: Path, part: Component, info: Mapping[str, Any]) -> None:
    """Raises ModelError: what was loaded is not what the configuration says."""
    wrong = {
        "lacks": info["missing_keys"],
        "has another shape of": [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]],
        "has no place for": info["unexpected_keys"] if part.name == "transformer" else (),
    }
    for problem, keys in wrong.items():
        if keys:
            first, more = min(keys), f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(
                f"{str(place)!r} {problem} {first!r}{more}: its weights are not what config.json says; get both again"
            )


def _is_quantised(model: Any) -> bool:
    import torch

    plain = (torch.nn.Parameter, torch.Tensor)
    return any(type(part.weight) not in plain for part in model.modules() if isinstance(part, torch.nn.Linear))


def quantisation(library: str, plan: MemoryPlan) -> Any:
    """The configuration of the plan's quantiser, as a library wants it."""
    import torch

    owner = importlib.import_module(library)
    if plan.quantiser == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return owner.TorchAoConfig(Int8WeightOnlyConfig())
    if plan.mode == "int8":
        return owner.BitsAndBytesConfig(load_in_8bit=True)
    return owner.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, plan.dtype)
    )


def _place(pipeline: Any, plan: MemoryPlan) -> None:
    import torch

    if plan.mode == "group":
        _stream(pipeline, torch.device(plan.device), plan.pinned)
    elif plan.mode == "offload" or plan.offload:
        pipeline.enable_model_cpu_offload(device=plan.device)
    else:
        pipeline.to(plan.device)


def _stream(pipeline: Any, device: Any, pinned: bool) -> None:
    """The transformer block by block, the text encoders layer by layer, the rest on the device."""
    import torch
    from diffusers.hooks import apply_group_offloading

    on_cuda = device.type == "cuda"
    ways = {"use_stream": on_cuda, "low_cpu_mem_usage": on_cuda and not pinned}
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        if name == "transformer":
            apply_group_offloading(part, device, offload_type="block_level", num_blocks_per_group=1, **ways)
        elif name.startswith("text_encoder"):  # its blocks lie too deep for diffusers to find them
            apply_group_offloading(part, device, offload_type="leaf_level", **ways)
        else:
            part.to(device)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the progress bars of diffusers and transformers; afterwards as before."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [module for module in (of_diffusers, of_transformers) if module.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()


@contextmanager
def _load_errors(place: str) -> Iterator[None]:
    """What goes wrong in from_pretrained, as one sentence; running out of memory stays what it is."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except ImportError as error:
        raise ModelError(f"{place!r} needs a package that is missing ({_first_line(error)}); install it") from error
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{place!r} can't be loaded ({type(error).__name__}: {_first_line(error)}); get it again, or update "
            "diffusers and transformers"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else "no reason given"
