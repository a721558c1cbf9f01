"""Find problems that two splits share: the same text, long common runs, or much the same words.

Shared runs are word 13-grams, the measure of contamination of Brown et al. 2020 (appendix C). What
resembles without a long run is found by the resemblance of Broder 1997: the Jaccard index of the
sets of word 3-grams.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from restem.config.data import OverlapKind
from restem.tasks.problem import Problem

WORDS_PER_SHINGLE = 13
CONTAINMENT = 0.8
RESEMBLANCE = 0.6
WORDS_OF_RESEMBLANCE = 3
FEWEST_RUNS = 6  # of a question that can resemble another

# Signs of operations count as words: in mathematics 5+3 and 5-3 are different questions.
_WORD = re.compile(r"\w+|[-+*/^=<>!]")
# Drawings in MATH begin with pages of the same library code, which says nothing of the problem.
_DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)


@dataclass(frozen=True)
class Overlap:
    """One pair, with its strictest kind; score is 1, the containment or the resemblance."""

    left_id: str
    right_id: str
    kind: OverlapKind
    score: float


def normalise(text: str) -> str:
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
    found = _fuzzy_pairs(left, right)
    found.update(_ngram_pairs(left, right, size, threshold))
    found.update(_equal_pairs(left, right, "normalised"))
    found.update(_equal_pairs(left, right, "exact"))
    return [found[pair] for pair in sorted(found)]


def _equal_pairs(
    left: Sequence[Problem], right: Sequence[Problem], kind: OverlapKind
) -> dict[tuple[str, str], Overlap]:
    key = normalise if kind == "normalised" else str
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
    indexed = [shingles(problem.question, size) for problem in right]
    holders: dict[int, list[int]] = defaultdict(list)
    for index, found in enumerate(indexed):
        for shingle in found:
            holders[shingle].append(index)
    pairs = {}
    for problem in left:
        mine = shingles(problem.question, size)
        common = Counter(index for shingle in mine for index in holders.get(shingle, ()))
        for index, count in common.items():
            score = count / min(len(mine), len(indexed[index]))
            if score >= threshold:
                pair = (problem.id, right[index].id)
                pairs[pair] = Overlap(*pair, "ngram", score)
    return pairs


def _fuzzy_pairs(
    left: Sequence[Problem], right: Sequence[Problem]
) -> dict[tuple[str, str], Overlap]:
    """Find every pair by its rarest runs: two that resemble share one of them.

    The prefix filter of Chaudhuri et al. 2006: it misses nothing.
    """
    runs = [
        [shingles(problem.question, WORDS_OF_RESEMBLANCE) for problem in side]
        for side in (left, right)
    ]
    holders_of = Counter(run for side in runs for found in side for run in found)
    by_run: dict[int, list[int]] = defaultdict(list)
    for index, found in enumerate(runs[1]):
        for run in _rarest(found, holders_of):
            by_run[run].append(index)
    pairs = {}
    for problem, mine in zip(left, runs[0], strict=True):
        near = {index for run in _rarest(mine, holders_of) for index in by_run.get(run, ())}
        for index in near:
            score = len(mine & runs[1][index]) / len(mine | runs[1][index])
            if score >= RESEMBLANCE:
                pair = (problem.id, right[index].id)
                pairs[pair] = Overlap(*pair, "fuzzy", score)
    return pairs


def _rarest(runs: set[int], holders_of: Mapping[int, int]) -> list[int]:
    """Return the runs of which two sets that resemble share at least one."""
    if len(runs) < FEWEST_RUNS:
        return []
    ordered = sorted(runs, key=lambda run: (holders_of[run], run))
    return ordered[: len(runs) - math.ceil(RESEMBLANCE * len(runs)) + 1]
