"""Which of several objects is meant, where a moved one and a new one come to stand."""

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdit.model.arrangement import ASIDE, OUTSIDE, TOUCHING, UP, arranged, next_to, one_of_two, standing
from mmdit.model.cut_out import CutOut
from mmdit.model.drawing import Drawing
from mmdit.model.hiding import hidden
from mmdit.model.reader import Reading
from mmdit.model.removal import Removal
from mmdit.model.tint import Tint
from mmdit.model.vocabulary import BESIDE, PLACES
from mmdit.training.plans import Placement, Plan
from mmdit.training.scenes import Scenes

HEIGHT, WIDTH = 48, 64
UPPER_LEFT, MIDDLE, LOWER_RIGHT = (
    (slice(4, 12), slice(6, 14)),
    (slice(20, 32), slice(28, 44)),
    (slice(36, 42), slice(52, 58)),
)


def outline(*places: tuple[slice, slice]) -> Tensor:
    """(height, width) logit of boxes."""
    found = torch.full((HEIGHT, WIDTH), -5.0)
    for rows, columns in places:
        found[rows, columns] = 5.0
    return found


def tint(place: tuple[slice, slice], shown: bool = True) -> Tint:
    here = outline(place)[None, None]
    return Tint(torch.tensor([shown]), here, hidden(here.sigmoid()), torch.ones(1, 3), torch.tensor([0]))


@pytest.mark.parametrize(
    ("which", "meant"),
    [
        ("left", UPPER_LEFT), ("upper", UPPER_LEFT), ("right", MIDDLE), ("lower", MIDDLE),
        ("smaller", UPPER_LEFT), ("larger", MIDDLE),
    ],
)  # fmt: skip
def test_of_two_objects_the_one_that_is_said_is_meant(which: str, meant: tuple[slice, slice]) -> None:
    reading = [Reading("recolour", "cat", colour="red", which=which)]
    for first, second in ((UPPER_LEFT, MIDDLE), (MIDDLE, UPPER_LEFT)):
        found = one_of_two((tint(first),), (tint(second),), reading)
        shown = [overlay for overlay in found if overlay.shown.all()]
        assert len(shown) == 1
        assert torch.equal(shown[0].outline[0, 0], outline(meant))


def test_without_a_second_object_or_a_word_for_it_the_first_is_meant() -> None:
    both = (tint(MIDDLE),), (tint(UPPER_LEFT),)
    for which in ("any", ""):
        first, second = one_of_two(*both, [Reading("remove", "cat", which=which)])
        assert first.shown.all()
        assert not second.shown.any()
    first, second = one_of_two((tint(MIDDLE),), (tint(UPPER_LEFT, shown=False),), [Reading("remove", which="left")])
    assert first.shown.all()
    assert not second.shown.any()
    assert one_of_two(both[0], (), [Reading("remove", "cat", which="left")]) == both[0]
    nothing = one_of_two((tint(MIDDLE, shown=False),), (tint(UPPER_LEFT),), [Reading("remove", which="left")])
    assert not any(overlay.shown.any() for overlay in nothing)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (112, 144), (192, 80)])
def test_what_is_put_somewhere_stands_where_training_puts_what_is_added(height: int, width: int) -> None:
    plans = [
        Plan("add", "add", (3,), (cell, 0, 1), 0, 0, 0, "panda", place, "add a panda")
        for cell, place in enumerate(PLACES)
    ]
    placed = Placement.draw(plans, height, width, torch.Generator().manual_seed(0)).centre[:, 0]
    assert torch.equal(standing(torch.arange(9), height, width).round().long(), placed)
    assert standing(torch.tensor(4), height, width).tolist() == [width / 2, height / 2]


@pytest.mark.parametrize("side", BESIDE)
def test_something_new_stands_on_the_side_that_is_said(side: str) -> None:
    centre, half, own = torch.tensor([0.05, -0.1]), torch.tensor([0.2, 0.3]), torch.tensor([0.15, 0.1])
    x, y = (next_to(side, centre, half, own) - centre).tolist()
    apart = {"left": (-0.35, 0), "right": (0.35, 0), "above": (0, -0.4), "below": (0, 0.4)}
    expected = {name: (TOUCHING * dx, TOUCHING * dy) for name, (dx, dy) in apart.items()}
    expected |= {"behind": (ASIDE * 0.2, -UP * 0.3), "front": (ASIDE * 0.2, UP * 0.3)}
    assert (x, y) == pytest.approx(expected[side])
    crowded = next_to(side, torch.tensor([-0.9, 0.9]), half, own)
    assert ((crowded - own >= -1) & (crowded + own <= 1)).all()


# ---- overlays ----------------------------------------------------------------------------------


def removal(shown: list[bool]) -> Removal:
    size = len(shown)
    whole = outline(MIDDLE).expand(size, 1, -1, -1)
    middle = torch.tensor([[36 * 2 / WIDTH - 1, 26 * 2 / HEIGHT - 1]]).expand(size, -1)
    half = torch.tensor([[16 / WIDTH, 12 / HEIGHT]]).expand(size, -1)
    hides = hidden(whole.sigmoid())
    return Removal(torch.tensor(shown), whole, hides, torch.tensor([3] * size), middle, half)


