"""The attention explorer: its bytes against straight-line NumPy, and the tab in a real headless Chromium."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdit.attention.layout import Stream
from mmdit.attention.maps import COPIED_FROM, AttentionMaps, MapsError
from mmdit.runtime.history import Entry, History
from mmdit.ui.explorer_payload import (
    Shelf,
    colour_tables,
    dequantise,
    header,
    make_block,
    quantise,
    ranking,
    short_labels,
)

PATIENCE = 60_000  # milliseconds; a busy build server is slow
INSTRUCTION = "make the cat <b>blue</b>"
WORDS = ("make", "the", "cat", "<b>blue</b>")


def synthetic_maps(
    layers: int = 5,
    words: tuple[str, ...] = WORDS,
    grid: tuple[int, int] = (8, 12),
    reference: tuple[int, int] | None = (6, 9),
    steps: int = 3,
    heads: int = 2,
    patches: tuple[tuple[int, int], ...] = ((2, 3), (6, 10)),
    seed: int = 0,
) -> AttentionMaps:
    """Random maps, each word's with a bump at a place of its own; layers differ in how sharp it is."""
    draw = np.random.default_rng(seed)
    streams = [Stream("target", *grid)] + ([Stream("reference:0", *reference)] if reference else [])

    def bumps(count: int, height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[0:height, 0:width]
        made = np.empty((steps, layers, heads, count, height, width), np.float32)
        for index in np.ndindex(made.shape[:4]):
            row, column = draw.random(2) * (height, width)
            sharp = 0.3 + 2 * draw.random() * (height / 8)
            made[index] = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sharp**2)) + 0.05 * draw.random()
        return made

    data: dict[tuple[str, str], np.ndarray] = {}
    for stream in streams:
        read = bumps(len(words) + 1, stream.height, stream.width)
        data["image_to_text", stream.name] = (read / read.sum(axis=3, keepdims=True))[..., :-1, :, :]
        looked = bumps(len(words), stream.height, stream.width)
        data["text_to_image", stream.name] = 0.4 * looked / looked.sum(axis=(4, 5), keepdims=True)
    if patches and reference:
        copied = bumps(len(patches), *reference)
        data[COPIED_FROM, "reference:0"] = copied / copied.sum(axis=(4, 5), keepdims=True)
    doubles = (2 * layers + 2) // 3
    return AttentionMaps(
        words=words,
        layers=tuple(
            f"transformer_blocks.{index}" if index < doubles else f"single_transformer_blocks.{index - doubles}.attn"
            for index in range(layers)
        ),
        steps=tuple(np.linspace(1, 0, steps, endpoint=False).tolist()),
        heads=tuple(str(head) for head in range(heads)) if heads > 1 else ("mean",),
        streams=tuple(streams),
        data={key: values.astype(np.float16) for key, values in data.items()},
        patches=patches if reference else (),
    )


def save_recording(history: History, maps: AttentionMaps | None, picture: Image.Image) -> Entry:
    """An entry as an edit leaves it."""
    settings = {"instruction": INSTRUCTION, "seed": 1, "steps": 3, "size": list(picture.size)}
    edited = Image.eval(picture, lambda value: 255 - value)
    return history.save(SimpleNamespace(image=edited, settings=settings, maps=maps), [picture])


# ---- bytes


def test_bytes_stay_within_half_a_step_of_the_probabilities() -> None:
    maps = np.random.default_rng(0).random((3, 4, 5, 6), dtype=np.float32) ** 4
    maps[1, 2] = 0
    block = quantise(maps)
    for layer in range(3):
        for word in range(4):
            scale = maps[layer, word].max()
            assert block.scales[layer, word] == scale
            error = np.abs(dequantise(block)[layer, word] - maps[layer, word]).max()
            assert error <= scale / 510 + 1e-7
    assert not block.levels[1, 2].any()


