"""The memory plan: what is chosen on which machine, in which order, and what people are told."""

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import tiny_checkpoints
from diffusers import DiffusionPipeline

from mmdit.catalog import CATALOG, ModelEntry
from mmdit.families import memory
from mmdit.families.folders import ModelError
from mmdit.families.listing import describe_models
from mmdit.families.machine import PACKAGES, Machine, measure, system_memory
from mmdit.families.memory import CHOICES, MemoryPlan, choose, fits, step_down, what_would_fit
from mmdit.families.needs import RESERVE, Needs
from mmdit.families.registry import family_class

GB = 10**9
FLUX = Needs(
    {"transformer": 11_901_408_320, "text_encoder": 123_060_480, "text_encoder_2": 4_762_310_656, "vae": 83_819_683},
    width=3072,
)
QWEN = Needs({"transformer": 20_430_401_088, "text_encoder": 8_292_166_656, "vae": 126_892_531}, width=3072, vae="qwen")
BOTH = frozenset({"torchao", "bitsandbytes"})


def gpu(free: float, system: float = 128, quantisers: frozenset[str] = BOTH) -> Machine:
    """A machine with a GPU; gigabytes."""
    total = max(free, 1)
    return Machine("cuda", int(free * GB), int(total * GB), int(system * GB), int(system * GB), 500 * GB, quantisers)


def cpu(system: float, quantisers: frozenset[str] = frozenset()) -> Machine:
    return Machine("cpu", 0, 0, int(system * GB), int(system * GB), 500 * GB, quantisers)


# ---- sizes ----


def test_weights_take_what_their_numbers_do() -> None:
    assert FLUX.weights("bfloat16")["transformer"] == 2 * 11_901_408_320
    assert FLUX.weights("float32")["vae"] == 4 * 83_819_683
    quantised = FLUX.weights("bfloat16", "int4")
    assert quantised["vae"] == FLUX.weights("bfloat16")["vae"]
    assert 0.5 * 11.9 * GB < quantised["transformer"] < 0.65 * 11.9 * GB


def test_what_is_quantised_on_disk_stays_as_it_is() -> None:
    stored = replace(FLUX, stored={"transformer": 7 * GB})
    for mode in ("full", "int8", "int4"):
        assert stored.weights("bfloat16", mode)["transformer"] == 7 * GB
    assert stored.quantisable == ("text_encoder", "text_encoder_2")


def test_activations_grow_with_pixels_pictures_and_batch() -> None:
    base = FLUX.activations("bfloat16")
    assert replace(FLUX, resolution=2048).activations("bfloat16") > 3 * (base - RESERVE) + RESERVE
    assert replace(FLUX, pictures=6).activations("bfloat16") > base
    assert replace(FLUX, batch=4).activations("bfloat16") > base
    assert FLUX.activations("float32") - RESERVE == 2 * (base - RESERVE)


def test_tiles_save_where_the_picture_is_larger_than_one() -> None:
    assert QWEN.activations("bfloat16", tiled=True) < QWEN.activations("bfloat16")
    large = replace(FLUX, resolution=2048)
    assert large.activations("bfloat16", tiled=True) < large.activations("bfloat16")
    assert FLUX.activations("bfloat16", tiled=True) == FLUX.activations("bfloat16")


@pytest.mark.parametrize("family", tiny_checkpoints.FAMILIES)
def test_needs_of_a_folder_are_those_of_the_loaded_pipeline(family: str, tmp_path: Path) -> None:
    pipeline = tiny_checkpoints.build(family)
    pipeline.save_pretrained(tmp_path)
    needs = Needs.of_folder(tmp_path)
    for name, count in needs.parameters.items():
        stored = getattr(pipeline, name).state_dict()
        tied = {value.data_ptr(): value.numel() for value in stored.values()}
        assert count in (sum(tied.values()), sum(value.numel() for value in stored.values())), name
    assert set(needs.parameters) == {name for name, part in pipeline.components.items() if hasattr(part, "parameters")}
    config = pipeline.transformer.config
    assert needs.width == config.num_attention_heads * config.attention_head_dim
    assert needs.vae == ("qwen" if family.startswith("qwen") else "kl")
    assert needs.batch == (2 if family == "stable_diffusion_3" else 1)


