"""Check that the table repeats the summary's numbers in all three forms."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from restem.errors import RestemError
from restem.pages.table import Report, csv_text, draw, markdown, save, terminal

Row = dict[str, Any]
NOTE = "embedded model"


@pytest.fixture(scope="module")
def report(summary: list[Row], lift_rows: list[Row]) -> Report:
    return draw(summary, lift_rows, NOTE, home="sums", references=("base", "sft-careful"))


def cell(summary: list[Row], quantity: str, task: str = "sums") -> Row:
    wanted = {"task": task, "split": "test", "model": "S", "variant": "rest-em", "iteration": 3}
    wanted |= {"seed": None, "quantity": quantity}
    (row,) = [row for row in summary if all(row[k] == v for k, v in wanted.items())]
    return row


def test_there_is_one_row_per_policy_from_base_to_method(report: Report) -> None:
    assert [row[:3] for row in report.rows][6:] == [
        ("S", "base", "0"),
        ("S", "sft-careful", "1"),
        ("S", "sft-terse", "1"),
        ("S", "rest-em", "1"),
        ("S", "rest-em", "2"),
        ("S", "rest-em", "3"),
    ]


def test_csv_holds_the_numbers_of_the_summary(
    report: Report, summary: list[Row], lift_rows: list[Row]
) -> None:
    found = list(csv.DictReader(io.StringIO(csv_text(report))))[-1]
    for name, row in {
        "accuracy": cell(summary, "accuracy"),
        "transfer_clocks": cell(summary, "accuracy", "clocks"),
        "pass_at_1": cell(summary, "pass@1"),
        "pass_at_32": cell(summary, "pass@32"),
    }.items():
        ends = [float(found[name + end]) for end in ("", "_low", "_high")]
        assert ends == [row["estimate"], row["low"], row["high"]]
    where = {"task": "sums", "split": "test", "model": "S", "variant": "rest-em", "iteration": 3}
    where |= {"quantity": "accuracy", "reference": "base"}
    (lift,) = [row for row in lift_rows if all(row[k] == v for k, v in where.items())]
    assert float(found["lift_over_base"]) == lift["estimate"]
    assert float(found["lift_over_base_low"]) == lift["low"]
    assert found["note"] == NOTE


def test_text_shows_percentages_with_intervals(report: Report, summary: list[Row]) -> None:
    row = cell(summary, "accuracy")
    shown = f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    for text in (markdown(report), terminal(report)):
        assert shown in text
        assert NOTE in text.splitlines()[0]
        assert "n = 80 problems, 3 training seeds" in " ".join(text.split())
        assert "32 draws per problem" in " ".join(text.split())


def test_terminal_columns_line_up(report: Report) -> None:
    lines = terminal(report).splitlines()
    rule = lines[3]
    assert set(rule) == {"─"}
    ends = {line.rstrip().rfind("]") for line in lines[5:] if "rest-em  " in line}
    assert len(ends) == 1
    assert all(len(line) <= len(rule) for line in lines)


def test_halted_policies_are_marked(damaged: list[Row], damaged_lifts: list[Row]) -> None:
    report = draw(damaged, damaged_lifts, NOTE, home="sums")
    remarks = {row[:3]: row[-1] for row in report.rows if row[-1]}
    assert remarks == {
        ("S", "sft-terse", "1"): "halted: no examples left",
        ("S", "rest-em", "2"): "halted: 1 of 3 seeds: no examples left",
        ("S", "rest-em", "3"): "halted: no examples left",
    }
    halted = list(csv.DictReader(io.StringIO(csv_text(report))))[-1]
    assert (halted["accuracy"], halted["halted"]) == ("", "no examples left")


def test_greedy_results_alone_make_a_table(summary: list[Row]) -> None:
    greedy = [row for row in summary if row["decoding"] == "greedy" and row["task"] == "sums"]
    report = draw(greedy, [], NOTE, home="sums")
    assert report.headers == (
        "model",
        "variant",
        "iteration",
        "sums accuracy",
        "lift over base",
        "remarks",
    )


def test_a_bar_in_a_name_does_not_break_the_table(summary: list[Row]) -> None:
    renamed = [row | {"model": "a|b"} for row in summary if row["model"] == "S"]
    text = markdown(draw(renamed, [], NOTE, home="sums"))
    assert "| a\\|b |" in text


def test_empty_or_foreign_summaries_are_refused(summary: list[Row]) -> None:
    with pytest.raises(RestemError, match="nothing to draw"):
        draw([], [], NOTE, home="sums")
    with pytest.raises(RestemError, match="no policy was evaluated on moons"):
        draw(summary, [], NOTE, home="moons")


def test_saving_twice_writes_the_same_bytes(report: Report, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(report, tmp_path / "table")]
    assert first == [path.read_bytes() for path in save(report, tmp_path / "table")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.md"]
