"""List the jobs of a Snakemake run without running it.

Snakemake logs every job of a dry run as a record with fields. The dry run has a process of its own,
because Snakemake keeps global state; a handler on its root logger writes what is needed of each
record to a file, as one JSON object a line.
"""

import json
import logging
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.errors import RestemError

JOB_INFO = "job_info"  # LogEvent of snakemake-interface-logger-plugins
WARNINGS_AT_LEVEL_INFO = ("have missing provenance", "have outdated provenance", "cannot be locked")
ABOUT_PROFILES = "for setting default command line arguments."  # printed, not logged


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake would run: its rule and its shell command."""

    rule: str
    command: str


def dry_run(arguments: Sequence[str]) -> tuple[list[PlannedJob], list[str]]:
    """Return the jobs that `snakemake <arguments>` would run, and Snakemake's warnings.

    Jobs without a command (targets) are left out. Raises RestemError with everything that
    Snakemake reports when it cannot plan the run.
    """
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        path = Path(folder) / "records.jsonl"
        command = [sys.executable, "-m", __name__, str(path), *arguments, "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = path.read_text().splitlines() if path.exists() else []
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    printed = [line for line in done.stderr.splitlines() if not line.endswith(ABOUT_PROFILES)]
    if done.returncode:
        errors = [record["text"] for record in records if record["level"] >= logging.ERROR]
        reasons = textwrap.indent("\n".join([*errors, *printed]).strip(), "    ")
        raise RestemError(
            f"Snakemake cannot plan this run:\n{reasons}",
            shlex.join(["snakemake", *arguments, "--dry-run"]),
            "correct what Snakemake names above, then plan again",
        )
    jobs = [
        PlannedJob(record["rule"], record["command"])
        for record in records
        if record["event"] == JOB_INFO and record["command"]
    ]
    return jobs, [*printed, *(record["text"] for record in records if _is_warning(record))]


def _is_warning(record: dict[str, Any]) -> bool:
    text = record["text"]
    return record["level"] >= logging.WARNING or any(
        part in text for part in WARNINGS_AT_LEVEL_INFO
    )


class _JsonFormatter(logging.Formatter):
    """Write the fields of a record that `dry_run` reads."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a JSON object on one line."""
        fields = {
            "level": record.levelno,
            "event": getattr(record, "event", None),
            "text": record.getMessage(),
            "rule": getattr(record, "rule_name", None),
            "command": getattr(record, "shellcmd", None),
        }
        return json.dumps(fields)


def main() -> None:
    """Run Snakemake with the arguments after the first, which names the file for its records."""
    from snakemake import cli

    handler = logging.FileHandler(sys.argv[1])
    handler.setFormatter(_JsonFormatter())
    logging.getLogger().addHandler(handler)
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    main()
