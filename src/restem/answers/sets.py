r"""Sets of real numbers: intervals, their unions, inequalities in one variable.

A set is represented by its boundaries and by what is in it at and after each of them, so that two
notations of a set give the same list: x > 3 and (3,\infty), x \ne 2 and (-\infty,2)\cup(2,\infty).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import combinations
from typing import Final

from restem.answers.equality import equal, sign_of_difference, substituted
from restem.answers.forms import (
    Form,
    Group,
    Listing,
    NamedSet,
    Relation,
    Scalar,
    SetOperation,
    is_name,
    variables_of,
)
from restem.answers.tree import Node, is_infinite, make, number, symbol, variables

MAX_ENDS: Final = 24
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!=", "=": "="}
_MEMBERSHIP: Final = {"cup": any, "cap": all}


@dataclass(frozen=True)
class RealSet:
    """A set of real numbers. cuts: its boundaries in order; at: whether each is in the set.

    after: whether the points after each boundary are, beginning with those before the first one.
    """

    cuts: tuple[Node, ...]
    at: tuple[bool, ...]
    after: tuple[bool, ...]


_ALL: Final = RealSet((), (), (True,))


def real_set(form: Form) -> RealSet | None:
    """Return the set of real numbers that a form states, None when it states none."""
    if isinstance(form, NamedSet):
        return {"R": _ALL, "empty": RealSet((), (), (False,))}.get(form.name)
    if isinstance(form, Group):
        return _of_group(form)
    if isinstance(form, SetOperation):
        return _of_operation(form)
    if isinstance(form, Relation):
        return _of_relation(form)
    if isinstance(form, Listing) and all(isinstance(item, Relation) for item in form.items):
        if len(variables_of(form)) != 1:
            return None  # x = 1, y = 2
        if form.word == "and":
            return _combined("cap", form.items)
        either = _combined("cup", form.items)
        # "x > 1, x < 3" means both conditions, because either one would allow all numbers.
        both = form.word == "," and either in (None, _ALL)
        return _combined("cap", form.items) if both else either
    return None


def same_set(left: RealSet, right: RealSet) -> bool:
    """Return whether two sets are the same, boundary by boundary."""
    return (
        (left.at, left.after) == (right.at, right.after)
        and len(left.cuts) == len(right.cuts)
        and all(bool(equal(a, b).equal) for a, b in zip(left.cuts, right.cuts, strict=True))
    )


def _of_group(form: Group) -> RealSet | None:
    nodes = [item.node for item in form.items if isinstance(item, Scalar)]
    if len(nodes) != len(form.items):
        return None
    if form.opening == form.closing == "set":
        return _merged([_interval(node, True, node, True) for node in nodes], any)
    if len(nodes) != 2 or {form.opening, form.closing} - {"(", "["}:
        return None
    closed = form.opening == "[", form.closing == "["
    return _merged([_interval(nodes[0], closed[0], nodes[1], closed[1])], any)


def _of_operation(form: SetOperation) -> RealSet | None:
    if form.operator != "setminus":
        return _combined(form.operator, form.parts)
    if len(form.parts) != 2 or (removed := real_set(form.parts[1])) is None:
        return None
    outside = RealSet(
        removed.cuts, tuple(not x for x in removed.at), tuple(not x for x in removed.after)
    )
    return _merged([real_set(form.parts[0]), outside], all)


def _combined(operator: str, parts: Sequence[Form]) -> RealSet | None:
    return _merged([real_set(part) for part in parts], _MEMBERSHIP[operator])


def _of_relation(form: Relation) -> RealSet | None:
    """Read x > 3, 1 < x <= 2, x != 5 and x in a set; there must be one variable."""
    sides = form.sides
    if form.operators == ("in",) and isinstance(sides[0], Scalar):
        return real_set(sides[1]) if sides[0].node.op == "symbol" else None
    scalars = [side.node for side in sides if isinstance(side, Scalar)]
    if len(scalars) != len(sides) or set(form.operators) - set(_FLIPPED):
        return None
    varying = [node for node in scalars if variables(node)]
    if len(scalars) > 2 and len(varying) > 1:
        return None
    if len(varying) == 1 and is_name(varying[0]):  # 0 < f(x) < 1 bounds f(x), not x
        scalars = [symbol("x") if node is varying[0] else node for node in scalars]
    if len(frozenset().union(*map(variables, scalars))) != 1:
        return None
    return _merged(list(map(_half_line, scalars, form.operators, scalars[1:])), all)


def _half_line(left: Node, operator: str, right: Node) -> RealSet | None:
    """Solve a linear inequality in one variable by its values at 0 and 1."""
    difference = make("add", left, make("neg", right))
    free = variables(difference)
    if len(free) != 1 or is_infinite(left) or is_infinite(right):
        return None
    if "abs" in (left.op, right.op):
        return _absolute(left, operator, right)
    if left.op == "symbol" and not variables(right):
        return _ray(right, operator)
    if right.op == "symbol" and not variables(left):
        return _ray(left, _FLIPPED[operator])
    return _linear(difference, next(iter(free)), operator)


def _absolute(left: Node, operator: str, right: Node) -> RealSet | None:
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
    return _merged(halves, all if operator in ("<", "<=", "!=") else any)


def _linear(difference: Node, name: str, operator: str) -> RealSet | None:
    at_zero, at_one = (substituted(difference, {name: number(value)}) for value in (0, 1))
    slope = make("add", at_one, make("neg", at_zero))
    line = make("add", at_zero, make("mul", slope, symbol(name)))
    sign = sign_of_difference(slope, number(0))
    if not sign or not equal(line, difference).equal:
        return None
    root = make("neg", make("div", at_zero, slope))
    return _ray(root, operator if sign > 0 else _FLIPPED[operator])


def _ray(end: Node, operator: str) -> RealSet | None:
    """Return the set of all x that are in a relation to an end, such as x < end."""
    states = {
        "<": (False, True, False), "<=": (True, True, False), ">": (False, False, True),
        ">=": (True, False, True), "!=": (False, True, True), "=": (True, False, False),
    }  # fmt: skip
    at, before, after = states[operator]
    return RealSet((end,), (at,), (before, after))


def _interval(low: Node, low_closed: bool, high: Node, high_closed: bool) -> RealSet | None:
    infinite = is_infinite(low), is_infinite(high)
    if (infinite[0] and low_closed) or (infinite[1] and high_closed):
        return None  # infinity is not a number and cannot be in the set
    if infinite == (-1, 1):
        return _ALL
    if infinite == (-1, 0):
        return _ray(high, "<=" if high_closed else "<")
    if infinite == (0, 1):
        return _ray(low, ">=" if low_closed else ">")
    if any(infinite):
        return None
    order = sign_of_difference(low, high)
    if order == 0 and low_closed and high_closed:
        return _ray(low, "=")
    if order != -1:
        return None
    return RealSet((low, high), (low_closed, high_closed), (False, True, False))


def _merged(
    candidates: Sequence[RealSet | None], rule: Callable[[Sequence[bool]], bool]
) -> RealSet | None:
    """Combine sets point by point, without redundant boundaries; None if one of them is None."""
    sets = [candidate for candidate in candidates if candidate is not None]
    if len(sets) < len(candidates):
        return None
    ends = [cut for part in sets for cut in part.cuts]
    if len(ends) > MAX_ENDS:
        return None
    if None in (sign_of_difference(a, b) for a, b in combinations(ends, 2)):
        return None
    ends.sort(key=cmp_to_key(lambda a, b: sign_of_difference(a, b) or 0))
    cuts = [e for i, e in enumerate(ends) if i == 0 or sign_of_difference(ends[i - 1], e) != 0]
    after = [rule([part.after[0] for part in sets])]
    kept: list[tuple[Node, bool]] = []
    for cut in cuts:
        at, following = map(rule, zip(*(_membership(part, cut) for part in sets), strict=True))
        if not at == following == after[-1]:
            kept.append((cut, at))
            after.append(following)
    return RealSet(tuple(c for c, _ in kept), tuple(a for _, a in kept), tuple(after))


def _membership(part: RealSet, point: Node) -> tuple[bool, bool]:
    """Return whether a set holds a point, and whether it holds the numbers right after it."""
    inside = part.after[0]
    for cut, at, following in zip(part.cuts, part.at, part.after[1:], strict=True):
        order = sign_of_difference(cut, point)
        if order == 0:
            return at, following
        if order == -1:
            inside = following
    return inside, inside
