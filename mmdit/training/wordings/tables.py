"""How the tables of templates are written down: one text, cut at semicolons or at white space.

Template language: `(a|b|)` is a choice, `{x}` the object, `{y}` its replacement, `{c}` the colour, `{p}` the place,
`{it}` and `{pic}` the picture as pronoun or noun, `{more}` an optional adverb before a comparative.
"""


def table(text: str) -> tuple[str, ...]:
    """The entries of a table written as one text, separated by `;`, with white space normalised."""
    return tuple(" ".join(entry.split()) for entry in text.split(";") if entry.strip())


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())
