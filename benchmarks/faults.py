"""Random faults over a study on the virtual SLURM: how many runs end in the wrong state?

    python -P benchmarks/faults.py 25                            # as root, the tests' tiny study
    python -P benchmarks/faults.py 25 config/demo.yaml           # the demo, with more to lose
    python -P benchmarks/faults.py 25 config/demo.yaml --image   # its jobs in the CPU image

Faults hit running jobs: each one of tests/cluster/faults.py, drawn at random with a stated seed, up
to nine a study and spread over it. Besides, the jobs of one random rule a study get too little
memory at first. Whatever happens, the same command is given again (with `snakemake --unlock` after
a killed run) until it succeeds. Counts studies that end in other contents than a run on one
machine without images, and draws that were lost or doubled.
"""

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from restem.artifacts.store import artifact_digest
from restem.artifacts.tables import read_rows
from restem.deployment.images import Image, verified

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
SEED = 20261121
TRIES = 6
FAULTS_A_STUDY = 9
DISK = "200m"  # of results, which a fault fills
PROFILE = ["--profile", "slurm", "--jobs", "3", "--latency-wait", "5"]
PROFILE += ["--restem-slurm-init-seconds-before-status-checks", "2"]
IN_IMAGE = ["--software-deployment-method", "apptainer", "--config", "images={torch: cpu}"]
STARVED = ("make_base", "draw_samples", "select_examples", "make_policy", "summarise_metrics")


def module(name: str, path: Path) -> Any:
    """Load a module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def contents(tree: Any) -> dict[str, str]:
    """Return the content of every artifact, and of the tables and figures that people read.

    MLflow's own copies are left out: they lie below the random names of its runs.
    """
    kinds = ("*.parquet", "policy.json", "table.md", "table.csv", "*.svg", "*.pdf", "*.png")
    files = (f for kind in kinds for f in tree.results.rglob(kind))
    kept = (f for f in files if not {".restem", "tracking"} & set(f.parts))
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in kept}


def wrong_draws(tree: Any) -> int:
    """Count draws of finished tables that stand twice."""
    wrong = 0
    for path in tree.results.rglob("samples/*.parquet"):
        if ".restem" not in path.parts:
            draws = [(row["problem_id"], row["draw"]) for row in read_rows(path, "samples")]
            wrong += len(draws) - len(set(draws))
    return wrong


class Faults:
    """Draw faults and do them to a study that runs."""

    def __init__(self, cluster: Any, kinds: Any, pause: float, options: list[str]) -> None:
        """Take the mean seconds between two faults, and the command line's further options."""
        self.cluster, self.kinds, self.pause, self.options = cluster, kinds, pause, options
        self.chance = random.Random(SEED)
        unfit = () if options else (kinds.take_the_image_away,)
        self.known = [fault for fault in kinds.FAULTS if fault not in unfit]

    def study(self, tree: Any, most: int) -> int:
        """Run the study to its end; return how many faults it suffered."""
        suffered = 0
        starved = self.chance.choice(STARVED)
        little = ["--set-resources", f"{starved}:mem_mb=60 * 40 ** (attempt > 1)"]
        print(f"  little memory at first: {starved}", flush=True)
        for _ in range(TRIES + most):
            process = tree.start(*PROFILE, *self.options, *little)
            while process.poll() is None and suffered < most:
                suffered += self._one(process)
            code = process.wait()
            if code == 0:
                return suffered
            if code < 0:
                tree.snakemake("--unlock")
        raise SystemExit("the study did not end: a wait without end, or a fault that stays")

    def _one(self, process: Any) -> bool:
        """Do one fault, unless the run ends before; tell whether it was done."""
        time.sleep(self.chance.uniform(0, 2 * self.pause))
        try:
            job = self.kinds.running(self.cluster, process)
        except AssertionError:
            return False
        fault = self.chance.choice(self.known)
        print(f"  {fault.__name__}: {self.what(job)}", flush=True)
        fault(self.cluster, job, process)
        self.kinds.heal(self.cluster)
        return True

    def what(self, job: str) -> str:
        """Return what a job was submitted for."""
        return str(self.cluster.client("squeue", "-h", "-j", job, "-o", "job %A, %k"))


@contextmanager
def copied(planted: Any, to: Path, config: Path | None) -> Iterator[Any]:
    """Make a copy of the planted tree, with a configuration's study where one is given."""
    tree = planted.copy(to)
    if config:
        text = config.read_text()
        (tree.root / "study.yaml").write_text(text)
        tree.results = tree.root / "results" / yaml.safe_load(text)["study"]
    disk = tree.root / "results"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(disk)], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(tree.root)


def expected(planted: Any, folder: Path, config: Path | None) -> tuple[dict[str, str], float]:
    """Run the study on one machine; return its contents, and the seconds it took."""
    with copied(planted, folder / "reference", config) as tree:
        began = time.monotonic()
        if tree.start("--cores", "2").wait():
            sys.exit((tree.root / "started.log").read_text())
        return contents(tree), time.monotonic() - began


def main(count: int, config: Path | None, image: bool) -> None:
    """Print how many final states were wrong."""
    trees = module("workflow_trees", TESTS / "workflow" / "conftest.py")
    virtual = module("virtual_cluster", TESTS / "cluster" / "cluster.py")
    kinds = module("virtual_faults", TESTS / "cluster" / "faults.py")
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        planted = trees.plant(Path(folder) / "planted")
        if image:
            cpu = Image("cpu", ROOT)
            verified(cpu)
            shutil.copy2(cpu.path, planted.root / "containers")
        right, seconds = expected(planted, Path(folder), config)
        print(f"on one machine: {seconds:.0f} s, {len(right)} artifacts", flush=True)
        cluster = virtual.Cluster(Path(folder) / "slurm")
        cluster.up()
        os.environ.update(cluster.environment)
        faults = Faults(cluster, kinds, seconds / FAULTS_A_STUDY, IN_IMAGE if image else [])
        suffered = wrong = doubled = 0
        try:
            while suffered < count:
                with copied(planted, Path(folder) / "tree", config) as tree:
                    suffered += faults.study(tree, min(count - suffered, FAULTS_A_STUDY))
                    found = contents(tree)
                    doubled += wrong_draws(tree)
                other = sorted(k for k in right | found if right.get(k) != found.get(k))
                wrong += bool(other)
                for name in other:
                    print(f"  another content: {name}")
                print(f"{suffered} faults: {wrong} wrong final states, {doubled} wrong draws")
        finally:
            cluster.down()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=25)
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--image", action="store_true")
    main(**vars(parser.parse_args()))