def test_variants_are_not_counted_twice(tmp_path: Path) -> None:
    tiny_checkpoints.build("flux_kontext").save_pretrained(tmp_path)
    plain = Needs.of_folder(tmp_path).parameters
    weights = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.with_name("diffusion_pytorch_model.fp16.safetensors").write_bytes(weights.read_bytes())
    assert Needs.of_folder(tmp_path).parameters == plain
    config = tmp_path / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "x"}}))
    assert Needs.of_folder(tmp_path).stored == {"transformer": weights.stat().st_size}


# ---- choosing ----


@pytest.mark.parametrize(
    ("machine", "mode", "quantiser"),
    [
        (gpu(80), "full", None),
        (gpu(30), "offload", None),
        (gpu(16), "group", None),
        (gpu(24, system=30), "int8", "torchao"),
        (gpu(24, system=30, quantisers=frozenset({"bitsandbytes"})), "int8", "bitsandbytes"),
        (gpu(14, system=6), "int4", "bitsandbytes"),
        (cpu(128), "full", None),
        (cpu(40), "full", None),
        (cpu(24, BOTH), "int8", "torchao"),
    ],
)
def test_auto_takes_what_changes_least_and_fits(machine: Machine, mode: str, quantiser: str | None) -> None:
    plan = choose("auto", FLUX, machine)
    assert (plan.mode, plan.quantiser, plan.fits) == (mode, quantiser, True)
    assert plan.quantised == (("transformer", "text_encoder", "text_encoder_2") if quantiser else ())
    assert plan.mode in plan.reason and "GB" in plan.reason and "\n" not in plan.reason


def test_the_reason_names_what_was_free_and_what_the_best_would_have_taken() -> None:
    reason = choose("auto", FLUX, gpu(30)).reason
    assert reason.startswith("offload: one part at a time") and "30 GB" in reason
    assert "full would take 36 GB of GPU memory" in reason
    full = choose("auto", FLUX, gpu(80)).reason
    assert "would take" not in full and "0.0 GB" not in full


def test_the_cpu_computes_in_full_precision_while_it_fits() -> None:
    assert choose("auto", FLUX, cpu(128)).dtype == "float32"
    assert choose("auto", FLUX, cpu(40)).dtype == "bfloat16"
    assert choose("auto", FLUX, gpu(80)).dtype == "bfloat16"


def test_the_picture_is_left_whole_before_a_tiled_one_and_tiled_before_quantised() -> None:
    assert not choose("auto", QWEN, gpu(66)).vae_tiling
    assert not choose("auto", QWEN, gpu(8)).vae_tiling
    tight = choose("auto", QWEN, gpu(5.5))
    assert (tight.mode, tight.vae_tiling) == ("group", True) and "tiles" in tight.reason


def test_pages_are_locked_only_where_there_is_twice_the_room() -> None:
    assert choose("group", FLUX, gpu(16, system=128)).pinned
    assert not choose("group", FLUX, gpu(16, system=60)).pinned


def test_bitsandbytes_quantises_on_the_gpu_so_that_all_must_fit_there_once() -> None:
    machine = gpu(14, system=128)
    by_bitsandbytes = replace(machine, quantisers=frozenset({"bitsandbytes"}))
    offloaded = [plan for plan in memory._plans(FLUX, by_bitsandbytes) if plan.mode == "int8" and plan.offload]
    assert all(plan.gpu_bytes >= sum(FLUX.weights("bfloat16", "int8").values()) for plan in offloaded)
    assert min(plan.gpu_bytes for plan in memory._plans(FLUX, machine) if plan.mode == "int8") < 15.5 * GB


@pytest.mark.parametrize("mode", [choice for choice in CHOICES if choice != "auto"])
def test_a_mode_that_is_asked_for_is_taken_and_warned_about(mode: str) -> None:
    roomy, tight = choose(mode, FLUX, gpu(80)), choose(mode, FLUX, gpu(0.5))
    assert roomy.mode == tight.mode == mode
    assert "may run out" not in roomy.reason and "may run out" in tight.reason


