"""Run a program that reads stdin and prints to stdout."""

import os
import select
import signal
from collections.abc import Sequence
from typing import Literal

from restem.sandbox.limits import Limits, ProgramError, WorkerError
from restem.sandbox.watch import CHECK_SECONDS, Excess, Guard
from restem.sandbox.worker import End, Run, Worker


def run_script(
    worker: Worker, preamble: str, programs: Sequence[str], text: str, limits: Limits
) -> str:
    """Return what a program prints when it reads `text`.

    preamble: code that runs before the program, in the same module.
    programs: readings of one program, of which the first that is syntactically valid is run.

    Raises ProgramError if the program fails and WorkerError if the sandbox fails.
    """
    job = {"mode": "stdin", "preamble": preamble, "programs": list(programs)}
    stdin = os.memfd_create("input")
    out, out_inside = os.pipe()
    err, err_inside = os.pipe()
    streams = {out: bytearray(), err: bytearray()}
    try:
        os.write(stdin, text.encode("utf-8", "surrogateescape"))
        os.lseek(stdin, 0, os.SEEK_SET)
        with worker.run(job, limits, 1, [stdin, out_inside, err_inside]) as run:
            excess = _read(run, Guard(run.usage, limits), streams, limits.output_bytes)
    finally:
        os.close(out)
        os.close(err)
    errors = streams[err].decode(errors="replace")
    if excess:
        raise ProgramError(excess, errors)
    raise_for(run.finish(), errors, limits)
    return streams[out].decode(errors="replace")


def _read(
    run: Run, guard: Guard, streams: dict[int, bytearray], limit: int
) -> Excess | Literal["output limit"] | None:
    """Read both streams until the process has ended; return the limit that it exceeded."""
    poll = select.poll()
    for descriptor in (*streams, run.handle):
        poll.register(descriptor, select.POLLIN)
    open_streams, ended = len(streams), False
    while open_streams or not ended:
        for descriptor, _ in poll.poll(CHECK_SECONDS * 1000):
            if descriptor == run.handle:
                ended = True
                poll.unregister(descriptor)
            elif not (chunk := os.read(descriptor, 1 << 16)):
                open_streams -= 1
                poll.unregister(descriptor)
            else:
                streams[descriptor] += chunk
                if len(streams[descriptor]) > limit:
                    return "output limit"
        if excess := guard.excess():
            return excess
    return None


def raise_for(end: End, errors: str, limits: Limits) -> None:
    """Raise ProgramError or WorkerError unless a process ended with success.

    errors: what it wrote to stderr.
    """
    if end.code == 0:
        return
    if end.code == -signal.SIGSYS:
        raise ProgramError("forbidden", f"{errors}\nkilled by the system call filter")
    if end.code == -signal.SIGKILL and end.cpu_seconds >= limits.cpu_seconds:
        raise ProgramError("timeout", errors)
    if end.code == -signal.SIGKILL:
        raise WorkerError("the program was killed from outside, perhaps for lack of memory")
    if errors.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        raise ProgramError("memory", errors)
    how = f"exit code {end.code}" if end.code > 0 else f"killed by signal {-end.code}"
    raise ProgramError("runtime error", f"{errors}\n{how}".strip())
