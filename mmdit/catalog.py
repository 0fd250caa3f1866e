"""The editors that can be named: what each is, what it needs, how it likes to be run. Data only."""

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class ModelEntry:
    """
    Args:
        name: what ``load_editor`` and ``--model`` take.
        family: the module of `mmdit.families` that drives it.
        source: a local folder.
        task, licence, needs: for people.
        steps, guidance: defaults.
    """

    name: str
    family: str
    source: Path
    task: str
    licence: str
    needs: str
    steps: int
    guidance: float


CATALOG: dict[str, ModelEntry] = {
    "mini": ModelEntry(
        name="mini",
        family="mini",
        source=ASSETS / "mini",
        task="simple objects and whole-photo edits, any picture size",
        licence="Apache-2.0",
        needs="nothing: shipped with the program, runs on any CPU",
        steps=1,
        guidance=1.0,
    ),
}
