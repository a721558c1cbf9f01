"""Random faults over a study on the virtual SLURM: how many runs end in the wrong state?

    python -P benchmarks/faults.py 25                    # as root, over the tests' tiny study
    python -P benchmarks/faults.py 25 config/demo.yaml   # over the demo, with more to lose

Faults hit running jobs: each one of tests/cluster/faults.py, drawn at random with a stated seed, up
to nine a study. Whatever happens, the same command is given again (with `snakemake --unlock` after
a killed run) until it succeeds. Counts studies that end in other contents than a run on one
machine, and draws that were lost or doubled.
"""

import importlib.util
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from restem.artifacts import content_of
from restem.tables import read_rows

TESTS = Path(__file__).parents[1] / "tests"
SEED = 20261121
TRIES = 6
FAULTS_A_STUDY = 9
PROFILE = ["--profile", "slurm", "--jobs", "3", "--latency-wait", "5"]
PROFILE += ["--restem-slurm-init-seconds-before-status-checks", "2"]


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
    return {str(f.relative_to(tree.results)): content_of(f) for f in kept}


def wrong_draws(tree: Any) -> int:
    """Count draws of finished tables that stand twice."""
    wrong = 0
    for path in tree.results.rglob("samples/*.parquet"):
        if ".restem" not in path.parts:
            draws = [(row["problem_id"], row["draw"]) for row in read_rows(path, "samples")]
            wrong += len(draws) - len(set(draws))
    return wrong


def study(tree: Any, cluster: Any, faults: Any, chance: random.Random, left: int) -> int:
    """Run the study to its end; return how many faults it suffered."""
    suffered = 0
    for _ in range(TRIES + left):
        process = tree.start(*PROFILE)
        while process.poll() is None and suffered < left:
            time.sleep(chance.uniform(0, 20))
            if process.poll() is not None:
                break
            try:
                job = faults.running(cluster, process)
            except AssertionError:
                break
            fault = chance.choice(faults.FAULTS)
            suffered += 1
            print(f"  fault {suffered}: {fault.__name__}, job {job}", flush=True)
            fault(cluster, job, process)
            faults.heal(cluster)
        code = process.wait()
        if code == 0:
            return suffered
        if code < 0:
            tree.snakemake("--unlock")
    raise SystemExit("the study did not end: a wait without end, or a fault that stays")


def copied(planted: Any, to: Path, config: Path | None) -> Any:
    """Return a copy of the planted tree, with a configuration's study where one is given."""
    tree = planted.copy(to)
    if config:
        text = config.read_text()
        (tree.root / "study.yaml").write_text(text)
        tree.results = tree.root / "results" / yaml.safe_load(text)["study"]
    return tree


def main(count: int, config: Path | None = None) -> None:
    """Print how many final states were wrong."""
    trees = module("workflow_trees", TESTS / "workflow" / "conftest.py")
    cluster_module = module("virtual_cluster", TESTS / "cluster" / "cluster.py")
    faults = module("virtual_faults", TESTS / "cluster" / "faults.py")
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        planted = trees.plant(Path(folder) / "planted")
        reference = copied(planted, Path(folder) / "reference", config)
        if reference.start("--cores", "2").wait():
            sys.exit((reference.root / "started.log").read_text())
        cluster = cluster_module.Cluster(Path(folder) / "slurm")
        cluster.up()
        os.environ.update(cluster.environment)
        suffered = wrong = doubled = 0
        try:
            while suffered < count:
                tree = copied(planted, Path(folder) / "tree", config)
                left = min(count - suffered, FAULTS_A_STUDY)
                suffered += study(tree, cluster, faults, chance, left)
                wrong += contents(tree) != contents(reference)
                doubled += wrong_draws(tree)
                shutil.rmtree(tree.root)
                print(f"{suffered} faults: {wrong} wrong final states, {doubled} wrong draws")
        finally:
            cluster.down()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25, *map(Path, sys.argv[2:3]))
