"""What is laid over an edit: what the head says of it, what becomes of that, and what it is taught."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from mmdit.catalog import CATALOG
from mmdit.families.mini import MiniEditor
from mmdit.families.mini_sampling import sampled
from mmdit.model import checkpoint
from mmdit.model.arrangement import ANCHOR
from mmdit.model.hiding import OPAQUE
from mmdit.model.left_alone import LeftAlone
from mmdit.model.object_head import ASKED, DRAWING_SIDE, DRAWINGS_FILE, TYPICAL_SIDE, FoundObjects, ObjectHead
from mmdit.model.vocabulary import COLOURS, OBJECTS
from mmdit.training import drawings
from mmdit.training.evaluate import edit_batch
from mmdit.training.objective import OUTLINE_WEIGHT, RESIZED, object_loss
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.scores import right_object, score

SURE = 40.0  # a logit whose sigmoid is 1
PATCH = 16
OVERLAID = ("recolour", "remove", "replace", "add", *RESIZED)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ---- the head --------------------------------------------------------------------------------------------


def head(**logits: float) -> ObjectHead:
    """One that says the same of every picture, by default that there is nothing to do."""
    torch.manual_seed(0)
    found = ObjectHead(48, PATCH, drawings=7).eval()
    with torch.no_grad():
        found.whole_out.weight.zero_()
        for number, name in enumerate(("resizes", "scale", "replaces", "adds", "side", "recolours", "removes")):
            found.whole_out.bias[number] = logits.get(name, -1.0)
    return found


def asked(found: ObjectHead, chosen: slice = slice(None)) -> FoundObjects | None:
    tokens, text, mask = draw(3, 48, 48), draw(3, 5, 48, seed=1), torch.arange(5) < torch.tensor([[2], [5], [3]])
    inputs = (tokens, -tokens, text, mask, draw(3, 3, 96, 128))
    return found(*(part[chosen] for part in inputs))


def test_the_head_says_nothing_where_nothing_is_laid_over_but_in_training() -> None:
    assert asked(head()) is None
    assert asked(head().train()).adds.tolist() == [-1.0] * 3
    for name in ASKED:
        found = asked(head(**{name: 1.0}))
        assert getattr(found, name).tolist() == [1.0] * 3
        assert found.outline.shape == (3, 1, 96, 128)
        assert found.place.shape == (3, 12 * 16)
        assert found.named.shape == found.drawn.shape == (3, 7)
        assert (found.scale > 0).all()


def test_each_sample_is_seen_for_itself_and_padding_is_not_read() -> None:
    together, alone = asked(head(adds=1.0)), asked(head(adds=1.0), slice(1, 2))
    for field in dataclasses.fields(FoundObjects):
        torch.testing.assert_close(getattr(together, field.name)[1:2], getattr(alone, field.name), atol=1e-5, rtol=1e-5)
    tokens, text, source = draw(1, 48, 48), draw(1, 5, 48), draw(1, 3, 96, 128)
    mask = torch.tensor([[True, True, False, False, False]])
    short = head(adds=1.0)(tokens, -tokens, text[:, :2], mask[:, :2], source)
    padded = head(adds=1.0)(tokens, -tokens, text, mask, source)
    torch.testing.assert_close(short.drawn, padded.drawn)


# ---- what becomes of it ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream(data_folder: Path) -> Scenes:
    return Scenes(data_folder, "train", 3)


@pytest.fixture(scope="module")
def scenes(stream: Scenes) -> SceneBatch:
    kinds = [kind for kind in OVERLAID for _ in range(6)] + ["sepia", "absent object"]
    return stream.batch(0, len(kinds), kinds=kinds, working_size=(112, 144))


@pytest.fixture(scope="module")
def textures(data_folder: Path) -> Tensor:
    """(K, 4, S, S) the objects themselves, in place of what was learnt of them."""
    sprites = load_file(data_folder / "objects.safetensors")["sprites"].float()
    side = (DRAWING_SIDE, DRAWING_SIDE)
    return functional.interpolate(sprites, side, mode="bicubic", antialias=True).clamp(0, 255) / 255


def truth(scenes: SceneBatch) -> FoundObjects:
    """What a head would say that knows everything."""
    height, width = scenes.source.shape[-2:]
    size = len(scenes.kinds)
    outline = torch.full((size, 1, height, width), -SURE)
    colour = torch.zeros(size, 3)
    place = torch.zeros(size, height // ANCHOR * (width // ANCHOR))
    named, drawn = torch.zeros(2, size, len(OBJECTS))
    side = torch.full((size,), TYPICAL_SIDE)
    for index, kind in enumerate(scenes.kinds):
        if scenes.meaning[index, 1] >= 0:
            named[index, scenes.meaning[index, 1]] = SURE
        if kind == "recolour":
            colour[index] = torch.tensor(list(COLOURS.values()))[scenes.meaning[index, 3]]
        if kind in (*RESIZED, "recolour", "remove", "replace"):
            outline[index, 0] = torch.logit(scenes.masks[index, scenes.edited_slot[index]], 1e-6)
        if kind in ("replace", "add"):
            _, thing, pixels, x, y, _, _ = scenes.painted[index].tolist()
            drawn[index, thing] = SURE
            place[index].view(height // ANCHOR, -1)[min(y // ANCHOR, height // ANCHOR - 1), x // ANCHOR] = SURE
            side[index] = pixels / min(height, width)

    def says(*kinds: str) -> Tensor:
        return torch.tensor([SURE if kind in kinds else -SURE for kind in scenes.kinds])

    scale = torch.tensor([RESIZED.get(kind, 1.0) for kind in scenes.kinds])
    return FoundObjects(
        recolours=says("recolour"), removes=says("remove"), resizes=says(*RESIZED), replaces=says("replace"),
        adds=says("add"),
        outline=outline, colour=colour, scale=scale, side=side, place=place, named=named, drawn=drawn,
    )  # fmt: skip


def overlaid(found: FoundObjects, scenes: SceneBatch, textures: Tensor) -> Tensor:
    picture = scenes.clean
    for overlay in found.overlays(scenes.source, textures, PATCH):
        picture = overlay.over(picture, scenes.source)
    return picture


@pytest.mark.parametrize("kind", OVERLAID)
def test_what_is_laid_over_the_picture_without_the_object_is_the_target(
    kind: str, stream: Scenes, scenes: SceneBatch, textures: Tensor
) -> None:
    """Which the scene drew by itself, from the objects at another size."""
    output = overlaid(truth(scenes), scenes, textures)
    rows = score(scenes, output)
    chosen = [index for index, of in enumerate(scenes.kinds) if of == kind]
    error = sum(rows[index]["error"] for index in chosen) / sum(rows[index]["error_unedited"] for index in chosen)
    assert error < {"bigger": 0.15, "smaller": 0.15}.get(kind, 0.08)
    assert all(right_object(stream, scenes, index, output) is not False for index in chosen)


def test_what_is_not_surely_known_is_not_drawn(scenes: SceneBatch, textures: Tensor) -> None:
    right = truth(scenes)
    vague = dataclasses.replace(right, drawn=torch.zeros_like(right.drawn))
    *_, drawing = vague.overlays(scenes.source, textures, PATCH)
    assert not drawing.shown.any()
    unseen = dataclasses.replace(right, outline=-right.outline.abs() - 1)
    *others, drawing = unseen.overlays(scenes.source, textures, PATCH)
    assert [overlay.shown.any().item() for overlay in others[1:]] == [False, False]
    assert drawing.shown.tolist() == [kind == "add" for kind in scenes.kinds]


def test_every_object_that_is_found_hides_what_is_behind_it_also_one_that_is_tinted(
    scenes: SceneBatch, textures: Tensor
) -> None:
    """So that the picture can be looked at again without it, for the other of two."""
    *standing, drawing = truth(scenes).overlays(scenes.source, textures, PATCH)
    replaced = drawing.shown & (drawing.leaves >= 0)
    shown_of = [(overlay, overlay.shown) for overlay in standing] + [(drawing, replaced)]
    for overlay, shown in shown_of:
        assert shown.any()
        for index in shown.nonzero()[:, 0].tolist():
            hides, mask = overlay.hides[index, 3] > OPAQUE, scenes.masks[index, scenes.edited_slot[index]] > 0.7
            assert (hides & mask).sum() > 0.9 * mask.sum()


def test_without_drawings_nothing_is_recognised(scenes: SceneBatch, textures: Tensor) -> None:
    overlays = truth(scenes).overlays(scenes.source, torch.zeros_like(textures), PATCH)
    for overlay in overlays[:3]:
        assert not overlay.shown.any()


def test_a_wrong_name_gives_way_to_the_one_that_fits(scenes: SceneBatch, textures: Tensor) -> None:
    right = truth(scenes)
    misled = dataclasses.replace(right, named=0.05 * right.named + 4 * right.named.roll(1, dims=-1) / SURE)
    expected, found = (said.overlays(scenes.source, textures, PATCH)[2] for said in (right, misled))
    shown = expected.shown
    assert shown.any()
    assert (found.leaves[shown] == expected.leaves[shown]).float().mean() > 0.9


# ---- what it is taught -----------------------------------------------------------------------------------


def test_the_truth_costs_next_to_nothing_and_every_mistake_costs(scenes: SceneBatch) -> None:
    right, told = truth(scenes), torch.ones(len(scenes.kinds), 1, dtype=torch.bool)
    least = object_loss(right, scenes, told)
    soft = torch.stack([
        scenes.masks[index, scenes.edited_slot[index]]
        for index, kind in enumerate(scenes.kinds) if kind in (*RESIZED, "recolour", "remove", "replace")
    ])  # fmt: skip
    entropy = functional.binary_cross_entropy(soft, soft)  # of the outlines' half-covered pixels
    assert least.item() == pytest.approx(OUTLINE_WEIGHT * entropy.item(), abs=1e-3)
    for wrong in (
        dataclasses.replace(right, scale=1.2 * right.scale),
        dataclasses.replace(right, side=1.2 * right.side),
        dataclasses.replace(right, outline=right.outline.roll(5, dims=-1)),
        dataclasses.replace(right, colour=1 - right.colour),
        dataclasses.replace(right, recolours=-right.recolours),
        dataclasses.replace(right, removes=-right.removes),
        dataclasses.replace(right, resizes=-right.resizes),
        dataclasses.replace(right, replaces=-right.replaces),
        dataclasses.replace(right, adds=-right.adds),
        dataclasses.replace(right, place=right.place.roll(1, dims=-1)),
        dataclasses.replace(right, named=right.named.roll(1, dims=-1)),
        dataclasses.replace(right, drawn=right.drawn.roll(1, dims=-1)),
    ):
        assert object_loss(wrong, scenes, told) > least + 0.1


def test_without_an_instruction_nothing_is_asked(scenes: SceneBatch) -> None:
    quiet = dataclasses.replace(truth(scenes), **{
        name: torch.full((len(scenes.kinds),), -SURE) for name in ASKED
    })  # fmt: skip
    loss = object_loss(quiet, scenes, torch.zeros(len(scenes.kinds), 1, dtype=torch.bool))
    assert loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_drawings_are_learnt_from_scenes_alone(
    stream: Scenes, textures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "BATCHES", 20)
    learnt = drawings.learn_drawings(stream)
    assert (learnt >= 0).all()
    assert (learnt[:, :3] <= learnt[:, 3:] + 1e-6).all()
    against = (learnt[:, None] - textures[None]).square().flatten(2).mean(dim=2)
    assert (against.argmin(dim=1) == torch.arange(len(OBJECTS))).all()
    assert against.diagonal().mean() < 0.005


# ---- the shipped editor ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> MiniEditor:
    return MiniEditor(CATALOG["mini"].source)


def test_what_is_laid_over_is_decided_in_the_first_step(shipped: MiniEditor, data_folder: Path) -> None:
    kinds = list(OVERLAID)
    scenes = Scenes(data_folder, "held_out", 5).batch(0, len(kinds), kinds=kinds, working_size=(112, 144))
    text = shipped.text_encoder.encode(scenes.instructions, plainly=True)
    one, three = (
        sampled(
            shipped.models, scenes.source, text,
            steps=steps, guidance=1.5, seeds=list(range(len(kinds))),
        ).field.overlays
        for steps in (1, 3)
    )  # fmt: skip
    assert torch.stack([overlay.shown for overlay in one]).any(dim=0).all()
    for before, after in zip(one, three, strict=True):
        for field in dataclasses.fields(before):
            values = (torch.as_tensor(getattr(overlay, field.name)) for overlay in (before, after))
            assert torch.equal(*values), field.name


def test_the_shipped_drawings_are_the_objects(shipped: MiniEditor, textures: Tensor) -> None:
    learnt = shipped.transformer.object_head.textures
    assert (learnt - textures).square().mean() < 0.001


def test_drawings_that_are_missing_or_no_picture_of_them_are_refused(tmp_path: Path) -> None:
    found = head()
    with pytest.raises(FileNotFoundError, match=r"drawings\.png is missing"):
        found.load_drawings(tmp_path)
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(99)):
        (tmp_path / DRAWINGS_FILE).write_bytes(content)
        with pytest.raises(ValueError, match=r"drawings\.png is damaged"):
            found.load_drawings(tmp_path)
    for size in ((60, 64), (7 * DRAWING_SIDE, 1)):
        Image.new("RGBA", size).save(tmp_path / DRAWINGS_FILE)
        with pytest.raises(ValueError, match=r"drawings\.png is damaged"):
            found.load_drawings(tmp_path)


@pytest.mark.parametrize("steps", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_the_asked_object_is_there(shipped: MiniEditor, data_folder: Path, steps: int) -> None:
    stream, each = Scenes(data_folder, "held_out", 5), 6
    scenes = stream.batch(1, each * len(OVERLAID), kinds=[*OVERLAID] * each, working_size=(128, 128))
    output = edit_batch(shipped, scenes, steps)
    rows = score(scenes, output)
    for first, kind in enumerate(OVERLAID):
        own = range(first, len(rows), len(OVERLAID))
        error, unedited = (sum(rows[index][key] for index in own) for key in ("error", "error_unedited"))
        assert error < 0.3 * unedited, kind
        there = [right_object(stream, scenes, index, output) for index in own]
        assert there.count(False) <= 1, kind


def test_over_other_edits_nothing_is_laid(shipped: MiniEditor, data_folder: Path) -> None:
    kinds = ["sepia", "brighter", "blur", "nonsense"] * 4
    scenes = Scenes(data_folder, "held_out", 5).batch(2, len(kinds), kinds=kinds, working_size=(128, 128))
    text = shipped.text_encoder.encode(scenes.instructions, plainly=True)
    found = sampled(
        shipped.models, scenes.source, text,
        steps=1, guidance=1.0, seeds=list(range(len(kinds))),
    )  # fmt: skip
    laid = [overlay for overlay in found.field.overlays if not isinstance(overlay, LeftAlone)]
    assert not any(overlay.shown.any() for overlay in laid)


def test_drawings_are_saved_as_they_were_loaded(shipped: MiniEditor, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, shipped.models)
    again = checkpoint.load(tmp_path).transformer
    assert torch.equal(again.object_head.drawings, shipped.transformer.object_head.drawings)
    with Image.open(tmp_path / "transformer" / DRAWINGS_FILE) as strip:
        assert strip.size == (len(OBJECTS) * DRAWING_SIDE, DRAWING_SIDE)
    assert checkpoint.fingerprint(tmp_path) == shipped.fingerprint
