"""Decide whether two expressions are equal: by exact values, else by precise values at points.

Different algebraic or elementary expressions do not agree to two hundred bits at several unrelated
points by chance. The precision grows with the size of intermediate values, so 2^100 and 2^100+1
are as clearly different as 1 and 2. What cannot be computed is left undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import mpmath

from restem.answers.exact_arithmetic import (
    QUICK,
    Budget,
    TooLargeError,
    UndefinedError,
    exact_value,
)
from restem.answers.numeric import Evaluator, coordinate, new_context
from restem.answers.tree import Node, count, is_infinite, make, names, number, variables

MIN_BITS: Final = 192
GUARD_BITS: Final = 48
_ERRORS: Final = (UndefinedError, TooLargeError, ZeroDivisionError, OverflowError, ValueError)
_POINTS: Final = (
    *((kind, number) for number in range(3) for kind in ("positive", "signed")),
    *(("whole", number) for number in range(4)),
)
_AGREEMENTS: Final = 4  # points at which two expressions must agree
_ALGEBRAIC: Final = frozenset(
    ("number", "symbol", "constant", "add", "mul", "div", "neg", "pow", "root", "abs", "percent",
     "factorial", "binomial", "degree")
)  # fmt: skip


@dataclass(frozen=True)
class Equality:
    """Whether two answers are equal, None where undecided; layer: the method that decided."""

    equal: bool | None
    layer: str


def equal(left: Node, right: Node, budget: Budget = QUICK) -> Equality:
    """Decide whether two expressions have the same value wherever both have one."""
    if left == right:
        return Equality(True, "tree")
    if left.op == right.op == "number":
        return Equality(False, "rational")
    if is_infinite(left) or is_infinite(right):
        return Equality(is_infinite(left) == is_infinite(right), "tree")
    free = variables(left) | variables(right)
    if not free:
        exact = _equal_exactly(left, right, budget)
        return exact or _equal_at_points(left, right, (("positive", 0),), False, 1, budget)
    # Variables are real, and so are the values where that gives enough of them.
    if "i" not in names(left) | names(right):
        equality = _equal_at_points(left, right, _POINTS, True, _AGREEMENTS, budget)
        if equality.layer != "undefined":
            return equality
    return _equal_at_points(left, right, _POINTS[:4], False, _AGREEMENTS, budget)


def _equal_exactly(left: Node, right: Node, budget: Budget) -> Equality | None:
    try:
        first, second = exact_value(left, budget), exact_value(right, budget)
    except (UndefinedError, TooLargeError):
        return None
    if first is None or second is None:
        return None
    return Equality(first == second, "rational")


def _equal_at_points(
    left: Node,
    right: Node,
    points: Sequence[tuple[str, int]],
    real: bool,
    agreements: int,
    budget: Budget,
) -> Equality:
    """Compare values until enough agree or two differ; `undefined`: at no point both had one."""
    free = variables(left) | variables(right)
    agreed = unknown = 0
    for kind, place in points:
        point = {name: coordinate(name, place, kind) for name in free}
        try:
            same = _agree(left, right, point, real, budget)
        except (UndefinedError, ZeroDivisionError):
            continue
        except (TooLargeError, OverflowError, ValueError):
            unknown += 1
            continue
        if not same:
            return Equality(False, "numeric")
        agreed += 1
        if agreed == agreements:
            return Equality(True, "numeric")
    if agreed > 1 or unknown:
        return Equality(True if agreed > 1 else None, "numeric")
    return Equality(False, "undefined")


def _agree(
    left: Node, right: Node, point: Mapping[str, Fraction], real: bool, budget: Budget
) -> bool:
    """Return whether both values agree. Raises UndefinedError or TooLargeError without values.

    A number within the budget never equals an expression with parts beyond the budget.
    """
    if _clearly_differ(left, right, point, real):
        return False
    sizes = [_magnitude(node, point, real, budget) for node in (left, right)]
    needed = [None if size is None else MIN_BITS + 2 * size for size in sizes]
    limits = [_max_bits(node, budget) for node in (left, right)]
    fit = [bits is not None and bits <= limit for bits, limit in zip(needed, limits, strict=True)]
    if not any(fit):
        raise TooLargeError
    bits = max(bits or 0 for bits in needed)
    if not all(fit) or bits > min(limits):
        return False
    context = new_context(bits)
    evaluator = Evaluator(context, _rounded(point, bits), real, budget)
    gap = abs(evaluator.value(left) - evaluator.value(right))
    return bool(gap <= context.ldexp(1, evaluator.magnitude - bits + GUARD_BITS))


def _magnitude(node: Node, point: Mapping[str, Fraction], real: bool, budget: Budget) -> int | None:
    """Return the magnitude of an expression's intermediate values; None beyond the budget."""
    evaluator = Evaluator(new_context(MIN_BITS), _rounded(point, MIN_BITS), real, budget)
    try:
        evaluator.value(node)
    except (TooLargeError, OverflowError, ValueError):
        return None
    return evaluator.magnitude


