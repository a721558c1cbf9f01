"""Accept artifacts that other code made, where somebody knows that this code makes the same.

The code of an artifact is all that its stage imports, so an upgrade that only words an error anew
makes weeks of sampling stale. An accepted artifact gets the digests of the present code and locks;
its seal keeps what differed, since when, and why. Only code and locked packages may differ: what a
key, an option, an input or an edited file made stale is made again, as ever.
"""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from restem.artifacts.digests import PACKAGE_ROOT, code_digests, digest, lock_digest
from restem.artifacts.seals import read_seal, recipe_key, write_seal
from restem.artifacts.store import is_locked
from restem.stages.declaration import Stage, load_stage
from restem.staleness.reasons import is_of_code
from restem.tools.dry_run import PlannedJob, dry_run

_LOCKS: Final = PACKAGE_ROOT.parents[1] / "envs"


def accept(configfile: Path | None, stages: Collection[str], reason: str) -> str:
    """Accept what is stale for its code alone; return what was accepted, and what stays stale.

    stages: those whose artifacts are accepted, by name.
    """
    config = configfile or Path("config/demo.yaml")
    planned, _ = dry_run(["--configfile", str(config)])
    stale = [job for job in planned if job.reasons and job.stage in stages]
    accepted, changed, others = Counter[str](), set[str](), []
    for job in stale:
        if all(map(is_of_code, job.reasons)) and _accept(job, reason):
            accepted[job.stage] += 1
            changed |= set(job.reasons)
        else:
            others.append(job)
    lines = [f"accepted {count} of {stage}" for stage, count in accepted.items()]
    lines += [f"  {change}" for change in sorted(changed)]
    lines += [f"stays stale: {job.output}: {_why(job)}" for job in others]
    return "\n".join(lines or [f"nothing of {', '.join(sorted(stages))} is stale by its code"])


def _accept(job: PlannedJob, reason: str) -> bool:
    """Renew code and lock in a seal, unless a job is at work there; tell whether it was done."""
    output = Path(job.output)
    seal = read_seal(output)
    if seal is None or is_locked(output):
        return False
    stage: Stage = load_stage(job.stage)
    code = code_digests(stage.modules(seal["settings"]))
    lock = lock_digest(_LOCKS / f"{stage.family(seal['settings'])}.txt")
    since = datetime.now(UTC).strftime("%Y-%m-%d")
    note = {"since": since, "reason": reason, "differed": list(job.reasons)}
    renewed = {
        **seal,
        **{"code": code, "environment": lock},
        "accepted": [*seal.get("accepted", []), note],
    }
    renewed["key"] = recipe_key({**renewed, "code": digest(code)})
    write_seal(output, renewed)
    return True


def _why(job: PlannedJob) -> str:
    own = [reason for reason in job.reasons if not is_of_code(reason)]
    return own[0] if own else "its job is running"
