"""Folders of pairs, and the numbers of looks, against straight-line computations on a tiny editor."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmdit.families.mini import MiniEditor
from mmdit.lora.pairs import read_pairs
from mmdit.model import checkpoint
from mmdit.model.transformer import WORKING_SIZES
from mmdit.training import evaluate_looks, pairs
from mmdit.training.looks import LOOKS
from mmdit.training.scenes import SIZE_SHARES, Scenes

COUNT = 20


def pixels(file: Path) -> torch.Tensor:
    """(1, 3, height, width) in [0, 1]."""
    return torch.from_numpy(np.asarray(Image.open(file), dtype=np.float32) / 255).permute(2, 0, 1)[None]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def command(data: Path, out: Path, *more: str) -> int:
    return pairs.main(["--data", str(data), "--out", str(out), "--look", "thermal", "--count", str(COUNT), *more])


@pytest.fixture(scope="module")
def folder(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "thermal"
    assert command(data_folder, out) == 0
    return out


def test_a_folder_holds_pictures_their_look_and_the_words(folder: Path) -> None:
    expected = {f"{index:04}{end}" for index in range(COUNT) for end in (".source.png", ".target.png", ".txt")}
    assert {file.name for file in folder.iterdir()} == expected
    for index in range(COUNT):
        source, target = (pixels(folder / f"{index:04}.{role}.png") for role in ("source", "target"))
        assert tuple(source.shape[-2:]) in WORKING_SIZES
        assert (target - LOOKS["thermal"](source)).abs().max() <= 0.5 / 255 + 1e-6
        lines = (folder / f"{index:04}.txt").read_text(encoding="utf-8").splitlines()
        assert tuple(lines) == LOOKS["thermal"].instructions


def test_the_lora_trainer_reads_it(folder: Path) -> None:
    found = read_pairs(folder)
    assert [pair.name for pair in found] == [f"{index:04}" for index in range(COUNT)]
    assert all(pair.instructions == LOOKS["thermal"].instructions for pair in found)


def test_sources_are_the_scenes_that_nothing_is_done_to(folder: Path, data_folder: Path) -> None:
    scenes = Scenes(data_folder, "train", seed=0)
    expected = [
        source for number in range(3) for source in scenes.batch(number, 8, kinds=["nonsense"] * 8).source
    ][:COUNT]  # fmt: skip
    for index, source in enumerate(expected):
        assert (pixels(folder / f"{index:04}.source.png")[0] - (source + 1) / 2).abs().max() <= 0.5 / 255 + 1e-6


def test_working_sizes_come_by_their_shares(data_folder: Path) -> None:
    stream = pairs.sources(data_folder, "train", seed=0, batch=1)
    sizes = [tuple(next(stream).shape[-2:]) for _ in range(200)]
    for size, share in SIZE_SHARES.items():
        assert abs(sizes.count(size) / len(sizes) - share) < 0.1


def test_the_seed_decides(folder: Path, data_folder: Path, tmp_path: Path) -> None:
    assert command(data_folder, tmp_path / "again") == 0
    assert contents(tmp_path / "again") == contents(folder)
    assert command(data_folder, tmp_path / "fewer", "--count", "3") == 0
    assert contents(tmp_path / "fewer").items() <= contents(folder).items()
    for name, changed in (("seed", ("--seed", "1")), ("split", ("--split", "held_out"))):
        assert command(data_folder, tmp_path / name, "--count", "3", *changed) == 0
        assert contents(tmp_path / name) != contents(tmp_path / "fewer")


def test_all_looks_get_a_folder_each(folder: Path, data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "all"
    out.mkdir()
    assert command(data_folder, out, "--look", "all", "--count", "2") == 0
    assert {file.name for file in out.iterdir()} == set(LOOKS)
    assert contents(out / "thermal").items() <= contents(folder).items()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--look", "oil"), "pairs: no look is called 'oil'; choose one of thermal, "),
        (("--count", "0"), "pairs: 0 pairs were asked for; ask for at least one\n"),
    ],
)
def test_a_wrong_wish_costs_one_sentence(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], sentence: str
) -> None:
    assert command(data_folder, tmp_path / "out", *change) == 2
    said = capsys.readouterr().err
    assert said.startswith(sentence) and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_never_written_over(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert command(data_folder, tmp_path) == 2
    said = capsys.readouterr().err
    assert said == f"pairs: {tmp_path} is not an empty folder; give another --out, or empty it first\n"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_without_data_nothing_is_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "mmdit.training.prepare" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---- numbers of trained looks --------------------------------------------------------------------------------------

RANK, ALPHA, PER_LOOK = 3, 6.0, 10
NAMES = ("solarise", "emboss")
"""Looks with a LoRA in these tests."""


def random_lora(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """A LoRA of every Linear of the blocks, peft's names; module → what it adds to the weight."""
    draw = torch.Generator().manual_seed(seed)
    transformer = checkpoint.load(folder).transformer
    return {
        name: (
            torch.randn(RANK, module.in_features, generator=draw) * module.in_features**-0.5,
            torch.randn(module.out_features, RANK, generator=draw) * 0.3,
        )
        for name, module in transformer.named_modules()
        if name.startswith("transformer_blocks.") and isinstance(module, torch.nn.Linear)
    }


