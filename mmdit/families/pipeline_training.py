"""How LoRAs are trained on a diffusers pipeline: what it tells its transformer, and the error of the velocity.

In: pairs of pictures. Out: groups, the loss of a batch, ordinary edits to compare. The text, the ids, the references
and whatever else the transformer is told are taken from the first step of the pipeline's own edit of the source, so
they are those of every later edit. Knows nothing of optimisers or runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mmdit.families.family import EditCall, fit_area
from mmdit.families.pipeline import PipelineFamily, resized
from mmdit.lora.inspect import LoraError
from mmdit.lora.pairs import PicturePair
from mmdit.lora.training_output import Edited

EDIT_SEED = 0
SHOWN_SIDE = 512  # pixels of the pictures that are compared
TARGETS_OF: dict[str, str] = {
    "FluxTransformer2DModel": "flux",
    "Flux2Transformer2DModel": "flux2",
    "QwenImageTransformer2DModel": "qwen-image",
    "SD3Transformer2DModel": "sd3",
    "Step1XEditTransformer2DModel": "step1x",
}
"""Class of a transformer → the family by which `mmdit.lora.formats.seed_targets` names its modules."""


@dataclass(frozen=True)
class PipelinePair:
    """
    Args:
        pair: the pictures' files and the instructions.
        target: what the sampler is to arrive at, (1, T, C) tokens or (1, C, rows, columns), on the CPU.
        wordings: for each instruction what the transformer is told at the first step, by argument, on the CPU;
            ``hidden_states`` begin with the noisy target.
    """

    pair: PicturePair
    target: Tensor
    wordings: tuple[dict[str, Any], ...]


class PipelineTrainable:
    """A loaded pipeline, as `mmdit.lora.training.Trainable` wants it.

    Its transformer recomputes activations in the backward pass from now on; edits are not touched by that.

    Args:
        name: the base model's, written into the LoRA.
        resolution: the pairs are seen at about resolution² pixels; None for the family's own.

    Raises:
        LoraError: a transformer whose targets are unknown, or that is not kept whole on its device.
    """

    def __init__(self, family: PipelineFamily, name: str, resolution: int | None = None) -> None:
        kind = type(family.transformer).__name__
        if kind not in TARGETS_OF:
            raise LoraError(f"LoRAs can't be trained on a {kind}; there is {', '.join(TARGETS_OF)}")
        if any(parameter.device.type != family.device.type for parameter in family.transformer.parameters()):
            raise LoraError(f"{name} is offloaded to make it fit, and can't be trained so; use --memory int8 or int4")
        self.name, self.family = name, TARGETS_OF[kind]
        self.fingerprint, self.transformer = family.fingerprint, family.transformer
        self.resolution = family.traits.resolution if resolution is None else resolution
        self._family = family
        self.transformer.enable_gradient_checkpointing()

    def prepare(self, pairs: Sequence[PicturePair]) -> tuple[tuple[PipelinePair, ...], ...]:
        """One group of all pairs, whatever their shapes: each goes through the transformer by itself.

        Raises:
            LoraError: an unusable picture, or an instruction that the family refuses.
        """
        return (tuple(map(self._prepared, pairs)),) if pairs else ()

    def loss(self, group: Sequence[PipelinePair], rows: Tensor, draw: torch.Generator) -> Tensor:
        """Mean squared error of the velocity ε − x₀ at logit-normal σ (Esser et al. 2024, equations 13, 14, 19)."""
        losses = []
        for row in rows.tolist():
            pair = group[row]
            told = pair.wordings[int(torch.randint(len(pair.wordings), (), generator=draw))]
            sigma = torch.sigmoid(torch.randn((), generator=draw)).item()
            noise = torch.randn(pair.target.shape, generator=draw)
            losses.append(self._loss(pair.target.float(), noise, sigma, told))
        return torch.stack(losses).mean()

    def edit(self, group: Sequence[PipelinePair], row: int) -> Edited:
        """One pair, edited by its first instruction with the family's own defaults, shown no larger than needed."""
        pair = group[row].pair
        source, target = pair.open()
        edited = self._family.edit(self._call(source, pair.instructions[0])).image
        shown = fit_area(source.size, min(SHOWN_SIDE, max(source.size)), 1)
        return Edited(pair.instructions[0], *(resized(picture, shown) for picture in (source, edited, target)))

    def _prepared(self, pair: PicturePair) -> PipelinePair:
        source, target = pair.open()
        try:
            wordings = tuple(self._told(self._call(source, text)) for text in pair.instructions)
        except ValueError as error:
            raise LoraError(f"pair {pair.name}: {error}") from error
        working = self._family.working_size(source.size, self.resolution)
        with torch.no_grad():
            clean = self._family.latents_of(resized(target, working))
        return PipelinePair(pair, clean.cpu(), wordings)

    def _call(self, picture: Image.Image, instruction: str) -> EditCall:
        """An ordinary edit with the family's defaults."""
        traits = self._family.traits
        return EditCall(
            (picture,), instruction, traits.steps, traits.guidance, EDIT_SEED,
            self._family.working_size(picture.size, self.resolution), denoise=traits.denoise or 1.0,
        )  # fmt: skip

    def _told(self, call: EditCall) -> dict[str, Any]:
        """What the transformer is told in the edit, in the pass that follows the instruction."""
        guided = self._family.guides_truly(call)
        call = replace(call, denoise=1.0, guidance=1.0 if guided else call.guidance)
        return {name: _moved(value, "cpu") for name, value in self._family.transformer_arguments(call).items()}

    def _loss(self, target: Tensor, noise: Tensor, sigma: float, told: dict[str, Any]) -> Tensor:
        told = {name: _moved(value, self._family.device) for name, value in told.items()}
        states, noisy = told["hidden_states"], (1 - sigma) * target + sigma * noise
        length = target.shape[1]  # of the target's tokens, which references follow; or channels, and nothing follows
        told["hidden_states"] = torch.cat([noisy.to(states), states[:, length:]], dim=1)
        told["timestep"] = torch.full_like(told["timestep"], sigma * self._family.timestep_scale)
        velocity = self.transformer(**told)[0][:, :length]
        return functional.mse_loss(velocity.float(), (noise - target).to(velocity.device))


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
