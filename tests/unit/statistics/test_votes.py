"""Majority votes are scored as documented: blocks, ties, draws without an answer."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restem.config.reward import Reward
from restem.rewards.math import MathVerifier, open_verifier
from restem.statistics.votes import NO_VOTE, Ballot, ballot_of, from_cell, majority_score, to_cell


def score(choices: list[int], k: int, right: int = 0) -> float:
    return majority_score(Ballot(tuple(choices), frozenset({right})), k)


@pytest.mark.parametrize(
    ("choices", "k", "expected"),
    [
        ([0, 0, 1], 3, 1.0),
        ([1, 1, 0], 3, 0.0),
        ([0, 1], 2, 0.5),
        ([0, 1, 2], 3, 1 / 3),
        ([0, 0, 1, 1, 2], 5, 0.5),
        ([NO_VOTE, NO_VOTE, 0], 3, 1.0),
        ([NO_VOTE] * 4, 4, 0.0),
        ([0, 0, 1, 1], 2, 0.5),
        ([0, 0, 1, 1, 0], 2, 0.5),  # the fifth draw fills no block
        ([1, 0, 1, 0], 1, 0.5),
    ],
)
def test_votes_are_counted_by_hand(choices: list[int], k: int, expected: float) -> None:
    assert score(choices, k) == pytest.approx(expected)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12))
def test_a_vote_of_one_is_the_share_of_right_draws(choices: list[int]) -> None:
    assert score(choices, 1) == pytest.approx(choices.count(0) / len(choices))


def test_the_estimate_is_unbiased() -> None:
    """Over all sequences of two votes of three draws the mean is that of one vote."""
    weights = {0: 0.5, 1: 0.3, NO_VOTE: 0.2}

    def mean(draws: int) -> float:
        total = 0.0
        for choices in product(weights, repeat=draws):
            chance = 1.0
            for choice in choices:
                chance *= weights[choice]
            total += chance * score(list(choices), 3)
        return total

    assert mean(6) == pytest.approx(mean(3))


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 4 draws"):
        score([0, 1], 4)


def ballot(answers: list[str | None], gold: str) -> Ballot:
    """Return the ballot of answers that the verifier of mathematics compares."""
    with open_verifier(Reward()) as verifier:
        pairs = [(gold, answer or "") for answer in answers]
        verdicts = [{"verdict": v.verdict} for v in verifier.compare(pairs)]
        return ballot_of(verdicts, answers, lambda pairs: same_by(verifier, pairs))


def same_by(verifier: MathVerifier, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [verdict.verdict == "correct" for verdict in verifier.compare(pairs)]


@pytest.mark.parametrize(
    ("answers", "gold"),
    [
        (["5 \\text{ cm}", "7", "5"], "5"),
        (["90^\\circ", "45", "90"], "90"),
        (["50\\%", "0.4", "0.5"], "0.5"),
        (["1,2", "3", "2,1"], "1,2"),
        (["\\$1500", "15", "1500"], "1500"),
        (["\\sqrt{8}", "2", "2\\sqrt{2}"], "2\\sqrt2"),
    ],
)
def test_answers_that_the_verifier_calls_equal_vote_together(
    answers: list[str | None], gold: str
) -> None:
    counted = ballot(answers, gold)
    assert counted.choices == (0, 1, 0)
    assert majority_score(counted, 3) == 1.0


def test_the_form_that_most_draws_give_speaks_for_its_group() -> None:
    """50 % equals 0.5 and, as if the sign were missing, 50; these two are not equal."""
    counted = ballot(["50", "50\\%", "0.5", "0.5"], "0.5")
    assert counted.choices[2] == counted.choices[3] in counted.right
    assert counted.choices[0] not in counted.right


def test_each_pair_of_forms_is_compared_once_at_most() -> None:
    asked: list[tuple[str, str]] = []

    def same(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        asked.extend(pairs)
        return [left.casefold() == right.casefold() for left, right in pairs]

    answers = ["a", "A", "b", "c", "B", "a"] * 50
    counted = ballot_of([{"verdict": "incorrect"}] * 300, answers, same)
    assert counted.choices[:6] == (0, 0, 1, 2, 1, 0)
    assert len(asked) == len(set(asked)) <= 4 + 2


def test_answers_are_numbered_in_the_order_drawn() -> None:
    verdicts = [{"verdict": v} for v in ("incorrect", "correct", "unextractable", "incorrect")]
    counted = ballot_of(verdicts, ["7", "8", None, "7"], None)
    assert counted == Ballot((0, 1, NO_VOTE, 0), frozenset({1}))


@given(st.lists(st.integers(-1, 99)))
def test_cells_come_back_as_they_were_written(numbers: list[int]) -> None:
    assert from_cell(to_cell(numbers)) == tuple(numbers)
