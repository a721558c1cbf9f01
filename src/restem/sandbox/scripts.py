"""Run a program on an input, in a process and in namespaces of its own."""

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from typing import Any, Literal

from restem.sandbox.guard import CHECK_SECONDS, Excess, Guard
from restem.sandbox.limits import Limits, ProgramError, WorkerError
from restem.sandbox.worker import End, Run, Worker


def run_script(
    worker: Worker, preamble: str, programs: Sequence[str], text: str, limits: Limits
) -> str:
    """Return what a program prints when it reads `text`.

    preamble: code that runs before the program, in the same module.
    programs: readings of one program, of which the first that is syntactically valid is run.

    Raises ProgramError when it fails and WorkerError when the sandbox does.
    """
    stdin = os.memfd_create("input")
    out, out_inside = os.pipe()
    err, err_inside = os.pipe()
    try:
        os.write(stdin, text.encode("utf-8", "surrogateescape"))
        os.lseek(stdin, 0, os.SEEK_SET)
        try:
            run = worker.launch(limits, 1, [stdin, out_inside, err_inside])
        finally:
            for descriptor in (stdin, out_inside, err_inside):
                os.close(descriptor)
        return _watch_script(run, _job(preamble, programs), out, err, limits)
    finally:
        os.close(out)
        os.close(err)


def _job(preamble: str, programs: Sequence[str]) -> dict[str, Any]:
    return {"mode": "stdin", "preamble": preamble, "programs": list(programs)}


def _watch_script(run: Run, job: dict[str, Any], out: int, err: int, limits: Limits) -> str:
    try:
        run.ready()
        run.send(job)
        guard, kept = Guard(run, limits), {out: bytearray(), err: bytearray()}
        excess = _drain(run, guard, kept, limits.output_bytes)
        end = run.finish()
    finally:
        with contextlib.suppress(WorkerError):
            run.finish()
    said = kept[err].decode(errors="replace")
    if excess:
        raise ProgramError(excess, said)
    raise_for(end, said, limits)
    return kept[out].decode(errors="replace")


def _drain(
    run: Run, guard: Guard, kept: dict[int, bytearray], limit: int
) -> Excess | Literal["output limit"] | None:
    """Read both streams until the process has ended; return what ended it too early."""
    poll = select.poll()
    for descriptor in (*kept, run.handle):
        poll.register(descriptor, select.POLLIN)
    open_streams, ended = len(kept), False
    while open_streams or not ended:
        for descriptor, _ in poll.poll(CHECK_SECONDS * 1000):
            if descriptor == run.handle:
                ended = True
                poll.unregister(descriptor)
            elif not (chunk := os.read(descriptor, 1 << 16)):
                open_streams -= 1
                poll.unregister(descriptor)
            else:
                kept[descriptor] += chunk
                if len(kept[descriptor]) > limit:
                    return "output limit"
        if excess := guard.excess():
            return excess
    return None


def raise_for(end: End, said: str, limits: Limits) -> None:
    """Raise ProgramError for an end that is not a success."""
    if end.code == 0:
        return
    if end.code == -signal.SIGSYS:
        raise ProgramError("forbidden", f"{said}\nkilled by the system call filter")
    if end.code == -signal.SIGKILL and end.cpu_seconds >= limits.cpu_seconds:
        raise ProgramError("timeout", said)
    if end.code == -signal.SIGKILL:
        raise WorkerError("the program was killed from outside, perhaps for want of memory")
    if said.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        raise ProgramError("memory", said)
    how = f"exit code {end.code}" if end.code > 0 else f"killed by signal {-end.code}"
    raise ProgramError("runtime error", f"{said}\n{how}".strip())
