"""Stage breakdown: estimates and lifts in groups of problems (difficulty, subject, level)."""

from restem.artifacts.schemas.estimates import BREAKDOWN
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.config.metrics import Metrics
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.statistics.aliases import Address, all_rows
from restem.statistics.groups import break_down


class Settings(Strict):
    """Estimators, the names that share an artifact (owner, other name), reference variants."""

    metrics: Metrics
    aliases: list[tuple[Address, Address]]
    references: list[str]


@stage(lock="report")
def run(job: Job, settings: Settings, metrics: InputFiles, *, output: OutputFile) -> None:
    """Estimate every quantity in groups of problems; without groups the table is empty."""
    estimates = []
    if settings.metrics.breakdowns:
        rows = list(all_rows(settings.aliases, metrics))
        estimates = break_down(rows, settings.metrics, settings.references)
    write_table(output, BREAKDOWN, table(BREAKDOWN, estimates), job.provenance)
    print(f"breakdown: {len(estimates)} estimates in groups", flush=True)
