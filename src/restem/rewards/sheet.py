"""A grading sheet: a CSV file that goes to a spreadsheet, and comes back with points.

A spreadsheet takes a cell that begins with = + - @ for a formula, turns 1/2 into a date and 43.0
into 43, and one whose separator is the semicolon cuts cells elsewhere. So every text begins with
an apostrophe, which says that it is text, and so does what could begin a formula wherever a cell
may be cut. Characters that a spreadsheet drops or changes are written as their numbers.
"""

import csv
import io
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from restem.errors import RestemError

COLUMNS: Final = ("problem_id", "draw", "question", "completion", "points", "of")

COMPUTED: Final = "=+\\-@＝＋－＠"  # what a formula begins with, inside the brackets of a pattern
_CUT: Final = r"[\n;\t][\s\x22]*"  # where a spreadsheet may begin another cell
_FORMULA: Final = re.compile(rf"({_CUT})('*[{COMPUTED}])")
_DISARMED: Final = re.compile(rf"({_CUT})'('*[{COMPUTED}])")
_MARKS: Final = re.compile(rf"((?:^|{_CUT})\s*)'+")
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u241b\u2028\u2029\ufeff\ufffe\uffff]")
_NUMBERED: Final = re.compile("\u241b([0-9A-F]{4})")


@dataclass(frozen=True)
class Entry:
    """One completion to grade; of: the points that the rubric gives in full, None if unknown."""

    problem_id: str
    draw: int
    question: str
    completion: str
    of: str | None


@dataclass(frozen=True)
class Line:
    """One row of a sheet, as text; place: its number in a spreadsheet, whose header is row 1."""

    place: str
    problem_id: str
    draw: str
    question: str
    completion: str
    points: str
    of: str


def cell_of(text: str) -> str:
    """Write a text as a cell that no spreadsheet computes or changes."""
    numbered = _UNSAFE.sub(lambda found: f"\u241b{ord(found[0]):04X}", text)
    return "'" + _FORMULA.sub(r"\1'\2", numbered)


def text_of(cell: str) -> str:
    """Return the text that a cell was written from."""
    plain = _DISARMED.sub(r"\1\2", _one_kind_of_line_end(cell).removeprefix("'"))
    return _NUMBERED.sub(lambda found: chr(int(found[1], 16)), plain)


def same_text(cell: str, text: str) -> bool:
    """Tell whether a cell still holds a text.

    Space around it, the kind of line ends and the apostrophes, which some spreadsheets take away,
    are no part of it.
    """
    return text_of(cell) == text or _bare(cell) == _bare(cell_of(text))


def _bare(cell: str) -> str:
    return _MARKS.sub(r"\1", _one_kind_of_line_end(cell).strip()).strip()


def _one_kind_of_line_end(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n")


def write(entries: Iterable[Entry]) -> bytes:
    """Write the sheet as UTF-8 with the mark that spreadsheets know it by; points are empty."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in entries:
        texts = [cell_of(text) for text in (one.question, one.completion)]
        writer.writerow([cell_of(one.problem_id), one.draw, *texts, "", one.of or ""])
    return stream.getvalue().encode("utf-8-sig")


def read(content: bytes, where: str) -> list[Line]:
    """Read a sheet that a spreadsheet saved, with comma, semicolon or tab between its cells.

    Further columns, such as remarks, are left alone; empty rows are skipped. Raises RestemError
    when it is no such sheet.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise _refused(f"the sheet is not UTF-8 at byte {problem.start}", where) from problem
    rows = _rows(text, where)
    header = [name.strip().lower() for name in rows[0]]
    twice = sorted({name for name in COLUMNS if header.count(name) > 1})
    if twice:
        raise _refused(f"the sheet has several columns {', '.join(twice)}", where)
    found: list[Line] = []
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row[len(header) :]):
            raise _refused(f"row {number} has more cells than the header", where)
        if any(cell.strip() for cell in row):
            cells = dict(zip(header, [*row, *[""] * len(header)], strict=False))
            found.append(Line(f"row {number}", *(cells[name] for name in COLUMNS)))
    return found


def _rows(text: str, where: str) -> Sequence[Sequence[str]]:
    csv.field_size_limit(sys.maxsize)
    first = next(iter(text.splitlines()), "")
    for delimiter in (",", ";", "\t"):
        names = next(csv.reader([first], delimiter=delimiter), [])
        if not set(COLUMNS) <= {name.strip().lower() for name in names}:
            continue
        lines = io.StringIO(text, newline="")
        try:
            return list(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error as problem:
            raise _refused(f"the sheet is no whole CSV file: {problem}", where) from problem
    raise _refused(f"the first row is not {', '.join(COLUMNS)} but {first[:80]!r}", where)


def _refused(what: str, where: str) -> RestemError:
    return RestemError(
        what,
        where,
        "save it as CSV in UTF-8, with its header and all the rows that it came with",
    )
