"""Dry runs in many trees, quickly: a process that has imported Snakemake forks for each.

The code of restem is imported after the fork, because each tree has its own.
"""

import atexit
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple


class DryRun(NamedTuple):
    """What a dry run ended with and printed; jobs: rule, output and reasons of what is stale."""

    returncode: int
    stdout: str
    stderr: str
    jobs: frozenset[tuple[str, str, tuple[str, ...]]]


def dry_run(root: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> DryRun:
    """Do what `snakemake -n` with some arguments does in a tree."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(root), dict(environment), list(arguments)]) + "\n")
    server.stdin.flush()
    code, stdout, stderr, jobs = json.loads(server.stdout.readline())
    return DryRun(
        code, stdout, stderr, frozenset((rule, output, tuple(why)) for rule, output, why in jobs)
    )


@cache
def _server() -> "subprocess.Popen[str]":
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.communicate)  # closes both pipes, and waits
    return server


def _do(root: str, environment: dict[str, str], arguments: list[str]) -> list[object]:
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    sys.argv = ["snakemake", "-n", *arguments]  # the workflow looks there for what a person gave
    sys.path.insert(0, f"{root}/src")
    for name in [name for name in sys.modules if name.split(".")[0] == "restem"]:
        del sys.modules[name]  # the SLURM plugin has imported the code of the working tree
    from snakemake import cli

    stdout, stderr, code, jobs = io.StringIO(), io.StringIO(), 0, []
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            cli.main(sys.argv[1:])
        except SystemExit as end:
            code = int(end.code or 0)
        if not code:
            from restem.tools.dry_run import planned_jobs

            jobs = [[job.rule, job.output, job.reasons] for job in planned_jobs()]
    return [code, stdout.getvalue(), stderr.getvalue(), jobs]


def main() -> None:
    """Answer requests, one line each, until the input ends."""
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli
    import snakemake.workflow  # noqa: F401
    import yaml  # noqa: F401

    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with tempfile.TemporaryDirectory() as tempfile.tempdir:  # Snakemake's stay otherwise
                try:
                    answer = _do(*json.loads(line))
                except BaseException:
                    answer = [-1, "", traceback.format_exc(), []]
            with os.fdopen(writer, "w") as stream:
                json.dump(answer, stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            text = stream.read()
        os.waitpid(child, 0)
        print(text, flush=True)


if __name__ == "__main__":
    main()
