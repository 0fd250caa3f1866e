"""Build the editor's lexicon: what words that training never used are read as, from WordNet 3.0.

In: the unpacked package `wordnet-base`, the words of training. Out: a `mmdit.model.lexicon.Lexicon`, written beside
the text encoder. Knows nothing of held-out wordings. Every constant was chosen on words of training, each read as if
training lacked it.

    python -m mmdit.training.lexicon --packages data/packages --out assets/mini/text_encoder
"""

import argparse
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmdit.model.lexicon import LEXICON_FILE, Lexicon
from mmdit.model.vocabulary import COLOURS, KINDS, OBJECTS
from mmdit.training.wordings import generate, idle, nouns

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
UNCOUNTED = 0.5  # uses of a sense that WordNet's corpus counted no use of
OBJECT_SHARE = 0.25  # of a word's uses, those that must mean the object
COLOUR_SHARE = 0.05  # of a word's uses, those that must mean the colour; it is read so only where it stands as one
NEARNESS = 0.05  # least score of a relative that stands in for a word
RELATIONS = {"+": 0.5, "\\": 0.5, "@": 0.25, "&": 0.25}  # derived forms, more general verb, nearest adjective
TELLING_BITS = 2.0  # what a word must tell about the kind of edit to be worth reading another one as
TELLING_TEMPLATES = 4  # how many templates must use it
NONSENSE = "nonsense"
SINGLE_WORD = re.compile(r"[a-z]{3,}|[a-z]+(-[a-z]+)+")
FORMS = (("n", "s"), ("v", "s"), ("v", "ed"), ("v", "ing"), ("a", "er"), ("a", "est"))


@dataclass(frozen=True)
class Synset:
    """One meaning.

    Args:
        part: "n", "v", "a" or "r".
        words: lower case, in WordNet's order.
        links: (relation, synset, number of the own word, number of the other's word; 0 and 0 between whole synsets).
        leans: whether it is an adjective that WordNet hangs on a more general one.
        gloss: the definition, without examples.
    """

    part: str
    words: tuple[str, ...]
    links: tuple[tuple[str, str, int, int], ...]
    leans: bool
    gloss: str


class WordNet:
    """WordNet's files, read whole.

    Args:
        folder: what the package has in usr/share/wordnet.
    """

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[str, Synset] = {}
        self.senses: dict[str, dict[str, float]] = defaultdict(dict)  # word → synset → share of the word's uses
        counts = _sense_counts(folder)
        for part, name in PARTS.items():
            for line in _lines(folder / f"data.{name}"):
                self.synsets[part + line[:8]] = _synset(part, line)
            for line in _lines(folder / f"index.{name}"):
                cells = line.split()
                word = cells[0].replace("_", " ")
                for number, offset in enumerate(cells[-int(cells[2]) :], start=1):
                    self.senses[word][part + offset] = counts.get((word, part, number), 0) + UNCOUNTED
        for senses in self.senses.values():
            uses = sum(senses.values())
            senses |= {synset: count / uses for synset, count in senses.items()}
        self.notice = _licence(folder / "data.noun")

    def nouns(self, word: str) -> list[str]:
        """The synsets of a noun, the commonest first."""
        return [synset for synset in self.senses.get(word, ()) if synset[0] == "n"]

    def below(self, top: str) -> dict[str, int]:
        """The synset and everything that it is the general word for → steps down."""
        depth = {top: 0}
        queue = [top]
        for synset in queue:
            for relation, other, _, _ in self.synsets[synset].links:
                if relation == "~" and other not in depth:
                    depth[other] = depth[synset] + 1
                    queue.append(other)
        return depth

    def around(self, synset: str) -> set[str]:
        """The synset and its general words up to two steps up."""
        found = newest = {synset}
        for _ in range(2):
            newest = {other for one in newest for link, other, _, _ in self.synsets[one].links if link == "@"}
            found = found | newest
        return found


def _lines(file: Path) -> Iterator[str]:
    """The lines of a WordNet file without its licence, which is indented."""
    return (line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith(" "))


def _licence(file: Path) -> str:
    """The indented and numbered lines that every WordNet file begins with, as one."""
    lines = itertools.takewhile(lambda line: line.startswith("  "), file.read_text(encoding="utf-8").splitlines())
    return " ".join(" ".join(re.sub(r"^ *\d+", "", line) for line in lines).split())


def _synset(part: str, line: str) -> Synset:
    data, _, gloss = line.partition(" | ")
    cells = data.split()
    words_end = 4 + 2 * int(cells[3], 16)
    links = []
    for at in range(words_end + 1, words_end + 1 + 4 * int(cells[words_end]), 4):
        relation, offset, other, ends = cells[at : at + 4]
        links.append((relation, other.replace("s", "a") + offset, int(ends[:2], 16), int(ends[2:], 16)))
    words = (word.split("(")[0].replace("_", " ").lower() for word in cells[4:words_end:2])
    return Synset(part, tuple(words), tuple(links), cells[2] == "s", gloss.split(";")[0].split('"')[0])


