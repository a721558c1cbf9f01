"""Decide which verified completions become training examples, and record why the others do not.

The paper's rule (section 3): keep what the verifier accepts, at most 10 per problem, chosen at
random. Every other method is another setting of the same steps, in this order: which draws are
considered, their reward, its threshold, cut-off ones, valid steps, duplicates, the best, the cap,
the global share, the weight.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from restem.answers.equations import all_hold, equations
from restem.artifacts.schemas.loop import KEPT
from restem.config.base import share_of
from restem.config.selection import Selection
from restem.selection import trice
from restem.selection.noise import derived_seed
from restem.selection.reward import Candidate, Rewarded, rewarded

__all__ = ["Candidate", "Decision", "decide"]

OVER_CAP = "over the cap"
DUPLICATE = "duplicate"
NOT_LOOKED_AT = "beyond the draws looked at"
WRONG_STEP = "a wrong equation"
NOT_BEST = "not the best"
CUT_OFF = "cut off, though rewarded"
BELOW = "reward not above the threshold"
OUTSIDE = "of a problem that is left out"


@dataclass(frozen=True)
class Decision:
    """The decision on a candidate; the weight multiplies its loss (Eq. 3), 0 if it is not kept."""

    candidate: Candidate
    decision: str
    weight: float


@dataclass
class _Pending:
    """A candidate during selection; reason: why it is dropped, KEPT if it is not so far."""

    rewarded: Rewarded
    reason: str = KEPT

    @property
    def candidate(self) -> Candidate:
        return self.rewarded.candidate

    @property
    def reward(self) -> float:
        return self.rewarded.reward

    @property
    def order(self) -> tuple[int, str, int]:
        return self.candidate.order


def decide(
    candidates: Iterable[Candidate],
    selection: Selection,
    seed: Sequence[int],
    allowed: frozenset[str] | None = None,
) -> list[Decision]:
    """Return one decision per candidate, grouped by problem, in the order given.

    allowed: the ids of the problems to train on; None for all.
    """
    by_problem: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_problem[candidate.problem_id].append(candidate)
    groups = [
        _pending(group, selection, seed, allowed is None or problem_id in allowed)
        for problem_id, group in by_problem.items()
    ]
    if selection.weight == "control_variate":
        return _decide_by_memory(groups, selection)
    for group in groups:
        _select(group, selection, seed)
    pending = [item for group in groups for item in group]
    if selection.top_share is not None:
        _keep_top(pending, selection.top_share)
    return [Decision(item.candidate, item.reason, _weight(item, selection)) for item in pending]


def _pending(
    group: Sequence[Candidate], selection: Selection, seed: Sequence[int], allowed: bool
) -> list[_Pending]:
    """Reward the draws that are considered; the others do not even count in a vote."""
    considered = [c for c in group if selection.draws is None or c.draw < selection.draws]
    rewards = dict(zip(considered, rewarded(considered, selection, seed), strict=True))
    reason = KEPT if allowed else OUTSIDE
    return [
        _Pending(rewards[candidate], reason)
        if candidate in rewards
        else _Pending(Rewarded(candidate, 0.0, NOT_LOOKED_AT), NOT_LOOKED_AT)
        for candidate in group
    ]


def _kept(items: Iterable[_Pending]) -> list[_Pending]:
    return [item for item in items if item.reason == KEPT]


def _select(group: Sequence[_Pending], selection: Selection, seed: Sequence[int]) -> None:
    """Set the reason of every candidate of one problem that is dropped."""
    considered = _kept(group)
    for item in considered:
        item.reason = _reason(item.rewarded, selection)
    correct = len(_kept(considered))
    if selection.deduplicate:
        _drop_duplicates(group, selection.deduplicate)
    if selection.best is not None:
        best_first = sorted(_kept(group), key=lambda item: (-item.reward, item.order))
        for item in best_first[selection.best :]:
            item.reason = NOT_BEST
    cap = _cap(selection, correct, len(considered))
    by_order = {item.order: item for item in _kept(group)}
    if cap is not None and len(by_order) > cap:
        rng = random.Random(derived_seed(seed, group[0].candidate.problem_id))
        chosen = set(rng.sample(sorted(by_order), cap))
        for order, item in by_order.items():
            item.reason = KEPT if order in chosen else OVER_CAP


def _reason(item: Rewarded, selection: Selection) -> str:
    threshold = selection.threshold
    assert not isinstance(threshold, list), "a schedule is resolved by Selection.at"
    if threshold is not None and item.reward <= threshold:
        return item.reason if item.reward <= 0 else BELOW
    if _is_dropped(item.candidate, selection):
        return CUT_OFF
    if selection.valid_steps and not all_hold(item.candidate.completion):
        return WRONG_STEP
    return KEPT


def _is_dropped(candidate: Candidate, selection: Selection) -> bool:
    return candidate.cut_off and selection.cut_off == "drop"


def _drop_duplicates(group: Sequence[_Pending], by: bool | str) -> None:
    seen: set[object] = set()
    for item in sorted(_kept(group), key=lambda item: item.order):
        identity: object = item.candidate.completion.strip()
        if by == "equations":
            identity = equations(item.candidate.completion) or identity
        item.reason = DUPLICATE if identity in seen else KEPT
        seen.add(identity)


def _cap(selection: Selection, correct: int, considered: int) -> int | None:
    """Return the cap of one problem; DART's cap shrinks with the share of correct draws.

    DART (Tong et al. 2024, "proportional to difficulty") makes the number of examples proportional
    to the share of wrong draws; a problem that is always solved keeps one.
    """
    if selection.cap is None or selection.quota == "equal" or not considered:
        return selection.cap
    return max(1, -(-selection.cap * (considered - correct) // considered))


def _keep_top(pending: Sequence[_Pending], share: float) -> None:
    """Keep a share of all completions, those with the highest reward.

    Equal rewards are ranked by draw before problem, so that no problem is favoured.
    """
    count = math.ceil(share_of(share, len(pending)))
    ranked = sorted(
        _kept(pending),
        key=lambda item: (-item.reward, item.candidate.draw, item.candidate.problem_id),
    )
    for item in ranked[count:]:
        item.reason = NOT_BEST


def _weight(item: _Pending, selection: Selection) -> float:
    if item.reason != KEPT:
        return 0.0
    if selection.weight == "exponential":
        return math.exp(item.reward / selection.beta)
    return item.reward


def _decide_by_memory(groups: Sequence[Sequence[_Pending]], selection: Selection) -> list[Decision]:
    threshold = selection.threshold
    assert not isinstance(threshold, list), "a schedule is resolved by Selection.at"
    states = {}
    for group in groups:
        for item in _kept(group):
            if item.reward > (threshold or 0.0) and _is_dropped(item.candidate, selection):
                item.reason = CUT_OFF
        considered = [item.rewarded for item in _kept(group)]
        if considered:
            states[group[0].candidate.problem_id] = trice.remember(considered, threshold or 0.0)
    weights = trice.weights(states)
    decisions = []
    for item in (item for group in groups for item in group):
        reason = trice.FORGOTTEN if item.reason == KEPT else item.reason
        decisions.append(Decision(item.candidate, *weights.get(item.candidate, (reason, 0.0))))
    return decisions