def test_values_that_are_no_probabilities_do_no_harm() -> None:
    block = quantise(np.array([[[[np.nan, -1.0], [np.inf, 0.5]]]], np.float32))
    assert block.levels.tolist() == [[[[0, 0], [0, 255]]]]


def test_a_block_averages_what_it_is_not_asked_for() -> None:
    maps = synthetic_maps()
    values = maps.data["text_to_image", "target"].astype(np.float32)
    cases = {
        (None, None): values.mean(axis=(0, 2)),
        (1, None): values[1].mean(axis=1),
        (None, 1): values[:, :, 1].mean(axis=0),
        (2, 0): values[2, :, 0],
    }
    for (step, head), expected in cases.items():
        block = make_block(maps, "text_to_image", "target", step, head)
        assert np.allclose(dequantise(block), expected, atol=expected.max() / 509)


def test_a_flux_sized_block_is_a_byte_a_value() -> None:
    maps = np.zeros((57, 20, 64, 64), np.float32)
    assert quantise(maps).levels.nbytes == 57 * 20 * 64 * 64 <= 6 * 10**6


def test_copied_from_is_a_block_a_patch() -> None:
    maps = synthetic_maps()
    for index, (row, column) in enumerate(maps.patches):
        block = make_block(maps, COPIED_FROM, "reference:0", patch=index)
        expected = maps.copied_from(row, column, layers=[2])
        assert block.levels.shape == (5, 1, 6, 9)
        assert np.allclose(dequantise(block)[2, 0], expected, atol=expected.max() / 500)


@pytest.mark.parametrize(
    ("where", "named"),
    [({"direction": "sideways"}, "sideways"), ({"stream": "../etc"}, "etc"), ({"step": 3}, "step 3"),
     ({"head": -1}, "head -1")],
)  # fmt: skip
def test_what_was_not_recorded_is_named(where: dict[str, Any], named: str) -> None:
    with pytest.raises(MapsError, match=named):
        make_block(synthetic_maps(), **{"direction": "image_to_text", "stream": "target"} | where)


def test_labels_are_short_and_their_own() -> None:
    layers = ("transformer_blocks.3", "transformer_blocks.4.attn", "single_transformer_blocks.12.attn", "mid.attn")
    assert short_labels(layers) == ["double 3", "double 4", "single 12", "mid.attn"]
    twins = ("transformer_blocks.3", "transformer_blocks.3.attn")
    assert short_labels(twins) == list(twins)


def test_colour_tables_are_matplotlibs() -> None:
    from matplotlib import colormaps

    for name, table in colour_tables().items():
        colours = np.frombuffer(base64.b64decode(table), np.uint8).reshape(256, 3)
        assert np.abs(colours - 255 * colormaps[name](np.arange(256))[:, :3]).max() <= 0.5


# ---- the shelf


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "outputs")


def test_the_header_is_json_and_ranks_like_the_maps(history: History, photograph: Image.Image) -> None:
    maps = synthetic_maps()
    entry = save_recording(history, maps, photograph)
    told = json.loads(json.dumps(header(maps, entry), allow_nan=False))
    assert told["words"] == list(WORDS)
    assert [of["picture"].rpartition("/")[2] for of in told["streams"]] == [entry.result.name, entry.source.name]
    for direction in maps.directions:
        found = told["rankings"][f"{direction}/reference:0"]
        ranked = [name for name, _ in maps.rank_layers(direction=direction, stream="reference:0")]
        assert [maps.layers[index] for index in found["order"]] == ranked
        assert tuple(maps.layers[index] for index in found["best"]) == maps.best_layers(direction, "reference:0")
        assert found["measured"] is False
    known = replace(maps, telling={("image_to_text", "reference:0"): (maps.layers[-1],)})
    found = ranking(known, "image_to_text", "reference:0")
    assert (found["best"], found["measured"]) == ([len(maps.layers) - 1], True)
    second = replace(entry, references=(entry.source.with_name("lamp.png"),))
    both = replace(maps, streams=(*maps.streams, Stream("reference:1", 4, 6)))
    assert [(of["label"], of["picture"].rpartition("/")[2]) for of in header(both, second)["streams"][1:]] == [
        ("Given picture", entry.source.name), ("Picture 2", "lamp.png"),
    ]  # fmt: skip
    assert told["copied_from"] == ["reference:0"]
    assert told["patches"] == [[2, 3], [6, 10]]


