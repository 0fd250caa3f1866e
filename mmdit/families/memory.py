"""The memory plan: what a pipeline needs, what this machine has, and how the one is fitted into the other.

In: a pipeline's folder or a catalog entry, and a `Machine`. Out: a `MemoryPlan` with the sentence that explains it.
What leaves the picture as it is comes first, the fastest of it before the others: all on the GPU, one part at a time,
block by block; then the same with a tiled VAE; last 8-bit and 4-bit weights. Sizes are bytes, and 1 GB is 10⁹ of them.
Loads nothing and needs no torch, but for asking a GPU how much memory it has.
"""

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from mmdit.lora.header import LoraError, read_header

Mode = Literal["full", "offload", "group", "int8", "int4"]
CHOICES = ("auto", "full", "offload", "group", "int8", "int4")
"""What ``choose`` takes. "group" is for those who ask for it by name; auto finds it between offload and int8."""

MODE_NAMES: Mapping[str, str] = {
    "full": "everything at once",
    "offload": "one part at a time on the GPU, the others in system memory",
    "group": "block by block through the GPU, the weights in system memory",
    "int8": "8-bit weights",
    "int4": "4-bit weights",
}
PACKAGES: Mapping[str, tuple[str, str]] = {"torchao": ("0.15", "int8"), "bitsandbytes": ("0.48", "int8 and int4")}
"""Package → the oldest version that diffusers and accelerate can move about, and what it is good for."""

RESERVE = 10**9
"""Bytes for the workspaces of kernels, fragmentation and the logits of a text encoder."""
TRANSFORMER_ELEMENTS = 24
"""Numbers alive at once per token and channel. Measured with fake tensors at 1024² with one reference: Qwen 10,
SD3.5 11, FLUX.1 15, FLUX.2 21."""
VAE_ELEMENTS = {"qwen": 1800, "kl": 800}
"""Numbers alive at once per pixel while a picture is decoded; measured likewise: 1730 and 770."""
VAE_TILES = {"qwen": 256, "kl": 1024}
"""Side of a VAE's tile in pixels."""
STITCHED_ELEMENTS = 16
BLOCK_SQUARES = 80
"""Weights of two transformer blocks, the one at work and the next, per squared width; FLUX.1 has 72, FLUX.2 52."""
LEAF_WEIGHTS = 700_000_000
"""The largest single layer of a text encoder: Mistral Small's embedding has 671 million weights."""
QUANTISED_BYTES = {"int8": (1.05, 1.15), "int4": (0.6, 0.7)}
"""Bytes a weight, of transformers and of text encoders, whose embeddings stay as they are."""
TEXT_TOKENS = 512
BYTES = {"bfloat16": 2, "float32": 4}


class ModelError(ValueError):
    """A model that can't be had or run here; one sentence with the value and the remedy."""


