"""A grading sheet survives a spreadsheet, runs nothing there, and is refused unless it is whole."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.human import (
    COLUMNS,
    COMPUTED,
    Entry,
    cell_of,
    read_points,
    read_sheet,
    same_text,
    text_of,
    write_sheet,
)
from restem.rewards.registry import load_verifier

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    "=+-@'\n\r\t; ,\"\\␛1a\x00", max_size=20
)
NASTY = [
    "=1+1", "+1", "-2", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=cmd|' /C calc'!A0", "a;=1",
    "a;\n -1", "\n\"=1", ";\"\"-2",
    "'=1", "''", "'", "", " 43.0", "1/2", "TRUE", "007", 'say "yes"', '"', "a,b", "line\nline",
    "line\r\nline", "line\rline", "\x00\x1b\x7f", "␛000D", "␛", "\ufeff=1", "$x = -3$;\n- x\n+ y",
    "＝1", "\u2028=1", "\x85=1", "őű ∑ 日本",
]  # fmt: skip


def entry(number: int, completion: str = "", of: str | None = None, draw: int = 0) -> Entry:
    return Entry(
        f"test/{number:02}", draw, f"What is {number}?", completion or f" It is {number}.", of
    )


ENTRIES = [entry(i) for i in range(4)]


def cells(sheet: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(sheet.decode("utf-8-sig"), newline="")))


def filled(
    entries: list[Entry] = ENTRIES,
    change: Callable[[list[list[str]]], Any] = lambda rows: None,
    points: str = "2",
    of: str = "3",
    **dialect: Any,
) -> bytes:
    """Fill a sheet as a person would, and save it as a spreadsheet does."""
    rows = cells(write_sheet(entries))
    for row in rows[1:]:
        row[4:6] = [points, row[5] or of]
    change(rows)
    stream = io.StringIO(newline="")
    csv.writer(stream, **dialect).writerows(rows)
    return stream.getvalue().encode()


def refusal(sheet: bytes, entries: list[Entry] = ENTRIES) -> str:
    with pytest.raises(RestemError) as refused:
        read_points(entries, sheet, "filled.csv")
    message = str(refused.value)
    assert "filled.csv" in message
    assert "what to do" in message
    return message


# ---- texts in a spreadsheet ----


@settings(max_examples=400, deadline=None)
@given(texts, texts)
def test_every_text_comes_back_as_it_was(question: str, completion: str) -> None:
    [line] = read_sheet(write_sheet([Entry("a/1", 0, question, completion, None)]), "here")
    assert (text_of(line.question), text_of(line.completion)) == (question, completion)
    assert (text_of(line.problem_id), line.draw, line.points, line.of) == ("a/1", "0", "", "")


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_text_comes_back_whatever_line_ends_a_spreadsheet_writes(
    text: str, ends: str
) -> None:
    assert text_of(cell_of(text).replace("\n", ends)) == text


@settings(max_examples=400, deadline=None)
@given(texts)
def test_no_cell_begins_a_formula_wherever_a_spreadsheet_cuts_it(text: str) -> None:
    sheet = write_sheet([Entry(text, 0, text, text, None)]).decode("utf-8-sig")
    for delimiter in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(sheet, newline=""), delimiter=delimiter):
            for cell in row:
                assert not re.match(rf"[\s\x22]*[{COMPUTED}]", cell), (delimiter, cell)


@pytest.mark.parametrize("text", NASTY)
def test_a_cell_holds_no_character_that_a_spreadsheet_drops(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]", cell_of(text))


@pytest.mark.parametrize("text", NASTY)
def test_apostrophes_that_a_spreadsheet_takes_away_are_no_edit(text: str) -> None:
    assert same_text(cell_of(text).removeprefix("'"), text)
    assert same_text(cell_of(text) + "  ", text)


@pytest.mark.parametrize(
    "other", ["It is 43.", " it is 42.", " It is 42", "", " It is -42.", "'42"]
)
def test_an_edit_is_an_edit(other: str) -> None:
    assert not same_text(cell_of(other), " It is 42.")


def test_a_long_completion_is_read() -> None:
    [line] = read_sheet(write_sheet([entry(0, "x" * 300_000)]), "here")
    assert len(text_of(line.completion)) == 300_000


# ---- points become verdicts ----


def test_full_points_are_correct_and_a_part_is_a_fraction() -> None:
    def give(rows: list[list[str]]) -> None:
        for row, cell in zip(rows[1:], ["3", "0", "1.5", "2,25"], strict=True):
            row[4] = cell

    points = read_points(ENTRIES, filled(change=give), "filled.csv")
    verdicts = [points[f"test/{i:02}", 0].verdict for i in range(4)]
    assert [v.verdict for v in verdicts] == ["correct", "incorrect", "incorrect", "incorrect"]
    assert [v.reward for v in verdicts] == [1, 0, 0, 0]
    assert [v.fraction for v in verdicts] == [1, 0, 0.5, 0.75]
    assert {v.layer for v in verdicts} == {"human"}
    assert verdicts[2].detail == "1.5 of 3 points"


@pytest.mark.parametrize(
    "dialect",
    [{}, {"delimiter": ";"}, {"delimiter": "\t"}, {"lineterminator": "\n"},
     {"lineterminator": "\r", "quoting": csv.QUOTE_ALL}, {"quoting": csv.QUOTE_ALL},
     {"delimiter": ";", "quoting": csv.QUOTE_NONNUMERIC}],
)  # fmt: skip
def test_every_usual_way_of_saving_is_read(dialect: dict[str, Any]) -> None:
    entries = [entry(i, text) for i, text in enumerate(NASTY)]
    points = read_points(entries, filled(entries, **dialect), "filled.csv")
    assert {float(p.points / p.of) for p in points.values()} == {2 / 3}
    assert len(points) == len(NASTY)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["sep={}", '"sep={}"', "SEP={}", "\ufeffsep={}", "sep={}{}{}{}"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_the_line_that_names_the_separator_is_skipped(delimiter, first, end) -> None:
    sheet = filled(delimiter=delimiter, lineterminator=end).decode()
    content = f"{first.replace('{}', delimiter)}{end}{sheet}".encode()
    assert len(read_points(ENTRIES, content, "filled.csv")) == 4
    assert [row.name for row in read_sheet(content, "filled.csv")][:2] == ["row 3", "row 4"]


@pytest.mark.parametrize("draw", ["1", "1,0", "1.0", "1,00", " 1 ", "'1", "01", "1.000"])
@pytest.mark.parametrize("points", ["1", "1,0", "1.0", "1,00", "1.000", "'1,0", "\u00a01,0"])
def test_numbers_may_have_the_decimals_that_a_spreadsheet_adds(draw, points) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[1][1] = draw

    entries = [entry(0, draw=1)]
    content = filled(entries, change, points=points, of="2,0", delimiter=";")
    assert read_points(entries, content, "filled.csv")["test/00", 1].verdict.fraction == 0.5


@pytest.mark.parametrize("draw", ["1,5", "1.5", "1,0,0", "-1", "1e0", "", ",0"])
def test_a_draw_that_is_no_whole_number_is_refused(draw) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[1][1] = draw

    assert "belongs to no completion" in refusal(
        filled([entry(0, draw=1)], change), [entry(0, draw=1)]
    )


def test_order_empty_rows_and_further_columns_do_not_matter() -> None:
    def change(rows: list[list[str]]) -> None:
        rows[1:] = [*reversed(rows[1:]), [""] * 6, [" "] * 6]
        for row in rows:
            row.append("remark" if row[0] == "problem_id" else "")
            row.insert(0, row.pop(4))

    assert len(read_points(ENTRIES, filled(change=change), "filled.csv")) == 4


def test_a_sheet_without_completions_gives_no_points() -> None:
    assert read_points([], write_sheet([]), "filled.csv") == {}


# ---- what is refused ----

SINGLE: list[tuple[int, int, str, str]] = [
    (1, 4, "4", "row 2: points are 4, more than 3"),
    (1, 4, "3.01", "more than 3"),
    (2, 4, "-1", "row 3: points is '-1', not a number"),
    (2, 4, "two", "not a number"),
    (2, 4, "nan", "not a number"),
    (2, 4, "inf", "not a number"),
    (2, 4, "1e0", "not a number"),
    (2, 4, "1/2", "not a number"),
    (2, 4, "1,000", "not a number"),
    (2, 4, "２", "not a number"),
    (3, 4, "", "row 4: points is empty"),
    (3, 4, "  ", "points is empty"),
    (3, 5, "", "row 4: of is empty"),
    (3, 5, "0", "of is 0"),
    (3, 5, "-3", "of is '-3', not a number"),
    (1, 2, "'What is 9?", "row 2: the question was edited"),
    (1, 3, "' It is 9.", "row 2: the completion was edited"),
    (1, 3, "", "the completion was edited"),
    (4, 0, "'test/02", "problem 'test/02', draw 0, has 2 rows"),
    (4, 0, "'test/02", "problem 'test/03', draw 0, has no row"),
    (4, 0, "'test/77", "row 5 belongs to no completion: 'test/77'"),
    (4, 1, "1", "row 5 belongs to no completion"),
    (4, 1, "x", "row 5 belongs to no completion"),
]


@pytest.mark.parametrize(("row", "column", "cell", "message"), SINGLE)
def test_a_wrong_cell_is_named_by_its_row(row: int, column: int, cell: str, message: str) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[row][column] = cell

    assert message in refusal(filled(change=change))


def test_a_missing_row_is_named() -> None:
    message = refusal(filled(change=lambda rows: rows.pop(2)))
    assert "problem 'test/01', draw 0, has no row" in message


def test_a_row_that_stands_twice_is_refused_even_when_both_agree() -> None:
    message = refusal(filled(change=lambda rows: rows.append(rows[1])))
    assert "problem 'test/00', draw 0, has 2 rows" in message


def test_an_untouched_sheet_is_refused_with_a_count() -> None:
    entries = [entry(i) for i in range(33)]
    message = refusal(write_sheet(entries), entries)
    assert "row 2: points is empty; row 2: of is empty" in message
    assert "and 56 more" in message


def test_a_sheet_of_other_samples_is_told_as_one() -> None:
    others = [entry(i, f"Something else {i}.") for i in range(4)]
    message = refusal(filled(others))
    assert "a sheet of other samples: 4 of its 4 completions" in message
    assert "row 2" not in message


def test_what_the_rubric_gives_may_not_be_changed() -> None:
    entries = [entry(0, of="4"), entry(1)]

    def change(rows: list[list[str]]) -> None:
        rows[1][5] = "5"

    assert "row 2: of is 5, and the rubric gives 4" in refusal(filled(entries, change), entries)
    assert len(read_points(entries, filled(entries), "filled.csv")) == 2


def test_draws_of_a_problem_are_graded_out_of_the_same_points() -> None:
    entries = [entry(0, draw=draw) for draw in range(2)]

    def change(rows: list[list[str]]) -> None:
        rows[2][5] = "5"

    assert "of is 5, and 3 for another draw" in refusal(filled(entries, change), entries)


HEADER = ",".join(COLUMNS)
DAMAGED = [
    (b"", "the first row is not"),
    (b"\xef\xbb\xbf", "the first row is not"),
    (b"problem_id,points\n", "the first row is not"),
    (HEADER.encode("utf-16"), "not UTF-8"),
    ((HEADER + "\n").encode() + "ő".encode("cp1250"), "not UTF-8 at byte"),
    ((HEADER + ",points\n").encode(), "several columns points"),
    ((HEADER + '\n"a').encode(), "not a complete CSV file"),
    ((HEADER + '\n"a"b,0,q,c,1,1\n').encode(), "not a complete CSV file"),
    ((HEADER + "\na,0,q,c,1,1,more\n").encode(), "row 2 has more cells than the header"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_what_is_no_sheet_is_refused(content: bytes, message: str) -> None:
    assert message in refusal(content)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda t: f"{HEADER}\n{t}".encode("utf-8", "ignore"))
)
def test_no_file_gives_anything_but_points_or_a_refusal(content: bytes) -> None:
    with pytest.raises(RestemError):
        read_points(ENTRIES, content, "filled.csv")


def test_the_verifier_refuses_to_be_one() -> None:
    with pytest.raises(RestemError, match="graded by a human"):
        load_verifier("human")(Reward(), ())


def test_mathematics_and_tables_come_back() -> None:
    questions = ["$-6 \\leq x \\leq 2$ and\n\n$$-4<x$$", "Point $P(3 ; -2)$\n| a | -b |\n|---|---|"]
    lines = read_sheet(write_sheet([Entry(q, 0, q, q, None) for q in questions]), "here")
    assert [text_of(line.question) for line in lines] == questions
