"""The SLURM executor accounts for every job that it has submitted, whatever SLURM reports."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as slurm

from restem.deployment import cluster, retries
from snakemake_executor_plugin_restem_slurm import MISSING_ANSWERS, Executor


@dataclass
class Queue:
    """A fake SLURM: the state and reason of each job, and what was reported to Snakemake."""

    states: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] | None = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    endings: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Job:
    """A fake job of Snakemake."""

    name: str
    resources: dict[str, Any] = field(default_factory=lambda: {"mem_mb": 100, "runtime": 60})
    attempt: int = 1
    restart_times: int = 3
    jobid: int = 0

    @property
    def output(self) -> list[str]:
        return [f"results/study/{self.name}.parquet"]

    def is_group(self) -> bool:
        return False


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Let the plugin below the executor query the fake; it drops jobs that the fake omits."""
    queue = Queue()

    async def check(executor: Any, jobs: list[Any]) -> AsyncIterator[Any]:
        for job in jobs:
            state = queue.states.get(job.external_jobid)
            if state == "COMPLETED":
                executor.report_job_success(job)
            elif state == "FAILED":
                executor.report_job_error(job, msg="SLURM status is: 'FAILED'")
            elif state == "RUNNING":
                yield job

    monkeypatch.setattr(slurm.Executor, "check_active_jobs", check)
    monkeypatch.setattr(slurm.Executor, "report_job_submission", lambda *_, **__: None)
    monkeypatch.setattr(
        slurm.Executor, "report_job_success", lambda _, info: queue.ended.append(info.job.name)
    )
    monkeypatch.setattr(slurm.Executor, "report_job_error", lambda *_, **__: None)
    monkeypatch.setattr(cluster, "waiting_reasons", lambda: queue.reasons)
    monkeypatch.setattr(
        retries, "ending_of", lambda number: retries.Ending(queue.endings.get(number, "FAILED"))
    )
    monkeypatch.setattr(cluster, "cancel", lambda number: None)
    return queue


@pytest.fixture
def executor(
    queue: Queue, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Executor:
    """Return an executor without a workflow around it."""
    executor = Executor.__new__(Executor)
    settings = SimpleNamespace(
        init_seconds_before_status_checks=1, max_mem_mb=350, max_runtime=None
    )
    scheduler = SimpleNamespace(error_callback=lambda job: None)
    executor.workflow = SimpleNamespace(executor_settings=settings, scheduler=scheduler)
    executor.run_uuid, executor.logger = "run", logging.getLogger(request.node.name)
    for name in ("query_job_status_squeue", "query_job_status_sacct"):
        monkeypatch.setattr(slurm, name, getattr(slurm, name))  # restored after the test
    executor.set_up()
    fail = executor._fail

    def note_failure(info: Any, text: str, *rest: Any, **named: Any) -> None:
        queue.failed.append(info.job.name)
        fail(info, text, *rest, **named)

    monkeypatch.setattr(executor, "_fail", note_failure)
    return executor


@pytest.fixture
def check(executor: Executor) -> Callable[[list[Any]], list[Any]]:
    """Return a function that checks jobs once, and returns those that are still active."""

    async def active(jobs: list[Any]) -> list[Any]:
        return [job async for job in executor.check_active_jobs(jobs)]

    return lambda jobs: asyncio.run(active(jobs))


def submitted(executor: Executor, job: str, number: str) -> Any:
    info = slurm.SubmittedJobInfo(Job(job), number, {})
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
        assert [job.job.name for job in active] == ["fine", "gone"]  # it may be listed again
    assert [job.job.name for job in check(active)] == ["fine"]
    assert queue.failed == ["held", "gone"]


def test_a_controller_that_does_not_answer_loses_no_job(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    jobs = [submitted(executor, name, name) for name in "abc"]
    queue.reasons = None
    for _ in range(MISSING_ANSWERS + 2):
        assert check(jobs) == jobs
    assert queue.failed == queue.ended == []


def test_each_cause_lets_only_what_was_lacking_grow(
    executor: Executor, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    info = submitted(executor, "job", "1")
    for number, (state, mem_mb, runtime) in enumerate(
        [
            ("OUT_OF_MEMORY", 200, 60),
            ("CANCELLED", 200, 60),
            ("TIMEOUT", 200, 120),
            ("NODE_FAIL", 200, 120),
            ("FAILED", 200, 120),
            ("OUT_OF_MEMORY", 350, 120),
        ]
    ):
        info.external_jobid = str(number)
        queue.endings[str(number)] = state
        info.job.resources = executor._amounts.of(info.job, {"mem_mb": 100, "runtime": 60})
        executor.report_job_error(info, msg=f"SLURM status is: '{state}'")
        after = executor._amounts.of(info.job, {"mem_mb": 100, "runtime": 60})
        assert after == {"mem_mb": mem_mb, "runtime": runtime}, state
    assert "ran out of memory" in caplog.text
    assert "the next attempt gets 200 MB" in caplog.text
    assert "the next attempt gets the same memory and time" in caplog.text
    assert info.job.attempt == 1


def test_a_job_at_its_ceiling_is_not_tried_again(executor: Executor, queue: Queue) -> None:
    info = submitted(executor, "job", "1")
    queue.endings["1"] = "OUT_OF_MEMORY"
    info.job.resources = executor._amounts.of(info.job, {"mem_mb": 400})
    assert info.job.resources == {"mem_mb": 350}
    executor.report_job_error(info, msg="")
    assert info.job.attempt == info.job.restart_times + 1


@pytest.mark.parametrize(
    ("message", "attempt"),
    [
        ("'sbatch: error: Batch job submission failed: Invalid account'.", 4),
        ("'sbatch: error: Batch job submission failed: Socket timed out on send/recv'.", 1),
    ],
)
def test_what_slurm_refuses_for_good_uses_up_no_retries(
    executor: Executor, queue: Queue, message: str, attempt: int
) -> None:
    info = slurm.SubmittedJobInfo(Job("job"))
    executor.report_job_error(info, msg=message)
    assert (info.job.attempt, queue.failed) == (attempt, ["job"])


def test_a_job_that_never_starts_uses_up_no_retries(
    executor: Executor, queue: Queue, check: Callable[[list[Any]], list[Any]]
) -> None:
    info = submitted(executor, "job", "1")
    queue.states, queue.reasons = {"1": "RUNNING"}, {"1": "QOSMaxMemoryPerJob"}
    assert check([info]) == []
    assert info.job.attempt == info.job.restart_times + 1


def test_slurm_is_asked_by_user_because_names_differ(executor: Executor) -> None:
    for query in (slurm.query_job_status_squeue, slurm.query_job_status_sacct):
        assert "--name" not in query("run")
        assert f"--user={os.getuid()}" in query("run")
