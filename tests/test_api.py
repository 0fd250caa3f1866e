"""What programs can do with the running page: the same as `editor.edit`, by name."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from test_page import PATIENCE, Studio, running_studio

from mmdit.attention.figure import draw_word
from mmdit.attention.maps import AttentionMaps
from mmdit.catalog import CATALOG
from mmdit.editor import Editor, EditRequest
from mmdit.families.strength import Strength
from mmdit.images import load_image
from mmdit.lora.presets import PRESETS_FOLDER, Presets
from mmdit.lora.stack import LoraWeight
from mmdit.region import Region

pytestmark = pytest.mark.shipped

ENDPOINTS = {
    "/edit", "/strength_strip", "/status", "/cancel", "/models", "/lora_presets", "/lora_inspect", "/history",
    "/result", "/attention", "/reproduce", "/export_bundle", "/open_bundle", "/use_model", "/unload_model",
}  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


@pytest.fixture(scope="module")
def client(studio: Studio) -> Client:
    return Client(studio.address, verbose=False)


@pytest.fixture(scope="module")
def photograph_file(photograph: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upload") / "photograph.png"
    photograph.save(file)
    return file


@pytest.fixture(scope="module")
def made(client: Client, photograph_file: Path) -> dict[str, Any]:
    """One edit, with its name in the history."""
    picture, settings, _ = client.predict(handle_file(photograph_file), "make it sepia", 3, api_name="/edit")
    return {"picture": picture, "settings": settings, "name": client.predict(api_name="/history")[0]["name"]}


def same(one: str | Path | Image.Image, other: str | Path | Image.Image) -> bool:
    first, second = (load_image(of) if isinstance(of, str | Path) else of for of in (one, other))
    return first.size == second.size and np.array_equal(np.asarray(first), np.asarray(second))


def test_each_action_has_a_name_and_every_argument_an_explanation(client: Client) -> None:
    described = client.view_api(print_info=False, return_format="dict")
    assert set(described["named_endpoints"]) == ENDPOINTS
    assert described["unnamed_endpoints"] == {}
    edit = described["named_endpoints"]["/edit"]["parameters"]
    assert [of["parameter_name"] for of in edit][:5] == ["picture", "instruction", "seed", "steps", "guidance"]
    assert [of["parameter_name"] for of in edit if not of["parameter_has_default"]] == ["picture", "instruction"]
    assert edit[0]["python_type"]["type"] == "filepath"


def test_a_mask_is_sent_as_a_picture(
    client: Client, editor: Editor, photograph: Image.Image, photograph_file: Path, tmp_path: Path
) -> None:
    mask = Image.new("L", photograph.size)
    mask.paste(255, (100, 80, 300, 200))
    mask.save(tmp_path / "mask.png")
    picture, settings, _ = client.predict(
        handle_file(photograph_file), "make it darker", seed=5, region=handle_file(tmp_path / "mask.png"), feather=4,
        guard="measure", api_name="/edit",
    )  # fmt: skip
    request = EditRequest([photograph], "make it darker", seed=5, region=Region(mask, 4), guard="measure")
    assert same(picture, editor.edit(request).image)
    assert settings["guard"] == "measure"
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(load_image(picture))[outside], np.asarray(photograph)[outside])
    with pytest.raises(Exception, match="marks nothing"):
        Image.new("L", photograph.size).save(tmp_path / "black.png")
        client.predict(
            handle_file(photograph_file), "make it darker", region=handle_file(tmp_path / "black.png"), api_name="/edit"
        )


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"seed": 5, "steps": 2, "guidance": 1.5}, {"seed": 5, "steps": 2, "guidance": 1.5}),
        ({"seed": 5, "size": [200, 150], "literally": True}, {"seed": 5, "size": (200, 150), "literally": True}),
        ({"seed": 5, "strength": 0.5, "neutral": "leave it"}, {"seed": 5, "strength": Strength("leave it", 0.5)}),
        (
            {"seed": 5, "loras": [{"name": "thermal", "weight": 0.7}, {"name": "emboss"}]},
            {"seed": 5, "loras": [LoraWeight("thermal", 0.7), LoraWeight("emboss", 1.0)]},
        ),
    ],
)
def test_an_edit_is_the_editors_own(
    client: Client, editor: Editor, photograph: Image.Image, photograph_file: Path, sent: dict, asked: dict
) -> None:
    picture, settings, warnings = client.predict(
        handle_file(photograph_file), "make it darker", **sent, api_name="/edit"
    )
    expected = editor.edit(EditRequest([photograph], "make it darker", **asked))
    assert same(picture, expected.image)
    assert warnings == [*expected.warnings, *expected.notes]
    assert settings == json.loads(json.dumps(expected.settings))


def test_a_region_alone_is_edited(
    client: Client, editor: Editor, photograph: Image.Image, photograph_file: Path, tmp_path: Path
) -> None:
    mask = Image.new("L", photograph.size)
    mask.paste(255, (100, 50, 300, 200))
    mask.save(tmp_path / "mask.png")
    picture, _, _ = client.predict(
        handle_file(photograph_file), "make it darker", 5, region=handle_file(tmp_path / "mask.png"), feather=4,
        guard="measure", api_name="/edit",
    )  # fmt: skip
    asked = EditRequest([photograph], "make it darker", seed=5, region=Region(mask, 4), guard="measure")
    assert same(picture, editor.edit(asked).image)
    assert np.array_equal(np.asarray(load_image(picture))[:50], np.asarray(photograph)[:50])


def test_a_lora_file_of_ones_own(
    client: Client, editor: Editor, photograph: Image.Image, photograph_file: Path
) -> None:
    file = Presets([PRESETS_FOLDER]).find("cyanotype").file
    picture, settings, _ = client.predict(
        handle_file(photograph_file), "cyanotype", 5, api_name="/edit",
        loras=[{"file": handle_file(file), "weight": 0.5}],
    )  # fmt: skip
    assert same(
        picture, editor.edit(EditRequest([photograph], "cyanotype", seed=5, loras=[LoraWeight(file, 0.5)])).image
    )
    assert (settings["loras"][0]["file"], settings["loras"][0]["weight"]) == (file.name, 0.5)


def test_a_strip_of_strengths(client: Client, photograph_file: Path) -> None:
    sheet, names, told = client.predict(
        handle_file(photograph_file), "make the dog red", [0, 1.25], "keep it", 4, api_name="/strength_strip"
    )
    assert any("left alone: no dog was found" in sentence for sentence in told)
    settings = [client.predict(name, api_name="/result")[2] for name in names]
    assert [of["strength"]["value"] for of in settings] == [0, 1.25]
    assert {of["seed"] for of in settings} == {4}
    assert load_image(sheet).width > 2 * 512


def test_the_history_lists_finds_and_gives_back(client: Client, made: dict[str, Any], photograph: Image.Image) -> None:
    (found,) = client.predict("SEPIA", api_name="/history")
    assert (found["name"], found["seed"], found["recorded"]) == (made["name"], 3, True)
    assert client.predict("nothing of the kind", api_name="/history") == []
    result, source, settings = client.predict(made["name"], api_name="/result")
    assert same(result, made["picture"])
    assert same(source, photograph)
    assert settings == made["settings"]


def test_a_words_attention_is_drawn(
    studio: Studio, client: Client, made: dict[str, Any], photograph: Image.Image, tmp_path: Path
) -> None:
    drawn = client.predict(made["name"], "sepia", api_name="/attention")
    maps = AttentionMaps.load(studio.outputs / f"{made['name']}.maps.npz")
    pictures = {"target": load_image(made["picture"]), "reference:0": photograph}
    draw_word(maps, "sepia", tmp_path / "expected.png", pictures=pictures)
    assert same(drawn, tmp_path / "expected.png")
    with pytest.raises(Exception, match="'cat'"):
        client.predict(made["name"], "cat", api_name="/attention")


def test_a_result_is_made_again(client: Client, made: dict[str, Any]) -> None:
    again, told = client.predict(made["name"], api_name="/reproduce")
    assert same(again, made["picture"])
    assert "same picture" in told
    with pytest.raises(Exception, match="no result of that name"):
        client.predict("../../etc/passwd", api_name="/reproduce")


def test_a_bundle_goes_out_and_comes_in(client: Client, made: dict[str, Any], tmp_path: Path) -> None:
    bundle = client.predict(made["name"], api_name="/export_bundle")
    name, warnings = client.predict(handle_file(bundle), api_name="/open_bundle")
    assert name != made["name"] and warnings == []
    result, _, settings = client.predict(name, api_name="/result")
    assert same(result, made["picture"]) and settings == made["settings"]
    (tmp_path / "no.zip").write_bytes(b"PK no more")
    with pytest.raises(Exception, match="not a bundle") as raised:
        client.predict(handle_file(tmp_path / "no.zip"), api_name="/open_bundle")
    assert str(tmp_path) not in str(raised.value) and "/gradio/" not in str(raised.value)
    with pytest.raises(Exception, match="not uploaded"):
        client.predict({"path": "/etc/passwd"}, api_name="/open_bundle")


def test_the_model_is_exchanged(tmp_path: Path, tiny_editor_folder: Path) -> None:
    with running_studio(tmp_path / "outputs") as studio:
        client = Client(studio.address, verbose=False)
        with pytest.raises(Exception, match="licence of flux-kontext is"):
            client.predict("flux-kontext", api_name="/use_model")
        with pytest.raises(Exception, match="Memory is 'much'"):
            client.predict("mini", "much", api_name="/use_model")
        with pytest.raises(Exception, match=r"'nope' is neither a model of the catalog \(mini, "):
            client.predict("nope", api_name="/use_model")
        assert client.predict(api_name="/status")["model_error"] == ""
        client.predict("none/such", consent=True, api_name="/use_model")
        told = wait_for(client, lambda told: told["model_error"] and told["loaded"])
        assert "none/such" in told["model_error"] and told["model"] == "mini"
        assert "on its way" in client.predict(str(tiny_editor_folder), api_name="/use_model")
        wait_for(client, lambda told: told["model"] == str(tiny_editor_folder) and told["loaded"])
        client.predict(api_name="/unload_model")
        wait_for(client, lambda told: not told["loaded"])


def wait_for(client: Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while not condition(told := client.predict(api_name="/status")):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def test_models_and_loras_are_listed(client: Client) -> None:
    models = client.predict(api_name="/models")
    assert [of["name"] for of in models] == list(CATALOG)
    assert [of["name"] for of in models if of["in_use"]] == ["mini"]
    presets = {of["name"]: of for of in client.predict(api_name="/lora_presets")}
    assert set(presets) == {preset.name for preset in Presets([PRESETS_FOLDER]).all}
    assert presets["thermal"]["suits"]


def test_a_lora_is_inspected(client: Client, editor: Editor, photograph_file: Path) -> None:
    expected = editor.inspect_lora("thermal").as_json()
    assert client.predict("thermal", api_name="/lora_inspect") == expected
    file = Presets([PRESETS_FOLDER]).find("thermal").file
    assert client.predict("", handle_file(file), api_name="/lora_inspect") == expected
    with pytest.raises(Exception, match=r"no \.safetensors file"):
        client.predict("", handle_file(photograph_file), api_name="/lora_inspect")


def test_what_runs_is_told_and_cancelled(client: Client, made: dict[str, Any], photograph_file: Path) -> None:
    edit = client.submit(handle_file(photograph_file), "make the balloon green", 5, 100, 5.0, api_name="/edit")
    while (now := client.predict(api_name="/status"))["instruction"] != "make the balloon green":
        assert not edit.done()
    assert now["loaded"]
    client.predict(now["job"], api_name="/cancel")
    with pytest.raises(Exception, match="cancelled"):
        edit.result()
    assert client.predict(api_name="/status")["state"] == "cancelled"
    with pytest.raises(Exception, match="no edit of that id"):
        client.predict("nonesuch", api_name="/cancel")