def _sense_counts(folder: Path) -> dict[tuple[str, str, int], int]:
    """(word, part, number of the sense) → how often WordNet's corpus uses it."""
    counts = {}
    for line in _lines(folder / "cntlist.rev"):
        key, number, count = line.split()
        word, _, sense = key.partition("%")
        counts[word.replace("_", " "), "nvara"[int(sense[0]) - 1], int(number)] = int(count)
    return counts


@dataclass(frozen=True)
class Training:
    """
    Args:
        known: every word that a training instruction can hold, but for meaningless strings.
        uses: word of a template → kind of edit → share of that kind's templates that hold it.
        times: word of a template → number of templates that hold it.
        objects, colours: name or synonym, maybe of several words → object, colour.
    """

    known: frozenset[str]
    uses: dict[str, dict[str, float]]
    times: dict[str, int]
    objects: dict[str, str] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_wordings(cls) -> "Training":
        """Collected from the tables of `wordings`, in both spellings; `objects` and `colours` too."""
        uses: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        times: Counter[str] = Counter()
        for kind in KINDS:
            for share, template in _templates(kind):
                for word, chance in _words(template).items():
                    uses[word][kind] += share * chance
                    times[word] += 1
        objects = _meanings(OBJECTS, nouns.SYNONYMS)
        colours = _meanings(COLOURS, nouns.COLOUR_SYNONYMS)
        around = (
            nouns.PICTURE_PRONOUNS, nouns.PICTURE_NOUNS, nouns.ADVERBS, nouns.PICTURE_SUFFIXES, nouns.COLOUR_MODIFIERS,
            nouns.PLAIN_COLOUR_MODIFIERS, *nouns.PREFIXES.values(), *nouns.SUFFIXES.values(), objects, colours,
            idle.FOREIGN_NOUNS, uses,
        )  # fmt: skip
        said = set(itertools.chain.from_iterable(_words(text) for text in itertools.chain(*around)))
        owners = {word.removesuffix("'s") for word in said}
        known = frozenset(itertools.chain(said, owners, *map(_typos, nouns.TYPO_WORDS)))
        return cls(known, uses, times, objects, colours)

    def knows(self, word: str) -> bool:
        """Whether training may have said it: one of its words, or a string that it makes up from syllables."""
        return word in self.known or bool(_INVENTED.fullmatch(word))

    def tells(self, word: str) -> bool:
        """Whether the word tells enough about the kind of edit, which must not be nonsense; abbreviations never do."""
        uses = self.uses.get(word, {})
        if len(word) < 3 or self.times.get(word, 0) < TELLING_TEMPLATES:
            return False
        if max(uses, key=lambda kind: uses[kind]) == NONSENSE:
            return False
        shares = [use / sum(uses.values()) for use in uses.values()]
        return math.log2(len(KINDS)) + sum(share * math.log2(share) for share in shares) >= TELLING_BITS


def _templates(kind: str) -> list[tuple[float, str]]:
    """All training templates of a kind, those of the picture's places with "add", with the share each has."""
    if kind in ("absent object", NONSENSE):
        idle_texts = (
            idle.SALAD_WORDS, idle.SMALL_TALK, idle.FOREIGN_EDITS, idle.NEGATED_EDITS, idle.NEGATIONS, idle.DO_NOTHING,
        )  # fmt: skip
        texts = [text for table in idle_texts for text in table] if kind == NONSENSE else []
        return [(1 / len(texts), text) for text in texts]
    short = generate.SHORT[kind]
    cores = list(itertools.chain.from_iterable(generate.CORES[kind].values()))
    places = list(itertools.chain.from_iterable(nouns.PLACE_PHRASES.values())) if kind == "add" else []
    weighed = ((0.25, short), (0.75, cores), (1.0, places))  # a quarter of the instructions are short ones
    return [(weight / len(texts), text) for weight, texts in weighed for text in texts]


def _words(template: str) -> dict[str, float]:
    """The words of a template, in both spellings, → chance that its choices take them."""
    chances: dict[str, float] = defaultdict(float)
    for part in re.split(r"[()]", template):
        choices = part.split("|")
        for choice in choices:
            for word in set(re.sub(r"{\w+}('s)?", " ", choice).split()):
                american = word.replace("colour", "color").replace("colorise", "colorize")
                american = american.replace("minimise", "minimize").replace("grey", "gray")
                for spelt in {word, american, word.replace("gray", "grey").replace("center", "centre")}:
                    chances[spelt] += 1 / len(choices)
    return {word: min(1.0, chance) for word, chance in chances.items()}


