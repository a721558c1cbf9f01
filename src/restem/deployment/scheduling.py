"""Keep Snakemake's main process quiet: one alarm at a time, one walk to check all groups.

After each look at its jobs the scheduler (Snakemake 9.27) sets an alarm to look again a second
later, for its limit of jobs per second. Every finished job makes it look too, so that each begins
an endless chain of alarms: after 300 jobs it looks hundreds of times a second, a thread each time.

A group of jobs may not depend on itself. Snakemake follows the ancestors of every grouped job,
twice, to see that, which takes seconds at the size of the paper. So does looking up the signature
of a resource for every job.
"""

import threading
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from inspect import signature
from typing import Any

from snakemake.common import overwrite_function_params
from snakemake.resources import Resource
from snakemake.scheduling.job_scheduler import JobScheduler

Check = Callable[..., None]


def one_alarm_at_a_time() -> None:
    """Let the schedulers of this process set no alarm while one is waiting."""
    JobScheduler._schedule_reevalutation = _set_alarm


def groups_checked_in_one_walk() -> None:
    """Let this process look for groups that depend on themselves only where there can be some."""
    from snakemake.dag import DAG  # only a running Snakemake can import it

    if DAG.validate_group is not _leave_to_the_walk:
        originals = (DAG.validate_group, DAG._check_groups)
        DAG.validate_group = _leave_to_the_walk
        DAG._check_groups = lambda dag: _check_groups(dag, *originals)


def resources_known_by_signature() -> None:
    """Let this process look up once what a resource is evaluated from."""
    overwrite_function_params(Resource.evaluate, signature(Resource.evaluate).parameters)


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
