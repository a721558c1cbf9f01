"""The claims as Markdown: a table of verdicts, then each claim with all of its findings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from restem.artifacts.tables import ALONE, SHARED
from restem.config.claims import Contrast
from restem.pages.ledger import amount
from restem.pages.markdown import table
from restem.statistics.verdicts import Finding, Outcome, worded

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
    rows = [(o.claim.id, o.verdict, worded(o, confidence)) for o in outcomes]
    parts = [
        f"# Claims of the paper on open models — {label}\n",
        f"{len(outcomes)} claims: {verdicts}. Each was written down as a test before its results "
        "were seen; the words below are made from the numbers.\n",
        table(("claim", "verdict", "finding"), "lll", rows),
        "",
    ]
    return "\n".join([*parts, *(_section(o, costs, confidence) for o in outcomes)])


def _section(outcome: Outcome, costs: Costs, confidence: float) -> str:
    claim = outcome.claim
    lines = [f"## {claim.id}: {outcome.verdict}\n", f"{claim.says} ({claim.where})\n"]
    if claim.paper:
        lines.append(f"The paper: {claim.paper}\n")
    sampled = claim.quantity in ("pass", "maj")
    lines += [f"- {_finding(f, sampled, confidence)}" for f in outcome.findings]
    lines += [f"- {test.contrast}: left out, {test.why}" for test in outcome.left_out]
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
