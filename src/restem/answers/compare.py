"""Compare the forms of two answers, part by part, down to their expressions.

The rules are symmetric. A unit, a label or the sign of percent may be left out on one side; what
both sides state must agree. Brackets count, and so does order inside them; bare lists have none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from restem.answers.decide import Decision, constant_ratio, equal
from restem.answers.exact import QUICK, Budget
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
)
from restem.answers.labels import is_asked_value, is_label, variables_of
from restem.answers.reading import read, simplified
from restem.answers.sets import line_set, same_set
from restem.answers.tree import Node, UnreadableError, make, number, variables

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_ORDERS: Final = frozenset(("<", "<=", ">", ">="))


@dataclass
class Comparison:
    """One comparison: its budget, and whether anything in it could not be decided."""

    budget: Budget = QUICK
    undecided: bool = False

    def answers(self, gold: str, answer: str) -> Decision:
        """Compare two answers; equal is None where something could not be decided."""
        try:
            left, right = read(gold), read(answer)
        except (UnreadableError, RecursionError):
            return Decision(False, "unreadable")
        if self.forms(left, right) or self._concluded(left, right):
            return Decision(True, "structure")
        return Decision(None if self.undecided else False, "structure")

    def _concluded(self, gold: Form, answer: Form) -> bool:
        """Take `a + b = 5` for 5: the answer may say what it is the value of, the gold may not."""
        if not isinstance(answer, Relation) or set(answer.operators) != {"="}:
            return False
        value = isinstance(gold, Scalar) and not variables(gold.node)
        return (
            value
            and is_asked_value(answer.sides[0])
            and self._valued(Relation(answer.sides[1:], answer.operators[1:]), gold)
        )

    def forms(self, left: Form, right: Form) -> bool:
        """Tell whether two forms state the same."""
        if left == right:
            return True
        if type(left) is type(right) and self._alike(left, right):
            return True
        return self._unlike(left, right) or self._unlike(right, left)

    def _alike(self, left: Form, right: Form) -> bool:
        """Compare two forms of one kind."""
        rule = _RULES.get(type(left))
        return bool(rule and rule(self, left, right))

    def nodes(self, left: Node, right: Node) -> bool:
        """Compare two expressions, and remember when that could not be decided."""
        decided = equal(left, right, self.budget)
        self.undecided |= decided.equal is None
        return bool(decided.equal)

    def all_equal(self, left: Sequence[Form], right: Sequence[Form]) -> bool:
        """Compare two sequences in order."""
        return len(left) == len(right) and all(map(self.forms, left, right))

    def any_order(self, left: Sequence[Form], right: Sequence[Form]) -> bool:
        """Match each item with another one; equality is transitive, so the first match will do."""
        if len(left) != len(right):
            return False
        rest = list(right)
        for item in left:
            match = next((i for i, other in enumerate(rest) if self.forms(item, other)), None)
            if match is None:
                return False
            del rest[match]
        return True

    def _scalars(self, left: Scalar, right: Scalar) -> bool:
        if left.unit and right.unit and left.unit != right.unit:
            return self._radians(left, right) or self._radians(right, left)
        if "percent" in (left.node.op, right.node.op) and (left.unit or right.unit):
            return False
        if self.nodes(left.node, right.node):
            return True
        if "percent" in (left.node.op, right.node.op):
            return left.node.op != right.node.op and self.nodes(
                _without_percent(left.node), _without_percent(right.node)
            )
        return self._radians(left, right) or self._radians(right, left)

    def _radians(self, left: Scalar, right: Scalar) -> bool:
        """Take 180 degrees for pi, where only one side has the sign of degrees."""
        if left.unit != "degree" or right.unit not in ("", "radian"):
            return False
        return self.nodes(make("degree", left.node), right.node)

    def _groups(self, left: Group, right: Group) -> bool:
        brackets = (left.opening, left.closing), (right.opening, right.closing)
        if brackets == (("set", "set"),) * 2:
            return self.any_order(self.distinct(left.items), self.distinct(right.items))
        if brackets[0] == brackets[1] or set(brackets) == {("(", "("), ("<", "<")}:
            return self.all_equal(left.items, right.items)
        return False

    def distinct(self, items: Sequence[Form]) -> list[Form]:
        """Drop what a set names twice."""
        kept: list[Form] = []
        for item in items:
            if not any(self.forms(item, other) for other in kept):
                kept.append(item)
        return kept

    def _listings(self, left: Listing, right: Listing) -> bool:
        if self.same_line(left, right):
            return True
        words = any(isinstance(x, Text) and len(x.words) > 1 for x in (*left.items, *right.items))
        half_labelled = _is_labelled(left) != _is_labelled(right)
        ordered = words or half_labelled
        return (self.all_equal if ordered else self.any_order)(left.items, right.items)

    def same_line(self, left: Form, right: Form) -> bool:
        """Compare two sets of real numbers, however they are written."""
        named = variables_of(left), variables_of(right)
        if all(named) and named[0] != named[1]:
            return False
        first = line_set(left)
        second = line_set(right) if first is not None else None
        return first is not None and second is not None and same_set(first, second)

    def _operations(self, left: SetOperation, right: SetOperation) -> bool:
        if self.same_line(left, right):
            return True
        if left.operator != right.operator:
            return False
        matches = self.all_equal if left.operator == "setminus" else self.any_order
        return matches(left.parts, right.parts)

    def _matrices(self, left: Matrix, right: Matrix) -> bool:
        return (
            left.kind == right.kind
            and len(left.rows) == len(right.rows)
            and all(map(self.all_equal, left.rows, right.rows))
        )

    def _ratios(self, left: Ratio, right: Ratio) -> bool:
        """Compare ratios up to a common factor; with a zero in them they are times: 5:00."""
        if len(left.parts) != len(right.parts):
            return False
        if number(0) in (*left.parts, *right.parts):
            return all(map(self.nodes, left.parts, right.parts))
        first, second = left.parts[0], right.parts[0]
        return all(
            self.nodes(make("mul", a, second), make("mul", b, first))
            for a, b in zip(left.parts[1:], right.parts[1:], strict=True)
        )

    def _relations(self, left: Relation, right: Relation) -> bool:
        if self._same_chain(left, right) or self._same_chain(left, _mirrored(right)):
            return True
        if self._labels_differ(left, right):
            return False
        if self._same_conclusion(left, right):
            return True
        return self.same_line(left, right) or self._same_condition(left, right)

    def _same_conclusion(self, left: Relation, right: Relation) -> bool:
        """Compare x = 5 with x = 2 + 3 = 5."""
        if len(left.sides) == len(right.sides) or not is_label(left.sides[0]):
            return False
        return self.forms(left.sides[0], right.sides[0]) and all(
            self._valued(chain, other.sides[-1]) for chain, other in ((left, right), (right, left))
        )

    def _same_chain(self, left: Relation, right: Relation) -> bool:
        return left.operators == right.operators and self.all_equal(left.sides, right.sides)

    def _labels_differ(self, left: Relation, right: Relation) -> bool:
        """Tell x = 5 from y = 5, which as sets of numbers would be the same."""
        return variables_of(left) != variables_of(right)

    def _same_condition(self, left: Relation, right: Relation) -> bool:
        """Compare two equations or inequalities up to a constant factor."""
        first, second = _difference(left), _difference(right)
        if first is None or second is None or first[1] != second[1]:
            return False
        sign = constant_ratio(first[0], second[0], self.budget)
        return sign is not None and (sign == 1 or first[1] in ("=", "!="))

    def _unlike(self, left: Form, right: Form) -> bool:
        """Compare two forms of different kinds, of which one is looked at as the other's kind."""
        if type(left) is type(right):
            return False
        if isinstance(left, Relation):
            return self._stripped(left, right)
        if isinstance(left, Listing) and isinstance(right, Group):
            if _is_labelled(left):
                return (
                    _in_order(left)
                    and _is_round(right)
                    and self._listings(left, Listing(right.items))
                )
            return right.opening == "set" and self.any_order(left.items, right.items)
        if isinstance(left, Ratio) and isinstance(right, Scalar):
            return len(left.parts) == 2 and self.nodes(make("div", *left.parts), right.node)
        if isinstance(left, Matrix) and isinstance(right, Group):
            return self._matrix_in_brackets(left, right)
        if isinstance(left, Text) and isinstance(right, Scalar):
            return _spelled(right.node) == left.words
        if isinstance(left, SetOperation | NamedSet | Group):
            return self.same_line(left, right)
        return False

    def _matrix_in_brackets(self, left: Matrix, right: Group) -> bool:
        """Compare a column with a point, and a matrix with [[1,2],[3,4]]."""
        if left.kind == "matrix" and _is_round(right) and all(len(row) == 1 for row in left.rows):
            return self.all_equal([row[0] for row in left.rows], right.items)
        rows = [item.items for item in right.items if isinstance(item, Group)]
        return (
            left.kind == "matrix"
            and right.opening == "["
            and len(rows) == len(right.items) == len(left.rows)
            and all(map(self.all_equal, left.rows, rows))
        )

    def _stripped(self, relation: Relation, other: Form) -> bool:
        """Compare `x = 5`, `x in (1,2)` and `a = b = 5` with what stands there without a label."""
        if relation.operators[-1] == "~":
            return any(self.forms(side, other) for side in relation.sides)
        if set(relation.operators) == {"in"}:
            return self.forms(relation.sides[1], other)
        if set(relation.operators) == {"="}:
            return self._valued(relation, other)
        return not isinstance(other, Relation) and self.same_line(relation, other)

    def _valued(self, relation: Relation, other: Form) -> bool:
        """Take a chain of equal values for its value, its label apart."""
        if isinstance(other, Relation) or set(relation.operators) - {"="}:
            return False
        sides = [side for side in relation.sides if not is_label(side)]
        if not sides or len(relation.sides) - len(sides) > 1:
            return False
        agree = all(self.forms(sides[0], side) for side in sides[1:])
        return agree and self.forms(sides[-1], other)


