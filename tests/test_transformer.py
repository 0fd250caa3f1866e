"""The MiniMMDiT as a whole: padding, batches, files, LoRA adapters, token layout."""

from pathlib import Path

import pytest
import torch
from conftest import randomised
from peft import LoraConfig
from torch import Tensor
from torch.nn import functional

from mmdit.attention.layout import Stream, TokenLayout
from mmdit.model.edit_field import EditField
from mmdit.model.transformer import MiniMMDiT

LORA_TARGETS = [
    "to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out",
    "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
]  # fmt: skip
HEIGHT, WIDTH, SLOTS = 48, 64, 7


@pytest.fixture(params=["joint", "cross"])
def either_transformer(request: pytest.FixtureRequest) -> MiniMMDiT:
    """Both kinds of attention; random weights everywhere."""
    return randomised(MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8), attention=request.param))


def draw_inputs(batch: int = 3) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(5)
    lengths = torch.tensor([4, 7, 1])[:batch]
    return {
        "target": torch.randn(batch, 3, HEIGHT, WIDTH, generator=draw),
        "source": torch.rand(batch, 3, HEIGHT, WIDTH, generator=draw) * 2 - 1,
        "text": torch.randn(batch, SLOTS, 768, generator=draw),
        "text_mask": torch.arange(SLOTS) < lengths[:, None],
        "timestep": torch.tensor([1.0, 0.4, 0.05])[:batch],
    }


@torch.no_grad()
def run(transformer: MiniMMDiT, inputs: dict[str, Tensor]) -> Tensor:
    """Gain, offset and change in one tensor, (B, 13, height, width)."""
    field = transformer(**inputs)
    change = functional.interpolate(field.change, field.offset.shape[-2:], mode="nearest")
    return torch.cat([field.gain, field.offset, change], dim=1)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.1  # not a comparison of zeros
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_output_shapes(either_transformer: MiniMMDiT) -> None:
    field = either_transformer(**draw_inputs())
    assert isinstance(field, EditField)
    assert field.gain.shape == (3, 9, HEIGHT, WIDTH)
    assert field.offset.shape == (3, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("content", ["noise", "infinity-free extremes", "permuted"])
def test_what_padding_slots_hold_does_not_matter(either_transformer: MiniMMDiT, content: str) -> None:
    inputs = draw_inputs()
    padding = ~inputs["text_mask"][..., None]
    other = {
        "noise": torch.randn(inputs["text"].shape, generator=torch.Generator().manual_seed(6)),
        "infinity-free extremes": torch.full_like(inputs["text"], 1e4),
        "permuted": inputs["text"].flip(0),
    }[content]
    changed = inputs | {"text": torch.where(padding, other, inputs["text"])}
    assert_close(run(either_transformer, changed), run(either_transformer, inputs))


def test_more_padding_slots_change_nothing(either_transformer: MiniMMDiT) -> None:
    inputs = draw_inputs()
    more = torch.randn(3, 5, 768, generator=torch.Generator().manual_seed(7))
    padded = inputs | {
        "text": torch.cat([inputs["text"], more], dim=1),
        "text_mask": torch.cat([inputs["text_mask"], torch.zeros(3, 5, dtype=torch.bool)], dim=1),
    }
    assert_close(run(either_transformer, padded), run(either_transformer, inputs))


@pytest.mark.parametrize("name", ["target", "source", "text", "text_mask", "timestep"])
def test_every_input_matters(either_transformer: MiniMMDiT, name: str) -> None:
    inputs = draw_inputs()
    changed = inputs | {name: inputs[name].roll(1, dims=0)}
    assert (run(either_transformer, changed) - run(either_transformer, inputs)).abs().max() > 1e-2


def test_the_order_of_words_matters(tiny_transformer: MiniMMDiT) -> None:
    inputs = draw_inputs()
    swapped = inputs["text"].clone()
    swapped[1] = swapped[1].flip(0)  # sample 1 has no padding
    difference = (run(tiny_transformer, inputs | {"text": swapped}) - run(tiny_transformer, inputs)).abs()
    assert difference[1].max() > 1e-2
    assert difference[[0, 2]].max() < 1e-5


def test_samples_of_a_batch_do_not_see_each_other(either_transformer: MiniMMDiT) -> None:
    inputs = draw_inputs()
    together = run(either_transformer, inputs)
    for index in range(3):
        alone = {name: value[index : index + 1] for name, value in inputs.items()}
        assert_close(run(either_transformer, alone), together[index : index + 1])


def test_an_instruction_without_tokens_gives_finite_numbers(either_transformer: MiniMMDiT) -> None:
    inputs = draw_inputs()
    empty = inputs | {"text_mask": torch.zeros_like(inputs["text_mask"])}
    assert run(either_transformer, empty).isfinite().all()


def test_saved_and_loaded_is_the_same_bit_for_bit(either_transformer: MiniMMDiT, tmp_path: Path) -> None:
    either_transformer.save_pretrained(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = MiniMMDiT.from_pretrained(tmp_path, use_safetensors=True, local_files_only=True)
    saved = either_transformer.state_dict()
    assert list(loaded.state_dict()) == list(saved)
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(run(loaded, draw_inputs()), run(either_transformer, draw_inputs()))


def test_a_lora_is_neutral_then_works_then_leaves_no_trace(tiny_transformer: MiniMMDiT) -> None:
    inputs = draw_inputs()
    before = run(tiny_transformer, inputs)
    names = list(tiny_transformer.state_dict())
    tiny_transformer.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=LORA_TARGETS))
    adapters = {name: value for name, value in tiny_transformer.named_parameters() if "lora_" in name}
    # A and B of every target in both blocks, but the text's output and feed-forward in the last one
    assert len(adapters) == 2 * (2 * len(LORA_TARGETS) - 3)
    assert torch.equal(run(tiny_transformer, inputs), before)

    with torch.no_grad():
        for value in adapters.values():
            value.normal_(std=0.2, generator=torch.Generator().manual_seed(8))
    assert (run(tiny_transformer, inputs) - before).abs().max() > 1e-2

    tiny_transformer.delete_adapters("default")
    assert torch.equal(run(tiny_transformer, inputs), before)
    tiny_transformer.unload_lora()
    assert list(tiny_transformer.state_dict()) == names
    assert torch.equal(run(tiny_transformer, inputs), before)


