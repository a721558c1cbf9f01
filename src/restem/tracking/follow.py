"""Tell MLflow how trainings go while they go, from the files in which they record it.

One process beside Snakemake's sends what all jobs have recorded, so that compute nodes need no
network and a database has one writer. What it could not send is sent when the study is published.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.progress import Progress, progress_files, read_progress
from restem.config.services import Tracking
from restem.tracking.policies import running
from restem.tracking.publish import UnreachableError, connected, tracking_uri
from restem.tracking.runs import payload

_SECONDS: Final = 10.0  # between two looks
_POLICY: Final = "policy.json"


def is_wanted(settings: Tracking) -> bool:
    """Tell whether trainings are followed: as stated, else where there is a server."""
    if settings.live is None:
        server = settings.uri or os.environ.get("MLFLOW_TRACKING_URI")
        return settings.enabled and server is not None
    return settings.enabled and settings.live


def start(results: Path, settings: str) -> None:
    """Start the process that follows the trainings of a study until this process ends.

    settings: those of the stage `tracking`, as its command gets them.
    """
    log = results / "tracking" / "follow.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "restem.cli", "follow", str(results)]
    command += ["--settings", settings, "--until", str(os.getpid()), "--since", str(time.time())]
    with log.open("w") as stream:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )


class Follower:
    """Sends what the jobs of a study have recorded since the last time, at first since a moment."""

    def __init__(
        self, study: str, label: str, settings: Tracking, results: Path, since: float
    ) -> None:
        self._study, self._label, self._settings = study, label, settings
        self._results, self._spool = results, results / "tracking" / "spool"
        self._seen: dict[Path, tuple[int, int]] = {}
        self._sent: dict[Path, float] = {}
        self._since = since
        self._trouble = ""

    def run(self, is_alive: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Send until the process that this one serves has ended, and once more."""
        alive = True
        while alive:
            alive = is_alive()
            try:
                self.send()
            except UnreachableError as problem:
                if str(problem) != self._trouble:
                    print(f"mlflow: {problem}; to be sent when it answers", flush=True)
                self._trouble = str(problem)
            deadline = time.monotonic() + seconds
            while alive and is_alive() and time.monotonic() < deadline:
                time.sleep(min(1.0, seconds))

    def send(self) -> None:
        """Send what is new in all files. Raises UnreachableError."""
        if not (changed := self._changed()):
            return
        self._spool.mkdir(parents=True, exist_ok=True)
        uri = tracking_uri(self._settings, self._spool)
        with connected(self._study, self._settings.experiment, uri, self._spool, 1.0) as server:
            for path, (policy, stamp) in changed.items():
                if progress := read_progress(path):
                    content = payload(self._study, running(policy, progress, self._label))
                    server.follow(content, self._sent.get(path, 0.0))
                    self._sent[path] = _latest(progress)
                self._seen[path] = stamp

    def _changed(self) -> dict[Path, tuple[Path, tuple[int, int]]]:
        """Return the files of policies that have grown, with the policy and the file's state."""
        changed = {}
        for output, path in progress_files(self._results):
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            is_old = path not in self._seen and status.st_mtime < self._since
            if output.name == _POLICY and not is_old and self._seen.get(path) != stamp:
                changed[path] = (output, stamp)
        return changed


def _latest(progress: Progress) -> float:
    """Return the time of the last measurement."""
    return max((curve[-1][2] for curve in progress.curves.values()), default=0.0)


def follow(results: Path, settings: Mapping[str, Any], until: int | None, since: float) -> None:
    """Follow the trainings of a study.

    until: the parent process that it ends with; since: when the run began, in seconds since the
    epoch: jobs that ended before are left alone.
    """
    tracking = Tracking.model_validate(settings["tracking"])
    follower = Follower(settings["study"], settings["label"], tracking, results, since)
    follower.run(lambda: until is None or os.getppid() == until)
