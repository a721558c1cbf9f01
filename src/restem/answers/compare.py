"""Compare the forms of two answers, part by part, down to their expressions.

The rules are symmetric. A unit, a label or a percent sign may be missing on one side; what both
sides state must agree. Brackets count, and so does the order inside them; bare lists are unordered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from restem.answers.alternatives import alternatives
from restem.answers.equality import Equality, constant_ratio, equal
from restem.answers.exact_arithmetic import QUICK, Budget
from restem.answers.forms import (
    Based,
    Form,
    Group,
    Listing,
    Matrix,
    NamedSet,
    Ratio,
    Relation,
    Scalar,
    SetOperation,
    Text,
    is_asked_value,
    is_label,
    is_name,
    variables_of,
)
from restem.answers.reading import read
from restem.answers.sets import real_set, same_set
from restem.answers.tree import Node, UnreadableError, make, number, symbol, variables
from restem.answers.words import simplified

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}


@dataclass
class Comparison:
    """Compares two answers within a budget; undecided: whether some part could not be decided."""

    budget: Budget = QUICK
    undecided: bool = False

    def compare(self, gold: str, answer: str) -> Equality:
        """Compare two answers; equal is None where a part could not be decided."""
        equality = self._compare(gold, answer)
        if equality.equal:
            return equality
        for pair in alternatives(gold, answer):
            if (other := self._compare(*pair)).equal:
                return other
        return equality

    def _compare(self, gold: str, answer: str) -> Equality:
        try:
            left, right = read(gold), read(answer)
        except (UnreadableError, RecursionError):
            return Equality(False, "unreadable")
        if self.equal_forms(left, right) or self._has_value(left, right):
            return Equality(True, "structure")
        return Equality(None if self.undecided else False, "structure")

    def _has_value(self, gold: Form, answer: Form) -> bool:
        """Accept `a + b = 5` for 5: the answer may repeat what was asked, the gold may not."""
        if not isinstance(answer, Relation) or set(answer.operators) != {"="}:
            return False
        return (
            isinstance(gold, Scalar)
            and not variables(gold.node)
            and is_asked_value(answer.sides[0])
            and self._chain_equals(Relation(answer.sides[1:], answer.operators[1:]), gold)
        )

    def equal_forms(self, left: Form, right: Form) -> bool:
        """Return whether two forms state the same."""
        if left == right:
            return True
        rule = _RULES[type(left)]
        if type(left) is type(right) and rule(self, left, right):
            return True
        return self._equal_across_kinds(left, right) or self._equal_across_kinds(right, left)

    def equal_nodes(self, left: Node, right: Node) -> bool:
        """Compare two expressions, and record it when that could not be decided."""
        equality = self.equality(left, right)
        self.undecided |= equality.equal is None
        return bool(equality.equal)

    def equality(self, left: Node, right: Node) -> Equality:
        """Compare two expressions by their values."""
        return equal(left, right, self.budget)

    def _all_equal(self, left: Sequence[Form], right: Sequence[Form]) -> bool:
        """Compare two sequences in order."""
        return len(left) == len(right) and all(map(self.equal_forms, left, right))

    def _equal_in_any_order(self, left: Sequence[Form], right: Sequence[Form]) -> bool:
        """Pair the items; equality is transitive, so the first match of an item will do."""
        if len(left) != len(right):
            return False
        unmatched = list(right)
        for item in left:
            matches = (i for i, other in enumerate(unmatched) if self.equal_forms(item, other))
            if (match := next(matches, None)) is None:
                return False
            del unmatched[match]
        return True

    def _scalars(self, left: Scalar, right: Scalar) -> bool:
        if left.unit and right.unit and left.unit != right.unit:
            return self._radians(left, right) or self._radians(right, left)
        if "percent" in (left.node.op, right.node.op) and (left.unit or right.unit):
            return False
        if self.equal_nodes(left.node, right.node):
            return True
        if "percent" in (left.node.op, right.node.op):
            return left.node.op != right.node.op and self.equal_nodes(
                _without_percent(left.node), _without_percent(right.node)
            )
        return self._radians(left, right) or self._radians(right, left)

    def _radians(self, left: Scalar, right: Scalar) -> bool:
        """Accept 180 degrees for pi, where only one side has a degree sign."""
        if left.unit != "degree" or right.unit not in ("", "radian"):
            return False
        return self.equal_nodes(make("degree", left.node), right.node)

    def _groups(self, left: Group, right: Group) -> bool:
        brackets = (left.opening, left.closing), (right.opening, right.closing)
        if brackets == (("set", "set"),) * 2:
            return self._equal_in_any_order(self._distinct(left.items), self._distinct(right.items))
        if brackets[0] == brackets[1] or set(brackets) == {("(", "("), ("<", "<")}:
            return self._all_equal(left.items, right.items)
        return False

    def _distinct(self, items: Sequence[Form]) -> list[Form]:
        """Drop the repeated items of a set."""
        kept: list[Form] = []
        for item in items:
            if not any(self.equal_forms(item, other) for other in kept):
                kept.append(item)
        return kept

    def _listings(self, left: Listing, right: Listing) -> bool:
        if self._same_real_set(left, right):
            return True
        if {_connection(left), _connection(right)} in _OPPOSED:
            return False
        words = any(isinstance(x, Text) and len(x.words) > 1 for x in (*left.items, *right.items))
        half_labelled = _is_labelled(left) != _is_labelled(right)
        ordered = words or half_labelled
        return (self._all_equal if ordered else self._equal_in_any_order)(left.items, right.items)

    def _same_real_set(self, left: Form, right: Form) -> bool:
        """Compare two sets of real numbers, however they are written."""
        named = variables_of(left), variables_of(right)
        if all(named) and named[0] != named[1]:
            return False
        first = real_set(left)
        second = real_set(right) if first is not None else None
        return first is not None and second is not None and same_set(first, second)

    def _operations(self, left: SetOperation, right: SetOperation) -> bool:
        if self._same_real_set(left, right):
            return True
        if left.operator != right.operator:
            return False
        matches = self._all_equal if left.operator == "setminus" else self._equal_in_any_order
        return matches(left.parts, right.parts)

    def _matrices(self, left: Matrix, right: Matrix) -> bool:
        return (
            left.kind == right.kind
            and len(left.rows) == len(right.rows)
            and all(map(self._all_equal, left.rows, right.rows))
        )

    def _ratios(self, left: Ratio, right: Ratio) -> bool:
        """Compare ratios up to a common factor; those with a zero are times such as 5:00."""
        if len(left.parts) != len(right.parts):
            return False
        if number(0) in (*left.parts, *right.parts):
            return all(map(self.equal_nodes, left.parts, right.parts))
        first, second = left.parts[0], right.parts[0]
        return all(
            self.equal_nodes(make("mul", a, second), make("mul", b, first))
            for a, b in zip(left.parts[1:], right.parts[1:], strict=True)
        )

    def _relations(self, left: Relation, right: Relation) -> bool:
        if self._same_chain(left, right) or self._same_chain(left, _mirrored(right)):
            return True
        if _is_function(left, right) or _is_function(right, left):
            return self.equal_forms(left.sides[1], right.sides[1])
        if variables_of(left) != variables_of(right):  # x = 5 is not y = 5, the same set
            return False
        if self._same_conclusion(left, right):
            return True
        return self._same_real_set(left, right) or self._same_condition(left, right)

    def _same_conclusion(self, left: Relation, right: Relation) -> bool:
        """Compare x = 5 with x = 2 + 3 = 5."""
        if len(left.sides) == len(right.sides) or not is_label(left.sides[0]):
            return False
        return self.equal_forms(left.sides[0], right.sides[0]) and all(
            self._chain_equals(chain, other.sides[-1])
            for chain, other in ((left, right), (right, left))
        )

    def _same_chain(self, left: Relation, right: Relation) -> bool:
        return left.operators == right.operators and self._all_equal(left.sides, right.sides)

    def _same_condition(self, left: Relation, right: Relation) -> bool:
        """Compare two equations or inequalities up to a constant factor."""
        first, second = _difference(left), _difference(right)
        if first is None or second is None or first[1] != second[1]:
            return False
        sign = constant_ratio(first[0], second[0], self.budget)
        return sign is not None and (sign == 1 or first[1] in ("=", "!="))

    def _equal_across_kinds(self, left: Form, right: Form) -> bool:
        """Compare two forms of different kinds, by reading the left one as the right one's kind."""
        if type(left) is type(right):
            return False
        if isinstance(left, Relation):
            return self._equal_without_label(left, right)
        if isinstance(left, Listing) and isinstance(right, Group):
            if _is_labelled(left):
                return (
                    left.word != "or"
                    and _in_order(left)
                    and _is_round(right)
                    and self._listings(left, Listing(right.items))
                )
            return right.opening == "set" and self._equal_in_any_order(left.items, right.items)
        if isinstance(left, Ratio) and isinstance(right, Scalar):
            return len(left.parts) == 2 and self.equal_nodes(make("div", *left.parts), right.node)
        if isinstance(left, Matrix) and isinstance(right, Group):
            return self._matrix_in_brackets(left, right)
        if isinstance(left, Text) and isinstance(right, Scalar):
            return _spelled(right.node) == left.words
        if isinstance(left, SetOperation | NamedSet | Group):
            return self._same_real_set(left, right)
        return False

    def _matrix_in_brackets(self, left: Matrix, right: Group) -> bool:
        """Compare a column with a point, and a matrix with [[1,2],[3,4]]."""
        if left.kind == "matrix" and _is_round(right) and all(len(row) == 1 for row in left.rows):
            return self._all_equal([row[0] for row in left.rows], right.items)
        rows = [item.items for item in right.items if isinstance(item, Group)]
        return (
            left.kind == "matrix"
            and right.opening == "["
            and len(rows) == len(right.items) == len(left.rows)
            and all(map(self._all_equal, left.rows, rows))
        )

    def _equal_without_label(self, relation: Relation, other: Form) -> bool:
        """Compare `x = 5`, `x in (1,2)` and `a = b = 5` with an answer without a label."""
        if relation.operators[-1] == "~":
            return any(self.equal_forms(side, other) for side in relation.sides)
        if set(relation.operators) == {"in"}:
            return self.equal_forms(relation.sides[1], other)
        if set(relation.operators) == {"="}:
            return self._chain_equals(relation, other) or self._solves(relation, other)
        return not isinstance(other, Relation) and self._same_real_set(relation, other)

    def _solves(self, equation: Relation, other: Form) -> bool:
        """Compare |x| = 2 with the list of its solutions: 2, -2 and x = 2 or x = -2."""
        if not isinstance(other, Listing) or len(equation.sides) != 2:
            return False
        if all(isinstance(item, Scalar) and not item.unit for item in other.items):
            return self._same_real_set(equation, Group("set", "set", other.items))
        either = other if _connection(other) else Listing(other.items, "or")
        return self._same_real_set(equation, either)

    def _chain_equals(self, relation: Relation, other: Form) -> bool:
        """Compare a chain of equal values, without its label, with a value."""
        if isinstance(other, Relation) or set(relation.operators) - {"="}:
            return False
        sides = [side for side in relation.sides if not is_label(side)]
        if not sides or len(relation.sides) - len(sides) > 1:
            return False
        agree = all(self.equal_forms(sides[0], side) for side in sides[1:])
        return agree and self.equal_forms(sides[-1], other)


