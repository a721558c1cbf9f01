"""Publish a study to MLflow, from its artifacts, without ever holding it up.

Every run is first written to a spool: one JSON file with everything that MLflow will hold,
including small files. Then the spooled runs are sent. A run that the server took leaves the spool;
all others stay for the next publication. A server that is down costs seconds and one line.
"""

import fcntl
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from restem.artifacts.digests import digest
from restem.artifacts.files import write_json
from restem.config.services import Tracking
from restem.tracking.runs import Payload, Run, payload
from restem.tracking.server import Server

_NAME_CHARACTERS: Final = 200  # a file name has 255 bytes at most
_WAIT_SECONDS: Final = 10.0  # for another process that sends, such as the one that follows jobs
_ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


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


def publish(study: str, runs: Sequence[Run], settings: Tracking, spool: Path) -> Publication:
    """Publish the runs of a study to MLflow and print the result in one line.

    spool: a folder in the study's results; runs that earlier publications left there are sent too.
    Without a server, MLflow writes a SQLite file and artifacts beside it. Raises RestemError only
    for runs that cannot be spooled; trouble with the server is part of the result.
    """
    publication = Publication(tracking_uri(settings, spool))
    if not settings.enabled:
        return publication
    spool.mkdir(parents=True, exist_ok=True)
    for run in runs:
        # One file for each run: what waits there of an older one is replaced.
        name = re.sub(r"[^\w.-]", "_", f"{study}--{run.address}")
        name = f"{name[:_NAME_CHARACTERS]}--{digest([study, run.address])[:12]}"
        write_json(spool / f"{name}.json", payload(study, run))
    _send_spooled(study, settings.experiment, spool, publication)
    print(publication.line, flush=True)
    return publication


def tracking_uri(settings: Tracking, spool: Path) -> str:
    """Return the configured server, else MLFLOW_TRACKING_URI, else a SQLite file by the spool."""
    default = f"sqlite:///{(spool.resolve().parent / 'mlflow.db').as_posix()}"
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or default


def _send_spooled(study: str, experiment: str, spool: Path, publication: Publication) -> None:
    """Send the spooled runs of a study, unless another process is sending."""
    payloads = _read_spool(study, spool, publication)
    publication.waiting = len(payloads)
    if not payloads:
        return
    try:
        with connected(study, experiment, publication.uri, spool, _WAIT_SECONDS) as server:
            for path, content in payloads.items():
                _send(server, path, content, publication)
    except UnreachableError as problem:
        publication.trouble = str(problem)


class UnreachableError(Exception):
    """The server cannot be used now; the text says why."""


@contextmanager
def connected(
    study: str, experiment: str, uri: str, spool: Path, wait_seconds: float
) -> Iterator[Server]:
    """Yield the server, for one process at a time. Raises UnreachableError when it is away."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    with (spool / ".lock").open("w") as lock, _limited_requests():
        _take(lock.fileno(), wait_seconds)
        try:
            yield Server(study, experiment, uri, spool)
        except (MlflowException, SQLAlchemyError, OSError) as problem:
            raise UnreachableError(_reason(problem)) from problem


def _take(lock: int, wait_seconds: float) -> None:
    """Take a lock. Raises UnreachableError if another process holds it for so long."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise UnreachableError("another process is publishing") from None
            time.sleep(0.1)


def _read_spool(study: str, spool: Path, publication: Publication) -> dict[Path, Payload]:
    """Return the spooled runs of a study by file; files that cannot be read are refused."""
    payloads: dict[Path, Payload] = {}
    for path in sorted(spool.glob("*.json")):
        try:
            payload = json.loads(path.read_text())
            if payload["study"] == study:
                payloads[path] = payload
        except (OSError, ValueError, KeyError, TypeError):
            publication.refused.append(f"{path.name} is damaged, delete it and publish again")
    return payloads


def _send(server: Server, path: Path, payload: Payload, publication: Publication) -> None:
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