@pytest.fixture(scope="module")
def loras(tiny_editor_folder: Path) -> dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    return {name: random_lora(tiny_editor_folder, seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def presets(loras: dict[str, dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets")
    for name, lora in loras.items():
        tensors = {}
        for module, (down, up) in lora.items():
            tensors |= {
                f"transformer.{module}.lora_A.weight": down,
                f"transformer.{module}.lora_B.weight": up,
                f"transformer.{module}.alpha": torch.tensor(ALPHA),
            }
        save_file(tensors, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def results(
    data_folder: Path, tiny_editor_folder: Path, presets: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict:
    out = tmp_path_factory.mktemp("results")
    wanted = {"--data": data_folder, "--presets": presets, "--out": out, "--model": tiny_editor_folder}
    arguments = [str(part) for pair in wanted.items() for part in pair]
    assert evaluate_looks.main([*arguments, "--per-look", str(PER_LOOK)]) == 0
    return json.loads((out / "results.json").read_text()) | {"folder": out}


@torch.no_grad()
def merged_edit(folder: Path, loras: list[dict], source: torch.Tensor, wordings: list[str]) -> torch.Tensor:
    """One step of the tiny editor with LoRAs written into its weights, sample by sample; all in [0, 1]."""
    transformer, encoder, _ = checkpoint.load(folder)
    for lora in loras:
        for module, (down, up) in lora.items():
            transformer.get_submodule(module).weight += ALPHA / RANK * up @ down
    outputs = []
    for index, wording in enumerate(wordings):
        working = source[index : index + 1] * 2 - 1
        noise = torch.randn(working.shape[1:], generator=torch.Generator().manual_seed(index))[None]
        text = encoder.encode([wording])
        field = transformer(noise, working, text.features, text.mask, timestep=torch.ones(1)).confined()
        outputs.append((field.apply(working).clamp(-1, 1) + 1) / 2)
    return torch.cat(outputs)


def held_out(data: Path) -> list[torch.Tensor]:
    scenes = Scenes(data, "held_out", evaluate_looks.HELD_OUT_SEED)
    found = [scenes.batch(number, 8, kinds=["nonsense"] * 8).source for number in range(2)]
    return [((source + 1) / 2 * 255).round()[: PER_LOOK - 8 * number] / 255 for number, source in enumerate(found)]


@pytest.mark.parametrize("split", ["seen_wordings", "held_out_wordings"])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_a_look(
    results: dict, loras: dict[str, dict], data_folder: Path, tiny_editor_folder: Path, name: str, split: str
) -> None:
    look = LOOKS[name]
    wordings = look.instructions if split == "seen_wordings" else look.held_out_instructions
    with_lora, base = [], []
    for number, source in enumerate(held_out(data_folder)):
        asked = [wordings[(8 * number + k) % len(wordings)] for k in range(len(source))]
        for errors, stack in ((with_lora, [loras[name]]), (base, [])):
            output = merged_edit(tiny_editor_folder, stack, source, asked)
            errors += [float(((a - b) ** 2).mean()) for a, b in zip(output, look(source), strict=True)]
    numbers = results["looks"][name][split]
    assert numbers["samples"] == len(base) == PER_LOOK
    assert numbers["relative_error"] == pytest.approx(sum(with_lora) / sum(base), rel=1e-4)
    assert numbers["worst_relative_error"] == pytest.approx(np.divide(with_lora, base).max(), rel=1e-4)
    assert numbers["psnr"] == pytest.approx(-10 * np.log10(with_lora).mean(), abs=1e-3)
    assert numbers["psnr_base"] == pytest.approx(-10 * np.log10(base).mean(), abs=1e-3)
    assert abs(numbers["relative_error"] - 1) > 0.003  # so that taking one for the other would show


def test_numbers_of_a_stacked_pair(
    results: dict, loras: dict[str, dict], data_folder: Path, tiny_editor_folder: Path
) -> None:
    (found,) = results["pairs"]
    assert sorted(found["looks"]) == sorted(NAMES)
    source = held_out(data_folder)[0]
    wordings = [[LOOKS[name].instructions[k] for k in range(8)] for name in found["looks"]]
    joined = [f"{one} and {other}" for one, other in zip(*wordings, strict=True)]
    stack = [loras[name] for name in found["looks"]]
    both = merged_edit(tiny_editor_folder, stack, source, joined)
    for key, lora, asked in zip(("difference_from_first", "difference_from_second"), stack, wordings, strict=True):
        alone = merged_edit(tiny_editor_folder, [lora], source, asked)
        assert found[key] == pytest.approx(float(((both - alone) ** 2).mean() ** 0.5), rel=1e-3)
        assert found[key] > 0.005


def test_sheets_are_drawn_and_sizes_told(results: dict, presets: Path) -> None:
    for name in NAMES:
        assert results["looks"][name]["bytes"] == (presets / f"{name}.safetensors").stat().st_size
        with Image.open(results["folder"] / f"{name}.webp") as opened:
            assert opened.format == "WEBP"
    assert (results["folder"] / "pairs.webp").is_file()


def test_a_thumbnail_is_half_the_picture_and_half_the_edit(
    tiny_editor_folder: Path, presets: Path, loras: dict[str, dict]
) -> None:
    editor = MiniEditor(tiny_editor_folder)
    found = evaluate_looks.thumbnail(editor, LOOKS["emboss"], presets / "emboss.safetensors")
    for module, (down, up) in loras["emboss"].items():
        editor.transformer.get_submodule(module).weight.data += ALPHA / RANK * up @ down
    picture = Image.open(evaluate_looks.THUMBNAIL_PICTURE).convert("RGB")
    output = editor.edit(replace(editor.call(picture, LOOKS["emboss"].instructions[0]), literally=True)).image
    width, height = picture.size
    cut = min(width, height * 4 / 3) / 2
    box = (width / 2 - cut, height / 2 - cut * 3 / 4, width / 2 + cut, height / 2 + cut * 3 / 4)
    before, after = (
        np.asarray(image.resize((256, 192), Image.Resampling.LANCZOS, box=box), dtype=float)
        for image in (picture, output)
    )
    pixels = np.asarray(found, dtype=float)
    assert pixels.shape == (192, 256, 3)
    assert np.abs(pixels - before)[:, :126].max() <= 1
    assert np.abs(pixels - after)[:, 130:].mean() < 0.5 < np.abs(before - after)[:, 130:].mean()


@pytest.mark.parametrize("noise", [0.0, 120.0])
def test_a_thumbnail_is_a_small_file(photograph: Image.Image, tmp_path: Path, noise: float) -> None:
    picture = np.asarray(photograph.resize((256, 192)), dtype=float)
    noisy = picture + np.random.default_rng(0).normal(scale=noise + 1e-9, size=picture.shape)
    evaluate_looks.save_thumbnail(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), tmp_path / "thermal.webp")
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 15_000
    if not noise:
        assert np.abs(np.asarray(Image.open(file).convert("RGB"), dtype=float) - picture).mean() < 4


def test_the_command_draws_a_thumbnail_of_each_look(
    data_folder: Path, tiny_editor_folder: Path, presets: Path, tmp_path: Path
) -> None:
    wanted = {"--data": data_folder, "--presets": presets, "--out": tmp_path, "--model": tiny_editor_folder}
    arguments = [str(part) for pair in wanted.items() for part in pair]
    assert evaluate_looks.main([*arguments, "--thumbnails"]) == 0
    drawn = sorted(presets.glob("*.webp"))
    assert [file.stem for file in drawn] == sorted(NAMES)
    for file in drawn:
        assert Image.open(file).size == (256, 192)


def test_a_folder_without_looks_is_refused(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data_folder), "--presets", str(tmp_path), "--out", str(tmp_path / "out")]
    assert evaluate_looks.main(arguments) == 2
    said = capsys.readouterr().err
    assert said == f"evaluate_looks: {tmp_path} holds no LoRA of a look; train one as {tmp_path}/thermal.safetensors\n"
