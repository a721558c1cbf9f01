"""The inside of a worker process: pairs of answers come in, decisions go out, a line of JSON each.

Whatever exceeds its limits here costs one pair: Python code is interrupted by an alarm, and what
cannot be interrupted is killed from outside (see `workers`).
"""

import json
import resource
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Decide = Callable[[str, str], dict[str, Any]]


class OutOfTimeError(BaseException):
    """The alarm rang; no handler of ordinary exceptions may swallow it."""


def serve(decide: Decide, seconds: float, megabytes: int) -> None:
    """Answer pairs until the input ends."""
    _limit_memory(megabytes)
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        print(json.dumps(_decided(decide, gold, answer, seconds)), flush=True)


def _decided(decide: Decide, gold: str, answer: str, seconds: float) -> dict[str, Any]:
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return decide(gold, answer)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except OutOfTimeError:
        return {"equal": None, "layer": "timeout"}
    except MemoryError:
        return {"equal": None, "layer": "memory"}
    except Exception as problem:
        return {"equal": None, "layer": "error", "detail": type(problem).__name__}


def _ring(signum: int, frame: FrameType | None) -> None:
    raise OutOfTimeError


def _limit_memory(megabytes: int) -> None:
    """Refuse memory beyond a bound, core dumps and files."""
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
