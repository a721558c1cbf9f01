"""Check that the table repeats the summary's numbers in all three forms."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from restem.errors import RestemError
from restem.figures import series
from restem.pages.table import (
    Table,
    build,
    build_each,
    csv_text,
    markdown,
    save,
    terminal,
)
from restem.statistics.evaluation import summarise
from tests.unit.summaries import REFERENCES, SETTINGS

Row = dict[str, Any]
LABEL = "embedded model"


@pytest.fixture(scope="module")
def report(summary: list[Row], lift_rows: list[Row]) -> Table:
    return build(summary, lift_rows, LABEL, train_task="sums", references=REFERENCES)


def cell(summary: list[Row], quantity: str, task: str = "sums") -> Row:
    wanted = {"task": task, "split": "test", "model": "S", "variant": "rest-em", "iteration": 3}
    wanted |= {"seed": None, "quantity": quantity}
    (row,) = [row for row in summary if all(row[k] == v for k, v in wanted.items())]
    return row


def test_there_is_one_row_per_policy_from_base_to_method(report: Table) -> None:
    assert [row[:3] for row in report.rows][6:] == [
        ("S", "base", "0"),
        ("S", "sft-careful", "1"),
        ("S", "sft-terse", "1"),
        ("S", "rest-em", "1"),
        ("S", "rest-em", "2"),
        ("S", "rest-em", "3"),
    ]


def test_csv_holds_the_numbers_of_the_summary(
    report: Table, summary: list[Row], lift_rows: list[Row]
) -> None:
    record = list(csv.DictReader(io.StringIO(csv_text([report]))))[-1]
    for name, row in {
        "accuracy": cell(summary, "accuracy"),
        "transfer_clocks": cell(summary, "accuracy", "clocks"),
        "pass_at_1": cell(summary, "pass@1"),
        "pass_at_32": cell(summary, "pass@32"),
    }.items():
        ends = [float(record[name + end]) for end in ("", "_low", "_high")]
        assert ends == [row["estimate"], row["low"], row["high"]]
    where = {"task": "sums", "split": "test", "model": "S", "variant": "rest-em", "iteration": 3}
    where |= {"quantity": "accuracy", "reference": "base"}
    (lift,) = [row for row in lift_rows if all(row[k] == v for k, v in where.items())]
    assert float(record["lift_over_base"]) == lift["estimate"]
    assert float(record["lift_over_base_low"]) == lift["low"]
    assert record["note"] == LABEL


def test_text_shows_percentages_with_intervals(report: Table, summary: list[Row]) -> None:
    row = cell(summary, "accuracy")
    shown = f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    for text in (markdown(report), terminal(report)):
        assert shown in text
        assert LABEL in text.splitlines()[0]
        assert "n = 80 problems, 3 training seeds" in " ".join(text.split())
        assert "32 draws per problem" in " ".join(text.split())


def test_terminal_columns_line_up(report: Table) -> None:
    lines = terminal(report).splitlines()
    rule = lines[3]
    assert set(rule) == {"─"}
    ends = {line.rstrip().rfind("]") for line in lines[5:] if "rest-em  " in line}
    assert len(ends) == 1
    assert all(len(line) <= len(rule) for line in lines)


def test_halted_policies_are_marked(damaged: list[Row], damaged_lifts: list[Row]) -> None:
    report = build(damaged, damaged_lifts, LABEL, train_task="sums", references=REFERENCES)
    remarks = {row[:3]: row[-1] for row in report.rows if row[-1]}
    assert remarks == {
        ("S", "sft-terse", "1"): "halted: no examples left",
        ("S", "rest-em", "2"): "halted: 1 of 3 seeds: no examples left",
        ("S", "rest-em", "3"): "halted: no examples left",
    }
    halted = list(csv.DictReader(io.StringIO(csv_text([report]))))[-1]
    assert (halted["accuracy"], halted["halted"]) == ("", "no examples left")


def test_greedy_results_alone_make_a_table(summary: list[Row]) -> None:
    greedy = [row for row in summary if row["decoding"] == "greedy" and row["task"] == "sums"]
    report = build(greedy, [], LABEL, train_task="sums")
    assert report.headers == (
        "model",
        "variant",
        "iteration",
        "sums accuracy",
        "lift over base",
        "remarks",
    )


def test_greedy_decoding_is_known_by_its_quantity_and_not_by_its_name(summary: list[Row]) -> None:
    names = {"greedy": "argmax", "sampled": "greedy"}
    renamed = [row | {"decoding": names[row["decoding"]]} for row in summary]
    plain, other = (build(rows, [], LABEL, train_task="sums") for rows in (summary, renamed))
    assert other == plain
    assert "pass@32" in other.headers


def test_several_decodings_of_a_quantity_have_a_column_each(summary: list[Row]) -> None:
    both = [*summary, *(row | {"decoding": f"{row['decoding']}-2"} for row in summary)]
    report = build(both, [], LABEL, train_task="sums")
    expected = [f"{name}{end}" for name in ("sums accuracy", "clocks (transfer)")
                for end in (", greedy", ", greedy-2")]  # fmt: skip
    expected += [f"pass@{k}, {name}" for name in ("sampled", "sampled-2") for k in (1, 32)]
    assert report.headers[3:-2] == tuple(expected)
    assert {"accuracy_greedy", "pass_at_32_sampled-2_low"} <= set(report.records[0])


def test_sampled_results_alone_make_a_table(summary: list[Row]) -> None:
    sampled = [row for row in summary if row["decoding"] == "sampled"]
    report = build(sampled, [], LABEL, train_task="sums")
    assert report.headers[3:] == ("pass@1", "pass@32", "remarks")
    assert report.caption.startswith("pass@k: sampled, %, 32 draws per problem. 95 % bootstrap")


def test_the_references_of_the_settings_come_first_and_have_a_lift(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    names = {"sft-terse": "human", "sft-careful": "sft-by-name"}
    rows = [row | {"variant": names.get(row["variant"], row["variant"])} for row in summary]
    report = build(rows, lift_rows, LABEL, train_task="sums", references=["human"])
    assert list(dict.fromkeys(row[1] for row in report.rows)) == [
        "base", "human", "rest-em", "sft-by-name"
    ]  # fmt: skip
    assert [h for h in report.headers if "lift" in h] == ["lift over base", "lift over human"]


def test_a_bar_in_a_name_does_not_break_the_table(summary: list[Row]) -> None:
    renamed = [row | {"model": "a|b"} for row in summary if row["model"] == "S"]
    text = markdown(build(renamed, [], LABEL, train_task="sums"))
    assert "| a\\|b |" in text


def test_empty_or_foreign_summaries_are_refused(summary: list[Row]) -> None:
    with pytest.raises(RestemError, match="no policy was evaluated on sums"):
        build([], [], LABEL, train_task="sums")
    with pytest.raises(RestemError, match="no policy was evaluated on moons"):
        build(summary, [], LABEL, train_task="moons")


def test_each_trained_task_has_a_table_with_its_policies(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    names = {"rest-em": "clocks-rest-em", "sft-terse": "clocks-sft"}
    renamed = [row | {"variant": names.get(row["variant"], row["variant"])} for row in summary]
    trained = {"sums": ["sft-careful"], "clocks": list(names.values()), "moons": ["other"]}
    sums, clocks = build_each(renamed, lift_rows, LABEL, trained=trained, references=REFERENCES)
    assert "trained on sums" in sums.title and "trained on clocks" in clocks.title
    assert {row[1] for row in sums.rows} == {"base", "sft-careful"}
    assert {row[1] for row in clocks.rows} == {"base", "clocks-rest-em", "clocks-sft"}
    assert "clocks accuracy" in clocks.headers and "sums (transfer)" in clocks.headers
    records = list(csv.DictReader(io.StringIO(csv_text([sums, clocks]))))
    assert [r["trained_on"] for r in records] == ["sums"] * len(sums.rows) + ["clocks"] * len(
        clocks.rows
    )
    with pytest.raises(RestemError, match="no policy was evaluated on moons"):
        build_each([], [], LABEL, trained={"moons": ["other"]})


def test_policies_that_are_evaluated_on_other_tasks_only_are_shown(summary: list[Row]) -> None:
    clocks, sums = build_each(summary, [], LABEL, trained={"moons": ["rest-em"]})
    assert [table.title.split(":")[0] for table in (clocks, sums)] == [
        "All policies on clocks", "All policies on sums"
    ]  # fmt: skip
    assert sums.rows == build(summary, [], LABEL, train_task="sums").rows
    assert {record["trained_on"] for record in sums.records} == {None}


def test_without_test_problems_the_results_on_others_are_shown(summary: list[Row]) -> None:
    on_train = [row | {"split": "train"} for row in summary if row["variant"] == "base"]
    [table] = build_each(on_train, [], LABEL, trained={"sums": []})
    assert table.title.startswith("Base models on sums: train results")
    assert {row[1] for row in table.rows} == {"base"}
    both = [*summary, *(row | {"estimate": 0.0} for row in on_train)]
    assert build(both, [], LABEL, train_task="sums") == build(summary, [], LABEL, train_task="sums")


def test_saving_twice_writes_the_same_bytes(report: Table, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save([report], tmp_path / "table")]
    assert first == [path.read_bytes() for path in save([report], tmp_path / "table")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.md"]


def test_variants_that_train_on_few_reference_solutions_are_named(
    results: list[Row], lift_rows: list[Row]
) -> None:
    few = [r | {"references": "37 of 1,998"} if r["variant"] == "sft-terse" else r for r in results]
    summary = summarise(few, SETTINGS)
    table = build(summary, lift_rows, LABEL, train_task="sums", references=REFERENCES)
    told = "sft-terse: 37 of 1,998 training problems have a reference solution."
    assert table.caption.endswith(told)
    assert told in markdown(table)
    assert series.few_solutions(summary) == [told]
    whole = summarise(results, SETTINGS)
    assert series.few_solutions(whole) == []
