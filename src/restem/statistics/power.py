"""Plan a study by power: which effects it can decide, from the variances of a pilot.

The parts of a contrast's variance are those of `restem.statistics.intervals`: of problems, of
single cells of problem and seed, and of trainings. They are scaled to a planned number of problems
and seeds. A study decides an effect if its interval excludes the margin. The interval's width is
itself random, because the variance between trainings is estimated from few seeds; power is
therefore averaged over simulated estimates of it (chi-squared, with S - 1 degrees of freedom for
each policy). The problems' part is taken as normal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np

from restem.statistics.intervals import Distribution, Estimate, Floats

SIMULATIONS: Final = 4000
MOST_PROBLEMS: Final = 1_000_000
MOST_SEEDS: Final = 100
LEAST_SEEDS: Final = 2
_RATIOS: Final = np.geomspace(0.02, 50.0, 40)
_FREEDOMS: Final = 7
_POINTS: Final = 200


@dataclass(frozen=True)
class Design:
    """The size of a study."""

    problems: int
    seeds: int


@dataclass(frozen=True)
class Variances:
    """Parts of a contrast's variance: of one problem, one cell, one training of each policy.

    policies: how many trained policies the contrast has; cells and seeds are sums over them.
    """

    problems: float
    cells: float
    seeds: float
    policies: int

    def of_problems(self, design: Design) -> float:
        """Return the variance that the choice of problems adds to an estimate."""
        return self.problems / design.problems

    def of_seeds(self, design: Design) -> float:
        """Return the variance that trainings add to an estimate, single cells included."""
        if not self.policies:
            return 0.0
        return (self.seeds + self.cells / design.problems) / design.seeds


def variances_of(pilot: Estimate, design: Design, policies: int, assumed_sd: float) -> Variances:
    """Return the parts of a pilot's variance.

    design: of the pilot; policies: trained ones in the contrast. assumed_sd: between trainings of
    one policy, in shares, where the pilot has a single seed.
    """
    n = design.problems
    spread = float(pilot.resampled.var()) * n / max(n - 1, 1)
    if not pilot.by_seed:
        return Variances(spread * n, 0.0, policies * assumed_sd**2, policies)
    cells = pilot.noise * n * design.seeds
    between = sum(float(values.var(ddof=1)) for values in pilot.by_seed.values())
    seeds = max(between - cells / n, 0.0)
    return Variances(max(spread - pilot.noise, 0.0) * n, cells, seeds, policies)


def smallest_effect(parts: Variances, design: Design, confidence: float, power: float) -> float:
    """Return the distance from the margin that is decided with this power."""
    return float(np.quantile(_needed(parts, design, confidence), power))


def power_of(effect: float, parts: Variances, design: Design, confidence: float) -> float:
    """Return the chance to decide an effect, given as its distance from the margin."""
    return float((_needed(parts, design, confidence) < effect).mean())


def problems_needed(
    parts: Variances, seeds: int, effect: float, confidence: float, power: float
) -> int | None:
    """Return how many problems decide an effect with these seeds; None if no number does."""

    def decides(count: int) -> bool:
        return smallest_effect(parts, Design(count, seeds), confidence, power) <= effect

    return _least(decides, 2, MOST_PROBLEMS)


def seeds_needed(
    parts: Variances, problems: int, effect: float, confidence: float, power: float
) -> int | None:
    """Return how many training seeds decide an effect on these problems; None if no number does."""

    def decides(count: int) -> bool:
        return smallest_effect(parts, Design(problems, count), confidence, power) <= effect

    return _least(decides, LEAST_SEEDS, MOST_SEEDS)


def _least(decides: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the least number from low to high that decides; None if high does not."""
    if not decides(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle + 1, high)
    return low


def _needed(parts: Variances, design: Design, confidence: float) -> Floats:
    """Return, for each simulated study, the least effect that it would have decided."""
    normal, chi_squared = _noise(parts.policies, design.seeds)
    fixed, trainings = parts.of_problems(design), parts.of_seeds(design)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    error = normal * math.sqrt(fixed + trainings)
    if trainings <= 0:
        return np.asarray(z * math.sqrt(fixed) - error, np.float64)
    by_policy = trainings / parts.policies * chi_squared / (design.seeds - 1)
    estimated = by_policy.sum(axis=1)
    freedom = estimated**2 / (by_policy**2 / (design.seeds - 1)).sum(axis=1)
    ratio = np.sqrt(estimated / max(fixed, 1e-12))
    least, most = design.seeds - 1, parts.policies * (design.seeds - 1)
    half = _half_widths(ratio, freedom, float(least), float(most), confidence)
    return np.asarray(half * math.sqrt(max(fixed, 1e-12)) - error, np.float64)


def _half_widths(
    ratio: Floats, freedom: Floats, least: float, most: float, confidence: float
) -> Floats:
    """Return half-widths of intervals, in standard errors of problems, from a table.

    ratio: of the standard error of trainings to that of problems; freedom: from least to most.
    """
    nodes = np.linspace(least, most, 1 if least == most else _FREEDOMS)
    place = np.log(np.clip(ratio, _RATIOS[0], _RATIOS[-1]))
    columns = [
        np.interp(place, np.log(_RATIOS), _table(round(float(node), 6), confidence))
        for node in nodes
    ]
    outside = np.maximum(ratio / _RATIOS[-1], 1.0)  # above the table, t alone decides
    if len(nodes) == 1:
        return np.asarray(columns[0] * outside, np.float64)
    position = np.clip((freedom - least) / (most - least), 0, 1) * (len(nodes) - 1)
    lower = np.minimum(position.astype(int), len(nodes) - 2)
    share, table = position - lower, np.stack(columns)
    rows = np.arange(len(ratio))
    between = (1 - share) * table[lower, rows] + share * table[lower + 1, rows]
    return np.asarray(between * outside, np.float64)


@lru_cache(maxsize=1024)
def _table(freedom: float, confidence: float) -> Floats:
    """Return the half-widths of a standard normal value plus t, by the scale of t."""
    normal = NormalDist()
    values = np.array([normal.inv_cdf((i + 0.5) / _POINTS) for i in range(_POINTS)])
    share = (1 + confidence) / 2
    return np.array([Distribution(values, float(r), freedom).quantile(share) for r in _RATIOS])


@lru_cache(maxsize=256)
def _noise(policies: int, seeds: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(0)
    normal = generator.standard_normal(SIMULATIONS)
    freedom = max(seeds - 1, 1)
    return normal, generator.chisquare(freedom, (SIMULATIONS, max(policies, 1)))
