"""Grade a mathematical answer: length cap, then equal strings, then equal exact numbers.

What these layers cannot decide to be equal is incorrect with layer `undecided`. Nothing that a
model wrote is evaluated: answers are compared as strings and as numbers that a pattern has read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from restem.config.reward import Reward
from restem.rewards.extraction import MARKERS, extract, markers_of
from restem.rewards.normalise import Form, normalise
from restem.rewards.rational import parse_rational
from restem.rewards.verdict import Verdict
from restem.rewards.verifier import Attempt

MAX_ANSWER_CHARACTERS: Final = 1000

_BRACKETS: Final = {"(": ")", "[": "]"}


class MathVerifier:
    """Judge answers in this process: no layer so far needs another one."""

    def __init__(self, reward: Reward, markers: tuple[str, ...]) -> None:
        self._markers = markers
        self._longest = reward.max_answer_characters

    def verify(self, attempts: Sequence[Attempt], policy: str) -> list[Verdict]:
        """Return one verdict an attempt, in order."""
        return [
            grade(attempt.gold, attempt.completion, policy, self._markers, self._longest)
            for attempt in attempts
        ]


@contextmanager
def open_verifier(reward: Reward, markers: tuple[str, ...]) -> Iterator[MathVerifier]:
    """Open the verifier of mathematical answers."""
    yield MathVerifier(reward, markers)


def grade(
    gold: str,
    completion: str,
    policy: str,
    markers: tuple[str, ...] = MARKERS,
    max_answer_characters: int = MAX_ANSWER_CHARACTERS,
) -> Verdict:
    """Return the verdict on a completion, given the gold answer.

    policy: `strict` accepts an answer that one of `markers` marks, `flexible` also other markers
    and, failing those, the last number. An answer over the cap is incorrect unseen.
    """
    answer = extract(completion, markers_of(policy, markers))
    if answer is None:
        return Verdict("unextractable", None, "extraction")
    if len(answer) > max_answer_characters:
        return Verdict("incorrect", answer[:max_answer_characters], "length")
    if not gold.strip():
        return Verdict("error", answer, "gold")
    equal, layer = compare(gold, answer)
    return Verdict("correct" if equal else "incorrect", answer, layer)


def compare(gold: str, answer: str) -> tuple[bool, str]:
    """Tell whether two answers are equal, and which layer decided it: a symmetric relation."""
    if gold == answer:
        return True, "string"
    left, right = normalise(gold), normalise(answer)
    if not (_compatible(left.unit, right.unit) and _compatible(left.label, right.label)):
        return False, "undecided"
    return _compare_bodies(left, right)


def _compatible(left: str, right: str) -> bool:
    """Allow a unit or label to be left out, not to be another one."""
    return left == right or not left or not right


def _compare_bodies(left: Form, right: Form) -> tuple[bool, str]:
    if left.body == right.body and left.body:
        return True, "string"
    first, second = parse_rational(left.body), parse_rational(right.body)
    if first is not None and second is not None:
        return first == second, "rational"
    if _equal_entries(left.body, right.body):
        return True, "rational"
    return False, "undecided"


def _equal_entries(left: str, right: str) -> bool:
    """Compare pairs, triples and intervals entry by entry; the brackets must be the same."""
    ours, theirs = _entries(left), _entries(right)
    return (
        len(ours) > 1
        and len(ours) == len(theirs)
        and (left[0], left[-1]) == (right[0], right[-1])
        and all(map(_equal_entry, ours, theirs))
    )


def _equal_entry(left: str, right: str) -> bool:
    if left == right:
        return True
    number = parse_rational(left)
    return number is not None and number == parse_rational(right)


def _entries(body: str) -> list[str]:
    """Split `(a,b]` at the commas outside inner brackets; anything else has no entries."""
    if len(body) < 2 or body[0] not in _BRACKETS or body[-1] not in _BRACKETS.values():
        return []
    entries, depth = [""], 0
    for character in body[1:-1]:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return []  # (1,2)(3,4) is not one bracket
        if character == "," and depth == 0:
            entries.append("")
        else:
            entries[-1] += character
    return entries
