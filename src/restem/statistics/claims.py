"""Test the claims of the paper: a contrast of policies, its interval and a verdict.

A claim is supported if every one of its tests is: the interval of the contrast lies on the
expected side of the margin. It is contradicted if the interval of some test lies on the other
side. With m tests this second interval has confidence 1 - (1 - c) / m (Bonferroni), because m
looks find a contradiction too easily; requiring support from all tests needs no correction. In
all other cases the claim is inconclusive. A claim whose results were not computed is untested, with
the reason; so is one whose premise does not hold, for instance a claim on scale where the larger
base model is not the better one. A test on an empty difficulty bin says nothing and is left out.

A test of each group is one test for every group of its kind. So "no task degrades" is supported if
every task's interval lies above the margin, and contradicted by a single task only after the
correction for their number. A test of the mean gives every group the same weight
(`restem.statistics.macro`).

A contrast in which some policy was trained once has the interval of that run. It is inconclusive
about the method, whatever the interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from restem.config.claims import EACH, Claim, Contrast, Group
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.evaluation import SCORE, Measured, Row, collect, fewest_seeds
from restem.statistics.false_positives import judge_rates
from restem.statistics.groups import MEAN, Key, problems_by_group
from restem.statistics.intervals import Bootstrap, Estimate
from restem.statistics.multiplicity import in_family
from restem.statistics.same_problems import Rechecked
from restem.statistics.verdicts import (
    Finding,
    LeftOut,
    Missing,
    Outcome,
    Verdict,
    conclude,
    contrast,
    decided,
    verdict,
    worded,
)


def judge(
    claims: Sequence[Claim],
    rows: Sequence[Row],
    settings: Metrics,
    false_positives: Sequence[Row] = (),
    rechecked: Sequence[Rechecked] = (),
) -> list[Outcome]:
    """Test every claim on the results of a study, its rates of false positives and rechecks."""
    measured = collect(rows, settings.ks)
    by_group = problems_by_group(rows, settings)
    outcomes = [
        judge_rates(claim, false_positives, settings, rechecked)
        if claim.quantity == "false_positives"
        else _without_premise(claim, measured, by_group, settings)
        or _Judge(claim, measured, by_group, settings).outcome()
        for claim in claims
    ]
    return in_family(outcomes, settings.confidence)


def _without_premise(
    claim: Claim,
    measured: Sequence[Measured],
    by_group: Mapping[Key, frozenset[str]],
    settings: Metrics,
) -> Outcome | None:
    """Return an untested outcome if the premise of a claim does not hold; else None."""
    if claim.premise is None:
        return None
    asked = {"tests": [claim.premise], "premise": None, "expect": "above", "margin": 0.0}
    premise = claim.model_copy(update=asked)
    outcome = _Judge(premise, measured, by_group, settings).outcome()
    if outcome.verdict == "supported":
        return None
    why = worded(outcome, settings.confidence)
    return Outcome(claim, "untested", (), reason=f"its premise is {why}")


@dataclass(frozen=True)
class Effect:
    """A contrast as estimated, on how many problems, and the trained policies in it.

    unseen: the number of problems that bounds what was not seen, where nothing varies.
    """

    estimate: Estimate
    problems: int
    trained: Sequence[Measured]
    unseen: int

    @property
    def seeds(self) -> int:
        """Return the smallest number of training seeds; 0 without trained policies."""
        return fewest_seeds(self.trained)

    @property
    def policies(self) -> int:
        """Return how many different policies were trained; splits of one count once."""
        return len({policy.trainings for policy in self.trained})


def effects(
    claims: Sequence[Claim], rows: Sequence[Row], settings: Metrics
) -> Iterator[tuple[Claim, str, Effect | str]]:
    """Yield the contrast and the effect of every test; a reason where results are missing.

    Claims on false positives, which are of other results, are left out.
    """
    measured = collect(rows, settings.ks)
    by_group = problems_by_group(rows, settings)
    for claim in claims:
        if claim.quantity == "false_positives":
            continue
        judge_of_claim = _Judge(claim, measured, by_group, settings)
        for stated in claim.tests:
            try:
                for test in judge_of_claim.tests(stated):
                    for k in numbers_of(claim, test):
                        yield claim, contrast(test), judge_of_claim.effect(test, k)
            except Missing as missing:
                yield claim, contrast(stated), str(missing)


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
        """Return the claim's verdict; untested if a result is missing."""
        return conclude(self._claim, self._findings)

    def _findings(self) -> Iterator[Finding | LeftOut]:
        each = [test for stated in self._claim.tests for test in self.tests(stated)]
        ks = [numbers_of(self._claim, test) for test in each]
        tests = sum(map(len, ks))
        for test, numbers in zip(each, ks, strict=True):
            for k in numbers:
                yield self._left_out(test) or self._finding(test, k, tests)

    def tests(self, stated: Contrast) -> list[Contrast]:
        """Return one test for every group where `each` is stated. Raises Missing without groups."""
        if stated.group is None or stated.group.name != EACH:
            return [stated]
        return [_on(stated, name) for name in self._groups(stated)]

    def _groups(self, test: Contrast) -> list[str]:
        """List the groups of a test's kind that the problems of its policies fall into."""
        task, kind = test.task or self._claim.task, test.group.kind if test.group else ""
        side = test.plus[0]
        place = (task, side.partition("@")[2] or self._claim.split, kind)
        owners = ("", side.partition("/")[0])  # bins of difficulty are those of a model
        names = {k[3] for k in self._by_group if k[:3] == place and k[4] in owners}
        if not names:
            raise Missing(f"no results of {task} by {kind}")
        return sorted(names)

    def _left_out(self, test: Contrast) -> LeftOut | None:
        """Report a difficulty bin that is empty although the model's problems were sorted."""
        if test.group is None or test.group.kind != "difficulty":
            return None
        task = test.task or self._claim.task
        for side in (*test.plus, *test.minus):
            model, split = side.partition("/")[0], side.partition("@")[2] or self._claim.split
            place = (task, split, test.group.kind, model)
            bins = {key[3] for key in self._by_group if (*key[:3], key[4]) == place}
            for name in filter(None, (test.group.name, test.less_group)):
                if bins and name not in bins:
                    return LeftOut(contrast(test), f"no problem is {name} for {model}")
        return None

    def effect(self, test: Contrast, k: int) -> Effect:
        """Estimate one contrast. Raises Missing if a result does not exist."""
        if test.less_group is not None:
            larger, smaller = (self._effect(t, k) for t in (_on(test), _on(test, test.less_group)))
            return replace(
                larger,
                estimate=larger.estimate + smaller.estimate.times(-1),
                problems=min(larger.problems, smaller.problems),
                unseen=min(larger.unseen, smaller.unseen),
            )
        return self._effect(test, k)

    def _effect(self, test: Contrast, k: int) -> Effect:
        """Estimate a contrast in one group, or the mean over groups, each counting the same."""
        if test.group is None or test.group.name != MEAN:
            return self._effect_in_group(test, k)
        parts = [self._effect_in_group(_on(test, name), k) for name in self._groups(test)]
        estimates = [part.estimate for part in parts]
        return replace(
            parts[0],
            estimate=sum(estimates[1:], estimates[0]).times(1 / len(parts)),
            problems=sum(part.problems for part in parts),
            unseen=len(parts) * min(part.unseen for part in parts),
        )

    def _effect_in_group(self, test: Contrast, k: int) -> Effect:
        sides = [(1.0, side) for side in test.plus] + [(-1.0, side) for side in test.minus]
        terms = [(sign, *self._term(test, k, side)) for sign, side in sides]
        shared = _shared([(policy, problems) for _, policy, problems in terms])
        estimates = [
            self._estimate(policy, test, k, shared[_place(policy)]).times(sign)
            for sign, policy, _ in terms
        ]
        fewest = min(map(len, shared.values()))
        return Effect(
            sum(estimates[1:], estimates[0]),
            fewest,
            [policy for _, policy, _ in terms if policy.trainings is not None],
            fewest,
        )

    def _finding(self, test: Contrast, k: int, tests: int) -> Finding:
        effect = self.effect(test, k)
        interval, wide = (
            self._bootstrap.interval(effect.estimate, _span(test), effect.unseen, count)
            for count in (1, tests)
        )
        return decided(
            self._claim,
            Finding(
                k=k,
                contrast=contrast(test),
                **interval,
                problems=effect.problems,
                seeds=effect.seeds,
                trained=len(effect.trained),
                verdict=self._verdict(interval, wide),
            ),
            effect.estimate.distribution.below,
        )

    def _estimate(
        self, policy: Measured, test: Contrast, k: int, problems: Sequence[str]
    ) -> Estimate:
        quantity = self._claim.quantity
        if quantity == SCORE and policy.points:
            return policy.estimate(SCORE, k, problems, self._bootstrap)
        name = quantity if quantity == "accuracy" else f"{quantity}@{k}"
        values = policy.values(name, k, problems)
        if isinstance(test.less_k, int):
            values = values - policy.values(f"{quantity}@{test.less_k}", test.less_k, problems)
        return self._bootstrap.estimate(values, problems, policy.trainings)

    def _term(self, test: Contrast, k: int, side: str) -> tuple[Measured, list[str]]:
        """Find the results of a policy, and the problems of the test among them."""
        address, _, split = side.partition("@")
        model, variant, iteration = (*address.split("/"), "0")[:3]
        task = test.task or self._claim.task
        wanted = {"task": task, "split": split or self._claim.split}
        wanted |= {"model": model, "variant": variant}
        if self._claim.decoding is not None:
            wanted["decoding"] = self._claim.decoding
        matches = [
            m for m in self._measured
            if wanted.items() <= m.address.items()
            and (self._claim.quantity == SCORE or m.greedy == (self._claim.quantity == "accuracy"))
            and m.counts
            and iteration in ("last", str(m.address["iteration"]))
        ]  # fmt: skip
        if not matches:
            raise Missing(f"no results of {side} on {task} {wanted['split']}")
        decodings = sorted({m.address["decoding"] for m in matches})
        if len(decodings) > 1:
            names = ", ".join(decodings)
            raise Missing(f"{side} was evaluated with several decodings ({names}): name one")
        policy = max(matches, key=lambda m: int(m.address["iteration"]))
        self._check_draws(policy, k, test.less_k, side)
        return policy, self._problems_of(policy, test)

    def _check_draws(self, policy: Measured, k: int, less_k: int | str | None, side: str) -> None:
        needed = max(k, less_k) if isinstance(less_k, int) else k
        if self._claim.quantity != "accuracy" and policy.draws < needed:
            raise Missing(f"{side} has {policy.draws} draws, {needed} are needed")
        if self._claim.quantity == "maj" and not policy.has_votes:
            raise Missing(f"{side} has no answers to count")

    def _problems_of(self, policy: Measured, test: Contrast) -> list[str]:
        if test.group is None:
            return policy.problems
        place = (policy.address["task"], policy.address["split"], test.group.kind, test.group.name)
        # The difficulty bins of a policy are those of its own base model.
        group = self._by_group.get((*place, str(policy.address["model"])), frozenset())
        group = group or self._by_group.get((*place, ""), frozenset())
        problems = [problem for problem in policy.problems if problem in group]
        if not problems:
            raise Missing(f"no {test.group.kind} {test.group.name!r} on {place[0]}")
        return problems

    def _verdict(self, interval: Row, wide: Row) -> Verdict:
        """Compare the interval with the margin; with several tests a wider one contradicts."""
        ends, wide_ends = ((float(one["low"]), float(one["high"])) for one in (interval, wide))
        return verdict(self._claim, ends, wide_ends)


