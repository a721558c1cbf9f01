"""Stage breakdown: estimates and lifts in groups of problems (difficulty, subject, level)."""

from collections.abc import Sequence
from pathlib import Path

from restem.artifacts import Job
from restem.groups import break_down
from restem.stages.summary import Settings, all_rows
from restem.tables import table, write_table


def run(job: Job, metrics: Sequence[Path], output: Path) -> None:
    """Write the estimates of every group; without groups to look at, an empty table."""
    settings = Settings.model_validate(job.recipe.settings)
    found = []
    if settings.metrics.breakdowns:
        found = break_down(all_rows(settings, metrics), settings.metrics)
    write_table(output, "breakdown", table("breakdown", found), job.provenance)
    print(f"breakdown: {len(found)} estimates in groups", flush=True)


__all__ = ["Settings", "run"]
