"""The table of a study: one row per policy, as Markdown, as CSV and for the terminal."""

import csv
import io
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from restem.artifacts.files import write_text
from restem.errors import RestemError
from restem.figures import series
from restem.pages import markdown as md
from restem.pages.document import aligned
from restem.statistics.evaluation import BASE

_Address: TypeAlias = tuple[str, str, int]
_SPLITS: Final = ("test", "validation", "train")  # the first that was evaluated is shown
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

    trained: the variants by task. Where none of these tasks was evaluated, every task has a table
    of all policies. Raises RestemError if there are no results at all.
    """
    tables = _tables(summary, lifts, label, trained, **more)
    if not tables:
        everyone = series.names(summary, "variant")
        tasks = dict.fromkeys(series.names(summary, "task"), everyone)
        tables = _tables(summary, lifts, label, tasks, trained_here=False, **more)
    if not tables:
        raise _nothing_to_show(summary, next(iter(trained)))
    return tables


def _tables(
    summary: Sequence[series.Row],
    lifts: Sequence[series.Row],
    label: str,
    variants_by_task: Mapping[str, Collection[str]],
    **more: Any,
) -> list[Table]:
    tables = []
    for task, variants in variants_by_task.items():
        shown = {BASE, *variants}
        models = {r["model"] for r in summary if r["task"] == task and r["variant"] in shown}
        own, gained = (
            [r for r in rows if r["variant"] in shown and r["model"] in models]
            for rows in (summary, lifts)
        )
        with suppress(RestemError):  # one that nobody was evaluated on
            tables.append(build(own, gained, label, train_task=task, **more))
    return tables


def build(
    summary: Sequence[series.Row],
    lifts: Sequence[series.Row],
    label: str,
    *,
    train_task: str,
    references: Collection[str] = (),
    confidence: float = 0.95,
    trained_here: bool = True,
) -> Table:
    """Lay out every policy's results on the task it was trained on and on all other tasks.

    They are those on test problems; where the task has none, those on validation or else training
    problems. references: variants over which lifts are shown, besides the base model. trained_here:
    whether the policies were trained on the task. A quantity that was measured with several
    decodings has a column for each. Raises RestemError if no policy was evaluated on the task.
    """
    measured = {row["split"] for row in summary if row["task"] == train_task}
    split = next((name for name in _SPLITS if name in measured), _SPLITS[0])
    rows = [row for row in series.over_seeds(summary) if row["split"] == split]
    greedy = [row for row in rows if row["quantity"] == "accuracy"]
    sampled = [
        row
        for row in series.without_exams(rows)
        if row["task"] == train_task and row["quantity"].startswith("pass@")
    ]
    has_accuracy = any(row["task"] == train_task for row in greedy)
    if not (has_accuracy or sampled):
        raise _nothing_to_show(summary, train_task)
    shown = [BASE, *(n for n in series.names(rows, "variant") if n in references and n != BASE)]
    columns = [
        *_accuracies(greedy, train_task),
        *_passes(sampled),
        *(_lifts(lifts, train_task, split, shown) if has_accuracy else ()),
    ]
    addresses = {_address(row) for row in [*greedy, *sampled]}
    ordered = sorted(addresses, key=lambda a: (a[0], *series.rank(a[1], references), a[2]))
    reasons = {_address(row): row["halted"] for row in [*greedy, *sampled] if row["halted"]}
    whose = "Policies trained on" if trained_here else "All policies on"
    if all(variant == BASE for _, variant, _ in addresses):
        whose = "Base models on"
    return Table(
        title=f"{whose} {train_task}: {split} results — {label}",
        caption=" ".join(
            [
                _caption(greedy, sampled, train_task, confidence),
                *series.few_solutions([*greedy, *sampled]),
            ]
        ),
        headers=("model", "variant", "iteration", *(c.header for c in columns), "remarks"),
        rows=tuple(_texts(address, columns, reasons.get(address)) for address in ordered),
        records=tuple(
            {"trained_on": train_task if trained_here else None}
            | _record(a, columns, reasons.get(a), label)
            for a in ordered
        ),
    )


def markdown(table: Table) -> str:
    """Render the table in Markdown under its title."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (table.headers, *table.rows)]
    rows = md.table(lines[0], _alignment(table), lines[1:])
    return f"### {table.title}\n\n{rows}\n\n{table.caption}\n"


def _alignment(table: Table) -> str:
    return "".join("l" if i < 2 or h == "remarks" else "r" for i, h in enumerate(table.headers))


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
    text = list(aligned([table.headers, *table.rows], _alignment(table)))
    rule = "─" * max(map(len, text))
    caption = textwrap.wrap(table.caption, max(len(rule), 60))
    return "\n".join([table.title, "", text[0], rule, *text[1:], rule, *caption, ""])


def save(tables: Sequence[Table], stem: Path) -> list[Path]:
    """Write tables as <stem>.md and <stem>.csv."""
    texts = {".md": "\n".join(map(markdown, tables)), ".csv": csv_text(tables)}
    paths = [stem.with_name(stem.name + suffix) for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _nothing_to_show(summary: Sequence[series.Row], train_task: str) -> RestemError:
    tasks = ", ".join(series.names(summary, "task")) or "none"
    return RestemError(
        f"no policy was evaluated on {train_task}",
        f"the summary, whose tasks are {tasks}",
        "evaluate the test split of the task that was trained on",
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
    lifts: Sequence[series.Row], train_task: str, split: str, references: Sequence[str]
) -> Iterator[_Column]:
    wanted = {"task": train_task, "split": split, "quantity": "accuracy"}
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
    greedy: Sequence[series.Row],
    sampled: Sequence[series.Row],
    train_task: str,
    confidence: float,
) -> str:
    """Describe units, sample sizes and brackets."""
    rows = greedy or sampled
    accuracy = "Accuracy: greedy, %; lift: points gained, paired by problem. " if greedy else ""
    tasks = series.names(rows, "task", train_task)
    sizes = [f"{t}: {series.sizes(row for row in rows if row['task'] == t)}" for t in tasks]
    draws = {row["draws"] for row in sampled if row["draws"]}
    unit = "" if greedy else ", %"
    passes = f"pass@k: sampled{unit}, {min(draws)} draws per problem. " if draws else ""
    intervals = f"{100 * confidence:g} % bootstrap intervals in brackets."
    return f"{accuracy}{passes}{intervals} {'; '.join(sizes)}."
