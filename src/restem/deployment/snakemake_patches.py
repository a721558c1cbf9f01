"""Keep Snakemake's main process quiet: one alarm at a time, and nothing that it looks up twice.

After each look at its jobs the scheduler (Snakemake 9.27) sets an alarm to look again a second
later, for its limit of jobs per second. Every finished job makes it look too, so that each begins
an endless chain of alarms: after 300 jobs it looks hundreds of times a second, a thread each time.

A group of jobs may not depend on itself. Snakemake follows the ancestors of every grouped job,
twice, to see that, which takes seconds at the size of the paper. So do looking up the signature of
every function of a rule and of every resource for every job, and writing out each job's command
three times in a dry run. Its millions of objects live until the end, so that looking for garbage
among them is a tenth of planning.
"""

import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from inspect import signature
from typing import Any

from snakemake import common
from snakemake.common import get_function_params, overwrite_function_params
from snakemake.resources import Resource
from snakemake.scheduling.job_scheduler import JobScheduler

Check = Callable[..., None]


def one_alarm_at_a_time() -> None:
    """Let the schedulers of this process set no alarm while one is waiting."""
    JobScheduler._schedule_reevalutation = _set_alarm


def garbage_looked_for_seldom() -> None:
    """Let this process look for garbage after a hundred times as many new objects."""
    first, second, third = gc.get_threshold()
    gc.set_threshold(max(first, 70_000), second, third)


def groups_checked_in_one_walk() -> None:
    """Let this process look for groups that depend on themselves only where there can be some."""
    from snakemake.dag import DAG  # only a running Snakemake can import it

    if DAG.validate_group is not _leave_to_the_walk:
        originals = (DAG.validate_group, DAG._check_groups)
        DAG.validate_group = _leave_to_the_walk
        DAG._check_groups = lambda dag: _check_groups(dag, *originals)


def signatures_looked_up_once() -> None:
    """Let this process look up once what a function of a rule or of a resource is called with."""
    overwrite_function_params(Resource.evaluate, signature(Resource.evaluate).parameters)
    common.get_function_params = _kept_params


def commands_written_once() -> None:
    """Let this process write a job's shell command once; for dry runs, in which nothing changes."""
    from snakemake.jobs import Job  # only a running Snakemake can import it

    write = Job.shellcmd.fget
    assert write is not None
    Job.shellcmd = property(lru_cache(maxsize=1)(write))  # the uses follow on each other


def _set_alarm(scheduler: Any, seconds: float) -> None:
    waiting = getattr(scheduler, "restem_alarm", None)
    if waiting is None or not waiting.is_alive():
        alarm = threading.Timer(seconds, lambda: _ring(scheduler))
        alarm.daemon = True  # the end of the run waits for no alarm
        scheduler.restem_alarm = alarm
        alarm.start()


def _ring(scheduler: Any) -> None:
    scheduler.restem_alarm = None  # the look that follows sets the next one
    scheduler._open_jobs.release()


def _kept_params(function: Callable[..., Any]) -> Any:
    parameters = get_function_params(function)
    with suppress(AttributeError):  # bound methods and builtins keep nothing
        overwrite_function_params(function, parameters)
    return parameters


def _leave_to_the_walk(dag: Any, group: Any) -> None:
    """Check nothing yet: `_check_groups` follows once all groups are there."""


def _check_groups(dag: Any, validate_group: Check, check_groups: Check) -> None:
    """Refuse groups that depend on themselves, in Snakemake's words.

    Such a group lies on a cycle once each group is taken for one job. Not every such cycle is
    forbidden, so that Snakemake's own checks have the last word.
    """
    walk: TopologicalSorter[Any] = TopologicalSorter()
    for job, needed in dag._dependencies.items():
        mine = dag._group.get(job, job)
        walk.add(
            mine, *(unit for other in needed if (unit := dag._group.get(other, other)) != mine)
        )
    try:
        walk.prepare()
    except CycleError:
        for group in set(dag._group.values()):
            validate_group(dag, group)
        check_groups(dag)
