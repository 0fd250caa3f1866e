"""How near an edit comes to its known truth: numbers of each sample, and of each kind with their uncertainty.

In: scenes and the finished edits. Out: dictionaries of numbers. Knows no models.

Axes: B batch, K objects of the vocabulary, R resamples.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.vocabulary import FURTHER_OBJECT_EDITS, OBJECT_EDITS
from mmdit.training.objective import VISIBLE_CHANGE
from mmdit.training.plans import MAX_OBJECTS
from mmdit.training.scenes import SceneBatch, Scenes

TOUCHED = 0.08  # mean absolute change of another object, of the full range, from which on it was touched
DETAIL_SIDE, SMOOTH = 9, 0.02  # pixels; detail of the full range of 2, below which nobody sees any
RESAMPLES, CONFIDENCE = 1000, 0.95

OF_OBJECTS = OBJECT_EDITS + FURTHER_OBJECT_EDITS

Scores = dict[str, float]


def psnr(error: Tensor | float) -> Tensor:
    """Decibels of a mean squared error on the [0, 1] scale; capped at 80."""
    return -10 * torch.log10(torch.as_tensor(error).clamp_min(1e-8))


def score(scenes: SceneBatch, output: Tensor) -> list[Scores]:
    """One dictionary a sample.

    psnr, psnr_unedited: of output and source against the target. error, error_unedited: squared error summed over
    the edited region (where source and target visibly differ, grown by a pixel), or over the whole picture when it
    is a photo edit; their ratio over many samples is "the error relative to the unedited picture's". psnr_outside:
    over what lies more than 4 pixels from the edited region. psnr_source: of the output against the source.
    touched: 1 when another object than the named one changed; absent when there is no other.
    """
    output = output.clamp(-1, 1)
    error = _squared_error(output, scenes.target)
    unedited = _squared_error(scenes.source, scenes.target)
    visible = ((scenes.source - scenes.target).abs().amax(dim=1, keepdim=True) > VISIBLE_CHANGE).float()
    region, near = (functional.max_pool2d(visible, size, 1, size // 2) for size in (3, 9))
    change = (output - scenes.source).abs().mean(dim=1, keepdim=True) / 2
    scores = []
    for index, kind in enumerate(scenes.kinds):
        where = region[index] if kind in OF_OBJECTS else torch.ones_like(region[index])
        row = {
            "psnr": psnr(error[index].mean()).item(),
            "psnr_unedited": psnr(unedited[index].mean()).item(),
            "error": (error[index] * where).sum().item(),
            "error_unedited": (unedited[index] * where).sum().item(),
            "psnr_source": psnr(_squared_error(output, scenes.source)[index].mean()).item(),
        }
        outside = 1 - near[index]
        if kind in OF_OBJECTS and outside.sum() > 0:
            row["psnr_outside"] = psnr((error[index] * outside).sum() / outside.sum()).item()
        touched = _others_touched(scenes, index, change[index, 0] * outside[0])
        if kind in OF_OBJECTS and touched is not None:
            row["touched"] = float(touched)
        scores.append(row)
    return scores


def detail(scenes: SceneBatch, output: Tensor) -> list[float | None]:
    """How rough the place of a removed object is, over how rough it should be: root mean squares of what differs from
    the mean of `DETAIL_SIDE` pixels around; None where it should be smooth.
    """
    places = torch.arange(len(scenes.kinds))
    where = scenes.masks[places, scenes.edited_slot][:, None] > 0.5
    found, wanted = (((_rough(of) * where).sum(dim=(1, 2, 3)) / where.sum(dim=(1, 2, 3))).sqrt()
                     for of in (output, scenes.target))  # fmt: skip
    return [
        None if smooth else ratio
        for smooth, ratio in zip((wanted < SMOOTH).tolist(), (found / wanted).tolist(), strict=True)
    ]


def _rough(picture: Tensor) -> Tensor:
    """(B, 1, height, width) squared detail."""
    margin = DETAIL_SIDE // 2
    padded = functional.pad(picture, (margin,) * 4, mode="replicate")
    return (picture - functional.avg_pool2d(padded, DETAIL_SIDE, 1)).square().mean(dim=1, keepdim=True)


def _squared_error(a: Tensor, b: Tensor) -> Tensor:
    """(B, 1, height, width), on the [0, 1] scale."""
    return ((a - b) / 2).square().mean(dim=1, keepdim=True)


def _others_touched(scenes: SceneBatch, index: int, change: Tensor) -> bool | None:
    """Whether any object but the edited one changed; None when there is none to be seen."""
    shares = []
    for slot in range(MAX_OBJECTS):
        mask = scenes.masks[index, slot] > 0.5
        if slot != scenes.edited_slot[index] and mask.sum() > 20:
            shares.append(change[mask].mean().item())
    return max(shares) > TOUCHED if shares else None


def right_object(stream: Scenes, scenes: SceneBatch, index: int, output: Tensor) -> bool | None:
    """Whether one sample's edit shows the object that was asked for; None where the edit leaves none.

    Every object of the vocabulary is drawn in its place. The right one must be the nearest to the output, by
    normalised correlation of what each changes in the picture without any.
    """
    asked = scenes.painted[index, 1].item()
    if asked < 0:
        return None
    changes = (stream.with_each_object(scenes, index) - scenes.clean[index]).flatten(1)
    seen = (output[index].clamp(-1, 1) - scenes.clean[index]).flatten()
    return int((functional.normalize(changes, dim=1) @ seen).argmax()) == asked


def summarise(scores: dict[str, list[Scores]]) -> dict[str, dict[str, Any]]:
    """Kind → numbers: means, and the ratio of the summed errors as "relative_error".

    "intervals" holds [low, high] of each: percentile bootstrap over the samples, of `CONFIDENCE` (Efron 1979).
    """
    summary = {}
    for kind, rows in scores.items():
        measures = {
            key: (np.array([row[key] for row in rows if key in row]), None)
            for key in dict.fromkeys(key for row in rows for key in row)
        }
        error, unedited = (measures.pop(key)[0] for key in ("error", "error_unedited"))
        if unedited.any():  # else the picture was to be left alone
            measures["relative_error"] = (error, unedited)
        numbers: dict[str, Any] = {key: _mean(*of) for key, of in measures.items()}
        numbers["intervals"] = {key: _interval(*of) for key, of in measures.items()}
        summary[kind] = numbers | {"samples": len(rows)}
    return summary


def _mean(values: np.ndarray, over: np.ndarray | None) -> float:
    return float(values.mean() if over is None else values.sum() / over.sum())


def _interval(values: np.ndarray, over: np.ndarray | None) -> list[float]:
    """[low, high] of `_mean`, from resampled samples (R, B)."""
    chosen = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    found = values[chosen].mean(axis=1) if over is None else values[chosen].sum(axis=1) / over[chosen].sum(axis=1)
    outside = 50 * (1 - CONFIDENCE)
    return [float(bound) for bound in np.percentile(found, [outside, 100 - outside])]