def test_a_block_becomes_a_file_that_the_answer_names(
    history: History, photograph: Image.Image, tmp_path: Path
) -> None:
    entry = save_recording(history, synthetic_maps(), photograph)
    shelf = Shelf(history, tmp_path / "blocks")
    asked = {"entry": entry.name, "direction": "image_to_text", "stream": "target", "step": 1, "head": None}
    answer = shelf.block(asked)
    (file,) = (tmp_path / "blocks").iterdir()
    assert answer["url"].endswith(str(file))
    expected = make_block(synthetic_maps(), "image_to_text", "target", step=1)
    assert file.read_bytes() == expected.levels.tobytes()
    assert np.allclose(answer["scales"], expected.scales, rtol=1e-6)
    file.unlink()
    assert shelf.block(asked) == answer
    assert file.is_file()


def test_only_so_many_bytes_are_kept(history: History, photograph: Image.Image, tmp_path: Path) -> None:
    entry = save_recording(history, synthetic_maps(), photograph)
    shelf = Shelf(history, tmp_path / "blocks", budget=2 * 5 * 4 * 8 * 12)
    for step in (0, 1, 2):
        shelf.block({"entry": entry.name, "direction": "image_to_text", "stream": "target", "step": step})
    kept = sorted(file.name.removeprefix(f"{entry.name}.0.") for file in (tmp_path / "blocks").iterdir())
    assert kept == ["1.all.all.u8", "2.all.all.u8"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (None, "ask with"),
        ({"entry": "../../etc/passwd"}, "no longer"),
        ({"entry": 7}, "entry must be a text"),
        ({"direction": "sideways"}, "sideways"),
        ({"stream": "../../etc"}, "etc"),
        ({"step": "1"}, "step must be a whole number"),
        ({"step": True}, "step must be a whole number"),
        ({"step": 99}, "step 99"),
        ({"head": -1}, "head -1"),
        ({"patch": 0}, "only for it"),
        ({"direction": COPIED_FROM, "stream": "reference:0"}, "a patch is named"),
        ({"direction": COPIED_FROM, "stream": "reference:0", "patch": 2}, "patch 2"),
    ],
)
def test_bad_wishes_get_a_sentence(
    history: History, photograph: Image.Image, tmp_path: Path, asked: Any, named: str
) -> None:
    entry = save_recording(history, synthetic_maps(), photograph)
    whole = {"entry": entry.name, "direction": "image_to_text", "stream": "target", "step": None, "head": None}
    answer = Shelf(history, tmp_path / "blocks").block(whole | asked if asked else asked)
    assert list(answer) == ["error"]
    assert named in answer["error"][:1].lower() + answer["error"][1:]
    assert answer["error"].endswith(".") and "\n" not in answer["error"]
    assert not (tmp_path / "blocks").exists()


def test_missing_and_damaged_maps_get_a_sentence(history: History, photograph: Image.Image, tmp_path: Path) -> None:
    shelf = Shelf(history, tmp_path / "blocks")
    assert "without maps" in shelf.header(save_recording(history, None, photograph).name)["message"]
    assert "no longer" in shelf.header("20200101-000000-000000")["message"]
    damaged = save_recording(history, synthetic_maps(), photograph)
    damaged.maps.write_bytes(damaged.maps.read_bytes()[:300])
    message = shelf.header(damaged.name)["message"]
    assert damaged.maps.name in message and "damaged" in message
    assert str(tmp_path) not in message


# ---- the tab


