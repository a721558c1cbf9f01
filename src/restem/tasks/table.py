"""Problems as rows of a table; apart from the stage that makes the table, which others outlive."""

from pathlib import Path

from restem.tables import read_rows
from restem.tasks.problem import Problem


def to_row(problem: Problem) -> dict[str, object]:
    """Return the row of a problem."""
    solutions = [{"source": k, "text": v} for k, v in problem.solutions.items()]
    return {**vars(problem), "solutions": solutions}


def read_problems(path: Path) -> list[Problem]:
    """Read a table of problems."""
    rows = read_rows(path, "problems")
    return [
        Problem(**{**row, "solutions": {s["source"]: s["text"] for s in row["solutions"]}})
        for row in rows
    ]
