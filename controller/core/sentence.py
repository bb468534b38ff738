"""Words and the values in them, kept apart: so a translation can come between the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

from typing_extensions import override


class Phrase:
    """Words for people, as a template: ``Phrase("{number} in the queue", number="2nd")``.

    ``text`` is what a translator gets; ``str()`` fills the values in, and nothing in a value is
    interpreted. Equal ones have the same template and the same values.

    It is no Struct on purpose: what encodes records and answers refuses it, so these keep getting
    plain strings, made where they leave the program.
    """

    __slots__ = ("text", "values")

    def __init__(self, text: LiteralString, /, **values: Value) -> None:
        self.text: Final[str] = text
        self.values: Final[Mapping[str, Value]] = values

    @override
    def __str__(self) -> str:
        return self.text.format_map(self.values)

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r}, {dict(self.values)!r})"

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Phrase):
            return NotImplemented
        return (type(self), self.text, self.values) == (type(other), other.text, other.values)

    @override
    def __hash__(self) -> int:
        return hash((self.text, frozenset(self.values.items())))

    def around(self, name: str) -> tuple[str, str]:
        """Return the words before and after the place of a value, without the spaces there.

        For a moment: a page shows it in its reader's time, and a record keeps it as a number.
        """
        before, _, after = self.text.partition(f"{{{name}}}")
        return before.rstrip().format_map(self.values), after.lstrip().format_map(self.values)


class Sentence(Phrase):
    """A phrase that stands by itself, as a whole sentence or several."""

    __slots__ = ()


Value = str | int | Phrase
"""What can be filled in; an error or a number with decimals comes as the text to be shown."""
