"""TRICE: the memory is the last right proposal, and the control variate has expectation zero."""

from collections import Counter
from typing import Any

import pytest

from restem.artifacts.schemas.loop import KEPT
from restem.config.selection import Selection
from restem.selection.decide import Candidate, Decision, decide
from restem.selection.trice import FORGOTTEN, UNREMEMBERED

TRICE = Selection(weight="control_variate", accumulate="all", cap=None)


def candidate(problem: str, age: int, right: bool, draw: int = 0) -> Candidate:
    verdict = "correct" if right else "incorrect"
    return Candidate(problem, draw, f"{problem}{age}", verdict, float(right), age=age)


def weights(*candidates: Candidate) -> dict[tuple[str, int], Any]:
    decisions: list[Decision] = decide(candidates, TRICE, [0, 1])
    assert {d.candidate for d in decisions} == set(candidates)
    assert len(decisions) == len(candidates)
    return {
        (d.candidate.problem_id, d.candidate.age): d.weight if d.decision == KEPT else d.decision
        for d in decisions
    }


def test_a_first_right_proposal_is_accepted_with_one_minus_the_others_acceptance() -> None:
    result = weights(candidate("a", 0, True), candidate("b", 0, True), candidate("c", 0, False))
    assert result == {("a", 0): 0.5, ("b", 0): 0.5, ("c", 0): UNREMEMBERED}


def test_a_rejected_proposal_leaves_the_memory_and_is_pushed_away() -> None:
    result = weights(candidate("a", 0, False), candidate("a", 1, True), candidate("b", 0, True))
    assert result == {("a", 0): -1.0, ("a", 1): 1.0, ("b", 0): 1.0}


def test_the_memory_is_the_youngest_right_one() -> None:
    result = weights(
        candidate("a", 0, False),
        candidate("a", 1, False),
        candidate("a", 2, True),
        candidate("a", 3, True),
    )
    assert result[("a", 2)] == 1.0
    assert result[("a", 1)] == result[("a", 3)] == FORGOTTEN


def test_an_accepted_proposal_replaces_the_memory() -> None:
    result = weights(
        candidate("a", 0, True),
        candidate("a", 1, True),
        candidate("b", 0, False),
        candidate("b", 1, True),
    )
    assert result == {("a", 0): 1.0, ("a", 1): FORGOTTEN, ("b", 0): -1.0, ("b", 1): 1.0}


def test_when_everything_is_accepted_the_gradient_vanishes() -> None:
    """The estimate's variance goes to zero as the model gets everything right."""
    assert set(weights(*(candidate(name, 0, True) for name in "abcd")).values()) == {0.0}


@pytest.mark.parametrize("states", [[True, True, False], [True, False, False, False]])
def test_weights_of_a_problem_sum_to_one_minus_the_others_acceptance(states: list[bool]) -> None:
    """Memory minus beta times proposal, whatever was accepted."""
    candidates = [candidate(f"p{i}", 0, right) for i, right in enumerate(states)]
    candidates += [candidate(f"p{i}", 1, True) for i in range(len(states))]
    totals: Counter[str] = Counter()
    for (problem, _), weight in weights(*candidates).items():
        totals[problem] += weight if isinstance(weight, float) else 0
    for i, right in enumerate(states):
        others = (sum(states) - right) / (len(states) - 1)
        assert totals[f"p{i}"] == pytest.approx(1 - others)


def test_only_the_first_draw_of_an_iteration_is_the_proposal() -> None:
    result = weights(candidate("a", 0, True), candidate("b", 0, False), candidate("b", 1, True))
    again = decide(
        [
            candidate("a", 0, True),
            candidate("b", 0, False),
            candidate("b", 0, True, draw=1),
            candidate("b", 1, True),
        ],
        TRICE,
        [0, 1],
    )
    first = {
        (d.candidate.problem_id, d.candidate.age): d.weight for d in again if d.candidate.draw == 0
    }
    assert first == result
