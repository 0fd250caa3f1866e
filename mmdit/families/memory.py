"""The memory plan: how what a pipeline needs is fitted into what a machine has.

In: `Needs` and a `Machine`. Out: a `MemoryPlan` with the sentence that explains it. What leaves the picture as it is
comes first, the fastest of it before the others: all on the GPU, one part at a time, block by block; then the same with
a tiled VAE; last 8-bit and 4-bit weights. Sizes are bytes. Measures nothing, reads no file, loads nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

from mmdit.families.folders import ModelError
from mmdit.families.machine import PACKAGES, Machine, gigabytes
from mmdit.families.needs import BYTES, QUANTISED_BYTES, Needs

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

BLOCK_SQUARES = 80
"""Weights of two transformer blocks, the one at work and the next, per squared width; FLUX.1 has 72, FLUX.2 52."""
LEAF_WEIGHTS = 700_000_000
"""The largest single layer of a text encoder: Mistral Small's embedding has 671 million weights."""


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