def _on(test: Contrast, name: str | None = None) -> Contrast:
    """Return the test on one group: the one named, or its own."""
    group = test.group if name is None or test.group is None else _named(test.group, name)
    return test.model_copy(update={"group": group, "less_group": None})


def _named(group: Group, name: str) -> Group:
    return group.model_copy(update={"name": name})


def _span(test: Contrast) -> tuple[float, float]:
    """Return the bounds of a contrast of shares."""
    most, least = float(len(test.plus)), float(len(test.minus))
    compares = test.less_group is not None or test.less_k is not None
    return (-least - most, most + least) if compares else (-least, most)


def numbers_of(claim: Claim, test: Contrast) -> list[int]:
    """Return the k of a test; the study must have put numbers for its words."""
    if isinstance(test.k, str) or isinstance(test.less_k, str):
        raise Missing(f"the study has no k of {claim.quantity}@k that {claim.decoding} draws for")
    return test.k


def _place(policy: Measured) -> tuple[str, str]:
    return policy.address["task"], policy.address["split"]


def _shared(
    terms: Sequence[tuple[Measured, Sequence[str]]],
) -> dict[tuple[str, str], list[str]]:
    """Return, for each task and split, the problems that all of its terms have: paired."""
    shared: dict[tuple[str, str], set[str]] = {}
    for policy, problems in terms:
        shared.setdefault(_place(policy), set(problems)).intersection_update(problems)
    empty = [place for place, problems in shared.items() if not problems]
    if empty:
        raise RestemError(
            "the two sides of a claim have no problem in common",
            " ".join(empty[0]),
            "evaluate both on the same problems",
        )
    return {place: sorted(problems) for place, problems in shared.items()}
