"""The page of a study: one HTML file that needs no server, no script and no other file.

It can be sent by mail. Its size is bounded: texts are shortened, tables cut and figures beyond
`MOST_FIGURE_BYTES` named only, so that the whole stays below `LARGEST`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from restem.errors import RestemError
from restem.figures import series
from restem.pages import changes, estimates, records
from restem.pages.elements import (
    Cell,
    details,
    image,
    interval,
    paragraphs,
    percent,
    plain,
    section,
    table,
    text,
)
from restem.pages.table import Table, build_each
from restem.statistics.evaluation import BASE

Row = Mapping[str, Any]
LARGEST: Final = 12_000_000  # bytes of the page
MOST_FIGURE_BYTES: Final = 6_000_000  # of the figures, before they are encoded
# Whatever a completion holds, a browser runs no script on this page and fetches nothing for it.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_ONE_SEED: Final = (
    "One training seed: the intervals cover the choice of test problems, not how the results would "
    "vary if the models were trained again."
)
_EMBEDDED: Final = "embedded"
_TINY: Final = " – tiny, pretrained on procedural problems only: no evidence on language models"
_REFERENCES: Final = 3  # that a headline compares with
_IN_SIGHT: Final = 4  # facts that are not folded away
_LINES: Final = 6  # of a list that are in sight
_MOST_LINES: Final = 200


@dataclass(frozen=True)
class Figure:
    """A figure, the estimates that it is plotted from, and its SVG."""

    name: str
    title: str
    caption: str
    rows: Sequence[Row]
    svg: bytes


@dataclass(frozen=True)
class Content:
    """Everything that a page shows.

    facts: what was asked, by heading. trained: variants by the task that they are trained on.
    main: by trained task, its main method. claims: by id. splits: (task, split, number of
    problems). methods: the table of methods in Markdown. origin: how the study can be made again,
    see `restem.deployment.origin`.
    """

    study: str
    description: str
    label: str
    trained: Mapping[str, Sequence[str]]
    references: Sequence[str]
    confidence: float
    facts: Sequence[tuple[str, Sequence[str]]]
    main: Mapping[str, str]
    summary: Sequence[Row]
    lifts: Sequence[Row]
    ledger: Sequence[Row]
    overlap: Sequence[Row]
    splits: Sequence[tuple[str, str, int]]
    figures: Sequence[Figure] = ()
    compared: Sequence[Row] = ()
    changes: Sequence[Row] = ()
    claims: Mapping[str, Row] = field(default_factory=dict)
    findings: Sequence[Row] = ()
    sharing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    methods: str = ""
    notes: Sequence[str] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)


def html(content: Content) -> str:
    """Write the whole page."""
    figures = _figures(content)
    sections = {
        "asked": ("What was asked", _asked(content)),
        "result": ("Main result", _headlines(content) + (figures[0] if figures else "")),
        "table": ("Results", _results(content)),
        "changes": ("Problems that changed", _changes(content)),
        "claims": ("Claims", records.claims(content.claims, content.findings)),
        "figures": ("More figures", _grid(figures[1:])),
        "costs": ("Costs", records.costs(content.ledger, content.sharing)),
        "data": ("Data", records.data(content.splits, content.overlap)),
        "again": (
            "How to make it again, and use it",
            records.origin(content.origin, content.study, content.compared),
        ),
    }
    shown = {name: part for name, part in sections.items() if part[1]}
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in shown.items())
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{plain(content.study, 200)} – restem</title>",
            f"<style>{_style()}</style>\n</head>",
            f"<body>\n<header><h1>{text(content.study)}</h1>",
            paragraphs(content.description, kind="lead"),
            f'<p class="label">Models: {text(content.label)}{_caution(content)}</p>\n</header>',
            f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>',
            *(section(name, title, part) for name, (title, part) in shown.items()),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _style() -> str:
    return Path(__file__).with_name("style.css").read_text().strip()


def _caution(content: Content) -> str:
    return _TINY if content.label.startswith(_EMBEDDED) else ""


def _asked(content: Content) -> str:
    """Show what was asked; what few readers look for is folded away."""
    blocks = [_fact(heading, lines) for heading, lines in content.facts]
    first, rest = blocks[:_IN_SIGHT], blocks[_IN_SIGHT:]
    folded = ", ".join(heading.lower() for heading, _ in content.facts[_IN_SIGHT:]).capitalize()
    return "\n".join(
        [
            paragraphs(*content.notes, kind="note"),
            f'<dl class="facts">{"".join(first)}</dl>',
            details(folded, f'<dl class="facts">{"".join(rest)}</dl>' if rest else ""),
            details("Methods by property", records.markdown_table(content.methods)),
        ]
    )


def _fact(heading: str, lines: Sequence[str]) -> str:
    items = list(map(_named, lines[:_MOST_LINES]))
    more = details(f"{len(items) - _LINES} more", f"<ul>{''.join(items[_LINES:])}</ul>")
    more = more if len(items) > _LINES else ""
    inside = f"<ul>{''.join(items[:_LINES])}</ul>{more}"
    return f"<div><dt>{text(heading)}</dt><dd>{inside}</dd></div>"


def _named(line: str) -> str:
    """Write a line of which the part before a colon is a name."""
    name, colon, rest = line.partition(": ")
    start = f"<b>{text(name, 200)}</b>: " if colon else text(name, 200)
    return f"<li>{start}{text(rest, 400)}</li>"


def _headlines(content: Content) -> str:
    """Say in a sentence for each task and model what its main method reached, transfer included."""
    said = []
    for task, variant in content.main.items():
        rows = [
            row
            for row in series.over_seeds(content.summary)
            if (row["split"], row["variant"]) == ("test", variant)
            and row["quantity"] in ("accuracy", "pass@1")
            and row["estimate"] is not None
        ]
        for model in series.names(rows, "model"):
            for on in series.names(rows, "task", task):
                own = [row for row in rows if (row["model"], row["task"]) == (model, on)]
                said += [_headline(content, own, task)] if own else []
    seeds = max((row["seeds"] for row in content.summary), default=0)
    note = paragraphs(_ONE_SEED, kind="quiet") if seeds == 1 and said else ""
    shown, rest = said[:_LINES], said[_LINES:_MOST_LINES]
    more = details(f"{len(rest)} more", f"<ul>{''.join(rest)}</ul>" if rest else "")
    return f'<ul class="headlines">{"".join(shown)}</ul>{more}{note}' if said else ""


def _headline(content: Content, rows: Sequence[Row], trained_on: str) -> str:
    """Write the last estimate of a method, greedy if there is one, and what it gained on others."""
    last = max(rows, key=lambda row: (row["quantity"] == "accuracy", row["iteration"]))
    same = ("task", "split", "model", "variant", "iteration", "decoding", "quantity")
    lifts = {
        row["reference"]: row
        for row in content.lifts
        if row["estimate"] is not None and all(row[name] == last[name] for name in same)
    }
    gained = "".join(
        f"; <b>{percent(lifts[name]['estimate'], signed=True)} points</b> against "
        f"{'the base model' if name == BASE else text(name)} "
        f"{interval(lifts[name]['low'], lifts[name]['high'], signed=True)}"
        for name in (BASE, *content.references[:_REFERENCES])
        if name in lifts
    )
    task = last["task"] if last["task"] == trained_on else f"{last['task']} (transfer)"
    how = f"{last['model']}, iteration {last['iteration']}, {last['decoding']}; {content.label}"
    return (
        f"<li><b>{text(last['variant'])}</b> solves <b>{percent(last['estimate'])} %</b> "
        f"{interval(last['low'], last['high'])} of {last['problems']:,} test problems of "
        f'{text(task)}{gained}. <span class="quiet">{text(how)}</span></li>'
    )


def _figures(content: Content) -> list[str]:
    room, parts = MOST_FIGURE_BYTES, []
    for place, figure in enumerate(content.figures):
        alternative = estimates.in_words(figure.rows, figure.title)
        room -= len(figure.svg)
        shown = image(figure.svg, figure.title, alternative) if room >= 0 else paragraphs(
            f"The page has no room for this figure: see figures/{figure.name}.svg."
        )  # fmt: skip
        values = estimates.values(figure.rows, figure.title, content.confidence)
        kind = "main" if place == 0 else "more"
        beside = values if place == 0 else details("Values", values)
        heading = "" if place == 0 else f"<h3>{text(figure.title)}</h3>"
        caption = f"<figcaption>{text(figure.caption)}</figcaption>" if figure.caption else ""
        parts.append(
            f'<div class="{kind}">{heading}<figure id="figure-{plain(figure.name)}">{shown}'
            f"{caption}</figure>{beside}</div>"
        )
    return parts


def _grid(figures: Sequence[str]) -> str:
    joined = "\n".join(figures)
    return f'<div class="grid">{joined}</div>' if figures else ""


def _results(content: Content) -> str:
    try:
        results = build_each(
            content.summary,
            content.lifts,
            content.label,
            trained=content.trained,
            references=content.references,
            confidence=content.confidence,
        )
    except RestemError:
        return ""  # nothing was tested on a task that was trained on
    return "\n".join(map(_table, results))


def _table(results: Table) -> str:
    remarks = len(results.headers) - 1
    shown = remarks + any(row[remarks] for row in results.rows)  # an empty column is left out
    rows = [
        [Cell(c, "" if place in (0, 1, remarks) else "number") for place, c in enumerate(row)]
        for row in results.rows
    ]
    columns = [row[:shown] for row in rows]
    return table(results.title, results.headers[:shown], columns, heads=3) + paragraphs(
        results.caption, kind="quiet"
    )


def _changes(content: Content) -> str:
    if not content.compared:
        return ""
    intro = (
        "Base model and last policy of each task's main method, which is its first variant that is "
        "no reference, on the test problems of its first seed. Correct means that the verifier "
        "accepted the final answer, whatever the steps before it. The problems shown are a fixed "
        "arbitrary selection, not chosen by anybody; changes.parquet lists all."
    )
    names = ("task", "model", "variant", "seed", "iteration", "decoding")
    parts = [
        changes.comparison(
            pair, [row for row in content.changes if all(row[n] == pair[n] for n in names)]
        )
        for pair in content.compared
    ]
    return "\n".join([paragraphs(intro, kind="quiet"), *parts])
