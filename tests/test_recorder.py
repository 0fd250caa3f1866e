"""The recorder against a full softmax in float64, and what it refuses. `test_interception` shares the references."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mmdit.attention import recorder as recorder_module
from mmdit.attention.fused import attention_with_lse
from mmdit.attention.layout import TokenLayout
from mmdit.attention.maps import COPIED_FROM, DIRECTIONS, AttentionMaps
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import EditTokens, Pass, RecordError, RecordSpec

BATCH, HEADS, CHANNELS, STEPS = 2, 3, 16, 3
LAYERS = ("transformer_blocks.0.attn", "transformer_blocks.1.attn")
TEXT_TOKENS, TARGET, REFERENCES = 9, (3, 4), [(2, 3), (4, 2)]
WORDS = (("turn", (1,)), ("the", (2,)), ("tabby", (3, 4, 5)), ("the", (7,)))
NAMES = ("turn", "the", "tabby", "the#2")
EVERYTHING = RecordSpec(steps="all", heads="all")


# ---- straight-line references ----


class Call(NamedTuple):
    """One attention: query, key (B, H, S, D), what masks it, its scale."""

    query: Tensor
    key: Tensor
    mask: Tensor | None = None
    scale: float | None = None


def softmax(call: Call) -> Tensor:
    """All probabilities in float64: (B, H, S, S)."""
    scale = call.query.shape[-1] ** -0.5 if call.scale is None else call.scale
    logits = torch.einsum("bhqd,bhkd->bhqk", call.query.double(), call.key.double()) * scale
    if call.mask is not None and call.mask.dtype == torch.bool:
        logits = torch.where(call.mask, logits, -float("inf"))
    elif call.mask is not None:
        logits = logits + call.mask.double()
    return logits.softmax(dim=-1)


def starts(layout: TokenLayout) -> dict[str, int]:
    """Where the text and each image stream begin."""
    found, start = {"text": 0}, layout.text_tokens if layout.text_first else 0
    for stream in layout.streams:
        found[stream.name] = start
        start += stream.height * stream.width
    return found if layout.text_first else found | {"text": start}


def word_maps(probabilities: Tensor, tokens: EditTokens, direction: str, stream: str) -> np.ndarray:
    """(S, S) of one head → (word, row, column): a word's sum as key, its mean as query."""
    grid = next(of for of in tokens.layout.streams if of.name == stream)
    begins = starts(tokens.layout)
    found = np.zeros((len(tokens.words), grid.height, grid.width))
    for word, (_, slots) in enumerate(tokens.words):
        for row in range(grid.height):
            for column in range(grid.width):
                patch = begins[stream] + row * grid.width + column
                pairs = [(patch, begins["text"] + slot) for slot in slots]
                if direction == "image_to_text":
                    found[word, row, column] = sum(float(probabilities[patch, text]) for patch, text in pairs)
                else:
                    shares = [float(probabilities[text, patch]) for patch, text in pairs]
                    found[word, row, column] = sum(shares) / len(shares)
    return found


def reference(calls: list[list[Call]], tokens: EditTokens, direction: str, stream: str, row: int = 0) -> np.ndarray:
    """[step][layer] → (step, layer, head, word, row, column)."""
    return np.array([
        [[word_maps(head, tokens, direction, stream) for head in softmax(call)[row]] for call in layers]
        for layers in calls
    ])  # fmt: skip


