"""The state of each job follows from seals, locks, logs and SLURM's queue; nothing is written."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from restem.artifacts.files import is_held
from restem.artifacts.schemas.evaluation import OVERLAP
from restem.artifacts.seals import HIDDEN, Recipe
from restem.artifacts.store import produce
from restem.artifacts.tables import table, write_table
from restem.deployment import cluster
from restem.deployment.cluster import QueuedJob
from restem.errors import RestemError
from restem.tools import status as tool
from restem.tools.dry_run import PlannedJob
from restem.tools.status import Status, in_words, status

PLACE = Path("results/demo/math/S/rest-em/seed-1/iter-1")
HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def output(shard: int) -> Path:
    return PLACE / f"samples/{shard}.parquet"


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a study named `demo`, of which nothing is made."""
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").touch()
    Path("config").symlink_to(Path(__file__).parents[3] / "config")
    monkeypatch.setattr(cluster, "queued_jobs", lambda name: None)
    remain(monkeypatch)
    return tmp_path


def remain(monkeypatch: pytest.MonkeyPatch, *shards: int) -> None:
    """Let a dry run say that some shards remain."""

    def answer(arguments: Sequence[str]) -> tuple[list[PlannedJob], list[str]]:
        places = [(str(output(shard)), str(output(shard).with_suffix(".log"))) for shard in shards]
        jobs = [PlannedJob("draw_samples", "samples", place, (), (), log) for place, log in places]
        return jobs, ["directory cannot be locked"]

    monkeypatch.setattr(tool, "dry_run", answer)


def make(shard: int, seconds: float = 100) -> None:
    """Leave what a job leaves after a run of some seconds."""
    path = output(shard)
    with produce(Recipe("samples", {}, {}, "lock", {}), {"output": path}):
        write_table(path, OVERLAP, table(OVERLAP, []), {})
    seal = path.parent / HIDDEN / f"{path.name}.seal.json"
    seal.write_text(json.dumps(json.loads(seal.read_text()) | {"seconds": seconds}))


def begin_run(ago: float = 60) -> None:
    name = datetime.fromtimestamp(time.time() - ago).strftime("%Y-%m-%dT%H%M%S.%f")
    Path(".snakemake/log").mkdir(parents=True, exist_ok=True)
    Path(f".snakemake/log/{name}.snakemake.log").touch()


def write_log(shard: int, text: str) -> None:
    log = output(shard).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


@pytest.fixture
def locked() -> Iterator[Path]:
    """Return the lock of shard 2, which another process really holds."""
    lock = output(2).parent / HIDDEN / f"{output(2).name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=pipe, stdout=pipe)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    yield lock
    holder.communicate()


def counts(found: Status) -> list[tuple[str, int, int, int, int]]:
    return [(row.stage, row.done, row.running, row.waiting, row.failed) for row in found.rows]


def test_each_job_has_the_state_that_its_files_show(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(1)
    begin_run()
    write_log(3, "restem: it went wrong\n")
    os.utime(locked, (time.time() - 30, time.time() - 30))
    remain(monkeypatch, 2, 3, 4)
    found = status([], None)
    assert counts(found) == [("samples", 1, 1, 1, 1)]
    [row] = found.rows
    assert row.seconds_left == pytest.approx(70 + 100 + 100, abs=5)
    text = in_words(found)
    assert "demo: 1 of 4 jobs are done; a run is active" in text
    assert "1 failed or were interrupted" in text
    assert "cannot be locked" not in text


def test_looking_does_not_take_the_lock(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remain(monkeypatch, 2)
    before = locked.stat().st_mtime_ns
    assert counts(status([], None)) == [("samples", 0, 1, 0, 0)]
    assert locked.stat().st_mtime_ns == before
    free = locked.with_name("free")
    free.touch()
    with free.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert not is_held(free)  # two who look do not disturb each other


def test_a_log_of_an_earlier_run_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(1, "killed\n")
    begin_run(ago=-60)
    remain(monkeypatch, 1)
    assert counts(status([], None)) == [("samples", 0, 0, 1, 0)]


def test_a_job_that_was_made_in_this_run_and_is_stale_again_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin_run()
    make(1)
    write_log(1, "drawn\n")
    remain(monkeypatch, 1)
    assert counts(status([], None)) == [("samples", 0, 0, 1, 0)]


@pytest.mark.parametrize(("active", "column"), [(True, 1), (False, 3)])
def test_an_empty_log_is_a_job_that_starts(
    active: bool, column: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run()
    write_log(1, "")
    remain(monkeypatch, 1)
    monkeypatch.setattr(tool, "_is_active", lambda study: active)
    assert counts(status([], None))[0][1:][column] == 1


def test_slurms_queue_tells_what_runs_and_why_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    begin_run()
    for shard in (1, 2):
        write_log(shard, "the first attempt failed\n")
    remain(monkeypatch, 1, 2, 3)
    name = "draw_samples:math/S/rest-em/seed-1/iter-1/samples"
    queue = [
        QueuedJob("7", "RUNNING", "None", "run", f"{name}/1"),
        QueuedJob("8", "PENDING", "Priority", "run", f"{name}/2"),
    ]
    monkeypatch.setattr(cluster, "queued_jobs", lambda name: queue)
    found = status([], None)
    assert counts(found) == [("samples", 0, 1, 2, 0)]
    assert "waiting in SLURM's queue: Priority x 1" in in_words(found)


def test_the_time_left_is_that_of_the_same_model_and_may_be_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remain(monkeypatch, 1)
    found = status([], None)
    assert found.rows[0].seconds_left is None
    assert "unknown" in in_words(found)
    make(5, seconds=40)
    make(6, seconds=60)
    other = Path("results/demo/math/L/rest-em/seed-1/iter-1/samples/1.parquet")
    with produce(Recipe("samples", {}, {}, "lock", {}), {"output": other}):
        write_table(other, OVERLAP, table(OVERLAP, []), {})
    assert status([], None).rows[0].seconds_left == 50


def test_a_finished_study_says_so() -> None:
    make(1)
    assert in_words(status([], None)).endswith("demo: all 1 jobs are done; no run is active")


def test_a_status_can_be_read_by_a_machine() -> None:
    make(1)
    found = json.loads(json.dumps(status([], None).as_json()))
    assert found["rows"][0]["done"] == 1


def test_only_a_clone_has_a_status() -> None:
    Path("Snakefile").unlink()
    with pytest.raises(RestemError, match="cd to the root"):
        status([], None)
