"""Stage table: the results as a table for people, for spreadsheets and for the terminal."""

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.pages import table as report_table
from restem.stages.declaration import InputFile, OutputFiles, stage
from restem.statistics.evaluation import is_reference


class Settings(Strict):
    """The label that the table carries, and the task that was trained on."""

    label: str
    train_task: str
    confidence: float


@stage(lock="report", help={"output": "The table as Markdown and CSV."})
def run(
    job: Job, settings: Settings, summary: InputFile, lifts: InputFile, *, output: OutputFiles
) -> None:
    """Write the table of results as Markdown and CSV, and print it."""
    rows, differences = read_rows(summary, "summary"), read_rows(lifts, "lifts")
    variants = dict.fromkeys(row["variant"] for row in rows)
    report = report_table.draw(
        rows,
        differences,
        settings.label,
        home=settings.train_task,
        references=[name for name in variants if is_reference(name)],
        confidence=settings.confidence,
    )
    report_table.save(report, output[0].with_suffix(""))
    print(report_table.terminal(report), flush=True)
