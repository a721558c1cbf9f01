"""The table of a study: one row per policy, as Markdown, as CSV and for the terminal."""

import csv
import io
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from restem.artifacts.files import write_text
from restem.errors import RestemError
from restem.figures import series
from restem.pages import markdown as md
from restem.statistics.evaluation import BASE

_Address: TypeAlias = tuple[str, str, int]
_SPLIT: Final = "test"
_EMPTY: Final[dict[str, Any]] = {}


@dataclass(frozen=True)
class Table:
    """A table with its title and caption.

    rows: as text, in per cent; records: the same rows as numbers, in shares.
    """

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Column:
    """One quantity: its header, the name of its CSV columns and its estimates by policy."""

    header: str
    name: str
    estimates: Mapping[_Address, series.Row]
    render: Callable[[series.Row], str]

    def text(self, address: _Address) -> str:
        row = self.estimates.get(address, _EMPTY)
        return "–" if row.get("estimate") is None else self.render(row)

    def record(self, address: _Address) -> dict[str, Any]:
        row = self.estimates.get(address, _EMPTY)
        ends = ("estimate", "low", "high", "problems", "seeds")
        names = (self.name, *(f"{self.name}_{end}" for end in ends[1:]))
        return {name: row.get(end) for name, end in zip(names, ends, strict=True)}


def build_each(
    summary: Sequence[series.Row],
    lifts: Sequence[series.Row],
    label: str,
    *,
    trained: Mapping[str, Collection[str]],
    **more: Any,
) -> list[Table]:
    """Lay out a table for each task that was trained on: its policies and their base models.

    trained: the variants by task. Raises RestemError if no task has test results.
    """
    tables = []
    for task, variants in trained.items():
        shown = {BASE, *variants}
        models = {r["model"] for r in summary if r["task"] == task and r["variant"] in shown}
        own, gained = (
            [r for r in rows if r["variant"] in shown and r["model"] in models]
            for rows in (summary, lifts)
        )
        try:
            tables.append(build(own, gained, label, train_task=task, **more))
        except RestemError as nothing:
            reason = nothing
    if not tables:
        raise reason
    return tables


def build(
    summary: Sequence[series.Row],
    lifts: Sequence[series.Row],
    label: str,
    *,
    train_task: str,
    references: Collection[str] = (),
    confidence: float = 0.95,
) -> Table:
    """Lay out every policy's test results on the task it was trained on and on all other tasks.

    references: variants over which lifts are shown, besides the base model. A quantity that was
    measured with several decodings has a column for each. Raises RestemError if no policy has
    test results on the task that was trained on.
    """
    rows = [row for row in series.over_seeds(summary) if row["split"] == _SPLIT]
    greedy = [row for row in rows if row["quantity"] == "accuracy"]
    sampled = [
        row
        for row in series.without_exams(rows)
        if row["task"] == train_task and row["quantity"].startswith("pass@")
    ]
    has_accuracy = any(row["task"] == train_task for row in greedy)
    if not (has_accuracy or sampled):
        raise _nothing_to_show(rows, train_task)
    shown = [BASE, *(n for n in series.names(rows, "variant") if n in references and n != BASE)]
    columns = [
        *_accuracies(greedy, train_task),
        *_passes(sampled),
        *(_lifts(lifts, train_task, shown) if has_accuracy else ()),
    ]
    addresses = {_address(row) for row in [*greedy, *sampled]}
    ordered = sorted(addresses, key=lambda a: (a[0], *series.rank(a[1], references), a[2]))
    reasons = {_address(row): row["halted"] for row in [*greedy, *sampled] if row["halted"]}
    return Table(
        title=f"Policies trained on {train_task}: {_SPLIT} results — {label}",
        caption=" ".join(
            [
                _caption(greedy or sampled, sampled, train_task, confidence),
                *series.few_solutions([*greedy, *sampled]),
            ]
        ),
        headers=("model", "variant", "iteration", *(c.header for c in columns), "remarks"),
        rows=tuple(_texts(address, columns, reasons.get(address)) for address in ordered),
        records=tuple(
            {"trained_on": train_task} | _record(a, columns, reasons.get(a), label) for a in ordered
        ),
    )


def markdown(table: Table) -> str:
    """Render the table in Markdown under its title."""
    alignment = "".join(
        "l" if i < 2 or h == "remarks" else "r" for i, h in enumerate(table.headers)
    )
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (table.headers, *table.rows)]
    return f"### {table.title}\n\n{md.table(lines[0], alignment, lines[1:])}\n\n{table.caption}\n"


