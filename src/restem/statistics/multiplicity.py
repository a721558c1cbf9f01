"""Many claims together: the chance that any of their verdicts is false.

A verdict holds for its claim alone. Of 22 claims of which none is true, each tested at 95 %, some
one is called supported in 43 of 100 studies. Holm (1979, Scandinavian Journal of Statistics 6:65)
adjusts the p-values, whatever their dependence, so that this chance stays below 5 %.
"""

from collections.abc import Sequence
from dataclasses import replace

from restem.statistics.verdicts import Outcome


def in_family(outcomes: Sequence[Outcome], confidence: float) -> list[Outcome]:
    """Add to every claim its p-value, Holm's adjusted one, and the verdict that it still has.

    Claims that nothing could be tested of, or that one training cannot decide, are not counted.
    """
    values = [p_value(outcome) for outcome in outcomes]
    adjusted = iter(holm([p for p in values if p is not None]))
    family = []
    for outcome, p in zip(outcomes, values, strict=True):
        if p is None:
            family.append(outcome)
            continue
        together = next(adjusted)
        verdict = outcome.verdict if together <= 1 - confidence else "inconclusive"
        family.append(replace(outcome, p=p, p_family=together, family=verdict))
    return family


def p_value(outcome: Outcome) -> float | None:
    """Return the two-sided p-value of a claim's verdict, of the likelier one if it has none.

    Support needs all tests, so the weakest counts. Contradiction needs any of them, so the
    clearest counts, times their number (Bonferroni).
    """
    supports = [f.supports for f in outcome.findings if f.supports is not None]
    contradicts = [f.contradicts for f in outcome.findings if f.contradicts is not None]
    if not outcome.findings or len(supports) < len(outcome.findings):
        return None
    for_it = min(1.0, 2 * max(supports))
    against = min(1.0, 2 * len(contradicts) * min(contradicts))
    by_verdict = {"supported": for_it, "contradicted": against}
    return by_verdict.get(outcome.verdict, min(for_it, against))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being tested together (Holm 1979), in the given order."""
    adjusted, least = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = least
    return adjusted


def false_support(claims: int, confidence: float) -> float:
    """Return the chance that one of some independent claims is called supported if none holds."""
    return float(1 - (1 - (1 - confidence) / 2) ** claims)
