"""From a name to the folder of a model: it is there, or huggingface_hub's cache has it, or it is downloaded.

In: a local folder or an "org/name" of the Hugging Face hub. Out: a `Located` folder. What is in the cache and whole is
used as it is, without asking the network; of a repository only what a pipeline reads is fetched. Knows no family, and
loads nothing.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mmdit.families.folders import (
    Component,
    Located,
    ModelError,
    UnfinishedError,
    check_folder,
    components,
    read_json,
    weight_files,
)
from mmdit.families.machine import disk_free, gigabytes, hub_cache
from mmdit.hub_errors import hub_errors, out_of_reach, page
from mmdit.lora.preset_schema import HUB_REPOSITORY

TEXT_SUFFIXES = (".json", ".txt", ".model", ".jinja")
GIVE = "give the folder of a diffusers pipeline, or org/name on the hub"
SPARE = 10**9  # bytes of a disk that a download leaves free
POLL = 0.5  # seconds between reports

OnProgress = Callable[[int, int], None]
"""Called while downloading, from another thread, with the bytes that have come and those that were missing."""


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
        return check_folder(path)
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
        whole = folder is not None and check_folder(folder) is not None
    except ModelError:
        whole = False
    return whole, sum(_blobs(repository, cache))


def _from_hub(repository: str, cache: Path, on_progress: OnProgress | None) -> Located:
    unfinished: UnfinishedError | None = None
    kept = _snapshot(repository, cache)
    if kept is not None:
        try:
            return check_folder(kept)
        except UnfinishedError as error:
            unfinished = error
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    with hub_errors(repository, ModelError, partial(_explained, repository, unfinished)):
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
    return check_folder(_snapshot(repository, cache))


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


def _explained(repository: str, unfinished: UnfinishedError | None, error: Exception) -> str:
    """Why a download failed, as one sentence with the remedy.

    Args:
        unfinished: what is wrong with the part that is in the cache; None if nothing is.
    """
    from huggingface_hub import errors

    if isinstance(error, (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)):
        return f"{repository} has no branch main with a model; see {page(repository)}, download it and give its folder"
    answered = _status(error)
    if answered is not None:
        return f"the hub answered {answered} for {repository}; try again later"
    if unfinished is not None:
        return f"the hub can't be reached, and {unfinished}"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"{repository} could not be written to the cache ({error.strerror}); see that you may write there"
    return out_of_reach(repository, repository, "it", "folder")


def _status(error: BaseException | None) -> int | None:
    """What the hub answered, if it did; huggingface_hub wraps the answer in other errors."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return response.status_code
        error = error.__cause__
    return None
