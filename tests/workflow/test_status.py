"""`restem status` in a second terminal follows a real run of the tiny study, and writes nothing."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.seals import HIDDEN

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
    """Return the times of all files."""
    found = (path for path in root.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in found if path.is_file()}


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Hold the lock on an output, as the process that writes it does; a job that makes it waits."""
    with (output.parent / HIDDEN / f"{output.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def forget(output: Path) -> None:
    """Remove an output with its seal and its log."""
    seal = output.parent / HIDDEN / f"{output.name}.seal.json"
    for path in (output, seal, output.with_suffix(".log")):
        path.unlink()


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline, f"no {text!r} in {log}"
        time.sleep(0.1)


def test_a_finished_study_is_done(tree: Any) -> None:
    before = files(tree.root)
    found = look(tree)
    assert {row["waiting"] + row["running"] + row["failed"] for row in found["rows"]} == {0}
    assert not found["active"]
    assert files(tree.root) == before


def test_a_run_in_another_terminal_is_followed(tree: Any, end_group: Callable[[Any], None]) -> None:
    output = tree.root / SAMPLES
    forget(output)
    before = look(tree)
    assert not before["active"]
    assert samples(before)["running"] == 0
    with writing(output):
        process = tree.start("--cores", "1", SAMPLES)
        end_group(process)
        wait_for("waiting: another process", output.with_suffix(".log"))
        during = look(tree)
        assert during["active"]
        assert samples(during)["running"] == 1
        assert samples(during)["waiting"] == samples(before)["waiting"] - 1
    assert process.wait() == 0
    after = look(tree)
    assert not after["active"]
    # The draws are the same again, so what was planned below them is fresh.
    assert samples(after)["done"] == samples(before)["done"] + samples(before)["waiting"]


def test_a_failed_job_is_counted_once_the_run_has_ended(tree: Any) -> None:
    forget(tree.root / SAMPLES)
    tree.edit("rules/samples.smk", '" --shard {wildcards.shard}"', '" --shard nonsense"')
    tree.snakemake("--cores", "1", SAMPLES, fails=True)
    found = samples(look(tree))
    assert (found["failed"], found["running"]) == (1, 0)
