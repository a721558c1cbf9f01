"""Compare policies of two studies: differences with intervals, paired where problems are the same.

The estimates, their resamples and their intervals are those of `restem.statistics.evaluation`. Two
things are new where policies come from two studies. Their problems may differ: then each side has
resamples of its own. And equal names are no sign of equal trainings: unless the weights are the
same, the seeds of both sides are different trainings, each with its own part in the interval.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from restem.config.metrics import Metrics
from restem.statistics.evaluation import BASE, Measured, Row, quantities
from restem.statistics.intervals import Bootstrap

PAIRED: Final = "paired"
UNPAIRED: Final = "unpaired"
IDENTICAL: Final = "the same completions and verdicts"
HALTED: Final = "halted"
_PAIRED_FROM: Final = 0.5


@dataclass(frozen=True)
class Pair:
    """Two policies that were evaluated on one split in one way, the first to be subtracted.

    common: the problems that are the same on both sides. same_weights: whether the policies of all
    seeds are the same. same_evaluation: whether completions and verdicts are.
    """

    first: Measured
    second: Measured
    common: Collection[str]
    same_weights: bool = False
    same_evaluation: bool = False

    @property
    def is_paired(self) -> bool:
        """Tell whether at least half of the problems of the smaller side are the same."""
        smaller = min(len(self.first.problems), len(self.second.problems))
        return smaller > 0 and len(self.common) >= _PAIRED_FROM * smaller

    @property
    def halted(self) -> str | None:
        """Return why there is nothing to compare, if a side has no results."""
        reasons = [p.reason for p in (self.first, self.second) if p.halted_everywhere]
        return "; ".join(str(reason) for reason in dict.fromkeys(reasons)) or None


class Comparison:
    """Compare pairs under one set of estimators; pairs share the resamples of their problems."""

    def __init__(self, settings: Metrics) -> None:
        self._settings = settings
        self._bootstrap = Bootstrap(settings)
        # Resamples depend on seed and problems: another seed makes those of a side independent.
        self._of_second = Bootstrap(settings.model_copy(update={"seed": settings.seed + 1}))

    def rows(self, pair: Pair) -> Iterator[Row]:
        """Yield second minus first for every quantity that both have.

        first, second: the estimates; estimate, low, high: their difference, without an interval
        where both are the same; problems: of each side; method: how they were compared.
        """
        of_second = quantities(pair.second, self._settings)
        for name, k in quantities(pair.first, self._settings):
            if pair.halted or (name, k) in of_second:
                yield {"quantity": name, **self._row(pair, name, k)}

    def _row(self, pair: Pair, name: str, k: int) -> Row:
        if pair.halted:
            none = dict.fromkeys(("first", "second", "estimate", "low", "high"))
            method = IDENTICAL if pair.same_evaluation else f"{HALTED}: {pair.halted}"
            return {**none, "problems": (0, 0), "method": method}
        second, problems = pair.second, (pair.first.problems, pair.second.problems)
        bootstraps = self._bootstrap, self._of_second
        if pair.is_paired:
            problems = (sorted(pair.common),) * 2
            bootstraps = self._bootstrap, self._bootstrap
        if not pair.same_weights and second.address["variant"] != BASE:
            other = f"{second.address['variant']} of the second side"
            second = replace(second, address=second.address | {"variant": other})
        minus, plus = (
            policy.estimate(name, k, of_policy, bootstrap)
            for policy, of_policy, bootstrap in zip(
                (pair.first, second), problems, bootstraps, strict=True
            )
        )
        counts = len(problems[0]), len(problems[1])
        row = {"first": minus.point, "second": plus.point, "problems": counts}
        if pair.same_evaluation:
            same = {"estimate": 0.0, "low": None, "high": None}
            return {**row, **same, "method": IDENTICAL}
        difference = plus + minus.times(-1)
        interval = self._bootstrap.interval(difference, (-1.0, 1.0), min(counts))
        return {**row, **interval, "method": PAIRED if pair.is_paired else UNPAIRED}
