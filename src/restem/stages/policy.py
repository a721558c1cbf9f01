"""Stage policy: the M-step (Algorithm 1): fine-tune while the validation reward improves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest
from restem.artifacts.store import Job, hidden, read_json, write_json, write_text
from restem.artifacts.tables import KEPT, read_rows
from restem.config.base import Strict
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.reward import Reward
from restem.config.training import Training
from restem.errors import RestemError
from restem.policies.manifest import CHECKPOINT, read_policy, verify_checkpoint, write_policy
from restem.rewards.verifier import Attempt
from restem.tasks.grading import Grader, open_grader
from restem.tasks.problem import Problem, read_problems
from restem.tasks.registry import load_task
from restem.tasks.task import few_shot_prefix
from restem.training.launch import nodes_of_job, torchrun


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward
    training: Training
    engine: EngineSettings
    validation: Decoding
    seed: int


def run(
    job: Job,
    examples: Path,
    start: Path,
    validation: Path,
    shots: Path,
    threads: int,
    output: Path,
    checkpoint: Path,
    save_seconds: float = 600,
) -> None:
    """Write a fine-tuned checkpoint and its manifest; without examples, a halted policy.

    save_seconds: time between two saves of the run's state, from which a killed job goes on.
    """
    settings = Settings.model_validate(job.recipe.settings)
    kept = [row for row in read_rows(examples, "examples") if row["decision"] == KEPT]
    manifest = read_policy(start)
    reason = manifest.halted or (None if kept else "no completion was correct: no example is left")
    _empty(checkpoint)
    if reason:
        write_policy(output, job.provenance, {"examples": 0}, halted=reason)
        print(f"policy: halted, {reason}", flush=True)
        return
    from restem.policies.card import write_card

    verify_checkpoint(manifest)
    _some(validation)
    # Other threads round otherwise: going on with their state would give other bytes.
    key = digest([job.recipe.key, threads])
    work = Work(
        settings=settings,
        examples=examples,
        start=start,
        validation=validation,
        shots=shots,
        output=output,
        threads=threads,
        key=key,
        save_seconds=save_seconds,
    )
    report = work.done() if settings.training.processes == 1 else _launched(work)
    # What the clock decides is no part of the policy: equal work gives equal bytes.
    job.notes |= {name: report.pop(name) for name in ("wall_seconds", "peak_memory_bytes")}
    partial = work.partial
    write_card(partial, settings.training.model_dump(exclude_defaults=True), report, job.provenance)
    shutil.rmtree(checkpoint, ignore_errors=True)  # Snakemake may have removed it meanwhile
    partial.rename(checkpoint)
    write_policy(output, job.provenance, report)
    work.keeper().sweep()
    best = max(point["reward"] for point in report["validations"])
    print(f"policy: {len(report['losses'])} steps, validation reward {best:.3f}", flush=True)


def _some(validation: Path) -> list[Problem]:
    problems = read_problems(validation)
    if not problems:
        raise RestemError(
            "there is no validation problem to measure the reward on",
            str(validation),
            "give the task's data `validation: 50` or so; test problems are never used for it",
        )
    return problems


def _empty(checkpoint: Path) -> None:
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)


class Work(Strict):
    """Hold what a process needs to take part in a fine-tuning; files as in `run`."""

    settings: Settings
    examples: Path
    start: Path
    validation: Path
    shots: Path
    output: Path
    threads: int
    key: str
    save_seconds: float

    @property
    def partial(self) -> Path:
        """Return where the checkpoint is made."""
        return self.output.parent / f".{CHECKPOINT}.partial"

    def keeper(self) -> Any:
        """Return what keeps the run's state in the undeclared folder beside the output."""
        from restem.training.state import Keeper

        return Keeper(hidden(self.output) / "training", self.key, self.save_seconds)

    def done(self) -> dict[str, Any]:
        """Train into a folder beside the output; return the report."""
        from restem.sampling.loading import device
        from restem.training.examples import Example
        from restem.training.loop import fine_tune

        names = ("prefix", "prompt", "target", "weight")
        rows = [row for row in read_rows(self.examples, "examples") if row["decision"] == KEPT]
        given = [Example(*(row[name] for name in names)) for row in rows]
        settings, task = self.settings, load_task(self.settings.task)
        prefix = few_shot_prefix(task, read_problems(self.shots))
        shutil.rmtree(self.partial, ignore_errors=True)
        with open_grader(settings.task, settings.verifier, settings.reward) as grader:
            report = fine_tune(
                read_policy(self.start).checkpoint,
                given,
                settings.training,
                settings.seed,
                self.threads,
                _validation(settings, prefix, read_problems(self.validation), grader),
                self.partial,
                _tell,
                device(settings.engine.device),
                self.keeper(),
            )
        return asdict(report)


