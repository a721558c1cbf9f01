"""Read results under every name in the study: variants with equal recipes share one artifact."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.tables import read_rows

Address = dict[str, Any]
Aliases = Sequence[tuple[Address, Address]]  # (owner of the artifact, other name for it)
ADDRESS = ("model", "variant", "seed", "iteration")


def all_rows(aliases: Aliases, metrics: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the results of every policy, repeated under each name that the study gives it."""
    return repeat(aliases, [row for path in metrics for row in read_rows(path, "metrics")])


def repeat(aliases: Aliases, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of every policy, repeated under each name that the study gives it."""
    return [*rows] + [
        row | {name: other[name] for name in ADDRESS}
        for owner, other in aliases
        for row in rows
        if all(row[name] == owner[name] for name in ADDRESS)
    ]