@dataclass
class Served:
    """A page with nothing but the tab, and what it shows when asked for an entry by name."""

    address: str
    history: History
    maps: AttentionMaps
    recorded: Entry
    damaged: Entry
    complaints: list[str] = field(default_factory=list)


def serve(history: History, folder: Path):
    """Start a page; returns the blocks and the address. Its box takes the name of an entry to show."""
    import gradio as gr

    from mmdit.ui.explorer import ExplorerTab
    from mmdit.ui.language import head, translations
    from mmdit.ui.page import STYLE

    with gr.Blocks(analytics_enabled=False) as page:
        tab = ExplorerTab(page, Shelf(history, folder))
        name = gr.Textbox(elem_id="name")
        name.submit(tab.show, name, tab.view)
    _, address, _ = page.launch(
        css_paths=STYLE, allowed_paths=[str(history.folder), str(folder)], prevent_thread_lock=True, quiet=True,
        ssr_mode=False, share=False, run_history=False, head=head(), i18n=translations(),
    )  # fmt: skip
    return page, address


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, photograph: Image.Image) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("explorer")
    history = History(folder / "outputs")
    maps = synthetic_maps()
    recorded = save_recording(history, maps, photograph)
    damaged = save_recording(history, maps, photograph)
    damaged.maps.write_bytes(b"PK no more")
    page, address = serve(history, folder / "blocks")
    yield Served(address, history, maps, recorded, damaged)
    page.close()


