"""`restem status` in a second terminal follows a real run of the tiny study, and writes nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.workflow

PLACE = "results/tiny/pretrained/T/base/seed-0/iter-0/chain/train/explore/seed-0"
SAMPLES = f"{PLACE}/samples/1-of-1.parquet"


def look(tree: Any) -> dict[str, Any]:
    done = tree.restem("status", "--configfile", "study.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def samples(found: dict[str, Any]) -> dict[str, int]:
    return next(row for row in found["rows"] if row["stage"] == "samples")


def files(root: Path) -> dict[str, int]:
    hidden = (path for path in root.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in hidden if path.is_file()}


def test_a_finished_study_is_done(tree: Any) -> None:
    before = files(tree.root)
    found = look(tree)
    assert {row["waiting"] + row["running"] + row["failed"] for row in found["rows"]} == {0}
    assert not found["active"]
    assert files(tree.root) == before


def test_a_run_in_another_terminal_is_followed(tree: Any, end_group: Callable[[Any], None]) -> None:
    (tree.root / SAMPLES).unlink()
    (tree.root / PLACE / "samples/.restem/1-of-1.parquet.seal.json").unlink()
    before = samples(look(tree))
    assert (before["running"], before["waiting"] > 0) == (0, True)
    process = tree.start("--cores", "1", SAMPLES)
    end_group(process)
    seen = []
    while process.poll() is None:
        seen.append(look(tree))
        time.sleep(0.2)
    assert process.wait() == 0
    assert any(found["active"] and samples(found)["running"] == 1 for found in seen), seen
    assert not any(samples(found)["failed"] for found in seen)
    assert samples(look(tree))["done"] == before["done"] + 1
