"""Find problems that two splits share: equal texts, long common runs, or mostly the same words.

Common runs are word 13-grams, the measure of contamination of Brown et al. 2020 (appendix C).
Similar questions without such a run are found by Broder's resemblance (1997): the Jaccard index of
the sets of word 3-grams.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from restem.config.data import OverlapKind
from restem.tasks.problem import Problem

WORDS_PER_SHINGLE = 13
CONTAINMENT = 0.8
RESEMBLANCE = 0.6
WORDS_OF_RESEMBLANCE = 3
MIN_RUNS = 6  # of a question that is compared by resemblance

# Operators count as words, because 5+3 and 5-3 are different questions.
_WORD = re.compile(r"\w+|[-+*/^=<>!]")
# Drawings in MATH begin with long library code, which is not specific to a problem.
_DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)


@dataclass(frozen=True)
class Overlap:
    """A pair and its strictest kind; score: 1, the containment or the resemblance."""

    left_id: str
    right_id: str
    kind: OverlapKind
    score: float


def normalise_question(text: str) -> str:
    """Remove white space and case."""
    return "".join(text.split()).casefold()


def shingles(text: str, size: int = WORDS_PER_SHINGLE) -> set[int]:
    """Return the hashes of a text's runs of `size` words; a shorter text is one run."""
    words = _WORD.findall(_DRAWING.sub(" ", text).casefold())
    last = max(1, len(words) - size + 1)
    return {hash(tuple(words[start : start + size])) for start in range(last)} if words else set()


def overlaps(
    left: Sequence[Problem],
    right: Sequence[Problem],
    size: int = WORDS_PER_SHINGLE,
    threshold: float = CONTAINMENT,
) -> list[Overlap]:
    """List the pairs of problems whose questions overlap, in the order of their ids.

    An `ngram` pair shares at least `threshold` of the shingles of the shorter question; a `fuzzy`
    one has a resemblance of at least 0.6.
    """
    pairs = (
        _fuzzy_pairs(left, right)
        | _ngram_pairs(left, right, size, threshold)
        | _equal_pairs(left, right, "normalised")
        | _equal_pairs(left, right, "exact")
    )
    return [pairs[ids] for ids in sorted(pairs)]


def _equal_pairs(
    left: Sequence[Problem], right: Sequence[Problem], kind: OverlapKind
) -> dict[tuple[str, str], Overlap]:
    key = normalise_question if kind == "normalised" else str
    by_text: dict[str, list[str]] = defaultdict(list)
    for problem in right:
        by_text[key(problem.question)].append(problem.id)
    return {
        (problem.id, other): Overlap(problem.id, other, kind, 1.0)
        for problem in left
        for other in by_text.get(key(problem.question), ())
    }


def _ngram_pairs(
    left: Sequence[Problem], right: Sequence[Problem], size: int, threshold: float
) -> dict[tuple[str, str], Overlap]:
    runs_of_right = [shingles(problem.question, size) for problem in right]
    indices_by_run = _indices_by_run(runs_of_right)
    pairs = {}
    for problem in left:
        runs = shingles(problem.question, size)
        common = Counter(index for run in runs for index in indices_by_run.get(run, ()))
        for index, count in common.items():
            score = count / min(len(runs), len(runs_of_right[index]))
            if score >= threshold:
                pair = (problem.id, right[index].id)
                pairs[pair] = Overlap(*pair, "ngram", score)
    return pairs


def _fuzzy_pairs(
    left: Sequence[Problem], right: Sequence[Problem]
) -> dict[tuple[str, str], Overlap]:
    """Find similar pairs by their rarest runs, of which two similar questions share at least one.

    This is the prefix filter of Chaudhuri et al. 2006, which misses no pair.
    """
    runs_of_left, runs_of_right = (
        [shingles(problem.question, WORDS_OF_RESEMBLANCE) for problem in side]
        for side in (left, right)
    )
    counts = Counter(run for runs in (*runs_of_left, *runs_of_right) for run in runs)
    indices_by_run = _indices_by_run(_rarest(runs, counts) for runs in runs_of_right)
    pairs = {}
    for problem, runs in zip(left, runs_of_left, strict=True):
        rarest = _rarest(runs, counts)
        for index in {index for run in rarest for index in indices_by_run.get(run, ())}:
            score = len(runs & runs_of_right[index]) / len(runs | runs_of_right[index])
            if score >= RESEMBLANCE:
                pair = (problem.id, right[index].id)
                pairs[pair] = Overlap(*pair, "fuzzy", score)
    return pairs


def _indices_by_run(runs_of: Iterable[Iterable[int]]) -> dict[int, list[int]]:
    indices: dict[int, list[int]] = defaultdict(list)
    for index, runs in enumerate(runs_of):
        for run in runs:
            indices[run].append(index)
    return indices


def _rarest(runs: set[int], counts: Mapping[int, int]) -> list[int]:
    """Return the rarest runs, of which two similar sets share at least one."""
    if len(runs) < MIN_RUNS:
        return []
    ordered = sorted(runs, key=lambda run: (counts[run], run))
    return ordered[: len(runs) - math.ceil(RESEMBLANCE * len(runs)) + 1]
