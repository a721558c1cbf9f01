"""Grading by a human: completions are written to a sheet, and points on it become verdicts.

A completion is correct with full points only; its graded reward is its share of the points that
the rubric gives in full. A filled sheet must have one row for each of the sampled completions.

The sheet is a CSV file for a spreadsheet, which takes a cell that begins with = + - @ for a
formula, turns 1/2 into a date and 43.0 into 43; one whose separator is the semicolon splits cells
at other places. So every text begins with an apostrophe, which marks it as text, and so does
whatever could begin a formula where a cell may be split. Characters that a spreadsheet drops or
changes are written as their code points.
"""

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.verifier import Outcome, Verdict, Verifier

COLUMNS: Final = ("problem_id", "draw", "question", "completion", "points", "of")

# Characters that begin a formula, for use inside the brackets of a pattern.
COMPUTED: Final = "=+\\-@＝＋－＠"
_CUT: Final = r"[\n;\t][\s\x22]*"  # where a spreadsheet may begin another cell
_FORMULA: Final = re.compile(rf"({_CUT})('*[{COMPUTED}])")
_DISARMED: Final = re.compile(rf"({_CUT})'('*[{COMPUTED}])")
_MARKS: Final = re.compile(rf"((?:^|{_CUT})\s*)'+")
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u241b\u2028\u2029\ufeff\ufffe\uffff]")
_NUMBERED: Final = re.compile("\u241b([0-9A-F]{4})")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+|,[0-9]{1,2})?")  # 2, 2.5, and 2,5 of a comma locale
_DRAW: Final = re.compile(r"([0-9]{1,9})(?:[.,]0{1,6})?")  # 1, and 1,0 of a column of numbers
# A first line that tells spreadsheets how cells are separated.
_SEPARATOR_LINE: Final = re.compile(r'"?sep=[,;\t]"?[,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE)
_MAX_REASONS: Final = 10  # that a message lists

Key = tuple[str, int]
"""Problem and draw."""


@dataclass(frozen=True)
class Entry:
    """A completion to grade; of: the points that the rubric gives in full, None if unknown."""

    problem_id: str
    draw: int
    question: str
    completion: str
    of: str | None


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet, as text; name: its number in a spreadsheet, whose header is row 1."""

    name: str
    problem_id: str
    draw: str
    question: str
    completion: str
    points: str
    of: str

    @property
    def key(self) -> Key:
        """Return the key of the completion; draw -1 where the draw is not a number."""
        draw = self.draw.strip().removeprefix("'")
        match = _DRAW.fullmatch(draw)
        return text_of(self.problem_id).strip(), int(match[1]) if match else -1


@dataclass(frozen=True)
class Points:
    """The points of a completion, and the points that the rubric gives in full."""

    points: Decimal
    of: Decimal

    @property
    def verdict(self) -> Verdict:
        """Return the verdict: correct with full points, else incorrect with their share."""
        outcome: Outcome = "correct" if self.points == self.of else "incorrect"
        detail = f"{self.points} of {self.of} points"
        return Verdict(outcome, None, "human", detail, float(self.points / self.of))


def open_verifier(reward: Reward, markers: tuple[str, ...]) -> AbstractContextManager[Verifier]:
    """Refuse: no program can verify these tasks."""
    raise RestemError(
        "completions of this task are graded by a human",
        "its verifier is `human`",
        "fill in a copy of its sheet (`restem sheet`), and put it where `restem rewards` reads it",
    )


# ---- cells ----


def cell_of(text: str) -> str:
    """Write a text as a cell that no spreadsheet computes or changes."""
    numbered = _UNSAFE.sub(lambda character: f"\u241b{ord(character[0]):04X}", text)
    return "'" + _FORMULA.sub(r"\1'\2", numbered)


def text_of(cell: str) -> str:
    """Return the text that a cell was written from."""
    plain = _DISARMED.sub(r"\1\2", _unify_line_ends(cell).removeprefix("'"))
    return _NUMBERED.sub(lambda number: chr(int(number[1], 16)), plain)


def same_text(cell: str, text: str) -> bool:
    """Return whether a cell still holds a text.

    White space around it, the kind of line ends, and apostrophes do not count, because
    spreadsheets may change them.
    """
    return text_of(cell) == text or _bare(cell) == _bare(cell_of(text))


def _bare(cell: str) -> str:
    return _MARKS.sub(r"\1", _unify_line_ends(cell).strip()).strip()


def _unify_line_ends(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n")


# ---- the sheet ----


def write_sheet(entries: Iterable[Entry]) -> bytes:
    """Write a sheet as UTF-8 with the byte-order mark that spreadsheets expect; no points yet."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        texts = [cell_of(text) for text in (entry.question, entry.completion)]
        writer.writerow([cell_of(entry.problem_id), entry.draw, *texts, "", entry.of or ""])
    return stream.getvalue().encode("utf-8-sig")


def read_sheet(content: bytes, where: str) -> list[SheetRow]:
    """Read a sheet that a spreadsheet saved, with comma, semicolon or tab between its cells.

    Other columns, such as remarks, are ignored; empty rows are skipped. Raises RestemError when
    the file is not such a sheet.
    """
    try:
        text = content.decode("utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_a_sheet(f"the sheet is not UTF-8 at byte {error.start}", where) from error
    skipped = _SEPARATOR_LINE.match(text)
    header, *lines = _cells(text[skipped.end() :] if skipped else text, where)
    names = [name.strip().lower() for name in header]
    repeated = sorted({name for name in COLUMNS if names.count(name) > 1})
    if repeated:
        raise _not_a_sheet(f"the sheet has several columns {', '.join(repeated)}", where)
    rows: list[SheetRow] = []
    for number, cells in enumerate(lines, start=3 if skipped else 2):
        if any(cell.strip() for cell in cells[len(names) :]):
            raise _not_a_sheet(f"row {number} has more cells than the header", where)
        if any(cell.strip() for cell in cells):
            by_name = dict(zip(names, [*cells, *[""] * len(names)], strict=False))
            rows.append(SheetRow(f"row {number}", *(by_name[name] for name in COLUMNS)))
    return rows


def _cells(text: str, where: str) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)
    first = next(iter(text.splitlines()), "")
    for delimiter in (",", ";", "\t"):
        names = next(csv.reader([first], delimiter=delimiter), [])
        if not set(COLUMNS) <= {name.strip().lower() for name in names}:
            continue
        try:
            return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise _not_a_sheet(f"the sheet is not a complete CSV file: {error}", where) from error
    raise _not_a_sheet(f"the first row is not {', '.join(COLUMNS)} but {first[:80]!r}", where)


def _not_a_sheet(what: str, where: str) -> RestemError:
    return RestemError(what, where, "save it as CSV in UTF-8, with the original header and rows")


# ---- points ----


def read_points(entries: Sequence[Entry], content: bytes, where: str) -> dict[Key, Points]:
    """Return the points of every completion from a filled sheet.

    Raises RestemError with everything that is wrong: missing, repeated and foreign rows, edited
    texts, and points that are not numbers or are more than the rubric gives.
    """
    entry_by_key = {(entry.problem_id, entry.draw): entry for entry in entries}
    rows = read_sheet(content, where)
    _check_samples(entry_by_key, rows, where)
    reasons = list(_misplaced(entry_by_key, rows))
    for row in rows:
        if row.key in entry_by_key:
            reasons += [f"{row.name}: {text}" for text in _complaints(entry_by_key[row.key], row)]
    reasons = reasons or list(_uneven(rows))
    if reasons:
        hidden = len(reasons) - _MAX_REASONS
        raise RestemError(
            "; ".join(reasons[:_MAX_REASONS]) + (f"; and {hidden} more" if hidden > 0 else ""),
            where,
            "correct these rows: one for each completion, its points and what the rubric gives in "
            "full as numbers, and nothing else changed",
        )
    return {row.key: Points(_number(row.points), _number(row.of)) for row in rows}


def _check_samples(entries: Mapping[Key, Entry], rows: Sequence[SheetRow], where: str) -> None:
    """Refuse a sheet of other completions as a whole, instead of listing all its rows."""
    foreign = sum(
        row.key not in entries or not same_text(row.completion, entries[row.key].completion)
        for row in rows
    )
    if foreign > 1 and 2 * foreign > len(rows):
        raise RestemError(
            f"this is a sheet of other samples: {foreign} of its {len(rows)} completions are not "
            "those that were sampled",
            where,
            "fill in the sheet that was made beside these samples, and put it here instead; or "
            "remove this one to go on without its points",
        )


def _misplaced(entries: Mapping[Key, Entry], rows: Sequence[SheetRow]) -> Iterator[str]:
    """Name missing and repeated rows, and rows of completions that were not sampled."""
    counts = Counter(row.key for row in rows)
    for row in rows:
        if row.key not in entries:
            yield f"{row.name} belongs to no completion: {row.key[0]!r}, draw {row.draw!r}"
    for key in entries:
        if counts[key] != 1:
            count = f"has {counts[key]} rows" if counts[key] else "has no row"
            yield f"problem {key[0]!r}, draw {key[1]}, {count}"


def _complaints(entry: Entry, row: SheetRow) -> Iterator[str]:
    """Name what is wrong with a row."""
    for name in ("question", "completion"):
        if not same_text(getattr(row, name), getattr(entry, name)):
            yield f"the {name} was edited"
    points, of = _number(row.points), _number(row.of)
    for name, number in (("points", points), ("of", of)):
        cell = getattr(row, name).strip()
        if number.is_nan():
            yield f"{name} is {cell!r}, not a number from 0" if cell else f"{name} is empty"
    if of == 0:
        yield "of is 0"
    elif entry.of is not None and not of.is_nan() and of != Decimal(entry.of):
        yield f"of is {of}, and the rubric gives {entry.of}"
    if not points.is_nan() and not of.is_nan() and points > of:
        yield f"points are {points}, more than {of}"


def _uneven(rows: Sequence[SheetRow]) -> Iterator[str]:
    """Name rows whose full points differ from those of another draw of the same problem."""
    full_points: dict[str, Decimal] = {}
    for row in rows:
        problem, of = row.key[0], _number(row.of)
        if full_points.setdefault(problem, of) != of:
            yield f"{row.name}: of is {of}, and {full_points[problem]} for another draw of it"


def _number(cell: str) -> Decimal:
    """Read a number of points; return NaN where it is not one."""
    text = cell.strip().removeprefix("'")
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else Decimal("nan")
