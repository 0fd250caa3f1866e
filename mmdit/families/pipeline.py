"""Driving a diffusers pipeline as a family: what all of them share.

The pipeline's own code makes the edit, with embeddings that were encoded before; here are the sizes in and back, the
text cache, strength, recording, previews and a cancel that leaves the pipeline usable. What differs between families
(how text is encoded, what the joint sequence looks like, which arguments the pipeline takes) is in their own files.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from mmdit.attention.interception import attention_heads, intercept, joint_attentions
from mmdit.attention.layout import TokenLayout
from mmdit.attention.recorder import Recorder
from mmdit.attention.spec import EditTokens, Pass, RecordError
from mmdit.families.family import (
    NATIVE,
    EditCall,
    FamilyOutput,
    OnStep,
    Speed,
    Traits,
    check_call,
    fit_area,
    steps_run,
)
from mmdit.families.preview import LatentPreview
from mmdit.families.schedule import shifted
from mmdit.families.speed import attending, speed_up
from mmdit.families.strength import TextTokens, interpolate
from mmdit.families.words import Words
from mmdit.told import NOTHING, Told

KEPT_TEXTS = 16
SAMPLED_BYTES, SAMPLES_A_FILE = 2**16, 16


@dataclass(frozen=True)
class EncodedText:
    """An instruction as a pipeline takes it.

    Args:
        tensors: the pipeline's argument (``prompt_embeds``, …) → tensor with a batch of one.
        token_ids: (T,) of the tokens in ``prompt_embeds``.
        mask: (T,), True for tokens of the text, False for padding.
        words: the instruction's words in order, each with its text slots.
        unread: the words beyond what the encoder reads.
    """

    tensors: dict[str, Tensor]
    token_ids: Tensor
    mask: Tensor
    words: Words
    unread: tuple[str, ...] = ()

    def tokens(self, name: str) -> TextTokens:
        """One of the arguments as a text whose strength can be changed: (1, T, C) is token by token."""
        embeddings = self.tensors[name][0]
        if embeddings.ndim == 1:
            return TextTokens(embeddings)
        return TextTokens(embeddings, self.token_ids.to(embeddings.device), self.mask.to(embeddings.device))


class PipelineFamily(ABC):
    """A diffusers pipeline, loaded and placed.

    Args:
        pipeline: of one of the family's `pipelines`.
        fingerprint: identifies the weights.
        speed: what to make it faster with.

    Raises:
        SpeedError: something of ``speed`` that does not work here.
    """

    pipelines: ClassVar[dict[str, Traits]]
    """Class name of a pipeline → how it likes to be run."""
    multiple: ClassVar[int] = 16
    """Both sides of a working picture are multiples of it, in pixels."""
    text_sees_pictures: ClassVar[bool] = False
    """Whether the encoding of an instruction depends on the pictures."""
    timestep_scale: ClassVar[float] = 1.0
    """The transformer's timestep at pure noise."""

    def __init__(self, pipeline: DiffusionPipeline, fingerprint: str, speed: Speed = Speed()) -> None:
        self.pipeline, self.fingerprint, self.speed = pipeline, fingerprint, speed
        self.traits = self.pipelines[type(pipeline).__name__]
        self._texts: OrderedDict[tuple, EncodedText] = OrderedDict()
        pipeline.set_progress_bar_config(disable=True)
        speed_up(pipeline.transformer, speed, self.device)

    @property
    def transformer(self) -> torch.nn.Module:
        return self.pipeline.transformer

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes, which is not where its weights lie when they are offloaded."""
        return self.pipeline._execution_device

    # ---- what a family says ----

    @abstractmethod
    def encode(self, instruction: str, pictures: Sequence[Image.Image]) -> EncodedText:
        """Encode an instruction as the pipeline itself would; ``pictures`` at the working size."""

    @abstractmethod
    def arguments(self, call: EditCall, pictures: list[Image.Image], text: dict[str, Tensor]) -> dict[str, Any]:
        """The pipeline's arguments, other than those that all pipelines take."""

    @abstractmethod
    def layout(self, call: EditCall, pictures: list[Image.Image], text_tokens: int) -> TokenLayout:
        """The joint sequence of this edit."""

    @abstractmethod
    def latent_picture(self, latents: Tensor, working: tuple[int, int]) -> Tensor:
        """The latents of the pipeline's loop as (1, C, rows, columns) on the encoder's own scale."""

    @abstractmethod
    def latents_of(self, picture: Image.Image) -> Tensor:
        """A picture of the working size as the finished latents of the pipeline's loop; `latent_picture` undoes it."""

    def pictures_for_model(self, call: EditCall) -> list[Image.Image]:
        """The pictures as the pipeline gets them: the first at the working size."""
        first, *others = call.pictures
        return [resized(first, call.working), *others]

    def guides_truly(self, call: EditCall) -> bool:
        """Whether each step also runs with the negative instruction."""
        return call.guidance > 1

    def passes(self, call: EditCall) -> dict[str, Any]:
        """Where the passes with and without the instruction are, as fields of `EditTokens`; two calls by default."""
        if not self.guides_truly(call):
            return {}
        return {"calls_per_step": 2, "unconditional": Pass(call=1)}

    # ---- what all of them do ----

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """See `Family.working_size`."""
        return fit_area(size, resolution or self.traits.resolution or 1024, self.multiple)

    def edit(self, call: EditCall, on_step: OnStep | None = None) -> FamilyOutput:
        """See `Family.edit`."""
        self._check(call)
        pictures = self.pictures_for_model(call)
        text, words, told = self._text(call, pictures)
        preview = None if on_step is None else LatentPreview.fit(self.pipeline.vae, pictures[0])
        arguments = self.arguments(call, pictures, text)
        recorder = None if call.record is None else self._recorder(call, pictures, words, text)

        def after_step(pipeline: Any, step: int, _: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if on_step is not None:
                sigmas = pipeline.scheduler.sigmas[-pipeline._num_timesteps - 1 :]
                latents = self.latent_picture(tensors["latents"], call.working)
                shown = preview.show(latents, sigmas[step].item(), sigmas[step + 1].item())
                on_step(step + 1, pipeline._num_timesteps, shown)
            return {}

        try:
            watching = nullcontext() if recorder is None else intercept(self.transformer, recorder)
            kernel = self.speed.attention if recorder is None else NATIVE
            with shifted(self.pipeline, call.shift), attending(kernel), watching:
                output = self.run(
                    call,
                    **arguments,
                    num_inference_steps=call.steps,
                    generator=torch.Generator().manual_seed(call.seed),
                    callback_on_step_end=after_step,
                    output_type="pil",
                )
        finally:
            self.pipeline.maybe_free_model_hooks()
        if recorder is not None and self.speed.said():
            told += Told((f"Recorded without {self.speed.said()}: an edit without maps is faster.",))
        image = resized(output.images[0], call.pictures[0].size)
        return FamilyOutput(image, told, None if recorder is None else recorder.maps())

    def run(self, call: EditCall, **arguments: Any) -> Any:
        """The pipeline's own call."""
        return self.pipeline(**arguments)

    def transformer_arguments(self, call: EditCall) -> dict[str, Any]:
        """What the pipeline gives its transformer at the first step of an edit, which ends there."""
        self._check(call)
        given: dict[str, Any] = {}

        def take(_: torch.nn.Module, __: tuple, arguments: dict[str, Any]) -> None:
            given.update(arguments)
            raise _Taken

        pictures = self.pictures_for_model(call)
        arguments = self.arguments(call, pictures, self._text(call, pictures)[0])
        handle = self.transformer.register_forward_pre_hook(take, with_kwargs=True)
        try:
            generator = torch.Generator().manual_seed(call.seed)
            self.run(call, **arguments, num_inference_steps=call.steps, generator=generator)
        except _Taken:
            pass
        finally:
            handle.remove()
            self.pipeline.maybe_free_model_hooks()
        return given

    def encoded_by_vae(self, picture: Image.Image) -> Tensor:
        """(1, C, rows, columns) on the encoder's own scale: the mean of what the encoder says."""
        pixels = self.pipeline.image_processor.preprocess(picture)
        vae = self.pipeline.vae
        return vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.mode()

    def _check(self, call: EditCall) -> None:
        check_call(call, self.traits, type(self.pipeline).__name__)
        if call.negative and not self.guides_truly(call):
            raise ValueError(f"the negative instruction {call.negative!r} does nothing without guidance above 1")

    def _text(self, call: EditCall, pictures: list[Image.Image]) -> tuple[dict[str, Tensor], Words, Told]:
        """The pipeline's text arguments, the words with their slots, what is to be said."""
        target = self._encoded(call.instruction, pictures)
        told = NOTHING
        if target.unread:
            left = " ".join(target.unread)
            told = Told(warnings=(f"Only the start of the instruction was read; left out: “{left}”.",))
        tensors = target.tensors if call.strength is None else self._strengthened(call, target, pictures)
        if self.traits.takes_negative and self.guides_truly(call):
            negative = self._encoded(call.negative, pictures)
            tensors = tensors | {f"negative_{name}": tensor for name, tensor in negative.tensors.items()}
        return tensors, target.words, told

    def _strengthened(self, call: EditCall, target: EncodedText, pictures: list[Image.Image]) -> dict[str, Tensor]:
        strength = call.strength
        neutral = self._encoded(strength.neutral, pictures)
        texts = [(self._encoded(text, pictures), value) for text, value in strength.targets(call.instruction)]

        def mixed(name: str) -> Tensor:
            tokens = [(text.tokens(name), value) for text, value in texts]
            return interpolate(neutral.tokens(name), tokens, strength.text_method)[None]

        return {name: mixed(name) for name in target.tensors}

    def _encoded(self, instruction: str, pictures: list[Image.Image]) -> EncodedText:
        """The instruction's encoding, from the cache if it is there."""
        seen = pictures if self.text_sees_pictures else []
        key = (instruction, *((picture.size, hashlib.sha256(picture.tobytes()).digest()) for picture in seen))
        if key not in self._texts:
            with torch.no_grad():
                self._texts[key] = self.encode(instruction, pictures)
        self._texts.move_to_end(key)
        while len(self._texts) > KEPT_TEXTS:
            self._texts.popitem(last=False)
        return self._texts[key]

    def _recorder(
        self,
        call: EditCall,
        pictures: list[Image.Image],
        words: Words,
        text: dict[str, Tensor],
    ) -> Recorder:
        embeddings, passes = text["prompt_embeds"], self.passes(call)
        if not call.record.conditional and "unconditional" in passes:
            if not call.negative:
                raise RecordError("there is no negative instruction to record; give one, or record with conditional")
            words, embeddings = self._encoded(call.negative, pictures).words, text["negative_prompt_embeds"]
        tokens = EditTokens(
            layout=self.layout(call, pictures, embeddings.shape[1]),
            words=words,
            steps=steps_run(call.steps, call.denoise),
            timestep_scale=self.timestep_scale,
            **passes,
        )
        layers = tuple(joint_attentions(self.transformer))
        return Recorder(call.record, tokens, layers, attention_heads(self.transformer), self.device)


class _Taken(Exception):  # noqa: N818
    """Ends a pipeline's loop before its first step."""


def unpacked(pipeline: Any, latents: Tensor, working: tuple[int, int]) -> Tensor:
    """FLUX.1's packed latents at (width, height) as (1, C, rows, columns) on the encoder's own scale."""
    width, height = working
    config = pipeline.vae.config
    cells = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    return cells / config.scaling_factor + config.shift_factor


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at (width, height), as it is when it has that size already."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def fingerprint(folder: Path) -> str:
    """16 hex digits that identify the weights of a pipeline's folder.

    SHA-256 over the name, the size and sixteen samples of each weight file: reading tens of gigabytes would take
    longer than loading them.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()} {size}".encode())
        with file.open("rb") as opened:
            for sample in range(SAMPLES_A_FILE):
                opened.seek(max(0, size - SAMPLED_BYTES) * sample // (SAMPLES_A_FILE - 1))
                digest.update(opened.read(SAMPLED_BYTES))
    return digest.hexdigest()[:16]
