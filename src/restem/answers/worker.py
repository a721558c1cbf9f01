"""The worker of the last layer: python -m restem.answers.worker SECONDS MEGABYTES."""

import sys
from typing import Any

from restem.answers.symbolic import DeepComparison
from restem.answers.workers import serve


def decide(gold: str, answer: str) -> dict[str, Any]:
    """Return what is decided of one pair."""
    return {"equal": DeepComparison().answers(gold, answer).equal, "layer": "symbolic"}


if __name__ == "__main__":
    serve(decide, float(sys.argv[1]), int(sys.argv[2]))
