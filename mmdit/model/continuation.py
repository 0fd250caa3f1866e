"""Smooth continuations of a picture over a hole: biharmonic inpainting by scikit-image (Damelin and Hoang 2018, Int. J.
of Mathematics and Mathematical Sciences, 3950312), which continues gradients and edges, sometimes too far; and
push-pull interpolation (Gortler et al. 1996, The Lumigraph, section 3.5), which stays between the colours around it.

Pictures are (B, C, height, width), holes (B, 1, height, width), 1 where the picture is not seen.
"""

import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor
from torch.nn import functional


def pulled(picture: Tensor, hole: Tensor) -> Tensor:
    """The picture with the hole, (B, 1, height, width), filled from coarser and coarser means of what is around it."""
    seen = 1 - hole
    if max(picture.shape[-2:]) == 1:
        return picture * seen
    share = functional.avg_pool2d(seen, 2, ceil_mode=True)
    coarse = functional.avg_pool2d(picture * seen, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarser = pulled(coarse, (share == 0).to(picture))
    return torch.lerp(picture, functional.interpolate(coarser, picture.shape[-2:], mode="bilinear"), hole)


def biharmonic(picture: Tensor, hole: Tensor) -> Tensor:
    """The picture with the hole filled by the solution of the biharmonic equation, kept within the range of colours."""
    filled = picture.clone()
    for index, mask in enumerate(hole[:, 0].bool()):
        if 0 < mask.float().mean() < 1:
            seen = picture[index].movedim(0, -1).cpu().double().numpy()
            smooth = inpaint_biharmonic(seen, mask.cpu().numpy(), split_into_regions=False, channel_axis=-1)
            filled[index] = torch.from_numpy(smooth).movedim(-1, 0).to(picture).clamp(-1, 1)
    return filled
