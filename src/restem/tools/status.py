"""Show how far a study is: what each stage has done, runs, waits for, or failed at; and time left.

It looks only at files, at locks and at SLURM's queue, so it works from any terminal, whether or not
a run is active, and changes nothing:

- A dry run lists the jobs that remain. What has a seal and an output and does not remain is done.
- A job runs while its process holds the lock beside its output, or while SLURM runs a job of its
  name (locks of some file systems do not reach other nodes), or has just started: a run is active,
  and the job's log is new and still empty.
- A job has failed, or was interrupted, if the newest run began its log but not its seal.
- All others wait. For a job in SLURM's queue the reason is given.

The time left is the median runtime of past jobs of the stage with the same model, or else of the
stage, minus what running jobs have used; in total, divided by the number of jobs that run now.
"""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from restem.artifacts.files import is_held
from restem.artifacts.seals import seals, state_path
from restem.config.load import load_study, read_yaml
from restem.deployment import cluster
from restem.errors import RestemError
from restem.pages.document import aligned
from restem.tools.dry_run import WARNINGS_AT_LEVEL_INFO, dry_run

FIRST = ("problems", "overlap", "base", "samples", "rewards", "examples", "policy", "metrics")
State = Literal["running", "waiting", "failed"]
RESULTS = Path("results")


@dataclass
class Row:
    """How far a stage is. seconds_left: of work; None if no job of the stage has ever ended."""

    stage: str
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0
    seconds_left: float | None = 0.0

    @property
    def remaining(self) -> int:
        """Return the number of jobs that are not done."""
        return self.running + self.waiting + self.failed


