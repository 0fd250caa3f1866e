"""LoRAs on a model: an ordered, weighed stack, applied as a context that touches no parameter.

In: a transformer and `LoraWeight`s. Inside `LoraStack.applied`, a forward hook adds
``weight · alpha / rank · up(down(x))`` (Hu et al. 2021, arXiv 2106.09685) to the output of each Linear that a LoRA
names. The weights of the model are never written, so what was there before is there after, and what only answers
calls works too: quantised, offloaded and cast Linears. Knows neither key formats nor presets' fields.

Axes: R rank, I and O features going in and out.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from mmdit.lora.inspect import LoraError, LoraReport, LoraTarget, inspect
from mmdit.lora.presets import Presets

MIN_WEIGHT, MAX_WEIGHT = -2.0, 2.0
CACHE_BYTES = 2 << 30
REPORTS = 256  # that are kept


@dataclass(frozen=True)
class LoraWeight:
    """
    Args:
        name_or_path: a preset's name, a .safetensors file, or a hub id ("org/name" or "org/name:file.safetensors").
        weight: −2 to 2; 1 is the strength that it was trained at, 0 leaves it out.
        blocks: block or module of the transformer → factor on ``weight`` there, −2 to 2. Names are taken exactly:
            "transformer_blocks.1" is not "transformer_blocks.10".
        partial: apply what fits of a file of which something does not, as its report lists.
        alpha: for pairs whose alpha the file does not give; None for the preset's.
    """

    name_or_path: str | Path
    weight: float = 1.0
    blocks: Mapping[str, float] | None = None
    partial: bool = False
    alpha: float | None = None

    def check(self) -> None:
        """Raises LoraError: a weight that is not a number from −2 to 2, an alpha that is none."""
        for name, value in {"the weight": self.weight, **(self.blocks or {})}.items():
            if not _is_number(value) or not MIN_WEIGHT <= value <= MAX_WEIGHT:
                raise LoraError(
                    f"{name} of LoRA {str(self.name_or_path)!r} is {value!r}; "
                    f"it must be a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}"
                )
        if self.alpha is not None and not (_is_number(self.alpha) and math.isfinite(self.alpha)):
            raise LoraError(f"alpha of LoRA {str(self.name_or_path)!r} is {self.alpha!r}; it must be a number")


@dataclass(frozen=True)
class AppliedLora:
    """One LoRA of a stack, with what its file held.

    Args:
        name: as it was asked for.
        weight, blocks: as in `LoraWeight`.
    """

    name: str
    weight: float
    blocks: Mapping[str, float] | None
    report: LoraReport

    def settings(self) -> dict[str, Any]:
        """What a result remembers of it, JSON-ready."""
        return {
            "name": self.name,
            "file": self.report.path.name,
            "sha256": self.report.sha256,
            "weight": self.weight,
            "blocks": None if self.blocks is None else dict(self.blocks),
            "alpha": self.report.alpha,
            "scale": self.report.scale,
        }

    def coefficient(self, target: LoraTarget) -> float:
        """What the module's up(down(x)) is multiplied by: weight · factor of its block · alpha / rank."""
        names = [name for name in self.blocks or {} if f"{target.module}.".startswith(f"{name}.")]
        factor = self.blocks[max(names, key=len)] if names else 1.0
        return self.weight * factor * target.scale


@dataclass(frozen=True)
class _Tensors:
    """A LoRA's tensors: module → down (R, I), up (O, R), as they are in the file."""

    pairs: dict[str, tuple[Tensor, Tensor]]
    bytes: int


