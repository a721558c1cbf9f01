"""Tables in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Final

_RULES: Final = {"l": ":--", "c": ":-:", "r": "--:"}


def table(headers: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table without a final newline; alignment: l, c or r for each column."""
    rule = [_RULES[letter] for letter in alignment]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headers, rule, *rows))