def drawing(shown: list[bool]) -> Drawing:
    size = len(shown)
    return Drawing(
        torch.tensor(shown), torch.full((size, 1, HEIGHT, WIDTH), OUTSIDE), torch.zeros(size, 4, HEIGHT, WIDTH),
        torch.ones(size, 4, 8, 8),
        torch.zeros(size, 2), torch.full((size, 2), 0.1), torch.full((size,), -1), torch.zeros(size, dtype=torch.long),
    )  # fmt: skip


def not_asked(chosen: Tensor, names: list[str]) -> None:
    raise AssertionError("nothing is to be looked for")


def test_what_is_moved_is_cut_out_and_stands_elsewhere() -> None:
    readings = [
        Reading("move", "cat", place="top left"),
        Reading("remove", "cat"),
        Reading("move", "cat", place="left"),
    ]
    overlays = (removal([True, True, False]), drawing([False] * 3))
    removed, drawn, moved = arranged(overlays, readings, (HEIGHT, WIDTH), not_asked)
    assert removed.shown.tolist() == [False, True, False]
    assert moved.shown.tolist() == [True, False, False]  # the third was not found
    assert not drawn.shown.any()
    source = torch.rand(3, 3, HEIGHT, WIDTH) * 2 - 1
    blank = torch.zeros_like(source)
    output = moved.over(blank, source)
    x, y = standing(torch.tensor(PLACES.index("top left")), HEIGHT, WIDTH).long().tolist()
    inner = source[0, :, 22:30, 30:42]  # within the object, whose edges are soft
    torch.testing.assert_close(output[0, :, y - 4 : y + 4, x - 6 : x + 6], inner, atol=0.03, rtol=0)
    assert output[1:].abs().max() == 0
    assert moved.leaves.tolist() == [3] * 3


def test_without_such_a_reading_the_overlays_stay() -> None:
    overlays = (removal([True]), drawing([False]))
    for reading in (None, Reading("remove", "cat"), Reading("fog")):
        assert arranged(overlays, [reading], (HEIGHT, WIDTH), not_asked) is overlays
    assert arranged((), [Reading("move", "cat", place="left")], (HEIGHT, WIDTH), not_asked) == ()


def test_something_new_goes_beside_what_is_found() -> None:
    readings = [None, Reading("add", "cat", "star", beside="left"), Reading("add", "cat", "star", beside="behind")]
    asked: list[tuple[list[int], list[str]]] = []

    def look(chosen: Tensor, names: list[str]) -> Removal:
        asked.append((chosen.tolist(), names))
        return removal([True, True])

    before = drawing([True] * 3)
    drawn, in_front = arranged((before,), readings, (HEIGHT, WIDTH), look)
    assert asked == [([1, 2], ["cat", "cat"])]
    assert torch.equal(drawn.centre[0], before.centre[0])
    known = removal([True])
    for index, side in ((1, "left"), (2, "behind")):
        torch.testing.assert_close(
            drawn.centre[index], next_to(side, known.centre[0], known.half[0], before.half[index])
        )
    assert isinstance(in_front, CutOut)
    assert in_front.shown.tolist() == [False, False, True]
    source = torch.rand(3, 3, HEIGHT, WIDTH) * 2 - 1
    covered = in_front.over(drawn.over(source, source), source)
    torch.testing.assert_close(covered[2][:, 22:30, 30:42], source[2][:, 22:30, 30:42], atol=0.03, rtol=0)


def test_where_nothing_is_found_the_drawing_stays() -> None:
    before = drawing([True])
    reading = [Reading("add", "cat", "star", beside="left")]
    assert arranged((before,), reading, (HEIGHT, WIDTH), lambda chosen, names: None) == (before,)
    placed, _ = arranged((before,), reading, (HEIGHT, WIDTH), lambda chosen, names: removal([False]))
    assert torch.equal(placed.centre, before.centre)


# ---- scenes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["move", "one of two", "beside"])
def test_the_truth_of_a_scene_is_what_its_reading_says(kind: str, data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", 3).batch(0, 24, kinds=[kind] * 24, working_size=(112, 144))
    for index, (source, target, clean) in enumerate(zip(scenes.source, scenes.target, scenes.clean, strict=True)):
        assert not torch.equal(source, target), scenes.instructions[index]
        changed = (source - target).abs().amax(dim=0) > 0.05
        assert 10 < changed.sum() < 0.5 * changed.numel()
        if kind == "beside":
            assert torch.equal(source, clean)
        if kind != "one of two":  # of which some are removed
            assert scenes.painted[index, 0] >= 0
        if kind == "move":  # both are the same but for what stands there
            gone, come = ((picture - clean).abs().amax(dim=0) > 0.05 for picture in (source, target))
            assert gone.sum() > 0
            assert come.sum() > 0


def test_plans_of_further_edits_name_what_their_instruction_says(data_folder: Path) -> None:
    for number in range(60):
        plan = Plan.draw("one of two", random.Random(number), "train")
        assert plan.reading.which
        assert plan.objects[0] == plan.objects[1]
        assert plan.name in plan.instruction
        moved = Plan.draw("move", random.Random(number), "wordings")
        assert moved.reading.place == moved.place
        assert PLACES[moved.cells[0]] != moved.place
