"""Complete diffusers editing pipelines, as tiny as they come, made on the spot and offline.

In goes the name of a family, out comes the pipeline class that users load, with every part in its real format:
tokenizers, text encoders, VAE, scheduler and a transformer of a few blocks. The weights are random, and the same each
time. `call` runs one fixed edit of 64 × 64 pixels and `expected` says what the joint sequence of that edit looks like.

Nothing is downloaded: the tokenizers are trained on the pipelines' own prompt templates, so that each word of a
template is one token, as it is in the published tokenizers. It does not know what the application makes of a pipeline.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
)
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit_module
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as edit_plus_module
from PIL import Image
from tokenizers import AddedToken, pre_tokenizers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from mmdit.families.step1x_edit.pipeline import Step1XEditPipeline, Step1XEditPipelineV1P2
from mmdit.families.step1x_edit.transformer import Step1XEditTransformer2DModel

FAMILIES: tuple[str, ...] = (
    "flux_kontext",
    "stable_diffusion_3",
    "qwen_image_edit",
    "qwen_image_edit_plus",
    "flux2_klein",
    "flux2",
    "step1x_edit",
    "step1x_edit_1_2",
)

SIDE = 64  # pixels, of the target and of the square reference
PROMPT = "turn the red cat into a blue dog"
VOCABULARY_PROMPTS = (  # their words are one token each; any other text falls into shorter pieces
    f"{PROMPT} and keep the background unchanged",
    "make the sky purple",
    "add a hat",
    "a photo of a cat",
    "Picture 1: Picture 2: Picture 3:",
    "\n\n",
)


@dataclass(frozen=True)
class Expected:
    """The joint sequence of one `call`, as each joint attention of the conditional pass sees it.

    Grids are (rows, columns) of image tokens; the target comes first among the images. Under guidance the other pass
    may be shorter (Qwen), or be the first half of the batch (Stable Diffusion 3).
    """

    text_tokens: int
    target: tuple[int, int]
    references: tuple[tuple[int, int], ...]
    text_first: bool  # [text, images] if true, [images, text] if not
    calls_per_step: int  # of the transformer
    layers: tuple[str, ...]  # module names within the transformer, in the order in which they run
    heads: int

    @property
    def sequence_length(self) -> int:
        return self.text_tokens + sum(rows * columns for rows, columns in (self.target, *self.references))


# ---- the public functions ----


def build(family: str) -> DiffusionPipeline:
    """The pipeline of one of FAMILIES: evaluation mode, float32, on the CPU, without progress bars.

    The weights are the same every time, and the global random state is left as it was.
    """
    builders: dict[str, Callable[[], DiffusionPipeline]] = {
        "flux_kontext": _flux_kontext,
        "stable_diffusion_3": _stable_diffusion_3,
        "qwen_image_edit": lambda: _qwen_image_edit(QwenImageEditPipeline),
        "qwen_image_edit_plus": lambda: _qwen_image_edit(QwenImageEditPlusPipeline),
        "flux2_klein": _flux2_klein,
        "flux2": _flux2,
        "step1x_edit": lambda: _step1x_edit(Step1XEditPipeline),
        "step1x_edit_1_2": lambda: _step1x_edit(Step1XEditPipelineV1P2),
    }
    _check(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = builders[family]()
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def call(
    family: str,
    pipeline: DiffusionPipeline,
    *,
    steps: int = 2,
    guidance: bool = True,
    callback: Callable[[DiffusionPipeline, int, torch.Tensor, dict], dict] | None = None,
) -> np.ndarray:
    """One edit of a fixed picture with a fixed seed: (1, 64, 64, 3), float32 in [0, 1].

    `callback` is the pipeline's callback_on_step_end. For `guidance` see `arguments`.
    """
    with small_references():
        return pipeline(**arguments(family, steps=steps, guidance=guidance), callback_on_step_end=callback).images


def arguments(family: str, *, steps: int = 2, guidance: bool = True) -> dict[str, Any]:
    """What `call` passes to the pipeline, with a generator that is new each time.

    Guidance is true classifier-free guidance. FLUX.2 dev and the distilled Klein have none: it changes nothing there.
    """
    _check(family)
    pictures = references(family)
    shared = {
        "prompt": PROMPT,
        "image": pictures if len(pictures) > 1 else pictures[0],
        "height": SIDE,
        "width": SIDE,
        "num_inference_steps": steps,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "np",
    }
    true_guidance = {"negative_prompt": " ", "true_cfg_scale": 4.0} if guidance else {"true_cfg_scale": 1.0}
    own: dict[str, dict[str, Any]] = {
        "flux_kontext": {"max_area": SIDE**2, "_auto_resize": False, "max_sequence_length": 32, **true_guidance},
        "stable_diffusion_3": {
            "num_inference_steps": 2 * steps,  # of which half the strength leaves `steps`, and something of the picture
            "strength": 0.5,
            "guidance_scale": 7.0 if guidance else 1.0,
            "max_sequence_length": 32,
        },
        "qwen_image_edit": true_guidance,
        "qwen_image_edit_plus": true_guidance,
        "flux2_klein": {"guidance_scale": 1.0, "max_sequence_length": 64},
        "flux2": {"max_sequence_length": 128},
        "step1x_edit": true_guidance,
        "step1x_edit_1_2": true_guidance,
    }
    return shared | own[family]


def references(family: str) -> list[Image.Image]:
    """The pictures that `call` edits: a square one and, for Edit-Plus and FLUX.2, a wide one after it.

    Their sizes are such that every pipeline leaves them alone: FLUX.2 takes no side below 64 pixels, and Edit-Plus
    scales each picture to about 64² pixels with sides in multiples of 32.
    """
    second = {"qwen_image_edit_plus": [(96, 32)], "flux2": [(96, 64)]}.get(family, [])
    draw = np.random.default_rng(0)
    return [
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in [(SIDE, SIDE), *second]
    ]


@contextmanager
def small_references() -> Iterator[None]:
    """Within it Qwen-Image-Edit and Edit-Plus scale references to about 64 × 64 pixels instead of a megapixel."""
    area = SIDE**2
    edit_dimensions, edit_plus_dimensions = edit_module.calculate_dimensions, edit_plus_module.calculate_dimensions
    with (
        patch.object(edit_module, "calculate_dimensions", lambda _, ratio: edit_dimensions(area, ratio)),
        patch.object(edit_plus_module, "calculate_dimensions", lambda _, ratio: edit_plus_dimensions(area, ratio)),
        patch.object(edit_plus_module, "CONDITION_IMAGE_SIZE", area),
        patch.object(edit_plus_module, "VAE_IMAGE_SIZE", area),
    ):
        yield


@contextmanager
def transformer_calls(pipeline: DiffusionPipeline) -> Iterator[list[dict[str, Any]]]:
    """The keywords of every call of the transformer within it."""
    calls: list[dict[str, Any]] = []
    hook = pipeline.transformer.register_forward_pre_hook(lambda _, __, words: calls.append(words), with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def told_of_vision_tokens(text_encoder: nn.Module) -> Iterator[None]:
    """Within it Qwen2.5-VL knows which tokens are vision tokens, so that transformers places them in their rows and
    columns, as in training: diffusers 0.42 does not tell it, and transformers 5 then counts them as text.
    """

    def tell(_: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        is_vision = keywords["input_ids"] == text_encoder.config.image_token_id
        return arguments, {**keywords, "mm_token_type_ids": is_vision.int()}

    hook = text_encoder.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def expected(family: str, pipeline: DiffusionPipeline, guidance: bool = True) -> Expected:
    """What the joint attentions of `call(family, pipeline, guidance=guidance)` are to see."""
    asked = arguments(family, guidance=guidance)
    text_tokens = asked.get("max_sequence_length", 0)  # these families pad to it and attend to the padding
    if family == "stable_diffusion_3":
        text_tokens += pipeline.tokenizer_max_length  # CLIP's tokens stand before T5's
    elif family == "step1x_edit":
        text_tokens = 640
    elif family == "step1x_edit_1_2":
        text_tokens = pipeline.encode_prompt(PROMPT, [asked["image"]]).prompt_embeds.shape[1]
    elif family.startswith("qwen"):
        text_tokens = pipeline.encode_prompt(PROMPT, image=asked["image"])[0].shape[1]

    cell = 2 * pipeline.vae_scale_factor  # pixels: a token is 2 × 2 latent cells
    grids = tuple((picture.height // cell, picture.width // cell) for picture in references(family))
    twice = guidance and family.startswith(("flux_kontext", "qwen", "step1x"))
    return Expected(
        text_tokens=text_tokens,
        target=(asked["height"] // cell, asked["width"] // cell),
        references=() if family == "stable_diffusion_3" else grids,  # image to image: the picture is in the noise
        text_first=family != "stable_diffusion_3",
        calls_per_step=2 if twice else 1,
        layers=tuple(
            f"{stack}.{index}.attn"
            for stack in ("transformer_blocks", "single_transformer_blocks")
            for index in range(len(getattr(pipeline.transformer, stack, ())))
        ),
        heads=pipeline.transformer.config.num_attention_heads,
    )


def _check(family: str) -> None:
    if family not in FAMILIES:
        raise ValueError(f"no tiny checkpoint of family {family!r}; there are {', '.join(FAMILIES)}")


# ---- one function per family ----


def _flux_kontext() -> FluxKontextPipeline:
    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        text_encoder=CLIPTextModel(_clip_config(clip)),
        tokenizer=clip,
        text_encoder_2=_t5_encoder(t5),
        tokenizer_2=t5,
        transformer=transformer,
    )


def _stable_diffusion_3() -> StableDiffusion3Img2ImgPipeline:
    """Three blocks as in 3.5 Medium: the first has a second attention, `attn2`, among image tokens only."""
    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,  # T5's width, and no less than the two CLIPs' hidden widths in a row
        caption_projection_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=32,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    return StableDiffusion3Img2ImgPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=CLIPTextModelWithProjection(_clip_config(clip, width=16)),
        tokenizer=clip,
        text_encoder_2=CLIPTextModelWithProjection(_clip_config(clip, width=16)),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=_t5_encoder(t5),
        tokenizer_3=t5,
        transformer=transformer,
    )


def _qwen_image_edit(pipeline_class: type[DiffusionPipeline]) -> DiffusionPipeline:
    """Qwen-Image-Edit or Edit-Plus: they differ in the pipeline's code, not in its parts."""
    tokenizer = _qwen_tokenizer()
    channels = 4
    return pipeline_class(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=channels,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * channels,
            latents_std=[1.0] * channels,
        ),
        text_encoder=_qwen_vision_language_model(tokenizer),
        tokenizer=tokenizer,
        processor=_qwen_processor(Qwen2VLProcessor, tokenizer),
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=4 * channels,
            out_channels=channels,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
    )


