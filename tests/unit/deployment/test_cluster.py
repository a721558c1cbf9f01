"""Orphans of ended runs are settled; jobs of active runs and of other people are left alone."""

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
# a running job ends after two queries
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
    """Return a function that fills the queue of a fake SLURM with (number, run, state)."""

    def line(number: str, run: str, state: str) -> str:
        return f"{number}|{state}|None|{run}|draw_samples:address\n"

    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(folder=tmp_path))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_QUERIES", 0.01)

    def fill(*jobs: tuple[str, str, str]) -> None:
        (tmp_path / "queue").write_text("".join(line(*job) for job in jobs))

    return fill


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """Return the folder with the locks of runs."""
    folder = tmp_path / "locks"
    folder.mkdir()
    return folder


def cancelled(tmp_path: Path) -> list[str]:
    path = tmp_path / "cancelled"
    return path.read_text().split() if path.exists() else []


def test_waiting_orphans_are_cancelled_and_running_ones_awaited(
    queue: Queue, locks: Path, tmp_path: Path
) -> None:
    queue(("1", f"{NAME}_ended", "PENDING"), ("2", f"{NAME}_ended", "RUNNING"))
    warnings: list[str] = []
    cluster.settle_orphans(NAME, locks, "wait", warnings.append)
    assert cancelled(tmp_path) == ["1"]
    assert [line.partition(": ")[2] for line in warnings] == [
        "cancelled",
        "waiting for its results",
    ]


def test_running_orphans_are_cancelled_on_demand(queue: Queue, locks: Path, tmp_path: Path) -> None:
    queue(("1", f"{NAME}_ended", "RUNNING"))
    cluster.settle_orphans(NAME, locks, "cancel", lambda line: None)
    assert cancelled(tmp_path) == ["1"]


@pytest.mark.parametrize("run", ["restem-other-12345678_ended", f"{NAME}0_ended", "bash", ""])
def test_jobs_of_other_studies_are_left_alone(
    queue: Queue, locks: Path, tmp_path: Path, run: str
) -> None:
    queue(("1", run, "PENDING"))
    cluster.settle_orphans(NAME, locks, "cancel", lambda line: None)
    assert cancelled(tmp_path) == []


def test_jobs_of_an_active_run_are_left_alone(queue: Queue, locks: Path, tmp_path: Path) -> None:
    queue(("1", f"{NAME}_active", "PENDING"), ("2", f"{NAME}_ended", "PENDING"))
    descriptor = cluster.hold_run_lock(locks, f"{NAME}_active")
    cluster.settle_orphans(NAME, locks, "wait", lambda line: None)
    assert cancelled(tmp_path) == ["2"]
    assert (locks / f"{NAME}_active").exists()
    os.close(descriptor)
    cluster.settle_orphans(NAME, locks, "wait", lambda line: None)
    assert cancelled(tmp_path) == ["2", "1"]
    assert list(locks.iterdir()) == []


def test_a_job_that_survives_its_cancellation_is_an_error(
    queue: Queue, locks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_CANCEL", 0.05)
    (tmp_path / "stubborn").touch()
    queue(("7", f"{NAME}_ended", "PENDING"))
    with pytest.raises(RestemError, match="do not end: 7"):
        cluster.settle_orphans(NAME, locks, "wait", lambda line: None)


def test_a_controller_that_stays_away_is_an_error(
    queue: Queue, locks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_ANSWER", 0.05)
    (tmp_path / "away").touch()
    with pytest.raises(RestemError, match="SLURM has not answered"):
        cluster.settle_orphans(NAME, locks, "wait", lambda line: None)
    assert cluster.waiting_reasons() is None


def test_a_missing_command_is_an_error(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RestemError, match="login node"):
        cluster.settle_orphans(NAME, locks, "wait", lambda line: None)


def test_a_run_name_suits_slurm_and_differs_between_directories(tmp_path: Path) -> None:
    name = cluster.run_name(
        "a study/with {odd} characters and a very long name, longer than", tmp_path
    )
    assert len(name) <= 50
    assert all(character.isalnum() or character in "-_" for character in name)
    assert name != cluster.run_name(
        "a study/with {odd} characters and a very long name", tmp_path / "b"
    )


@pytest.mark.parametrize(
    ("rule", "outputs", "name"),
    [
        (
            "draw_samples",
            ["results/demo/math/S/rest-em/seed-1/iter-1/math/test/greedy/seed-0/samples/1-of-4.parquet"],
            "draw_samples:math/S/rest-em/seed-1/iter-1/math/test/greedy/seed-0/samples/1-of-4",
        ),
        (
            "checked",
            ["results/demo/math/S/base/rewards/1.parquet", "results/demo/math/S/base/c.parquet"],
            "checked:math/S/base",
        ),
        ("plot_figure", ["elsewhere/F1.pdf"], "plot_figure:elsewhere/F1"),
        ("all", [], "all:"),
    ],
)  # fmt: skip
def test_a_job_is_named_after_rule_and_address(rule: str, outputs: list[str], name: str) -> None:
    assert cluster.job_name(rule, outputs) == name


def test_a_name_fits_into_the_database() -> None:
    assert len(cluster.job_name("rule", ["results/study/" + "x" * 500])) == cluster.NAME_LENGTH
