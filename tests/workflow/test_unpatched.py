"""The workflow runs without the patches for speed, and not with an untested Snakemake."""

import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.workflow

FOREIGN_VERSION = """
import snakemake
snakemake.__version__ = "9.99.0"
"""


def dry_run(tree: Any, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [*tree.command("-n", "--printshellcmds")[:-2], "--configfile", "config/demo.yaml"]
    environment = tree.environment | variables
    return subprocess.run(
        command, cwd=tree.root, env=environment, capture_output=True, text=True, check=True
    )


def jobs(text: str) -> list[str]:
    """Return the command of every job: the order of jobs, and so their ids, differ by run."""
    return sorted(line for line in text.splitlines() if line.startswith("Shell command: restem"))


def test_the_demo_has_the_same_jobs_with_and_without_patches(planted: Any) -> None:
    patched, unpatched = dry_run(planted), dry_run(planted, RESTEM_UNPATCHED="1")
    assert jobs(patched.stdout) == jobs(unpatched.stdout)
    assert len(jobs(patched.stdout)) > 100
    assert "skipped" not in patched.stderr + unpatched.stderr


def test_a_version_that_was_not_tested_is_refused_by_name(fresh: Any) -> None:
    """Without the seals' answers Snakemake would take stale artifacts for fresh."""
    path = fresh.root / "rules" / "common.smk"
    path.write_text(FOREIGN_VERSION + path.read_text())
    printed = fresh.snakemake("-n", fails=True)
    assert "restem: Snakemake 9.99.0 has not been tested" in printed
    assert "install snakemake==9.27.*" in printed
