"""Majority voting: is the most frequent answer among k draws correct?

The expected score of a vote over k draws is the mean over disjoint blocks of k consecutive draws.
No draw counts twice, so the estimate is unbiased. Draws without an answer do not vote. If several
answers tie for the lead, one of them is picked at random: the score is the share of tied answers
that are correct. (Taking the first drawn, as is sometimes done, is just as fair but makes the
score depend on the order of the draws.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NO_VOTE: Final = -1


@dataclass(frozen=True)
class Ballot:
    """The answers to one problem: a number for each distinct answer, by draw; which are correct."""

    choices: tuple[int, ...]
    right: frozenset[int]


def majority_score(ballot: Ballot, k: int) -> float:
    """Return maj@k of one problem, 0 to 1; draws after the last full block are not counted.

    Raises ValueError if there are fewer than k draws.
    """
    blocks = len(ballot.choices) // k
    if blocks == 0:
        raise ValueError(f"a vote of {k} needs {k} draws, and there are {len(ballot.choices)}")
    votes = (_vote(ballot.choices[b * k : (b + 1) * k], ballot.right) for b in range(blocks))
    return sum(votes) / blocks


def ballot_of(verdicts: Sequence[Mapping[str, Any]], forms: Sequence[str | None]) -> Ballot:
    """Number the distinct answers in the order in which they were drawn.

    verdicts: rows with `verdict`, by draw; forms: the answers in canonical form. An answer is
    correct if the verifier accepted the first draw that gave it.
    """
    numbers: dict[str, int] = {}
    choices, right = [], set()
    for row, form in zip(verdicts, forms, strict=True):
        if form is None:
            choices.append(NO_VOTE)
            continue
        if form not in numbers:
            numbers[form] = len(numbers)
            if row["verdict"] == "correct":
                right.add(numbers[form])
        choices.append(numbers[form])
    return Ballot(tuple(choices), frozenset(right))


def to_cell(numbers: Iterable[int]) -> str:
    """Write answer numbers as a table cell."""
    return " ".join(map(str, numbers))


def from_cell(cell: str) -> tuple[int, ...]:
    """Read answer numbers from a table cell."""
    return tuple(map(int, cell.split()))


def _vote(choices: Sequence[int], right: frozenset[int]) -> float:
    counts = Counter(choice for choice in choices if choice != NO_VOTE)
    if not counts:
        return 0.0
    lead = max(counts.values())
    leaders = [choice for choice, count in counts.items() if count == lead]
    return sum(choice in right for choice in leaders) / len(leaders)
