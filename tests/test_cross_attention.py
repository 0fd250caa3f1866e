"""The block that the MMDiT is compared with: against a straight-line implementation, and recorded like any other."""

from pathlib import Path

import pytest
import torch
from conftest import randomised
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mmdit.attention.spec import RecordSpec
from mmdit.families.mini import MiniEditor
from mmdit.model import checkpoint
from mmdit.model.cross_attention import Attention, CrossAttentionBlock
from mmdit.model.inpainting import Inpainter
from mmdit.model.layers import rotary_table
from mmdit.model.text import TextEncoder
from mmdit.model.transformer import MiniMMDiT

CHANNELS, HEADS, PATCHES, WORDS = 24, 2, 6, 5


@pytest.fixture
def block() -> CrossAttentionBlock:
    torch.manual_seed(0)
    block = CrossAttentionBlock(CHANNELS, HEADS).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return block


def straight_line(module: Attention, x: Tensor, read: Tensor, allowed: Tensor, angles: Tensor | None) -> Tensor:
    """One sample, one query and one head at a time."""

    def rms(vector: Tensor, weight: Tensor) -> Tensor:
        return vector / (vector.square().mean() + 1e-6).sqrt() * weight

    def turned(vector: Tensor, by: Tensor) -> Tensor:
        pairs = torch.view_as_complex(vector.reshape(-1, 2).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(by), by)).flatten()

    width, rows = CHANNELS // HEADS, []
    for place, patch in enumerate(x):
        heads = []
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            query = rms(module.to_q(patch)[own], module.norm_q.weight)
            query = query if angles is None else turned(query, angles[place])
            scores, values = [], []
            for other, word in enumerate(read):
                if allowed[other]:
                    key = rms(module.to_k(word)[own], module.norm_k.weight)
                    key = key if angles is None else turned(key, angles[other])
                    scores.append((query @ key) / width**0.5)
                    values.append(module.to_v(word)[own])
            heads.append((torch.stack(scores).softmax(0)[:, None] * torch.stack(values)).sum(0))
        rows.append(module.to_out[0](torch.cat(heads)))
    return torch.stack(rows)


def test_the_block_equals_a_straight_line_implementation(block: CrossAttentionBlock) -> None:
    draw = torch.Generator().manual_seed(1)
    image, text = (torch.randn(2, count, CHANNELS, generator=draw).double() for count in (PATCHES, WORDS))
    modulation = 0.3 * torch.randn(2, 6, CHANNELS, generator=draw).double()
    positions = torch.randint(0, 4, (WORDS + PATCHES, 3), generator=draw).double()
    cosine, sine = (table.double() for table in rotary_table(positions, (4, 4, 4), 100.0))
    real = torch.tensor([[True] * 3 + [False] * 2, [False] * WORDS])
    mask = functional.pad(real, (0, PATCHES), value=True)[:, None, None, :]
    with torch.no_grad():
        found, same_text = block(image, text, modulation, modulation, (cosine, sine), mask)
        assert same_text is text
        angles = torch.atan2(sine, cosine)[WORDS:]
        for index in range(2):
            shift, scale, gate, shift2, scale2, gate2 = modulation[index] + block.img_scale_shift_table
            x = image[index]
            own = functional.layer_norm(x, (CHANNELS,), eps=1e-6) * (1 + scale) + shift
            x = x + gate * straight_line(block.attn1, own, own, torch.ones(PATCHES, dtype=torch.bool), angles)
            allowed = real[index] if real[index].any() else torch.arange(WORDS) == 0
            asking = functional.layer_norm(x, (CHANNELS,), eps=1e-6)
            x = x + straight_line(block.attn2, asking, text[index], allowed, None)
            x = x + gate2 * block.img_mlp(functional.layer_norm(x, (CHANNELS,), eps=1e-6) * (1 + scale2) + shift2)
            torch.testing.assert_close(found[index], x, atol=1e-6, rtol=1e-6)


def test_an_unknown_kind_of_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="attention is 'linear'; use joint or cross"):
        MiniMMDiT(channels=48, layers=1, heads=2, rotary_channels=(8, 8, 8), attention="linear")


def test_its_maps_are_the_softmax_over_the_words(
    tmp_path: Path, text_encoder: TextEncoder, photograph: Image.Image
) -> None:
    transformer = MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8), attention="cross")
    checkpoint.save(tmp_path, checkpoint.Models(randomised(transformer), text_encoder, Inpainter()))
    editor = MiniEditor(tmp_path)
    seen: list[Tensor] = []

    def keep(module: Attention, arguments: tuple, keywords: dict) -> None:
        x, read = arguments
        query, key = (
            norm(of.unflatten(-1, (2, 24))).transpose(1, 2)
            for norm, of in ((module.norm_q, module.to_q(x)), (module.norm_k, module.to_k(read)))
        )
        logits = (query @ key.transpose(-1, -2) / 24**0.5).masked_fill(~keywords["mask"], -torch.inf)
        seen.append(logits.softmax(-1).mean(dim=1)[0])

    plain = editor.edit(editor.call(photograph, "paint the zorb red"))
    with torch.no_grad():
        hooks = [
            block.attn2.register_forward_pre_hook(keep, with_kwargs=True)
            for block in editor.transformer.transformer_blocks
        ]
        recorded = editor.edit(editor.call(photograph, "paint the zorb red", record=RecordSpec()))
        for hook in hooks:
            hook.remove()
    assert recorded.image.tobytes() == plain.image.tobytes()

    maps = recorded.maps
    assert maps.layers == ("transformer_blocks.0.attn2", "transformer_blocks.1.attn2")
    spans = dict(editor.text_encoder.encode(["paint the zorb red"], plainly=True).words[0])
    patches = maps.grid("target").tokens
    for layer, probabilities in enumerate(seen[:2]):
        for word, span in spans.items():
            both = torch.cat(
                [
                    torch.from_numpy(maps.heatmap(word, stream=name, layers=layer)).flatten()
                    for name in ("target", "reference:0")
                ]
            )
            assert len(both) == 2 * patches
            torch.testing.assert_close(both, probabilities[:, span].sum(-1), atol=1e-5, rtol=1e-4)
    everything = maps.select().sum(axis=3) + maps.other()[:, :, :, 0]
    assert everything == pytest.approx(1)
    assert not maps.select("text_to_image").any()  # words ask nothing
