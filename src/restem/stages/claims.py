"""Stage claims: the verdict on every claim, with effect, interval and both sides' compute."""

from collections.abc import Sequence
from pathlib import Path

from restem.artifacts.store import Job, write_text
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.config.claims import Claim
from restem.config.metrics import Metrics
from restem.pages.claims import markdown
from restem.statistics.aliases import Address, all_rows
from restem.statistics.claims import judge
from restem.statistics.verdicts import as_rows


class Settings(Strict):
    """The claims, the estimators, and which names share an artifact."""

    note: str
    claims: list[Claim]
    metrics: Metrics
    aliases: list[tuple[Address, Address]]


def run(
    job: Job,
    metrics: Sequence[Path],
    ledger: Path,
    audit: Sequence[Path],
    output: Path,
    page: Path,
) -> None:
    """Write the findings as a table, and the verdicts as Markdown; audit: one table, or none."""
    settings = Settings.model_validate(job.recipe.settings)
    rates = [row for path in audit for row in read_rows(path, "audit")]
    rows = all_rows(settings.aliases, metrics)
    outcomes = judge(settings.claims, rows, settings.metrics, rates)
    write_table(output, "claims", table("claims", as_rows(outcomes)), job.provenance)
    spent = {row["name"]: row for row in read_rows(ledger, "ledger") if row["scope"] == "policy"}
    text = markdown(outcomes, spent, settings.note, settings.metrics.confidence)
    write_text(page, text)
    print(f"claims: {', '.join(f'{o.claim.id} {o.verdict}' for o in outcomes)}", flush=True)
