"""A real exam: the Hungarian national finals in mathematics of 2023 (Paster 2023), graded by hand.

No answers are published with the questions, and a proof or a drawing has none: a human grades the
completions with the examiners' rubric (`restem.rewards.human`), which the README of the data set
links. The paper uses "the 1-shot prompt from Grok", which was not found in public; here the prompt
is the first example of Minerva's. There is only a test split.
"""

from typing import Final

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.tasks import math
from restem.tasks.problem import POINTS, Problem
from restem.tasks.sources import Reader, Row, chosen
from restem.tasks.task import Task, no_split

FILE: Final = "hungarian/test.jsonl"
RUBRIC: Final = (
    "the examiners' rubric, in Hungarian, 100 points in all: test/solutions.pdf of the data set "
    "keirp/hungarian_national_hs_finals_exam at 32e63a8"
)


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the one file of a split; there is none to train on."""
    if split == "shots":
        return math.files(source, split)
    return chosen(source, split, [FILE]) if split == "test" else ()


def load(reader: Reader, split: str) -> list[Problem]:
    """Read the questions in the order of the exam, or the one worked example."""
    names = files(reader.source, split)
    if split == "shots":
        return math.load(reader, split)[:1]
    if not names:
        raise no_split("hungarian", split)
    return [_read(row) for file in names for row in reader.rows(file)]


def _read(row: Row) -> Problem:
    return Problem(
        id=f"test/{row.index:02}",
        question=row.text("Question" if "Question" in row.values else "problem"),
        answer=None,
        solutions={} if row.values.get("points") is None else {POINTS: _points(row)},
    )


def _points(row: Row) -> str:
    """Read the full points of a question, which a user may have added to the file."""
    points = row.values["points"]
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise RestemError(
            f"points are {points!r}, not a whole number from 1",
            row.where,
            "correct the row, or leave the field out",
        )
    return str(points)


TASK = Task(
    name="hungarian",
    files=files,
    load=load,
    question=math.question,
    answer=math.answer,
    stop=math.TASK.stop,
    verifier="human",
    markers=(),
    rubric=RUBRIC,
)
