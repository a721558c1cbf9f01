"""The reward on the validation split: what decides when training stops and which prompt is best."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from restem.config.decoding import Decoding
from restem.errors import RestemError
from restem.policies.flops import Forward
from restem.rewards.verifier import Attempt, Verdict
from restem.sampling.engine import Completion, Engine, Request, draw_seed
from restem.sampling.prompts import PromptForm
from restem.selection.noise import is_flipped
from restem.tasks.grading import Grader, open_grader
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task


class Validation:
    """Sample on the validation split and average the reward; always with the same seeds.

    graded: average the share of passed tests; flip: the share of verdicts to invert. flops: of all
    completions so far; a prompt is computed once for all of its draws.
    """

    def __init__(
        self,
        task: str,
        problems: Sequence[Problem],
        decoding: Decoding,
        seed: int,
        grader: Grader,
        forward: Forward,
        graded: bool = False,
        flip: float = 0.0,
    ) -> None:
        self._graded, self._flip = graded, flip
        self.flops, self._forward = 0.0, forward
        self._task, self._problems, self._decoding = load_task(task), problems, decoding
        self._seed, self._grader = seed, grader
        self._answers = {problem.id: problem.answer or "" for problem in problems}

    def reward(self, engine: Engine, form: PromptForm) -> float:
        """Return the mean reward of completions of prompts in a form, 0 to 1."""
        requests = [self._request(problem, form) for problem in self._problems]
        groups = engine.sample(requests, self._decoding, form.stops(self._task.stop))
        completions = [completion for group in groups for completion in group]
        self._count(completions)
        attempts = [Attempt(self._answers[c.problem_id], c.text) for c in completions]
        verdicts = self._grader.verdicts(attempts)
        return sum(map(self._reward, completions, verdicts)) / len(attempts)

    def _reward(self, completion: Completion, verdict: Verdict) -> float:
        """Return the reward as selection has it: graded, or inverted, where that is."""
        reward = verdict.fraction if self._graded else verdict.reward
        names = ("validation", completion.problem_id, completion.draw)
        return 1.0 - reward if is_flipped(self._flip, (self._seed,), *names) else reward

    def _count(self, completions: Sequence[Completion]) -> None:
        prompts = {c.problem_id: c.prompt_tokens for c in completions}
        self.flops += sum(map(self._forward.prompt, prompts.values()))
        self.flops += sum(self._forward.completion(c.prompt_tokens, c.tokens) for c in completions)

    def _request(self, problem: Problem, form: PromptForm) -> Request:
        draws = tuple(range(self._decoding.draws))
        address = ("validation", "validation", "validation", problem.id)
        seeds = tuple(draw_seed(*address, draw, self._seed) for draw in draws)
        return form.request(problem.id, self._task.question(problem.question), draws, seeds)


@contextmanager
def open_validation(
    settings: Any, problems: Sequence[Problem], forward: Forward
) -> Iterator[Validation]:
    """Open the verifier of the stage `policy`; forward: operations of the model's passes."""
    decoding, seed = settings.validation, settings.seed
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:
        yield Validation(
            settings.task,
            problems,
            decoding,
            seed,
            grader,
            forward,
            settings.graded,
            settings.flip,
        )


def require_problems(problems: Sequence[Problem], where: str) -> None:
    """Raise RestemError when there is no problem to measure the reward on."""
    if not problems:
        raise RestemError(
            "there is no validation problem to measure the reward on",
            where,
            "give the task's data `validation: 50` or so; test problems are never used for it",
        )