def _launched(work: Work) -> dict[str, Any]:
    """Let torchrun do the work in several processes; return the report."""
    folder = hidden(work.output)
    request, answer = folder / "work.json", folder / "report.json"
    write_text(request, work.model_dump_json())
    count = work.settings.training.processes
    command, variables = torchrun(count, nodes_of_job())
    command += ["-m", __name__, str(request), str(answer)]
    running = subprocess.Popen(command, env=variables | {"OMP_NUM_THREADS": str(work.threads)})
    try:
        code = running.wait()
    finally:
        running.terminate()
        running.wait()
    if code:
        raise RestemError(
            f"a process of the fine-tuning ended with code {code}",
            f"training.processes = {count}",
            "see its message above; the same command goes on from the last saved state",
        )
    report = read_json(answer)
    for path in (request, answer):
        path.unlink()
    return report


def _take_part(request: Path, answer: Path) -> None:
    """Do one process's work; the first process writes the report."""
    from restem.sampling.loading import device

    work = Work.model_validate_json(request.read_text())
    devices = device(work.settings.engine.device) == "cuda" and torch_devices()
    if devices and devices < work.settings.training.processes:
        raise RestemError(
            f"there are {devices} accelerators for {work.settings.training.processes} processes",
            "training.processes",
            "give it at most one process an accelerator",
        )
    report = work.done()
    if os.environ["RANK"] == "0":
        write_json(answer, report)


def torch_devices() -> int:
    """Count this machine's accelerators."""
    import torch

    return torch.cuda.device_count()


def _validation(
    settings: Settings, prefix: str, problems: Sequence[Problem], grader: Grader
) -> Callable[[Any, Any], float]:
    """Return a function that draws on the validation split, and averages the reward."""
    from restem.sampling.engine import Request, draw_seed
    from restem.sampling.transformers.engine import TransformersEngine

    task, decoding = load_task(settings.task), settings.validation
    gold = {problem.id: problem.answer or "" for problem in problems}
    draws = tuple(range(decoding.draws))

    def request(problem: Problem) -> Request:
        address = ("validation", "validation", "validation", problem.id)
        seeds = tuple(draw_seed(*address, draw, settings.seed) for draw in draws)
        return Request(problem.id, prefix, task.question(problem.question), draws, seeds)

    def validate(model: Any, tokenizer: Any) -> float:
        engine = TransformersEngine(model, tokenizer, settings.engine.rows)
        requests = [request(problem) for problem in problems]
        attempts = [
            Attempt(gold[completion.problem_id], completion.text)
            for group in engine.sample(requests, decoding, task.stop)
            for completion in group
        ]
        return sum(v.reward for v in grader.verdicts(attempts)) / len(attempts)

    return validate


def _tell(line: str) -> None:
    print(f"policy: {line}", flush=True)


if __name__ == "__main__":
    try:
        _take_part(*map(Path, sys.argv[1:]))
    except RestemError as problem:
        print(f"restem: {problem}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
