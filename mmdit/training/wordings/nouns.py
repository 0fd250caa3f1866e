"""What objects, colours and places are called, and what people say around a request."""

from mmdit.training.wordings.tables import table, words

# fmt: off
SYNONYMS: dict[str, tuple[str, ...]] = {
    "cat": ("kitten", "feline", "tomcat", "pussycat"), "dog": ("hound", "doggy", "pooch", "doggie", "canine"),
    "rabbit": ("hare",), "fox": ("vixen",), "bear": ("grizzly",), "panda": ("giant panda",),
    "pig": ("hog", "swine", "piggy"), "frog": ("froggy", "bullfrog"), "monkey": ("ape", "baboon"),
    "lion": ("lioness",), "fish": ("trout", "tuna"), "butterfly": ("moth",), "bee": ("bumblebee", "wasp"),
    "turtle": ("terrapin",), "banana": ("plantain",), "strawberry": ("berry",), "pizza": ("pizza slice",),
    "burger": ("cheeseburger", "sandwich"), "cake": ("birthday cake", "torte", "gateau"),
    "mushroom": ("toadstool", "champignon"), "tree": ("oak", "maple"),
    "flower": ("blossom", "daisy", "bloom"),
    "cactus": ("succulent",), "car": ("auto", "vehicle", "sedan"), "bus": ("minibus", "omnibus"),
    "rocket": ("space rocket", "missile"), "boat": ("sailboat", "yacht", "dinghy"),
    "house": ("cottage", "hut", "cabin"), "castle": ("fortress", "palace"), "heart": ("love heart",),
    "moon": ("crescent",), "sun": ("smiling sun",), "umbrella": ("parasol",), "balloon": ("party balloon",),
    "ball": ("soccer ball", "sphere"), "clock": ("timepiece", "timer"),
    "robot": ("bot", "automaton", "cyborg"),
}
HELD_OUT_SYNONYMS: dict[str, str] = {
    "cat": "kitty", "dog": "puppy", "rabbit": "bunny", "car": "automobile", "boat": "ship", "house": "home",
    "ball": "football", "robot": "android", "burger": "hamburger", "bus": "coach", "clock": "alarm",
    "flower": "sunflower", "bear": "teddy", "pig": "piglet", "frog": "toad", "monkey": "chimpanzee",
    "fish": "goldfish", "bee": "honeybee", "turtle": "tortoise", "cake": "cupcake", "mushroom": "fungus",
    "tree": "sapling", "cactus": "saguaro", "rocket": "spacecraft", "castle": "citadel", "umbrella": "brolly",
}
COLOUR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("scarlet", "ruby", "cherry red", "ruby red"), "orange": ("apricot", "amber", "mandarin"),
    "yellow": ("lemon", "canary", "mustard"), "green": ("lime", "olive", "mint green", "lime green"),
    "blue": ("navy", "sapphire", "cobalt", "navy blue"), "purple": ("lilac", "lavender", "plum", "mauve"),
    "pink": ("magenta", "fuchsia", "hot pink"), "brown": ("chestnut", "coffee brown", "mahogany", "hazel"),
    "black": ("jet black", "onyx", "coal black"), "white": ("snow white", "chalk white", "pearl white"),
}
HELD_OUT_COLOUR_SYNONYMS: dict[str, str] = {
    "red": "crimson", "orange": "tangerine", "yellow": "golden", "green": "emerald", "blue": "azure",
    "purple": "violet", "pink": "rose", "brown": "chocolate", "black": "ebony", "white": "ivory",
}
COLOUR_MODIFIERS = ("bright", "deep", "pure", "completely", "dark", "light")
PLAIN_COLOUR_MODIFIERS = ("pure", "completely")
"""For black and white, where dark and light would change the meaning."""

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "top left": table("""
        in the top left; at the top left; in the (top|upper) left corner; at the upper left; in the
        upper left; near the top left; on the top left; to the top left; top left; in the left top
        corner; up in the left corner"""),
    "top": table("""
        at the top; at the top of the {pic}; on top; near the top; in the top middle; at the upper edge;
        in the upper part; in the top center; up top; at the top center; top; in the top"""),
    "top right": table("""
        in the top right; at the top right; in the (top|upper) right corner; at the upper right; in the
        upper right; near the top right; on the top right; to the top right; top right; in the right top
        corner; up in the right corner"""),
    "left": table("""
        on the left; on the left side; to the left; at the left; at the left edge; in the left part; on
        the left hand side; in the middle left; near the left edge; left; on the left of the {pic}; in
        the left"""),
    "center": table("""
        in the center; in the middle; at the center; in the middle of the {pic}; center; right in the
        middle; in the very center; in the center of the {pic}; at the middle; centered"""),
    "right": table("""
        on the right; on the right side; to the right; at the right; at the right edge; in the right
        part; on the right hand side; in the middle right; near the right edge; right; on the right of
        the {pic}; in the right"""),
    "bottom left": table("""
        in the bottom left; at the bottom left; in the (bottom|lower) left corner; at the lower left; in
        the lower left; near the bottom left; on the bottom left; to the bottom left; bottom left; in
        the left bottom corner; down in the left corner"""),
    "bottom": table("""
        at the bottom; at the bottom of the {pic}; near the bottom; in the bottom middle; at the lower
        edge; in the lower part; in the bottom center; down at the bottom; at the bottom center; bottom;
        in the bottom"""),
    "bottom right": table("""
        in the bottom right; at the bottom right; in the (bottom|lower) right corner; at the lower
        right; in the lower right; near the bottom right; on the bottom right; to the bottom right;
        bottom right; in the right bottom corner; down in the right corner"""),
}

