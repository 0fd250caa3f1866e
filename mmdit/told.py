"""What is said of an edit, beside its picture."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """Sentences for the person who asked; "+" puts those of one after those of another.

    Args:
        notes: how the edit was understood and made; all is well.
        warnings: what is otherwise than asked, or may be.
    """

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: "Told") -> "Told":
        return Told(self.notes + other.notes, self.warnings + other.warnings)

    def of(self, text: str) -> "Told":
        """The same, each sentence with the text that it is about."""
        notes, warnings = (tuple(f"“{text}”: {one}" for one in said) for said in (self.notes, self.warnings))
        return Told(notes, warnings)


NOTHING = Told()
