"""Claims on groups: the average over tasks, no task that degrades, and which bins gain most."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from restem.config.claims import Claim
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.claims import effects, judge
from restem.statistics.groups import break_down
from restem.statistics.verdicts import Outcome, as_rows, worded

SETTINGS = Metrics(ks=(1,), resamples=600, difficulty="bins")
Right = dict[str, tuple[int, int]]


def rows(variant: str, right: Right, **more: Any) -> list[dict[str, Any]]:
    """Return results with so many right of so many problems by subject; policies have 3 seeds."""
    return [
        {
            "task": "bbh", "split": "test", "model": "L", "variant": variant, "seed": seed,
            "iteration": int(variant != "base"), "decoding": "greedy", "subject": subject,
            "problem_id": f"{subject}-{i}", "level": None, "draws": 1, "correct": int(i < count),
            "halted": None, "greedy": True, **more,
        }
        for seed in range(1 if variant == "base" else 3)
        for subject, (count, n) in right.items()
        for i in range(n)
    ]  # fmt: skip


def outcome(result: list[dict[str, Any]], name: str, **changes: Any) -> Outcome:
    group = {"kind": "subject", "name": name}
    claim = Claim.model_validate(
        {"id": "X", "says": "It is better.", "where": "here", "task": "bbh"}
        | {"tests": [{"plus": ["L/rest-em/last"], "minus": ["L/base"], "group": group}]}
        | changes
    )
    [judged] = judge([claim], result, SETTINGS)
    return judged


BASE = rows("base", {"small": (10, 20), "large": (90, 180)})


def test_the_average_over_tasks_counts_a_small_task_like_a_large_one() -> None:
    """A gain of 50 points on 20 problems, a loss of 20 on 180: +15 by task, -13 by problem."""
    result = [*BASE, *rows("rest-em", {"small": (20, 20), "large": (54, 180)})]
    averaged = outcome(result, "mean")
    assert averaged.verdict == "supported"
    [finding] = averaged.findings
    assert finding.estimate == pytest.approx((0.5 - 0.2) / 2)
    assert finding.problems == 200
    over_problems = outcome(
        result, "mean", tests=[{"plus": ["L/rest-em/last"], "minus": ["L/base"]}]
    )
    assert over_problems.verdict == "contradicted"


def test_the_average_is_the_one_of_the_breakdown() -> None:
    result = [*BASE, *rows("rest-em", {"small": (12, 20), "large": (100, 180)})]
    settings = SETTINGS.model_copy(update={"breakdowns": ("subject",)})
    [lift] = [
        row for row in break_down(result, settings, ())
        if row["group"] == "mean" and row["reference"] == "base"
    ]  # fmt: skip
    [finding] = outcome(result, "mean").findings
    ends = ("estimate", "low", "high")
    assert [getattr(finding, end) for end in ends] == pytest.approx([lift[end] for end in ends])


def test_one_task_that_degrades_is_not_hidden_by_the_average() -> None:
    result = [*BASE, *rows("rest-em", {"small": (2, 20), "large": (170, 180)})]
    assert outcome(result, "mean", margin=-0.03).verdict == "inconclusive"
    each = outcome(result, "each", margin=-0.1)
    assert each.verdict == "contradicted"
    tests = {finding.contrast: finding.verdict for finding in each.findings}
    assert tests == {
        "L/rest-em/last - L/base (subject large)": "supported",
        "L/rest-em/last - L/base (subject small)": "contradicted",
    }
    assert len(as_rows([each])) == 2
    assert "(subject small)" in worded(each, 0.95)


def test_no_task_degrades_if_every_interval_lies_above_the_margin() -> None:
    kept = rows("rest-em", {"small": (10, 20), "large": (90, 180)})
    assert outcome([*BASE, *kept], "each", margin=-0.3).verdict == "supported"
    assert outcome([*BASE, *kept], "each", margin=-0.1).verdict == "inconclusive"  # 20 problems


def many_tasks(seed: int) -> list[dict[str, Any]]:
    """23 tasks on which base and policy are equally good, with the luck of one seed."""
    rng = random.Random(seed)
    subjects = [f"task-{i}" for i in range(23)]
    return [
        row | {"correct": int(rng.random() < 0.5)}
        for variant in ("base", "rest-em")
        for row in rows(variant, dict.fromkeys(subjects, (0, 30)))
    ]


def test_many_tasks_do_not_make_a_degradation_of_chance() -> None:
    """At 95 % by itself, one of 23 tasks looks degraded in nearly half of all studies."""
    alone, together = 0, 0
    for seed in range(20):
        judged = outcome(many_tasks(seed), "each")
        alone += any(finding.high < 0 for finding in judged.findings)
        together += judged.verdict == "contradicted"
    assert alone >= 4
    assert together <= 2


def test_a_claim_on_groups_of_a_task_without_results_is_untested() -> None:
    assert outcome(rows("base", {"": (1, 2)}, task="other"), "each").verdict == "untested"


@pytest.mark.parametrize("name", ["mean", "each"])
def test_a_subject_that_is_called_like_all_of_them_is_refused(name: str) -> None:
    settings = SETTINGS.model_copy(update={"breakdowns": ("subject",)})
    with pytest.raises(RestemError, match="stands for all of them"):
        break_down(rows("base", {name: (1, 2), "other": (1, 2)}), settings, ())


# ---- bins of difficulty ----


def sorted_by(medium: tuple[int, int], easy: tuple[int, int]) -> list[dict[str, Any]]:
    """Base and policy on 60 medium and 60 easy problems, with so many right in each bin."""
    bins = rows("base", {"": (120, 120)}, decoding="bins", draws=4, greedy=False)
    sorting = [row | {"correct": 2 if i < 60 else 4} for i, row in enumerate(bins)]
    measured = []
    for place, variant in enumerate(("base", "rest-em")):
        for row in rows(variant, {"": (0, 120)}):
            number = int(row["problem_id"].rpartition("-")[2])
            right = number < medium[place] or 60 <= number < 60 + easy[place]
            measured.append(row | {"correct": int(right)})
    return [*sorting, *measured]


LARGER = [
    {"plus": ["L/rest-em/last"], "minus": ["L/base"], "less_group": "easy"}
    | {"group": {"kind": "difficulty", "name": "medium"}}
]


def test_a_bin_that_gains_more_than_another_is_found() -> None:
    more = outcome(sorted_by((30, 55), (50, 52)), "", tests=LARGER)
    assert more.verdict == "supported"
    [finding] = more.findings
    assert finding.estimate == pytest.approx(25 / 60 - 2 / 60)
    assert finding.contrast.endswith("(difficulty medium less that of easy)")
    assert outcome(sorted_by((30, 45), (30, 45)), "", tests=LARGER).verdict == "inconclusive"
    assert outcome(sorted_by((50, 52), (30, 55)), "", tests=LARGER).verdict == "contradicted"


def test_a_comparison_with_an_empty_bin_is_left_out() -> None:
    tests = [LARGER[0] | {"less_group": "hard"}, LARGER[0]]
    judged = outcome(sorted_by((30, 55), (50, 52)), "", tests=tests)
    assert judged.verdict == "supported"
    assert [left_out.why for left_out in judged.left_out] == ["no problem is hard for L"]


@pytest.mark.parametrize(
    "change", [{"group": None}, {"less_group": "each"}, {"less_k": 2}], ids=lambda c: next(iter(c))
)
def test_two_groups_are_compared_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="less_group"):
        outcome([], "", tests=[LARGER[0] | change], quantity="pass", decoding="bins")


def test_a_forecast_of_power_knows_every_group() -> None:
    result = [*BASE, *rows("rest-em", {"small": (12, 20), "large": (100, 180)})]
    group = {"kind": "subject", "name": "each"}
    claim = Claim.model_validate(
        {"id": "X", "says": "So.", "where": "here", "task": "bbh"}
        | {"tests": [{"plus": ["L/rest-em/last"], "minus": ["L/base"], "group": group}]}
    )
    assert [name for _, name, _ in effects([claim], result, SETTINGS)] == [
        "L/rest-em/last - L/base (subject large)",
        "L/rest-em/last - L/base (subject small)",
    ]


# ---- an exam ----

EXAM = [{"plus": ["L/rest-em/last"], "minus": ["L/base"]}]


def test_an_exam_is_tested_on_the_points_that_a_human_gave() -> None:
    def sat(variant: str, points: float) -> list[dict[str, Any]]:
        more = {"decoding": "exam", "greedy": False, "points": points, "of": 4.0}
        return rows(variant, {"": (0, 33)}, **more)

    judged = outcome([*sat("base", 1.0), *sat("rest-em", 3.0)], "", tests=EXAM, quantity="score",
                     decoding="exam")  # fmt: skip
    assert judged.verdict == "supported"
    assert judged.findings[0].estimate == pytest.approx(0.5)


def test_an_exam_with_a_verifier_is_tested_on_right_answers() -> None:
    more: dict[str, Any] = {"decoding": "exam", "greedy": False}
    result = [*rows("base", {"": (5, 33)}, **more), *rows("rest-em", {"": (30, 33)}, **more)]
    judged = outcome(result, "", tests=EXAM, quantity="score", decoding="exam")
    assert judged.findings[0].estimate == pytest.approx(25 / 33)
    ungraded = outcome(
        rows("base", {"": (1, 3)}), "", tests=EXAM, quantity="score", decoding="exam"
    )
    assert ungraded.verdict == "untested"


def test_a_claim_on_a_score_names_its_decoding() -> None:
    with pytest.raises(ValidationError, match="name the sampled decoding that score is of"):
        outcome([], "", tests=EXAM, quantity="score")
