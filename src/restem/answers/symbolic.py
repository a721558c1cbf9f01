"""Prove equality with sympy, where values at points decide nothing; only a worker does this.

The expression is built by constructors from a tree that our own parser made of an answer, node by
node. No text reaches sympy but names of variables, which become symbols and are never parsed.
"""

from typing import Any, Final

import sympy

from restem.answers.compare import Comparison
from restem.answers.decide import Decision, equal
from restem.answers.exact import DEEP, Budget
from restem.answers.tree import Node

_CONSTANTS: Final = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}
_FUNCTIONS: Final[dict[str, Any]] = {
    "add": sympy.Add, "mul": sympy.Mul, "pow": sympy.Pow, "abs": sympy.Abs, "sin": sympy.sin,
    "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "sinh": sympy.sinh,
    "cosh": sympy.cosh, "tanh": sympy.tanh, "floor": sympy.floor, "ceil": sympy.ceiling,
    "factorial": sympy.factorial, "binomial": sympy.binomial, "log": sympy.log, "root": sympy.root,
    "neg": lambda value: sympy.Mul(sympy.Integer(-1), value),
    "div": lambda top, bottom: sympy.Mul(top, sympy.Pow(bottom, sympy.Integer(-1))),
    "percent": lambda value: sympy.Mul(value, sympy.Rational(1, 100)),
    "degree": lambda value: sympy.Mul(value, sympy.pi, sympy.Rational(1, 180)),
}  # fmt: skip


class DeepComparison(Comparison):
    """Compare with a larger budget, and with sympy where that decides nothing."""

    def __init__(self, budget: Budget = DEEP) -> None:
        super().__init__(budget)

    def nodes(self, left: Node, right: Node) -> bool:
        """Compare two expressions by values, then by simplification."""
        decided = equal(left, right, self.budget)
        if decided.equal is None:
            decided = prove(left, right)
        self.undecided |= decided.equal is None
        return bool(decided.equal)


def build(node: Node) -> Any:
    """Return the sympy expression of a tree."""
    if node.op == "number":
        return sympy.Rational(node.value.numerator, node.value.denominator)
    if node.op == "constant":
        return _CONSTANTS[node.name]
    if node.op == "symbol":
        return sympy.Symbol(node.name)
    arguments = [build(argument) for argument in node.args]
    function = _FUNCTIONS.get(node.op)
    return function(*arguments) if function else sympy.Function(node.name or node.op)(*arguments)


def prove(left: Node, right: Node) -> Decision:
    """Decide by simplifying the difference; equal is None where that does not end in a number."""
    difference = sympy.simplify(build(left) - build(right))
    if difference.is_zero:
        return Decision(True, "symbolic")
    known = difference.is_number and difference.is_zero is False
    return Decision(False if known else None, "symbolic")
