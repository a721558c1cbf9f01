"""Publish policies to MLflow, from their artifacts, without ever holding up a study.

Every policy is first written to a spool: one JSON file with everything that MLflow will hold,
including small files. Then the spooled runs are sent. A run that the server took leaves the spool;
all others stay for the next publication. A server that is down costs seconds and one line.

A policy is one run in MLflow, nested under the run of its study. The tag `restem.address` says
which policy of the study it is, and `restem.digest` what was published. MLflow can change neither
parameters nor curves, so a policy that was made again gets a new run, and the old run is deleted.
"""

import base64
import fcntl
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import digest
from restem.artifacts.files import write_json
from restem.config.services import Tracking
from restem.errors import RestemError

_ARTIFACT_BYTES: Final = 5_000_000
_NAME_CHARACTERS: Final = 200  # a file name has 255 bytes at most
_MAX_RUNS: Final = 50_000  # as many as MLflow returns at once
_ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class PolicyRun:
    """What MLflow is to hold about one policy.

    address: name of its run; key: digest of the policy; curves: (step, value) by name; artifacts:
    small files with different names.
    """

    address: str
    key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Publication:
    """The result of a publication.

    outcomes: number of runs that were created, updated or unchanged. waiting: runs that are still
    in the spool. refused: why single runs cannot be published. trouble: why none could be sent.
    """

    uri: str
    outcomes: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    refused: list[str] = field(default_factory=list)
    trouble: str | None = None

    @property
    def line(self) -> str:
        """Return the result as one line, without the password that a URI may contain."""
        counts = (f"{self.outcomes[name]} {name}" for name in ("created", "updated", "unchanged"))
        line = f"mlflow: {', '.join(counts)} at {self.uri}"
        if self.waiting:
            line += f"; {self.waiting} in the spool until the next publication"
        problems = [*self.refused, *filter(None, [self.trouble])]
        line += f" ({'; '.join(problems)})" if problems else ""
        return re.sub(r"//[^/@\s]*@", "//", line)


def publish(study: str, runs: Sequence[PolicyRun], settings: Tracking, spool: Path) -> Publication:
    """Publish the policies of a study to MLflow and print the result in one line.

    spool: a folder in the study's results; runs that earlier publications left there are sent too.
    Without a server, MLflow writes a SQLite file and artifacts beside it. Raises RestemError only
    for runs that cannot be spooled; trouble with the server is part of the result.
    """
    publication = Publication(tracking_uri(settings, spool))
    if not settings.enabled:
        return publication
    spool.mkdir(parents=True, exist_ok=True)
    for run in runs:
        # One file for each policy: what waits there of an older one is replaced.
        name = re.sub(r"[^\w.-]", "_", f"{study}--{run.address}")
        name = f"{name[:_NAME_CHARACTERS]}--{digest([study, run.address])[:12]}"
        write_json(spool / f"{name}.json", _payload(study, run))
    _send_spooled(study, settings.experiment, spool, publication)
    print(publication.line, flush=True)
    return publication


def tracking_uri(settings: Tracking, spool: Path) -> str:
    """Return the configured server, else MLFLOW_TRACKING_URI, else a SQLite file by the spool."""
    default = f"sqlite:///{(spool.resolve().parent / 'mlflow.db').as_posix()}"
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or default


def _payload(study: str, run: PolicyRun) -> dict[str, Any]:
    """Return everything that MLflow is to hold, under names that it accepts, with its digest."""
    if not re.fullmatch(r"[\w.-]+", study):
        raise RestemError(
            "a study's name may contain only letters, digits, '.', '_' and '-'", study, "rename it"
        )
    curves = [(name, [[0, value]]) for name, value in run.metrics.items()]
    curves += [(name, [list(point) for point in curve]) for name, curve in run.curves.items()]
    files = [(path.name, _encoded(path)) for path in run.artifacts]
    content: dict[str, Any] = {
        "study": study,
        "name": run.address,
        "key": run.key,
        "params": {_clean(name): _as_text(value) for name, value in run.params.items()},
        "metrics": _distinct([(_clean(name), curve) for name, curve in curves], run.address),
        "tags": {_clean(name): value for name, value in run.tags.items()},
        "artifacts": _distinct(files, run.address),
    }
    return {**content, "digest": digest(content)}


def _clean(name: str) -> str:
    """Return a name that MLflow accepts: pass@8 becomes pass_at_8."""
    return re.sub(r"[^\w./ -]", "_", name.replace("@", "_at_"))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _distinct(pairs: Sequence[tuple[str, Any]], address: str) -> dict[str, Any]:
    """Return a dictionary of the pairs. Raises RestemError if a name occurs twice."""
    duplicates = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if duplicates:
        raise RestemError(
            f"several metrics, curves or artifacts have the name {', '.join(duplicates)}",
            address,
            "give each its own name; '@' counts as '_at_'",
        )
    return dict(pairs)


def _encoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise RestemError(
            f"an artifact cannot be read: {problem}", str(path), "make it before publishing"
        ) from problem
    if len(content) > _ARTIFACT_BYTES:
        raise RestemError(
            f"an artifact has {len(content):,} bytes, more than {_ARTIFACT_BYTES:,}",
            str(path),
            "publish a summary of it instead",
        )
    return base64.b64encode(content).decode()


