"""Let the seals answer Snakemake's questions about staleness.

Snakemake asks its persistence layer whether the parameters, the code or the inputs of a job have
changed since it ran. That layer knows only what a main process recorded in `.snakemake` after the
job: nothing of a job whose main process was killed, nor of results that were copied, and then it
takes whatever exists for fresh. So for jobs that run a stage, this module replaces the answers:

- `SealPersistence` answers from the seals, in memory. Jobs that run no stage (container images) are
  left to Snakemake. In a dry run its own files lie in a temporary folder, so that planning writes
  nothing beside the results.
- The times of files do not count, and finished outputs are not touched.
- Jobs upstream of a pinned artifact do not make it run again.
- Before a job is started or submitted, its outputs are restored if its recipe turns out to be the
  sealed one. So nothing waits in a queue for work that an early cut-off saves.

These are six places of Snakemake's internals. Nothing can be planned without them, so another
version of Snakemake than those that they were tested with is refused.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import snakemake
from packaging.specifiers import SpecifierSet
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence import NO_PARAMS_CHANGE, ParamsChange
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import RerunTrigger

from restem.artifacts.pins import is_pinned
from restem.artifacts.store import delete_unused_copies
from restem.errors import RestemError
from restem.staleness.planner import Planner

TESTED_WITH: Final = SpecifierSet("==9.27.*")
Job = Any  # snakemake.jobs.Job


class Stale(ParamsChange):  # type: ignore[misc]
    """What Snakemake prints as the reason of a stale job."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(only_new=set(reasons))
        self.reasons = reasons

    def __str__(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(self.reasons)


class SealPersistence(FilePersistence):  # type: ignore[misc]
    """Snakemake's memory of past jobs, answered from their seals."""

    newest: "SealPersistence"
    check: Callable[[Any], None] | None = None  # of the planned graph, before anything runs

    def __init__(self, dag: Any = None, path: Path | None = None, **options: Any) -> None:
        self.planner = Planner(dag)
        self.workflow = dag.workflow
        self.plans = self.workflow.is_main_process
        if self.workflow.dryrun:
            path = Path(tempfile.mkdtemp(prefix="restem-plan-"))
            atexit.register(shutil.rmtree, path, ignore_errors=True)
        super().__init__(dag=dag, path=path, **options)
        locks = Path(".snakemake/locks")
        if self.workflow.dryrun and locks.is_dir():
            self._lockdir = str(locks)  # so that a dry run can say that another run is active
        SealPersistence.newest = self
        self._lock_files = self.lock  # dry runs and jobs have another one than the method below
        self.lock = self._check_and_lock  # type: ignore[method-assign]

    def _check_and_lock(self) -> Any:
        if SealPersistence.check:
            SealPersistence.check(self.dag)
        return self._lock_files()

    def has_metadata(self, job: Job) -> bool:
        """Tell whether something is known about a job; a seal or its absence always says enough."""
        return is_sealed(job) or super().has_metadata(job)

    def has_outdated_metadata(self, job: Job) -> bool:
        """Tell whether another version of Snakemake recorded a job."""
        return not is_sealed(job) and super().has_outdated_metadata(job)

    def params_changed(self, job: Job, file: Any = None) -> Any:
        """Return why a job is stale. Only the main process decides that."""
        if not is_sealed(job):
            return super().params_changed(job, file=file)
        if not self.plans:
            return NO_PARAMS_CHANGE
        try:
            reasons = self.planner.reasons(job, renew=not self.workflow.dryrun)
        except RestemError as problem:
            raise WorkflowError(f"restem: {problem}") from problem
        return Stale(reasons) if reasons else NO_PARAMS_CHANGE

    def code_changed(self, job: Job, file: Any = None) -> Any:
        """Tell whether the rule has changed; `params_changed` says so of a stage."""
        return self._unsealed(super().code_changed, job, file)

    def input_changed(self, job: Job, file: Any = None) -> Any:
        """Tell whether the set of inputs has changed; `params_changed` says so of a stage."""
        return self._unsealed(super().input_changed, job, file)

    def software_stack_changed(self, job: Job, file: Any = None) -> Any:
        """Tell whether the environment has changed; `params_changed` says so of a stage."""
        return self._unsealed(super().software_stack_changed, job, file)

    def _unsealed(self, answer: Callable[..., Any], job: Job, file: Any) -> Any:
        if not is_sealed(job):
            return answer(job, file=file)
        return iter(()) if file is None else False

    async def incomplete(self, job: Job) -> list[Any]:
        """List unfinished outputs; an output without its seal is stale anyway."""
        return [] if is_sealed(job) else list(await super().incomplete(job))

    def external_jobids(self, job: Job) -> list[str]:
        """List the SLURM jobs that may still make an output; the executor settles those."""
        return [] if is_sealed(job) else list(super().external_jobids(job))

    def lock(self) -> Any:
        """Lock the study's files; called once, after the jobs have been planned."""
        if self.plans and not self.workflow.dryrun:
            for job in filter(is_sealed, self.dag.needrun_jobs()):
                delete_unused_copies(Path(job.output[0]), spare=self._may_be_unfinished)
        return super().lock()

    def _may_be_unfinished(self, output: Path) -> bool:
        """Tell whether a job had started to make an output, and so had deleted it before."""
        return bool(self._filter_incomplete_keys([str(output)]))

    def _clear_cache(self) -> None:
        self.planner.forget()
        super()._clear_cache()


def is_sealed(job: Job) -> bool:
    """Tell whether a job runs a stage, so that a seal tells all about it."""
    return Planner.planned(job) is not None


def stale_jobs() -> Iterator[tuple[Job, tuple[str, ...]]]:
    """Yield the jobs of the newest plan, without targets, and why each is stale by itself.

    Those that others depend on come first.
    """
    persistence = SealPersistence.newest
    stale = set(persistence.dag.needrun_jobs(exclude_finished=False))  # a dry run finishes them
    for level in persistence.dag.toposorted():
        for job in sorted(level, key=lambda job: (job.rule.name, str(job.output))):
            if job in stale and job.output:
                yield job, persistence.planner.explain(job, stale)


def let_seals_decide(check: Callable[[Any], None] | None = None) -> None:
    """Replace Snakemake's answers in this process, before it plans.

    check: is called with the graph of jobs when all are planned, before anything runs. Raises
    RestemError when this is no version of Snakemake that the replacements were tested with.
    """
    if snakemake.__version__ not in TESTED_WITH:
        raise RestemError(
            f"Snakemake {snakemake.__version__} has not been tested",
            "the environment that Snakemake runs in",
            f"install snakemake{TESTED_WITH}, as envs/run.txt does",
        )
    from snakemake import workflow  # can be imported only after Snakemake has set itself up
    from snakemake.dag import DAG
    from snakemake.jobs import Job as SnakemakeJob
    from snakemake.jobs import Reason
    from snakemake.scheduling.job_scheduler import JobScheduler

    SealPersistence.check = staticmethod(check) if check else None
    if workflow.FilePersistence is SealPersistence:
        return
    workflow.FilePersistence = SealPersistence
    # Whatever reasons a user leaves out with --rerun-triggers, the seals are asked.
    workflow.Workflow.rerun_triggers = property(
        lambda flow: {*flow.dag_settings.rerun_triggers, RerunTrigger.PARAMS}
    )
    SnakemakeJob.output_mintime = property(_time_of_outputs(SnakemakeJob.output_mintime.fget))
    # Snakemake would advise to ignore the parameters, or to delete what it knows of past jobs.
    Reason.is_provenance_triggered = lambda reason: False
    SnakemakeJob.check_protected_output = _unless_dry(SnakemakeJob.check_protected_output)
    DAG.update_needrun = _freeze_pinned(DAG.update_needrun)
    DAG.check_and_touch_output = _check_output(DAG.check_and_touch_output)
    JobScheduler.run = _run_what_cannot_be_settled(JobScheduler.run)


def _time_of_outputs(original: Callable[..., Any]) -> Callable[..., Any]:
    async def output_mintime(job: Job) -> Any:
        return None if is_sealed(job) else await original(job)

    return output_mintime


def _unless_dry(original: Callable[..., Any]) -> Callable[..., Any]:
    """Plan on a read-only file system too, where every output looks protected."""

    async def check_protected_output(job: Job) -> None:
        if not job.dag.workflow.dryrun:
            await original(job)

    return check_protected_output


def _freeze_pinned(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let no job upstream of a pinned artifact make it stale, and say what has changed since."""

    async def update_needrun(dag: Any, **options: Any) -> None:
        main = dag.workflow.is_main_process
        pinned = [job for job in dag.jobs if is_sealed(job) and is_pinned(Path(job.output[0]))]
        for job in pinned if main else ():
            dag.workflow.persistence.planner.freeze(job)
        await original(dag, **options)
        if pinned and main:
            stale = set(dag.needrun_jobs(exclude_finished=False))
            for line in dag.workflow.persistence.planner.pinned(stale):
                logger.warning(line)

    return update_needrun


def _check_output(original: Callable[..., Any]) -> Callable[..., Any]:
    async def check_and_touch_output(dag: Any, job: Job, **options: Any) -> None:
        if job in _settled:
            return
        if is_sealed(job):
            options |= {"no_touch": True, "check_output_mtime": False}
        await original(dag, job, **options)

    return check_and_touch_output


_settled: set[Job] = set()


def _run_what_cannot_be_settled(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(scheduler: Any, jobs: list[Job], executor: Any = None) -> None:
        workflow = scheduler.workflow
        if not workflow.is_main_process or scheduler.dryrun or scheduler.touch:
            original(scheduler, jobs, executor)
            return
        settled = [job for job in jobs if _settle(job, workflow.persistence.planner)]
        rest = [job for job in jobs if job not in settled]
        if rest:
            original(scheduler, rest, executor)
        for job in settled:
            scheduler._proceed(job)

    return run


def _settle(job: Job, planner: Planner) -> bool:
    """Restore all outputs of a job, or of a group of jobs, if that is possible."""
    members = [j for level in job.toposorted for j in level] if job.is_group() else [job]
    done = all(planner.settle(member) for member in members)
    if done:
        _settled.update(members)
    return done
