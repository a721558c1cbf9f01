"""Decide which verified completions become training examples, and say why the others do not.

The paper's rule (section 3): keep what the verifier accepts, at most 10 a problem, chosen at
random. Every other method is another setting of the same steps, in this order: which draws are
looked at, their reward, its threshold, valid steps, duplicates, the best, the cap, the global
share, the weight.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from restem.answers.equations import all_hold, equations
from restem.artifacts.tables import KEPT
from restem.config.selection import Selection
from restem.selection import trice
from restem.selection.labels import Drawn, Rewarded, rewarded, stable

__all__ = ["Decision", "Drawn", "decide"]

OVER_CAP = "over the cap"
DUPLICATE = "duplicate"
NOT_LOOKED_AT = "beyond the draws looked at"
WRONG_STEP = "a wrong equation"
NOT_BEST = "not the best"
BELOW = "reward not above the threshold"
OUTSIDE = "of a problem that is left out"


@dataclass(frozen=True)
class Decision:
    """What becomes of one completion; the weight multiplies its loss (Eq. 3), 0 if not kept."""

    drawn: Drawn
    decision: str
    weight: float


@dataclass
class _Candidate:
    """A completion on its way through the steps; reason is KEPT as long as nothing spoke up."""

    given: Rewarded
    reason: str = KEPT

    @property
    def drawn(self) -> Drawn:
        return self.given.drawn

    @property
    def key(self) -> tuple[int, str, int]:
        return self.drawn.age, self.drawn.source, self.drawn.draw


def decide(
    drawn: Iterable[Drawn],
    selection: Selection,
    seed: Sequence[int],
    allowed: frozenset[str] | None = None,
) -> list[Decision]:
    """Return one decision for each completion, in the order of problems and draws given.

    allowed: the ids of the problems to train on; None for all.
    """
    grouped: dict[str, list[Drawn]] = defaultdict(list)
    for one in drawn:
        grouped[one.problem_id].append(one)
    groups = [
        _candidates(group, selection, seed, allowed is None or name in allowed)
        for name, group in grouped.items()
    ]
    if selection.weight == "control_variate":
        return _decide_by_memory(groups, selection)
    for group in groups:
        _select(group, selection, seed)
    everything = [one for group in groups for one in group]
    if selection.top_share is not None:
        _keep_top(everything, selection.top_share)
    return [Decision(one.drawn, one.reason, _weight(one, selection)) for one in everything]


def _candidates(
    group: Sequence[Drawn], selection: Selection, seed: Sequence[int], allowed: bool
) -> list[_Candidate]:
    """Reward the draws that are looked at; the others say nothing, not even in a vote."""
    looked_at = [one for one in group if selection.draws is None or one.draw < selection.draws]
    found = dict(zip(looked_at, rewarded(looked_at, selection, seed), strict=True))
    candidates = []
    for one in group:
        given = found.get(one)
        if given is None:
            candidates.append(_Candidate(Rewarded(one, 0.0, NOT_LOOKED_AT), NOT_LOOKED_AT))
        else:
            candidates.append(_Candidate(given, KEPT if allowed else OUTSIDE))
    return candidates


def _select(group: Sequence[_Candidate], selection: Selection, seed: Sequence[int]) -> None:
    """Write the reason of every completion of one problem that goes."""
    looked_at = [one for one in group if one.reason == KEPT]
    for one in looked_at:
        one.reason = _reason(one.given, selection)
    correct = sum(one.reason == KEPT for one in looked_at)
    if selection.deduplicate:
        _mark_duplicates(group, selection.deduplicate)
    if selection.best is not None:
        _keep_best(group, selection.best)
    cap = _cap(selection, correct, len(looked_at))
    candidates = {one.key: one for one in group if one.reason == KEPT}
    chosen = _choose(list(candidates), cap, group[0].drawn.problem_id, seed)
    for key, one in candidates.items():
        one.reason = KEPT if key in chosen else OVER_CAP


def _reason(given: Rewarded, selection: Selection) -> str:
    threshold = selection.threshold
    assert not isinstance(threshold, list), "a schedule is resolved by Selection.at"
    if threshold is not None and given.reward <= threshold:
        return given.reason if given.reward <= 0 else BELOW
    if selection.valid_steps and not all_hold(given.drawn.completion):
        return WRONG_STEP
    return KEPT


def _mark_duplicates(group: Sequence[_Candidate], by: bool | str) -> None:
    seen: set[object] = set()
    for one in sorted(group, key=lambda item: item.key):
        if one.reason == KEPT:
            text: object = one.drawn.completion.strip()
            if by == "equations":
                text = equations(one.drawn.completion) or text
            one.reason = DUPLICATE if text in seen else KEPT
            seen.add(text)


def _keep_best(group: Sequence[_Candidate], count: int) -> None:
    candidates = [one for one in group if one.reason == KEPT]
    for one in sorted(candidates, key=lambda item: (-item.given.reward, item.key))[count:]:
        one.reason = NOT_BEST


def _cap(selection: Selection, correct: int, looked_at: int) -> int | None:
    """Return the cap of one problem; DART's shrinks with the share of correct draws.

    DART (Tong et al. 2024, "proportional to difficulty") makes the number of examples proportional
    to the share of wrong draws; a problem that is always solved keeps one.
    """
    if selection.cap is None or selection.quota == "equal" or not looked_at:
        return selection.cap
    return max(1, math.ceil(selection.cap * (1 - correct / looked_at)))


def _choose(
    candidates: Sequence[tuple[int, str, int]],
    cap: int | None,
    problem_id: str,
    seed: Sequence[int],
) -> set[tuple[int, str, int]]:
    """Choose at most `cap` draws at random; a problem's choice depends on no other problem."""
    if cap is None or len(candidates) <= cap:
        return set(candidates)
    return set(random.Random(stable(seed, problem_id)).sample(sorted(candidates), cap))


def _keep_top(everything: Sequence[_Candidate], share: float) -> None:
    """Keep the share of all completions with the highest reward, the earliest drawn among equals.

    Of equals the draw number decides before the problem, so that no problem is favoured.
    """
    count = math.ceil(share * len(everything))
    candidates = [one for one in everything if one.reason == KEPT]
    ranked = sorted(
        candidates, key=lambda one: (-one.given.reward, one.drawn.draw, one.drawn.problem_id)
    )
    for one in ranked[count:]:
        one.reason = NOT_BEST


def _weight(one: _Candidate, selection: Selection) -> float:
    if one.reason != KEPT:
        return 0.0
    if selection.weight == "exponential":
        return math.exp(one.given.reward / selection.beta)
    return one.given.reward


def _decide_by_memory(
    groups: Sequence[Sequence[_Candidate]], selection: Selection
) -> list[Decision]:
    threshold = selection.threshold
    assert not isinstance(threshold, list), "a schedule is resolved by Selection.at"
    states = {}
    for group in groups:
        known = [one.given for one in group if one.reason == KEPT]
        if known:
            states[group[0].drawn.problem_id] = trice.remember(known, threshold or 0.0)
    found = trice.weights(states)
    decisions = []
    for one in (one for group in groups for one in group):
        old = trice.FORGOTTEN if one.reason == KEPT else one.reason
        decision, weight = found.get(one.drawn, (old, 0.0))
        decisions.append(Decision(one.drawn, decision, weight))
    return decisions
