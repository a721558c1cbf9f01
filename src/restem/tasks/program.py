"""Small programs of the embedded world, verified by running them: the code task without data."""

from typing import Any, Final

from restem.embedded import programs, world
from restem.rewards.code_spec import Spec
from restem.tasks.problem import SHOT, Problem
from restem.tasks.procedural import embedded, no_files
from restem.tasks.sources import Reader
from restem.tasks.task import Task

# A program is assignments only, so its input and output are a frame around it.
FRAME: Final = "import atexit\n{first} = int(input())\natexit.register(lambda: print({last}))\n"


def question(text: str) -> str:
    """Put a problem as the embedded world does."""
    return programs.PROMPT.format(question=text)


def answer(solution: str) -> str:
    """Frame a program as it follows `Answer:`."""
    return f"\n{solution.strip()}{world.END}"


def load(reader: Reader, split: str) -> list[Problem]:
    """Make the problems of a split, or the few-shot prompt."""
    source = embedded(reader.source)
    if split == "shots":
        return [
            Problem(
                id=f"program/shots/{index}",
                question=shot["question"],
                answer=_spec(shot).dump(),
                solutions={SHOT: shot["solutions"]["terse"]},
            )
            for index, shot in enumerate(programs.few_shot())
        ]
    return [_problem(made) for made in programs.problems(split, source.pool, source.seed)]


def _problem(made: dict[str, Any]) -> Problem:
    return Problem(
        id=made["id"],
        question=made["question"],
        answer=_spec(made).dump(),
        level=made["level"],
        subject=made["subject"],
        solutions=made["solutions"],
    )


def _spec(made: dict[str, Any]) -> Spec:
    first, *_, last = made["letters"]
    return Spec(
        kind="stdin",
        preamble=FRAME.format(first=first, last=last),
        inputs=[f"{start}\n" for start, _ in made["tests"]],
        expected=[f"{end}\n" for _, end in made["tests"]],
    )


TASK = Task(
    name="program",
    files=no_files,
    load=load,
    question=question,
    answer=answer,
    stop=(world.END,),
    verifier="code",
    markers=(),
    hint="",
)
