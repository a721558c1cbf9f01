"""How much a program may use."""

from dataclasses import dataclass
from typing import Final, Literal

from restem.errors import RestemError


@dataclass(frozen=True)
class Limits:
    """Bound one program.

    CPU and wall clock are those of one test; a test that only waits ends after as many seconds as
    one that computes. memory_mib bounds the address space of each process and the resident memory
    of all together; files_mib the private file system. output_bytes: of each stream, or a result.
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
        """Return what the kernel enforces on a process that serves so many tests."""
        return {
            "cpu_seconds": int(self.cpu_seconds * tests) + 2,
            "memory_mib": self.memory_mib,
            "processes": self.processes,
            "files_mib": self.files_mib,
            "stack_mib": self.stack_mib,
            "message_bytes": self.message_bytes,
        }


class SandboxError(RestemError):
    """Report that the sandbox cannot be built, or that a wall of it is missing."""


class WorkerError(Exception):
    """Report that a worker failed, not the program that it was given: worth another try."""


Failure = Literal["runtime error", "timeout", "memory", "output limit", "forbidden"]
DETAIL_CHARACTERS: Final = 1_000


class ProgramError(Exception):
    """Report how a program failed: the failure, and the tail of what it said.

    fatal: its process has ended or has to; an exception that it raised in a call is not fatal.
    """

    def __init__(self, failure: Failure, detail: str, fatal: bool = True) -> None:
        super().__init__(failure, detail)
        self.failure: Failure = failure
        self.fatal = fatal
        self.detail = detail.strip()[-DETAIL_CHARACTERS:]
