"""Intervals for few training seeds: a bootstrap over problems, and Student's t for seeds.

Problems and seeds are crossed, because all seeds answer the same problems. Three parts of the
variance of a mean over n problems and S seeds follow from the two-way table of results (Searle,
Casella & McCulloch 1992, chapter 4): that of problems, that of seeds, and what is left, the noise
of single cells. The variance between the seeds' means, divided by S, is that of seeds and noise
together, estimated with S - 1 degrees of freedom. So an estimate is distributed as the sum of

- its values over resampled problems, shrunk to the variance without the noise, and
- Student's t, scaled by the standard error between seeds. A contrast of several policies has one
  such part, whose degrees of freedom are those of Welch (1947) and Satterthwaite (1946), because
  the seeds of different policies are different trainings.

Its quantiles are the interval, and its distribution function gives p-values. With one seed there is
no second part: the interval is that of this run, and says nothing about another training.

All policies that answered the same problems share the same resamples of them (common random
numbers). A difference between two policies is therefore a paired one. Base models have no training
seed, and no such part.
"""

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from restem.config.metrics import Metrics

Floats: TypeAlias = NDArray[np.float64]

_DECIMALS: Final = 12  # hides the last bits, in which linear algebra libraries differ
_CHUNK: Final = 4_000_000  # cells of the resampling matrix held in memory at a time
_POINTS: Final = 250  # that stand for a bootstrap distribution when t is added to it
_GRID: Final = 4001  # of the tabulated distribution function of t
_BISECTIONS: Final = 60


@dataclass(frozen=True)
class Estimate:
    """A linear contrast of policies, as estimated from their results.

    resampled: its values over resampled problems, the seeds averaged. by_seed: what each seed of a
    trained policy contributes, where there are several; their mean is the policy's part. noise: the
    variance that single cells of problem and seed add to the contrast.
    """

    point: float
    resampled: Floats
    by_seed: Mapping[Hashable, Floats] = field(default_factory=dict)
    noise: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        """Return the sum; seeds of the same policy stay together."""
        by_seed = dict(self.by_seed)
        for policy, values in other.by_seed.items():
            by_seed[policy] = by_seed[policy] + values if policy in by_seed else values
        point, resampled = self.point + other.point, self.resampled + other.resampled
        return Estimate(point, resampled, by_seed, self.noise + other.noise)

    def times(self, factor: float) -> "Estimate":
        """Return a multiple of the contrast."""
        by_seed = {policy: factor * values for policy, values in self.by_seed.items()}
        return Estimate(
            factor * self.point, factor * self.resampled, by_seed, factor**2 * self.noise
        )

    @cached_property
    def distribution(self) -> "Distribution":
        """Return what the contrast's value in other problems and seeds is distributed as."""
        variances = [float(v.var(ddof=1)) / len(v) for v in self.by_seed.values()]
        seeds, spread = sum(variances), float(self.resampled.var())
        if seeds <= 0:
            return Distribution(np.sort(self.resampled))
        freedom = seeds**2 / sum(
            variance**2 / (len(v) - 1)
            for variance, v in zip(variances, self.by_seed.values(), strict=True)
        )
        shrunk = math.sqrt(max(spread - self.noise, 0.0) / spread) if spread > 0 else 0.0
        values = self.point + shrunk * (np.sort(self.resampled) - self.point)
        groups = np.array_split(values, min(_POINTS, len(values)))
        means = np.array([group.mean() for group in groups])
        return Distribution(means, math.sqrt(seeds), freedom)


@dataclass(frozen=True)
class Distribution:
    """The sum of equally likely values, sorted, and of scaled t; scale 0: the values alone."""

    values: Floats
    scale: float = 0.0
    freedom: float = 1.0

    def below(self, x: float) -> float:
        """Return the probability of a value below x; of values alone it is never 0 or 1."""
        if self.scale == 0:
            count = len(self.values)
            return float(np.clip((self.values <= x).sum(), 1, count)) / (count + 1)
        return float(student_t((x - self.values) / self.scale, self.freedom).mean())

    def quantile(self, share: float) -> float:
        """Return the value below which this share lies."""
        if self.scale == 0:
            return float(np.quantile(self.values, share))
        reach = 1.0
        while not self._reaches(share, reach):
            reach *= 2
        low, high = (float(end) for end in self._ends(reach))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < share else (low, middle)
        return (low + high) / 2

    def _ends(self, reach: float) -> tuple[float, float]:
        width = reach * self.scale
        return float(self.values[0]) - width, float(self.values[-1]) + width

    def _reaches(self, share: float, reach: float) -> bool:
        low, high = self._ends(reach)
        return self.below(low) < share < self.below(high)


