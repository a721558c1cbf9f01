"""Know why a SLURM job ended, and what its next attempt should ask for.

Memory grows after the job ran out of memory, time after it ran out of time, and nothing after any
other end: a cancelled or preempted job, a lost node, or a failure of the program needs no more of
either. A job that SLURM will never start fails at once, because a retry would ask for the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from restem.deployment.cluster import query

FACTOR = 2
MEMORY = ("mem_mb", "mem_mb_per_cpu")
TIME = ("runtime",)
TAIL_BYTES = 65_536

# How SLURM notes in a job's log that its memory was enforced: cgroups, srun, and the polling of
# JobAcctGatherParams=OverMemoryKill, after which the job's state is merely FAILED.
_OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]kill|Out Of Memory|exceeded memory limit .*being killed|Exceeded job memory limit"
)
_WARNED = re.compile(r"srun: error: .*Terminated|DUE TO TIME LIMIT")

# Errors of sbatch that the same request will meet again. A limit on the number of submitted jobs is
# not among them: it passes.
_REFUSED = re.compile(
    r"Invalid (account|partition|qos|feature|generic resource|wckey|reservation|constraint)"
    r"|invalid (partition|account|qos)|appears to be invalid"
    r"|Requested node configuration is not available|Requested GRES option unsupported"
    r"|(Memory|CPU count|Node count) (specification|per node)?.*(can not be satisfied|invalid)"
    r"|More processors requested than permitted|Requested time limit is invalid"
    r"|Requested partition configuration not available|group not permitted to use this partition"
    r"|(QOS|Assoc)(Max\w+Per(Job|Node)(Limit)?|Min\w+)\b|unrecognized option|is not allowed in the",
)

# Why SLURM never starts a job that it has accepted, unless somebody changes the job or the limit.
# A limit per user, group or account passes when other jobs end; a limit per job does not.
_NEVER_STARTS = re.compile(
    r"PartitionTimeLimit|PartitionNodeLimit|BadConstraints|AccountNotAllowed|QOSNotAllowed"
    r"|InvalidAccount|InvalidQOS|JobHeldAdmin|(QOS|Assoc)Max\w+Per(Job|Node)(Limit)?|QOSMin\w+"
)


class Cause(Enum):
    """Why a job ended without success, in words for a person."""

    MEMORY = "ran out of memory"
    TIME = "ran out of time"
    CANCELLED = "was cancelled"
    PREEMPTED = "was preempted"
    NODE = "lost its node"
    PROGRAM = "failed"


_CAUSES = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.TIME,
    "CANCELLED": Cause.CANCELLED,
    "PREEMPTED": Cause.PREEMPTED,
    "REQUEUED": Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
}


@dataclass(frozen=True)
class Ending:
    """How SLURM says that a job ended: its state, and how long it ran and was allowed to, in s."""

    state: str
    seconds: float = 0
    limit: float | None = None


def ending_of(number: str) -> Ending | None:
    """Ask SLURM how a job ended: the controller while it remembers the job, then accounting."""
    if text := query("scontrol", "--oneliner", "show", "job", number, missing_ok=True):
        return read_scontrol(text)
    columns = "--format=State,ElapsedRaw,TimelimitRaw"
    text = query("sacct", "-X", "-j", number, "--noheader", "--parsable2", columns, missing_ok=True)
    return read_sacct(text) if text else None


def read_scontrol(text: str) -> Ending | None:
    """Read a line of `scontrol --oneliner show job`."""
    fields = dict(re.findall(r"(\w+)=(\S*)", text))
    if "JobState" not in fields:
        return None
    seconds = _seconds(fields.get("RunTime", "")) or 0
    return Ending(fields["JobState"], seconds, _seconds(fields.get("TimeLimit", "")))


def read_sacct(text: str) -> Ending | None:
    """Read the first line of `sacct --parsable2` with State, ElapsedRaw [s], TimelimitRaw [min]."""
    state, elapsed, limit = (text.splitlines()[0].split("|") + ["", ""])[:3]
    minutes = float(limit) if limit.isdecimal() else None
    return Ending(
        state.split(" ")[0],  # "CANCELLED by 1000"
        float(elapsed) if elapsed.isdecimal() else 0,
        None if minutes is None else 60 * minutes,
    )


def cause_of(ending: Ending, log: str, warning_seconds: float = 0) -> Cause:
    """Return why a job ended without success.

    log: the end of the job's SLURM log. warning_seconds: how long before its time limit the job is
    sent a signal. A job that saves its work then ends earlier than its limit, with another state;
    SLURM sends the signal up to a minute earlier than was asked.
    """
    cause = _CAUSES.get(ending.state, Cause.PROGRAM)
    if cause in (Cause.PROGRAM, Cause.CANCELLED) and _OUT_OF_MEMORY.search(log):
        return Cause.MEMORY
    if cause is Cause.PROGRAM and ending.limit and warning_seconds:
        warned_at = ending.limit - warning_seconds - 90
        if ending.seconds >= warned_at and _WARNED.search(log):
            return Cause.TIME
    return cause


def warning_seconds(slurm_extra: object) -> float:
    """Return how long before the time limit `--signal=<name>@<seconds>` warns a job; 0: never."""
    found = re.search(r"--signal[= ]\S*@(\d+)", str(slurm_extra or ""))
    return float(found[1]) if found else 0


def end_of_log(path: Path | None) -> str:
    """Return the last lines of a job's log; nothing if there is none."""
    try:
        return path.read_bytes()[-TAIL_BYTES:].decode(errors="replace") if path else ""
    except OSError:
        return ""


