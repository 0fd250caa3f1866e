"""What the embedded editor is taught: objects, colours, places and kinds of edit.

Knows names and definitions only. How they are drawn is in `mmdit.training.scenes`, how people ask for them in
`mmdit.training.wordings`.
"""

OBJECTS: dict[str, str] = {
    "cat": "🐱", "dog": "🐶", "rabbit": "🐰", "fox": "🦊", "bear": "🐻", "panda": "🐼", "pig": "🐷", "frog": "🐸",
    "monkey": "🐵", "lion": "🦁", "fish": "🐟", "butterfly": "🦋", "bee": "🐝", "turtle": "🐢", "apple": "🍎",
    "banana": "🍌", "strawberry": "🍓", "pizza": "🍕", "burger": "🍔", "cake": "🎂", "carrot": "🥕",
    "mushroom": "🍄", "tree": "🌳", "flower": "🌻", "cactus": "🌵", "car": "🚗", "bus": "🚌", "rocket": "🚀",
    "boat": "⛵", "house": "🏠", "castle": "🏰", "star": "⭐", "heart": "❤", "moon": "🌙", "sun": "🌞",
    "umbrella": "☔", "balloon": "🎈", "ball": "⚽", "clock": "⏰", "robot": "🤖",
}  # fmt: skip
"""Object name → the character that Noto Color Emoji draws it with."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.9, 0.1, 0.1),
    "orange": (1.0, 0.5, 0.05),
    "yellow": (0.98, 0.9, 0.1),
    "green": (0.1, 0.7, 0.15),
    "blue": (0.1, 0.25, 0.95),
    "purple": (0.55, 0.1, 0.75),
    "pink": (1.0, 0.5, 0.75),
    "brown": (0.5, 0.28, 0.1),
    "black": (0.1, 0.1, 0.1),
    "white": (0.97, 0.97, 0.97),
}
"""Colour name → RGB in [0, 1], the c of the recolour formula."""

PLACES: tuple[str, ...] = (
    "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip
"""The nine cells of a 3 × 3 grid over the picture, row by row."""

OBJECT_EDITS: tuple[str, ...] = ("recolour", "remove", "replace", "add", "bigger", "smaller")
PHOTO_EDITS: tuple[str, ...] = (
    "black and white", "sepia", "invert", "brighter", "darker", "warmer", "cooler", "contrast", "saturation",
    "blur", "night",
)  # fmt: skip
EFFECTS: tuple[str, ...] = ("fog", "sunset", "frame", "vignette")
"""Edits of the whole picture that the transformer was never taught."""
BY_DEFINITION: tuple[str, ...] = (*EFFECTS, "parts")
"""What is made by its definition once it is understood, see `mmdit.model.effect`."""
ARRANGEMENTS: tuple[str, ...] = ("move", "parts")
"""An object put elsewhere; what has one colour given another."""

WHICH: tuple[str, ...] = ("left", "right", "upper", "lower", "larger", "smaller", "any")
"""Which of several objects of a kind is meant."""
BESIDE: tuple[str, ...] = ("left", "right", "above", "below", "behind", "front")
"""Where something new stands, seen from an object."""

FURTHER_OBJECT_EDITS: tuple[str, ...] = ("move", "one of two", "beside")
FURTHER_EDITS: tuple[str, ...] = (*FURTHER_OBJECT_EDITS, "parts", *EFFECTS)
"""What the transformer was never taught: it follows from what it finds, and from reading the instruction."""

LEAVE_ALONE: tuple[str, ...] = ("absent object", "nonsense")
"""Instructions whose right answer is the unchanged picture."""

KINDS: tuple[str, ...] = OBJECT_EDITS + PHOTO_EDITS + LEAVE_ALONE
