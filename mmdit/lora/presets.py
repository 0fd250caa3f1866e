"""Presets: names for LoRAs, and the way from a name, a path or a hub id to a file on this machine.

In: folders of YAML files and .safetensors (`lora_presets`, and the user's own). Out: `Preset`s, and files whose
SHA-256 was checked. A bad file is reported and hides no good one. Folders are looked through at each question, so what
is dropped there is found; what was read is kept in the object as long as a file stays as it was. Nothing is written but
by huggingface_hub, into its own cache. Knows no weights; what they fit is for `mmdit.lora.inspect` to tell.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from mmdit.catalog import CATALOG
from mmdit.hub_errors import hub_errors, out_of_reach, page
from mmdit.lora.header import file_sha256
from mmdit.lora.inspect import PEFT_FILES, LoraError, read_header
from mmdit.lora.preset_schema import (
    HUB_REPOSITORY,
    LORA_SUFFIXES,
    HubFile,
    Preset,
    PresetError,
    check_name,
    printable,
    read_hub_file,
    read_preset,
    shown,
)

__all__ = ["PRESETS_FOLDER", "HubFile", "Preset", "PresetError", "Presets"]

PRESETS_FOLDER = Path(__file__).resolve().parents[2] / "lora_presets"
YAML_SUFFIXES = (".yaml", ".yml")
MAX_NAME = 1000
_HUB_ID = re.compile(rf"({HUB_REPOSITORY})(?:(:)(.*))?", re.ASCII | re.DOTALL)
_Stamp = tuple[int, ...]
_Listed = list[tuple[Path, str, _Stamp | None]]
"""Files: path, what people call it, its stamp."""
_Found = tuple[dict[str, Preset], list[str]]
"""Presets by name, and problems."""


class Presets:
    """The presets of some folders.

    Args:
        folders: each is searched, and the folders in it one level down; of two presets of one name the first counts.
            A folder that is not there holds nothing.
        hub_cache: where downloads are kept; None for huggingface_hub's own place.
    """

    def __init__(self, folders: Sequence[Path], hub_cache: Path | None = None) -> None:
        self._folders = tuple(dict.fromkeys(Path(folder) for folder in folders))
        self._hub_cache = hub_cache
        self._read: dict[Path, tuple[_Stamp | None, Preset | str]] = {}
        self._last: tuple[list[object], list[Path], _Found] = ([], [], ({}, []))
        self._digests: dict[Path, tuple[_Stamp | None, str]] = {}
        self._only_files: dict[str, str] = {}

    @property
    def all(self) -> tuple[Preset, ...]:
        """Every usable preset, folder by folder, by name."""
        return tuple(self._search()[0].values())

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each file that can't be used, with the remedy."""
        return tuple(self._search()[1])

    def find(self, name: str) -> Preset | None:
        """The preset of exactly this name."""
        return self._search()[0].get(name)

    def resolve(self, name_or_path: str | Path) -> tuple[Path, Preset | None]:
        """The file on this machine, downloaded if it must be, and the preset that it was named by.

        Args:
            name_or_path: a preset's name; the path of a .safetensors file; "org/name" on the hub, which must have
                exactly one such file at its top; "org/name:file.safetensors".

        Raises:
            PresetError: none of these, not to be had, or not the file that the preset's sha256 names.
        """
        text = str(name_or_path)
        if not text.strip() or len(text) > MAX_NAME or not printable(text):
            raise PresetError(
                f"{shown(text)} names no LoRA; give a preset's name, the path of a .safetensors file or org/name on "
                f"the hub, in 1 to {MAX_NAME} printable characters"
            )
        presets = self._search()[0]
        if text in presets:
            return self._file_of(presets[text]), presets[text]
        path = Path(text)
        is_lora, hub_id = path.suffix.lower() in LORA_SUFFIXES, _HUB_ID.fullmatch(text)
        if _is_file(path):
            if not is_lora:
                raise PresetError(f"{shown(text)} is not a .safetensors file; convert it, only such files are loaded")
            return path, None
        if hub_id is None or (is_lora and hub_id[2] is None):
            raise _unknown(text, is_lora, list(presets))
        file = hub_id[3] if hub_id[2] else self._only_file(hub_id[1])
        return self._fetch(read_hub_file({"repository": hub_id[1], "file": file}, shown(text)), None), None

    def is_here(self, preset: Preset) -> bool:
        """Whether its file lies on this machine; asks no network."""
        if preset.hub is None:
            return True
        from huggingface_hub import try_to_load_from_cache

        hub = preset.hub
        found = try_to_load_from_cache(hub.repository, hub.file, revision=hub.revision, cache_dir=self._hub_cache)
        return isinstance(found, str)

    def check_kind(self, name: str, modules: Mapping[str, tuple[int, int]], model: str, partial: bool) -> None:
        """Whether a preset that is not here is worth fetching for a model; anything else that is named may pass.

        Args:
            modules: the model's Linears, name → (out, in).
            model: its name, for the refusal.
            partial: what fits is to be applied, if something does.

        Raises:
            PresetError: it is for an architecture with other blocks.
        """
        from mmdit.lora.architectures import KNOWN, linear_shapes

        preset = self.find(name)
        if preset is None or self.is_here(preset) or preset.family not in (*KNOWN, *CATALOG):
            return
        blocks = {of: shape for of, shape in linear_shapes(preset.family).items() if "blocks." in of}
        fitting = sum(modules.get(of) == shape for of, shape in blocks.items())
        if fitting == len(blocks) or (fitting and partial):
            return
        raise PresetError(
            f"preset {name!r} is for {preset.family}, and {model} is loaded; load a model of {preset.family}, "
            "or use another preset"
        )

    def recommended(self, names: Iterable[str]) -> dict[str, int | float]:
        """Steps, guidance and shift as the presets of these names say; of each the last that says something counts."""
        presets = [preset for preset in map(self.find, names) if preset is not None]
        said = [{name: getattr(preset, name) for name in ("steps", "guidance", "shift")} for preset in presets]
        return {name: value for of in said for name, value in of.items() if value is not None}

    # ---- folders ----

    def _search(self) -> _Found:
        """As last time, if no file in the folders and none that a preset names has changed."""
        problems: list[str] = []
        listed = [_files(folder, problems) for folder in self._folders]
        state, named, found = self._last
        if state != [listed, problems, [_stamp(path) for path in named]]:
            found = {}, list(problems)
            named = self._read_all(listed, found)
            self._last = [listed, problems, [_stamp(path) for path in named]], named, found
        return found

    def _read_all(self, listed: list[_Listed], found: _Found) -> list[Path]:
        """Fill ``found``; the files that presets name."""
        named: list[Path] = []
        for files in listed:
            described = [file for file in files if file[0].suffix.lower() in YAML_SUFFIXES]
            taken = {path.with_suffix("") for path, _, _ in described}
            for file in described:
                preset = self._kept(*file, read_preset, found)
                if preset is not None:
                    named += [path for path in (preset.file, preset.thumbnail) if path is not None]
                    taken |= {path.with_suffix("") for path in (preset.file,) if path is not None}
            for file in files:
                if file[0].suffix.lower() in LORA_SUFFIXES and file[0].with_suffix("") not in taken:
                    self._kept(*file, _bare_preset, found)
        return named

    def _kept(
        self, path: Path, label: str, stamp: _Stamp | None, read: Callable[[Path, str], Preset], found: _Found
    ) -> Preset | None:
        """What a file says, read anew only when it has changed, added to ``found``."""
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            try:
                known = stamp, read(path, label)
            except LoraError as error:
                known = stamp, str(error)
            self._read[path] = known
        if isinstance(known[1], str):
            found[1].append(known[1])
            return None
        _add(known[1], path.parent, label, found)
        return known[1]

    # ---- files ----

    def _file_of(self, preset: Preset) -> Path:
        path = self._fetch(preset.hub, preset.sha256) if preset.hub else preset.file
        if preset.sha256 is None or (found := self._digest(path)) == preset.sha256:
            return path
        raise PresetError(
            f"the file {path.name} of preset {preset.name!r} has the SHA-256 {found}, but the preset names "
            f"{preset.sha256}; delete the file and get it again, or correct the preset"
        )

    def _digest(self, path: Path) -> str:
        stamp = _stamp(path)
        if self._digests.get(path, (None, ""))[0] != stamp or stamp is None:
            try:
                digest = file_sha256(path)
            except OSError as error:
                raise PresetError(f"{path.name} can't be read ({error.strerror}); check that you may read it") from None
            self._digests[path] = stamp, digest
        return self._digests[path][1]

    # ---- hub ----

    def _fetch(self, hub: HubFile, sha256: str | None) -> Path:
        """A hub's file: as it lies in the cache, else downloaded; peft's configuration comes with its weights. A cached
        branch is not asked for news while it is the file that was wanted.
        """
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        where = {"revision": hub.revision, "cache_dir": self._hub_cache}
        with hub_errors(hub.repository, PresetError, partial(_explained, hub)):
            kept = try_to_load_from_cache(hub.repository, hub.file, **where)
            is_wanted = isinstance(kept, str) and (sha256 is None or self._digest(Path(kept)) == sha256)
            path = Path(kept if is_wanted else hf_hub_download(hub.repository, hub.file, **where))
        if path.name == PEFT_FILES[0]:
            self._fetch_beside(hub, path, PEFT_FILES[1])
        return path

    def _fetch_beside(self, hub: HubFile, path: Path, name: str) -> None:
        """What lies in the same folder of the same commit as a hub's file, which is ``path`` here; it may not be there.

        Raises:
            PresetError: whether it is there can't be told now.
        """
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        within = PurePosixPath(hub.file)
        beside = replace(hub, file=str(within.with_name(name)), revision=path.parents[len(within.parts) - 1].name)
        where = {"revision": beside.revision, "cache_dir": self._hub_cache}
        with hub_errors(hub.repository, PresetError, partial(_explained, beside)):
            if try_to_load_from_cache(beside.repository, beside.file, **where) is not None:  # or known to lack
                return
            try:
                hf_hub_download(beside.repository, beside.file, **where)
            except LocalEntryNotFoundError:  # an EntryNotFoundError, but for want of a network
                raise
            except EntryNotFoundError:
                pass

    def _only_file(self, repository: str) -> str:
        """The one .safetensors file at the top of a repository."""
        if repository not in self._only_files:
            names = [name for name in self._listing(repository) if name.endswith(LORA_SUFFIXES) and "/" not in name]
            if not names:
                raise PresetError(f"{repository} has no .safetensors file at its top; name one as {repository}:FILE")
            if len(names) > 1:
                listed = ", ".join(f"{repository}:{name}" for name in names[:10])
                more = f" … {len(names) - 10} more" if len(names) > 10 else ""
                raise PresetError(f"{repository} has {len(names)} .safetensors files; name one of {listed}{more}")
            self._only_files[repository] = names[0]
        return self._only_files[repository]

    def _listing(self, repository: str) -> list[str]:
        """Files of a repository; without the hub, those at its top that lie in the cache."""
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HTTPError, RepositoryNotFoundError

        listing = HubFile(repository, "the list of files")
        with hub_errors(repository, PresetError, partial(_explained, listing)):
            try:
                return HfApi().list_repo_files(repository)
            except RepositoryNotFoundError:
                raise
            except (HTTPError, OSError):
                top = Path(snapshot_download(repository, cache_dir=self._hub_cache, local_files_only=True))
                return sorted(path.name for path in top.iterdir())


