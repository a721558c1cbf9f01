"""How many kept solutions a second judge rejects, with an interval that knows of clusters.

The rate is that of rejected solutions among those that the judge decided. Its interval is Wilson's
(1927), which holds near 0 and 1, where a bootstrap sees nothing. Solutions of one problem may be
wrong together, so n solutions with m_i of problem i count as n^2 / sum m_i^2 (Kish 1965): as if
those of one problem were all alike, which makes the interval too wide rather than too narrow.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

from restem.config.metrics import Metrics

Row = dict[str, Any]
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
