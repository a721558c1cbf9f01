"""Measure what a re-run costs when its first stage produces the same content as before.

Ours: the workflow as it is; jobs downstream restore their outputs. Peer: the same workflow without
that (RESTEM_RECOMPUTE=1), so that every job downstream computes again, as plain Snakemake does.
Both run the same study in the same folder after the same edit, in turn.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 3
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


def run(tree: Path, **environment: str) -> float:
    """Run the study; return its wall seconds."""
    path = f"{BIN}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(tree / "src"), **environment}
    command = [str(BIN / "snakemake"), "--configfile", "bench.yaml", "--cores", "2"]
    started = time.monotonic()
    subprocess.run(
        [*command, "--quiet", "all"], cwd=tree, env=variables, check=True, capture_output=True
    )
    return time.monotonic() - started


def edit_a_stage(tree: Path, text: str) -> None:
    """Edit the code of the verification stage without changing its output."""
    path = tree / "src/restem/stages/rewards.py"
    path.write_text(path.read_text() + f"\n\n_UNUSED = {text!r}\n")


def main() -> None:
    """Print the time of every run, and one line with the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in NEEDED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, tree / name)
        (tree / "bench.yaml").write_text(STUDY)
        print(f"first run: {run(tree):.1f} s", flush=True)
        ours, peer = [], []
        for number in range(ROUNDS):
            edit_a_stage(tree, f"ours {number}")
            ours.append(run(tree))
            edit_a_stage(tree, f"peer {number}")
            peer.append(run(tree, RESTEM_RECOMPUTE="1"))
            print(f"round {number}: ours {ours[-1]:.1f} s, peer {peer[-1]:.1f} s", flush=True)
        print(f"unchanged study: {run(tree):.1f} s", flush=True)
    ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
    figures = f"ours={statistics.median(ours):.1f}s peer={statistics.median(peer):.1f}s"
    spread = f"min={min(ratios):.2f} max={max(ratios):.2f}"
    print(f"bench plan: ratio={statistics.median(ratios):.2f} {spread} {figures}")


if __name__ == "__main__":
    main()