def csv_text(tables: Sequence[Table]) -> str:
    """Render tables as one CSV with a column for every number; missing numbers are empty."""
    records = [record for table in tables for record in table.records]
    names = dict.fromkeys(name for record in records for name in record)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def terminal(table: Table) -> str:
    """Render the table with aligned columns for a terminal."""
    lines = [table.headers, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.headers))]
    rule = "─" * (sum(widths) + 2 * len(widths) - 2)
    text = [_aligned(line, widths) for line in lines]
    caption = textwrap.wrap(table.caption, max(len(rule), 60))
    return "\n".join([table.title, "", text[0], rule, *text[1:], rule, *caption, ""])


def save(tables: Sequence[Table], stem: Path) -> list[Path]:
    """Write tables as <stem>.md and <stem>.csv."""
    texts = {".md": "\n".join(map(markdown, tables)), ".csv": csv_text(tables)}
    paths = [stem.with_name(stem.name + suffix) for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _nothing_to_show(rows: Sequence[series.Row], train_task: str) -> RestemError:
    tasks = ", ".join(series.names(rows, "task")) or "none"
    return RestemError(
        f"no policy was evaluated on {train_task}",
        f"the summary, whose tasks are {tasks}",
        f"evaluate the {_SPLIT} split of the task that was trained on",
    )


def _address(row: series.Row) -> _Address:
    return row["model"], row["variant"], row["iteration"]


def _by_decoding(rows: Sequence[series.Row]) -> Iterator[tuple[str, str, list[series.Row]]]:
    """Yield the rows of each decoding, with suffixes of header and name if there are several."""
    decodings = series.names(rows, "decoding")
    for decoding in decodings:
        suffixes = (f", {decoding}", f"_{decoding}") if len(decodings) > 1 else ("", "")
        yield *suffixes, [row for row in rows if row["decoding"] == decoding]


def _accuracies(greedy: Sequence[series.Row], train_task: str) -> Iterator[_Column]:
    for task in series.names(greedy, "task", train_task):
        header, name = f"{task} (transfer)", f"transfer_{task}"
        if task == train_task:
            header, name = f"{task} accuracy", "accuracy"
        for in_header, in_name, rows in _by_decoding([r for r in greedy if r["task"] == task]):
            estimates = {_address(row): row for row in rows}
            yield _Column(header + in_header, name + in_name, estimates, _with_interval)


def _passes(sampled: Sequence[series.Row]) -> Iterator[_Column]:
    for in_header, in_name, rows in _by_decoding(sampled):
        for k in sorted({1, max(row["k"] for row in rows)}):
            estimates = {_address(row): row for row in rows if row["k"] == k}
            name = f"pass_at_{k}{in_name}"
            yield _Column(f"pass@{k}{in_header}", name, estimates, _with_interval)


def _lifts(
    lifts: Sequence[series.Row], train_task: str, references: Sequence[str]
) -> Iterator[_Column]:
    wanted = {"task": train_task, "split": _SPLIT, "quantity": "accuracy"}
    shown = [row for row in lifts if wanted.items() <= row.items()]
    for reference in references:
        header, name = f"lift over {reference}", f"lift_over_{reference}"
        for in_header, in_name, rows in _by_decoding(shown) if shown else [("", "", shown)]:
            estimates = {_address(row): row for row in rows if row["reference"] == reference}
            yield _Column(header + in_header, name + in_name, estimates, _signed)


def _texts(address: _Address, columns: Sequence[_Column], reason: str | None) -> tuple[str, ...]:
    model, variant, iteration = address
    cells = [column.text(address) for column in columns]
    return (model, variant, str(iteration), *cells, f"halted: {reason}" if reason else "")


def _record(
    address: _Address, columns: Sequence[_Column], reason: str | None, label: str
) -> dict[str, Any]:
    record: dict[str, Any] = dict(zip(("model", "variant", "iteration"), address, strict=True))
    for column in columns:
        record |= column.record(address)
    return {**record, "halted": reason, "note": label}


def _with_interval(row: series.Row) -> str:
    return f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _signed(row: series.Row) -> str:
    return f"{100 * row['estimate']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def _caption(
    rows: Sequence[series.Row],
    sampled: Sequence[series.Row],
    train_task: str,
    confidence: float,
) -> str:
    """Describe units, sample sizes and brackets."""
    tasks = series.names(rows, "task", train_task)
    sizes = [f"{t}: {series.sizes(row for row in rows if row['task'] == t)}" for t in tasks]
    draws = {row["draws"] for row in sampled if row["draws"]}
    passes = f" pass@k: sampled, {min(draws)} draws per problem." if draws else ""
    return (
        f"Accuracy: greedy, %; lift: points gained, paired by problem.{passes}"
        f" {100 * confidence:g} % bootstrap intervals in brackets. {'; '.join(sizes)}."
    )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    last = len(line) - 1
    cells = [
        cell.ljust(width) if i < 2 or i == last else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
