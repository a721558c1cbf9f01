"""Stage table: the results as a table for people, for spreadsheets and for the terminal."""

from collections.abc import Mapping
from pathlib import Path

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.pages import table as report_table
from restem.statistics.evaluation import is_reference


class Settings(Strict):
    """The label that the table carries, and the task that was trained on."""

    note: str
    home: str
    confidence: float


def run(job: Job, summary: Path, lifts: Path, outputs: Mapping[str, Path]) -> None:
    """Write the table as Markdown and CSV, and print it."""
    settings = Settings.model_validate(job.recipe.settings)
    rows, differences = read_rows(summary, "summary"), read_rows(lifts, "lifts")
    variants = dict.fromkeys(row["variant"] for row in rows)
    report = report_table.draw(
        rows,
        differences,
        settings.note,
        home=settings.home,
        references=[name for name in variants if is_reference(name)],
        confidence=settings.confidence,
    )
    report_table.save(report, outputs["md"].with_suffix(""))
    print(report_table.terminal(report), flush=True)
