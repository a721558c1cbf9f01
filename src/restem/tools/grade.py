"""Grade JSON lines with a task's verifier, outside any workflow.

A line of a task with answers has `id`, `gold` and `candidate`; one of a task with tests has `id`,
`problem` (the benchmark's own fields) and `completion`. Each line of the input gives one line of
the output, in order. A line that cannot be read gives an error with its number; the others are
still graded.
"""

import codecs
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from restem.answers.markers import last_boxed
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.registry import load_verifier
from restem.rewards.verifier import Attempt, Verdict, Verifier
from restem.tasks.registry import load_task
from restem.tasks.task import Task
from restem.tools.outputs import check_output, writing

BATCH_LINES: Final = 20_000


class RecordError(ValueError):
    """A line is not a record of its task; the message says why."""


@dataclass(frozen=True)
class Line:
    """A line of the input: its number from 1, its id, and its attempt or why it has none."""

    number: int
    id: Any
    attempt: Attempt | None
    error: str = ""


def grade_file(task: str, source: Path, output: Path, details: bool = False) -> Counter[str]:
    """Grade a file of JSON lines; return the number of each verdict.

    Raises RestemError when the task is unknown, the input is not a file of UTF-8, or the output
    cannot be written.
    """
    loaded = load_task(task)
    check_input(source)
    check_output(output, source)
    counts: Counter[str] = Counter()
    with (
        writing(output) as partial,
        load_verifier(loaded.verifier)(Reward(), loaded.markers) as verifier,
        partial.open("w", encoding="ascii") as stream,
    ):
        for row in _rows(_lines(source, loaded), verifier, _mode(loaded), details):
            counts[row["verdict"]] += 1
            stream.write(json.dumps(row) + "\n")
    return counts


def check_input(source: Path) -> None:
    """Raise RestemError when an input is not a file that can be read as UTF-8."""
    fix = "name a file of JSON lines in UTF-8"
    if not source.is_file():
        what = "the input is not a file" if source.exists() else "file not found"
        raise RestemError(what, str(source), fix)
    try:
        with source.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise RestemError(
            f"the input cannot be read: {error.strerror}", str(source), fix
        ) from error
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise RestemError("the input is in UTF-16 or UTF-32, not in UTF-8", str(source), fix)


def _rows(
    lines: Iterator[Line], verifier: Verifier, mode: str, details: bool
) -> Iterator[dict[str, Any]]:
    """Grade lines in batches, so that a file of any length fits into memory."""
    while batch := list(islice(lines, BATCH_LINES)):
        attempts = [line.attempt for line in batch if line.attempt is not None]
        verdicts = iter(verifier.verify(attempts, mode))
        for line in batch:
            if line.attempt is None:
                yield _unread(line)
            else:
                yield _row(line, next(verdicts), details)


def _row(line: Line, verdict: Verdict, details: bool) -> dict[str, Any]:
    row = {"id": line.id, "verdict": verdict.verdict, "layer": verdict.layer}
    if verdict.passed is not None:  # tests were run: what happened says more than the verdict
        failed = verdict.verdict == "error"  # in our code or in the tests: not a reward of 0
        row |= {"verdict": verdict.layer, "layer": "tests", "detail": verdict.detail}
        row |= {"reward": None if failed else verdict.reward}
        row |= {"fraction": None if failed else verdict.fraction}
    if details:
        row |= {"extracted": verdict.extracted, "detail": verdict.detail}
    return row


def _unread(line: Line) -> dict[str, Any]:
    reason = {"line": line.number, "problem": line.error}
    return {"id": line.id, "verdict": "error", "layer": "input"} | reason


def _lines(source: Path, task: Task) -> Iterator[Line]:
    for number, raw in enumerate(_raw_lines(source), 1):
        yield _line(number, raw, task)


