"""What may go wrong: on our own side, and in a program."""

from typing import Final, Literal

from restem.errors import RestemError


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
