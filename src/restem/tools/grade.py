"""Grade JSON lines with a task's verifier, outside any workflow.

A line of a task with answers has `id`, `gold` and `candidate`; one of a task with tests has `id`,
`problem` (the benchmark's own fields) and `completion`. Every line of the input gives one line of
the output, in order. A line that cannot be read gives an error with its number, and the others are
graded all the same.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from restem.answers.markers import last_boxed
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.verifier import Attempt, Verdict, Verifier, load_verifier
from restem.tasks.registry import load_task
from restem.tasks.task import Task

BATCH_LINES: Final = 20_000


class RecordError(ValueError):
    """A line is not a record of its task; the text says what is missing."""


@dataclass(frozen=True)
class Form:
    """How lines of one verifier are read: their fields, and the policy that finds the answers."""

    read: Callable[[Mapping[str, Any]], Attempt]
    policy: str


@dataclass(frozen=True)
class Line:
    """A line of the input: its number from 1, its id, and what it asks or why it asks nothing."""

    number: int
    id: Any
    attempt: Attempt | None
    problem: str = ""


def grade_file(task: str, source: Path, output: Path, details: bool = False) -> Counter[str]:
    """Grade a file of JSON lines; return how often each verdict was given.

    Raises RestemError when the task is unknown or the input is no file.
    """
    loaded = load_task(task)
    form = _form(loaded)
    if not source.is_file():
        raise RestemError("there is no such file", str(source), "name a file of JSON lines")
    counts: Counter[str] = Counter()
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            load_verifier(loaded.verifier)(Reward(), loaded.markers) as verifier,
            partial.open("w", encoding="ascii") as written,
        ):
            for row in _rows(_lines(source, form), verifier, form.policy, details):
                counts[row["verdict"]] += 1
                written.write(json.dumps(row) + "\n")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def _rows(
    lines: Iterator[Line], verifier: Verifier, policy: str, details: bool
) -> Iterator[dict[str, Any]]:
    """Judge lines in batches, so that any number of them fits into memory."""
    while batch := list(islice(lines, BATCH_LINES)):
        attempts = [line.attempt for line in batch if line.attempt is not None]
        verdicts = iter(verifier.verify(attempts, policy))
        for line in batch:
            if line.attempt is None:
                yield _unread(line)
            else:
                yield _row(line, next(verdicts), details)


def _row(line: Line, verdict: Verdict, details: bool) -> dict[str, Any]:
    row = {"id": line.id, "verdict": verdict.verdict, "layer": verdict.layer}
    if verdict.passed is not None:  # tests were run: their own words say more than right or wrong
        judged = verdict.verdict != "error"  # our failure, or that of the tests, is no reward of 0
        row |= {"verdict": verdict.layer, "layer": "tests", "detail": verdict.detail}
        row |= {"reward": verdict.reward if judged else None}
        row |= {"fraction": verdict.fraction if judged else None}
    if details:
        row |= {"extracted": verdict.extracted, "detail": verdict.detail}
    return row


def _unread(line: Line) -> dict[str, Any]:
    row = {"id": line.id, "verdict": "error", "layer": "input"}
    return row | {"line": line.number, "problem": line.problem}


def _lines(source: Path, form: Form) -> Iterator[Line]:
    with source.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            yield _line(number, raw, form)


def _line(number: int, raw: bytes, form: Form) -> Line:
    record: Any = None
    try:
        record = json.loads(raw.decode())
        if not isinstance(record, dict):
            raise RecordError("the line is no JSON object")
        if "id" not in record:
            raise RecordError("the field 'id' is missing")
        return Line(number, record["id"], form.read(record))
    except json.JSONDecodeError as problem:
        return Line(number, None, None, f"the line is no JSON: {problem.msg}")
    except RecursionError:
        return Line(number, None, None, "the line is nested too deeply")
    except ValueError as problem:  # wrong UTF-8, a number of thousands of digits, or no record
        known = record.get("id") if isinstance(record, dict) else None
        return Line(number, known, None, str(problem))


def text_field(record: Mapping[str, Any], name: str) -> str:
    """Return a field that must be text; a number is taken as it is written.

    Raises RecordError when it is missing or something else.
    """
    if name not in record:
        raise RecordError(f"the field {name!r} is missing")
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecordError(f"the field {name!r} is no text")
    return str(value)


def _answers(record: Mapping[str, Any]) -> Attempt:
    """Read `gold` and `candidate`; both may be bare answers or hold a marked one."""
    gold = text_field(record, "gold")
    marked = last_boxed(gold) if "\\boxed" in gold or "\\fbox" in gold else None
    return Attempt(gold if marked is None else marked, text_field(record, "candidate"))


def _programs(gold: Callable[[Mapping[str, Any], str], str]) -> Callable[..., Attempt]:
    """Return a reader of `problem` and `completion`."""

    def read(record: Mapping[str, Any]) -> Attempt:
        problem = record.get("problem")
        if not isinstance(problem, dict):
            raise RecordError("the field 'problem' is missing or no object")
        try:
            return Attempt(gold(problem, "problem"), text_field(record, "completion"))
        except RestemError as refused:
            raise RecordError(str(refused)) from refused

    return read


def _form(task: Task) -> Form:
    if task.gold is not None:
        return Form(_programs(task.gold), "strict")
    return Form(_answers, "answer")


def read_pairs(source: Path, task: str = "math") -> Iterator[tuple[Any, str, str]]:
    """Read the id, the gold answer and the candidate of each readable line of a file."""
    for line in _lines(source, _form(load_task(task))):
        if line.attempt is not None:
            yield line.id, line.attempt.gold, line.attempt.completion


def grade_pairs(pairs: Sequence[tuple[str, str]], task: str = "math") -> list[Verdict]:
    """Grade (gold, candidate) pairs; one verdict each, in order.

    A candidate is a bare answer, or a completion that marks its answer (a box, `The final answer
    is …`, `#### …`, `the answer is …`).
    """
    loaded = load_task(task)
    form = _form(loaded)
    attempts = [form.read({"gold": gold, "candidate": candidate}) for gold, candidate in pairs]
    with load_verifier(loaded.verifier)(Reward(), loaded.markers) as verifier:
        return verifier.verify(attempts, form.policy)
