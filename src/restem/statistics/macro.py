"""Average over groups of problems; every group has the same weight, whatever its size.

The estimate is the mean of the groups' estimates. Each resample draws the problems of every group
anew, within the group (a stratified bootstrap); the training seeds are the same for all groups.
"""

from collections.abc import Collection, Sequence

from restem.config.metrics import Metrics
from restem.statistics.evaluation import (
    Measured,
    Row,
    collect,
    comparisons,
    fewest_seeds,
    parts,
    quantities,
)
from restem.statistics.intervals import Bootstrap

Strata = Sequence[frozenset[str]]


def macro_averages(
    rows: Sequence[Row], strata: Strata, settings: Metrics, references: Collection[str]
) -> list[Row]:
    """Estimate every quantity of every policy, over all seeds and for each, then every lift.

    strata: the problems of each group. A policy that lacks results in a group gets null estimates,
    because an average over fewer groups would be another quantity.
    """
    policies = collect(rows, settings.ks)
    bootstrap = Bootstrap(settings)
    averages = [
        _head(part, name, None, seed) | _estimate([(1.0, part)], name, k, strata, bootstrap)
        for policy in policies
        for seed, part in parts(policy)
        for name, k in quantities(part, settings)
    ]
    return averages + [
        _head(policy, name, reference, None)
        | _estimate([(1.0, policy), (-1.0, reference)], name, k, strata, bootstrap)
        for policy, reference, name, k in comparisons(policies, references, settings)
    ]


def _head(policy: Measured, name: str, reference: Measured | None, seed: int | None) -> Row:
    seeds = fewest_seeds([policy, reference]) if reference else len(policy.counts)
    row = {**policy.address, "quantity": name, "seeds": seeds, "seed": seed}
    return row | {"reference": reference.address["variant"] if reference else None}


def _estimate(
    terms: Sequence[tuple[float, Measured]], name: str, k: int, strata: Strata, bootstrap: Bootstrap
) -> Row:
    """Return the macro average of a signed sum of policies, with its interval."""
    common = frozenset.intersection(*(frozenset(policy.problems) for _, policy in terms))
    groups = [sorted(common & stratum) for stratum in strata]
    if not all(groups):
        return {"estimate": None, "low": None, "high": None, "problems": 0}
    parts = [
        policy.estimate(name, k, problems, bootstrap).times(sign)
        for problems in groups
        for sign, policy in terms
    ]
    average = sum(parts[1:], parts[0]).times(1 / len(groups))
    span = (0.0, 1.0) if len(terms) == 1 else (-1.0, 1.0)
    # If nothing varies, this many problems in groups of equal size bound what was not seen.
    smallest = len(groups) * min(map(len, groups))
    interval = bootstrap.interval(average, span, smallest)
    return {**interval, "problems": sum(map(len, groups))}
