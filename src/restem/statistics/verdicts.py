"""Verdicts on claims: the result of each test, the verdict of the claim, and its wording."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from restem.config.claims import Claim, Contrast

Verdict = Literal["supported", "contradicted", "inconclusive", "untested"]
Interval = tuple[float, float]
ENOUGH_SEEDS: Final = 2  # to estimate the variance between trainings at all


@dataclass(frozen=True)
class Finding:
    """The result of one test: the contrast and its interval, in shares.

    problems: the smallest number among the policies that the contrast is of. trained: how many of
    them were trained. seeds: the smallest number of training seeds among those; 0 without any.
    supports, contradicts: p-values of the expectation and of its opposite, one-sided; None where
    one seed can decide nothing.
    """

    k: int
    contrast: str
    estimate: float
    low: float
    high: float
    problems: int
    seeds: int
    trained: int
    verdict: Verdict
    supports: float | None = None
    contradicts: float | None = None

    @property
    def of_one_run(self) -> bool:
        """Tell whether some policy was trained only once, so that the interval is of that run."""
        return self.trained > 0 and self.seeds < ENOUGH_SEEDS


@dataclass(frozen=True)
class LeftOut:
    """A test that says nothing because no problem is in its group; why: in words."""

    contrast: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """A claim with its verdict and the findings behind it.

    left_out: tests of empty groups of problems; reason: why the claim is untested. p: the p-value
    of the verdict; p_family, family: p-value and verdict where all claims count together.
    """

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...] = ()
    reason: str | None = None
    p: float | None = None
    p_family: float | None = None
    family: Verdict | None = None


class Missing(Exception):  # noqa: N818 - a result that was not computed is no error
    """Name the result that a test needs and that does not exist."""


def conclude(claim: Claim, findings: Callable[[], Iterable[Finding | LeftOut]]) -> Outcome:
    """Return the outcome of a claim; it is untested if a result is missing.

    Tests that are left out do not count, unless all of them are.
    """
    try:
        tests = tuple(findings())
    except Missing as missing:
        return Outcome(claim, "untested", (), reason=str(missing))
    results = tuple(test for test in tests if isinstance(test, Finding))
    left_out = tuple(test for test in tests if isinstance(test, LeftOut))
    if not results:
        return Outcome(claim, "untested", (), reason=left_out[0].why)
    verdicts = {finding.verdict for finding in results}
    verdict: Verdict = "inconclusive"
    if "contradicted" in verdicts:
        verdict = "contradicted"
    elif verdicts == {"supported"}:
        verdict = "supported"
    return Outcome(claim, verdict, results, left_out)


def verdict(claim: Claim, interval: Interval, wide: Interval) -> Verdict:
    """Compare an interval with the claim's margin; the wide interval decides on contradiction."""
    (low, high), (wide_low, wide_high), margin = interval, wide, claim.margin
    supported, contradicted = {
        "above": (low > margin, wide_high < margin),
        "below": (high < -margin, wide_low > -margin),
        "within": (-margin <= low and high <= margin, wide_low > margin or wide_high < -margin),
    }[claim.expect]
    if supported:
        return "supported"
    return "contradicted" if contradicted else "inconclusive"


def decided(claim: Claim, finding: Finding, below: Callable[[float], float]) -> Finding:
    """Add p-values to a finding; what one run shows is no verdict on a method.

    below: the probability that the contrast, in other problems and seeds, lies below a value.
    """
    if finding.of_one_run:
        return replace(finding, verdict="inconclusive")
    margin = claim.margin
    supports, contradicts = {
        "above": lambda: (below(margin), 1 - below(margin)),
        "below": lambda: (1 - below(-margin), below(-margin)),
        "within": lambda: (
            max(below(-margin), 1 - below(margin)),
            min(below(margin), 1 - below(-margin)),
        ),
    }[claim.expect]()
    return replace(finding, supports=supports, contradicts=contradicts)


def contrast(test: Contrast) -> str:
    """Write a contrast as the policies that it adds and subtracts."""
    plus, minus = " + ".join(test.plus), " - ".join(test.minus)
    place = f" on {test.task}" if test.task else ""
    place += f" less that at k = {test.less_k}" if test.less_k else ""
    return (f"{plus} - {minus}" if minus else plus) + place + _group(test)


def _group(test: Contrast) -> str:
    if test.group is None:
        return ""
    less = f" less that of {test.less_group}" if test.less_group else ""
    return f" ({test.group.kind} {test.group.name}{less})"


def worded(outcome: Outcome, confidence: float) -> str:
    """Write the outcome as a sentence that follows from the numbers alone."""
    claim = outcome.claim
    if outcome.verdict == "untested":
        return f"untested: {outcome.reason}"
    decisive = _decisive(outcome)
    expected = {
        "above": f"above {100 * claim.margin:+.1f}",
        "below": f"below {-100 * claim.margin:+.1f}",
        "within": f"within ±{100 * claim.margin:.1f}",
    }[claim.expect]
    at_k = f" at k = {decisive.k}" if claim.quantity in ("pass", "maj") else ""
    return (
        f"{outcome.verdict}: {decisive.contrast}{at_k} is {100 * decisive.estimate:+.1f} points "
        f"[{100 * decisive.low:+.1f}, {100 * decisive.high:+.1f}] ({100 * confidence:g} %), "
        f"expected {expected}; {decisive.problems} problems, {seeds_of(decisive)}"
        + (f"; {len(outcome.findings)} tests" if len(outcome.findings) > 1 else "")
        + "".join(f"; {test.why}" for test in outcome.left_out)
    )


def seeds_of(finding: Finding) -> str:
    """Write how many seeds the policies of a contrast were trained with, and what one can say."""
    if not finding.trained:
        return "no trained policy"
    if not finding.of_one_run:
        return f"{finding.seeds} training seeds"
    return f"{finding.seeds} training seed: the interval is of this run, not of the method"


def _decisive(outcome: Outcome) -> Finding:
    """Return the finding behind the verdict: the least favourable one with that verdict."""
    of_verdict = [f for f in outcome.findings if f.verdict == outcome.verdict]
    sign = -1 if outcome.claim.expect == "below" else 1
    return min(of_verdict or outcome.findings, key=lambda f: sign * f.estimate)


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row for each finding, each test left out and each untested claim."""
    empty = dict.fromkeys(("k", "contrast", "estimate", "low", "high", "test"))
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        head: dict[str, Any] = {
            "claim": outcome.claim.id,
            "verdict": outcome.verdict,
            "reason": outcome.reason,
            "p": outcome.p,
            "p_family": outcome.p_family,
            "family": outcome.family,
        }
        head |= {**empty, "problems": 0, "seeds": 0}
        if not outcome.findings:
            rows.append(head)
        for left_out in outcome.left_out:
            rows.append({**head, "contrast": left_out.contrast, "reason": left_out.why})
        for finding in outcome.findings:
            result = dict(vars(finding))
            rows.append({**head, **result, "verdict": outcome.verdict, "test": finding.verdict})
    return rows
