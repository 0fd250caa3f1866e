"""One edit at several strengths, side by side.

In: an editor, a request with a `Strength`, the strengths. Out: a result for each, and one picture of them all. The
instruction is encoded once, and the same seed makes all of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from mmdit.editor import EditError, Editor, EditRequest, EditResult, StepProgress

MOST = 16
LABEL = 0.05  # height of a label's letters, of the pictures' height


def edit_strip(
    editor: Editor,
    request: EditRequest,
    strengths: Sequence[float],
    on_step: Callable[[StepProgress], None] | None = None,
) -> list[EditResult]:
    """The edit at each strength, all with one seed.

    Raises:
        EditError: no neutral instruction, no strength or too many; and whatever `Editor.edit` raises.
    """
    if request.strength is None:
        raise EditError("strengths were given without a neutral instruction; say which words stand for no change")
    if not 1 <= len(strengths) <= MOST:
        raise EditError(f"{len(strengths)} strengths were given; use 1 to {MOST}")
    wanted = [replace(request, strength=replace(request.strength, value=value)) for value in strengths]
    for one in wanted:
        one.check()  # before the first is made
    results: list[EditResult] = []
    for one in wanted:
        seed = results[0].settings["seed"] if results else request.seed
        results.append(editor.edit(replace(one, seed=seed), on_step))
    return results


def side_by_side(pictures: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """Pictures of one size in rows, each with its label below."""
    width, height = pictures[0].size
    letters = max(12, round(height * LABEL))
    columns = min(len(pictures), max(1, math.ceil(math.sqrt(len(pictures) * height / width * 2))))
    cell = (width + letters // 2, height + 2 * letters)
    sheet = Image.new("RGB", (columns * cell[0], math.ceil(len(pictures) / columns) * cell[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(letters)
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = place % columns * cell[0], place // columns * cell[1]
        sheet.paste(picture, (left, top))
        draw.text((left + width / 2, top + height + letters), label, fill="black", font=font, anchor="mm")
    return sheet
