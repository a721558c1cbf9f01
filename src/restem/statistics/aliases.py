"""Read results under every name in the study: variants with equal recipes share one artifact."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.tables import read_rows

Address = dict[str, Any]
Aliases = Sequence[tuple[Address, Address]]  # (owner of the artifact, other name for it)
ADDRESS = ("model", "variant", "seed", "iteration")


def all_rows(aliases: Aliases, metrics: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the results of every policy, under each name of it; files are read one by one."""
    return repeat(aliases, (row for path in metrics for row in read_rows(path, METRICS)))


def repeat(aliases: Aliases, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of every policy, each followed by its copies under other names."""
    others: dict[tuple[Any, ...], list[Address]] = defaultdict(list)
    for owner, other in aliases:
        others[tuple(owner[name] for name in ADDRESS)].append(other)
    for row in rows:
        yield row
        for other in others.get(tuple(row[name] for name in ADDRESS), ()):
            yield row | {name: other[name] for name in ADDRESS}
