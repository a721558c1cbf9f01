"""Stage summary: every quantity and every lift of a study, with its interval."""

from restem.artifacts.schemas.estimates import LIFTS, SUMMARY
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.config.metrics import Metrics
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.statistics.aliases import Address, all_rows
from restem.statistics.evaluation import collect, lifts_of, summary_of


class Settings(Strict):
    """Estimators, the names that share an artifact (owner, other name), reference variants."""

    metrics: Metrics
    aliases: list[tuple[Address, Address]]
    references: list[str]


@stage(lock="report")
def run(
    job: Job, settings: Settings, metrics: InputFiles = (), *, output: OutputFile, lifts: OutputFile
) -> None:
    """Estimate every quantity and every lift, with intervals."""
    policies = collect(all_rows(settings.aliases, metrics), settings.metrics.ks)
    summary = table(SUMMARY, summary_of(policies, settings.metrics))
    write_table(output, SUMMARY, summary, job.provenance)
    differences = table(LIFTS, lifts_of(policies, settings.metrics, settings.references))
    write_table(lifts, LIFTS, differences, job.provenance)
    print(f"summary: {summary.num_rows} estimates of {len(metrics)} evaluations", flush=True)
