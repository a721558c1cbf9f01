"""Test claims on false positives: contrasts of the rates that the audit has estimated.

The interval of a contrast is recovered from those of its rates: on each side, the root of the sum
of their squared distances from the estimates (MOVER, Zou & Donner 2008; for two rates this is
method 10 of Newcombe 1998). It takes the rates to be independent, which different solutions are.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

from restem.config.claims import Claim, Contrast
from restem.config.metrics import Metrics
from restem.statistics.evaluation import Row
from restem.statistics.verdicts import (
    Finding,
    Interval,
    Missing,
    Outcome,
    conclude,
    contrast,
    verdict,
)


def judge_rates(claim: Claim, audit: Sequence[Row], settings: Metrics) -> Outcome:
    """Test a claim on the audit's rows; untested where a rate is not there."""
    return conclude(claim, lambda: _findings(claim, audit, settings))


def _findings(claim: Claim, audit: Sequence[Row], settings: Metrics) -> Iterator[Finding]:
    for test in claim.tests:
        terms = [(1.0, _rate(claim, test, side, audit)) for side in test.plus]
        terms += [(-1.0, _rate(claim, test, side, audit)) for side in test.minus]
        point = sum(sign * float(row["estimate"]) for sign, row in terms)
        low, high = interval = _interval(terms)
        yield Finding(
            k=1,
            contrast=contrast(test),
            estimate=point,
            low=low,
            high=high,
            problems=min(int(row["problems"]) for _, row in terms),
            seeds=min(int(row["seeds"]) for _, row in terms),
            verdict=verdict(claim, interval, _wider(point, interval, claim, settings)),
        )


def _rate(claim: Claim, test: Contrast, side: str, audit: Sequence[Row]) -> Row:
    """Find a rate over all seeds, of the last iteration where `last` is asked for."""
    place, _, origin = side.partition("@")
    model, variant, iteration = place.split("/")
    wanted = {
        "task": test.task or claim.task,
        "model": model,
        "variant": variant,
        "check": claim.check,
        "origin": origin.replace("-", " "),
        "seed": None,
    }
    mine = [row for row in audit if wanted.items() <= row.items() and row["estimate"] is not None]
    if iteration != "last":
        mine = [row for row in mine if row["iteration"] == int(iteration)]
    if not mine:
        raise Missing(f"the audit has no rate of {side} by {claim.check}")
    return max(mine, key=lambda row: int(row["iteration"]))


def _interval(terms: Sequence[tuple[float, Row]]) -> Interval:
    point, below, above = 0.0, 0.0, 0.0
    for sign, row in terms:
        estimate, ends = float(row["estimate"]), (float(row["low"]), float(row["high"]))
        low, high = ends if sign > 0 else ends[::-1]
        point += sign * estimate
        below += (estimate - low) ** 2
        above += (estimate - high) ** 2
    return point - math.sqrt(below), point + math.sqrt(above)


def _wider(point: float, interval: Interval, claim: Claim, settings: Metrics) -> Interval:
    """Widen an interval to the confidence of several tests, as if it were a normal one."""
    tail = (1 - settings.confidence) / 2
    share = NormalDist().inv_cdf(tail / len(claim.tests)) / NormalDist().inv_cdf(tail)
    return point - share * (point - interval[0]), point + share * (interval[1] - point)