def _meanings(names: Iterable[str], synonyms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {word: name for name in names for word in (name, *synonyms.get(name, ()))}


def _typos(word: str) -> Iterator[str]:
    """What `generate` may make of a word that it mistypes."""
    for at in range(1, len(word) - 1):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at] + word[at:]
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        yield from (word[:at] + letter + word[at + 1 :] for letter in "abcdefghijklmnopqrstuvwxyz")


_INVENTED = re.compile("((" + ")(".join("|".join(part) for part in (idle.ONSETS, idle.VOWELS, idle.CODAS)) + ")){1,2}")


class Reader:
    """What a word that training lacks is nearest to, of what training has."""

    def __init__(self, wordnet: WordNet, training: Training) -> None:
        self.wordnet = wordnet
        self.training = training
        self.objects = self._object_synsets()
        self.colours = self._colour_synsets()

    def object(self, word: str) -> str | None:
        """The object that the word is another name for, or a sort of."""
        return self._meaning(word, self.objects, OBJECT_SHARE)

    def colour(self, word: str) -> str | None:
        """The colour that the word names, or names a shade of."""
        return self._meaning(word, self.colours, COLOUR_SHARE)

    def names_a_thing(self, word: str) -> bool:
        """Whether the word is a noun for anything but a colour."""
        return any(synset not in self.colours for synset in self.wordnet.nouns(word))

    def edit_word(self, word: str) -> str | None:
        """The nearest relative of the word in the training templates, if it tells of an edit.

        Relatives are what shares a synset with the word, then its derived forms, then a verb's next more general
        verb and the adjective that another one leans on. A synset is worth the share of the word's uses that have
        this sense (or the relative's), times the share of the training word's uses that do; each synset stands for
        the training word that is used in it most. The best relative decides, even if it is one that tells nothing.
        """
        scores: Counter[str] = Counter()
        for synset, share in self.wordnet.senses.get(word, {}).items():
            for relative, nearness in self._relatives(word, synset).items():
                member, weight = self._member(relative, word)
                if weight:
                    scores[member] += share * nearness * weight
        if not scores:
            return None
        ((best, score),) = scores.most_common(1)
        worth_it = self.training.tells(best) or best in nouns.PICTURE_NOUNS
        return best if score >= NEARNESS and worth_it else None

    def _relatives(self, word: str, synset: str) -> dict[str, float]:
        """Synset → how near it is to a sense of the word."""
        meaning = self.wordnet.synsets[synset]
        number = meaning.words.index(word) + 1
        near = {synset: 1.0}
        for relation, other, own, _ in meaning.links:
            general = own == 0 and ((relation == "@" and meaning.part == "v") or (relation == "&" and meaning.leans))
            if general or (own == number and relation in ("+", "\\")):
                near.setdefault(other, RELATIONS[relation])
        return near

    def _member(self, synset: str, word: str) -> tuple[str, float]:
        """The training word that is used most in a synset, with the share of its uses that has this meaning."""
        members = [other for other in self.wordnet.synsets[synset].words if other in self.training.known]
        shares = {other: self.wordnet.senses[other].get(synset, 0.0) for other in members if other != word}
        used = {other: sum(self.training.uses.get(other, {}).values()) or 1e-4 for other in shares}
        best = max(shares, key=lambda other: used[other] * shares[other], default="")
        return best, shares.get(best, 0.0)

    def _meaning(self, word: str, meanings: dict[str, str], least: float) -> str | None:
        shares: Counter[str] = Counter()
        for synset, share in self.wordnet.senses.get(word, {}).items():
            if synset in meanings:
                shares[meanings[synset]] += share
        return next((name for name, share in shares.most_common(1) if share >= least), None)

    def _object_synsets(self) -> dict[str, str]:
        """Synset → object: what lies below the objects' own synsets, and what their synonyms mean beside these.

        An object's own synset is the sense of its name that has most of its training synonyms in or below it. The
        main sense of a synonym counts if it has a general word in common with it, each two steps up at most.
        """
        tops: dict[str, str] = {}
        for name in OBJECTS:
            synonyms = [word for word, meant in self.training.objects.items() if meant == name and word != name]
            found: Counter[str] = Counter()
            for synset in self.wordnet.nouns(name):
                below = self.wordnet.below(synset)
                found[synset] = sum(not below.keys().isdisjoint(self.wordnet.nouns(word)) for word in synonyms)
            tops |= {synset: name for synset, support in found.most_common(1) if support}
        meanings = self._nearest(tops)
        around = {name: self.wordnet.around(top) for top, name in tops.items()}
        for word, name in self.training.objects.items():
            for synset in self.wordnet.nouns(word):
                main = self.wordnet.senses[word][synset] >= 0.5
                if main and not around.get(name, set()).isdisjoint(self.wordnet.around(synset)):
                    meanings.setdefault(synset, name)
        return meanings

    def _nearest(self, tops: dict[str, str]) -> dict[str, str]:
        """Synset → the name of the nearest of some synsets that it lies below."""
        steps: dict[str, tuple[int, str]] = {}
        for top, name in tops.items():
            for synset, depth in self.wordnet.below(top).items():
                steps[synset] = min(steps.get(synset, (depth, name)), (depth, name))
        return {synset: name for synset, (_, name) in steps.items()}

    def _colour_synsets(self) -> dict[str, str]:
        """Synset → colour: nouns below the ten colours, adjectives by their words or the last colour of their gloss."""
        roots = ("chromatic", "achromatic")
        families = [self.wordnet.below(top) for root in roots for top in self.wordnet.nouns(f"{root} color")]
        tops = {
            synset: name
            for name in COLOURS
            for synset in self.wordnet.nouns(name)
            if any(synset in family for family in families)
        }
        meanings = self._nearest(tops)
        for head in itertools.chain.from_iterable(self.wordnet.senses[root] for root in roots):
            for relation, synset, _, _ in self.wordnet.synsets[head].links:
                colour = self._adjective_colour(self.wordnet.synsets[synset]) if relation == "&" else None
                if colour:
                    meanings[synset] = colour
        return meanings

    def _adjective_colour(self, meaning: Synset) -> str | None:
        """None too where training uses one of the synset's words for something else ("grey")."""
        if any(word not in self.training.colours and self.training.tells(word) for word in meaning.words):
            return None
        said = [word for word in re.findall(r"[a-z]+", meaning.gloss) if word in self.training.colours]
        names = [word for word in meaning.words if word in COLOURS] or [word for word in said if word in COLOURS][-1:]
        return next((self.training.colours[word] for word in names or said[-1:]), None)


