"""Majority voting: is the most frequent answer among k draws correct?

Answers vote together if the verifier calls them equal, so that 5 cm and 5 do not split a vote. That
relation is not transitive (50 % equals both 0.5 and 50), so a group is what equals its most
frequent form, and that form's verdict is the group's.

The expected score of a vote over k draws is the mean over disjoint blocks of k consecutive draws.
No draw counts twice, so the estimate is unbiased. Draws without an answer do not vote. If several
answers tie for the lead, one of them is picked at random: the score is the share of tied answers
that are correct. (Taking the first drawn, as is sometimes done, is just as fair but makes the
score depend on the order of the draws.)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NO_VOTE: Final = -1

Same = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
"""Tell of each pair of answers whether they are equal."""


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


def ballot_of(
    verdicts: Sequence[Mapping[str, Any]], answers: Sequence[str | None], same: Same | None
) -> Ballot:
    """Number the distinct answers in the order in which they were drawn.

    verdicts: rows with `verdict`, by draw; answers: as extracted. same: the equality of the
    verifier; None where answers are equal as texts only. A group of equal answers is correct if the
    verifier accepted its most frequent form.
    """
    speakers = _speakers([answer for answer in answers if answer is not None], same)
    numbers: dict[str, int] = {}
    choices, right = [], set()
    for row, answer in zip(verdicts, answers, strict=True):
        if answer is None:
            choices.append(NO_VOTE)
            continue
        number = numbers.setdefault(speakers[answer], len(numbers))
        if answer == speakers[answer] and row["verdict"] == "correct":
            right.add(number)
        choices.append(number)
    return Ballot(tuple(choices), frozenset(right))


def _speakers(answers: Sequence[str], same: Same | None) -> dict[str, str]:
    """Map every answer to the most frequent form that it equals, the first drawn of several.

    Each form is compared only with the more frequent ones that speak for a group.
    """
    waiting = [answer for answer, _ in Counter(answers).most_common()]
    speakers: dict[str, str] = {}
    while waiting:
        speaker, *others = waiting
        speakers[speaker] = speaker
        equal = same([(speaker, other) for other in others]) if same and others else []
        for other, joins in zip(others, equal, strict=False):
            if joins:
                speakers[other] = speaker
        waiting = [other for other in others if other not in speakers]
    return speakers


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
