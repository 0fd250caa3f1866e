"""What stands where an object was: what the model paints there, mixed with a smooth continuation of the rest.

The continuation is biharmonic inpainting by scikit-image (Damelin and Hoang 2018, Int. J. of Mathematics and
Mathematical Sciences, 3950312). It is exact where there is nothing but a gradient, and leaves no ghost of the object;
the model knows textures and horizons.

Axes: B batch.
"""

from dataclasses import replace

import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor
from torch.nn import functional

from mmdit.model.edit_field import EditField

EDGE, EDGE_GROWN = 0.3, 1  # the probability from which a pixel is taken for the object's, and pixels around these
SMOOTH_SHARE = 0.6


def continued(field: EditField, source: Tensor, outline: Tensor) -> EditField:
    """The edit, where an object was, moved towards a smooth continuation of what surrounds it.

    Args:
        field: of the source, (B, 3, height, width) in [−1, 1].
        outline: (B, 1, height, width) logit.
    """
    covered = functional.max_pool2d((outline.sigmoid() > EDGE).float(), 2 * EDGE_GROWN + 1, 1, EDGE_GROWN)
    edited, offset = field.apply(source), field.offset.clone()
    for index, mask in enumerate(covered[:, 0].bool()):
        if 0 < mask.float().mean() < 1:
            seen = source[index].movedim(0, -1).cpu().double().numpy()
            smooth = inpaint_biharmonic(seen, mask.cpu().numpy(), split_into_regions=False, channel_axis=-1)
            smooth = torch.from_numpy(smooth).movedim(-1, 0).to(edited).clamp(-1, 1)
            offset[index] += SMOOTH_SHARE * mask * (smooth - edited[index])
    return replace(field, offset=offset)
