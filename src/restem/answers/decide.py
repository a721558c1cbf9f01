"""Decide whether two expressions are equal: exact numbers, then values at points of high precision.

Two different algebraic or elementary expressions do not agree to two hundred bits at several
unrelated points by chance, and the precision grows with the size of the numbers that come up, so
2^100 and 2^100+1 are as far apart as 1 and 2. What cannot be computed is left undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import mpmath

from restem.answers.evaluate import Evaluator, coordinate, new_context
from restem.answers.exact import (
    QUICK,
    Budget,
    TooLargeError,
    UndefinedError,
    exact,
)
from restem.answers.tree import (
    Node,
    count,
    is_infinite,
    make,
    names,
    number,
    variables,
)

LEAST_BITS: Final = 192
GUARD_BITS: Final = 48
_ERRORS: Final = (UndefinedError, TooLargeError, ZeroDivisionError, OverflowError, ValueError)
_POINTS: Final = (
    *((kind, number) for number in range(3) for kind in ("positive", "signed")),
    *(("whole", number) for number in range(4)),
)
_ENOUGH: Final = 4
_ALGEBRAIC: Final = frozenset(
    ("number", "symbol", "constant", "add", "mul", "div", "neg", "pow", "root", "abs", "percent",
     "factorial", "binomial", "degree")
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """equal: None where nothing could be computed; layer: what decided."""

    equal: bool | None
    layer: str


def equal(left: Node, right: Node, budget: Budget = QUICK) -> Decision:
    """Decide whether two expressions have the same value wherever both have one."""
    if left == right:
        return Decision(True, "tree")
    if left.op == right.op == "number":
        return Decision(False, "rational")
    if is_infinite(left) or is_infinite(right):
        return Decision(is_infinite(left) == is_infinite(right), "tree")
    free = variables(left) | variables(right)
    if not free:
        decided = _exactly(left, right, budget)
        if decided is not None:
            return decided
    return _numerically(left, right, free, budget)


def _exactly(left: Node, right: Node, budget: Budget) -> Decision | None:
    try:
        first, second = exact(left, budget), exact(right, budget)
    except (UndefinedError, TooLargeError):
        return None
    if first is None or second is None:
        return None
    return Decision(first == second, "rational")


def _numerically(left: Node, right: Node, free: frozenset[str], budget: Budget) -> Decision:
    """Compare values at points: real ones first, where variables are real."""
    if not free:
        return _at_points(left, right, (("positive", 0),), False, 1, budget)
    if "i" not in names(left) | names(right):
        decided = _at_points(left, right, _POINTS, True, _ENOUGH, budget)
        if decided.layer != "undefined":
            return decided
    return _at_points(left, right, _POINTS[:4], False, _ENOUGH, budget)


def _at_points(
    left: Node,
    right: Node,
    points: Sequence[tuple[str, int]],
    real: bool,
    enough: int,
    budget: Budget,
) -> Decision:
    """Compare values until enough agree or two differ; `undefined`: they never had one both."""
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
            return Decision(False, "numeric")
        agreed += 1
        if agreed == enough:
            return Decision(True, "numeric")
    if agreed > 1 or unknown:
        return Decision(True if agreed > 1 else None, "numeric")
    return Decision(False, "undefined")


def _agree(
    left: Node, right: Node, point: Mapping[str, Fraction], real: bool, budget: Budget
) -> bool:
    """Compare two values. Raises UndefinedError or TooLargeError where there is none.

    A number within the budget is never taken for an expression whose parts are beyond it.
    """
    if _clearly_differ(left, right, point, real):
        return False
    sizes = [_size(node, point, real, budget) for node in (left, right)]
    needed = [None if size is None else LEAST_BITS + 2 * size for size in sizes]
    limits = [_most_bits(node, budget) for node in (left, right)]
    fit = [bits is not None and bits <= most for bits, most in zip(needed, limits, strict=True)]
    if not any(fit):
        raise TooLargeError
    bits = max(bits or 0 for bits in needed)
    if not all(fit) or bits > min(limits):
        return False
    first, second, magnitude = _values(left, right, point, real, bits, budget)
    context = new_context(bits)
    return bool(abs(first - second) <= context.ldexp(1, magnitude - bits + GUARD_BITS))


def _size(node: Node, point: Mapping[str, Fraction], real: bool, budget: Budget) -> int | None:
    """Return the size of what comes up in computing an expression; None beyond the budget."""
    evaluator = Evaluator(new_context(LEAST_BITS), _located(point, LEAST_BITS), real, budget)
    try:
        evaluator.value(node)
    except (TooLargeError, OverflowError, ValueError):
        return None
    return evaluator.magnitude


def _most_bits(node: Node, budget: Budget) -> int:
    """Return how precisely an expression may be computed: roots are cheap, functions are not."""
    bits = budget.precision_bits * (6 if _is_algebraic(node) else 1)
    return min(bits, max(4 * LEAST_BITS, budget.work_bits // count(node)))


def _is_algebraic(node: Node) -> bool:
    if node.op == "pow" and names(node.args[1]):
        return False
    return node.op in _ALGEBRAIC and all(map(_is_algebraic, node.args))


def _clearly_differ(left: Node, right: Node, point: Mapping[str, Fraction], real: bool) -> bool:
    """Tell in machine numbers whether two values are far apart, measured by all that came up."""
    values = {name: float(value) for name, value in point.items()}
    evaluator = Evaluator(mpmath.fp, values, real)
    try:
        first, second = evaluator.value(left), evaluator.value(right)
        if evaluator.magnitude > 40:
            return False
        return bool(abs(first - second) > 1e-4 * 2.0**evaluator.magnitude)
    except _ERRORS:
        return False


def _values(
    left: Node, right: Node, point: Mapping[str, Fraction], real: bool, bits: int, budget: Budget
) -> tuple[Any, Any, int]:
    """Return both values and the size of what came up on the way."""
    evaluator = Evaluator(new_context(bits), _located(point, bits), real, budget)
    return evaluator.value(left), evaluator.value(right), evaluator.magnitude


def _located(point: Mapping[str, Fraction], bits: int) -> dict[str, Any]:
    context = new_context(bits)
    return {name: context.mpf(value.numerator) / value.denominator for name, value in point.items()}


def sign_of_difference(left: Node, right: Node, budget: Budget = QUICK) -> int | None:
    """Return -1, 0 or 1 as left is less than, equal to or greater than right; None if unknown."""
    if left.op == right.op == "number":
        return int(left.value > right.value) - int(left.value < right.value)
    values = _real_value(left), _real_value(right)
    if values[0] is None or values[1] is None:
        return None
    context = new_context(LEAST_BITS)
    gap = values[0][0] - values[1][0]
    if abs(gap) > context.ldexp(1, max(values[0][1], values[1][1]) - LEAST_BITS + GUARD_BITS):
        return 1 if gap > 0 else -1
    return 0 if equal(left, right, budget).equal else None


@lru_cache(maxsize=4096)
def _real_value(node: Node) -> tuple[Any, int] | None:
    """Return the value of a real constant and the size of what came up on the way."""
    if variables(node):
        return None
    context = new_context(LEAST_BITS)
    evaluator = Evaluator(context, {}, False)
    try:
        value = evaluator.value(node)
    except _ERRORS:
        return None
    return None if isinstance(value, context.mpc) else (value, evaluator.magnitude)


def constant_ratio(left: Node, right: Node, budget: Budget = QUICK) -> int | None:
    """Return the sign of c where left = c right for a constant c, 0 for a complex one, else None.

    left and right vanish together then, so as the two sides' differences they state one equation.
    """
    free = variables(left) | variables(right)
    if not free:
        return None
    point = {name: number(coordinate(name, 5, "positive")) for name in sorted(free)}
    first, second = substituted(left, point), substituted(right, point)
    same = equal(make("mul", left, second), make("mul", right, first), budget)
    nothing = number(0)
    vanishing = sign_of_difference(first, nothing), sign_of_difference(second, nothing)
    if not same.equal or 0 in vanishing:
        return None
    return 0 if None in vanishing else (1 if vanishing[0] == vanishing[1] else -1)


def substituted(node: Node, values: Mapping[str, Node]) -> Node:
    """Put expressions in the place of variables."""
    if node.op == "symbol":
        return values.get(node.name, node)
    if not node.args:
        return node
    return replace(node, args=tuple(substituted(a, values) for a in node.args))
