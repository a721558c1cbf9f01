"""Keep the SLURM jobs of different runs of a study apart.

A run's name consists of the study, a digest of the directory and the run's id. Its jobs carry it as
their comment: `squeue` prints comments, keeps them for finished jobs, and needs no accounting for
them. So the names of jobs are free for what a person looks for, rule and address
(`draw_samples:math/S/rest-em/seed-1/iter-1/...`), in `squeue` and in `sacct`. SLURM selects jobs by
name, not by comment; so all of the user's jobs are asked for, and selected here.

While a run is alive it holds a lock, which the system releases when the process ends in any way. A
job is an orphan when nobody holds the lock of its run.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from restem.artifacts.files import is_held
from restem.errors import RestemError

SECONDS_BETWEEN_QUERIES = 5.0
SECONDS_TO_ANSWER = 600.0
SECONDS_TO_CANCEL = 300.0
NAME_LENGTH = 200
FAILED_TO_LAUNCH = ("launch failed requeued held",)  # on one node; another may do
_QUEUE = ("squeue", "--noheader", "--me", "--format=%A|%T|%r|%k|%j")


@dataclass(frozen=True)
class QueuedJob:
    """A job in SLURM's queue: its id, its state, why it waits, its run and its name."""

    number: str
    state: str
    reason: str
    run: str
    name: str

    @property
    def waits(self) -> bool:
        """Tell whether the job can be cancelled without losing work."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED")


def run_name(study: str, directory: Path) -> str:
    """Return how the names of a study's runs in one directory begin."""
    place = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]
    return f"restem-{re.sub('[^A-Za-z0-9-]', '-', study)[:30]}-{place}"


def job_name(rule: str, outputs: Sequence[str]) -> str:
    """Name a job after its rule and its address, or a group after the place of its outputs.

    The address is the path of the first output below the study's results, without its suffix. Names
    are cut, because accounting stores 255 bytes.
    """
    paths = [Path(output) for output in outputs]
    if len(paths) > 1:
        place = os.path.commonpath(paths)
    else:
        place = str(paths[0].with_suffix("")) if paths else ""
    parts = Path(place).parts
    address = "/".join(parts[2:] if parts[:1] == ("results",) else parts)
    return f"{rule}:{address}"[:NAME_LENGTH]


def hold_run_lock(folder: Path, run: str) -> int:
    """Hold the lock that shows that a run is alive; return its file descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / run, os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def settle_orphans(name: str, locks: Path, running: str, warn: Callable[[str], None]) -> None:
    """Cancel the orphans that have not started, and wait for the others or cancel them too.

    name: prefix of the job names. locks: folder with the locks of runs. running: whether to "wait"
    for orphans that are running, until their own time limit ends them, or to "cancel" them.
    Raises RestemError when SLURM does not answer, or when a cancelled job does not end.
    """
    announced: set[str] = set()
    cancelled_at: dict[str, float] = {}
    while orphans := _orphans(name, locks):
        for job in orphans:
            unwanted = job.waits or running == "cancel"
            if unwanted and job.number not in cancelled_at:
                if query("scancel", job.number) is not None:
                    cancelled_at[job.number] = time.monotonic()
            if job.number not in announced:
                action = "cancelled" if unwanted else "waiting for its results"
                warn(f"SLURM job {job.number} belongs to an earlier run of this study: {action}")
                announced.add(job.number)
        _check_cancelled(cancelled_at, {job.number for job in orphans})
        time.sleep(SECONDS_BETWEEN_QUERIES)
    _remove_released_locks(locks)


def waiting_reasons() -> dict[str, str] | None:
    """Return why each of the user's jobs waits ("None": it does not); None: SLURM does not answer.

    Jobs that SLURM no longer knows are missing. Tasks of an array are listed under its number.
    """
    answer = query("squeue", "--noheader", "--states=all", "--me", "--format=%F %r")
    if answer is None:
        return None
    pairs = (line.strip().partition(" ") for line in answer.splitlines())
    return {number: reason for number, _, reason in pairs}


def queued_jobs(name: str) -> list[QueuedJob] | None:
    """List the unfinished jobs of a study's runs in a directory; None if SLURM does not answer.

    name: how the names of these runs begin (`run_name`).
    """
    answer = query(*_QUEUE, missing_ok=True)
    return None if answer is None else _jobs_of(name, answer)


def cancel(number: str) -> None:
    """Cancel a job, if SLURM answers."""
    query("scancel", number)


def _orphans(name: str, locks: Path) -> list[QueuedJob]:
    """List the unfinished jobs of runs that have ended."""
    jobs = _jobs_of(name, _query_until_answered(*_QUEUE))
    return [job for job in jobs if not is_held(locks / job.run)]


def _jobs_of(name: str, answer: str) -> list[QueuedJob]:
    lines = (line.split("|", 4) for line in answer.splitlines())
    jobs = [QueuedJob(*fields) for fields in lines if len(fields) == 5]
    return [job for job in jobs if job.run.startswith(f"{name}_")]


def _remove_released_locks(locks: Path) -> None:
    for lock in locks.iterdir():
        if not is_held(lock):
            lock.unlink(missing_ok=True)


def _check_cancelled(cancelled_at: dict[str, float], queued: set[str]) -> None:
    """Raise RestemError when a job is still in the queue long after it was cancelled."""
    latest = time.monotonic() - SECONDS_TO_CANCEL
    stuck = [number for number, at in cancelled_at.items() if number in queued and at < latest]
    if stuck:
        raise RestemError(
            f"cancelled jobs do not end: {', '.join(stuck)}",
            "the SLURM queue",
            "ask the administrator to end them, then give the same command again",
        )


def _query_until_answered(*command: str) -> str:
    """Return the output of a SLURM command; repeat it while the controller is away."""
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while (answer := query(*command)) is None:
        if time.monotonic() > deadline:
            raise RestemError(
                f"SLURM has not answered for {SECONDS_TO_ANSWER:.0f} s",
                " ".join(command),
                "give the same command again when `scontrol ping` reports a controller that is up",
            )
        time.sleep(SECONDS_BETWEEN_QUERIES)
    return answer


def query(*command: str, missing_ok: bool = False) -> str | None:
    """Return the output of a SLURM command, or None if it fails.

    Raises RestemError if there is no such command, unless missing_ok.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError as problem:
        if missing_ok:
            return None
        raise RestemError(
            "a command of SLURM is missing", command[0], "run this on a login node of the cluster"
        ) from problem
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return done.stdout
