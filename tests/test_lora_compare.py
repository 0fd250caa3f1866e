"""Series over LoRA weights: which edits they are, their differences against AttentionMaps, the sheet of pictures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_explorer import synthetic_maps

from mmdit.attention.maps import MapsError
from mmdit.attention.overlay import DIVERGING, colour_table
from mmdit.editor import EditRequest
from mmdit.lora.inspect import LoraError
from mmdit.lora.stack import LoraWeight
from mmdit.ui.lora_compare import (
    ALL_WORDS,
    MOST,
    comparison,
    default_word,
    difference_picture,
    limit_of,
    parse_weights,
    requests,
    sheet,
    weight_grid,
    word_maps,
)

NAMES, WEIGHTS = ("sepia-film", "thermal", "emboss"), (0.8, -0.5, 1.0)

# ---- weights as they are typed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0, 0.5, 1", (0, 0.5, 1)),
        (" 1;-2 ,  .25\n2 ", (1, -2, 0.25, 2)),
        ("−0.5, +1e0", (-0.5, 1)),
        ("1, 1.0, 0, -0", (1, 0)),
    ],
)
def test_weights_are_read_once_each_in_order(text: str, expected: tuple[float, ...]) -> None:
    found = parse_weights(text, "X")
    assert found == expected
    assert not any(np.signbit(value) for value in found if value == 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [("nan", "nan"), ("0, a, 1", "a"), ("7", "7"), ("-2.01", "-2.01"), ("inf", "inf"), ("1e999", "1e999"),
     ("0x1", "0x1"), ("½", "½"), ("", "no weights"), (" , ;", "no weights")],
)  # fmt: skip
def test_a_weight_that_is_none_is_named_with_the_remedy(text: str, named: str) -> None:
    with pytest.raises(LoraError) as raised:
        parse_weights(text, "Y")
    told = str(raised.value)
    assert named in told and "Y" in told and "from −2 to 2" in told
    assert "\n" not in told


def test_a_long_mistake_is_cut_short() -> None:
    with pytest.raises(LoraError) as raised:
        parse_weights("x" * 10_000, "X")
    assert len(str(raised.value)) < 150


# ---- which edits


def test_a_comparison_is_without_each_alone_and_all() -> None:
    series = comparison(NAMES, WEIGHTS)
    assert [of.weights for of in series.variants] == [
        (None, None, None), (0.8, None, None), (None, -0.5, None), (None, None, 1.0), WEIGHTS,
    ]  # fmt: skip
    assert [of.caption for of in series.variants] == [
        "Without", "sepia-film 0.8", "thermal −0.5", "emboss 1", "All together",
    ]  # fmt: skip


def test_one_lora_alone_is_all_of_them() -> None:
    assert [of.weights for of in comparison(["thermal"], [0.3]).variants] == [(None,), (0.3,)]


def test_a_comparison_of_nothing_or_too_much_is_refused() -> None:
    with pytest.raises(LoraError, match="empty"):
        comparison([], [])
    assert len(comparison(["x"] * (MOST - 2), [1.0] * (MOST - 2)).variants) == MOST
    with pytest.raises(LoraError, match=f"at most {MOST - 2}"):
        comparison(["x"] * (MOST - 1), [1.0] * (MOST - 1))


def test_a_grid_varies_two_and_keeps_the_others() -> None:
    grid = weight_grid(NAMES, WEIGHTS, (2, "0, 1"), (0, "-1, 0.5, 2"))
    assert [of.weights for of in grid.variants] == [
        (second, -0.5, first) for second in (-1, 0.5, 2) for first in (0, 1)
    ]  # fmt: skip
    assert (grid.x.name, grid.x.labels) == ("emboss", ("0", "1"))
    assert (grid.y.name, grid.y.labels) == ("sepia-film", ("−1", "0.5", "2"))
    assert grid.columns == 2
    assert grid.variants[3].caption == "emboss 1 · sepia-film 0.5"


def test_a_grid_of_one_row() -> None:
    grid = weight_grid(NAMES, WEIGHTS, (1, "0, 0.5, 1"))
    assert [of.weights for of in grid.variants] == [(0.8, first, 1.0) for first in (0, 0.5, 1)]
    assert grid.y is None


@pytest.mark.parametrize(
    ("x", "y", "named"),
    [
        ((0, "0,1,2,-1,-2,.5"), (1, "0,1,2,-1,.1"), "6 × 5 weights make 30 pictures"),
        ((0, ", ".join(str(value / 20) for value in range(26))), None, "26"),
        ((1, "0"), (1, "1"), "same LoRA"),
        ((3, "0"), None, "X names no LoRA"),
        ((0, "0"), (-1, "1"), "Y names no LoRA"),
        ((0, "0"), (1, "7"), "“7” on Y"),
    ],
)
def test_a_grid_that_can_not_be_is_explained(x: tuple[int, str], y: tuple[int, str] | None, named: str) -> None:
    with pytest.raises(LoraError, match=named):
        weight_grid(NAMES, WEIGHTS, x, y)


def test_twenty_five_cells_are_allowed() -> None:
    values = "0, 0.25, 0.5, 0.75, 1"
    assert len(weight_grid(NAMES, WEIGHTS, (0, values), (1, values)).variants) == 25


def test_requests_differ_in_their_loras_alone() -> None:
    """And all are read literally, since words are read so with LoRAs."""
    base = EditRequest([Image.new("RGB", (8, 8))], "make it sepia", seed=3, steps=2)
    loras = [LoraWeight("sepia-film", 0.8), LoraWeight("b.safetensors", -0.5, {"blocks.0": 0.5}, partial=True)]
    series = comparison(["sepia-film", "b"], [0.8, -0.5])
    made = requests(base, series, loras)
    assert [list(of.loras) for of in made] == [[], [loras[0]], [loras[1]], loras]
    assert all(replace(of, loras=()) == replace(base, literally=True) for of in made)
    (zero, _) = requests(base, weight_grid(["sepia-film", "b"], [0.8, -0.5], (1, "0, 2")), loras)
    assert list(zero.loras) == [loras[0], replace(loras[1], weight=0.0)]


# ---- attention


def test_differences_are_those_of_the_recordings() -> None:
    without, with_one = synthetic_maps(seed=1), synthetic_maps(seed=2)
    base = word_maps(without)
    other = word_maps(with_one, base)
    reference = with_one.minus(without)
    layers = without.best_layers()
    for word in without.words:
        expected = reference.heatmap(word, layers=layers)
        assert np.allclose(other.of(word) - base.of(word), expected, atol=1e-6)
    every = np.mean([reference.heatmap(word, layers=layers) for word in without.words], axis=0)
    assert np.allclose(other.of(ALL_WORDS) - base.of(ALL_WORDS), every, atol=1e-6)


def test_recordings_of_other_words_or_patches_are_not_compared() -> None:
    base = word_maps(synthetic_maps())
    for other in (synthetic_maps(words=("make", "the", "cat", "red")), synthetic_maps(grid=(6, 12), patches=())):
        with pytest.raises(MapsError, match="can't be compared"):
            word_maps(other, base)
    with pytest.raises(MapsError, match="“dog”"):
        base.of("dog")


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("make", "the", "cat", "blue"), "blue"), (("add", "2"), "add"), (("add", "été", "!"), "été"), (("!", "2"), "")],
)
def test_the_word_shown_first_is_the_explorers(words: tuple[str, ...], expected: str) -> None:
    assert default_word(words) == expected


def test_a_difference_is_grey_where_nothing_changed_and_red_or_blue_elsewhere() -> None:
    difference = np.zeros((4, 6), np.float32)
    difference[:, 5], difference[:, 0] = 0.2, -0.2
    assert limit_of([np.zeros((4, 6)), difference]) == pytest.approx(0.2)
    black = Image.new("RGB", (600, 400))
    made = np.asarray(difference_picture(black, difference, 0.2), dtype=np.float64)
    assert made.shape[:2] == (213, 320)
    table = 0.7 * colour_table(DIVERGING)
    for x, shade in ((10, 0), (160, 128), (310, 255)):
        assert np.abs(made[100, x] - table[shade]).max() <= 3
    assert made[100, 310, 0] > made[100, 310, 2] + 50
    assert made[100, 10, 2] > made[100, 10, 0] + 50


def test_no_change_at_all_is_drawn() -> None:
    nothing = np.zeros((4, 4), np.float32)
    middle = np.asarray(difference_picture(Image.new("RGB", (64, 64)), nothing, limit_of([nothing])))
    assert np.ptp(middle.astype(int), axis=(0, 1)).max() <= 1


# ---- the sheet


def test_the_sheet_holds_every_picture_where_it_belongs() -> None:
    grid = weight_grid(NAMES, WEIGHTS, (0, "0, 1"), (1, "0, 1"))
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    page = sheet(grid, [[Image.new("RGB", (300, 200), colour)] for colour in colours], "“make it sepia” · seed 7")
    pixels = np.asarray(page).reshape(-1, 3)
    centres = []
    for colour in colours:
        found = np.flatnonzero((pixels == colour).all(axis=1))
        assert len(found) == 320 * 213
        centres.append((found.mean() // page.width, (found % page.width).mean()))
    assert centres[0][0] == centres[1][0] < centres[2][0] == centres[3][0]
    assert centres[0][1] == centres[2][1] < centres[1][1] == centres[3][1]


def test_the_sheet_of_an_unfinished_series_has_empty_places() -> None:
    series = comparison(NAMES, WEIGHTS)
    green, blue = Image.new("RGB", (300, 200), "green"), Image.new("RGB", (300, 200), "blue")
    page = sheet(series, [[green, blue]], "x" * 500)
    whole = sheet(series, [[green, blue]] * 5, "x")
    assert page.size == whole.size
    counts = [int((np.asarray(of) == (0, 128, 0)).all(axis=2).sum()) for of in (page, whole)]
    assert counts[0] == 320 * 213
    assert counts[1] == 5 * counts[0]
