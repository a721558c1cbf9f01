"""Decide what counts as a reward in selection: the verifier's word, or what stands in for it.

Majority: LMSI, "Large Language Models Can Self-Improve" (Huang et al. 2022). None: simple
self-distillation. Random labels and flipped verdicts are controls: what is left of a gain when the
reward says less.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from restem.config.selection import Selection

INCORRECT: Final = "incorrect"
NOT_MAJORITY: Final = "not the majority answer"
NOT_LABEL: Final = "not the random label"
FLIPPED: Final = "verdict turned around"


@dataclass(frozen=True)
class Drawn:
    """One verified completion.

    fraction: the graded reward, 0 to 1. answer: the answer found in it, in one form, None without.
    source: what drew it (`model`, or `hint` for a second try); age: iterations since it was drawn.
    """

    problem_id: str
    draw: int
    completion: str
    verdict: str
    reward: float
    fraction: float | None = None
    answer: str | None = None
    source: str = "model"
    age: int = 0


@dataclass(frozen=True)
class Rewarded:
    """A completion with the reward that selection goes by, and why it goes when that is low."""

    drawn: Drawn
    reward: float
    reason: str


def rewarded(group: Sequence[Drawn], selection: Selection, seed: Sequence[int]) -> list[Rewarded]:
    """Give every completion of one problem its reward, 0 to 1."""
    if selection.reward == "majority":
        return _labelled(group, majority_answer(group), NOT_MAJORITY)
    if selection.reward == "random":
        return _labelled(group, _random_answer(group, seed), NOT_LABEL)
    if selection.reward == "none":
        return [Rewarded(one, 1.0, one.verdict) for one in group]
    return [_flipped(one, selection, seed) for one in group]


def majority_answer(group: Sequence[Drawn]) -> str | None:
    """Return the answer drawn most often; of several, the one that was drawn first."""
    answers = [one.answer for one in sorted(group, key=_order) if one.answer is not None]
    return Counter(answers).most_common(1)[0][0] if answers else None


def stable(seed: Sequence[int], *names: object) -> int:
    """Return a number that follows from a seed and some names only."""
    text = "/".join(map(str, [list(seed), *names]))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _order(one: Drawn) -> tuple[int, str, int]:
    return one.age, one.source, one.draw


def _random_answer(group: Sequence[Drawn], seed: Sequence[int]) -> str | None:
    different = sorted({one.answer for one in group if one.answer is not None})
    if not different:
        return None
    return different[stable(seed, "label", group[0].problem_id) % len(different)]


def _labelled(group: Sequence[Drawn], label: str | None, reason: str) -> list[Rewarded]:
    return [
        Rewarded(one, float(label is not None and one.answer == label), reason) for one in group
    ]


def _flipped(one: Drawn, selection: Selection, seed: Sequence[int]) -> Rewarded:
    graded = selection.reward == "fraction" and one.fraction is not None
    reward = one.fraction if graded and one.fraction is not None else one.reward
    if selection.flip == 0:
        return Rewarded(one, reward, one.verdict)
    place = stable(seed, "flip", one.problem_id, one.source, one.age, one.draw) / 2**64
    if place >= selection.flip:
        return Rewarded(one, reward, one.verdict)
    return Rewarded(one, 1.0 - reward, FLIPPED)
