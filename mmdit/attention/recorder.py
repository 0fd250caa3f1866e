"""Record what joint attention looked at, while the edit runs, at almost no cost.

In, from inside every joint attention: queries, keys and the kernel's own log-sum-exp. Out: `AttentionMaps`. No full
attention matrix ever exists: P[rows, columns] = exp(q_rows · k_columnsᵀ · scale + mask − lse_rows), for the rows and
columns asked for, a few heads at a time, into a store that was allocated before the run. Knows no model.

Axes: B batch, H heads, S joint sequence, D head dimension.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdit.attention.fused import OnAttention, additive
from mmdit.attention.maps import COPIED_FROM, AttentionMaps
from mmdit.attention.spec import (
    EditTokens,
    RecordError,
    RecordSpec,
    check_budget,
    check_directions,
    chosen_layers,
    chosen_pass,
    chosen_patches,
    chosen_positions,
    chosen_streams,
    chosen_words,
)

WORKING_BYTES = 2 * 2**20  # of probabilities held at a time beside the store


class Recorder:
    """The store of one edit's recording, and the arithmetic that fills it. Make it in the thread that makes the edit.

    Args:
        layers, heads: the joint-attention modules by name, in order, and their heads.
        device: where the store lives: the model's.

    Raises:
        RecordError: something that is not there, or more than the budget; before anything is allocated.
    """

    def __init__(
        self,
        spec: RecordSpec,
        tokens: EditTokens,
        layers: tuple[str, ...],
        heads: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.spec, self.tokens = spec, tokens
        self.layers = chosen_layers(spec, layers)
        self.words = chosen_words(spec, tokens)
        self.streams = chosen_streams(spec, tokens.layout)
        self.steps = chosen_positions("steps", spec.steps, tokens.steps)
        self.heads = chosen_positions("heads", spec.heads, heads)
        self.patches = chosen_patches(spec, tokens.layout)
        self._pass = chosen_pass(spec, tokens)
        check_directions(spec)
        shapes = self._shapes()
        check_budget(spec, shapes)
        kept = torch.float32 if spec.steps == "mean" else getattr(torch, spec.dtype)
        self._stores = {key: torch.zeros(shape, dtype=kept, device=device) for key, shape in shapes.items()}
        self._slots, self._sum, self._mean = _word_matrices(self.words, device)
        self._thread: int | None = threading.get_ident()
        self._calls = 0
        self._timesteps: list[Any] = []
        self._seen = dict.fromkeys(self.layers, 0)

    @property
    def stored_bytes(self) -> int:
        """What the store takes."""
        return sum(store.nbytes for store in self._stores.values())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Calls of the transformer inside this context are no steps of the edit, and are not recorded."""
        thread, self._thread = self._thread, None
        try:
            yield
        finally:
            self._thread = thread

    def begin_call(self, timestep: Tensor | float) -> None:
        """The transformer is called once more, at a timestep (a number, or (B,))."""
        if threading.get_ident() != self._thread:
            return
        if self._calls % self.tokens.calls_per_step == 0:
            self._timesteps.append(timestep)
        self._calls += 1

    @torch.no_grad()
    def observe(
        self, layer: str, query: Tensor, key: Tensor, lse: Tensor, mask: Tensor | None, scale: float | None
    ) -> None:
        """Reduce one joint attention; the arguments are those of `OnAttention`.

        Raises:
            RecordError: the sequence is not as the layout says.
        """
        if threading.get_ident() != self._thread or layer not in self._seen:
            return
        step, call = divmod(self._calls - 1, self.tokens.calls_per_step)
        if call != self._pass.call or (self.steps is not None and step not in self.steps):
            return
        for name, tensor in (("queries", query), ("keys", key)):
            if tensor.shape[-2] != self.tokens.layout.tokens:
                raise RecordError(
                    f"{layer} has {tensor.shape[-2]} {name} but the layout {self.tokens.layout.tokens} tokens; "
                    "this model can't be recorded: edit without a record"
                )
        place = (0 if self.steps is None else self.steps.index(step), self.layers.index(layer))
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        if mask is not None:
            mask = mask.expand(*query.shape[:2], -1, key.shape[-2])[self._pass.row]
        joint = _Joint(query[self._pass.row], key[self._pass.row], lse[self._pass.row], mask, scale)
        for (what, stream), store in self._stores.items():
            self._reduce(joint, what, self.tokens.layout.spans[stream], store[place])
        self._seen[layer] += 1

    def maps(self, metadata: dict[str, Any] | None = None) -> AttentionMaps:
        """What was recorded so far.

        Raises:
            RecordError: a layer whose attention did not come by in every step, or more transformer calls than were
                announced.
        """
        done = max(self._seen.values())
        missed = [layer for layer, times in self._seen.items() if times < max(done, 1)]
        if missed:
            raise RecordError(
                f"{missed[0]} was seen in {self._seen[missed[0]]} of {max(done, 1)} steps: its attention backend can't "
                "be observed (set it to native), layers are skipped, or another thread made the edit"
            )
        if len(self._timesteps) > self.tokens.steps:
            raise RecordError(
                f"the transformer was called {self._calls} times in {self.tokens.steps} steps of "
                f"{self.tokens.calls_per_step}; this sampler can't be recorded: edit without a record"
            )
        timesteps = [float(torch.as_tensor(t).flatten()[0]) / self.tokens.timestep_scale for t in self._timesteps]
        steps = [sum(timesteps) / len(timesteps)] if self.steps is None else [timesteps[i] for i in self.steps[:done]]
        data = {}
        for (what, stream), store in self._stores.items():
            grid = next(of for of in self.streams if of.name == stream)
            values = store / done if self.steps is None else store[:done]
            values = values.to(getattr(torch, self.spec.dtype)).cpu().numpy()
            data[what, stream] = values.reshape(*values.shape[:-1], grid.height, grid.width)
        return AttentionMaps(
            words=tuple(word for word, _ in self.words),
            layers=self.layers,
            steps=tuple(steps),
            heads=("mean",) if self.heads is None else tuple(map(str, self.heads)),
            streams=self.streams,
            patches=self.patches,
            data=data,
            telling=dict(self.tokens.telling),
            metadata={"steps_averaged": done if self.steps is None else 1, **(metadata or {})},
        )

    def _reduce(self, joint: "_Joint", what: str, span: slice, store: Tensor) -> None:
        """Add one stream's probabilities to (heads or 1, words or patches, tokens)."""
        if what == COPIED_FROM:
            start = self.tokens.layout.spans["target"].start
            width = self.tokens.layout.streams[0].width
            few = torch.tensor([start + row * width + column for row, column in self.patches], device=store.device)
        else:
            few = self._slots + self.tokens.layout.spans["text"].start
        heads = range(len(joint.query)) if self.heads is None else self.heads
        at_once = max(1, WORKING_BYTES // (4 * len(few) * (span.stop - span.start)))
        for first in range(0, len(heads), at_once):
            some = list(heads[first : first + at_once])
            some = slice(some[0], some[-1] + 1) if len(some) == some[-1] - some[0] + 1 else some
            if what == "image_to_text":
                found = self._sum @ joint.read_by(some, span, few)
            else:
                found = joint.reading_of(some, few, span)
                found = found if what == COPIED_FROM else self._mean @ found
            if self.heads is None:
                store[0] += found.sum(dim=0) / len(heads)
            else:
                store[first : first + len(found)] += found

    def _shapes(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """(direction or COPIED_FROM, stream) → (steps, layers, heads, words or patches, tokens)."""
        common = (
            1 if self.steps is None else len(self.steps),
            len(self.layers),
            1 if self.heads is None else len(self.heads),
        )
        shapes = {
            (direction, stream.name): (*common, len(self.words), stream.tokens)
            for direction in self.spec.directions
            for stream in self.streams
        }
        if self.patches:
            references = [stream for stream in self.streams if stream.name != "target"]
            shapes |= {(COPIED_FROM, of.name): (*common, len(self.patches), of.tokens) for of in references}
        return shapes


@dataclass(frozen=True)
class _Joint:
    """One joint attention of one batch row: query and key (H, S, D), lse (H, S), mask (H, Sq or 1, S) or None."""

    query: Tensor
    key: Tensor
    lse: Tensor
    mask: Tensor | None
    scale: float

    def read_by(self, heads: slice | list[int], rows: slice, columns: Tensor) -> Tensor:
        """What many rows read of a few columns: probabilities (heads, columns, rows)."""
        few, many = self.key[heads][:, columns].float() * self.scale, self.query[heads, rows].float()
        logits = (few @ many.transpose(-1, -2)).sub_(self.lse[heads, None, rows])
        if self.mask is not None:
            bias = self.mask[heads] if self.mask.shape[1] == 1 else self.mask[heads, rows]
            logits += additive(bias[..., columns], torch.float32).transpose(-1, -2)
        return logits.exp_()

    def reading_of(self, heads: slice | list[int], rows: Tensor, columns: slice) -> Tensor:
        """What a few rows read of many columns: probabilities (heads, rows, columns)."""
        few, many = self.query[heads][:, rows].float() * self.scale, self.key[heads, columns].float()
        logits = (few @ many.transpose(-1, -2)).sub_(self.lse[heads][:, rows, None])
        if self.mask is not None:
            bias = self.mask[heads] if self.mask.shape[1] == 1 else self.mask[heads][:, rows]
            logits += additive(bias[..., columns], torch.float32)
        return logits.exp_()


@contextmanager
def observing(transformer: nn.Module, recorder: Recorder) -> Iterator[Recorder]:
    """Record our own MMDiT: its joint attentions report to the recorder inside this context and never after it.

    Raises:
        RecordError: another recording of this transformer has not ended.
    """
    modules = {name: transformer.get_submodule(name) for name in recorder.layers}
    taken = [name for name, module in modules.items() if module.on_attention is not None]
    if taken:
        raise RecordError(f"{taken[0]} is being recorded already; wait until that edit has ended")

    def called(_: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        recorder.begin_call(keywords["timestep"])

    def reporter(layer: str) -> OnAttention:
        return lambda *attended: recorder.observe(layer, *attended)

    hook = transformer.register_forward_pre_hook(called, with_kwargs=True)
    try:
        for name, module in modules.items():
            module.on_attention = reporter(name)
        yield recorder
    finally:
        hook.remove()
        for module in modules.values():
            module.on_attention = None


def _word_matrices(
    words: tuple[tuple[str, tuple[int, ...]], ...], device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """All text slots of the words; (words, slots) that sums a word's sub-tokens, and one that averages them."""
    slots = [slot for _, taken in words for slot in taken]
    belongs = torch.zeros(len(words), len(slots), device=device)
    start = 0
    for row, (_, taken) in enumerate(words):
        belongs[row, start : start + len(taken)] = 1
        start += len(taken)
    return torch.tensor(slots, device=device), belongs, belongs / belongs.sum(dim=1, keepdim=True)