@dataclass
class Status:
    """How far a study is. queued: how many jobs wait in SLURM's queue, by reason."""

    study: str
    active: bool
    rows: list[Row]
    queued: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        """Return the sum of a column."""
        return sum(getattr(row, name) for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a machine."""
        return asdict(self)


@dataclass(frozen=True)
class _Job:
    """A job that remains; output: its first; log: where its command writes."""

    rule: str
    stage: str
    output: Path
    log: Path | None

    @property
    def name(self) -> str:
        return cluster.job_name(self.rule, [str(self.output)])

    @property
    def lock(self) -> Path:
        return state_path(self.output, "lock")


def status(targets: Sequence[str], configfile: Path | None) -> Status:
    """Find out how far a study is.

    Raises RestemError with Snakemake's own messages when the rest of the study cannot be planned.
    """
    if not Path("Snakefile").is_file():
        where = str(Path.cwd())
        raise RestemError("there is no Snakefile here", where, "cd to the root of the clone")
    raw = read_yaml(configfile) if configfile else {}
    study = load_study(raw, Path("config")).study
    options = ["--configfile", str(configfile)] if configfile else []
    planned, warnings = dry_run([*targets, *options])
    jobs = [
        _Job(job.rule, job.stage or job.rule, Path(job.output), Path(job.log) if job.log else None)
        for job in planned
    ]
    queue = cluster.queued_jobs(cluster.run_name(study, Path.cwd())) or []
    active = _is_active(study)
    states = _states(jobs, {job.name: job for job in queue}, active)
    queued = Counter(job.reason for job in queue if job.waits)
    rows = _rows(RESULTS / study, jobs, states)
    others = [text for text in warnings if not any(part in text for part in WARNINGS_AT_LEVEL_INFO)]
    return Status(study, active, rows, queued, others)


def in_words(found: Status) -> str:
    """Return a table and a summary for a person."""
    titles = ("stage", "done", "running", "waiting", "failed", "time left")
    table = aligned([titles, *map(_cells, found.rows)], "lrrrrr")
    return "\n".join([*table, "", *_summary(found)])


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.done, row.running, row.waiting, row.failed)
    left = "unknown" if row.seconds_left is None else _time(row.seconds_left)
    return (row.stage, *map(str, counts), left if row.remaining else "")


def _summary(found: Status) -> Iterator[str]:
    done, running = found.total("done"), found.total("running")
    remaining = found.total("remaining")
    run = "a run is active" if found.active or running else "no run is active"
    if not remaining:
        yield f"{found.study}: all {done} jobs are done; {run}"
        return
    known = [row.seconds_left for row in found.rows if row.seconds_left is not None]
    unknown = sum(row.remaining for row in found.rows if row.seconds_left is None)
    at_once = max(1, running)
    left = f"about {_time(sum(known) / at_once)} left with {at_once} at a time"
    if unknown:
        left += f", without {unknown} jobs whose time is unknown"
    yield f"{found.study}: {done} of {done + remaining} jobs are done; {run}; {left}"
    if found.queued:
        reasons = ", ".join(f"{reason} x {count}" for reason, count in found.queued.most_common())
        yield f"waiting in SLURM's queue: {reasons}"
    if failed := found.total("failed"):
        yield f"{failed} failed or were interrupted: see the log beside each output"
    yield from found.warnings


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _states(
    jobs: Sequence[_Job], queue: Mapping[str, cluster.QueuedJob], active: bool
) -> list[State]:
    started = _start_of_newest_run()
    return [_state(job, queue.get(job.name), active, started) for job in jobs]


def _state(job: _Job, queued: cluster.QueuedJob | None, active: bool, started: float) -> State:
    if is_held(job.lock):
        return "running"
    if queued:
        return "waiting" if queued.waits else "running"
    logged = job.log is not None and _changed_at(job.log) >= started
    sealed = _changed_at(state_path(job.output, "seal.json")) >= started
    if not logged or sealed or job.log is None:
        return "waiting"
    return "running" if active and not job.log.stat().st_size else "failed"


def _rows(results: Path, jobs: Sequence[_Job], states: Sequence[State]) -> list[Row]:
    past = _past_runtimes()
    rows: dict[str, Row] = defaultdict(lambda: Row(""))
    remaining = {job.output for job in jobs}
    for output, seal in seals(results):
        if output not in remaining and output.exists():
            rows[str(seal["stage"])].done += 1
    for job, state in zip(jobs, states, strict=True):
        row = rows[job.stage]
        setattr(row, state, getattr(row, state) + 1)
        seconds = _expected_seconds(job, state, past)
        known = seconds is not None and row.seconds_left is not None
        row.seconds_left = row.seconds_left + seconds if known else None  # type: ignore[operator]
    for stage, row in rows.items():
        row.stage = stage
    order = {stage: number for number, stage in enumerate(FIRST)}
    return sorted(rows.values(), key=lambda row: (order.get(row.stage, len(order)), row.stage))


def _expected_seconds(
    job: _Job, state: State, past: Mapping[tuple[str, str], float]
) -> float | None:
    """Return how long a job will still take, by past runs; None if there were none."""
    model = _model(job.output)
    seconds = past.get((job.stage, model), past.get((job.stage, "")))
    if seconds is None or state != "running":
        return seconds
    return max(0.0, seconds - (time.time() - (_changed_at(job.lock) or time.time())))


def _past_runtimes() -> dict[tuple[str, str], float]:
    """Return the median runtime of each stage [s], with each model and with any (named '')."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for output, seal in seals(RESULTS):
        for model in {"", _model(output)}:
            seconds[str(seal["stage"]), model].append(float(seal["seconds"]))
    return {key: statistics.median(values) for key, values in seconds.items()}


def _model(output: Path) -> str:
    """Return the model in an address, results/<study>/<task>/<model>/<variant>/...; '': none."""
    parts = output.parts
    return parts[3] if len(parts) > 5 else ""


def _changed_at(path: Path) -> float:
    """Return when a file was changed; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _start_of_newest_run() -> float:
    """Return when the newest run in this directory began, by its log's name; infinity: never."""
    starts = [_start(path.name) for path in Path(".snakemake/log").glob("*.snakemake.log")]
    return max(starts, default=float("inf"))


def _start(name: str) -> float:
    try:
        return datetime.strptime(name, "%Y-%m-%dT%H%M%S.%f.snakemake.log").timestamp()
    except ValueError:
        return 0.0


def _is_active(study: str) -> bool:
    """Tell whether a run goes on: of this study on SLURM, or of any study on this machine."""
    name = cluster.run_name(study, Path.cwd())
    locks = Path(".snakemake/restem-slurm").glob(f"{name}_*")
    return any(is_held(lock) for lock in locks) or any(_runs_here())


def _runs_here() -> Iterator[bool]:
    """Tell of each process on this machine whether it is Snakemake at work in this directory."""
    here = Path.cwd()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            there = (folder / "cwd").readlink()
        except OSError:  # it has ended, or belongs to somebody else
            continue
        snakemake = any(word.endswith(b"snakemake") for word in words[:3])
        yield snakemake and there == here and not {b"-n", b"--dry-run", b"--dryrun"} & set(words)
