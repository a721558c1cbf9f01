"""A sampling job that is killed at random moments ends with the table of a whole run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.workflow
def test_kills_at_random_moments_change_no_byte() -> None:
    """The script that kills fifty times (benchmarks/kills.py) kills three times here."""
    script = str(ROOT / "benchmarks/kills.py")
    command = [sys.executable, "-P", script, "3", "transformers", "7"]  # -P: math.py lies there
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout.splitlines()[-1]