class LoraStack:
    """The LoRAs of one transformer.

    Args:
        transformer: what takes them.
        model: its name, for reports.
        presets: where names are looked up.
        cache_bytes: how much of loaded LoRAs is kept for the next stack, in bytes.
    """

    def __init__(self, transformer: nn.Module, model: str, presets: Presets, cache_bytes: int = CACHE_BYTES) -> None:
        self.presets = presets
        self._transformer, self._model, self._cache_bytes = transformer, model, cache_bytes
        self._linears = linears(transformer)
        self._shapes = {name: (module.out_features, module.in_features) for name, module in self._linears.items()}
        self._reports: OrderedDict[tuple, LoraReport] = OrderedDict()
        self._kept: OrderedDict[tuple, _Tensors] = OrderedDict()
        self._joined: tuple[tuple, dict[str, _Joined]] = ((), {})

    @property
    def kept_bytes(self) -> int:
        """How much of loaded LoRAs is kept for the next stack."""
        return sum(file.bytes for file in self._kept.values())

    def inspect(self, name_or_path: str | Path, alpha: float | None = None) -> LoraReport:
        """What a LoRA would do to this model; reads the file's header only.

        Args:
            alpha: as in `LoraWeight`.

        Raises:
            LoraError: unknown name, unreadable file.
        """
        path, preset = self.presets.resolve(name_or_path)
        if alpha is None and preset is not None:
            alpha = preset.alpha
        status = path.stat()
        key = (str(path), alpha, status.st_size, status.st_mtime_ns)
        if key not in self._reports:
            self._reports[key] = inspect(path, self._shapes, self._model, alpha=alpha)
            if len(self._reports) > REPORTS:
                self._reports.popitem(last=False)
        return self._reports[key]

    def resolve(self, loras: Sequence[LoraWeight]) -> tuple[AppliedLora, ...]:
        """The stack with every file inspected. Raises LoraError: a file that does not fit, a wrong weight or block."""
        stack = []
        for lora in loras:
            lora.check()
            self.presets.check_kind(str(lora.name_or_path), self._shapes, self._model, lora.partial)
            report = self.inspect(lora.name_or_path, lora.alpha)
            if not report.targets or not (report.whole or lora.partial):
                raise LoraError(report.refusal())
            for name in lora.blocks or {}:
                if not any(f"{target.module}.".startswith(f"{name}.") for target in report.targets):
                    blocks = ", ".join(count.block for count in report.blocks if count.matched)
                    raise LoraError(f"LoRA {report.name!r} has nothing in block {name!r}; it touches {blocks}")
            blocks = None if lora.blocks is None else dict(lora.blocks)
            stack.append(AppliedLora(Path(lora.name_or_path).name, float(lora.weight), blocks, report))
        return tuple(stack)

    @contextmanager
    def applied(self, loras: Sequence[LoraWeight]) -> Iterator[tuple[AppliedLora, ...]]:
        """The transformer with a stack on it, for as long as the context lasts. A compiled one runs uncompiled.

        Raises:
            LoraError: see `resolve`; a tensor that is not finite; on leaving, a module that a LoRA names was never
                called although the transformer was, so that the LoRA would have had no effect there.
        """
        stack = self.resolve(loras)
        active = [lora for lora in stack if lora.weight != 0]
        if not active:
            yield stack
            return
        patches = self._patches(active)
        called = [0]

        def count(*_: object) -> None:
            called[0] += 1

        with ExitStack() as undo:
            modules = list(self._transformer.modules())
            if any(module._compiled_call_impl is not None for module in modules):
                undo.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code would pass the hooks by
            undo.callback(self._transformer.register_forward_pre_hook(count).remove)
            for name, patch in patches.items():
                undo.callback(self._linears[name].register_forward_hook(patch).remove)
            yield stack
            idle = [name for name, patch in patches.items() if not patch.called]
            if called[0] and idle:
                more = f" and {len(idle) - 1} more" if len(idle) > 1 else ""
                raise LoraError(
                    f"the model never called {idle[0]}{more}, so that a LoRA had no effect there; "
                    "if projections were fused, unfuse them"
                )

    def _patches(self, active: list[AppliedLora]) -> "dict[str, _Patch]":
        files = [self._load(lora.report) for lora in active]
        key = tuple(_identity(lora.report) for lora in active)
        if self._joined[0] != key:
            self._joined = (key, _join([file.pairs for file in files]))
        coefficients: dict[str, list[tuple[float, int]]] = {}
        for lora in active:
            for target in lora.report.targets:
                coefficients.setdefault(target.module, []).append((lora.coefficient(target), target.rank))
        return {name: _Patch(joined, coefficients[name]) for name, joined in self._joined[1].items()}

    def _load(self, report: LoraReport) -> _Tensors:
        key = _identity(report)
        if key not in self._kept:
            self._kept[key] = _read(report)
        self._kept.move_to_end(key)
        while self.kept_bytes > self._cache_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return self._kept[key]


