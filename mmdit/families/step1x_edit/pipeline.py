"""The loop that edits with Step1X-Edit, as a diffusers pipeline: it saves, loads and offloads like those.

In: pictures at the sizes at which they are to be seen, an instruction, a seed. Out: the edited picture at the working
size. Knows no LoRA, no recording, no page.

The numbers are those of the makers' code but for two things: references are encoded as the mean of what the VAE says,
not as a draw from it, and a second reference, which they do not take, stands to the right of the first.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.pipelines.flux.pipeline_flux_kontext import FluxKontextPipeline
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from mmdit.families.step1x_edit.conditioning import IMAGE, VERSIONS, Reading, Version, read, text_ids, vision_pixels
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel
from mmdit.families.vision_chat import chat_positions, vision_grids

TOKEN_SIDE = 16
"""Pixels of an image token's side."""
GUIDANCE_POWER = 0.4


@dataclass
class Step1XEditOutput(BaseOutput):
    """The edited pictures, one for now."""

    images: list[Image.Image] | np.ndarray | Tensor


@dataclass(frozen=True)
class Conditioning:
    """What the transformer gets of an instruction.

    Args:
        prompt_embeds: (1, T, C) hidden states of the vision-language model, without padding.
        text_ids: (T, 3).
        quoted_embeds: (1, T, C), see `Step1XEditTransformer2DModel.forward`; None where nothing is told so.
        reading: the tokens that they come from.
    """

    prompt_embeds: Tensor
    text_ids: Tensor
    quoted_embeds: Tensor | None
    reading: Reading


