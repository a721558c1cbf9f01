"""Evaluate an expression at a point in floating point, within a budget of work.

Roots of negative numbers: an odd root is real, as in school; an even root is undefined where only
real values count, else the principal complex root. The same rules apply to both sides of a
comparison, so the choice matters only between notations that differ in it.
"""

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial
from typing import Any, Final

import mpmath

from restem.answers.exact_arithmetic import (
    MAX_FACTORIAL,
    QUICK,
    Budget,
    TooLargeError,
    UndefinedError,
    exact_value,
)
from restem.answers.tree import Node


class Evaluator:
    """Evaluate expressions at one point in one number system of mpmath, `fp` or an `mp` context.

    magnitude: the largest exponent, as a power of two, of an intermediate value.
    """

    def __init__(
        self, context: Any, values: Mapping[str, Any], real: bool, budget: Budget = QUICK
    ) -> None:
        self.context = context
        self.values = values
        self.real = real
        self.limit = budget.magnitude_bits
        self.magnitude = 0

    def value(self, node: Node) -> Any:
        """Return the value of an expression. Raises UndefinedError or TooLargeError."""
        if node.op == "number":
            return self.context.mpf(node.value.numerator) / node.value.denominator
        if node.op == "constant":
            return self._constant(node.name)
        if node.op == "symbol":
            return self.values[node.name]
        arguments = [self.value(argument) for argument in node.args]
        if node.op == "apply":
            return self._unknown(node.name, arguments[0])
        return self._checked(self._apply(node, arguments))

    def _constant(self, name: str) -> Any:
        if name == "infinity":
            raise UndefinedError
        return {"pi": +self.context.pi, "e": +self.context.e, "i": self.context.mpc(0, 1)}[name]

    def _checked(self, value: Any) -> Any:
        """Update the magnitude by a value; drop an imaginary part that is exactly zero."""
        if isinstance(value, self.context.mpc) and value.imag == 0:
            value = value.real
        if value != 0:
            size = self.context.mag(value)
            if not isinstance(size, int):  # inf or nan
                raise UndefinedError
            self.magnitude = max(self.magnitude, abs(size))
            if self.magnitude > self.limit:
                raise TooLargeError
        return value

    def _apply(self, node: Node, values: list[Any]) -> Any:
        op = node.op
        if op in ("add", "mul"):
            total = values[0]
            for value in values[1:]:
                total = total + value if op == "add" else self._checked(total * value)
            return total
        if op == "neg":
            return -values[0]
        if op == "div":
            return values[0] / self._nonzero(values[1])
        if op == "pow":
            return self._power(values[0], values[1], node.args[1])
        if op == "root":
            return self._power(values[0], 1 / self._nonzero(values[1]), _inverse(node.args[1]))
        return self._other(op, values)

    def _unknown(self, name: str, value: Any) -> Any:
        """Evaluate a stand-in for an unknown function: equal values at equal arguments."""
        factor = coordinate(name, 0, "positive")
        scale = self.context.mpf(factor.numerator) / factor.denominator
        if value != 0 and self.context.mag(value) > 64:
            raise TooLargeError
        return self.context.cos(scale * value) + scale * value * value

    def _nonzero(self, value: Any) -> Any:
        if value == 0:
            raise UndefinedError
        return value

    def _power(self, base: Any, exponent: Any, written: Node) -> Any:
        rational = _written_rational(written)
        if base == 0:
            if isinstance(exponent, self.context.mpc) or exponent < 0:
                raise UndefinedError
            return self.context.mpf(exponent == 0)
        self._guard(base, exponent)
        if rational is not None and rational.denominator == 1 and abs(rational) < 1 << 60:
            return base ** int(rational)
        if isinstance(base, self.context.mpc) or base > 0:
            return self.context.power(base, exponent)
        if rational is not None and rational.denominator % 2:
            size = self.context.power(-base, exponent)
            return -size if rational.numerator % 2 else size
        return self._negative_base(base, exponent)

    def _negative_base(self, base: Any, exponent: Any) -> Any:
        """Raise a negative number to an integer; to others only where complex values count."""
        real_exponent = not isinstance(exponent, self.context.mpc)
        if real_exponent and exponent == self.context.floor(exponent):
            return self.context.power(base, exponent)
        if self.real:
            raise UndefinedError
        return self.context.power(self.context.mpc(base), exponent)

    def _guard(self, base: Any, exponent: Any) -> None:
        """Refuse a power that would be too large, before computing it."""
        if exponent != 0:
            bits = self.context.mag(exponent) + max(abs(self.context.mag(base)), 1).bit_length()
            if bits > self.limit.bit_length() + 1:
                raise TooLargeError

    def _other(self, op: str, values: list[Any]) -> Any:
        value = values[0]
        if op == "percent":
            return value / 100
        if op == "degree":
            return value * self.context.pi / 180
        if op == "abs":
            return abs(value)
        if op == "log":
            return self._logarithm(value) / self._nonzero(self._logarithm(values[1]))
        if op in ("floor", "ceil"):
            return getattr(self.context, op)(self._only_real(value))
        if op in ("factorial", "binomial"):
            return self._counted(op, values)
        return self._function(op, value)

    def _logarithm(self, value: Any) -> Any:
        if self.real and not isinstance(value, self.context.mpc) and value <= 0:
            raise UndefinedError
        return self.context.ln(self._nonzero(value))

    def _only_real(self, value: Any) -> Any:
        if isinstance(value, self.context.mpc):
            raise UndefinedError
        return value

    def _counted(self, op: str, values: list[Any]) -> Any:
        whole = [self._only_real(value) for value in values]
        if any(value != self.context.floor(value) or value < 0 for value in whole):
            raise UndefinedError
        if max(whole) > MAX_FACTORIAL:
            raise TooLargeError
        numbers = [int(value) for value in whole]
        return self.context.mpf(factorial(*numbers) if op == "factorial" else comb(*numbers))

    def _function(self, op: str, value: Any) -> Any:
        name = _MPMATH.get(op)
        if name is None:
            raise UndefinedError
        limit = 16 if op in ("sinh", "cosh") else min(self.limit, 20_000)
        if value != 0 and self.context.mag(value) > limit:
            raise TooLargeError
        inverse = op in ("arcsin", "arccos")
        if self.real and inverse and not isinstance(value, self.context.mpc) and abs(value) > 1:
            raise UndefinedError
        return getattr(self.context, name)(value)


