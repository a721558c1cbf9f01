"""Test the claims of the paper: a contrast, its interval, a verdict, and words made from them.

A claim is supported when every one of its tests is: the interval of the contrast lies on the
expected side of the margin. It is contradicted when some test's interval lies on the other side;
with m tests that interval has confidence 1 - (1 - c) / m (Bonferroni), because looking m times for
a contradiction finds one too easily. Supporting all needs no such correction. All else is
inconclusive. What was not run is untested, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from restem.config.claims import Claim, Contrast
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.evaluation import Bootstrap, Floats, Measured, Row, collect
from restem.statistics.groups import Key, problems_by_group

Verdict = Literal["supported", "contradicted", "inconclusive", "untested"]


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
    """A claim with its verdict and the findings behind it; reason: why it is untested."""

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str | None = None


class Missing(Exception):  # noqa: N818 - what was not run is no error
    """Say which result a test would need."""


def judge(claims: Sequence[Claim], rows: Sequence[Row], settings: Metrics) -> list[Outcome]:
    """Test every claim on the results of a study."""
    measured = collect(rows, settings.ks)
    by_group = problems_by_group(rows, settings)
    return [_Judge(claim, measured, by_group, settings).outcome() for claim in claims]


class _Judge:
    """Test one claim."""

    def __init__(
        self,
        claim: Claim,
        measured: Sequence[Measured],
        by_group: Mapping[Key, frozenset[str]],
        settings: Metrics,
    ) -> None:
        self._claim, self._measured, self._by_group = claim, measured, by_group
        self._settings = settings
        self._bootstrap = Bootstrap(settings)

    def outcome(self) -> Outcome:
        """Return the claim's verdict, untested when some result is not there."""
        try:
            findings = tuple(self._findings())
        except Missing as missing:
            return Outcome(self._claim, "untested", (), str(missing))
        verdicts = {finding.verdict for finding in findings}
        verdict: Verdict = "inconclusive"
        if "contradicted" in verdicts:
            verdict = "contradicted"
        elif verdicts == {"supported"}:
            verdict = "supported"
        return Outcome(self._claim, verdict, findings)

    def _findings(self) -> Iterator[Finding]:
        count = sum(len(test.k) for test in self._claim.tests)
        for test in self._claim.tests:
            for k in test.k:
                yield self._finding(test, k, count)

    def _finding(self, test: Contrast, k: int, tests: int) -> Finding:
        terms = [(1.0, side) for side in test.plus] + [(-1.0, side) for side in test.minus]
        found = [(sign, *self._term(test, side)) for sign, side in terms]
        shared = _shared([(policy, problems) for _, policy, problems in found])
        name = "accuracy" if self._claim.quantity == "accuracy" else f"{self._claim.quantity}@{k}"
        point, resampled = 0.0, np.zeros(self._settings.resamples)
        for sign, policy, _ in found:
            problems = shared[_place(policy)]
            values = policy.values(name, k, problems)
            if test.less_k is not None:
                values = values - policy.values(
                    f"{self._claim.quantity}@{test.less_k}", test.less_k, problems
                )
            point += sign * float(values.mean())
            resampled = resampled + sign * self._bootstrap.means(policy, values, problems)
        span = (-float(len(test.minus)), float(len(test.plus)))
        sizes = [len(problems) for problems in shared.values()]
        interval = self._bootstrap.interval(resampled, point, span, min(sizes))
        return Finding(
            k, _contrast(test), interval["estimate"], interval["low"], interval["high"],
            min(sizes), min(len(policy.seeds) for _, policy, _ in found),
            self._verdict(point, interval, resampled, tests),
        )  # fmt: skip

    def _term(self, test: Contrast, side: str) -> tuple[Measured, list[str]]:
        """Find a policy's results and the problems of the test among them."""
        place, _, split = side.partition("@")
        model, variant, iteration = (*place.split("/"), "0")[:3]
        task = test.task or self._claim.task
        wanted = {
            "task": task, "split": split or self._claim.split, "model": model,
            "variant": variant, "decoding": self._claim.decoding,
        }  # fmt: skip
        mine = [m for m in self._measured if wanted.items() <= m.address.items() and m.counts]
        if iteration != "last":
            mine = [m for m in mine if m.address["iteration"] == int(iteration)]
        if not mine:
            raise Missing(f"no results of {side} on {task} {wanted['split']}")
        policy = max(mine, key=lambda m: int(m.address["iteration"]))
        self._check_draws(policy, test, side)
        return policy, self._chosen(policy, test)

    def _check_draws(self, policy: Measured, test: Contrast, side: str) -> None:
        if self._claim.quantity != "accuracy" and policy.draws < max([*test.k, test.less_k or 1]):
            raise Missing(f"{side} has {policy.draws} draws, {max(test.k)} are needed")
        if self._claim.quantity == "maj" and not policy.votes:
            raise Missing(f"{side} has no answers to count")

    def _chosen(self, policy: Measured, test: Contrast) -> list[str]:
        if test.group is None:
            return policy.problems
        place = (policy.address["task"], policy.address["split"], test.group.kind, test.group.name)
        # Bins of difficulty follow the base of the policy's own model.
        chosen = self._by_group.get((*place, str(policy.address["model"])), frozenset())
        chosen = chosen or self._by_group.get((*place, ""), frozenset())
        found = [name for name in policy.problems if name in chosen]
        if not found:
            raise Missing(f"no {test.group.kind} {test.group.name!r} on {place[0]}")
        return found

    def _verdict(self, point: float, found: Row, resampled: Floats, tests: int) -> Verdict:
        """Compare the interval with the margin; a wider one decides on contradictions."""
        expect, margin = self._claim.expect, self._claim.margin
        tail = (1 - self._settings.confidence) / 2 / tests
        wide_low, wide_high = np.quantile(resampled, [tail, 1 - tail])
        wide_low, wide_high = min(wide_low, found["low"]), max(wide_high, found["high"])
        if expect == "above":
            return _decide(found["low"] > margin, wide_high < margin)
        if expect == "below":
            return _decide(found["high"] < -margin, wide_low > -margin)
        inside = -margin <= found["low"] and found["high"] <= margin
        return _decide(inside, wide_low > margin or wide_high < -margin)


