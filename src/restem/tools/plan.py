"""Say what a run would do before it does it: what is stale, why, and what it may cost.

Snakemake knows which jobs are stale; the seals know what each artifact was made from. Together
they name the key, the module or the file that changed. Costs are the seconds that the same job,
else the same rule, took last time: an upper bound, since a job whose inputs come out the same is
put back instead of run.
"""

import json
import shlex
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import code_digests, flat
from restem.artifacts.store import HIDDEN, read_json, read_seal
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.stages.execution import from_argument

NEW = "not made yet"
BELOW = "below something stale"
SHELL = "Shell command: restem "  # target rules print a command of None


@dataclass(frozen=True)
class Stale:
    """One stale job: its rule, its stage, why, and the seconds it took last time."""

    rule: str
    stage: str
    reasons: tuple[str, ...]
    seconds: float | None


def plan(targets: Sequence[str], configfile: Path | None, images: bool = False) -> str:
    """Return the plan of a run as text for a person."""
    stale = [_explain(rule, command) for rule, command in _planned(targets, configfile, images)]
    if not stale:
        return "Nothing to be done."
    return "\n".join(_lines(stale, _typical(Path("results"))))


def _planned(
    targets: Sequence[str], configfile: Path | None, images: bool
) -> list[tuple[str, str]]:
    """Ask Snakemake for the rule and the command of every job that it would run."""
    command = [sys.executable, "-m", "snakemake", *targets, "--dry-run", "--printshellcmds"]
    if images:
        command += ["--software-deployment-method", "apptainer"]
    if configfile:
        command += ["--configfile", str(configfile)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        where = shlex.join(["snakemake", *command[3:]])
        raise RestemError("Snakemake cannot plan this run", where, done.stderr.strip())
    return list(_jobs(done.stdout.splitlines()))


def _jobs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    rule = ""
    for line in lines:
        if line.startswith(("rule ", "localrule ")):
            rule = line.split()[1].rstrip(":")
        elif line.startswith(SHELL):
            yield rule, line.removeprefix(SHELL)


def _explain(rule: str, command: str) -> Stale:
    words = shlex.split(command)
    stage, output = words[0], Path(_option(words, "--output"))
    seal = read_seal(output)
    if seal is None:
        return Stale(rule, stage, (NEW,), None)
    reasons = [*_changes(seal, stage, words), *_touched(seal, output)]
    return Stale(rule, stage, tuple(reasons) or (BELOW,), float(seal["seconds"]))


def _changes(seal: Mapping[str, Any], stage: str, words: Sequence[str]) -> list[str]:
    """Name the keys, modules and locks in which a job differs from what it was made with."""
    settings = from_argument(_option(words, "--settings"))
    found = [f"key {key}: {change}" for key, change in _differences(seal["settings"], settings)]
    code = code_digests(load_stage(stage.replace("-", "_")).modules(settings))
    modules = [name for name in code if seal["code"].get(name) != code[name]]
    gone = [name for name in seal["code"] if name not in code]
    found += [f"module {name} changed" for name in modules]
    found += [f"module {name} is no longer used" for name in gone]
    before, now = str(seal["environment"]), _option(words, "--environment")
    found += _environment(before, now, load_stage(stage.replace("-", "_")).family(settings))
    return found


def _environment(old: str, new: str, family: str) -> list[str]:
    """Name what changed of `lock@image`; without containers there is no image."""
    (lock, _, image), (new_lock, _, new_image) = old.partition("@"), new.partition("@")
    found = [] if lock == new_lock else [f"envs/{family}.txt changed"]
    if image != new_image:
        was, now = (digest[:12] or "none" for digest in (image, new_image))
        found.append(f"container image changed: {was} -> {now}")
    return found


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    before, after = flat(old), flat(new)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            was, now = (json.dumps(side.get(key, "default")) for side in (before, after))
            yield key, f"{was[:60]} -> {now[:60]}"


def _touched(seal: Mapping[str, Any], output: Path) -> list[str]:
    """Name what people did to the files themselves."""
    if seal["damaged"]:
        return [f"file {output} is not what was written"]
    missing = [
        o["path"] for o in seal["outputs"].values() if not (output.parent / o["path"]).exists()
    ]
    return [f"file {output.parent / name} is missing" for name in missing]


def _option(words: Sequence[str], name: str) -> str:
    return words[words.index(name) + 1]


def _typical(root: Path) -> dict[str, float]:
    """Return the median seconds of every stage, over all seals."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in root.glob(f"**/{HIDDEN}/*.seal.json"):
        seal = read_json(path)
        seconds[seal["stage"]].append(float(seal["seconds"]))
    return {stage: statistics.median(values) for stage, values in seconds.items()}


def _lines(stale: Sequence[Stale], typical: Mapping[str, float]) -> Iterator[str]:
    costs = [job.seconds or typical.get(job.stage) for job in stale]
    known = sum(cost for cost in costs if cost is not None)
    unknown = sum(cost is None for cost in costs)
    unsure = f", besides {unknown} jobs of a kind that never ran here" if unknown else ""
    yield f"{len(stale)} jobs are stale: at most {_time(known)} of work by past runs{unsure}"
    counts = Counter((reason, job.rule) for job in stale for reason in job.reasons)
    for reason in dict.fromkeys(reason for reason, _ in counts):
        rules = ", ".join(f"{rule} x {n}" for (r, rule), n in counts.items() if r == reason)
        yield f"  {reason}\n      {rules}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