def build(wordnet: WordNet, training: Training) -> Lexicon:
    """The whole lexicon; inflected forms stand in it as words of their own."""
    reader = Reader(wordnet, training)
    words: dict[str, str] = {}
    colours: dict[str, str] = {}
    for word in sorted(wordnet.senses):
        if not SINGLE_WORD.fullmatch(word) or any(map(training.knows, (word, *word.split("-")))):
            continue
        colour, thing = reader.colour(word), reader.object(word)
        if colour:
            colours[word] = colour
        reading = thing or (None if colour else reader.edit_word(word))
        if reading:
            words[word] = reading
    ambiguous = frozenset(filter(reader.names_a_thing, colours))
    certain = {word: colour for word, colour in colours.items() if word not in ambiguous}
    return Lexicon(
        words=_inflected(certain | words, wordnet, training) | words,
        colours=colours,
        ambiguous=ambiguous,
        things=frozenset(word for word in training.objects if " " not in word),
        notice=wordnet.notice,
    )


def _inflected(words: dict[str, str], wordnet: WordNet, training: Training) -> dict[str, str]:
    """Forms of the words, read as the same forms of their readings where training has these."""
    forms: dict[str, str] = {}
    for word, reading in words.items():
        parts = {"n"} if reading in OBJECTS else {synset[0] for synset in wordnet.senses[word]}
        if len(re.findall("[aeiouy]+", word)) > 2:
            parts.discard("a")  # long adjectives are compared with "more"
        for part, ending in FORMS:
            form = inflect(word, ending)
            if part in parts and not training.knows(form):
                same_form = inflect(reading, ending)
                forms.setdefault(form, same_form if same_form in training.known else reading)
    return forms


def inflect(word: str, ending: str) -> str:
    """A regular form of a word: ending is "s", "ed", "ing", "er" or "est"."""
    if ending == "s":
        if re.search(r"(s|x|z|ch|sh)$", word):
            return word + "es"
        return re.sub(r"(?<=[^aeiou])y$", "ie", word) + "s"
    if ending != "ing" and re.search(r"[^aeiou]y$", word):
        return word[:-1] + "i" + ending
    if word.endswith("e"):
        return word[:-1] + ending
    doubles = re.fullmatch(r"(?:[^aeiou]|qu)+[aeiou][^aeiouwxy]", word)
    return (word + word[-1] if doubles else word) + ending


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder that packages.sh filled")
    parser.add_argument("--out", type=Path, required=True, help="folder of the text encoder")
    arguments = parser.parse_args()
    wordnet = WordNet(arguments.packages / "wordnet-base/usr/share/wordnet")
    lexicon = build(wordnet, Training.from_wordings())
    lexicon.save(arguments.out / LEXICON_FILE)
    print(f"{len(lexicon.words)} words and {len(lexicon.colours)} colour words in {arguments.out / LEXICON_FILE}")


if __name__ == "__main__":
    main()
