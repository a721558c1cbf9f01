"""Stage audits: the rates of false positives among what policies were trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job, write_text
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.config.metrics import Metrics
from restem.pages.false_positives import markdown
from restem.statistics.false_positives import audits


class Settings(Strict):
    """For every input, in order, the addresses of the policies whose examples were rechecked.

    without: tasks that are not audited, and why.
    """

    note: str
    without: dict[str, str]
    metrics: Metrics
    policies: list[list[dict[str, Any]]]


def run(job: Job, rechecks: Sequence[Path], output: Path, page: Path) -> None:
    """Write the rates as a table and as Markdown."""
    settings = Settings.model_validate(job.recipe.settings)
    found = []
    for path, addresses in zip(rechecks, settings.policies, strict=True):
        rows = read_rows(path, "recheck")
        found += [(address, rows) for address in addresses]
    rates = audits(found, settings.metrics)
    write_table(output, "audit", table("audit", rates), job.provenance)
    write_text(page, markdown(rates, settings.note, settings.metrics.confidence, settings.without))
    print(f"audits: {len(settings.policies)} policies, {len(rates)} rates", flush=True)
