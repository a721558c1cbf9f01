"""Stage table: the results as a table for people, for spreadsheets and for the terminal."""

from restem.artifacts.schemas.estimates import LIFTS, SUMMARY
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.pages import table
from restem.stages.declaration import InputFile, OutputFiles, stage


class Settings(Strict):
    """The label, the variants by the task that they are trained on, and the reference variants."""

    label: str
    trained: dict[str, list[str]]
    references: list[str]
    confidence: float


@stage(lock="report", help={"output": "The table as Markdown and CSV."})
def run(
    job: Job, settings: Settings, summary: InputFile, lifts: InputFile, *, output: OutputFiles
) -> None:
    """Write a table of results for each trained task as Markdown and CSV, and print it."""
    results = table.build_each(
        read_rows(summary, SUMMARY), read_rows(lifts, LIFTS), **dict(settings)
    )
    table.save(results, output[0].with_suffix(""))
    print("\n".join(map(table.terminal, results)), flush=True)
