"""Compare pairs in worker processes, so that a pair that hangs costs one verdict, not the run.

Each worker gets one pair at a time. A worker that dies is replaced, and its pair gets `timeout` or
`died`; all others go on. Time is CPU time, so that no reply depends on how busy the machine is.
Inside a worker (`serve`) a timer interrupts Python code, memory is limited, and what cannot be
interrupted is ended by the kernel; what does not even compute is killed from outside.

Whoever opens workers names their module, and imports it, so that it is in the digest of the code.
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

START_SECONDS: Final = 600.0
_WALL_FACTOR: Final = 60.0  # elapsed time that a pair may take, as a multiple of its CPU time

Pair = tuple[str, str]


@dataclass(frozen=True)
class Reply:
    """A worker's reply for a pair. equal: None where it failed, and layer says why."""

    equal: bool | None
    layer: str
    detail: str | None = None


@dataclass(frozen=True)
class PairLimits:
    """Limits of the CPU time and the memory of one pair, and the number of workers."""

    seconds: float = 1.2
    megabytes: int = 900
    workers: int = 2


LIMITS: Final = PairLimits()


class WorkerPool:
    """Compare pairs in worker processes, which start when they are first needed."""

    def __init__(self, limits: PairLimits, module: str) -> None:
        self._limits = limits
        self._module = module
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def compare(self, pairs: Sequence[Pair]) -> list[Reply]:
        """Return one reply per pair, in order."""
        replies: dict[int, Reply] = {}
        waiting = deque(enumerate(pairs))
        with selectors.DefaultSelector() as selector:
            busy: set[_Worker] = set()
            while waiting or busy:
                while waiting and len(busy) < self._limits.workers:
                    worker = self._idle.pop() if self._idle else self._start()
                    place, pair = waiting.popleft()
                    if worker.submit(place, pair):
                        busy.add(worker)
                        selector.register(worker.output, selectors.EVENT_READ, worker)
                    else:  # the worker died while it was idle, not because of this pair
                        self._end(worker)
                        waiting.appendleft((place, pair))
                for worker, reply in self._collect(selector, busy):
                    replies[worker.place] = reply
        return [replies[place] for place in range(len(pairs))]

    def _collect(
        self, selector: selectors.BaseSelector, busy: set["_Worker"]
    ) -> Iterator[tuple["_Worker", Reply]]:
        """Wait until a worker replies or is late, and free all workers that did."""
        seconds = min(worker.due for worker in busy) - time.monotonic()
        ready = selector.select(max(0.0, seconds))
        replies: dict[_Worker, Reply | None] = {key.data: key.data.receive() for key, _ in ready}
        for worker in list(busy):
            late = worker.due <= time.monotonic()
            reply = replies.get(worker) or (Reply(None, "timeout") if late else None)
            if reply is None:
                continue
            selector.unregister(worker.output)
            busy.discard(worker)
            if late or worker.has_ended or reply.layer == "memory":
                self._end(worker)
            else:
                self._idle.append(worker)
            yield worker, reply

    def _start(self) -> "_Worker":
        worker = _Worker(self._module, self._limits)
        self._all.add(worker)
        if not worker.is_ready():
            self._end(worker)
            raise RestemError(
                "a worker process that compares answers does not start",
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
def open_workers(limits: PairLimits, module: str) -> Iterator[WorkerPool]:
    """Open a pool of workers, which end with the context."""
    pool = WorkerPool(limits, module)
    try:
        yield pool
    finally:
        pool.close()


class _Worker:
    """A process, the place of its pair, and when its reply is due."""

    def __init__(self, module: str, limits: PairLimits) -> None:
        self._seconds = limits.seconds
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(limits.seconds), str(limits.megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONWARNINGS": "ignore",
                "PYTHONHASHSEED": "0",
            },
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input = self._process.stdin
        self.output = self._process.stdout
        self._received = b""
        self.place = -1
        self.due = 0.0
        self.has_ended = False

    def is_ready(self) -> bool:
        """Wait for a worker's first line, which says that it is ready."""
        due = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while time.monotonic() < due:
                if selector.select(due - time.monotonic()):
                    line = self._line()
                    if line is not None:
                        return line == {"ready": True}
        return False

    def submit(self, place: int, pair: Pair) -> bool:
        """Send a pair; return False when the process has ended."""
        self.place = place
        self.due = time.monotonic() + self._seconds * _WALL_FACTOR
        try:
            self._input.write(json.dumps(pair).encode() + b"\n")
            self._input.flush()
        except OSError:
            return False
        return True

    def receive(self) -> Reply | None:
        """Read available output; return None while the reply is incomplete."""
        line = self._line()
        if line is None:
            return None
        if "layer" not in line:
            self.has_ended = True
            if self._process.wait() == -signal.SIGXCPU:
                return Reply(None, "timeout")
            return Reply(None, "died", "the worker process ended")
        return Reply(line.get("equal"), str(line["layer"]), line.get("detail"))

    def _line(self) -> dict[str, Any] | None:
        """Return the next line; None while it is incomplete, {} at the end of the output."""
        chunk = os.read(self.output.fileno(), 65536)
        if not chunk:
            return {}
        self._received += chunk
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        message = json.loads(line)
        return message if isinstance(message, dict) else {}

    def end(self) -> None:
        """Kill the process and all processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.output.close()
        with suppress(BrokenPipeError):  # unwritten input has no reader any more
            self._input.close()


Compare = Callable[[str, str], dict[str, Any]]


class OutOfTimeError(BaseException):
    """The time of a pair is up; not an Exception, so that no handler swallows it."""


def serve(compare: Compare, seconds: float, megabytes: int) -> None:
    """Reply to pairs until the input ends."""
    _limit_memory(megabytes)
    signal.signal(signal.SIGPROF, _raise_out_of_time)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends its workers
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        print(json.dumps(_compared(compare, gold, answer, seconds)), file=replies, flush=True)


def _compared(compare: Compare, gold: str, answer: str, seconds: float) -> dict[str, Any]:
    try:
        _limit_time(seconds)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            return compare(gold, answer)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTimeError:
        return {"equal": None, "layer": "timeout"}
    except MemoryError:
        return {"equal": None, "layer": "memory"}
    except Exception as error:
        return {"equal": None, "layer": "error", "detail": type(error).__name__}


def _raise_out_of_time(signum: int, frame: FrameType | None) -> None:
    raise OutOfTimeError


def _limit_time(seconds: float) -> None:
    """Let the kernel end this process one or two seconds after the time of a pair is up."""
    end = int(time.process_time() + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


def _limit_memory(megabytes: int) -> None:
    """Limit memory, and forbid core dumps and writing files."""
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
