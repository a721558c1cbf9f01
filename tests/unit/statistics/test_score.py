"""The score of an exam is points over points, with intervals like any other quantity."""

from collections.abc import Sequence
from typing import Any

import pytest

from restem.artifacts.schemas.estimates import LIFTS, SUMMARY
from restem.artifacts.tables import table
from restem.config.metrics import Metrics
from restem.statistics.evaluation import lifts, summarise

QUICK = Metrics(ks=(1,), resamples=400)
Row = dict[str, Any]


def exam(points: Sequence[float], of: Sequence[float], **address: Any) -> list[Row]:
    cell = {"task": "hungarian", "split": "test", "model": "S", "variant": "base", "seed": 0}
    cell |= {"iteration": 0, "decoding": "exam", "greedy": False, "halted": None, **address}
    return [
        cell | {"problem_id": f"p{i}", "draws": 1, "correct": int(got == full), "points": got}
        | {"of": full}
        for i, (got, full) in enumerate(zip(points, of, strict=True))
    ]  # fmt: skip


def score(rows: list[Row], **wanted: Any) -> Row:
    [estimate] = [
        row for row in summarise(rows, QUICK)
        if row["quantity"] == "score" and row["seed"] is wanted.get("seed")
    ]  # fmt: skip
    return estimate


def test_a_score_weighs_questions_by_their_points() -> None:
    estimate = score(exam([2, 0, 10], [2, 2, 16]))
    assert estimate["estimate"] == 0.6
    assert estimate["low"] < 0.6 < estimate["high"]


@pytest.mark.parametrize(("points", "expected"), [([4, 16], 1.0), ([0, 0], 0.0)])
def test_a_perfect_and_an_empty_exam_leave_room_but_stay_within_bounds(
    points: list[float], expected: float
) -> None:
    estimate = score(exam(points, [4, 16]))
    assert estimate["estimate"] == expected
    assert 0 <= estimate["low"] <= estimate["high"] <= 1
    assert estimate["high"] - estimate["low"] > 0.1


def test_an_interval_of_uneven_questions_stays_between_none_and_all() -> None:
    estimate = score(exam([1, 1, 1, 40], [1, 1, 1, 40.5]))
    assert 0 <= estimate["low"] <= estimate["estimate"] <= estimate["high"] <= 1


def test_equal_points_make_the_score_a_mean_of_shares() -> None:
    rows = exam([1, 3, 2], [4, 4, 4])
    halves = [row | {"draws": 4, "correct": int(row["points"])} for row in rows]
    [by_draws] = [
        row for row in summarise(halves, QUICK)
        if row["quantity"] == "pass@1" and row["seed"] is None
    ]  # fmt: skip
    by_points = score(rows)
    for name in ("estimate", "low", "high"):
        assert by_points[name] == pytest.approx(by_draws[name])


def test_full_marks_are_counted_beside_the_score() -> None:
    names = {row["quantity"] for row in summarise(exam([1, 2], [2, 2]), QUICK)}
    assert names == {"pass@1", "score"}
    names = {row["quantity"] for row in summarise(exam([1], [2], greedy=True), QUICK)}
    assert names == {"accuracy", "score"}


def test_what_a_verifier_judged_has_no_score() -> None:
    rows = [row | {"points": None, "of": None} for row in exam([1, 2], [2, 2])]
    assert {row["quantity"] for row in summarise(rows, QUICK)} == {"pass@1"}


def test_seeds_are_averaged_and_listed() -> None:
    trained: Any = {"variant": "rest-em", "iteration": 1}
    rows = exam([2, 0], [2, 2], **trained) + exam([2, 2], [2, 2], seed=1, **trained)
    assert score(rows)["estimate"] == 0.75
    by_seed = {row["seed"]: row["estimate"] for row in summarise(rows, QUICK)
               if row["quantity"] == "score"}  # fmt: skip
    assert by_seed == {None: 0.75, 0: 0.5, 1: 1.0}


def test_a_lift_is_the_difference_of_two_scores() -> None:
    rows = exam([1, 8], [4, 16]) + exam([3, 12], [4, 16], variant="rest-em", iteration=1)
    [lift] = [row for row in lifts(rows, QUICK, ()) if row["quantity"] == "score"]
    assert lift["estimate"] == pytest.approx(0.3)
    assert lift["low"] <= 0.3 <= lift["high"]
    table(SUMMARY, summarise(rows, QUICK))
    table(LIFTS, lifts(rows, QUICK, ()))


@pytest.mark.parametrize("ungraded", ["base", "rest-em"])
def test_of_policies_that_were_not_both_graded_there_is_no_lift_of_scores(ungraded: str) -> None:
    rows = exam([1, 8], [4, 16]) + exam([3, 12], [4, 16], variant="rest-em", iteration=1)
    no_points = {"points": None, "of": None}
    rows = [row | no_points if row["variant"] == ungraded else row for row in rows]
    assert {row["quantity"] for row in lifts(rows, QUICK, ())} == {"pass@1"}
