"""Presets: what a YAML may say, what a folder holds, and how a name becomes a file; offline, against real caches."""

import hashlib
import http.server
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub.errors import EntryNotFoundError
from safetensors.numpy import save_file

from mmdit.lora.architectures import KNOWN, guess_family, linear_shapes
from mmdit.lora.inspect import LoraError, inspect, read_header
from mmdit.lora.preset_schema import FIELDS, HUB, SOURCE, WEIGHTS, HubFile, Preset, read_preset
from mmdit.lora.presets import PRESETS_FOLDER, PresetError, Presets
from mmdit.lora.stack import MAX_WEIGHT, MIN_WEIGHT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EXPRESSIONS = "angry confused contempt confident disgust fear happy sad shy sleepy surprised anxious"
ALONE = """
import json, sys, types
from pathlib import Path
sys.modules["mmdit"] = package = types.ModuleType("mmdit")  # its own __init__ loads the editor
package.__path__ = [sys.argv[1]]
from mmdit.lora.presets import PRESETS_FOLDER, PresetError, Presets
"""
GOOD = "title: Good\nfamily: mini\nsource: {file: good.safetensors}\n"


def write_lora(path: Path, seed: int = 0) -> bytes:
    """A small LoRA with FLUX.1's names; its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    name = "transformer.single_transformer_blocks.0.attn.to_q"
    tensors = {
        f"{name}.lora_A.weight": draw.normal(size=(2, 3072)),
        f"{name}.lora_B.weight": draw.normal(size=(3072, 2)),
    }
    save_file({key: value.astype(np.float32) for key, value in tensors.items()}, path)
    return path.read_bytes()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problem_of(folder: Path, content: str | bytes) -> str:
    """What is wrong with ``bad.yaml``, which must not hide the good preset beside it."""
    write(folder / "good.yaml", GOOD)
    write_lora(folder / "good.safetensors")
    (folder / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    presets = Presets([folder])
    assert [preset.name for preset in presets.all] == ["good"]
    (problem,) = presets.problems
    assert problem.startswith("bad.yaml") and "\n" not in problem and len(problem) < 300
    return problem


def with_field(line: str) -> str:
    """A preset with this line in the place of the field that it sets."""
    name = line.split(":")[0]
    return "".join(kept + "\n" for kept in GOOD.splitlines() if not kept.startswith(f"{name}:")) + line + "\n"


def cached(
    cache: Path, repository: str, files: dict[str, bytes], commit: str = COMMIT, branch: str | None = "main"
) -> Path:
    """A repository as huggingface_hub lays it out in its cache; the folder of the snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for name, data in files.items():
        blob = folder / "blobs" / hashlib.sha256(data).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link = folder / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if branch is not None:
        write(folder / "refs" / branch, commit)
    return folder / "snapshots" / commit


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# ---- what is shipped ----


def test_every_shipped_preset_is_valid_and_says_what_it_needs() -> None:
    presets = Presets([PRESETS_FOLDER])
    assert presets.problems == ()
    described = {path.stem for path in PRESETS_FOLDER.rglob("*.yaml")}
    assert {preset.name for preset in presets.all} == described
    for preset in presets.all:
        assert preset.licence and preset.needs and preset.base and preset.description, preset.name
        assert linear_shapes(preset.family), preset.name
        if preset.hub is not None:
            assert preset.homepage and preset.hub.revision, preset.name
        else:
            assert preset.sha256 and preset.thumbnail and guess_family(read_header(preset.file))[0] == preset.family, (
                preset.name
            )


def test_pixelsmile_offers_its_twelve_expressions() -> None:
    preset = Presets([PRESETS_FOLDER]).find("pixelsmile")
    assert preset is not None
    assert preset.instructions == tuple(f"Edit the person to show a {word} expression" for word in EXPRESSIONS.split())
    assert (preset.alpha, preset.steps, preset.guidance) == (128, 50, 1)
    assert preset.weight_range[0] == 0 and preset.base == "Qwen/Qwen-Image-Edit-2511"


