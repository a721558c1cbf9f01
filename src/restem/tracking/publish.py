"""Publish policies to MLflow, from artifacts, by one writer, so that tracking never costs a run.

Every policy is first written to a spool as one JSON file with all that MLflow is to hold, small
files included. Then the spool is replayed: what the server took leaves the spool, what it did not
take stays for the next time. A server that is down costs seconds and one line.

In MLflow a policy is one run, nested under its study's run and found again by the tag
`restem.key`; the tag `restem.digest` says what was published. A policy whose content changed gets
a new run and the old one is deleted, since MLflow can change neither parameters nor curves.
"""

import base64
import fcntl
import json
import os
import re
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from restem.artifacts.digests import digest
from restem.config.services import Tracking
from restem.errors import RestemError

_PROBE_SECONDS: Final = 3.0
_ARTIFACT_BYTES: Final = 5_000_000
_BATCH: Final = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one request
_ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class PolicyRun:
    """What MLflow is told about one policy.

    key: digest of the policy; curves: (step, value) by name; artifacts: small files, whose names
    must differ.
    """

    task: str
    model: str
    variant: str
    seed: int
    iteration: int
    key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return the policy's place, which names its run."""
        return f"{self.task}/{self.model}/{self.variant}/seed-{self.seed}/iter-{self.iteration}"


@dataclass(frozen=True)
class PublishReport:
    """How a publication went; `waiting` runs are still in the spool, `refused` ones among them."""

    uri: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    waiting: int = 0
    refused: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def line(self) -> str:
        """Say it in one line, without the password that a URI may hold."""
        done = f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged"
        line = f"mlflow: {done} at {self.uri}"
        if self.waiting:
            line += f"; {self.waiting} wait in the spool for the next publication"
        problems = [*self.refused, *([self.trouble] if self.trouble else [])]
        line += f" ({'; '.join(problems)})" if problems else ""
        return re.sub(r"//[^/@\s]*@", "//", line)


def publish(
    study: str, runs: Sequence[PolicyRun], settings: Tracking, spool: Path
) -> PublishReport:
    """Publish a study's policies to MLflow, and print how it went; a server's trouble is no error.

    spool: a folder of the study's results, kept until the next publication; the default SQLite
    file and its artifacts lie beside it. Replays what earlier publications left there. Raises
    RestemError only for runs that cannot be spooled.
    """
    if not settings.enabled:
        return PublishReport("nowhere: tracking.enabled is false")
    spool.mkdir(parents=True, exist_ok=True)
    for run in runs:
        _write_spool(study, run, spool)
    report = _replay(study, settings, spool)
    print(report.line, flush=True)
    return report


def tracking_uri(settings: Tracking, spool: Path) -> str:
    """Return the server: the configured one, else MLFLOW_TRACKING_URI, else SQLite by the spool."""
    fallback = f"sqlite:///{(spool.resolve().parent / 'mlflow.db').as_posix()}"
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or fallback


