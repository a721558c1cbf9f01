"""The forms that an answer may have around its expressions, and which parts are only names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from restem.answers.tree import Node, variables

_ASKED: Final = frozenset(
    ("symbol", "apply", "add", "neg", "mul", "div", "abs", "norm", "prime", "sin", "cos", "tan",
     "cot", "sec", "csc", "degree")
)  # fmt: skip


@dataclass(frozen=True)
class Scalar:
    """An expression and its canonical unit; an empty unit for none."""

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
    """Parts of a ratio or of a time."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Group:
    """A tuple, an interval or a set. opening, closing: the kinds of its brackets."""

    opening: str
    closing: str
    items: tuple["Form", ...]


@dataclass(frozen=True)
class Listing:
    """Several answers; word: what connects them, `,`, `and` or `or`."""

    items: tuple["Form", ...]
    word: str = ","


@dataclass(frozen=True)
class SetOperation:
    """Sets combined by `cup`, `cap` or `setminus`."""

    operator: str
    parts: tuple["Form", ...]


@dataclass(frozen=True)
class NamedSet:
    """The empty set, or a set with a letter as its name, such as R."""

    name: str


@dataclass(frozen=True)
class Matrix:
    """Rows of expressions; kind: `matrix`, or `vmatrix` for a determinant."""

    rows: tuple[tuple["Form", ...], ...]
    kind: str


@dataclass(frozen=True)
class Relation:
    """Sides and the operators between them: `=`, `<`, `<=`, `>`, `>=`, `!=`, `in`, `~`, `to`."""

    sides: tuple["Form", ...]
    operators: tuple[str, ...]


Form = Scalar | Text | Based | Ratio | Group | Listing | SetOperation | NamedSet | Matrix | Relation


def variables_of(form: Form) -> frozenset[str]:
    """Return the names of the variables in a form."""
    if isinstance(form, Scalar):
        return variables(form.node)
    parts: Sequence[Form] = ()
    if isinstance(form, Relation):
        parts = form.sides
    elif isinstance(form, Group | Listing):
        parts = form.items
    elif isinstance(form, SetOperation):
        parts = form.parts
    return frozenset().union(*map(variables_of, parts))


def is_name(node: Node) -> bool:
    """Return whether an expression is only a name: x, AB, f(2), x y, m/n."""
    if node.op in ("symbol", "apply"):
        return True
    return node.op in ("mul", "div", "prime") and all(map(is_name, node.args))


def is_label(form: Form) -> bool:
    """Return whether a side of an equation only names the value on the other side."""
    if isinstance(form, Text):
        return True
    if isinstance(form, Group):
        return all(map(is_label, form.items))
    if not isinstance(form, Scalar) or form.unit:
        return False
    ratio = form.node.op in ("sin", "cos", "tan") and is_name(form.node.args[0])
    return ratio or is_name(form.node)


def is_asked_value(form: Form) -> bool:
    """Return whether a problem may ask for this value: `a + b` in `a + b = 5`; not `-x`, `2x`."""
    return isinstance(form, Scalar) and form.node.op != "neg" and _is_asked(form.node)


def _is_asked(node: Node) -> bool:
    return node.op in _ASKED and all(map(_is_asked, node.args))