_MPMATH: Final = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh",
    "tanh": "tanh",
}  # fmt: skip


def _inverse(node: Node) -> Node:
    if node.op == "number" and node.value:
        return Node("number", value=1 / node.value)
    return node


@lru_cache(maxsize=4096)
def _written_rational(node: Node) -> Fraction | None:
    """Return the value of an exponent written as a small fraction, None for any other."""
    if node.op == "number":
        return node.value
    if node.op in ("neg", "div", "mul") and all(a.op in ("number", "neg") for a in node.args):
        try:
            return exact_value(node, QUICK)
        except (UndefinedError, TooLargeError):
            return None
    return None


@lru_cache(maxsize=4096)
def coordinate(name: str, point: int, kind: str) -> Fraction:
    """Return the value of a variable at a point: `positive`, `signed` or `whole`.

    The values depend on nothing but the arguments, so a comparison is reproducible.
    """
    seed = int.from_bytes(hashlib.sha256(f"{point} {kind} {name}".encode()).digest()[:8])
    if kind == "whole":
        return Fraction(2 + seed % 11)
    size = Fraction(3, 8) + Fraction(seed >> 24, 1 << 40)
    return -size if kind == "signed" and (seed ^ point) & 1 else size


def new_context(precision_bits: int) -> Any:
    """Return the shared context of this module, so that mpmath's global precision stays as is."""
    context = _context()
    context.prec = precision_bits
    return context


@lru_cache(maxsize=1)
def _context() -> Any:
    return mpmath.ctx_mp.MPContext()
