"""The memory and the control variate of TRICE (Phan et al. 2023, arXiv 2312.02179, section 2).

Each problem remembers one right rationale. An iteration proposes another one: a right one is
accepted and becomes the memory, a wrong one is rejected. The gradient is that of the memory, minus
beta times that of the proposal, whose expectation is zero; beta is the share of the *other*
problems' proposals that were accepted. So weights are 1 - beta for an accepted proposal, and 1 for
the memory and -beta for the proposal when that was rejected.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from restem.selection.labels import Drawn, Rewarded

FORGOTTEN: Final = "an older proposal"
UNREMEMBERED: Final = "nothing right remembered"


def remember(group: Sequence[Rewarded], threshold: float) -> tuple[Drawn | None, Drawn | None]:
    """Return the memory and this iteration's proposal of one problem, the first draw of each.

    The memory is the youngest completion that was right when it was proposed.
    """
    ordered = sorted(group, key=lambda one: (one.drawn.age, one.drawn.draw))
    first = {one.drawn.age: one for one in reversed(ordered)}
    proposal = first[0].drawn if 0 in first else None
    right = [one.drawn for _, one in sorted(first.items()) if one.reward > threshold]
    return (right[0] if right else None), proposal


def weights(
    states: Mapping[str, tuple[Drawn | None, Drawn | None]],
) -> dict[Drawn, tuple[str, float]]:
    """Return decision and weight of every memory and proposal; those left out are old ones."""
    accepted = {name: memory is proposal for name, (memory, proposal) in states.items() if proposal}
    total, others = sum(accepted.values()), max(1, len(accepted) - 1)
    found: dict[Drawn, tuple[str, float]] = {}
    for name, (memory, proposal) in states.items():
        beta = (total - accepted.get(name, False)) / others
        if memory is None:
            found |= {proposal: (UNREMEMBERED, 0.0)} if proposal else {}
        elif proposal is None:
            found[memory] = ("kept", 1.0)
        elif memory is proposal:
            found[memory] = ("kept", 1.0 - beta)
        else:
            found |= {memory: ("kept", 1.0), proposal: ("kept", -beta)}
    return found
