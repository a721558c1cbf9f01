"""Turn per-problem counts into accuracies and pass@k, with intervals that are paired where it pays.

An interval is a percentile bootstrap over problems. With several training seeds it is clustered:
a resample draws seeds and problems, crossed, because all seeds answer the same problems. S - 1 of
S seeds are drawn, which makes the variance between seeds unbiased (Rao and Wu 1988, JASA 83:231);
drawing all S would make three seeds look a third less variable than they are. Even so the interval
of two or three seeds is a little narrow: a percentile knows no degrees of freedom.

All policies that answered the same problems share the same resamples of them (common random
numbers), so a difference of two policies is as sharp as the pairing allows.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.votes import Ballot, majority_score, read

Row: TypeAlias = dict[str, Any]
Results: TypeAlias = "Sequence[Mapping[str, Any]] | pa.Table"
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

ADDRESS: Final = ("task", "split", "model", "variant", "iteration", "decoding")
GREEDY: Final = "greedy"
BASE: Final = "base"
SFT: Final = "sft"
MAJORITY: Final = "maj@"
SCORE: Final = "score"  # points that a human gave, as a share of all that a rubric gives

_DECIMALS: Final = 12  # hides the last bits, in which linear algebra libraries differ
_CHUNK: Final = 4_000_000  # cells of the resampling matrix that are held at a time


def pass_at_k(draws: Sequence[int] | Ints, correct: Sequence[int] | Ints, k: int) -> Floats:
    """Estimate, for each problem, the chance that one of k draws is right; without bias.

    1 - C(n - c, k) / C(n, k) as the product of Chen et al. 2021 (arXiv 2107.03374, eq. 1 and its
    numpy code), which neither overflows nor cancels. Raises RestemError when k > n.
    """
    n, c = np.asarray(draws, np.int64), np.asarray(correct, np.int64)
    _check_counts(n, c, k)
    pairs, which = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    table = np.array([_one_pass_at_k(int(n), int(c), k) for n, c in pairs.T], np.float64)
    return np.asarray(table[which.reshape(-1)], np.float64)


def is_reference(variant: str) -> bool:
    """Tell the variants that others are compared with: `base`, `sft` and `sft-<anything>`."""
    return variant in (BASE, SFT) or variant.startswith(f"{SFT}-")


def summarise(results: Results, settings: Metrics) -> list[Row]:
    """Estimate every quantity of every policy: first over all its seeds (seed null), then by seed.

    Greedy decoding gives `accuracy`, any other `pass@k` for the k that it drew enough for, and what
    a human graded its `score` too; `draws` is the smallest number of draws of a problem. A halted
    policy has null estimates and its reason.
    Raises RestemError for empty or contradictory results and for a k that no decoding can give.
    """
    policies = collect(results, settings.ks)
    bootstrap = Bootstrap(settings)
    return [
        _summary_row(part, seed, name, k, bootstrap)
        for policy in policies
        for seed, part in _parts(policy)
        for name, k in quantities(part, settings)
    ]


def lifts(results: Results, settings: Metrics) -> list[Row]:
    """Estimate how far each policy is above the base model and above every SFT variant.

    Differences are taken problem by problem, on the problems that both answered, under the same
    decoding, and over all seeds; `reference` names what was subtracted (an SFT variant's last
    iteration). Raises RestemError as `summarise` does.
    """
    policies = collect(results, settings.ks)
    bootstrap = Bootstrap(settings)
    return [
        _lift_row(policy, reference, name, k, bootstrap)
        for policy in policies
        if policy.address["variant"] != BASE
        for reference in references(policy, policies)
        for name, k in quantities(policy, settings)
        if reference.halted_everywhere or k <= reference.draws
    ]


@dataclass
class Measured:
    """One policy under one decoding on one split: what each seed's run scored.

    counts: (draws, correct) by problem, by seed; ballots: the answers likewise, where a vote can
    be held; halted: the reason, by seed; points: (mean, of how many) by problem, by seed, where
    a human gave them.
    """

    address: Row
    counts: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)
    ballots: dict[int, dict[str, Ballot]] = field(default_factory=dict)
    halted: dict[int, str] = field(default_factory=dict)
    points: dict[int, dict[str, tuple[float, float]]] = field(default_factory=dict)

    @property
    def halted_everywhere(self) -> bool:
        """Tell whether no seed was scored."""
        return not self.counts

    @property
    def seeds(self) -> list[int]:
        """List the seeds that were scored."""
        return sorted(self.counts)

    @property
    def problems(self) -> list[str]:
        """List the problems, the same for every seed."""
        return sorted(self.counts[self.seeds[0]]) if self.counts else []

    @property
    def draws(self) -> int:
        """Return the smallest number of draws of a problem."""
        return min((n for run in self.counts.values() for n, _ in run.values()), default=0)

    @property
    def reason(self) -> str | None:
        """Say why it halted; when only some seeds did, how many."""
        if not self.halted:
            return None
        reasons = "; ".join(sorted(set(self.halted.values())))
        if self.halted_everywhere:
            return reasons
        return f"{len(self.halted)} of {len(self.halted) + len(self.counts)} seeds: {reasons}"

    @property
    def votes(self) -> bool:
        """Tell whether some problem has answers that can be counted."""
        return any(self.ballots.get(seed) for seed in self.seeds)

    def values(self, name: str, k: int, problems: Sequence[str]) -> Floats:
        """Return a quantity by problem and seed, shape (problems, seeds)."""
        if name.startswith(MAJORITY):
            return self._vote(k, problems)
        columns = [[self.counts[seed][name] for name in problems] for seed in self.seeds]
        pairs = [np.array(column, np.int64) for column in columns]
        return np.stack([pass_at_k(pair[:, 0], pair[:, 1], k) for pair in pairs], axis=1)

    def estimate(
        self, name: str, k: int, problems: Sequence[str], bootstrap: "Bootstrap"
    ) -> tuple[float, Floats]:
        """Return a quantity and its resampled values; a score is a ratio of sums, as of an exam."""
        if name != SCORE:
            values = self.values(name, k, problems)
            return float(values.mean()), bootstrap.means(self, values, problems)
        given, of = self._points(problems)
        means = [bootstrap.means(self, part, problems) for part in (given, of)]
        return float(given.sum() / of.sum()), means[0] / means[1]

    def _points(self, problems: Sequence[str]) -> Floats:
        """Return the points given and those that can be had, shape (2, problems, seeds)."""
        held = [[self.points[seed][name] for seed in self.seeds] for name in problems]
        return np.moveaxis(np.array(held, np.float64), 2, 0)

    def _vote(self, k: int, problems: Sequence[str]) -> Floats:
        """Score the votes; a problem without any answer scores 0."""
        scores = [
            [
                majority_score(ballot, k) if (ballot := held.get(name)) else 0.0
                for held in (self.ballots.get(seed, {}) for seed in self.seeds)
            ]
            for name in problems
        ]
        return np.array(scores, np.float64).reshape(len(problems), len(self.seeds))


class Bootstrap:
    """Hold the resamples of problems, one set for each set of problems."""

    def __init__(self, settings: Metrics) -> None:
        self._settings = settings
        self._counts: dict[tuple[str, ...], Floats] = {}

    def means(self, policy: Measured, values: Floats, problems: Sequence[str]) -> Floats:
        """Return the mean of each resample for values by problem and seed."""
        by_seed = self._problem_counts(tuple(problems)) @ values / len(problems)
        return np.asarray((by_seed * self._seed_shares(policy)).sum(axis=1), np.float64)

    def interval(self, resampled: Floats, point: float, span: tuple[float, float], n: int) -> Row:
        """Return the point, low and high of resampled means of n problems; span bounds a value."""
        tail = (1 - self._settings.confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        if n == 1 or np.ptp(resampled) < 1e-9:
            low, high = _unseen(point, span, n, tail)
        found = {"estimate": point, "low": min(low, point), "high": max(high, point)}
        return {name: round(float(value), _DECIMALS) for name, value in found.items()}

    def _problem_counts(self, problems: tuple[str, ...]) -> Floats:
        if problems not in self._counts:
            generator = _generator(self._settings.seed, *problems)
            self._counts[problems] = _multinomial(
                generator, self._settings.resamples, len(problems), len(problems)
            )
        return self._counts[problems]

    def _seed_shares(self, policy: Measured) -> Floats:
        # Another stream for each policy: their seeds are separate trainings, not pairs.
        names = [str(policy.address[key]) for key in ("task", "model", "variant", "iteration")]
        generator = _generator(self._settings.seed, "seeds", *names)
        seeds = len(policy.counts)
        drawn = max(seeds - 1, 1)
        return _multinomial(generator, self._settings.resamples, seeds, drawn) / drawn


def _one_pass_at_k(n: int, c: int, k: int) -> float:
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def _check_counts(n: Ints, c: Ints, k: int) -> None:
    if k < 1 or (n.size and k > n.min()):
        least = n.min() if n.size else 0
        raise RestemError(
            f"pass@{k} cannot be estimated from {least} draws",
            "metrics.ks",
            "draw more, or list only k between 1 and the number of draws",
        )
    if n.shape != c.shape or (c < 0).any() or (c > n).any():
        raise RestemError(
            "a problem has more correct draws than draws",
            "columns draws and correct of the results",
            "make the metrics again from their rewards",
        )


def _unseen(point: float, span: tuple[float, float], n: int, tail: float) -> tuple[float, float]:
    """Bound a mean when all n problems agree (or n is 1) and a bootstrap sees no variation.

    With confidence a share of at most u = 1 - tail^(1/n) of all problems differs from what was
    seen (Clopper and Pearson 1934 for 0 or n successes), and those may lie anywhere in the span.
    """
    u = 1 - tail ** (1 / n)
    return point - (point - span[0]) * u, point + (span[1] - point) * u


def _multinomial(generator: np.random.Generator, resamples: int, cells: int, draws: int) -> Floats:
    """Draw `draws` of `cells` with replacement, many times; count each cell, by row."""
    counts = np.empty((resamples, cells), np.float64)
    rows = max(1, _CHUNK // max(cells, draws))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        picked = generator.integers(cells, size=(count, draws)) + np.arange(count)[:, None] * cells
        flat = np.bincount(picked.ravel(), minlength=count * cells)
        counts[start : start + count] = flat.reshape(count, cells)
    return counts


def _generator(seed: int, *names: str) -> np.random.Generator:
    words = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(words[:16], "big")))


def collect(results: Results, ks: Sequence[int]) -> list[Measured]:
    """Gather the rows of every policy. Raises RestemError when they contradict each other."""
    rows = results.to_pylist() if isinstance(results, pa.Table) else results
    if not rows:
        raise RestemError(
            "there are no results to summarise", "the results table", "run the evaluations first"
        )
    found: dict[tuple[Any, ...], Measured] = {}
    for row in rows:
        key = tuple(row[name] for name in ADDRESS)
        _add(found.setdefault(key, Measured(dict(zip(ADDRESS, key, strict=True)))), row)
    policies = [found[key] for key in sorted(found)]
    for policy in policies:
        _check_seeds(policy)
    _check_ks(policies, ks)
    return policies


def _add(policy: Measured, row: Mapping[str, Any]) -> None:
    if row["halted"] is not None:
        policy.halted[row["seed"]] = row["halted"]
        return
    run = policy.counts.setdefault(row["seed"], {})
    if row["problem_id"] in run:
        raise _contradiction(policy, f"problem {row['problem_id']!r} of seed {row['seed']} twice")
    run[row["problem_id"]] = (row["draws"], row["correct"])
    if row.get("choices") is not None:
        ballot = Ballot(read(row["choices"]), frozenset(read(row["right"])))
        policy.ballots.setdefault(row["seed"], {})[row["problem_id"]] = ballot
    if row.get("of") is not None:
        policy.points.setdefault(row["seed"], {})[row["problem_id"]] = (row["points"], row["of"])


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
    sampled = [p.draws for p in policies if p.address["decoding"] != GREEDY and p.counts]
    if sampled and max(ks) > max(sampled):
        raise RestemError(
            f"pass@{max(ks)} needs {max(ks)} draws, but no decoding drew more than {max(sampled)}",
            "metrics.ks",
            "draw more in a decoding of the evaluation, or drop that k",
        )


def quantities(policy: Measured, settings: Metrics) -> list[tuple[str, int]]:
    """List the quantities that a policy's draws can give, each with its k."""
    score = [(SCORE, 1)] if policy.points else []
    if policy.address["decoding"] == GREEDY:
        return [("accuracy", 1), *score]
    if policy.halted_everywhere:
        return [("pass@1", 1)]
    found = [(f"pass@{k}", k) for k in settings.ks if k <= policy.draws]
    if policy.votes:
        found += [(f"{MAJORITY}{k}", k) for k in settings.votes if k <= policy.draws]
    return found + score


