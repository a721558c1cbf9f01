"""Search for solutions with the verifier as judge, instead of sampling them one by one (ExIt)."""

from collections.abc import Sequence
from typing import Any

from restem.rewards.verifier import Attempt
from restem.sampling.beam import BeamSearch
from restem.sampling.engine import Engine, Request, draw_seed
from restem.sampling.rows import row_of
from restem.tasks.grading import open_grader
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task


def search(
    settings: Any, engine: Engine, policy: str, prefix: str, problems: Sequence[Problem]
) -> list[dict[str, Any]]:
    """Return the rows of the completions that are left in the beam of every problem.

    settings: those of the stage `samples`. policy: content digest of the policy. prefix: the
    few-shot prompt.
    """
    task = load_task(settings.task)
    answers = {problem.id: problem.answer or "" for problem in problems}
    split, decoding, seed = settings.address
    rows = []
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:

        def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
            attempts = [Attempt(answers[problem_id], text) for problem_id, text in pairs]
            return [verdict.reward for verdict in grader.verdicts(attempts)]

        beam = BeamSearch(engine, settings.decoding, settings.search, task.stop, judge)
        for problem in problems:
            first = draw_seed(policy, split, f"{decoding}+beam", problem.id, 0, seed)
            question = task.question(problem.question)
            request = Request(problem.id, prefix, question, (0,), (first,))
            rows += [row_of(found, "beam", engine.version) for found in beam.solve(request)]
    return rows
