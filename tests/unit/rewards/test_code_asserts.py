import pytest

from restem.rewards.code_asserts import cases_of, entry_of, recorded
from restem.rewards.code_spec import Spec


def apart(tests, bind="candidate", entry="f"):
    return cases_of(Spec(kind="asserts", tests=tests, bind=bind, entry=entry))


def check(*lines):
    return "def check(candidate):\n" + "".join(f"    {line}\n" for line in lines)


def test_equalities_become_calls_and_values():
    cases = apart(check("assert candidate(1, x=[2]) == (3, {'a'}), 'no'", "assert True"))
    assert [(c.expression, c.relation, c.expected) for c in cases] == [
        ("candidate(1, x=[2])", "==", (3, {"a"}))
    ]


def test_bare_results_are_judged_by_their_truth():
    cases = apart(check("assert candidate(1)", "assert not candidate(2)"))
    assert [c.relation for c in cases] == ["true", "false"]


@pytest.mark.parametrize(
    "line",
    [
        "assert abs(candidate(1) - 0.5) < 1e-6",
        "assert candidate(1) - 5 == 0",
        "assert candidate(1) != 5",
        "assert candidate(1) in (1, 2)",
        "assert 5 == candidate(1)",
        "assert candidate(1) == 2 + 3",
        "assert candidate(1) == other(1)",
        "assert candidate(1) == candidate(2)",
        "assert (5, candidate(1))[0] == 5",
        "assert max(5, candidate(1)) == 5",
        "assert candidate(1) == 5 and candidate(2) == 6",
        "assert (y := candidate(1)) == 5",
        "for x in range(3): assert candidate(x) == 1",
        "x = 5",
        "if candidate(1) != 5: raise ValueError",
    ],
)
def test_no_expected_value_slips_into_an_expression(line):
    """What does not come apart cleanly runs whole, away from the program."""
    assert apart(check("assert candidate(0) == 0", line)) is None


def test_conversions_stay_around_the_call():
    cases = apart("assert set(f([1])) == {1}\nassert int(f(2)) == 2", bind="")
    assert [c.expression for c in cases] == ["set(f([1]))", "int(f(2))"]


@pytest.mark.parametrize(
    ("tests", "known", "entry"),
    [
        (["assert f(1) == 2"], [], "f"),
        (["assert set(f(1)) == {2}"], [], "f"),
        (["assert sum(10, 15) == 6"], ["sum"], "sum"),
        (["assert sum(10, 15) == 6"], [], "sum"),
        (["assert f([Pair(1, 2)]) == 2"], ["Pair", "f"], "f"),
        (["not python ("], [], ""),
    ],
)
def test_the_entry_of_bare_assertions_is_found(tests, known, entry):
    assert entry_of(tests, known) == entry


def test_recorded_tests_record_every_assertion():
    code, count = recorded(
        Spec(kind="asserts", bind="candidate", tests=check("assert candidate(1) < 2", "assert 0"))
    )
    seen = []
    exec(code, {"__record__": lambda test: seen.append(bool(test())), "candidate": lambda x: x})
    assert (seen, count) == ([True, False], 2)
