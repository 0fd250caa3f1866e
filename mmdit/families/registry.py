"""Which family drives which pipeline, by the class name that a model's folder gives, and loading it so.

Pipelines are imported only when one of them is asked for: importing them all takes longer than opening the studio.
"""

from importlib import import_module

from mmdit.families.family import Speed
from mmdit.families.folders import Located
from mmdit.families.loading import load_pipeline
from mmdit.families.machine import measure
from mmdit.families.memory import MemoryPlan, choose
from mmdit.families.needs import Needs
from mmdit.families.pipeline import PipelineFamily, fingerprint

FAMILIES: dict[str, tuple[str, str]] = {
    "FluxKontextPipeline": ("flux", "Flux"),
    "FluxPipeline": ("flux", "Flux"),
    "FluxImg2ImgPipeline": ("flux", "Flux"),
    "Flux2Pipeline": ("flux2", "Flux2"),
    "Flux2KleinPipeline": ("flux2", "Flux2"),
    "QwenImageEditPipeline": ("qwen_image", "QwenImage"),
    "QwenImageEditPlusPipeline": ("qwen_image", "QwenImage"),
    "Step1XEditPipeline": ("step1x", "Step1X"),
    "Step1XEditPipelineV1P2": ("step1x", "Step1X"),
    "StableDiffusion3Pipeline": ("stable_diffusion_3", "StableDiffusion3"),
    "StableDiffusion3Img2ImgPipeline": ("stable_diffusion_3", "StableDiffusion3"),
}
"""Class name in model_index.json → module of `mmdit.families` and its class."""

DRIVEN_AS: dict[str, str] = {
    "FluxPipeline": "FluxImg2ImgPipeline",
    "StableDiffusion3Pipeline": "StableDiffusion3Img2ImgPipeline",
}
"""Pipelines that make pictures from text alone → those of the same parts that start from a picture."""


def family_class(pipeline: str) -> type[PipelineFamily]:
    """Raises ValueError: a pipeline that no family drives, with those that can be."""
    if pipeline not in FAMILIES:
        raise ValueError(f"{pipeline} is not a pipeline that can edit here; there are {', '.join(FAMILIES)}")
    module, name = FAMILIES[pipeline]
    return getattr(import_module(f"mmdit.families.{module}"), name)


def pipeline_class(pipeline: str) -> type:
    """The class that drives a folder whose model_index.json says ``pipeline``: diffusers', but for Step1X-Edit's."""
    module = "mmdit.families.step1x_edit.pipeline" if pipeline.startswith("Step1X") else "diffusers"
    return getattr(import_module(module), DRIVEN_AS.get(pipeline, pipeline))


def load_family(located: Located, plan: MemoryPlan, speed: Speed = Speed()) -> PipelineFamily:
    """The pipeline of a folder, loaded as the plan says, driven by its family.

    Raises:
        ModelError: damaged weights. SpeedError: see `speed_up`. torch.OutOfMemoryError: more than the plan expected.
    """
    kind = family_class(located.pipeline)
    pipeline = load_pipeline(located, pipeline_class(located.pipeline), plan)
    return kind(pipeline, fingerprint(located.folder), speed)


def plan_for(located: Located, memory: str, device: str) -> MemoryPlan:
    """How the pipeline of a folder fits into what is free now. Raises ModelError: it does not, in any way."""
    traits = family_class(located.pipeline).pipelines[DRIVEN_AS.get(located.pipeline, located.pipeline)]
    references = 2 if traits.most_pictures > 1 else 1
    needs = Needs.of_folder(located.folder, traits.resolution or 1024, references)
    return choose(memory, needs, measure(device))
