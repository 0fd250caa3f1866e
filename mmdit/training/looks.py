"""Ten looks that small LoRAs are taught: each an exact definition, and the words that ask for it.

In: pictures (B, 3, height, width) in [0, 1]. Out: the same, as `LOOKS[name](picture)`. Lengths are shares of
`side`, so that a look means the same at the editor's working sizes, which all have nearly one area, and at full
size; what repeats over the picture does so a whole number of times. Knows nothing of files, models or training.

Notation: L is Rec. 601 luma, S(t) = t² (3 − 2t), G(·, s) a Gaussian of σ = s sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.tint import luma, recolour
from mmdit.training.wordings.tables import table

THERMAL = ((0.05, 0.0, 0.22), (0.42, 0.0, 0.55), (0.90, 0.16, 0.36), (1.0, 0.58, 0.10), (1.0, 0.97, 0.72))
CYANOTYPE = ((0.02, 0.12, 0.30), (0.95, 0.98, 1.0))
INKS = ((0.30, 0.05, 0.25), (0.10, 0.65, 0.62), (0.98, 0.92, 0.45))
INK_EDGES = (0.36, 0.64)  # luma at which one ink passes into the next
INK_STEEPNESS = 18.0
PHOSPHOR = ((0.0, 0.05, 0.02), (0.10, 0.80, 0.25), (0.80, 1.0, 0.80))
PAPER = (1.0, 0.985, 0.95)
INFRARED = ((0.10, 1.90, -0.95), (0.95, 0.05, 0.0), (-0.10, 0.90, 0.20))
MOSAIC_BLOCKS = 8  # along one side
SCAN_LINE_PAIRS = 8


def side(picture: Tensor) -> float:
    """The unit of length of a picture, √(height · width) pixels: the side of a square of its area."""
    return math.sqrt(picture.shape[-2] * picture.shape[-1])


def gaussian(picture: Tensor, share: float) -> Tensor:
    """G: smoothed with σ = share · side; cut off at 3σ, edges extended. (B, C, height, width) → the same."""
    sigma = share * side(picture)
    reach = math.ceil(3 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=picture.device) / sigma) ** 2)
    weights = (weights / weights.sum()).to(picture.dtype)
    rows = functional.pad(picture.flatten(0, 1)[:, None], (reach, reach, reach, reach), mode="replicate")
    smooth = functional.conv2d(functional.conv2d(rows, weights[None, None, None]), weights[None, None, :, None])
    return smooth.view_as(picture)


def gradient(position: Tensor, colours: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Colours at positions in [0, 1] of a piecewise linear gradient with evenly spaced stops.

    (B, 1, height, width) → (B, 3, height, width).
    """
    stops = position.new_tensor(colours)
    place = position.clamp(0, 1) * (len(stops) - 1)
    return sum((1 - (place - index).abs()).clamp_min(0) * stop[:, None, None] for index, stop in enumerate(stops))


def _smoothstep(t: Tensor) -> Tensor:
    return t.square() * (3 - 2 * t)


def _repeats(pixels: int, picture: Tensor, per_side: int) -> int:
    """How often something that comes ``per_side`` times a side fits into so many pixels, at least once."""
    return max(1, round(per_side * pixels / side(picture)))


