"""Objects that are copied to another size: where pixels come from, what is laid over what, what the head is taught."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdit import images
from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor, sampled
from mmdit.model import cut_out
from mmdit.model.cut_out import GROWN, CutOut, CutOutHead
from mmdit.model.edit_field import EditField, carry
from mmdit.training.evaluate import edit_batch
from mmdit.training.objective import OUTLINE_WEIGHT, RESIZED, cut_out_loss
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.scores import right_object, score

SURE = 40.0  # a logit whose sigmoid is 1


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def one(outline: Tensor, scale: float, there: float = 1.0) -> CutOut:
    """A copy from a picture of one sample."""
    return CutOut(torch.tensor([there]), outline, torch.tensor([scale]))


def disk(height: int, width: int, centre: tuple[float, float], radius: float) -> Tensor:
    """(1, 1, height, width) logit of a disk; the centre as x, y in pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2).sqrt()
    return (8 * (radius - distance)).clamp(-SURE, SURE)[None, None]


def at(array: np.ndarray, y: float, x: float, outside: str) -> np.ndarray:
    """Bilinear value of a (C, height, width) array at a point whose pixel centres are at halves."""
    _, height, width = array.shape
    top, left = math.floor(y - 0.5), math.floor(x - 0.5)
    total = np.zeros(len(array))
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = max(0.0, 1 - abs(row + 0.5 - y)) * max(0.0, 1 - abs(column + 0.5 - x))
        if 0 <= row < height and 0 <= column < width:
            total += weight * array[:, row, column]
        elif outside == "border":
            total += weight * array[:, min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.5])
def test_a_copy_equals_a_loop_over_pixels(scale: float) -> None:
    height, width, centre = 9, 12, (6.5, 4.0)
    source, picture = draw(1, 3, height, width), draw(1, 3, height, width, seed=1)
    outline = torch.full((1, 1, height, width), -3.0)
    outline[..., 2:6, 3:10] = 4 * draw(1, 1, 4, 7)
    outline[..., 2, 5] = outline[..., 5, 3] = outline[..., 4, 9] = 1  # so that it reaches rows 2 to 5, columns 3 to 9
    found = one(outline, scale).over(picture, source)
    alpha = outline.sigmoid()[0].double().numpy()
    for row, column in np.ndindex(height, width):
        y = centre[1] + (row + 0.5 - centre[1]) / scale
        x = centre[0] + (column + 0.5 - centre[0]) / scale
        share = at(alpha, y, x, "nothing")
        colour = at(source[0].double().numpy(), y, x, "border")
        expected = share * colour + (1 - share) * picture[0, :, row, column].double().numpy()
        np.testing.assert_allclose(found[0, :, row, column].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_an_object_grows_and_shrinks_about_its_centre(scale: float) -> None:
    outline = disk(96, 128, (60, 40), 14)
    source = torch.where(outline > 0, 0.8, -0.5).expand(1, 3, -1, -1)
    found = one(outline, scale).over(torch.full_like(source, -0.5), source)
    shown = (found[0, 0] > 0.15).float()
    y, x = shown.nonzero().float().add(0.5).mean(dim=0).tolist()
    assert shown.sum().item() == pytest.approx(math.pi * (14 * scale) ** 2, rel=0.04)
    assert (x, y) == pytest.approx((60, 40), abs=0.2)


def test_the_centre_is_the_middle_of_what_belongs_to_the_object() -> None:
    outline = torch.cat(
        [disk(96, 128, (60, 40), 14), disk(96, 128, (30.5, 70.5), 9), torch.full((1, 1, 96, 128), -1.0)]
    )
    x, y = CutOut(torch.ones(3), outline, torch.ones(3)).centre.T
    torch.testing.assert_close(x, 2 * torch.tensor([60, 30.5, 64]) / 128 - 1)
    torch.testing.assert_close(y, 2 * torch.tensor([40, 70.5, 48]) / 96 - 1)


def test_an_edit_that_copies_nothing_is_the_painted_one_to_the_bit() -> None:
    source, picture = draw(1, 3, 20, 24), draw(1, 3, 20, 24, seed=1)
    assert torch.equal(one(disk(20, 24, (12, 10), 6), 1.5, there=0.0).over(picture, source), picture)
    field = EditField(draw(1, 9, 20, 24), draw(1, 3, 20, 24), draw(1, 1, 20, 24))
    copying = dataclasses.replace(field, cut_out=one(disk(20, 24, (12, 10), 6), 1.5))
    assert not torch.equal(copying.apply(source), field.apply(source))
    assert torch.equal(copying.painted().apply(source), field.apply(source))


@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_the_result_does_not_depend_on_the_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, picture = draw(1, 3, 150, 90), draw(1, 3, 150, 90, seed=1)
    copied = one(disk(48, 48, (20, 30), 11), 1.4)
    expected = copied.over(picture, source)
    monkeypatch.setattr(cut_out, "STRIP_ROWS", rows)
    assert torch.equal(copied.over(picture, source), expected)


def test_at_full_size_the_object_keeps_its_own_detail() -> None:
    """What is enlarged comes from the picture as it was given, not from the small one that the model saw."""
    height, width, times = 80, 112, 5
    source = 0.5 * draw(1, 3, height * times, width * times)
    outline, nothing = disk(height, width, (60, 36), 20), torch.zeros(1, 9, height, width)
    field = EditField(nothing, nothing[:, :3], nothing[:, :1], cut_out=one(outline, 2.0))
    found = carry(field, images.resize(source, height, width), source)
    y, x = 36 * times, 60 * times
    expected = torch.nn.functional.interpolate(
        source[..., y - 20 : y + 20, x - 20 : x + 20], scale_factor=2, mode="bilinear", align_corners=False
    )
    inner = (..., slice(8, 72), slice(8, 72))
    torch.testing.assert_close(found[..., y - 40 : y + 40, x - 40 : x + 40][inner], expected[inner], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[..., :40], source[..., :40], atol=1e-5, rtol=0)


def test_beside_a_copy_only_what_it_uncovers_is_painted() -> None:
    source = draw(2, 3, 64, 64)
    field = EditField(draw(2, 9, 64, 64), draw(2, 3, 64, 64), draw(2, 1, 64, 64))
    outline = disk(64, 64, (40, 30), 9).expand(2, -1, -1, -1)
    copying = dataclasses.replace(field, cut_out=CutOut(torch.tensor([1.0, -1.0]), outline, torch.tensor([0.6, 0.6])))
    found, painted = copying.beside_copies().apply(source), field.apply(source)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    distance = ((x - 40) ** 2 + (y - 30) ** 2).sqrt()
    far, ring = distance > 9 + 2 * GROWN, (distance > 0.6 * 9 + 2) & (distance < 9)
    torch.testing.assert_close(found[0, :, far], source[0, :, far], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, :, ring], painted[0, :, ring], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], painted[1], atol=1e-6, rtol=0)  # copies nothing
    assert field.beside_copies() is field