@dataclass(frozen=True)
class Machine:
    """
    Args:
        device: "cpu", "cuda" or "mps".
        gpu_free, gpu_total: bytes on the device; 0 on the CPU.
        system_free, system_total: bytes that programs can have, within the limits of a container.
        disk_free: bytes where downloads go.
        quantisers: of `PACKAGES`, those that are installed and new enough.
    """

    device: str
    gpu_free: int
    gpu_total: int
    system_free: int
    system_total: int
    disk_free: int
    quantisers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Needs:
    """
    Args:
        parameters: component → number of weights.
        width: channels of a token in the transformer.
        stored: component → bytes, for those that are quantised on disk and stay as they are.
        resolution: pixels of a side of the square whose area the model works at.
        pictures: of one edit that go through the transformer, the edited one counted.
        batch: passes that the transformer makes at once.
        vae: "kl" or "qwen".
    """

    parameters: Mapping[str, int]
    width: int
    stored: Mapping[str, int] = field(default_factory=dict)
    resolution: int = 1024
    pictures: int = 1
    batch: int = 1
    vae: str = "kl"

    @classmethod
    def of_entry(cls, entry: Any, pictures: int = 1) -> "Needs":
        """What a catalog entry says: its ``parameters``, ``width``, ``resolution`` and ``pipeline``."""
        return cls(
            parameters=dict(entry.parameters), width=entry.width, resolution=entry.resolution,
            pictures=pictures, **_of_pipeline(entry.pipeline or ""),
        )  # fmt: skip

    @classmethod
    def of_folder(cls, folder: Path, resolution: int = 1024, pictures: int = 1) -> "Needs":
        """What the headers of a folder's weights say; ``folder`` as `loading.locate` gives it.

        Raises:
            ModelError: weights or configurations that can't be read.
        """
        parameters, stored = {}, {}
        for place in sorted(path for path in folder.iterdir() if path.is_dir()):
            files = plain_weights(place)
            if files:
                parameters[place.name] = sum(_count(file) for file in files)
                if "quantization_config" in read_json(place / "config.json"):
                    stored[place.name] = sum(file.stat().st_size for file in files)
        config = read_json(folder / "transformer" / "config.json")
        width = config.get("num_attention_heads", 24) * config.get("attention_head_dim", 128)
        pipeline = read_json(folder / "model_index.json").get("_class_name", "")
        return cls(parameters, width, stored, resolution, pictures, **_of_pipeline(pipeline))

    def weights(self, dtype: str, mode: str = "full") -> dict[str, int]:
        """Component → bytes in memory."""
        sizes = dict.fromkeys(self.parameters, float(BYTES[dtype]))
        if mode in QUANTISED_BYTES:
            sizes |= {name: QUANTISED_BYTES[mode][name != "transformer"] for name in self.quantisable}
        return {name: self.stored.get(name, round(count * sizes[name])) for name, count in self.parameters.items()}

    @property
    def quantisable(self) -> tuple[str, ...]:
        """The transformer and the text encoders, unless they are quantised on disk."""
        return tuple(
            name for name in self.parameters
            if (name == "transformer" or name.startswith("text_encoder")) and name not in self.stored
        )  # fmt: skip

    def activations(self, dtype: str, tiled: bool = False) -> int:
        """Bytes that come and go while an edit runs: the larger of transformer and VAE, and a reserve.

        The transformer keeps `TRANSFORMER_ELEMENTS` numbers for each channel of each token: 16² pixels a token, of the
        target and of every picture, and the text. The VAE keeps `VAE_ELEMENTS` for each pixel, of a tile if it is
        tiled.
        """
        pixels = self.resolution**2
        tokens = self.batch * (TEXT_TOKENS + pixels // 256 * (1 + self.pictures))
        at_once = min(pixels, VAE_TILES[self.vae] ** 2) if tiled else pixels
        vae = VAE_ELEMENTS[self.vae] * at_once + STITCHED_ELEMENTS * pixels
        return BYTES[dtype] * max(TRANSFORMER_ELEMENTS * tokens * self.width, vae) + RESERVE


@dataclass(frozen=True)
class MemoryPlan:
    """How a pipeline is loaded and where its parts are.

    Args:
        mode: see `MODE_NAMES`.
        device: where it computes.
        dtype: "bfloat16" or "float32".
        quantised: components whose weights are quantised while loading.
        quantiser: of `PACKAGES`, what does it; None where nothing is.
        offload: quantised parts wait in system memory, too; always so in the mode "offload".
        pinned: system memory is page-locked, which is faster and takes twice the room; for the mode "group".
        vae_tiling: the VAE works in tiles, whose borders can show.
        gpu_bytes, system_bytes: estimated peaks, of the device (0 on the CPU) and of system memory.
        reason: a sentence for people, with the numbers.
        needs, machine: what it was made from.
    """

    mode: Mode
    device: str
    dtype: str
    quantised: tuple[str, ...] = ()
    quantiser: str | None = None
    offload: bool = False
    pinned: bool = False
    vae_tiling: bool = False
    gpu_bytes: int = 0
    system_bytes: int = 0
    reason: str = ""
    needs: Needs | None = field(default=None, repr=False)
    machine: Machine | None = field(default=None, repr=False)

    @property
    def fits(self) -> bool:
        """Whether the estimates are within what was free; of what isn't known, yes."""
        machine = self.machine
        return machine is None or (self.gpu_bytes <= machine.gpu_free and self.system_bytes <= machine.system_free)

    @property
    def peak(self) -> int:
        """Bytes of the memory that runs out first as a rule: the GPU's, or the system's where there is none."""
        return self.gpu_bytes or self.system_bytes

    def sizes(self) -> str:
        """For example "25.4 GB of GPU memory and 33.6 GB of system memory"."""
        gpu = f"{gigabytes(self.gpu_bytes)} of GPU memory" if self.gpu_bytes else ""
        kind = "system memory" if gpu else "memory"
        system = f"{gigabytes(self.system_bytes)} of {kind}" if self.system_bytes else ""
        return " and ".join(filter(None, (gpu, system)))


# ---- choosing ----


def choose(memory: str, needs: Needs, machine: Machine) -> MemoryPlan:
    """The plan for a machine.

    Args:
        memory: of `CHOICES`. A mode that is asked for by name is taken even if it seems too large, with a reason that
            says so, for these are estimates.

    Raises:
        ModelError: an unknown word, a mode that needs a GPU or a package that is not there, or, for "auto", nothing
            that fits.
    """
    if memory not in CHOICES:
        raise ModelError(f"memory is {memory!r}; use one of {', '.join(CHOICES)}")
    plans = list(_plans(needs, machine))
    if memory != "auto":
        plans = [plan for plan in plans if plan.mode == memory]
        if not plans:
            raise ModelError(_impossible(memory, machine))
        chosen = next((plan for plan in plans if plan.fits), plans[-1])
        return replace(chosen, reason=_reason(chosen, None if chosen.fits else "it may run out of memory"))
    chosen = next((plan for plan in plans if plan.fits), None)
    if chosen is None:
        raise ModelError(what_would_fit(needs, machine))
    larger = plans[0]
    passed = None if larger == chosen else f"{_title(larger)} would take {larger.sizes()}"
    return replace(chosen, reason=_reason(chosen, passed))


def step_down(plan: MemoryPlan) -> MemoryPlan | None:
    """The next mode that takes less, for when a plan ran out of memory after all; None where there is none.

    Its VAE is tiled where that saves something: one step has to do.
    """
    if plan.needs is None or plan.machine is None:
        return None
    order = list(_plans(plan.needs, plan.machine))
    place = next((index for index, other in enumerate(order) if _same(other, plan)), -1)
    smaller = [
        other for other in order[place + 1 :]
        if not _same(replace(other, vae_tiling=plan.vae_tiling), plan)
        and other.peak < plan.peak and other.system_bytes <= max(plan.machine.system_free, plan.system_bytes)
    ]  # fmt: skip
    if not smaller:
        return None
    tiled = [other for other in smaller if _same(other, replace(smaller[0], vae_tiling=True))]
    chosen = tiled[0] if tiled else smaller[0]
    return replace(chosen, reason=_reason(chosen, f"{_title(plan)} ran out of memory"))


def what_would_fit(needs: Needs, machine: Machine) -> str:
    """One sentence: which modes would fit here, or how much is missing and what would help."""
    plans = list(_plans(needs, machine))
    here = f"{gigabytes(machine.gpu_free)} of GPU memory and " if machine.device != "cpu" else ""
    here += f"{gigabytes(machine.system_free)} of {'system memory' if here else 'memory'} are free"
    fitting = {plan.mode: plan for plan in reversed(plans) if plan.fits}
    if fitting:
        listed = "; ".join(
            f"{mode} ({fitting[mode].sizes()})" for mode in dict.fromkeys(p.mode for p in plans if p.fits)
        )
        return f"{here}; with it would fit: {listed}"
    smallest = min(plans, key=lambda plan: (plan.gpu_bytes > machine.gpu_free, plan.peak))
    sentence = f"the least that the model takes here is {smallest.sizes()} ({_title(smallest)}), but {here}"
    lower = next((side for side in (768, 512) if side < needs.resolution and _any_fits(needs, machine, side)), None)
    remedies = [f"work at {lower} × {lower} pixels"] if lower else []
    missing = [name for name in PACKAGES if name not in machine.quantisers and _quantises(name, machine.device)]
    if missing and _any_fits(needs, replace(machine, quantisers=frozenset(PACKAGES)), needs.resolution):
        remedies.append(f"`pip install {missing[-1]}` for quantised weights")
    remedies.append("close other programs, or use a smaller model")
    return f"{sentence}; {', or '.join(remedies)}"


def fits(needs: Needs | None, machine: Machine) -> str:
    """A few words for a table: "fits", "with offload", "as int4", "on the CPU, slowly", "no: needs 24 GB, 12 GB free".

    Args:
        needs: None for a model that fits anywhere.
    """
    if needs is None or not needs.parameters:
        return "fits"
    plans = list(_plans(needs, machine))
    chosen = next((plan for plan in plans if plan.fits), None)
    if chosen is None:
        within = [plan for plan in plans if plan.gpu_bytes <= machine.gpu_free]
        if within:  # of the GPU's memory, so it is the system's that is short
            least, where = (
                min(plan.system_bytes for plan in within),
                "" if machine.device == "cpu" else " in the system",
            )
            return f"no: needs {gigabytes(least)}{where}, {gigabytes(machine.system_free)} free"
        return f"no: needs {gigabytes(min(plan.gpu_bytes for plan in plans))}, {gigabytes(machine.gpu_free)} free"
    if machine.device == "cpu" and chosen.mode == "full":
        return "on the CPU, slowly"
    return {"full": "fits", "offload": "with offload", "group": "with group offload"}.get(
        chosen.mode, f"as {chosen.mode}"
    )


def gigabytes(size: int) -> str:
    """ "24 GB", "8.9 GB", "0.4 GB"."""
    return f"{size / 1e9:.0f} GB" if size >= 99.5e8 else f"{size / 1e9:.1f} GB"


def _plans(needs: Needs, machine: Machine) -> Iterator[MemoryPlan]:
    """Every plan that this machine can carry out, best first, whether it fits or not."""
    lossless = [("full", "bfloat16"), ("offload", "bfloat16"), ("group", "bfloat16")]
    if machine.device == "cpu":
        lossless = [("full", "float32"), ("full", "bfloat16")]
    elif machine.device == "mps":  # shares its memory with the system: there is nowhere to offload to
        lossless = lossless[:1]
    tilings = (False, True) if needs.activations("bfloat16", True) < needs.activations("bfloat16") else (False,)
    for tiled, (mode, dtype) in product(tilings, lossless):
        yield _sized(MemoryPlan(mode, machine.device, dtype, vae_tiling=tiled), needs, machine)
    for mode in QUANTISED_BYTES:
        quantiser = _quantiser(mode, machine)
        if quantiser is None or not needs.quantisable:
            continue
        for offload, tiled in product((False, True) if machine.device == "cuda" else (False,), tilings):
            plan = MemoryPlan(
                mode, machine.device, "bfloat16", needs.quantisable, quantiser, offload, vae_tiling=tiled
            )  # fmt: skip
            yield _sized(plan, needs, machine)


def _sized(plan: MemoryPlan, needs: Needs, machine: Machine) -> MemoryPlan:
    """The plan with its estimates."""
    weights = needs.weights(plan.dtype, plan.mode)
    total, largest = sum(weights.values()), max(weights.values(), default=0)
    active = needs.activations(plan.dtype, plan.vae_tiling)
    pinned = False
    if plan.device == "cpu":
        gpu, system = 0, total + active
    elif plan.mode == "group":
        streamed = {name for name in weights if name == "transformer" or name.startswith("text_encoder")}
        passing = BYTES[plan.dtype] * max(BLOCK_SQUARES * needs.width**2, LEAF_WEIGHTS)
        passing = min(passing, sum(weights[name] for name in streamed))
        gpu = passing + sum(size for name, size in weights.items() if name not in streamed) + active
        pinned = 2 * total <= machine.system_free
        system = 2 * total if pinned else total
    elif plan.mode == "offload" or plan.offload:
        gpu, system = largest + active, total
        if plan.quantiser == "bitsandbytes":  # quantises on the GPU, part after part, before any of them can leave
            gpu = max(gpu, total)
    else:
        gpu, system = total + active, 0
    return replace(plan, pinned=pinned, gpu_bytes=gpu, system_bytes=system, needs=needs, machine=machine)


def _quantises(package: str, device: str) -> bool:
    return device == "cuda" or (device == "cpu" and package == "torchao")


def _quantiser(mode: str, machine: Machine) -> str | None:
    """What would quantise: torchao for int8, which needs no GPU; bitsandbytes for int4, where it keeps more."""
    order = ("torchao", "bitsandbytes") if mode == "int8" else ("bitsandbytes",)
    return next((name for name in order if name in machine.quantisers and _quantises(name, machine.device)), None)


def _impossible(mode: str, machine: Machine) -> str:
    if mode in ("offload", "group"):
        return f"memory is {mode!r}, but the device is {machine.device}, without memory of its own; use auto or full"
    package = "bitsandbytes" if mode == "int4" else "torchao"
    if not _quantises(package, machine.device):
        return f"memory is {mode!r}, which does not work on the device {machine.device}; use auto or full"
    return f"memory is {mode!r}, which needs a package that is not installed; `pip install {package}`"


def _any_fits(needs: Needs, machine: Machine, resolution: int) -> bool:
    return any(plan.fits for plan in _plans(replace(needs, resolution=resolution), machine))


def _same(plan: MemoryPlan, other: MemoryPlan) -> bool:
    def way(one: MemoryPlan) -> tuple:
        return one.mode, one.dtype, one.offload, one.vae_tiling

    return way(plan) == way(other)


def _title(plan: MemoryPlan) -> str:
    return plan.mode + (f" in {plan.dtype}" if plan.device == "cpu" and plan.mode == "full" else "")


def _reason(plan: MemoryPlan, remark: str | None) -> str:
    how = MODE_NAMES[plan.mode] + (f" by {plan.quantiser}" if plan.quantiser else "")
    how += ", one part at a time on the GPU" if plan.offload else ""
    how += ", VAE in tiles" if plan.vae_tiling else ""
    free = f"{gigabytes(plan.machine.gpu_free)} and " if plan.gpu_bytes else ""
    sentence = (
        f"{_title(plan)}: {how}; takes about {plan.sizes()}, {free}{gigabytes(plan.machine.system_free)} are free"
    )
    return sentence if remark is None else f"{sentence}; {remark}"


# ---- measuring ----


def measure(device: str = "auto", cache: Path | None = None) -> Machine:
    """What is free here and now.

    Args:
        device: "cpu", "cuda", "mps", or "auto" for cuda where it is there. torch is asked only if there may be a GPU.
        cache: where downloads go; None for huggingface_hub's own place.
    """
    if device == "auto":
        device = "cuda" if _may_have_gpu() and _cuda_works() else "cpu"
    gpu_free = gpu_total = 0
    if device.startswith("cuda"):
        import torch

        gpu_free, gpu_total = torch.cuda.mem_get_info(device)
    elif device == "mps":
        import torch

        gpu_total = torch.mps.recommended_max_memory()
        gpu_free = max(0, gpu_total - torch.mps.driver_allocated_memory())
    system_free, system_total = system_memory()
    found = frozenset(name for name in PACKAGES if _installed(name))
    return Machine(
        device.split(":")[0], gpu_free, gpu_total, system_free, system_total, disk_free(cache or hub_cache()), found
    )  # fmt: skip


def hub_cache() -> Path:
    """Where huggingface_hub keeps downloads."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def disk_free(place: Path) -> int:
    """Bytes that are free on the disk of a folder that may not be there yet."""
    place = place.expanduser().absolute()
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free


def system_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """(free, total) bytes of system memory, of a container's share where it has one."""
    import psutil

    memory = psutil.virtual_memory()
    free, total = memory.available, memory.total
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, used = int((cgroup / limit).read_text()), int((cgroup / usage).read_text())
            statistics = (cgroup / limit).with_name("memory.stat").read_text().split()
        except (OSError, ValueError):  # no such group, or "max", which is no limit
            continue
        kept = statistics[statistics.index("inactive_file") + 1] if "inactive_file" in statistics else 0
        free, total = min(free, max(0, most - used + int(kept))), min(total, most)
    return free, total


def _may_have_gpu() -> bool:
    signs = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' subsystem for Linux
    return sys.platform == "win32" or any(Path(sign).exists() for sign in signs)


def _cuda_works() -> bool:
    import torch

    return torch.cuda.is_available()


def _installed(package: str) -> bool:
    from packaging.version import Version

    try:
        return Version(importlib.metadata.version(package)) >= Version(PACKAGES[package][0])
    except importlib.metadata.PackageNotFoundError:
        return False


# ---- folders ----


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


def _count(file: Path) -> int:
    try:
        shapes = read_header(file).shapes.values()
    except LoraError as error:
        raise ModelError(str(error)) from None
    total = 0
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def _of_pipeline(name: str) -> dict[str, Any]:
    """What the class of a pipeline tells: Stable Diffusion 3 guides in one batch, Qwen has a VAE of its own."""
    return {
        "batch": 2 if name.startswith("StableDiffusion3") else 1,
        "vae": "qwen" if name.startswith("Qwen") else "kl",
    }
