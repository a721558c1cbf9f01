"""What SLURM adds, and what the image adds: a study on one machine, through SLURM, and contained.

    restem images build cpu                                   # once
    python -P benchmarks/cluster.py [config/demo.yaml]        # as root

All three run two jobs at a time on this machine; the second and the third through the profile on
the virtual SLURM, the third in the CPU image. For the runs through SLURM it says where a job's time
goes: SLURM starts it, Snakemake starts again inside it, the command works, the run notices that it
has ended (the plugin asks every so many seconds), and what it freed is submitted. Groups, which run
several commands, are left out of that. SLURM tells times in whole seconds, so that only means and
sums mean something. Tables and figures must be the same.
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
ASK_EVERY = 2  # seconds; the plugin's default is 40
LOCAL = ["--cores", "2"]
SLURM = ["--profile", "profiles/slurm", "--jobs", "2", "--latency-wait", "5"]
SLURM += ["--restem-slurm-init-seconds-before-status-checks", str(ASK_EVERY)]
IN_IMAGE = ["--software-deployment-method", "apptainer", "--config", "images={torch: cpu}"]
ANY_SUBMITTED = "has been submitted with SLURM jobid"
SUBMITTED = re.compile(rf"Job (\d+) {ANY_SUBMITTED} (\d+)")  # no group: its name is no number
ENDED = re.compile(r"Finished jobid: (\d+)")
IN_AN_IMAGE = "Activating singularity image"
GROUPED = ("rewards", "metrics")
MADE_BY_LOCAL_RULES = ("problems", "figures", "tracking", "table", "costs", "paper", "index")


def virtual_cluster(folder: Path) -> Any:
    """Return the virtual SLURM of the tests."""
    path = ROOT / "tests/cluster/cluster.py"
    spec = importlib.util.spec_from_file_location("virtual_cluster", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cluster(folder)


def planted(tree: Path, image: Image) -> Path:
    """Return a new folder with what a clone has, and the image."""
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
    """Yield the seconds of every command that was a submitted job of its own."""
    others = {*MADE_BY_LOCAL_RULES, *GROUPED}
    for path in results.rglob("*.tsv"):
        if not {path.parent.name, path.stem} & others:
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
    """Return the mean seconds that a job spends on each part of its way, and how many jobs."""
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
    seconds = list(commands(results))
    assert len(seconds) == len(jobs), f"{len(seconds)} commands in {len(jobs)} jobs"
    inside = statistics.fmean(end - start for _, start, end in jobs.values())
    working = statistics.fmean(seconds)
    return {
        "a place is free until the job is submitted": statistics.fmean(reactions[1:]),
        "submitted until SLURM starts it": statistics.fmean(s - v for v, s, _ in jobs.values()),
        "inside the job, before and after the command": inside - working,
        "the command": working,
        f"ended until the run notices, asking every {ASK_EVERY} s": statistics.fmean(
            noticed[name] - times[number[name]][2] for name in number
        ),
    }, len(jobs)


def through_slurm(
    tree: Path, study: str, cluster: Any, options: list[str]
) -> tuple[float, dict[str, bytes]]:
    """Run the study through the profile, print where its time went; return seconds and results."""
    seconds, lines = run(tree, study, [*SLURM, *options])
    parts, jobs = where_it_went(lines, clock(cluster), tree / "results")
    logs = list((tree / ".snakemake/slurm_logs").rglob("*.log"))
    inside = {IN_AN_IMAGE in log.read_text() for log in logs}
    where = (
        "in an image" if inside == {True} else "without image" if True not in inside else "mixed"
    )
    submitted = sum(ANY_SUBMITTED in line for _, line in lines)
    print(f"through SLURM: {seconds:.0f} s, {submitted} jobs, {where}")
    print(f"mean seconds of the {jobs} that are no groups:")
    for part, mean in parts.items():
        print(f"  {mean:6.2f}  {part}", flush=True)
    return seconds, people_read(tree)


def main(study: str) -> None:
    """Print where the time goes, and one line for each run through SLURM with its ratio."""
    image = Image("cpu", ROOT)
    verified(image)
    with tempfile.TemporaryDirectory(prefix="restem-") as name:
        folder = Path(name)
        local = planted(folder / "local", image)
        alone, _ = run(local, study, LOCAL)
        print(f"on one machine: {alone:.0f} s", flush=True)
        expected = people_read(local)
        cluster = virtual_cluster(folder / "c")
        cluster.up()
        os.environ.update(cluster.environment)
        try:
            for name, options in (("slurm", []), ("image", IN_IMAGE)):
                tree = planted(folder / name, image)
                seconds, found = through_slurm(tree, study, cluster, options)
                other = sorted(p for p in expected | found if expected.get(p) != found.get(p))
                if other or not found:
                    sys.exit(f"tables or figures are other ones: {', '.join(other) or 'none made'}")
                ratio = f"ratio={seconds / alone:.2f}"
                print(f"the same bytes in {len(found)} tables and figures")
                print(f"bench cluster {name}: {ratio} ours={seconds:.0f}s peer={alone:.0f}s")
        finally:
            cluster.down()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "config/demo.yaml")
