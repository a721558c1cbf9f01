"""The SLURM executor of Snakemake, with three promises that a killed run or an outage broke.

- What an earlier run of the same study left in the queue is dealt with before anything is
  submitted, so that no job runs beside its own copy (`restem.deployment.cluster`).
- A failed question to the controller loses no job.
- A job that SLURM forgot, or will never start, is given back as failed; a retry puts back what it
  had finished. So is one whose number another job has got since: a controller that dies before it
  has saved its state counts on from an older one.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm

from restem.deployment import cluster

common_settings = slurm.common_settings
FORGOTTEN_AFTER = 3  # answers of the controller without the job, one after the other


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):  # type: ignore[misc]
    """The settings of the SLURM plugin, and what happens to running jobs of an earlier run."""

    orphans: str = field(
        default="wait",
        metadata={
            "help": "Running jobs that an earlier, killed run of this study left behind: 'wait' "
            "for their results, or 'cancel' them. Those that did not start yet are cancelled.",
            "env_var": False,
            "required": False,
            "choices": ["wait", "cancel"],
        },
    )


class Executor(slurm.Executor):  # type: ignore[misc]
    """Submit jobs under a name of their own, and account for each of them until it has ended."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Name the run, and deal with what an earlier one left in the queue."""
        settings = self.workflow.executor_settings
        study = self.workflow.globals["STUDY"].study
        directory = Path(self.workflow.workdir_init)
        settings.jobname_prefix = cluster.run_name(study, directory)
        super().__post_init__(test_mode)
        self._settled: list[Any] = []
        self._newest: dict[str, Any] = {}
        self._missed: dict[str, int] = {}
        alive = directory / ".snakemake" / "restem-slurm"
        self._alive = cluster.say_alive(alive, self.run_uuid)
        cluster.settle_orphans(
            settings.jobname_prefix, alive, settings.orphans, self.logger.warning
        )

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        """Note who has a number now."""
        self._newest[job_info.external_jobid] = job_info
        self._missed.pop(job_info.external_jobid, None)
        super().report_job_submission(job_info, register_job=register_job)

    async def check_active_jobs(self, active_jobs: list[Any]) -> AsyncIterator[Any]:
        """Ask for the state of all jobs; yield those that have not ended."""
        self._settled = []
        mine = [job for job in active_jobs if not self._replaced(job)]
        waiting = [job async for job in super().check_active_jobs(mine)]
        told = [*waiting, *self._settled]
        waiting += [job for job in mine if not any(job is other for other in told)]
        settings = self.workflow.executor_settings
        self.next_seconds_between_status_checks = settings.init_seconds_before_status_checks
        known = cluster.known_jobs(self.run_uuid) if waiting else None
        for job in waiting:
            if known is None or not self._given_up(job.external_jobid, job, known):
                yield job

    def _replaced(self, job: Any) -> bool:
        """Give a job back as failed if its number is another job's now."""
        number = job.external_jobid
        if self._newest.get(number, job) is job:
            return False
        self.report_job_error(job, msg=f"SLURM gave the number {number} to another job. ")
        return True

    def _given_up(self, number: str, job: Any, known: dict[str, str]) -> bool:
        """Give a job back as failed if SLURM has forgotten it or will never start it."""
        reason = known.get(number.split("_")[0])
        self._missed[number] = self._missed.get(number, 0) + 1 if reason is None else 0
        if self._missed[number] >= FORGOTTEN_AFTER:
            self.report_job_error(job, msg=f"SLURM no longer knows the job {number}. ")
            return True
        if reason in cluster.HOPELESS:
            cluster.cancel(number)
            advice = "Correct its resources in profiles/slurm/config.yaml. "
            self.report_job_error(
                job, msg=f"SLURM will not start the job {number}: {reason}. {advice}"
            )
            return True
        return False

    def report_job_success(self, job_info: Any) -> None:
        """Note that a job has ended."""
        self._settled.append(job_info)
        super().report_job_success(job_info)

    def report_job_error(self, job_info: Any, msg: str | None = None, **rest: Any) -> None:
        """Note that a job has ended."""
        self._settled.append(job_info)
        super().report_job_error(job_info, msg=msg, **rest)

    def shutdown(self) -> None:
        """End the run, and say so."""
        super().shutdown()
        os.close(self._alive)
