"""One worker process: pairs of answers come in, decisions go out, one line of JSON each.

Run as `python -m restem.rewards.equality.worker SECONDS MEGABYTES`. Whatever exceeds its limits
costs one pair: Python code is interrupted, and what cannot be interrupted is killed from outside.
"""

import json
import resource
import signal
import sys
from types import FrameType

from restem.rewards.equality.symbolic import DeepComparison


class OutOfTime(BaseException):
    """The alarm rang; no handler of ordinary exceptions may swallow it."""


def _ring(signum: int, frame: FrameType | None) -> None:
    raise OutOfTime


def decide(gold: str, answer: str, seconds: float) -> dict[str, object]:
    """Return what is decided of one pair, within a time."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        decision = DeepComparison().answers(gold, answer)
        return {"equal": decision.equal, "layer": "symbolic"}
    except OutOfTime:
        return {"equal": None, "layer": "timeout"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory(megabytes: int) -> None:
    """Refuse memory beyond a bound, core dumps and files."""
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main(seconds: float, megabytes: int) -> None:
    """Answer until the input ends."""
    limit_memory(megabytes)
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        try:
            told = decide(gold, answer, seconds)
        except MemoryError:
            told = {"equal": None, "layer": "memory"}
        except Exception as problem:
            told = {"equal": None, "layer": "error", "detail": f"{type(problem).__name__}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
