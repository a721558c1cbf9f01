"""The SLURM executor of Snakemake, hardened against killed runs and outages of the controller.

- Before it submits anything, it settles what earlier runs of the study left in the queue, so that
  no job runs beside a second copy of itself (`restem.deployment.cluster`).
- If the controller does not answer a query, no job is lost.
- A job that SLURM no longer knows is reported as failed; Snakemake's retry restores what the job
  had finished. The same holds for a job whose number has been given to another job: a controller
  that dies before saving its state counts on from an older one.
- A retry asks for more memory after the job ran out of memory, for more time after it ran out of
  time, and for the same after any other failure. What SLURM refuses or will never start fails at
  once (`restem.deployment.retries`).
- Jobs are named after rule and address, and the run prints one line when it submits one.
"""

import logging
import os
import re
import shlex
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import snakemake_executor_plugin_slurm as slurm
from snakemake_interface_logger_plugins.common import LogEvent

from restem.deployment import cluster, retries
from restem.deployment.retries import Cause
from restem.deployment.site import load_site, missing_resources

common_settings = slurm.common_settings
MISSING_ANSWERS = 3  # answers of SLURM in a row without a job, before it counts as failed
PROFILE = "profiles/slurm/config.yaml"
CORRECT = f"correct the account, partition, memory or time of the rule in {PROFILE}"
NOISE = re.compile(  # of the plugin and of Snakemake's scheduler, about every job
    r"Job \S+ has been submitted with SLURM jobid|Select jobs to execute|Execute \d+ jobs"
    r"|No SLURM account given|Unable to guess SLURM account|No account was given, not able to get"
)
_QUERIES = {name: getattr(slurm, name) for name in slurm.__dict__ if name in (
    "query_job_status_squeue", "query_job_status_sacct")}  # fmt: skip


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):  # type: ignore[misc]
    """The settings of the SLURM plugin; one for what an earlier run left, and ceilings."""

    orphans: str = field(
        default="wait",
        metadata={
            "help": "Running jobs that an earlier, killed run of this study left behind: 'wait' "
            "for their results, or 'cancel' them. Those that have not started are cancelled.",
            "env_var": False,
            "required": False,
            "choices": ["wait", "cancel"],
        },
    )
    max_mem_mb: Optional[int] = field(  # noqa: UP045 -- as Snakemake reads it
        default=None,
        metadata={
            "help": "The most memory that a job asks for [MB]. After a job ran out of memory, its "
            "next attempt asks for twice as much, up to this. By default there is no limit.",
            "env_var": False,
            "required": False,
        },
    )
    max_runtime: Optional[int] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "The most time that a job asks for [minutes]. After a job ran out of time, its "
            "next attempt asks for twice as much, up to this. By default there is no limit.",
            "env_var": False,
            "required": False,
        },
    )


