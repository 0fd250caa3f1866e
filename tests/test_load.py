"""Every family through the same door: a folder in its real format, `load_editor`, an edit."""

import json
import math
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import calculate_shift
from lora_files import write
from PIL import ExifTags, Image
from tiny_checkpoints import FAMILIES, PROMPT, build, transformer_calls

from mmdit import EditCancelled, EditError, EditRequest, LoraWeight, RecordSpec, load_editor
from mmdit.catalog import find
from mmdit.editor import Editor, StepProgress
from mmdit.families.family import Family
from mmdit.families.schedule import shifted
from mmdit.families.strength import Strength
from mmdit.lora.presets import Presets
from mmdit.lora.stack import linears
from mmdit.strip import edit_strip, side_by_side

NEUTRAL = PROMPT.replace("blue dog", "red cat")
QUICK = ("flux_kontext", "stable_diffusion_3", "flux2_klein")
EVERY_FAMILY = [pytest.param(family, marks=[] if family in QUICK else pytest.mark.slow) for family in FAMILIES]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def saved(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        build(family).save_pretrained(folder)
        return folder

    return saved


@pytest.fixture(scope="module")
def editor_of(folder_of: Callable[[str], Path]) -> Callable[[str], Editor]:
    @cache
    def loaded(family: str) -> Editor:
        return load_editor(folder_of(family), device="cpu")

    return loaded


def picture(width: int = 777, height: int = 513, seed: int = 0) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)).resize((width, height))


def request(**changes: object) -> EditRequest:
    return replace(EditRequest([picture()], PROMPT, seed=4, steps=2, resolution=96), **changes)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_an_edit_keeps_the_size_and_is_made_again_by_its_settings(
    family: str, editor_of: Callable[[str], Editor], folder_of: Callable[[str], Path]
) -> None:
    editor = editor_of(family)
    plan = editor.plan(request())
    seen: list[StepProgress] = []
    result = editor.edit(request(), seen.append)
    assert result.image.size == plan.output == (777, 513)
    assert plan.working[0] > plan.working[1]
    assert tuple(result.settings["working"]) == plan.working
    assert [progress.step for progress in seen] == list(range(1, plan.steps + 1))
    again = load_editor(str(folder_of(family)), device="cpu")
    kept = {name: result.settings[name] for name in ("seed", "steps", "guidance", "resolution")}
    assert again.edit(request(**kept)).image.tobytes() == result.image.tobytes()
    assert again.edit(request()).settings["weights"] == result.settings["weights"]


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_the_first_picture_gives_the_shape(family: str, editor_of: Callable[[str], Editor]) -> None:
    editor = editor_of(family)
    others = [picture(300, 600, 1), picture(64, 64, 2), picture(900, 200, 3)]
    asked = request(images=[picture(), *others][: editor.traits.most_pictures])
    assert editor.plan(asked).working == editor.plan(request()).working
    result = editor.edit(replace(asked, record=RecordSpec()))
    assert result.image.size == (777, 513)
    target = result.maps.streams[0]
    assert target.width > target.height


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_recording_changes_nothing_and_names_the_words(family: str, editor_of: Callable[[str], Editor]) -> None:
    editor = editor_of(family)
    recorded = editor.edit(request(record=RecordSpec()))
    assert recorded.image.tobytes() == editor.edit(request()).image.tobytes()
    assert recorded.maps.words == tuple(PROMPT.split())
    shares = recorded.maps.select(direction="image_to_text", stream="target")
    assert np.isfinite(shares).all() and shares.min() >= 0 and 0 < shares.sum(axis=3).max() <= 1 + 1e-5


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_lora_works_and_is_gone_afterwards(family: str, editor_of: Callable[[str], Editor], tmp_path: Path) -> None:
    editor = editor_of(family)
    shapes = {
        name: (linear.out_features, linear.in_features)
        for name, linear in linears(editor.transformer).items()
        if "blocks." in name
    }
    file = tmp_path / "strong.safetensors"
    write(file, "diffusers", shapes, rank=4, alpha=64.0, seed=1)
    plain = editor.edit(request()).image.tobytes()
    stacked = editor.edit(request(loras=[LoraWeight(file)]))
    assert stacked.image.tobytes() != plain
    assert len(editor.inspect_lora(file).targets) == len(shapes)
    assert editor.edit(request(loras=[LoraWeight(file, 0.0)])).image.tobytes() == plain
    assert editor.edit(request()).image.tobytes() == plain


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_strip_runs_through_the_instruction_itself(family: str, editor_of: Callable[[str], Editor]) -> None:
    editor = editor_of(family)
    results = edit_strip(editor, request(strength=Strength(NEUTRAL)), [0.0, 1.0, 2.0])
    pictures = [result.image for result in results]
    assert pictures[0].tobytes() == editor.edit(request(instruction=NEUTRAL)).image.tobytes()
    assert pictures[1].tobytes() == editor.edit(request()).image.tobytes()
    assert len({made.tobytes() for made in pictures}) == 3
    assert [result.settings["strength"]["value"] for result in results] == [0.0, 1.0, 2.0]
    assert side_by_side(pictures, ["0", "1", "2"]).width > pictures[0].width


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_cancelled_edit_leaves_the_model_usable(family: str, editor_of: Callable[[str], Editor]) -> None:
    editor = editor_of(family)
    plain = editor.edit(request()).image.tobytes()
    calls: list[int] = []

    def cancel(progress: StepProgress) -> None:
        calls.append(progress.step)
        raise EditCancelled

    with pytest.raises(EditCancelled):
        editor.edit(request(steps=5, record=RecordSpec()), cancel)
    assert calls == [1]
    assert editor.edit(request()).image.tobytes() == plain


