"""Cards, rows and truth of the LoRA tab, as HTML.

In: presets and reports. Out: HTML, with every text escaped. Knows neither Gradio nor where files are.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mmdit.lora.inspect import LoraReport
from mmdit.lora.presets import Preset
from mmdit.runtime.sizes import shown_size
from mmdit.ui.language import say
from mmdit.ui.lora_shelf import HIGHEST, LOWEST, STEP, shown

ARROW_UP, ARROW_DOWN, CROSS = "M4 10l4-4 4 4", "M4 6l4 4 4-4", "M4 4l8 8M12 4l-8 8"
NAMED = 4  # modules named in a sentence; of more, their number


@dataclass(frozen=True)
class Row:
    """What a row of the stack shows, whatever its weight.

    Args:
        key: what a click reports.
        name: what it is called on the command line, or the file's name.
        report: None when there is none; then ``problem`` says why, in one sentence.
        can_fetch: whether the file could be downloaded.
    """

    key: str
    title: str
    name: str
    preset: Preset | None
    report: LoraReport | None
    problem: str = ""
    can_fetch: bool = False


# ---- cards


def card(key: str, preset: Preset, picture: str, suits: bool) -> str:
    """A preset to click.

    Args:
        picture: an address; "" for none.
        suits: whether it is for the model in use.
    """
    found_by = " ".join((preset.title, preset.name, preset.description, preset.family, preset.base, preset.trigger))
    face = f'<img src="{escape(picture)}" alt="" loading="lazy">' if picture else _initials(preset.title)
    if suits:
        foot, needs = say("weight {weight}", weight=shown(preset.weight)), ""
    else:
        foot = say("for {model}", model=preset.base or preset.family)
        wanted = preset.needs or say("Needs a {family} model.", family=preset.family)
        needs = f'<span class="needs">{escape(wanted)}</span>'
    about = f'<span class="about">{escape(preset.description)}</span>' if preset.description else ""
    state = 'aria-pressed="false"' if suits else 'aria-disabled="true"'
    return (
        f'<button type="button" class="card{"" if suits else " foreign"}" data-key="{escape(key)}" {state}'
        f' data-weight="{preset.weight:g}" data-text="{escape(found_by.casefold())}" title="{escape(preset.title)}">'
        f'<span class="face">{face}<span class="tick" aria-hidden="true">✓</span></span>'
        f'<span class="title">{escape(preset.title)}</span>{about}{needs}<span class="foot">{escape(foot)}</span>'
        "</button>"
    )


def problems(sentences: Sequence[str]) -> str:
    """Presets that can't be used; nothing when there are none."""
    if not sentences:
        return ""
    one, many = say("One preset can’t be used"), say("{count} presets can’t be used", count=len(sentences))
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details><summary>{one if len(sentences) == 1 else many}</summary><ul>{items}</ul></details>"


def _initials(title: str) -> str:
    letters = "".join(re.findall(r"\b\w", title)[:2]).upper()
    return f'<span class="initials" aria-hidden="true">{escape(letters)}</span>'


# ---- the stack


def row(of: Row) -> str:
    """Name, weight, order, and below them the truth."""
    low, high = of.preset.weight_range if of.preset is not None else (LOWEST, HIGHEST)
    title = escape(of.title)
    told = re.sub(r"\W+", "-", of.title).casefold() == of.name or of.title == of.name
    subtitle = "" if told else f'<span class="name">{escape(of.name)}</span>'
    tools = (
        _tool("up", ARROW_UP, say("Move {title} up", title=title)),
        _tool("down", ARROW_DOWN, say("Move {title} down", title=title)),
        _tool("remove", CROSS, say("Remove {title}", title=title)),
    )
    return (
        f'<div class="head"><span class="title">{title}</span>{subtitle}'
        f'<span class="tools">{"".join(tools)}</span></div>'
        f'<div class="weigh"><input type="range" class="slider" min="{low:g}" max="{high:g}" step="{STEP:g}" '
        f'aria-label="{say("Weight of {title}", title=title)}">'
        '<input type="text" class="number" inputmode="decimal" autocomplete="off" '
        f'aria-label="{say("Weight of {title} as a number", title=title)}"></div>'
        f"{_blocks_note()}{truth(of)}{_words(of.preset)}"
    )


def truth(of: Row, details_open: bool = False) -> str:
    """What would be applied: the verdict, the numbers, and what is lost."""
    if of.report is None:
        fetch = f'<button type="button" class="small fetch">{say("Fetch it now")}</button>' if of.can_fetch else ""
        kind = "absent" if of.can_fetch else "refused"
        return f'<div class="truth {kind}"><p class="verdict">{_sentence(of.problem)}</p>{fetch}</div>'
    report = of.report
    kind = "whole" if report.whole else "refused"
    return (
        f'<div class="truth {kind}">{_verdict(report)}{_facts(report)}{_strip(report)}{_left_out(report)}'
        f"{_details(report, details_open)}</div>"
    )


