"""What an edit costs with the real architectures, on random weights: plain, recorded, and with full softmaxes.

In: a family's name and a resolution. Out: a table, and a JSON file when one is named. The transformer is built as the
table of `lora.architectures` says and drawn straight onto the device in bfloat16; its inputs have the shapes and ids of
a square edit in one pass without guidance. The three modes run in turn, in one process, each time in another order.
Nothing is loaded or downloaded. Knows neither text encoders nor VAEs, which take no part in a step.

    python -m mmdit bench family --family flux-kontext --random-weights --json numbers.json
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mmdit.attention.fused import additive
from mmdit.attention.interception import attention_heads, intercept, joint_attentions
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import RecordSpec
from mmdit.families.bench_model import (
    DTYPE,
    WORDS,
    Edit,
    Settings,
    check,
    check_memory,
    free_bytes,
    layout_of,
    materialise,
    on_meta,
    parameters_of,
    usable_device,
)
from mmdit.families.machine import ran_out_of_memory

PROBE_SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices that show what rate the chip reaches
PROBES, PRODUCTS_A_PROBE = 5, 10
FULL_COPIES = 3  # logits, shares and a spare, of the heads that are materialised at once
MODES = ("plain", "recording", "full softmax")

Maps = Mapping[tuple[str, str], Tensor]
"""(direction, stream) → (layers, words, tokens), float32, means over heads and steps."""


@dataclass(frozen=True)
class ModeCost:
    """
    Args:
        seconds: a step, of each timed run, with all that the mode needs from its start to its maps; empty when memory
            ran out.
        median, fastest, slowest: of them.
        to_plain: median of the ratios to the plain run of the same round.
        peak_bytes: most that was allocated on the GPU, weights included; None on the CPU.
        rate: floating-point operations a second, of the plain run's operations. of_limit: its share of what a matrix
            product reaches.
        out_of_memory: the mode did not fit.
    """

    mode: str
    seconds: tuple[float, ...] = ()
    median: float | None = None
    fastest: float | None = None
    slowest: float | None = None
    to_plain: float | None = None
    peak_bytes: int | None = None
    rate: float | None = None
    of_limit: float | None = None
    out_of_memory: bool = False


@dataclass(frozen=True)
class Report:
    """
    Args:
        tokens: of each stream of the joint sequence. layers, heads: of joint attention.
        operations: floating-point operations of a step. product_rate: such operations a second of a bfloat16 product.
        bit_identical: whether recording left every step's output as it was; None when recording ran out of memory.
        maps_differ: largest difference between the recorded and the materialised maps, as a share of the largest
            value; None where there is one of them only.
        heads_at_once: that the full softmax materialised.
    """

    family: str
    device: str
    device_name: str
    torch: str
    diffusers: str
    dtype: str
    parameters: int
    blocks: tuple[int, int]
    resolution: int
    tokens: Mapping[str, int]
    layers: int
    heads: int
    head_channels: int
    words: int
    steps: int
    repeats: int
    operations: int
    product_rate: float
    bit_identical: bool | None
    maps_differ: float | None
    heads_at_once: int
    modes: tuple[ModeCost, ...]


def bench(settings: Settings, json_file: Path | None = None) -> None:
    """Measure and print the table.

    Raises:
        ValueError: see `check`, `usable_device` and `measured`.
    """
    check(settings)
    if usable_device(settings.device).type == "cpu":
        print("This runs without a GPU: only the ratios mean something.")
    report = measured(settings)
    print("\n".join(chain(_head(report), _table(report), _foot(report))))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(report), indent=2))


def measured(settings: Settings) -> Report:
    """Build the model and measure all modes; the settings passed `check`.

    Raises:
        ValueError: too little memory, before anything is allocated; a plain run that runs out of memory.
    """
    device = usable_device(settings.device)
    transformer = on_meta(settings)
    layout = layout_of(settings)
    check_memory(settings, transformer, layout, device)
    materialise(transformer, device)
    edit = Edit.of(settings, transformer, layout)
    with torch.no_grad():
        operations = count_operations(edit)
        rate = product_rate(device)
        rounds = [_round(edit, start) for start in range(settings.repeats + 1)]
    return _report(settings, edit, operations, rate, rounds)


# ---- the modes ----


@dataclass(frozen=True)
class Done:
    """A run's outputs, and what it made of attention."""

    outputs: list[Tensor]
    maps: Maps = field(default_factory=dict)
    heads_at_once: int = 0


