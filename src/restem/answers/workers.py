"""Worker processes that can be killed: a pair that hangs or bursts costs one verdict, not the run.

Pairs are handed out one at a time. A worker that is late or dies is killed and replaced, and the
pair that it held gets `timeout` or `error`; all others go on. Inside a worker (`serve`) an alarm
interrupts Python code, and memory is limited; what cannot be interrupted is killed from outside.
"""

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from restem.errors import RestemError

MODULE: Final = "restem.answers.worker"
START_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 0.3

Pair = tuple[str, str]


@dataclass(frozen=True)
class Reply:
    """What a worker says of a pair. equal: None where layer says why not."""

    equal: bool | None
    layer: str
    detail: str | None = None


@dataclass(frozen=True)
class Limits:
    """What one pair may cost, and how many workers there are."""

    seconds: float = 1.2
    megabytes: int = 900
    workers: int = 2


LIMITS: Final = Limits()


class Workers:
    """Decide pairs in worker processes, which start when there is first something to decide."""

    def __init__(self, limits: Limits = LIMITS, module: str = MODULE) -> None:
        self._limits = limits
        self._module = module
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def decide(self, pairs: Sequence[Pair]) -> list[Reply]:
        """Return one reply a pair, in order."""
        replies: dict[int, Reply] = {}
        waiting = deque(enumerate(pairs))
        with selectors.DefaultSelector() as selector:
            busy: set[_Worker] = set()
            while waiting or busy:
                while waiting and len(busy) < self._limits.workers:
                    worker = self._idle.pop() if self._idle else self._start()
                    place, pair = waiting.popleft()
                    if worker.give(place, pair):
                        busy.add(worker)
                        selector.register(worker.output, selectors.EVENT_READ, worker)
                    else:  # it died while it was idle: the pair is not to blame
                        self._end(worker)
                        waiting.appendleft((place, pair))
                for worker, reply in self._collect(selector, busy):
                    replies[worker.place] = reply
        return [replies[place] for place in range(len(pairs))]

    def _collect(
        self, selector: selectors.BaseSelector, busy: set["_Worker"]
    ) -> Iterator[tuple["_Worker", Reply]]:
        """Wait for the next replies, or for a worker to be late."""
        due = min(worker.due for worker in busy) - time.monotonic()
        for key, _ in selector.select(max(0.0, due)):
            worker: _Worker = key.data
            reply = worker.take()
            if reply is not None:
                yield worker, self._release(selector, busy, worker, reply)
        for worker in [each for each in busy if each.due <= time.monotonic()]:
            yield worker, self._release(selector, busy, worker, Reply(None, "timeout"))

    def _release(
        self,
        selector: selectors.BaseSelector,
        busy: set["_Worker"],
        worker: "_Worker",
        reply: Reply,
    ) -> Reply:
        selector.unregister(worker.output)
        busy.discard(worker)
        if reply.layer in ("memory", "died") or worker.due <= time.monotonic():
            self._end(worker)
        else:
            self._idle.append(worker)
        return reply

    def _start(self) -> "_Worker":
        worker = _Worker(self._module, self._limits)
        self._all.add(worker)
        if not worker.is_ready():
            self._end(worker)
            raise RestemError(
                "a worker process for symbolic comparison does not start",
                f"{sys.executable} -m {self._module}",
                "run that command with the arguments `1 900` to see why; sympy must be installed",
            )
        return worker

    def _end(self, worker: "_Worker") -> None:
        self._all.discard(worker)
        worker.end()

    def close(self) -> None:
        """End all workers."""
        self._idle.clear()
        while self._all:
            self._all.pop().end()


@contextmanager
def open_workers(limits: Limits = LIMITS, module: str = MODULE) -> Iterator[Workers]:
    """Open workers; they end with the context, whatever happens in it."""
    workers = Workers(limits, module)
    try:
        yield workers
    finally:
        workers.close()


class _Worker:
    """A process, the pair that it holds, and when it is late."""

    def __init__(self, module: str, limits: Limits) -> None:
        self._seconds = limits.seconds
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(limits.seconds), str(limits.megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input = self._process.stdin
        self.output = self._process.stdout
        self._received = b""
        self.place = -1
        self.due = 0.0

    def is_ready(self) -> bool:
        """Wait for the line that a worker opens with."""
        due = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while time.monotonic() < due:
                if selector.select(due - time.monotonic()):
                    line = self._line()
                    if line is not None:
                        return line == {"ready": True}
        return False

    def give(self, place: int, pair: Pair) -> bool:
        """Hand over a pair; False when the process is gone."""
        self.place = place
        self.due = time.monotonic() + self._seconds + _GRACE_SECONDS
        try:
            self._input.write(json.dumps(pair).encode() + b"\n")
            self._input.flush()
        except OSError:
            return False
        return True

    def take(self) -> Reply | None:
        """Read what has come; None while the reply is incomplete."""
        line = self._line()
        if line is None:
            return None
        if "layer" not in line:
            return Reply(None, "died", "the worker process ended")
        return Reply(line.get("equal"), str(line["layer"]), line.get("detail"))

    def _line(self) -> dict[str, Any] | None:
        """Return the next line; None while it is incomplete, {} when there will be none."""
        chunk = os.read(self.output.fileno(), 65536)
        if not chunk:
            return {}
        self._received += chunk
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        found = json.loads(line)
        return found if isinstance(found, dict) else {}

    def end(self) -> None:
        """Kill the process and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.output.close()
        with suppress(BrokenPipeError):  # what was not yet written has no reader any more
            self._input.close()


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
