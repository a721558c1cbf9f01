"""Measure what SLURM and a container image add to the runtime of a study.

    restem images build cpu                                   # once
    python -P benchmarks/cluster.py [config/demo.yaml]        # as root

The study runs three times, always two jobs at a time on this machine: locally, on the virtual SLURM
of the tests, and there in the CPU image. Tables and figures must be the same bytes.

For runs on SLURM the time of a job is split into parts: until it is submitted, until SLURM starts
it, until Snakemake has started inside it, the command itself, and until the run notices its end
(the plugin queries SLURM at intervals). Groups run several commands and are left out. SLURM reports
whole seconds, so only means and sums are meaningful.
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

from restem.deployment.images import Image, verified

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NEEDED = ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src")
SECONDS_BETWEEN_QUERIES = 2  # the plugin's default is 40
LOCAL = ["--cores", "2"]
SLURM = ["--profile", "profiles/slurm-without-containers", "--jobs", "2", "--latency-wait", "5"]
SLURM += ["--restem-slurm-init-seconds-before-status-checks", str(SECONDS_BETWEEN_QUERIES)]
IN_IMAGE = ["--software-deployment-method", "apptainer", "--config", "images={torch: cpu}"]
ANY_SUBMITTED = "has been submitted with SLURM jobid"
SUBMITTED = re.compile(rf"^(?!checked:)(\S+) {ANY_SUBMITTED} (\d+)")  # not of groups
ENDED = re.compile(r"^Finished (\S+)")
IN_AN_IMAGE = "Activating singularity image"
GROUPED = ("rewards", "metrics")
MADE_BY_LOCAL_RULES = ("problems", "figures", "tracking", "table", "costs", "sheet")


def virtual_cluster(folder: Path) -> Any:
    """Return the virtual SLURM of the tests."""
    path = ROOT / "tests/cluster/cluster.py"
    spec = importlib.util.spec_from_file_location("virtual_cluster", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cluster(folder)


def copy_clone(tree: Path, image: Image) -> Path:
    """Copy the files of the clone and the image to a new folder; return the folder."""
    tree.mkdir()
    for part in NEEDED:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("*.sif", ".build-*")
            shutil.copytree(ROOT / part, tree / part, ignore=ignored)
        else:
            shutil.copy2(ROOT / part, tree / part)
    shutil.copy2(image.path, tree / "containers")
    return tree


def run(tree: Path, study: str, arguments: list[str]) -> tuple[float, list[tuple[float, str]]]:
    """Run the study; return its wall seconds, and every printed line with its time."""
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


def job_times(cluster: Any) -> dict[str, tuple[int, int, int]]:
    """Return when each job was submitted, started and ended, in whole seconds."""
    os.environ["SLURM_TIME_FORMAT"] = "%s"
    lines = cluster.client("squeue", "-h", "--states=all", "-o", "%A %V %S %e").splitlines()
    return {job: (int(a), int(b), int(c)) for job, a, b, c in map(str.split, lines)}


def command_seconds(results: Path) -> Iterator[float]:
    """Yield the seconds of every command that was submitted as one job."""
    not_submitted = {*MADE_BY_LOCAL_RULES, *GROUPED}
    for path in results.rglob("*.tsv"):
        if not {path.parent.name, path.stem} & not_submitted:
            with path.open() as stream:
                yield float(next(csv.DictReader(stream, delimiter="\t"))["s"])


def tables_and_figures(tree: Path) -> dict[str, bytes]:
    """Return the bytes of every table and figure; MLflow's copies have random names."""
    kinds = ("table.md", "*.svg", "*.pdf", "*.png")
    files = (path for kind in kinds for path in (tree / "results").rglob(kind))
    kept = (path for path in files if "tracking" not in path.parts)
    return {str(path.relative_to(tree)): path.read_bytes() for path in kept}


def mean_parts(
    lines: list[tuple[float, str]], times: dict[str, tuple[int, int, int]], results: Path
) -> tuple[dict[str, float], int]:
    """Return the mean seconds of each part of a job's time, and the number of jobs."""
    numbers, noticed, until_submitted = {}, {}, []
    free_since = lines[0][0]
    for at, line in lines:
        if match := SUBMITTED.search(line):
            numbers[match[1]] = match[2]
            until_submitted.append(at - free_since)
            free_since = at
        elif match := ENDED.search(line):
            noticed[match[1]] = free_since = at
    jobs = {name: times[number] for name, number in numbers.items()}
    seconds = list(command_seconds(results))
    assert len(seconds) == len(jobs), f"{len(seconds)} commands in {len(jobs)} jobs"
    inside = statistics.fmean(end - start for _, start, end in jobs.values())
    working = statistics.fmean(seconds)
    unnoticed = statistics.fmean(noticed[name] - end for name, (_, _, end) in jobs.items())
    return {
        "from a free slot to the submission": statistics.fmean(until_submitted[1:]),
        "from the submission to the start": statistics.fmean(s - v for v, s, _ in jobs.values()),
        "inside the job, before and after the command": inside - working,
        "the command": working,
        f"until the run notices the end, querying every {SECONDS_BETWEEN_QUERIES} s": unnoticed,
    }, len(jobs)


def run_on_slurm(
    tree: Path, study: str, cluster: Any, options: list[str]
) -> tuple[float, dict[str, bytes]]:
    """Run the study on SLURM and print the parts of its time; return seconds and results."""
    seconds, lines = run(tree, study, [*SLURM, *options])
    parts, jobs = mean_parts(lines, job_times(cluster), tree / "results")
    logs = list((tree / ".snakemake/slurm_logs").rglob("*.log"))
    inside = {IN_AN_IMAGE in log.read_text() for log in logs}
    where = (
        "in an image" if inside == {True} else "without image" if True not in inside else "mixed"
    )
    submitted = sum(ANY_SUBMITTED in line for _, line in lines)
    print(f"on SLURM: {seconds:.0f} s, {submitted} jobs, {where}")
    print(f"mean seconds of the {jobs} jobs that are not groups:")
    for part, mean in parts.items():
        print(f"  {mean:6.2f}  {part}", flush=True)
    return seconds, tables_and_figures(tree)


def main(study: str) -> None:
    """Print the parts of the time, and one line with the ratio for each run on SLURM."""
    image = Image("cpu", ROOT)
    verified(image)
    with tempfile.TemporaryDirectory(prefix="restem-") as name:
        folder = Path(name)
        local = copy_clone(folder / "local", image)
        alone, _ = run(local, study, LOCAL)
        print(f"on one machine: {alone:.0f} s", flush=True)
        expected = tables_and_figures(local)
        cluster = virtual_cluster(folder / "c")
        cluster.up()
        os.environ.update(cluster.environment)
        try:
            for name, options in (("slurm", []), ("image", IN_IMAGE)):
                tree = copy_clone(folder / name, image)
                seconds, results = run_on_slurm(tree, study, cluster, options)
                names = expected | results
                differing = sorted(p for p in names if expected.get(p) != results.get(p))
                if differing or not results:
                    sys.exit(f"different tables or figures: {', '.join(differing) or 'none made'}")
                ratio = f"ratio={seconds / alone:.2f}"
                print(f"the same bytes in {len(results)} tables and figures")
                print(f"bench cluster {name}: {ratio} ours={seconds:.0f}s peer={alone:.0f}s")
        finally:
            cluster.down()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "config/demo.yaml")