@pytest.fixture
def page(browser, served: Served):
    context = browser.new_context(viewport={"width": 1248, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: message.type == "error" and served.complaints.append(message.text))
    page.on("pageerror", lambda error: served.complaints.append(str(error)))
    page.goto(served.address)
    show(page, served.recorded)
    settled(page)
    yield page
    context.close()
    assert served.complaints == []


def show(page, entry: Entry) -> None:
    page.fill("#name textarea, #name input", entry.name)
    page.press("#name textarea, #name input", "Enter")


def settled(page) -> None:
    """Every block that the view needs has come and is drawn."""
    page.wait_for_selector(".explorer[aria-busy=false]")


def captions(page) -> list[str]:
    """What stands above the pictures, without the layers that they show."""
    return [text.partition(" · ")[0] for text in page.locator("figcaption").all_inner_texts()]


def shade_at(page, stream: str, row: int, column: int, grid: tuple[int, int], colours: str = "magma") -> int:
    """The position in the colour map, 0 to 255, of the pixel in the middle of a patch."""
    pixel = page.evaluate(
        """([stream, y, x]) => {
          const canvas = document.querySelector(`.frame[data-stream="${stream}"] canvas`);
          const [left, top] = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
          return [...canvas.getContext('2d').getImageData(left, top, 1, 1).data];
        }""",
        [stream, (row + 0.5) / grid[0], (column + 0.5) / grid[1]],
    )
    return nearest_shade(pixel, colours)


def nearest_shade(pixel: list[int], colours: str = "magma") -> int:
    table = np.frombuffer(base64.b64decode(colour_tables()[colours]), np.uint8).reshape(256, 3).astype(int)
    return int(np.abs(table - np.array(pixel[:3])).sum(axis=1).argmin())


def assert_shows(page, heatmap: np.ndarray, stream: str = "target", top: float | None = None) -> None:
    """Every fourth patch has the colour that the probabilities ask for."""
    shades = 255 * heatmap / (heatmap.max() if top is None else top)
    for row, column in list(np.ndindex(heatmap.shape))[::4]:
        assert abs(shade_at(page, stream, row, column, heatmap.shape) - shades[row, column]) <= 2, (row, column)


def slide(page, selector: str, value: int) -> None:
    page.eval_on_selector(
        selector, "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", value
    )
    settled(page)


def click_patch(page, stream: str, row: int, column: int, grid: tuple[int, int]) -> None:
    frame = page.locator(f".frame[data-stream='{stream}']")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    x, y = (column + 0.5) / grid[1] * box["width"], (row + 0.5) / grid[0] * box["height"]
    frame.click(position={"x": x, "y": y})


def listed(page) -> list[str]:
    return page.locator(".ranking tbody tr:visible td:first-child").all_inner_texts()


@pytest.mark.browser
def test_a_word_is_drawn_as_the_maps_say(page, served: Served) -> None:
    best = served.maps.best_layers()
    for word in (2, 3, 0):
        page.click(f".chip >> nth={word}")
        assert page.get_attribute(f".chip >> nth={word}", "aria-pressed") == "true"
        assert_shows(page, served.maps.heatmap(word, layers=best))
        layers = served.maps.best_layers(stream="reference:0")
        assert_shows(page, served.maps.heatmap(word, stream="reference:0", layers=layers), "reference:0")
    label = page.get_attribute(".frame[data-stream=target] canvas", "aria-label")
    row, column = np.unravel_index(served.maps.heatmap(0, layers=best).argmax(), (8, 12))
    assert "“make”" in label and f"row {row + 1}, column {column + 1}" in label


@pytest.mark.browser
def test_at_full_opacity_the_eye_sees_the_colour_map(page, served: Served, tmp_path: Path) -> None:
    slide(page, ".opacity", 100)
    heatmap = served.maps.heatmap(3, layers=served.maps.best_layers())
    page.locator(".frame[data-stream=target]").screenshot(path=tmp_path / "frame.png")
    seen = np.asarray(Image.open(tmp_path / "frame.png").convert("RGB"))
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    pixel = seen[int((row + 0.5) / 8 * seen.shape[0]), int((column + 0.5) / 12 * seen.shape[1])]
    assert nearest_shade(pixel.tolist()) >= 245


@pytest.mark.browser
def test_layer_step_and_head(page, served: Served) -> None:
    slide(page, ".layer", 1)
    assert page.get_attribute(".layer", "aria-valuetext") == "double 1"
    assert_shows(page, served.maps.heatmap(3, layers=1))
    slide(page, ".step", 2)
    assert_shows(page, served.maps.heatmap(3, layers=1, steps=2))
    page.select_option(".head", label="head 1")
    settled(page)
    assert_shows(page, served.maps.heatmap(3, layers=1, steps=2, heads=1))
    page.select_option(".scaling", "shared")
    top = served.maps.select(words=3, steps=2, heads=1).max()
    assert_shows(page, served.maps.heatmap(3, layers=1, steps=2, heads=1), top=top)


@pytest.mark.browser
def test_sliders_words_and_colours_ask_the_server_for_nothing(page) -> None:
    page.wait_for_load_state("load")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for layer in (0, 3, 4, -1):
        slide(page, ".layer", layer)
    slide(page, ".opacity", 30)
    page.click(".chip >> nth=1")
    page.select_option(".colours", "viridis")
    page.select_option(".scaling", "shared")
    page.click(".ranked")
    page.wait_for_timeout(300)
    assert asked == []


@pytest.mark.browser
def test_another_colour_map(page, served: Served) -> None:
    page.select_option(".colours", "cividis")
    heatmap = served.maps.heatmap(3, layers=served.maps.best_layers())
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert shade_at(page, "target", row, column, heatmap.shape, "cividis") >= 254


@pytest.mark.browser
def test_a_patch_lists_its_words(page, served: Served) -> None:
    click_patch(page, "target", 5, 7, (8, 12))
    best = served.maps.best_layers()
    expected = served.maps.words_at(5, 7, layers=best)
    assert listed(page) == [word for word, _ in expected] + ["all else"]
    numbers = [float(text.rstrip(" %")) for text in page.locator(".ranking tbody tr:visible .share").all_inner_texts()]
    assert numbers[0] == pytest.approx(100 * expected[0][1], rel=0.05)
    assert numbers[-1] == pytest.approx(100 * (1 - sum(share for _, share in expected)), rel=0.1)
    assert "patch 6, 8" in page.inner_text(".ranking caption")

    page.locator(".explorer").focus()
    page.keyboard.press("Shift+ArrowUp")
    assert listed(page)[:-1] == [word for word, _ in served.maps.words_at(4, 7, layers=best)]
    page.keyboard.press("Escape")
    assert "all of the edited picture" in page.inner_text(".ranking caption")


@pytest.mark.browser
def test_the_other_direction(page, served: Served) -> None:
    page.click(".directions button >> nth=1")
    settled(page)
    best = served.maps.best_layers("text_to_image")
    assert_shows(page, served.maps.heatmap(3, "text_to_image", layers=best))
    click_patch(page, "target", 1, 1, (8, 12))
    looks = served.maps.select("text_to_image", layers=best)[..., 1, 1].mean(axis=(0, 1, 2))
    assert listed(page) == [WORDS[index] for index in np.argsort(-looks, kind="stable")]


@pytest.mark.browser
def test_the_strip_is_ranked_like_the_maps(page, served: Served) -> None:
    def order() -> list[int]:
        return [
            int(name) for name in page.eval_on_selector_all(".layers button", "all => all.map(b => b.dataset.layer)")
        ]

    ranked = [served.maps.layers.index(layer) for layer, _ in served.maps.rank_layers()]
    page.wait_for_function("document.querySelectorAll('.layers button').length === 5")
    assert order() == ranked
    page.click(".ranked")
    assert order() == [0, 1, 2, 3, 4]
    page.click(".layers button >> nth=3")
    assert page.input_value(".layer") == "3"
    assert_shows(page, served.maps.heatmap(3, layers=3))


@pytest.mark.browser
def test_keys(page, served: Served) -> None:
    page.locator(".explorer").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "1"):
        page.keyboard.press(key)
    settled(page)
    assert (page.input_value(".layer"), page.input_value(".step")) == ("1", "0")
    assert_shows(page, served.maps.heatmap(0, layers=1, steps=0))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("d")
    settled(page)
    assert_shows(page, served.maps.heatmap(0, "text_to_image", layers=0))
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.step').value === '2'")
    assert page.get_attribute(".play", "aria-pressed") == "true"
    page.keyboard.press("Space")
    assert page.get_attribute(".play", "aria-pressed") == "false"


