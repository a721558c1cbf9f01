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
# Both sides must be complete: part of `x + 2 - 1 = 5` or `1 + 2 = 5 - 2` is another statement, and
# so is part of a root, of a power, or of a time of day.
_BEFORE: Final = r"(?<![\w.)}√²³])(?<!\d:)(?<![-+*/^])(?<![-+*/^x][ ])"
_AFTER: Final = r"(?![\d.]*\d)(?![A-Za-z]\b)(?![²³!]|:\d)(?!\s*[-+*/^]\s*(?:[\d(\\]|[a-z]\b))"
# Right sides of more than a number: 3 remainder 2, 3 R 2, 3 with 2 left over; 3 2/5; 25%.
_REMAINDER: Final = (
    r"(?:,?\s*(?:with|and)|,)?(?:\s*a)?\s*(?:remainder|rem\.?|[rR])(?:\s*(?:of|is|=))?\s*(\d+)\b"
)
_LEFT: Final = r",?\s*(?:with|and)\s+(\d+)(?:\s+\w+)?\s+(?:left|remaining)\b"
_FRACTION: Final = r"\s+(\d+/[1-9]\d*)(?![\d.]*\d)"
_PERCENT: Final = r"\s?\\?(%)"
_EQUATION: Final = re.compile(
    rf"{_BEFORE}({_TERMS})\s*=\s*\$?({_NUMBER})"
    rf"(?:{_REMAINDER}|{_LEFT}|{_FRACTION}|{_PERCENT}|{_AFTER})"
)
_TIMES: Final = re.compile(r"(?<=\d)\s*x\s*(?=\d)")
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LEADING_ZEROS: Final = re.compile(r"(?<![\d.])0+(?=\d)")
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
        ("".join(found[1].split()), _right_side(found))
        for found in _EQUATION.finditer(plain)
        if len(found[1]) <= _MAX_CHARACTERS
    )


def _right_side(found: re.Match[str]) -> str:
    """Write a right side without spaces: 5, 3R2 with a remainder, 3+2/5, or 25%."""
    side, number, remainder, left, fraction, percent = found.groups()
    if left and "/" in side and not holds(("".join(side.split()), number)):
        remainder = left  # else these are things that are left, and none of the division
    if remainder:
        return f"{number}R{remainder}"
    return f"{number}+{fraction}" if fraction else number + (percent or "")


def holds(equation: tuple[str, str]) -> bool:
    """Return whether an equation is right, up to the decimal places of its right side."""
    left, right = equation
    try:
        value = _value(ast.parse(_LEADING_ZEROS.sub("", left), mode="eval").body)
    except (ZeroDivisionError, SyntaxError):
        return False
    if "R" in right:
        return _leaves(left, *map(Fraction, right.split("R")))
    if right.endswith("%"):  # 1/4 = 25%, and also 0.25 * 100 = 25%
        number = right.removesuffix("%")
        return _is_about(100 * value, number) or _is_about(value, number)
    whole, _, fraction = right.partition("+")
    if fraction:
        sign = -1 if whole.startswith("-") else 1
        return value == Fraction(whole) + sign * Fraction(fraction)
    return _is_about(value, right)


def _is_about(value: Fraction, number: str) -> bool:
    digits = len(number.partition(".")[2])
    return abs(value - Fraction(number)) <= Fraction(1, 2 * 10**digits) * bool(digits)


def _leaves(left: str, quotient: Fraction, rest: Fraction) -> bool:
    """Tell whether the last division of a term leaves this rest; 2 * 17 / 5 divides 34."""
    dividend, _, divisor = left.rpartition("/")
    if not dividend or not divisor.isdecimal() or not int(divisor):
        return False
    whole = _value(ast.parse(_LEADING_ZEROS.sub("", dividend), mode="eval").body)
    return whole == quotient * int(divisor) + rest and rest < int(divisor)


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
