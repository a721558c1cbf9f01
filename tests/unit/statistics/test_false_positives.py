"""Rates of false positives: counts close, clusters widen, and nothing is certain at 0 or 1."""

from typing import Any

import pytest

from restem.config.metrics import Metrics
from restem.pages.false_positives import markdown
from restem.statistics.false_positives import estimate_rates, rate, wilson

ADDRESS = {"task": "math", "model": "S", "variant": "star", "iteration": 1}


def row(problem: int, outcome: str = "accepted", **more: Any) -> dict[str, Any]:
    return {
        "problem_id": f"p{problem}", "check": "second grader", "origin": "first try", "kept": 40,
        "verdict": "correct", "outcome": outcome, **more,
    }  # fmt: skip


def estimated(*parts: tuple[int, list[dict[str, Any]]], **more: Any) -> list[dict[str, Any]]:
    return estimate_rates(
        [({**ADDRESS, "seed": seed, **more}, rows) for seed, rows in parts], Metrics()
    )


def test_wilson_is_what_the_tables_say() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), method 3: 81 of 263, 15 of 148, 0 of 20.
    for share, n, expected in (
        (81 / 263, 263, (0.2553, 0.3662)),
        (15 / 148, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
    ):
        assert wilson(share, n, 0.95) == pytest.approx(expected, abs=5e-5)


def test_undecided_ones_count_neither_way() -> None:
    rows = [row(0), row(1, "rejected"), row(2, "undecided"), row(3, "undecided")]
    estimate = rate(rows, 0.95)
    assert (estimate["checked"], estimate["undecided"], estimate["rejected"]) == (4, 2, 1)
    assert estimate["estimate"] == 0.5
    assert estimate == rate(rows[:2], 0.95) | {"checked": 4, "undecided": 2}


def test_where_nothing_was_decided_there_is_no_rate() -> None:
    estimate = rate([row(0, "undecided")], 0.95)
    assert (estimate["estimate"], estimate["low"], estimate["high"]) == (None, None, None)
    assert estimate["problems"] == 0


def test_no_rejection_is_no_certainty() -> None:
    estimate = rate([row(i) for i in range(20)], 0.95)
    assert estimate["estimate"] == estimate["low"] == 0
    assert estimate["high"] == pytest.approx(0.1611, abs=5e-5)


def test_solutions_of_one_problem_count_as_one() -> None:
    many = rate([row(i) for i in range(5) for _ in range(8)], 0.95)
    few = rate([row(i) for i in range(5)], 0.95)
    assert many["high"] == few["high"]
    uneven = rate([row(0)] * 9 + [row(1)], 0.95)
    assert few["high"] < uneven["high"] < rate([row(0)], 0.95)["high"]


def test_seeds_are_added_up_and_shown_apart() -> None:
    rows = estimated((0, [row(0), row(1, "rejected")]), (1, [row(2), row(3)]))
    assert [r["seed"] for r in rows] == [None, 0, 1]
    assert [r["seeds"] for r in rows] == [2, 1, 1]
    assert [r["estimate"] for r in rows] == [0.25, 0.5, 0.0]
    assert [r["kept"] for r in rows] == [80, 40, 40]


def test_first_tries_and_rationalised_ones_stay_apart() -> None:
    hinted = [row(9, "rejected", origin="rationalised", kept=3)]
    rows = [r for r in estimated((0, [row(0), *hinted])) if r["seed"] is None]
    assert {r["origin"]: (r["estimate"], r["kept"]) for r in rows} == {
        "first try": (0.0, 40),
        "rationalised": (1.0, 3),
    }


def test_what_the_verifier_had_refused_is_known() -> None:
    estimate = rate([row(0, "rejected"), row(1, "rejected", verdict="incorrect"), row(2)], 0.95)
    assert (estimate["rejected"], estimate["known"]) == (2, 1)


def test_nothing_kept_is_no_row_and_a_page_that_says_so() -> None:
    assert estimated((0, [])) == []
    assert "No solution of a model was kept" in markdown([], "embedded model", 0.95, {})


def test_the_page_has_a_line_a_policy_and_origin_and_a_table_a_check() -> None:
    rows = [row(0), row(1, "rejected"), row(0, "undecided", check="equations")]
    page = markdown(estimated((0, rows), (1, rows)), "n", 0.95, {"apps": "all tests decide"})
    assert "Not checked: task apps; all tests decide." in page
    lines = [line for line in page.splitlines() if line.startswith("| math")]
    assert len(lines) == 2
    assert lines[0].endswith("| first try | 80 | 2 | 2 | 0 | 0 | – |")
    assert "| first try | 80 | 4 | 0 | 2 | 0 | 50.0 [" in lines[1]
    assert page.index("## equations") < page.index("## second grader")
