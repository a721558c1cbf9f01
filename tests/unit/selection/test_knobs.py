"""Each knob of selection does what the method it comes from says, on problems checked by hand."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from restem.accounts.costs import Use
from restem.artifacts.schemas.loop import KEPT
from restem.config.base import share_of
from restem.config.selection import Selection
from restem.selection.decide import (
    BELOW,
    CUT_OFF,
    NOT_BEST,
    OUTSIDE,
    WRONG_STEP,
    Candidate,
    Decision,
    decide,
)
from restem.selection.reward import FLIPPED, NOT_MAJORITY, majority_answer

SEED = [0, 1]


def candidate(draw: int, reward: float = 1.0, problem: str = "a", **changes: Any) -> Candidate:
    verdict = "correct" if reward else "incorrect"
    changes = {"fraction": reward, "answer": str(reward), **changes}
    return Candidate(problem, draw, changes.pop("text", f"text {draw}"), verdict, reward, **changes)


def select(**changes: Any) -> Selection:
    return Selection.model_validate({"cap": None, **changes})


def kept(decisions: list[Decision]) -> list[int]:
    return [d.candidate.draw for d in decisions if d.decision == KEPT]


def reasons(decisions: list[Decision]) -> list[str]:
    return [d.decision for d in decisions]


# ---- thresholds and graded rewards: ReST ----


def test_a_graded_reward_is_kept_above_the_threshold_and_weighs_what_it_is() -> None:
    candidates = [
        candidate(0, 0.0, fraction=0.5),
        candidate(1, 0.0, fraction=0.9),
        candidate(2, 1.0),
        candidate(3, 0.0),
    ]
    decisions = decide(candidates, select(reward="fraction", threshold=0.7), SEED)
    assert kept(decisions) == [1, 2]
    assert [d.weight for d in decisions] == [0, 0.9, 1.0, 0]
    assert reasons(decisions) == [BELOW, KEPT, KEPT, "incorrect"]


def test_the_threshold_itself_is_not_enough() -> None:
    assert (
        kept(
            decide(
                [candidate(0, 0.0, fraction=0.7)], select(reward="fraction", threshold=0.7), SEED
            )
        )
        == []
    )


def test_a_schedule_rises_and_its_last_value_stays() -> None:
    schedule = select(threshold=[0.0, 0.5, 0.9])
    assert [schedule.at(step).threshold for step in range(5)] == [0.0, 0.5, 0.9, 0.9, 0.9]


rewards = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12)


@given(rewards, st.floats(0, 1, exclude_max=True), st.sampled_from(["verdict", "fraction"]))
def test_for_binary_rewards_any_threshold_below_one_gives_the_same_decisions(
    values: list[float], threshold: float, reward: str
) -> None:
    candidates = [candidate(i, r) for i, r in enumerate(values)]
    expected = decide(candidates, select(), SEED)
    assert decide(candidates, select(reward=reward, threshold=threshold), SEED) == expected


# ---- labels without a verifier: LMSI, SSD, random label, noise ----


def test_the_majority_answer_is_kept_right_or_wrong() -> None:
    candidates = [
        candidate(0, 0.0, answer="7"),
        candidate(1, 1.0, answer="8"),
        candidate(2, 0.0, answer="7"),
    ]
    decisions = decide(candidates, select(reward="majority"), SEED)
    assert reasons(decisions) == [KEPT, NOT_MAJORITY, KEPT]
    assert [d.weight for d in decisions] == [1, 0, 1]


def test_a_tie_goes_to_the_answer_that_was_drawn_first_in_any_order() -> None:
    candidates = [
        candidate(0, answer="8"),
        candidate(1, answer="7"),
        candidate(2, answer="7"),
        candidate(3, answer="8"),
    ]
    assert majority_answer(candidates) == majority_answer(candidates[::-1]) == "8"


def test_what_has_no_answer_has_no_vote_and_is_never_the_majority() -> None:
    candidates = [candidate(0, answer=None), candidate(1, answer=None), candidate(2, answer="3")]
    assert kept(decide(candidates, select(reward="majority"), SEED)) == [2]
    assert kept(decide(candidates[:2], select(reward="majority"), SEED)) == []


def test_only_the_draws_that_are_looked_at_vote() -> None:
    candidates = [candidate(0, answer="1"), candidate(1, answer="2"), candidate(2, answer="2")]
    assert kept(decide(candidates, select(reward="majority", draws=1), SEED)) == [0]


@given(rewards)
def test_the_majority_label_does_not_look_at_the_verdict(values: list[float]) -> None:
    answers = [str(i % 3) for i in range(len(values))]
    informed = [candidate(i, r, answer=answers[i]) for i, r in enumerate(values)]
    blind = [candidate(i, 0.0, answer=answers[i]) for i in range(len(values))]
    expected = kept(decide(blind, select(reward="majority"), SEED))
    assert kept(decide(informed, select(reward="majority"), SEED)) == expected


@given(rewards)
def test_self_distillation_keeps_everything_with_one_weight(values: list[float]) -> None:
    decisions = decide([candidate(i, r) for i, r in enumerate(values)], select(reward="none"), SEED)
    assert [(d.decision, d.weight) for d in decisions] == [(KEPT, 1.0)] * len(values)


def test_a_random_label_is_one_of_the_answers_and_says_nothing_of_right_or_wrong() -> None:
    picked = []
    for number in range(400):
        candidates = [candidate(d, d % 2, f"p{number}", answer=str(d % 2)) for d in range(4)]
        decisions = decide(candidates, select(reward="random"), SEED)
        assert len(kept(decisions)) == 2
        picked.append(kept(decisions)[0])
    assert 150 < sum(picked) < 250  # expected 200, five deviations


def test_no_noise_is_the_verdict_and_full_noise_its_opposite() -> None:
    candidates = [candidate(0, 1.0), candidate(1, 0.0)]
    assert kept(decide(candidates, select(flip=0.0), SEED)) == [0]
    decisions = decide(candidates, select(flip=1.0), SEED)
    assert reasons(decisions) == [FLIPPED, KEPT]


def test_noise_turns_its_share_around_and_more_noise_turns_the_same_ones() -> None:
    candidates = [candidate(i, 1.0) for i in range(4000)]
    gone = [
        {
            d.candidate.draw
            for d in decide(candidates, select(flip=share), SEED)
            if d.decision == FLIPPED
        }
        for share in (0.1, 0.3)
    ]
    assert 305 < len(gone[0]) < 495  # expected 400, five deviations
    assert gone[0] < gone[1]


# ---- weights: RWR, and what reward weighting is not ----


def test_exponential_weights_keep_what_is_wrong_at_one_to_e() -> None:
    decisions = decide(
        [candidate(0, 1.0), candidate(1, 0.0)],
        select(threshold=None, weight="exponential", beta=0.5),
        SEED,
    )
    assert [d.decision for d in decisions] == [KEPT, KEPT]
    assert decisions[0].weight / decisions[1].weight == pytest.approx(math.exp(1 / 0.5))


def test_without_a_threshold_a_reward_of_zero_weighs_nothing() -> None:
    decisions = decide([candidate(0, 1.0), candidate(1, 0.0)], select(threshold=None), SEED)
    assert [d.weight for d in decisions] == [1.0, 0.0]


# ---- the best: RAFT, ExIt ----


def test_the_best_of_k_is_the_first_of_the_highest_rewards() -> None:
    candidates = [
        candidate(0, 0.0, fraction=0.5),
        candidate(1, 0.0, fraction=0.9),
        candidate(2, 0.0, fraction=0.9),
    ]
    decisions = decide(candidates, select(reward="fraction", best=1), SEED)
    assert reasons(decisions) == [NOT_BEST, KEPT, NOT_BEST]


@given(rewards)
def test_with_binary_rewards_the_best_is_one_correct_pick(values: list[float]) -> None:
    candidates = [candidate(i, r) for i, r in enumerate(values)]
    best = kept(decide(candidates, select(best=1), SEED))
    assert best == [i for i, r in enumerate(values) if r][:1]
    assert len(best) == len(kept(decide(candidates, select(cap=1), SEED)))


def test_the_global_share_ranks_over_all_problems() -> None:
    candidates = [candidate(i, 0.0, "a", fraction=0.6) for i in range(4)]
    candidates += [candidate(i, 0.0, "b", fraction=0.8 if i < 3 else 0.1) for i in range(4)]
    decisions = decide(candidates, select(reward="fraction", top_share=0.5), SEED)
    chosen = [(d.candidate.problem_id, d.candidate.draw) for d in decisions if d.decision == KEPT]
    assert chosen == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]


# ---- quotas: DART ----


def test_hard_problems_keep_more_than_easy_ones() -> None:
    easy = [candidate(i, 1.0, "easy") for i in range(8)]
    medium = [candidate(i, float(i < 4), "medium") for i in range(8)]
    hard = [candidate(i, float(i < 2), "hard") for i in range(8)]
    decisions = decide([*easy, *medium, *hard], select(cap=4, quota="difficulty"), SEED)
    counts = dict.fromkeys(("easy", "medium", "hard"), 0)
    for decision in decisions:
        counts[decision.candidate.problem_id] += decision.decision == KEPT
    assert counts == {"easy": 1, "medium": 2, "hard": 2}  # 4 * (1 - 6/8) = 3, of which 2 exist


def test_an_equal_quota_is_the_cap() -> None:
    candidates = [candidate(i) for i in range(9)]
    assert decide(candidates, select(cap=3, quota="equal"), SEED) == decide(
        candidates, select(cap=3), SEED
    )


# ---- steps and paths: RFT ----


def test_a_wrong_calculation_goes_even_when_the_answer_is_right() -> None:
    candidates = [
        candidate(0, text="2+3=5, 5*2=10"),
        candidate(1, text="2+3=6, 5*2=10"),
        candidate(2, text="ten"),
    ]
    decisions = decide(candidates, select(valid_steps=True), SEED)
    assert reasons(decisions) == [KEPT, WRONG_STEP, KEPT]


def test_equal_lists_of_equations_are_one_path() -> None:
    texts = ["First 2+3=5.", "So 2 + 3 = 5", "3+2=5", "five", "five", "cinq"]
    candidates = [candidate(i, text=text) for i, text in enumerate(texts)]
    assert kept(decide(candidates, select(deduplicate="equations"), SEED)) == [0, 2, 3, 5]


# ---- which problems ----


def test_problems_that_are_left_out_are_accounted_for() -> None:
    candidates = [candidate(0, problem="a"), candidate(0, problem="b")]
    decisions = decide(candidates, select(), SEED, allowed=frozenset({"b"}))
    assert reasons(decisions) == [OUTSIDE, KEPT]


@given(rewards, st.integers(1, 4))
def test_three_times_the_draws_begin_with_the_first_third(values: list[float], cap: int) -> None:
    third = [candidate(i, r) for i, r in enumerate(values)]
    tripled = third + [candidate(len(values) + i, 1.0) for i in range(2 * len(values))]
    looked_at = decide(tripled, select(cap=cap, draws=len(values)), SEED)
    assert looked_at[: len(third)] == decide(third, select(cap=cap), SEED)


# ---- shares and quotas are exact ----


@pytest.mark.parametrize("draws", [10, 20, 30, 50, 100, 1000])
def test_a_quota_follows_from_the_share_and_not_from_the_number_of_draws(draws: int) -> None:
    candidates = [candidate(i, float(i < draws * 7 // 10)) for i in range(draws)]
    assert len(kept(decide(candidates, select(cap=10, quota="difficulty"), SEED))) == 3


@given(st.integers(1, 20), st.integers(1, 200), st.data())
def test_a_quota_is_the_least_whole_number_that_is_enough(cap: int, draws: int, data: Any) -> None:
    correct = data.draw(st.integers(0, draws))
    candidates = [candidate(i, float(i < correct)) for i in range(draws)]
    chosen = len(kept(decide(candidates, select(cap=cap, quota="difficulty"), SEED)))
    exact = Fraction(cap * (draws - correct), draws)
    assert chosen == min(correct, max(1, math.ceil(exact)))


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.07, 100, 7), (0.14, 50, 7), (0.28, 25, 7), (0.55, 100, 55), (0.071, 100, 8), (1.0, 9, 9)],
)
def test_a_global_share_keeps_what_it_says(share: float, count: int, expected: int) -> None:
    candidates = [candidate(i, problem=f"p{i}") for i in range(count)]
    assert len(kept(decide(candidates, select(top_share=share), SEED))) == expected


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_share_in_thousandths_is_exact(thousandths: int, count: int) -> None:
    share = float(f"0.{thousandths:03d}" if thousandths < 1000 else "1")
    assert share_of(share, count) == Fraction(thousandths * count, 1000)


@pytest.mark.parametrize(
    ("share", "problems", "count", "expected"),
    [(0.29, None, 100, 29), (0.57, None, 100, 57), (0.5, 100, 1000, 100), (0.5, 600, 1000, 500)],
)
def test_all_who_ask_get_the_same_number_of_problems(
    share: float, problems: int | None, count: int, expected: int
) -> None:
    selection = select(problem_share=share, problems=problems)
    assert selection.first_problems(count) == expected
    use = Use(path="s", problem_share=share, problems=problems)
    assert use.first_problems(count) == expected


@pytest.mark.parametrize("beta", [0.001, 0.01])
def test_weights_that_no_number_can_hold_are_refused(beta: float) -> None:
    with pytest.raises(ValidationError, match="too large a weight"):
        select(weight="exponential", beta=beta)
    assert select(weight="exponential", beta=0.02)


# ---- completions that max_tokens cut off ----


def test_what_was_cut_off_is_no_target_though_its_answer_is_right() -> None:
    candidates = [candidate(0, cut_off=True), candidate(1), candidate(2, 0.0, cut_off=True)]
    assert reasons(decide(candidates, select(), SEED)) == [CUT_OFF, KEPT, "incorrect"]
    assert kept(decide(candidates, select(cut_off="keep"), SEED)) == [0, 1]


@pytest.mark.parametrize("changes", [{"reward": "none"}, {"threshold": None}])
def test_what_was_cut_off_is_left_out_without_a_filter_too(changes: dict[str, Any]) -> None:
    candidates = [candidate(0, 0.0, cut_off=True), candidate(1, 0.0)]
    assert kept(decide(candidates, select(**changes), SEED)) == [1]


def test_what_was_cut_off_takes_the_place_of_no_other() -> None:
    candidates = [candidate(draw, cut_off=draw < 5) for draw in range(8)]
    assert kept(decide(candidates, select(best=1), SEED)) == [5]
    assert kept(decide(candidates, select(cap=3), SEED)) == [5, 6, 7]
    same = [candidate(draw, text="same", cut_off=draw == 0) for draw in range(2)]
    assert kept(decide(same, select(deduplicate=True), SEED)) == [1]


def test_what_was_cut_off_still_votes() -> None:
    answers = ("7", "7", "8")
    candidates = [candidate(i, answer=a, cut_off=i == 0) for i, a in enumerate(answers)]
    decisions = decide(candidates, select(reward="majority"), SEED)
    assert reasons(decisions) == [CUT_OFF, KEPT, NOT_MAJORITY]


def test_what_was_cut_off_is_never_remembered() -> None:
    settings = select(weight="control_variate", accumulate="all", draws=1)
    candidates = [candidate(0, cut_off=True), candidate(0, age=1), candidate(0, problem="b")]
    decisions = decide(candidates, settings, SEED)
    assert reasons(decisions) == [CUT_OFF, KEPT, KEPT]