_OPPOSED: Final = ({"and", "or"}, {",", "or"})


def _connection(listing: Listing) -> str:
    """Return whether all items of a list hold (`and`) or one does; empty where it is the same.

    The solutions of an equation may be joined by either word: x = 1 and x = 2, or 1 or 2.
    """
    names = [item for item in listing.items if isinstance(item, Scalar) and is_name(item.node)]
    if len(names) == len(listing.items) and listing.word != ",":
        return listing.word
    relations = [item for item in listing.items if isinstance(item, Relation)]
    equations = all(set(item.operators) == {"="} for item in relations)
    if len(relations) < len(listing.items) or (equations and len(variables_of(listing)) == 1):
        return ""
    return "and" if listing.word == "," and equations else listing.word


def _is_function(left: Relation, right: Relation) -> bool:
    """Return whether f(x) = … and y = … may state the same function of x."""
    if not left.operators == right.operators == ("=",):
        return False
    name, other = left.sides[0], right.sides[0]
    if not isinstance(name, Scalar) or not isinstance(other, Scalar) or other.node != symbol("y"):
        return False
    parts = name.node.args
    if name.node.op == "mul" and len(parts) == 2 and len(parts[0].name) == 1:
        argument = parts[1]  # h(x), which is read as a product
    elif name.node.op == "apply":
        argument = parts[0]
    else:
        return False
    of = frozenset((argument.name,)) if argument.op == "symbol" else frozenset()
    return bool(of) and of == variables_of(left.sides[1]) == variables_of(right.sides[1])


