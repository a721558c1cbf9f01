"""Held-back tests: none is lost, none decides a reward, and at least one test decides."""

import pytest

from restem.config.reward import Code, Reward
from restem.errors import RestemError
from restem.rewards.code import open_verifier
from restem.rewards.code_asserts import cases_of, deciding_tests, held_back_tests
from restem.rewards.code_spec import Spec, read_spec
from restem.rewards.verifier import Attempt

CALLS = Spec(
    kind="calls", entry="f", inputs=[[1], [2], [3]], expected=[3, 6, 9], compare="exact"
).dump()
ASSERTS = Spec(
    kind="asserts", entry="f", tests="assert f(1) == 3\nassert f(2) == 6\nassert not f(0)"
).dump()
CHECK = (
    "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    'doc'\n    assert True\n"
    "    assert candidate(1) == 3\n    assert candidate(2) == 6\n    assert candidate(3) == 9\n"
)
BOUND = Spec(kind="asserts", entry="f", bind="candidate", tests=CHECK).dump()
WHOLE = Spec(kind="asserts", entry="f", tests="for i in range(3):\n    assert f(i) == 3 * i").dump()


def inputs(gold: str | None) -> list[object]:
    """Return the inputs, or the expressions, of some tests."""
    if gold is None:
        return []
    spec = read_spec(gold)
    return spec.inputs or [case.expression for case in cases_of(spec) or []]


@pytest.mark.parametrize("gold", [CALLS, ASSERTS, BOUND])
@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_every_test_is_on_one_side_and_one_decides_at_least(gold: str, count: int) -> None:
    first, rest = inputs(deciding_tests(gold, count).dump()), inputs(held_back_tests(gold, count))
    assert first + rest == inputs(gold)
    assert len(rest) == min(count, len(inputs(gold)) - 1)


@pytest.mark.parametrize("gold", [CALLS, ASSERTS, BOUND, WHOLE])
def test_nothing_is_held_back_unless_it_is_asked_for(gold: str) -> None:
    assert deciding_tests(gold, 0) == read_spec(gold)
    assert held_back_tests(gold, 0) is None


def test_what_runs_whole_or_has_one_test_keeps_it() -> None:
    single = Spec(kind="stdin", inputs=["1\n"], expected=["3\n"]).dump()
    alone = Spec(kind="asserts", entry="f", tests="assert f(1) == 3").dump()
    for gold in (WHOLE, single, alone):
        assert deciding_tests(gold, 2) == read_spec(gold)
        assert held_back_tests(gold, 2) is None


def test_the_constants_beside_a_check_stay() -> None:
    assert "METADATA" in deciding_tests(BOUND, 1).tests
    assert (
        held_back_tests(BOUND, 1)
        and "candidate(1)" not in read_spec(str(held_back_tests(BOUND, 1))).tests
    )


def test_tests_that_are_none_are_refused_as_ever() -> None:
    with pytest.raises(RestemError, match="cannot be read"):
        held_back_tests("{}", 1)


@pytest.mark.parametrize("gold", [CALLS, ASSERTS, BOUND])
def test_a_program_wrong_on_the_last_test_alone_is_rewarded_and_then_found(gold: str) -> None:
    last = 0 if gold == ASSERTS else 3
    program = f"def f(x): return 3 * x if x != {last} else 1"
    with open_verifier(Reward(code=Code(held_back=1)), ()) as verifier:
        [rewarded] = verifier.verify([Attempt(gold, program)], "strict")
    with open_verifier(Reward(), ()) as verifier:
        rest = str(held_back_tests(gold, 1))
        both = verifier.verify([Attempt(gold, program), Attempt(rest, program)], "strict")
        [right] = verifier.verify([Attempt(rest, "def f(x): return 3 * x")], "strict")
    assert rewarded.verdict == "correct"
    assert rewarded.fraction == 1
    assert [verdict.verdict for verdict in both] == ["incorrect", "incorrect"]
    assert right.verdict == "correct"
