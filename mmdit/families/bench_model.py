"""The real architectures on random weights, and inputs of the shapes and ids of a real edit, for `bench.py`.

In: a family's name and a resolution. Out: a transformer on the device and an `Edit` to run it with. Weights are drawn
one by one on the device in bfloat16, after a look at the memory. Nothing is loaded or downloaded.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from mmdit.attention.layout import TokenLayout
from mmdit.attention.spec import EditTokens
from mmdit.families.machine import gigabytes, measure
from mmdit.families.needs import TRANSFORMER_ELEMENTS
from mmdit.lora.architectures import DEFAULTS, KNOWN

DTYPE = torch.bfloat16
CELL = 16  # pixels of a token's side, in every family
WORDS, SLOTS_A_WORD = 8, 2


@dataclass(frozen=True)
class Model:
    """
    Args:
        architecture: of `lora.architectures.KNOWN`.
        pipeline: diffusers' class that edits with it and makes its ids.
        text_tokens: T5's and Mistral's 512 slots; Qwen's 196 vision tokens, remnants of the template and words; SD3's
            77 of CLIP and 256 of T5.
        references: pictures beside the target; SD3 starts from the noised picture and has none.
        more: configuration that the table leaves out because no Linear depends on it.
    """

    architecture: str
    pipeline: str
    text_tokens: int = 512
    references: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)


FAMILIES: Mapping[str, Model] = {
    "flux-kontext": Model("flux", "FluxKontextPipeline"),
    "flux2-dev": Model("flux2", "Flux2Pipeline"),
    "flux2-klein-4b": Model("flux2-klein-4b", "Flux2KleinPipeline"),
    "flux2-klein-9b": Model("flux2-klein-9b", "Flux2KleinPipeline"),
    "qwen-image-edit": Model("qwen-image", "QwenImageEditPlusPipeline", text_tokens=224),
    "sd3.5-medium": Model(
        "sd3.5-medium", "StableDiffusion3Img2ImgPipeline", 333, 0, {"qk_norm": "rms_norm", "pos_embed_max_size": 384}
    ),
    "sd3.5-large": Model(
        "sd3.5-large", "StableDiffusion3Img2ImgPipeline", 333, 0, {"qk_norm": "rms_norm", "pos_embed_max_size": 192}
    ),
}


@dataclass(frozen=True)
class Settings:
    """
    Args:
        family: of `FAMILIES`.
        resolution: pixels of a side of the target and the reference, a multiple of 16.
        steps: transformer calls of a run. repeats: timed runs of each mode, after one that is not timed.
        device: "cuda", "cuda:1", …, "cpu", or "auto" for cuda where it is there.
        blocks: at most so many double and so many single blocks; None for all.
        changes: to the configuration, for tests.
    """

    family: str
    resolution: int = 1024
    steps: int = 4
    repeats: int = 3
    device: str = "auto"
    blocks: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


def check(settings: Settings) -> None:
    """Raises ValueError: an unknown family, or a number that can't be."""
    if settings.family not in FAMILIES:
        raise ValueError(f"family {settings.family!r} is unknown; use one of {', '.join(FAMILIES)}")
    for name in ("steps", "repeats", "blocks"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    side = settings.resolution
    most = CELL * configuration(settings)[1].get("pos_embed_max_size", 512)
    if side % CELL or not CELL <= side <= most:
        raise ValueError(f"resolution is {side}; {settings.family} takes multiples of {CELL} up to {most}")


def usable_device(wanted: str) -> torch.device:
    """Raises ValueError: a device that is not here, or whose memory and time this can't measure."""
    here = ["cpu"]
    if torch.cuda.is_available():
        here = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *here]
    if wanted not in (*here, "auto"):
        raise ValueError(f"device {wanted!r} can't be measured here; use one of {', '.join(here)}, or auto")
    return torch.device(here[0] if wanted == "auto" else wanted)


