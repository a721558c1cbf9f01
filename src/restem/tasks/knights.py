"""Knights and knaves of the embedded world: logic, verified by exact match of who are knights."""

from restem.embedded import knights, world
from restem.rewards.exact import answer_in
from restem.tasks.problem import SHOT, Problem
from restem.tasks.procedural import embedded, framed, no_files
from restem.tasks.sources import Reader
from restem.tasks.task import Task


def question(text: str) -> str:
    """Put a problem as the embedded world does."""
    return knights.PROMPT.format(question=text)


def load(reader: Reader, split: str) -> list[Problem]:
    """Make the problems of a split, or the few-shot prompt."""
    source = embedded(reader.source)
    if split == "shots":
        return [
            Problem(
                id=f"knights/shots/{index}",
                question=shot["question"],
                answer=answer_in(shot["solution"], thinking=True) or "",
                solutions={SHOT: shot["solution"]},
            )
            for index, shot in enumerate(knights.few_shot())
        ]
    return [Problem(**made) for made in knights.problems(split, source.pool, source.seed)]


TASK = Task(
    name="knights",
    files=no_files,
    load=load,
    question=question,
    answer=framed,
    stop=(world.END,),
    verifier="exact",
    markers=("answer_is",),
    hint=" The answer is {answer}.",
)
