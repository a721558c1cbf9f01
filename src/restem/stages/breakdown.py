"""Stage breakdown: estimates and lifts in groups of problems (difficulty, subject, level)."""

from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.config.metrics import Metrics
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.statistics.aliases import Address, all_rows
from restem.statistics.groups import break_down


class Settings(Strict):
    """Estimators, and the variants that share another's artifact: (owner, other name)."""

    metrics: Metrics
    aliases: list[tuple[Address, Address]]


@stage(lock="report")
def run(job: Job, settings: Settings, metrics: InputFiles, *, output: OutputFile) -> None:
    """Estimate every quantity in groups of problems; without groups the table is empty."""
    estimates = []
    if settings.metrics.breakdowns:
        estimates = break_down(all_rows(settings.aliases, metrics), settings.metrics)
    write_table(output, "breakdown", table("breakdown", estimates), job.provenance)
    print(f"breakdown: {len(estimates)} estimates in groups", flush=True)
