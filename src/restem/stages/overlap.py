"""Stage overlap: how much the splits of a study have in common, as an artifact."""

from itertools import combinations

from restem.artifacts.schemas.evaluation import OVERLAP
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.tasks.overlap import overlaps
from restem.tasks.problem import read_problems


class Settings(Strict):
    """Task and split of every table, in the order in which they are given."""

    tables: list[tuple[str, str]]


@stage(lock="data", help={"problems": "Tables of problems, in the order of the settings."})
def run(job: Job, settings: Settings, problems: InputFiles, *, output: OutputFile) -> None:
    """Compare every pair of splits of which one is a test split."""
    named = list(zip(settings.tables, map(read_problems, problems), strict=True))
    rows = []
    for (left, left_problems), (right, right_problems) in combinations(named, 2):
        if "test" not in (left[1], right[1]):
            continue
        for pair in overlaps(left_problems, right_problems):
            ids = {"left_id": pair.left_id, "right_id": pair.right_id}
            names = {"left_task": left[0], "left_split": left[1]}
            names |= {"right_task": right[0], "right_split": right[1]}
            rows.append({**ids, **names, "kind": pair.kind, "score": pair.score})
    write_table(output, OVERLAP, table(OVERLAP, rows), job.provenance)
    print(f"overlap: {len(rows)} pairs between {len(named)} splits", flush=True)
