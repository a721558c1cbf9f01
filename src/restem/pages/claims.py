"""The claims as Markdown: a table of verdicts, then each claim with all of its findings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from restem.artifacts.schemas.estimates import ALONE, SHARED
from restem.config.claims import Contrast
from restem.pages.ledger import amount
from restem.pages.markdown import table
from restem.statistics.multiplicity import false_support
from restem.statistics.verdicts import Finding, Outcome, worded

AFTERWARDS: Final = "a rule that was made after results had been seen"
Costs = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Rows of the ledger by name of a policy and charge."""


def markdown(
    outcomes: Sequence[Outcome],
    costs: Costs,
    label: str,
    confidence: float,
) -> str:
    """Write verdicts in words that follow from the numbers."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    rows = [(o.claim.id, o.verdict, *_together(o), worded(o, confidence)) for o in outcomes]
    headers = ("claim", "verdict", "p", "family-wise", "finding")
    parts = [
        f"# Claims, tested on: {label}\n",
        f"{len(outcomes)} claims: {verdicts}. Each is a test whose words are made from the "
        "numbers. Those of `config/paper/claims.yaml` were written before any result was seen, but "
        "for what its head lists.\n",
        _family(outcomes, confidence),
        table(headers, "llrll", rows),
        "",
    ]
    return "\n".join([*parts, *(_section(o, costs, confidence) for o in outcomes)])


def _family(outcomes: Sequence[Outcome], confidence: float) -> str:
    tested = sum(outcome.p is not None for outcome in outcomes)
    chance = 100 * false_support(tested, confidence)
    if not tested:
        return "No claim could be decided: results are missing, or of one training each.\n"
    return (
        f"The verdicts are not covered together: each holds at {100 * confidence:g} % by itself. "
        f"If none of the {tested} claims that could be decided were true, some one of them would "
        f"be called supported with a chance of up to {chance:.0f} %. The family-wise verdicts keep "
        f"the chance of any false one below {100 * (1 - confidence):.2g} % (Holm 1979; in brackets "
        "the adjusted p-value). Claims that rest on one training have no p-value.\n"
    )


def _together(outcome: Outcome) -> tuple[str, str]:
    """Write the p-value of a claim, and what is left of its verdict among all claims."""
    if outcome.p is None or outcome.p_family is None:
        return "", ""
    return f"{outcome.p:.3f}", f"{outcome.family} ({outcome.p_family:.3f})"


def _section(outcome: Outcome, costs: Costs, confidence: float) -> str:
    claim = outcome.claim
    lines = [f"## {claim.id}: {outcome.verdict}\n", f"{claim.says} ({claim.where})\n"]
    if claim.paper:
        lines.append(f"The paper: {claim.paper}\n")
    sampled = claim.quantity in ("pass", "maj")
    lines += [f"- {_finding(f, sampled, confidence)}" for f in outcome.findings]
    lines += [
        f"- {test.contrast}: left out, {test.why} ({AFTERWARDS})" for test in outcome.left_out
    ]
    if outcome.reason:
        lines.append(f"- not run: {outcome.reason}")
    lines += ["", _compute(claim.tests, costs)]
    return "\n".join(lines).rstrip() + "\n"


def _finding(finding: Finding, sampled: bool, confidence: float) -> str:
    k = f", k = {finding.k}" if sampled else ""
    return (
        f"{finding.contrast}{k}: {100 * finding.estimate:+.2f} points "
        f"[{100 * finding.low:+.2f}, {100 * finding.high:+.2f}] ({100 * confidence:g} %), "
        f"n = {finding.problems}, seeds = {finding.seeds}: {finding.verdict}"
    )


def _compute(tests: Iterable[Contrast], costs: Costs) -> str:
    """Write what each policy cost: all sampling and training back to the base model."""
    policies = {side.split("@")[0] for test in tests for side in (*test.plus, *test.minus)}
    amounts = [
        f"{policy} {_both(cost, 'flops')} FLOPs, {_both(cost, 'generated_tokens')} generated and "
        f"{_both(cost, 'trained_tokens')} trained tokens, {_both(cost, 'cpu_seconds')} CPU-s, "
        f"{_both(cost, 'gpu_seconds')} GPU-s"
        for policy in sorted(policies)
        if (cost := costs.get(policy))
    ]
    return f"Compute a seed, alone / shared: {'; '.join(amounts)}." if amounts else ""


def _both(cost: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return " / ".join(amount(cost[charge][name]) for charge in (ALONE, SHARED))
