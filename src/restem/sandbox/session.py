"""Exchange messages with a program; whatever it sends is a claim, and nothing but data."""

import json
import math
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from restem.sandbox.inside.wire import FRAME
from restem.sandbox.limits import Limits, ProgramError
from restem.sandbox.scripts import raise_for
from restem.sandbox.watch import CHECK_SECONDS, Guard
from restem.sandbox.worker import Run, Worker

EXIT_SECONDS: Final = 2.0
MAX_DEPTH: Final = 100  # of JSON; a list of a list is two, a tuple in a tuple four


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
            raise_for(self._run.finish(), "", self._limits)
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
