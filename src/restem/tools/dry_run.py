"""List the jobs of a Snakemake run without running it.

The dry run has a process of its own, because Snakemake keeps global state. That process writes
Snakemake's records of errors and warnings to a file, one JSON object a line, and after them the
jobs that the plan consists of, with what their seals say (`restem.staleness`).
"""

import json
import logging
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from restem.errors import RestemError

WARNINGS_AT_LEVEL_INFO = ("cannot be locked", "engine: ")
# The last line of a traceback that passes through Snakemake's cache of sources.
_NO_CACHE = re.compile(
    r"sourcecache\.py.*^\w*Error: \[Errno \d+\] (?P<why>.*): '(?P<where>.*)'\s*\Z", re.M | re.S
)
ABOUT_PROFILES = "for setting default command line arguments."  # printed, not logged


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake would run.

    stage: empty for a job that runs none. output: its first one. reasons: what is stale of its own;
    empty where it only follows from jobs upstream, or has not run yet. inputs: all files that it
    depends on. log: where its command writes, if anywhere.
    """

    rule: str
    stage: str
    output: str
    reasons: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    log: str = ""


def dry_run(arguments: Sequence[str]) -> tuple[list[PlannedJob], list[str]]:
    """Return the jobs that `snakemake <arguments>` would run, and Snakemake's warnings.

    Jobs without outputs (targets) are left out. Raises RestemError with everything that Snakemake
    reports when it cannot plan the run.
    """
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        path = Path(folder) / "records.jsonl"
        command = [sys.executable, "-m", __name__, str(path), *arguments, "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = path.read_text().splitlines() if path.exists() else []
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    records = [entry["record"] for entry in entries if "record" in entry]
    printed = [line for line in done.stderr.splitlines() if not line.endswith(ABOUT_PROFILES)]
    if done.returncode:
        errors = [record["text"] for record in records if record["level"] >= logging.ERROR]
        told = "\n".join([*errors, *printed]).strip()
        if refused := _NO_CACHE.search(told):
            raise RestemError(
                f"Snakemake can keep no cache: {refused['why']}",
                refused["where"],
                "set HOME or XDG_CACHE_HOME to a folder in which you may write",
            )
        if reported := RestemError.printed(told):
            raise reported
        reasons = textwrap.indent(told, "    ")
        raise RestemError(
            f"Snakemake cannot plan this run:\n{reasons}",
            shlex.join(["snakemake", *arguments, "--dry-run"]),
            "correct what Snakemake names above, then plan again",
        )
    stated = [entry["job"] for entry in entries if "job" in entry]
    jobs = [PlannedJob(**{k: _as_tuple(v) for k, v in job.items()}) for job in stated]
    return jobs, [*printed, *(record["text"] for record in records if _is_warning(record))]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_warning(record: dict[str, Any]) -> bool:
    text = record["text"]
    return record["level"] >= logging.WARNING or any(
        part in text for part in WARNINGS_AT_LEVEL_INFO
    )


class _JsonFormatter(logging.Formatter):
    """Write the fields of a record that `dry_run` reads."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a JSON object on one line."""
        return json.dumps({"record": {"level": record.levelno, "text": record.getMessage()}})


def planned_jobs() -> list[PlannedJob]:
    """Return the jobs of the plan that this process has made, upstream first."""
    from restem.staleness.planner import Planner
    from restem.staleness.snakemake import stale_jobs

    jobs = []
    for job, reasons in stale_jobs():
        planned = Planner.planned(job)
        stage = planned.stage.name if planned else ""
        inputs = tuple(map(str, job.input))
        log = str(job.log[0]) if job.log else ""
        jobs.append(PlannedJob(job.rule.name, stage, str(job.output[0]), reasons, inputs, log))
    return jobs


def main() -> None:
    """Run Snakemake with the arguments after the first, which names the file for its records."""
    from snakemake import cli

    records, *arguments = sys.argv[1:]
    sys.argv = ["snakemake", *arguments]  # the workflow looks there for what a person gave
    handler = logging.FileHandler(records)
    handler.setFormatter(_JsonFormatter())
    logging.getLogger().addHandler(handler)
    try:
        cli.main(arguments)
    except SystemExit as end:
        if end.code:
            raise
    with Path(records).open("a") as stream:
        for job in planned_jobs():
            stream.write(json.dumps({"job": asdict(job)}) + "\n")


if __name__ == "__main__":
    main()
