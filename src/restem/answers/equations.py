"""Read the equations in a solution, to check its steps and to compare it with other solutions.

RFT (Yuan et al. 2023, section 3.3) drops reasoning paths with a wrong calculation and keeps one
path for each list of equations.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_TERMS: Final = rf"{_NUMBER}(?:\s*[-+*/]\s*{_NUMBER})+"
# Both sides must be complete: part of `x + 2 - 1 = 5` or `1 + 2 = 5 - 2` is another statement.
_BEFORE: Final = r"(?<![\w.)}])(?<![-+*/^])(?<![-+*/^x][ ])"
_AFTER: Final = r"(?![\d.]*\d)(?![A-Za-z]\b)(?!\s*[-+*/^]\s*(?:[\d(\\]|[a-z]\b))"
_EQUATION: Final = re.compile(rf"{_BEFORE}({_TERMS})\s*=\s*\$?({_NUMBER}){_AFTER}")
_TIMES: Final = re.compile(r"(?<=\d)\s*x\s*(?=\d)")
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_MAX_CHARACTERS: Final = 200  # no genuine step is longer, and parsing stays cheap

_OPERATIONS: Final[dict[type, Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def equations(text: str) -> tuple[tuple[str, str], ...]:
    """List the left and right sides of all equations of numbers in a text, without spaces."""
    plain = text.replace("×", "*").replace("÷", "/").replace("\\times", "*").replace("\\cdot", "*")
    plain = _TIMES.sub("*", _THOUSANDS.sub("", plain))
    return tuple(
        ("".join(left.split()), right)
        for left, right in _EQUATION.findall(plain)
        if len(left) <= _MAX_CHARACTERS
    )


def holds(equation: tuple[str, str]) -> bool:
    """Return whether an equation is right, up to the decimal places of its right side."""
    left, right = equation
    try:
        value = _value(ast.parse(left, mode="eval").body)
    except (ZeroDivisionError, SyntaxError):
        return False
    digits = len(right.partition(".")[2])
    return abs(value - Fraction(right)) <= Fraction(1, 2 * 10**digits) * bool(digits)


def all_hold(text: str) -> bool:
    """Return whether no equation in a text is wrong."""
    return all(map(holds, equations(text)))


def _value(node: ast.expr) -> Fraction:
    """Evaluate a term exactly; the pattern admits only numbers and four operations."""
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand)
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    raise SyntaxError(ast.dump(node))