def _flux2_klein() -> Flux2KleinPipeline:
    tokenizer = _qwen_tokenizer()
    text_config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=28,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
    )
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_flux2_vae(),
        text_encoder=Qwen3ForCausalLM(text_config),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(guidance_embeds=False),
        is_distilled=True,
    )


def _flux2() -> Flux2Pipeline:
    processor = _mistral_processor()
    return Flux2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_flux2_vae(),
        text_encoder=_mistral_vision_language_model(processor.tokenizer),
        tokenizer=processor,
        transformer=_flux2_transformer(guidance_embeds=True),
    )


def _step1x_edit(pipeline_class: type[Step1XEditPipeline]) -> Step1XEditPipeline:
    """Version 1.1 or 1.2, with no system message in its chats and the vision tokens of a real one: 256 at least."""
    tokenizer = _qwen_tokenizer()
    return pipeline_class(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=_qwen_vision_language_model(tokenizer),
        processor=_qwen_processor(Qwen2_5_VLProcessor, tokenizer),
        transformer=Step1XEditTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=32,
            vector_in_dim=24,
            connector_in_channels=16,
            connector_hidden_size=32,
            connector_heads_num=1,
            axes_dims_rope=(4, 14, 14),
            enable_text_token_mapping=pipeline_class is Step1XEditPipelineV1P2,
        ),
    )


