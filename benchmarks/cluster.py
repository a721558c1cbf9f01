"""What SLURM adds: a study on one machine, and the same through the profile on the virtual SLURM.

    python -P benchmarks/cluster.py [config/demo.yaml]        # as root

Both run two jobs at a time on this machine. For the run through SLURM it says where a job's time
goes: SLURM starts it, Snakemake starts again inside it, the command works, the run notices that it
has ended (the plugin asks every so many seconds), and what it freed is submitted. SLURM tells times
in whole seconds, so that only means and sums mean something. Tables and figures must be the same.
"""

import csv
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NEEDED = ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src")
ASK_EVERY = 2  # seconds; the plugin's default is 40
LOCAL = ["--cores", "2"]
SLURM = ["--profile", "profiles/slurm", "--jobs", "2", "--latency-wait", "5"]
SLURM += ["--restem-slurm-init-seconds-before-status-checks", str(ASK_EVERY)]
SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\d+)")
ENDED = re.compile(r"Finished jobid: (\d+)")
MADE_BY_LOCAL_RULES = ("problems", "figures", "tracking", "table")


def virtual_cluster(folder: Path) -> Any:
    """Return the virtual SLURM of the tests."""
    path = ROOT / "tests/cluster/cluster.py"
    spec = importlib.util.spec_from_file_location("virtual_cluster", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cluster(folder)


def run(tree: Path, study: str, arguments: list[str]) -> tuple[float, list[tuple[float, str]]]:
    """Run the study; return its wall seconds, and every line with the time it was printed at."""
    path = f"{BIN}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(tree / "src")}
    command = [str(BIN / "snakemake"), "--configfile", study, *arguments]
    began = time.time()
    with subprocess.Popen(
        command,
        cwd=tree,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [(time.time(), line) for line in process.stdout]
    if process.returncode:
        sys.exit("".join(line for _, line in lines[-60:]))
    return time.time() - began, lines


def clock(cluster: Any) -> dict[str, tuple[int, int, int]]:
    """Return when each job of the cluster was submitted, started and ended, in whole seconds."""
    os.environ["SLURM_TIME_FORMAT"] = "%s"
    told = cluster.client("squeue", "-h", "--states=all", "-o", "%A %V %S %e").splitlines()
    return {job: (int(a), int(b), int(c)) for job, a, b, c in map(str.split, told)}


def commands(results: Path) -> Iterator[float]:
    """Yield the seconds of every command that a submitted job ran."""
    for path in results.rglob("*.tsv"):
        if path.parent.name not in MADE_BY_LOCAL_RULES and path.stem not in MADE_BY_LOCAL_RULES:
            with path.open() as stream:
                yield float(next(csv.DictReader(stream, delimiter="\t"))["s"])


def people_read(tree: Path) -> dict[str, bytes]:
    """Return the bytes of every table and figure of a study; MLflow names its copies at random."""
    kinds = ("table.md", "*.svg", "*.pdf", "*.png")
    files = (path for kind in kinds for path in (tree / "results").rglob(kind))
    shown = (path for path in files if "tracking" not in path.parts)
    return {str(path.relative_to(tree)): path.read_bytes() for path in shown}


def where_it_went(
    lines: list[tuple[float, str]], times: dict[str, tuple[int, int, int]], results: Path
) -> tuple[dict[str, float], int]:
    """Return the mean seconds that a submitted job spends on each part of its way."""
    number, noticed, reactions = {}, {}, []
    free_since = lines[0][0]
    for at, line in lines:
        if found := SUBMITTED.search(line):
            number[found[1]] = found[2]
            reactions.append(at - free_since)
            free_since = at
        elif found := ENDED.search(line):
            noticed[found[1]] = free_since = at
    jobs = {name: times[number[name]] for name in number}
    inside = sum(end - start for _, start, end in jobs.values())
    return {
        "a place is free until the job is submitted": statistics.fmean(reactions[1:]),
        "submitted until SLURM starts it": statistics.fmean(s - v for v, s, _ in jobs.values()),
        "inside the job, before and after the command": (inside - sum(commands(results)))
        / len(jobs),
        "the command": sum(commands(results)) / len(jobs),
        f"ended until the run notices, asking every {ASK_EVERY} s": statistics.fmean(
            noticed[name] - times[number[name]][2] for name in number
        ),
    }, len(jobs)


def main(study: str) -> None:
    """Print where the time goes, and one line with the ratio."""
    with tempfile.TemporaryDirectory(prefix="restem-") as name:
        folder = Path(name)
        for tree in ("local", "slurm"):
            (folder / tree).mkdir()
            for part in NEEDED:
                copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
                copy(ROOT / part, folder / tree / part)
        alone, _ = run(folder / "local", study, LOCAL)
        print(f"on one machine: {alone:.0f} s", flush=True)
        cluster = virtual_cluster(folder / "c")
        cluster.up()
        os.environ.update(cluster.environment)
        try:
            through, lines = run(folder / "slurm", study, SLURM)
            parts, jobs = where_it_went(lines, clock(cluster), folder / "slurm/results")
            same = people_read(folder / "local") == people_read(folder / "slurm") != {}
        finally:
            cluster.down()
    if not same:
        sys.exit("through SLURM the study's tables or figures are other ones")
    print(f"through SLURM: {through:.0f} s, {jobs} jobs; a job's mean seconds:")
    for part, seconds in parts.items():
        print(f"  {seconds:6.2f}  {part}")
    print(
        f"bench cluster: ratio={through / alone:.2f} min={through / alone:.2f} "
        f"max={through / alone:.2f} ours={through:.0f}s peer={alone:.0f}s"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "config/demo.yaml")
