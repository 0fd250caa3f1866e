"""What recording attention costs: plain runs, our recording, full softmaxes, and attention-map-diffusers side by side.

Every mode runs in a process of its own, alternating with plain runs of the same model, so that each ratio comes
from one process and moment; memory is measured apart from time. Prints a table; the numbers go to a JSON file when
one is named.

    python -m mmdit bench attention --tokens 1024 4096 --json numbers.json
"""

import ctypes
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mmdit.attention.interception import attention_heads, intercept, joint_attentions
from mmdit.attention.layout import TokenLayout
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import EditTokens, RecordSpec

TEXT_TOKENS, WORDS = 512, 16
HEADS, HEAD_CHANNELS = 8, 64
PEAKS = 2  # runs whose lowest peak counts: an allocator's leftovers only ever add
OTHER_TOOL = "attention_map_diffusers"
RESET_PEAK = Path("/proc/self/clear_refs")

Run = Callable[[], Any]


def bench(tokens: tuple[int, ...], repeats: int, json_file: Path | None = None) -> None:
    """Measure all modes over the token counts and print the table.

    Raises:
        ValueError: a token count that is no square, or fewer than one repeat.
    """
    for count in tokens:
        if count < 1 or math.isqrt(count) ** 2 != count:
            raise ValueError(f"tokens is {count}; it must be a square such as 1024 = 32 × 32")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    modes = [mode for mode in MODES if mode != OTHER_TOOL or importlib.util.find_spec(OTHER_TOOL)]
    print(f"FLUX of 4 double and 4 single blocks, {HEADS} heads × {HEAD_CHANNELS}, {TEXT_TOKENS} text tokens,")
    print(f"{WORDS} words, float32, {torch.get_num_threads()} threads.")
    print("Extra time and memory are over plain runs in the same process.\n")
    print(f"{'image tokens':>12}  {'mode':24} {'seconds':>8} {'extra time':>11} {'extra peak':>11} {'stored':>9}")
    rows = []
    for count in tokens:
        for mode in modes:
            row = _in_process("time", mode, count, repeats) | _in_process("memory", mode, count, repeats)
            rows.append(row)
            print(
                f"{count:12}  {mode:24} {row['seconds']:8.3f} {100 * row['extra_time']:10.1f}% "
                f"{row['extra_peak'] / 1e6:8.1f} MB {row['stored'] / 1e6:6.1f} MB",
                flush=True,
            )
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=2))


def measure(what: str, mode: str, count: int, repeats: int) -> dict[str, Any]:
    """One mode against plain runs: "time", median seconds and median of the paired ratios; or "memory", bytes."""
    torch.manual_seed(0)
    transformer = _transformer()
    inputs = _inputs(count)
    found: dict[str, Any] = {"mode": mode, "image_tokens": count, "torch": torch.__version__}
    with torch.inference_mode():
        plain: Run = lambda: transformer(**inputs)  # noqa: E731 - both runs must look alike
        with MODES[mode](transformer, count) as (run, stored):
            if what == "time":
                pairs = [(_seconds(plain), _seconds(lambda: run(plain))) for _ in range(repeats + 1)][1:]
                return found | {
                    "seconds": statistics.median(after for _, after in pairs),
                    "plain_seconds": statistics.median(before for before, _ in pairs),
                    "extra_time": statistics.median(after / before for before, after in pairs) - 1,
                    "repeats": repeats,
                    "threads": torch.get_num_threads(),
                }
            ways = (plain, lambda: run(plain))
            before, after = (min(_peak(way) for _ in range(PEAKS)) for way in ways)
            return found | {"extra_peak": after - before, "stored": stored()}


def _in_process(what: str, mode: str, count: int, repeats: int) -> dict[str, Any]:
    """`measure` in a process of its own; for memory, one that hands every large block back as soon as it is free."""
    command = [sys.executable, "-m", "mmdit.attention.bench", what, mode, str(count), str(repeats)]
    environment = os.environ | ({"MALLOC_MMAP_THRESHOLD_": str(2**16)} if what == "memory" else {})
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode:
        raise ValueError(f"{mode} at {count} tokens failed: {ended.stderr.strip().splitlines()[-1]}")
    return json.loads(ended.stdout)