def test_a_photo_taken_sideways_comes_back_upright(editor_of: Callable[[str], Editor]) -> None:
    sideways = picture(400, 300)
    sideways.getexif()[ExifTags.Base.Orientation] = 6
    editor = editor_of("flux_kontext")
    asked = request(images=[sideways])
    assert editor.plan(asked).output == (300, 400)
    upright = sideways.transpose(Image.Transpose.ROTATE_270)
    upright.getexif().clear()
    assert editor.edit(asked).image.tobytes() == editor.edit(request(images=[upright])).image.tobytes()


def out_of_memory(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def out_of_system_memory(*_: object) -> None:
    torch.empty(10**16)


@pytest.mark.parametrize("run_out", [out_of_memory, out_of_system_memory])
def test_an_edit_that_runs_out_of_memory_is_made_once_more_with_less(
    run_out: Callable[..., None], folder_of: Callable[[str], Path]
) -> None:
    large, small = (load_editor(folder_of("flux_kontext"), device="cpu") for _ in range(2))
    entry, presets, plain = large.entry, large.presets, large.edit(request()).image.tobytes()
    gone: list[bool] = []

    def load() -> tuple[Family, str]:
        gone.append(transformer() is None)
        return small._family, "in 8 bits"

    large.transformer.transformer_blocks[1].register_forward_pre_hook(run_out)
    transformer = weakref.ref(large.transformer)
    ways = iter([load, None])
    editor = Editor(entry, large._family, presets, lambda: next(ways), "in full")
    del large
    result = editor.edit(request())
    assert gone == [True], "the large one was still there when the small one was loaded"
    assert result.image.tobytes() == plain
    assert result.warnings == ("The edit ran out of memory and was made once more: in 8 bits",)
    assert editor.memory == "in 8 bits" and editor.transformer is small.transformer
    small.transformer.transformer_blocks[0].register_forward_pre_hook(run_out)
    with pytest.raises(EditError, match=r"ran out of memory at 112×80.*smaller resolution"):
        editor.edit(request())


def test_a_model_that_can_not_be_loaded_again_is_said_to_be_gone(folder_of: Callable[[str], Path]) -> None:
    def load() -> tuple[Family, str]:
        raise ValueError("nothing fits")

    whole = load_editor(folder_of("flux_kontext"), device="cpu")
    whole.transformer.transformer_blocks[0].register_forward_pre_hook(out_of_memory)
    editor = Editor(whole.entry, whole._family, whole.presets, lambda: load)
    with pytest.raises(ValueError, match="nothing fits"):
        editor.edit(request())
    with pytest.raises(EditError, match="is not loaded any more, since memory ran out; load it again"):
        editor.edit(request())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": [picture()] * 2}, "2 pictures were given; FluxKontextPipeline edits exactly one"),
        ({"negative": "grain " * 400}, "negative instruction has 2400 characters"),
        ({"negative": "grain", "true_guidance": 1.0}, "does nothing without guidance above 1"),
        ({"denoise": 0.0}, "denoise is 0"),
        ({"denoise": float("nan")}, "denoise is nan"),
        ({"resolution": 9000}, "resolution is 9000"),
        ({"strength": Strength("", 1.0)}, "neutral instruction"),
        ({"strength": Strength(NEUTRAL, 9.0)}, "9"),
    ],
)
def test_what_cannot_be_done_is_said(editor_of: Callable[[str], Editor], change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        editor_of("flux_kontext").edit(request(**change))
    if "strength" not in change:
        return
    with pytest.raises(ValueError, match=said):
        edit_strip(editor_of("flux_kontext"), request(**change), [9.0])


def test_true_guidance_is_for_models_that_have_it(editor_of: Callable[[str], Editor]) -> None:
    with pytest.raises(ValueError, match="true guidance is 3 but Flux2KleinPipeline has none"):
        editor_of("flux2_klein").edit(request(true_guidance=3.0))


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("flux_kontext", {"guidance": 1.0, "negative": "grain"}),
        ("flux_kontext", {"guidance": 2.5}),
        ("stable_diffusion_3", {"guidance": 0.5}),
        ("stable_diffusion_3", {"guidance": 4.0}),
        ("flux2_klein", {"guidance": 1.0}),
    ],
)
def test_as_many_passes_as_planned(editor_of: Callable[[str], Editor], family: str, settings: dict) -> None:
    editor, asked = editor_of(family), request(steps=1, **settings)
    plan = editor.plan(asked)
    with transformer_calls(editor._family.pipeline) as calls:
        editor.edit(asked)
    assert sum(len(call["hidden_states"]) for call in calls) == plan.passes * plan.steps


