"""The forms that an answer may have around its expressions."""

from dataclasses import dataclass

from restem.answers.tree import Node


@dataclass(frozen=True)
class Scalar:
    """An expression and the unit behind it, canonical, or nothing."""

    node: Node
    unit: str = ""


@dataclass(frozen=True)
class Text:
    """Words: a weekday, a name, a colour."""

    words: str


@dataclass(frozen=True)
class Based:
    """Digits in a base, such as 101_2."""

    digits: str
    base: int


@dataclass(frozen=True)
class Ratio:
    """Parts of a ratio, or of a time."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Group:
    """What stands in brackets: a tuple, an interval, a set. opening, closing: their kinds."""

    opening: str
    closing: str
    items: tuple["Form", ...]


@dataclass(frozen=True)
class Listing:
    """Answers beside each other; word: what connects them, `,`, `and` or `or`."""

    items: tuple["Form", ...]
    word: str = ","


@dataclass(frozen=True)
class SetOperation:
    """Sets combined by `cup`, `cap` or `setminus`."""

    operator: str
    parts: tuple["Form", ...]


@dataclass(frozen=True)
class NamedSet:
    """The empty set, or a set with a letter of its own such as R."""

    name: str


@dataclass(frozen=True)
class Matrix:
    """Rows of expressions; kind: `matrix`, or `vmatrix` for a determinant."""

    rows: tuple[tuple["Form", ...], ...]
    kind: str


@dataclass(frozen=True)
class Relation:
    """Sides with an operator between each two: `=`, `<`, `<=`, `>`, `>=`, `!=`, `in`, `~`, `to`."""

    sides: tuple["Form", ...]
    operators: tuple[str, ...]


Form = Scalar | Text | Based | Ratio | Group | Listing | SetOperation | NamedSet | Matrix | Relation
