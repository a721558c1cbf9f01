"""A problem of any benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.tables import read_rows

SHOT = "shot"
INTRO = "intro"  # of a few-shot example: the text before it in the prompt
POINTS = "points"  # of an exam's question: the full points of its rubric


@dataclass(frozen=True)
class Problem:
    """One problem of a split.

    answer: the gold answer, None where the benchmark has none. solutions: reference solutions by
    source, such as `human`, `terse` and `careful`; a few-shot example has one, called `shot`.
    """

    id: str
    question: str
    answer: str | None
    level: int | None = None
    subject: str = ""
    solutions: dict[str, str] = field(default_factory=dict)


def to_row(problem: Problem) -> dict[str, object]:
    """Return the row of a problem."""
    solutions = [{"source": k, "text": v} for k, v in problem.solutions.items()]
    return {**vars(problem), "solutions": solutions}


def read_problems(path: Path) -> list[Problem]:
    """Read a table of problems."""
    rows = read_rows(path, PROBLEMS)
    return [
        Problem(**{**row, "solutions": {s["source"]: s["text"] for s in row["solutions"]}})
        for row in rows
    ]


def of_shard(problems: Sequence[Problem], shard: str) -> list[Problem]:
    """Return the problems of a shard: `2-of-8` is every eighth problem, from the second on."""
    index, count = map(int, shard.split("-of-"))
    return list(problems[index - 1 :: count])
