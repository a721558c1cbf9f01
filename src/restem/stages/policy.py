"""Stage policy: the M-step (Algorithm 1): fine-tune while the validation reward improves."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from restem.artifacts import Job, hidden
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.reward import Reward
from restem.config.strict import Strict
from restem.config.training import Training
from restem.errors import RestemError
from restem.grading import Grader, open_grader
from restem.policies import CHECKPOINT, read_policy, verify_checkpoint, write_policy
from restem.provenance import digest
from restem.rewards.verifier import Attempt
from restem.tables import KEPT, read_rows
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task
from restem.tasks.table import read_problems
from restem.tasks.task import few_shot_prefix


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
    from restem.training.card import write_card

    task = load_task(settings.task)
    prefix = few_shot_prefix(task, read_problems(shots))
    keeper = _keeper(output, job, threads, save_seconds)
    weights = verify_checkpoint(manifest)
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:
        validate = _validation(settings, prefix, _some(validation), grader)
        report = _fine_tune(kept, weights, settings, threads, validate, output, keeper)
    partial = output.parent / f".{CHECKPOINT}.partial"
    write_card(partial, settings.training.model_dump(exclude_defaults=True), report, job.provenance)
    shutil.rmtree(checkpoint, ignore_errors=True)  # Snakemake may have removed it meanwhile
    partial.rename(checkpoint)
    write_policy(output, job.provenance, report)
    keeper.sweep()
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


def _keeper(output: Path, job: Job, threads: int, save_seconds: float) -> Any:
    """Return what keeps the run's state in the undeclared folder beside the output."""
    from restem.training.state import Keeper

    # Other threads round otherwise: going on with their state would give other bytes.
    key = digest([job.recipe.key, threads])
    return Keeper(hidden(output) / "training", key, save_seconds)


def _empty(checkpoint: Path) -> None:
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)


def _fine_tune(
    kept: Sequence[dict[str, Any]],
    start: Path,
    settings: Settings,
    threads: int,
    validate: Callable[[Any, Any], float],
    output: Path,
    keeper: Any,
) -> dict[str, Any]:
    """Train into a folder beside the output; return the report without what time decides."""
    from restem.sampling.loading import device
    from restem.training.examples import Example
    from restem.training.loop import fine_tune

    names = ("prefix", "prompt", "target", "weight")
    given = [Example(*(row[name] for name in names)) for row in kept]
    partial = output.parent / f".{CHECKPOINT}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    where = device(settings.engine.device)
    train = settings.training
    report = fine_tune(
        start, given, train, settings.seed, threads, validate, partial, _tell, where, keeper
    )
    measured_by_clock = ("wall_seconds", "peak_memory_bytes")
    return {k: v for k, v in asdict(report).items() if k not in measured_by_clock}


def _validation(
    settings: Settings, prefix: str, problems: Sequence[Problem], grader: Grader
) -> Callable[[Any, Any], float]:
    """Return a function that draws on the validation split, and averages the reward."""
    from restem.sampling.engine import Request, draw_seed
    from restem.sampling.transformers_engine import TransformersEngine

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
