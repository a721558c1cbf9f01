"""The declaration of a task: how its problems are read, asked, answered and verified."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.tasks.problem import INTRO, SHOT, Problem
from restem.tasks.sources import Reader


@dataclass(frozen=True)
class Task:
    """One benchmark.

    files: the names of the files that a split is read from.
    load: reads `train`, `test` or `shots` (an embedded task: `validation` too), unfiltered.
    question: the prompt of one question, up to the place where the answer starts.
    answer: a solution or completion as it follows the question, from the space before it to the
        text that ends it. It only frames, so framing twice changes nothing.
    stop: strings that end a completion. markers: where the strict mode finds an answer.
    gold: for tasks with tests: the tests as JSON, given the fields of the benchmark's own files
        and the place to name in an error.
    shots_by_subject: a question follows the worked examples of its own subject only.
    hint: text with the answer, which is added to a question for a second try.
    shown: a problem's answer as a hint states it; for tasks whose gold answers are JSON.
    rubric: where a human who grades finds the points of each step.
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
    shown: Callable[[str], str] = str
    rubric: str = ""

    @property
    def by_hand(self) -> bool:
        """Return whether a human grades the completions, so that there is no gold answer."""
        return self.verifier == "human"


def question_header(task: Task) -> str:
    """Return the text that every question begins with, such as `Question:`; empty if none does."""
    header, _, _ = task.question("\0").partition("\0")
    return header.rstrip()


def few_shot_prefix(
    task: Task, shots: Sequence[Problem], subject: str = "", hint: bool = False
) -> str:
    """Write the worked examples that precede the question in a prompt; see `worked_examples`."""
    return "".join(asked + answer for asked, answer in worked_examples(task, shots, subject, hint))


def worked_examples(
    task: Task, shots: Sequence[Problem], subject: str = "", hint: bool = False
) -> list[tuple[str, str]]:
    """Return what the worked examples ask, each with its answer; an introduction is asked too.

    subject: of the question that they precede, for tasks whose prompts differ by subject. hint: the
    questions show their answers, as the question that follows does (STaR).
    """

    def asked(shot: Problem) -> str:
        return hinted(task, shot) if hint and shot.answer else task.question(shot.question)

    return [
        (shot.solutions.get(INTRO, "") + asked(shot), task.answer(shot.solutions[SHOT]))
        for shot in shots
        if not task.shots_by_subject or shot.subject == subject
    ]


def hinted(task: Task, problem: Problem) -> str:
    """Write a question with its answer, for a rationalisation (STaR, Zelikman et al. 2022)."""
    answer = task.shown(str(problem.answer))
    return task.question(problem.question + task.hint.format(answer=answer))


def no_split(task: str, split: str) -> RestemError:
    """Return the error for a split that a task does not have."""
    return RestemError(
        f"there is no {split} split",
        f"task {task}",
        f"set data.{split}: 0, and evaluate on the test split only",
    )