def _send_spooled(study: str, experiment: str, spool: Path, publication: Publication) -> None:
    """Send the spooled runs of a study, unless another process is sending."""
    payloads = _read_spool(study, spool, publication)
    publication.waiting = len(payloads)
    if not payloads:
        return
    with (spool / ".lock").open("w") as lock, _limited_requests():
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            server = _Server(study, experiment, publication.uri, spool)
            for path, payload in payloads.items():
                _send(server, path, payload, publication)
        except BlockingIOError:
            publication.trouble = "another process is publishing"
        except (MlflowException, SQLAlchemyError, OSError) as problem:
            publication.trouble = _reason(problem)


def _read_spool(study: str, spool: Path, publication: Publication) -> dict[Path, dict[str, Any]]:
    """Return the spooled runs of a study by file; files that cannot be read are refused."""
    payloads: dict[Path, dict[str, Any]] = {}
    for path in sorted(spool.glob("*.json")):
        try:
            payload = json.loads(path.read_text())
            if payload["study"] == study:
                payloads[path] = payload
        except (OSError, ValueError, KeyError, TypeError):
            publication.refused.append(f"{path.name} is damaged, delete it and publish again")
    return payloads


def _send(
    server: "_Server", path: Path, payload: Mapping[str, Any], publication: Publication
) -> None:
    """Send one spooled run; if MLflow refuses its content, it stays and the others go on."""
    from mlflow.exceptions import MlflowException

    try:
        outcome = server.put(payload)
    except MlflowException as problem:
        if problem.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        publication.refused.append(f"{payload['name']} was refused: {_reason(problem)}")
        return
    path.unlink(missing_ok=True)
    publication.outcomes[outcome] += 1
    publication.waiting -= 1


def _reason(problem: BaseException) -> str:
    """Return the first line of an error, or of the failed connection that caused it."""
    cause = problem
    while cause.__context__ is not None:
        cause = cause.__context__
    shown = cause if isinstance(cause, OSError) else problem
    line = next(iter(str(shown).strip().splitlines()), type(shown).__name__)
    return line if len(line) < 200 else f"{line[:200]} …"


@contextmanager
def _limited_requests() -> Iterator[None]:
    """Limit MLflow's requests, unless the user has: by default it waits for minutes."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


class _Server:
    """One study on an MLflow server."""

    def __init__(self, study: str, experiment: str, uri: str, spool: Path) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=uri)
        self._experiment = self._find_experiment(experiment, uri, spool)
        self._study = self._find_study(study)
        self._digests = self._find_digests()

    def put(self, payload: Mapping[str, Any]) -> str:
        """Make the server hold this run exactly once; return created, updated or unchanged."""
        digests = self._digests.get(payload["name"], {})
        same = [run for run, published in digests.items() if published == payload["digest"]][:1]
        current = same or [self._create(payload)]
        for run in digests:
            if run not in current:
                self._client.delete_run(run)
        self._digests[payload["name"]] = {current[0]: payload["digest"]}
        return "unchanged" if same else "updated" if digests else "created"

    def _find_experiment(self, name: str, uri: str, spool: Path) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        folder = (spool.resolve().parent / "mlartifacts").as_uri()
        location = folder if uri.startswith("sqlite:") else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _find_study(self, study: str) -> str:
        query = f"tags.`restem.study` = '{study}' and tags.`restem.kind` = 'study'"
        runs = self._client.search_runs([self._experiment], query, max_results=1)
        if runs:
            return str(runs[0].info.run_id)
        tags = {"restem.study": study, "restem.kind": "study"}
        run = self._client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
        self._client.set_terminated(run)
        return str(run)

    def _find_digests(self) -> dict[str, dict[str, str | None]]:
        """Return what was published of the study: digest by run, by address."""
        query = f"tags.`mlflow.parentRunId` = '{self._study}' and tags.`restem.kind` = 'policy'"
        digests: dict[str, dict[str, str | None]] = {}
        for run in self._client.search_runs([self._experiment], query, max_results=_MAX_RUNS):
            tags = run.data.tags
            digests_by_run = digests.setdefault(tags["restem.address"], {})
            digests_by_run[run.info.run_id] = tags.get("restem.digest")
        return digests

    def _create(self, payload: Mapping[str, Any]) -> str:
        from mlflow.entities import Metric, Param, RunTag

        tags = {
            "mlflow.parentRunId": self._study,
            "restem.kind": "policy",
            "restem.study": payload["study"],
            "restem.key": payload["key"],
            "restem.address": payload["name"],
        }
        created = self._client.create_run(self._experiment, run_name=payload["name"], tags=tags)
        run, now = str(created.info.run_id), int(time.time() * 1000)
        points = [(name, *point) for name, curve in payload["metrics"].items() for point in curve]
        self._client.log_batch(
            run,
            metrics=[Metric(name, value, now, step) for name, step, value in points],
            params=[Param(*item) for item in payload["params"].items()],
            tags=[RunTag(*item) for item in payload["tags"].items()],
        )
        with tempfile.TemporaryDirectory() as folder:
            for name, content in payload["artifacts"].items():
                (Path(folder) / name).write_bytes(base64.b64decode(content))
            if payload["artifacts"]:
                self._client.log_artifacts(run, folder)
        # The digest comes last: without it, a run was cut short, and is replaced next time.
        self._client.set_tag(run, "restem.digest", payload["digest"])
        self._client.set_terminated(run)
        return run
