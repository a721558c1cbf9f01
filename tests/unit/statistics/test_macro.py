"""The macro average counts every group alike, and its interval is that of the groups together."""

from typing import Any

import numpy as np
import pytest

from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.groups import MEAN, break_down

SETTINGS = Metrics(ks=(1,), resamples=2000, breakdowns=("subject",))


def rows(
    variant: str, right: dict[str, tuple[int, int]], seeds: int = 1, iteration: int = 1, **more: Any
) -> list[dict[str, Any]]:
    """Return results with so many right of so many problems, by subject."""
    return [
        {
            "task": "bbh", "split": "test", "model": "S", "variant": variant, "seed": seed,
            "iteration": iteration, "decoding": "greedy", "problem_id": f"{subject}-{i}",
            "subject": subject, "level": None, "draws": 1, "correct": int(i < count),
            "halted": None, "greedy": True, **more,
        }
        for seed in range(seeds)
        for subject, (count, n) in right.items()
        for i in range(n)
    ]  # fmt: skip


def halted(variant: str) -> list[dict[str, Any]]:
    [row] = rows(variant, {"": (0, 1)}, halted="ran dry", problem_id="", draws=0)
    return [row]


def means(
    estimates: list[dict[str, Any]], reference: str | None = None
) -> dict[str, dict[str, Any]]:
    return {
        row["variant"]: row
        for row in estimates
        if (row["group"], row["reference"], row["seed"]) == (MEAN, reference, None)
    }


UNEVEN = {"snarks": (1, 2), "navigate": (9, 90)}


def test_every_group_counts_alike_however_large_it_is() -> None:
    estimates = break_down(rows("base", UNEVEN, iteration=0), SETTINGS, ())
    mean = means(estimates)["base"]
    assert mean["estimate"] == pytest.approx((0.5 + 0.1) / 2)
    assert mean["problems"] == 92
    assert mean["kind"] == "subject"
    single = {row["group"]: row["estimate"] for row in estimates if row["group"] != MEAN}
    assert single == {"snarks": 0.5, "navigate": 0.1}


def test_every_seed_has_its_own_estimate_in_every_group() -> None:
    more = {"snarks": (2, 2), "navigate": (9, 90)}
    both = [row for row in rows("rest-em", UNEVEN, seeds=2) if row["seed"] == 0]
    both += [row for row in rows("rest-em", more, seeds=2) if row["seed"] == 1]
    estimates = {
        (row["group"], row["seed"]): row["estimate"] for row in break_down(both, SETTINGS, ())
    }
    assert (estimates["snarks", 0], estimates["snarks", 1]) == (0.5, 1.0)
    assert estimates["snarks", None] == pytest.approx(0.75)
    assert estimates[MEAN, 0] == pytest.approx(0.3)
    assert estimates[MEAN, 1] == pytest.approx(0.55)


def test_a_lift_is_the_mean_of_the_groups_lifts() -> None:
    better = {"snarks": (2, 2), "navigate": (18, 90)}
    estimates = break_down(
        [*rows("base", UNEVEN, iteration=0), *rows("rest-em", better)], SETTINGS, ()
    )
    lift = means(estimates, "base")["rest-em"]
    assert lift["estimate"] == pytest.approx((0.5 + 0.1) / 2)
    assert lift["low"] <= lift["estimate"] <= lift["high"]


def test_the_interval_has_the_spread_of_the_groups_together() -> None:
    sizes = {"a": (20, 50), "b": (100, 200), "c": (5, 20)}
    mean = means(break_down(rows("base", sizes, iteration=0), SETTINGS, ()))["base"]
    variance = sum(c / n * (1 - c / n) / n for c, n in sizes.values()) / len(sizes) ** 2
    width = 2 * 1.96 * np.sqrt(variance)
    assert mean["high"] - mean["low"] == pytest.approx(width, rel=0.1)


def test_groups_in_which_nothing_varies_leave_room_for_what_was_not_seen() -> None:
    mean = means(break_down(rows("base", {"a": (5, 5), "b": (9, 9)}, iteration=0), SETTINGS, ()))
    assert mean["base"]["estimate"] == mean["base"]["high"] == 1.0
    assert mean["base"]["low"] == pytest.approx(0.025 ** (1 / 10))  # 5 problems in each of 2 groups


