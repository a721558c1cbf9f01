"""Pair completions with their questions on a grading sheet, in the order of the exam."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from restem.errors import RestemError
from restem.rewards.human import Entry, Key, Points, read_points
from restem.tasks.problem import POINTS, Problem


def entries_of(
    samples: Iterable[Mapping[str, Any]], problems: Iterable[Problem], where: str
) -> list[Entry]:
    """Pair completions with their questions and the rubric's full points, where known.

    Raises RestemError when a completion belongs to none of the problems.
    """
    by_id = {problem.id: problem for problem in problems}
    entries = []
    for row in samples:
        problem = by_id.get(row["problem_id"])
        if problem is None:
            raise RestemError(
                f"problem {row['problem_id']!r} is not among the problems",
                where,
                "sample completions of the same problems",
            )
        of = problem.solutions.get(POINTS)
        entries.append(Entry(problem.id, row["draw"], problem.question, row["completion"], of))
    return sorted(entries, key=lambda entry: (entry.problem_id, entry.draw))


def points_of(
    sheet: Path, samples: Iterable[Mapping[str, Any]], problems: Sequence[Problem], where: str
) -> dict[Key, Points]:
    """Return the points of every completion from a filled sheet.

    Raises RestemError when the sheet cannot be read or does not hold exactly these completions.
    """
    try:
        content = sheet.read_bytes()
    except OSError as error:
        raise RestemError(
            f"the filled sheet cannot be read: {error.strerror}",
            str(sheet),
            "fill in a copy of the sheet that was made beside the samples, and put it there",
        ) from error
    return read_points(entries_of(samples, problems, where), content, str(sheet))
