"""The numbers of an evaluation: known edits get known scores, intervals are as wide as theory says."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdit.model.vocabulary import OBJECTS
from mmdit.training.evaluate import BENCHMARK, UNSEEN, HeldOut
from mmdit.training.scenes import SceneBatch, Scenes
from mmdit.training.scores import DETAIL_SIDE, SMOOTH, detail, right_object, score, summarise

PAINTING = ("recolour", "replace", "add", "bigger", "smaller")
SAMPLES_OF_VERSION = {
    1: "32ee0a0cc456e243", 2: "2933d8a5d86ddcce", 3: "0fef40ddb62fa63b", 4: "f686dd40608ece46", 5: "316b10425f28fbea",
}  # fmt: skip
"""Version of the benchmark → digest of what is asked in the first batches of what it added."""


@pytest.fixture(scope="module")
def stream(data_folder: Path) -> Scenes:
    return Scenes(data_folder, "held_out", seed=5)


@pytest.fixture(scope="module")
def painted(stream: Scenes) -> SceneBatch:
    kinds = [kind for kind in PAINTING for _ in range(6)]
    return stream.batch(0, len(kinds), kinds=kinds)


def test_the_clean_picture_lacks_the_edited_object_alone(stream: Scenes, painted: SceneBatch) -> None:
    adding = [index for index, kind in enumerate(painted.kinds) if kind == "add"]
    assert torch.equal(painted.clean[adding], painted.source[adding])
    removing = stream.batch(1, 8, kinds=["remove"] * 8)
    assert torch.equal(removing.clean, removing.target)
    assert (removing.painted == -1).all()
    whole = stream.batch(2, 4, kinds=["sepia"] * 4)
    assert torch.equal(whole.clean, whole.source)


def test_the_asked_object_drawn_into_the_clean_picture_is_the_target(stream: Scenes, painted: SceneBatch) -> None:
    alone = 0
    for index in range(len(painted.kinds)):
        drawn = stream.with_each_object(painted, index)[painted.painted[index, 1]]
        differs = (drawn - painted.target[index]).abs().amax(dim=0) > 1e-5
        overlapped = painted.masks[index, :3].sum(dim=0) > 0  # by an object in front of it
        assert not (differs & ~overlapped).any()
        alone += not differs.any()
    assert alone > len(painted.kinds) / 2


def test_the_truth_shows_the_right_object_and_another_object_the_wrong_one(stream: Scenes, painted: SceneBatch) -> None:
    for index in range(len(painted.kinds)):
        assert right_object(stream, painted, index, painted.target)
        everything = stream.with_each_object(painted, index)
        other = (painted.painted[index, 1].item() + 7) % len(OBJECTS)
        output = painted.target.clone()
        output[index] = 0.6 * everything[other] + 0.4 * painted.clean[index]  # pale, but it
        assert not right_object(stream, painted, index, output)


def test_where_no_object_is_left_none_is_right_or_wrong(stream: Scenes) -> None:
    scenes = stream.batch(3, 3, kinds=["remove", "night", "nonsense"])
    assert [right_object(stream, scenes, index, scenes.target) for index in range(3)] == [None] * 3


def test_doing_nothing_has_the_error_of_the_unedited_picture(painted: SceneBatch) -> None:
    rows = score(painted, painted.source)
    found = summarise({"add": [row for row, kind in zip(rows, painted.kinds, strict=True) if kind == "add"]})["add"]
    assert found["relative_error"] == pytest.approx(1)
    assert found["intervals"]["relative_error"] == pytest.approx([1, 1])
    assert found["psnr"] == pytest.approx(found["psnr_unedited"])
    assert found["samples"] == 6


def test_intervals_are_as_wide_as_the_normal_theory_says() -> None:
    values = np.random.default_rng(1).normal(30, 4, size=400)
    weights = np.random.default_rng(2).uniform(1, 2, size=400)
    rows = [
        {"psnr": value, "error": 0.3 * weight * noise, "error_unedited": weight}
        for value, weight, noise in zip(values, weights, values / 30, strict=True)
    ]
    found = summarise({"remove": rows})["remove"]
    low, high = found["intervals"]["psnr"]
    spread = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - spread, values.mean() + spread), abs=0.15 * spread)

    ratio = found["relative_error"]
    residual = 0.3 * weights * values / 30 - ratio * weights
    spread = 1.96 * residual.std() / weights.mean() / 20  # of a ratio of means, by linearisation
    low, high = found["intervals"]["relative_error"]
    assert (low, high) == pytest.approx((ratio - spread, ratio + spread), abs=0.15 * spread)


def test_what_the_benchmark_asks_changes_with_its_version_only(data_folder: Path) -> None:
    held_out = HeldOut(data_folder, per_kind=4)
    digest = digest_of(scenes for wording in ("train", *UNSEEN) for scenes in held_out.worded(wording))
    assert SAMPLES_OF_VERSION[1] == digest, "other samples: raise BENCHMARK and note the digest"
    further = digest_of(
        scenes for wording in ("train", "wordings") for scenes in held_out.worded(wording, further=True)
    )
    assert SAMPLES_OF_VERSION[2] == further, "other samples: raise BENCHMARK and note the digest"
    digest = digest_of(held_out.at_full_size())
    assert SAMPLES_OF_VERSION[3] == digest, "other samples: raise BENCHMARK and note the digest"
    left_alone = list(held_out.left_alone())
    digest = digest_of(scenes for scenes in left_alone if "foreign" not in scenes.kinds)
    assert SAMPLES_OF_VERSION[4] == digest, "other samples: raise BENCHMARK and note the digest"
    digest = digest_of(left_alone)
    assert SAMPLES_OF_VERSION[BENCHMARK] == digest, "other samples: raise BENCHMARK and note the digest"


def test_detail_is_the_share_of_what_the_truth_has(stream: Scenes) -> None:
    scenes = stream.batch(3, 12, kinds=["remove"] * 12)
    assert {None, 1.0} == set(detail(scenes, scenes.target))
    smoother = torch.nn.functional.avg_pool2d(scenes.target, 3, 1, 1)
    rough = [differs_from_mean(of) for of in (smoother, scenes.target)]
    for index, share in enumerate(detail(scenes, smoother)):
        where = scenes.masks[index, scenes.edited_slot[index]] > 0.5
        found, wanted = (of[index][:, where].square().mean().sqrt().item() for of in rough)
        assert (share is None) == (wanted < SMOOTH)
        assert share is None or share == pytest.approx(found / wanted, rel=1e-3)


def differs_from_mean(pictures: torch.Tensor) -> torch.Tensor:
    """From the mean of the pixels around each, shifted over it one by one."""
    margin, (height, width) = DETAIL_SIDE // 2, pictures.shape[-2:]
    padded = torch.nn.functional.pad(pictures, (margin,) * 4, mode="replicate")
    shifts = [(y, x) for y in range(DETAIL_SIDE) for x in range(DETAIL_SIDE)]
    return pictures - sum(padded[..., y : y + height, x : x + width] for y, x in shifts) / len(shifts)


def digest_of(batches: Iterable[SceneBatch]) -> str:
    asked = [(scenes.kinds, scenes.instructions, scenes.painted.tolist()) for scenes in batches]
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]