def _plain(edit: Edit) -> Done:
    return Done(edit.run())


def _recording(edit: Edit) -> Done:
    layers = tuple(joint_attentions(edit.transformer))
    recorder = Recorder(RecordSpec(), edit.tokens, layers, attention_heads(edit.transformer), edit.device)
    with intercept(edit.transformer, recorder):
        outputs = edit.run()
    maps = recorder.maps()
    return Done(outputs, {key: torch.from_numpy(data[0, :, 0]).flatten(2) for key, data in maps.data.items()})


def _full_softmax(edit: Edit) -> Done:
    with FullSoftmax(edit) as full:
        outputs = edit.run()
    return Done(outputs, full.maps(), full.heads_at_once)


RUNS: dict[str, Callable[[Edit], Done]] = dict(zip(MODES, (_plain, _recording, _full_softmax), strict=True))


class FullSoftmax(TorchFunctionMode):
    """What one does without a recorder: every probability of a layer, in the model's dtype, for all heads at once or as
    many as there is memory for; of it the words' rows and columns are kept, averaged as the recorder does.
    """

    def __init__(self, edit: Edit) -> None:
        super().__init__()
        self.edit, self.calls = edit, 0
        self.layers, heads = len(joint_attentions(edit.transformer)), attention_heads(edit.transformer)
        one_head = FULL_COPIES * DTYPE.itemsize * edit.layout.tokens**2
        self.heads_at_once = min(heads, max(1, free_bytes(edit.device) // one_head))
        slots = [slot for _, taken in edit.tokens.words for slot in taken]
        self.slots = torch.tensor(slots, device=edit.device) + edit.layout.spans["text"].start
        shape = (self.layers, WORDS, edit.layout.tokens)
        self.read, self.reading = (torch.zeros(shape, device=edit.device) for _ in range(2))

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        if function is not functional.scaled_dot_product_attention:
            return function(*arguments, **keywords)
        named = dict(zip(("query", "key", "value", "attn_mask"), arguments, strict=False)) | keywords
        if named["query"].shape[-2] != self.edit.layout.tokens:  # SD3.5's attention among image tokens
            return function(*arguments, **keywords)
        return self._attend(named["query"], named["key"], named["value"], named.get("attn_mask"))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """(1, H, S, D) each; the mask as SDPA takes it."""
        outputs, layer = [], self.calls % self.layers
        self.calls += 1
        for first in range(0, query.shape[1], self.heads_at_once):
            some = slice(first, first + self.heads_at_once)
            logits = (query[:, some] * query.shape[-1] ** -0.5) @ key[:, some].transpose(-1, -2)
            shares = (logits if mask is None else logits + additive(mask, logits.dtype)).softmax(dim=-1)
            read = shares[0, :, :, self.slots].float().sum(dim=0).unflatten(-1, (WORDS, -1)).sum(dim=-1)
            self.read[layer] += read.T / query.shape[1]
            reading = shares[0, :, self.slots].float().sum(dim=0).unflatten(0, (WORDS, -1)).mean(dim=1)
            self.reading[layer] += reading / query.shape[1]
            outputs.append(shares @ value[:, some])
            del logits, shares
        return torch.cat(outputs, dim=1)

    def maps(self) -> Maps:
        """Means over the steps, on the CPU."""
        directions = {"image_to_text": self.read, "text_to_image": self.reading}
        return {
            (direction, of.name): (store[..., self.edit.layout.spans[of.name]] / self.edit.steps).cpu()
            for direction, store in directions.items()
            for of in self.edit.layout.streams
        }


# ---- measuring ----


@dataclass(frozen=True)
class Round:
    """One run of each mode. Modes that ran out of memory are in none of the mappings.

    Args:
        seconds: mode → seconds a step. peaks: mode → bytes on the GPU, None on the CPU.
        bit_identical, maps_differ, heads_at_once: see `Report`.
    """

    seconds: Mapping[str, float]
    peaks: Mapping[str, int | None]
    bit_identical: bool | None
    maps_differ: float | None
    heads_at_once: int


def _round(edit: Edit, start: int) -> Round:
    """Run the modes in turn, from the ``start``-th on."""
    seconds, peaks, done = {}, {}, {}
    for index in range(len(MODES)):
        mode = MODES[(start + index) % len(MODES)]
        on_gpu = edit.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(edit.device)
        _wait(edit.device)
        started = time.perf_counter()
        found = _attempt(mode, edit)
        _wait(edit.device)
        if found is not None:
            seconds[mode] = (time.perf_counter() - started) / edit.steps
            peaks[mode] = torch.cuda.max_memory_allocated(edit.device) if on_gpu else None
            done[mode] = found
    if "plain" not in done:
        raise ValueError("the plain run ran out of memory; lower the resolution, or use --blocks or a smaller family")
    plain, recorded, full = (done.get(mode) for mode in MODES)
    same = all(map(torch.equal, plain.outputs, recorded.outputs)) if recorded else None
    differ = _difference(recorded.maps, full.maps) if recorded and full else None
    return Round(seconds, peaks, same, differ, full.heads_at_once if full else 0)


def _attempt(mode: str, edit: Edit) -> Done | None:
    """None when memory ran out."""
    try:
        return RUNS[mode](edit)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return None


def _difference(recorded: Maps, full: Maps) -> float:
    """Largest difference as a share of the largest value."""
    largest = max(values.max().item() for values in full.values())
    return max((recorded[key] - full[key]).abs().max().item() for key in full) / largest


def count_operations(edit: Edit) -> int:
    """Floating-point operations of a step's matrix products and attention: two for each multiplication."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def of_fused(query: tuple[int, ...], key: tuple[int, ...], *_: Any, **__: Any) -> int:
        return 4 * math.prod(query) * key[-2]

    with FlopCounterMode(display=False, custom_mapping={fused: of_fused}) as counter:
        edit.step(edit.noise)
    return counter.get_total_flops()


def product_rate(device: torch.device) -> float:
    """Floating-point operations a second that products of large bfloat16 matrices reach here, at best."""
    side = PROBE_SIDE[device.type]
    draw = torch.Generator(device).manual_seed(2)
    left, right = (torch.randn(side, side, dtype=DTYPE, device=device, generator=draw) for _ in range(2))
    product, best = left @ right, math.inf
    for _ in range(PROBES):
        _wait(device)
        started = time.perf_counter()
        for _ in range(PRODUCTS_A_PROBE):
            torch.mm(left, right, out=product)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return PRODUCTS_A_PROBE * 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---- the report ----


def _report(settings: Settings, edit: Edit, operations: int, rate: float, rounds: list[Round]) -> Report:
    """From the rounds, of which the first is for warming up; of the checks it counts, too."""
    config, device, timed = edit.transformer.config, edit.device, rounds[1:]
    same = [one.bit_identical for one in rounds if one.bit_identical is not None]
    differ = [one.maps_differ for one in rounds if one.maps_differ is not None]
    spans = edit.layout.spans
    return Report(
        family=settings.family, device=str(device),
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else
        f"CPU, {torch.get_num_threads()} threads",
        torch=torch.__version__, diffusers=diffusers.__version__, dtype=str(DTYPE).removeprefix("torch."),
        parameters=parameters_of(edit.transformer),
        blocks=(config.num_layers, config.get("num_single_layers", 0)), resolution=settings.resolution,
        tokens={name: span.stop - span.start for name, span in spans.items()},
        layers=len(joint_attentions(edit.transformer)), heads=config.num_attention_heads,
        head_channels=config.attention_head_dim, words=WORDS, steps=settings.steps, repeats=settings.repeats,
        operations=operations, product_rate=rate, bit_identical=all(same) if same else None,
        maps_differ=max(differ, default=None), heads_at_once=max(one.heads_at_once for one in rounds),
        modes=tuple(_cost(mode, timed, operations, rate) for mode in MODES),
    )  # fmt: skip


def _cost(mode: str, rounds: list[Round], operations: int, limit: float) -> ModeCost:
    ran = [one for one in rounds if mode in one.seconds]
    if not ran:
        return ModeCost(mode, out_of_memory=True)
    seconds = tuple(one.seconds[mode] for one in ran)
    median = statistics.median(seconds)
    return ModeCost(
        mode,
        seconds,
        median,
        min(seconds),
        max(seconds),
        statistics.median(one.seconds[mode] / one.seconds["plain"] for one in ran),
        max((one.peaks[mode] for one in ran if one.peaks[mode] is not None), default=None),
        operations / median,
        operations / median / limit,
        out_of_memory=len(ran) < len(rounds),
    )


def _head(report: Report) -> list[str]:
    double, single = report.blocks
    blocks = f"{double} double and {single} single blocks" if single else f"{double} double blocks"
    streams = ", ".join(f"{count} {name}" for name, count in report.tokens.items())
    return [
        f"{report.family} with random weights: {report.parameters / 1e9:.2f} billion parameters in {report.dtype}, "
        f"{blocks}, {report.heads} heads × {report.head_channels}",
        f"{report.device} ({report.device_name}), torch {report.torch}, diffusers {report.diffusers}",
        f"{report.resolution} × {report.resolution}: {sum(report.tokens.values())} tokens ({streams}), one pass a step",
        f"recorded: {report.words} words, {report.layers} layers, both directions",
        f"{report.repeats} × {report.steps} timed steps in each mode, in turn, after one run of each that is not timed",
        f"a step is {report.operations / 1e12:.4g} TFLOP; a matrix product in {report.dtype} reaches "
        f"{report.product_rate / 1e12:.4g} TFLOP/s here",
        "",
    ]


def _table(report: Report) -> list[str]:
    titles = ("seconds a step", "min – max", "to plain", "peak memory", "TFLOP/s", "of the product's")
    lines = [f"{'mode':14}" + "".join(f"{title:>18}" for title in titles)]
    for cost in report.modes:
        if cost.median is None:
            lines.append(f"{cost.mode:14}{'out of memory':>18}")
            continue
        peak = "not measured" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e9:.2f} GB"
        cells = (
            f"{cost.median:.4f}", f"{cost.fastest:.4f} – {cost.slowest:.4f}", f"{cost.to_plain:.3f}", peak,
            f"{cost.rate / 1e12:.4g}", f"{100 * cost.of_limit:.1f} %",
        )  # fmt: skip
        also = "  (in other runs out of memory)" if cost.out_of_memory else ""
        lines.append(f"{cost.mode:14}" + "".join(f"{cell:>18}" for cell in cells) + also)
    return lines


def _foot(report: Report) -> list[str]:
    lines = [""]
    if report.bit_identical is not None:
        same = "give the same output, bit for bit" if report.bit_identical else "give DIFFERENT outputs"
        lines.append(f"plain and recording {same}")
    if report.heads_at_once:
        lines.append(f"full softmax materialised {report.heads_at_once} of {report.heads} heads at once")
    if report.maps_differ is not None:
        lines.append(
            f"recorded maps and full softmaxes differ by at most {100 * report.maps_differ:.2g} % of the largest value"
        )
    return lines
