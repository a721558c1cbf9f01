"""Measure what a program and its descendants use, from /proc, and notice what exceeds a limit."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from restem.sandbox.limits import Limits

CHECK_SECONDS: Final = 0.05
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

Excess = Literal["timeout", "memory", "forbidden"]


class Usage(NamedTuple):
    """What some processes use together; runnable: at least one of them is not waiting."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    runnable: bool


class Guard:
    """Check one process against the limits of one test after the other.

    A test ends when it has used its CPU time, or has waited as long without using any. The limit
    of wall-clock time is longer, so that a slow machine does not fail a slow program.
    """

    def __init__(self, usage: Callable[[], Usage], limits: Limits) -> None:
        self._usage = usage
        self._limits = limits
        self.begin(0.0)

    def begin(self, cpu_seconds: float) -> None:
        """Start a test; cpu_seconds: what the process reports to have used before."""
        self._started = self._checked = time.monotonic()
        self._cpu_before = self._cpu_seen = cpu_seconds
        self._idle = 0.0

    def excess(self) -> Excess | None:
        """Return what the test has exceeded; measures again only after `CHECK_SECONDS`."""
        now = time.monotonic()
        passed = now - self._checked
        if passed < CHECK_SECONDS:
            return None
        self._checked = now
        usage = self._usage()
        if usage.memory_bytes > self._limits.memory_mib << 20:
            return "memory"
        if usage.processes > self._limits.processes:  # the kernel does not limit those of root
            return "forbidden"
        if not usage.runnable and usage.cpu_seconds <= self._cpu_seen:
            self._idle += passed
        self._cpu_seen = usage.cpu_seconds
        # A false report of the CPU time used before gains at most the rest of the wall clock.
        spent = max(usage.cpu_seconds - self._cpu_before, self._idle)
        over_wall = now - self._started > self._limits.wall_seconds
        return "timeout" if spent > self._limits.cpu_seconds or over_wall else None


def host_pid(pidfd: int) -> int:
    """Return the process id on the host of a process descriptor; -1 if the process has ended."""
    lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), -1)


def usage(pid: int) -> Usage:
    """Return what a process and its living descendants use.

    The first process of a PID namespace adopts every orphan in it, so nothing escapes.
    """
    cpu_seconds, memory, processes, runnable = 0.0, 0, 0, False
    for process in family(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        cpu_seconds += sum(map(int, fields[11:15])) * _TICK
        memory += int(fields[21]) * _PAGE
        processes += 1
        runnable |= fields[0] == "R"
    return Usage(cpu_seconds, memory, processes, runnable)


def family(pid: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    stack = [pid]
    while stack:
        process = stack.pop()
        yield process
        try:
            for thread in Path(f"/proc/{process}/task").iterdir():
                stack += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
