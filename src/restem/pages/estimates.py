"""The estimates that a figure is plotted from: as a table, and as its alternative text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from restem.figures import series
from restem.pages.elements import Cell, interval, number, percent, table
from restem.statistics.evaluation import BASE

_NAMED: Final = ("kind", "group", "task", "split", "model", "variant", "iteration", "decoding")
_MORE: Final = ("reference", "check", "origin", "quantity")
_SAID: Final = 12  # values in an alternative text


def plotted(
    rows: Sequence[series.Row], kept: Mapping[str, Sequence[str]], quantity: str | None
) -> list[series.Row]:
    """Return the estimates over all seeds that a figure is plotted from."""
    return [
        row
        for row in series.over_seeds(rows)
        if all(row.get(column) in values for column, values in kept.items()) and _is(row, quantity)
    ]


def _is(row: series.Row, quantity: str | None) -> bool:
    named = row.get("quantity")
    return None in (named, quantity) or quantity in (named, str(named).split("@")[0] + "@")


def values(rows: Sequence[series.Row], title: str, confidence: float) -> str:
    """Write the estimates with their intervals; what is the same in all rows is in the caption."""
    columns = [name for name in (*_NAMED, *_MORE) if _is_column(rows, name)]
    constant = [name for name in columns if len({row[name] for row in rows}) == 1]
    shown = [name for name in columns if name not in constant] or columns[:1]
    same = "; ".join(f"{name} {rows[0][name]}" for name in constant) if rows else ""
    caption = f"{title}, %, with {100 * confidence:g} % intervals" + (f" ({same})" if same else "")
    cells = [
        [
            *(_cell(name, row[name]) for name in shown),
            number(percent(row["estimate"])),
            number(_interval(row)),
        ]
        for row in _ordered(rows)
    ]
    return table(caption, [*shown, "estimate", "interval"], cells, heads=len(shown))


def _cell(column: str, value: Any) -> Cell:
    return Cell("–" if value is None else str(value), "number" if column == "iteration" else "")


def _is_column(rows: Sequence[series.Row], name: str) -> bool:
    return any(row.get(name) is not None for row in rows)


def _interval(row: series.Row) -> str:
    halted = row.get("halted") if row["estimate"] is None else None
    return f"halted: {halted}" if halted else interval(row["low"], row["high"])


def _ordered(rows: Sequence[series.Row]) -> list[series.Row]:
    """Sort by task and model; the base model first."""

    def key(row: series.Row) -> tuple[Any, ...]:
        variant = str(row.get("variant"))
        names = tuple(str(row.get(n)) for n in ("kind", "group", "task", "split", "model"))
        return (*names, variant != BASE, variant, row.get("iteration") or 0, row.get("k") or 0)

    return sorted(rows, key=key)


def in_words(rows: Sequence[series.Row], title: str) -> str:
    """Say what a figure shows, with its values; of very many, how many there are in the table."""
    said = [
        f"{_named(row)} {percent(row['estimate'])} % {interval(row['low'], row['high'])}"
        for row in _ordered(rows)
        if row["estimate"] is not None
    ]
    more = f"; {len(said) - _SAID} more values in the table below" if len(said) > _SAID else ""
    return f"{title}: {'; '.join(said[:_SAID])}{more}." if said else f"{title}: no values."


def _named(row: series.Row) -> str:
    names = ("group", "task", "split", "model", "variant", "iteration", "quantity")
    return " ".join(str(row[name]) for name in names if row.get(name) not in (None, "accuracy"))