@contextmanager
def _plain(transformer: nn.Module, count: int) -> Iterator[tuple[Callable[[Run], Any], Callable[[], int]]]:
    yield lambda plain: plain(), lambda: 0


@contextmanager
def _recording(transformer: nn.Module, count: int) -> Iterator[tuple[Callable[[Run], Any], Callable[[], int]]]:
    side = math.isqrt(count)
    words = tuple((f"word{index}", (index,)) for index in range(WORDS))
    tokens = EditTokens(TokenLayout.for_edit(TEXT_TOKENS, (side, side), []), words, steps=1)
    kept: list[Recorder] = []

    def run(plain: Run) -> None:
        recorder = Recorder(RecordSpec(), tokens, tuple(joint_attentions(transformer)), attention_heads(transformer))
        with intercept(transformer, recorder):
            plain()
        kept[:] = [recorder]

    yield run, lambda: kept[0].stored_bytes


@contextmanager
def _full_softmax(transformer: nn.Module, count: int) -> Iterator[tuple[Callable[[Run], Any], Callable[[], int]]]:
    """What most tools do: every probability of a layer at once, reduced to the same maps."""
    maps: list[Tensor] = []

    class Materialise(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
            if function is not functional.scaled_dot_product_attention:
                return function(*arguments, **(keywords or {}))
            names = dict(zip(("query", "key", "value"), arguments, strict=False)) | (keywords or {})
            query, key, value = names["query"], names["key"], names["value"]
            shares = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)
            mean = shares.mean(dim=1)
            maps.extend([mean[:, TEXT_TOKENS:, :WORDS].clone(), mean[:, :WORDS, TEXT_TOKENS:].clone()])
            return shares @ value

    def run(plain: Run) -> None:
        maps.clear()
        with Materialise():
            plain()

    yield run, lambda: sum(one.nbytes for one in maps)


@contextmanager
def _other_tool(transformer: nn.Module, count: int) -> Iterator[tuple[Callable[[Run], Any], Callable[[], int]]]:
    """attention-map-diffusers in its fast mode, asked for the same words, layers and directions."""
    from attention_map_diffusers import AttentionCapture

    words = list(range(WORDS))
    kept: list[Any] = []

    def run(plain: Run) -> None:
        capture = AttentionCapture(
            SimpleNamespace(transformer=transformer, config={}),
            relations=["image->text", "text->image"],
            relation_key_indices={"image->text": words},
            relation_query_indices={"text->image": words},
        )
        with capture:
            plain()
        kept[:] = [capture.compute()]

    yield run, lambda: sum(record.data.nbytes for record in kept[0].records if record.data is not None)


MODES = {"plain": _plain, "recording": _recording, "full softmax": _full_softmax, OTHER_TOOL: _other_tool}


def _transformer() -> nn.Module:
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=4, num_single_layers=4, attention_head_dim=HEAD_CHANNELS,
        num_attention_heads=HEADS, joint_attention_dim=512, pooled_projection_dim=64, axes_dims_rope=(16, 24, 24),
    ).eval()  # fmt: skip


def _inputs(count: int) -> dict[str, Any]:
    side = math.isqrt(count)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return {
        "hidden_states": torch.randn(1, count, 64),
        "encoder_hidden_states": torch.randn(1, TEXT_TOKENS, 512),
        "pooled_projections": torch.randn(1, 64),
        "timestep": torch.tensor([1.0]),
        "img_ids": torch.stack([torch.zeros(count), rows.flatten(), columns.flatten()], dim=-1),
        "txt_ids": torch.zeros(TEXT_TOKENS, 3),
    }


def _seconds(run: Run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _peak(run: Run) -> int:
    """Highest resident memory during a run, in bytes, over what was resident before (Linux with glibc; 0 elsewhere)."""
    if platform.libc_ver()[0] != "glibc":
        return 0
    ctypes.CDLL(None).malloc_trim(0)  # what runs before left in the heap would hide this one's need
    RESET_PEAK.write_text("5")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