def test_only_the_embedded_editor_mixes_edits(editor_of: Callable[[str], Editor]) -> None:
    with pytest.raises(ValueError, match="'edits', which FluxKontextPipeline does not have; leave it out"):
        editor_of("flux_kontext").edit(request(strength=Strength(NEUTRAL, 0.5, method="edits")))


def test_a_preset_brings_steps_guidance_and_schedule(
    editor_of: Callable[[str], Editor], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    shapes = {"transformer_blocks.0.attn.to_q": (48, 48)}
    write(tmp_path / "fast.safetensors", "diffusers", shapes, rank=2, alpha=2.0, seed=1)
    recommended = (
        "title: Fast\nfamily: qwen-image\nsource: {file: fast.safetensors}\nsteps: 3\nguidance: 1\nshift: 3.0\n"
    )
    (tmp_path / "fast.yaml").write_text(recommended)
    editor = load_editor(folder_of("qwen_image_edit"), device="cpu", presets=Presets([tmp_path]))
    fast = editor.edit(request(steps=None, loras=[LoraWeight("fast")]))
    assert [fast.settings[name] for name in ("steps", "guidance", "shift")] == [3, 1.0, 3.0]
    spelt_out = request(steps=3, guidance=1.0, shift=3.0, loras=[LoraWeight("fast")])
    assert editor.edit(spelt_out).image.tobytes() == fast.image.tobytes()
    assert editor.edit(replace(spelt_out, shift=2.0)).image.tobytes() != fast.image.tobytes()
    assert editor.edit(request(steps=1, loras=[LoraWeight("fast")])).settings["steps"] == 1
    assert editor.edit(request(loras=[LoraWeight("fast", 0.0)])).settings["guidance"] == editor.entry.guidance


def test_a_presets_schedule_is_for_models_that_take_one(gravel: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text(
        "title: Fast\nfamily: mini\nsource: {file: fast.safetensors}\nsteps: 2\nshift: 3.0\n"
    )
    editor = load_editor("mini", device="cpu", presets=Presets([tmp_path]))
    name = next(name for name in linears(editor.transformer) if name.endswith("to_q"))
    size = linears(editor.transformer)[name].in_features
    write(tmp_path / "fast.safetensors", "diffusers", {name: (size, size)}, rank=2, alpha=2.0, seed=1)
    result = editor.edit(EditRequest([gravel], "make it darker", seed=1, loras=[LoraWeight("fast")]))
    assert result.settings["steps"] == 2 and "shift" not in result.settings


def test_another_schedule_is_the_one_that_the_makers_of_lightning_use(editor_of: Callable[[str], Editor]) -> None:
    pipeline = editor_of("qwen_image_edit")._family.pipeline
    own = pipeline.scheduler
    made_for = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=True, base_shift=math.log(3), max_shift=math.log(3),
        base_image_seq_len=256, max_image_seq_len=8192, shift_terminal=None, time_shift_type="exponential",
    )  # fmt: skip
    made_for.set_timesteps(sigmas=np.linspace(1, 0.25, 4), mu=math.log(3))
    with shifted(pipeline, 3.0):
        pipeline.scheduler.set_timesteps(sigmas=np.linspace(1, 0.25, 4), mu=math.log(3))
        assert torch.equal(pipeline.scheduler.sigmas, made_for.sigmas)
        config = pipeline.scheduler.config
        assert calculate_shift(24, 256, 4096, config.base_shift, config.max_shift) == pytest.approx(math.log(3))
    assert pipeline.scheduler is own


def test_an_unknown_name_is_told_from_a_missing_folder() -> None:
    with pytest.raises(EditError, match=r"'kontxt' is neither a model of the catalog \(mini.*nor an org/name"):
        load_editor("kontxt")
    with pytest.raises(EditError, match="/nowhere/at/all"):
        load_editor("/nowhere/at/all")


def test_a_folder_in_the_home_folder_is_no_download(
    tiny_editor_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "kontext").mkdir()
    (tmp_path / "kontext" / "model_index.json").write_text(json.dumps({"_class_name": "FluxKontextPipeline"}))
    entry = find("~/kontext")
    assert (entry.source, entry.pipeline, entry.is_embedded) == (tmp_path / "kontext", "FluxKontextPipeline", False)
    assert find(str(tiny_editor_folder)).is_embedded
    assert not find("org/unknown").is_embedded
