"""The reward that selection uses: the verifier's, or a substitute for it.

Majority vote: LMSI, "Large Language Models Can Self-Improve" (Huang et al. 2022). None: simple
self-distillation. Random labels and flipped verdicts are controls: they show how much of a gain
remains when the reward carries less information.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from restem.config.selection import Selection
from restem.selection.noise import derived_seed, is_flipped

NOT_MAJORITY: Final = "not the majority answer"
NOT_LABEL: Final = "not the random label"
FLIPPED: Final = "verdict turned around"


@dataclass(frozen=True)
class Candidate:
    """A verified completion that selection may keep.

    fraction: the graded reward, 0 to 1. answer: the extracted answer in its canonical form, None
    without one. source: what it was sampled from, `model`, or `hint` for a second try. age:
    iterations since then. cut_off: whether max_tokens or the context ended it.
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
    cut_off: bool = False

    @property
    def order(self) -> tuple[int, str, int]:
        """Return the place among the candidates of a problem, the youngest first."""
        return self.age, self.source, self.draw


@dataclass(frozen=True)
class Rewarded:
    """A candidate, its reward in selection, and the reason to give if that is too low."""

    candidate: Candidate
    reward: float
    reason: str


def rewarded(
    group: Sequence[Candidate], selection: Selection, seed: Sequence[int]
) -> list[Rewarded]:
    """Reward the candidates of one problem, each from 0 to 1."""
    if selection.reward == "majority":
        return _by_label(group, majority_answer(group), NOT_MAJORITY)
    if selection.reward == "random":
        return _by_label(group, _random_answer(group, seed), NOT_LABEL)
    if selection.reward == "none":
        return [Rewarded(candidate, 1.0, candidate.verdict) for candidate in group]
    return [_by_verdict(candidate, selection, seed) for candidate in group]


def majority_answer(group: Sequence[Candidate]) -> str | None:
    """Return the most frequent answer; of equally frequent ones, the first in order."""
    in_order = sorted(group, key=lambda candidate: candidate.order)
    answers = [candidate.answer for candidate in in_order if candidate.answer is not None]
    return Counter(answers).most_common(1)[0][0] if answers else None


def _random_answer(group: Sequence[Candidate], seed: Sequence[int]) -> str | None:
    answers = sorted({candidate.answer for candidate in group if candidate.answer is not None})
    if not answers:
        return None
    return answers[derived_seed(seed, "label", group[0].problem_id) % len(answers)]


def _by_label(group: Sequence[Candidate], label: str | None, reason: str) -> list[Rewarded]:
    return [
        Rewarded(candidate, float(label is not None and candidate.answer == label), reason)
        for candidate in group
    ]


def _by_verdict(candidate: Candidate, selection: Selection, seed: Sequence[int]) -> Rewarded:
    reward = candidate.reward
    if selection.reward == "fraction" and candidate.fraction is not None:
        reward = candidate.fraction
    names = (candidate.problem_id, candidate.source, candidate.age, candidate.draw)
    if is_flipped(selection.flip, seed, *names):
        return Rewarded(candidate, 1.0 - reward, FLIPPED)
    return Rewarded(candidate, reward, candidate.verdict)
