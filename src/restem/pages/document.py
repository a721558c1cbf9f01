"""A short document of titled tables: for the terminal, as Markdown, and as one page of HTML.

What it shows may come from somebody else. Nothing of it is interpreted: neither control characters
in a terminal, nor marks of Markdown or HTML.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from restem.artifacts.files import write_text
from restem.pages import markdown as md

_WIDTH: Final = 100
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode categories
_MARKS: Final = re.compile(r"([\\`*_\[\]<>|#&])")
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; } th, td { text-align: left; vertical-align: top;
  padding: .25rem .6rem; border-bottom: 1px solid; overflow-wrap: anywhere; }
td.r, th.r { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


@dataclass(frozen=True)
class Section:
    """A part of a document: paragraphs, and a table if it has headers.

    alignment: l or r for each column.
    """

    title: str
    texts: Sequence[str] = ()
    headers: Sequence[str] = ()
    alignment: str = ""
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Document:
    """A title and sections."""

    title: str
    sections: Sequence[Section]


def visible(text: str) -> str:
    r"""Write control characters and other invisible ones as escapes, such as \x1b.

    Line feeds and tabs stay. Completions may hold anything, for instance what makes a terminal
    delete lines, or writes from right to left.
    """
    return "".join(c if _is_visible(c) else _escaped(ord(c)) for c in text)


def _is_visible(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _UNSEEN


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def save(document: Document, path: Path) -> None:
    """Write a document as Markdown, or as HTML where the file's name ends so."""
    write_text(path, html(document) if path.suffix == ".html" else markdown(document))


def terminal(document: Document) -> str:
    """Render a document with aligned columns."""
    parts = [visible(document.title)]
    for section in document.sections:
        texts = [textwrap.fill(visible(text), _WIDTH) for text in section.texts]
        table = "\n".join(_aligned(section)) if section.headers else ""
        parts.append("\n".join(filter(None, [section.title.upper(), *texts, table])))
    return "\n\n".join(parts)


def _aligned(section: Section) -> Iterator[str]:
    lines = [[visible(cell) for cell in line] for line in (section.headers, *section.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["─" * width for width in widths])
    yield from aligned(lines, section.alignment)


def aligned(lines: Sequence[Sequence[str]], alignment: str) -> Iterator[str]:
    """Yield lines of cells with columns as wide as their cells; alignment: l or r for each."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, alignment, strict=True)
        yield "  ".join(c.ljust(w) if a == "l" else c.rjust(w) for c, w, a in cells).rstrip()


def markdown(document: Document) -> str:
    """Render a document in Markdown."""
    parts = [f"# {_quoted(document.title)}"]
    for section in document.sections:
        parts += [f"## {section.title}", *map(_quoted, section.texts)]
        if section.headers:
            lines = [[_quoted(cell) for cell in line] for line in (section.headers, *section.rows)]
            parts.append(md.table(lines[0], section.alignment, lines[1:]))
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    return _MARKS.sub(r"\\\1", visible(text))


def html(document: Document) -> str:
    """Render a document as one page without scripts."""
    title = escape(visible(document.title))
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>{title}</h1>",
    ]
    for section in document.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{escape(visible(text))}</p>" for text in section.texts]
        if section.headers:
            parts.append(_table(section))
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _table(section: Section) -> str:
    """Write a table that scrolls by itself, by keyboard too, and whose cells name their column."""
    title = escape(section.title)
    head = "".join(_cells(section.headers, section.alignment, 'th scope="col"'))
    rows = "\n".join(
        f"<tr>{''.join(_cells(row, section.alignment, 'td'))}</tr>" for row in section.rows
    )
    return (
        f'<div class="wide" role="region" aria-label="{title}" tabindex="0">'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _cells(cells: Sequence[str], alignment: str, tag: str) -> Iterator[str]:
    for cell, side in zip(cells, alignment, strict=True):
        kind = ' class="r"' if side == "r" else ""
        yield f"<{tag}{kind}>{escape(visible(cell))}</{tag.split()[0]}>"
