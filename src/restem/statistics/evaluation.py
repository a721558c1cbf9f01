"""Estimate accuracy, pass@k, votes and exam scores per policy, with intervals.

The intervals are those of `restem.statistics.intervals`: right for few training seeds, and paired
where policies answered the same problems.

Greedy decoding (temperature 0) gives the accuracy, and sampling gives pass@k. The results state
which of the two a row is; the name of a decoding has no meaning here.
"""

import sys
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.intervals import Bootstrap, Estimate, Floats
from restem.statistics.votes import Ballot, from_cell, majority_score

Row: TypeAlias = dict[str, Any]
Ints: TypeAlias = NDArray[np.int64]

ADDRESS: Final = ("task", "split", "model", "variant", "iteration", "decoding")
BASE: Final = "base"
MAJORITY: Final = "maj@"
DISTINCT: Final = "distinct@"
SCORE: Final = "score"  # points given by a human, as a share of the rubric's points

_NO_ESTIMATE: Final[Row] = {"estimate": None, "low": None, "high": None}


def summarise(results: Iterable[Mapping[str, Any]], settings: Metrics) -> list[Row]:
    """Estimate every quantity of every policy: over all seeds (seed null), then for each seed.

    Greedy decoding gives `accuracy`, sampling gives `pass@k` for every k up to the number of draws,
    and points given by a human give a `score` as well. `draws` is the smallest number of draws of
    a problem. A halted policy has null estimates and its reason.
    Raises RestemError for empty or contradictory results and for a k above all numbers of draws.
    """
    return summary_of(collect(results, settings.ks), settings)


def summary_of(policies: Sequence["Measured"], settings: Metrics) -> list[Row]:
    """Return what `summarise` does, from results that `collect` has grouped."""
    bootstrap = Bootstrap(settings)
    return [
        _summary_row(part, seed, name, k, bootstrap)
        for policy in policies
        for seed, part in parts(policy)
        for name, k in quantities(part, settings)
    ]


def lifts(
    results: Iterable[Mapping[str, Any]], settings: Metrics, references: Collection[str]
) -> list[Row]:
    """Estimate the difference between each policy and the base model and each reference variant.

    Differences are taken problem by problem, on the problems that both answered, with the same
    decoding, over all seeds. The column `reference` names the variant that was subtracted, at its
    last iteration. Raises RestemError as `summarise` does.
    """
    return lifts_of(collect(results, settings.ks), settings, references)


def lifts_of(
    policies: Sequence["Measured"], settings: Metrics, references: Collection[str]
) -> list[Row]:
    """Return what `lifts` does, from results that `collect` has grouped."""
    bootstrap = Bootstrap(settings)
    return [
        _lift_row(policy, reference, name, k, bootstrap)
        for policy, reference, name, k in comparisons(policies, references, settings)
    ]


