"""A worker that asks Math-Verify: python -m restem.rewards.second_opinion SECONDS MEGABYTES.

An independent grader for audits only. Its positives are not trusted for rewards: it takes
2^-99 for 2^-98 and 101_2 for 101_3 (measured, version 0.9.0).
"""

import logging
import sys
from typing import Any

from restem.rewards.serving import serve


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
