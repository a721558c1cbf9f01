r"""Sets of real numbers: intervals, their unions, inequalities in one variable, all on one line.

A set is the list of its boundaries with what holds there and behind them, so that two notations of
one set give one list: x > 3 and (3,\infty), x \ne 2 and (-\infty,2)\cup(2,\infty).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import combinations
from typing import Final

from restem.answers.decide import equal, sign_of_difference, substituted
from restem.answers.forms import (
    Form,
    Group,
    Listing,
    NamedSet,
    Relation,
    Scalar,
    SetOperation,
)
from restem.answers.labels import is_name, variables_of
from restem.answers.tree import Node, is_infinite, make, number, symbol, variables

MAX_ENDS: Final = 24
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!=", "=": "="}
_OPPOSITE: Final = {"cup": any, "cap": all}


@dataclass(frozen=True)
class Interval:
    """An interval of the line and whether its ends belong to it."""

    low: Node
    low_closed: bool
    high: Node
    high_closed: bool


@dataclass(frozen=True)
class LineSet:
    """A set of real numbers. cuts: its boundaries, in order; at, after: is each in, what follows.

    The first `after` is what holds before the first boundary.
    """

    cuts: tuple[Node, ...]
    at: tuple[bool, ...]
    after: tuple[bool, ...]


_ALL: Final = LineSet((), (), (True,))


def line_set(form: Form) -> LineSet | None:
    """Return the set of real numbers that a form states, None when it states none."""
    if isinstance(form, NamedSet):
        return {"R": _ALL, "empty": LineSet((), (), (False,))}.get(form.name)
    if isinstance(form, Group):
        return _of_group(form)
    if isinstance(form, SetOperation):
        return _of_operation(form)
    if isinstance(form, Relation):
        return _of_relation(form)
    if isinstance(form, Listing) and all(isinstance(item, Relation) for item in form.items):
        if len(variables_of(form)) != 1:
            return None  # x = 1, y = 2
        either = None if form.word == "and" else _combined("cup", form.items)
        # "x > 1, x < 3" means both: either would be no condition at all.
        return _combined("cap", form.items) if either in (None, _ALL) else either
    return None


def same_set(left: LineSet, right: LineSet) -> bool:
    """Tell whether two sets are the same, boundary by boundary."""
    return (
        (left.at, left.after) == (right.at, right.after)
        and len(left.cuts) == len(right.cuts)
        and all(bool(equal(a, b).equal) for a, b in zip(left.cuts, right.cuts, strict=True))
    )


def _of_group(form: Group) -> LineSet | None:
    nodes = [item.node for item in form.items if isinstance(item, Scalar)]
    if len(nodes) != len(form.items):
        return None
    if form.opening == form.closing == "set":
        return _union([Interval(node, True, node, True) for node in nodes])
    if len(nodes) != 2 or {form.opening, form.closing} - {"(", "["}:
        return None
    closed = form.opening == "[", form.closing == "["
    return _union([Interval(nodes[0], closed[0], nodes[1], closed[1])])


def _of_operation(form: SetOperation) -> LineSet | None:
    if form.operator == "setminus":
        if len(form.parts) != 2:
            return None
        first, second = line_set(form.parts[0]), line_set(form.parts[1])
        if first is None or second is None:
            return None
        outside = LineSet(
            second.cuts, tuple(not x for x in second.at), tuple(not x for x in second.after)
        )
        return _merged([first, outside], all)
    return _combined(form.operator, form.parts)


def _combined(operator: str, parts: Sequence[Form]) -> LineSet | None:
    sets = [line_set(part) for part in parts]
    known = [each for each in sets if each is not None]
    return _merged(known, _OPPOSITE[operator]) if len(known) == len(sets) else None


def _of_relation(form: Relation) -> LineSet | None:
    """Read x > 3, 1 < x <= 2, x != 5 and x in a set, of one variable that stands alone."""
    sides = form.sides
    if form.operators == ("in",) and isinstance(sides[0], Scalar):
        return line_set(sides[1]) if _alone(sides[0].node) else None
    scalars = [side.node for side in sides if isinstance(side, Scalar)]
    if len(scalars) != len(sides) or set(form.operators) - set(_FLIPPED):
        return None
    varying = [node for node in scalars if variables(node)]
    if len(scalars) > 2 and len(varying) > 1:
        return None
    if len(varying) == 1 and is_name(varying[0]):  # 0 < f(x) < 1 bounds f(x), whatever x is
        scalars = [symbol("x") if node is varying[0] else node for node in scalars]
    pairs = zip(scalars, form.operators, scalars[1:], strict=False)
    found = [_half_line(*pair) for pair in pairs]
    known = [each for each in found if each is not None]
    one_variable = len(frozenset().union(*map(variables, scalars))) == 1
    return _merged(known, all) if len(known) == len(found) and one_variable else None


def _alone(node: Node) -> bool:
    return node.op == "symbol"


def _half_line(left: Node, operator: str, right: Node) -> LineSet | None:
    """Solve a linear inequality in one variable by its values at 0 and 1."""
    difference = make("add", left, make("neg", right))
    free = variables(difference)
    if len(free) != 1 or is_infinite(left) or is_infinite(right):
        return None
    if "abs" in (left.op, right.op):
        return _absolute(left, operator, right)
    if _alone(left) and not variables(right):
        return _ray(right, operator)
    if _alone(right) and not variables(left):
        return _ray(left, _FLIPPED[operator])
    return _linear(difference, next(iter(free)), operator)


def _absolute(left: Node, operator: str, right: Node) -> LineSet | None:
    """Solve |u| < c as -c < u < c, and |u| > c as u < -c or u > c."""
    if right.op == "abs":
        left, operator, right = right, _FLIPPED[operator], left
    if left.op != "abs" or variables(right) or sign_of_difference(right, number(0)) != 1:
        return None
    inner = left.args[0]
    halves = [
        _half_line(inner, operator, right),
        _half_line(inner, _FLIPPED[operator], make("neg", right)),
    ]
    known = [each for each in halves if each is not None]
    rule = all if operator in ("<", "<=", "!=") else any
    return _merged(known, rule) if len(known) == 2 else None


def _linear(difference: Node, name: str, operator: str) -> LineSet | None:
    at_zero, at_one = (substituted(difference, {name: number(value)}) for value in (0, 1))
    slope = make("add", at_one, make("neg", at_zero))
    line = make("add", at_zero, make("mul", slope, symbol(name)))
    sign = sign_of_difference(slope, number(0))
    if not sign or not equal(line, difference).equal:
        return None
    root = make("neg", make("div", at_zero, slope))
    return _ray(root, operator if sign > 0 else _FLIPPED[operator])


def _ray(end: Node, operator: str) -> LineSet | None:
    """Return the set of x for which x stands in a relation to an end."""
    states = {
        "<": (False, True, False), "<=": (True, True, False), ">": (False, False, True),
        ">=": (True, False, True), "!=": (False, True, True), "=": (True, False, False),
    }  # fmt: skip
    at, before, after = states[operator]
    return LineSet((end,), (at,), (before, after))


def _union(intervals: Sequence[Interval]) -> LineSet | None:
    sets = [_of_interval(interval) for interval in intervals]
    known = [each for each in sets if each is not None]
    return _merged(known, any) if len(known) == len(sets) else None


def _of_interval(interval: Interval) -> LineSet | None:
    low, high = is_infinite(interval.low), is_infinite(interval.high)
    if (low and interval.low_closed) or (high and interval.high_closed):
        return None  # infinity is no number that could belong to a set
    if low == -1 and high == 1:
        return _ALL
    if low == -1 and not high:
        return _ray(interval.high, "<=" if interval.high_closed else "<")
    if high == 1 and not low:
        return _ray(interval.low, ">=" if interval.low_closed else ">")
    if low or high:
        return None
    order = sign_of_difference(interval.low, interval.high)
    if order == 0 and interval.low_closed and interval.high_closed:
        return _ray(interval.low, "=")
    if order != -1:
        return None
    at = (interval.low_closed, interval.high_closed)
    return LineSet((interval.low, interval.high), at, (False, True, False))


def _merged(sets: Sequence[LineSet], rule: Callable[[Sequence[bool]], bool]) -> LineSet | None:
    """Combine sets point by point, and forget the boundaries that bound nothing."""
    ends = [cut for each in sets for cut in each.cuts]
    if len(ends) > MAX_ENDS:
        return None
    if None in (sign_of_difference(a, b) for a, b in combinations(ends, 2)):
        return None
    ends.sort(key=cmp_to_key(lambda a, b: sign_of_difference(a, b) or 0))
    cuts = [e for i, e in enumerate(ends) if i == 0 or sign_of_difference(ends[i - 1], e) != 0]
    after = [rule([each.after[0] for each in sets])]
    kept: list[tuple[Node, bool]] = []
    for cut in cuts:
        places = [_place(each, cut) for each in sets]
        at, behind = rule([p[0] for p in places]), rule([p[1] for p in places])
        if not at == behind == after[-1]:
            kept.append((cut, at))
            after.append(behind)
    return LineSet(tuple(c for c, _ in kept), tuple(a for _, a in kept), tuple(after))


def _place(each: LineSet, point: Node) -> tuple[bool, bool]:
    """Tell whether a set holds a point, and what stands right behind it."""
    held = after = each.after[0]
    for cut, at, behind in zip(each.cuts, each.at, each.after[1:], strict=True):
        order = sign_of_difference(cut, point)
        if order == 0:
            return at, behind
        if order == -1:
            held = after = behind
    return held, after