def configuration(settings: Settings) -> tuple[str, dict[str, Any]]:
    """diffusers' class and its arguments, shortened and changed as the settings say."""
    model = FAMILIES[settings.family]
    kind, given = KNOWN[model.architecture]
    config = {**DEFAULTS[kind], **given, **model.more, **settings.changes}
    for name in ("num_layers", "num_single_layers"):
        if name in config and settings.blocks is not None:
            config[name] = min(config[name], settings.blocks)
    if "dual_attention_layers" in config:
        config["dual_attention_layers"] = tuple(config["dual_attention_layers"])
    return kind, config


def on_meta(settings: Settings) -> nn.Module:
    """The transformer without its weights; what it computes for itself, such as positions, is there."""
    kind, config = configuration(settings)
    with init_empty_weights(include_buffers=False):
        return getattr(diffusers, kind)(**config)


def layout_of(settings: Settings) -> TokenLayout:
    """The joint sequence: text, target, and the reference where the family has one."""
    model = FAMILIES[settings.family]
    grid = (settings.resolution // CELL, settings.resolution // CELL)
    text_first = configuration(settings)[0] != "SD3Transformer2DModel"
    return TokenLayout.for_edit(model.text_tokens, grid, model.references * [grid], text_first)


def check_memory(settings: Settings, transformer: nn.Module, layout: TokenLayout, device: torch.device) -> None:
    """Raises ValueError: weights and activations that do not fit into what is free."""
    free = free_bytes(device)
    count = parameters_of(transformer)
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    weights = DTYPE.itemsize * count
    active = DTYPE.itemsize * TRANSFORMER_ELEMENTS * layout.tokens * width
    if weights + active > free:
        side = settings.resolution
        raise ValueError(
            f"{settings.family} has {count / 1e9:.1f} billion parameters × {DTYPE.itemsize} bytes = "
            f"{gigabytes(weights)}, and about {gigabytes(active)} of activations at {side} × {side}, but "
            f"{gigabytes(free)} of {'GPU' if device.type == 'cuda' else 'system'} memory are free; use --blocks N, "
            "a lower --resolution or a smaller family"
        )


def free_bytes(device: torch.device) -> int:
    """Memory that tensors can have, what PyTorch keeps for them included."""
    machine = measure(str(device))
    if device.type == "cpu":
        return machine.system_free
    return machine.gpu_free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def parameters_of(transformer: nn.Module) -> int:
    """How many weights it has."""
    return sum(parameter.numel() for parameter in transformer.parameters())


def materialise(transformer: nn.Module, device: torch.device) -> None:
    """Draw every weight of a model on meta, in place, on the device and in bfloat16.

    Matrices get deviation 1 / √inputs, biases 0 and the weights of norms 1. Every block reads its input normalised and
    adds something of about unit size, so that activations grow like the square root of the depth.
    """
    draw = torch.Generator(device).manual_seed(0)
    for module in transformer.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            weight = torch.empty(parameter.shape, dtype=DTYPE, device=device)
            if weight.ndim > 1:
                weight.normal_(std=math.prod(weight.shape[1:]) ** -0.5, generator=draw)
            else:
                weight.fill_(0.0 if name == "bias" else 1.0)
            setattr(module, name, nn.Parameter(weight, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):  # SD3's positions
            setattr(module, name, buffer.to(device, DTYPE))
    transformer.eval()


@dataclass(frozen=True)
class Edit:
    """A model and what it is called with.

    Args:
        arguments: of the transformer, but for the timestep.
        noise: its timestep at pure noise.
    """

    transformer: nn.Module
    layout: TokenLayout
    arguments: Mapping[str, Any]
    steps: int
    noise: float
    device: torch.device

    @classmethod
    def of(cls, settings: Settings, transformer: nn.Module, layout: TokenLayout) -> "Edit":
        """Random inputs of the shapes that the family's pipeline has."""
        device = next(transformer.parameters()).device
        draw = torch.Generator(device).manual_seed(1)
        pipeline = getattr(diffusers, FAMILIES[settings.family].pipeline)

        def random(*shape: int) -> Tensor:
            return torch.randn(1, *shape, dtype=DTYPE, device=device, generator=draw)

        kind = type(transformer).__name__
        arguments = _INPUTS[kind](transformer.config, pipeline, layout, random)
        arguments["encoder_hidden_states"] = random(layout.text_tokens, transformer.config.joint_attention_dim)
        noise = 1000.0 if kind == "SD3Transformer2DModel" else 1.0
        return cls(transformer, layout, _moved(arguments, device), settings.steps, noise, device)

    @property
    def tokens(self) -> EditTokens:
        """The words stand at the start of the text, two slots each."""
        slots = [tuple(range(SLOTS_A_WORD * word, SLOTS_A_WORD * (word + 1))) for word in range(WORDS)]
        words = tuple((f"word{index}", taken) for index, taken in enumerate(slots))
        return EditTokens(self.layout, words, self.steps, timestep_scale=self.noise)

    def run(self) -> list[Tensor]:
        """The transformer's output of every step."""
        return [self.step(self.noise * (1 - step / self.steps)) for step in range(self.steps)]

    def step(self, timestep: float) -> Tensor:
        """One call of the transformer."""
        time_now = torch.full((1,), timestep, dtype=DTYPE, device=self.device)
        return self.transformer(**self.arguments, timestep=time_now, return_dict=False)[0]


Random = Callable[..., Tensor]


def _flux(config: Any, pipeline: Any, layout: TokenLayout, random: Random) -> dict[str, Any]:
    """Kontext's reference has the target's ids, with 1 in the first place."""
    ids = [pipeline._prepare_latent_image_ids(1, of.height, of.width, "cpu", DTYPE) for of in layout.streams]
    for index, of in enumerate(ids):
        of[:, 0] = index
    return {
        "hidden_states": random(_image_tokens(layout), config.in_channels),
        "pooled_projections": random(config.pooled_projection_dim),
        "guidance": torch.full((1,), 2.5) if config.guidance_embeds else None,
        "txt_ids": torch.zeros(layout.text_tokens, 3, dtype=DTYPE),
        "img_ids": torch.cat(ids),
    }


def _flux2(config: Any, pipeline: Any, layout: TokenLayout, random: Random) -> dict[str, Any]:
    target, *references = [torch.empty(1, 1, of.height, of.width) for of in layout.streams]
    return {
        "hidden_states": random(_image_tokens(layout), config.in_channels),
        "guidance": torch.full((1,), 4.0) if config.guidance_embeds else None,
        "txt_ids": pipeline._prepare_text_ids(torch.empty(1, layout.text_tokens, 1)),
        "img_ids": torch.cat([pipeline._prepare_latent_ids(target), pipeline._prepare_image_ids(references)], dim=1),
    }


def _qwen_image(config: Any, pipeline: Any, layout: TokenLayout, random: Random) -> dict[str, Any]:
    """Without padding the pipeline gives no mask."""
    return {
        "hidden_states": random(_image_tokens(layout), config.in_channels),
        "encoder_hidden_states_mask": None,
        "img_shapes": [[(1, of.height, of.width) for of in layout.streams]],
    }


def _stable_diffusion_3(config: Any, pipeline: Any, layout: TokenLayout, random: Random) -> dict[str, Any]:
    (target,) = layout.streams
    sides = (config.patch_size * target.height, config.patch_size * target.width)
    return {
        "hidden_states": random(config.in_channels, *sides),
        "pooled_projections": random(config.pooled_projection_dim),
    }


_INPUTS: Mapping[str, Callable[[Any, Any, TokenLayout, Random], dict[str, Any]]] = {
    "FluxTransformer2DModel": _flux,
    "Flux2Transformer2DModel": _flux2,
    "QwenImageTransformer2DModel": _qwen_image,
    "SD3Transformer2DModel": _stable_diffusion_3,
}


def _image_tokens(layout: TokenLayout) -> int:
    return layout.tokens - layout.text_tokens


def _moved(arguments: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in arguments.items()}