@dataclass
class Measured:
    """The results of one policy with one decoding on one split.

    greedy: decoded at temperature 0; counts: (draws, correct) by seed and problem; ballots: the
    answers by seed and problem, where votes can be counted; halted: the reason by seed; points:
    (points given, points possible) by seed and problem, where a human gave them; solutions: how
    often each distinct correct one was drawn, by seed and problem. references: how many of its
    training problems had a reference solution, where not all had one.
    """

    address: Row
    greedy: bool
    counts: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)
    ballots: dict[int, dict[str, Ballot]] = field(default_factory=dict)
    halted: dict[int, str] = field(default_factory=dict)
    points: dict[int, dict[str, tuple[float, float]]] = field(default_factory=dict)
    solutions: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    references: str | None = field(default=None, kw_only=True)

    @property
    def halted_everywhere(self) -> bool:
        """Tell whether no seed has results."""
        return not self.counts

    @property
    def seeds(self) -> list[int]:
        """List the seeds that have results."""
        return sorted(self.counts)

    @property
    def trainings(self) -> Hashable:
        """Name the trainings that the seeds are of; None for a base model, which has none."""
        if self.address["variant"] == BASE:
            return None
        return (*(self.address[name] for name in ("model", "variant", "iteration")), *self.seeds)

    @property
    def problems(self) -> list[str]:
        """List the problems, which are the same for every seed."""
        return sorted(self.counts[self.seeds[0]]) if self.counts else []

    @property
    def draws(self) -> int:
        """Return the smallest number of draws of a problem."""
        return min((n for run in self.counts.values() for n, _ in run.values()), default=0)

    @property
    def reason(self) -> str | None:
        """Return why the policy halted, and for how many seeds if not for all."""
        if not self.halted:
            return None
        reasons = "; ".join(sorted(set(self.halted.values())))
        if self.halted_everywhere:
            return reasons
        return f"{len(self.halted)} of {len(self.halted) + len(self.counts)} seeds: {reasons}"

    @property
    def has_votes(self) -> bool:
        """Tell whether some problem has answers to count."""
        return any(self.ballots.get(seed) for seed in self.seeds)

    def values(self, name: str, k: int, problems: Sequence[str]) -> Floats:
        """Return a quantity by problem and seed, shape (problems, seeds)."""
        if name.startswith(MAJORITY):
            return self._votes(k, problems)
        if name.startswith(DISTINCT):
            return self._distinct(k, problems)
        counts = [[self.counts[seed][problem] for seed in self.seeds] for problem in problems]
        pairs = np.array(counts, np.int64).reshape(len(problems), len(self.seeds), 2)
        return pass_at_k(pairs[..., 0], pairs[..., 1], k)

    def estimate(
        self, name: str, k: int, problems: Sequence[str], bootstrap: Bootstrap
    ) -> Estimate:
        """Return the estimate of a quantity; an exam score is a ratio of sums."""
        if name != SCORE:
            return bootstrap.estimate(self.values(name, k, problems), problems, self.trainings)
        points = [[self.points[seed][problem] for seed in self.seeds] for problem in problems]
        given, possible = np.moveaxis(np.array(points, np.float64), 2, 0)
        score = float(given.sum() / possible.sum())
        linear = score + (given - score * possible) / possible.mean()  # of seeds, close to it
        resampled = bootstrap.means(given, problems) / bootstrap.means(possible, problems)
        by_seed = bootstrap.estimate(linear, problems, self.trainings)
        return Estimate(score, resampled, by_seed.by_seed, by_seed.noise)

    def _votes(self, k: int, problems: Sequence[str]) -> Floats:
        """Return maj@k by problem and seed; a problem without any answer scores 0."""
        scores = [
            [
                majority_score(ballot, k) if (ballot := ballots.get(problem)) else 0.0
                for ballots in (self.ballots.get(seed, {}) for seed in self.seeds)
            ]
            for problem in problems
        ]
        return np.array(scores, np.float64).reshape(len(problems), len(self.seeds))

    def _distinct(self, k: int, problems: Sequence[str]) -> Floats:
        """Return distinct@k by problem and seed."""
        scores = [
            [
                distinct_at_k(self.counts[seed][problem][0], self.solutions[seed][problem], k)
                for seed in self.seeds
            ]
            for problem in problems
        ]
        return np.array(scores, np.float64).reshape(len(problems), len(self.seeds))


def collect(results: Iterable[Mapping[str, Any]], ks: Sequence[int]) -> list[Measured]:
    """Group the rows by policy, decoding and split.

    Raises RestemError if they contradict each other, or if no decoding has enough draws for a k.
    """
    by_address: dict[tuple[Any, ...], Measured] = {}
    for row in results:
        key = tuple(row[name] for name in ADDRESS)
        address = dict(zip(ADDRESS, key, strict=True))
        _add(by_address.setdefault(key, Measured(address, row["greedy"])), row)
    if not by_address:
        raise RestemError(
            "there are no results to summarise", "the results table", "run the evaluations first"
        )
    policies = [by_address[key] for key in sorted(by_address)]
    for policy in policies:
        _check_seeds(policy)
    _check_ks(policies, ks)
    return policies


