"""The second grader of answers: Math-Verify, in worker processes with their own limits.

It checks our verifier and decides no reward, because it accepts 2^-99 for 2^-98 and 101_2 for 101_3
(measured, version 0.9.0). A worker is `python -m restem.rewards.second_grader SECONDS MEGABYTES`.
"""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from typing import Any, Final

from restem.answers.workers import Pair, PairLimits, Reply, open_workers, serve
from restem.errors import RestemError

LIMITS: Final = PairLimits(seconds=2.0, megabytes=2000)


def second_replies(pairs: Sequence[Pair], asker: str) -> list[Reply]:
    """Return the second grader's replies for pairs of a gold answer and an answer, in order.

    asker: who needs it, for the error. Raises RestemError when Math-Verify is not installed.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise RestemError(
            "Math-Verify is not installed",
            asker,
            "install it: make second-grader (pip install --no-deps -r envs/second-grader.txt)",
        )
    with open_workers(LIMITS, __name__) as workers:
        return workers.compare(pairs)


def compare(gold: str, answer: str) -> dict[str, Any]:
    """Return Math-Verify's reply for one pair of bare answers in mathematics mode."""
    from math_verify import parse, verify

    parsed = [
        parse(f"${text.strip().strip('$')}$", parsing_timeout=None) for text in (gold, answer)
    ]
    equal = bool(verify(*parsed, timeout_seconds=None))
    return {"equal": equal, "layer": "math-verify" if all(parsed) else "unparsed"}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    compare("\\frac{1}{2}", "0.5")  # so that no pair's time includes imports and tables of grammars
    serve(compare, float(sys.argv[1]), int(sys.argv[2]))
