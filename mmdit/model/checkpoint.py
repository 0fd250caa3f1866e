"""The embedded editor on disk: a folder with ``transformer/`` and ``text_encoder/``, safetensors and JSON only."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch

from mmdit.model.inpainting import INPAINTER_FILE, Inpainter
from mmdit.model.object_head import DRAWINGS_FILE
from mmdit.model.text import VOCABULARY_FILE, TextEncoder
from mmdit.model.transformer import MiniMMDiT

TELLING_LAYERS = "telling_layers.json"


class Models(NamedTuple):
    """What the embedded editor consists of."""

    transformer: MiniMMDiT
    text_encoder: TextEncoder
    inpainter: Inpainter


def load(folder: str | Path, device: str = "cpu") -> Models:
    """The models, float32, in evaluation mode; without a file of it, an untrained inpainter. Raises FileNotFoundError
    when another part is missing.
    """
    folder = Path(folder)
    for part in ("transformer/config.json", "text_encoder/config.json", f"text_encoder/{VOCABULARY_FILE}"):
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder / part} is missing; {folder} is not an embedded editor")
    transformer = MiniMMDiT.from_pretrained(
        folder / "transformer", torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    file = folder / INPAINTER_FILE
    inpainter = Inpainter.from_file(file) if file.is_file() else Inpainter().requires_grad_(False).eval()
    text_encoder = TextEncoder.from_pretrained(folder / "text_encoder")
    return Models(transformer.to(device).eval(), text_encoder.to(device), inpainter.to(device))


def save(folder: str | Path, models: Models) -> None:
    """Write a shippable folder: the transformer in float16, the other models in 8 bits."""
    folder, transformer = Path(folder), models.transformer
    shipped = MiniMMDiT.from_config(transformer.config)
    shipped.load_state_dict(transformer.state_dict())
    if shipped.object_head is not None:
        shipped.object_head.drawings.copy_(transformer.object_head.drawings)
    shipped.half().save_pretrained(folder / "transformer")
    models.text_encoder.save_pretrained(folder / "text_encoder")
    models.inpainter.save(folder / INPAINTER_FILE)


def telling_layers(folder: str | Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """(direction, stream) → the layers whose maps find what a word names, as `mmdit.training.localisation` measured
    them; empty where it did not. Raises ValueError for a damaged file.
    """
    file = Path(folder) / TELLING_LAYERS
    if not file.is_file():
        return {}
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {(direction, stream): tuple(of) for direction, by in stored.items() for stream, of in by.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged ({error}); remove it, or make it with mmdit.training.localisation"
        ) from error


def fingerprint(folder: str | Path) -> str:
    """First 16 hex digits of the SHA-256 over the weights and drawings of all models, in the order of their names."""
    digest, folder = hashlib.sha256(), Path(folder)
    for file in sorted([*folder.rglob("*.safetensors"), *folder.rglob(DRAWINGS_FILE)]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
