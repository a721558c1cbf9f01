"""The whole tiny study through `snakemake --profile slurm`, on a real SLURM with two nodes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts import content_of

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def contents(tree: Any) -> dict[str, str]:
    """Return the content of every artifact."""
    files = (f for kind in ("*.parquet", "policy.json") for f in tree.results.rglob(kind))
    return {str(f.relative_to(tree.results)): content_of(f) for f in files if seen(f)}


def seen(path: Path) -> bool:
    return ".restem" not in path.parts


def test_a_study_gives_the_same_bytes_as_on_one_machine(
    cluster: Any,
    fresh: Any,
    finished: Any,
    people_read: Callable[[Any], dict[str, bytes]],
    submit: Callable[..., str],
) -> None:
    told = submit(fresh)
    assert people_read(fresh) == people_read(finished)
    assert contents(fresh) == contents(finished)
    submitted = set(re.findall(r"has been submitted with SLURM jobid (\d+)", told))
    lines = cluster.client("squeue", "-h", "--states=all", "-o", "%A|%T|%N|%k|%b").splitlines()
    jobs = [line.split("|") for line in lines if line.split("|")[0] in submitted]
    assert len(jobs) == len(submitted) > 10
    assert {state for _, state, *_ in jobs} == {"COMPLETED"}
    for _, _, _, comment, gpus in jobs:
        asks = comment.startswith(("rule_draw_samples", "rule_fine_tune_policy"))
        assert ("gpu" in gpus) == asks, (comment, gpus)
    assert "Nothing to be done" in submit(fresh)
    assert len(list((fresh.root / ".snakemake/slurm_logs").rglob("*.log"))) == len(jobs)
