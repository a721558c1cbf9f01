"""Ask the second grader, Math-Verify, in worker processes with limits of their own; for audits."""

import importlib.util
from collections.abc import Sequence
from typing import Final

from restem.errors import RestemError
from restem.rewards import second_opinion
from restem.rewards.workers import Limits, Pair, Reply, open_workers

LIMITS: Final = Limits(seconds=2.0, megabytes=2000)
# Limits are wall clock: on a busy machine an easy pair may be late, so late ones get a second turn.
PATIENT: Final = Limits(seconds=20.0, megabytes=2000)


def second_replies(pairs: Sequence[Pair], asker: str) -> list[Reply]:
    """Return what the second grader says of pairs of a gold answer and an answer, in order.

    asker: who needs it. Raises RestemError when Math-Verify is not installed.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise RestemError(
            "Math-Verify is not installed",
            asker,
            "install it: make audit (pip install --no-deps -r envs/audit.txt)",
        )
    replies = _decided(pairs, LIMITS)
    late = [place for place, reply in enumerate(replies) if reply.layer == "timeout"]
    again = _decided([pairs[place] for place in late], PATIENT)
    found = dict(zip(late, again, strict=True))
    return [found.get(place, reply) for place, reply in enumerate(replies)]


def _decided(pairs: Sequence[Pair], limits: Limits) -> list[Reply]:
    with open_workers(limits, second_opinion.__name__) as workers:
        return workers.decide(pairs)