def never_starts(reason: str) -> bool:
    """Tell whether SLURM never starts a job that waits for this reason."""
    return _NEVER_STARTS.fullmatch(reason) is not None


def refused(message: str) -> str | None:
    """Return SLURM's reason if it refuses a job for good; None if a retry may succeed."""
    found = _REFUSED.search(message)
    if found is None:
        return None
    lines = [line for line in re.split(r"[\n']", message) if line.strip()]
    at_fault = [line for line in lines if _REFUSED.search(line)]
    return " ".join(line.removeprefix("sbatch: error: ").strip() for line in at_fault[:2])


@dataclass
class Amounts:
    """What the next attempts of jobs ask for; a retry never asks for less than it needs to.

    maxima: by resource, the most that any job asks for (MB; minutes); None: no limit of ours. They
    hold for what the profile states, too.
    """

    maxima: Mapping[str, int | None]
    _least: dict[Any, dict[str, int]] = field(default_factory=dict)

    def of(self, job: Any, resources: Mapping[str, Any]) -> dict[str, int]:
        """Return what a job asks for instead of the amounts that its profile states.

        A profile may let amounts grow with `attempt`, too; the greater amount counts.
        """
        least = self._least.get(job, {})
        stated = {name: resources.get(name) for name in (*MEMORY, *TIME)}
        return {
            name: self._at_most(name, max(value, least.get(name, 0)), resources)
            for name, value in stated.items()
            if isinstance(value, int)
        }

    def grow(self, job: Any, resources: Mapping[str, Any], cause: Cause) -> dict[str, int]:
        """Let the next attempt of a job have more of what it lacked; return these amounts.

        Nothing is returned if the job already had as much as is allowed.
        """
        lacking = {Cause.MEMORY: MEMORY, Cause.TIME: TIME}.get(cause, ())
        had = {name: resources.get(name) for name in lacking}
        wanted = {n: FACTOR * amount for n, amount in had.items() if isinstance(amount, int)}
        allowed = {name: self._at_most(name, wanted[name], resources) for name in wanted}
        more = {name: amount for name, amount in allowed.items() if amount > (had[name] or 0)}
        self._least.setdefault(job, {}).update(more)
        return more

    def _at_most(self, name: str, amount: int, resources: Mapping[str, Any]) -> int:
        most = self.maxima.get("runtime" if name in TIME else "mem_mb")
        if most is None:
            return amount
        if name == "mem_mb_per_cpu":
            cpus = resources.get("cpus_per_task") or resources.get("_cores") or 1
            most = max(1, most // int(cpus))
        return min(amount, most)


def in_words(amounts: Mapping[str, int]) -> str:
    """Write amounts for a person, such as `16,000 MB` or `120 minutes`."""
    units = {"mem_mb": "MB", "mem_mb_per_cpu": "MB per CPU", "runtime": "minutes"}
    return ", ".join(f"{amount:,} {units[name]}" for name, amount in amounts.items())


def _seconds(text: str) -> float | None:
    """Read `days-hours:minutes:seconds`; None for UNLIMITED and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
