"""Plan runs of many trees quickly: a process that has imported Snakemake forks for each plan.

The code of restem is imported after the fork, because each tree has its own.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


class PlanServer:
    """A process that plans; `plan` gives the jobs as rule, output and reasons."""

    def __init__(self, environment: dict[str, str]) -> None:
        kept = {k: v for k, v in environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=kept,
        )

    def plan(self, root: Path, *arguments: str) -> set[tuple[str, str, tuple[str, ...]]]:
        """Return the jobs that `snakemake -n` in a tree would run, and what is stale of each."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(root), *arguments]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "jobs" in answer, answer["error"]
        return {(job["rule"], job["output"], tuple(job["reasons"])) for job in answer["jobs"]}

    def close(self) -> None:
        """End the process."""
        self._process.communicate()  # closes both pipes, and waits


def _plan(root: str, arguments: list[str]) -> dict[str, Any]:
    os.chdir(root)
    sys.path.insert(0, f"{root}/src")
    for name in [name for name in sys.modules if name.split(".")[0] == "restem"]:
        del sys.modules[name]  # the SLURM plugin has imported the code of the working tree
    from snakemake import cli

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            cli.main([*arguments, "--dry-run", "--quiet", "all"])
        except SystemExit as end:
            if end.code:
                return {"error": printed.getvalue()[-4000:]}
    from restem.tools.dry_run import planned_jobs

    return {"jobs": [vars(job) for job in planned_jobs()]}


def main() -> None:
    """Answer requests, one line each, until the input ends."""
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli
    import snakemake.workflow  # noqa: F401
    import yaml  # noqa: F401

    for line in sys.stdin:
        root, *arguments = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                answer = _plan(root, arguments)
            except BaseException:
                answer = {"error": traceback.format_exc()[-4000:]}
            with os.fdopen(writer, "w") as stream:
                json.dump(answer, stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            text = stream.read()
        os.waitpid(child, 0)
        print(text.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
