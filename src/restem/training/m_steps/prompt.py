"""Make a few-shot prompt of the examples: the best of several on the validation split.

Many-shot and reinforced in-context learning (Agarwal et al. 2024, arXiv 2404.11018): human
solutions, or the model's own verified ones, stand before the question; no weight changes. Prompt
optimisation (Sordoni et al. 2023): several sampled prompts are scored and the best one stays; a
prompt here is a choice and an order of examples.
"""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from restem.artifacts.store import Job
from restem.config.models import PromptKind
from restem.policies.manifest import PolicyManifest, verify_checkpoint
from restem.sampling.loading import load_engine
from restem.sampling.prompts import Prompts
from restem.selection.noise import derived_seed
from restem.tasks.registry import load_task
from restem.training.m_steps import MStepInputs
from restem.training.validation import open_validation, require_problems

T = TypeVar("T")
Examples = str | tuple[tuple[str, str], ...]
"""The worked examples of a prompt: a text, or turns (what is asked, and the answer)."""


def make(job: Job, inputs: MStepInputs, start: PolicyManifest) -> dict[str, Any]:
    """Link the weights of the start; return the report with the best of several prompts."""
    settings, m_step = inputs.settings, inputs.settings.m_step
    pool = shots_of(inputs)
    sampled = [
        written(choose(pool, m_step.shots, [settings.seed], n), settings.prompt)
        for n in range(m_step.candidates)
    ]
    incumbent = start.own_prompt(settings.task)
    candidates = list(dict.fromkeys(([incumbent] if incumbent else []) + sampled))
    problems = inputs.validation_problems()
    require_problems(problems, ", ".join(map(str, inputs.validation)))
    keep_weights(start, inputs.checkpoint)
    engine = load_engine(start.checkpoint, settings.engine, inputs.threads)
    prompts = Prompts(settings.prompt, load_task(settings.task), [], start.checkpoint)
    with open_validation(settings, problems, start.forward) as validation:
        chosen, scores = best(
            candidates, lambda examples: validation.reward(engine, prompts.form(examples))
        )
    print(f"policy: the best of {len(candidates)} prompts, {max(scores):.3f}", flush=True)
    scored = {"scores": scores, "flops": round(validation.flops)}
    prompt = recorded(chosen, settings.task)
    return {"examples": len(pool), "shots": m_step.shots, **scored, "prompt": prompt}


def shots_of(inputs: MStepInputs) -> list["Shot"]:
    """Return the examples as worked examples of a prompt."""
    kept = [row for row in inputs.kept() if row["weight"] > 0]
    return [Shot(row["problem_id"], row["prompt"], row["target"]) for row in kept]


def keep_weights(start: PolicyManifest, checkpoint: Path) -> None:
    """Give a checkpoint the files of the start: linked where the file system can, else copied."""
    for file in verify_checkpoint(start).iterdir():
        try:
            os.link(file, checkpoint / file.name)
        except OSError:
            shutil.copy2(file, checkpoint / file.name)


@dataclass(frozen=True)
class Shot:
    """One worked example: the prompt part of its question, and its answer as it follows."""

    problem_id: str
    prompt: str
    target: str

    @property
    def text(self) -> str:
        """Return the example as it stands in a prompt."""
        return self.prompt + self.target


def write(shots: Sequence[Shot]) -> str:
    """Return the prefix that some shots make."""
    return "".join(shot.text for shot in shots)


def written(shots: Sequence[Shot], kind: PromptKind) -> Examples:
    """Return shots as the worked examples of a prompt."""
    if kind == "base":
        return write(shots)
    return tuple((shot.prompt, shot.target) for shot in shots)


def recorded(examples: Examples, task: str) -> dict[str, Any]:
    """Return what a policy's report says of its own prompt."""
    name = "prefix" if isinstance(examples, str) else "turns"
    return {"task": task, name: examples}


def choose(pool: Sequence[Shot], count: int, seed: Sequence[int], name: object) -> list[Shot]:
    """Choose shots of different problems, in random order; fewer where there are fewer."""
    rng = random.Random(derived_seed(seed, "shots", name))
    by_problem: dict[str, list[Shot]] = {}
    for shot in sorted(pool, key=lambda one: (one.problem_id, one.target)):
        by_problem.setdefault(shot.problem_id, []).append(shot)
    chosen = rng.sample(sorted(by_problem), min(count, len(by_problem)))
    return [rng.choice(by_problem[name]) for name in chosen]


def best(candidates: Sequence[T], score: Callable[[T], float]) -> tuple[T, list[float]]:
    """Return the candidate with the highest score, the first of equals, and all scores."""
    scores = [score(prefix) for prefix in candidates]
    return candidates[scores.index(max(scores))], scores
