"""A second opinion on answers: Math-Verify, in worker processes with limits of their own.

It checks our verifier and decides no reward: it takes 2^-99 for 2^-98 and 101_2 for 101_3
(measured, version 0.9.0). A worker is `python -m restem.rewards.second_grader SECONDS MEGABYTES`.
"""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from typing import Any, Final

from restem.answers.workers import Limits, Pair, Reply, open_workers, serve
from restem.errors import RestemError

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
            "install it: make second-grader (pip install --no-deps -r envs/second-grader.txt)",
        )
    replies = _decided(pairs, LIMITS)
    late = [place for place, reply in enumerate(replies) if reply.layer == "timeout"]
    again = _decided([pairs[place] for place in late], PATIENT)
    found = dict(zip(late, again, strict=True))
    return [found.get(place, reply) for place, reply in enumerate(replies)]


def _decided(pairs: Sequence[Pair], limits: Limits) -> list[Reply]:
    with open_workers(limits, __name__) as workers:
        return workers.decide(pairs)


def decide(gold: str, answer: str) -> dict[str, Any]:
    """Return what Math-Verify says of one pair, as bare answers in mathematics mode."""
    from math_verify import parse, verify

    parsed = [
        parse(f"${text.strip().strip('$')}$", parsing_timeout=None) for text in (gold, answer)
    ]
    equal = bool(verify(*parsed, timeout_seconds=None))
    return {"equal": equal, "layer": "math-verify" if all(parsed) else "unparsed"}


if __name__ == "__main__":
    import math_verify  # noqa: F401  # a pair's time does not include it

    logging.disable(logging.CRITICAL)
    serve(decide, float(sys.argv[1]), int(sys.argv[2]))
