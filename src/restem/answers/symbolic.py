"""Prove equality with sympy, where values at points do not decide it. Runs in workers only.

A worker is `python -m restem.answers.symbolic SECONDS MEGABYTES`.

Expressions are built by constructors, node by node, from the tree that our own parser made of an
answer. The only text that reaches sympy is names of variables, which become symbols unparsed.
"""

import sys
from typing import Any, Final

import sympy

from restem.answers.compare import Comparison
from restem.answers.equality import Equality, equal
from restem.answers.exact_arithmetic import DEEP, Budget
from restem.answers.tree import Node
from restem.answers.workers import serve

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
    """Compare with a larger budget, then with sympy."""

    def __init__(self, budget: Budget = DEEP) -> None:
        super().__init__(budget)

    def equality(self, left: Node, right: Node) -> Equality:
        """Compare two expressions by values, then by simplification."""
        by_value = equal(left, right, self.budget)
        return prove(left, right) if by_value.equal is None else by_value


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


def prove(left: Node, right: Node) -> Equality:
    """Simplify the difference; equal is None where the result is not a number."""
    difference = sympy.simplify(build(left) - build(right))
    if difference.is_zero:
        return Equality(True, "symbolic")
    differs = difference.is_number and difference.is_zero is False
    return Equality(False if differs else None, "symbolic")


def compare(gold: str, answer: str) -> dict[str, Any]:
    """Compare one pair, for a worker."""
    return {"equal": DeepComparison().compare(gold, answer).equal, "layer": "symbolic"}


if __name__ == "__main__":
    serve(compare, float(sys.argv[1]), int(sys.argv[2]))