@pytest.mark.browser
def test_two_keys_in_one_frame(page, served: Served) -> None:
    """The second is back to all layers, which has no thumbnail to scroll to: no error, and the mean is shown."""
    page.evaluate(
        """() => new Promise(done => {
            for (const key of ['ArrowRight', 'ArrowLeft']) {
                document.querySelector('.explorer').dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
            }
            requestAnimationFrame(() => requestAnimationFrame(done));
        })"""
    )
    settled(page)
    assert page.input_value(".layer") == "-1"
    assert_shows(page, served.maps.heatmap(3, layers=served.maps.best_layers()))


@pytest.mark.browser
def test_where_a_marked_patch_was_copied_from(page, served: Served) -> None:
    page.check(".copied")
    click_patch(page, "target", 2, 4, (8, 12))  # beside the marked (2, 3)
    settled(page)
    layers = served.maps.best_layers(stream="reference:0")
    assert_shows(page, served.maps.copied_from(2, 3, layers=layers), "reference:0")
    assert captions(page) == ["Edited picture", "Given picture: where patch 3, 4 looks"]


@pytest.mark.browser
def test_the_chosen_patch_stays_when_its_source_is_asked_for(page, served: Served) -> None:
    click_patch(page, "target", 6, 10, (8, 12))
    page.check(".copied")
    settled(page)
    layers = served.maps.best_layers(stream="reference:0")
    assert_shows(page, served.maps.copied_from(6, 10, layers=layers), "reference:0")
    assert captions(page)[1] == "Given picture: where patch 7, 11 looks"
    assert "patch 7, 11" in page.inner_text(".ranking caption")
    page.uncheck(".copied")
    assert_shows(page, served.maps.heatmap(3, stream="reference:0", layers=layers), "reference:0")
    assert "patch 7, 11" in page.inner_text(".ranking caption")
    click_patch(page, "target", 5, 9, (8, 12))
    page.check(".copied")  # the nearest whose source was recorded
    assert captions(page)[1] == "Given picture: where patch 7, 11 looks"


