"""Read results under every name that a study gives them: equal recipes are one artifact."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.tables import read_rows

Address = dict[str, Any]
Aliases = Sequence[tuple[Address, Address]]  # (owner, other name)
ADDRESS = ("model", "variant", "seed", "iteration")


def all_rows(aliases: Aliases, metrics: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the results of every policy, under every name that the study gives it."""
    rows = [row for path in metrics for row in read_rows(path, "metrics")]
    return rows + [row for owner, other in aliases for row in _renamed(rows, owner, other)]


def _renamed(
    rows: Sequence[Mapping[str, Any]], owner: Mapping[str, Any], other: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of an artifact under the other name that the study gives it."""
    place = [owner[name] for name in ADDRESS]
    new = {name: other[name] for name in ADDRESS}
    return [{**row, **new} for row in rows if [row[name] for name in ADDRESS] == place]
