"""Compare false positives problem by problem, so that harder problems are not taken for an effect.

Rationalised solutions are of problems that a first try failed. Set against all first tries, their
rate of false positives is also that of harder problems. Here the rates of two sides are subtracted
within each problem of which both have solutions, averaged over these problems, then over seeds.
Problems are resampled, and seeds add Student's t as in `restem.statistics.intervals`; the sets of
problems differ between seeds, so the noise of single cells is not taken from the problems' part,
which makes the interval rather too wide.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from restem.config.claims import Claim, Contrast
from restem.statistics.intervals import Bootstrap, Estimate, Floats
from restem.statistics.verdicts import Missing

Rechecked = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]
"""The address of a policy (task, model, variant, seed, iteration) and its table `recheck`."""
Shares = dict[int, dict[str, float]]
"""The share of rejected solutions by seed and problem."""


def compare(
    claim: Claim, test: Contrast, rechecked: Iterable[Rechecked], bootstrap: Bootstrap
) -> tuple[Estimate, int, int]:
    """Return the mean difference on the same problems, and the numbers of problems and of seeds.

    Raises Missing where the two sides have no problem in common in any seed.
    """
    policies = list(rechecked)
    sides = [_shares(claim, test, names, policies) for names in (test.plus, test.minus)]
    differences: Shares = {}
    for seed in sorted(sides[0].keys() & sides[1].keys()):
        plus, minus = (side[seed] for side in sides)
        common = {name: plus[name] - minus[name] for name in sorted(plus.keys() & minus.keys())}
        if common:
            differences[seed] = common
    if not differences:
        raise Missing(f"no problem has solutions of both {test.plus[0]} and {test.minus[0]}")
    problems = sorted({name for by_problem in differences.values() for name in by_problem})
    values, present = np.zeros((2, len(problems), len(differences)))
    for column, by_problem in enumerate(differences.values()):
        for row, name in enumerate(problems):
            values[row, column] = by_problem.get(name, 0.0)
            present[row, column] = name in by_problem
    by_seed = values.sum(axis=0) / present.sum(axis=0)
    resampled = bootstrap.partial_means(values, present, problems)
    several: dict[Hashable, Floats] = {"seeds": by_seed} if len(by_seed) > 1 else {}
    return Estimate(float(by_seed.mean()), resampled, several), len(problems), len(by_seed)


def _shares(
    claim: Claim, test: Contrast, sides: Sequence[str], rechecked: Sequence[Rechecked]
) -> Shares:
    """Return what a check rejected of the solutions of some policies, over their iterations."""
    outcomes: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for side in sides:
        policy, _, origin = side.partition("@")
        model, variant, iteration = policy.split("/")
        wanted = {"task": test.task or claim.task, "model": model, "variant": variant}
        matches = [(a, rows) for a, rows in rechecked if wanted.items() <= a.items()]
        last = max((int(address["iteration"]) for address, _ in matches), default=0)
        numbers = {"all": None, "last": last}.get(iteration, iteration)
        for address, rows in matches:
            if numbers is not None and int(address["iteration"]) != int(numbers):
                continue
            for row in rows:
                kind = (row["check"], row["origin"]) == (claim.check, origin.replace("-", " "))
                if kind and row["outcome"] != "undecided":
                    rejected = row["outcome"] == "rejected"
                    outcomes[address["seed"]][row["problem_id"]].append(rejected)
    return {
        seed: {name: float(np.mean(rejected)) for name, rejected in by_problem.items()}
        for seed, by_problem in outcomes.items()
    }
