"""What a run on SLURM must know of other runs: which jobs are whose, and what they left behind.

A run's jobs are named after the study, the directory and the run. While it lives, a run holds a
lock that goes when it dies, however it dies: a job whose run holds no lock is an orphan.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from restem.errors import RestemError

ASK_EVERY_SECONDS = 5.0
ANSWER_WITHIN_SECONDS = 600.0
ENDS_WITHIN_SECONDS = 300.0

# Why SLURM never starts a job that it has accepted, until somebody changes the job.
HOPELESS = ("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "AccountNotAllowed",
            "QOSNotAllowed", "JobHeldAdmin", "launch failed requeued held")  # fmt: skip


@dataclass(frozen=True)
class QueuedJob:
    """One job of the queue: its number, the name of its run, and whether it has started."""

    number: str
    run: str
    state: str

    @property
    def waits(self) -> bool:
        """Tell whether nothing is lost when the job is cancelled."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED")


def run_name(study: str, directory: Path) -> str:
    """Return what the names of a study's jobs begin with, for all runs in one directory."""
    place = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]
    return f"restem-{re.sub('[^A-Za-z0-9-]', '-', study)[:30]}-{place}"


def say_alive(folder: Path, run: str) -> int:
    """Hold a lock that says that a run lives; return its file descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / run, os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def settle_orphans(name: str, alive: Path, what: str, tell: Callable[[str], None]) -> None:
    """Cancel what dead runs left waiting in the queue; wait for what is running, or cancel it too.

    A running job ends within its own time limit. Raises RestemError when SLURM does not answer, or
    when a cancelled job does not go.
    """
    told: set[str] = set()
    cancelled: dict[str, float] = {}
    while orphans := _orphans(name, alive):
        for job in orphans:
            unwanted = job.waits or what == "cancel"
            if unwanted and job.number not in cancelled:
                if _try("scancel", job.number) is not None:
                    cancelled[job.number] = time.monotonic()
            if job.number not in told:
                deed = "cancelled" if unwanted else "waiting for its results"
                tell(f"SLURM job {job.number} is of an earlier run of this study: {deed}")
                told.add(job.number)
        _complain_of_stuck(cancelled, {job.number for job in orphans})
        time.sleep(ASK_EVERY_SECONDS)
    _sweep(alive)


def known_jobs(run: str) -> dict[str, str] | None:
    """Return why each of a run's jobs waits ("None": it does not); None if SLURM does not answer.

    A job that SLURM has forgotten is missing. Tasks of an array stand under the array's number.
    """
    answer = _try("squeue", "--noheader", "--states=all", f"--name={run}", "--format=%F %r")
    return None if answer is None else dict(_pair(line) for line in answer.splitlines())


def _pair(line: str) -> tuple[str, str]:
    number, _, reason = line.strip().partition(" ")
    return number, reason


def cancel(number: str) -> None:
    """Cancel a job, if SLURM answers."""
    _try("scancel", number)


def _orphans(name: str, alive: Path) -> list[QueuedJob]:
    """List the unfinished jobs of runs that have died."""
    answer = _ask("squeue", "--noheader", "--me", "--format=%A|%j|%T")
    jobs = [QueuedJob(*line.split("|")) for line in answer.splitlines() if line.count("|") == 2]
    return [job for job in jobs if job.run.startswith(f"{name}_") and not _lives(alive / job.run)]


def _lives(lock: Path) -> bool:
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _sweep(alive: Path) -> None:
    """Remove the locks of dead runs, which have no job left."""
    for lock in alive.iterdir():
        if not _lives(lock):
            lock.unlink(missing_ok=True)


def _complain_of_stuck(cancelled: dict[str, float], queued: set[str]) -> None:
    now = time.monotonic()
    stuck = [n for n, at in cancelled.items() if n in queued and now - at > ENDS_WITHIN_SECONDS]
    if stuck:
        raise RestemError(
            f"cancelled jobs do not end: {', '.join(stuck)}",
            "the SLURM queue",
            "ask the administrator to end them, then give the same command again",
        )


def _ask(*command: str) -> str:
    """Return what a command of SLURM says; ask again while the controller is away."""
    deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
    while (answer := _try(*command)) is None:
        if time.monotonic() > deadline:
            raise RestemError(
                f"SLURM does not answer for {ANSWER_WITHIN_SECONDS:.0f} s",
                " ".join(command),
                "give the same command again when `scontrol ping` says that a controller is up",
            )
        time.sleep(ASK_EVERY_SECONDS)
    return answer


def _try(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError as problem:
        raise RestemError(
            "a command of SLURM is missing", command[0], "run this on a login node of the cluster"
        ) from problem
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return done.stdout
