"""The tree of an expression: what the parser builds and the comparison reads."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final


class UnreadableError(Exception):
    """An answer is in no notation that the parser knows, or it is too deep or too long."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: `number` has a value, `symbol` and `constant` a name, all others arguments.

    Operators: add, mul, div, pow, neg, root (radicand, degree), log (argument, base), abs, floor,
    ceil, factorial, binomial, degree, percent, apply (an unknown function, called `name`), and the
    known functions of one argument by their names.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


CONSTANTS: Final = frozenset(("pi", "e", "i", "infinity"))


def number(value: Fraction | int) -> Node:
    """Make a leaf with an exact value."""
    return Node("number", value=Fraction(value))


def symbol(name: str) -> Node:
    """Make a leaf with a name: a variable, or a constant such as pi."""
    return Node("constant" if name in CONSTANTS else "symbol", name=name)


def make(op: str, *args: Node) -> Node:
    """Make an inner node."""
    return Node(op, args)


def negated(node: Node) -> Node:
    """Return the negative of an expression."""
    return number(-node.value) if node.op == "number" else make("neg", node)


def names(node: Node) -> frozenset[str]:
    """Return the names of the variables and constants of an expression."""
    collected = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current.name:
            collected.add(current.name)
        waiting.extend(current.args)
    return frozenset(collected)


def count(node: Node) -> int:
    """Return the number of nodes."""
    return 1 + sum(map(count, node.args))


def variables(node: Node) -> frozenset[str]:
    """Return the names of the variables of an expression."""
    return names(node) - CONSTANTS


def is_infinite(node: Node) -> int:
    """Return 1 for infinity, -1 for its negative, 0 for anything else."""
    if node.op == "neg":
        return -is_infinite(node.args[0])
    return int(node.op == "constant" and node.name == "infinity")
