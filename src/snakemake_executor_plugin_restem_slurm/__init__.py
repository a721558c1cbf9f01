"""The SLURM executor of Snakemake, hardened against killed runs and outages of the controller.

- Before it submits anything, it settles what earlier runs of the study left in the queue, so that
  no job runs beside a second copy of itself (`restem.deployment.cluster`).
- If the controller does not answer a query, no job is lost.
- A job that SLURM no longer knows or will never start is reported as failed; Snakemake's retry
  restores what the job had finished. The same holds for a job whose number has been given to
  another job: a controller that dies before saving its state counts on from an older one.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm

from restem.deployment import cluster

common_settings = slurm.common_settings
MISSING_ANSWERS = 3  # answers of SLURM in a row without a job, before it counts as failed


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):  # type: ignore[misc]
    """The settings of the SLURM plugin, and one for the running jobs of an earlier run."""

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


class Executor(slurm.Executor):  # type: ignore[misc]
    """Submit jobs under the run's name, and account for each of them until it has ended."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Name the run, hold its lock, and settle what earlier runs left in the queue."""
        settings = self.workflow.executor_settings
        study = self.workflow.globals["STUDY"].study
        directory = Path(self.workflow.workdir_init)
        settings.jobname_prefix = cluster.run_name(study, directory)
        super().__post_init__(test_mode)
        self._ended_jobs: list[Any] = []
        self._newest_by_number: dict[str, Any] = {}
        self._missing_answers: dict[str, int] = {}
        locks = directory / ".snakemake" / "restem-slurm"
        self._run_lock = cluster.hold_run_lock(locks, self.run_uuid)
        cluster.settle_orphans(
            settings.jobname_prefix, locks, settings.orphans, self.logger.warning
        )

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        """Note which job has a number now."""
        self._newest_by_number[job_info.external_jobid] = job_info
        self._missing_answers.pop(job_info.external_jobid, None)
        super().report_job_submission(job_info, register_job=register_job)

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
        reasons = cluster.waiting_reasons(self.run_uuid) if active else None
        for job in active:
            if reasons is None or not self._is_hopeless(job, reasons):
                yield job

    def _has_lost_its_number(self, job: Any) -> bool:
        """Report a job as failed if its number now belongs to another job."""
        number = job.external_jobid
        if self._newest_by_number.get(number, job) is job:
            return False
        self.report_job_error(job, msg=f"SLURM gave the number {number} to another job. ")
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
            self.report_job_error(job, msg=f"SLURM no longer knows the job {number}. ")
            return True
        if reason in cluster.NEVER_STARTS:
            cluster.cancel(number)
            advice = "Correct its resources in profiles/slurm/config.yaml. "
            self.report_job_error(
                job, msg=f"SLURM will not start the job {number}: {reason}. {advice}"
            )
            return True
        return False

    def report_job_success(self, job_info: Any) -> None:
        """Note that a job has ended."""
        self._ended_jobs.append(job_info)
        super().report_job_success(job_info)

    def report_job_error(self, job_info: Any, msg: str | None = None, **rest: Any) -> None:
        """Note that a job has ended."""
        self._ended_jobs.append(job_info)
        super().report_job_error(job_info, msg=msg, **rest)

    def shutdown(self) -> None:
        """End the run, and release its lock."""
        super().shutdown()
        os.close(self._run_lock)
