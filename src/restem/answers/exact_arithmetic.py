"""Evaluate an expression exactly, as a rational number, within a budget of bits."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial
from typing import Final

from restem.answers.tree import Node

MAX_FACTORIAL: Final = 4000


class UndefinedError(Exception):
    """An expression has no value at a point: division by zero, a logarithm of zero, infinity."""


class TooLargeError(Exception):
    """An expression cannot be computed within the budget."""


@dataclass(frozen=True)
class Budget:
    """What a comparison may cost, in bits.

    exact: size of an exact number; precision: of a floating-point value; magnitude: exponent of an
    intermediate value, as a power of two; work: precision times operations.
    """

    exact_bits: int
    precision_bits: int
    magnitude_bits: int
    work_bits: int


QUICK: Final = Budget(20_000, 8_000, 100_000, work_bits=400_000)
DEEP: Final = Budget(4_000_000, 60_000, 2_000_000, work_bits=20_000_000)


def exact_value(node: Node, budget: Budget) -> Fraction | None:
    """Return the rational value of an expression, None where exact rules do not give one.

    Raises TooLargeError, and UndefinedError for a division by zero.
    """
    return _Exact(budget).value(node)


class _Exact:
    """Rational arithmetic with a bound on its total work in bits."""

    def __init__(self, budget: Budget) -> None:
        self.limit = budget.exact_bits
        self.remaining = 64 * budget.exact_bits

    def value(self, node: Node) -> Fraction | None:
        if node.op == "number":
            return node.value
        if not node.args:
            return None
        values = [self.value(argument) for argument in node.args]
        if any(value is None for value in values):
            return None
        result = self.apply(node.op, [value for value in values if value is not None])
        return None if result is None else self.checked(result)

    def checked(self, value: Fraction) -> Fraction:
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        self.remaining -= bits
        if bits > self.limit or self.remaining < 0:
            raise TooLargeError
        return value

    def apply(self, op: str, values: list[Fraction]) -> Fraction | None:
        if op in ("add", "mul"):
            total = values[0]
            for value in values[1:]:
                total = self.checked(total + value if op == "add" else total * value)
            return total
        if op == "pow":
            return self.power(*values)
        if op == "root":
            return _exact_root(*values)
        if op in ("factorial", "binomial"):
            return _counted(op, values)
        rule = _RATIONAL.get(op)
        return rule(*values) if rule else None

    def power(self, base: Fraction, exponent: Fraction) -> Fraction | None:
        if exponent.denominator != 1:
            if exponent.denominator > 64 or abs(exponent.numerator) > 64:
                return None
            root = _exact_root(base, Fraction(exponent.denominator))
            return None if root is None else self.power(root, Fraction(exponent.numerator))
        if base == 0 and exponent < 0:
            raise UndefinedError
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if (size - 1) * abs(exponent.numerator) > self.limit:
            raise TooLargeError
        return base**exponent.numerator


def _divided(top: Fraction, bottom: Fraction) -> Fraction:
    if bottom == 0:
        raise UndefinedError
    return top / bottom


_RATIONAL: Final[dict[str, Callable[..., Fraction]]] = {
    "div": _divided,
    "neg": lambda value: -value,
    "abs": abs,
    "percent": lambda value: value / 100,
    "floor": lambda value: Fraction(value.__floor__()),
    "ceil": lambda value: Fraction(value.__ceil__()),
}


def _counted(op: str, values: list[Fraction]) -> Fraction:
    """Compute n! or a binomial coefficient of integers of moderate size."""
    if any(value.denominator != 1 or value < 0 for value in values):
        raise UndefinedError
    if any(value > MAX_FACTORIAL for value in values):
        raise TooLargeError
    whole = [value.numerator for value in values]
    return Fraction(factorial(*whole) if op == "factorial" else comb(*whole))


def _exact_root(radicand: Fraction, degree: Fraction) -> Fraction | None:
    if degree.denominator != 1 or not 2 <= degree <= 64 or (radicand < 0 and degree % 2 == 0):
        return None
    top = _integer_root(abs(radicand.numerator), degree.numerator)
    bottom = _integer_root(radicand.denominator, degree.numerator)
    if top is None or bottom is None:
        return None
    return Fraction(top if radicand > 0 else -top, bottom)


def _integer_root(value: int, degree: int) -> int | None:
    """Return the integer root of an integer by Newton's iteration, None if it has none."""
    if value < 2:
        return value
    guess = 1 << -(-value.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess if guess**degree == value else None
        guess = better
