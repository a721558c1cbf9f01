"""Decide which verified completions become training examples, and say why the others do not.

The paper's rule (section 3): keep what the verifier accepts, at most 10 a problem, chosen at
random.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from restem.config.selection import Selection
from restem.tables import KEPT

OVER_CAP = "over the cap"
DUPLICATE = "duplicate"
NOT_LOOKED_AT = "beyond the draws looked at"


@dataclass(frozen=True)
class Drawn:
    """One verified completion."""

    problem_id: str
    draw: int
    completion: str
    verdict: str
    reward: float


@dataclass(frozen=True)
class Decision:
    """What becomes of one completion; the weight multiplies its loss (Eq. 3), 0 if not kept."""

    drawn: Drawn
    decision: str
    weight: float


def decide(drawn: Iterable[Drawn], selection: Selection, seed: Sequence[int]) -> list[Decision]:
    """Return one decision for each completion, in the order of problems and draws given."""
    grouped: dict[str, list[Drawn]] = defaultdict(list)
    for one in drawn:
        grouped[one.problem_id].append(one)
    return [d for group in grouped.values() for d in _decide_problem(group, selection, seed)]


def _decide_problem(
    group: Sequence[Drawn], selection: Selection, seed: Sequence[int]
) -> list[Decision]:
    reasons = {one.draw: _reason(one, selection) for one in group}
    if selection.deduplicate:
        _mark_duplicates(group, reasons)
    candidates = [one.draw for one in group if reasons[one.draw] == KEPT]
    chosen = _choose(candidates, selection.cap, group[0].problem_id, seed)
    for draw in candidates:
        reasons[draw] = KEPT if draw in chosen else OVER_CAP
    return [
        Decision(one, reasons[one.draw], one.reward if reasons[one.draw] == KEPT else 0.0)
        for one in group
    ]


def _reason(one: Drawn, selection: Selection) -> str:
    if selection.draws is not None and one.draw >= selection.draws:
        return NOT_LOOKED_AT
    return KEPT if one.reward > 0 else one.verdict


def _mark_duplicates(group: Sequence[Drawn], reasons: dict[int, str]) -> None:
    seen: set[str] = set()
    for one in sorted(group, key=lambda item: item.draw):
        if reasons[one.draw] == KEPT:
            text = one.completion.strip()
            reasons[one.draw] = DUPLICATE if text in seen else KEPT
            seen.add(text)


def _choose(
    candidates: Sequence[int], cap: int | None, problem_id: str, seed: Sequence[int]
) -> set[int]:
    """Choose at most `cap` draws at random; a problem's choice depends on no other problem."""
    if cap is None or len(candidates) <= cap:
        return set(candidates)
    text = f"{list(seed)}/{problem_id}"
    stable = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return set(random.Random(stable).sample(sorted(candidates), cap))
