"""Stage sheet: write what a human grades, for tasks that no program can."""

from restem.artifacts.files import write_bytes
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.rewards.human import write_sheet
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tasks.grading_sheet import entries_of
from restem.tasks.problem import read_problems


class Settings(Strict):
    """Where the human who grades finds the points of each step; empty if nobody says."""

    rubric: str = ""


@stage(lock="data", help={"output": "The sheet, a CSV file."})
def run(
    job: Job, settings: Settings, samples: InputFiles, problems: InputFile, *, output: OutputFile
) -> None:
    """Write the sheet on which a human gives points to completions, one row for each.

    The file is read-only: whoever fills it in saves a copy, which no later run overwrites.
    """
    drawn = [row for path in samples for row in read_rows(path, SAMPLES)]
    entries = entries_of(drawn, read_problems(problems), str(problems))
    write_bytes(output, write_sheet(entries))
    output.chmod(0o444)
    by = f", by {settings.rubric}" if settings.rubric else ""
    print(f"sheet: {len(entries)} completions to grade in a copy of {output}{by}", flush=True)