def _centres(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel centres from the top left: y (height, 1) and x (1, width), in pixels."""
    y, x = (torch.arange(size, device=picture.device, dtype=picture.dtype) + 0.5 for size in picture.shape[-2:])
    return y[:, None], x[None]


def thermal(picture: Tensor) -> Tensor:
    """The gradient `THERMAL` at L: dark violet, magenta, rose, amber, pale yellow."""
    return gradient(luma(picture), THERMAL)


def cyanotype(picture: Tensor) -> Tensor:
    """The gradient `CYANOTYPE` at S(L): Prussian ink to paper."""
    return gradient(_smoothstep(luma(picture)), CYANOTYPE)


def screen_print(picture: Tensor) -> Tensor:
    """Three flat `INKS` by l = G(L, 1.2 / 128); each passes into the next, a → b, at an edge e of `INK_EDGES`.

    a + (b − a) / (1 + exp(−18 (l − e))), from the darkest ink up.
    """
    tone = gaussian(luma(picture), 1.2 / 128)
    inks = picture.new_tensor(INKS)[:, :, None, None]
    printed = inks[0]
    for ink, edge in zip(inks[1:], INK_EDGES, strict=True):
        printed = printed + (ink - printed) * torch.sigmoid(INK_STEEPNESS * (tone - edge))
    return printed


def pencil_sketch(picture: Tensor) -> Tensor:
    """Paper · (0.86 + 0.14 b + 1.5 (L − b) / (b + 0.2)) with b = G(L, 6 / 128): shading kept faintly, detail drawn."""
    tone = luma(picture)
    around = gaussian(tone, 6 / 128)
    drawn = (0.86 + 0.14 * around + 1.5 * (tone - around) / (around + 0.2)).clamp(0, 1)
    return drawn * picture.new_tensor(PAPER)[:, None, None]


def emboss(picture: Tensor) -> Tensor:
    """½ + 1.6 (L − b) in grey; b is G(L, 2.5 / 128), moved down and right by 3 / 128 side in whole pixels."""
    tone = luma(picture)
    moved = round(side(picture) * 3 / 128)
    shadow = functional.pad(gaussian(tone, 2.5 / 128), (moved, 0, moved, 0), mode="replicate")
    relief = 0.5 + 1.6 * (tone - shadow[..., : tone.shape[-2], : tone.shape[-1]])
    return relief.expand_as(picture)


def pixel_mosaic(picture: Tensor) -> Tensor:
    """Means of blocks, eight along a side: R rows and C columns, row y of pixels in block ⌊y R / height⌋."""
    height, width = picture.shape[-2:]
    rows, columns = (_repeats(pixels, picture, MOSAIC_BLOCKS) for pixels in (height, width))
    row, column = (
        torch.arange(pixels, device=picture.device) * blocks // pixels
        for pixels, blocks in ((height, rows), (width, columns))
    )
    down, across = (functional.one_hot(index).to(picture.dtype) for index in (row, column))
    means = torch.einsum(
        "bchw,hr,wk->bcrk", picture, down / down.sum(dim=0, keepdim=True), across / across.sum(dim=0, keepdim=True)
    )
    return means[..., row[:, None], column[None]]


def solarise(picture: Tensor) -> Tensor:
    """1 − (2x − 1)² of every channel x: tones rise to the middle and fall back to nothing."""
    return 1 - (2 * picture - 1).square()


def infrared(picture: Tensor) -> Tensor:
    """The matrix `INFRARED` times RGB: leaves, bright in the near infrared, come out crimson, as on Aerochrome film."""
    return torch.einsum("ij,bjhw->bihw", picture.new_tensor(INFRARED), picture)


def rainbow(picture: Tensor) -> Tensor:
    """L tinted (`recolour`) with ½ + 0.45 cos 2π(p − k / 3) for channel k = 0, 1, 2; p = (x + y / 2) / (1.5 side)."""
    y, x = _centres(picture)
    phase = (x + y / 2) / (1.5 * side(picture))
    colour = torch.stack([0.5 + 0.45 * torch.cos(2 * math.pi * (phase - channel / 3)) for channel in range(3)])
    return recolour(luma(picture), colour)


def phosphor(picture: Tensor) -> Tensor:
    """The gradient `PHOSPHOR` at S(L), times scan lines 0.8 + 0.2 cos 2π y n / height; n is even, about 16 a side."""
    y, _ = _centres(picture)
    height = picture.shape[-2]
    lines = 2 * _repeats(height, picture, SCAN_LINE_PAIRS)
    return gradient(_smoothstep(luma(picture)), PHOSPHOR) * (0.8 + 0.2 * torch.cos(2 * math.pi * y * lines / height))


@dataclass(frozen=True)
class Look:
    """
    Args:
        name: of its LoRA's file and preset.
        title, description: for people.
        trigger: the shortest wording.
        definition: the function above.
        instructions: what training asks with; lower case, so short that two joined by "and" are read whole.
        held_out_instructions: what only evaluation asks with.
    """

    name: str
    title: str
    description: str
    trigger: str
    definition: Callable[[Tensor], Tensor]
    instructions: tuple[str, ...]
    held_out_instructions: tuple[str, ...]

    def __call__(self, picture: Tensor) -> Tensor:
        """The picture in this look, clamped; (B, 3, height, width) in [0, 1] → the same."""
        return self.definition(picture).clamp(0, 1)


_ALL = (
    Look(
        "thermal", "Thermal camera", "A heat map of the tones, from dark violet over magenta to pale yellow.",
        "thermal camera", thermal,
        table("""thermal camera; show it through a thermal camera; turn it into a heat map; thermal imaging please;
            make it look like a thermal scan; heat vision; view the scene with a thermal imager; a thermal image of
            this; give the photo a thermal camera look; make a heat map of the picture"""),
        table("""thermography of this scene; a picture from a heat sensing camera; let me see it in thermal vision;
            convert it into a thermal picture"""),
    ),
    Look(
        "cyanotype", "Cyanotype", "Prussian ink on pale paper, like a sun print or a blueprint.",
        "cyanotype", cyanotype,
        table("""cyanotype; turn it into a cyanotype; make a blueprint of it; print the photo as a cyanotype;
            give it the cyanotype process; blueprint look; like an architectural blueprint; a cyanotype print please;
            expose it on cyanotype paper; render the picture as a blueprint"""),
        table("""show it as a cyanotype; a blueprint version; make it look like an engineering blueprint;
            use the cyanotype technique"""),
    ),
    Look(
        "screen-print", "Screen print", "Plum, teal and lemon inks by tone, like a hand-pulled poster.",
        "screen print", screen_print,
        table("""screen print; turn it into a screen print; make it a campaign poster; silkscreen the picture;
            print it with three flat inks; a pop art poster please; give it a screen printed look; like a street
            poster; make the photo a stencil poster; screen print this image"""),
        table("""a silkscreen version; show it as a pop art print; make it look like a screen printed poster;
            as a stencil on a wall"""),
    ),
    Look(
        "pencil-sketch", "Pencil sketch", "Graphite lines and faint shading on paper.",
        "pencil sketch", pencil_sketch,
        table("""pencil sketch; turn it into a pencil sketch; draw it in pencil; make it a pencil drawing; sketch
            the picture by hand; like a graphite drawing on paper; give it a hand drawn look; a sketch of this photo
            please; trace it with a graphite pencil; render the image as a pencil sketch"""),
        table("""show it as a drawing in pencil; a page from a sketchbook; as if drawn by hand with graphite;
            convert the photo into a sketch"""),
    ),
    Look(
        "emboss", "Emboss", "A plain relief, lit from the top left.",
        "emboss", emboss,
        table("""emboss; emboss the picture; turn it into a relief; make it look embossed; carve the photo in stone;
            give it an embossed look; stamp it into metal; a bas-relief of this please; press it into clay;
            make it a plaster relief"""),
        table("""an embossed version; show it as a stone relief; as if carved into a slab; apply an emboss effect"""),
    ),
    Look(
        "pixel-mosaic", "Pixel mosaic", "Big square blocks, each of one even tone.",
        "pixel mosaic", pixel_mosaic,
        table("""pixel mosaic; turn it into a pixel mosaic; pixelate the picture; make it from square tiles; show it
            in big square pixels; chunky pixel blocks please; give it a mosaic look; like an eight bit game;
            reduce the photo to coarse blocks; build it from large pixels"""),
        table("""a pixelated version; make it look like a mosaic of tiles; show the image as square blocks;
            apply a pixelate effect"""),
    ),
    Look(
        "solarise", "Solarise", "Tones that fold back on themselves, as in a print exposed twice.",
        "solarise", solarise,
        table("""solarise; solarise the picture; solarize it; apply solarisation; make it look solarised; give it
            the sabattier effect; fold the tones back on themselves; a solarized print please; use a solarise filter;
            a trippy solarised look"""),
        table("""a solarised version; show it with the sabattier effect; turn the photo into a solarization;
            render it as a solarized picture"""),
    ),
    Look(
        "infrared", "Infrared film", "False tones of infrared film: foliage turns crimson, skies turn teal.",
        "infrared film", infrared,
        table("""infrared film; shoot it on infrared film; make it an infrared photo; aerochrome look; turn it into
            an aerochrome picture; simulate an infrared camera; as seen in infrared; an infrared shot please;
            give the scene an infrared look; develop it as aerochrome"""),
        table("""an infrared version; show it in infrared; like an infrared aerial survey;
            render it as aerochrome film"""),
    ),
    Look(
        "rainbow", "Rainbow foil", "Light and shade in the tints of a spectrum that runs across the picture.",
        "rainbow foil", rainbow,
        table("""rainbow foil; lay a rainbow across it; give it a rainbow gradient; make the photo iridescent;
            holographic foil look; wash the picture in a rainbow; spread the spectrum over it; a rainbow overlay
            please; print it on holographic foil; cover it with a rainbow"""),
        table("""a rainbow version; make it look like holographic foil; let the spectrum run across it;
            show it with a rainbow wash"""),
    ),
    Look(
        "phosphor", "Phosphor screen", "The glow and the scan lines of an old terminal's tube.",
        "phosphor screen", phosphor,
        table("""phosphor screen; show it on a phosphor screen; make it look like an old terminal; turn it into a
            radar display; like an old computer monitor; give it a cathode ray tube look; put it on a phosphor
            monitor; an old monitor with scan lines; display it on a tube terminal; scan lines please"""),
        table("""a phosphor version; as seen on an old radar screen; make it look like a tube monitor;
            show the photo on an old computer terminal"""),
    ),
)  # fmt: skip

LOOKS: dict[str, Look] = {look.name: look for look in _ALL}


def find_look(name: str) -> Look:
    """The look of this name. Raises ValueError."""
    if name not in LOOKS:
        raise ValueError(f"no look is called {name!r}; choose one of {', '.join(LOOKS)}")
    return LOOKS[name]
