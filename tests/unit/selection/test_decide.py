"""Selection keeps what the verifier accepted, at most `cap` a problem, and accounts for all."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restem.artifacts.schemas.loop import KEPT
from restem.config.selection import Selection
from restem.selection.decide import DUPLICATE, NOT_LOOKED_AT, OVER_CAP, Candidate, Decision, decide

SEED = [0, 1]


def group(problem: str, rewards: list[float], texts: list[str] | None = None) -> list[Candidate]:
    texts = texts or [f"{problem} {draw}" for draw in range(len(rewards))]
    return [
        Candidate(problem, draw, text, "correct" if reward else "incorrect", reward)
        for draw, (reward, text) in enumerate(zip(rewards, texts, strict=True))
    ]


def select(cap: int | None = 10, **changes: Any) -> Selection:
    return Selection.model_validate({"cap": cap, **changes})


def kept(decisions: list[Decision]) -> list[int]:
    return [d.candidate.draw for d in decisions if d.decision == KEPT]


problems = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12),
    max_size=5,
)
caps = st.none() | st.integers(1, 6)


def all_of(rewards: dict[str, list[float]]) -> list[Candidate]:
    return [item for problem, own in rewards.items() for item in group(problem, own)]


@given(problems, caps)
def test_every_completion_gets_one_decision(rewards: dict[str, list[float]], cap: Any) -> None:
    candidates = all_of(rewards)
    assert [d.candidate for d in decide(candidates, select(cap), SEED)] == candidates


@given(problems, caps)
def test_what_is_kept_is_correct_and_capped(rewards: dict[str, list[float]], cap: Any) -> None:
    decisions = decide(all_of(rewards), select(cap), SEED)
    for problem, own in rewards.items():
        decided = [d for d in decisions if d.candidate.problem_id == problem]
        right = sum(own)
        assert len(kept(decided)) == (right if cap is None else min(cap, right))
        assert all(d.candidate.reward == 1 for d in decided if d.decision == KEPT)
        reasons = Counter(d.decision for d in decided)
        assert reasons["incorrect"] == len(own) - right
        assert reasons[OVER_CAP] == right - reasons[KEPT]


@given(problems, caps)
def test_the_weight_is_the_reward_of_what_is_kept(
    rewards: dict[str, list[float]], cap: Any
) -> None:
    for decision in decide(all_of(rewards), select(cap), SEED):
        assert decision.weight == (decision.candidate.reward if decision.decision == KEPT else 0)


@given(problems, caps, st.randoms(use_true_random=False))
def test_the_choice_depends_on_no_other_problem_and_on_no_order(
    rewards: dict[str, list[float]], cap: Any, random: Any
) -> None:
    candidates = all_of(rewards)
    together = set(decide(candidates, select(cap), SEED))
    shuffled = random.sample(candidates, len(candidates))
    assert set(decide(shuffled, select(cap), SEED)) == together
    apart = {
        decision
        for problem, own in rewards.items()
        for decision in decide(group(problem, own), select(cap), SEED)
    }
    assert apart == together


def test_the_choice_follows_from_the_seed() -> None:
    candidates = group("a", [1.0] * 40)
    chosen = [tuple(kept(decide(candidates, select(5), [seed, 1]))) for seed in range(20)]
    assert [tuple(kept(decide(candidates, select(5), [seed, 1]))) for seed in range(20)] == chosen
    assert len(set(chosen)) > 15


def test_iterations_and_problems_choose_apart() -> None:
    candidates = group("a", [1.0] * 40)
    first, second = (kept(decide(candidates, select(5), [0, iteration])) for iteration in (1, 2))
    assert first != second
    assert kept(decide(group("b", [1.0] * 40), select(5), [0, 1])) != first


def test_every_correct_completion_is_chosen_equally_often() -> None:
    candidates = group("a", [1.0] * 8)
    counts = Counter(
        draw for seed in range(2000) for draw in kept(decide(candidates, select(2), [seed, 1]))
    )
    assert all(430 < counts[draw] < 570 for draw in range(8))  # expected 500, five deviations


def test_no_cap_keeps_all_that_is_correct() -> None:
    decisions = decide(group("a", [1.0, 0.0] * 50), select(None), SEED)
    assert len(kept(decisions)) == 50


def test_the_paper_keeps_ten() -> None:
    assert Selection().cap == 10
    assert len(kept(decide(group("a", [1.0] * 32), Selection(), SEED))) == 10


def test_only_the_first_draws_are_looked_at() -> None:
    decisions = decide(group("a", [1.0] * 6), select(None, draws=4), SEED)
    assert kept(decisions) == [0, 1, 2, 3]
    assert [d.decision for d in decisions[4:]] == [NOT_LOOKED_AT] * 2


def test_looking_at_fewer_draws_equals_drawing_fewer() -> None:
    many, few = group("a", [1.0] * 20), group("a", [1.0] * 8)
    assert kept(decide(many, select(3, draws=8), SEED)) == kept(decide(few, select(3), SEED))


def test_equal_completions_are_kept_once_where_asked() -> None:
    candidates = group("a", [1.0] * 4, ["x", " x\n", "y", "x"])
    assert kept(decide(candidates, select(None), SEED)) == [0, 1, 2, 3]
    decisions = decide(candidates, select(None, deduplicate=True), SEED)
    assert kept(decisions) == [0, 2]
    assert [d.decision for d in decisions] == [KEPT, DUPLICATE, KEPT, DUPLICATE]


def test_only_what_is_kept_makes_a_duplicate() -> None:
    candidates = group("a", [0.0, 1.0], ["x", "x"])
    assert kept(decide(candidates, select(None, deduplicate=True), SEED)) == [1]


def test_equal_completions_of_different_problems_are_no_duplicates() -> None:
    candidates = [*group("a", [1.0], ["x"]), *group("b", [1.0], ["x"])]
    assert len(kept(decide(candidates, select(None, deduplicate=True), SEED))) == 2


def test_duplicates_do_not_count_towards_the_cap() -> None:
    candidates = group("a", [1.0] * 6, ["x", "x", "x", "y", "z", "z"])
    decisions = decide(candidates, select(2, deduplicate=True), SEED)
    reasons = Counter(d.decision for d in decisions)
    assert reasons == {KEPT: 2, DUPLICATE: 3, OVER_CAP: 1}


def test_which_duplicate_stays_does_not_depend_on_the_order_given() -> None:
    candidates = group("a", [1.0] * 4, ["x", "y", "x", "y"])
    for order in (candidates, candidates[::-1]):
        assert sorted(kept(decide(order, select(None, deduplicate=True), SEED))) == [0, 1]


@given(problems, st.floats(0, 1, exclude_max=True))
def test_for_binary_rewards_any_threshold_below_one_is_the_same(
    rewards: dict[str, list[float]], threshold: float
) -> None:
    """Filtering at R > tau (ReST, growing thresholds) is filtering at R = 1 (ReST-EM)."""
    candidates = all_of(rewards)
    above = {(d.problem_id, d.draw) for d in candidates if d.reward > threshold}
    decisions = decide(candidates, select(None), SEED)
    chosen = {(d.candidate.problem_id, d.candidate.draw) for d in decisions if d.decision == KEPT}
    assert chosen == above


@pytest.mark.parametrize("verdict", ["incorrect", "unextractable", "too long"])
def test_the_verdict_is_the_reason_why_a_completion_goes(verdict: str) -> None:
    [decision] = decide([Candidate("a", 0, "x", verdict, 0.0)], select(), SEED)
    assert decision.decision == verdict


def test_nothing_drawn_is_nothing_decided() -> None:
    assert decide([], Selection(), SEED) == []