def quantities(policy: Measured, settings: Metrics) -> list[tuple[str, int]]:
    """List the quantities that a policy's draws allow, each with its k."""
    score = [(SCORE, 1)] if policy.points else []
    if policy.greedy:
        return [("accuracy", 1), *score]
    if policy.halted_everywhere:
        return [("pass@1", 1)]
    sampled = [(f"pass@{k}", k) for k in settings.ks if k <= policy.draws]
    if policy.has_votes:
        sampled += [(f"{MAJORITY}{k}", k) for k in settings.votes if k <= policy.draws]
    if policy.solutions:
        sampled += [(f"{DISTINCT}{k}", k) for k in settings.distinct if k <= policy.draws]
    return sampled + score


def comparisons(
    policies: Sequence[Measured], references: Collection[str], settings: Metrics
) -> Iterator[tuple[Measured, Measured, str, int]]:
    """Pair every trained policy with the base model and with each reference's last iteration.

    Both were evaluated in the same way. Yields the quantities that both have, with their k.
    """
    for policy in policies:
        if policy.address["variant"] == BASE:
            continue
        for reference in _references_of(policy, policies, references):
            both = quantities(reference, settings)
            for name, k in quantities(policy, settings):
                if reference.halted_everywhere or policy.halted_everywhere or (name, k) in both:
                    yield policy, reference, name, k


def _references_of(
    policy: Measured, policies: Sequence[Measured], references: Collection[str]
) -> list[Measured]:
    same = ("task", "split", "model", "decoding")
    last: dict[str, Measured] = {}  # policies are sorted by iteration
    for other in policies:
        variant = other.address["variant"]
        if (
            (variant == BASE or variant in references)
            and variant != policy.address["variant"]
            and all(other.address[name] == policy.address[name] for name in same)
        ):
            last[variant] = other
    return list(last.values())


def fewest_seeds(policies: Iterable[Measured]) -> int:
    """Return the smallest number of seeds among trained policies; 0 if there are only base models.

    Base models have no training seed, so they do not count.
    """
    return min((len(p.counts) for p in policies if p.address["variant"] != BASE), default=0)


def pass_at_k(draws: Sequence[int] | Ints, correct: Sequence[int] | Ints, k: int) -> Floats:
    """Estimate, for each problem, the probability that at least one of k draws is correct.

    The unbiased 1 - C(n - c, k) / C(n, k), computed as a product (Chen et al. 2021, arXiv
    2107.03374, eq. 1 and its numpy code), which neither overflows nor cancels. The result has the
    shape of the counts. Raises RestemError when k > n.
    """
    n, c = np.asarray(draws, np.int64), np.asarray(correct, np.int64)
    _check_counts(n, c, k)
    pairs, which = np.unique(np.stack([n.ravel(), c.ravel()]), axis=1, return_inverse=True)
    estimates = [1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)) for n, c in pairs.T]
    return np.asarray(np.array(estimates, np.float64)[which.reshape(n.shape)], np.float64)


def distinct_at_k(draws: int, counts: Sequence[int], k: int) -> float:
    """Return the distinct correct solutions expected among k draws of a problem, divided by k.

    Each one is among them with probability 1 - C(n - c, k) / C(n, k), as in pass@k, so the sum is
    unbiased (rarefaction, Hurlbert 1971). The result lies between 0, nothing correct, and 1, every
    draw a correct solution of its own. counts: how often each distinct correct solution was drawn.
    """
    return float(pass_at_k([draws] * len(counts), counts, k).sum()) / k if counts else 0.0


def _check_counts(n: Ints, c: Ints, k: int) -> None:
    if k < 1 or (n.size and k > n.min()):
        raise RestemError(
            f"pass@{k} cannot be estimated from {n.min() if n.size else 0} draws",
            "metrics.ks",
            "draw more, or list only k between 1 and the number of draws",
        )
    if n.shape != c.shape or (c < 0).any() or (c > n).any():
        raise RestemError(
            "a problem has more correct draws than draws",
            "columns draws and correct of the results",
            "make the metrics again from their rewards",
        )


