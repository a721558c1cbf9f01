"""Stage points: read a sheet that a human filled in; one verdict a completion of a shard."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.errors import RestemError
from restem.rewards.human import Points, read_points
from restem.sampling.rows import of_shard
from restem.tasks.grading_sheet import entries_of
from restem.tasks.problem import read_problems


class Settings(Strict):
    """What this stage reads of the configuration: nothing."""


def run(
    job: Job, sheet: Path, samples: Sequence[Path], problems: Path, shard: str, output: Path
) -> None:
    """Write one verdict for each completion of a shard; the sheet must answer for all shards."""
    asked = read_problems(problems)
    drawn = [row for path in samples for row in read_rows(path, "samples")]
    points = read_points(entries_of(drawn, asked, str(problems)), _content(sheet), str(sheet))
    mine = {problem.id for problem in of_shard(asked, shard)}
    keys = [(row["problem_id"], row["draw"]) for row in drawn if row["problem_id"] in mine]
    rows = [_row(*key, points[key]) for key in keys]
    counts = Counter(row["verdict"] for row in rows)
    write_table(
        output, "rewards", table("rewards", rows), {**job.provenance, "counts": dict(counts)}
    )
    given, of = sum(points[key].given for key in keys), sum(points[key].of for key in keys)
    print(f"points: {given} of {of} for {len(rows)} completions", flush=True)


def _content(sheet: Path) -> bytes:
    try:
        return sheet.read_bytes()
    except OSError as problem:
        raise RestemError(
            f"the filled sheet cannot be read: {problem.strerror}",
            str(sheet),
            "fill in a copy of the sheet that was made beside the samples, and put it there",
        ) from problem


def _row(problem_id: str, draw: int, points: Points) -> dict[str, Any]:
    verdict = points.verdict
    return {
        "problem_id": problem_id,
        "draw": draw,
        "reward": verdict.reward,
        "fraction": verdict.fraction,
        "verdict": verdict.verdict,
        "layer": verdict.layer,
        "flexible": verdict.verdict,
        "extracted": None,
        "detail": verdict.detail,
        "of": float(points.of),
    }
