"""The SLURM executor accounts for every job that it has submitted, whatever SLURM reports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as slurm
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from restem.deployment import cluster
from snakemake_executor_plugin_restem_slurm import MISSING_ANSWERS, Executor


@dataclass
class Queue:
    """A fake SLURM: the state and reason of each job, and what was reported to Snakemake."""

    states: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] | None = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Let the plugin below the executor query the fake; it drops jobs that the fake omits."""
    queue = Queue()

    async def check(executor: Any, jobs: list[Any]) -> AsyncIterator[Any]:
        for job in jobs:
            state = queue.states.get(job.external_jobid)
            if state == "COMPLETED":
                executor.report_job_success(job)
            elif state == "RUNNING":
                yield job

    monkeypatch.setattr(slurm.Executor, "check_active_jobs", check)
    monkeypatch.setattr(slurm.Executor, "report_job_submission", lambda *_, **__: None)
    monkeypatch.setattr(
        slurm.Executor, "report_job_success", lambda _, info: queue.ended.append(info.job)
    )
    monkeypatch.setattr(
        slurm.Executor, "report_job_error", lambda _, info, **__: queue.failed.append(info.job)
    )
    monkeypatch.setattr(cluster, "waiting_reasons", lambda run: queue.reasons)
    monkeypatch.setattr(cluster, "cancel", lambda number: None)
    return queue


@pytest.fixture
def executor(queue: Queue) -> Executor:
    """Return an executor without a workflow around it."""
    executor = Executor.__new__(Executor)
    executor._ended_jobs = []
    executor._newest_by_number, executor._missing_answers = {}, {}
    settings = SimpleNamespace(init_seconds_before_status_checks=1)
    executor.workflow = SimpleNamespace(executor_settings=settings)
    executor.run_uuid = "run"
    return executor


@pytest.fixture
def check(executor: Executor) -> Callable[[list[Any]], list[Any]]:
    """Return a function that checks jobs once, and returns those that are still active."""

    async def active(jobs: list[Any]) -> list[Any]:
        return [job async for job in executor.check_active_jobs(jobs)]

    return lambda jobs: asyncio.run(active(jobs))


def submitted(executor: Executor, job: str, number: str) -> Any:
    info = SubmittedJobInfo(job, number)  # type: ignore[arg-type]
    executor.report_job_submission(info)
    return info


def test_a_job_has_failed_when_another_one_gets_its_number(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    """A controller that was killed forgets the last jobs, and counts on from its saved state."""
    forgotten, other = submitted(executor, "forgotten", "87"), submitted(executor, "other", "87")
    queue.states, queue.reasons = {"87": "RUNNING"}, {"87": "None"}
    assert check([other, forgotten]) == [other]
    assert queue.failed == ["forgotten"]
    queue.states = {"87": "COMPLETED"}
    assert check([other]) == []
    assert (queue.ended, queue.failed) == (["other"], ["forgotten"])


def test_a_number_may_be_used_again_after_its_job_has_ended(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    first = submitted(executor, "first", "87")
    queue.states = {"87": "COMPLETED"}
    assert check([first]) == []
    second = submitted(executor, "second", "87")
    queue.states, queue.reasons = {}, {"87": "None"}  # the plugin does not know it yet
    assert check([second]) == [second]
    queue.states = {"87": "COMPLETED"}
    assert check([second]) == []
    assert queue.ended == ["first", "second"]


def test_jobs_that_slurm_no_longer_knows_or_will_not_start_have_failed(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    active = [submitted(executor, name, str(k)) for k, name in enumerate(["gone", "held", "fine"])]
    queue.states = {"1": "RUNNING", "2": "RUNNING"}
    queue.reasons = {"1": "JobHeldAdmin", "2": "None"}
    for _ in range(MISSING_ANSWERS - 1):
        active = check(active)
        assert [job.job for job in active] == ["fine", "gone"]  # it may be listed again
    assert [job.job for job in check(active)] == ["fine"]
    assert queue.failed == ["held", "gone"]


def test_a_controller_that_does_not_answer_loses_no_job(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    jobs = [submitted(executor, name, name) for name in "abc"]
    queue.reasons = None
    for _ in range(MISSING_ANSWERS + 2):
        assert check(jobs) == jobs
    assert queue.failed == queue.ended == []
