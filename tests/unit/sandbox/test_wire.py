import json
import math
from decimal import Decimal
from fractions import Fraction

import pytest

from restem.sandbox.inside.wire import Opaque, WireError, pack, unpack


class Node:
    def __init__(self, value, following=None):
        self.value = value
        self.following = following


class Odd(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def over_the_wire(value, classes=()):
    packed = json.loads(json.dumps(pack(value, tuple(classes))))
    return unpack(packed, {kind.__name__: kind for kind in classes})


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**5000,
        -(2**5000),
        1.5,
        math.inf,
        "",
        "ü\ud800\x00",
        [],
        [1, [2, [3]]],
        (),
        (1, (2,)),
        {1, "a", (2, 3)},
        frozenset({1}),
        {1: "a", (2, 3): {"b": [4]}},
        {"tuple": [1], "object": 0},
        1 + 2j,
        b"\x00\xff",
        Decimal("1.10"),
        Fraction(1, 3),
        int,
        dict,
    ],
)
def test_plain_data_arrives_unchanged(value):
    arrived = over_the_wire(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_nan_arrives():
    assert math.isnan(over_the_wire(math.nan))


def test_a_subclass_arrives_as_the_plain_type():
    assert type(over_the_wire(Odd(7))) is int
    assert over_the_wire(Odd(7)) != 8


@pytest.mark.parametrize("value", [object(), print, Odd, iter([]), range(3), NotImplemented])
def test_anything_else_arrives_as_something_that_no_test_accepts(value):
    arrived = over_the_wire(value)
    assert isinstance(arrived, Opaque)
    for test in (lambda: arrived == value, lambda: arrived != value, lambda: bool(arrived)):
        with pytest.raises(TypeError, match="not plain data"):
            test()


def test_instances_of_declared_classes_arrive_with_cycles_and_long_chains():
    first = Node(0)
    last = first
    for value in range(1, 5000):
        last.following = Node(value)
        last = last.following
    last.following = first
    arrived = over_the_wire([first, first], [Node])
    assert arrived[0] is arrived[1]
    node = arrived[0]
    for _ in range(5000):
        node = node.following
    assert node is arrived[0]


def test_instances_of_other_classes_do_not_arrive():
    with pytest.raises(WireError, match="not plain data"):
        unpack(json.loads(json.dumps(pack(Node(1), (Node,)))), {})


@pytest.mark.parametrize(
    "packed",
    [
        [],
        [1, 2, 3],
        "x",
        {},
        [{"tuple": 5}],
        [{"eval": "1"}],
        [{"tuple": [], "set": []}],
        [{"set": [[]]}],
        [{"int": "zz"}],
        [{"object": 7}],
        [{"object": -1}],
        [1, [["Node", {}]]],
        [{"type": "object"}],
        [{"fraction": ["1", "0"]}],
        [{"dict": [[1]]}],
        [{}],
    ],
)
def test_other_data_is_refused(packed):
    with pytest.raises(WireError):
        unpack(packed, {})


def test_deep_nesting_is_refused_not_a_crash():
    packed = []
    for _ in range(100_000):
        packed = [packed]
    with pytest.raises(WireError):
        unpack([packed])
