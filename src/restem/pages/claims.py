"""The claims as Markdown: a table of verdicts, and each claim with all of its findings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from restem.pages.ledger import amount
from restem.statistics.verdicts import Finding, Outcome, worded


def markdown(
    outcomes: Sequence[Outcome],
    spent: Mapping[str, Mapping[str, Any]],
    note: str,
    confidence: float,
) -> str:
    """Write verdicts whose words follow from the numbers; spent: the cost of policies by name."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    parts = [
        f"# Claims of the paper on open models — {note}\n",
        f"{len(outcomes)} claims: {told}. Each was written down as a test before its results were "
        "seen; the words below are made from the numbers.\n",
        "| claim | verdict | finding |\n| :-- | :-- | :-- |",
        *(f"| {o.claim.id} | {o.verdict} | {worded(o, confidence)} |" for o in outcomes),
        "",
    ]
    return "\n".join([*parts, *(_section(o, spent, confidence) for o in outcomes)])


def _section(outcome: Outcome, spent: Mapping[str, Mapping[str, Any]], confidence: float) -> str:
    claim = outcome.claim
    lines = [f"## {claim.id}: {outcome.verdict}\n", f"{claim.says} ({claim.where})\n"]
    if claim.paper:
        lines.append(f"The paper: {claim.paper}\n")
    sampled = claim.quantity in ("pass", "maj")
    lines += [f"- {_finding(f, sampled, confidence)}" for f in outcome.findings]
    lines += [f"- {one.contrast}: left out, {one.why}" for one in outcome.left_out]
    if outcome.reason:
        lines.append(f"- not run: {outcome.reason}")
    lines += ["", _compute(claim.tests, spent)]
    return "\n".join(lines).rstrip() + "\n"


def _finding(finding: Finding, sampled: bool, confidence: float) -> str:
    k = f", k = {finding.k}" if sampled else ""
    return (
        f"{finding.contrast}{k}: {100 * finding.estimate:+.2f} points "
        f"[{100 * finding.low:+.2f}, {100 * finding.high:+.2f}] ({100 * confidence:g} %), "
        f"n = {finding.problems}, seeds = {finding.seeds}: {finding.verdict}"
    )


def _compute(tests: Iterable[Any], spent: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what each side cost to make: all sampling and training back to the base model."""
    sides = {s.split("@")[0] for test in tests for s in (*test.plus, *test.minus)}
    told = [
        f"{side} {amount(row['flops'])} FLOPs, {amount(row['generated_tokens'])} generated and "
        f"{amount(row['trained_tokens'])} trained tokens, {amount(row['cpu_seconds'])} CPU-s, "
        f"{amount(row['gpu_seconds'])} GPU-s"
        for side in sorted(sides)
        if (row := spent.get(side))
    ]
    return f"Compute a seed: {'; '.join(told)}." if told else ""