def student_t(x: Floats, freedom: float) -> Floats:
    """Return the distribution function of Student's t, for at least one degree of freedom.

    With x = sqrt(freedom) tan(a), the density of the angle is proportional to cos(a)^(freedom - 1).
    """
    angles, shares = _t_table(round(freedom, 6))
    return np.interp(np.arctan(x / math.sqrt(freedom)), angles, shares)


@lru_cache(maxsize=4096)
def _t_table(freedom: float) -> tuple[Floats, Floats]:
    angles = np.linspace(-math.pi / 2, math.pi / 2, _GRID)
    density = np.maximum(np.cos(angles), 0.0) ** (freedom - 1)
    steps = (density[1:] + density[:-1]) / 2
    shares = np.concatenate([[0.0], np.cumsum(steps)])
    return angles, shares / shares[-1]


class Bootstrap:
    """Keep one set of resamples for each set of problems."""

    def __init__(self, settings: Metrics) -> None:
        self._settings = settings
        self._counts: dict[tuple[str, ...], Floats] = {}

    def estimate(self, values: Floats, problems: Sequence[str], policy: Hashable) -> Estimate:
        """Estimate a mean over problems and seeds; values have the shape (problems, seeds).

        policy: whose trainings the seeds are; None for a base model, which has none.
        """
        resampled = self.means(values, problems)
        count, seeds = values.shape
        if policy is None or seeds < 2:
            return Estimate(float(values.mean()), resampled)
        rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
        left = values - rows - columns + values.mean()
        cells = float((left**2).sum()) / (max(count - 1, 1) * (seeds - 1))
        noise = cells / (count * seeds)
        return Estimate(float(values.mean()), resampled, {policy: columns[0]}, noise)

    def means(self, values: Floats, problems: Sequence[str]) -> Floats:
        """Return the mean over problems and seeds in each resample of the problems."""
        by_problem = values.mean(axis=1)
        counts = self._problem_counts(tuple(problems))
        return np.asarray(counts @ by_problem / len(problems), np.float64)

    def partial_means(self, values: Floats, present: Floats, problems: Sequence[str]) -> Floats:
        """Return means as `means` does, where not every seed has results of every problem.

        values, present: by problem and seed; 0 where there is no result, and whether there is one.
        """
        counts = self._problem_counts(tuple(problems))
        numbers = counts @ present
        sums = counts @ values
        overall = values.sum(axis=0) / present.sum(axis=0)
        by_seed = np.where(numbers > 0, sums / np.maximum(numbers, 1.0), overall)
        return np.asarray(by_seed.mean(axis=1), np.float64)

    def interval(
        self, estimate: Estimate, span: tuple[float, float], n: int, tests: int = 1
    ) -> dict[str, Any]:
        """Return estimate, low and high; n: number of problems, span: bounds of a value.

        tests: so many intervals are to hold together (Bonferroni).
        """
        tail, point = (1 - self._settings.confidence) / 2 / tests, estimate.point
        low, high = (estimate.distribution.quantile(share) for share in (tail, 1 - tail))
        if n == 1 or np.ptp(estimate.resampled) < 1e-9:
            unseen = _unseen(point, span, n, tail)
            varies = bool(estimate.by_seed)
            low = min(low, unseen[0]) if varies else unseen[0]
            high = max(high, unseen[1]) if varies else unseen[1]
        numbers = {
            "estimate": point,
            "low": min(max(low, span[0]), point),
            "high": max(min(high, span[1]), point),
        }
        return {name: round(float(value), _DECIMALS) for name, value in numbers.items()}

    def _problem_counts(self, problems: tuple[str, ...]) -> Floats:
        if problems not in self._counts:
            generator = _generator(self._settings.seed, *problems)
            self._counts[problems] = _multinomial(
                generator, self._settings.resamples, len(problems), len(problems)
            )
        return self._counts[problems]


def _unseen(point: float, span: tuple[float, float], n: int, tail: float) -> tuple[float, float]:
    """Bound a mean if all n problems agree (or n is 1), so that a bootstrap sees no variation.

    At this confidence, at most a share u = 1 - tail^(1/n) of all problems differs from those seen
    (Clopper and Pearson 1934 for 0 or n successes); these may lie anywhere in the span.
    """
    u = 1 - tail ** (1 / n)
    return point - (point - span[0]) * u, point + (span[1] - point) * u


def _multinomial(generator: np.random.Generator, resamples: int, cells: int, draws: int) -> Floats:
    """Draw `draws` of `cells` with replacement, `resamples` times; return the counts by cell."""
    counts = np.empty((resamples, cells), np.float64)
    rows = max(1, _CHUNK // max(cells, draws))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        picked = generator.integers(cells, size=(count, draws)) + np.arange(count)[:, None] * cells
        flat = np.bincount(picked.ravel(), minlength=count * cells)
        counts[start : start + count] = flat.reshape(count, cells)
    return counts


def _generator(seed: int, *names: str) -> np.random.Generator:
    words = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(words[:16], "big")))
