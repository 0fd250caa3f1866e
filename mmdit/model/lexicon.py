"""What words that training never used are read as: "azure" as "blue", "poodle" as "dog".

In: the words of an instruction. Out: the words to encode in their place. The table is made from WordNet by
`mmdit.training.lexicon`; this module only looks up.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEXICON_FILE = "lexicon.json.gz"
DETERMINERS = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their",
    "some", "any", "no", "one", "each", "every", "another",
))  # fmt: skip
COLOUR_NOUNS = frozenset(("colour", "color", "coloured", "colored", "hue", "shade", "tone", "tint"))


@dataclass(frozen=True)
class Lexicon:
    """
    Args:
        words: word → what it is read as.
        colours: word → the colour that it names; comes before `words`.
        ambiguous: the words of `colours` that name a thing too ("rose").
        things: words for the objects that the editor knows.
        notice: whose knowledge it is and on what terms it may be passed on.
    """

    words: Mapping[str, str]
    colours: Mapping[str, str]
    ambiguous: frozenset[str]
    things: frozenset[str]
    notice: str = ""

    @classmethod
    def from_file(cls, file: str | Path) -> "Lexicon":
        """Read what `save` wrote."""
        stored = json.loads(gzip.decompress(Path(file).read_bytes()))
        return cls(
            words=stored["words"],
            colours=stored["colours"],
            ambiguous=frozenset(stored["ambiguous"]),
            things=frozenset(stored["things"]),
            notice=stored["notice"],
        )

    def save(self, file: str | Path) -> None:
        """Write it as packed JSON, one line a table, everything in alphabetical order."""
        tables = {
            "notice": self.notice,
            "words": dict(sorted(self.words.items())),
            "colours": dict(sorted(self.colours.items())),
            "ambiguous": sorted(self.ambiguous),
            "things": sorted(self.things),
        }
        lines = (f"{json.dumps(key)}: {json.dumps(table, separators=(',', ':'))}" for key, table in tables.items())
        Path(file).write_bytes(gzip.compress(("{\n" + ",\n".join(lines) + "\n}\n").encode(), mtime=0))

    def read(self, words: Sequence[str]) -> list[str]:
        """The words of a normalised instruction as they are to be encoded, one entry (maybe a phrase) for each.

        A possessive is read like its owner: "poodle's" as "dog's".
        """
        return [self._read(words, place) for place in range(len(words))]

    def _read(self, words: Sequence[str], place: int) -> str:
        word = words[place]
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in self.colours and following in self.colours.values():
            return word  # it only shades the colour, as in "emerald green"
        if word in self.colours and self._stands_as_colour(words[place - 1] if place else "", word, following):
            return self.colours[word]
        owner = word.removesuffix("'s")
        return self.words.get(owner, owner) + word[len(owner) :]

    def _stands_as_colour(self, before: str, word: str, following: str) -> bool:
        """Whether a colour word names a colour where it stands.

        One that names a thing too is that thing right after a determiner ("add a rose"), unless what follows is
        a word for colour ("a rose tint") or a thing that can have one ("a rose balloon").
        """
        if word not in self.ambiguous or before not in DETERMINERS:
            return True
        return following in COLOUR_NOUNS or following in self.things or self.words.get(following) in self.things
