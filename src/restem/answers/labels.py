"""Tell what only names a value, as `x` in `x = 5`, from what is part of it."""

from collections.abc import Sequence
from typing import Final

from restem.answers.forms import Form, Group, Listing, Relation, Scalar, SetOperation, Text
from restem.answers.tree import Node, variables

_ASKED: Final = frozenset(
    ("symbol", "apply", "add", "neg", "mul", "div", "abs", "norm", "prime", "sin", "cos", "tan",
     "cot", "sec", "csc", "degree")
)  # fmt: skip


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
    """Tell whether an expression only names something: x, AB, f(2), x y, m/n."""
    if node.op in ("symbol", "apply"):
        return True
    return node.op in ("mul", "div", "prime") and all(map(is_name, node.args))


def is_label(form: Form) -> bool:
    """Tell whether a side of an equation only names what the other side states."""
    if isinstance(form, Text):
        return True
    if isinstance(form, Group):
        return all(map(is_label, form.items))
    if not isinstance(form, Scalar) or form.unit:
        return False
    ratio = form.node.op in ("sin", "cos", "tan") and is_name(form.node.args[0])
    return ratio or is_name(form.node)


def is_asked_value(form: Form) -> bool:
    """Tell what a problem may ask the value of: `a + b` in `a + b = 5`, not `-x`, not `2x`."""
    return isinstance(form, Scalar) and form.node.op != "neg" and _is_asked(form.node)


def _is_asked(node: Node) -> bool:
    return node.op in _ASKED and all(map(_is_asked, node.args))
