"""Test claims on false positives: contrasts of the rates that the audit has estimated.

The interval of a contrast is recovered from those of its rates: on each side, the root of the sum
of their squared distances from the estimates (MOVER, Zou & Donner 2008; for two rates this is
method 10 of Newcombe 1998). It takes the rates to be independent, which different solutions are.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

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


Rechecked = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]
"""The address of a policy (task, model, variant, seed, iteration) and its rows of rechecks."""

_ADDRESS: Final = ("task", "model", "variant", "iteration")
_DECIMALS: Final = 12


def audits(found: Iterable[Rechecked], settings: Metrics) -> list[Row]:
    """Add up rechecks by policy, check and origin: over all seeds (seed null), then by seed."""
    grouped: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = defaultdict(dict)
    for address, rows in found:
        place = tuple(address[name] for name in _ADDRESS)
        for row in rows:
            by_seed = grouped[(*place, row["check"], row["origin"])]
            by_seed.setdefault(address["seed"], []).append(row)
    return [
        row
        for key, by_seed in sorted(grouped.items())
        for row in _rows(key, by_seed, settings.confidence)
    ]


def _rows(
    key: tuple[Any, ...], by_seed: Mapping[int, list[Mapping[str, Any]]], confidence: float
) -> list[Row]:
    head = dict(zip((*_ADDRESS, "check", "origin"), key, strict=True))
    kept = {seed: int(rows[0]["kept"]) for seed, rows in by_seed.items()}
    whole = [row for rows in by_seed.values() for row in rows]
    told = [{**head, "seed": None, "seeds": len(by_seed), "kept": sum(kept.values())}]
    parts = [whole]
    for seed, rows in sorted(by_seed.items()):
        told.append({**head, "seed": seed, "seeds": 1, "kept": kept[seed]})
        parts.append(rows)
    return [{**one, **rate(rows, confidence)} for one, rows in zip(told, parts, strict=True)]


def rate(rows: Sequence[Mapping[str, Any]], confidence: float) -> Row:
    """Count the outcomes of one check and estimate the share of rejected solutions.

    known: rejected ones that our own verifier does not accept either; a method may keep such.
    Where nothing was decided the estimate is null.
    """
    counts = Counter(row["outcome"] for row in rows)
    decided = [row for row in rows if row["outcome"] != "undecided"]
    rejected = [row for row in decided if row["outcome"] == "rejected"]
    clusters = Counter(row["problem_id"] for row in decided)
    found = {
        "audited": len(rows),
        "problems": len(clusters),
        "undecided": counts["undecided"],
        "rejected": len(rejected),
        "known": sum(row["verdict"] != "correct" for row in rejected),
    }
    if not decided:
        return found | {"estimate": None, "low": None, "high": None}
    share = len(rejected) / len(decided)
    effective = len(decided) ** 2 / sum(size**2 for size in clusters.values())
    low, high = wilson(share, effective, confidence)
    numbers = {"estimate": share, "low": low, "high": high}
    return found | {name: round(value, _DECIMALS) for name, value in numbers.items()}


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen among n."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))
