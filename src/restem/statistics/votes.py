"""Majority voting: is the answer that most of k draws give the right one?

The expected score of a vote of k draws is the mean over disjoint blocks of k consecutive draws, so
that no draw counts twice and the estimate is unbiased. Draws without an answer have no vote. When
several answers share the lead, one of them is taken at random: the score is the share of the tied
answers that are right. (Taking the first drawn, as some reports do, favours none of them either,
but makes the score depend on the order of the draws.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NO_VOTE: Final = -1


@dataclass(frozen=True)
class Ballot:
    """The answers to one problem: a number for each different one by draw, and which are right."""

    choices: tuple[int, ...]
    right: frozenset[int]


def majority_score(ballot: Ballot, k: int) -> float:
    """Return maj@k of one problem, 0 to 1; ballots that do not fill a block are not counted.

    Raises ValueError when there are fewer than k draws.
    """
    blocks = len(ballot.choices) // k
    if blocks == 0:
        raise ValueError(f"a vote of {k} needs {k} draws, and there are {len(ballot.choices)}")
    return (
        sum(_vote(ballot.choices[b * k : (b + 1) * k], ballot.right) for b in range(blocks))
        / blocks
    )


def ballot_of(verdicts: Sequence[Mapping[str, Any]], forms: Sequence[str | None]) -> Ballot:
    """Number the answers in the order in which they were drawn.

    verdicts: rows with `verdict`, by draw; forms: the answers in one form. An answer is right when
    the verifier accepted the first draw that gave it.
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


def written(numbers: Iterable[int]) -> str:
    """Write the numbers of answers as a table's cell."""
    return " ".join(map(str, numbers))


def read(cell: str) -> tuple[int, ...]:
    """Read the numbers of answers from a table's cell."""
    return tuple(map(int, cell.split()))


def _vote(choices: Sequence[int], right: frozenset[int]) -> float:
    counts = Counter(choice for choice in choices if choice != NO_VOTE)
    if not counts:
        return 0.0
    most = max(counts.values())
    leaders = [choice for choice, count in counts.items() if count == most]
    return sum(choice in right for choice in leaders) / len(leaders)