def _write_spool(study: str, run: PolicyRun, spool: Path) -> None:
    payload = _payload(study, run)
    name = re.sub(r"[^\w.-]", "_", f"{study}--{run.address}--{run.key[:12]}")
    path = spool / f"{name}.json"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(payload, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def _payload(study: str, run: PolicyRun) -> dict[str, Any]:
    """Return all that MLflow is to hold, under names that it takes, with the digest of it."""
    if not re.fullmatch(r"[\w.-]+", study):
        raise RestemError(
            "a study's name may hold letters, digits, '.', '_' and '-' only", study, "rename it"
        )
    curves = {name: [list(point) for point in points] for name, points in run.curves.items()}
    numbers = [(_clean(name), [[0, value]]) for name, value in run.metrics.items()]
    numbers += [(_clean(name), points) for name, points in curves.items()]
    parts = ("task", "model", "variant", "seed", "iteration")
    content: dict[str, Any] = {
        "study": study,
        "name": run.address,
        "key": run.key,
        "params": {_clean(name): _text(value) for name, value in run.params.items()},
        "metrics": _distinct(numbers, run.address),
        "tags": {f"restem.{part}": str(getattr(run, part)) for part in parts}
        | {_clean(name): value for name, value in run.tags.items()},
        "artifacts": _distinct([(path.name, _packed(path)) for path in run.artifacts], run.address),
    }
    return {**content, "digest": digest(content)}


def _clean(name: str) -> str:
    """Make a name that MLflow takes: pass@8 becomes pass_at_8."""
    return re.sub(r"[^\w./ -]", "_", name.replace("@", "_at_"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _distinct(pairs: Sequence[tuple[str, Any]], where: str) -> dict[str, Any]:
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise RestemError(
            f"several metrics, curves or artifacts are called {', '.join(twice)}",
            where,
            "give each its own name; '@' counts as '_at_'",
        )
    return dict(pairs)


def _packed(path: Path) -> str:
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


def _replay(study: str, settings: Tracking, spool: Path) -> PublishReport:
    uri = tracking_uri(settings, spool)
    outcomes: Counter[str] = Counter()
    refused: list[str] = []
    with _one_writer(spool) as alone, _bounded_requests():
        waiting = _read_spool(study, spool, refused)
        trouble = None if alone else "another process is publishing"
        if waiting and alone:
            trouble = _unreachable(uri) or _trouble_of(
                lambda: _send(
                    _Server(study, settings.experiment, uri, spool), waiting, outcomes, refused
                )
            )
    left = len(waiting) - outcomes.total()
    return PublishReport(uri, **outcomes, waiting=left, refused=tuple(refused), trouble=trouble)


def _read_spool(study: str, spool: Path, refused: list[str]) -> dict[Path, dict[str, Any]]:
    """Return this study's spooled runs by file; files that cannot be read are refused."""
    found: dict[Path, dict[str, Any]] = {}
    for path in sorted(spool.glob("*.json")):
        try:
            payload = json.loads(path.read_text())
            if payload["study"] == study:
                found[path] = payload
        except (OSError, ValueError, KeyError, TypeError):
            refused.append(f"{path.name} is damaged, delete it and publish again")
    return found


def _send(
    server: "_Server",
    waiting: Mapping[Path, Mapping[str, Any]],
    outcomes: Counter[str],
    refused: list[str],
) -> None:
    """Send spooled runs; one that MLflow finds faulty stays, and does not hold up the others."""
    from mlflow.exceptions import MlflowException

    for path, payload in waiting.items():
        try:
            outcomes[server.put(payload)] += 1
            path.unlink()
        except MlflowException as problem:
            if problem.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise
            refused.append(f"{payload['name']} was refused: {_first_line(problem)}")


def _trouble_of(action: Callable[[], None]) -> str | None:
    """Run what talks to a server, and return its trouble instead of raising it."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        action()
    except (MlflowException, SQLAlchemyError, OSError) as problem:
        return _first_line(problem)
    return None


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[0] if len(lines[0]) < 200 else f"{lines[0][:200]} …"


class _Server:
    """One study on an MLflow server."""

    def __init__(self, study: str, experiment: str, uri: str, spool: Path) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=uri)
        self._experiment = self._find_experiment(experiment, uri, spool)
        self._study = self._find_study(study)
        self._known = self._list_runs()

    def put(self, payload: Mapping[str, Any]) -> str:
        """Make the study hold this run exactly once; return created, updated or unchanged."""
        known = self._known.get((payload["key"], payload["name"]), {})
        same = [run for run, content in known.items() if content == payload["digest"]][:1]
        kept = same or [self._create(payload)]
        for run in known:
            if run not in kept:
                self._client.delete_run(run)
        return "unchanged" if same else "updated" if known else "created"

    def _find_experiment(self, name: str, uri: str, spool: Path) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        beside = (spool.resolve().parent / "mlartifacts").as_uri()
        location = beside if uri.startswith("sqlite:") else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _find_study(self, study: str) -> str:
        wanted = f"tags.`restem.study` = '{study}' and tags.`restem.kind` = 'study'"
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"restem.study": study, "restem.kind": "study"}
        run = self._client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
        self._client.set_terminated(run)
        return str(run)

    def _list_runs(self) -> dict[tuple[str, str], dict[str, str | None]]:
        """Return the digests of the study's runs, by key and address and then by run."""
        found: dict[tuple[str, str], dict[str, str | None]] = {}
        nested = f"tags.`mlflow.parentRunId` = '{self._study}'"
        wanted, token = f"{nested} and tags.`restem.kind` = 'policy'", None
        while True:
            page = self._client.search_runs([self._experiment], wanted, page_token=token)
            for run in page:
                tags = run.data.tags
                same = found.setdefault((tags["restem.key"], tags["restem.address"]), {})
                same[run.info.run_id] = tags.get("restem.digest")
            token = page.token
            if not token:
                return found

    def _create(self, payload: Mapping[str, Any]) -> str:
        tags = {
            "mlflow.parentRunId": self._study,
            "restem.kind": "policy",
            "restem.study": payload["study"],
            "restem.key": payload["key"],
            "restem.address": payload["name"],
        }
        created = self._client.create_run(self._experiment, run_name=payload["name"], tags=tags)
        run = str(created.info.run_id)
        self._log(run, payload)
        self._log_artifacts(run, payload["artifacts"])
        # The digest comes last: a run without it was cut short and is replaced next time.
        self._client.set_tag(run, "restem.digest", payload["digest"])
        self._client.set_terminated(run)
        return run

    def _log(self, run: str, payload: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [(n, p) for n, curve in payload["metrics"].items() for p in curve]
        entities: dict[str, list[Any]] = {
            "metrics": [Metric(name, value, now, step) for name, (step, value) in points],
            "params": [Param(*item) for item in payload["params"].items()],
            "tags": [RunTag(*item) for item in payload["tags"].items()],
        }
        for kind, items in entities.items():
            for start in range(0, len(items), _BATCH[kind]):
                self._client.log_batch(run, **{kind: items[start : start + _BATCH[kind]]})

    def _log_artifacts(self, run: str, artifacts: Mapping[str, str]) -> None:
        if not artifacts:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in artifacts.items():
                (Path(folder) / name).write_bytes(base64.b64decode(content))
            self._client.log_artifacts(run, folder)


@contextmanager
def _one_writer(spool: Path) -> Iterator[bool]:
    """Say whether this process alone replays the spool, and hold that while the body runs."""
    with (spool / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _bounded_requests() -> Iterator[None]:
    """Bound MLflow's requests where the user has not: its own default waits for minutes."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _unreachable(uri: str) -> str | None:
    """Say why a server's port does not answer; None when it does or cannot be asked directly."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    proxied = parts.scheme in getproxies() and not proxy_bypass(host)
    if parts.scheme not in ("http", "https") or proxied:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    answers: list[str | None] = []
    # In a thread, because looking up a name has no time limit of its own.
    probe = threading.Thread(target=lambda: answers.append(_connect(host, port)), daemon=True)
    probe.start()
    probe.join(_PROBE_SECONDS)
    return answers[0] if answers else f"no answer within {_PROBE_SECONDS:g} s"


def _connect(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError as problem:
        return f"no connection: {problem}"
    return None
