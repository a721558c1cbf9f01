"""The page on architecture: its example is a whole stage, and its four pieces are all it takes."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import table, write_table
from tests.workflow.conftest import NEEDED, REPOSITORY

PAGE = REPOSITORY / "docs/explanation/architecture.md"
PIECE = re.compile(r"^( *)```python file=(\S+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
TARGET = "results/demo/pretrained/S/base/seed-0/iter-0/chain/test/greedy/seed-0/lengths.parquet"


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository to which the pieces of the page are appended."""
    folder = tmp_path_factory.mktemp("repository")
    for name in NEEDED:
        source = REPOSITORY / name
        if source.is_dir() and not source.is_symlink():
            leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.sif", ".build-*")
            shutil.copytree(source, folder / name, symlinks=True, ignore=leave_out)
        else:
            shutil.copy(source, folder / name, follow_symlinks=False)
    for _, name, piece in PIECE.findall(PAGE.read_text()):
        file = folder / name
        before = file.read_text().rstrip() + "\n\n\n" if file.exists() else ""
        file.write_text(before + textwrap.dedent(piece))
    return folder


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": path}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder, env=variables, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_stage_takes_four_files() -> None:
    names = [name for _, name, _ in PIECE.findall(PAGE.read_text())]
    assert names == [
        "src/restem/artifacts/schemas/estimates.py",
        "src/restem/stages/lengths.py",
        "src/restem/study/slices.py",
        "rules/metrics.smk",
    ]


def test_the_new_stage_is_planned_with_what_it_needs(changed: Path) -> None:
    planned = run(changed, "-m", "snakemake", "-n", "-p", "--quiet", "host", "--", TARGET)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "measure_lengths" in planned.stdout
    assert f"restem lengths --samples {Path(TARGET).parent}/samples/1-of-1.parquet" in (
        planned.stdout
    )


def test_the_new_stage_runs(changed: Path, tmp_path: Path) -> None:
    row = {"problem_id": "a", "seed": 0, "completion": "", "prompt_tokens": 1, "logprob": 0.0}
    row |= {"finish_reason": "stop", "request": ""}
    rows = [row | {"draw": draw, "tokens": tokens} for draw, tokens in enumerate((2, 4))]
    write_table(tmp_path / "samples.parquet", SAMPLES, table(SAMPLES, rows), {})
    settings = json.dumps({"max_tokens": 4})
    output = tmp_path / "lengths.parquet"
    done = run(
        changed, "-m", "restem.cli", "lengths", "--samples", str(tmp_path / "samples.parquet"),
        "--output", str(output), "--settings", settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "50.0% of 2 completions were cut off" in done.stdout


def test_the_settings_of_the_new_stage_are_checked(changed: Path, tmp_path: Path) -> None:
    done = run(
        changed, "-m", "restem.cli", "lengths", "--samples", str(tmp_path / "none.parquet"),
        "--output", str(tmp_path / "lengths.parquet"), "--settings", '{"max_token": 4}',
    )  # fmt: skip
    assert done.returncode == 1
    assert "max_token: unknown key; did you mean 'max_tokens'?" in done.stderr
