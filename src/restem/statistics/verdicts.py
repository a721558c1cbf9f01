"""Verdicts on claims: what one test found, what follows for the claim, and the words for it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from restem.config.claims import Claim, Contrast

Verdict = Literal["supported", "contradicted", "inconclusive", "untested"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Finding:
    """The result of one test: the contrast in shares, its interval, and the sides' compute."""

    k: int
    contrast: str
    estimate: float
    low: float
    high: float
    problems: int
    seeds: int
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """A claim with its verdict and the findings behind it.

    left_out: tests of groups that no problem is in; reason: why the claim is untested.
    """

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    left_out: tuple["LeftOut", ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """A test that says nothing, since its group of problems is empty; why: in words."""

    contrast: str
    why: str


class Missing(Exception):  # noqa: N818 - what was not run is no error
    """Say which result a test would need."""


def conclude(claim: Claim, findings: Callable[[], Iterable[Finding | LeftOut]]) -> Outcome:
    """Return a claim's verdict, untested when some result that a test needs is not there.

    Tests that were left out change nothing, unless all of them were.
    """
    try:
        told = tuple(findings())
    except Missing as missing:
        return Outcome(claim, "untested", (), reason=str(missing))
    found = tuple(one for one in told if isinstance(one, Finding))
    empty = tuple(one for one in told if isinstance(one, LeftOut))
    if not found:
        return Outcome(claim, "untested", (), reason=empty[0].why)
    verdicts = {finding.verdict for finding in found}
    verdict: Verdict = "inconclusive"
    if "contradicted" in verdicts:
        verdict = "contradicted"
    elif verdicts == {"supported"}:
        verdict = "supported"
    return Outcome(claim, verdict, found, empty)


def verdict(claim: Claim, interval: Interval, wide: Interval) -> Verdict:
    """Compare an interval with the claim's margin; a wider one decides on contradictions."""
    (low, high), margin = interval, claim.margin
    if claim.expect == "above":
        return _decide(low > margin, wide[1] < margin)
    if claim.expect == "below":
        return _decide(high < -margin, wide[0] > -margin)
    return _decide(-margin <= low and high <= margin, wide[0] > margin or wide[1] < -margin)


def _decide(supported: bool, contradicted: bool) -> Verdict:
    if supported:
        return "supported"
    return "contradicted" if contradicted else "inconclusive"


def contrast(test: Contrast) -> str:
    """Write a contrast as the policies that it adds and subtracts."""
    plus, minus = " + ".join(test.plus), " - ".join(test.minus)
    place = f" on {test.task}" if test.task else ""
    place += f" less that at k = {test.less_k}" if test.less_k else ""
    group = f" ({test.group.kind} {test.group.name})" if test.group else ""
    return (f"{plus} - {minus}" if minus else plus) + place + group


def worded(outcome: Outcome, confidence: float) -> str:
    """Say in words what was found, from the numbers alone."""
    claim = outcome.claim
    if outcome.verdict == "untested":
        return f"untested: {outcome.reason}"
    worst = _decisive(outcome)
    expected = {
        "above": f"above {100 * claim.margin:+.1f}",
        "below": f"below {-100 * claim.margin:+.1f}",
        "within": f"within ±{100 * claim.margin:.1f}",
    }[claim.expect]
    quantity = f" at k = {worst.k}" if claim.quantity in ("pass", "maj") else ""
    return (
        f"{outcome.verdict}: {worst.contrast}{quantity} is {100 * worst.estimate:+.1f} points "
        f"[{100 * worst.low:+.1f}, {100 * worst.high:+.1f}] ({100 * confidence:g} %), expected "
        f"{expected}; {worst.problems} problems, {worst.seeds} training "
        f"seed{'' if worst.seeds == 1 else 's'}"
        + (f"; {len(outcome.findings)} tests" if len(outcome.findings) > 1 else "")
        + "".join(f"; {one.why}" for one in outcome.left_out)
    )


def _decisive(outcome: Outcome) -> Finding:
    """Return the finding that gave the verdict: of all tests the least favourable one."""
    of_verdict = [f for f in outcome.findings if f.verdict == outcome.verdict]
    sign = -1 if outcome.claim.expect == "below" else 1
    return min(of_verdict or outcome.findings, key=lambda f: sign * f.estimate)


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row for each finding and test left out, and one for each untested claim."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        head = {"claim": outcome.claim.id, "verdict": outcome.verdict, "reason": outcome.reason}
        empty = dict.fromkeys(("k", "contrast", "estimate", "low", "high", "test"))
        empty |= {"problems": 0, "seeds": 0}
        if not outcome.findings:
            rows.append({**head, **empty})
        for other in outcome.left_out:
            rows.append({**head, **empty, "contrast": other.contrast, "reason": other.why})
        for one in outcome.findings:
            numbers = {"estimate": one.estimate, "low": one.low, "high": one.high}
            sizes = {"problems": one.problems, "seeds": one.seeds, "test": one.verdict}
            rows.append({**head, "k": one.k, "contrast": one.contrast, **numbers, **sizes})
    return rows
