"""Claims get the verdict that their numbers give, and bins of difficulty regress to no mean."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from restem.config.claims import Claim
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.claims import judge
from restem.statistics.groups import bin_of, break_down, problems_by_group
from restem.statistics.verdicts import as_rows, worded

SETTINGS = Metrics(ks=(1,), resamples=400, difficulty="bins", breakdowns=("difficulty",))


def rows(
    variant: str,
    share: float,
    n: int = 200,
    iteration: int = 1,
    seeds: int | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """Return results with that share right, the same problems first for every policy.

    Trained policies have three seeds, base models none.
    """
    seeds = seeds or (1 if variant == "base" else 3)
    return [
        {
            "task": "math", "split": "test", "model": "S", "variant": variant, "seed": seed,
            "iteration": iteration, "decoding": "greedy", "problem_id": f"p{i}", "subject": "",
            "level": None, "draws": 1, "correct": int(i < share * n), "halted": None,
            "greedy": more.get("draws", 1) == 1, **more,
        }
        for seed in range(seeds)
        for i in range(n)
    ]  # fmt: skip


BASE = rows("base", 0.3, iteration=0)


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(
        {"id": "X", "says": "It is better.", "where": "here", "task": "math"}
        | {"tests": [{"plus": ["S/rest-em/last"], "minus": ["S/base"]}], **changes}
    )


def verdict(result: list[dict[str, Any]], **changes: Any) -> str:
    [outcome] = judge([claim(**changes)], [*BASE, *result], SETTINGS)
    return outcome.verdict


@pytest.mark.parametrize(
    ("share", "expect", "margin", "expected"),
    [
        (0.5, "above", 0.0, "supported"),
        (0.1, "above", 0.0, "contradicted"),
        (0.31, "above", 0.0, "inconclusive"),
        (0.5, "above", 0.4, "contradicted"),
        (0.1, "below", 0.0, "supported"),
        (0.5, "below", 0.0, "contradicted"),
        (0.3, "within", 0.05, "supported"),
        (0.6, "within", 0.05, "contradicted"),
        (0.35, "within", 0.05, "inconclusive"),
    ],
)
def test_the_interval_gives_the_verdict(
    share: float, expect: str, margin: float, expected: str
) -> None:
    assert verdict(rows("rest-em", share), expect=expect, margin=margin) == expected


def test_all_tests_must_hold() -> None:
    both = [*rows("rest-em", 0.5), *rows("sft", 0.5)]
    tests = [
        {"plus": ["S/rest-em/last"], "minus": ["S/base"]},
        {"plus": ["S/rest-em/last"], "minus": ["S/sft/last"]},
    ]
    assert verdict(both, tests=tests[:1]) == "supported"
    assert verdict(both, tests=tests) == "inconclusive"
    worse = [*rows("rest-em", 0.5), *rows("sft", 0.9)]
    assert verdict(worse, tests=tests) == "contradicted"


def test_the_last_iteration_is_the_last_and_a_number_is_that_one() -> None:
    result = [*rows("rest-em", 0.9, iteration=1), *rows("rest-em", 0.3, iteration=2)]
    assert verdict(result) == "inconclusive"
    first = [{"plus": ["S/rest-em/1"], "minus": ["S/base"]}]
    assert verdict(result, tests=first) == "supported"


def test_a_difference_of_gains_takes_four_sides() -> None:
    large = [r | {"model": "L"} for r in [*rows("base", 0.3, iteration=0), *rows("rest-em", 0.8)]]
    gains = [{"plus": ["L/rest-em/last", "S/base"], "minus": ["L/base", "S/rest-em/last"]}]
    assert verdict([*large, *rows("rest-em", 0.4)], tests=gains) == "supported"
    assert verdict([*large, *rows("rest-em", 0.8)], tests=gains) == "inconclusive"


def test_what_was_not_run_is_untested_and_says_what() -> None:
    [outcome] = judge([claim()], BASE, SETTINGS)
    assert outcome.verdict == "untested"
    assert "S/rest-em/last" in worded(outcome, 0.95)


def test_accuracy_is_of_greedy_decoding_whatever_it_is_called() -> None:
    policies = [*BASE, *rows("rest-em", 0.5)]
    renamed = [row | {"decoding": "argmax"} for row in policies]
    [outcome] = judge([claim()], renamed, SETTINGS)
    assert outcome.verdict == "supported"
    sampled = [row | {"greedy": False} for row in policies]
    [outcome] = judge([claim()], sampled, SETTINGS)
    assert outcome.verdict == "untested"


def test_of_several_greedy_decodings_a_claim_must_name_one() -> None:
    policies = [*BASE, *rows("rest-em", 0.5)]
    both = [*policies, *(row | {"decoding": "long"} for row in policies)]
    [outcome] = judge([claim()], both, SETTINGS)
    assert "several decodings (greedy, long): name one" in worded(outcome, 0.95)
    [outcome] = judge([claim(decoding="long")], both, SETTINGS)
    assert outcome.verdict == "supported"


def test_a_claim_on_sampling_names_its_decoding() -> None:
    with pytest.raises(ValidationError, match="name the sampled decoding"):
        claim(quantity="pass")


def test_words_follow_from_the_numbers() -> None:
    [outcome] = judge([claim()], [*BASE, *rows("rest-em", 0.5)], SETTINGS)
    text = worded(outcome, 0.95)
    assert text.startswith("supported: S/rest-em/last - S/base is +20.0 points [")
    assert "200 problems, 3 training seeds" in text


@pytest.mark.parametrize(("share", "expect"), [(0.9, "above"), (0.05, "above"), (0.3, "within")])
def test_one_training_decides_nothing_about_a_method(share: float, expect: str) -> None:
    margin = 0.2 if expect == "within" else 0.0
    once = rows("rest-em", share, seeds=1)
    [outcome] = judge([claim(expect=expect, margin=margin)], [*BASE, *once], SETTINGS)
    assert outcome.verdict == "inconclusive"
    assert "1 training seed: the interval is of this run" in worded(outcome, 0.95)


def test_the_seeds_of_a_claim_are_those_of_its_trained_sides() -> None:
    results = [*BASE, *rows("rest-em", 0.5), *rows("sft", 0.4, seeds=2)]
    [outcome] = judge([claim()], results, SETTINGS)
    assert [finding.seeds for finding in outcome.findings] == [3]
    both = claim(tests=[{"plus": ["S/rest-em/last"], "minus": ["S/sft/last"]}])
    [outcome] = judge([both], results, SETTINGS)
    assert [finding.seeds for finding in outcome.findings] == [2]


def test_base_models_are_compared_without_any_training() -> None:
    large = [row | {"model": "L"} for row in rows("base", 0.6, iteration=0)]
    bases = claim(tests=[{"plus": ["L/base"], "minus": ["S/base"]}])
    [outcome] = judge([bases], [*BASE, *large], SETTINGS)
    assert outcome.verdict == "supported"
    assert "200 problems, no trained policy" in worded(outcome, 0.95)


def test_no_difference_at_all_is_never_supported() -> None:
    assert verdict(rows("rest-em", 0.3)) != "supported"


@pytest.mark.parametrize(
    ("correct", "expected"),
    [(32, "easy"), (24, "easy"), (23, "medium"), (16, "medium"), (15, "hard"), (8, "hard"),
     (7, "very hard"), (0, "very hard")],
)  # fmt: skip
def test_bins_are_those_of_figure_8(correct: int, expected: str) -> None:
    assert bin_of(correct, 32) == expected


def sampled(variant: str, decoding: str, rng: random.Random, n: int = 600) -> list[dict[str, Any]]:
    """Return results of a model that gives every problem the same chance."""
    results = rows(variant, 0, n, iteration=int(variant != "base"), decoding=decoding, draws=8)
    return [row | {"correct": sum(rng.random() < 0.5 for _ in range(8))} for row in results]


def test_bins_from_independent_draws_show_no_gain_where_there_is_none() -> None:
    rng = random.Random(0)
    results = [
        *sampled("base", "bins", rng), *sampled("base", "s", rng), *sampled("rest-em", "s", rng)
    ]  # fmt: skip
    estimates = break_down(results, SETTINGS, ())
    lifts = {row["group"]: row for row in estimates if row["reference"] == "base"}
    assert set(lifts) >= {"easy", "medium", "hard"}
    for row in lifts.values():
        assert row["low"] <= 0 <= row["high"]
    levels = [row["estimate"] for row in estimates if row["variant"] == "base"]
    assert max(levels) - min(levels) < 0.12


def test_the_draws_that_sort_are_not_measured() -> None:
    rng = random.Random(1)
    estimates = break_down(
        [*sampled("base", "bins", rng), *sampled("base", "s", rng)], SETTINGS, ()
    )
    assert {row["decoding"] for row in estimates} == {"s"}


def test_bins_without_draws_to_sort_by_are_refused() -> None:
    with pytest.raises(RestemError, match="by difficulty"):
        break_down(BASE, SETTINGS, ())


def test_a_group_can_be_claimed() -> None:
    bins = rows("base", 0.5, iteration=0, decoding="bins", draws=8)
    bins = [row | {"correct": 8 * row["correct"]} for row in bins]
    easy = {"kind": "difficulty", "name": "easy"}
    tests = [{"plus": ["S/rest-em/last"], "minus": ["S/base"], "group": easy}]
    assert verdict([*bins, *rows("rest-em", 0.5)], tests=tests) == "supported"
    names = problems_by_group(bins, SETTINGS)
    assert len(names[("math", "test", "difficulty", "easy", "S")]) == 100


def binned(correct: int, variant: str = "base", model: str = "S") -> list[dict[str, Any]]:
    """Return the draws that sort 200 problems, all of them solved equally often."""
    sorts = rows(variant, 0, iteration=0, decoding="bins", draws=8, model=model)
    return [row | {"correct": correct} for row in sorts]


def of_bins(*names: str) -> list[dict[str, Any]]:
    return [
        {"plus": ["S/rest-em/last"], "minus": ["S/base"],
         "group": {"kind": "difficulty", "name": name}}
        for name in names
    ]  # fmt: skip


def test_a_bin_without_problems_is_left_out_and_said() -> None:
    results = [*BASE, *binned(8), *rows("rest-em", 0.5)]
    [outcome] = judge([claim(tests=of_bins("easy", "hard"))], results, SETTINGS)
    assert outcome.verdict == "supported"
    assert "no problem is hard for S" in worded(outcome, 0.95)
    [finding, left_out] = sorted(as_rows([outcome]), key=lambda row: row["estimate"] is None)
    assert finding["test"] == "supported"
    assert (left_out["test"], left_out["reason"]) == (None, "no problem is hard for S")


def test_bins_that_are_all_empty_or_were_never_sorted_leave_a_claim_untested() -> None:
    results = [*binned(8), *rows("rest-em", 0.5)]
    assert verdict(results, tests=of_bins("hard", "medium")) == "untested"
    of_another = [*binned(8, model="L"), *rows("rest-em", 0.5)]
    assert verdict(of_another, tests=of_bins("easy", "hard")) == "untested"


def test_a_bin_left_out_does_not_hide_a_result_that_is_missing() -> None:
    assert verdict(binned(8), tests=of_bins("hard", "easy")) == "untested"


def curve(variant: str, *solved: int) -> list[dict[str, Any]]:
    """Return results of 8 draws, of which the i-th problem solves so many, by turns."""
    results = rows(variant, 0, iteration=int(variant != "base"), decoding="s", draws=8)
    return [row | {"correct": solved[i % len(solved)]} for i, row in enumerate(results)]


def test_every_k_is_every_k_of_the_study() -> None:
    every = {"plus": ["S/rest-em/last"], "minus": ["S/base"], "k": "all"}
    stated = claim(quantity="pass", decoding="s", tests=[every]).at([1, 2, 4, 8])
    results = [*curve("base", 0, 4, 8), *curve("rest-em", 2, 6, 8)]
    [outcome] = judge([stated], results, SETTINGS)
    assert [finding.k for finding in outcome.findings] == [1, 2, 4, 8]
    larger = {**every, "k": [1], "less_k": "larger"}
    stated = claim(quantity="pass", decoding="s", tests=[larger]).at([1, 2, 4, 8])
    assert [(test.k, test.less_k) for test in stated.tests] == [([1], 2), ([1], 4), ([1], 8)]


def test_a_claim_on_votes_is_untested_where_the_study_counts_none() -> None:
    votes = {"plus": ["S/rest-em/last"], "minus": ["S/base"], "k": "largest"}
    stated = claim(quantity="maj", decoding="s", tests=[votes]).at([])
    [outcome] = judge([stated], [*curve("base", 0, 4), *curve("rest-em", 4, 8)], SETTINGS)
    assert outcome.verdict == "untested"
    assert "no k" in worded(outcome, 0.95)


@pytest.mark.parametrize(
    ("problems", "tests", "expected"),
    [(5, 1, "inconclusive"), (6, 1, "contradicted"), (6, 4, "inconclusive"),
     (7, 4, "inconclusive"), (8, 4, "contradicted"), (8, 20, "inconclusive")],
)  # fmt: skip
def test_several_tests_make_a_contradiction_harder_where_nothing_varies(
    problems: int, tests: int, expected: str
) -> None:
    """All of so many problems differ: of others, 1 - (0.025 / tests)^(1 / n) may not."""
    none, every = rows("base", 0.0, problems, 0), rows("rest-em", 1.0, problems)
    sides = {"plus": ["S/rest-em/last"], "minus": ["S/base"]}
    [outcome] = judge([claim(expect="below", tests=[sides] * tests)], [*none, *every], SETTINGS)
    assert outcome.verdict == expected