def _max_bits(node: Node, budget: Budget) -> int:
    """Return the precision that an expression may get: roots are cheap, functions are not."""
    bits = budget.precision_bits * (6 if _is_algebraic(node) else 1)
    return min(bits, max(4 * MIN_BITS, budget.work_bits // count(node)))


def _is_algebraic(node: Node) -> bool:
    if node.op == "pow" and names(node.args[1]):
        return False
    return node.op in _ALGEBRAIC and all(map(_is_algebraic, node.args))


def _clearly_differ(left: Node, right: Node, point: Mapping[str, Fraction], real: bool) -> bool:
    """Return whether two values differ clearly in machine precision, relative to the magnitude."""
    values = {name: float(value) for name, value in point.items()}
    evaluator = Evaluator(mpmath.fp, values, real)
    try:
        first, second = evaluator.value(left), evaluator.value(right)
        if evaluator.magnitude > 40:
            return False
        return bool(abs(first - second) > 1e-4 * 2.0**evaluator.magnitude)
    except _ERRORS:
        return False


def _rounded(point: Mapping[str, Fraction], bits: int) -> dict[str, Any]:
    context = new_context(bits)
    return {name: context.mpf(value.numerator) / value.denominator for name, value in point.items()}


def sign_of_difference(left: Node, right: Node, budget: Budget = QUICK) -> int | None:
    """Return the sign of left - right; None if unknown."""
    if left.op == right.op == "number":
        return int(left.value > right.value) - int(left.value < right.value)
    values = _real_value(left), _real_value(right)
    if values[0] is None or values[1] is None:
        return None
    context = new_context(MIN_BITS)
    gap = values[0][0] - values[1][0]
    if abs(gap) > context.ldexp(1, max(values[0][1], values[1][1]) - MIN_BITS + GUARD_BITS):
        return 1 if gap > 0 else -1
    return 0 if equal(left, right, budget).equal else None


@lru_cache(maxsize=4096)
def _real_value(node: Node) -> tuple[Any, int] | None:
    """Return the value of a real constant and the magnitude of intermediate values."""
    if variables(node):
        return None
    context = new_context(MIN_BITS)
    evaluator = Evaluator(context, {}, False)
    try:
        value = evaluator.value(node)
    except _ERRORS:
        return None
    return None if isinstance(value, context.mpc) else (value, evaluator.magnitude)


def constant_ratio(left: Node, right: Node, budget: Budget = QUICK) -> int | None:
    """Return the sign of c where left = c right for a constant c (0 for a complex c), else None.

    Then `left = 0` and `right = 0` are the same equation.
    """
    free = variables(left) | variables(right)
    if not free:
        return None
    point = {name: number(coordinate(name, 5, "positive")) for name in sorted(free)}
    first, second = substituted(left, point), substituted(right, point)
    same = equal(make("mul", left, second), make("mul", right, first), budget)
    signs = sign_of_difference(first, number(0)), sign_of_difference(second, number(0))
    if not same.equal or 0 in signs:
        return None
    return 0 if None in signs else (1 if signs[0] == signs[1] else -1)


def substituted(node: Node, values: Mapping[str, Node]) -> Node:
    """Replace variables by expressions."""
    if node.op == "symbol":
        return values.get(node.name, node)
    if not node.args:
        return node
    return replace(node, args=tuple(substituted(a, values) for a in node.args))
