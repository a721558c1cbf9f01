"""The whole tiny study through the profile without containers, on a real SLURM with two nodes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.files import artifact_digest

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def contents(tree: Any) -> dict[str, str]:
    """Return the content of every artifact; costs state seconds, which differ."""
    files = (f for kind in ("*.parquet", "policy.json") for f in tree.results.rglob(kind))
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in files if seen(f)}


def seen(path: Path) -> bool:
    return not {".restem", "costs.parquet", "ledger.parquet"} & set(path.parts)


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
    known = cluster.client("scontrol", "--oneliner", "show", "jobs").splitlines()
    jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in known]
    jobs = [job for job in jobs if job["JobId"] in submitted]
    assert len(jobs) == len(submitted) > 10
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    for job in jobs:
        asks = job["JobName"].startswith(("draw_samples:", "make_policy:"))
        assert ("gpu" in job.get("TresPerJob", "")) == asks, job
    checked = [job for job in jobs if job["JobName"].startswith("checked:")]
    assert len(checked) == len(list(fresh.results.rglob("rewards/*.parquet")))
    assert "Nothing to be done" in submit(fresh)
    assert len(list((fresh.root / ".snakemake/slurm_logs").rglob("*.log"))) == len(jobs)
