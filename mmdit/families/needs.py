"""What a model needs: how many weights each part has, and what comes and goes while an edit runs.

In: a catalog entry, or a folder that was found whole. Out: `Needs`, which tell bytes for each precision and way of
loading. Sizes are bytes. Reads headers, loads nothing, needs no torch. Knows no machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdit.catalog import ModelEntry
from mmdit.families.folders import ModelError, plain_weights, read_json
from mmdit.lora.header import LoraError, read_header

RESERVE = 10**9
"""Bytes for the workspaces of kernels, fragmentation and the logits of a text encoder."""
TRANSFORMER_ELEMENTS = 24
"""Numbers alive at once per token and channel. Measured with fake tensors at 1024² with one reference: Qwen 10,
SD3.5 11, FLUX.1 15, FLUX.2 21."""
VAE_ELEMENTS = {"qwen": 1800, "kl": 800}
"""Numbers alive at once per pixel while a picture is decoded; measured likewise: 1730 and 770."""
VAE_TILES = {"qwen": 256, "kl": 1024}
"""Side of a VAE's tile in pixels."""
STITCHED_ELEMENTS = 16
QUANTISED_BYTES = {"int8": (1.05, 1.15), "int4": (0.6, 0.7)}
"""Bytes a weight, of transformers and of text encoders, whose embeddings stay as they are."""
TEXT_TOKENS = 512
BYTES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Needs:
    """
    Args:
        parameters: component → number of weights.
        width: channels of a token in the transformer.
        stored: component → bytes, for those that are quantised on disk and stay as they are.
        resolution: pixels of a side of the square whose area the model works at.
        pictures: of one edit that go through the transformer, the edited one counted.
        batch: passes that the transformer makes at once.
        vae: "kl" or "qwen".
    """

    parameters: Mapping[str, int]
    width: int
    stored: Mapping[str, int] = field(default_factory=dict)
    resolution: int = 1024
    pictures: int = 1
    batch: int = 1
    vae: str = "kl"

    @classmethod
    def of_entry(cls, entry: ModelEntry) -> "Needs":
        """What a catalog entry says."""
        pipeline = _of_pipeline(entry.pipeline or "")
        return cls(dict(entry.parameters), entry.width, pictures=entry.pictures, **pipeline)

    @classmethod
    def of_folder(cls, folder: Path, resolution: int = 1024, pictures: int = 1) -> "Needs":
        """What the headers of a folder's weights say; ``folder`` as `hub.locate` gives it.

        Raises:
            ModelError: weights or configurations that can't be read.
        """
        parameters, stored = {}, {}
        for place in sorted(path for path in folder.iterdir() if path.is_dir()):
            files = plain_weights(place)
            if files:
                parameters[place.name] = sum(_count(file) for file in files)
                if "quantization_config" in read_json(place / "config.json"):
                    stored[place.name] = sum(file.stat().st_size for file in files)
        config = read_json(folder / "transformer" / "config.json")
        width = config.get("num_attention_heads", 24) * config.get("attention_head_dim", 128)
        pipeline = read_json(folder / "model_index.json").get("_class_name", "")
        return cls(parameters, width, stored, resolution, pictures, **_of_pipeline(pipeline))

    def weights(self, dtype: str, mode: str = "full") -> dict[str, int]:
        """Component → bytes in memory."""
        sizes = dict.fromkeys(self.parameters, float(BYTES[dtype]))
        if mode in QUANTISED_BYTES:
            sizes |= {name: QUANTISED_BYTES[mode][name != "transformer"] for name in self.quantisable}
        return {name: self.stored.get(name, round(count * sizes[name])) for name, count in self.parameters.items()}

    @property
    def quantisable(self) -> tuple[str, ...]:
        """The transformer and the text encoders, unless they are quantised on disk."""
        return tuple(
            name for name in self.parameters
            if (name == "transformer" or name.startswith("text_encoder")) and name not in self.stored
        )  # fmt: skip

    def activations(self, dtype: str, tiled: bool = False) -> int:
        """Bytes that come and go while an edit runs: the larger of transformer and VAE, and a reserve.

        The transformer keeps `TRANSFORMER_ELEMENTS` numbers for each channel of each token: 16² pixels a token, of the
        target and of every picture, and the text. The VAE keeps `VAE_ELEMENTS` for each pixel, of a tile if it is
        tiled.
        """
        pixels = self.resolution**2
        tokens = self.batch * (TEXT_TOKENS + pixels // 256 * (1 + self.pictures))
        at_once = min(pixels, VAE_TILES[self.vae] ** 2) if tiled else pixels
        vae = VAE_ELEMENTS[self.vae] * at_once + STITCHED_ELEMENTS * pixels
        return BYTES[dtype] * max(TRANSFORMER_ELEMENTS * tokens * self.width, vae) + RESERVE


def _count(file: Path) -> int:
    try:
        shapes = read_header(file).shapes.values()
    except LoraError as error:
        raise ModelError(str(error)) from None
    total = 0
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def _of_pipeline(name: str) -> dict[str, Any]:
    """What the class of a pipeline tells: Stable Diffusion 3 guides in one batch, Qwen has a VAE of its own."""
    return {
        "batch": 2 if name.startswith("StableDiffusion3") else 1,
        "vae": "qwen" if name.startswith("Qwen") else "kl",
    }