def _verdict(report: LoraReport) -> str:
    if report.whole:
        idle = report.idle()
        return f'<p class="verdict">{_sentence(idle) if idle else say("Applies whole")}</p>'
    text = f'<p class="verdict">{say("Refused:")} {escape(report.refusal())}.</p>'
    if not report.targets:
        return text
    count = say("{fitting} of {all} targets", fitting=len(report.targets), all=_total(report))
    accepted = say("Applies in part: {count}; the rest of the file is left out.", count=count)
    return (
        f'<p class="verdict accepted">{accepted}</p>{text}'
        f'<label class="partial"><input type="checkbox"> {say("Apply what fits ({count})", count=count)}</label>'
    )


def _facts(report: LoraReport) -> str:
    touched = sum(1 for block in report.blocks if block.matched)
    facts = {
        say("Targets"): say("{step} of {steps}", step=len(report.targets), steps=_total(report)),
        say("Blocks"): str(touched),
        say("Rank"): _range(report.ranks),
        say("Scale α/r × weight"): f'{_range(report.scales)} <span class="effect"></span>',
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts.items())
    scales = escape(json.dumps(list(report.scales[:1] + report.scales[-1:])))
    return f'<dl class="facts" data-scales="{scales}">{listed}</dl>'


def _strip(report: LoraReport) -> str:
    """A cell for each block: whole, in part, or not at all."""
    cells = []
    for block in report.blocks:
        lost = block.missing + block.mismatched + block.unknown
        kind = "none" if not block.matched else "some" if lost else "all"
        numbers = {
            say("{count} matched", count=block.matched): block.matched,
            say("{count} missing", count=block.missing): block.missing,
            say("{count} of another shape", count=block.mismatched): block.mismatched,
            say("{count} unknown", count=block.unknown): block.unknown,
        }
        text = ", ".join(said for said, count in numbers.items() if count)
        cells.append(f'<i class="{kind}" title="{escape(block.block)}: {text}"></i>')
    return f'<div class="strip-of-blocks" aria-hidden="true">{"".join(cells)}</div>'


def _left_out(report: LoraReport) -> str:
    left = [name for name in report.missing if name not in report.incomplete]
    if not left:
        return ""
    text = say("The file leaves out {count} that other blocks have: {names}.", count=len(left), names=_some(left))
    return f'<p class="note">{escape(text)}</p>'


def _details(report: LoraReport, is_open: bool) -> str:
    like = say("looks like {family}", family=report.family)
    about = f"{report.format} · {report.dtype} · {shown_size(report.bytes)} · {like}: {report.evidence}"
    lists = "".join(
        f"<p><b>{label}</b> {escape(_some(names, 12))}</p>"
        for label, names in (
            (say("Half a pair:"), report.incomplete), (say("Another shape:"), report.mismatched),
            (say("Unknown:"), report.unknown),
        )
        if names
    )  # fmt: skip
    return (
        f"<details{' open' if is_open else ''}><summary>{say('By block')}</summary><p>{_sentence(about)}</p>{lists}"
        f'<pre tabindex="0">{escape(report.table())}</pre></details>'
    )


def _words(preset: Preset | None) -> str:
    if preset is None:
        return ""
    hints = [say("trigger: “{trigger}”", trigger=preset.trigger)] if preset.trigger else []
    if preset.steps:
        hints.append(say("made for 1 step") if preset.steps == 1 else say("made for {steps} steps", steps=preset.steps))
    hints += [say("guidance {guidance}", guidance=f"{preset.guidance:g}")] if preset.guidance is not None else []
    chips = "".join(
        f'<button type="button" class="chip" data-words="{place}" title="{say("Put it into the instruction")}">'
        f"{escape(words)}</button>"
        for place, words in enumerate(preset.instructions)
    )
    if not chips and not hints:
        return ""
    label = say("Use its words") if chips else ""
    hint = f'<span class="hint">{escape(" · ".join(hints))}</span>' if hints else ""
    return f'<div class="words"><span class="label">{label}</span>{hint}<div class="chips">{chips}</div></div>'


def _blocks_note() -> str:
    text = say("With weights of its own for each block, as its result had them.")
    return f'<p class="note per-block" hidden>{text}</p>'


def _tool(action: str, path: str, label: str) -> str:
    return (
        f'<button type="button" class="tool" data-action="{action}" aria-label="{label}" title="{label}">'
        f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg></button>'
    )


# ---- a dropped file


def inspected(of: Row) -> str:
    """What a dropped file holds, with the table open, to be added or put away."""
    title = escape(of.name)
    add = "" if of.report is None or not of.report.targets else (
        f'<button type="button" class="small primary add">{say("Add to the stack")}</button>'
    )  # fmt: skip
    return (
        f'<div class="head"><span class="title">{title}</span></div>{truth(of, details_open=True)}'
        f'<div class="buttons">{add}<button type="button" class="small close">{say("Close")}</button></div>'
    )


# ---- words


def _total(report: LoraReport) -> int:
    """Modules that the file is for, whether they fit or not."""
    return sum(map(len, (report.targets, report.incomplete, report.mismatched, report.unknown)))


def _range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    ends = dict.fromkeys((shown(values[0]), shown(values[-1])))
    return "–".join(ends)


def _some(names: Sequence[str], most: int = NAMED) -> str:
    return ", ".join(names[:most]) + (say(" and {count} more", count=len(names) - most) if len(names) > most else "")


def _sentence(text: str) -> str:
    """Escaped, upper-cased and ended."""
    return escape(text[:1].upper() + text[1:]) + ("" if text.endswith((".", "!", "?")) else ".")
