"""Stage problems: read one split of a task as a table."""

from collections import Counter

from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict, TaskModule
from restem.config.data import Split, TaskData
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.tasks.problem import to_row
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: TaskModule
    split: Split
    data: TaskData


@stage(lock="data", help={"data": "Files that the split is read from."})
def run(job: Job, settings: Settings, data: InputFiles = (), *, output: OutputFile) -> None:
    """Read one split of a task as a table."""
    loaded = load_split(load_task(settings.task), settings.data, settings.split)
    read = [vars(record) for record in loaded.files]
    solutions = Counter(source for p in loaded.problems for source in p.solutions)
    counts = {"problems": len(loaded.problems), "dropped": loaded.dropped}
    counts |= {"solutions": dict(solutions)}
    rows = [to_row(problem) for problem in loaded.problems]
    provenance = {**job.provenance, "files": read, "counts": counts}
    write_table(output, PROBLEMS, table(PROBLEMS, rows), provenance)
    found = ", ".join(f"{count} with a {name} solution" for name, count in solutions.items())
    print(f"problems: {len(rows)} of {settings.task}/{settings.split}; {found or 'no solutions'}")
