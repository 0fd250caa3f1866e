"""What an unfinished edit looks like, without a decoder.

A linear map from latents to colours is fitted to the source picture, whose latents and colours are both known. That
is good enough to see where an edit goes, costs a thousandth of a decoder run, and works while the decoder is offloaded.
"""

from dataclasses import dataclass

import torch
from diffusers.utils.torch_utils import get_module_execution_device
from PIL import Image
from torch import Tensor

from mmdit import images

FITTED_SIDE = 256  # pixels: longest side of the picture that the map is fitted to
RIDGE = 1e-2
SHOWN_SIDE = 512


@dataclass
class LatentPreview:
    """A linear map (C + 1, 3) from latents and a constant to colours in [−1, 1], and the latents seen before."""

    matrix: Tensor
    previous: Tensor | None = None

    @classmethod
    @torch.no_grad()
    def fit(cls, vae: torch.nn.Module, picture: Image.Image, multiple: int = 16) -> "LatentPreview":
        """Least squares, slightly regularised, on a small version of the picture."""
        scale = min(1.0, FITTED_SIDE / max(picture.size))
        width, height = (max(1, round(side * scale / multiple)) * multiple for side in picture.size)
        colours = images.resize(images.to_tensor(picture), height, width)
        pixels = colours.to(get_module_execution_device(vae), vae.dtype)
        is_video = vae.config.get("temperal_downsample") is not None  # Qwen-Image's, which takes a frame axis
        latents = vae.encode(pixels[:, :, None] if is_video else pixels).latent_dist.mode()
        latents = latents[:, :, 0] if is_video else latents
        rows, columns = latents.shape[-2:]
        known = _with_constant(latents.float().cpu())
        wanted = images.resize(colours, rows, columns)[0].flatten(1).T
        return cls(torch.linalg.solve(known.T @ known + RIDGE * torch.eye(known.shape[1]), known.T @ wanted))

    def show(self, latents: Tensor, before: float, after: float) -> Image.Image:
        """The finished picture that a step of the sampler was heading for.

        Args:
            latents: (1, C, rows, columns) after the step, on the encoder's scale.
            before, after: σ of the flow before and after the step. An Euler step moves along the velocity, so the
                clean estimate is x' − σ' (x' − x) / (σ' − σ).
        """
        latents = latents.float().cpu()
        clean = latents
        if self.previous is not None and after != before:
            clean = latents - after * (latents - self.previous) / (after - before)
        self.previous = latents
        rows, columns = latents.shape[-2:]
        colours = (_with_constant(clean) @ self.matrix).T.reshape(1, 3, rows, columns)
        picture = images.to_image(colours)
        enlarged = SHOWN_SIDE / max(picture.size)
        return picture.resize([max(1, round(side * enlarged)) for side in picture.size], Image.Resampling.BICUBIC)


def _with_constant(latents: Tensor) -> Tensor:
    """(1, C, rows, columns) → (rows · columns, C + 1)."""
    flat = latents[0].flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
