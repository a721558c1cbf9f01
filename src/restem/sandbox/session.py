"""Call into a program: everything that comes back is a claim, as data."""

import json
import math
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from restem.sandbox.guard import CHECK_SECONDS, Guard
from restem.sandbox.inside.wire import FRAME
from restem.sandbox.limits import Limits, ProgramError, WorkerError
from restem.sandbox.scripts import raise_for
from restem.sandbox.worker import Run, Worker

LEAVING_SECONDS: Final = 2.0
MAX_DEPTH: Final = 100  # of JSON; a list of a list is two, a tuple in a tuple four


class Session:
    """A process that exchanges messages with the host, each within the limits of one test."""

    def __init__(self, run: Run, limits: Limits) -> None:
        self._run = run
        self._limits = limits
        self._guard = Guard(run, limits)
        self._buffer = bytearray()
        self._cpu = 0.0

    def send(self, message: dict[str, Any]) -> None:
        """Send a message and start the clock of a test."""
        self._guard.begin(self._cpu)
        self._run.send(message)

    def receive(self) -> dict[str, Any]:
        """Return the next message. Raises ProgramError when none comes, or one that is none."""
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
            raise ProgramError("runtime error", "what came back is not a message")
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and not _is_shallow(message):
            raise ProgramError("runtime error", "what came back is nested too deeply")
        return message

    def _exactly(self, count: int) -> bytearray:
        poll = select.poll()
        poll.register(self._run.channel, select.POLLIN)
        while len(self._buffer) < count:
            if poll.poll(CHECK_SECONDS * 1000):
                self._more()
            if excess := self._guard.excess():
                raise ProgramError(excess, "")
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _more(self) -> None:
        try:
            chunk = self._run.channel.recv(1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            self._raise_for_silence()
        self._buffer += chunk

    def _raise_for_silence(self) -> None:
        """Tell why a process has closed its channel: it has ended, or it plays a game."""
        leaving = select.select([self._run.handle], [], [], LEAVING_SECONDS)[0]
        if leaving:
            raise_for(self._run.finish(), "", self._limits)
        raise ProgramError("runtime error", "the program ended or closed its channel")


def _is_shallow(message: Any) -> bool:
    """Tell whether data can be walked by functions that call themselves."""
    level = [message]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner
    return not level


@contextmanager
def open_session(
    worker: Worker, job: dict[str, Any], tests: int, limits: Limits
) -> Iterator[Session]:
    """Start a process that does a job; it is killed when the context ends.

    tests: how many tests' CPU time it may use in all.
    """
    with Path("/dev/null").open("r+b", buffering=0) as null:
        run = worker.launch(limits, tests, [null.fileno()] * 3)
    try:
        run.ready()
        session = Session(run, limits)
        session.send(job)
        yield session
        run.finish()
    finally:
        with suppress(WorkerError):
            run.finish()
