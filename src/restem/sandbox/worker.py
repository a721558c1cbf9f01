"""One worker: a zygote behind bubblewrap, and the programs that it starts, one at a time."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from restem.sandbox.inside import wire
from restem.sandbox.limits import Limits, SandboxError, WorkerError
from restem.sandbox.root import command
from restem.sandbox.watch import Usage, family, host_pid, usage

START_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 20.0
OWN_PROCESSES: Final = 3  # bubblewrap, the first process of its namespace, the zygote


@dataclass(frozen=True)
class End:
    """How a process ended: its exit code, or minus the signal that killed it."""

    code: int
    cpu_seconds: float


class Worker:
    """Own one zygote; restart it after a failure. packages: what programs may import besides."""

    def __init__(self, packages: Sequence[str] = ()) -> None:
        self._packages = packages
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the zygote. Raises SandboxError with what bubblewrap said when it does not."""
        self._stop()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), self._packages),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
        try:
            self._answer(START_SECONDS)
        except WorkerError:
            said = self._stop()
            raise SandboxError(
                f"the sandbox does not start: {said or 'no message'}",
                "bwrap",
                "allow unprivileged user namespaces (sysctl user.max_user_namespaces, "
                "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns) "
                "or ask the administrator to; as root in a container without capabilities, run the "
                "container as a user (apptainer --fakeroot, or --security uid:65534,gid:65534)",
            ) from None

    def launch(self, limits: Limits, tests: int, files: list[int]) -> "Run":
        """Start a process with stdin, stdout and stderr at three descriptors.

        Raises WorkerError when the worker, not the program, fails.
        """
        if self._process is None:
            self.start()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        try:
            body = json.dumps(limits.for_process(tests)).encode()
            with theirs:
                socket.send_fds(self._control, [body], [*files, theirs.fileno()])
            reply, handles = self._answer(ANSWER_SECONDS, handles=1)
            if not handles:
                raise WorkerError(reply.get("failed", "no process was started"))
            return Run(self, handles[0], ours)
        except (OSError, WorkerError) as problem:
            ours.close()
            self._stop()
            raise WorkerError(str(problem)) from problem

    def ended(self) -> End:
        """Wait for the end of the process that was launched; it has been killed or has exited."""
        try:
            told, _ = self._answer(ANSWER_SECONDS)
        except WorkerError:
            self._stop()
            raise
        return End(os.waitstatus_to_exitcode(told["status"]), float(told["cpu"]))

    def descendants(self) -> int:
        """Return how many processes live below the zygote: none, between programs."""
        below = list(family(self._process.pid)) if self._process else []
        return max(0, len(below) - OWN_PROCESSES)

    def close(self) -> None:
        """End the zygote and whatever it started."""
        self._stop()

    def _answer(self, seconds: float, handles: int = 0) -> tuple[dict[str, Any], list[int]]:
        assert self._control is not None
        if not select.select([self._control], [], [], seconds)[0]:
            raise WorkerError("the worker does not answer")
        try:
            body, descriptors, _, _ = socket.recv_fds(self._control, 4096, handles)
            return json.loads(body), descriptors
        except (OSError, ValueError) as problem:
            raise WorkerError("the worker has ended") from problem

    def _stop(self) -> str:
        """Kill bubblewrap, and with it every namespace below it; return what it said."""
        process, self._process = self._process, None
        control, self._control = self._control, None
        if control is not None:
            control.close()
        if process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
        process.wait()
        assert process.stderr is not None
        with process.stderr as stream:
            return stream.read().decode(errors="replace").strip()[-500:]


class Run:
    """One process in its own namespaces, and the channel to it."""

    def __init__(self, worker: Worker, handle: int, channel: socket.socket) -> None:
        self._worker = worker
        self._pid: int | None = None
        self.handle = handle
        self.channel = channel
        self._end: End | None = None

    def send(self, job: dict[str, Any]) -> None:
        """Send a message; a process that no longer listens is noticed at the next reading."""
        with contextlib.suppress(OSError):
            wire.send(self.channel, job)

    def ready(self) -> None:
        """Wait until the walls stand, before which no program runs. Raises WorkerError."""
        self.channel.settimeout(ANSWER_SECONDS)
        try:
            first = self.channel.recv(1)
        except OSError as problem:
            raise WorkerError(f"the process says nothing: {problem}") from problem
        if first != b"R":
            said = self.channel.recv(4096) if first else b"it ended"
            raise WorkerError(f"a wall does not stand: {said.decode(errors='replace')}")

    def usage(self) -> Usage:
        """Return what all that runs in the namespace uses."""
        if self._pid is None:
            self._pid = host_pid(self.handle)
        return usage(self._pid) if self._pid > 0 else Usage(0.0, 0, 0, False)

    def kill(self) -> None:
        """Kill the namespace's first process; the kernel kills the others with it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def finish(self) -> End:
        """Kill what still runs and return how the process ended; may be called again."""
        if self._end is None:
            self.kill()
            self._end = End(-signal.SIGKILL, 0.0)
            try:
                self._end = self._worker.ended()
            finally:
                self.channel.close()
                os.close(self.handle)
        return self._end
