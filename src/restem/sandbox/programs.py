"""Run a program: as a script that reads stdin and prints, or in a session that answers calls.

Whatever comes back from a session is a claim, and nothing but data.
"""

import json
import math
import os
import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

from restem.sandbox.inside.wire import FRAME
from restem.sandbox.limits import Limits, ProgramError, WorkerError
from restem.sandbox.watch import CHECK_SECONDS, Excess, Guard
from restem.sandbox.worker import End, Run, Worker

EXIT_SECONDS: Final = 2.0
MAX_DEPTH: Final = 100  # of JSON; a list of a list is two, a tuple in a tuple four


def run_script(
    worker: Worker, preamble: str, programs: Sequence[str], text: str, limits: Limits
) -> str:
    """Return what a program prints when it reads `text`.

    preamble: code that runs before the program, in the same module.
    programs: readings of one program, of which the first that is syntactically valid is run.

    Raises ProgramError if the program fails and WorkerError if the sandbox fails.
    """
    job = {"mode": "stdin", "preamble": preamble, "programs": list(programs)}
    stdin = os.memfd_create("input")
    out, out_inside = os.pipe()
    err, err_inside = os.pipe()
    streams = {out: bytearray(), err: bytearray()}
    try:
        os.write(stdin, text.encode("utf-8", "surrogateescape"))
        os.lseek(stdin, 0, os.SEEK_SET)
        with worker.run(job, limits, 1, [stdin, out_inside, err_inside]) as run:
            excess = _read(run, Guard(run.usage, limits), streams, limits.output_bytes)
    finally:
        os.close(out)
        os.close(err)
    errors = streams[err].decode(errors="replace")
    if excess:
        raise ProgramError(excess, errors)
    _raise_for(run.finish(), errors, limits)
    return streams[out].decode(errors="replace")


def _read(
    run: Run, guard: Guard, streams: dict[int, bytearray], limit: int
) -> Excess | Literal["output limit"] | None:
    """Read both streams until the process has ended; return the limit that it exceeded."""
    poll = select.poll()
    for descriptor in (*streams, run.handle):
        poll.register(descriptor, select.POLLIN)
    open_streams, ended = len(streams), False
    while open_streams or not ended:
        for descriptor, _ in poll.poll(CHECK_SECONDS * 1000):
            if descriptor == run.handle:
                ended = True
                poll.unregister(descriptor)
            elif not (chunk := os.read(descriptor, 1 << 16)):
                open_streams -= 1
                poll.unregister(descriptor)
            else:
                streams[descriptor] += chunk
                if len(streams[descriptor]) > limit:
                    return "output limit"
        if excess := guard.excess():
            return excess
    return None


class Session:
    """A process that exchanges messages with the host, each within the limits of one test."""

    def __init__(self, run: Run, limits: Limits) -> None:
        self._run = run
        self._limits = limits
        self._guard = Guard(run.usage, limits)
        self._buffer = bytearray()
        self._cpu = 0.0

    def send(self, message: dict[str, Any]) -> None:
        """Send a message and start the clock of a test."""
        self._guard.begin(self._cpu)
        self._run.send(message)

    def receive(self) -> dict[str, Any]:
        """Return the next message. Raises ProgramError if none comes, or one that is malformed."""
        length = FRAME.unpack(self._exactly(FRAME.size))[0]
        if length > self._limits.output_bytes:
            raise ProgramError("output limit", f"a result of {length} bytes")
        body = bytes(self._exactly(length))
        try:
            message = json.loads(body)
            self._cpu = max(self._cpu, float(message.get("cpu", 0.0)))
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
            message = None
        if not isinstance(message, dict) or not math.isfinite(self._cpu):
            raise ProgramError("runtime error", "the reply is not a message")
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and not _is_shallow(message):
            raise ProgramError("runtime error", "the reply is nested too deeply")
        return message

    def _exactly(self, count: int) -> bytearray:
        """Return the next bytes; wait for them within the limits of the test."""
        poll = select.poll()
        poll.register(self._run.channel, select.POLLIN)
        while len(self._buffer) < count:
            if poll.poll(CHECK_SECONDS * 1000):
                self._buffer += self._chunk()
            if excess := self._guard.excess():
                raise ProgramError(excess, "")
        head, self._buffer = self._buffer[:count], self._buffer[count:]
        return head

    def _chunk(self) -> bytes:
        """Return what has arrived. Raises ProgramError or WorkerError if the channel is closed."""
        with suppress(OSError):
            if chunk := self._run.channel.recv(1 << 16):
                return chunk
        if select.select([self._run.handle], [], [], EXIT_SECONDS)[0]:
            _raise_for(self._run.finish(), "", self._limits)
        raise ProgramError("runtime error", "the program ended or closed its channel")


def _is_shallow(message: Any) -> bool:
    """Tell whether recursive functions can walk some data."""
    level = [message]
    for _ in range(MAX_DEPTH):
        children: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                children += value.values()
            elif isinstance(value, list):
                children += value
        level = children
    return not level


@contextmanager
def open_session(
    worker: Worker, job: dict[str, Any], tests: int, limits: Limits
) -> Iterator[Session]:
    """Open a session with a process that does a job; see `Worker.run` for the arguments."""
    files = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    with worker.run(job, limits, tests, files) as run:
        yield Session(run, limits)


def _raise_for(end: End, errors: str, limits: Limits) -> None:
    """Raise ProgramError or WorkerError unless a process ended with success.

    errors: what it wrote to stderr.
    """
    if end.code == 0:
        return
    if end.code == -signal.SIGSYS:
        raise ProgramError("forbidden", f"{errors}\nkilled by the system call filter")
    if end.code == -signal.SIGKILL and end.cpu_seconds >= limits.cpu_seconds:
        raise ProgramError("timeout", errors)
    if end.code == -signal.SIGKILL:
        raise WorkerError("the program was killed from outside, perhaps for lack of memory")
    if errors.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        raise ProgramError("memory", errors)
    how = f"exit code {end.code}" if end.code > 0 else f"killed by signal {-end.code}"
    raise ProgramError("runtime error", f"{errors}\n{how}".strip())