@pytest.mark.parametrize("model", ["qwen-edit", "qwen-edit-2509", "qwen-edit-2511"])
@pytest.mark.parametrize("steps", [4, 8])
def test_lightning_presets_recommend_the_steps_in_their_name(model: str, steps: int) -> None:
    preset = Presets([PRESETS_FOLDER]).find(f"{model}-lightning-{steps}")
    assert preset is not None and preset.hub is not None
    assert (preset.steps, preset.guidance, preset.shift) == (steps, 1, 3)
    assert f"{steps}steps" in preset.hub.file and preset.sha256


def test_the_readme_names_every_field_and_its_examples_are_right(tmp_path: Path) -> None:
    readme = (PRESETS_FOLDER / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([\w.]+)` \|", readme, re.MULTILINE))
    assert rows == set(FIELDS) | {f"source.{name}" for name in SOURCE}
    assert all(f"`{name}`" in readme for name in (*HUB, *KNOWN))
    full, hub = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    preset = read_preset(write(tmp_path / "full.yaml", full), "full.yaml")
    assert set(yaml.safe_load(full)) == set(FIELDS)
    assert preset.file == tmp_path / "pencil-sketch.safetensors" and preset.steps == 4
    assert read_preset(write(tmp_path / "hub.yaml", hub), "hub.yaml").hub == HubFile(
        "owner/name", "folder/file.safetensors"
    )


def test_weights_reach_as_far_as_the_stack_takes_them() -> None:
    assert WEIGHTS == (MIN_WEIGHT, MAX_WEIGHT)


def test_reading_presets_needs_no_torch() -> None:
    code = """
assert Presets([PRESETS_FOLDER]).all
print(sorted({"torch", "diffusers", "transformers", "huggingface_hub"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", ALONE + code, str(PRESETS_FOLDER.parent / "mmdit")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ---- a YAML ----


def test_every_field_arrives(tmp_path: Path) -> None:
    text = f"""
title: Bleistift ✏️
description: >-
  Two lines
  become one.
family: sd3.5-large
base: some/model
source: {{hub: {{repository: a-b/c.d_e, file: in/look.safetensors, revision: {COMMIT}}}}}
sha256: {"ab" * 32}
alpha: 2.5
weight: -0.5
weight_range: [-2, 2]
instructions: [one, "two: three"]
trigger: no
steps: 30
guidance: 3.5
shift: 1.15
licence: 2020-01-01
homepage: https://example.org/a?b=c#d
thumbnail: pictures/look.WEBP
needs: 0x10
"""
    expected = Preset(
        name="look", title="Bleistift ✏️", description="Two lines become one.", family="sd3.5-large", base="some/model",
        hub=HubFile("a-b/c.d_e", "in/look.safetensors", COMMIT), sha256="ab" * 32, alpha=2.5, weight=-0.5,
        weight_range=(-2.0, 2.0), instructions=("one", "two: three"), trigger="no", steps=30, guidance=3.5, shift=1.15,
        licence="2020-01-01", homepage="https://example.org/a?b=c#d", thumbnail=tmp_path / "pictures/look.WEBP",
        needs="0x10",
    )  # fmt: skip
    assert read_preset(write(tmp_path / "look.yaml", text), "look.yaml") == expected


def test_what_is_left_out_or_empty_has_a_default(tmp_path: Path) -> None:
    preset = read_preset(write(tmp_path / "good.yaml", GOOD + "sha256:\ntrigger: ''\nsteps: ~\n"), "good.yaml")
    assert preset == Preset("good", "Good", "mini", file=tmp_path / "good.safetensors")
    assert (preset.weight, preset.weight_range, preset.instructions) == (1.0, (0.0, 1.5), ())


@pytest.mark.parametrize(("weight", "ends"), [(-1.5, (-1.5, 1.5)), (1.9, (0.0, 1.9)), (0.3, (0.0, 1.5))])
def test_a_weight_alone_widens_the_usual_range(tmp_path: Path, weight: float, ends: tuple[float, float]) -> None:
    assert read_preset(write(tmp_path / "a.yaml", GOOD + f"weight: {weight}"), "a.yaml").weight_range == ends


BAD_FIELDS = [
    ("title: [a, b]", "characters"), (f"title: {'x' * 101}", "100"), ('title: "a\\0b"', "printable"),
    ('title: "\\ud800"', "printable"), ("title:", "missing"),
    ("family: Flux One", "architecture"), ("family: 1/2", "architecture"), ("family: -x", "architecture"),
    ("weight: .nan", "-2 to 2"), ("weight: nan", "-2 to 2"), ("weight: -inf", "-2 to 2"), ("weight: 2.01", "-2 to 2"),
    ("weight: strong", "-2 to 2"), ("weight: [1]", "-2 to 2"), ("weight: 1e999", "-2 to 2"),
    ("weight_range: [0, 3]", "-2 to 2"), ("weight_range: [1, 0]", "lower"), ("weight_range: [1, 1]", "lower"),
    ("weight_range: 1", "list of 2"), ("weight_range: [0, .nan]", "-2 to 2"), ("weight_range: [0.1, 0.2]", "outside"),
    ("alpha: 0", "0.001"), ("alpha: -4", "0.001"), ("alpha: inf", "0.001"), ("alpha: {a: 1}", "0.001"),
    ("steps: 2.5", "whole"), ("steps: 0", "1 to 100"), ("steps: 101", "1 to 100"), (f"steps: {'9' * 5000}", "1 to 100"),
    ("guidance: -1", "0 to 20"), ("guidance: nan", "0 to 20"), ("shift: 0", "0.1"),
    ("instructions: one", "list"), ("instructions: []", "list"), ("instructions: [[a]]", "characters"),
    ("instructions: ['']", "characters"),
    ("sha256: abc", "64"), (f"sha256: {'G' * 64}", "64"), (f"sha256: {'a' * 65}", "64"),
    ("homepage: http://example.org", "https://"), ("homepage: javascript:alert(1)", "https://"),
    ("homepage: 'https://a\"onload=x'", "https://"),
    ("thumbnail: look.svg", ".png"), ("thumbnail: ../look.png", "'..'"), ("thumbnail: /look.png", "relative"),
    ("source: good.safetensors", "file"), ("source: {}", "file or hub"), ("source: {file: ''}", "file or hub"),
    ("source: {file: a.ckpt}", ".safetensors"), ("source: {file: a.safetensors.pt}", ".safetensors"),
    ("source: {file: ../good.safetensors}", "'..'"), ("source: {file: a/../../good.safetensors}", "'..'"),
    ("source: {file: /etc/x.safetensors}", "relative"), ("source: {file: 'C:\\x.safetensors'}", "relative"),
    ("source: {file: '..\\x.safetensors'}", "relative"), ("source: {file: [a]}", "relative"),
    (f"source: {{file: {'x' * 300}.safetensors}}", "relative"),
    ("source: {file: good.safetensors, hub: {repository: a/b, file: c.safetensors}}", "either file or hub"),
    ("source: {hub: {repository: a/b}}", "source.hub.file is missing"), ("source: {hub: a/b}", "repository"),
    ("source: {hub: {repository: a, file: c.safetensors}}", "owner/name"),
    ("source: {hub: {repository: a/../b, file: c.safetensors}}", "owner/name"),
    ("source: {hub: {repository: a/b, file: ../c.safetensors}}", "'..'"),
    ("source: {hub: {repository: a/b, file: c.bin}}", ".safetensors"),
    ("source: {hub: {repository: a/b, file: c.safetensors, revision: ../x}}", "commit"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "remedy"), BAD_FIELDS, ids=[line[:40] for line, _ in BAD_FIELDS])
def test_a_wrong_value_is_named_with_its_field_and_a_remedy(tmp_path: Path, line: str, remedy: str) -> None:
    problem = problem_of(tmp_path, with_field(line))
    assert line.split(":")[0] in problem and remedy in problem


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("license: MIT", "licence"), ("wieght: 1", "weight"), ("weight range: [0, 1]", "weight_range"),
        ("homepge: x", "homepage"), ("instruction: [a]", "instructions"), ("source: {fille: a}", "source.file"),
        ("source: {hub: {repository: a/b, file: c.safetensors, revison: x}}", "source.hub.revision"),
        ("<<: {weight: 1}", "."), ("null: 1", "."), ('"\\e[31m": 1', "."), (f"{'k' * 100}: 1", "."),
    ],
)  # fmt: skip
def test_an_unknown_field_is_refused_with_the_nearest_known_one(tmp_path: Path, line: str, nearest: str) -> None:
    problem = problem_of(tmp_path, with_field(line) if line.startswith("source") else GOOD + line)
    assert re.search(rf"did you mean ({nearest})", problem) and problem.isprintable()


def laughs() -> str:
    lines = ["a: &a0 [ha, ha]"] + [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return "\n".join(lines)


HOSTILE = [
    ("a: !!python/object/apply:os.system ['touch executed']", "tags"),
    ("!!python/object/apply:os.system ['touch executed']", "tags"),
    ("!!python/object/new:os.system ['touch executed']", "tags"),
    ("title: !!python/name:os.system", "tags"), ("title: !!str Good", "tags"), ("title: !own Good", "tags"),
    ("title: ! Good", "tags"), ("%TAG ! tag:yaml.org,2002:python/\n---\ntitle: !name:os.system x", "tags"),
    ("title: !!binary aGVsbG8=", "tags"), ("!!set {a, b}", "tags"),
    (laughs(), "anchors"), ("a: &a [*a]", "anchors"), ("title: &x Good", "anchors"), ("title: *x", "anchors"),
    ("title: one\ntitle: two", "twice"), ("source: {file: a.safetensors, file: b.safetensors}", "twice"),
    ("? [a, b]\n: c", "not text"), ("[" * 60000, "deep"), ("a: " * 20000, "not allowed"), ("- a\n" * 9, "title:"),
    ("just words", "title:"), ("", "title:"), ("# nothing", "title:"), ("42", "title:"),
    ("--- {}\n--- {}", "single document"),
    ("title: 'open", "line"), ("\ttitle: Tab", "line"), ('title: "\\U0011FFFF"', "not allow"),
    ("x" * 70000, "64 kB"), (GOOD + "#" * 65536, "64 kB"),
    (bytes(range(256)), "UTF-8"),
    (b"\x80\x04\x95\x1a\x00cposix\nsystem", "UTF-8"), (b"PK\x03\x04\x00\x00", "not allow"),
    (GOOD.encode("utf-16"), "UTF-8"), (b"title: a\x00b", "not allow"), (b"title: \xed\xa0\x80", "UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_yaml_is_refused_and_runs_nothing(
    tmp_path: Path, content: str | bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = problem_of(tmp_path / "presets", content)
    assert reason in problem
    assert tree(tmp_path) == {"presets", *(f"presets/{name}" for name in ("bad.yaml", "good.yaml", "good.safetensors"))}


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_preset(tmp_path / "good.yaml", "good.yaml").title == "Good"


def test_damaged_yamls_end_in_presets_or_preset_errors(tmp_path: Path) -> None:
    draw = random.Random(0)
    whole = (PRESETS_FOLDER / "pixelsmile.yaml").read_bytes()
    outcomes = []
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 9)] = draw.randbytes(draw.randint(0, 3)) + draw.choice(
                [
                    b"",
                    b"&a",
                    b"*a",
                    b"!!x ",
                    b"{",
                    b"[",
                    b": ",
                    b"\n",
                    b'"',
                    b"\\",
                    b"%",
                    b"- ",
                    b"? ",
                    b"<<: ",
                    b".nan",
                ]
            )
        (tmp_path / "look.yaml").write_bytes(data)
        try:
            outcomes.append(isinstance(read_preset(tmp_path / "look.yaml", "look.yaml"), Preset))
        except PresetError as error:
            assert "\n" not in str(error)
            outcomes.append(False)
    assert set(outcomes) == {True, False}


# ---- folders ----


def test_folders_are_searched_one_level_down(tmp_path: Path) -> None:
    write(tmp_path / "a/one.yaml", GOOD.replace("good.", "weights/one."))
    write_lora(tmp_path / "a/weights/one.safetensors")
    write(tmp_path / "a/mine/two.yml", GOOD.replace("good.", "two."))
    write_lora(tmp_path / "a/mine/two.safetensors")
    write_lora(tmp_path / "a/mine/deep/three.safetensors")
    write_lora(tmp_path / "b/My-fine_look v1.2.SAFETENSORS")
    write_lora(tmp_path / "b/.hidden.safetensors")
    write(tmp_path / "b/README.md", "title: no preset")
    presets = Presets([tmp_path / "a", tmp_path / "b", tmp_path / "not there"])
    assert [preset.name for preset in presets.all] == ["one", "two", "My-fine_look v1.2"]
    assert presets.problems == ()
    bare = presets.find("My-fine_look v1.2")
    assert bare == Preset(bare.name, "My fine look v1.2", "flux", file=tmp_path / "b/My-fine_look v1.2.SAFETENSORS")
    assert bare.family == guess_family(read_header(bare.file))[0]
    assert presets.find("three") is None and presets.find("") is None


def test_weights_of_a_broken_yaml_do_not_become_a_preset_without_it(tmp_path: Path) -> None:
    write_lora(tmp_path / "look.safetensors")
    write(tmp_path / "look.yaml", "title: Look\nalpha: lots\n")
    presets = Presets([tmp_path])
    assert presets.all == () and len(presets.problems) == 1


@pytest.mark.parametrize("data", [b"", b"not a LoRA", b"\xff" * 100, b"\x80\x04}q\x00.", (2**40).to_bytes(8, "little")])
def test_a_file_that_is_no_safetensors_is_a_problem(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "look.safetensors").write_bytes(data)
    write_lora(tmp_path / "sound.safetensors")
    presets = Presets([tmp_path])
    assert [preset.name for preset in presets.all] == ["sound"]
    (problem,) = presets.problems
    assert problem.startswith("look.safetensors ") and str(tmp_path) not in problem and "\n" not in problem


def test_the_first_of_two_presets_of_one_name_counts(tmp_path: Path) -> None:
    for folder, title in (("a", "First"), ("b", "Second")):
        write(tmp_path / folder / "look.yaml", GOOD.replace("Good", title).replace("good.", "look."))
        write_lora(tmp_path / folder / "look.safetensors")
    presets = Presets([tmp_path / "a", tmp_path / "b", tmp_path / "a"])
    assert [preset.title for preset in presets.all] == ["First"]
    assert len(presets.problems) == 1 and "'look'" in presets.problems[0] and "rename" in presets.problems[0]


def test_a_named_file_has_to_be_there_and_to_stay_in_the_folder(tmp_path: Path) -> None:
    write_lora(tmp_path / "elsewhere/secret.safetensors")
    write_lora(tmp_path / "presets/real.safetensors")
    for name in ("missing", "leaving", "staying"):
        write(tmp_path / f"presets/{name}.yaml", GOOD.replace("good.", f"{name}-weights."))
    (tmp_path / "presets/leaving-weights.safetensors").symlink_to(tmp_path / "elsewhere/secret.safetensors")
    (tmp_path / "presets/staying-weights.safetensors").symlink_to("real.safetensors")
    (tmp_path / "presets/bare.safetensors").symlink_to("../elsewhere/secret.safetensors")
    write(tmp_path / "presets/faceless.yaml", GOOD.replace("good.", "real.") + "thumbnail: face.png\n")
    presets = Presets([tmp_path / "presets"])
    assert [preset.name for preset in presets.all] == ["staying"]
    reasons = sorted((text.split(":")[0], text.split("; ")[0].split()[-2:]) for text in presets.problems)
    assert reasons == [
        ("bare.safetensors", ["leads", "elsewhere"]), ("faceless.yaml", ["not", "there"]),
        ("leaving.yaml", ["leads", "elsewhere"]), ("missing.yaml", ["not", "there"]),
    ]  # fmt: skip
    with pytest.raises(PresetError):
        presets.resolve("leaving")


def test_changes_on_disk_are_seen(tmp_path: Path) -> None:
    presets = Presets([tmp_path / "presets"])
    assert presets.all == ()
    look = write(tmp_path / "presets/good.yaml", GOOD)
    assert len(presets.problems) == 1
    write_lora(tmp_path / "presets/good.safetensors")
    assert [preset.title for preset in presets.all] == ["Good"] and presets.problems == ()
    write(look, GOOD.replace("Good", "Better"))
    assert [preset.title for preset in presets.all] == ["Better"]
    write(look, "title: [")
    assert presets.all == () and len(presets.problems) == 1
    look.unlink()
    assert [preset.title for preset in presets.all] == ["good"] and presets.problems == ()


def test_a_file_in_the_place_of_a_folder_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path / "presets", "no folder")
    presets = Presets([tmp_path / "presets"])
    assert presets.all == () and len(presets.problems) == 1 and "folder" in presets.problems[0]


@pytest.mark.parametrize("name", ["a:b", " a", "x" * 101, "a\nb", "a\udcff", "\x1b[31m"])
def test_a_file_name_that_makes_no_preset_name_is_a_problem(tmp_path: Path, name: str) -> None:
    write_lora(tmp_path / f"{name}.safetensors")
    presets = Presets([tmp_path])
    assert presets.all == () and len(presets.problems) == 1
    assert "rename" in presets.problems[0] and presets.problems[0].isprintable()


# ---- names to files ----


@pytest.fixture
def shelf(tmp_path: Path) -> Presets:
    """Presets ``film`` and ``sketch`` with local files, ``remote`` on the hub, nothing downloaded."""
    for name in ("film", "sketch"):
        data = write_lora(tmp_path / f"presets/{name}.safetensors", seed=len(name))
        sha256 = hashlib.sha256(data).hexdigest()
        write(tmp_path / f"presets/{name}.yaml", GOOD.replace("good.", f"{name}.") + f"alpha: 8\nsha256: {sha256}\n")
    source = "source: {hub: {repository: owner/looks, file: in/look.safetensors}}"
    write(tmp_path / "presets/remote.yaml", with_field(source))
    return Presets([tmp_path / "presets"], hub_cache=tmp_path / "cache")


def test_a_name_gives_its_file_and_preset(shelf: Presets, tmp_path: Path) -> None:
    path, preset = shelf.resolve("film")
    assert path == tmp_path / "presets/film.safetensors" and preset == shelf.find("film") and preset.alpha == 8


def test_a_path_gives_that_file(shelf: Presets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own/look.safetensors"
    write_lora(own)
    assert shelf.resolve(own) == (own, None)
    monkeypatch.chdir(tmp_path / "presets")
    assert shelf.resolve("../own/look.safetensors") == (Path("../own/look.safetensors"), None)
    monkeypatch.chdir(tmp_path)
    assert shelf.resolve("own/look.safetensors")[0].samefile(own)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "names no LoRA"), ("  ", "names no LoRA"), ("x" * 10_000, "names no LoRA"), ("a\0b", "names no LoRA"),
        ("a\ud800", "names no LoRA"), ("../x", "there is no LoRA"), ("a/../../b", "there is no LoRA"),
        ("..", "there is no LoRA"),
        ("/", "there is no LoRA"), ("~", "there is no LoRA"), ("/etc/passwd", "not a .safetensors"),
        ("/etc/nothing", "there is no LoRA"), ("../x.safetensors", "there is no file"),
        ("/x.safetensors", "there is no file"),
        (f"/{'x' * 400}.safetensors", "there is no file"), ("looks/x.safetensors", "there is no file"),
        ("owner/looks:", "file"), ("owner/looks:../x.safetensors", "'..'"), ("owner/looks:/x.safetensors", "relative"),
        ("owner/looks:x.ckpt", ".safetensors"), ("owner/looks:a\nb.safetensors", "relative"),
        ("C:\\x.safetensors", "there is no file"), ("https://example.org/x.safetensors", "there is no file"),
        ("file:///etc/passwd", "there is no LoRA"), ("a/b/c", "there is no LoRA"), ("a--b/c..d", "owner/name|has no"),
    ],
)  # fmt: skip
def test_a_name_of_nothing_is_refused_and_nothing_is_written(
    shelf: Presets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # what lies beside the checkout is no business of this test
    before = tree(tmp_path)
    with pytest.raises(PresetError, match=reason) as caught:
        shelf.resolve(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert isinstance(caught.value, LoraError)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "close"), [("flim", "film"), ("Sketch", "sketch"), ("film:0.8", "film"), ("remot", "remote")]
)
def test_a_misspelt_name_brings_the_nearest_presets(shelf: Presets, name: str, close: str) -> None:
    with pytest.raises(PresetError, match=rf"did you mean .*'{close}'"):
        shelf.resolve(name)


def test_a_file_that_is_not_the_presets_own_is_refused_until_it_is(shelf: Presets, tmp_path: Path) -> None:
    file = tmp_path / "presets/film.safetensors"
    right = file.read_bytes()
    assert shelf.resolve("film")[0] == file
    wrong = write_lora(file, seed=9)
    expected, found = (hashlib.sha256(data).hexdigest() for data in (right, wrong))
    with pytest.raises(PresetError, match=rf"{found}.*{expected}"):
        shelf.resolve("film")
    file.write_bytes(right)
    assert shelf.resolve("film")[0] == file


def test_a_hub_preset_is_taken_from_the_cache(shelf: Presets, tmp_path: Path) -> None:
    data = write_lora(tmp_path / "look.safetensors")
    snapshot = cached(tmp_path / "cache", "owner/looks", {"in/look.safetensors": data})
    before = tree(tmp_path)
    path, preset = shelf.resolve("remote")
    assert path == snapshot / "in/look.safetensors" and path.read_bytes() == data
    assert preset.hub == HubFile("owner/looks", "in/look.safetensors", "main")
    assert tree(tmp_path) == before


def test_a_pinned_commit_is_taken_not_the_branch(tmp_path: Path) -> None:
    older, newer = (write_lora(tmp_path / "look.safetensors", seed) for seed in (1, 2))
    cached(tmp_path / "cache", "owner/looks", {"look.safetensors": older}, commit=COMMIT, branch=None)
    cached(tmp_path / "cache", "owner/looks", {"look.safetensors": newer}, commit=COMMIT[::-1])
    source = f"source: {{hub: {{repository: owner/looks, file: look.safetensors, revision: {COMMIT}}}}}"
    write(tmp_path / "presets/look.yaml", with_field(source) + f"sha256: {hashlib.sha256(older).hexdigest()}")
    write(tmp_path / "presets/wrong.yaml", with_field(source) + f"sha256: {hashlib.sha256(newer).hexdigest()}")
    presets = Presets([tmp_path / "presets"], hub_cache=tmp_path / "cache")
    assert presets.resolve("look")[0].read_bytes() == older
    assert presets.resolve("owner/looks:look.safetensors")[0].read_bytes() == newer
    with pytest.raises(PresetError, match=hashlib.sha256(older).hexdigest()):
        presets.resolve("wrong")


def test_a_hub_id_needs_one_file_or_names_it(shelf: Presets, tmp_path: Path) -> None:
    cache, data = tmp_path / "cache", write_lora(tmp_path / "look.safetensors")
    only = cached(cache, "owner/one", {"look.safetensors": data, "README.md": b"", "in/other.safetensors": data})
    assert shelf.resolve("owner/one") == (only / "look.safetensors", None)
    assert shelf.resolve("owner/one:in/other.safetensors") == (only / "in/other.safetensors", None)
    cached(cache, "owner/two", {"a.safetensors": data, "b.safetensors": data})
    with pytest.raises(PresetError, match=r"owner/two:a\.safetensors, owner/two:b\.safetensors"):
        shelf.resolve("owner/two")
    cached(cache, "owner/none", {"weights.bin": data})
    with pytest.raises(PresetError, match=r"no \.safetensors file"):
        shelf.resolve("owner/none")


@pytest.mark.parametrize("name", ["remote", "owner/looks", "owner/looks:look.safetensors"])
def test_without_hub_and_cache_the_error_says_what_to_do(shelf: Presets, tmp_path: Path, name: str) -> None:
    before = tree(tmp_path)
    with pytest.raises(PresetError, match=r"can't be reached; .*https://huggingface\.co/owner/looks"):
        shelf.resolve(name)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("folder", ["", "in/"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["downloaded", "kept"])
@pytest.mark.parametrize("configured", [True, False])
def test_pefts_weights_come_with_their_configuration(
    shelf: Presets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_kept: bool, configured: bool
) -> None:
    files = {f"{folder}adapter_model.safetensors": write_lora(tmp_path / "look.safetensors")}
    published = files | {f"{folder}adapter_config.json": b'{"r": 2, "lora_alpha": 4}'} if configured else files
    asked = []

    def download(repository: str, file: str, revision: str, cache_dir: Path) -> str:
        asked.append((file, revision))
        if file not in published:
            raise EntryNotFoundError("404")
        return str(cached(cache_dir, repository, {file: published[file]}) / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    if is_kept:
        cached(tmp_path / "cache", "owner/looks", files)
    path, _ = shelf.resolve(f"owner/looks:{folder}adapter_model.safetensors")
    weights, config = (f"{folder}adapter_model.safetensors", "main"), (f"{folder}adapter_config.json", COMMIT)
    assert asked == ([config] if is_kept else [weights, config])
    assert inspect(path, linear_shapes("flux"), "flux").scales == ((2.0,) if configured else (1.0,))
    if configured:
        assert shelf.resolve(f"owner/looks:{folder}adapter_model.safetensors") == (path, None)
        assert len(asked) == (1 if is_kept else 2)  # what is kept is not asked for again


def test_pefts_weights_are_not_used_while_their_configuration_is_out_of_reach(shelf: Presets, tmp_path: Path) -> None:
    cached(tmp_path / "cache", "owner/looks", {"adapter_model.safetensors": write_lora(tmp_path / "look.safetensors")})
    with pytest.raises(PresetError, match=r"adapter_config\.json of owner/looks .* can't be reached"):
        shelf.resolve("owner/looks")


# ---- a hub that answers ----


REFUSALS = {
    "gated": (403, "GatedRepo"), "absent": (401, "RepoNotFound"), "unversioned": (404, "RevisionNotFound"),
    "empty": (404, "EntryNotFound"),
}  # fmt: skip


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub on this machine: one open repository, and others that refuse as the real one does."""

    data = b""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        status, code = next((kind for name, kind in REFUSALS.items() if f"/{name}/" in self.path), (200, ""))
        listing = json.dumps([{"type": "file", "path": "look.safetensors", "size": len(self.data), "oid": "0" * 40}])
        body = b"" if status != 200 else listing.encode() if "/tree/" in self.path else self.data
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json" if "/tree/" in self.path else "application/octet-stream")
        self.send_header("ETag", f'"{hashlib.sha256(self.data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Its address."""
    Hub.data = write_lora(tmp_path / "published.safetensors", seed=3)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


RESOLVE = """
presets = Presets([Path(sys.argv[2])], hub_cache=Path(sys.argv[3]))
answers = []
for name in sys.argv[4:]:
    try:
        answers.append(str(presets.resolve(name)[0]))
    except PresetError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def test_downloads_and_refusals_of_a_hub(hub: str, tmp_path: Path) -> None:
    for name, digest in (("right", hashlib.sha256(Hub.data).hexdigest()), ("wrong", "0" * 64)):
        source = "source: {hub: {repository: open/looks, file: look.safetensors}}"
        write(tmp_path / f"presets/{name}.yaml", with_field(source) + f"sha256: {digest}\n")
    refused = [f"{name}/looks:look.safetensors" for name in REFUSALS]
    names = ["right", "wrong", "open/looks", *refused, "absent/looks"]
    environment = os.environ | {
        "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    places = [PRESETS_FOLDER.parent / "mmdit", tmp_path / "presets", tmp_path / "cache"]
    command = [sys.executable, "-c", ALONE + RESOLVE, *map(str, places), *names]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    right, wrong, only, gated, absent, unversioned, empty, unlisted = json.loads(ended.stdout)
    assert Path(right).read_bytes() == Hub.data and Path(right).is_relative_to(tmp_path / "cache")
    assert only == right
    assert "0" * 64 in wrong and hashlib.sha256(Hub.data).hexdigest() in wrong
    assert "accept" in gated and "https://huggingface.co/gated/looks" in gated and "hf auth login" in gated
    assert "no absent/looks" in absent and "no absent/looks" in unlisted
    assert "no revision main" in unversioned
    assert "no file look.safetensors" in empty
    assert {path.split("/")[0] for path in tree(tmp_path)} <= {"presets", "cache", "home", "published.safetensors"}
