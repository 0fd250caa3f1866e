"""The history's gallery, settings and links as HTML.

In: entries and plain values. Out: HTML, with every text escaped. Knows neither Gradio nor where pictures are from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mmdit.runtime.history import Entry
from mmdit.runtime.sizes import shown_size
from mmdit.ui import markup
from mmdit.ui.language import say
from mmdit.ui.lora_shelf import shown

NOTHING = "Every result is kept on disk and shown here. There are none so far."
NOT_FOUND = "No result has all of these words in its instruction, model, LoRAs, name or date."
NAMES = {
    "instruction": "Instruction", "model": "Model", "seed": "Seed", "steps": "Steps", "guidance": "Guidance",
    "negative": "Not wanted", "true_guidance": "Guidance away from it", "denoise": "Repaint",
    "shift": "Shift of the schedule", "resolution": "Working resolution", "reasoning": "Reasoning",
    "literally": "Words as they stand", "guard": "Alignment guard",
    "references": "Further pictures", "weights": "Weights", "torch": "PyTorch", "machine": "Machine",
}  # fmt: skip
"""What people call settings; in this order."""


@dataclass(frozen=True)
class Tile:
    """
    Args:
        picture: address of a small copy; "" when it can't be made.
        pressed: whether it is the one on show, or compared with it.
    """

    entry: Entry
    picture: str
    pressed: bool


def gallery(tiles: Sequence[Tile], searched: bool) -> str:
    """Results to click, newest first."""
    if not tiles:
        return f'<p class="strip-empty">{say(NOT_FOUND if searched else NOTHING)}</p>'
    return f'<div class="history-grid">{"".join(map(_tile, tiles))}</div>'


def _tile(tile: Tile) -> str:
    entry = tile.entry
    instruction, made = str(entry.settings.get("instruction", "")), made_at(entry)
    return (
        f'<button type="button" data-name="{entry.name}" title="{escape(instruction)}" '
        f'aria-pressed="{str(tile.pressed).lower()}"><img src="{escape(tile.picture)}" alt="" loading="lazy">'
        f'<span class="said">{escape(instruction)}</span><span class="when">{made}</span></button>'
    )


def made_at(entry: Entry) -> str:
    """When a result was made."""
    return f"{entry.made:{say('%d %b %Y, %H:%M')}}"


def alone(address: str, name: str) -> str:
    """One picture that was dropped."""
    return f'<div class="history-alone"><img src="{escape(address)}" alt="{escape(name)}"></div>'


def nothing_chosen() -> str:
    return (
        f'<div class="stage empty"><div><strong>{say("Choose a result")}</strong>'
        f"<span>{say('Its pictures and settings appear here.')}</span></div></div>"
    )


def details(settings: Mapping[str, Any], title: str, sources: Sequence[tuple[str, Path]] = ()) -> str:
    """A result's settings as a table.

    Args:
        title: of the table.
        sources: each picture that was given: address of a small copy, and its file.
    """
    rows = [(say(NAMES[name]), _value(settings[name])) for name in NAMES if name in settings]
    size = settings.get("size")
    if isinstance(size, list) and len(size) == 2:
        rows.insert(2, (say("Size"), f"{_value(size[0])} × {_value(size[1])}"))
    if isinstance(strength := settings.get("strength"), dict):
        against = say("{strength}, against “{words}”", strength=_value(strength.get("value")),
                      words=_value(strength.get("neutral")))  # fmt: skip
        rows.insert(5, (say("Strength"), against))
    if isinstance(settings.get("region"), dict):
        rows.append((say("Region"), say("a part only")))
    loras = settings.get("loras")
    for lora in loras if isinstance(loras, list) else ():
        rows.append(("LoRA", _lora(lora if isinstance(lora, dict) else {})))
    told = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    given = "".join(
        f'<a href="{markup.file_url(file)}" target="_blank" '
        f'aria-label="{say("Given picture {number}, in full", number=index)}">'
        f'<img src="{escape(address)}" alt="{say("Given picture {number}", number=index)}"></a>'
        for index, (address, file) in enumerate(sources, start=1)
    )
    pictures = f'<tr><th scope="row">{say("Given")}</th><td class="given"><div>{given}</div></td></tr>' if given else ""
    return f'<table class="settings"><caption>{escape(title)}</caption><tbody>{told}{pictures}</tbody></table>'


def _lora(lora: Mapping[str, Any]) -> str:
    weight, blocks = lora.get("weight"), lora.get("blocks")
    number = shown(float(weight)) if isinstance(weight, int | float) else _value(weight)
    own = isinstance(blocks, dict) and blocks
    some = say(", {count} blocks of their own weight", count=len(blocks)) if own else ""
    return f"{_value(lora.get('name'))} × {number}{some} (SHA-256 {str(lora.get('sha256'))[:12]}…)"


def _value(value: Any) -> str:
    if value is True:
        return say("yes")
    return f"{value:g}" if isinstance(value, float) else str(value)


def link(file: Path) -> str:
    """To a bundle that was made."""
    size = shown_size(file.stat().st_size)
    return (
        f'<a class="bundle" href="{markup.file_url(file)}" download="{escape(file.name)}">'
        f"{say('Download {name} ({size})', name=escape(file.name), size=size)}</a>"
    )


def pages(page: int, each: int, found: int) -> str:
    """ "25–48 of 130"."""
    if not found:
        return markup.hint(say("No results"))
    first = page * each + 1
    return markup.hint(say("{step} of {steps}", step=f"{first}–{min(first + each - 1, found)}", steps=found))
