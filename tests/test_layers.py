"""The parts of the MMDiT against diffusers' Qwen-Image and against formulas written out."""

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock
from torch import Tensor

from mmdit.attention.layout import TokenLayout
from mmdit.model.layers import DoubleStreamBlock, rotary_table, rotate, timestep_embedding
from mmdit.model.transformer import MiniMMDiT

LORA_TARGETS = (
    "to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out",
    "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
)  # fmt: skip
CHANNELS, HEADS, BATCH, TEXT_TOKENS, GRID = 48, 2, 3, 5, (2, 3)
AXIS_CHANNELS, THETA = (8, 8, 8), 100.0


def randomise(module: torch.nn.Module, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.25, generator=draw)


@pytest.fixture
def blocks() -> tuple[DoubleStreamBlock, QwenImageTransformerBlock]:
    """Ours and Qwen-Image's with the same random weights."""
    theirs = QwenImageTransformerBlock(CHANNELS, HEADS, CHANNELS // HEADS)
    randomise(theirs, seed=0)
    ours = DoubleStreamBlock(CHANNELS, HEADS)
    randomise(ours, seed=1)
    left_over = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert set(left_over.missing_keys) == {"img_scale_shift_table", "txt_scale_shift_table"}
    assert {name.split(".")[0] for name in left_over.unexpected_keys} == {"img_mod", "txt_mod"}
    return ours, theirs


@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_block_equals_qwen_images(blocks: tuple[DoubleStreamBlock, QwenImageTransformerBlock], padded: bool) -> None:
    ours, theirs = blocks
    draw = torch.Generator().manual_seed(2)
    layout = TokenLayout.for_edit(TEXT_TOKENS, GRID, [GRID])
    image = torch.randn(BATCH, layout.tokens - TEXT_TOKENS, CHANNELS, generator=draw)
    text = torch.randn(BATCH, TEXT_TOKENS, CHANNELS, generator=draw)
    condition = torch.randn(BATCH, CHANNELS, generator=draw)
    rotary = rotary_table(layout.positions(), AXIS_CHANNELS, THETA)
    text_mask = None
    if padded:
        text_mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)

    frequencies = torch.complex(*rotary)
    expected_text, expected_image = theirs(
        image, text, text_mask, condition,
        image_rotary_emb=(frequencies[TEXT_TOKENS:], frequencies[:TEXT_TOKENS]),
    )  # fmt: skip

    # Qwen-Image's modulation is per block; ours is the shared part plus the block's own table.
    modulation = [
        theirs_mod(condition).unflatten(1, (6, CHANNELS)) - table
        for theirs_mod, table in (
            (theirs.img_mod, ours.img_scale_shift_table),
            (theirs.txt_mod, ours.txt_scale_shift_table),
        )
    ]
    mask = None
    if text_mask is not None:
        everything = torch.ones(BATCH, image.shape[1], dtype=torch.bool)
        mask = torch.cat([text_mask, everything], dim=1)[:, None, None, :]
    found_image, found_text = ours(image, text, *modulation, rotary, mask)

    assert expected_image.std() > 1  # the comparison is not one of zeros
    torch.testing.assert_close(found_image, expected_image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_text, expected_text, atol=1e-5, rtol=1e-5)


def test_rotation_is_multiplication_by_complex_numbers() -> None:
    draw = torch.Generator().manual_seed(3)
    positions = torch.randint(-20, 20, (11, 3), generator=draw)
    axis_channels, theta = (4, 6, 10), 70.0
    x = torch.randn(2, 11, 3, 20, generator=draw)
    found = rotate(x, rotary_table(positions, axis_channels, theta))

    turns = [
        np.exp(1j * position * theta ** (-2 * pair / channels))
        for token in positions.tolist()
        for position, channels in zip(token, axis_channels, strict=True)
        for pair in range(channels // 2)
    ]
    turns = np.array(turns).reshape(11, 10)
    pairs = x.double().numpy()
    turned = (pairs[..., 0::2] + 1j * pairs[..., 1::2]) * turns[None, :, None, :]
    expected = np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_rotated_products_depend_on_distance_alone() -> None:
    draw = torch.Generator().manual_seed(4)
    query, key = torch.randn(2, 1, 1, 1, 24, generator=draw)

    def product(at: tuple[int, int, int], to: tuple[int, int, int]) -> Tensor:
        tables = [rotary_table(torch.tensor([place]), AXIS_CHANNELS, THETA) for place in (at, to)]
        return (rotate(query, tables[0]) * rotate(key, tables[1])).sum()

    torch.testing.assert_close(product((0, 1, 2), (1, 4, 3)), product((2, 6, 4), (3, 9, 5)), atol=1e-5, rtol=0)
    assert (product((0, 1, 2), (1, 4, 3)) - product((0, 1, 2), (1, 3, 4))).abs() > 1e-3


def test_timestep_embedding_equals_diffusers() -> None:
    timestep = torch.tensor([0.0, 0.001, 0.25, 0.5, 1.0])
    expected = get_timestep_embedding(1000 * timestep, 128, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(timestep_embedding(timestep, 128), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_block_where_the_text_ends_makes_the_same_of_the_image() -> None:
    whole, last = DoubleStreamBlock(CHANNELS, HEADS), DoubleStreamBlock(CHANNELS, HEADS, context_pre_only=True)
    randomise(whole, seed=0)
    left_over = last.load_state_dict(whole.state_dict(), strict=False)
    assert not left_over.missing_keys
    assert {name.split(".")[0] for name in left_over.unexpected_keys} == {"attn", "txt_mlp"}
    draw = torch.Generator().manual_seed(5)
    layout = TokenLayout.for_edit(TEXT_TOKENS, GRID, [GRID])
    image = torch.randn(BATCH, layout.tokens - TEXT_TOKENS, CHANNELS, generator=draw)
    text = torch.randn(BATCH, TEXT_TOKENS, CHANNELS, generator=draw)
    modulation = torch.randn(2, BATCH, 6, CHANNELS, generator=draw)
    rotary = rotary_table(layout.positions(), AXIS_CHANNELS, THETA)
    expected, changed_text = whole(image, text, *modulation, rotary)
    found, same_text = last(image, text, *modulation, rotary)
    assert torch.equal(found, expected)
    assert torch.equal(same_text, text) and not torch.equal(changed_text, text)


def test_every_block_has_its_lora_targets(tiny_transformer: MiniMMDiT) -> None:
    """The seed's twelve; the last one, where the text ends, makes nothing of it."""
    *blocks, last = tiny_transformer.transformer_blocks
    without_text = tuple(target for target in LORA_TARGETS if target != "to_add_out" and "txt" not in target)
    for block, targets in (*((block, LORA_TARGETS) for block in blocks), (last, without_text)):
        linear = [name for name, module in block.named_modules() if isinstance(module, torch.nn.Linear)]
        for target in targets:
            assert sum(name == target or name.endswith(f".{target}") for name in linear) == 1, target
        assert len(linear) == len(targets)  # and nothing in a block is out of a LoRA's reach
