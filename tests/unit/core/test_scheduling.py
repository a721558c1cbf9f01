"""Snakemake's scheduler has one alarm at a time, and is woken by it."""

import threading

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler

from restem.deployment.scheduling import one_alarm_at_a_time


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
