"""What a program and all its descendants use, as the host's /proc tells it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def host_pid(pidfd: int) -> int:
    """Return the process of a descriptor by its number on the host; -1 when it has ended."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    return -1


class Usage(NamedTuple):
    """What is used by all together, how many they are, whether any would run if it could."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    runnable: bool


def usage(pid: int) -> Usage:
    """Return what a process and its living descendants use.

    The first process of a PID namespace adopts every orphan in it, so its descendants are all.
    """
    cpu, memory, processes, runnable = 0.0, 0, 0, False
    for process in family(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended between two reads
        cpu += sum(map(int, fields[11:15])) * _TICK
        memory += int(fields[21]) * _PAGE
        processes += 1
        runnable |= fields[0] == "R"
    return Usage(cpu, memory, processes, runnable)


def family(pid: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        yield process
        try:
            for thread in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
