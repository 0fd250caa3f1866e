"""The editors that can be named: what each is, what it needs, how it likes to be run. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

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
        download: bytes that are fetched; 0 for what is shipped.
        width: channels of a token in the transformer.
        resolution: the model works on about resolution² pixels.
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
    download: int = 0
    width: int = 0
    resolution: int = 1024


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

CATALOG: dict[str, ModelEntry] = {entry.name: entry for entry in (MINI,)}


def entry_of(source: str | Path, pipeline: str | None = None) -> ModelEntry:
    """An entry for a folder or a hub id that the catalog does not name.

    It is like the first model of the catalog with that pipeline.
    """
    like = next((entry for entry in CATALOG.values() if entry.pipeline == pipeline), MINI)
    return replace(
        like, name=str(source), source=Path(source) if Path(source).is_dir() else str(source),
        architecture=None, gated=False, parameters={}, download=0, licence="", task="", needs="",
    )  # fmt: skip
