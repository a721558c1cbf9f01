"""The page of a study: figures, claims, costs and links, as plain HTML without scripts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from restem.pages.ledger import HEADERS, SCOPES, cells_of_scope

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
nav a { margin-right: 1rem; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.supported::before { content: "\\2713  "; } .contradicted::before { content: "\\2717  "; }
.inconclusive::before { content: "?  "; } .untested::before { content: "\\2013  "; }
.note { background: #fff6d6; padding: .5rem 1rem; }
"""


@dataclass(frozen=True)
class Figure:
    """A figure on the page; path: of the SVG, relative to the page."""

    name: str
    title: str
    caption: str
    path: str


def html(
    study: str,
    description: str,
    label: str,
    figures: Sequence[Figure],
    claims: Mapping[str, Mapping[str, Any]],
    findings: Sequence[Mapping[str, Any]],
    ledger: Sequence[Mapping[str, Any]],
    methods: str,
    sharing: Mapping[str, Mapping[str, int]],
    more: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Write the whole page.

    label: what the models are; methods: the table of methods in Markdown; sharing: by kind of work,
    the number of runs with and without sharing; more: further files to link to; notes: what else
    is known of the models.
    """
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(study)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(study)}</h1>\n<p>{escape(description)}</p>",
        f'<p class="note">Models: {escape(label)}.</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        '<nav><a href="#claims">Claims</a><a href="#figures">Figures</a>'
        '<a href="#methods">Methods</a><a href="#cost">Cost</a><a href="#files">Files</a></nav>',
        '<h2 id="claims">Claims</h2>',
        _claims(claims, findings),
        '<h2 id="figures">Figures</h2>',
        *map(_figure, figures),
        '<h2 id="methods">Methods by property</h2>',
        _markdown_table(methods),
        '<h2 id="cost">What it cost</h2>',
        _sharing(sharing),
        *(_costs(scope, title, ledger) for scope, title in SCOPES.items()),
        '<h2 id="files">Files</h2>',
        _files(more),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _figure(figure: Figure) -> str:
    others = " ".join(
        f'<a href="{escape(figure.path.removesuffix("svg") + kind)}">{kind.upper()}</a>'
        for kind in ("svg", "pdf", "png")
    )
    return (
        f'<figure id="{escape(figure.name)}"><h3>{escape(figure.name)}: {escape(figure.title)}</h3>'
        f'<img src="{escape(figure.path)}" alt="{escape(figure.title)}">'
        f"<figcaption>{escape(figure.caption)} {others}</figcaption></figure>"
    )


def _claims(claims: Mapping[str, Mapping[str, Any]], findings: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for row in findings:
        claim = claims[row["claim"]]
        finding = str(row["reason"])
        if row["estimate"] is not None:
            finding = (
                f"{row['contrast']}, k = {row['k']}: {100 * row['estimate']:+.1f} points "
                f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}], n = {row['problems']}, "
                f"seeds = {row['seeds']}"
            )
        says = f"{claim['says']} ({claim['where']})"
        verdict = _Cell(row["verdict"], row["verdict"])
        rows.append([_Cell(row["claim"]), verdict, _Cell(says), _Cell(finding)])
    return _table(["claim", "verdict", "the paper says", "found"], rows)


def _costs(scope: str, title: str, ledger: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [_Cell(name), *(_Cell(amounts, "number") for amounts in costs)]
        for name, *costs in cells_of_scope(ledger, scope)
    ]
    if not rows:
        return ""
    return f"<h3>{escape(title)}</h3>\n" + _table(["name", *HEADERS.values()], rows)


def _sharing(sharing: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        [_Cell(name), *(_Cell(str(counts[key]), "number") for key in ("by itself", "shared"))]
        for name, counts in sharing.items()
    ]
    return _table(["work", "every variant by itself", "done, shared"], rows)


def _files(more: Sequence[str]) -> str:
    links = ("summary.parquet", "lifts.parquet", "claims.parquet", "claims.md", "ledger.parquet")
    items = "".join(
        f'<li><a href="{name}">{name}</a></li>' for name in (*links, "ledger.md", *more)
    )
    return f"<ul>{items}</ul>"


@dataclass(frozen=True)
class _Cell:
    text: str
    kind: str = ""


def _table(headers: Iterable[str], rows: Iterable[Iterable[_Cell]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td class="{cell.kind}">{escape(cell.text)}</td>' if cell.kind
            else f"<td>{escape(cell.text)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )  # fmt: skip
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _markdown_table(text: str) -> str:
    """Convert the table in a Markdown text to HTML."""
    lines = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("|")]
    if len(lines) < 3:
        return ""
    return _table(lines[0], ([_Cell(cell) for cell in line] for line in lines[2:]))
