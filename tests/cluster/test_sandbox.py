"""The sandbox has all its walls in a job of the cluster too."""

import sys
from pathlib import Path
from typing import Any

import pytest

RESTEM = Path(sys.executable).parent / "restem"


@pytest.mark.workflow
def test_every_wall_stands_in_a_job(cluster: Any, tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = f"{RESTEM} sandbox check > {report} 2>&1"
    asked = ("--mem=2000", f"--output={tmp_path}/slurm.log")  # the default, 100 MiB, is too little
    cluster.client("sbatch", "--wait", *asked, f"--wrap={command}")
    assert report.read_text().splitlines()[-1] == "all walls hold", report.read_text()
