"""The embedded editor as a family: load it, and make one edit with it.

The transformer works at about 128 × 128; the edit that it finds is carried to the picture's own size.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mmdit import images
from mmdit.attention.recorder import Recorder, observing
from mmdit.attention.spec import EditTokens, RecordSpec
from mmdit.families.family import EditCall, FamilyOutput, OnStep, Traits, check_call
from mmdit.families.strength import TextTokens, interpolate
from mmdit.model import checkpoint
from mmdit.model.edit_field import EditField, carry
from mmdit.model.sampling import Solver, sample
from mmdit.model.self_ensemble import Estimate, ensemble
from mmdit.model.text import TextEncoder, TextFeatures
from mmdit.model.transformer import WORKING_SIZES, MiniMMDiT

VISIBLE = 0.05  # change of a working pixel, of the full range, below which nobody sees it


class MiniEditor:
    """One loaded embedded editor.

    Args:
        folder: what `checkpoint.save` wrote.
    """

    traits = Traits(steps=1, guidance=1.0, takes_negative=False, takes_shift=False, redraws=False)

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.device = device
        self.fingerprint = checkpoint.fingerprint(folder)
        self.telling_layers = checkpoint.telling_layers(folder)
        self.transformer, self.text_encoder = checkpoint.load(folder, device)

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """See `Family.working_size`. Raises ValueError for a resolution, of which this family has one only."""
        if resolution is not None:
            raise ValueError(f"resolution is {resolution}; the embedded editor has one of its own, leave it out")
        height, width = working_size(size[1], size[0])
        return width, height

    def call(
        self, picture: Image.Image, instruction: str, steps: int = 1, seed: int = 0, record: RecordSpec | None = None
    ) -> EditCall:
        """The call that edits one picture without guidance."""
        return EditCall(
            (picture,), instruction, steps, 1.0, seed, working=self.working_size(picture.size), record=record
        )

    def edit(self, call: EditCall, on_step: OnStep | None = None) -> FamilyOutput:
        """See `Family.edit`. Raises ValueError: more than one picture, or an instruction without a word."""
        check_call(call, self.traits, "the embedded editor")
        source = images.to_tensor(call.pictures[0]).to(self.device)
        working = images.resize(source, call.working[1], call.working[0])
        text = self._encoded(call)

        def preview(done: int, clean: Tensor) -> None:
            if on_step is not None:
                on_step(done, call.steps, images.to_image(clean))

        recorder = None if call.record is None else self._recorder(call, text, working)
        with nullcontext() if recorder is None else observing(self.transformer, recorder):
            last = sampled(
                self.transformer, self.text_encoder, working, text,
                steps=call.steps, guidance=call.guidance, seeds=[call.seed], on_step=preview,
            )  # fmt: skip
        edited = carry(last.refined(working), working, source)
        maps = None if recorder is None else recorder.maps()
        return FamilyOutput(images.to_image(edited), _warnings(text, source, edited), maps)

    def _encoded(self, call: EditCall) -> TextFeatures:
        """The instruction, as strongly as it is to be followed."""
        text = self.text_encoder.encode([call.instruction], plainly=not call.literally).to(self.device)
        if not text.words[0]:
            raise ValueError(f"the instruction {call.instruction!r} holds no word; say in words what to do")
        if call.strength is None:
            return text

        def tokens(instruction: str) -> TextTokens:
            encoded = self.text_encoder.encode([instruction], plainly=not call.literally).to(self.device)
            return TextTokens(encoded.features[0], encoded.ids[0], encoded.mask[0])

        targets = [(tokens(other), value) for other, value in call.strength.targets(call.instruction)]
        mixed = interpolate(tokens(call.strength.neutral), targets, call.strength.method)
        return replace(text, features=mixed[None])

    def _recorder(self, call: EditCall, text: TextFeatures, working: Tensor) -> Recorder:
        tokens = EditTokens(
            layout=self.transformer.layout(text.features.shape[1], *working.shape[-2:]),
            words=tuple((word, tuple(range(span.start, span.stop))) for word, span in text.words[0]),
            steps=call.steps,
            calls_per_step=1 if call.guidance == 1.0 else 2,
            telling=self.telling_layers,
        )
        return Recorder(
            call.record, tokens, self.transformer.text_attentions, self.transformer.config.heads, self.device
        )


@dataclass(frozen=True)
class LastStep:
    """The sampler's last estimate, and how to make it of other views.

    Args:
        field: what the model estimated.
        noisy: what it estimated it from.
        estimate: see `mmdit.model.self_ensemble`.
    """

    field: EditField
    noisy: Tensor
    estimate: Estimate

    def refined(self, working: Tensor) -> EditField:
        """The edit of ``working``, from several views of it."""
        return ensemble(self.estimate, self.field, self.noisy, working).beside_copies()


def edit_field(
    transformer: MiniMMDiT,
    text_encoder: TextEncoder,
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
        transformer, text_encoder, working, text,
        steps=steps, guidance=guidance, seeds=seeds, solver=solver, on_step=on_step,
    ).refined(working)  # fmt: skip


@torch.inference_mode()
def sampled(
    transformer: MiniMMDiT,
    text_encoder: TextEncoder,
    working: Tensor,
    text: TextFeatures,
    *,
    steps: int,
    guidance: float,
    seeds: list[int],
    solver: Solver = "dpm++2m",
    on_step: Callable[[int, Tensor], None] | None = None,
) -> LastStep:
    """The sampler's run, of the one view; arguments as for `edit_field`."""
    noise = torch.cat([
        torch.randn(working.shape[1:], generator=torch.Generator().manual_seed(seed))[None] for seed in seeds
    ]).to(working.device)  # fmt: skip
    texts = [text] if guidance == 1.0 else [text, text_encoder.encode([""] * len(seeds)).to(working.device)]
    everything, found = torch.arange(len(seeds), device=working.device), list[LastStep]()

    @torch.inference_mode()
    def seen(noisy: Tensor, source: Tensor, chosen: Tensor, timestep: float, find_copies: bool = False) -> EditField:
        moment = torch.full((len(source),), timestep, device=source.device)
        fields = [
            transformer(
                noisy, source, said.features[chosen], said.mask[chosen], timestep=moment, find_copies=find_copies
            ).confined()
            for said in texts
        ]
        return fields[0] if len(fields) == 1 else fields[1].mix(fields[0], guidance)

    def estimate(noisy: Tensor, timestep: float) -> Tensor:
        field = seen(noisy, working, everything, timestep, find_copies=not found)
        if found:  # what is copied follows from the source and the words, not from what was painted meanwhile
            field = replace(field, cut_out=found[0].field.cut_out)
        found[:] = [LastStep(field, noisy, partial(seen, timestep=timestep))]
        return field.beside_copies().apply(working).clamp(-1, 1)

    sample(estimate, noise, steps, solver, on_step)
    return found[0]


def working_size(height: int, width: int) -> tuple[int, int]:
    """The trained size whose shape is nearest to the picture's."""
    return min(WORKING_SIZES, key=lambda size: abs(math.log(size[0] / size[1]) - math.log(height / width)))


def _warnings(text: TextFeatures, source: Tensor, edited: Tensor) -> tuple[str, ...]:
    warnings = []
    if text.truncated[0]:
        warnings.append(f"Only the start of the instruction was read; left out: “{' '.join(text.truncated[0])}”.")
    if text.read_as[0]:
        read = ", ".join(f"“{word}” as “{other}”" for word, other in text.read_as[0])
        warnings.append(f"Read {read}.")
    change = images.resize((source - edited).abs() / 2, *working_size(*source.shape[-2:]))
    if change.mean(dim=1).max().item() < VISIBLE:
        warnings.append(
            "The picture was left alone: the instruction was not understood, or what it names is not there."
        )
    return tuple(warnings)
