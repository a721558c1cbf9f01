"""Which problems two policies solve: gained, lost, solved by both, solved by neither.

A policy solves a problem if at least half of its completions are correct, so with greedy decoding
if its only one is. The completion that stands for the policy is the first one that agrees.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from restem.errors import RestemError

GAINED: Final = "gained"
LOST: Final = "lost"
NEITHER: Final = "neither"
BOTH: Final = "both"
KINDS: Final = {
    (False, True): GAINED,
    (True, False): LOST,
    (False, False): NEITHER,
    (True, True): BOTH,
}  # by whether the problem was solved before, and after
SHOWN: Final = (GAINED, LOST, NEITHER)

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Solution:
    """What one policy made of a problem: how many draws were correct, and the one to look at."""

    draws: int
    correct: int
    key: Key

    @property
    def solved(self) -> bool:
        """Tell whether at least half of the draws are correct."""
        return 2 * self.correct >= self.draws


def solutions(rewards: Iterable[Row]) -> dict[str, Solution]:
    """Return by problem what a policy made of it."""
    verdicts: dict[str, list[Row]] = {}
    for row in sorted(rewards, key=lambda row: int(row["draw"])):
        verdicts.setdefault(row["problem_id"], []).append(row)
    return {problem: _solution(problem, rows) for problem, rows in verdicts.items()}


def _solution(problem: str, rows: Sequence[Row]) -> Solution:
    correct = [row["verdict"] == "correct" for row in rows]
    solved = 2 * sum(correct) >= len(correct)
    return Solution(len(rows), sum(correct), (problem, int(rows[correct.index(solved)]["draw"])))


def changes(before: Mapping[str, Solution], after: Mapping[str, Solution]) -> dict[str, str]:
    """Return by problem what has changed. Raises RestemError if the problems are not the same."""
    if before.keys() != after.keys():
        [name, *more] = sorted(before.keys() ^ after.keys())
        raise RestemError(
            f"the policies were asked different problems: {name!r} and {len(more)} more",
            "rewards of the two evaluations",
            "delete their rewards folders and run snakemake again",
        )
    return {name: KINDS[was.solved, after[name].solved] for name, was in before.items()}


def chosen(kinds: Mapping[str, str], count: int) -> dict[str, int]:
    """Choose up to `count` problems of each kind that is shown; return their places from 1 on.

    They are in the order of the sha256 digests of their ids, so that neither a hand nor the order
    of the data has chosen them.
    """
    ordered = sorted(kinds, key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    by_kind = {kind: [name for name in ordered if kinds[name] == kind] for kind in SHOWN}
    return {name: i for names in by_kind.values() for i, name in enumerate(names[:count], 1)}
