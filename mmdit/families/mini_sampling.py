"""The sampler's run of the embedded editor: from a working picture and an encoded instruction to the edit.

What is laid over the picture is decided in the first step. What it takes away leaves a hole that is continued over.
Knows nothing of files or sizes, and of words only what was read in them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mmdit.families.mini_placing import Placing
from mmdit.model.checkpoint import Models
from mmdit.model.edit_field import EditField
from mmdit.model.inpainting import Inpainter, without_object
from mmdit.model.overlay import Overlay
from mmdit.model.sampling import Solver, sample
from mmdit.model.self_ensemble import Estimate, ensemble
from mmdit.model.text import TextFeatures


@dataclass(frozen=True)
class LastStep:
    """The sampler's last estimate, and how to make it of other views.

    Args:
        field: what the model estimated.
        noisy: what it estimated it from.
        estimate: see `mmdit.model.self_ensemble`.
        inpainter: what continues the picture where an object was.
        blurs: (B,) whether an instruction is read as the blur of the whole picture.
    """

    field: EditField
    noisy: Tensor
    estimate: Estimate
    inpainter: Inpainter
    blurs: Tensor

    def refined(self, working: Tensor) -> EditField:
        """The edit of ``working``, from several views of it; beneath overlays, the picture without the object."""
        return self.continued(self.estimated(working), working)

    def estimated(self, working: Tensor) -> EditField:
        """The same before anything stands where objects were."""
        covered = torch.zeros(len(working), dtype=torch.bool, device=working.device)
        for overlay in self.field.overlays:
            covered = covered | overlay.shown
        return ensemble(self.estimate, self.field, self.noisy, working, ~covered).blurred(self.blurs)

    def continued(self, field: EditField, working: Tensor) -> EditField:
        """An estimated edit, with what stands behind objects that leave their places."""
        left, hides = field.vacated()
        if left.any():
            chosen = left.nonzero()[:, 0]
            field = field.replaced(chosen, without_object(working[chosen], hides[chosen], self.inpainter))
        return field.beside_overlays()


def edit_field(
    models: Models,
    working: Tensor,
    text: TextFeatures,
    *,
    steps: int,
    guidance: float = 1.0,
    seeds: list[int],
    solver: Solver = "dpm++2m",
    on_step: Callable[[int, Tensor], None] | None = None,
) -> EditField:
    """Sample the edits of a batch of working pictures, (B, 3, height, width), one seed each."""
    return sampled(
        models, working, text,
        steps=steps, guidance=guidance, seeds=seeds, solver=solver, on_step=on_step,
    ).refined(working)  # fmt: skip


@torch.inference_mode()
def sampled(
    models: Models,
    working: Tensor,
    text: TextFeatures,
    *,
    steps: int,
    guidance: float,
    seeds: list[int],
    solver: Solver = "dpm++2m",
    on_step: Callable[[int, Tensor], None] | None = None,
    amount: float = 1.0,
    way: float = 1.0,
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> LastStep:
    """The sampler's run, of the one view; arguments as for `edit_field`.

    Args:
        amount, way: see `Placing.placed`.
        aside: gives the context in which the transformer is asked for more than the steps of the edit.
    """
    noise = torch.cat([
        torch.randn(working.shape[1:], generator=torch.Generator().manual_seed(seed))[None] for seed in seeds
    ]).to(working.device)  # fmt: skip
    unconditional = () if guidance == 1.0 else (models.text_encoder.encode([""] * len(seeds)).to(working.device),)
    kinds = ["" if reading is None else reading.kind for reading in text.readings]
    blurs = torch.tensor([kind == "blur" for kind in kinds], device=working.device)
    everything, found = torch.arange(len(seeds), device=working.device), list[LastStep]()

    @torch.inference_mode()
    def seen(
        noisy: Tensor, source: Tensor, chosen: Tensor, texts: tuple[TextFeatures, ...], timestep: float,
        find_objects: bool = False,
    ) -> EditField:  # fmt: skip
        moment = torch.full((len(source),), timestep, device=source.device)
        fields = [
            models.transformer(
                noisy, source, said.features[chosen], said.mask[chosen], timestep=moment, find_objects=find_objects
            ).confined()
            for said in texts
        ]
        return fields[0] if len(fields) == 1 else fields[1].mix(fields[0], guidance)

    def find(chosen: Tensor, source: Tensor, said: TextFeatures) -> tuple[Overlay, ...]:
        with aside():
            field = seen(noise[chosen], source, torch.arange(len(chosen)), (said,), 1.0, find_objects=True)
        return field.sure_overlays()

    placing = Placing(working, text, models, find)

    def estimate(noisy: Tensor, timestep: float) -> Tensor:
        texts = (text, *unconditional)
        field = seen(noisy, working, everything, texts, timestep, find_objects=not found)
        # What is laid over it follows from the source and the words, not from what was painted meanwhile.
        overlays = found[0].field.overlays if found else placing.placed(field, amount, way)
        field = replace(field, overlays=overlays).blurred(blurs)
        found[:] = [LastStep(field, noisy, partial(seen, texts=texts, timestep=timestep), models.inpainter, blurs)]
        return field.beside_overlays().apply(working).clamp(-1, 1)

    sample(estimate, noise, steps, solver, on_step)
    return found[0]
