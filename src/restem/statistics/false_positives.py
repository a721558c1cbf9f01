"""Estimate the share of false positives among kept solutions, and test claims about it.

The rate of one check is the share of rejected solutions among those that it could decide, with a
Wilson interval in which the solutions of one problem count as one. The interval of a contrast is
computed from those of its rates: on each side, the root of the sum of their squared distances from
the estimates (MOVER, Zou & Donner 2008; for two rates this is method 10 of Newcombe 1998). This
assumes independent rates, which holds because they are of different solutions. Several trainings
add the variance between their rates, as far as the counts do not explain it, with Student's t.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance
from typing import Any, Final

import numpy as np

from restem.config.claims import Claim, Contrast
from restem.config.metrics import Metrics
from restem.statistics.evaluation import Row
from restem.statistics.intervals import Bootstrap, Distribution
from restem.statistics.same_problems import Rechecked, compare
from restem.statistics.verdicts import (
    Finding,
    Interval,
    Missing,
    Outcome,
    conclude,
    contrast,
    decided,
    verdict,
)

_ADDRESS: Final = ("task", "model", "variant", "iteration")
_DECIMALS: Final = 12
_LEAST_TAIL: Final = 1e-9
_BISECTIONS: Final = 40


def estimate_rates(rechecked: Iterable[Rechecked], settings: Metrics) -> list[Row]:
    """Estimate the rate by policy, check and origin: over all seeds (seed null), then by seed."""
    grouped: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = defaultdict(dict)
    for address, rows in rechecked:
        place = tuple(address[name] for name in _ADDRESS)
        for row in rows:
            by_seed = grouped[(*place, row["check"], row["origin"])]
            by_seed.setdefault(address["seed"], []).append(row)
    rates: list[Row] = []
    for key, by_seed in sorted(grouped.items()):
        head = dict(zip((*_ADDRESS, "check", "origin"), key, strict=True))
        parts = [(None, [*by_seed.values()]), *((s, [rows]) for s, rows in sorted(by_seed.items()))]
        for seed, runs in parts:
            kept = sum(int(run[0]["kept"]) for run in runs)
            head |= {"seed": seed, "seeds": len(runs), "kept": kept}
            rates.append(head | rate([row for run in runs for row in run], settings.confidence))
    return rates


def rate(rows: Sequence[Mapping[str, Any]], confidence: float) -> Row:
    """Count the outcomes of one check and estimate the share of rejected solutions.

    known: rejected solutions that our verifier had not accepted either; some methods keep such.
    The estimate is null if nothing was decided.
    """
    decided = [row for row in rows if row["outcome"] != "undecided"]
    rejected = [row for row in decided if row["outcome"] == "rejected"]
    clusters = Counter(row["problem_id"] for row in decided)
    counts = {
        "checked": len(rows),
        "problems": len(clusters),
        "undecided": len(rows) - len(decided),
        "rejected": len(rejected),
        "known": sum(row["verdict"] != "correct" for row in rejected),
    }
    if not decided:
        return counts | {"estimate": None, "low": None, "high": None}
    share = len(rejected) / len(decided)
    effective = len(decided) ** 2 / sum(size**2 for size in clusters.values())
    low, high = wilson(share, effective, confidence)
    numbers = {"estimate": share, "low": low, "high": high}
    return counts | {name: round(value, _DECIMALS) for name, value in numbers.items()}


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share observed among n."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def judge_rates(
    claim: Claim, rates: Sequence[Row], settings: Metrics, rechecked: Sequence[Rechecked] = ()
) -> Outcome:
    """Test a claim on rates of false positives; untested if one is missing.

    rechecked: what tests on the same problems are made from.
    """
    return conclude(claim, lambda: _findings(claim, rates, settings, rechecked))


def _matched(
    claim: Claim, test: Contrast, rechecked: Sequence[Rechecked], settings: Metrics
) -> Finding:
    bootstrap = Bootstrap(settings)
    effect, problems, seeds = compare(claim, test, rechecked, bootstrap)
    interval, wide = (
        bootstrap.interval(effect, (-1.0, 1.0), problems, count) for count in (1, len(claim.tests))
    )
    finding = Finding(
        k=1,
        contrast=contrast(test),
        **interval,
        problems=problems,
        seeds=seeds,
        trained=len(test.plus) + len(test.minus),
        verdict=verdict(claim, *((one["low"], one["high"]) for one in (interval, wide))),
    )
    return decided(claim, finding, effect.distribution.below)


def _findings(
    claim: Claim, rates: Sequence[Row], settings: Metrics, rechecked: Sequence[Rechecked]
) -> Iterator[Finding]:
    tail = (1 - settings.confidence) / 2
    for test in claim.tests:
        if test.same_problems:
            yield _matched(claim, test, rechecked, settings)
            continue
        terms = [(1.0, _rate_of(claim, test, side, rates)) for side in test.plus]
        terms += [(-1.0, _rate_of(claim, test, side, rates)) for side in test.minus]
        effect = _Effect.of(terms, rates, NormalDist().inv_cdf(1 - tail))
        low, high = interval = effect.interval(tail)
        finding = Finding(
            k=1,
            contrast=contrast(test),
            estimate=effect.point,
            low=low,
            high=high,
            problems=min(int(row["problems"]) for _, row in terms),
            seeds=min(int(row["seeds"]) for _, row in terms),
            trained=len(terms),
            verdict=verdict(claim, interval, effect.interval(tail / len(claim.tests))),
        )
        yield decided(claim, finding, effect.below)


def _rate_of(claim: Claim, test: Contrast, side: str, rates: Sequence[Row]) -> Row:
    """Find the rate of a policy over all seeds; `last` is the last iteration that has one."""
    address, _, origin = side.partition("@")
    model, variant, iteration = address.split("/")
    wanted = {
        "task": test.task or claim.task,
        "model": model,
        "variant": variant,
        "check": claim.check,
        "origin": origin.replace("-", " "),
        "seed": None,
    }
    matches = [
        row for row in rates
        if wanted.items() <= row.items()
        and row["estimate"] is not None
        and iteration in ("last", str(row["iteration"]))
    ]  # fmt: skip
    if not matches:
        raise Missing(f"there is no rate of {side} by {claim.check}")
    return max(matches, key=lambda row: int(row["iteration"]))


def _seeds_variance(row: Row, rates: Sequence[Row], z: float) -> tuple[float, float]:
    """Return the variance that trainings add to a rate over all seeds, and its degrees of freedom.

    It is what the variance between the seeds' rates has beyond that of the counts.
    """
    same = (*_ADDRESS, "check", "origin")
    by_seed = [
        float(other["estimate"])
        for other in rates
        if other["seed"] is not None
        and other["estimate"] is not None
        and all(other[name] == row[name] for name in same)
    ]
    if len(by_seed) < 2:
        return 0.0, 1.0
    counts = ((float(row["high"]) - float(row["low"])) / (2 * z)) ** 2
    return max(variance(by_seed) / len(by_seed) - counts, 0.0), len(by_seed) - 1.0


@dataclass(frozen=True)
class _Effect:
    """A contrast of rates: its standard errors downwards and upwards, and those between seeds."""

    point: float
    down: float
    up: float
    seeds: float
    freedom: float

    @classmethod
    def of(cls, terms: Sequence[tuple[float, Row]], rates: Sequence[Row], z: float) -> "_Effect":
        """Combine signed rates, given the quantile z of the confidence of their intervals."""
        point, down, up = 0.0, 0.0, 0.0
        for sign, row in terms:
            estimate, ends = float(row["estimate"]), (float(row["low"]), float(row["high"]))
            low, high = ends if sign > 0 else ends[::-1]
            point += sign * estimate
            down += ((estimate - low) / z) ** 2
            up += ((estimate - high) / z) ** 2
        seeds = [_seeds_variance(row, rates, z) for _, row in terms]
        added = sum(size for size, _ in seeds)
        squares = sum(size**2 / freedom for size, freedom in seeds)
        freedom = added**2 / squares if squares else 1.0
        return cls(point, math.sqrt(down), math.sqrt(up), math.sqrt(added), freedom)

    def interval(self, tail: float) -> Interval:
        """Return the interval that leaves out this share on either side."""
        z = NormalDist().inv_cdf(1 - tail)
        t = Distribution(np.zeros(1), 1.0, self.freedom).quantile(1 - tail) if self.seeds else 0.0
        reach = [math.hypot(z * side, t * self.seeds) for side in (self.down, self.up)]
        return self.point - reach[0], self.point + reach[1]

    def below(self, x: float) -> float:
        """Return the tail whose interval ends at x: a p-value of the contrast lying below."""
        low, high = _LEAST_TAIL, 0.5
        for _ in range(_BISECTIONS):
            tail = math.sqrt(low * high)
            ends = self.interval(tail)
            low, high = (low, tail) if ends[0] < x < ends[1] else (tail, high)
        return high if x < self.point else 1 - high