def test_fields_are_chosen_and_mixed_with_what_they_copy() -> None:
    source = draw(3, 3, 20, 24)
    field = EditField(draw(3, 9, 20, 24), draw(3, 3, 20, 24), draw(3, 1, 20, 24))
    outline = disk(20, 24, (12, 10), 6).expand(3, -1, -1, -1)
    copied = CutOut(torch.tensor([1.0, -1.0, 2.0]), outline, torch.tensor([1.5, 0.6, 0.7]))
    copying, chosen = dataclasses.replace(field, cut_out=copied), torch.tensor([2, 0])
    assert torch.equal(copying.of(chosen).apply(source[chosen]), copying.apply(source)[chosen])
    assert torch.equal(copying.replaced(chosen, copying.of(chosen)).apply(source), copying.apply(source))
    assert torch.equal(copying.confined().apply(source), copying.apply(source))
    change = torch.tensor([5.0, 5.0, -5.0])[:, None, None, None].expand(3, 1, 5, 6)
    assert dataclasses.replace(copying, change=change).confined().cut_out.copied.tolist() == [True, False, False]
    assert field.mix(copying, 0.5).cut_out is copied
    assert copying.mix(field, 0.5).cut_out is None
    assert copying.part(slice(0, 8), slice(0, 8)).cut_out is None


# ---- the head --------------------------------------------------------------------------------------------


def head(there: float) -> CutOutHead:
    torch.manual_seed(0)
    found = CutOutHead(48, 16).eval()
    with torch.no_grad():
        found.whole_out.weight[0] = 0
        found.whole_out.bias[0] = there
    return found


def test_the_head_says_nothing_where_nothing_is_copied_but_in_training() -> None:
    tokens, source = draw(2, 48, 48), draw(2, 3, 96, 128)
    assert head(-1.0)(tokens, -tokens, source) is None
    assert head(-1.0).train()(tokens, -tokens, source).there.tolist() == [-1.0, -1.0]
    found = head(1.0)(tokens, -tokens, source)
    assert found.outline.shape == (2, 1, 96, 128)
    assert found.scale.shape == (2,)
    assert (found.scale > 0).all()


def test_each_sample_is_copied_for_itself() -> None:
    tokens, source = draw(3, 48, 48), draw(3, 3, 96, 128)
    together = head(1.0)(tokens, -tokens, source)
    alone = head(1.0)(tokens[1:2], -tokens[1:2], source[1:2])
    for name in ("there", "outline", "scale"):
        torch.testing.assert_close(getattr(together, name)[1:2], getattr(alone, name), atol=1e-5, rtol=1e-5)


# ---- what it is taught -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(data_folder: Path) -> SceneBatch:
    kinds = ["bigger", "smaller"] * 6 + ["recolour", "absent object"]
    return Scenes(data_folder, "train", 3).batch(0, len(kinds), kinds=kinds, working_size=(112, 144))


