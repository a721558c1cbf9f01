"""Stage tracking: tell MLflow about every policy, from artifacts, by one writer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.digests import flatten
from restem.artifacts.files import write_json
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.config.services import Tracking
from restem.policies.manifest import PolicyManifest, read_policy
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tracking.publish import PolicyRun, publish

SHOWN = ("training", "reward", "validation", "seed", "source")
ADDRESS = ("task", "model", "variant", "seed", "iteration")


class Settings(Strict):
    """What this stage reads of the configuration."""

    study: str
    label: str
    tracking: Tracking


@stage(lock="report", reuse=False)
def run(
    job: Job,
    settings: Settings,
    policies: InputFiles,
    summary: InputFile,
    tables: InputFiles = (),
    *,
    output: OutputFile,
) -> None:
    """Publish every policy with its metrics to MLflow; a server that is down loses nothing."""
    rows = read_rows(summary, "summary")
    runs = [_run(read_policy(path), settings, rows, tables) for path in policies]
    publication = publish(settings.study, runs, settings.tracking, output.parent / "spool")
    result = {"waiting": publication.waiting, "trouble": publication.trouble}
    write_json(output, {"runs": len(runs), **result})


def _run(
    policy: PolicyManifest,
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    tables: Sequence[Path],
) -> PolicyRun:
    *names, seed, iteration = folders = policy.path.parts[-6:-1]
    numbers = int(seed.split("-")[1]), int(iteration.split("-")[1])
    address = dict(zip(ADDRESS, (*names, *numbers), strict=True))
    made_by = policy.provenance["settings"]
    shown = {name: made_by[name] for name in SHOWN if name in made_by}
    losses = policy.report.get("losses", [])
    validations = policy.report.get("validations", [])
    tags = {f"restem.{name}": str(value) for name, value in address.items()}
    tags |= {"content": policy.content, "note": settings.label, "halted": policy.halted or ""}
    return PolicyRun(
        address="/".join(folders),
        key=policy.content,
        params={key: str(value) for key, value in flatten(shown).items()},
        metrics=_metrics(rows, address),
        curves={
            "loss": list(enumerate(losses, start=1)),
            "validation_reward": [(point["step"], point["reward"]) for point in validations],
        },
        artifacts=tables,
        tags=tags,
    )


def _metrics(rows: Sequence[Mapping[str, Any]], address: Mapping[str, Any]) -> dict[str, float]:
    """Name a policy's own estimates: quantity, task, split and decoding."""
    names = ADDRESS[1:]  # the task of a row is the one that was evaluated
    own_rows = (row for row in rows if all(row[name] == address[name] for name in names))
    return {
        f"{row['quantity'].replace('@', '_at_')}.{row['task']}.{row['split']}.{row['decoding']}": (
            row["estimate"]
        )
        for row in own_rows
        if row["estimate"] is not None
    }