def test_a_new_model_leaves_the_picture_alone() -> None:
    torch.manual_seed(0)
    transformer = MiniMMDiT(channels=48, layers=2, heads=2, rotary_channels=(8, 8, 8))
    inputs = draw_inputs()
    assert torch.equal(transformer(**inputs).apply(inputs["source"]), inputs["source"])


@pytest.mark.parametrize(("height", "width"), [(130, 128), (128, 100)])
def test_a_working_size_that_does_not_fit_is_refused(tiny_transformer: MiniMMDiT, height: int, width: int) -> None:
    inputs = draw_inputs() | {name: torch.zeros(3, 3, height, width) for name in ("target", "source")}
    with pytest.raises(ValueError, match=rf"{width}×{height}.*16"):
        tiny_transformer(**inputs)


def test_rotary_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8, 4\).*24"):
        MiniMMDiT(channels=48, layers=1, heads=2, rotary_channels=(8, 8, 4))


def test_layout_of_two_words_a_target_and_two_references() -> None:
    layout = TokenLayout.for_edit(2, (2, 1), [(1, 2), (1, 1)])
    assert layout.tokens == 7
    assert layout.streams == (Stream("target", 2, 1), Stream("reference:0", 1, 2), Stream("reference:1", 1, 1))
    assert layout.spans == {
        "text": slice(0, 2),
        "target": slice(2, 4),
        "reference:0": slice(4, 6),
        "reference:1": slice(6, 7),
    }
    assert layout.positions().tolist() == [
        [-1, 0, 0], [-2, 0, 0],
        [0, 0, 0], [0, 1, 0],
        [1, 0, 0], [1, 0, 1],
        [2, 0, 0],
    ]  # fmt: skip


def test_the_models_layout_counts_its_patches(tiny_transformer: MiniMMDiT) -> None:
    layout = tiny_transformer.layout(5, height=48, width=64)
    assert layout.spans == {"text": slice(0, 5), "target": slice(5, 17), "reference:0": slice(17, 29)}
    assert len({tuple(place) for place in layout.positions().tolist()}) == layout.tokens == 29


def test_target_patches_are_read_and_written_in_row_major_order(tiny_transformer: MiniMMDiT) -> None:
    """With all blocks and the affine head silenced, a patch's pixels depend on that patch alone."""
    with torch.no_grad():
        for block in tiny_transformer.transformer_blocks:
            for module in (block.attn.to_out[0], block.img_mlp.net[2]):
                module.weight.zero_()
                module.bias.zero_()
        tiny_transformer.proj_out.weight[:12].zero_()
    inputs = draw_inputs(1)
    elsewhere = inputs | {"target": inputs["target"].clone()}
    elsewhere["target"][:, :, 16:32, 32:48] += 1.0
    moved = (run(tiny_transformer, elsewhere) - run(tiny_transformer, inputs)).abs().amax(dim=(0, 1)) > 1e-4
    assert moved[16:32, 32:48].float().mean() > 0.9
    moved[16:32, 32:48] = False
    assert not moved.any()
