"""The embedded editor as a family: load it, and make one edit with it.

The transformer works at about 128 × 128; the edit that it finds is carried to the picture's own size.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mmdit import images
from mmdit.attention.maps import AttentionMaps
from mmdit.attention.recorder import Recorder, observing
from mmdit.attention.spec import EditTokens, RecordSpec
from mmdit.model import checkpoint
from mmdit.model.edit_field import EditField, carry
from mmdit.model.sampling import Solver, sample
from mmdit.model.text import TextEncoder, TextFeatures
from mmdit.model.transformer import WORKING_SIZES, MiniMMDiT

VISIBLE = 0.05  # change of a working pixel, of the full range, below which nobody sees it

OnStep = Callable[[int, Image.Image], None]


@dataclass(frozen=True)
class FamilyOutput:
    """The edited picture, what its maker should know about it, and what the model looked at if that was recorded."""

    image: Image.Image
    warnings: tuple[str, ...]
    maps: AttentionMaps | None


class MiniEditor:
    """One loaded embedded editor.

    Args:
        folder: what `checkpoint.save` wrote.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.device = device
        self.fingerprint = checkpoint.fingerprint(folder)
        self.transformer, self.text_encoder = checkpoint.load(folder, device)

    def edit(
        self,
        pictures: list[Image.Image],
        instruction: str,
        *,
        steps: int,
        guidance: float,
        seed: int,
        record: RecordSpec | None = None,
        on_step: OnStep | None = None,
    ) -> FamilyOutput:
        """Edit the first picture.

        Args:
            pictures: upright RGB; exactly one.
            record: what to record of the joint attention; None for nothing.
            on_step: called with (steps done, preview at the working size); what it raises ends the edit.

        Raises:
            ValueError: more than one picture, or an instruction without a word.
            RecordError: a recording that can't be made.
        """
        if len(pictures) != 1:
            raise ValueError(f"{len(pictures)} pictures were given; the embedded editor edits exactly one")
        source = images.to_tensor(pictures[0]).to(self.device)
        height, width = working_size(*source.shape[-2:])
        working = images.resize(source, height, width)
        text = self.text_encoder.encode([instruction]).to(self.device)
        if not text.words[0]:
            raise ValueError(f"the instruction {instruction!r} holds no word; say in words what to do")

        def preview(done: int, clean: Tensor) -> None:
            if on_step is not None:
                on_step(done, images.to_image(clean))

        recorder = None if record is None else self._recorder(record, text, working, steps, guidance)
        with nullcontext() if recorder is None else observing(self.transformer, recorder):
            field = edit_field(
                self.transformer, self.text_encoder, working, text,
                steps=steps, guidance=guidance, seeds=[seed], on_step=preview,
            )  # fmt: skip
        edited = carry(field, working, source)
        maps = None if recorder is None else recorder.maps()
        return FamilyOutput(images.to_image(edited), _warnings(text, source, edited), maps)

    def _recorder(self, spec: RecordSpec, text: TextFeatures, working: Tensor, steps: int, guidance: float) -> Recorder:
        tokens = EditTokens(
            layout=self.transformer.layout(text.features.shape[1], *working.shape[-2:]),
            words=tuple((word, tuple(range(span.start, span.stop))) for word, span in text.words[0]),
            steps=steps,
            calls_per_step=1 if guidance == 1.0 else 2,
        )
        layers = tuple(f"transformer_blocks.{index}.attn" for index in range(self.transformer.config.layers))
        return Recorder(spec, tokens, layers, self.transformer.config.heads, self.device)


@torch.inference_mode()
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
    noise = torch.cat([
        torch.randn(working.shape[1:], generator=torch.Generator().manual_seed(seed))[None] for seed in seeds
    ]).to(working.device)  # fmt: skip
    nothing = text_encoder.encode([""] * len(seeds)).to(working.device) if guidance != 1.0 else None
    found: list[EditField] = []

    def estimate(noisy: Tensor, timestep: float) -> Tensor:
        moment = torch.full((len(seeds),), timestep, device=working.device)
        field = transformer(noisy, working, text.features, text.mask, timestep=moment).confined()
        if nothing is not None:
            unconditional = transformer(noisy, working, nothing.features, nothing.mask, timestep=moment).confined()
            field = unconditional.mix(field, guidance)
        found[:] = [field]
        return field.apply(working).clamp(-1, 1)

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
