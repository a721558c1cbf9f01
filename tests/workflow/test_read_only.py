"""Planning and looking write nothing, and work where nothing can be written."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.workflow

POLICY = "results/tiny/chain/T/sft-terse/seed-0/iter-1/policy.json"
STUDY = ("--configfile", "study.yaml")

LOOKING: dict[str, list[str]] = {
    "snakemake -n": ["snakemake", "-n", *STUDY],
    "snakemake -n of everything": ["snakemake", "-n", "-F", *STUDY],
    "snakemake -n on SLURM": ["snakemake", "-n", "--profile", "slurm", *STUDY],
    "restem plan": ["restem", "plan", *STUDY],
    "restem show": ["restem", "show", POLICY],
    "restem browse": ["restem", "browse", "results/tiny", "--decoding", "greedy"],
    "restem compare": ["restem", "compare", "results/tiny", "results/tiny"],
    "restem forecast": ["restem", "forecast", "--parameters", "T=1e5", *STUDY],
    "restem prune": ["restem", "prune", *STUDY],
}


def state(root: Path) -> dict[str, Any]:
    """Return content, times, modes and number of links of everything in a tree."""
    entries = {}
    for path in [root, *sorted(root.rglob("*"))]:
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        entries[str(path)] = (content, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode)
    return entries


def run(tree: Any, command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=tree.root, env=tree.environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale"])
def test_looking_writes_nothing(tree: Any, stale: bool) -> None:
    if stale:
        tree.configure(lambda study: study["decodings"]["explore"].update(temperature=0.9))
        (tree.root / POLICY).with_name("checkpoint").rename(tree.root / "moved away")
    before = state(tree.root)
    for name, command in LOOKING.items():
        done = run(tree, command)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        after = state(tree.root)
        assert after == before, (name, sorted(after.keys() ^ before.keys()))


def test_a_checkpoint_that_was_away_for_a_moment_leaves_no_trace(tree: Any) -> None:
    checkpoint = (tree.root / POLICY).with_name("checkpoint")
    checkpoint.rename(tree.root / "away")
    assert tree.plan().jobs
    (tree.root / "away").rename(checkpoint)
    assert tree.plan().jobs == set()


def test_looking_works_on_a_read_only_file_system(tree: Any) -> None:
    if os.getuid():
        pytest.skip("only root can mount")
    mount = f"mount --bind -o ro {tree.root} {tree.root}"
    for name, command in LOOKING.items():
        inside = ["unshare", "--mount", "sh", "-c", f'{mount} && cd {tree.root} && exec "$@"', "sh"]
        done = run(tree, [*inside, *command])
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        if "of everything" not in name and name.startswith("snakemake"):
            assert "Nothing to be done" in done.stdout + done.stderr