def _add(policy: Measured, row: Mapping[str, Any]) -> None:
    seed, problem = row["seed"], sys.intern(row["problem_id"])  # the same in many policies
    if policy.greedy != row["greedy"]:
        raise _contradiction(policy, "greedy and sampled rows under one decoding")
    policy.references = policy.references or row.get("references")
    if row["halted"] is not None:
        policy.halted[seed] = row["halted"]
        return
    run = policy.counts.setdefault(seed, {})
    if problem in run:
        raise _contradiction(policy, f"problem {problem!r} of seed {seed} twice")
    run[problem] = (row["draws"], row["correct"])
    if row.get("choices") is not None:
        ballot = Ballot(from_cell(row["choices"]), frozenset(from_cell(row["right"])))
        policy.ballots.setdefault(seed, {})[problem] = ballot
    if row.get("solutions") is not None:
        policy.solutions.setdefault(seed, {})[problem] = from_cell(row["solutions"])
    if row.get("of") is not None:
        policy.points.setdefault(seed, {})[problem] = (row["points"], row["of"])


def _check_seeds(policy: Measured) -> None:
    if policy.halted.keys() & policy.counts.keys():
        raise _contradiction(policy, "a seed both halted and scored")
    for seed in policy.seeds:
        if policy.counts[seed].keys() != set(policy.problems):
            raise _contradiction(policy, f"seed {seed} with problems of its own")


def _contradiction(policy: Measured, what: str) -> RestemError:
    where = ", ".join(f"{name} {value}" for name, value in policy.address.items())
    return RestemError(
        f"the results list {what}", where, "make the metrics of this policy again, each seed once"
    )


def _check_ks(policies: Iterable[Measured], ks: Sequence[int]) -> None:
    draws = [policy.draws for policy in policies if not policy.greedy and policy.counts]
    if draws and max(ks) > max(draws):
        raise RestemError(
            f"pass@{max(ks)} needs {max(ks)} draws, but no decoding drew more than {max(draws)}",
            "metrics.ks",
            "draw more in a decoding of the evaluation, or drop that k",
        )


def parts(policy: Measured) -> Iterator[tuple[int | None, Measured]]:
    """Yield the policy over all seeds and then for each seed."""
    yield None, policy
    for seed in sorted(policy.counts.keys() | policy.halted.keys()):
        by_seed: list[dict[int, Any]] = [
            policy.counts,
            policy.ballots,
            policy.halted,
            policy.points,
            policy.solutions,
        ]
        own = [{seed: values[seed]} if seed in values else {} for values in by_seed]
        yield seed, Measured(policy.address, policy.greedy, *own, references=policy.references)


def _summary_row(part: Measured, seed: int | None, name: str, k: int, bootstrap: Bootstrap) -> Row:
    problems = part.problems
    row = {**part.address, "seed": seed, "quantity": name, "k": k}
    row |= {"problems": len(problems), "draws": part.draws, "seeds": len(part.counts)}
    row |= {"references": part.references}
    if part.halted_everywhere:
        return row | _NO_ESTIMATE | {"halted": part.reason}
    estimate = part.estimate(name, k, problems, bootstrap)
    interval = bootstrap.interval(estimate, (0.0, 1.0), len(problems))
    return row | interval | {"halted": part.reason}


def _lift_row(
    policy: Measured, reference: Measured, name: str, k: int, bootstrap: Bootstrap
) -> Row:
    row = {**policy.address, "reference": reference.address["variant"]}
    row |= {"quantity": name, "seeds": fewest_seeds([policy, reference])}
    if policy.halted_everywhere or reference.halted_everywhere:
        return row | {"problems": 0} | _NO_ESTIMATE
    problems = sorted(set(policy.problems) & set(reference.problems))
    if not problems:
        raise _contradiction(policy, f"no problem that {reference.address['variant']} answered too")
    lift = policy.estimate(name, k, problems, bootstrap)
    lift += reference.estimate(name, k, problems, bootstrap).times(-1)
    interval = bootstrap.interval(lift, (-1.0, 1.0), len(problems))
    return row | {"problems": len(problems)} | interval
