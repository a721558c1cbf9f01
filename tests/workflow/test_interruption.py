"""A run that is killed at any moment goes on where it was, and ends with the same results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.files import artifact_digest
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import read_rows

pytestmark = pytest.mark.workflow


def contents(tree: Any) -> dict[str, str]:
    """Return the content of every artifact by its path; costs state seconds, which differ."""
    kinds = ("*.parquet", "policy.json", "*.safetensors", "table.md", "table.csv", "*.svg")
    files = (f for kind in kinds for f in tree.results.rglob(kind) if ".restem" not in f.parts)
    files = (f for f in files if f.name not in ("costs.parquet", "ledger.parquet"))
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in sorted(files)}


def test_a_run_killed_at_random_moments_ends_with_the_same_results(
    killed: Path, finished: Any
) -> None:
    tree = type(finished)(killed / "resumed")
    assert contents(tree) == contents(finished)
    assert tree.plan().jobs == set()
    for path in tree.results.rglob("samples/*.parquet"):
        if ".restem" not in path.parts:
            draws = [(row["problem_id"], row["draw"]) for row in read_rows(path, SAMPLES)]
            assert len(draws) == len(set(draws))
    assert list(tree.results.rglob("*.tmp")) == []


def test_a_killed_stage_leaves_its_draws_for_the_next_run(
    tree: Any, end_group: Callable[[Any], None]
) -> None:
    """Draws are saved beside the output, which Snakemake deletes before it starts the job."""
    place = "pretrained/T/base/seed-0/iter-0/chain/train/explore/seed-0/samples/1-of-1.parquet"
    before = read_rows(tree.results / place, SAMPLES)
    (tree.results / place).unlink()  # what Snakemake does, before the job is killed
    tree.configure(lambda study: study["decodings"]["explore"].update(draws=3))
    told = tree.make(f"results/tiny/{place}")
    assert "4 drawn, 8 kept from before" in told
    after = read_rows(tree.results / place, SAMPLES)
    assert [row for row in after if row["draw"] < 2] == before


def test_a_run_whose_jobs_would_not_find_the_command_does_not_start(tree: Any) -> None:
    (tree.results / "table.md").unlink()
    tree.variables = {"PATH": "/usr/bin:/bin"}
    printed = tree.snakemake("--cores", "1", fails=True)
    assert "jobs cannot find the command restem" in printed
    assert "bin/activate" in printed
    tree.variables = {}
    tree.make()  # it left no lock
    assert (tree.results / "table.md").exists()
