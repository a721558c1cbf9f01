"""Stage tracking: tell MLflow about the study and every policy, from artifacts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from restem.artifacts.files import write_json
from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.schemas.evaluation import CHANGES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.config.services import Tracking
from restem.policies.manifest import read_policy
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tracking.policies import ADDRESS, address_of, finished, lineages
from restem.tracking.publish import publish
from restem.tracking.runs import ONLY, Run

_READABLE = (".md", ".csv", ".png")
MLFLOW_TABLES = "mlflow.loggedArtifacts"
_SAMPLES = "changed_problems.json"
_SHOWN = ("model", "variant", "problem_id", "change", "question", "answer")
_SIDES = ("completion", "extracted", "verdict")


class Settings(Strict):
    """What this stage reads of the configuration; methods: the settings of each variant."""

    study: str
    label: str
    tracking: Tracking
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)


@stage(lock="report", reuse=False, help={"files": "Tables and figures of the study."})
def run(
    job: Job,
    settings: Settings,
    policies: InputFiles,
    summary: InputFile,
    changes: InputFiles = (),
    files: InputFiles = (),
    *,
    output: OutputFile,
) -> None:
    """Publish every policy with its metrics to MLflow; a server that is down loses nothing."""
    manifests = [read_policy(path) for path in policies]
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    own = ADDRESS[1:]  # the task of a row is the one that was evaluated
    for row in read_rows(summary, SUMMARY):
        rows.setdefault(tuple(row[name] for name in own), []).append(row)
    estimates = {
        manifest.path: rows.get(tuple(address_of(manifest.path)[name] for name in own), [])
        for manifest in manifests
    }
    study = Run(
        settings.study,
        ONLY,
        kind="study",
        artifacts=[path for path in files if path.suffix in _READABLE],
        texts={_SAMPLES: _samples([r for path in changes for r in read_rows(path, CHANGES)])},
        tags={"note": settings.label, MLFLOW_TABLES: _listed(_SAMPLES)},
    )
    runs = [study, *lineages(manifests, estimates)]
    for manifest in manifests:
        method = settings.methods.get(address_of(manifest.path)["variant"], {})
        runs.append(finished(manifest, method, estimates[manifest.path], settings.label))
    publication = publish(settings.study, runs, settings.tracking, output.parent / "spool")
    result = {"waiting": publication.waiting, "trouble": publication.trouble}
    write_json(output, {"runs": len(manifests), **result})


def _samples(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return completions with verdicts, before and after training, as MLflow's tables have them."""
    columns = [*_SHOWN, *(f"{when}_{name}" for when in ("before", "after") for name in _SIDES)]
    data = [[row[name] for name in columns] for row in rows if row["place"] is not None]
    return json.dumps({"columns": columns, "data": data})


def _listed(path: str) -> str:
    """Return the tag by which MLflow's page shows an artifact as a table."""
    return json.dumps([{"path": path, "type": "table"}])
