"""Count the wrong results that random faults cause in studies on the virtual SLURM of the tests.

    python -P benchmarks/faults.py 25                            # as root, the tests' tiny study
    python -P benchmarks/faults.py 25 config/demo.yaml           # the demo, with more to lose
    python -P benchmarks/faults.py 25 config/demo.yaml --image   # its jobs in the CPU image

Up to nine faults, spread over its runtime, hit the running jobs of each study. They are chosen
from tests/cluster/faults.py at random, with a fixed seed. In each study the jobs of one random rule
also get too little memory at first. After a failure the same command is given again, with
`snakemake --unlock` after a killed run, until it succeeds. Counted are the studies whose artifacts
differ in content from those of an undisturbed run on one machine, and duplicate draws.
"""

import argparse
import importlib
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

from restem.artifacts.files import artifact_digest
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import read_rows
from restem.deployment.images import Image, verified

ROOT = Path(__file__).parents[1]
SEED = 20261121
TRIES = 6
FAULTS_A_STUDY = 9
DISK = "200m"  # size of the disk for results, which one of the faults fills
PROFILE = ["--profile", "profiles/slurm-without-containers", "--jobs", "3", "--latency-wait", "5"]
PROFILE += ["--restem-slurm-init-seconds-before-status-checks", "2"]
IN_IMAGE = ["--software-deployment-method", "apptainer", "--config", "images={torch: cpu}"]
STARVED = ("make_base", "draw_samples", "select_examples", "make_policy", "summarise_metrics")


def contents(tree: Any) -> dict[str, str]:
    """Return the content digest of every artifact, table and figure.

    MLflow's copies are left out, because they lie in folders with random names, and costs, which
    state seconds.
    """
    kinds = ("*.parquet", "policy.json", "table.md", "table.csv", "*.svg", "*.pdf", "*.png")
    files = (f for kind in kinds for f in tree.results.rglob(kind))
    left_out = {".restem", "tracking", "costs.parquet", "ledger.parquet"}
    kept = (f for f in files if not left_out & set(f.parts))
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in kept}


def duplicate_draws(tree: Any) -> int:
    """Count the draws that a table of samples has twice."""
    duplicates = 0
    for path in tree.results.rglob("samples/*.parquet"):
        if ".restem" not in path.parts:
            draws = [(row["problem_id"], row["draw"]) for row in read_rows(path, SAMPLES)]
            duplicates += len(draws) - len(set(draws))
    return duplicates


class Faults:
    """Choose faults at random and inflict them on a running study."""

    def __init__(self, cluster: Any, kinds: Any, pause: float, options: list[str]) -> None:
        """Take the mean seconds between two faults, and further options of Snakemake."""
        self.cluster, self.kinds, self.pause, self.options = cluster, kinds, pause, options
        self.random = random.Random(SEED)
        unsuitable = () if options else (kinds.take_the_image_away,)
        self.faults = [fault for fault in kinds.FAULTS if fault not in unsuitable]

    def run_study(self, tree: Any, faults_max: int) -> int:
        """Run the study to its end; return the number of faults."""
        suffered = 0
        rule = self.random.choice(STARVED)
        memory = ["--set-resources", f"{rule}:mem_mb=60 * 40 ** (attempt > 1)"]
        print(f"  too little memory at first: {rule}", flush=True)
        for _ in range(TRIES + faults_max):
            process = tree.start(*PROFILE, *self.options, *memory)
            while process.poll() is None and suffered < faults_max:
                suffered += self._inflict(process)
            code = process.wait()
            if code == 0:
                return suffered
            if code < 0:
                tree.snakemake("--unlock")
        raise SystemExit("the study did not end: it waits forever, or a fault persists")

    def _inflict(self, process: Any) -> bool:
        """Inflict one fault, unless the run ends first; tell whether it was inflicted."""
        time.sleep(self.random.uniform(0, 2 * self.pause))
        try:
            job = self.kinds.running(self.cluster, process)
        except AssertionError:
            return False
        fault = self.random.choice(self.faults)
        print(f"  {fault.__name__}: {self._describe(job)}", flush=True)
        fault(self.cluster, job, process)
        self.kinds.heal(self.cluster)
        return True

    def _describe(self, job: str) -> str:
        """Return the number and the name of a job."""
        return str(self.cluster.client("squeue", "-h", "-j", job, "-o", "job %A, %j"))


@contextmanager
def copied(planted: Any, to: Path, config: Path | None) -> Iterator[Any]:
    """Copy the tree for the time of one run, with the study of a configuration if one is given."""
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
    """Print how many studies ended with wrong results."""
    sys.path.insert(0, str(ROOT))
    trees = importlib.import_module("tests.workflow.conftest")
    virtual = importlib.import_module("tests.cluster.cluster")
    kinds = importlib.import_module("tests.cluster.faults")
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        planted = trees.plant(Path(folder) / "planted")
        if image:
            cpu = Image("cpu", ROOT)
            verified(cpu)
            shutil.copy2(cpu.path, planted.root / "containers")
        correct, seconds = expected(planted, Path(folder), config)
        print(f"on one machine: {seconds:.0f} s, {len(correct)} artifacts", flush=True)
        cluster = virtual.Cluster(Path(folder) / "slurm")
        cluster.up()
        os.environ.update(cluster.environment)
        faults = Faults(cluster, kinds, seconds / FAULTS_A_STUDY, IN_IMAGE if image else [])
        suffered = wrong = duplicates = 0
        try:
            while suffered < count:
                with copied(planted, Path(folder) / "tree", config) as tree:
                    suffered += faults.run_study(tree, min(count - suffered, FAULTS_A_STUDY))
                    results = contents(tree)
                    duplicates += duplicate_draws(tree)
                paths = sorted(correct | results)
                differing = [path for path in paths if correct.get(path) != results.get(path)]
                wrong += bool(differing)
                for path in differing:
                    print(f"  different content: {path}")
                print(f"{suffered} faults: {wrong} wrong results, {duplicates} duplicate draws")
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
