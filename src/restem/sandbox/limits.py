"""How much a program may use."""

from dataclasses import dataclass


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