def test_paired_differences_are_sharper_than_the_two_sides() -> None:
    sizes = {"a": (20, 50), "b": (25, 50)}
    estimates = break_down(
        [*rows("base", sizes, iteration=0), *rows("rest-em", sizes)], SETTINGS, ()
    )
    lift, mean = means(estimates, "base")["rest-em"], means(estimates)["rest-em"]
    assert lift["estimate"] == 0
    assert lift["high"] - lift["low"] < mean["high"] - mean["low"]


def test_one_group_has_no_mean_beside_it() -> None:
    assert means(break_down(rows("base", {"a": (1, 4)}, iteration=0), SETTINGS, ())) == {}


def test_other_kinds_of_groups_have_no_mean() -> None:
    levels = SETTINGS.model_copy(update={"breakdowns": ("level",)})
    both = [
        *rows("base", {"a": (1, 4)}, 1, 0, level=1),
        *rows("base", {"b": (1, 4)}, 1, 0, level=2),
    ]
    assert means(break_down(both, levels, ())) == {}


def test_a_halted_policy_has_no_mean_and_does_not_disturb_the_others() -> None:
    estimates = break_down([*rows("base", UNEVEN, iteration=0), *halted("rest-em")], SETTINGS, ())
    assert means(estimates)["base"]["estimate"] == pytest.approx(0.3)
    assert means(estimates)["rest-em"]["estimate"] is None
    assert means(estimates, "base")["rest-em"]["estimate"] is None


def test_a_policy_without_results_in_a_group_has_no_mean() -> None:
    half = {"snarks": (1, 2)}
    estimates = break_down(
        [*rows("base", UNEVEN, iteration=0), *rows("rest-em", half)], SETTINGS, ()
    )
    assert means(estimates)["rest-em"]["estimate"] is None
    assert means(estimates)["base"]["estimate"] is not None


def test_a_subject_called_like_the_mean_is_refused() -> None:
    with pytest.raises(RestemError, match="called 'mean'"):
        break_down(rows("base", {"mean": (1, 2), "b": (1, 2)}, iteration=0), SETTINGS, ())


def test_seeds_widen_the_interval_by_their_own_spread() -> None:
    sizes = {"a": (25, 50), "b": (25, 50)}
    alike = rows("rest-em", sizes, seeds=2)
    apart = [
        {**row, "correct": int(row["seed"] == 0)} if row["problem_id"].endswith("7") else row
        for row in alike
    ]
    widths = [
        (mean := means(break_down(result, SETTINGS, ()))["rest-em"])["high"] - mean["low"]
        for result in (alike, apart)
    ]
    assert widths[1] > widths[0]


def test_the_mean_of_points_that_a_human_gave_is_one_of_points() -> None:
    points = {"a": [6, 6], "b": [4, 4, 4]}
    graded = [
        row | {"points": points[row["subject"]][int(row["problem_id"][-1])], "of": 10.0}
        for row in rows("base", {"a": (0, 2), "b": (0, 3)}, iteration=0)
    ]
    estimates = break_down(graded, SETTINGS, ())
    by_quantity = {r["quantity"]: r["estimate"] for r in estimates if r["group"] == MEAN}
    assert by_quantity == {"accuracy": 0.0, "score": pytest.approx(0.5)}
    better = [
        row | {"variant": "rest-em", "iteration": 1, "points": row["points"] + 2} for row in graded
    ]
    [lift] = [
        row
        for row in break_down([*graded, *better], SETTINGS, ())
        if row["group"] == MEAN and row["reference"] == "base" and row["quantity"] == "score"
    ]
    assert lift["estimate"] == pytest.approx(0.2)


def test_the_mean_of_points_weighs_the_questions_of_a_group_by_their_points() -> None:
    of = {"a": [2, 18], "b": [10, 10]}
    graded = [
        row
        | {"points": (place := int(row["problem_id"][-1])) * 1.0 * of[row["subject"]][place]}
        | {"of": float(of[row["subject"]][place])}
        for row in rows("base", {"a": (0, 2), "b": (0, 2)}, iteration=0)
    ]
    [mean] = [
        row for row in break_down(graded, SETTINGS, ())
        if row["group"] == MEAN and row["quantity"] == "score" and row["seed"] is None
    ]  # fmt: skip
    assert mean["estimate"] == pytest.approx((0.9 + 0.5) / 2)
