"""Stage summary: every quantity and every lift of a study, with its interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from restem.artifacts import Job
from restem.config.metrics import Metrics
from restem.config.strict import Strict
from restem.evaluation import lifts as paired_lifts
from restem.evaluation import summarise
from restem.tables import read_rows, table, write_table

Address = dict[str, Any]
ADDRESS = ("model", "variant", "seed", "iteration")


class Settings(Strict):
    """Estimators, and the variants that share another's artifact: (owner, other name)."""

    metrics: Metrics
    aliases: list[tuple[Address, Address]]


class Named(Protocol):
    """Settings that say which names share an artifact."""

    @property
    def aliases(self) -> list[tuple[Address, Address]]:
        """Return pairs of (owner, other name)."""


def run(job: Job, metrics: Sequence[Path], output: Path, lifts: Path) -> None:
    """Write the summary and the lifts."""
    settings = Settings.model_validate(job.recipe.settings)
    rows = all_rows(settings, metrics)
    summary = table("summary", summarise(rows, settings.metrics))
    write_table(output, "summary", summary, job.provenance)
    write_table(
        lifts, "lifts", table("lifts", paired_lifts(rows, settings.metrics)), job.provenance
    )
    print(f"summary: {summary.num_rows} estimates of {len(metrics)} evaluations", flush=True)


def all_rows(settings: Named, metrics: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the results of every policy, under every name that the study gives it."""
    rows = [row for path in metrics for row in read_rows(path, "metrics")]
    return rows + [row for owner, other in settings.aliases for row in _renamed(rows, owner, other)]


def _renamed(
    rows: Sequence[Mapping[str, Any]], owner: Mapping[str, Any], other: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of an artifact under the other name that the study gives it."""
    place = [owner[name] for name in ADDRESS]
    new = {name: other[name] for name in ADDRESS}
    return [{**row, **new} for row in rows if [row[name] for name in ADDRESS] == place]
