"""What this machine has: memory of its GPU and system, room on the disk, packages that quantise.

In: a device's name. Out: a `Machine`, measured here and now. Sizes are bytes, and 1 GB is 10⁹ of them. Knows no model,
and needs no torch but for asking a GPU how much memory it has.
"""

import importlib.metadata
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES: Mapping[str, tuple[str, str]] = {"torchao": ("0.15", "int8"), "bitsandbytes": ("0.48", "int8 and int4")}
"""Package → the oldest version that diffusers and accelerate can move about, and what it is good for."""


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


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether Python, a GPU or PyTorch on the CPU had no more to give."""
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_cpu or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


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


def gigabytes(size: int) -> str:
    """ "24 GB", "8.9 GB", "0.4 GB"."""
    return f"{size / 1e9:.0f} GB" if size >= 99.5e8 else f"{size / 1e9:.1f} GB"


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