def _without_percent(node: Node) -> Node:
    return node.args[0] if node.op == "percent" else node


def _difference(form: Relation) -> tuple[Node, str] | None:
    """Return `left - right` and its relation to zero; `<` and `<=` become `>` and `>=`."""
    if len(form.sides) != 2:
        return None
    left, right = form.sides
    operator = form.operators[0]
    if not isinstance(left, Scalar) or not isinstance(right, Scalar) or operator not in _MIRRORED:
        return None
    if operator in ("<", "<="):
        left, right, operator = right, left, _MIRRORED[operator]
    return make("add", left.node, make("neg", right.node)), operator


def _mirrored(form: Relation) -> Relation:
    if set(form.operators) - set(_MIRRORED):
        return form
    return Relation(form.sides[::-1], tuple(_MIRRORED[op] for op in form.operators[::-1]))


def _is_round(group: Group) -> bool:
    return (group.opening, group.closing) in (("(", "("), ("<", "<"))


def _is_labelled(listing: Listing) -> bool:
    """Return whether all labels differ: `x = 1, y = 2` can be ordered, `x = 1, x = 2` cannot."""
    relations = [item for item in listing.items if isinstance(item, Relation)]
    labels = {item.sides[0] for item in relations if set(item.operators) == {"="}}
    return len(labels) == len(listing.items) and all(map(is_label, labels))


