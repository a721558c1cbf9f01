"""Write prompts out of examples: in-context learning, and the search for a better prompt.

Many-shot and reinforced in-context learning (Agarwal et al. 2024, arXiv 2404.11018): human
solutions, or the model's own verified ones, stand before the question; no weight changes. Prompt
optimisation (Sordoni et al. 2023): several sampled prompts are scored and the best one stays; a
prompt here is a choice and an order of examples.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from restem.selection.labels import stable


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


def choose(pool: Sequence[Shot], count: int, seed: Sequence[int], name: object) -> list[Shot]:
    """Choose shots of different problems, in random order; fewer where there are fewer."""
    rng = random.Random(stable(seed, "shots", name))
    by_problem: dict[str, list[Shot]] = {}
    for shot in sorted(pool, key=lambda one: (one.problem_id, one.target)):
        by_problem.setdefault(shot.problem_id, []).append(shot)
    chosen = rng.sample(sorted(by_problem), min(count, len(by_problem)))
    return [rng.choice(by_problem[name]) for name in chosen]


def best(candidates: Sequence[str], score: Callable[[str], float]) -> tuple[str, list[float]]:
    """Return the prefix with the highest score, the first of equals, and all scores."""
    scores = [score(prefix) for prefix in candidates]
    return candidates[scores.index(max(scores))], scores
