"""The table of a study: one row per policy, as Markdown, as CSV and for the terminal."""

import csv
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE, GREEDY, is_reference

_Address: TypeAlias = tuple[str, str, int]
_Cell: TypeAlias = Mapping[str, Any] | None
_SPLIT: Final = "test"


@dataclass(frozen=True)
class Report:
    """A table to show: a title with the note, a caption, headers, and rows twice.

    rows: as text, in per cent; records: the numbers behind them, as shares.
    """

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Column:
    """One quantity: how its header and its CSV columns are called, and where to find it."""

    header: str
    name: str
    find: Callable[[_Address], _Cell]
    render: Callable[[Mapping[str, Any]], str]


def draw(
    summary: Sequence[Mapping[str, Any]],
    lifts: Sequence[Mapping[str, Any]],
    note: str,
    *,
    home: str,
    references: Sequence[str] = (BASE,),
    sampled: str | None = None,
    confidence: float = 0.95,
) -> Report:
    """Lay out the test results of every policy on the task `home` and on all transfer tasks.

    references: the variants over which the lift is shown; sampled: the decoding of the pass@k
    columns, needed when there are several. Raises RestemError when there is nothing to show.
    """
    rows = series.whole(summary)
    greedy = series.select(rows, [_SPLIT], "accuracy", GREEDY)
    _check_home(home, series.names(greedy, "task"))
    curves = series.without_exams(rows)
    drawn = [row for row in curves if row["split"] == _SPLIT and row["decoding"] != GREEDY]
    passes = series.select(drawn, [_SPLIT], "pass@", sampled) if drawn else []
    columns = [
        *_accuracies(greedy, home),
        *_passes([row for row in passes if row["task"] == home]),
        *_lifts(lifts, home, references),
    ]
    addresses = sorted({_address(row) for row in [*greedy, *passes]}, key=_rank)
    reasons = {_address(row): row["halted"] for row in [*greedy, *passes] if row["halted"]}
    return Report(
        title=f"Policies trained on {home}: {_SPLIT} results — {note}",
        caption=_caption(greedy, passes, home, confidence),
        headers=("model", "variant", "iteration", *(c.header for c in columns), "remarks"),
        rows=tuple(_texts(address, columns, reasons.get(address)) for address in addresses),
        records=tuple(_record(a, columns, reasons.get(a), note) for a in addresses),
    )


def markdown(report: Report) -> str:
    """Render the report as a Markdown table under its title."""
    rule = [":--" if i < 2 or h == "remarks" else "--:" for i, h in enumerate(report.headers)]
    lines = [[_escaped(cell) for cell in row] for row in (report.headers, rule, *report.rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {report.title}\n\n{table}\n\n{report.caption}\n"


def csv_text(report: Report) -> str:
    """Render the report as CSV with a column for every number; what is missing is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(report.records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.records)
    return stream.getvalue()


def terminal(report: Report) -> str:
    """Render the report with aligned columns for a terminal."""
    lines = [report.headers, *report.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(report.headers))]
    rule = "─" * (sum(widths) + 2 * len(widths) - 2)
    text = [_aligned(line, widths) for line in lines]
    caption = textwrap.wrap(report.caption, max(len(rule), 60))
    return "\n".join([report.title, "", text[0], rule, *text[1:], rule, *caption, ""])


def save(report: Report, stem: Path) -> list[Path]:
    """Write the report as <stem>.md and <stem>.csv."""
    texts = {".md": markdown(report), ".csv": csv_text(report)}
    paths = [stem.with_name(stem.name + suffix) for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        style.write_bytes(path, text.encode())
    return paths


def _check_home(home: str, tasks: Sequence[str]) -> None:
    if home not in tasks:
        raise RestemError(
            f"no policy was evaluated on {home}",
            f"the summary, whose tasks are {', '.join(tasks)}",
            f"evaluate the {_SPLIT} split of the task that was trained on",
        )


def _address(row: Mapping[str, Any]) -> _Address:
    return row["model"], row["variant"], row["iteration"]


def _rank(address: _Address) -> tuple[str, bool, bool, str, int]:
    """Order by model, then base, SFT variants, methods."""
    model, variant, iteration = address
    return model, variant != BASE, not is_reference(variant), variant, iteration


def _accuracies(greedy: Sequence[series.Row], home: str) -> list[_Column]:
    columns = []
    for task in series.names(greedy, "task", home):
        found = {_address(row): row for row in greedy if row["task"] == task}
        header = f"{task} accuracy" if task == home else f"{task} (transfer)"
        name = "accuracy" if task == home else f"transfer_{task}"
        columns.append(_Column(header, name, found.get, _with_interval))
    return columns


def _passes(passes: Sequence[series.Row]) -> list[_Column]:
    largest = max((row["k"] for row in passes), default=1)
    columns = []
    for k in sorted({1, largest}) if passes else []:
        found = {_address(row): row for row in passes if row["k"] == k}
        columns.append(_Column(f"pass@{k}", f"pass_at_{k}", found.get, _percent))
    return columns


def _lifts(lifts: Sequence[series.Row], home: str, references: Sequence[str]) -> list[_Column]:
    wanted = {"task": home, "split": _SPLIT, "quantity": "accuracy"}
    mine = [row for row in lifts if all(row[key] == value for key, value in wanted.items())]
    columns = []
    for reference in references:
        found = {_address(row): row for row in mine if row["reference"] == reference}
        header, name = f"lift over {reference}", f"lift_over_{reference}"
        columns.append(_Column(header, name, found.get, _signed))
    return columns


def _texts(address: _Address, columns: Sequence[_Column], reason: str | None) -> tuple[str, ...]:
    model, variant, iteration = address
    cells = [_text(column.find(address), column) for column in columns]
    return (model, variant, str(iteration), *cells, f"halted: {reason}" if reason else "")


def _text(cell: _Cell, column: _Column) -> str:
    return "–" if cell is None or cell["estimate"] is None else column.render(cell)


def _record(
    address: _Address, columns: Sequence[_Column], reason: str | None, note: str
) -> dict[str, Any]:
    record: dict[str, Any] = dict(zip(("model", "variant", "iteration"), address, strict=True))
    for column in columns:
        cell = column.find(address) or {}
        record[column.name] = cell.get("estimate")
        record[f"{column.name}_low"], record[f"{column.name}_high"] = (
            cell.get("low"),
            cell.get("high"),
        )
        record[f"{column.name}_problems"], record[f"{column.name}_seeds"] = (
            cell.get("problems"),
            cell.get("seeds"),
        )
    return {**record, "halted": reason, "note": note}


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['estimate']:.1f}"


def _with_interval(row: Mapping[str, Any]) -> str:
    return f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _signed(row: Mapping[str, Any]) -> str:
    return f"{100 * row['estimate']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def _caption(
    greedy: Sequence[series.Row], passes: Sequence[series.Row], home: str, confidence: float
) -> str:
    """Say units, sample sizes and what the brackets are."""
    tasks = series.names(greedy, "task", home)
    counts = [(t, series.sizes(row for row in greedy if row["task"] == t)) for t in tasks]
    draws = {row["draws"] for row in passes if row["task"] == home and row["draws"]}
    sampled = f" pass@k: sampled, {min(draws)} draws per problem." if draws else ""
    return (
        f"Accuracy: greedy, %; lift: points gained, paired by problem.{sampled}"
        f" {100 * confidence:g} % bootstrap intervals in brackets. "
        + "; ".join(f"{task}: {count}" for task, count in counts)
        + "."
    )


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    last = len(line) - 1
    cells = [
        cell.ljust(width) if i < 2 or i == last else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