# ---- models ----


def _flux2_transformer(guidance_embeds: bool) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,  # three hidden states of width 16
        timestep_guidance_channels=256,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(**_vae_shape(), shift_factor=0.06, scaling_factor=1.5)


def _flux2_vae() -> AutoencoderKLFlux2:
    return AutoencoderKLFlux2(**_vae_shape())


def _vae_shape() -> dict[str, Any]:
    """Four levels, so that a latent cell is 8 × 8 pixels, as in the published ones."""
    return {
        "sample_size": 32,
        "latent_channels": 4,
        "block_out_channels": (4, 4, 4, 4),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "norm_num_groups": 1,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }


def _clip_config(tokenizer: CLIPTokenizer, width: int = 32) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=37,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5_encoder(tokenizer: T5Tokenizer) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config)


def _qwen_vision_language_model(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    token_id = tokenizer.convert_tokens_to_ids
    text_config = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
        "bos_token_id": None,
        "eos_token_id": token_id("<|im_end|>"),
        "pad_token_id": token_id("<|endoftext|>"),
    }
    vision_config = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _mistral_vision_language_model(tokenizer: PreTrainedTokenizerFast) -> Mistral3ForConditionalGeneration:
    text_config = {
        "model_type": "mistral",
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 37,
        "num_hidden_layers": 31,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 1024,
        "sliding_window": None,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision_config = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_channels": 3,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Mistral3Config(
        text_config=text_config,
        vision_config=vision_config,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=1,
        vision_feature_layer=-1,
    )
    return Mistral3ForConditionalGeneration(config)


# ---- tokenizers ----

QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'text' %}{{ c.text }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
MISTRAL_SPECIAL = (
    "<unk>",
    "<s>",
    "</s>",
    "<pad>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[SYSTEM_PROMPT]{% else %}[INST]{% endif %}"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'text' %}{{ c.text }}{% else %}[IMG]{% endif %}{% endfor %}{% endif %}"
    "{% if m.role == 'system' %}[/SYSTEM_PROMPT]{% else %}[/INST]{% endif %}{% endfor %}"
)


