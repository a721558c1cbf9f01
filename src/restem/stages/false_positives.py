"""Stage false_positives: the rates of false positives among what policies were trained on."""

from typing import Any

from restem.artifacts.files import write_text
from restem.artifacts.schemas.estimates import FALSE_POSITIVES
from restem.artifacts.schemas.evaluation import RECHECK
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.config.metrics import Metrics
from restem.pages.false_positives import markdown
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.statistics.false_positives import estimate_rates


class Settings(Strict):
    """For every input, in order, the addresses of the policies whose examples were rechecked.

    without: tasks whose examples have no second verdict, and why.
    """

    label: str
    without: dict[str, str]
    metrics: Metrics
    policies: list[list[dict[str, Any]]]


@stage(lock="report")
def run(
    job: Job, settings: Settings, rechecks: InputFiles, *, output: OutputFile, page: OutputFile
) -> None:
    """Estimate how many kept solutions are false positives, as a table and a page."""
    rechecked = []
    for path, addresses in zip(rechecks, settings.policies, strict=True):
        rows = read_rows(path, RECHECK)
        rechecked += [(address, rows) for address in addresses]
    rates = estimate_rates(rechecked, settings.metrics)
    write_table(output, FALSE_POSITIVES, table(FALSE_POSITIVES, rates), job.provenance)
    write_text(page, markdown(rates, settings.label, settings.metrics.confidence, settings.without))
    print(f"false positives: {len(settings.policies)} policies, {len(rates)} rates", flush=True)
