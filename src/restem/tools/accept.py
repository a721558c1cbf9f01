"""Accept artifacts that other code made, where somebody knows that this code makes the same.

The code of an artifact is all that its stage imports, so an upgrade that only words an error anew
makes weeks of sampling stale. Somebody who knows that the changes of some modules change no result
names these modules. What differs in nothing else gets the digests of the present code; its seal
keeps what differed, since when, and why. Whatever else made an artifact stale makes it again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import PACKAGE_ROOT, code_digests, digest, lock_digest
from restem.artifacts.seals import read_seal, recipe_key, state_path, write_seal
from restem.artifacts.store import is_locked
from restem.config.load import read_yaml
from restem.stages.declaration import load_stage
from restem.staleness.reasons import is_of_code
from restem.tools.dry_run import dry_run

_ROOT: Final = PACKAGE_ROOT.parents[1]


def accept(names: Sequence[str], configfile: Path | None, reason: str) -> str:
    """Accept what is stale for some modules or locks alone; return that, and what stays stale.

    names: such as `restem.errors`, `restem.artifacts.*` or `envs/model.txt`. Raises RestemError if
    the study cannot be read or planned.
    """
    config = configfile or Path("config/demo.yaml")
    read_yaml(config)  # says what is wrong with the file, which Snakemake does not
    planned, _ = dry_run(["--configfile", str(config)])
    accepted, left = Counter[str](), Counter[str]()
    for job in planned:
        output = Path(job.output)
        seal = read_seal(output) if job.reasons else None
        if seal is None or job.stage == "page":
            continue
        present = _present(seal)
        differing = _differing(seal, present)
        others = [n for n in differing if not any(fnmatch(n, name) for name in names)]
        others += [why for why in job.reasons if not is_of_code(why)]
        if others or is_locked(output):
            left.update(others or ["a job is at work there"])
        else:
            _renew(output, seal, present, {"reason": reason, "differed": differing})
            accepted[job.stage] += 1
            # The page states what was accepted, so it is made again.
            state_path(Path(*output.parts[:2], "index.html"), "seal.json").unlink(missing_ok=True)
    lines = [f"accepted {count} of the stage {stage}" for stage, count in accepted.items()]
    lines += [f"{count} stay stale: {why}" for why, count in left.most_common()]
    return "\n".join(lines or ["nothing is stale by itself"])


def _present(seal: Mapping[str, Any]) -> dict[str, Any]:
    """Return code and environment of a seal's recipe as they are now."""
    stage, settings = load_stage(seal["stage"]), seal["settings"]
    lock = f"envs/{stage.family(settings)}.txt"
    return {
        "code": code_digests(stage.modules(settings)),
        "environment": lock_digest(_ROOT / lock),
        "lock": lock,
    }


def _differing(seal: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Name the modules and the lock that differ, and modules that one side only has."""
    old, new = seal["code"], present["code"]
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return names + [present["lock"]] * (seal["environment"] != present["environment"])


def _renew(
    output: Path, seal: Mapping[str, Any], present: Mapping[str, Any], note: Mapping[str, Any]
) -> None:
    """Write a seal that states the present code, and the note."""
    dated = {"since": datetime.now(UTC).strftime("%Y-%m-%d"), **note}
    renewed = {
        **seal,
        "code": present["code"],
        "environment": present["environment"],
        "accepted": [*seal.get("accepted", []), dated],
    }
    renewed["key"] = recipe_key({**renewed, "code": digest(present["code"])})
    write_seal(output, renewed)