@pytest.mark.parametrize(
    ("memory_choice", "machine", "remedy"),
    [
        ("tiny", gpu(80), "auto, full, offload, group, int8, int4"),
        ("int8", gpu(80, quantisers=frozenset()), "pip install torchao"),
        ("int4", gpu(80, quantisers=frozenset({"torchao"})), "pip install bitsandbytes"),
        ("int4", cpu(80, BOTH), "use auto or full"),
        ("offload", cpu(80), "use auto or full"),
        ("group", cpu(80), "use auto or full"),
        ("int8", Machine("mps", 40 * GB, 40 * GB, 60 * GB, 60 * GB, GB, BOTH), "use auto or full"),
    ],
)
def test_what_can_not_be_done_is_refused_with_the_remedy(memory_choice: str, machine: Machine, remedy: str) -> None:
    with pytest.raises(ModelError, match=remedy) as raised:
        choose(memory_choice, FLUX, machine)
    assert repr(memory_choice) in str(raised.value) and "\n" not in str(raised.value)


def test_auto_says_what_is_missing_where_nothing_fits() -> None:
    with pytest.raises(ModelError, match=r"the least .* takes here is .* GB of GPU memory.* but 1\.0 GB") as raised:
        choose("auto", FLUX, gpu(1, system=8))
    assert "smaller model" in str(raised.value)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        choose("auto", FLUX, gpu(14, system=6, quantisers=frozenset()))


# ---- stepping down ----


def walk(plan: MemoryPlan) -> list[MemoryPlan]:
    plans = [plan]
    while (smaller := step_down(plans[-1])) is not None:
        plans.append(smaller)
    return plans


@pytest.mark.parametrize("machine", [gpu(80), gpu(30), gpu(24, system=30), gpu(14, system=6), cpu(128, BOTH)])
@pytest.mark.parametrize("needs", [FLUX, QWEN])
def test_each_step_down_takes_less_and_the_last_is_reached(needs: Needs, machine: Machine) -> None:
    plans = walk(choose("full", needs, machine))
    assert 1 < len(plans) < 8
    for larger, smaller in pairwise(plans):
        assert smaller.peak < larger.peak
        assert (smaller.mode, smaller.dtype, smaller.offload) != (larger.mode, larger.dtype, larger.offload)
        assert f"{larger.mode}" in smaller.reason and "ran out of memory" in smaller.reason


def test_the_steps_down_on_a_gpu_and_on_a_cpu() -> None:
    assert [plan.mode for plan in walk(choose("auto", FLUX, gpu(80)))] == ["full", "offload", "group"]
    steps = walk(choose("auto", FLUX, cpu(128, BOTH)))
    assert [(plan.mode, plan.dtype) for plan in steps] == [
        ("full", "float32"), ("full", "bfloat16"), ("int8", "bfloat16"),
    ]  # fmt: skip


def test_no_step_goes_where_system_memory_is_short() -> None:
    modes = [plan.mode for plan in walk(choose("full", FLUX, gpu(40, system=20)))]
    assert modes[0] == "full" and not {"offload", "group"} & set(modes) and modes[-1] == "int4"


def test_a_step_down_tiles_where_that_helps() -> None:
    assert all(plan.vae_tiling for plan in walk(choose("full", QWEN, gpu(80)))[1:])
    assert not any(plan.vae_tiling for plan in walk(choose("full", FLUX, gpu(80))))


def test_a_plan_without_its_origin_has_no_step() -> None:
    assert step_down(MemoryPlan("full", "cpu", "float32")) is None


# ---- words ----


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (gpu(80), "fits"), (gpu(30), "with offload"), (gpu(16), "with group offload"), (gpu(24, system=30), "as int8"),
        (gpu(14, system=6), "as int4"), (cpu(128), "on the CPU, slowly"),
        (gpu(12, system=8, quantisers=frozenset()), "no: needs 34 GB in the system, 8.0 GB free"),
        (gpu(1, system=128), "no: needs 4.4 GB, 1.0 GB free"),
        (cpu(20), "no: needs 36 GB, 20 GB free"),
    ],
)  # fmt: skip
def test_short_words(machine: Machine, words: str) -> None:
    assert fits(FLUX, machine) == words


