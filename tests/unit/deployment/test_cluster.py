"""Orphans of a dead run are settled; the jobs of living runs and of other people stay alone."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from restem.deployment import cluster
from restem.errors import RestemError

NAME = "restem-demo-12345678"
Queue = Callable[..., None]

SQUEUE = """#!/bin/sh
[ -e "{folder}/away" ] && exit 1
[ -e "{folder}/queue" ] && cat "{folder}/queue"
# a running job ends after it was looked at twice
if [ -e "{folder}/looked" ]; then sed -i '/RUNNING/d' "{folder}/queue"; fi
touch "{folder}/looked"
exit 0
"""
SCANCEL = """#!/bin/sh
echo "$1" >> "{folder}/cancelled"
[ -e "{folder}/stubborn" ] || sed -i "/^$1|/d" "{folder}/queue"
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Return a function that fills the queue of a stand-in for SLURM, as (number, run, state)."""
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(folder=tmp_path))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(cluster, "ASK_EVERY_SECONDS", 0.01)

    def fill(*jobs: tuple[str, str, str]) -> None:
        (tmp_path / "queue").write_text("".join("|".join(job) + "\n" for job in jobs))

    return fill


@pytest.fixture
def alive(tmp_path: Path) -> Path:
    """Return the folder of the locks of living runs."""
    folder = tmp_path / "alive"
    folder.mkdir()
    return folder


def cancelled(tmp_path: Path) -> list[str]:
    path = tmp_path / "cancelled"
    return path.read_text().split() if path.exists() else []


def test_waiting_orphans_are_cancelled_and_running_ones_awaited(
    queue: Queue, alive: Path, tmp_path: Path
) -> None:
    queue(("1", f"{NAME}_dead", "PENDING"), ("2", f"{NAME}_dead", "RUNNING"))
    told: list[str] = []
    cluster.settle_orphans(NAME, alive, "wait", told.append)
    assert cancelled(tmp_path) == ["1"]
    assert [line.partition(": ")[2] for line in told] == ["cancelled", "waiting for its results"]


def test_running_orphans_are_cancelled_on_demand(queue: Queue, alive: Path, tmp_path: Path) -> None:
    queue(("1", f"{NAME}_dead", "RUNNING"))
    cluster.settle_orphans(NAME, alive, "cancel", lambda line: None)
    assert cancelled(tmp_path) == ["1"]


@pytest.mark.parametrize("run", ["restem-other-12345678_dead", f"{NAME}0_dead", "bash", ""])
def test_jobs_of_other_studies_are_left_alone(
    queue: Queue, alive: Path, tmp_path: Path, run: str
) -> None:
    queue(("1", run, "PENDING"))
    cluster.settle_orphans(NAME, alive, "cancel", lambda line: None)
    assert cancelled(tmp_path) == []


def test_jobs_of_a_living_run_are_left_alone(queue: Queue, alive: Path, tmp_path: Path) -> None:
    queue(("1", f"{NAME}_living", "PENDING"), ("2", f"{NAME}_dead", "PENDING"))
    descriptor = cluster.say_alive(alive, f"{NAME}_living")
    cluster.settle_orphans(NAME, alive, "wait", lambda line: None)
    assert cancelled(tmp_path) == ["2"]
    assert (alive / f"{NAME}_living").exists()
    os.close(descriptor)
    cluster.settle_orphans(NAME, alive, "wait", lambda line: None)
    assert cancelled(tmp_path) == ["2", "1"]
    assert list(alive.iterdir()) == []


def test_a_job_that_does_not_go_is_told(
    queue: Queue, alive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ENDS_WITHIN_SECONDS", 0.05)
    (tmp_path / "stubborn").touch()
    queue(("7", f"{NAME}_dead", "PENDING"))
    with pytest.raises(RestemError, match="do not end: 7"):
        cluster.settle_orphans(NAME, alive, "wait", lambda line: None)


def test_a_controller_that_stays_away_is_told(
    queue: Queue, alive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_WITHIN_SECONDS", 0.05)
    (tmp_path / "away").touch()
    with pytest.raises(RestemError, match="SLURM does not answer"):
        cluster.settle_orphans(NAME, alive, "wait", lambda line: None)
    assert cluster.known_jobs(f"{NAME}_x") is None


def test_a_missing_command_is_told(alive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RestemError, match="login node"):
        cluster.settle_orphans(NAME, alive, "wait", lambda line: None)


def test_a_run_name_fits_what_slurm_takes_and_tells_places_apart(tmp_path: Path) -> None:
    name = cluster.run_name("a study/with {odd} signs and a very long name, longer than", tmp_path)
    assert len(name) <= 50
    assert all(sign.isalnum() or sign in "-_" for sign in name)
    assert name != cluster.run_name("a study/with {odd} signs and a very long name", tmp_path / "b")
