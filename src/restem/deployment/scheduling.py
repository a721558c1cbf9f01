"""Keep Snakemake's main process quiet: one alarm at a time.

After each look at its jobs the scheduler (Snakemake 9.27) sets an alarm to look again a second
later, for its limit of jobs per second. Every finished job makes it look too, so that each begins
an endless chain of alarms: after 300 jobs it looks hundreds of times a second, a thread each time.
"""

import threading
from typing import Any

from snakemake.scheduling.job_scheduler import JobScheduler


def one_alarm_at_a_time() -> None:
    """Let the schedulers of this process set no alarm while one is waiting."""
    JobScheduler._schedule_reevalutation = _set_alarm


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