def _without_percent(node: Node) -> Node:
    return node.args[0] if node.op == "percent" else node


def _difference(form: Relation) -> tuple[Node, str] | None:
    """Return `left - right` and the relation to zero, `<` and `<=` turned round."""
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
    """Tell `x = 1, y = 2`, whose order can be restored, from `x = 1, x = 2`."""
    relations = [item for item in listing.items if isinstance(item, Relation)]
    labels = {item.sides[0] for item in relations if set(item.operators) == {"="}}
    return len(labels) == len(listing.items) and all(map(is_label, labels))


def _in_order(listing: Listing) -> bool:
    """Tell whether the labels are single names in the order of the alphabet."""
    found = [sorted(variables_of(i.sides[0])) for i in listing.items if isinstance(i, Relation)]
    return all(len(names) == 1 for names in found) and found == sorted(found)


def _spelled(node: Node) -> str:
    """Return the letters of a product of single names: `odd` read as o d d."""
    if node.op == "symbol":
        return simplified(node.name)
    return "".join(map(_spelled, node.args)) if node.op == "mul" else "?"


_RULES: Final[dict[type, Callable[..., bool]]] = {
    Scalar: Comparison._scalars,
    Group: Comparison._groups,
    Listing: Comparison._listings,
    SetOperation: Comparison._operations,
    Matrix: Comparison._matrices,
    Ratio: Comparison._ratios,
    Relation: Comparison._relations,
    Based: lambda self, left, right: _same_based(left, right),
    NamedSet: lambda self, left, right: left == right,
    Text: lambda self, left, right: left.words.replace(" ", "") == right.words.replace(" ", ""),
}


def _same_based(left: Based, right: Based) -> bool:
    if left.base == right.base:
        return left.digits.lstrip("0") == right.digits.lstrip("0")
    values = _based_value(left), _based_value(right)
    return values[0] is not None and values[0] == values[1]


def _based_value(form: Based) -> int | None:
    """Return the value of whole digits in a base of at most 36."""
    if not form.digits.isalnum() or not 2 <= form.base <= 36 or len(form.digits) > 300:
        return None
    try:
        return int(form.digits, form.base)
    except ValueError:
        return None
