"""Claims on false positives get the verdict that follows from the rates and their intervals."""

import math
import random
from typing import Any

import pytest
from pydantic import ValidationError

from restem.config.claims import Claim
from restem.config.metrics import Metrics
from restem.statistics.false_positives import judge_rates, wilson
from restem.statistics.verdicts import worded

SETTINGS = Metrics(ks=(1,))
SIDES = {"plus": ["L/star/last@rationalised"], "minus": ["L/star/last@first-try"]}


def rate(origin: str, rejected: int, n: int = 200, **more: Any) -> dict[str, Any]:
    low, high = wilson(rejected / n, n, SETTINGS.confidence)
    return {
        "task": "math", "model": "L", "variant": "star", "iteration": 1, "seed": None, "seeds": 3,
        "check": "equations", "origin": origin, "problems": n, "estimate": rejected / n,
        "low": low, "high": high, **more,
    }  # fmt: skip


def claim(**changes: Any) -> Claim:
    about = {"id": "N3", "says": "More are wrong.", "where": "here", "task": "math"}
    kind = {"quantity": "false_positives", "check": "equations", "tests": [SIDES]}
    return Claim.model_validate({**about, **kind, **changes})


def verdict(*rates: dict[str, Any], **changes: Any) -> str:
    outcome = judge_rates(claim(**changes), rates, SETTINGS)
    return outcome.verdict


@pytest.mark.parametrize(
    ("rationalised", "first", "expect", "expected"),
    [
        (60, 20, "above", "supported"),
        (20, 60, "above", "contradicted"),
        (22, 20, "above", "inconclusive"),
        (20, 60, "below", "supported"),
        (0, 0, "above", "inconclusive"),
        (0, 200, "below", "supported"),
    ],
)
def test_a_verdict_follows_the_interval_of_the_difference(
    rationalised: int, first: int, expect: str, expected: str
) -> None:
    rates = rate("rationalised", rationalised), rate("first try", first)
    assert verdict(*rates, expect=expect) == expected


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), table II: 56/70 - 48/80, method 10: 0.0524 to 0.3339.
    rates = [rate("rationalised", 56, 70), rate("first try", 48, 80)]
    outcome = judge_rates(claim(), rates, SETTINGS)
    [finding] = outcome.findings
    assert (round(finding.low, 4), round(finding.high, 4)) == (0.0524, 0.3339)
    assert math.isclose(finding.estimate, 0.2)
    assert finding.problems == 70


@pytest.mark.parametrize(
    "rates",
    [
        [],
        [rate("first try", 5)],
        [rate("first try", 5), rate("rationalised", 5, check="second grader")],
        [rate("first try", 5), rate("rationalised", 5, seed=0)],
        [rate("first try", 5), rate("rationalised", 5, estimate=None)],
    ],
)
def test_without_a_rate_of_each_side_a_claim_is_untested(rates: list[dict[str, Any]]) -> None:
    outcome = judge_rates(claim(), rates, SETTINGS)
    assert outcome.verdict == "untested"
    assert "L/star/last@rationalised by equations" in worded(outcome, 0.95)


def test_last_is_the_last_iteration_that_was_checked() -> None:
    early = rate("rationalised", 0), rate("first try", 100)
    late = rate("rationalised", 100, iteration=3), rate("first try", 0, iteration=3)
    assert verdict(*early, *late) == "supported"


def test_one_training_decides_nothing_about_a_method() -> None:
    rates = [rate("rationalised", 150, seeds=1), rate("first try", 0, seeds=1)]
    assert verdict(*rates) == "inconclusive"


def test_rates_that_differ_between_trainings_widen_the_interval() -> None:
    def by_seed(origin: str, *rejected: int) -> list[dict[str, Any]]:
        return [rate(origin, count, seed=seed) for seed, count in enumerate(rejected)]

    whole = [rate("rationalised", 180, 600), rate("first try", 90, 600)]
    alike = [*by_seed("rationalised", 60, 60, 60), *by_seed("first try", 30, 30, 30)]
    apart = [*by_seed("rationalised", 20, 60, 100), *by_seed("first try", 30, 30, 30)]
    assert verdict(*whole, *alike) == "supported"
    assert verdict(*whole, *apart) == "inconclusive"


def test_many_tests_make_a_contradiction_harder() -> None:
    rates = rate("rationalised", 20), rate("first try", 37)
    assert verdict(*rates) == "contradicted"
    assert verdict(*rates, tests=[SIDES] * 9) == "inconclusive"