@cache
def _sentences() -> tuple[str, ...]:
    """The text that the tokenizers are trained on: what the pipelines write around a prompt, and the prompts."""
    templates = [
        pipeline_class(*[None] * 6).prompt_template_encode
        for pipeline_class in (QwenImageEditPipeline, QwenImageEditPlusPipeline)
    ]
    plain = [part for template in templates for part in re.split(r"<\|\w+\|>|\{\}", template)]
    return (*filter(None, plain), SYSTEM_MESSAGE, *VOCABULARY_PROMPTS)


def _byte_pairs(tokenizer: Qwen2Tokenizer | CLIPTokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE under which each word of `_sentences` is one token.

    `tokenizer` says how text falls into words. The tokenizers library has a trainer, but that one breaks ties by an
    order that varies from run to run; here the more frequent pair goes first, then the later in the alphabet.
    """
    backend = tokenizer.backend_tokenizer
    suffix = backend.model.end_of_word_suffix or ""
    spelled: set[tuple[str, ...]] = set()
    for sentence in _sentences():
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(sentence)):
            spelled.add((*word[:-1], word[-1] + suffix))

    words, merges = [list(word) for word in sorted(spelled)], []
    while words := [word for word in words if len(word) > 1]:
        counts = Counter(pair for word in words for pair in pairwise(word))
        pair = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(pair)
        for word in words:
            _merge(word, pair)

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # every byte, so that nothing is ever unknown
    pieces = [*letters, *(letter + suffix for letter in letters), *(left + right for left, right in merges)]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}, merges


def _merge(word: list[str], pair: tuple[str, str]) -> None:
    """Joins the pair wherever it stands in the word, in place and from the left."""
    index = 0
    while index < len(word) - 1:
        if (word[index], word[index + 1]) == pair:
            word[index : index + 2] = ["".join(pair)]
        index += 1


@cache
def _qwen_byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    return _byte_pairs(Qwen2Tokenizer())


@cache
def _clip_byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    return _byte_pairs(CLIPTokenizer())


def _with_special(vocabulary: dict[str, int], special: tuple[str, ...]) -> dict[str, int]:
    return vocabulary | {token: len(vocabulary) + index for index, token in enumerate(special)}


def _clip_tokenizer() -> CLIPTokenizer:
    vocabulary, merges = _clip_byte_pairs()
    vocabulary = _with_special(vocabulary, ("<|startoftext|>", "<|endoftext|>"))
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def _t5_tokenizer() -> T5Tokenizer:
    """A unigram model of the same words, with single characters for the rest; the scores prefer the words."""
    words = sorted({word for sentence in _sentences() for word in sentence.split()})
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -3.0}
    pieces |= {f"▁{word}": -4.0 for word in words}
    pieces |= {letter: -8.0 for letter in string.printable if not letter.isspace()}
    return T5Tokenizer(vocab=list(pieces.items()), extra_ids=0, model_max_length=512)


def _qwen_processor(
    kind: type[Qwen2VLProcessor] | type[Qwen2_5_VLProcessor], tokenizer: Qwen2Tokenizer
) -> Qwen2VLProcessor | Qwen2_5_VLProcessor:
    """Pictures of at most four vision tokens, unless it is asked for more."""
    return kind(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 28**2, "longest_edge": 56**2}),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template,
    )


def _qwen_tokenizer() -> Qwen2Tokenizer:
    vocabulary, merges = _qwen_byte_pairs()
    vocabulary = _with_special(vocabulary, (*QWEN_SPECIAL, "<think>", "</think>"))
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, model_max_length=4096, extra_special_tokens=list(QWEN_SPECIAL[1:])
    )
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("</think>")])  # one token each, but no special ones
    tokenizer.chat_template = QWEN_TEMPLATE
    return tokenizer


def _mistral_processor() -> PixtralProcessor:
    """Mistral's tokenizer differs from Qwen's in its special tokens, and it pads on the left."""
    vocabulary, merges = _qwen_byte_pairs()
    backend = Qwen2Tokenizer(vocab=_with_special(vocabulary, MISTRAL_SPECIAL), merges=merges).backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=list(MISTRAL_SPECIAL[4:]),
        model_max_length=1024,
        padding_side="left",
    )
    return PixtralProcessor(
        image_processor=PixtralImageProcessor(size={"longest_edge": 28}, patch_size={"height": 14, "width": 14}),
        tokenizer=tokenizer,
        patch_size=14,
        spatial_merge_size=1,
        chat_template=MISTRAL_TEMPLATE,
    )