def _bare_preset(path: Path, label: str) -> Preset:
    """What a .safetensors file says of itself."""
    from mmdit.lora.architectures import guess_family

    check_name(path.stem, label)
    try:
        family, _ = guess_family(read_header(path))
    except LoraError as error:
        raise PresetError(str(error).replace(repr(str(path)), label)) from None  # no machine's paths on a page
    return Preset(path.stem, title=re.sub(r"[\s_-]+", " ", path.stem).strip(), family=family, file=path)


def _files(folder: Path, problems: list[str]) -> _Listed:
    """Visible files of a folder and of the folders in it, by name."""
    entries = _entries(folder, "", problems)
    for place in [entry for entry in entries if entry[0].is_dir()]:
        entries += _entries(Path(place[0].path), f"{place[1]}/", problems)
    return [(Path(entry.path), label, _stamp(entry)) for entry, label in entries if entry.is_file()]


def _entries(folder: Path, prefix: str, problems: list[str]) -> list[tuple[os.DirEntry[str], str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{folder.name} can't be searched ({error.strerror}); check that it is a folder you may read")
        return []
    visible.sort(key=lambda entry: entry.name)
    return [(entry, prefix + (entry.name if entry.name.isprintable() else ascii(entry.name))) for entry in visible]


def _add(preset: Preset, folder: Path, label: str, found: _Found) -> None:
    """A preset of a folder to the others, or what hinders it to the problems."""
    presets, problems = found
    for field, path in (("source.file", preset.file), ("thumbnail", preset.thumbnail)):
        if path is not None and not _is_file(path):
            problems.append(f"{label}: {field} is {path.name!r}, which is not there; put it into the preset's folder")
            return
        if path is not None and not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{label}: {field} {path.name!r} is a link that leads elsewhere; put the file there")
            return
    if preset.name in presets:
        problems.append(f"{label}: another preset is called {preset.name!r} and comes first; rename one of the two")
        return
    presets[preset.name] = preset


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _stamp(path: Path | os.DirEntry[str]) -> _Stamp | None:
    """What changes when a file does; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _unknown(text: str, is_lora: bool, names: list[str]) -> PresetError:
    if is_lora:
        return PresetError(f"there is no file {shown(text)}; check the path")
    close = difflib.get_close_matches(text[:100], names, 3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, close))}? Otherwise give" if close else "give a preset's name,"
    return PresetError(f"there is no LoRA {shown(text)}; {hint} the path of a .safetensors file or org/name on the hub")


def _explained(hub: HubFile, error: Exception) -> str:
    """Why a file could not be had, as one sentence with the remedy."""
    from huggingface_hub import errors

    what, listed = f"{hub.file} of {hub.repository}", f"see {page(hub.repository)} for those that there are"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{hub.repository} has no revision {hub.revision}; {listed}"
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return out_of_reach(what, hub.repository, "the file", "path")
    if isinstance(error, errors.EntryNotFoundError):
        return f"{hub.repository} has no file {hub.file} at {hub.revision}; {listed}"
    return f"{what} could not be fetched ({type(error).__name__}); try again, and see that the disk has room"
