"""A worker: one zygote (pre-forked interpreter) behind bubblewrap, and the processes it starts."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from restem.sandbox.inside import wire
from restem.sandbox.limits import Limits, SandboxError, WorkerError
from restem.sandbox.root import NAMESPACES, command
from restem.sandbox.watch import Usage, family, host_pid, usage

START_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 20.0
OWN_PROCESSES: Final = 3  # bubblewrap, the first process of its namespace, the zygote


@dataclass(frozen=True)
class End:
    """How a process ended; code: its exit code, or minus the signal that killed it."""

    code: int
    cpu_seconds: float


class Worker:
    """Own one zygote, which is restarted after a failure, and run one process at a time.

    packages: installed packages that programs may import.
    """

    def __init__(self, packages: Sequence[str] = ()) -> None:
        self._packages = packages
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the zygote. Raises SandboxError with bubblewrap's message if it does not start."""
        self.close()
        self._control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside:
            self._process = subprocess.Popen(
                command(inside.fileno(), self._packages),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[inside.fileno()],
            )
        try:
            self._answer(START_SECONDS)
        except WorkerError:
            message = self.close()
            raise SandboxError(
                f"the sandbox does not start: {message or 'no message'}",
                "bwrap",
                f"{NAMESPACES}; as root in a container without capabilities, run the container as "
                "a user (apptainer --fakeroot, or --security uid:65534,gid:65534)",
            ) from None

    @contextlib.contextmanager
    def run(
        self, job: dict[str, Any], limits: Limits, tests: int, files: list[int]
    ) -> Iterator["Run"]:
        """Start a process that does a job, and kill it when the context ends.

        tests: the number of tests whose CPU time it may use in total. files: three descriptors, its
        stdin, stdout and stderr, which are closed here. Raises WorkerError if the worker fails.
        """
        try:
            run = self.launch(limits, tests, files)
        finally:
            for descriptor in files:
                os.close(descriptor)
        try:
            run.send(job)  # which waits in the channel until all walls are up
            run.wait_until_ready()
            yield run
            run.finish()
        finally:
            with contextlib.suppress(WorkerError):
                run.finish()

    def launch(self, limits: Limits, tests: int, files: list[int]) -> "Run":
        """Start a process; see `run` for the arguments."""
        if self._process is None:
            self.start()
        assert self._control is not None
        channel, inside = socket.socketpair()
        try:
            body = json.dumps(limits.for_process(tests)).encode()
            with inside:
                socket.send_fds(self._control, [body], [*files, inside.fileno()])
            reply, handles = self._answer(ANSWER_SECONDS, handles=1)
            if not handles:
                raise WorkerError(reply.get("failed", "no process was started"))
            return Run(self, handles[0], channel)
        except (OSError, WorkerError) as problem:
            channel.close()
            self.close()
            raise WorkerError(str(problem)) from problem

    def wait(self) -> End:
        """Wait until the launched process has ended; it has been killed or has exited."""
        try:
            reply, _ = self._answer(ANSWER_SECONDS)
        except WorkerError:
            self.close()
            raise
        return End(os.waitstatus_to_exitcode(reply["status"]), float(reply["cpu"]))

    def descendants(self) -> int:
        """Return how many processes the zygote has below it, which is 0 between programs."""
        processes = list(family(self._process.pid)) if self._process else []
        return max(0, len(processes) - OWN_PROCESSES)

    def close(self) -> str:
        """Kill bubblewrap and with it every namespace below it; return its messages."""
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

    def _answer(self, seconds: float, handles: int = 0) -> tuple[dict[str, Any], list[int]]:
        assert self._control is not None
        if not select.select([self._control], [], [], seconds)[0]:
            raise WorkerError("the worker does not answer")
        try:
            body, descriptors, _, _ = socket.recv_fds(self._control, 4096, handles)
            return json.loads(body), descriptors
        except (OSError, ValueError) as problem:
            raise WorkerError("the worker has ended") from problem


class Run:
    """One process in its own namespaces, and the channel to it; handle: its descriptor (pidfd)."""

    def __init__(self, worker: Worker, handle: int, channel: socket.socket) -> None:
        self._worker = worker
        self._pid: int | None = None
        self.handle = handle
        self.channel = channel
        self._end: End | None = None

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; that a process no longer listens shows at the next read."""
        with contextlib.suppress(OSError):
            wire.send(self.channel, message)

    def wait_until_ready(self) -> None:
        """Wait until all walls are up; no program runs before. Raises WorkerError."""
        self.channel.settimeout(ANSWER_SECONDS)
        try:
            reply = self.channel.recv(1)
        except OSError as problem:
            raise WorkerError(f"the process does not answer: {problem}") from problem
        if reply != b"R":
            message = self.channel.recv(4096) if reply else b"it ended"
            raise WorkerError(f"a wall could not be built: {message.decode(errors='replace')}")

    def usage(self) -> Usage:
        """Return what all processes in the namespace use together."""
        if self._pid is None:
            self._pid = host_pid(self.handle)
        return usage(self._pid) if self._pid > 0 else Usage(0.0, 0, 0, False)

    def finish(self) -> End:
        """Kill the process if it still runs; return how it ended. May be called again."""
        if self._end is None:
            with contextlib.suppress(ProcessLookupError):  # the kernel kills its descendants, too
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            self._end = End(-signal.SIGKILL, 0.0)
            try:
                self._end = self._worker.wait()
            finally:
                self.channel.close()
                os.close(self.handle)
        return self._end
