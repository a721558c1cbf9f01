"""Average over groups of problems in which every group counts alike, however large it is.

The estimate is the mean of the groups' estimates. A resample draws the problems of each group anew,
within the group (a stratified bootstrap), and the training seeds once for all groups.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from restem.config.metrics import Metrics
from restem.statistics.evaluation import (
    BASE,
    Bootstrap,
    Floats,
    Measured,
    Row,
    collect,
    quantities,
    references,
)

Strata = Sequence[frozenset[str]]
_NOTHING: Row = {"estimate": None, "low": None, "high": None}


def macro_averages(rows: Sequence[Row], strata: Strata, settings: Metrics) -> list[Row]:
    """Estimate every quantity of every policy, then every lift over a reference.

    strata: the problems of each group. A policy that has no result in some group gets null
    estimates: an average over fewer groups would be another quantity.
    """
    policies = collect(rows, settings.ks)
    bootstrap = Bootstrap(settings)
    found = [
        {**_head(policy, name), "reference": None}
        | _estimate([(1.0, policy)], name, k, strata, bootstrap)
        for policy in policies
        for name, k in quantities(policy, settings)
    ]
    for policy, reference in _pairs(policies):
        for name, k in quantities(policy, settings):
            if reference.halted_everywhere or k <= reference.draws:
                terms = [(1.0, policy), (-1.0, reference)]
                told = {**_head(policy, name), "reference": reference.address["variant"]}
                found.append(told | _estimate(terms, name, k, strata, bootstrap))
    return found


def _pairs(policies: Sequence[Measured]) -> Iterator[tuple[Measured, Measured]]:
    """Pair every trained policy with what it is compared with."""
    return (
        (policy, reference)
        for policy in policies
        if policy.address["variant"] != BASE
        for reference in references(policy, policies)
    )


def _head(policy: Measured, name: str) -> Row:
    return {**policy.address, "quantity": name, "seeds": len(policy.counts)}


def _estimate(
    terms: Sequence[tuple[float, Measured]], name: str, k: int, strata: Strata, bootstrap: Bootstrap
) -> Row:
    """Return the macro average of a sum of policies, signed, with its interval."""
    common = frozenset.intersection(*(frozenset(policy.problems) for _, policy in terms))
    groups = [sorted(common & stratum) for stratum in strata]
    if not all(groups):
        return {**_NOTHING, "problems": 0}
    points, resampled = [], []
    for problems in groups:
        values = [(sign, policy, policy.values(name, k, problems)) for sign, policy in terms]
        points.append(sum(sign * float(scores.mean()) for sign, _, scores in values))
        means: list[Floats] = [sign * bootstrap.means(p, v, problems) for sign, p, v in values]
        resampled.append(np.sum(means, axis=0))
    span = (0.0, 1.0) if len(terms) == 1 else (-1.0, 1.0)
    # Where nothing varies, so many problems in equal groups bound what was not seen.
    least = len(groups) * min(map(len, groups))
    mean = np.asarray(np.mean(resampled, axis=0), np.float64)
    interval = bootstrap.interval(mean, float(np.mean(points)), span, least)
    return {**interval, "problems": sum(map(len, groups))}
