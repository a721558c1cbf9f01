"""Stage ledger: what every policy, variant and experiment cost."""

from collections.abc import Sequence
from pathlib import Path

from restem.accounts.costs import read_costs, sums
from restem.artifacts.store import Job, write_text
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.pages.ledger import markdown


class Settings(Strict):
    """Which policies and completions belong to which use, by scope and name."""

    note: str
    groups: dict[str, dict[str, list[str]]]


def run(job: Job, costs: Sequence[Path], output: Path, page: Path) -> None:
    """Write the sums as a table and as Markdown."""
    settings = Settings.model_validate(job.recipe.settings)
    known = dict(cost for path in costs for cost in read_costs(path))
    rows = sums(settings.groups, known)
    write_table(output, "ledger", table("ledger", rows), job.provenance)
    write_text(page, markdown(rows, settings.note))
    print(f"ledger: {len(known)} policies and draws, {len(rows)} sums", flush=True)
