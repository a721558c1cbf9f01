"""Snakemake sets one alarm at a time, and groups that depend on themselves are refused."""

import inspect
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from snakemake import common
from snakemake.common import get_input_function_aux_params
from snakemake.resources import Resource
from snakemake.scheduling.job_scheduler import JobScheduler

from restem.deployment.snakemake_patches import one_alarm_at_a_time, signatures_looked_up_once


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> JobScheduler:
    """Return a scheduler of which only the semaphore that wakes it is there."""
    assert callable(JobScheduler._schedule_reevalutation)  # what is replaced is still there
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", None)
    one_alarm_at_a_time()
    bare = JobScheduler.__new__(JobScheduler)
    bare._open_jobs = threading.Semaphore(0)
    return bare


def alarms() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_many_looks_set_one_alarm(scheduler: JobScheduler) -> None:
    for _ in range(50):
        scheduler._schedule_reevalutation(0.2)
    assert len(alarms()) == 1
    assert scheduler._open_jobs.acquire(timeout=5)
    assert not scheduler._open_jobs.acquire(timeout=0.5)


def test_after_an_alarm_the_next_one_can_be_set(scheduler: JobScheduler) -> None:
    for _ in range(3):
        scheduler._schedule_reevalutation(0.01)
        assert scheduler._open_jobs.acquire(timeout=5)


def test_a_waiting_alarm_does_not_keep_the_process(scheduler: JobScheduler) -> None:
    scheduler._schedule_reevalutation(3600)
    [alarm] = alarms()
    assert alarm.daemon
    alarm.cancel()


CHAIN = """
from restem.deployment.snakemake_patches import groups_checked_in_one_walk
{walk}
rule last:
    input: "b0", "b1"
rule a:
    output: "a{{n}}"
    shell: "touch {{output}}"
rule b:
    input: "a{{n}}", "c{{n}}"
    output: "b{{n}}"
    shell: "touch {{output}}"
rule c:
    input: "a{{n}}"
    output: "c{{n}}"
    shell: "touch {{output}}"
"""


def planned(folder: Path, walk: str, *groups: str) -> tuple[int, str]:
    """Plan b, which needs a and c, which needs a, twice; return the exit status and the output."""
    (folder / "Snakefile").write_text(CHAIN.format(walk=walk))
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "progress", "--groups", *groups]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "groups", [["a=x", "b=x"], ["a=x", "b=x", "c=y"], ["a=x", "c=x"], ["a=x", "b=x", "c=x"],
               ["a=x", "b=y"]],
)  # fmt: skip
def test_groups_are_refused_as_snakemake_refuses_them(tmp_path: Path, groups: list[str]) -> None:
    code, told = planned(tmp_path, "", *groups)
    mine, said = planned(tmp_path, "groups_checked_in_one_walk()", *groups)
    assert mine == code
    assert ("This is not allowed" in said) == ("This is not allowed" in told) == (code != 0)


def test_some_of_these_groups_are_refused_and_some_are_not(tmp_path: Path) -> None:
    walk = "groups_checked_in_one_walk()"
    assert planned(tmp_path, walk, "a=x", "b=x")[0] == 1
    assert planned(tmp_path, walk, "a=x", "b=x", "c=x")[0] == 0


def test_a_resource_is_evaluated_from_the_same_things_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Snakemake asks for the parameters of `evaluate`, bound to one resource after the other."""
    evaluated = Resource("mem_mb", lambda wildcards, attempt: 100 * attempt).evaluate
    given = {"attempt": 2, "threads": 1}
    before = get_input_function_aux_params(evaluated, given)
    monkeypatch.setattr(Resource.evaluate, "_overwrite_params", None, raising=False)
    monkeypatch.setattr(common, "get_function_params", common.get_function_params)
    signatures_looked_up_once()
    assert get_input_function_aux_params(evaluated, given) == before == given
    assert evaluated(None, **given).value == 200


def test_a_function_is_looked_into_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(wildcards: object, attempt: int, **others: int) -> dict[str, int]:
        return {"attempt": attempt, **others}

    monkeypatch.setattr(common, "get_function_params", common.get_function_params)
    signatures_looked_up_once()
    given = {"attempt": 2, "threads": 1}
    assert get_input_function_aux_params(sizes, given) == given
    monkeypatch.setattr(inspect, "signature", None)
    assert get_input_function_aux_params(sizes, given) == given


COMMANDS = """
from restem.deployment.snakemake_patches import commands_written_once
{once}
rule all:
    input: "x-1.txt", "x-2.txt"
rule a:
    output: "x-{{n}}.txt"
    params: twice=lambda wildcards: 2 * int(wildcards.n)
    shell: "echo {{params.twice}} for {{wildcards.n}} > {{output}}"
"""


def test_a_command_that_is_written_once_is_the_same(tmp_path: Path) -> None:
    told = []
    for once in ("", "commands_written_once()"):
        (tmp_path / "Snakefile").write_text(COMMANDS.format(once=once))
        command = [sys.executable, "-m", "snakemake", "-n", "--printshellcmds"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        told.append(sorted(line for line in done.stdout.splitlines() if " echo " in line))
    assert told[0] == told[1]
    assert [line.split() for line in told[1]] == [
        ["Shell", "command:", "echo", "2", "for", "1", ">", "x-1.txt"],
        ["Shell", "command:", "echo", "4", "for", "2", ">", "x-2.txt"],
    ]
