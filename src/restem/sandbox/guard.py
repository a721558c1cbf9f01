"""When a program has had enough: its test's wall clock, CPU time and memory."""

import time
from typing import Final, Literal

from restem.sandbox.limits import Limits
from restem.sandbox.worker import Run

CHECK_SECONDS: Final = 0.05

Excess = Literal["timeout", "memory", "forbidden"]


class Guard:
    """Watch one process through one test; the clock runs for the program, not for the machine.

    A test ends when it has used its CPU time, or has waited as long without using any. Its wall
    clock is longer, so that a busy machine turns no slow program into a wrong one.
    """

    def __init__(self, run: Run, limits: Limits) -> None:
        self._run = run
        self._limits = limits
        self.begin(0.0)

    def begin(self, cpu_seconds: float) -> None:
        """Start a test; cpu_seconds: what the process says it has used before."""
        self._began = self._checked = time.monotonic()
        self._before = self._seen = cpu_seconds
        self._idle = 0.0

    def excess(self) -> Excess | None:
        """Return what the test has exceeded; looks again only after `CHECK_SECONDS`."""
        now = time.monotonic()
        passed = now - self._checked
        if passed < CHECK_SECONDS:
            return None
        self._checked = now
        used = self._run.usage()
        if used.memory_bytes > self._limits.memory_mib << 20:
            return "memory"
        if used.processes > self._limits.processes:  # the kernel does not count those of root
            return "forbidden"
        self._idle += 0.0 if used.runnable or used.cpu_seconds > self._seen else passed
        self._seen = used.cpu_seconds
        # What the process says of itself buys at most the rest of the wall clock.
        spent = max(used.cpu_seconds - self._before, self._idle)
        over_wall = now - self._began > self._limits.wall_seconds
        return "timeout" if spent > self._limits.cpu_seconds or over_wall else None