class Step1XEditPipeline(DiffusionPipeline):
    """Versions 1.0 and 1.1.

    Args:
        version: of `VERSIONS`; None for the one that published folders, which do not say it, have under this class's
            name.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    published_version: ClassVar[str] = "1.1"

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        text_encoder: Qwen2_5_VLForConditionalGeneration,
        processor: Any,
        transformer: Step1XEditTransformer2DModel,
        version: str | None = None,
    ) -> None:
        super().__init__()
        version = version or self.published_version
        if version not in VERSIONS:
            raise ValueError(f"Step1X-Edit has no version {version!r}; there are {', '.join(VERSIONS)}")
        self.register_modules(
            scheduler=scheduler, vae=vae, text_encoder=text_encoder, processor=processor, transformer=transformer
        )
        # As published folders have it, so that what is saved here is what is published.
        self.register_to_config(transformer=("diffusers", "Step1XEditTransformer2DModel"), version=version)
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=TOKEN_SIDE)

    @classmethod
    def from_pretrained(cls, folder: Path, **parts: Any) -> "Step1XEditPipeline":
        """From a local folder and the models that were loaded from it.

        Args:
            parts: ``vae``, ``text_encoder`` and ``transformer``; anything else is of no use here.
        """
        models = {name: parts[name] for name in ("vae", "text_encoder", "transformer")}
        said = json.loads((Path(folder) / "model_index.json").read_text(encoding="utf-8"))
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
        processor = AutoProcessor.from_pretrained(Path(folder) / "processor", local_files_only=True)
        return cls(scheduler=scheduler, processor=processor, version=said.get("version"), **models)

    @property
    def version(self) -> Version:
        """How it reads and guides."""
        return VERSIONS[self.config.version]

    # ---- text ----

    @torch.no_grad()
    def encode_prompt(self, prompt: str, pictures: Sequence[Image.Image]) -> Conditioning:
        """What the vision-language model says of an instruction beside pictures at their working sizes."""
        version, device, model = self.version, self._execution_device, self.text_encoder
        fewest, most = vision_pixels(version, len(pictures))
        seen = self.processor.image_processor(
            images=list(pictures), size={"shortest_edge": fewest, "longest_edge": most}, return_tensors="pt"
        )
        grids = vision_grids(seen["image_grid_thw"])
        image = self.processor.tokenizer.convert_tokens_to_ids(IMAGE)
        reading = read(self.processor, version, prompt, grids)
        ids = reading.ids
        states = model(
            input_ids=ids[None].to(device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=device),
            position_ids=chat_positions(ids, image, grids)[:, None].to(device),
            pixel_values=seen["pixel_values"].to(device, model.dtype),
            image_grid_thw=seen["image_grid_thw"].to(device),
            output_hidden_states=True,
            logits_to_keep=1,
        ).hidden_states[-1]
        kept = slice(reading.dropped, reading.dropped + version.slots)
        quoted = None
        if self.transformer.config.enable_text_token_mapping:
            is_quoted = torch.tensor([token.is_quoted for token in reading.tokens], device=device)
            quoted = (model.get_input_embeddings()(ids[None].to(device)) * is_quoted[:, None])[:, kept]
        placed = text_ids(reading, version, image, grids, pictures[0].size).to(device)
        return Conditioning(states[:, kept].to(self.transformer.dtype), placed, quoted, reading)

    # ---- latents ----

    @staticmethod
    def _pack_latents(latents: Tensor, *shape: int) -> Tensor:
        return FluxKontextPipeline._pack_latents(latents, *shape)

    @staticmethod
    def _unpack_latents(latents: Tensor, height: int, width: int, vae_scale_factor: int) -> Tensor:
        return FluxKontextPipeline._unpack_latents(latents, height, width, vae_scale_factor)

    @torch.no_grad()
    def encoded(self, picture: Image.Image) -> Tensor:
        """(1, S, C): a picture whose sides are multiples of a token's, scaled and packed."""
        vae = self.vae
        pixels = self.image_processor.preprocess(picture).to(self._execution_device, vae.dtype)
        latents = vae.encode(pixels).latent_dist.mode()
        latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return self._pack_latents(latents, *latents.shape)

    def _ids(self, size: tuple[int, int], first: tuple[int, int, int]) -> Tensor:
        """(S, 3): rows and columns of a picture of (width, height) pixels, counted from the ``first`` token's."""
        rows, columns = torch.meshgrid(
            torch.arange(size[1] // TOKEN_SIDE), torch.arange(size[0] // TOKEN_SIDE), indexing="ij"
        )
        grid = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)
        return (grid + torch.tensor(first)).to(self._execution_device, torch.float32)

    # ---- the edit ----

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image],
        prompt: str | None = None,
        negative_prompt: str = "",
        prompt_embeds: Tensor | None = None,
        text_ids: Tensor | None = None,
        quoted_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_text_ids: Tensor | None = None,
        negative_quoted_embeds: Tensor | None = None,
        true_cfg_scale: float = 6.0,
        batched_guidance: bool = False,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 28,
        generator: torch.Generator | None = None,
        callback_on_step_end: Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]] | None = None,
        output_type: str = "pil",
    ) -> Step1XEditOutput:
        """Edit the first picture.

        Args:
            image: pictures whose sides are multiples of 16.
            prompt, negative_prompt: in words; or what `encode_prompt` says of them.
            true_cfg_scale: classifier-free guidance; 1 for none.
            batched_guidance: both passes at once, which takes twice the memory for activations; for texts of one
                length.
            height, width: of the result, in multiples of 16; None for the first picture's.
        """
        pictures = [image] if isinstance(image, Image.Image) else list(image)
        size = (width or pictures[0].width, height or pictures[0].height)
        told = self._told(prompt, pictures, prompt_embeds, text_ids, quoted_embeds)
        if true_cfg_scale > 1:
            given = (negative_prompt_embeds, negative_text_ids, negative_quoted_embeds)
            told = [told, self._told(negative_prompt, pictures, *given)]
        else:
            told = [told]
        if batched_guidance and len(told) > 1:
            told = [_together(*told)]

        dtype, device = told[0]["encoder_hidden_states"].dtype, self._execution_device
        shape = (1, self.vae.config.latent_channels, *(side // self.vae_scale_factor for side in reversed(size)))
        latents = self._pack_latents(randn_tensor(shape, generator=generator, device=device, dtype=dtype), *shape)
        references, ids = self._references(pictures, size)

        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        config = self.scheduler.config
        mu = calculate_shift(
            latents.shape[1], config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
        )
        self.scheduler.set_timesteps(sigmas=sigmas, mu=mu, device=device)
        self.scheduler.set_begin_index(0)
        self._num_timesteps = len(self.scheduler.timesteps)
        with self.progress_bar(total=self._num_timesteps) as bar:
            for step, timestep in enumerate(self.scheduler.timesteps):
                velocity = self._velocity(latents, references.to(dtype), ids, timestep / 1000, told, true_cfg_scale)
                latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
                if callback_on_step_end is not None:
                    latents = callback_on_step_end(self, step, timestep, {"latents": latents}).get("latents", latents)
                bar.update()
        made = self._decoded(latents, size, output_type)
        self.maybe_free_model_hooks()
        return Step1XEditOutput(images=made)

    def _told(
        self,
        prompt: str | None,
        pictures: Sequence[Image.Image],
        embeds: Tensor | None,
        placed: Tensor | None,
        quoted: Tensor | None,
    ) -> dict[str, Tensor]:
        """The transformer's arguments that come of a text: padded with zeros where the version wants that."""
        if embeds is None:
            said = self.encode_prompt(prompt, pictures)
            embeds, placed, quoted = said.prompt_embeds, said.text_ids, said.quoted_embeds
        length = embeds.shape[1]
        missing = self.version.slots - length if self.version.is_padded else 0
        mask = torch.ones(1, length, dtype=torch.bool, device=embeds.device)
        told = {
            "encoder_hidden_states": torch.nn.functional.pad(embeds, (0, 0, 0, missing)),
            "prompt_embeds_mask": torch.nn.functional.pad(mask, (0, missing)),
            "txt_ids": torch.nn.functional.pad(placed, (0, 0, 0, missing)),
        }
        return told if quoted is None else told | {"quoted_embeds": quoted}

    def _references(self, pictures: Sequence[Image.Image], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(1, S, C) latents of the references, and (S, 3) ids of the target and of them."""
        ids, (picture, row, column) = [self._ids(size, (0, 0, 0))], self.version.reference_id
        for reference in pictures:
            ids.append(self._ids(reference.size, (picture, row, column)))
            column += reference.width // TOKEN_SIDE
        return torch.cat([self.encoded(reference) for reference in pictures], dim=1), torch.cat(ids)

    def _velocity(
        self,
        latents: Tensor,
        references: Tensor,
        ids: Tensor,
        timestep: Tensor,
        told: Sequence[dict[str, Tensor]],
        guidance: float,
    ) -> Tensor:
        """(1, S of the target, C), guided."""
        passes = []
        for text in told:
            batch = len(text["encoder_hidden_states"])
            velocity = self.transformer(
                hidden_states=torch.cat([latents, references], dim=1).repeat(batch, 1, 1),
                timestep=timestep.expand(batch).to(latents.dtype),
                img_ids=ids,
                return_dict=False,
                **text,
            )[0]
            passes += velocity[:, : latents.shape[1]].chunk(batch)
        if len(passes) == 1:
            return passes[0]
        with_words, without = passes
        return without + guidance * _normalised(with_words - without, timestep > self.version.renormalised_above)

    def _decoded(self, latents: Tensor, size: tuple[int, int], output_type: str) -> Any:
        if output_type == "latent":
            return latents
        vae = self.vae
        unpacked = self._unpack_latents(latents, size[1], size[0], self.vae_scale_factor)
        pixels = vae.decode((unpacked / vae.config.scaling_factor + vae.config.shift_factor).to(vae.dtype))[0]
        return self.image_processor.postprocess(pixels, output_type=output_type)


class Step1XEditPipelineV1P2(Step1XEditPipeline):
    """Version 1.2, under the name that its published folders have."""

    published_version: ClassVar[str] = "1.2"


def _normalised(difference: Tensor, wanted: bool) -> Tensor:
    """Each token's difference d (B, S, C), divided by |d|^0.4 where |d| is above 1, if that is wanted."""
    if not wanted:
        return difference
    norm = difference.norm(dim=-1, keepdim=True)
    return difference / torch.where(norm > 1, norm**GUIDANCE_POWER, 1.0)


def _together(with_words: dict[str, Tensor], without: dict[str, Tensor]) -> dict[str, Tensor]:
    """Both texts as one batch.

    Raises:
        ValueError: texts of different lengths, of which one would see the other's padding.
    """
    lengths = [len(text["txt_ids"]) for text in (with_words, without)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"the texts have {lengths[0]} and {lengths[1]} tokens; guide in two passes")
    return {
        name: tensor if name == "txt_ids" else torch.cat([tensor, without[name]]) for name, tensor in with_words.items()
    }
