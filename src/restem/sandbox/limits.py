"""The limits of a program, and the errors of the sandbox."""

from dataclasses import dataclass
from typing import Final, Literal

from restem.errors import RestemError


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    cpu_seconds and wall_seconds are per test; a test that only waits ends after cpu_seconds, too.
    memory_mib: address space of each process, and resident memory of all processes together.
    files_mib: size of the private file system. output_bytes: of each stream, or of a result.
    """

    cpu_seconds: float = 8.0
    wall_seconds: float = 30.0
    memory_mib: int = 1024
    processes: int = 16
    files_mib: int = 16
    stack_mib: int = 64
    output_bytes: int = 1 << 20
    message_bytes: int = 64 << 20

    def for_process(self, tests: int) -> dict[str, int]:
        """Return what the kernel enforces on a process that runs a number of tests."""
        names = ("memory_mib", "processes", "files_mib", "stack_mib", "message_bytes")
        cpu_seconds = int(self.cpu_seconds * tests) + 2
        return {"cpu_seconds": cpu_seconds, **{name: getattr(self, name) for name in names}}


class SandboxError(RestemError):
    """The sandbox cannot be built, or one of its walls is missing."""


class WorkerError(Exception):
    """A worker failed, not the program in it: the program is worth another try."""


Failure = Literal["runtime error", "timeout", "memory", "output limit", "forbidden"]
DETAIL_CHARACTERS: Final = 1_000


class ProgramError(Exception):
    """A program failed; detail: the end of its output.

    fatal: its process has ended or must end, as opposed to an exception in a function call.
    """

    def __init__(self, failure: Failure, detail: str, fatal: bool = True) -> None:
        super().__init__(failure, detail)
        self.failure: Failure = failure
        self.fatal = fatal
        self.detail = detail.strip()[-DETAIL_CHARACTERS:]