@pytest.mark.browser
def test_each_picture_names_the_layer_that_it_shows(page, served: Served, photograph: Image.Image) -> None:
    measured = {("image_to_text", "target"): (4,), ("image_to_text", "reference:0"): (1,)}
    telling = {key: tuple(served.maps.layers[at] for at in layers) for key, layers in measured.items()}
    show(page, save_recording(served.history, replace(served.maps, telling=telling), photograph))
    page.wait_for_selector("figcaption:has-text('single 0')")
    settled(page)
    assert page.locator("figcaption").all_inner_texts() == ["Edited picture · single 0", "Given picture · double 1"]
    assert page.inner_text(".layer-name") == "best by measurement: single 0"
    slide(page, ".layer", 2)
    assert page.locator("figcaption").all_inner_texts() == ["Edited picture · double 2", "Given picture · double 2"]


@pytest.mark.browser
def test_every_slider_has_a_name_and_says_its_value(page) -> None:
    for name, value in (("Layer", "best"), ("Step", "all 3, averaged"), ("Opacity", "75 %")):
        slider = page.get_by_role("slider", name=name, exact=True)
        assert value in slider.get_attribute("aria-valuetext")
        assert value in page.inner_text(f".{name.lower()}-name")


@pytest.mark.browser
def test_exports(page, served: Served) -> None:
    with page.expect_download() as download:
        page.click(".save")
    assert download.value.suggested_filename == f"{served.recorded.name}.b-blue-b.png"
    assert Image.open(download.value.path()).size[1] > served.maps.streams[0].height
    with page.expect_download() as download:
        page.click(".download")
    assert AttentionMaps.load(download.value.path()).words == WORDS


@pytest.mark.browser
def test_damaged_and_missing_maps_are_explained_and_the_page_lives(page, served: Served, photograph) -> None:
    show(page, served.damaged)
    page.wait_for_selector(".empty .message:has-text('damaged')")
    assert served.damaged.maps.name in page.inner_text(".message")
    show(page, save_recording(served.history, None, photograph))
    page.wait_for_selector(".empty .message:has-text('without maps')")
    assert page.is_hidden(".explorer")
    show(page, served.recorded)
    page.wait_for_selector(".explorer:visible")
    assert page.inner_text(".instruction") == f"“{INSTRUCTION}”"


@pytest.mark.browser
def test_axes_of_length_one_have_no_controls(page, served: Served, photograph: Image.Image) -> None:
    maps = synthetic_maps(layers=1, words=("blue",), reference=None, steps=1, heads=1)
    show(page, save_recording(served.history, maps, photograph))
    page.wait_for_selector(".step-control", state="hidden")
    settled(page)
    for control in (".head-control", ".copied-control", ".strip-streams"):
        assert page.is_hidden(control)
    assert captions(page) == ["Edited picture"]
    assert_shows(page, maps.heatmap(0))


@pytest.mark.browser
def test_nothing_to_show_yet_says_what_to_do(browser, served: Served) -> None:
    page = browser.new_page()
    page.goto(served.address)
    page.wait_for_selector(".empty:has-text('Make an edit')")
    page.close()


@pytest.mark.browser
def test_a_telephone_in_the_dark(page, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body.dark")
    show(page, served.recorded)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in (".card", ".chip"):
        colour = page.eval_on_selector(selector, "element => getComputedStyle(element).backgroundColor")
        assert sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3])) < 200, colour
    page.click(".chip >> nth=3")
    assert_shows(page, served.maps.heatmap(3, layers=served.maps.best_layers()))
