"""Probe the sandbox before it is trusted: run a good program, a bad one, and attack each wall.

A wall is one of the mechanisms that isolate a program, such as a namespace or a limit.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from restem.sandbox.limits import Limits, ProgramError, SandboxError, WorkerError
from restem.sandbox.programs import run_script
from restem.sandbox.root import BUBBLEWRAP, NAMESPACES, UID
from restem.sandbox.worker import Worker

LIMITS: Final = Limits(cpu_seconds=0.2, wall_seconds=10.0, memory_mib=192, processes=8, files_mib=2)
# Programs that should meet no time limit have more time, because the machine may be busy.
PATIENT: Final = replace(LIMITS, cpu_seconds=5.0)
SECRET: Final = "RESTEM_SANDBOX_PROBE"
ROOT: Final = {"dev", "lib", "lib64", "proc", "python", "restem", "tmp"}
NAMES: Final = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PWD", "TZ"} | {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
}

KERNEL: Final = (
    "use Linux 5.14 or newer, where a user namespace counts its own processes, and mount /proc"
)
FILTER: Final = "use a kernel with CONFIG_SECCOMP_FILTER"
CHILDREN: Final = "mount /proc with CONFIG_PROC_CHILDREN on this machine"


@dataclass(frozen=True)
class Wall:
    """A wall to probe.

    program: what attacks it; result: the expected output or failure, or several joined by " or ";
    fix: how to set up the machine so that the wall holds.
    """

    name: str
    program: str
    result: str
    fix: str
    limits: Limits = PATIENT


@dataclass(frozen=True)
class Finding:
    """The result of a probe: whether the wall holds, and what the program did."""

    name: str
    holds: bool
    observed: str
    fix: str


_CTYPES: Final = "import ctypes; libc = ctypes.CDLL(None); "

WALLS: Final = (
    Wall("a good program passes", "print(int(input()) * 2)", "42\n", NAMESPACES),
    Wall("a bad program fails", "print(41); raise ValueError", "runtime error", NAMESPACES),
    Wall(
        "user namespace",
        "import os; print(os.getresuid(), os.getgroups() in ([], [65534]))\n"
        "try: os.setuid(0)\nexcept OSError: print('kept')",
        f"{(UID, UID, UID)} True\nkept\n",
        NAMESPACES,
    ),
    Wall(
        "pid namespace",
        "import os; print(os.getpid(), os.getppid(), os.listdir('/proc'))",
        "1 0 []\n",
        NAMESPACES,
    ),
    Wall(
        "mount namespace: files of the host",
        f"import os; print(sorted(set(os.listdir('/')) - {ROOT!r}), os.listdir('/tmp'))",
        "[] []\n",
        BUBBLEWRAP,
    ),
    Wall(
        "read-only root",
        "for path in ('/x', '/dev/x', '/python/x', '/restem/x', '/proc/x'):\n"
        "    try: open(path, 'w'); print(path)\n"
        "    except OSError: pass\n",
        "",
        BUBBLEWRAP,
    ),
    Wall(
        "network namespace",
        "import fcntl, socket, struct, array\n"
        "buffer = array.array('B', bytes(4096)); address = buffer.buffer_info()[0]\n"
        "request = struct.pack('iL', 4096, address)\n"
        "reply = fcntl.ioctl(socket.socket(socket.AF_UNIX), 0x8912, request)\n"
        "found = buffer.tobytes()[: struct.unpack('iL', reply)[0]]\n"
        "names = {found[i : i + 16].rstrip(bytes(1)).decode() for i in range(0, len(found), 40)}\n"
        "print(sorted(names - {'lo'}))\n"
        "try: socket.socket(); print('open')\n"
        "except PermissionError: pass\n",
        "[]\n",
        NAMESPACES,
    ),
    Wall("host name", "import os; print(os.uname().nodename)", "sandbox\n", NAMESPACES),
    Wall(
        "no environment of the host",
        f"import os; print(sorted(set(os.environ) - {NAMES!r}))",
        "[]\n",
        BUBBLEWRAP,
    ),
    Wall(
        "no descriptors of the host",
        "import os\nfor number in range(3, 64):\n"
        "    try: os.fstat(number); print(number)\n"
        "    except OSError: pass\n",
        "",
        BUBBLEWRAP,
    ),
    Wall("system call filter", f"{_CTYPES}libc.ptrace(0, 0, 0, 0)", "forbidden", FILTER),
    Wall("no further namespaces", f"{_CTYPES}libc.unshare(0x10000000)", "forbidden", FILTER),
    Wall(
        "process limit",
        "import os, time\nfor number in range(40):\n"
        "    try:\n"
        "        if not os.fork(): time.sleep(60); os._exit(0)\n"
        "    except BlockingIOError: os._exit(1)\n"
        "time.sleep(60)",
        "runtime error or forbidden",
        KERNEL,
    ),
    Wall("address space", "bytearray(400 << 20)", "memory", BUBBLEWRAP),
    Wall(
        "memory of all processes together",
        "import os, time\nfor number in range(3): os.fork()\n"
        "kept = bytearray(60 << 20); time.sleep(60)",
        "memory",
        CHILDREN,
    ),
    Wall(
        "file system size",
        "try:\n    for name in '/tmp/x', '/tmp/y': open(name, 'wb').write(bytes(3 << 19))"
        "\nexcept OSError: print('full')",
        "full\n",
        BUBBLEWRAP,
    ),
    Wall("output limit", "while True: print('x' * 9999)", "output limit", BUBBLEWRAP),
    Wall("CPU time", "while True: pass", "timeout", CHILDREN, LIMITS),
    Wall(
        "wall clock",
        "import time; time.sleep(60)",
        "timeout",
        BUBBLEWRAP,
        replace(LIMITS, wall_seconds=0.2),
    ),
)


def findings() -> Iterator[Finding]:
    """Probe all walls one after the other. Raises SandboxError if the sandbox does not start."""
    os.environ[SECRET] = "secret"
    try:
        with closing(Worker()) as worker:
            worker.start()
            for wall in WALLS:
                observed = _observe(worker, wall)
                holds = observed in wall.result.split(" or ")
                yield Finding(wall.name, holds, observed, wall.fix)
            count = worker.descendants()
            yield Finding("nothing is left behind", count == 0, f"{count} processes", NAMESPACES)
    finally:
        del os.environ[SECRET]


def _observe(worker: Worker, wall: Wall) -> str:
    try:
        return run_script(worker, "", [wall.program], "21\n", wall.limits)
    except ProgramError as problem:
        return problem.failure
    except WorkerError as problem:
        return f"infrastructure error: {problem}"


def print_findings() -> bool:
    """Print the result of every probe; return whether all walls hold."""
    missing = 0
    for finding in findings():
        missing += not finding.holds
        print(f"{'holds  ' if finding.holds else 'MISSING'}  {finding.name}")
        if not finding.holds:
            print(f"         got: {finding.observed.strip() or 'nothing'}\n         {finding.fix}")
    print(f"{missing} walls are missing: no program will be run" if missing else "all walls hold")
    return not missing


@cache
def require_walls() -> None:
    """Probe the walls once per process.

    Raises SandboxError with the walls that are missing and what to do about each.
    """
    missing = [finding for finding in findings() if not finding.holds]
    if missing:
        walls = "; no ".join(f"{f.name} (got: {f.observed.strip()})" for f in missing)
        fixes = "; ".join(dict.fromkeys(finding.fix for finding in missing))
        raise SandboxError(f"the sandbox has no {walls}", "restem sandbox check", fixes)