def _decide(supported: bool, contradicted: bool) -> Verdict:
    if supported:
        return "supported"
    return "contradicted" if contradicted else "inconclusive"


def _place(policy: Measured) -> tuple[str, str]:
    return policy.address["task"], policy.address["split"]


def _shared(
    terms: Sequence[tuple[Measured, Sequence[str]]],
) -> dict[tuple[str, str], list[str]]:
    """Return, for each task and split, the problems that all of its terms have: paired."""
    found: dict[tuple[str, str], set[str]] = {}
    for policy, problems in terms:
        found.setdefault(_place(policy), set(problems)).intersection_update(problems)
    empty = [place for place, problems in found.items() if not problems]
    if empty:
        raise RestemError(
            "the two sides of a claim have no problem in common",
            " ".join(empty[0]),
            "evaluate both on the same problems",
        )
    return {place: sorted(problems) for place, problems in found.items()}


def _contrast(test: Contrast) -> str:
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
    quantity = "" if claim.quantity == "accuracy" else f" at k = {worst.k}"
    return (
        f"{outcome.verdict}: {worst.contrast}{quantity} is {100 * worst.estimate:+.1f} points "
        f"[{100 * worst.low:+.1f}, {100 * worst.high:+.1f}] ({100 * confidence:g} %), expected "
        f"{expected}; {worst.problems} problems, {worst.seeds} training "
        f"seed{'' if worst.seeds == 1 else 's'}"
        + (f"; {len(outcome.findings)} tests" if len(outcome.findings) > 1 else "")
    )


def _decisive(outcome: Outcome) -> Finding:
    """Return the finding that gave the verdict: of all tests the least favourable one."""
    of_verdict = [f for f in outcome.findings if f.verdict == outcome.verdict]
    sign = -1 if outcome.claim.expect == "below" else 1
    return min(of_verdict or outcome.findings, key=lambda f: sign * f.estimate)


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row for each finding, and one for each untested claim."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        head = {"claim": outcome.claim.id, "verdict": outcome.verdict, "reason": outcome.reason}
        if not outcome.findings:
            empty = dict.fromkeys(("k", "contrast", "estimate", "low", "high", "test"))
            rows.append({**head, **empty, "problems": 0, "seeds": 0})
        for one in outcome.findings:
            numbers = {"estimate": one.estimate, "low": one.low, "high": one.high}
            sizes = {"problems": one.problems, "seeds": one.seeds, "test": one.verdict}
            rows.append({**head, "k": one.k, "contrast": one.contrast, **numbers, **sizes})
    return rows
