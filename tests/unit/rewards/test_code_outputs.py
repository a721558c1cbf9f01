import json
import time

import pytest

from restem.rewards.code_outputs import (
    as_sequences,
    equal_lines,
    equal_numbers,
    equal_unordered,
    equal_value,
    truth,
)
from restem.sandbox.inside.wire import pack


def claim(value):
    return json.loads(json.dumps(pack(value)))


PAIRS = [
    (1, 1, True),
    (1, 1.0, True),
    (1, True, True),
    (1, 2, False),
    (1, "1", False),
    (None, None, True),
    (None, 0, False),
    (None, [], False),
    ([1, 2], [1, 2], True),
    ([1, 2], (1, 2), False),
    ((1, 2), [1, 2], False),
    ((1, [2]), (1, [2]), True),
    ([], [], True),
    ([[]], [], False),
    ({1, 2}, {2, 1}, True),
    ({1, 2}, {1}, False),
    (frozenset({1}), {1}, True),
    ({1}, [1], False),
    ({"a": 1}, {"a": 1}, True),
    ({"a": 1}, {"a": 2}, False),
    ({"a": 1}, {"a": 1, "b": 2}, False),
    ({1: [2]}, {1.0: [2]}, True),
    (float("nan"), float("nan"), False),
    ([float("nan")], [float("nan")], False),
    ("", "", True),
    ("a", "a ", False),
    (1j, 1j, True),
    (b"a", b"a", True),
    (2**5000, 2**5000, True),
    (2**5000, 2.0**900, False),
    (object(), None, False),
]


@pytest.mark.parametrize(("claimed", "expected", "same"), PAIRS)
def test_a_claim_is_compared_as_python_compares_plain_data(claimed, expected, same):
    assert equal_value(claim(claimed), expected) is same


@pytest.mark.parametrize("bad", [None, [], [1, 1], 1, {}, [{}], [{"set": 3}], [{"opaque": "x"}]])
@pytest.mark.parametrize("expected", [None, 1, True, "x", [], (), {}, set(), [1, 1]])
def test_what_is_no_claim_equals_nothing(bad, expected):
    assert not equal_value(bad, expected)


@pytest.mark.parametrize("value", [0, 1, "", "x", [], [0], (), (0,), {}, {1: 2}, set(), {0}, None])
def test_truth_is_that_of_python(value):
    assert truth(claim(value)) is bool(value)


@pytest.mark.parametrize("bad", [[{"opaque": "Match"}], [], None, [1, 2], [{"set": 1, "x": 2}]])
def test_what_is_no_plain_data_is_neither_true_nor_false(bad):
    assert truth(bad) is None


def test_a_set_built_to_collide_costs_nothing():
    colliding = [{"int": hex(n * (2**61 - 1))} for n in range(30_000)]
    began = time.process_time()
    assert not equal_value([{"set": colliding}], {1, 2})
    assert not equal_value([{"dict": [[key, 1] for key in colliding]}], {1: 1})
    assert time.process_time() - began < 10


def test_a_deep_claim_is_unequal_not_a_crash():
    deep = expected = []
    for _ in range(50_000):
        deep, expected = [deep], [expected]
    assert not equal_value([deep], expected)


def test_sequences_make_tuples_lists_at_every_depth():
    assert equal_value(as_sequences(claim(((1, [(2,)]),))), [[1, [[2]]]])


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("1  2 \r\n3", "1 2\n3\n\n", True),
        ("1\n\n2", "1\n2", True),
        ("1 2 3", "1 2\n3", False),
        ("1", "1.0", False),
        ("", "", True),
        ("", "0", False),
        ("Yes", "YES", False),
    ],
)
def test_lines_differ_by_white_space_only(output, expected, same):
    assert equal_lines(output, expected) is same


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("0.333333", "0.33333333", True),
        ("0.3334", "0.33333333", False),
        ("3", "3.0", True),
        ("1000001", "1000000", False),
        ("1e3", "1000.0", True),
        ("nan", "1.0", False),
        ("nan", "nan", True),
        ("inf", "1.5", False),
        ("abc", "1.5", False),
        ("1.5 x", "1.5 x", True),
        ("1.5", "1.5 2", False),
    ],
)
def test_fractions_may_differ_by_a_rounding_and_whole_numbers_may_not(output, expected, same):
    assert equal_numbers(output, expected) is same


def test_unordered_lines_may_come_in_any_order():
    assert equal_unordered("b\na\n", "a\nb")
    assert not equal_unordered("a\na\n", "a\nb")
