"""Edits as colour matrices and offsets, at the working size and at full size."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdit import images
from mmdit.model import edit_field
from mmdit.model.edit_field import EditField, assemble, carry

WORKING = (80, 112)
SHARP = torch.zeros(1, 1, *WORKING)
FULL_SIZES = [(80, 112), (333, 517), (97, 41), (1100, 61), (1025, 40), (1, 1), (1, 300), (20, 3000), (79, 111)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def picture(height: int, width: int) -> Tensor:
    """Smooth shades under fine noise, within ±0.6."""
    smooth = functional.interpolate(draw(1, 3, 4, 5, seed=1), (height, width), mode="bilinear")
    return 0.4 * smooth + 0.2 * draw(1, 3, height, width, seed=2)


def constant_field(matrix: Tensor, offset: Tensor) -> EditField:
    gain = (matrix - torch.eye(3)).reshape(1, 9, 1, 1).expand(1, 9, *WORKING)
    return EditField(gain, offset.reshape(1, 3, 1, 1).expand(1, 3, *WORKING), SHARP)


def high_frequency_energy(image: Tensor) -> float:
    smooth = functional.avg_pool2d(functional.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return (image - smooth).square().mean().item()


def blurred(image: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(image, (4, 4, 4, 4), mode="replicate"), 9, 1)


def test_apply_equals_a_loop_over_pixels() -> None:
    field = EditField(draw(2, 9, 4, 5, seed=3), draw(2, 3, 4, 5, seed=4), draw(2, 1, 4, 5, seed=6))
    source = draw(2, 3, 4, 5, seed=5)
    result = field.apply(source)
    softened = box_twice(source.double().numpy())
    for sample, row, column in np.ndindex(2, 4, 5):
        matrix = field.gain[sample, :, row, column].reshape(3, 3).double().numpy()
        colour = source[sample, :, row, column].double().numpy()
        offset = field.offset[sample, :, row, column].double().numpy()
        blend = field.softness[sample, 0, row, column].item() * (softened[sample, :, row, column] - colour)
        expected = colour + matrix @ colour + offset + blend
        np.testing.assert_allclose(result[sample, :, row, column].numpy(), expected, atol=1e-6)


def box_twice(picture: np.ndarray) -> np.ndarray:
    """Two 5 × 5 means after extending the edges by four pixels."""
    extended = np.pad(picture, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="edge")
    for _ in range(2):
        extended = np.lib.stride_tricks.sliding_window_view(extended, (5, 5), axis=(2, 3)).mean(axis=(-2, -1))
    return extended


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """(C, rows, columns) enlarged with pixel centres aligned and edges extended."""

    def weights(small: int, large: int) -> np.ndarray:
        matrix = np.zeros((large, small))
        for index in range(large):
            centre = min(max((index + 0.5) * small / large - 0.5, 0), small - 1)
            low = min(int(centre), max(small - 2, 0))
            matrix[index, low] += 1 - (centre - low)
            matrix[index, min(low + 1, small - 1)] += centre - low
        return matrix

    return np.einsum("yr,crk,xk->cyx", weights(grid.shape[1], height), grid, weights(grid.shape[2], width))


def test_assemble_equals_numpy() -> None:
    affine, pixel_gain, residual = draw(2, 12, 2, 3), draw(2, 1, 32, 48, seed=1), draw(2, 3, 32, 48, seed=2)
    softness = draw(2, 1, 2, 3, seed=3)
    field = assemble(affine, softness, pixel_gain, residual)
    for sample in range(2):
        soft = bilinear(softness[sample].double().numpy(), 32, 48)
        np.testing.assert_allclose(field.softness[sample].numpy(), soft, atol=1e-6)
        dense = bilinear(affine[sample].double().numpy(), 32, 48) * (1 + pixel_gain[sample].double().numpy())
        np.testing.assert_allclose(field.gain[sample].numpy(), dense[:9], atol=1e-5)
        np.testing.assert_allclose(field.offset[sample].numpy(), dense[9:] + residual[sample].numpy(), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 2.5])
def test_mixing_fields_mixes_their_results(weight: float) -> None:
    one, other = (
        EditField(draw(1, 9, 6, 7, seed=s), draw(1, 3, 6, 7, seed=s + 1), draw(1, 1, 6, 7, seed=s + 2)) for s in (6, 9)
    )
    source = draw(1, 3, 6, 7, seed=10)
    expected = one.apply(source) + weight * (other.apply(source) - one.apply(source))
    torch.testing.assert_close(one.mix(other, weight).apply(source), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", FULL_SIZES)
def test_a_global_colour_edit_is_exact_at_every_size(size: tuple[int, int]) -> None:
    matrix = torch.tensor([[0.7, 0.2, -0.1], [0.1, 0.5, 0.2], [-0.3, 0.1, 0.9]])
    offset = torch.tensor([0.05, -0.1, 0.12])
    source = picture(*size)
    expected = torch.einsum("rc,bcyx->bryx", matrix, source) + offset[:, None, None]
    assert expected.abs().max() < 1  # nothing clips
    found = carry(constant_field(matrix, offset), images.resize(source, *WORKING), source)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", FULL_SIZES)
def test_no_edit_returns_the_source(size: tuple[int, int]) -> None:
    source = picture(*size)
    unchanged = constant_field(torch.eye(3), torch.zeros(3))
    found = carry(unchanged, images.resize(source, *WORKING), source)
    torch.testing.assert_close(found, source, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["black then painted", "difference", "softness"])
def test_a_blur_removes_fine_detail_at_full_size(form: str) -> None:
    """A blur said in the three ways that a field can say it."""
    source = picture(410, 530)
    working = images.resize(source, *WORKING)
    if form == "difference":
        field = EditField(torch.zeros(1, 9, *WORKING), blurred(working) - working, SHARP)
    elif form == "softness":
        field = EditField(torch.zeros(1, 9, *WORKING), torch.zeros(1, 3, *WORKING), SHARP + 1)
    else:
        field = EditField(-torch.eye(3).reshape(1, 9, 1, 1).expand(1, 9, *WORKING), blurred(working), SHARP)
    found = carry(field, working, source)
    assert high_frequency_energy(found) <= 0.2 * high_frequency_energy(source)
    expected = field.apply(working)
    assert (images.resize(found, *WORKING) - expected).abs().mean() < 0.02


def test_fine_detail_outside_a_local_edit_is_kept() -> None:
    source = picture(333, 517)
    offset = torch.zeros(1, 3, *WORKING)
    offset[..., : WORKING[1] // 4] = 0.3
    found = carry(EditField(torch.zeros(1, 9, *WORKING), offset, SHARP), images.resize(source, *WORKING), source)
    torch.testing.assert_close(found[..., 260:], source[..., 260:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[..., :100], source[..., :100] + 0.3, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rows", [1, 37, 512, 10_000])
def test_the_result_does_not_depend_on_the_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture(150, 90)
    field = EditField(0.5 * draw(1, 9, *WORKING, seed=3), 0.3 * draw(1, 3, *WORKING, seed=4), SHARP + 0.3)
    working = images.resize(source, *WORKING)
    monkeypatch.setattr(edit_field, "STRIP_ROWS", 64)
    expected = carry(field, working, source)
    monkeypatch.setattr(edit_field, "STRIP_ROWS", rows)
    torch.testing.assert_close(carry(field, working, source), expected, atol=1e-6, rtol=0)


def test_results_stay_in_range_and_inputs_unchanged() -> None:
    source = picture(150, 90)
    working = images.resize(source, *WORKING)
    kept = source.clone(), working.clone()
    found = carry(constant_field(5 * torch.eye(3), torch.ones(3)), working, source)
    assert found.min() >= -1
    assert found.max() == 1
    assert torch.equal(source, kept[0])
    assert torch.equal(working, kept[1])


def test_a_confined_edit_leaves_the_rest_bit_for_bit() -> None:
    draw = torch.Generator().manual_seed(3)
    source = torch.rand(1, 3, 64, 96, generator=draw) * 2 - 1
    change = torch.full((1, 1, 4, 6), -6.0)
    change[..., :2] = 6.0  # the two left columns of patches, 32 pixels, change
    gain, offset, softness = (torch.randn(1, channels, 64, 96, generator=draw) for channels in (9, 3, 1))
    field = EditField(gain, offset, softness, change)
    confined = field.confined().apply(source)
    assert torch.equal(confined[..., 40:], source[..., 40:])  # a half patch beyond the last changing one
    assert torch.equal(confined[..., :24], field.apply(source)[..., :24])
    unknown = EditField(gain, offset, softness)
    assert torch.equal(unknown.confined().apply(source), field.apply(source))
