"""The entry point of `restem`: run a command in a warm process of the run, or cold.

A cold start pays for what is imported here, so that is little; see `restem.warm`.
"""

import array
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

VARIABLE: Final = "RESTEM_WARM"
RUN: Final = "run.json"
_PROCESSES: Final = 4  # each holds half a gigabyte with torch
_UNIMPORTANT: Final = {"_", "SHLVL", "OLDPWD"}  # variables that bash sets as it goes
_FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LENGTH: Final = 4  # bytes that state the length of a message


def main() -> None:
    """Run the command line, warm if it can be."""
    folder = os.environ.get(VARIABLE)
    if folder and (family := _family(Path(folder), sys.argv[1:])):
        with suppress(OSError, ValueError, EOFError):
            _run_warm(Path(folder), family)
    from restem.cli import main as run

    run()


def _family(folder: Path, arguments: list[str]) -> str | None:
    """Return which warm process a stage's command wants; None for every other command."""
    try:
        stages: dict[str, str] = json.loads((folder / RUN).read_text())["stages"]
    except (OSError, ValueError, KeyError):
        return None
    return stages.get(arguments[0]) if arguments else None


def _run_warm(folder: Path, family: str) -> NoReturn:
    """Let a warm process run this command, and end as it ends.

    Raises OSError, ValueError or EOFError if it cannot; then nothing has been run.
    """
    with _connected(folder, family) as connection:
        request = {
            "arguments": sys.argv,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
            "path": sys.path,
            "umask": _umask(),
        }
        send(connection, request, [0, 1, 2])
        with _held_back(_FORWARDED):  # until there is somebody to forward them to
            child = receive(connection)[0]["child"]
            for number in _FORWARDED:
                signal.signal(number, lambda number, _: _forward(child, number))
        try:
            status = receive(connection)[0]["status"]
        except (OSError, ValueError, EOFError):
            print("restem: the warm process of this run has ended", file=sys.stderr, flush=True)
            os._exit(1)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


@contextmanager
def _held_back(signals: Iterable[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forward(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _connected(folder: Path, family: str) -> socket.socket:
    """Return a connection to the warm process for these surroundings, which it starts if need be.

    Raises EOFError if there is none, because there are enough or it did not start.
    """
    import fcntl

    path = folder / f"{family}-{_surroundings()}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (connection := _connect(path)) is not None:
            return connection
        path.unlink(missing_ok=True)  # one that has died leaves its socket
        if len(list(folder.glob("*-*"))) < _PROCESSES:
            process = _start(path, family)
            while process.poll() is None:
                if (connection := _connect(path)) is not None:
                    return connection
                time.sleep(0.01)
    raise EOFError


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _start(path: Path, family: str) -> "subprocess.Popen[bytes]":
    """Start a warm process; it ends with the run."""
    # -P: the folder of that file must not be searched for modules.
    command = [sys.executable, "-P", str(Path(__file__).with_name("server.py")), str(path), family]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )


def _surroundings() -> str:
    """Return a digest of all that a process inherits and that may change what it does."""
    import resource

    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    facts: list[Any] = [
        sorted((k, v) for k, v in os.environ.items() if k not in _UNIMPORTANT),
        [sys.executable, sys.flags, sys.path],
        [os.getuid(), os.getgid(), os.getgroups(), os.getsid(0), sorted(os.sched_getaffinity(0))],
        [resource.getrlimit(limit) for limit in limits],
        [os.getpriority(os.PRIO_PROCESS, 0), str(Path("/proc/self/ns/mnt").readlink())],
        Path("/proc/self/cgroup").read_text(),
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:20]


def since(process: int) -> str | None:
    """Return when a process started, in a unit of the kernel's; None if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def send(connection: socket.socket, message: object, descriptors: list[int] | None = None) -> None:
    """Send a message, and open files with it."""
    content = json.dumps(message).encode()
    rights = array.array("i", descriptors or [])
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    connection.sendmsg([len(content).to_bytes(_LENGTH, "big")], ancillary)
    connection.sendall(content)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a message and the open files that came with it. Raises EOFError at the end."""
    size = array.array("i").itemsize
    head, ancillary, *_ = connection.recvmsg(_LENGTH, socket.CMSG_LEN(3 * size))
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % size])
    content = b""
    length = int.from_bytes(head + _exactly(connection, _LENGTH - len(head)), "big")
    content = _exactly(connection, length)
    return json.loads(content), list(descriptors)


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
