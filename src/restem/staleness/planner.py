"""Compare the jobs of a plan with the seals of their outputs.

A job is fresh when the key of its recipe is the one in the seal and its outputs are as they were
sealed. Everything that this reads lies beside the outputs and is relative to them, so the answer is
the same for results that were copied, moved, handed to somebody else, or finished after a kill.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from restem.artifacts import sharing
from restem.artifacts.files import artifact_digest, read_json
from restem.artifacts.pins import is_pinned
from restem.artifacts.seals import (
    changed_files,
    read_seal,
    recipe_key,
    recorded_outputs,
    refreshed,
    stat_of,
    state_path,
    stats_of,
    write_seal,
)
from restem.artifacts.store import RECOMPUTE, is_locked, restore
from restem.errors import RestemError
from restem.stages.declaration import Stage
from restem.stages.execution import from_argument, outputs_of
from restem.staleness.commands import RuleCommand, rule_command
from restem.staleness.reasons import NO_SEAL, changes

Job = Any  # snakemake.jobs.Job


class PlannedJob:
    """A job of Snakemake that runs a stage, and what its command would compute."""

    def __init__(self, job: Job, command: RuleCommand) -> None:
        self.job = job
        self.command = command
        self.first_output = Path(job.output[0])

    @property
    def stage(self) -> Stage:
        """Return the stage that the job runs."""
        return self.command.stage

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Return the input files by parameter of the stage."""
        return self.command.inputs(self.job)

    @property
    def outputs(self) -> dict[str, Path]:
        """Return the output files by their names in the seal."""
        return outputs_of(self.stage, self.command.outputs(self.job))

    def recipe(self, inputs: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
        """Return the recipe, given the contents of the inputs; one digest stands for the code."""
        params = self.job.params
        return {
            "stage": self.stage.name,
            "settings": from_argument(params.settings),
            "options": self.command.options(self.job),
            "code": params.code,
            "environment": params.environment,
            "inputs": inputs,
        }


class Planner:
    """Tells which jobs of a graph of Snakemake jobs are stale, and why."""

    def __init__(self, dag: Any) -> None:
        self.dag = dag
        self._contents: dict[Path, dict[str, str | None]] = {}
        self._digests: dict[Path, str | None] = {}
        self._frozen: dict[Job, Mapping[Job, Collection[Any]]] = {}

    def freeze(self, job: Job) -> None:
        """Cut a pinned artifact's job off from the jobs upstream, so that they cannot make it run.

        Snakemake's `ancient` does not do: jobs below would not be asked for reasons of their own.
        """
        if job in self._frozen:
            return
        self._frozen[job] = dict(self.dag.dependencies[job])
        for upstream in self._frozen[job]:
            del self.dag.depending[upstream][job]
        self.dag.dependencies[job].clear()

    def _upstream(self, job: Job) -> Mapping[Job, Collection[Any]]:
        """Return the jobs that make a job's inputs, and which."""
        of_graph: Mapping[Job, Collection[Any]] = self.dag.dependencies[job]
        return self._frozen.get(job, of_graph)

    def forget(self) -> None:
        """Forget what was read: a job has started or finished."""
        self._contents.clear()
        self._digests.clear()

    @staticmethod
    def planned(job: Job) -> PlannedJob | None:
        """Return what the seals decide about a job; None if its rule does not run a stage."""
        command = rule_command(job.rule.shellcmd)
        return PlannedJob(job, command) if command and job.output else None

    def reasons(self, job: Job, renew: bool = False) -> tuple[str, ...]:
        """Say why a job is stale; nothing if it is fresh.

        renew: write the times that outputs and inputs have now into the seal of a fresh job.
        """
        planned = self.planned(job)
        if planned is None:
            return ()
        seal = read_seal(planned.first_output)
        if is_pinned(planned.first_output):
            _check_pinned(planned, seal)
            return ()
        if seal is None:
            return (NO_SEAL,)
        edited = changed_files(planned.first_output, seal)
        recipe = planned.recipe(self._contents_of_inputs(planned, seal))
        if recipe_key(recipe) != seal["key"]:
            found = (*edited, *changes(seal, planned.stage, recipe, planned.files))
            edited = list(found) or ["its seal states another key"]
        if not edited and renew:
            self._renew(planned, seal)
        return tuple(edited)

    def explain(self, job: Job, stale: Collection[Job]) -> tuple[str, ...]:
        """Say what of a job's own is stale, leaving out inputs that stale jobs will make again."""
        planned = self.planned(job)
        seal = read_seal(planned.first_output) if planned else None
        if planned is None or seal is None:
            exists = planned is not None and any(p.exists() for p in planned.outputs.values())
            return (NO_SEAL,) if exists else ()
        upstream = self._upstream(job).items()
        remade = {str(f) for other, files in upstream if other in stale for f in files}
        inputs = {
            name: [None if str(path) in remade else content for path, content in pairs]
            for name, pairs in self._pairs_of_inputs(planned, seal).items()
        }
        edited = [f"file {change}" for change in changed_files(planned.first_output, seal)]
        edited += [f"file {path} was pruned, and is needed again" for path in pruned(planned, seal)]
        different = changes(seal, planned.stage, planned.recipe(inputs), planned.files)
        return (*edited, *different)

    def pinned(self, stale: Collection[Job]) -> Iterator[str]:
        """Say of every pinned artifact of the plan why it is pinned, and what has changed since."""
        for job in self.dag.jobs:
            planned = self.planned(job)
            if planned is None or not is_pinned(planned.first_output):
                continue
            pin = read_json(state_path(planned.first_output, "pin.json"))
            upstream = self._upstream(job).items()
            remade = [f for other, files in upstream if other in stale for f in files]
            drifted = [f"input {f} will be made again" for f in remade]
            drift = "; ".join([*self.explain(job, stale), *drifted]) or "its recipe is unchanged"
            yield f"{planned.first_output} is pinned ({pin['reason']}): {drift}"

    def settle(self, job: Job) -> bool:
        """Restore a job's outputs without running it, if that is possible; tell whether it was.

        A pruned checkpoint stays pruned, unless an unfinished job will read it. A pinned artifact
        stays as it is, even if somebody forces its job to run.
        """
        planned = self.planned(job)
        if planned is not None and is_pinned(planned.first_output):
            return True
        if planned is None or not planned.stage.reuse or os.environ.get(RECOMPUTE):
            return False
        known = read_seal(planned.first_output) is not None or sharing.store() is not None
        if not known or is_locked(planned.first_output):
            return False
        try:
            inputs = {n: [artifact_digest(p) for p in ps] for n, ps in planned.files.items()}
            stats = stats_of(planned.files)
        except (RestemError, OSError):
            return False  # the job itself will say what is wrong with its input
        unneeded = {name for name, path in planned.outputs.items() if not self._is_read(job, path)}
        return restore(recipe_key(planned.recipe(inputs)), planned.outputs, stats, unneeded)

    def _is_read(self, job: Job, output: Path) -> bool:
        """Tell whether a job of the plan that has not finished reads an output of another."""
        readers = self.dag.depending[job].items()
        unfinished = (files for j, files in readers if not self.dag.noneedrun_finished(j))
        return any(str(output) == str(file) for files in unfinished for file in files)

    def _contents_of_inputs(
        self, planned: PlannedJob, seal: Mapping[str, Any]
    ) -> dict[str, list[str | None]]:
        pairs = self._pairs_of_inputs(planned, seal)
        return {name: [content for _, content in of_name] for name, of_name in pairs.items()}

    def _pairs_of_inputs(
        self, planned: PlannedJob, seal: Mapping[str, Any]
    ) -> dict[str, list[tuple[Path, str | None]]]:
        """Return every input with its content; None where it cannot be read.

        What a job made is looked up in that job's seal; other files are read only if their time
        differs from the one in the seal of the job that reads them.
        """
        producers = {
            str(file): job for job, files in self._upstream(planned.job).items() for file in files
        }
        pairs: dict[str, list[tuple[Path, str | None]]] = {}
        for name, paths in planned.files.items():
            read = seal.get("read", {}).get(name, [])
            known = seal["inputs"].get(name, [])
            pairs[name] = []
            for index, path in enumerate(paths):
                content = None
                if producer := producers.get(str(path)):
                    content = self._contents_of(producer).get(str(path))
                elif index < min(len(read), len(known)) and _stat(path) == read[index]:
                    content = known[index]
                pairs[name].append((path, content or self._digest(path)))
        return pairs

    def _contents_of(self, job: Job) -> dict[str, str | None]:
        """Return the contents of a job's outputs by its seal."""
        first_output = Path(job.output[0])
        if first_output not in self._contents:
            seal = read_seal(first_output)
            outputs = recorded_outputs(first_output, seal) if seal else []
            contents = {str(path): record["content"] for path, record in outputs}
            self._contents[first_output] = contents
        return self._contents[first_output]

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            try:
                self._digests[path] = artifact_digest(path)
            except (RestemError, OSError):
                self._digests[path] = None
        return self._digests[path]

    def _renew(self, planned: PlannedJob, seal: dict[str, Any]) -> None:
        """Bring the times in a seal up to date, so that the next plan reads no contents."""
        with suppress(OSError):  # an input was deleted, or the results are somebody else's
            renewed = refreshed(planned.first_output, seal) or seal
            stats = stats_of(planned.files)
            if renewed.get("read") != stats:
                renewed = {**renewed, "read": stats}
            if renewed is not seal and not is_locked(planned.first_output):
                write_seal(planned.first_output, renewed)


def _check_pinned(planned: PlannedJob, seal: Mapping[str, Any] | None) -> None:
    """Raise RestemError if a pinned artifact is not what was pinned."""
    edited = changed_files(planned.first_output, seal) if seal else [NO_SEAL]
    if edited:
        raise RestemError(
            f"a pinned artifact is not what was pinned: {'; '.join(edited)}",
            str(planned.first_output),
            "put it back as it was, or remove the pin (restem unpin) to make it again",
        )


def pruned(planned: PlannedJob, seal: Mapping[str, Any]) -> list[Path]:
    """List the outputs of a job that were deleted by `restem prune`."""
    outputs = recorded_outputs(planned.first_output, seal)
    return [path for path, record in outputs if record.get("pruned") and not path.exists()]


def _stat(path: Path) -> list[int] | None:
    try:
        return stat_of(path)
    except OSError:
        return None
