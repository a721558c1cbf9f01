"""Policies of two studies are paired by problem only where that is right, and by seed never."""

from typing import Any

import numpy as np
import pytest

from restem.config.metrics import Metrics
from restem.statistics.comparison import HALTED, IDENTICAL, PAIRED, UNPAIRED, Comparison, Pair
from restem.statistics.evaluation import Measured, lifts

SETTINGS = Metrics(ks=(1,), resamples=400)
PROBLEMS = 200
SEEDS = 3


def measured(gain: float, variant: str = "rest-em", seeds: int = SEEDS, **more: Any) -> Measured:
    """Return a policy whose problems differ in difficulty, as they do for all policies."""
    address = {"task": "sums", "split": "test", "model": "S", "variant": variant}
    address |= {"iteration": 1, "decoding": "greedy"}
    hard = np.random.default_rng(1).normal(0, 9, PROBLEMS)
    policy = Measured(address, greedy=True, **more)
    for seed in range(seeds):
        rng = np.random.default_rng([seed, round(100 * abs(gain))])
        right = rng.random(PROBLEMS) < 1 / (1 + np.exp(hard - gain - 0.5 * seed))
        policy.counts[seed] = {f"p{i}": (1, int(right[i])) for i in range(PROBLEMS)}
    return policy


def compared(first: Measured, second: Measured, common: Any = None, **same: bool) -> dict[str, Any]:
    common = first.problems if common is None else common
    (row,) = Comparison(SETTINGS).rows(Pair(first, second, common, **same))
    return row


def width(row: dict[str, Any]) -> float:
    return float(row["high"] - row["low"])


def test_a_difference_is_second_minus_first() -> None:
    row = compared(measured(0.0), measured(1.0))
    assert row["estimate"] == pytest.approx(row["second"] - row["first"]) and row["estimate"] > 0
    assert row["low"] < row["estimate"] < row["high"]


def test_a_paired_difference_is_the_lift_within_one_study() -> None:
    first, second = measured(0.0, "sft"), measured(1.0)
    rows = [
        policy.address | {
            "seed": seed, "problem_id": name, "draws": 1, "correct": correct, "greedy": True,
            "halted": None,
        }
        for policy in (first, second)
        for seed, counts in policy.counts.items()
        for name, (_, correct) in counts.items()
    ]  # fmt: skip
    lift = next(r for r in lifts(rows, SETTINGS, ["sft"]) if r["variant"] == "rest-em")
    row = compared(first, second)
    assert row["method"] == PAIRED
    assert {n: row[n] for n in ("estimate", "low", "high")} == pytest.approx(
        {n: lift[n] for n in ("estimate", "low", "high")}
    )


def test_other_problems_of_the_same_name_are_resampled_independently() -> None:
    first, second = measured(0.0, seeds=1), measured(0.1, seeds=1)
    paired, unpaired = compared(first, second), compared(first, second, common=())
    assert unpaired["method"] == UNPAIRED and unpaired["problems"] == (PROBLEMS, PROBLEMS)
    # With independent resamples the variances add up, and pairing saves most of them here.
    assert width(unpaired) > 1.3 * width(paired)
    again = compared(first, first, common=())
    assert width(again) == pytest.approx(np.sqrt(2) * 2 * 1.96 * 0.5 / np.sqrt(PROBLEMS), rel=0.15)


def test_equal_names_are_other_trainings_unless_the_weights_are_the_same() -> None:
    first, second = measured(0.0), measured(0.0)
    # The same results of each seed: as the same trainings they do not vary between seeds.
    other, same = compared(first, second), compared(first, second, same_weights=True)
    assert width(other) > 0.1
    assert width(same) < 0.2 * width(other)  # what is left bounds problems not seen


def test_few_common_problems_are_not_compared_alone() -> None:
    first, second = measured(0.0), measured(1.0)
    half = first.problems[: PROBLEMS // 2]
    assert compared(first, second, half)["problems"] == (PROBLEMS // 2,) * 2
    assert compared(first, second, half[1:])["method"] == UNPAIRED


def test_the_same_evaluation_differs_by_nothing_and_has_no_interval() -> None:
    row = compared(measured(0.0), measured(0.0), same_weights=True, same_evaluation=True)
    assert (row["estimate"], row["low"], row["high"]) == (0.0, None, None)
    assert row["method"] == IDENTICAL


def test_a_halted_side_has_no_difference_but_a_reason() -> None:
    halted = measured(0.0, seeds=0, halted={0: "nothing was correct"})
    row = compared(measured(0.0), halted, ())
    assert row["estimate"] is None
    assert row["method"] == f"{HALTED}: nothing was correct"
    assert compared(halted, halted, (), same_evaluation=True)["method"] == IDENTICAL
