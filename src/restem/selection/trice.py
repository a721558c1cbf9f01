"""The memory and the control variate of TRICE (Phan et al. 2023, arXiv 2312.02179, section 2).

Each problem remembers one correct rationale. Each iteration proposes another one: a correct
proposal is accepted and becomes the memory, an incorrect one is rejected. The gradient is that of
the memory minus beta times that of the proposal, whose expectation is zero; beta is the share of
the *other* problems' proposals that were accepted. So the weights are 1 - beta for an accepted
proposal; when it is rejected, 1 for the memory and -beta for the proposal.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from restem.artifacts.schemas.loop import KEPT
from restem.selection.reward import Candidate, Rewarded

FORGOTTEN: Final = "an older proposal"
UNREMEMBERED: Final = "nothing right remembered"


def remember(
    group: Sequence[Rewarded], threshold: float
) -> tuple[Candidate | None, Candidate | None]:
    """Return the memory and the current proposal of one problem.

    An iteration proposes its first draw. The memory is the youngest correct proposal.
    """
    ordered = sorted(group, key=lambda item: (item.candidate.age, item.candidate.draw))
    first_by_age = {item.candidate.age: item for item in reversed(ordered)}
    proposal = first_by_age[0].candidate if 0 in first_by_age else None
    correct = [i.candidate for _, i in sorted(first_by_age.items()) if i.reward > threshold]
    return (correct[0] if correct else None), proposal


def weights(
    states: Mapping[str, tuple[Candidate | None, Candidate | None]],
) -> dict[Candidate, tuple[str, float]]:
    """Return decision and weight of all memories and current proposals, by problem."""
    accepted = {name: memory is proposal for name, (memory, proposal) in states.items() if proposal}
    total, others = sum(accepted.values()), max(1, len(accepted) - 1)
    decisions: dict[Candidate, tuple[str, float]] = {}
    for name, (memory, proposal) in states.items():
        beta = (total - accepted.get(name, False)) / others
        if memory is None:
            decisions |= {proposal: (UNREMEMBERED, 0.0)} if proposal else {}
        elif proposal is None:
            decisions[memory] = (KEPT, 1.0)
        elif memory is proposal:
            decisions[memory] = (KEPT, 1.0 - beta)
        else:
            decisions |= {memory: (KEPT, 1.0), proposal: (KEPT, -beta)}
    return decisions