PICTURE_PRONOUNS = table("""
    it; it; it; it; this; the picture; the photo; the image; this picture; this photo; this image;
    everything; the whole picture; the whole thing; my photo; the scene; the pic; my picture""")
PICTURE_NOUNS = table("""
    picture; photo; image; picture; photo; image; pic; shot; photograph""")
ADVERBS = ("", "", "", "", "a bit ", "much ", "a lot ", "way ", "slightly ", "even ", "somewhat ")

PREFIXES: dict[str, tuple[str, ...]] = {
    "do": table("""
        please; please; can you; can you please; could you; could you please; would you; would you
        please; will you; i want you to; i would like you to; i would like to; i want to; i'd like you
        to; i'd like to; i need you to; hey; hey can you; now; just; go ahead and; pls; plz; kindly; can
        u; let's; we need to; you should; try to; ok now; then; next; so; is it possible to; is there a
        way to; help me; you have to; can we; could we; please just; i need to; my boss wants you to; hi
        please; hello can you; quickly; how do i; do me a favor and; it would be nice to; the next step
        is to; i think you should; simply; also"""),
    "say": table("""
        hey; ok; well; actually; so; hi; hmm; honestly; sorry but; you know; for this one; look; oh; now"""),
    "noun": table("""
        i want; give me; i would like; can i have; can i get; could i get; i need; i'd like; just; how
        about; what about; maybe; we want; please give me; try; go for; i'm thinking; let's have"""),
}
SUFFIXES: dict[str, tuple[str, ...]] = {
    "do": table("""
        please; please; thanks; thank you; for me; if you can; if possible; now; for me please; will
        you; would you; ok; pls; right now; if you don't mind; thank you very much; thx; as well; today;
        real quick"""),
    "say": table("""
        please; thanks; please; ok; if possible; for me; can you do that; pls; if you can; i think"""),
    "noun": table("""please; please; thanks; pls; for me; if possible; thank you; now; if you can"""),
}
PICTURE_SUFFIXES = table("""
    in this picture; in the photo; in the picture; in this image; in my photo; here; in the image""")
"""Only after cores that do not mention the picture."""

TYPO_WORDS = frozenset(words("""
    please could would want make turn picture photo image thanks this should need apply like thank
    change there convert with possible just into"""))
"""The only words that a typo may strike: none of them tells kinds, objects, colours or places apart."""
