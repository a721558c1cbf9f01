"""How a run can be made again: commit, code, locked environments, and the command."""

import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import code_digest, lock_digest
from restem.stages.declaration import load_stage, stage_names
from restem.study.addresses import BASE
from restem.study.graph import StudyGraph

_SAMPLING: Final = "samples"  # the stage whose environment is that of the study's engine
_SECOND: Final = "recheck"  # the stage that only a study with second verdicts runs


def origin(workflow: Any, graph: StudyGraph, environments: Path) -> dict[str, Any]:
    """Return what the page of a study records of its run.

    workflow: Snakemake's. environments: the folder of the lock files.
    """
    commit, dirty = _commit(Path(workflow.basedir))
    names = set(stage_names())
    if not graph.study.false_positives.sample:
        names.remove(_SECOND)
    bases = [draws for draws in graph.evaluations() if draws.policy.variant == BASE]
    families = {load_stage(name).lock for name in names}
    families |= {load_stage(_SAMPLING).family(graph.samples_settings(draws)) for draws in bases}
    return {
        "commit": commit,
        "dirty": dirty,
        "code": code_digest(f"restem.stages.{name}" for name in sorted(names)),
        "locks": {name: lock_digest(environments / f"{name}.txt") for name in sorted(families)},
        "command": command(workflow.config_settings),
    }


def command(settings: Any) -> str:
    """Return the command that makes the study: with its configuration files and changes of keys.

    settings: Snakemake's of its configuration. Profiles say where jobs run, so they are left out.
    """
    files = [_near(Path(path)) for path in settings.configfiles]
    words = ["snakemake", "--cores", "all"]
    words += ["--configfile", *files] if files else []
    words += ["--config", *map(str, settings.config_args)] if settings.config else []
    return shlex.join(words)


def _near(path: Path) -> str:
    """Return a path as it is seen from here, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _commit(clone: Path) -> tuple[str, bool]:
    """Return the commit of a clone, and whether tracked files differ from it; "" for no clone."""
    top, _, commit = _git(clone, "rev-parse", "--show-toplevel", "HEAD").strip().partition("\n")
    if not commit or Path(top).resolve() != clone.resolve():
        return "", False
    return commit, bool(_git(clone, "status", "--porcelain", "--untracked-files=no"))


def _git(clone: Path, *asked: str) -> str:
    """Ask git, which writes nothing; return nothing where there is no git or no clone."""
    command = ["git", "--no-optional-locks", "-C", str(clone), *asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout
