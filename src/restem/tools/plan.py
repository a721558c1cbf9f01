"""Show what a run would do: which jobs are stale, why, and at what cost.

Snakemake tells which jobs are stale. The seals tell what each artifact was made from, and so which
key, module or file has changed. The cost is the runtime of the same job in the past, or else the
median of its stage in this study. A job whose inputs turn out equal is not run: its outputs are
restored.
"""

import re
import shlex
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restem.artifacts.seals import read_seal, seals
from restem.config.load import read_yaml
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.staleness.reasons import is_of_code
from restem.tools.dry_run import PlannedJob, dry_run
from restem.tools.replaced import replaced

NOT_MADE = "not made yet"
SHOWN = "what it shows of the study: its policies, evaluations or settings"
ACCEPT = "If you know that the change of a module changes no result: restem accept <module> --help"
UPSTREAM = "something upstream is stale"
# Settings of the stages that show the study which follow from those of all other stages.
_DERIVED = re.compile(
    r"key (aliases|compared|draws|facts|figures|groups|main|parts|problems|sharing|splits|trained)"
    r"\b|input .* files$"
)


@dataclass(frozen=True)
class StaleJob:
    """A job that would run: its rule, its stage, the reasons, and its runtime in the past."""

    rule: str
    stage: str
    reasons: tuple[str, ...]
    seconds: float | None = None


def plan(targets: Sequence[str], configfile: Path | None) -> str:
    """Describe what a run would do, for a person.

    Raises RestemError with Snakemake's own messages when the run cannot be planned.
    """
    if not Path("Snakefile").is_file():
        raise RestemError(
            "there is no Snakefile in this directory",
            str(Path.cwd()),
            "cd to the root of the clone",
        )
    arguments = list(targets)
    if studies := [name for name in targets if name.endswith((".yaml", ".yml"))]:
        raise RestemError(
            "a study is no target of a run",
            studies[0],
            f"restem plan --configfile {shlex.quote(studies[0])}",
        )
    if configfile:
        read_yaml(configfile)  # names the line of an error, which Snakemake does not
        arguments += ["--configfile", str(configfile)]
    planned, warnings = dry_run(arguments)
    jobs = _in_short([_explain(job) for job in planned])
    folders = {Path(*Path(job.output).parts[:2]) for job in planned}  # results/<study>
    lines = _summary(jobs, _median_runtimes(folders)) if jobs else ["Nothing to be done."]
    about_code = [ACCEPT] if any(is_of_code(r) for job in planned for r in job.reasons) else []
    return "\n".join([*lines, *about_code, *replaced(planned), *warnings])


def _explain(job: PlannedJob) -> StaleJob:
    """Add the runtime of the same job in the past, if it has run."""
    seal = read_seal(Path(job.output)) if job.stage else None
    if seal is None:
        return StaleJob(job.rule, job.stage, job.reasons or (NOT_MADE,))
    return StaleJob(job.rule, job.stage, job.reasons or (UPSTREAM,), float(seal["seconds"]))


def _in_short(jobs: Sequence[StaleJob]) -> list[StaleJob]:
    """Put reasons that follow from others in a few words, where there are others."""
    shorter = [replace(job, reasons=tuple(dict.fromkeys(_short(job)))) for job in jobs]
    reasons = {reason for job in shorter for reason in job.reasons}
    return shorter if reasons - {SHOWN, UPSTREAM} else list(jobs)


def _short(job: StaleJob) -> Iterator[str]:
    shows = bool(job.stage) and load_stage(job.stage).lock == "report"
    yield from (SHOWN if shows and _DERIVED.match(r) else r for r in job.reasons)


def _median_runtimes(folders: Iterable[Path]) -> dict[str, float]:
    """Return the median runtime of every stage in seconds, over all seals in some folders."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for folder in folders:
        for _, seal in seals(folder):
            seconds[seal["stage"]].append(float(seal["seconds"]))
    return {stage: statistics.median(values) for stage, values in seconds.items()}


def _summary(jobs: Sequence[StaleJob], runtimes: Mapping[str, float]) -> Iterator[str]:
    costs = [job.seconds or runtimes.get(job.stage) for job in jobs]
    known = [cost for cost in costs if cost is not None]
    parts = [f"about {_time(sum(known))} of work, by past runtimes in this study"] if known else []
    if unknown := len(costs) - len(known):
        parts.append(f"the runtime of {unknown} is unknown (restem forecast estimates it)")
    stale = "1 job is" if len(jobs) == 1 else f"{len(jobs)} jobs are"
    yield f"{stale} stale: {'; '.join(parts)}"
    rules_by_reason: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        for reason in job.reasons:
            rules_by_reason[reason][job.rule] += 1
    last = (NOT_MADE, SHOWN, UPSTREAM)
    for reason, rules in sorted(
        rules_by_reason.items(), key=lambda item: last.index(item[0]) if item[0] in last else -1
    ):
        counts = ", ".join(f"{rule} x {count}" for rule, count in rules.items())
        yield f"  {reason}\n      {counts}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