def test_what_would_fit_lists_modes_or_what_would_help() -> None:
    assert "with it would fit: offload" in what_would_fit(FLUX, gpu(30, quantisers=frozenset()))
    assert "1.0 GB of GPU memory" in what_would_fit(FLUX, gpu(1))
    assert "work at 768 × 768" in what_would_fit(replace(FLUX, resolution=2048), gpu(4.5))


# ---- measuring ----


def test_measuring_this_machine() -> None:
    machine = measure("cpu")
    assert (machine.device, machine.gpu_free, machine.gpu_total) == ("cpu", 0, 0)
    assert 0 < machine.system_free <= machine.system_total
    assert machine.disk_free > 0 and machine.quantisers <= set(PACKAGES)


def test_a_container_has_what_it_is_given(tmp_path: Path) -> None:
    before = system_memory(tmp_path)
    (tmp_path / "memory.max").write_text(f"{2 * 10**8}\n")
    (tmp_path / "memory.current").write_text(f"{15 * 10**7}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {3 * 10**7}\nactive_file 5\n")
    assert system_memory(tmp_path) == (8 * 10**7, 2 * 10**8)
    (tmp_path / "memory.max").write_text("max\n")
    assert system_memory(tmp_path)[1] == before[1]


def test_old_packages_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torchao": "0.9.0", "bitsandbytes": "0.50.2"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    assert measure("cpu").quantisers == {"bitsandbytes"}


def test_a_plan_needs_no_torch() -> None:
    code = (
        "import sys, types; package = types.ModuleType('mmdit'); package.__path__ = [sys.argv[1]]\n"
        "sys.modules['mmdit'] = package\n"
        "from mmdit.families import listing, machine, memory\n"
        "machine.measure('cpu')\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    folder = Path(memory.__file__).resolve().parents[1]
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "[]\n", ended.stderr


# ---- the table ----


def hub_folder(cache: Path, repository: str, pipeline: DiffusionPipeline | None) -> Path:
    """A pipeline in huggingface_hub's cache, or the beginning of its download."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "blobs").mkdir(parents=True)
    (place / "blobs" / "abc.incomplete").write_bytes(b"x" * 1000)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    folder = place / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    if pipeline is not None:
        pipeline.save_pretrained(folder)
    return folder


def test_the_table_tells_models_apart(tmp_path: Path) -> None:
    hub_folder(tmp_path, "org/whole", tiny_checkpoints.build("flux_kontext"))
    hub_folder(tmp_path, "org/half", None)
    entries = [
        *(
            replace(CATALOG["flux-kontext"], name=name, source=f"org/{name}", licence="MIT", gated=name == "absent")
            for name in ("whole", "half", "absent")
        ),
        replace(CATALOG["mini"], name="shipped"),
    ]  # fmt: skip
    lines = describe_models(entries, gpu(30), tmp_path).splitlines()
    assert lines[0].split() == ["name", "task", "licence", "download", "here", "on", "disk"]
    whole, half, absent, shipped = lines[1:5]
    assert whole.endswith("yes") and "with offload" in whole and "34 GB" in whole
    assert half.endswith("partly: 0.0 GB of 34 GB")
    assert absent.endswith("no") and "MIT, gated" in absent and "gated" not in whole
    assert "hf auth login" in lines[-2]
    assert shipped.endswith("shipped") and "fits" in shipped
    assert "30 GB" in lines[-1] and "128 GB" in lines[-1]
    assert "no GPU" in describe_models(entries, cpu(30), tmp_path)


def test_the_table_of_the_catalog_is_whole() -> None:
    table = describe_models(CATALOG.values(), cpu(24))
    assert all(name in table for name in CATALOG)


@pytest.mark.parametrize("entry", [entry for entry in CATALOG.values() if entry.pipeline], ids=lambda entry: entry.name)
def test_the_table_counts_the_pictures_that_loading_counts(entry: ModelEntry) -> None:
    traits = family_class(entry.pipeline).pipelines[entry.pipeline]
    assert Needs.of_entry(entry).pictures == (2 if traits.most_pictures > 1 else 1)
    assert Needs.of_entry(entry).resolution == traits.resolution
