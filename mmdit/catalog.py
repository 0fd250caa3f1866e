"""The editors that can be named: what each is, what it needs, how it likes to be run. Data only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

FREE_LICENCES = ("Apache-2.0", "MIT")
ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class ModelEntry:
    """
    Args:
        name: what ``load_editor`` and ``--model`` take.
        family: the module of `mmdit.families` that drives it.
        source: a local folder, or an "org/name" of the Hugging Face hub.
        task, licence, needs: for people.
        steps, guidance: defaults.
        pipeline: diffusers' class; None for an embedded editor.
        architecture: what its LoRAs are checked against, a name of `lora.architectures.KNOWN`; None where the folder is
            at hand.
        gated: the hub gives it only to those who accepted its licence.
        parameters: component of the pipeline → number of weights.
        width: channels of a token in the transformer.
        pictures: given pictures that its memory is planned for.
    """

    name: str
    family: str
    source: Path | str
    task: str
    licence: str
    needs: str
    steps: int
    guidance: float
    pipeline: str | None = None
    architecture: str | None = None
    gated: bool = False
    parameters: Mapping[str, int] = field(default_factory=dict)
    width: int = 0
    pictures: int = 1

    @property
    def is_embedded(self) -> bool:
        """Whether it is ours, in a folder: one of the hub is not known to be until it is here."""
        return self.pipeline is None and isinstance(self.source, Path)

    @property
    def is_free(self) -> bool:
        """Whether its licence allows any use; an unknown one counts as if it did not."""
        return self.licence in FREE_LICENCES

    @property
    def download(self) -> int:
        """Bytes of its weights in bfloat16, which is about what is fetched; 0 for what is shipped."""
        return 2 * sum(self.parameters.values())


def _needs(gigabytes: int) -> str:
    return f"a GPU; its largest part takes {gigabytes} GB in bfloat16, less offloaded or quantised"


MINI = ModelEntry(
    name="mini",
    family="mini",
    source=ASSETS / "mini",
    task="simple objects and whole-photo edits, any picture size",
    licence="Apache-2.0",
    needs="nothing: shipped with the program, runs on any CPU",
    steps=1,
    guidance=1.0,
)

CLIP_L, CLIP_L_PROJECTED, CLIP_G, T5_XXL = 123_060_480, 123_650_304, 694_659_840, 4_762_310_656
QWEN_VL_7B, QWEN3_4B, QWEN3_8B, MISTRAL_24B = 8_292_166_656, 4_022_468_096, 8_190_735_360, 24_011_361_280
VAE_16, VAE_FLUX2, VAE_QWEN = 83_819_683, 84_046_115, 126_892_531

REPAINT = "image to image: the picture is noised and repainted in words"

_FLUX = {
    "family": "flux", "width": 3072, "licence": "FLUX.1 [dev] Non-Commercial", "gated": True, "architecture": "flux",
    "parameters": {
        "transformer": 11_901_408_320, "text_encoder": CLIP_L, "text_encoder_2": T5_XXL, "vae": VAE_16,
    },
}  # fmt: skip
_FLUX2_LICENCE = "FLUX Non-Commercial"
_QWEN = {
    "family": "qwen_image", "width": 3072, "licence": "Apache-2.0", "architecture": "qwen-image",
    "parameters": {"transformer": 20_430_401_088, "text_encoder": QWEN_VL_7B, "vae": VAE_QWEN},
}  # fmt: skip
_STEP1X = {
    "family": "step1x", "width": 3072, "pictures": 2, "licence": "Apache-2.0",
    "task": "edits of one picture, or with a second one",
}  # fmt: skip
_SD3 = {
    "family": "stable_diffusion_3", "licence": "Stability AI Community", "gated": True,
    "pipeline": "StableDiffusion3Img2ImgPipeline", "task": REPAINT,
}  # fmt: skip
_SD3_TEXT = {"text_encoder": CLIP_L_PROJECTED, "text_encoder_2": CLIP_G, "text_encoder_3": T5_XXL, "vae": VAE_16}

CATALOG: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        MINI,
        ModelEntry(
            name="flux-kontext", source="black-forest-labs/FLUX.1-Kontext-dev", pipeline="FluxKontextPipeline",
            task="edits of one picture", needs=_needs(24), steps=28, guidance=2.5, **_FLUX,
        ),
        ModelEntry(
            name="flux-dev", source="black-forest-labs/FLUX.1-dev", pipeline="FluxImg2ImgPipeline",
            task=REPAINT, needs=_needs(24), steps=28,
            guidance=3.5, **_FLUX,
        ),
        ModelEntry(
            name="qwen-image-edit", source="Qwen/Qwen-Image-Edit", pipeline="QwenImageEditPipeline",
            task="edits of one picture", needs=_needs(41), steps=50, guidance=4.0, **_QWEN,
        ),
        ModelEntry(
            name="qwen-image-edit-2509", source="Qwen/Qwen-Image-Edit-2509", pipeline="QwenImageEditPlusPipeline",
            task="edits with up to 10 pictures", needs=_needs(41), steps=40, guidance=4.0, pictures=2, **_QWEN,
        ),
        ModelEntry(
            name="qwen-image-edit-2511", source="Qwen/Qwen-Image-Edit-2511", pipeline="QwenImageEditPlusPipeline",
            task="edits with up to 10 pictures; PixelSmile's base", needs=_needs(41), steps=40, guidance=4.0,
            pictures=2, **_QWEN,
        ),
        ModelEntry(
            name="macro-qwen-image-edit", source="Azily/Macro-Qwen-Image-Edit", pipeline="QwenImageEditPlusPipeline",
            task="edits with up to 10 pictures, MACRO's fine-tune", needs=_needs(41), steps=40, guidance=4.0,
            pictures=2, **_QWEN,
        ),
        ModelEntry(
            name="flux2-dev", family="flux2", source="black-forest-labs/FLUX.2-dev", pipeline="Flux2Pipeline",
            task="edits with up to 10 pictures", licence=_FLUX2_LICENCE, gated=True, needs=_needs(64), steps=50,
            guidance=4.0, architecture="flux2", width=6144, pictures=2,
            parameters={"transformer": 32_223_281_152, "text_encoder": MISTRAL_24B, "vae": VAE_FLUX2},
        ),
        ModelEntry(
            name="flux2-klein-4b", family="flux2", source="black-forest-labs/FLUX.2-klein-4B",
            pipeline="Flux2KleinPipeline", task="edits with up to 4 pictures in 4 steps", licence="Apache-2.0",
            needs=_needs(8), steps=4, guidance=1.0, architecture="flux2-klein-4b", width=3072, pictures=2,
            parameters={"transformer": 3_875_544_576, "text_encoder": QWEN3_4B, "vae": VAE_FLUX2},
        ),
        ModelEntry(
            name="flux2-klein-9b", family="flux2", source="black-forest-labs/FLUX.2-klein-9B",
            pipeline="Flux2KleinPipeline", task="edits with up to 4 pictures in 4 steps", licence=_FLUX2_LICENCE,
            gated=True, needs=_needs(18), steps=4, guidance=1.0, architecture="flux2-klein-9b", width=4096, pictures=2,
            parameters={"transformer": 9_078_581_248, "text_encoder": QWEN3_8B, "vae": VAE_FLUX2},
        ),
        ModelEntry(
            name="step1x-edit-v1.1", source="stepfun-ai/Step1X-Edit-v1p1-diffusers", pipeline="Step1XEditPipeline",
            needs=_needs(25), steps=28, guidance=6.0, architecture="step1x-edit",
            parameters={"transformer": 12_427_800_384, "text_encoder": QWEN_VL_7B, "vae": VAE_16}, **_STEP1X,
        ),
        ModelEntry(
            name="step1x-edit-v1.2", source="stepfun-ai/Step1X-Edit-v1p2", pipeline="Step1XEditPipelineV1P2",
            needs=_needs(25), steps=50, guidance=6.0, architecture="step1x-edit-v1.2",
            parameters={"transformer": 12_442_484_544, "text_encoder": QWEN_VL_7B, "vae": VAE_16}, **_STEP1X,
        ),
        ModelEntry(
            name="sd3-medium", source="stabilityai/stable-diffusion-3-medium-diffusers", needs=_needs(10), steps=28,
            guidance=7.0, architecture="sd3-medium", width=1536,
            parameters={"transformer": 2_084_951_104, **_SD3_TEXT}, **_SD3,
        ),
        ModelEntry(
            name="sd3.5-medium", source="stabilityai/stable-diffusion-3.5-medium", needs=_needs(10), steps=40,
            guidance=4.5, architecture="sd3.5-medium", width=1536,
            parameters={"transformer": 2_469_663_936, **_SD3_TEXT}, **_SD3,
        ),
        ModelEntry(
            name="sd3.5-large", source="stabilityai/stable-diffusion-3.5-large", needs=_needs(16), steps=28,
            guidance=3.5, architecture="sd3.5-large", width=2432,
            parameters={"transformer": 8_146_280_768, **_SD3_TEXT}, **_SD3,
        ),
        ModelEntry(
            name="sd3.5-large-turbo", source="stabilityai/stable-diffusion-3.5-large-turbo", needs=_needs(16), steps=4,
            guidance=1.0, architecture="sd3.5-large", width=2432,
            parameters={"transformer": 8_146_280_768, **_SD3_TEXT}, **_SD3,
        ),
    )
}  # fmt: skip
"""Parameters were counted by building each architecture without weights, from its published configuration."""


def entry_of(source: str | Path, pipeline: str | None = None) -> ModelEntry:
    """An entry for a folder or a hub id: the catalog's own if it comes from there.

    Otherwise it is like the first model of the catalog with that pipeline; a folder tells its own.
    """
    known = next((entry for entry in CATALOG.values() if entry.source == str(source)), None)
    if known is not None:
        return known
    folder = Path(source).expanduser()
    index = folder / "model_index.json"
    if pipeline is None and index.is_file():
        pipeline = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    parts = (pipeline or "").replace("Img2Img", "")  # that pipeline and the one from text alone have the same parts
    like = next((known for known in CATALOG.values() if (known.pipeline or "").replace("Img2Img", "") == parts), MINI)
    return replace(
        like, name=str(source), source=folder if folder.is_dir() else str(source),
        architecture=None, gated=False, parameters={}, licence="", task="", needs="",
    )  # fmt: skip


def find(name: str) -> ModelEntry:
    """What is known, without loading it, of a model that is given by a name of the catalog, a folder or a hub id."""
    return CATALOG.get(name) or entry_of(name)


def no_model(name: str) -> str:
    """The sentence for a name that can be no model's."""
    return f"{name!r} is neither a model of the catalog ({', '.join(CATALOG)}), nor a folder, nor an org/name"