def _raw_lines(source: Path) -> Iterator[bytes]:
    r"""Yield lines without a byte-order mark and their ends: `\n`, `\r\n` or `\r`."""
    with source.open("rb") as stream:
        start = stream.read(len(codecs.BOM_UTF8))
        stream.seek(len(start) if start == codecs.BOM_UTF8 else 0)
        for chunk in stream:
            yield from chunk.splitlines()  # of bytes: at these ends only


def _line(number: int, raw: bytes, task: Task) -> Line:
    record: Any = None
    try:
        reader = _Json()
        record = reader.read(raw.decode())
        if not isinstance(record, dict):
            raise RecordError("the line is not a JSON object")
        if reader.problems:
            raise RecordError("; ".join(reader.problems))
        if "id" not in record:
            raise RecordError("the field 'id' is missing")
        return Line(number, record["id"], _attempt(task, record))
    except json.JSONDecodeError as error:
        return Line(number, None, None, f"the line is not JSON: {error.msg}")
    except RecursionError:
        return Line(number, None, None, "the line is nested too deeply")
    except ValueError as error:  # wrong UTF-8, a number of thousands of digits, or not a record
        line_id = record.get("id") if isinstance(record, dict) else None
        return Line(number, line_id, None, str(error))


class _Json:
    """Read JSON, and note what Python reads though JSON has no such value, or only by chance."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, text: str) -> Any:
        """Return the value of a text."""
        return json.loads(
            text,
            parse_constant=self._constant,
            parse_float=self._float,
            object_pairs_hook=self._object,
        )

    def _constant(self, name: str) -> None:
        self.problems.append(f"{name} is no number in JSON")

    def _float(self, text: str) -> float | None:
        value = float(text)
        if math.isfinite(value):
            return value
        self.problems.append(f"the number {text} is too large")
        return None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = Counter(name for name, _ in pairs)
            self.problems += [
                f"the field {name!r} stands twice" for name in names if names[name] > 1
            ]
        return fields


def text_field(record: Mapping[str, Any], name: str) -> str:
    """Return a text field; a number is converted to text.

    Raises RecordError when it is missing or anything else.
    """
    if name not in record:
        raise RecordError(f"the field {name!r} is missing")
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecordError(f"the field {name!r} is not text")
    return str(value)


def _attempt(task: Task, record: Mapping[str, Any]) -> Attempt:
    """Read `gold` and `candidate`, which may be bare or marked; with tests, the other fields."""
    if task.gold is None:
        gold = text_field(record, "gold")
        return Attempt(last_boxed(gold) or gold, text_field(record, "candidate"))
    problem = record.get("problem")
    if not isinstance(problem, dict):
        raise RecordError("the field 'problem' is missing or not an object")
    try:
        return Attempt(task.gold(problem, "problem"), text_field(record, "completion"))
    except RestemError as error:
        raise RecordError(str(error)) from error


def _mode(task: Task) -> str:
    """Return the extraction mode: where there are no tests, a candidate may be a bare answer."""
    return "answer" if task.gold is None else "strict"


def read_pairs(source: Path, task: str = "math") -> Iterator[tuple[Any, str, str]]:
    """Read the id, the gold answer and the candidate of each readable line of a file."""
    for line in _lines(source, load_task(task)):
        if line.attempt is not None:
            yield line.id, line.attempt.gold, line.attempt.completion


def grade_pairs(pairs: Sequence[tuple[str, str]], task: str = "math") -> list[Verdict]:
    """Grade (gold, candidate) pairs; return one verdict each, in order.

    A candidate is a bare answer, or a completion that marks its answer (a box, `The final answer
    is …`, `#### …`, `the answer is …`).
    """
    loaded = load_task(task)
    attempts = [_attempt(loaded, {"gold": gold, "candidate": text}) for gold, text in pairs]
    with load_verifier(loaded.verifier)(Reward(), loaded.markers) as verifier:
        return verifier.verify(attempts, _mode(loaded))
