"""Stage claims: the verdict on every claim, with effect, interval and both sides' compute."""

from typing import Any

from restem.artifacts.files import write_text
from restem.artifacts.schemas.estimates import CLAIMS, FALSE_POSITIVES, LEDGER
from restem.artifacts.schemas.evaluation import RECHECK
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.config.claims import Claim
from restem.config.metrics import Metrics
from restem.pages.claims import markdown
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.statistics.aliases import Address, all_rows
from restem.statistics.claims import judge
from restem.statistics.verdicts import as_rows


class Settings(Strict):
    """The claims, the estimators, and which names share an artifact.

    rechecked: of every recheck, in order, the addresses of the policies that it is of.
    """

    label: str
    claims: list[Claim]
    metrics: Metrics
    aliases: list[tuple[Address, Address]]
    rechecked: tuple[tuple[Address, ...], ...] = ()


@stage(lock="report")
def run(
    job: Job,
    settings: Settings,
    metrics: InputFiles,
    ledger: InputFile,
    false_positives: InputFiles = (),
    rechecks: InputFiles = (),
    *,
    output: OutputFile,
    page: OutputFile,
) -> None:
    """Test the claims of the paper: effect, interval, verdict and compute."""
    rates = [row for path in false_positives for row in read_rows(path, FALSE_POSITIVES)]
    rows = list(all_rows(settings.aliases, metrics))
    rechecked = [
        (address, read_rows(path, RECHECK))
        for path, addresses in zip(rechecks, settings.rechecked, strict=True)
        for address in addresses
    ]
    outcomes = judge(settings.claims, rows, settings.metrics, rates, rechecked)
    write_table(output, CLAIMS, table(CLAIMS, as_rows(outcomes)), job.provenance)
    spent: dict[str, dict[str, dict[str, Any]]] = {}
    for row in read_rows(ledger, LEDGER):
        if row["scope"] == "policy":
            spent.setdefault(row["name"], {})[row["charge"]] = row
    text = markdown(outcomes, spent, settings.label, settings.metrics.confidence)
    write_text(page, text)
    print(f"claims: {', '.join(f'{o.claim.id} {o.verdict}' for o in outcomes)}", flush=True)
