"""What stands on a grading sheet: completions beside their questions, in the order of the exam."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from restem.errors import RestemError
from restem.rewards.human import Key, Points, read_points
from restem.rewards.sheet import Entry
from restem.tasks.problem import POINTS, Problem


def entries_of(
    samples: Iterable[Mapping[str, Any]], problems: Iterable[Problem], where: str
) -> list[Entry]:
    """Pair completions with their questions and what the rubric gives for them, where known.

    Raises RestemError when a completion is of no problem.
    """
    by_id = {problem.id: problem for problem in problems}
    found = []
    for row in samples:
        problem = by_id.get(row["problem_id"])
        if problem is None:
            raise RestemError(
                f"problem {row['problem_id']!r} is not among the problems",
                where,
                "draw the samples from the same problems",
            )
        of = problem.solutions.get(POINTS)
        found.append(Entry(problem.id, row["draw"], problem.question, row["completion"], of))
    return sorted(found, key=lambda entry: (entry.problem_id, entry.draw))


def points_of(
    sheet: Path, samples: Iterable[Mapping[str, Any]], problems: Sequence[Problem], where: str
) -> dict[Key, Points]:
    """Return the points of every completion from a filled sheet.

    Raises RestemError when the sheet cannot be read or does not hold exactly these completions.
    """
    try:
        content = sheet.read_bytes()
    except OSError as problem:
        raise RestemError(
            f"the filled sheet cannot be read: {problem.strerror}",
            str(sheet),
            "fill in a copy of the sheet that was made beside the samples, and put it there",
        ) from problem
    return read_points(entries_of(samples, problems, where), content, str(sheet))