def truth(scenes: SceneBatch) -> CutOut:
    """What would be copied by a model that knows everything."""
    height, width = scenes.source.shape[-2:]
    outline = torch.full((len(scenes.kinds), 1, height, width), -SURE)
    for index, kind in enumerate(scenes.kinds):
        if kind in RESIZED:
            outline[index, 0] = torch.logit(scenes.masks[index, scenes.edited_slot[index]], 1e-6)
    scale = torch.tensor([RESIZED.get(kind, 1.0) for kind in scenes.kinds])
    there = torch.tensor([SURE if kind in RESIZED else -SURE for kind in scenes.kinds])
    return CutOut(there, outline, scale)


def test_the_truth_costs_next_to_nothing_and_every_mistake_costs(scenes: SceneBatch) -> None:
    right, told = truth(scenes), torch.ones(len(scenes.kinds), 1, dtype=torch.bool)
    least = cut_out_loss(right, scenes, told)
    soft = [
        scenes.masks[index, scenes.edited_slot[index]] for index, kind in enumerate(scenes.kinds) if kind in RESIZED
    ]
    soft = torch.stack(soft)
    entropy = torch.nn.functional.binary_cross_entropy(soft, soft)  # of the outlines' half-covered pixels
    assert least.item() == pytest.approx(OUTLINE_WEIGHT * entropy.item(), abs=1e-3)
    for wrong in (
        dataclasses.replace(right, scale=1.2 * right.scale),
        dataclasses.replace(right, outline=right.outline.roll(5, dims=-1)),
        dataclasses.replace(right, there=-right.there),
    ):
        assert cut_out_loss(wrong, scenes, told) > least + 0.1
    untold = cut_out_loss(dataclasses.replace(right, there=-right.there.abs()), scenes, ~told)
    assert untold.item() == pytest.approx(0, abs=1e-6)


def test_what_would_be_copied_shows_the_asked_object(data_folder: Path, scenes: SceneBatch) -> None:
    """The truth's copy over the picture without the object is nearly the scene's own target, which was drawn anew."""
    stream = Scenes(data_folder, "train", 3)
    output = truth(scenes).over(scenes.clean, scenes.source)
    rows = score(scenes, output)
    for kind in RESIZED:
        chosen = [index for index, of in enumerate(scenes.kinds) if of == kind]
        error = sum(rows[index]["error"] for index in chosen) / sum(rows[index]["error_unedited"] for index in chosen)
        assert error < 0.15, kind
        assert all(right_object(stream, scenes, index, output) for index in chosen)


# ---- the shipped editor ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> MiniEditor:
    return MiniEditor(CATALOG["mini"].source)


def test_what_is_copied_is_decided_in_the_first_step(shipped: MiniEditor, data_folder: Path) -> None:
    scenes = Scenes(data_folder, "held_out", 5).batch(0, 2, kinds=["bigger", "smaller"], working_size=(112, 144))
    text = shipped.text_encoder.encode(scenes.instructions, plainly=True)
    one, three = (
        sampled(
            shipped.transformer, shipped.text_encoder, scenes.source, text, steps=steps, guidance=1.5, seeds=[0, 1]
        ).field.cut_out
        for steps in (1, 3)
    )
    assert one.copied.all()
    assert all(torch.equal(getattr(one, name), getattr(three, name)) for name in ("there", "outline", "scale"))


@pytest.mark.parametrize("steps", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_the_asked_object_is_there_at_its_new_size(shipped: MiniEditor, data_folder: Path, steps: int) -> None:
    stream = Scenes(data_folder, "held_out", 5)
    scenes = stream.batch(1, 12, kinds=["bigger", "smaller"] * 6, working_size=(128, 128))
    output = edit_batch(shipped, scenes, steps)
    rows = score(scenes, output)
    for first, kind in enumerate(RESIZED):
        error, unedited = (sum(row[key] for row in rows[first::2]) for key in ("error", "error_unedited"))
        assert error < 0.3 * unedited, kind
        assert sum(right_object(stream, scenes, index, output) for index in range(first, 12, 2)) >= 5, kind


def test_other_edits_copy_nothing(shipped: MiniEditor, data_folder: Path) -> None:
    kinds = ["recolour", "remove", "add", "replace", "brighter", "blur", "nonsense"] * 2
    scenes = Scenes(data_folder, "held_out", 5).batch(2, len(kinds), kinds=kinds, working_size=(128, 128))
    text = shipped.text_encoder.encode(scenes.instructions, plainly=True)
    found = sampled(
        shipped.transformer, shipped.text_encoder, scenes.source, text,
        steps=1, guidance=1.0, seeds=list(range(len(kinds))),
    )  # fmt: skip
    assert found.field.cut_out is None or not found.field.cut_out.copied.any()