def _in_order(listing: Listing) -> bool:
    """Return whether the labels are single names in alphabetical order."""
    labels = [sorted(variables_of(i.sides[0])) for i in listing.items if isinstance(i, Relation)]
    return all(len(names) == 1 for names in labels) and labels == sorted(labels)


def _spelled(node: Node) -> str:
    """Return the letters of a product of names, such as `odd` that was read as o d d."""
    if node.op == "symbol":
        return simplified(node.name)
    return "".join(map(_spelled, node.args)) if node.op == "mul" else "?"


def _same_based(_: Comparison, left: Based, right: Based) -> bool:
    if left.base == right.base:
        return left.digits.lstrip("0") == right.digits.lstrip("0")
    value = _based_value(left)
    return value is not None and value == _based_value(right)


def _based_value(form: Based) -> int | None:
    """Return the value of an integer in a base of at most 36."""
    if not form.digits.isalnum() or not 2 <= form.base <= 36 or len(form.digits) > 300:
        return None
    try:
        return int(form.digits, form.base)
    except ValueError:
        return None


_RULES: Final[dict[type, Callable[..., bool]]] = {
    Scalar: Comparison._scalars,
    Group: Comparison._groups,
    Listing: Comparison._listings,
    SetOperation: Comparison._operations,
    Matrix: Comparison._matrices,
    Ratio: Comparison._ratios,
    Relation: Comparison._relations,
    Based: _same_based,
    NamedSet: lambda self, left, right: left == right,
    Text: lambda self, left, right: left.words.replace(" ", "") == right.words.replace(" ", ""),
}
