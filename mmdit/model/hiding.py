"""What an object hides of a picture, and what is seen through its edges.

An edge's pixel is a mixture I = c + (1 − a) B of the object's colour c, premultiplied by its opacity a, and of what is
behind it. Where both are known from the object's drawing, B follows (the compositing equation: Porter and Duff 1984,
SIGGRAPH, section 4; solved for what is behind, as in difference matting). What is too opaque for that is a hole.

Pictures are (B, 3, height, width) in [−1, 1]. ``hides`` is (B, 4, height, width) in [0, 1]: colour, premultiplied, and
opacity of what hides the picture; opaque where it is not known how much.
"""

import torch
from torch import Tensor
from torch.nn import functional

EDGE, EDGE_GROWN = 0.3, 2  # the probability from which a pixel is taken for the object's, and pixels around these
OPAQUE = 0.5  # the opacity from which on what is behind can't be told


def hidden(outline: Tensor, drawn: Tensor | None = None, known: Tensor | None = None) -> Tensor:
    """``hides`` of an object that a drawing explains in part.

    Args:
        outline: (B, 1, height, width) the probability that a pixel belongs to the object.
        drawn: (B, 4, height, width) the drawing where it stands.
        known: (B, 1, height, width), where the drawing explains the picture; nowhere by default.
    """
    near = functional.max_pool2d((outline > EDGE).float(), 2 * EDGE_GROWN + 1, 1, EDGE_GROWN)
    unknown = torch.cat([torch.zeros_like(near).expand(-1, 3, -1, -1), near], dim=1)
    return unknown if known is None else torch.where(known, drawn, unknown)


def seen_through(picture: Tensor, hides: Tensor) -> tuple[Tensor, Tensor]:
    """The picture with what is seen through edges in their place, and (B, 1, height, width) 1 in the holes that
    remain, in which it is as it was.
    """
    colour, opacity = hides[:, :3], hides[:, 3:]
    hole = (opacity > OPAQUE).float()
    behind = (picture - (2 * colour - opacity)) / (1 - opacity.clamp_max(OPAQUE))
    return torch.where(hole > 0, picture, behind.clamp(-1, 1)), hole
