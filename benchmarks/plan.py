"""Measure what a re-run costs when its first stage produces the same content as before.

    python -P benchmarks/plan.py            # two jobs at a time on this machine
    python -P benchmarks/plan.py --slurm    # on the virtual SLURM of the tests, as root

Ours: the workflow as it is; what a seal can settle is settled without a job. Peer: the same
workflow without that (RESTEM_RECOMPUTE=1), so that every job downstream computes again, as plain
Snakemake does. Both run the same study in the same folder after the same edit, in turn. On SLURM
the jobs that were submitted are counted.
"""

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 3
SUBMITTED = "has been submitted with SLURM jobid"
NEEDED = ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src")
STUDY = """
study: bench
tasks:
  chain:
    data: {source: {kind: embedded}, train: 60, validation: 20, test: 40, shots: 1}
models:
  S: {source: {kind: embedded, size: S}}
decodings:
  greedy: {draws: 1, temperature: 0, max_tokens: 64}
  explore: {draws: 8, temperature: 0.7, top_k: 40, max_tokens: 64}
variants:
  rest-em: {method: rest-em, task: chain, iterations: 2}
training: {learning_rate: 0.0004, epochs_max: 1, batch_size: 32}
evaluations: [{task: chain, split: test, decoding: greedy}]
figures: [accuracy_by_iteration]
metrics: {ks: [1]}
tracking: {enabled: false}
"""


LOCAL = ["--cores", "2"]
SLURM = ["--profile", "profiles/slurm-without-containers", "--jobs", "4", "--latency-wait", "5"]
SLURM += ["--restem-slurm-init-seconds-before-status-checks", "2"]


def virtual_cluster(folder: Path) -> Any:
    """Return the virtual SLURM of the tests."""
    path = ROOT / "tests/cluster/cluster.py"
    spec = importlib.util.spec_from_file_location("virtual_cluster", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cluster(folder)


def run(tree: Path, arguments: list[str], **environment: str) -> tuple[float, int]:
    """Run the study; return its wall seconds, and the number of jobs that were submitted."""
    path = f"{BIN}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(tree / "src"), **environment}
    command = [str(BIN / "snakemake"), "--configfile", "bench.yaml", *arguments]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=tree,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout[-4000:])
    return time.monotonic() - started, done.stdout.count(SUBMITTED)


def edit_a_stage(tree: Path, text: str) -> None:
    """Edit the code of the verification stage without changing its output."""
    path = tree / "src/restem/stages/rewards.py"
    path.write_text(path.read_text() + f"\n\n_UNUSED = {text!r}\n")


def compare(tree: Path, arguments: list[str]) -> None:
    """Print the time and the jobs of every run, and one line with the ratio."""
    print(f"first run: {run(tree, arguments)[0]:.1f} s", flush=True)
    ours, peer = [], []
    for number in range(ROUNDS):
        edit_a_stage(tree, f"ours {number}")
        ours.append(run(tree, arguments))
        edit_a_stage(tree, f"peer {number}")
        peer.append(run(tree, arguments, RESTEM_RECOMPUTE="1"))
        texts = [f"{seconds:.1f} s, {jobs} jobs" for seconds, jobs in (ours[-1], peer[-1])]
        print(f"round {number}: ours {texts[0]}; peer {texts[1]} submitted", flush=True)
    print(f"unchanged study: {run(tree, arguments)[0]:.1f} s", flush=True)
    ratios = [theirs[0] / own[0] for own, theirs in zip(ours, peer, strict=True)]
    medians = [statistics.median(seconds for seconds, _ in side) for side in (ours, peer)]
    figures = f"ours={medians[0]:.1f}s peer={medians[1]:.1f}s"
    spread = f"min={min(ratios):.2f} max={max(ratios):.2f}"
    print(f"bench plan: ratio={statistics.median(ratios):.2f} {spread} {figures}")


def main() -> None:
    """Run the study on this machine or on the virtual SLURM."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for name in NEEDED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, tree / name)
        (tree / "bench.yaml").write_text(STUDY)
        if "--slurm" not in sys.argv[1:]:
            compare(tree, LOCAL)
            return
        short = Path(tempfile.mkdtemp(prefix="restem-"))  # the names of sockets have to be short
        cluster = virtual_cluster(short)
        cluster.up()
        try:
            os.environ |= cluster.environment
            compare(tree, SLURM)
        finally:
            cluster.down()
            shutil.rmtree(short)


if __name__ == "__main__":
    main()
