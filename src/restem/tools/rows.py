"""Print rows of a table for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from restem.pages.document import aligned

_SHORT = 40  # characters of a cell


def row_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the short cells of a row in one line, then each long text in an indented block."""
    short = {k: v for k, v in row.items() if not _is_long(v)}
    yield "  ".join(f"{k}={v}" for k, v in short.items() if v not in (None, [], ""))
    for name, text in row.items():
        if name not in short:
            yield f"  {name}:"
            yield "\n".join(f"    | {line}" for line in text.split("\n"))


def table_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield rows in aligned columns, after what they all share; each alone if texts are long."""
    if have_texts(rows):
        for row in rows:
            yield ""
            yield from row_lines(row)
        return
    differ = [name for name in rows[0] if any(row[name] != rows[0][name] for row in rows)]
    yield ""
    yield from row_lines({k: v for k, v in rows[0].items() if k not in differ})
    if not differ:
        return
    yield ""
    numbers = [isinstance(rows[0][name], int | float) for name in differ]
    cells = [[_cell(row[name]) for name in differ] for row in rows]
    yield from aligned([differ, *cells], "".join("r" if n else "l" for n in numbers))


def have_texts(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a cell is too long for a column."""
    return any(_is_long(value) for row in rows for value in row.values())


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > _SHORT or "\n" in value)
