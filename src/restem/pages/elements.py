"""Pieces of HTML: every text is escaped and limited, whoever wrote it.

Completions are untrusted. Control characters and those that turn the direction of a text are shown
by their code points; every text has a direction of its own, so that none reorders what follows it.
"""

import base64
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

LONGEST: Final = 2_000  # characters of one text; of a longer one, beginning and end are shown
MOST_ROWS: Final = 200  # of one table
_KEPT: Final = "\n\t\u200c\u200d"  # white space; joiners of Persian letters and of emoji
_HIDDEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories that show nothing


@dataclass(frozen=True)
class Cell:
    """A cell of a table; kind: its CSS class."""

    text: str
    kind: str = ""


Row: TypeAlias = Sequence[Cell | str]


def text(content: object, longest: int = LONGEST) -> str:
    """Escape a text, shorten it in the middle, and make visible what a reader would not see."""
    head, left_out, tail = _shortened(str(content), longest)
    gap = f'<span class="gap"> […&nbsp;{left_out:,} characters left out&nbsp;…] </span>'
    return f"{_escaped(head)}{gap if left_out else ''}{_escaped(tail)}"


def plain(content: object, longest: int = LONGEST) -> str:
    """Write a text as the value of an attribute or as a title, where no element may stand."""
    head, left_out, tail = _shortened(str(content), longest)
    shown = f"{head}{' … ' if left_out else ''}{tail}"
    return "".join(f"U+{ord(c):04X}" if _is_hidden(c) else c for c in escape(shown))


def _shortened(content: str, longest: int) -> tuple[str, int, str]:
    """Return the beginning of a text, how many characters are left out of it, and its end."""
    if len(content) <= longest:
        return content, 0, ""
    head, tail = longest * 2 // 3, longest // 3
    return content[:head], len(content) - head - tail, content[-tail:]


def _escaped(shown: str) -> str:
    return "".join(
        f'<span class="code">U+{ord(letter):04X}</span>' if _is_hidden(letter) else letter
        for letter in escape(shown.replace("\r\n", "\n"))
    )


def _is_hidden(letter: str) -> bool:
    """Tell whether a character shows nothing, or turns the text around it."""
    if letter.isprintable() or letter in _KEPT:
        return False
    return unicodedata.category(letter) in _HIDDEN


def passage(content: str, longest: int = LONGEST) -> str:
    """Show a text of somebody else as it is, line by line, in a direction of its own."""
    return f'<pre dir="auto">{text(content.strip(), longest)}</pre>'


def paragraphs(*contents: str, kind: str = "") -> str:
    """Write paragraphs; those without text are left out."""
    mark = f' class="{kind}"' if kind else ""
    return "\n".join(f"<p{mark}>{text(content)}</p>" for content in contents if content)


def section(name: str, title: str, *parts: str) -> str:
    """Write a section under a heading of the second level; nothing if it has no parts."""
    inside = "\n".join(filter(None, parts))
    if not inside:
        return ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{text(title)}</h2>\n{inside}\n</section>'
    )


def details(summary: str, *parts: str, opened: bool = False) -> str:
    """Write what a reader has to open, with the keyboard too; nothing if it has no parts."""
    inside = "\n".join(filter(None, parts))
    state = " open" if opened else ""
    return (
        f"<details{state}><summary>{text(summary)}</summary>\n{inside}\n</details>"
        if inside
        else ""
    )


def table(caption: str, headers: Sequence[str], rows: Iterable[Row], heads: int = 1) -> str:
    """Write a table that scrolls by itself where it is too wide.

    heads: how many columns on the left name their row. Of very many rows the first ones are shown.
    """
    shown = list(rows)
    if not shown:
        return ""
    titles = "".join(
        f'<th scope="col"{_class(cell)}>{text(title)}</th>'
        for title, cell in zip(headers, _cells(shown[0]), strict=True)
    )
    body = "\n".join(_row(row, heads) for row in shown[:MOST_ROWS])
    more = len(shown) - MOST_ROWS
    note = f"; {more:,} more rows are left out" if more > 0 else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{plain(caption, 200)}">'
        f"<table>\n<caption>{text(caption)}{note}</caption>\n<thead><tr>{titles}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row(row: Row, heads: int) -> str:
    cells = [
        f'<th scope="row"{_class(cell)}>{text(cell.text, 400)}</th>'
        if place < heads
        else f"<td{_class(cell)}>{text(cell.text, 400)}</td>"
        for place, cell in enumerate(_cells(row))
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cells(row: Row) -> list[Cell]:
    return [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


def _class(cell: Cell) -> str:
    return f' class="{cell.kind}"' if cell.kind else ""


def number(content: str) -> Cell:
    """Return a cell that is aligned as a number."""
    return Cell(content, "number")


def image(svg: bytes, title: str, alternative: str) -> str:
    """Show an SVG that is a part of the page; alternative: what it says, in words and numbers."""
    content = base64.b64encode(svg).decode()
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{plain(title, 200)}">'
        f'<img src="data:image/svg+xml;base64,{content}" alt="{plain(alternative, 1200)}"></div>'
    )


def percent(share: float | None, signed: bool = False) -> str:
    """Write a share in per cent."""
    if share is None:
        return "–"
    return f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"


def interval(low: float | None, high: float | None, signed: bool = False) -> str:
    """Write an interval in per cent."""
    return "–" if low is None else f"[{percent(low, signed)}, {percent(high, signed)}]"