class Executor(slurm.Executor):  # type: ignore[misc]
    """Submit jobs under the run's name, and account for each of them until it has ended."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Name the run, hold its lock, and settle what earlier runs left in the queue."""
        settings = self.workflow.executor_settings
        study = self.workflow.globals["STUDY"].study
        directory = Path(self.workflow.workdir_init)
        settings.jobname_prefix = cluster.run_name(study, directory)
        self.set_up()
        super().__post_init__(test_mode)
        locks = directory / ".snakemake" / "restem-slurm"
        self._run_lock = cluster.hold_run_lock(locks, self.run_uuid)
        cluster.settle_orphans(
            settings.jobname_prefix, locks, settings.orphans, self.logger.warning
        )

    def set_up(self) -> None:
        """Start without jobs; query SLURM by user, because each job has a name of its own."""
        settings = self.workflow.executor_settings
        self._site = load_site()
        limits = self._site.slurm
        maxima = {
            "mem_mb": settings.max_mem_mb or limits.max_mem_mb,
            "runtime": settings.max_runtime or limits.max_runtime,
        }
        self._amounts = retries.Amounts(maxima)
        self._ended_jobs: list[Any] = []
        self._newest_by_number: dict[str, Any] = {}
        self._missing_answers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        for name, command in _QUERIES.items():
            setattr(slurm, name, _by_user(command))
        self.logger.addFilter(self._is_news)

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Tell whether a person wants to read a record; name the job that has finished."""
        if getattr(record, "event", None) == LogEvent.JOB_FINISHED:
            number: int = getattr(record, "job_id", -1)
            record.msg = f"Finished {self._names.get(number) or record.msg}"
        return NOISE.match(record.getMessage()) is None

    def printjob(self, job: Any) -> None:
        """Print nothing before a job is submitted; `restem plan` gives the reasons for jobs."""

    def run_jobs(self, jobs: list[Any]) -> None:
        """Give each job what the site and past attempts tell that it needs, and submit it."""
        for job in jobs:
            added = missing_resources(self._site, job.resources)
            _set_resources(job, {**added, **self._amounts.of(job, job.resources)})
        super().run_jobs(jobs)

    def run_job(self, job: Any) -> None:
        """Submit a job; the plugin forgets a group whose submission raises an error."""
        try:
            super().run_job(job)
        except Exception as problem:
            cause = problem.__context__ or problem
            message = f"Job submission failed with exception: {cause}"
            self._report_job_error_threadsafe(slurm.SubmittedJobInfo(job), message)

    def format_job_exec(self, job: Any) -> str:
        """Return the command that a job runs, after the site's modules are loaded."""
        return self._site.prologue() + str(super().format_job_exec(job))

    def get_partition_arg(self, job: Any) -> str:
        """Return options of sbatch; the last of two equal ones counts, and these come later."""
        name, run = shlex.quote(_name(job)), shlex.quote(self.run_uuid)
        return f"{super().get_partition_arg(job)} --job-name={name} --comment={run}"

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        """Note which job has a number now, and print its name and what it asks for."""
        job, number = job_info.job, job_info.external_jobid
        self._newest_by_number[number] = job_info
        self._missing_answers.pop(number, None)
        super().report_job_submission(job_info, register_job=register_job)
        self._names |= {each.jobid: _name(each) for each in (job if job.is_group() else [job])}
        asked = retries.in_words(self._amounts.of(job, job.resources))
        log = os.path.relpath((job_info.aux or {}).get("slurm_logfile", "none"))
        self.logger.info(
            f"{_name(job)} has been submitted with SLURM jobid {number} (log: {log}); {asked}"
        )

    async def check_active_jobs(self, active_jobs: list[Any]) -> AsyncIterator[Any]:
        """Query the states of all jobs; yield the jobs that have not ended."""
        self._ended_jobs = []
        jobs = [job for job in active_jobs if not self._has_lost_its_number(job)]
        active = [job async for job in super().check_active_jobs(jobs)]
        # The plugin drops jobs of which SLURM says nothing; they are active until shown otherwise.
        accounted = [*active, *self._ended_jobs]
        active += [job for job in jobs if not any(job is other for other in accounted)]
        settings = self.workflow.executor_settings
        self.next_seconds_between_status_checks = settings.init_seconds_before_status_checks
        reasons = cluster.waiting_reasons() if active else None
        for job in active:
            if reasons is None or not self._is_hopeless(job, reasons):
                yield job

    def _has_lost_its_number(self, job: Any) -> bool:
        """Report a job as failed if its number now belongs to another job."""
        number = job.external_jobid
        if self._newest_by_number.get(number, job) is job:
            return False
        self._fail(job, f"SLURM gave the number {number} to another job. ")
        return True

    def _is_hopeless(self, job: Any, reasons: dict[str, str]) -> bool:
        """Report a job as failed if SLURM no longer knows it or will never start it.

        reasons: why each job waits, by number.
        """
        number = job.external_jobid
        reason = reasons.get(number.split("_")[0])
        missing = self._missing_answers.get(number, 0) + 1 if reason is None else 0
        self._missing_answers[number] = missing
        if missing >= MISSING_ANSWERS:
            self._fail(job, f"SLURM no longer knows the job {number}. ")
            return True
        if reason in cluster.FAILED_TO_LAUNCH:
            cluster.cancel(number)
            self._fail(job, f"SLURM could not launch the job {number}: {reason}. ")
            return True
        if reason and retries.never_starts(reason):
            cluster.cancel(number)
            asked = retries.in_words(self._amounts.of(job.job, job.job.resources))
            what = f"SLURM will not start the job {number}: {reason} (it asks for {asked})"
            self._fail(job, f"{what}. Not tried again: {CORRECT}. ", for_good=True)
            return True
        return False

    def report_job_success(self, job_info: Any) -> None:
        """Note that a job has ended."""
        self._ended_jobs.append(job_info)
        super().report_job_success(job_info)

    def report_job_error(self, job_info: Any, msg: str | None = None, **rest: Any) -> None:
        """Find out why a job ended, and whether and with what it is worth another attempt."""
        message = msg or ""
        if job_info.external_jobid is None:
            reason = retries.refused(message)
            refusal = f"SLURM refuses the job: {reason}. Not tried again: {CORRECT}. "
            self._fail(job_info, refusal if reason else message, for_good=bool(reason), **rest)
            return
        found = re.search(r"status is: '(\w+)'", message)
        ending = retries.ending_of(job_info.external_jobid)
        ending = ending or retries.Ending(found[1] if found else "FAILED")
        log = retries.end_of_log((job_info.aux or {}).get("slurm_logfile"))
        warned = retries.warning_seconds(job_info.job.resources.get("slurm_extra"))
        cause = retries.cause_of(ending, log, warned)
        text, for_good = self._next_attempt(job_info, cause, ending.state)
        brief = cause is not Cause.PROGRAM
        self._fail(job_info, text, for_good, brief, **rest)

    def _next_attempt(self, job_info: Any, cause: Cause, state: str) -> tuple[str, bool]:
        """Decide on the next attempt of a job; return a message, and whether to give up."""
        job = job_info.job
        had = retries.in_words(self._amounts.of(job, job.resources))
        what = f"SLURM job {job_info.external_jobid} {cause.value} ({state}; it had {had})"
        again = _has_retries(job)
        if cause not in (Cause.MEMORY, Cause.TIME):
            same = "the next attempt gets the same memory and time. "
            return f"{what}: {same}" if again else f"{what}. ", False
        resource, limit = ("mem_mb", "max-mem-mb") if cause is Cause.MEMORY else (
            "runtime", "max-runtime")  # fmt: skip
        more = self._amounts.grow(job, job.resources, cause)
        if not more:
            most = f"no more is allowed (restem-slurm-{limit}, {resource} in {PROFILE})"
            return f"{what}: {most}. Not tried again: raise it, or let the job need less. ", True
        if not again:
            return f"{what}, and no retries are left: raise its {resource} in {PROFILE}. ", False
        return f"{what}: the next attempt gets {retries.in_words(more)}. ", False

    def _fail(self, job_info: Any, text: str, for_good: bool = False, brief: bool = True,
              **rest: Any) -> None:  # fmt: skip
        """Report a job as failed; for good: without using up its retries.

        brief: if the job is tried again, print one line instead of Snakemake's account of it.
        """
        job = job_info.job
        self._ended_jobs.append(job_info)
        if for_good:
            job.attempt = job.restart_times + 1
        one_line = f"{_name(job)}: {text.strip()}"
        if brief and _has_retries(job):
            self.logger.warning(one_line)
            self.workflow.scheduler.error_callback(job)
            return
        if job.is_group():  # for which Snakemake prints no message
            self.logger.error(one_line)
        super().report_job_error(job_info, msg=text, **rest)

    def shutdown(self) -> None:
        """End the run, and release its lock."""
        super().shutdown()
        self.logger.removeFilter(self._is_news)
        os.close(self._run_lock)


def _by_user(command: Callable[[str], str]) -> Callable[[str], str]:
    """Let a query of the plugin ask for all jobs of the user, instead of those with a name.

    The plugin looks up its jobs in the answer by number.
    """
    return lambda run: command(run).replace(f"--name {run}", f"--user={os.getuid()}")


def _name(job: Any) -> str:
    """Return the name of a job or group of jobs: its rule or group, and its address."""
    if job.is_group():
        return cluster.job_name(job.groupid, list(job.output))
    return cluster.job_name(job.name, list(job.output)[:1])


def _has_retries(job: Any) -> bool:
    """Tell whether Snakemake will try a job again when it has failed now."""
    return bool(job.restart_times > job.attempt - 1)


def _set_resources(job: Any, amounts: dict[str, Any]) -> None:
    """Replace some resources of a job; Snakemake evaluates them again for the next attempt."""
    from snakemake.iocontainers import ResourceList  # after Snakemake has set itself up

    if any(job.resources.get(name) != amount for name, amount in amounts.items()):
        values = {**dict(job.resources.items()), **amounts}
        job._resources = values if job.is_group() else ResourceList(fromdict=values)