MATCHED = {
    "plus": ["L/star/all@rationalised"],
    "minus": ["L/rest-em/all@first-try"],
    "same_problems": True,
}


def recheck(variant: str, origin: str, share: float, problems: range, iteration: int = 1) -> Any:
    """Return rechecks of three seeds: solutions of these problems, of which a share is wrong."""
    rechecked = []
    for seed in range(3):
        rng = random.Random(f"{variant} {seed} {iteration}")
        rows = [
            {"problem_id": f"p{i}", "origin": origin, "check": "equations"}
            | {"outcome": "rejected" if rng.random() < share * hardness(i) else "accepted"}
            for i in problems
        ]
        address = {"task": "math", "model": "L", "variant": variant, "iteration": iteration}
        rechecked.append((address | {"seed": seed}, rows))
    return rechecked


def hardness(i: int) -> float:
    """Solutions of the second half of the problems go wrong four times as often."""
    return 2.0 if i >= 100 else 0.5


def matched(*rechecks: Any, **changes: Any) -> Any:
    stated = claim(tests=[MATCHED | changes])
    return judge_rates(stated, [], SETTINGS, [item for group in rechecks for item in group])


def test_harder_problems_alone_are_no_effect_of_rationalisation() -> None:
    """Rationalised are the hard problems; solutions of the same problems are as often wrong."""
    hard = recheck("star", "rationalised", 0.3, range(100, 200))
    both = recheck("rest-em", "first try", 0.3, range(200))
    outcome = matched(hard, both)
    assert outcome.verdict == "inconclusive"
    [finding] = outcome.findings
    assert abs(finding.estimate) < 0.1
    assert (finding.problems, finding.seeds) == (100, 3)


def test_what_rationalisation_adds_on_the_same_problems_is_found() -> None:
    hard = recheck("star", "rationalised", 0.45, range(100, 200))
    both = recheck("rest-em", "first try", 0.1, range(200))
    assert matched(hard, both).verdict == "supported"


def test_all_iterations_count() -> None:
    early = recheck("star", "rationalised", 0.3, range(100), iteration=1)
    late = recheck("star", "rationalised", 0.3, range(100, 150), iteration=2)
    both = recheck("rest-em", "first try", 0.3, range(200))
    [finding] = matched(early, late, both).findings
    assert finding.problems == 150
    one = {"plus": ["L/star/1@rationalised"]}
    assert matched(early, late, both, **one).findings[0].problems == 100


def test_without_problems_in_common_a_claim_is_untested() -> None:
    hard = recheck("star", "rationalised", 0.3, range(100, 200))
    easy = recheck("rest-em", "first try", 0.3, range(100))
    outcome = matched(hard, easy)
    assert outcome.verdict == "untested"
    assert "no problem" in worded(outcome, 0.95)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"check": None}, "name what rejects"),
        ({"quantity": "accuracy"}, "name what rejects"),
        ({"quantity": "accuracy", "check": None}, "@first-try or @rationalised"),
        ({"tests": [{"plus": ["L/star/last"]}]}, "@first-try or @rationalised"),
        ({"tests": [{"plus": ["L/base@first-try"]}]}, "a base model"),
        ({"tests": [{**SIDES, "k": [2]}]}, "no k and no groups"),
        ({"tests": [{**SIDES, "same_problems": True, "minus": []}]}, "same_problems: name both"),
        ({"split": "train"}, "of what policies are trained on"),
        ({"decoding": "nucleus"}, "of what policies are trained on"),
    ],
)
def test_a_claim_that_no_rate_could_answer_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(**changes)


@pytest.mark.parametrize(
    ("problems", "tests", "expected"),
    [(5, 1, "inconclusive"), (6, 1, "contradicted"), (6, 4, "inconclusive"),
     (8, 4, "contradicted")],
)  # fmt: skip
def test_several_tests_on_the_same_problems_count_where_nothing_varies(
    problems: int, tests: int, expected: str
) -> None:
    wrong = recheck("star", "rationalised", 100.0, range(problems))
    right = recheck("rest-em", "first try", 0.0, range(problems))
    stated = claim(tests=[MATCHED] * tests, expect="below")
    assert judge_rates(stated, [], SETTINGS, [*wrong, *right]).verdict == expected
