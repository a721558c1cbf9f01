"""Print a row of a table for people."""

from collections.abc import Iterator, Mapping
from typing import Any

_SHORT = 40  # characters of a cell


def row_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the short cells of a row in one line, then each long text in an indented block."""
    short = {k: v for k, v in row.items() if not _is_long(v)}
    yield "  ".join(f"{k}={v}" for k, v in short.items() if v not in (None, [], ""))
    for name, text in row.items():
        if name not in short:
            yield f"  {name}:"
            yield "\n".join(f"    | {line}" for line in text.split("\n"))


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > _SHORT or "\n" in value)
