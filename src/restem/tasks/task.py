"""What a task module declares: how its problems are read, asked, answered and verified."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.data import DataSource
from restem.tasks.problem import INTRO, SHOT, Problem
from restem.tasks.sources import Reader


@dataclass(frozen=True)
class Task:
    """One benchmark.

    files: the names of the files that a split is read from.
    load: reads `train`, `test` or `shots` (an embedded task: `validation` too), unfiltered.
    question: the prompt part of a question, after which the answer starts.
    answer: the target text of a solution or completion, from the space before it to the marker
        that ends it. It only frames: framing twice changes nothing.
    stop: strings that end a completion. markers: how the strict policy finds its answer.
    gold: where tests are what a problem is checked against, these tests as JSON, given the fields
        that the benchmark's own files have and the place to name in an error.
    shots_by_subject: a question is asked after the worked examples of its own subject only.
    hint: what is added to a question for a second try, with the answer in it.
    """

    name: str
    files: Callable[[DataSource, str], tuple[str, ...]]
    load: Callable[[Reader, str], list[Problem]]
    question: Callable[[str], str]
    answer: Callable[[str], str]
    stop: tuple[str, ...]
    verifier: str
    markers: tuple[str, ...]
    gold: Callable[[Mapping[str, Any], str], str] | None = None
    shots_by_subject: bool = False
    hint: str = " (The answer is {answer}.)"

    @property
    def by_hand(self) -> bool:
        """Tell whether a human grades the completions: such problems need no gold answer."""
        return self.verifier == "human"


def few_shot_prefix(task: Task, shots: Sequence[Problem], subject: str = "") -> str:
    """Write the worked examples that stand before the question in a prompt.

    subject: that of the question; it matters to tasks whose prompts differ by subject.
    """
    return "".join(
        shot.solutions.get(INTRO, "") + task.question(shot.question) + task.answer(text)
        for shot in shots
        if not task.shots_by_subject or shot.subject == subject
        for text in (shot.solutions[SHOT],)
    )


def hinted(task: Task, problem: Problem) -> str:
    """Write a question with its answer, for a rationalisation (STaR, Zelikman et al. 2022)."""
    return task.question(problem.question + task.hint.format(answer=problem.answer))
