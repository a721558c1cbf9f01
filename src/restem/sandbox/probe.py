"""Probe the sandbox before it is trusted: a good program, a bad one, and an attack on each wall."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from restem.sandbox.limits import Limits, ProgramError, SandboxError, WorkerError
from restem.sandbox.root import UID
from restem.sandbox.scripts import run_script
from restem.sandbox.worker import Worker

LIMITS: Final = Limits(cpu_seconds=0.2, wall_seconds=10.0, memory_mib=192, processes=8, files_mib=2)
# Programs that meet no limit have more time: a busy machine is no missing wall.
PATIENT: Final = replace(LIMITS, cpu_seconds=5.0)
SECRET: Final = "RESTEM_SANDBOX_PROBE"
ROOT: Final = {"dev", "lib", "lib64", "proc", "python", "restem", "tmp"}
NAMES: Final = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PWD", "TZ"} | {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
}

NAMESPACES: Final = (
    "allow user namespaces: sysctl user.max_user_namespaces above 0, and where the kernel has them "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0; "
    "or ask the administrator to"
)
KERNEL: Final = (
    "use Linux 5.14 or newer, where a user namespace counts its own processes, and mount /proc"
)
BUBBLEWRAP: Final = "install bubblewrap 0.4 or newer from the distribution"
FILTER: Final = "use a kernel with CONFIG_SECCOMP_FILTER"
CHILDREN: Final = "mount /proc with CONFIG_PROC_CHILDREN on this machine"


@dataclass(frozen=True)
class Wall:
    """One wall: the program that tests it, what is to come of it, and how to build it."""

    name: str
    program: str
    result: str
    fix: str
    limits: Limits = PATIENT


@dataclass(frozen=True)
class Finding:
    """What a probe has found."""

    name: str
    stands: bool
    found: str
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
        "room = array.array('B', bytes(4096)); address = room.buffer_info()[0]\n"
        "asked = struct.pack('iL', 4096, address)\n"
        "told = fcntl.ioctl(socket.socket(socket.AF_UNIX), 0x8912, asked)\n"
        "print(struct.unpack('iL', told)[0])\n"
        "try: socket.socket(); print('open')\n"
        "except PermissionError: pass\n",
        "0\n",
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
    """Probe wall after wall. Raises SandboxError when the sandbox does not even start."""
    os.environ[SECRET] = "secret"
    try:
        with closing(Worker()) as worker:
            worker.start()
            for wall in WALLS:
                found = _attempt(worker, wall)
                yield Finding(wall.name, found in wall.result.split(" or "), found, wall.fix)
            left = worker.descendants()
            yield Finding("nothing is left behind", left == 0, f"{left} processes", NAMESPACES)
    finally:
        del os.environ[SECRET]


def _attempt(worker: Worker, wall: Wall) -> str:
    try:
        return run_script(worker, "", [wall.program], "21\n", wall.limits)
    except ProgramError as problem:
        return problem.failure
    except WorkerError as problem:
        return f"infrastructure error: {problem}"


def report(tell: Callable[[str], None]) -> bool:
    """Tell what every probe has found, and whether all walls stand."""
    missing = 0
    for finding in findings():
        missing += not finding.stands
        tell(f"{'stands ' if finding.stands else 'MISSING'}  {finding.name}")
        if not finding.stands:
            tell(f"         found: {finding.found.strip() or 'nothing'}\n         {finding.fix}")
    tell(f"{missing} walls are missing: no program will be run" if missing else "all walls stand")
    return not missing


@cache
def require_walls() -> None:
    """Refuse to go on unless every wall stands; looked at once a process.

    Raises SandboxError with the walls that are missing and what to do about each.
    """
    missing = [finding for finding in findings() if not finding.stands]
    if missing:
        raise SandboxError(
            "the sandbox has no " + "; no ".join(f"{f.name} ({f.found.strip()})" for f in missing),
            "restem sandbox check",
            "; ".join(dict.fromkeys(finding.fix for finding in missing)),
        )
