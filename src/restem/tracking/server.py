"""The runs of one study on an MLflow server."""

import base64
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from restem.tracking.runs import ONLY, Payload

_MAX_RUNS: Final = 50_000  # as many as MLflow returns at once
_DIGEST_CHARACTERS: Final = 36  # of a dataset, in MLflow

Outcome = Literal["created", "updated", "unchanged"]


@dataclass
class _Known:
    """A run on the server; digest: of what was published, None while its job runs."""

    id: str
    key: str
    digest: str | None
    superseded: bool


class Server:
    """One study on an MLflow server.

    A policy that was made again under another recipe gets a new run, because MLflow can change no
    parameters; the old one stays, with the tag `restem.superseded_by`. MLflow takes a metric with
    the same step, time and value once, so everything can be sent again after an interruption.
    """

    def __init__(self, study: str, experiment: str, uri: str, spool: Path) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=uri)
        self._study = study
        self._experiment = self._find_experiment(experiment, uri, spool)
        self._runs = self._find_runs()

    def put(self, payload: Payload) -> Outcome:
        """Make the server hold what is published of a run."""
        known = self._runs[payload["name"]]
        current = self._current(payload)
        if current and current.digest == payload["digest"]:
            self._supersede(payload["name"], current)
            return "unchanged"
        outcome: Outcome = "updated" if known else "created"
        current = current or self._create(payload)
        self._log(current, payload)
        self._log_files(current, payload)
        # The digest comes last: without it a run was cut short, and is sent again next time.
        self._client.set_tag(current.id, "restem.digest", payload["digest"])
        current.digest = payload["digest"]
        self._supersede(payload["name"], current)
        return outcome

    def follow(self, payload: Payload, since: float) -> None:
        """Add what a job has measured after a moment; what is published already stays as it is."""
        current = self._current(payload)
        if current and current.digest:
            return
        current = current or self._create(payload)
        self._supersede(payload["name"], current)
        self._log(current, payload, since)

    def _find_experiment(self, name: str, uri: str, spool: Path) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        folder = (spool.resolve().parent / "mlartifacts").as_uri()
        location = folder if uri.startswith("sqlite:") else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _find_runs(self) -> dict[str, list[_Known]]:
        """Return the runs of the study by address."""
        query = f"tags.`restem.study` = '{self._study}'"
        runs: dict[str, list[_Known]] = defaultdict(list)
        for run in self._client.search_runs([self._experiment], query, max_results=_MAX_RUNS):
            tags = run.data.tags
            known = _Known(
                str(run.info.run_id),
                tags.get("restem.key", ""),
                tags.get("restem.digest"),
                "restem.superseded_by" in tags,
            )
            runs[tags["restem.address"]].append(known)
        return runs

    def _current(self, payload: Payload) -> _Known | None:
        """Return the run of the same recipe, unless it has other parameters."""
        for run in self._runs[payload["name"]]:
            if run.key == payload["key"]:
                if run.digest == payload["digest"]:
                    return run
                stated = self._client.get_run(run.id).data.params
                if all(
                    stated.get(name, value) == value for name, value in payload["params"].items()
                ):
                    return run
        return None

    def _supersede(self, address: str, current: _Known) -> None:
        for run in self._runs[address]:
            if run is not current and not run.superseded:
                self._client.set_tag(run.id, "restem.superseded_by", current.id)
                run.superseded = True
        if current.superseded:  # a knob was turned back
            self._client.delete_tag(current.id, "restem.superseded_by")
            current.superseded = False

    def _create(self, payload: Mapping[str, Any]) -> _Known:
        tags = {
            "restem.kind": payload["kind"],
            "restem.study": self._study,
            "restem.key": payload["key"],
            "restem.address": payload["name"],
        }
        if payload["kind"] != "study":
            tags["mlflow.parentRunId"] = self._parent(payload)
        created = self._client.create_run(
            self._experiment,
            run_name=payload["name"],
            tags=tags,
            start_time=_milliseconds(payload["started"] or time.time()),
        )
        run = _Known(str(created.info.run_id), payload["key"], None, superseded=False)
        self._runs[payload["name"]].append(run)
        return run

    def _parent(self, payload: Mapping[str, Any]) -> str:
        """Return the run above this one, which may not have been published yet."""
        address = payload["parent"] or self._study
        kind = "lineage" if payload["parent"] else "study"
        if not self._runs[address]:
            above = {"name": address, "kind": kind, "key": ONLY, "parent": ""}
            self._create(above | {"started": payload["started"]})
        return self._runs[address][0].id

    def _log(self, run: _Known, payload: Payload, since: float = 0.0) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = payload["ended"] or time.time()
        points = [
            (name, value, *(moment or [now]), step)
            for name, curve in payload["metrics"].items()
            for step, value, *moment in curve
        ]
        self._client.log_batch(
            run.id,
            metrics=[
                Metric(name, value, _milliseconds(moment), step)
                for name, value, moment, step in points
                if moment > since
            ],
            params=[Param(*item) for item in payload["params"].items()],
            tags=[RunTag(*item) for item in payload["tags"].items()],
        )
        if payload["status"] == "RUNNING":
            self._client.update_run(run.id, status="RUNNING")
        else:
            self._client.set_terminated(run.id, payload["status"], _milliseconds(now))

    def _log_files(self, run: _Known, payload: Payload) -> None:
        """Add datasets and artifacts."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        datasets = [
            DatasetInput(
                Dataset(stated["name"], stated["digest"][:_DIGEST_CHARACTERS], "local", "{}"),
                [InputTag("mlflow.data.context", stated["used_for"])],
            )
            for stated in payload["datasets"]
        ]
        if datasets:
            self._client.log_inputs(run.id, datasets=datasets)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in payload["artifacts"].items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(content))
            if payload["artifacts"]:
                self._client.log_artifacts(run.id, folder)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
