"""Stage frozen: a policy without fitted weights: a prompt over frozen ones, or a mean of two."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job
from restem.artifacts.tables import KEPT, read_rows
from restem.config.base import Strict
from restem.config.decoding import Decoding
from restem.config.method import MStep
from restem.config.models import EngineSettings
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.policies.manifest import (
    CHECKPOINT,
    PolicyManifest,
    read_policy,
    verify_checkpoint,
    write_policy,
)
from restem.policies.prompts import Shot, best, choose, write
from restem.rewards.verifier import Attempt
from restem.tasks.grading import Grader, open_grader
from restem.tasks.problem import Problem, read_problems
from restem.tasks.registry import load_task


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward
    engine: EngineSettings
    validation: Decoding
    seed: int
    m_step: MStep


def run(
    job: Job,
    examples: Path,
    start: Path,
    anchors: Sequence[Path],
    validation: Path,
    threads: int,
    output: Path,
    checkpoint: Path,
) -> None:
    """Write the policy; a prompt keeps the weights that it starts from."""
    settings = Settings.model_validate(job.recipe.settings)
    manifest = read_policy(start)
    shots = _shots(examples)
    reason = manifest.halted or _reason(settings, shots)
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    if reason:
        write_policy(output, job.provenance, {"examples": 0}, halted=reason)
        print(f"frozen: halted, {reason}", flush=True)
        return
    if settings.m_step.kind == "interpolate":
        report = _interpolate(settings, read_policy(anchors[0]), manifest, checkpoint)
    else:
        _link(verify_checkpoint(manifest), checkpoint)
        report = _prompt(settings, shots, manifest, read_problems(validation), threads)
    write_policy(output, job.provenance, report)
    print(f"frozen: {settings.m_step.kind}, weights of {start.parent}", flush=True)


def _shots(examples: Path) -> list[Shot]:
    rows = read_rows(examples, "examples")
    kept = [row for row in rows if row["decision"] == KEPT and row["weight"] > 0]
    return [Shot(row["problem_id"], row["prompt"], row["target"]) for row in kept]


def _reason(settings: Settings, shots: Sequence[Shot]) -> str | None:
    if shots or settings.m_step.kind == "interpolate":
        return None
    return "no completion was correct: no example is left for the prompt"


def _interpolate(
    settings: Settings, base: PolicyManifest, tuned: PolicyManifest, checkpoint: Path
) -> dict[str, Any]:
    from restem.policies.interpolation import interpolate

    share = settings.m_step.share
    interpolate(verify_checkpoint(base), verify_checkpoint(tuned), share, checkpoint)
    return {"share": share, "between": [base.content, tuned.content]}


def _link(source: Path, target: Path) -> None:
    """Give the checkpoint the same files: linked where the file system can, else copied."""
    for file in source.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy2(file, target / file.name)


def _prompt(
    settings: Settings,
    shots: Sequence[Shot],
    manifest: PolicyManifest,
    validation: Sequence[Problem],
    threads: int,
) -> dict[str, Any]:
    m_step, seed = settings.m_step, [settings.seed]
    report: dict[str, Any] = {"examples": len(shots), "shots": m_step.shots}
    if m_step.kind == "shots":
        chosen = write(choose(shots, m_step.shots, seed, 0))
        return report | {"prompt": {"task": settings.task, "prefix": chosen}}
    tried = [write(choose(shots, m_step.shots, seed, n)) for n in range(m_step.candidates)]
    incumbent = manifest.prefix(settings.task)
    candidates = list(dict.fromkeys(([incumbent] if incumbent else []) + tried))
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:
        prefix, scores = best(
            candidates, _validation(settings, manifest, validation, threads, grader)
        )
    return report | {"scores": scores, "prompt": {"task": settings.task, "prefix": prefix}}


def _validation(
    settings: Settings,
    manifest: PolicyManifest,
    problems: Sequence[Problem],
    threads: int,
    grader: Grader,
) -> Callable[[str], float]:
    """Return a function that averages the reward of completions that follow a prefix.

    Every prefix is asked the same problems with the same seeds.
    """
    from restem.sampling.engine import Request, draw_seed
    from restem.sampling.loading import load_engine

    if not problems:
        raise RestemError(
            "there is no validation problem to score a prompt on",
            f"task {settings.task}",
            "give the task's data `validation: 50` or so; test problems are never used for it",
        )
    task, decoding = load_task(settings.task), settings.validation
    engine = load_engine(manifest.path.parent / CHECKPOINT, settings.engine, threads)
    gold = {problem.id: problem.answer or "" for problem in problems}
    draws = tuple(range(decoding.draws))

    def request(problem: Problem, prefix: str) -> Request:
        address = ("validation", "validation", "validation", problem.id)
        seeds = tuple(draw_seed(*address, draw, settings.seed) for draw in draws)
        return Request(problem.id, prefix, task.question(problem.question), draws, seeds)

    def score(prefix: str) -> float:
        requests = [request(problem, prefix) for problem in problems]
        attempts = [
            Attempt(gold[completion.problem_id], completion.text)
            for group in engine.sample(requests, decoding, task.stop)
            for completion in group
        ]
        return sum(verdict.reward for verdict in grader.verdicts(attempts)) / len(attempts)

    return score
