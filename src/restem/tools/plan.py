"""Show what a run would do: which jobs are stale, why, and at what cost.

Snakemake tells which jobs are stale. The seals tell what each artifact was made from, and so which
key, module or file has changed. The cost is the runtime of the same job in the past, or else the
median of its stage. It is an upper bound, because a job whose inputs turn out equal is not run:
its outputs are restored.
"""

import json
import shlex
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import code_digests, flatten
from restem.artifacts.store import read_seal, seals
from restem.config.load import read_yaml
from restem.errors import RestemError
from restem.stages.declaration import Stage, load_stage, stage_names
from restem.stages.execution import from_argument
from restem.tools.dry_run import PlannedJob, dry_run

NOT_MADE = "not made yet"
UPSTREAM = "something upstream is stale"


@dataclass(frozen=True)
class StaleJob:
    """A job that would run: its rule, its stage, the reasons, and its runtime in the past."""

    rule: str
    stage: str
    reasons: tuple[str, ...]
    seconds: float | None = None


def plan(targets: Sequence[str], configfile: Path | None, images: bool = False) -> str:
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
    if images:
        arguments += ["--software-deployment-method", "apptainer"]
    if configfile:
        read_yaml(configfile)  # names the line of an error, which Snakemake does not
        arguments += ["--configfile", str(configfile)]
    planned, warnings = dry_run(arguments)
    jobs = [_explain(job) for job in planned]
    lines = _summary(jobs, _median_runtimes(Path("results"))) if jobs else ["Nothing to be done."]
    return "\n".join([*lines, *(f"Snakemake: {warning}" for warning in warnings)])


def _explain(job: PlannedJob) -> StaleJob:
    """Compare what a job would be made from with its seal."""
    words = shlex.split(job.command)
    name = words[1].replace("-", "_") if words[0] == "restem" else ""
    if name not in stage_names():
        return StaleJob(job.rule, name, (NOT_MADE,))
    output = Path(_option(words, "--output"))
    seal = read_seal(output)
    if seal is None:
        return StaleJob(job.rule, name, (NOT_MADE,))
    reasons = [*_changes(seal, load_stage(name), words), *_edited_files(seal, output)]
    return StaleJob(job.rule, name, tuple(reasons) or (UPSTREAM,), float(seal["seconds"]))


def _changes(seal: Mapping[str, Any], stage: Stage, words: Sequence[str]) -> Iterator[str]:
    """Name the keys, modules and locks that differ from those in a seal."""
    settings = from_argument(_option(words, "--settings"))
    for key, change in _changed_keys(seal["settings"], settings):
        yield f"key {key}: {change}"
    code = code_digests(stage.modules(settings))
    yield from (f"module {name} changed" for name in code if seal["code"].get(name) != code[name])
    yield from (f"module {name} is no longer used" for name in seal["code"] if name not in code)
    environment = _option(words, "--environment")
    yield from _changed_environment(str(seal["environment"]), environment, stage.family(settings))


def _changed_environment(old: str, new: str, family: str) -> Iterator[str]:
    """Name what differs between two environments, `lock@image` or, without images, `lock`."""
    (old_lock, _, old_image), (new_lock, _, new_image) = old.partition("@"), new.partition("@")
    if old_lock != new_lock:
        yield f"envs/{family}.txt changed"
    if old_image != new_image:
        before, after = (image[:12] or "none" for image in (old_image, new_image))
        yield f"container image changed: {before} -> {after}"


def _changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    old, new = flatten(old), flatten(new)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            before, after = (json.dumps(values.get(key, "default"))[:60] for values in (old, new))
            yield key, f"{before} -> {after}"


def _edited_files(seal: Mapping[str, Any], output: Path) -> Iterator[str]:
    """Name the outputs that somebody edited or deleted."""
    if seal["damaged"]:
        yield f"file {output} is not what was written"
        return
    for record in seal["outputs"].values():
        path = output.parent / record["path"]
        if not path.exists():
            yield f"file {path} is missing"


def _option(words: Sequence[str], name: str) -> str:
    return words[words.index(name) + 1]


def _median_runtimes(results: Path) -> dict[str, float]:
    """Return the median runtime of every stage in seconds, over all seals."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _, seal in seals(results):
        seconds[seal["stage"]].append(float(seal["seconds"]))
    return {stage: statistics.median(values) for stage, values in seconds.items()}


def _summary(jobs: Sequence[StaleJob], runtimes: Mapping[str, float]) -> Iterator[str]:
    costs = [job.seconds or runtimes.get(job.stage) for job in jobs]
    known = [cost for cost in costs if cost is not None]
    parts = [f"at most {_time(sum(known))} of work, based on past runtimes"] if known else []
    if unknown := len(costs) - len(known):
        parts.append(f"the runtime of {unknown} is unknown")
    yield f"{len(jobs)} jobs are stale: {'; '.join(parts)}"
    rules_by_reason: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        for reason in job.reasons:
            rules_by_reason[reason][job.rule] += 1
    for reason, rules in rules_by_reason.items():
        counts = ", ".join(f"{rule} x {count}" for rule, count in rules.items())
        yield f"  {reason}\n      {counts}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