class _Joined:
    """The LoRAs of one module side by side: down (R, I), up (O, R), R the sum of the ranks."""

    def __init__(self, down: Tensor, up: Tensor) -> None:
        self.down, self.up = down, up

    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both where and as precise as ``x``; moved once, and kept for the next call."""
        if self.down.device != x.device or self.down.dtype != x.dtype:
            with torch.inference_mode(False):
                self.down, self.up = self.down.to(x), self.up.to(x)
        return self.down, self.up


class _Patch:
    """The forward hook of one Linear."""

    def __init__(self, joined: _Joined, coefficients: list[tuple[float, int]]) -> None:
        self._joined = joined
        self._coefficients = torch.tensor([value for value, rank in coefficients for _ in range(rank)])
        self.called = False

    def __call__(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self.called = True
        x = arguments[0]
        down, up = self._joined.on(x)
        low = functional.linear(x, down) * self._coefficients.to(x)
        added = torch.addmm(output.flatten(0, -2), low.flatten(0, -2).to(output), up.to(output).T)  # in one pass
        return added.view_as(output)


def linears(model: nn.Module) -> dict[str, nn.Module]:
    """Name → module of everything that maps ``in_features`` to ``out_features``, quantised or not."""
    model = getattr(model, "_orig_mod", model)
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
        of_peft = ".lora_" in name or name.endswith(".base_layer")
        if all(isinstance(size, int) for size in sizes) and not of_peft:
            found[name] = module
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _identity(report: LoraReport) -> tuple:
    status = report.path.stat()
    return (str(report.path), status.st_size, status.st_mtime_ns, report.targets)


def _read(report: LoraReport) -> _Tensors:
    """The matched pairs of a file. Raises LoraError: a tensor that is not finite."""
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    kept: dict[str, Tensor] = {}
    with safe_open(report.path, "pt") as file:

        def tensor(key: str) -> Tensor:
            if key not in kept:
                value = file.get_tensor(key)
                kept[key] = value.bfloat16() if value.itemsize == 1 else value  # which holds every float8 exactly
                if not kept[key].isfinite().all():
                    raise LoraError(f"{report.path.name} holds NaN or infinity in {key}; it is damaged, get it again")
            return kept[key]

        for target in report.targets:
            up = tensor(target.up)
            pairs[target.module] = (tensor(target.down), up if target.rows is None else up[slice(*target.rows)])
    return _Tensors(pairs, sum(value.nbytes for value in kept.values()))


def _join(files: list[dict[str, tuple[Tensor, Tensor]]]) -> dict[str, _Joined]:
    """All LoRAs' pairs, module by module, side by side."""
    modules = dict.fromkeys(module for pairs in files for module in pairs)
    joined = {}
    for module in modules:
        downs, ups = zip(*(pairs[module] for pairs in files if module in pairs), strict=True)
        widest = max((down.dtype for down in downs), key=lambda dtype: torch.finfo(dtype).bits)
        one = len(downs) == 1
        joined[module] = _Joined(
            downs[0] if one else torch.cat([down.to(widest) for down in downs]),
            ups[0] if one else torch.cat([up.to(widest) for up in ups], dim=1),
        )
    return joined
