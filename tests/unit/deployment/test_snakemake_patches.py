"""Patches change what Snakemake costs and nothing else, and only versions that were tested."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import snakemake
from packaging.specifiers import SpecifierSet
from snakemake.scheduling.job_scheduler import JobScheduler

from restem.deployment import snakemake_patches
from restem.deployment.snakemake_patches import UNPATCHED, Patch, apply_patches, debounce_scheduler


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> JobScheduler:
    """Return a scheduler that has nothing but the semaphore that wakes it."""
    assert callable(JobScheduler._schedule_reevalutation)  # what is replaced still exists
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", None)
    debounce_scheduler()
    bare = JobScheduler.__new__(JobScheduler)
    bare._open_jobs = threading.Semaphore(0)
    return bare


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_the_scheduler_has_one_pending_wake_up(scheduler: JobScheduler) -> None:
    for _ in range(50):
        scheduler._schedule_reevalutation(0.2)
    assert len(timers()) == 1
    assert scheduler._open_jobs.acquire(timeout=5)
    assert not scheduler._open_jobs.acquire(timeout=0.5)


def test_the_scheduler_can_set_the_next_wake_up_after_one(scheduler: JobScheduler) -> None:
    for _ in range(3):
        scheduler._schedule_reevalutation(0.01)
        assert scheduler._open_jobs.acquire(timeout=5)


def test_a_run_can_end_while_a_wake_up_is_pending(scheduler: JobScheduler) -> None:
    scheduler._schedule_reevalutation(3600)
    [timer] = timers()
    assert timer.daemon
    timer.cancel()


COMMANDS = """
from restem.deployment.snakemake_patches import apply_patches
apply_patches(dryrun=True)
rule all:
    input: "x-1.txt", "x-2.txt"
rule a:
    output: "x-{n}.txt"
    params: twice=lambda wildcards: 2 * int(wildcards.n)
    shell: "echo {params.twice} for {wildcards.n} > {output}"
"""


def test_commands_that_are_formatted_once_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Snakefile").write_text(COMMANDS)
    command = [sys.executable, "-m", "snakemake", "-n", "--printshellcmds"]
    commands = {}
    for unpatched in ("", "1"):
        monkeypatch.setenv(UNPATCHED, unpatched)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "skipped" not in done.stderr
        lines = [line for line in done.stdout.splitlines() if line.startswith("Shell command: e")]
        commands[unpatched] = sorted(lines)
    assert commands[""] == commands["1"]
    assert [line.partition("echo ")[2] for line in commands[""]] == [
        "2 for 1 > x-1.txt",
        "4 for 2 > x-2.txt",
    ]


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the patches by two that only note their names, and return these."""
    names: list[str] = []

    def first() -> None:
        names.append("first")

    def second() -> None:
        names.append("second")

    tested = SpecifierSet("==9.27.*")
    patches = (Patch(first, tested), Patch(second, tested, dry_runs_only=True))
    monkeypatch.setattr(snakemake_patches, "PATCHES", patches)
    monkeypatch.setattr(snakemake, "__version__", "9.27.3")
    monkeypatch.delenv(UNPATCHED, raising=False)
    return names


@pytest.mark.parametrize(("dryrun", "expected"), [(True, ["first", "second"]), (False, ["first"])])
def test_some_patches_suit_only_dry_runs(
    applied: list[str], dryrun: bool, expected: list[str]
) -> None:
    apply_patches(dryrun)
    assert applied == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ["first", "second"]), ("1", []), ("first", ["second"]), ("first,second", [])],
)
def test_the_environment_turns_patches_off(
    applied: list[str], monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str]
) -> None:
    monkeypatch.setenv(UNPATCHED, value)
    apply_patches(dryrun=True)
    assert applied == expected


@pytest.mark.parametrize("version", ["9.26.0", "9.28.0", "10.0.1"])
def test_a_version_that_was_not_tested_is_not_patched_and_that_is_printed_once(
    applied: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
) -> None:
    monkeypatch.setattr(snakemake, "__version__", version)
    apply_patches(dryrun=False)
    assert applied == []
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"restem: patch first skipped: not tested with Snakemake {version}\n"


def test_the_installed_version_is_one_that_was_tested() -> None:
    assert all(snakemake.__version__ in p.tested_with for p in snakemake_patches.PATCHES)