def _parts(policy: Measured) -> list[tuple[int | None, Measured]]:
    """Return the policy as a whole and then one part for each seed."""
    parts: list[tuple[int | None, Measured]] = [(None, policy)]
    for seed in sorted(policy.counts.keys() | policy.halted.keys()):
        counts = {seed: policy.counts[seed]} if seed in policy.counts else {}
        halted = {seed: policy.halted[seed]} if seed in policy.halted else {}
        ballots = {seed: policy.ballots.get(seed, {})}
        points = {seed: policy.points[seed]} if seed in policy.points else {}
        parts.append((seed, Measured(policy.address, counts, ballots, halted, points)))
    return parts


def _summary_row(part: Measured, seed: int | None, name: str, k: int, bootstrap: Bootstrap) -> Row:
    row = {**part.address, "seed": seed, "quantity": name, "k": k}
    problems = part.problems
    row |= {"problems": len(problems), "draws": part.draws, "seeds": len(part.counts)}
    if part.halted_everywhere:
        return row | {"estimate": None, "low": None, "high": None, "halted": part.reason}
    point, resampled = part.estimate(name, k, problems, bootstrap)
    found = bootstrap.interval(resampled, point, (0.0, 1.0), len(problems))
    return row | found | {"halted": part.reason}


def references(policy: Measured, policies: Sequence[Measured]) -> list[Measured]:
    """Return the base model's and each SFT variant's last iteration, evaluated in the same way."""
    same = ("task", "split", "model", "decoding")
    last: dict[str, Measured] = {}
    for other in policies:
        variant = other.address["variant"]
        if (
            is_reference(variant)
            and variant != policy.address["variant"]
            and all(other.address[name] == policy.address[name] for name in same)
        ):
            last[variant] = other
    return list(last.values())


def _lift_row(
    policy: Measured, reference: Measured, name: str, k: int, bootstrap: Bootstrap
) -> Row:
    row = {**policy.address, "reference": reference.address["variant"]}
    row |= {"quantity": name, "seeds": len(policy.counts)}
    if policy.halted_everywhere or reference.halted_everywhere:
        return row | {"problems": 0, "estimate": None, "low": None, "high": None}
    problems = sorted(set(policy.problems) & set(reference.problems))
    if not problems:
        raise _contradiction(policy, f"no problem that {reference.address['variant']} answered too")
    sides = [side.estimate(name, k, problems, bootstrap) for side in (policy, reference)]
    (mine, resampled), (theirs, others) = sides
    found = bootstrap.interval(resampled - others, mine - theirs, (-1.0, 1.0), len(problems))
    return row | {"problems": len(problems)} | found