class SdpaLog(TorchFunctionMode):
    """Notes every attention of the named modules: per transformer call, layer → what was attended."""

    def __init__(self, transformer: nn.Module, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.layer: str | None = None
        self.calls: list[dict[str, Call]] = []
        self.timesteps: list[float] = []
        self.transformer, self.layers = transformer, layers

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        if function is functional.scaled_dot_product_attention and self.layer is not None:
            given = dict(zip(("query", "key", "value", "attn_mask"), arguments, strict=False)) | keywords
            assert self.layer not in self.calls[-1]
            self.calls[-1][self.layer] = Call(
                given["query"].clone(), given["key"].clone(), given.get("attn_mask"), given.get("scale")
            )
        return function(*arguments, **keywords)

    @contextmanager
    def listening(self) -> Iterator["SdpaLog"]:
        def begin(_: nn.Module, __: tuple, keywords: dict[str, Any]) -> None:
            self.calls.append({})
            self.timesteps.append(float(keywords["timestep"].flatten()[0]))

        def enter(layer: str | None) -> Any:
            return lambda *_: setattr(self, "layer", layer)

        handles = [self.transformer.register_forward_pre_hook(begin, with_kwargs=True)]
        for layer in self.layers:
            module = self.transformer.get_submodule(layer)
            handles += [module.register_forward_pre_hook(enter(layer)), module.register_forward_hook(enter(None))]
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def steps(self, calls_per_step: int, which: int = 0) -> list[list[Call]]:
        """[step][layer] of one of each step's calls."""
        return [[layers[layer] for layer in self.layers] for layers in self.calls[which::calls_per_step]]


# ---- random attentions ----


def edit_tokens(text_first: bool = True, **changes: Any) -> EditTokens:
    return EditTokens(TokenLayout.for_edit(TEXT_TOKENS, TARGET, REFERENCES, text_first), WORDS, STEPS, **changes)


def draw_mask(name: str, tokens: EditTokens) -> Tensor | None:
    length, draw = tokens.layout.tokens, torch.Generator().manual_seed(5)
    padding = torch.ones(BATCH, 1, 1, length, dtype=torch.bool)
    first = starts(tokens.layout)["text"]
    padding[0, ..., first + 8], padding[1, ..., first + 4 : first + 9] = False, False
    return {
        "none": None,
        "padding": padding,
        "per row": torch.randn(1, 1, length, 1, generator=draw),  # the same for every key: cancels out
        "boolean": (torch.rand(length, length, generator=draw) < 0.7) | torch.eye(length, dtype=torch.bool),
        "additive": torch.randn(1, HEADS, length, length, generator=draw),
        "additive padding": torch.zeros(padding.shape).masked_fill(~padding, -float("inf")),
    }[name]


def draw_calls(
    tokens: EditTokens, mask: Tensor | None = None, scale: float | None = None, dtype: torch.dtype = torch.float32
) -> list[list[Call]]:
    """[transformer call][layer], standard normal queries and keys."""
    draw = torch.Generator().manual_seed(4)
    shape = (2, BATCH, HEADS, tokens.layout.tokens, CHANNELS)
    count = tokens.steps * tokens.calls_per_step
    return [
        [Call(*torch.randn(shape, generator=draw).to(dtype), mask, scale) for _ in LAYERS] for _ in range(count)
    ]  # fmt: skip


def feed(recorder: Recorder, calls: list[list[Call]]) -> None:
    for index, layers in enumerate(calls):
        recorder.begin_call(1 - index / len(calls))
        for layer, (query, key, mask, scale) in zip(LAYERS, layers, strict=True):
            lse = attention_with_lse(query, key, query, mask=mask, scale=scale).lse
            recorder.observe(layer, query, key, lse, mask, scale)


def record(spec: RecordSpec, tokens: EditTokens, calls: list[list[Call]]) -> AttentionMaps:
    recorder = Recorder(spec, tokens, LAYERS, HEADS)
    feed(recorder, calls)
    return recorder.maps()


def assert_equal(maps: AttentionMaps, calls: list[list[Call]], tokens: EditTokens, row: int = 0) -> None:
    """Everything recorded is within 1e-6 of the reference."""
    assert set(maps.data) == {(direction, of.name) for direction in DIRECTIONS for of in tokens.layout.streams}
    for direction, stream in maps.data:
        found = maps.select(direction, stream)
        np.testing.assert_allclose(found, reference(calls, tokens, direction, stream, row), atol=1e-6, rtol=0)


# ---- exactness ----


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("mask", ["none", "padding", "per row", "boolean", "additive", "additive padding"])
def test_probabilities_equal_the_full_softmax(mask: str, text_first: bool) -> None:
    tokens = edit_tokens(text_first)
    calls = draw_calls(tokens, draw_mask(mask, tokens))
    maps = record(EVERYTHING, tokens, calls)
    assert (maps.words, maps.layers, maps.heads) == (NAMES, LAYERS, ("0", "1", "2"))
    assert maps.steps == pytest.approx((1, 2 / 3, 1 / 3))
    assert_equal(maps, calls, tokens)


@pytest.mark.parametrize("working_bytes", [1, 2 * 2**20])  # a head at a time; all at once
@pytest.mark.parametrize("steps", ["mean", "all", (1,), (2, 0)])
@pytest.mark.parametrize("heads", ["mean", "all", (1,), (2, 0)])
def test_means_and_choices(monkeypatch: pytest.MonkeyPatch, heads: Any, steps: Any, working_bytes: int) -> None:
    monkeypatch.setattr(recorder_module, "WORKING_BYTES", working_bytes)
    tokens = edit_tokens()
    calls = draw_calls(tokens, draw_mask("additive", tokens), scale=0.4)
    maps = record(RecordSpec(heads=heads, steps=steps), tokens, calls)
    times = np.array([1, 2 / 3, 1 / 3])
    for direction, stream in maps.data:
        expected = reference(calls, tokens, direction, stream)
        expected = expected.mean(0, keepdims=True) if steps == "mean" else expected
        expected = expected.mean(2, keepdims=True) if heads == "mean" else expected
        expected = expected[sorted(steps)] if isinstance(steps, tuple) else expected
        expected = expected[:, :, sorted(heads)] if isinstance(heads, tuple) else expected
        np.testing.assert_allclose(maps.select(direction, stream), expected, atol=1e-6, rtol=0)
    chosen = [times.mean()] if steps == "mean" else times if steps == "all" else times[sorted(steps)]
    assert maps.steps == pytest.approx(chosen)
    assert maps.heads == {"mean": ("mean",), "all": ("0", "1", "2"), (1,): ("1",), (2, 0): ("0", "2")}[heads]


def test_a_choice_of_words_layers_streams_and_directions() -> None:
    tokens = edit_tokens()
    calls = draw_calls(tokens)
    maps = record(
        RecordSpec(
            layers=(-1,), words=("the#2", "tabby"), streams=("reference:1",), directions=("text_to_image",),
            heads="all", steps="all",
        ),
        tokens, calls,
    )  # fmt: skip
    assert (maps.words, maps.layers) == (("tabby", "the#2"), LAYERS[1:])
    assert [stream.name for stream in maps.streams] == ["reference:1"] and maps.directions == ("text_to_image",)
    expected = reference(calls, tokens, "text_to_image", "reference:1")[:, 1:, :, [2, 3]]
    np.testing.assert_allclose(maps.select("text_to_image", "reference:1"), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("patches", ["all", ((2, 3), (0, 1))])
def test_copied_from(patches: Any, text_first: bool) -> None:
    tokens = edit_tokens(text_first)
    calls = draw_calls(tokens, draw_mask("additive", tokens))
    maps = record(replace(EVERYTHING, patches=patches), tokens, calls)
    chosen = [(row, column) for row in range(3) for column in range(4)] if patches == "all" else patches
    assert maps.patches == tuple(chosen)
    only = record(replace(EVERYTHING, patches=patches, directions=()), tokens, calls)
    assert set(only.data) == {(COPIED_FROM, "reference:0"), (COPIED_FROM, "reference:1")}
    begins = starts(tokens.layout)
    for name, (height, width) in zip(("reference:0", "reference:1"), REFERENCES, strict=True):
        columns = slice(begins[name], begins[name] + height * width)
        rows = [begins["target"] + 4 * row + column for row, column in chosen]
        expected = np.array([[softmax(call)[0][:, rows, columns].numpy() for call in layers] for layers in calls])
        expected = expected.reshape(*expected.shape[:-1], height, width)
        np.testing.assert_allclose(maps.data[COPIED_FROM, name], expected, atol=1e-6, rtol=0)
        one = maps.copied_from(*chosen[1], name)
        np.testing.assert_allclose(one, expected[:, :, :, 1].mean(axis=(0, 1, 2)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("calls_per_step", [1, 2])
def test_the_pass_is_told_apart_by_call_and_row(calls_per_step: int, conditional: bool) -> None:
    last = Pass(calls_per_step - 1, 1)
    tokens = edit_tokens(calls_per_step=calls_per_step, conditional=last, unconditional=Pass(), timestep_scale=0.5)
    calls = draw_calls(tokens, draw_mask("padding", tokens))
    maps = record(replace(EVERYTHING, conditional=conditional), tokens, calls)
    place = last if conditional else Pass()
    assert_equal(maps, calls[place.call :: calls_per_step], tokens, place.row)
    assert maps.steps == pytest.approx((2, 4 / 3, 2 / 3))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_bfloat16_is_within_a_hundredth(direction: str) -> None:
    tokens = edit_tokens()
    calls = draw_calls(tokens, dtype=torch.bfloat16)
    maps = record(RecordSpec(), tokens, calls)
    for stream in ("target", "reference:0", "reference:1"):
        expected = reference(calls, tokens, direction, stream).mean(axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(maps.select(direction, stream), expected, atol=0, rtol=1e-2)


@pytest.mark.parametrize("steps", ["mean", "all"])
def test_a_half_precision_store(steps: Any) -> None:
    tokens = edit_tokens()
    calls = draw_calls(tokens)
    recorder = Recorder(RecordSpec(steps=steps, heads="all", dtype="float16"), tokens, LAYERS, HEADS)
    feed(recorder, calls)
    maps = recorder.maps()
    assert {values.dtype for values in maps.data.values()} == {np.dtype(np.float16)}
    values = sum(array.size for array in maps.data.values())
    assert recorder.stored_bytes == values * (4 if steps == "mean" else 2)  # means are summed in float32
    for direction, stream in maps.data:
        expected = reference(calls, tokens, direction, stream)
        expected = expected.mean(0, keepdims=True) if steps == "mean" else expected
        np.testing.assert_allclose(maps.select(direction, stream), expected, atol=1e-7, rtol=6e-4)


@pytest.mark.parametrize("mask", ["none", "additive"])
def test_other_is_what_is_left(mask: str) -> None:
    tokens = edit_tokens()
    calls = draw_calls(tokens, draw_mask(mask, tokens))
    maps = record(EVERYTHING, tokens, calls)
    attention = np.array([[softmax(call)[0].numpy() for call in layers] for layers in calls])
    slots = [slot for _, taken in WORDS for slot in taken]

    rest = [token for token in range(tokens.layout.tokens) if token not in slots]
    for stream in tokens.layout.streams:
        first = starts(tokens.layout)[stream.name]
        left = attention[..., first : first + stream.tokens, rest].sum(-1)
        other = maps.other("image_to_text", stream=stream.name)
        np.testing.assert_allclose(other, left.reshape(*left.shape[:3], 1, stream.height, stream.width), atol=1e-6)
        words = maps.select("image_to_text", stream.name).sum(axis=3, keepdims=True)
        np.testing.assert_allclose(words + other, 1, atol=1e-6)

    to_text = attention[..., :TEXT_TOKENS].sum(-1)
    left = np.stack([to_text[..., list(taken)].mean(-1) for _, taken in WORDS], axis=-1)
    np.testing.assert_allclose(maps.other("text_to_image")[..., 0, 0], left, atol=1e-6)


def test_another_threads_attention_is_not_recorded() -> None:
    tokens = edit_tokens()
    calls = draw_calls(tokens)
    recorder = Recorder(EVERYTHING, tokens, LAYERS, HEADS)
    feed(recorder, calls[:1])
    thread = threading.Thread(target=feed, args=(recorder, calls))
    thread.start()
    thread.join()
    feed(recorder, calls[1:])
    for direction, stream in (maps := recorder.maps()).data:
        expected = reference(calls, tokens, direction, stream)
        np.testing.assert_allclose(maps.select(direction, stream), expected, atol=1e-6, rtol=0)


# ---- what is refused ----


def test_a_budget_that_is_just_enough() -> None:
    tokens = edit_tokens()
    enough = Recorder(EVERYTHING, tokens, LAYERS, HEADS).stored_bytes
    assert Recorder(replace(EVERYTHING, budget=enough), tokens, LAYERS, HEADS).stored_bytes == enough
    with pytest.raises(RecordError, match="budget"):
        Recorder(replace(EVERYTHING, budget=enough - 1), tokens, LAYERS, HEADS)


@pytest.mark.parametrize("what", ["queries", "keys"])
def test_a_sequence_that_contradicts_the_layout_is_refused(what: str) -> None:
    tokens = edit_tokens()
    recorder = Recorder(EVERYTHING, tokens, LAYERS, HEADS)
    query, key, _, _ = draw_calls(tokens)[0][0]
    query, key = (query[:, :, 1:], key) if what == "queries" else (query, key[:, :, 1:])
    recorder.begin_call(1.0)
    observe: Callable[..., None] = partial(recorder.observe, LAYERS[0], mask=None, scale=None)
    numbers = rf"{LAYERS[0]} has {tokens.layout.tokens - 1} {what} .* {tokens.layout.tokens} tokens"
    with pytest.raises(RecordError, match=numbers):
        observe(query, key, query.logsumexp(-1))


def test_a_layer_that_never_came_by_is_an_error() -> None:
    recorder = Recorder(EVERYTHING, edit_tokens(), LAYERS, HEADS)
    with pytest.raises(RecordError, match=rf"{LAYERS[0]}.*native"):
        recorder.maps()


def test_more_transformer_calls_than_announced_are_an_error() -> None:
    """As when guidance doubles them and the family does not say so: conditional and not would be mixed."""
    tokens = edit_tokens()
    with pytest.raises(RecordError, match="called 6 times in 3 steps of 1"):
        record(RecordSpec(), tokens, draw_calls(replace(tokens, calls_per_step=2)))
